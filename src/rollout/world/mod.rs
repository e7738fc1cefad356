//! A simulated place to run a service, for tests: pods and their controller, a router, watches that lag, faults,
//! evictions, people who meddle, machines that sleep and die; time is virtual and everything follows from one seed.
//! The real core and the real driver run against it.

mod cell;
mod court;
mod dice;
mod fate;
mod laws;
mod machine;
mod place;
mod promises;
mod schema;
mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use jiff::{SignedDuration, Timestamp};

use super::{Effect, Event, Routing, Scaler, Selection, Slot};
use crate::platform::{Error, Lease, Result, Stored, Template};

pub use cell::Behaviour;
use cell::{Cell, Manners};
pub use court::{Court, Opinion};
pub use dice::Dice;
pub use fate::Fate;
pub use laws::Laws;
pub use machine::{Machine, Task, run, run_all, run_named};
pub use place::Place;

pub const OURS: &str = "msctl-rollout";

/// What a watch brings, each kind by its own stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Deployments,
    Pods,
    Service,
    Slices,
    Route,
    State,
}

impl Kind {
    pub const ALL: [Kind; 6] =
        [Kind::Deployments, Kind::Pods, Kind::Service, Kind::Slices, Kind::Route, Kind::State];
}

/// Objects that carry the fence's epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Object {
    Blue,
    Green,
    Service,
    Route,
    Templates,
}

impl Object {
    pub const ALL: [Object; 5] =
        [Object::Blue, Object::Green, Object::Service, Object::Route, Object::Templates];
    pub fn slot(slot: Slot) -> Object {
        match slot {
            Slot::Blue => Object::Blue,
            Slot::Green => Object::Green,
        }
    }
}

pub struct World {
    pub now: u64,
    pub dice: Dice,
    cells: [Cell; 2],
    pub selection: Option<Selection>,
    pub selected_by: Option<String>,
    pub route: Option<(Routing, u64, String)>,
    pub router: bool,
    pub lag: u64,
    /// Until when requests may still come to a slot by the old route, or by the old endpoints.
    trailing: [u64; 2],
    leaving: [u64; 2],
    pub behaviours: BTreeMap<u32, Behaviour>,
    pub surge: u32,
    pub unavailable: u32,
    pub startup: u64,
    pub grace: u64,
    /// Endpoints trail a pod's readiness by so much at most.
    pub endpoint_lag: u64,
    /// Longest delay of a watch or a controller, in milliseconds; the real one is thrown.
    pub watch_delay: u64,
    /// Of a thousand looks at a watch so many find it silent for up to twenty seconds.
    pub silence_per_mille: u64,
    /// How long a request takes at most.
    pub latency: u64,
    pub fault_per_mille: u64,
    /// A fault may take as long as a request may, and may be told as a conflict.
    pub harsh: bool,
    state: Option<Stored>,
    templates: BTreeMap<u32, Template>,
    pub lease: Option<Lease>,
    versions: u64,
    epochs: [u64; 5],
    /// Writes so far; the driver dies right before or after the one named.
    pub writes: u64,
    pub kill_at: Option<(u64, bool)>,
    pub killed: bool,
    pub dead: BTreeSet<String>,
    /// Machine by machine: when it does not run, and how far its wall clock is set wrong.
    pub asleep: BTreeMap<String, Vec<(u64, u64)>>,
    pub skewed: BTreeMap<String, i64>,
    /// When a machine's process dies, whatever it does.
    pub dies: BTreeMap<String, u64>,
    pub fates: Vec<(u64, Fate)>,
    /// Pods that had died by themselves when that was last looked at.
    mourned: [u32; 2],
    revs: [u64; 6],
    pulse: u64,
    timers: Vec<u64>,
    /// Every effect as it was executed, and what happened, for messages.
    pub log: Vec<String>,
    pub recording: bool,
    pub events: Vec<Event>,
    pub broken: Vec<String>,
    pub interrupt: bool,
    pub pruned: Vec<u32>,
    /// How often pods were asked for what they count; they never say.
    pub scraped: u32,
    /// So many pods must be able to serve at any time.
    pub floor: Option<u32>,
    /// Slots have autoscalers with these bounds, which ask for whatever they like within them.
    pub scaling: Option<Scaler>,
    /// They go on asking for other numbers.
    pub restless: bool,
    pub court: Court,
    pub schema: schema::Schema,
    pub laws: Laws,
}

