//! What must hold at every moment, whatever happens; what does not is kept beside the log that led to it.

use std::collections::BTreeMap;

use super::World;
use super::cell::Cell;
use super::view::View;
use crate::rollout::replicas::Bounds;
use crate::rollout::{DeployResult, Effect, Slot, State};

/// Longer than any watch is late, in milliseconds.
const SEEN: u64 = 5000;

/// The memory that the laws need. `Default`: only what every scenario must keep.
#[derive(Debug, Default)]
pub struct Laws {
    /// Every law is watched, for services of this surge and unavailable.
    pub strict: Option<(crate::service::Amount, crate::service::Amount)>,
    /// Both slots may be full at once.
    pub double: bool,
    /// Someone else sets the number of pods.
    pub autoscaled: bool,
    /// The live slot may shrink under the router's weight.
    pub dynamic: bool,
    /// Something was live once.
    served: bool,
    /// R as it was asked for; what each door must keep while it changes, and what may still be asked for.
    pub high: u32,
    low: [u32; 2],
    /// Since when each door has that many.
    risen: [Option<u64>; 2],
    peak: u32,
    pressed: bool,
    /// Pods that were taken unasked, until when that excuses their lack.
    excused: Vec<u64>,
    /// Until then nobody can know of the last loss; and after it, until enough pods are there again.
    wounded: Option<u64>,
    /// Someone else pointed the service's name, or the route, and nobody pointed it back.
    pub meddled: (bool, bool),
    /// Since when requests reach a slot, other than by a name that selects both.
    since: [Option<u64>; 2],
    tenure: BTreeMap<String, u64>,
    tenures: u64,
    written: u64,
    numbers: BTreeMap<String, u32>,
    deploys: u32,
    healthy: Option<u32>,
    live: Option<u32>,
    pub promises: super::promises::Promises,
}

impl Laws {
    pub fn excuse(&mut self, until: u64) {
        self.excused.push(until);
        self.wounded = self.wounded.max(Some(until));
    }
    /// Pods died by themselves, and are still there.
    pub fn mourn(&mut self, until: u64) {
        self.wounded = self.wounded.max(Some(until));
    }
    pub fn took(&mut self, holder: &str) {
        self.tenures += 1;
        self.tenure.insert(holder.to_owned(), self.tenures);
    }
    fn missing(&self, now: u64) -> u32 {
        self.excused.iter().filter(|until| **until > now).count() as u32
    }
    fn bounds(&self, replicas: u32) -> Option<Bounds> {
        let (surge, unavailable) = self.strict.as_ref()?;
        Some(Bounds::new(replicas, surge.ceil(replicas), unavailable.floor(replicas)))
    }
}

fn only(slot: Slot) -> [bool; 2] {
    Slot::ALL.map(|s| s == slot)
}

impl World {
    pub(super) fn breaks(&mut self, why: String) {
        if self.broken.len() < 20 {
            self.broken.push(format!("at {}: {why}", self.now));
        }
        self.note(|_| format!("BROKEN {why}"));
    }

    /// Of the slots in `reached`: pods that can serve, or could if nobody had taken them.
    fn capacity(&self, reached: [bool; 2]) -> u32 {
        self.count(reached, |cell| cell.available(self.now))
    }

    /// Without those that were asked to go, and are there only until their controller gets round to it.
    fn staying(&self, reached: [bool; 2]) -> u32 {
        self.count(reached, |cell| cell.available(self.now).min(cell.desired))
    }

    fn count(&self, reached: [bool; 2], present: impl Fn(&Cell) -> u32) -> u32 {
        let of = |i: usize| present(&self.cells[i]) + self.cells[i].lost(self.now);
        (0..2).filter(|i| reached[*i]).map(of).sum::<u32>() + self.laws.missing(self.now)
    }

    /// At every change.
    pub(super) fn check(&mut self) {
        let (routed, selected) = (self.reached(), self.selected());
        let now = self.now;
        if let Some(floor) = self.floor {
            let serving = self.capacity(routed);
            if serving < floor {
                self.breaks(format!("{serving} pods can serve, {floor} must"));
            }
        }
        let together = self.selection == Some(crate::rollout::Selection::Both);
        for index in 0..2 {
            let reached = !together && (routed[index] || selected[index]);
            self.laws.since[index] = reached.then(|| self.laws.since[index].unwrap_or(now));
        }
        if self.laws.strict.is_some() && self.laws.served {
            self.check_capacity(routed, selected);
            self.check_ceiling();
            self.check_trailing();
        }
    }

