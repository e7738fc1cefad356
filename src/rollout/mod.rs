//! Moves a service from one revision to the next between two slots. The deciding half is pure:
//! plan, state, step, replicas and status know no clock, network or terminal; `driver` carries decisions out.

pub mod analysis;
mod deploy;
mod effect;
mod observe;
mod options;
mod slot;
mod status;
pub mod view;

pub use deploy::{Ended, Outcome, deploy};
pub use effect::{Effect, HeaderMatch, MatchValue, Routing, Selection};
pub use observe::{Observation, Problem, RouteObservation, SlotObservation};
pub use options::{Options, Until};
pub use slot::{Placed, Slot};
pub use status::{Phase, SlotStatus, Slots, Status, StepStatus, WeightStatus};
pub use view::{Frame, StepLine, StepProgress};
