//! The state document of a service: revisions, slots, the rollout under way, intents and the history. Pure.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::analysis::Trial;
use super::memo::Memo;
use super::migration::Migration;
use super::{Adopted, Placed, Plan, Problem, Scaler, Slot};
use crate::service::Strategy;

pub const SCHEMA: &str = "msctl.dev/rollout-state/v1";
/// The document's largest size in bytes.
pub const LIMIT: usize = 64 * 1024;
const DEPLOYS: usize = 100;
/// Numbers of revisions whose templates are gone.
const NUMBERS: usize = 100;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    pub schema: String,
    /// Of the driver that may write; raised by every take-over.
    pub epoch: u64,
    /// Pods of the service; lasts until the next deploy.
    pub replicas: u32,
    /// An autoscaler owns the live slot's number.
    #[serde(default)]
    pub autoscaled: bool,
    /// The autoscalers' own bounds, given back at the end of every rollout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scaling: Option<Scaler>,
    /// A Deployment that msctl did not make, in a slot's place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adopted: Option<Adopted>,
    /// The live slot is on its way to `replicas`.
    #[serde(default)]
    pub resizing: bool,
    /// A person said that contracts are due now.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub contracting: bool,
    /// The highest revision whose contract was run: none below it finds its schema any more.
    #[serde(default, skip_serializing_if = "is_none")]
    pub contracted: u32,
    /// The highest revision number ever given.
    #[serde(default)]
    pub numbered: u32,
    pub revisions: Vec<Revision>,
    pub live: Option<Placed>,
    /// In the idle slot, or on its way there.
    pub candidate: Option<Placed>,
    /// What was live before and still has its pods.
    pub previous: Option<Previous>,
    /// Under way, or the last one.
    pub rollout: Option<Rollout>,
    pub deploys: Vec<Deploy>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub intents: Vec<Intent>,
    /// What one driver remembers between two observations; no part of the document.
    #[serde(skip)]
    pub memo: Memo,
}

/// A pod template and its number, which it keeps for good.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Revision {
    pub number: u32,
    pub hash: String,
    pub image: String,
    pub at: Timestamp,
    /// Of the folder it was built from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// Its template is kept no longer; its number stays its own.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pruned: bool,
    /// Before its first pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expand: Option<Migration>,
    /// When none before it can come back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contract: Option<Migration>,
}

impl Revision {
    /// Its template is dropped.
    pub fn prune(&mut self) {
        self.pruned = true;
        self.expand = self.expand.take().and_then(Migration::pruned);
        self.contract = self.contract.take().and_then(Migration::pruned);
    }
}

fn is_none(number: &u32) -> bool {
    *number == 0
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Previous {
    pub slot: Slot,
    pub revision: u32,
    pub until: Timestamp,
}

/// One deploy: numbered separately from revisions, in order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Deploy {
    pub number: u32,
    pub revision: u32,
    /// What was live when it began.
    pub from: Option<u32>,
    pub strategy: Strategy,
    /// The pods were replaced where they were.
    #[serde(default)]
    pub in_place: bool,
    /// Back to what was live before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub undo: bool,
    pub at: Timestamp,
    pub ended: Option<Timestamp>,
    pub result: DeployResult,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    pub by: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeployResult {
    Progressing,
    Healthy,
    Aborted,
    Failed,
    /// Another deploy began before its end.
    Superseded,
}

/// Where a rollout is. Each stage ends only when an observation confirms it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// The idle slot loses its traffic, then its pods; the live one gets its own version back where it lost it.
    Clear,
    /// The candidate's template goes into the empty slot.
    Place,
    /// At `cursor` of the plan's steps.
    Steps,
    /// Everything reaches the candidate; the service's own name follows.
    Switch,
    /// The live slot is given the new version where it is.
    InPlace,
    /// The live slot is given its old version back.
    Revert,
    /// Traffic and pods go back to the live slot.
    Retreat,
    Healthy,
    Aborted,
    Failed,
}

impl Stage {
    /// On the way back to the live version.
    pub fn goes_back(self) -> bool {
        matches!(self, Stage::Retreat | Stage::Revert)
    }

