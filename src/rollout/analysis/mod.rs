//! Judges the candidate by measurements: what a metric asks for, what one measurement says, and when it is enough.
//! Everything here is pure; measuring is the driver's work.

mod bounds;
mod rank;
mod sequential;
mod tally;

pub use bounds::{Bound, Bounds, Reading, Verdict, judge};
pub use rank::{Shift, compare};
pub use sequential::{Batch, Sequential, Stop};
pub use tally::{Limits, Tally, TallyPhase};
