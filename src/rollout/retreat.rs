//! The way back: traffic and pods return to the live slot, within surge and unavailable. Pure.

use jiff::SignedDuration;

use super::replicas::{self, Counts};
use super::state::{Cause, DeployResult, Rollout, Stage};
use super::step::Turn;
use super::{Effect, Event, Motion, Routing, Selection, Slot};

impl Turn<'_> {
    /// An abort: ends when nothing reaches the candidate any more.
    pub(super) fn retreat(&mut self, rollout: &Rollout) -> bool {
        if self.traffic_is_back(rollout) && self.unbind_both() {
            return self.aborted(rollout);
        }
        self.out_of_budget(rollout)
    }

    pub(super) fn aborted(&mut self, rollout: &Rollout) -> bool {
        self.rollout(|r| {
            r.cursor = 0;
            r.tidy = false;
        });
        // Asked for another number meanwhile, or part of the live pods made room.
        let live = self.slot(self.live()).desired;
        self.state.resizing =
            !self.state.autoscaled && self.state.live.is_some() && live != self.state.replicas;
        self.events.push(Event::Aborted {
            service: self.service.into(),
            revision: rollout.revision,
            live: self.state.live.map(|l| l.revision),
        });
        self.end(Stage::Aborted, DeployResult::Aborted)
    }

    /// The way back has its own clock; when it runs out, that is told, and going back goes on.
    pub(super) fn out_of_budget(&mut self, rollout: &Rollout) -> bool {
        let due = rollout.stage_since + SignedDuration::from_secs(rollout.plan.rollback_deadline as i64);
        if self.now < due {
            self.wake(due);
            return false;
        }
        if self.undriven(rollout.stage_since) {
            let now = self.now;
            self.rollout(|r| r.stage_since = now);
            return false;
        }
        let live = self.slot(self.live());
        let first = rollout.cause.as_ref().map(|c| format!(" (after {})", c.message)).unwrap_or_default();
        let cause = Cause {
            reason: "rollback-deadline".into(),
            message: format!(
                "going back takes longer than {}{first}: {} of {} live pods are available",
                crate::service::Duration::secs(rollout.plan.rollback_deadline),
                live.available,
                self.replicas()
            ),
            at: self.now,
            pod: None,
            log: rollout.cause.as_ref().map(|c| c.log.clone()).unwrap_or_default(),
        };
        self.rollout(|r| r.cause = Some(cause.clone()));
        self.events.push(Event::Failed { service: self.service.into(), revision: rollout.revision, cause });
        self.end(Stage::Failed, DeployResult::Failed)
    }

    /// Moves everything to the live slot; true once no request can reach the idle one and the live one is whole
    /// enough to take them all.
    pub(super) fn traffic_is_back(&mut self, rollout: &Rollout) -> bool {
        let (live, idle) = (self.live(), self.idle());
        let seen = self.slot(idle);
        // Pods that made room for nobody are not on their way out, however late the platform's report of them is.
        let made_room = rollout.plan.motion == Motion::Replicas || rollout.plan.dynamic_stable;
        let serving = if made_room { self.sure(live) } else { self.side(live) };
        let replicas = self.replicas();
        let bounds = self.bounds(rollout);
        let enough = serving.available >= bounds.floor() || seen.available == 0 || rollout.plan.proceed;
        if let Some(route) = self.seen.route.clone() {
            let all = Routing::all(live);
            if !route.routing.same(&all) {
                self.grow_live(replicas);
                let share =
                    (serving.available * 100).checked_div(replicas.max(1)).unwrap_or(0).min(100) as u8;
                let weight = if enough { 0 } else { (100 - share).min(route.routing.weight_of(idle)) };
                self.route(Routing::split(idle, weight));
                return false;
            }
            self.route(all.clone());
            if !seen.empty() && !self.settled(&all, rollout.plan.lag) {
                return false;
            }
        }
        match self.seen.selection {
            None => {}
            Some(selection) if selection == Selection::only(live) => {}
            Some(Selection::Both) => {
                let keep = seen.desired.min(bounds.surge);
                let target = Counts { candidate: keep, live: replicas };
                let next = replicas::toward(target, self.side(idle), serving, bounds);
                if self.sizes_live() || next.live > serving.desired {
                    self.scale(live, next.live);
                }
                if self.slot(idle).desired > 0 {
                    self.scale(idle, next.candidate);
                }
                if enough {
                    self.select(Selection::only(live));
                }
                return false;
            }
            Some(_) => {
                self.grow_live(replicas);
                if enough {
                    self.select(Selection::only(live));
                }
                return false;
            }
        }
        // The pods that went to the candidate are given back before the live slot grows: both fit within the surge.
        if rollout.plan.motion == Motion::Replicas && seen.desired > bounds.surge {
            if self.unreached(idle) {
                self.scale(idle, bounds.surge);
            } else {
                self.wake(self.now + SignedDuration::from_secs(1));
            }
            return false;
        }
        self.grow_live(replicas);
        !self.sizes_live() || self.state.live.is_none() || serving.desired >= replicas
    }

    fn grow_live(&mut self, replicas: u32) {
        let live = self.live();
        // An autoscaler never wants fewer.
        if self.state.live.is_some() && (self.sizes_live() || self.slot(live).desired < replicas) {
            self.scale(live, replicas);
        }
    }

    /// Takes the pods of a slot that no request reaches; true when the last one is gone.
    pub(super) fn drained(&mut self, slot: Slot) -> bool {
        let seen = self.slot(slot);
        if seen.empty() {
            return true;
        }
        if seen.desired > 0 && self.unreached(slot) {
            self.effects.push(Effect::Scale { slot, replicas: 0 });
        }
        false
    }
}
