//! One decision: from the state and what is observed to the next state and what to ask of the platform. Pure.
//! Called after every change; whatever it asks for is desired state, so asking again is harmless.

use jiff::{SignedDuration, Timestamp};

use super::analysis::{Ask, Measurement};
use super::replicas::{Bounds, Side};
use super::state::{Cause, DeployResult, Hold, Rollout, Stage, State};
use super::{Effect, Event, Motion, Observation, Routing, Selection, Slot, SlotObservation};
use crate::platform::MigrationRun;

/// Traffic that was already on its way when a slot lost its share has so long to end, beside the router's lag.
const GRACE: SignedDuration = SignedDuration::from_secs(5);

/// A watch may be so late on an ordinary day.
const LATELY: SignedDuration = SignedDuration::from_secs(2);

/// What to save, then to do, then to wait for.
#[derive(Debug, Clone)]
pub struct Decision {
    pub state: State,
    pub effects: Vec<Effect>,
    /// Decide again then, even if nothing changes.
    pub wake_at: Option<Timestamp>,
    pub events: Vec<Event>,
    /// Measurements that are wanted.
    pub asks: Vec<Ask>,
    /// What the measurements brought back came to; to be kept.
    pub measurements: Vec<Measurement>,
    /// The migration that is to run.
    pub migration: Option<MigrationRun>,
}

/// Decides. `now` is the platform's time.
pub fn step(service: &str, state: &State, seen: &Observation, now: Timestamp) -> Decision {
    let mut turn = Turn {
        service,
        state: state.clone(),
        seen,
        now,
        effects: Vec::new(),
        wake_at: None,
        events: Vec::new(),
        asks: Vec::new(),
        measurements: Vec::new(),
        migration: None,
    };
    turn.remember();
    turn.take_migrated();
    // Each pass is one transition; a plan has few, and every one needs an observation of its own.
    for _ in 0..200 {
        turn.effects.clear();
        turn.asks.clear();
        turn.migration = None;
        turn.wake_at = None;
        if !turn.advance() {
            break;
        }
    }
    turn.begin_clock();
    turn.note_shrinking();
    turn.state.memo.measured.clear();
    let Turn { state, effects, wake_at, events, asks, measurements, migration, .. } = turn;
    Decision { state, effects, wake_at, events, asks, measurements, migration }
}

/// A decision in the making.
pub(super) struct Turn<'a> {
    pub service: &'a str,
    pub state: State,
    pub seen: &'a Observation,
    pub now: Timestamp,
    pub effects: Vec<Effect>,
    pub wake_at: Option<Timestamp>,
    pub events: Vec<Event>,
    pub asks: Vec<Ask>,
    pub measurements: Vec<Measurement>,
    pub migration: Option<MigrationRun>,
}

