//! Rolling and first deploys: the live slot's own pods are replaced by the platform; msctl waits and judges. Pure.

use jiff::SignedDuration;

use super::plan::Motion;
use super::state::{Rollout, Stage};
use super::step::Turn;
use super::{Effect, Placed, Routing, Selection, Slot};

impl Turn<'_> {
    pub(super) fn in_place(&mut self, rollout: &Rollout) -> bool {
        let live = self.live();
        if !self.expanded(rollout) {
            return false;
        }
        if let Some(cause) = self.judge(rollout, live, None) {
            return self.refuse(rollout, cause);
        }
        self.drain_previous(rollout);
        if self.runs(rollout.revision) && self.live_reached(rollout) && self.unbind(live) {
            self.state.live = Some(Placed { slot: live, revision: rollout.revision });
            self.state.resizing = false;
            return self.healthy(rollout);
        }
        let seen = self.slot(live);
        let waiting = format!(
            "{} of {} pods of revision {} are available",
            seen.updated_available, seen.desired, rollout.revision
        );
        match self.judge(rollout, live, Some(waiting)) {
            Some(cause) => self.refuse(rollout, cause),
            None => false,
        }
    }

    /// Asks the live slot for `revision` at full size; true when it is there.
    fn runs(&mut self, revision: u32) -> bool {
        let live = self.live();
        let seen = self.slot(live);
        let wanted =
            if self.state.autoscaled { seen.desired.max(self.state.replicas) } else { self.state.replicas };
        let there = seen.revision == revision && self.seen.slots.contains_key(&live);
        if !there {
            self.effects.push(Effect::Apply { slot: live, revision });
        }
        self.scale(live, wanted);
        there && seen.settled(wanted)
    }

    /// The live slot is reached under the service's own name, and by the router: a version that nobody can reach is
    /// not healthy.
    fn live_reached(&mut self, rollout: &Rollout) -> bool {
        let live = self.live();
        let all = Routing::all(live);
        let selected = self.seen.selection.is_none() || self.select(Selection::only(live));
        let routed = self.seen.route.is_none() || self.route(all.clone());
        let first = rollout.plan.motion == Motion::First && self.seen.route.is_some();
        selected
            && routed
            && (!first || (self.settled(&all, rollout.plan.lag) && self.noticed(live, rollout.plan.lag)))
    }

    /// The router has had the time to notice the slot's last pod: it may wait for endpoints before it takes a route.
    fn noticed(&mut self, slot: Slot, lag: u64) -> bool {
        let seen = self.slot(slot);
        if seen.led_to < seen.updated_available {
            return false;
        }
        let Some(came) = seen.progressed else { return true };
        let due = came + SignedDuration::from_millis(lag as i64);
        if self.now < due {
            self.wake(due);
        }
        self.now >= due
    }

    pub(super) fn revert(&mut self, rollout: &Rollout) -> bool {
        self.drain_previous(rollout);
        let Some(revision) = self.state.live.map(|l| l.revision) else { return self.enter(Stage::Failed) };
        if self.runs(revision) && self.unbind(self.live()) {
            self.state.resizing = false;
            return self.aborted(rollout);
        }
        self.out_of_budget(rollout)
    }

    /// A failed version that was left in place may yet come to life.
    pub(super) fn recovered(&mut self, rollout: &Rollout) -> bool {
        let live = self.live();
        let seen = self.slot(live);
        let wanted = if self.state.autoscaled { seen.desired } else { self.state.replicas };
        seen.revision == rollout.revision && seen.settled(wanted)
    }
}