pub type Shared = Arc<Mutex<World>>;

pub fn world(router: bool, seed: u64) -> Shared {
    Arc::new(Mutex::new(World {
        now: 0,
        dice: Dice(seed),
        cells: Default::default(),
        selection: None,
        selected_by: None,
        route: None,
        router,
        lag: 200,
        trailing: [0; 2],
        leaving: [0; 2],
        behaviours: BTreeMap::new(),
        surge: 1,
        unavailable: 0,
        startup: 500,
        grace: 800,
        endpoint_lag: 0,
        watch_delay: 0,
        silence_per_mille: 0,
        latency: 0,
        fault_per_mille: 0,
        harsh: false,
        state: None,
        templates: BTreeMap::new(),
        lease: None,
        versions: 0,
        epochs: [0; 5],
        writes: 0,
        kill_at: None,
        killed: false,
        dead: BTreeSet::new(),
        asleep: BTreeMap::new(),
        skewed: BTreeMap::new(),
        dies: BTreeMap::new(),
        fates: Vec::new(),
        mourned: [0; 2],
        revs: [1; 6],
        pulse: 0,
        timers: Vec::new(),
        log: Vec::new(),
        recording: true,
        events: Vec::new(),
        broken: Vec::new(),
        interrupt: false,
        pruned: Vec::new(),
        scraped: 0,
        floor: None,
        scaling: None,
        restless: true,
        court: Court::default(),
        schema: schema::Schema::default(),
        laws: Laws::default(),
    }))
}

pub fn lock(world: &Shared) -> MutexGuard<'_, World> {
    world.lock().unwrap()
}

/// The slots that a router sends requests to.
fn routed(routing: &Routing) -> [bool; 2] {
    Slot::ALL.map(|slot| routing.reaches(slot))
}

impl World {
    pub fn time(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH
            + SignedDuration::from_secs(1_700_000_000)
            + SignedDuration::from_millis(self.now as i64)
    }

    fn cell(&self, slot: Slot) -> &Cell {
        &self.cells[slot as usize]
    }
    pub fn available(&self, slot: Slot) -> u32 {
        self.cell(slot).available(self.now)
    }
    pub fn desired(&self, slot: Slot) -> u32 {
        self.cell(slot).desired
    }
    pub fn scaler(&self, slot: Slot) -> Option<Scaler> {
        self.cell(slot).scaler
    }
    /// As somebody's `kubectl patch` of an autoscaler.
    pub fn rescale(&mut self, slot: Slot, scaler: Scaler) {
        self.cells[slot as usize].scaler = Some(scaler);
        self.touch(slot);
    }
    /// As a prune that nobody wrote down.
    pub fn lose_template(&mut self, revision: u32) {
        self.templates.remove(&revision);
    }
    /// The stored document is another.
    pub fn rewrite(&mut self, body: String) {
        if let Some(stored) = &mut self.state {
            stored.body = body;
        }
        self.bump(Kind::State);
    }
    /// As somebody's `kubectl scale`.
    pub fn resize(&mut self, slot: Slot, desired: u32) {
        self.cells[slot as usize].desired = desired;
        self.touch(slot);
    }
    pub fn revision(&self, slot: Slot) -> u32 {
        self.cell(slot).revision
    }
    pub fn present(&self, slot: Slot) -> u32 {
        self.cell(slot).pods.len() as u32
    }
    pub fn has_template(&self, revision: u32) -> bool {
        self.templates.contains_key(&revision)
    }
    pub fn epoch(&self) -> u64 {
        self.epochs.into_iter().max().unwrap_or(0)
    }
    pub fn epochs(&self) -> [u64; 5] {
        self.epochs
    }
    pub fn set_epoch(&mut self, epoch: u64) {
        self.epochs = [epoch; 5];
    }

