//! What must hold from one saved document to the next, and from one driver to the next: nothing asked for is lost or done
//! twice, no pause begins anew, no template is missing, the old slot keeps its pods, the Lease and the fence are heeded.

use std::collections::{BTreeMap, BTreeSet};

use super::World;
use crate::platform::Lease;
use crate::rollout::{Effect, Event, Intent, Motion, Stage, State, Step, Wait, lock};

type Asked = (String, String);

/// The memory that these laws need.
#[derive(Debug, Default)]
pub struct Promises {
    before: Option<State>,
    /// How often somebody's verb was obeyed.
    pub obeyed: BTreeMap<Asked, u32>,
    answered: BTreeSet<Asked>,
    /// Taken out of the document by who obeyed, or could not.
    taken: BTreeSet<Asked>,
    /// Holders that need not wait for a Lease to expire: who aborts.
    pub hasty: BTreeSet<String>,
}

impl Promises {
    /// Asked for, taken out, and nobody heard of it again.
    pub fn lost(&self) -> Vec<&Asked> {
        self.taken.difference(&self.answered).collect()
    }
}

fn asked(intent: &Intent) -> Asked {
    (intent.by.clone(), intent.verb.name().to_owned())
}

impl World {
    /// What a driver said.
    pub(super) fn hear(&mut self, event: &Event) {
        let promises = &mut self.laws.promises;
        match event {
            Event::Obeyed { verb, by, .. } => {
                let told = (by.clone(), verb.clone());
                promises.answered.insert(told.clone());
                *promises.obeyed.entry(told).or_default() += 1;
            }
            Event::Ignored { verb, by, .. } => drop(promises.answered.insert((by.clone(), verb.clone()))),
            _ => {}
        }
    }

    /// Every saved document, after the one before it.
    pub(super) fn judge_succession(&mut self, state: &State) {
        let needed = [state.live, state.candidate].into_iter().flatten().map(|p| p.revision);
        let history = state.rollout.as_ref().map_or(0, |r| r.plan.history as usize);
        let promised = state.lives().into_iter().rev().take(history).chain(state.undo_target());
        for revision in needed.chain(state.previous.map(|p| p.revision)).chain(promised) {
            if !self.has_template(revision) {
                self.breaks(format!("the template of revision {revision} is gone, and needed"));
            }
        }
        let Some(before) = self.laws.promises.before.replace(state.clone()) else { return };
        if let (Some(old), Some(rollout), None) = (state.previous, &state.rollout, before.previous)
            && rollout.plan.motion != Motion::Replicas
        {
            let kept = rollout.plan.scale_down_delay.max(5 + rollout.plan.lag / 1000);
            if old.until.duration_since(rollout.stage_since).as_secs() < kept as i64 {
                self.breaks(format!("{} is to keep its pods until {} only", old.slot, old.until));
            }
        }
        // A new deploy is the answer to everything asked before it.
        if before.deploys.last().map(|d| d.number) == state.deploys.last().map(|d| d.number) {
            let gone = before.intents.iter().filter(|i| !state.intents.contains(i)).map(asked);
            self.laws.promises.taken.extend(gone);
        }
        let (Some(was), Some(is)) = (&before.rollout, &state.rollout) else { return };
        let pause = matches!(is.plan.steps.get(is.cursor), Some(Step::Pause(Wait::Seconds(_))));
        let same = (was.deploy, was.stage, was.cursor) == (is.deploy, is.stage, is.cursor);
        if pause && same && is.stage == Stage::Steps && was.step_since != is.step_since {
            self.breaks(format!("the pause of step {} begins anew", is.cursor + 1));
        }
    }
    /// Whoever drives after one that did not leave cleanly has raised the epoch of everything before it writes.
    pub(super) fn judge_fence(&mut self, effect: &Effect, epoch: u64) {
        if epoch > 1 && self.epochs().iter().any(|seen| *seen < epoch) {
            self.breaks(format!("{effect:?} with epoch {epoch}, and others still have {:?}", self.epochs()));
        }
    }

    /// Only its holder renews a Lease.
    pub(super) fn judge_renewal(&mut self, who: &str, held: &Lease) {
        if self.laws.strict.is_some() && held.holder != who {
            self.breaks(format!("{who} renews the lease of {}", held.holder));
        }
    }

    /// Nobody takes a Lease whose holder may live; but who aborts.
    pub(super) fn judge_taking(&mut self, who: &str, seen: Option<&Lease>) {
        let Some(lease) = seen.filter(|l| !l.holder.is_empty() && l.holder != who) else { return };
        let age = lease.renewed.map_or(i64::MAX as i128, |at| self.time().duration_since(at).as_millis());
        let fresh = age < lock::EXPIRY.as_millis() as i128 && !self.dead.contains(&lease.holder);
        if self.laws.strict.is_some() && fresh && !self.laws.promises.hasty.contains(who) {
            self.breaks(format!("{who} takes the lease of {} after {age} ms", lease.holder));
        }
    }

    /// What was live before keeps its pods as long as the document says.
    pub(super) fn judge_drain(&mut self, effect: &Effect) {
        let previous = self.laws.promises.before.as_ref().and_then(|s| s.previous);
        if let (Effect::Scale { slot, replicas: 0 }, Some(old)) = (effect, previous)
            && old.slot == *slot
            && self.time() < old.until
        {
            self.breaks(format!("{slot} loses its pods before {}", old.until));
        }
    }
}