    fn check_capacity(&mut self, routed: [bool; 2], selected: [bool; 2]) {
        let floor = |replicas: u32, laws: &Laws| laws.bounds(replicas).map_or(0, |b| b.floor());
        // Copies are answered to nobody.
        let answers = |slot: Slot| match &self.route {
            Some((routing, ..)) => {
                let matched = slot == routing.candidate && !routing.matches.is_empty();
                routing.weight_of(slot) > 0 || matched
            }
            None => routed[slot as usize],
        };
        let doors = [Slot::ALL.map(answers), selected];
        let (capacity, staying) =
            (doors.map(|door| self.capacity(door)), doors.map(|door| self.staying(door)));
        let whole =
            doors.map(|door| (0..2).any(|i| door[i] && self.staying(only(Slot::ALL[i])) >= self.laws.high));
        for (door, staying) in staying.into_iter().enumerate() {
            // More than there ever were are promised once one slot has them, or two together for so long that everybody
            // could see that.
            let risen = (staying >= self.laws.high).then(|| self.laws.risen[door].unwrap_or(self.now));
            self.laws.risen[door] = risen;
            if risen.is_some_and(|since| whole[door] || self.now - since >= SEEN) {
                self.laws.low[door] = self.laws.low[door].max(self.laws.high);
            }
        }
        let mut need = self.laws.low.map(|low| floor(low, &self.laws));
        if self.laws.wounded.is_some_and(|until| {
            self.now > until && capacity.iter().zip(need).all(|(capacity, need)| *capacity >= need)
        }) {
            self.laws.wounded = None;
        }
        if self.laws.wounded.is_some() {
            return;
        }
        if self.laws.dynamic {
            need[1] = need[1].min(1);
        }
        let (service, route) = self.laws.meddled;
        if !service && !route && capacity[0] < need[0] {
            self.breaks(format!("{} pods can serve, {} must", capacity[0], need[0]));
        }
        if self.route.is_some() && !service && capacity[1] < need[1] {
            let text = "pods can serve under the service's name";
            self.breaks(format!("{} {text}, {} must", capacity[1], need[1]));
        }
        let Some((routing, ..)) = self.route.clone().filter(|_| !route && need[0] > 0) else { return };
        if routing.weight > 100 {
            self.breaks(format!("weight {}", routing.weight));
        }
        for slot in Slot::ALL.into_iter().filter(|s| routing.reaches(*s)) {
            if self.capacity(only(slot)) == 0 {
                self.breaks(format!("requests are sent to {slot}, which has no available pod"));
            }
        }
    }

    fn check_ceiling(&mut self) {
        let most = |replicas: u32| {
            let bounds = self.laws.bounds(replicas)?;
            let full = replicas.max(1);
            Some(if self.laws.double { 2 * full + bounds.surge } else { full + bounds.surge.max(1) })
        };
        let alive: u32 = self.cells.iter().map(|c| c.desired).sum();
        let (Some(now), Some(most)) = (most(self.laws.high), most(self.laws.peak)) else { return };
        // Who was pointed away from all that serves needs more for a while.
        self.laws.pressed |= self.laws.meddled != (false, false);
        // A slot that is kept from a time when the service had more pods has them still.
        let kept = self.cells.iter().any(|c| c.desired > self.laws.high.max(1));
        if alive <= now && !(kept && self.laws.double) {
            self.laws.peak = self.laws.high;
            self.laws.pressed = false;
        } else if alive > most && !self.laws.autoscaled && !self.laws.pressed {
            self.breaks(format!("{alive} pods, {most} at most"));
        }
    }

    /// Requests on their way must find a pod.
    fn check_trailing(&mut self) {
        if self.laws.meddled != (false, false) {
            return;
        }
        for index in 0..2 {
            let coming = self.now < self.trailing[index] && self.laws.low[0] > 0;
            let capacity = self.capacity(only(Slot::ALL[index]));
            if coming && self.cells[index].desired == 0 && capacity == 0 {
                self.breaks(format!("{} has no pod while its requests are on their way", Slot::ALL[index]));
            }
        }
    }

    /// Before an effect is done.
    pub(super) fn judge_effect(&mut self, effect: &Effect) {
        match effect {
            Effect::Scale { slot, replicas: 0 } => {
                let (routed, selected) = (self.reached(), self.selected());
                let index = *slot as usize;
                let both = routed[index] && routed[1 - index] && self.route.is_none();
                let reached = routed[index] || (selected[index] && !both);
                let meddled = self.laws.strict.is_some() && self.laws.meddled != (false, false);
                if reached && !both && self.available(*slot) > 0 && !meddled {
                    self.breaks(format!("{slot} scaled to 0 while requests reach it"));
                }
            }
            Effect::Route(routing) => {
                self.laws.meddled.1 = false;
                for slot in Slot::ALL {
                    let before = self.route.as_ref().is_some_and(|(r, ..)| r.reaches(slot));
                    let empty = self.capacity(only(slot)) == 0 && self.available(slot.other()) > 0;
                    if routing.reaches(slot) && !before && self.laws.served && empty {
                        self.breaks(format!("weight given to {slot}, which has no available pod"));
                    }
                    let known = self.cell(slot).led_to(self.now) + self.laws.missing(self.now);
                    // Taken from a slot that serves; one that does not is no better.
                    let able = self.available(slot).min(self.cell(slot.other()).led_to(self.now));
                    if routing.weight_of(slot) > 0 && !before && self.laws.served && known == 0 && able > 0 {
                        self.breaks(format!("weight given to {slot}, whose Service leads to no pod"));
                    }
                }
            }
            Effect::Select(_) => self.laws.meddled.0 = false,
            Effect::Apply { .. }
            | Effect::Scale { .. }
            | Effect::Rebound { .. }
            | Effect::Prune { .. }
            | Effect::Experiment { .. } => {}
        }
    }

