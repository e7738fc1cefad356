//! Moves a service from one revision to the next between two slots. The deciding half is pure:
//! plan, state, step, replicas and status know no clock, network or terminal; `driver` carries decisions out.

mod adoption;
pub mod analysis;
mod ask;
mod attach;
mod autoscaler;
#[cfg(test)]
mod autoscaler_tests;
mod contract;
mod deploy;
mod driver;
mod effect;
mod event;
mod follow;
mod forecast;
mod frame;
mod handover;
mod host;
mod inplace;
mod judging;
mod lock;
mod look;
mod memo;
mod migration;
mod observe;
mod options;
mod past;
mod plan;
mod replicas;
pub mod report;
mod restart;
mod retreat;
mod routing;
#[cfg(test)]
mod scenarios;
#[cfg(test)]
mod scenarios_rivals;
mod shift;
#[cfg(test)]
mod simulation;
mod slot;
mod spec;
mod split;
mod state;
mod status;
mod step;
#[cfg(test)]
mod step_tests;
mod steps;
pub mod story;
mod tail;
mod tell;
#[cfg(test)]
mod traffic_tests;
pub mod train;
mod undo;
mod until;
mod verbs;
mod verify;
pub mod view;
#[cfg(test)]
mod world;

pub use adoption::{Adopted, Bounded, Taken, adopt};
pub use ask::{Obeyed, abort, verb};
pub use attach::attach;
pub use autoscaler::Scaler;
pub use contract::contract;
pub use deploy::{Ended, Outcome, deploy};
pub use effect::{Effect, Selection};
pub use event::Event;
pub use follow::watch;
pub use forecast::{Forecast, demand, forecast};
pub use handover::{attach as attach_detached, drive as drive_here};
pub use look::{History, code, history, look, not_deployed};
pub use migration::{Migration, MigrationPhase};
pub use observe::{Experiment, Fresh, Observation, Problem, RouteObservation, SlotObservation};
pub use options::{Options, Until};
pub use past::{Judgement, judged, story};
pub use plan::{Facts, Motion, Plan, StepForecast, plan};
pub use restart::restart;
pub use routing::{Abilities, Affinity, HeaderMatch, Match, MatchValue, Mirror, Routing};
pub use slot::{Placed, Slot};
pub use spec::{Spec, Step, Sticky, Wait};
pub use split::Split;
pub use state::{Cause, Deploy, DeployResult, Hold, Intent, Previous, Revision, Rollout, Stage, State, Verb};
/// The reason of a rollout that waits at the barrier of its train.
pub const AWAITS_TRAIN: &str = "awaits-train";

pub use status::{Driving, Phase, Seat, SlotStatus, Slots, Status, StepStatus, WeightStatus, status};
pub use step::{Decision, step};
pub use train::run as conduct;
pub use undo::undo;
pub use verbs::{Refusal, obey, start};
pub use view::{Frame, StepLine, StepProgress};