    /// Slots that the router, or where there is none the service's own name, sends requests to.
    fn reached(&self) -> [bool; 2] {
        match &self.route {
            Some((routing, ..)) => routed(routing),
            None => self.selected(),
        }
    }
    fn selected(&self) -> [bool; 2] {
        Slot::ALL.map(|slot| self.selection.is_some_and(|s| s.includes(slot)))
    }

    /// Available pods of each revision that requests can reach.
    pub fn serving(&self) -> BTreeMap<u32, u32> {
        let mut serving = BTreeMap::new();
        for slot in Slot::ALL.into_iter().filter(|s| self.reached()[*s as usize]) {
            for pod in self.cell(slot).pods.iter().filter(|p| p.available(self.now)) {
                *serving.entry(pod.revision).or_insert(0) += 1;
            }
        }
        serving
    }

    /// What the outside can tell of the end, for comparing runs.
    pub fn summary(&self) -> String {
        let slots = Slot::ALL.into_iter().filter(|s| self.cell(*s).exists);
        let slots = slots.map(|slot| {
            let cell = self.cell(slot);
            format!("{slot} r{} {}/{}", cell.revision, cell.pods.len(), cell.desired)
        });
        let weight = self.route.as_ref().map(|r| r.0.weight_of(Slot::Green));
        format!("{} | {:?} | {weight:?}", slots.collect::<Vec<_>>().join(", "), self.selection)
    }

    pub fn note(&mut self, text: impl FnOnce(&World) -> String) {
        if self.recording {
            let line = format!("{}: {}", self.now, text(self));
            self.log.push(line);
        }
    }

    fn version(&mut self) -> String {
        self.versions += 1;
        self.versions.to_string()
    }

    fn delay(&mut self) -> u64 {
        if self.watch_delay == 0 { 0 } else { self.dice.below(self.watch_delay + 1) }
    }

    fn bump(&mut self, kind: Kind) {
        self.revs[kind as usize] += 1;
    }

    fn touch(&mut self, slot: Slot) {
        let at = self.now + self.delay();
        let cell = &mut self.cells[slot as usize];
        cell.exists = true;
        cell.generation += 1;
        cell.acts_at = at;
        self.bump(Kind::Deployments);
    }

    /// The Deployment controller, for every slot that it has got round to, and what the watches then have to tell.
    fn reconcile(&mut self) {
        let now = self.now;
        self.befall();
        self.hear_experiment();
        let manners = Manners {
            surge: self.surge,
            unavailable: self.unavailable,
            startup: self.startup,
            grace: self.grace,
            trailing: self.endpoint_lag,
        };
        for index in 0..2 {
            let mut cell = std::mem::take(&mut self.cells[index]);
            let before = self.signature(&cell);
            let lost = cell.lost(now);
            let mended = now + 2 * self.startup + 4 * self.watch_delay + 20_000;
            if lost > self.mourned[index] {
                self.laws.excuse(mended);
            } else if lost > 0 {
                self.laws.mourn(mended);
            }
            self.mourned[index] = lost;
            cell.pods.retain(|p| p.gone_at.is_none_or(|at| at > now));
            let wanted = cell.desired;
            let scaled = cell.autoscale(now, self.restless, &mut self.dice);
            // Within the bounds of a step; who looked just before cannot know.
            let alone = [self.reached(), self.selected()].contains(&Slot::ALL.map(|s| s as usize == index));
            if cell.desired < wanted.min(self.laws.high) && !alone {
                self.laws.mourn(self.mended());
            }
            if cell.exists && now >= cell.acts_at {
                cell.acted = cell.generation;
                let how = self.behaviours.get(&cell.revision).copied().unwrap_or(Behaviour::Good);
                cell.shape(now, how, manners, &mut self.dice);
            }
            let truth = cell.truth(now);
            if cell.report != truth && now >= cell.reports_at {
                // Said at once, or, where things take time, a little later.
                match self.delay() {
                    0 => cell.report = truth,
                    _ if cell.reports_at > 0 => {
                        cell.report = truth;
                        cell.reports_at = 0;
                    }
                    delay => cell.reports_at = now + delay,
                }
            }
            let after = self.signature(&cell);
            self.cells[index] = cell;
            if scaled || before.0 != after.0 {
                self.bump(Kind::Deployments);
            }
            if before.1 != after.1 {
                self.bump(Kind::Pods);
                self.bump(Kind::Slices);
            }
        }
        self.check_schema();
        self.check();
    }

