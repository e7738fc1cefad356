//! Whether what `--until` names has come.

use super::driver::{Driver, End};
use super::{Stage, Until};

pub fn reached(until: Until, driver: &Driver<'_>) -> Option<End> {
    let rollout = driver.state.rollout.as_ref()?;
    let ahead = match rollout.stage {
        Stage::Switch | Stage::Healthy => true,
        Stage::Steps => false,
        Stage::Clear
        | Stage::Place
        | Stage::InPlace
        | Stage::Revert
        | Stage::Retreat
        | Stage::Aborted
        | Stage::Failed => return None,
    };
    let candidate = driver.state.candidate.and_then(|c| driver.seen.slots.get(&c.slot));
    let there = match until {
        Until::Healthy | Until::Paused => false,
        Until::Available => candidate.is_some_and(|c| c.desired > 0 && c.updated_available >= c.desired),
        Until::Step(n) => rollout.cursor as u32 + 1 >= n,
        Until::Weight(n) => {
            let actual = driver.state.candidate.and_then(|c| driver.seen.weight_of(c.slot));
            let wanted = rollout.plan.shape(rollout.cursor, driver.state.replicas).weight;
            wanted >= n && actual.is_some_and(|a| a > 0)
        }
    };
    let named = !matches!(until, Until::Healthy | Until::Paused);
    (named && (ahead || there)).then_some(End::Reached)
}
