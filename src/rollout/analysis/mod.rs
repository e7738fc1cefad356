//! Judges the candidate by measurements: what a metric asks for, what one measurement says, and when it is enough.
//! Pure but for `gather` and its files, which measure.

mod bounds;
mod check;
mod finding;
mod gather;
mod json;
mod measurement;
mod plan;
mod rank;
mod remote;
mod sequential;
pub mod series;
mod tally;
mod trial;
mod unit;

pub use bounds::{Bounds, Reading, Verdict, judge, show};
pub use check::check;
pub use finding::{Finding, Sighting, find};
pub use gather::{Gatherer, Target};
pub use measurement::{Measurement, Replay, replay};
pub use plan::{Judging, Measure, Metric, RESTARTS, Source};
pub use rank::{Shift, compare};
pub use remote::headers;
pub use sequential::{Batch, Sequential, Stop, Test};
pub use tally::{Limits, Tally, TallyPhase};
pub use trial::{Ask, Measured, MetricStatus, Track, Trial};
pub use unit::Unit;
