//! A train: several rollouts that take over together. Each goes as far as its barrier, just before it would take over;
//! when all are there they go on in order, and when one is refused all go back in reverse order. The decision
//! ([`decide`]) is pure; [`conduct`] runs a driver a car and passes orders on as intents, as a person would.

mod conduct;
mod decide;
mod host;
#[cfg(test)]
mod tests;

pub(super) use conduct::conduct;
pub use conduct::{Arrival, Car};
pub use decide::{Decision, Order, Place, decide};

use crate::context::Ctx;
use crate::manifest::sha256;

/// Runs a train from a person's machine.
pub async fn run(ctx: &Ctx, train: &str, cars: &[Car<'_>]) -> anyhow::Result<Arrival> {
    let host = super::host::Process::new(ctx);
    let done = conduct(&host, &super::host::person(ctx), train, cars).await;
    host.finish();
    done
}

/// The name of the train of these versions: the same for whoever starts it again.
pub fn name(cars: &[(String, String)]) -> String {
    sha256(&serde_json::json!(cars)).chars().take(12).collect()
}