impl Turn<'_> {
    /// One transition, or none and then the effects that lead to the next.
    fn advance(&mut self) -> bool {
        self.remember_size();
        let Some(rollout) = self.state.rollout.clone() else { return false };
        if self.seen.experiment.is_some() && !rollout.experiments() {
            self.effects.push(Effect::Experiment { live: self.live(), revisions: None });
        }
        match rollout.stage {
            Stage::Clear => self.clear(&rollout),
            Stage::Place => self.place(&rollout),
            Stage::Steps => self.steps(&rollout),
            Stage::Switch => self.switch(&rollout),
            Stage::InPlace => self.in_place(&rollout),
            Stage::Revert => self.revert(&rollout),
            Stage::Retreat => self.retreat(&rollout),
            Stage::Healthy => self.tail_of_healthy(&rollout),
            Stage::Aborted => self.tail_of_aborted(&rollout),
            Stage::Failed => self.tail_of_failed(&rollout),
        }
    }

    pub fn live(&self) -> Slot {
        self.state.live.map_or(Slot::Blue, |l| l.slot)
    }
    pub fn idle(&self) -> Slot {
        self.live().other()
    }

    /// A slot as observed; one that does not exist has no pods.
    pub fn slot(&self, slot: Slot) -> SlotObservation {
        let none = SlotObservation { current: true, ..Default::default() };
        self.seen.slots.get(&slot).cloned().unwrap_or(none)
    }

    pub fn bounds(&self, rollout: &Rollout) -> Bounds {
        rollout.plan.bounds(self.replicas())
    }

    pub fn side(&self, slot: Slot) -> Side {
        let seen = self.slot(slot);
        Side { desired: seen.desired, available: seen.available.min(seen.desired) }
    }

    /// What of a slot can serve for sure: pods on their way out may still be counted by a watch that is late.
    pub fn sure(&self, slot: Slot) -> Side {
        let (seen, side) = (self.slot(slot), self.side(slot));
        let counted = seen.current && !seen.lagging;
        let most = self.lately(slot).map_or(u32::MAX, |(fewest, _)| fewest);
        Side { available: if counted { side.available.min(most) } else { 0 }, ..side }
    }

    /// The fewest pods that `slot` was asked for not long ago: what was taken then may still be told of as if it served,
    /// by the platform's report and by its pods' watch alike.
    fn lately(&self, slot: Slot) -> Option<(u32, Timestamp)> {
        let recent = |(_, at): &(u32, Timestamp)| self.now < *at + LATELY;
        self.state.memo.shrunk.get(&slot).copied().filter(recent)
    }

    fn note_shrinking(&mut self) {
        for effect in &self.effects {
            let Effect::Scale { slot, replicas } = effect else { continue };
            let seen = self.slot(*slot);
            let fewest = seen.desired.min(*replicas);
            // More available than asked for: another driver took some just before.
            if *replicas < seen.desired || seen.available > seen.desired {
                let fewest = self.lately(*slot).map_or(fewest, |(before, _)| before.min(fewest));
                self.state.memo.shrunk.insert(*slot, (fewest, self.now));
            }
        }
        if self.state.under_way().is_some() {
            for (_, at) in Slot::ALL.map(|slot| self.lately(slot)).into_iter().flatten() {
                self.wake(at + LATELY);
            }
        }
    }

    pub fn scale(&mut self, slot: Slot, replicas: u32) {
        self.bind(slot, replicas, replicas);
        self.set(slot, replicas);
    }

    pub fn set(&mut self, slot: Slot, replicas: u32) {
        if self.slot(slot).desired != replicas {
            self.effects.push(Effect::Scale { slot, replicas });
        }
    }

    pub fn wake(&mut self, at: Timestamp) {
        self.wake_at = Some(self.wake_at.map_or(at, |w| w.min(at)));
    }

    pub fn rollout(&mut self, change: impl FnOnce(&mut Rollout)) {
        if let Some(rollout) = &mut self.state.rollout {
            change(rollout);
        }
    }

    /// Goes to `stage`; true, since that is a transition.
    pub fn enter(&mut self, stage: Stage) -> bool {
        let now = self.now;
        self.rollout(|r| {
            r.stage = stage;
            r.stage_since = now;
            r.clock = now;
        });
        true
    }

    /// Ends the rollout in `stage` and writes it into the history.
    pub fn end(&mut self, stage: Stage, result: DeployResult) -> bool {
        self.enter(stage);
        self.rollout(|r| r.held = None);
        let now = self.now;
        let reason = self.state.rollout.as_ref().and_then(|r| r.cause.as_ref()).map(|c| c.reason.clone());
        let number = self.state.rollout.as_ref().map_or(0, |r| r.deploy);
        if let Some(deploy) = self.state.deploy_mut(number) {
            deploy.result = result;
            deploy.ended = Some(now);
            deploy.reason = reason;
        }
        true
    }

    /// The new revision will not do: back, or, where that is not wanted or there is nothing to go back to, stop.
    pub fn refuse(&mut self, rollout: &Rollout, cause: Cause) -> bool {
        let revision = rollout.revision;
        self.rollout(|r| {
            r.cause = Some(cause.clone());
            r.held = None;
        });
        let back = match rollout.plan.motion {
            Motion::First => None,
            Motion::InPlace => Some(Stage::Revert),
            Motion::Router | Motion::Replicas | Motion::Switch => Some(Stage::Retreat),
        };
        match back.filter(|_| !rollout.plan.no_rollback) {
            Some(stage) => {
                self.events.push(Event::Refused { revision, cause });
                self.enter(stage)
            }
            None => {
                self.events.push(Event::Failed { service: self.service.into(), revision, cause });
                self.end(Stage::Failed, DeployResult::Failed)
            }
        }
    }

    /// A terminal problem of the new revision's pods in `slot`, or its deadline when it should be progressing.
    pub fn judge(&mut self, rollout: &Rollout, slot: Slot, waiting: Option<String>) -> Option<Cause> {
        let seen = self.slot(slot);
        let ours = seen.revision == rollout.revision;
        if ours && let Some(problem) = seen.problems.iter().find(|p| p.terminal) {
            return Some(Cause::of(problem, self.now));
        }
        let waiting = waiting?;
        if rollout.held.is_some() {
            return None;
        }
        let progressed = seen.progressed.filter(|_| ours).unwrap_or(rollout.clock).max(rollout.clock);
        let due = progressed + SignedDuration::from_secs(rollout.plan.deadline as i64);
        if self.now < due {
            self.wake(due);
            return None;
        }
        if self.undriven(rollout.clock) {
            let now = self.now;
            self.rollout(|r| r.clock = now);
            return None;
        }
        let problem = seen.problems.first().filter(|_| ours);
        let mut message = format!(
            "no progress for {} (progressDeadline): {waiting}",
            crate::service::Duration::secs(rollout.plan.deadline)
        );
        if let Some(problem) = problem {
            message += &format!("; {}: {}: {}", problem.pod, problem.reason, problem.message);
        }
        let known = problem.map(|p| Cause::of(p, self.now));
        Some(Cause {
            reason: "progress-deadline".into(),
            message,
            at: self.now,
            pod: known.as_ref().and_then(|k| k.pod.clone()),
            log: known.map(|k| k.log).unwrap_or_default(),
        })
    }

    /// What a new driver asks for has its time from now on, also where the clock is only looked at later.
    fn begin_clock(&mut self) {
        let now = self.now;
        let late = self.state.under_way().is_some_and(|r| self.undriven(r.clock));
        if late {
            self.rollout(|r| r.clock = now);
        }
    }

    /// Nobody drove since `clock`: what is asked for only now has had no time, however late it is.
    pub fn undriven(&self, clock: Timestamp) -> bool {
        !self.effects.is_empty() && self.state.memo.began.is_some_and(|began| clock < began)
    }

    /// Keeps since when the present rules are accepted.
    fn remember(&mut self) {
        self.state.memo.began.get_or_insert(self.now);
        let accepted = self.seen.route.as_ref().filter(|r| r.accepted);
        self.state.memo.settled = match (accepted, self.state.memo.settled.take()) {
            (None, _) => None,
            (Some(route), Some((routing, since))) if routing.same(&route.routing) => Some((routing, since)),
            (Some(route), _) => Some((route.routing.clone(), route.since.unwrap_or(self.now).min(self.now))),
        };
    }

    /// The router has had `routing` for longer than its lag; wakes when it will have.
    pub fn settled(&mut self, routing: &Routing, lag: u64) -> bool {
        match self.state.memo.settled.clone() {
            Some((present, since)) if present.same(routing) => {
                let due = since + SignedDuration::from_millis(lag as i64);
                if self.now < due {
                    self.wake(due);
                }
                self.now >= due
            }
            _ => false,
        }
    }

    /// Asks for `routing` until it is observed. A second revert by someone else holds the rollout.
    pub fn route(&mut self, routing: Routing) -> bool {
        let Some(present) = self.seen.route.clone() else { return false };
        if present.routing.same(&routing) {
            self.state.memo.route.value = Some(routing);
            return true;
        }
        let reverted = self.state.memo.route.value.as_ref().is_some_and(|v| v.same(&routing));
        self.state.memo.route.value = None;
        if reverted {
            self.state.memo.route.reverts += 1;
        }
        let contested = self.state.memo.route.reverts >= 2;
        if contested && self.contest("the route's weights", present.by.as_deref()) {
            return false;
        }
        self.effects.push(Effect::Route(routing));
        false
    }

    /// Asks for `selection` until it is observed, as [`Turn::route`].
    pub fn select(&mut self, selection: Selection) -> bool {
        if self.seen.selection == Some(selection) {
            self.state.memo.selection.value = Some(selection);
            return true;
        }
        let reverted = self.state.memo.selection.value == Some(selection);
        self.state.memo.selection.value = None;
        if reverted {
            self.state.memo.selection.reverts += 1;
        }
        let contested = self.state.memo.selection.reverts >= 2;
        if contested
            && self.contest("the public Service's selector", self.seen.selected_by.clone().as_deref())
        {
            return false;
        }
        self.effects.push(Effect::Select(selection));
        false
    }

    /// Holds the rollout because someone else writes `what`; false where a person said to write ours again.
    pub fn contest(&mut self, what: &str, by: Option<&str>) -> bool {
        let now = self.now;
        let Some(rollout) = &mut self.state.rollout else { return false };
        // Going back is never held up; and a person's resume means: write ours once more.
        let back = matches!(rollout.stage, Stage::Clear | Stage::Retreat | Stage::Revert | Stage::Failed);
        if back || std::mem::take(&mut rollout.reassert) {
            return false;
        }
        if rollout.held.is_none() {
            let message = format!(
                "{what} was changed back by {}; stop it from writing there, then resume",
                by.unwrap_or("someone else")
            );
            self.events.push(Event::Paused { reason: "contested".into(), message: message.clone() });
            rollout.held = Some(Hold { since: now, reason: "contested".into(), message });
        }
        true
    }

    /// No request can reach `slot`: read from what is, not from what was asked.
    pub fn unreached(&self, slot: Slot) -> bool {
        !self.seen.selection.is_some_and(|s| s.includes(slot))
            && !self.seen.route.as_ref().is_some_and(|r| r.routing.reaches(slot))
            && self.slot(slot).in_public == 0
    }

    /// How long `slot` must keep its pods after it lost its traffic.
    pub fn floor(rollout: &Rollout) -> SignedDuration {
        GRACE + SignedDuration::from_millis(rollout.plan.lag as i64)
    }
}