    fn signature(&self, cell: &Cell) -> ((u64, [u32; 3]), [u32; 7]) {
        let now = self.now;
        let dead = cell.pods.iter().filter(|p| p.dead(now)).count() as u32;
        let [alive, ours, available] = cell.truth(now);
        let pods = cell.pods.len() as u32;
        ((cell.acted, cell.report), [alive, ours, available, cell.led_to(now), dead, pods, cell.revision])
    }

    /// The next moment at which anything changes by itself.
    fn next_event(&self) -> Option<u64> {
        let now = self.now;
        let cells = self.cells.iter().filter_map(|c| c.next(now)).min();
        let others = self.timers.iter().chain(&self.trailing).chain(&self.leaving).copied();
        let fates = self.fates.iter().map(|(at, _)| *at);
        let dies = self.dies.values().copied();
        others
            .chain(fates)
            .chain(dies)
            .chain(self.court.next(now))
            .filter(|t| *t > now)
            .min()
            .into_iter()
            .chain(cells)
            .min()
    }

    pub fn advance_to(&mut self, time: u64) {
        while let Some(next) = self.next_event().filter(|t| *t <= time) {
            self.now = next;
            self.reconcile();
            self.pulse += 1;
        }
        self.now = self.now.max(time);
        self.reconcile();
        self.pulse += 1;
    }

    fn fence(&mut self, object: Object, epoch: u64) -> Result<()> {
        let seen = &mut self.epochs[object as usize];
        if *seen > epoch {
            return Err(Error::Overtaken { seen: *seen, ours: epoch });
        }
        *seen = epoch;
        Ok(())
    }

    /// Points the service's own name; its endpoints follow a little later.
    pub fn select(&mut self, selection: Selection, by: &str) {
        let (before, until) = (self.selected(), self.now + self.delay());
        self.selection = Some(selection);
        self.selected_by = Some(by.to_owned());
        let after = self.selected();
        for index in 0..2 {
            if before[index] && !after[index] {
                self.leaving[index] = until;
            }
        }
        self.bump(Kind::Service);
        self.bump(Kind::Slices);
    }

    /// Writes the route; requests follow within the lag.
    pub fn point(&mut self, routing: Routing, by: &str) {
        let before = self.route.as_ref().map(|(r, ..)| routed(r)).unwrap_or_default();
        let after = routed(&routing);
        let until = self.now + self.dice.below(self.lag + 1);
        for index in 0..2 {
            // Who was asked for no pods before somebody else pointed requests there owes them none.
            let serves = self.cells[index].desired > 0 && self.cells[index].available(self.now) > 0;
            if before[index] && !after[index] && serves {
                self.trailing[index] = until;
            }
        }
        self.route = Some((routing, self.now, by.to_owned()));
        self.bump(Kind::Route);
    }

    fn apply(&mut self, effect: &Effect) {
        self.note(|_| format!("{effect:?}"));
        self.judge_effect(effect);
        match effect {
            Effect::Apply { slot, revision } => {
                let scaling = self.scaling;
                let cell = &mut self.cells[*slot as usize];
                cell.revision = *revision;
                cell.scaler = cell.scaler.or(scaling);
                self.touch(*slot);
            }
            Effect::Scale { slot, replicas } => {
                self.cells[*slot as usize].desired = *replicas;
                self.touch(*slot);
            }
            Effect::Route(routing) => self.point(routing.clone(), OURS),
            Effect::Select(selection) => self.select(*selection, OURS),
            Effect::Experiment { revisions, .. } => self.experiment(*revisions),
            Effect::Rebound { slot, scaler } => {
                let cell = &mut self.cells[*slot as usize];
                cell.scaler = cell.scaler.map(|_| *scaler);
                self.bump(Kind::Deployments);
            }
            Effect::Prune { keep } => {
                self.templates.retain(|revision, _| keep.contains(revision));
                self.pruned = keep.clone();
            }
        }
        self.reconcile();
    }
}
