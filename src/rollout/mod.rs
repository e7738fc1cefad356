//! Moves a service from one revision to the next between two slots. The deciding half is pure:
//! plan, state, step, replicas and status know no clock, network or terminal; `driver` carries decisions out.

mod effect;
mod observe;
mod slot;

pub use effect::{Effect, HeaderMatch, MatchValue, Routing, Selection};
pub use observe::{Observation, Problem, RouteObservation, SlotObservation};
pub use slot::{Placed, Slot};
