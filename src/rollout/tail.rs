//! What is late and harmless after a rollout's end: drains, a changed number of pods, pruning. Pure.

use jiff::SignedDuration;

use super::plan::Motion;
use super::state::{Rollout, Stage};
use super::step::Turn;
use super::{Effect, Event, Selection};

impl Turn<'_> {
    pub(super) fn tail_of_healthy(&mut self, rollout: &Rollout) -> bool {
        self.resize();
        if (!rollout.tidy || self.state.contracting) && self.contracts(rollout) {
            return false;
        }
        if self.drain_previous(rollout) {
            return true;
        }
        // Once all is done, bounds that a person sets stay.
        if !rollout.tidy && !self.unbind_both() {
            return false;
        }
        if self.state.previous.is_some() || rollout.tidy {
            return false;
        }
        let keep = self.state.needed(rollout.plan.history);
        let stored = self.state.revisions.iter().filter(|r| !r.pruned).count();
        let surplus = self.state.revisions.iter().any(|r| !r.pruned && !keep.contains(&r.number));
        if surplus && stored > rollout.plan.history as usize {
            // Pruned only when they are gone: whoever comes after a crash in between asks again.
            if self.state.memo.pruned.as_ref() != Some(&keep) {
                self.effects.push(Effect::Prune { keep });
                return false;
            }
            let gone = |r: &&mut super::state::Revision| !keep.contains(&r.number);
            self.state.revisions.iter_mut().filter(gone).for_each(super::state::Revision::prune);
        }
        self.rollout(|r| r.tidy = true);
        false
    }

    pub(super) fn tail_of_aborted(&mut self, rollout: &Rollout) -> bool {
        self.resize();
        if self.drain_previous(rollout) {
            return true;
        }
        if rollout.tidy || !self.unbind_both() {
            return false;
        }
        let shifted = match rollout.plan.motion {
            // A candidate of the rollout before, which this one was to clear away.
            Motion::First | Motion::InPlace => self.state.candidate.is_some(),
            Motion::Router | Motion::Replicas | Motion::Switch => true,
        };
        let Some(delay) = rollout.plan.abort_delay.filter(|_| shifted) else {
            self.rollout(|r| r.tidy = true);
            return true;
        };
        let idle = self.idle();
        let kept = Turn::floor(rollout).max(SignedDuration::from_secs(delay as i64));
        let due = rollout.stage_since + kept;
        if !self.given_up(idle) {
            if self.now < due {
                self.wake(due);
            } else if !self.pointed_at(idle) {
                self.drained(idle);
            }
            return false;
        }
        if !self.unbind(idle) {
            return false;
        }
        // A version that was refused before its first pod drains nothing.
        if self.slot(idle).revision == rollout.revision {
            self.events.push(Event::Drained { slot: idle, revision: rollout.revision });
        }
        self.state.candidate = None;
        self.rollout(|r| r.tidy = true);
        true
    }

    pub(super) fn tail_of_failed(&mut self, rollout: &Rollout) -> bool {
        if self.drain_previous(rollout) {
            return true;
        }
        match (rollout.plan.motion, self.state.live) {
            (Motion::First, _) => self.recovered(rollout) && self.enter(Stage::InPlace),
            (Motion::InPlace, _) if rollout.plan.no_rollback => {
                self.recovered(rollout) && self.enter(Stage::InPlace)
            }
            (Motion::InPlace, Some(live)) => {
                let seen = self.slot(live.slot);
                let back = seen.revision == live.revision && seen.complete(seen.desired);
                back && self.aborted(rollout)
            }
            (Motion::InPlace, None) => false,
            (Motion::Router | Motion::Replicas | Motion::Switch, _) => {
                !rollout.plan.no_rollback && self.traffic_is_back(rollout) && self.aborted(rollout)
            }
        }
    }

    /// `scale` outside a rollout.
    fn resize(&mut self) {
        if !self.state.resizing || self.state.live.is_none() {
            return;
        }
        let (live, wanted) = (self.live(), self.state.replicas);
        if self.slot(live).complete(wanted) {
            self.state.resizing = false;
        } else {
            self.scale(live, wanted);
        }
    }

    /// Takes the old slot's pods when its delay is over; true when the slot's end was recorded.
    pub(super) fn drain_previous(&mut self, rollout: &Rollout) -> bool {
        let Some(previous) = self.state.previous else { return false };
        let seen = self.slot(previous.slot);
        if self.given_up(previous.slot) {
            // A replica canary's selector reached both slots; nothing is left of the old one to reach.
            if self.seen.selection == Some(Selection::Both) && !self.select(Selection::only(self.live())) {
                return false;
            }
            self.events.push(Event::Drained { slot: previous.slot, revision: previous.revision });
            self.state.previous = None;
            return true;
        }
        if seen.desired == 0 {
            return false;
        }
        if self.now < previous.until {
            self.wake(previous.until);
            return false;
        }
        if !self.pointed_at(previous.slot) && rollout.held.as_ref().is_none_or(|h| h.reason != "contested") {
            self.drained(previous.slot);
        }
        false
    }

    /// No pod of the slot serves or comes back. What is on its way out ends by itself; another
    /// version waits for it.
    pub(super) fn given_up(&self, slot: super::Slot) -> bool {
        self.slot(slot).settled(0)
    }

    /// Someone points traffic at a slot that is to lose its pods: hold and name them, or, told to, point it back.
    fn pointed_at(&mut self, slot: super::Slot) -> bool {
        let live = self.live();
        let wrong = self.seen.selection.is_some_and(|s| s.includes(slot));
        if wrong {
            let by = self.seen.selected_by.clone();
            if !self.contest("the public Service's selector", by.as_deref()) {
                self.effects.push(Effect::Select(Selection::only(live)));
            }
            return true;
        }
        let routed = self.seen.route.as_ref().filter(|r| r.routing.reaches(slot));
        if let Some(route) = routed {
            let by = route.by.clone();
            if !self.contest("the route's weights", by.as_deref()) {
                self.effects.push(Effect::Route(super::Routing::all(live)));
            }
            return true;
        }
        if self.slot(slot).in_public > 0 {
            self.wake(self.now + SignedDuration::from_secs(1));
            return true;
        }
        // Pointed back only now: requests are still on their way.
        let lag = self.state.rollout.as_ref().map_or(0, |r| r.plan.lag);
        self.seen.route.is_some() && !self.settled(&super::Routing::all(live), lag)
    }
}
