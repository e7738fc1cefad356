//! Canary and blue-green: the candidate goes into the idle slot, step by step takes the traffic, and is live. Pure.

use jiff::SignedDuration;

use super::plan::{Motion, Shape};
use super::replicas;
use super::spec::{Step, Wait};
use super::state::{DeployResult, Previous, Rollout, Stage};
use super::step::Turn;
use super::{Effect, Event, Placed, Routing, Selection};

/// How near the slots are to a shape.
enum Formed {
    Reached,
    /// Pods or routes that ought to come; the text says which.
    Waiting(String),
    /// Only what is too much remains to go.
    Shrinking,
    /// As wanted and available; live pods that were asked to go are still on their way.
    Going,
}

impl Turn<'_> {
    /// Empties the idle slot: traffic first, then pods. A live slot caught in the middle of an update gets its
    /// own version back before.
    pub(super) fn clear(&mut self, rollout: &Rollout) -> bool {
        let (live, idle) = (self.live(), self.idle());
        if let Some(placed) = self.state.live {
            let seen = self.slot(live);
            if seen.revision != placed.revision {
                self.effects.push(Effect::Apply { slot: live, revision: placed.revision });
            }
            if seen.revision != placed.revision || seen.updated < seen.replicas {
                return self.overdue(rollout, "the live slot gets its version back");
            }
        }
        let shifts = matches!(rollout.plan.motion, Motion::Router | Motion::Replicas | Motion::Switch);
        // An undo waits for no pod of its own version that is on its way out.
        let own = shifts && self.slot(idle).revision == rollout.revision;
        if !self.traffic_is_back(rollout) || !(self.drained(idle) || (own && self.given_up(idle))) {
            return self.overdue(rollout, &format!("{idle} is being emptied"));
        }
        if shifts {
            return self.enter(Stage::Place);
        }
        self.state.candidate = None;
        self.enter(Stage::InPlace)
    }

    fn overdue(&mut self, rollout: &Rollout, waiting: &str) -> bool {
        let idle = self.idle();
        // The slot still holds what was there before: its problems are not the new revision's.
        let due = rollout.clock + SignedDuration::from_secs(rollout.plan.deadline as i64);
        if rollout.held.is_some() {
            return false;
        }
        if self.now < due {
            self.wake(due);
            return false;
        }
        match self.judge(rollout, idle, Some(waiting.to_owned())) {
            Some(cause) => self.refuse(rollout, cause),
            None => false,
        }
    }

    pub(super) fn place(&mut self, rollout: &Rollout) -> bool {
        let idle = self.idle();
        let seen = self.slot(idle);
        if seen.revision != rollout.revision {
            if !seen.empty() || !self.unreached_but_both(idle) {
                return self.enter(Stage::Clear);
            }
            if !self.expanded(rollout) {
                return false;
            }
            // What was adopted keeps its pods at none; the slot gets a Deployment of its own.
            if let Some(adopted) = self.state.adopted.as_mut().filter(|a| a.slot == idle) {
                adopted.active = false;
            }
            self.effects.push(Effect::Apply { slot: idle, revision: rollout.revision });
            return self.overdue(rollout, &format!("revision {} is put into {idle}", rollout.revision));
        }
        if rollout.plan.motion == Motion::Replicas && self.seen.selection != Some(Selection::Both) {
            // Kept pods beyond the first step's would all be served at once by the wider selector.
            let first = rollout.plan.shape(rollout.cursor, self.replicas()).pods.candidate;
            if seen.desired > first || seen.replicas > first {
                self.scale(idle, first.min(seen.desired));
            } else {
                self.select(Selection::Both);
            }
            return self.overdue(rollout, "the service's selector is widened");
        }
        if rollout.held.is_some() {
            return false;
        }
        self.enter(Stage::Steps);
        self.began_step()
    }

    /// Between two replica canaries the selector may still be wide; it reaches an empty slot then, and no pod.
    fn unreached_but_both(&self, slot: super::Slot) -> bool {
        self.slot(slot).in_public == 0 && !self.seen.route.as_ref().is_some_and(|r| r.routing.reaches(slot))
    }

    fn began_step(&mut self) -> bool {
        let now = self.now;
        self.rollout(|r| {
            r.step_since = now;
            r.clock = now;
        });
        let Some(rollout) = self.state.rollout.clone() else { return true };
        if let Some(step) = rollout.plan.steps.get(rollout.cursor) {
            let (index, count) = (rollout.cursor as u32 + 1, rollout.plan.steps.len() as u32);
            self.events.push(Event::Step { index, count, label: step.label() });
            if *step == Step::Pause(Wait::Person) {
                let message = "waits to be promoted or aborted".to_owned();
                self.events.push(Event::Paused { reason: "awaits-promotion".into(), message });
            }
            if *step == Step::Pause(Wait::Train) {
                let message = "waits at the barrier for the other services of its train".to_owned();
                self.events.push(Event::Paused { reason: super::AWAITS_TRAIN.into(), message });
            }
        }
        true
    }

    pub(super) fn steps(&mut self, rollout: &Rollout) -> bool {
        let idle = self.idle();
        if self.slot(idle).revision != rollout.revision {
            return self.enter(Stage::Clear);
        }
        // Past the last one: until all is there again.
        let step = rollout.plan.steps.get(rollout.cursor).unwrap_or(&Step::Weight(100));
        if let Some(cause) = self.judge(rollout, idle, None) {
            return self.refuse(rollout, cause);
        }
        let shape = rollout.plan.shape(rollout.cursor, self.replicas());
        let formed = self.form(rollout, &shape);
        let fresh = self.experiment(rollout);
        let ready = matches!(formed, Formed::Reached) && fresh.is_none();
        if let Some(moved) = self.analyse(rollout, &shape, ready) {
            return moved;
        }
        if rollout.held.is_some() {
            return false;
        }
        let over = match step {
            Step::Pause(_) if rollout.trial.skipped => true,
            Step::Pause(Wait::Person | Wait::Train) => false,
            Step::Analyze { .. } | Step::Experiment { .. } => {
                let lacking = match formed {
                    Formed::Waiting(what) => Some(what),
                    Formed::Reached | Formed::Shrinking | Formed::Going => fresh,
                };
                // It has not begun, and the pods that it looks at may never come.
                if let Some(what) = lacking.filter(|_| rollout.trial.step != Some(rollout.cursor)) {
                    return match self.judge(rollout, idle, Some(what)) {
                        Some(cause) => self.refuse(rollout, cause),
                        None => false,
                    };
                }
                self.analysed()
            }
            Step::Pause(Wait::Seconds(seconds)) => {
                let due = rollout.step_since + SignedDuration::from_secs(*seconds as i64);
                if self.now < due {
                    self.wake(due);
                }
                self.now >= due
            }
            Step::Weight(_) | Step::Scale(_) | Step::Match(_) | Step::Mirror(_) | Step::Cohort { .. } => {
                match formed {
                    Formed::Reached => true,
                    // A weight that the next one replaces at once, by nobody looked at, need not be waited for.
                    Formed::Going => {
                        rollout.plan.judging.is_empty()
                            && matches!(rollout.plan.steps.get(rollout.cursor + 1), Some(Step::Weight(_)))
                    }
                    Formed::Shrinking => false,
                    Formed::Waiting(what) => {
                        return match self.judge(rollout, idle, Some(what)) {
                            Some(cause) => self.refuse(rollout, cause),
                            None => false,
                        };
                    }
                }
            }
        };
        over && self.judged_enough(rollout, &shape) && self.next_step(rollout, ready)
    }

    /// Has the pods made that the step compares; Some: what it waits for.
    fn experiment(&mut self, rollout: &Rollout) -> Option<String> {
        let live = self.state.live.filter(|_| rollout.experiments())?;
        let wanted = (live.revision, rollout.revision);
        let seen = self.seen.experiment.clone().unwrap_or_default();
        let ours = (seen.baseline.revision, seen.candidate.revision) == wanted;
        if !ours {
            self.effects.push(Effect::Experiment { live: live.slot, revisions: Some(wanted) });
        }
        let up = |fresh: &super::Fresh| if fresh.available { "is" } else { "is not" };
        (!ours || !seen.baseline.available || !seen.candidate.available).then(|| {
            format!(
                "the experiment's baseline {} available, its candidate {}",
                up(&seen.baseline),
                up(&seen.candidate)
            )
        })
    }

    fn next_step(&mut self, rollout: &Rollout, ready: bool) -> bool {
        if ready && rollout.cursor + 1 >= rollout.plan.steps.len() {
            return self.enter(Stage::Switch);
        }
        self.rollout(|r| r.cursor += 1);
        self.began_step()
    }

    /// Asks for what leads to `shape`.
    fn form(&mut self, rollout: &Rollout, shape: &Shape) -> Formed {
        match rollout.plan.motion {
            Motion::Replicas => self.form_by_pods(rollout, shape),
            Motion::Router => self.form_by_route(rollout, shape),
            Motion::Switch | Motion::First | Motion::InPlace => {
                self.size(shape.pods.live, shape.pods.candidate);
                let judged_after = rollout.plan.steps.last() != Some(&Step::Weight(100));
                match self.pods_of(shape.pods.candidate) {
                    // What is judged after the switch needs the traffic.
                    Formed::Reached if shape.weight >= 100 && judged_after => {
                        match self.select(Selection::only(self.idle())) {
                            true => Formed::Reached,
                            false => Formed::Waiting("the service's selector is switched".into()),
                        }
                    }
                    formed => formed,
                }
            }
        }
    }

    /// Sets both slots' numbers, the live one's only where no autoscaler does.
    fn size(&mut self, live: u32, candidate: u32) {
        let (on_live, on_idle) = (self.slot(self.live()).desired, self.slot(self.idle()).desired);
        if self.state.autoscaled {
            self.bind(self.live(), on_live, live);
        } else {
            self.scale(self.live(), live);
        }
        let wanted = if self.state.autoscaled { candidate.max(on_idle) } else { candidate };
        self.bind(self.idle(), wanted, candidate);
        self.set(self.idle(), wanted);
    }

    fn pods_of(&self, wanted: u32) -> Formed {
        let seen = self.slot(self.idle());
        // An autoscaler that need not keep them may be about to take them.
        if self.own(self.idle()).is_some() && seen.scaler.is_some_and(|s| s.min < wanted) {
            return Formed::Waiting(format!("the autoscaler of {} is to keep {wanted} pods", self.idle()));
        }
        let wanted = if self.state.autoscaled { wanted.max(seen.desired) } else { wanted };
        if seen.complete(wanted) {
            Formed::Reached
        } else if seen.updated_available >= wanted && seen.current {
            Formed::Shrinking
        } else {
            Formed::Waiting(format!(
                "{} of {wanted} pods of revision {} are available",
                seen.updated_available, seen.revision
            ))
        }
    }

    /// As [`Turn::pods_of`]; and the slot's Service leads to them, without which a router answers for them with errors.
    fn pods_led_to(&self, wanted: u32) -> Formed {
        let (pods, seen) = (self.pods_of(wanted), self.slot(self.idle()));
        if matches!(pods, Formed::Waiting(_)) || seen.led_to >= wanted {
            return pods;
        }
        let (led, slot, revision) = (seen.led_to, self.idle(), seen.revision);
        Formed::Waiting(format!(
            "the Service of {slot} leads to {led} of {wanted} pods of revision {revision}"
        ))
    }

    fn form_by_pods(&mut self, rollout: &Rollout, shape: &Shape) -> Formed {
        let (live, idle) = (self.live(), self.idle());
        if !self.select(Selection::Both) {
            return Formed::Waiting("the service's selector is widened".into());
        }
        // With no replicas wanted the candidate has one all the same, and room for it.
        let bounds = rollout.plan.bounds(self.replicas().max(1));
        let next = replicas::toward(shape.pods, self.sure(idle), self.sure(live), bounds);
        self.scale(live, next.live);
        self.scale(idle, next.candidate);
        let seen = self.slot(live);
        match self.pods_of(shape.pods.candidate) {
            Formed::Reached if seen.desired == shape.pods.live && seen.replicas == shape.pods.live => {
                Formed::Reached
            }
            Formed::Reached if seen.desired < shape.pods.live || seen.replicas < shape.pods.live => {
                Formed::Waiting(format!("{} of {} live pods exist", seen.replicas, shape.pods.live))
            }
            // A live version that is broken cannot take back what a smaller weight gives it.
            Formed::Shrinking if self.sure(live).available < shape.pods.live => Formed::Waiting(format!(
                "{} of {} live pods are available",
                self.sure(live).available,
                shape.pods.live
            )),
            Formed::Reached if seen.desired == shape.pods.live => Formed::Going,
            Formed::Reached | Formed::Shrinking | Formed::Going => Formed::Shrinking,
            Formed::Waiting(what) => Formed::Waiting(what),
        }
    }

    fn form_by_route(&mut self, rollout: &Rollout, shape: &Shape) -> Formed {
        let (live, idle) = (self.live(), self.idle());
        let Some(present) = self.seen.route.clone() else {
            return Formed::Waiting("the route is gone".into());
        };
        let wanted = shape.routing(idle, rollout.revision, rollout.from);
        let (seen, serving) = (self.slot(idle), self.slot(live));
        let replicas = self.replicas();
        // The live slot follows the weight that is, and only then the one that is wanted.
        let there = present.routing.same(&wanted) && self.verified(rollout, shape, &wanted);
        let carried = replicas::carrying(replicas, 100 - present.routing.weight_of(idle).min(100));
        let live_pods = if there {
            shape.pods.live
        } else {
            shape.pods.live.max(carried).max(serving.desired.min(replicas))
        };
        let live_pods = match rollout.plan.dynamic_stable {
            // Callers inside the cluster still come by the service's own name; it moves at the switch.
            true if shape.weight >= 100 => serving.desired.clamp(1, replicas.max(1)),
            true => live_pods,
            false => shape.pods.live,
        };
        // Someone may have pointed the service's own name at the candidate.
        let free = shape.pods.candidate > 0 || self.unreached(idle);
        if !free && self.seen.selection.is_some() {
            self.select(Selection::only(live));
        }
        // A slot shrinks only after the route no longer counts on it.
        let candidate =
            if there && free { shape.pods.candidate } else { shape.pods.candidate.max(seen.desired) };
        self.size(live_pods, candidate);
        if wanted.reaches(idle) && seen.available == 0 {
            if present.routing.reaches(idle) {
                self.state.memo.route.value = None;
                self.route(Routing::all(live));
            }
            return self.pods_of(shape.pods.candidate);
        }
        if !present.routing.same(&wanted) {
            let pods = self.pods_led_to(shape.pods.candidate);
            let able = !wanted.reaches(idle) || !matches!(pods, Formed::Waiting(_));
            // A route that someone took from the live slot comes back to what its Service leads to.
            // Pods that made room for the candidate are on their way out, however late the platform's report is.
            let stays = if rollout.plan.dynamic_stable { self.sure(live) } else { self.side(live) }.available;
            let serves = match present.routing.weight_of(live) {
                0 => stays.min(serving.led_to),
                _ => stays,
            };
            let left = rollout.plan.proceed || serves >= replicas::remaining(replicas, shape.weight);
            return match (able, left) {
                (false, _) => pods,
                (true, false) => Formed::Waiting(format!(
                    "only {serves} live pods are available for the other {} %",
                    100 - shape.weight
                )),
                (true, true) => {
                    self.route(wanted);
                    Formed::Waiting("the route is written".into())
                }
            };
        }
        self.route(wanted);
        if !there {
            let why = present.refusal.clone().filter(|_| !present.accepted);
            return Formed::Waiting(
                why.map_or("the router takes the weight".into(), |w| format!("the router refuses: {w}")),
            );
        }
        match self.pods_of(shape.pods.candidate) {
            Formed::Reached if !self.state.autoscaled && serving.desired != live_pods => Formed::Shrinking,
            formed => formed,
        }
    }

    /// The service's own name follows the traffic; from there the way back is undo.
    pub(super) fn switch(&mut self, rollout: &Rollout) -> bool {
        let idle = self.idle();
        if let Some(cause) = self.judge(rollout, idle, None) {
            return self.refuse(rollout, cause);
        }
        let selected = match rollout.plan.motion {
            // The old slot has no pods left; the selector narrows when its last one is gone.
            Motion::Replicas => {
                self.seen.selection.is_some_and(|s| s.includes(idle)) || self.select(Selection::only(idle))
            }
            Motion::Router | Motion::Switch | Motion::First | Motion::InPlace => {
                let (full, all) = (self.replicas().max(1), Routing::all(idle));
                let routed = self.seen.route.as_ref().is_none_or(|r| r.routing.same(&all));
                let there = routed && self.seen.selection == Some(Selection::only(idle));
                if let (Formed::Waiting(_), false) = (self.pods_of(full), there) {
                    // Lost a pod between the last step and here.
                    self.size(self.replicas(), full);
                    return self.overdue(rollout, "the candidate is brought to full size");
                }
                // Someone may have pointed the route back since the last step.
                let routed = self.seen.route.is_none()
                    || (self.route(all.clone()) && self.settled(&all, rollout.plan.lag));
                routed && self.select(Selection::only(idle))
            }
        };
        if !selected {
            return self.overdue(rollout, "the service's selector, or its route, is switched");
        }
        let seen = self.slot(idle);
        if seen.lagging && seen.complete(seen.desired) {
            return self.overdue(rollout, "the platform's report follows its pods");
        }
        if !self.unbind(idle) {
            return self.overdue(rollout, "the autoscaler gets its bounds back");
        }
        self.swap(rollout)
    }

    fn swap(&mut self, rollout: &Rollout) -> bool {
        let (live, idle) = (self.live(), self.idle());
        let delay = match rollout.plan.motion {
            Motion::Replicas => SignedDuration::ZERO,
            Motion::Router | Motion::Switch | Motion::First | Motion::InPlace => {
                Turn::floor(rollout).max(SignedDuration::from_secs(rollout.plan.scale_down_delay as i64))
            }
        };
        if let Some(old) = self.state.live {
            self.state.previous =
                Some(Previous { slot: live, revision: old.revision, until: self.now + delay });
        }
        self.state.live = Some(Placed { slot: idle, revision: rollout.revision });
        self.state.candidate = None;
        self.state.resizing = !self.state.autoscaled && self.slot(idle).desired != self.state.replicas;
        self.healthy(rollout)
    }

    pub(super) fn healthy(&mut self, rollout: &Rollout) -> bool {
        self.rollout(|r| {
            r.cause = None;
            r.tidy = false;
        });
        self.events.push(Event::Healthy {
            service: self.service.into(),
            revision: rollout.revision,
            slot: self.live(),
        });
        self.end(Stage::Healthy, DeployResult::Healthy)
    }
}
