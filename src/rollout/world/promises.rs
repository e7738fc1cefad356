//! What must hold from one saved document to the next: nothing asked for is lost or done twice, no pause begins anew,
//! no template is missing.

use std::collections::{BTreeMap, BTreeSet};

use super::World;
use crate::rollout::{Event, Intent, Stage, State, Step, Wait};

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
        for revision in needed.chain(state.previous.map(|p| p.revision)).chain(state.undo_target()) {
            if !self.has_template(revision) {
                self.breaks(format!("the template of revision {revision} is gone, and needed"));
            }
        }
        let Some(before) = self.laws.promises.before.replace(state.clone()) else { return };
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
}
