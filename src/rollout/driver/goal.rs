//! What a run is for, and whether the state means that it has come there.

use std::time::Duration;

use super::{Driver, once};
use crate::rollout::status::Phase;
use crate::rollout::{AWAITS_TRAIN, Stage, Until, until};

/// What a run is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// To the end, or to what is waited for.
    Drive(Until),
    /// Until the traffic is back, or nothing was to be taken back.
    TakeBack,
    /// Until the asked-for number of pods is there.
    Settle,
    /// What is due now, two measurements of a candidate among it.
    Once,
}

#[derive(Debug, Clone, Copy)]
pub struct Goal {
    pub mode: Mode,
    pub timeout: Option<Duration>,
    /// How long lost contact is looked for.
    pub patience: Duration,
}

impl Goal {
    pub fn new(mode: Mode) -> Self {
        Goal { mode, timeout: None, patience: Duration::from_secs(600) }
    }
}

/// How a run ended, the state saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Healthy,
    Reached,
    Paused,
    Aborted,
    Failed,
    /// What was changed beside a rollout is there, and every slot is whole.
    Settled,
    /// Nothing more is due.
    Idle,
    /// Another drives on.
    Detached,
}

impl Driver<'_> {
    /// The end that the state means for this run.
    pub(super) fn met(&self, goal: &Goal) -> Option<End> {
        let phase = self.status().phase;
        let quiet = self.asked.is_empty();
        let rollout = self.state.rollout.as_ref();
        let ended = rollout.is_none_or(|r| r.stage.ended());
        let end = match phase {
            _ if ended && rollout.is_some_and(|r| r.stage == Stage::Failed) => Some(End::Failed),
            Phase::Absent => Some(End::Idle),
            Phase::Aborted => Some(End::Aborted),
            _ if rollout.is_some_and(|r| r.held.is_some()) => {
                (quiet && !self.host.attended()).then_some(End::Paused)
            }
            Phase::Healthy | Phase::Degraded | Phase::Progressing if ended => Some(End::Healthy),
            Phase::Paused => self.waits(goal).filter(|_| quiet),
            Phase::Progressing | Phase::Healthy | Phase::Degraded => None,
        };
        match goal.mode {
            Mode::Drive(until) => end.or_else(|| until::reached(until, self).filter(|_| quiet)),
            // Someone may have started it again meanwhile: then its pause is an end here too.
            Mode::TakeBack => {
                let back = rollout.is_some_and(|r| r.stage.goes_back());
                end.filter(|e| *e != End::Paused || !back)
            }
            Mode::Settle => {
                let whole = self.seen.slots.values().all(|s| s.desired == 0 || s.settled(s.desired));
                (quiet && whole && !self.state.resizing).then_some(End::Settled)
            }
            Mode::Once => once::once(&self.due(end)),
        }
    }

    /// What is due now or soon; `end` is the one that any run would have.
    fn due(&self, end: Option<End>) -> once::Due {
        let now = self.host.elapsed();
        let rollout = self.state.rollout.as_ref();
        let stage = rollout.map(|r| r.stage);
        let reason = self.status().reason;
        let barred = reason == AWAITS_TRAIN && !self.host.conducted();
        let next = self.wake_at.map(|at| at.duration_since(self.seen.time));
        let next = next.map(|wait| Duration::try_from(wait).unwrap_or_default());
        let (awaited, patience, interval) = self.gatherer.awaits();
        // Held there only by who writes where it does: that is a person's to end.
        let held = rollout.is_some_and(|r| r.held.is_some());
        once::Due {
            end: end.filter(|e| *e != End::Paused),
            person: held || reason == "awaits-promotion" || barred,
            bound: self.migrator.running()
                || !held && stage.is_some_and(|s| s.goes_back() || s == Stage::Switch),
            quiet: self.asked.is_empty(),
            coming: self.seen.slots.values().any(|s| !s.complete(s.desired)),
            next: if awaited { Some(Duration::ZERO) } else { next },
            idle: now.saturating_sub(self.moved),
            lag: Duration::from_millis(rollout.map_or(0, |r| r.plan.lag)),
            asking: self.asking.map(|since| (now.saturating_sub(since), interval)),
            patience,
        }
    }

    /// A pause that only a person ends, where none is there; or one that was waited for.
    fn waits(&self, goal: &Goal) -> Option<End> {
        let reason = self.status().reason;
        if reason == AWAITS_TRAIN {
            return (!self.host.conducted()).then_some(End::Paused);
        }
        let person = reason == "awaits-promotion";
        let wanted = goal.mode == Mode::Drive(Until::Paused);
        (wanted || (person && !self.host.attended())).then_some(End::Paused)
    }
}