    /// Who writes must be the last who took the Lease; who takes pods, or their template, must have looked.
    pub(super) fn judge_writer(&mut self, holder: &str, effect: &Effect, view: &View) {
        let tenure = self.laws.tenure.get(holder).copied().unwrap_or(0);
        if tenure < self.laws.written {
            self.breaks(format!("{holder} writes after another driver did: {effect:?}"));
        }
        self.laws.written = self.laws.written.max(tenure);
        if let Effect::Scale { slot, replicas: 0 } = effect
            && self.laws.strict.is_some()
            && self.laws.since[*slot as usize].is_some_and(|since| since < view.reread)
            && self.available(*slot) > 0
        {
            self.breaks(format!("{slot} scaled to 0 although requests have reached it for long"));
        }
        if let (Effect::Select(selection), Some(bounds), false) =
            (effect, self.laws.bounds(self.laws.high), self.laws.meddled.0)
        {
            let (before, after) = (view.serve(None), view.serve(Some(*selection)));
            if after < before.min(bounds.floor()) {
                self.breaks(format!(
                    "{selection:?} selected with {after} pods that serve, of {before} before"
                ));
            }
        }
        if let Effect::Apply { slot, .. } = effect {
            // One that came and went within the delay of a watch nobody can know of; and it serves nobody.
            let there = self.cell(*slot).alive() > 0 || (self.present(*slot) > 0 && view.knows(*slot));
            let meddled = self.laws.meddled != (false, false);
            if there && !self.reached()[*slot as usize] && self.laws.served && !meddled {
                self.breaks(format!("template of {slot} replaced over pods"));
            }
        }
    }

    /// Every saved document, and what who saved it knew.
    pub(super) fn judge_state(&mut self, body: &str, view: &View) {
        if self.laws.strict.is_none() && self.recording && self.laws.served {
            return;
        }
        let state = match State::parse(body) {
            Ok(state) => state,
            Err(why) => return self.breaks(format!("the saved state cannot be read: {why}")),
        };
        if body.len() > crate::rollout::state::LIMIT {
            self.breaks("the saved state is too large".into());
        }
        for revision in &state.revisions {
            let known = *self.laws.numbers.entry(revision.hash.clone()).or_insert(revision.number);
            if known != revision.number {
                self.breaks(format!("{} was revision {known}, and is {}", revision.hash, revision.number));
            }
        }
        self.judge_succession(&state);
        let healthy = state.deploys.iter().rfind(|d| d.result == DeployResult::Healthy).map(|d| d.number);
        if healthy > self.laws.healthy {
            self.laws.healthy = healthy;
            if let Some(live) = state.live.filter(|l| !view.leads_to(l.slot)) {
                self.breaks(format!(
                    "deploy {healthy:?} is healthy, and requests are not led to {}",
                    live.slot
                ));
            }
        }
        let last = state.deploys.last().map_or(0, |d| d.number);
        if last < self.laws.deploys {
            self.breaks(format!("deploy {last} after {}", self.laws.deploys));
        }
        self.laws.deploys = last;
        let live = state.live.map(|l| l.revision);
        if let Some(revision) = live.filter(|_| live != self.laws.live) {
            self.laws.live = live;
            let healthy =
                |d: &crate::rollout::Deploy| d.revision == revision && d.result == DeployResult::Healthy;
            if !state.deploys.iter().any(healthy) {
                self.breaks(format!("revision {revision} is live, and no deploy of it was healthy"));
            }
            let bad = self
                .behaviours
                .get(&revision)
                .is_some_and(|b| matches!(b, super::Behaviour::Crashes(_) | super::Behaviour::NeverReady));
            if bad && state.replicas > 0 && self.laws.served {
                self.breaks(format!("revision {revision}, which never serves, is live"));
            }
        }
        if live.is_some() && !self.laws.served {
            self.laws.served = true;
            self.laws.low = [state.replicas; 2];
        }
        self.laws.high = state.replicas;
        self.laws.peak = self.laws.peak.max(state.replicas);
        self.laws.low = self.laws.low.map(|low| low.min(state.replicas));
    }
}