    pub fn ended(self) -> bool {
        matches!(self, Stage::Healthy | Stage::Aborted | Stage::Failed)
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rollout {
    pub deploy: u32,
    pub revision: u32,
    /// What was live when it began.
    pub from: Option<u32>,
    /// The train it is part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train: Option<String>,
    pub plan: Plan,
    pub stage: Stage,
    /// Index into the plan's steps.
    pub cursor: usize,
    pub started: Timestamp,
    /// When the stage began.
    pub stage_since: Timestamp,
    /// When the step began; a pause counts from here.
    pub step_since: Timestamp,
    /// From when the progress deadline counts: the last step, or the end of the last hold.
    pub clock: Timestamp,
    /// A person or a contested write holds the rollout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<Hold>,
    /// Why it is not, or will not be, healthy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// What a contested write decided: ours is written again.
    #[serde(default)]
    pub reassert: bool,
    /// The other slot's pods are gone, or to stay.
    #[serde(default)]
    pub tidy: bool,
    /// What was under way before it may have left Jobs that judged.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub jobs_before: bool,
    /// Pods of the live slot when it began, where an autoscaler made that many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u32>,
    /// How the candidate is being judged.
    #[serde(default)]
    pub trial: Trial,
}

impl Rollout {
    /// Its step compares fresh pods of both versions.
    pub fn experiments(&self) -> bool {
        self.stage == Stage::Steps
            && !self.trial.skipped
            && matches!(self.plan.steps.get(self.cursor), Some(super::Step::Experiment { .. }))
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    pub since: Timestamp,
    /// `held`, or `contested`.
    pub reason: String,
    pub message: String,
}

/// Why a rollout was refused or taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// Stable: the problem's, deadline-exceeded, aborted.
    pub reason: String,
    pub message: String,
    pub at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub log: Vec<String>,
}

impl Cause {
    pub fn of(problem: &Problem, at: Timestamp) -> Self {
        Cause {
            pod: Some(problem.pod.clone()),
            ..Cause::told(&problem.reason, &problem.message, &problem.log, at)
        }
    }

    /// No longer than a document of bounded size has room for.
    pub fn told(reason: &str, message: &str, log: &[String], at: Timestamp) -> Self {
        let keep = log.len().saturating_sub(20);
        let clip = |line: &String| line.chars().take(400).collect::<String>();
        Cause {
            reason: reason.to_owned(),
            message: message.chars().take(2000).collect(),
            at,
            pod: None,
            log: log[keep..].iter().map(clip).collect(),
        }
    }
}

/// What a person asked for; whoever drives obeys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    pub verb: Verb,
    pub by: String,
    pub at: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verb {
    Promote {
        full: bool,
    },
    Pause,
    Resume,
    Abort,
    Retry,
    Scale(u32),
    /// Past the barrier of its train; said by the train's conductor.
    Leave,
}

impl Default for State {
    fn default() -> Self {
        State {
            schema: SCHEMA.into(),
            epoch: 1,
            replicas: 1,
            autoscaled: false,
            scaling: None,
            adopted: None,
            resizing: false,
            contracting: false,
            contracted: 0,
            numbered: 0,
            revisions: Vec::new(),
            live: None,
            candidate: None,
            previous: None,
            rollout: None,
            deploys: Vec::new(),
            intents: Vec::new(),
            memo: Memo::default(),
        }
    }
}

impl State {
    pub fn parse(body: &str) -> Result<State, String> {
        let state: State = serde_json::from_str(body).map_err(|e| e.to_string())?;
        if state.schema != SCHEMA {
            return Err(format!("its schema is {}, this msctl reads {SCHEMA}", state.schema));
        }
        match &state.rollout {
            Some(rollout) if !rollout.stage.ended() && !rollout.plan.genuine() => {
                Err("the stored plan does not match its hash".into())
            }
            _ => Ok(state),
        }
    }

    /// The document, with as much history as fits.
    pub fn body(&self) -> String {
        let mut kept = self.clone();
        let surplus = kept.deploys.len().saturating_sub(DEPLOYS);
        kept.deploys.drain(..surplus);
        let mut forgotten = kept.revisions.iter().filter(|r| r.pruned).count().saturating_sub(NUMBERS);
        kept.revisions.retain(|r| {
            !r.pruned || forgotten == 0 || {
                forgotten -= 1;
                false
            }
        });
        loop {
            let body = serde_json::to_string(&kept).unwrap_or_default();
            if body.len() <= LIMIT || kept.deploys.len() <= 2 {
                return body;
            }
            let half = kept.deploys.len() / 2;
            kept.deploys.drain(..half);
        }
    }

    /// The slot that does not serve.
    pub fn idle(&self) -> Slot {
        self.live.map_or(Slot::Blue, |l| l.slot.other())
    }

    pub fn revision(&self, number: u32) -> Option<&Revision> {
        self.revisions.iter().find(|r| r.number == number)
    }

    /// The number of the template with `hash`, given now if it has none.
    pub fn number(&mut self, hash: &str, image: &str, now: Timestamp) -> u32 {
        if let Some(known) = self.revisions.iter().find(|r| r.hash == hash) {
            return known.number;
        }
        self.numbered += 1;
        let number = self.numbered;
        self.revisions.push(Revision {
            number,
            hash: hash.into(),
            image: image.into(),
            at: now,
            commit: None,
            pruned: false,
            expand: None,
            contract: None,
        });
        number
    }

    /// Revisions in the order they became live, the present one last.
    pub fn lives(&self) -> Vec<u32> {
        let mut lives: Vec<u32> = Vec::new();
        for deploy in self.deploys.iter().filter(|d| d.result == DeployResult::Healthy) {
            if lives.last() != Some(&deploy.revision) {
                lives.push(deploy.revision);
            }
        }
        lives
    }

    /// The last revision that was live before the present one, as recorded.
    pub fn undo_target(&self) -> Option<u32> {
        let live = self.live?.revision;
        self.lives().into_iter().rev().find(|r| *r != live && !self.outdated(*r))
    }

    /// `revision` was live, and fewer than `window` other live revisions lie between then and now.
    pub fn recent(&self, revision: u32, window: u32) -> bool {
        let lives = self.lives();
        let Some(at) = lives.iter().rposition(|r| *r == revision) else { return false };
        let mut between: Vec<u32> = lives[at + 1..lives.len().saturating_sub(1).max(at + 1)].to_vec();
        between.sort_unstable();
        between.dedup();
        (between.len() as u32) < window
    }

    /// A rollout that has not ended.
    pub fn under_way(&self) -> Option<&Rollout> {
        self.rollout.as_ref().filter(|r| !r.stage.ended())
    }

    pub fn deploy_mut(&mut self, number: u32) -> Option<&mut Deploy> {
        self.deploys.iter_mut().find(|d| d.number == number)
    }

    /// Revisions whose templates are needed: in a slot, or live recently enough to return to.
    pub fn needed(&self, history: u32) -> Vec<u32> {
        let placed = [self.live.map(|p| p.revision), self.candidate.map(|p| p.revision)];
        let rollout = self.rollout.iter().flat_map(|r| [Some(r.revision), r.from]);
        let mut keep: Vec<u32> =
            placed.into_iter().chain(rollout).flatten().chain(self.previous.map(|p| p.revision)).collect();
        keep.extend(self.lives().iter().rev().take(history as usize));
        keep.extend(self.uncontracted());
        keep.sort_unstable();
        keep.dedup();
        keep
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lived(revisions: &[(u32, DeployResult)]) -> State {
        let mut state = State::default();
        for (index, (revision, result)) in revisions.iter().enumerate() {
            state.deploys.push(Deploy {
                number: index as u32 + 1,
                revision: *revision,
                from: None,
                strategy: Strategy::Rolling,
                in_place: true,
                undo: false,
                at: Timestamp::UNIX_EPOCH,
                ended: None,
                result: *result,
                reason: None,
                by: "someone".into(),
            });
            if *result == DeployResult::Healthy {
                state.live = Some(Placed { slot: Slot::Blue, revision: *revision });
            }
        }
        state
    }

    #[test]
    fn undo_goes_to_what_was_live_never_to_what_was_refused() {
        use DeployResult::{Aborted, Healthy};
        assert_eq!(lived(&[(1, Healthy)]).undo_target(), None);
        assert_eq!(lived(&[(1, Healthy), (2, Healthy), (3, Healthy)]).undo_target(), Some(2));
        assert_eq!(lived(&[(1, Healthy), (2, Healthy), (3, Aborted)]).undo_target(), Some(1));
        assert_eq!(lived(&[(1, Healthy), (2, Healthy), (1, Healthy)]).undo_target(), Some(2));
    }

    #[test]
    fn the_window_counts_what_lies_strictly_between() {
        let state = lived(&[1, 2, 3, 4].map(|n| (n, DeployResult::Healthy)));
        assert_eq!([1, 2, 3].map(|n| state.recent(n, 2)), [false, true, true]);
        assert!(!state.recent(9, 2));
        assert!(!state.recent(3, 0));
    }

    #[test]
    fn a_hash_keeps_its_number() {
        let mut state = State::default();
        let now = Timestamp::UNIX_EPOCH;
        assert_eq!(["a", "b", "a", "c"].map(|hash| state.number(hash, hash, now)), [1, 2, 1, 3]);
    }

    #[test]
    fn the_document_stays_within_its_limit() {
        let mut state = lived(&[(1, DeployResult::Healthy); 90]);
        for deploy in &mut state.deploys {
            deploy.reason = Some("x".repeat(4000));
        }
        assert!(state.body().len() <= LIMIT);
        assert_eq!(State::parse(&state.body()).unwrap().deploys.last(), state.deploys.last());
    }
}
