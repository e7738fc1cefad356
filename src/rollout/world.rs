//! A simulated place to run a service, for tests: pods, a router, watches that lag, faults, kills; time is virtual
//! and everything that happens follows from one seed. The real core and the real driver run against it.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};

use super::host::Host;
use super::{
    Abilities, Effect, Event, Frame, Observation, Problem, RouteObservation, Routing, Selection, Slot,
    SlotObservation,
};
use crate::context::Ctx;
use crate::platform::{
    Capabilities, Change, Error, Lease, LogLine, LogQuery, Platform, Release, Result, Stored, Template,
};

/// Splitmix: small, and the same everywhere.
#[derive(Debug, Clone)]
pub struct Dice(pub u64);

impl Dice {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }
    pub fn chance(&mut self, per_mille: u64) -> bool {
        self.below(1000) < per_mille
    }
}

/// How pods of a revision behave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    Good,
    /// A terminal problem after so many milliseconds, never ready.
    Crashes(u64),
    NeverReady,
    /// Ready, and so many milliseconds later crashing for good.
    DiesAfter(u64),
}

#[derive(Debug, Clone)]
struct Pod {
    revision: u32,
    ready_at: Option<u64>,
    dies_at: Option<u64>,
    gone_at: Option<u64>,
    born: u64,
}

impl Pod {
    fn dead(&self, now: u64) -> bool {
        self.dies_at.is_some_and(|at| now >= at)
    }
    fn available(&self, now: u64) -> bool {
        self.gone_at.is_none() && self.ready_at.is_some_and(|at| now >= at) && !self.dead(now)
    }
}

#[derive(Debug, Clone, Default)]
struct Box_ {
    revision: u32,
    desired: u32,
    pods: Vec<Pod>,
    generation: u64,
    /// When the controller acts on the newest generation.
    acts_at: u64,
    acted: u64,
    /// As the watch shows it, and until when that is old.
    shown: SlotObservation,
    fresh_at: u64,
}

pub struct World {
    pub now: u64,
    pub dice: Dice,
    slots: BTreeMap<Slot, Box_>,
    pub selection: Option<Selection>,
    pub selected_by: Option<String>,
    pub route: Option<(Routing, u64, String)>,
    pub router: bool,
    pub lag: u64,
    pub behaviours: BTreeMap<u32, Behaviour>,
    pub surge: u32,
    pub unavailable: u32,
    pub startup: u64,
    pub grace: u64,
    /// Longest delay of a watch, in milliseconds; the real one is thrown.
    pub watch_delay: u64,
    pub fault_per_mille: u64,
    state: Option<Stored>,
    templates: BTreeMap<u32, Template>,
    pub lease: Option<Lease>,
    versions: u64,
    pub epoch: u64,
    /// Writes so far; the driver dies right before or after the one named.
    pub writes: u64,
    pub kill_at: Option<(u64, bool)>,
    pub killed: bool,
    pub dead: BTreeSet<String>,
    pulse: u64,
    timers: Vec<u64>,
    /// Every effect as it was executed, and what happened, for messages.
    pub log: Vec<String>,
    pub events: Vec<Event>,
    pub broken: Vec<String>,
    pub interrupt: bool,
    pub pruned: Vec<u32>,
    /// So many pods must be able to serve at any time.
    pub floor: Option<u32>,
}

pub type Shared = Arc<Mutex<World>>;

pub fn world(router: bool, seed: u64) -> Shared {
    Arc::new(Mutex::new(World {
        now: 0,
        dice: Dice(seed),
        slots: BTreeMap::new(),
        selection: None,
        selected_by: None,
        route: None,
        router,
        lag: 200,
        behaviours: BTreeMap::new(),
        surge: 1,
        unavailable: 0,
        startup: 500,
        grace: 800,
        watch_delay: 0,
        fault_per_mille: 0,
        state: None,
        templates: BTreeMap::new(),
        lease: None,
        versions: 0,
        epoch: 0,
        writes: 0,
        kill_at: None,
        killed: false,
        dead: BTreeSet::new(),
        pulse: 0,
        timers: Vec::new(),
        log: Vec::new(),
        events: Vec::new(),
        broken: Vec::new(),
        interrupt: false,
        pruned: Vec::new(),
        floor: None,
    }))
}

pub fn lock(world: &Shared) -> MutexGuard<'_, World> {
    world.lock().unwrap()
}

impl World {
    pub fn time(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH
            + SignedDuration::from_secs(1_700_000_000)
            + SignedDuration::from_millis(self.now as i64)
    }

    pub fn available(&self, slot: Slot) -> u32 {
        self.slots.get(&slot).map_or(0, |s| s.pods.iter().filter(|p| p.available(self.now)).count() as u32)
    }
    pub fn desired(&self, slot: Slot) -> u32 {
        self.slots.get(&slot).map_or(0, |s| s.desired)
    }
    pub fn revision(&self, slot: Slot) -> u32 {
        self.slots.get(&slot).map_or(0, |s| s.revision)
    }
    pub fn present(&self, slot: Slot) -> u32 {
        self.slots.get(&slot).map_or(0, |s| s.pods.len() as u32)
    }

    /// Available pods of each revision that requests can reach.
    pub fn serving(&self) -> BTreeMap<u32, u32> {
        let mut serving = BTreeMap::new();
        for (slot, seen) in &self.slots {
            let reached = match &self.route {
                Some((routing, ..)) => routing.reaches(*slot),
                None => self.selection.is_some_and(|s| s.includes(*slot)),
            };
            for pod in seen.pods.iter().filter(|p| reached && p.available(self.now)) {
                *serving.entry(pod.revision).or_insert(0) += 1;
            }
        }
        serving
    }

    /// What the outside can tell of the end, for comparing runs.
    pub fn summary(&self) -> String {
        let slots: Vec<String> = self
            .slots
            .iter()
            .map(|(slot, s)| format!("{slot} r{} {}/{}", s.revision, s.pods.len(), s.desired))
            .collect();
        format!(
            "{} | {:?} | {:?}",
            slots.join(", "),
            self.selection,
            self.route.as_ref().map(|r| r.0.weight_of(Slot::Green))
        )
    }

    fn version(&mut self) -> String {
        self.versions += 1;
        self.versions.to_string()
    }

    fn touch(&mut self, slot: Slot) {
        let delay = if self.watch_delay == 0 { 0 } else { self.dice.below(self.watch_delay + 1) };
        let now = self.now;
        if let Some(s) = self.slots.get_mut(&slot) {
            s.generation += 1;
            s.acts_at = now + delay;
        }
    }

    fn pod(&mut self, revision: u32) -> Pod {
        let jitter = self.dice.below(self.startup.max(2) / 2);
        let ready = self.now + self.startup + jitter;
        let (ready_at, dies_at) = match self.behaviours.get(&revision).copied().unwrap_or(Behaviour::Good) {
            Behaviour::Good => (Some(ready), None),
            Behaviour::Crashes(after) => (None, Some(self.now + after)),
            Behaviour::NeverReady => (None, None),
            Behaviour::DiesAfter(after) => (Some(ready), Some(ready + after)),
        };
        Pod { revision, ready_at, dies_at, gone_at: None, born: self.now }
    }

    /// The Deployment controller, once, for every slot that it has got round to.
    fn reconcile(&mut self) {
        let now = self.now;
        for slot in Slot::ALL {
            let Some(mut s) = self.slots.remove(&slot) else { continue };
            s.pods.retain(|p| p.gone_at.is_none_or(|at| at > now));
            if now >= s.acts_at {
                s.acted = s.generation;
                self.shape(&mut s);
            }
            self.show(&mut s);
            self.slots.insert(slot, s);
        }
        self.check();
    }

    fn shape(&mut self, s: &mut Box_) {
        let now = self.now;
        let grace = now + self.grace;
        let alive = |s: &Box_| s.pods.iter().filter(|p| p.gone_at.is_none()).count() as u32;
        let old = |s: &Box_| {
            s.pods.iter().filter(|p| p.gone_at.is_none() && p.revision != s.revision).count() as u32
        };
        let stop = |s: &mut Box_, which: &dyn Fn(&Pod) -> bool| {
            // Those that do not serve go first, as the controller has it.
            let mut order: Vec<usize> =
                (0..s.pods.len()).filter(|i| s.pods[*i].gone_at.is_none() && which(&s.pods[*i])).collect();
            order.sort_by_key(|i| (s.pods[*i].available(now), std::cmp::Reverse(s.pods[*i].born)));
            if let Some(index) = order.first() {
                s.pods[*index].gone_at = Some(grace);
            }
        };
        if old(s) == 0 {
            while alive(s) > s.desired {
                stop(s, &|_| true);
            }
            while alive(s) < s.desired {
                let pod = self.pod(s.revision);
                s.pods.push(pod);
            }
            return;
        }
        let (desired, revision) = (s.desired, s.revision);
        while alive(s) < desired + self.surge && alive(s) - old(s) < desired {
            let pod = self.pod(revision);
            s.pods.push(pod);
        }
        let available = |s: &Box_| s.pods.iter().filter(|p| p.available(now)).count() as u32;
        while old(s) > 0 {
            let useless =
                s.pods.iter().any(|p| p.gone_at.is_none() && p.revision != revision && !p.available(now));
            if !useless && available(s) <= desired.saturating_sub(self.unavailable) {
                break;
            }
            stop(s, &|p| p.revision != revision);
        }
        while alive(s) > desired + self.surge {
            stop(s, &|p| p.revision == revision && !p.available(now));
            if s.pods.iter().all(|p| p.gone_at.is_some() || p.available(now)) {
                break;
            }
        }
    }

    fn show(&mut self, s: &mut Box_) {
        let now = self.now;
        let alive = || s.pods.iter().filter(|p| p.gone_at.is_none());
        let ours = || alive().filter(|p| p.revision == s.revision);
        let problems = ours().filter(|p| p.dead(now)).map(|p| Problem {
            reason: "crash".into(),
            pod: format!("pod-{}-{}", p.revision, p.born),
            message: "exit code 1".into(),
            terminal: true,
            log: vec!["boom".into()],
        });
        let shown = SlotObservation {
            revision: s.revision,
            desired: s.desired,
            lagging: false,
            current: s.acted == s.generation,
            replicas: alive().count() as u32,
            updated: ours().count() as u32,
            ready: alive().filter(|p| p.available(now)).count() as u32,
            available: alive().filter(|p| p.available(now)).count() as u32,
            updated_available: ours().filter(|p| p.available(now)).count() as u32,
            terminating: s.pods.iter().filter(|p| p.gone_at.is_some()).count() as u32,
            in_public: 0,
            progressed: None,
            problems: problems.take(1).collect(),
            restarts: 0,
        };
        if self.watch_delay == 0 {
            s.shown = shown;
        } else if now >= s.fresh_at {
            if s.shown != shown {
                s.shown = shown;
                self.pulse += 1;
            }
            s.fresh_at = now + self.dice.below(self.watch_delay + 1);
        }
    }

    /// What must hold at every moment; what does not is kept with the log that led to it.
    fn check(&mut self) {
        let now = self.now;
        if let Some(floor) = self.floor {
            let serving: u32 = self.serving().values().sum();
            if serving < floor {
                self.broken.push(format!("at {now}: {serving} pods can serve, {floor} must"));
                self.log.push(format!("{now}: BROKEN {:?}", self.serving()));
            }
        }
        if let Some((routing, ..)) = self.route.as_ref().filter(|_| self.floor != Some(0)) {
            for slot in Slot::ALL {
                let deadly = self.slots.get(&slot).is_some_and(|s| s.pods.iter().any(|p| p.dead(now)));
                if routing.reaches(slot)
                    && self.available(slot) == 0
                    && self.slots.contains_key(&slot)
                    && !deadly
                {
                    let started = self.serving().values().sum::<u32>() > 0
                        || self.log.iter().any(|l| l.contains("healthy"));
                    if started {
                        self.broken.push(format!(
                            "at {now}: requests are sent to {slot}, which has no available pod: {routing:?}"
                        ));
                    }
                }
            }
        }
    }

    pub fn observation(&self) -> Observation {
        let mut slots = BTreeMap::new();
        for (slot, s) in &self.slots {
            let mut shown = s.shown.clone();
            // What was asked for is seen asked for; pods come with the watch.
            shown.current = shown.current
                && s.acted == s.generation
                && shown.desired == s.desired
                && shown.revision == s.revision;
            if shown.revision != s.revision {
                shown.updated = 0;
                shown.updated_available = 0;
                shown.problems.clear();
            }
            shown.desired = s.desired;
            shown.revision = s.revision;
            shown.in_public =
                if self.selection.is_some_and(|sel| sel.includes(*slot)) { shown.replicas } else { 0 };
            slots.insert(*slot, shown);
        }
        Observation {
            time: self.time(),
            slots,
            selection: self.selection,
            selected_by: self.selected_by.clone(),
            route: self.route.as_ref().map(|(routing, since, by)| RouteObservation {
                routing: routing.clone(),
                accepted: true,
                refusal: None,
                since: Some(self.time() - SignedDuration::from_millis((self.now - since) as i64)),
                by: Some(by.clone()),
            }),
            state_version: Some(self.state.as_ref().map(|s| s.version.clone()).unwrap_or_default()),
            terminating: false,
        }
    }

    /// The next moment at which anything changes by itself.
    fn next_event(&self) -> Option<u64> {
        let mut times: Vec<u64> = self.timers.clone();
        for s in self.slots.values() {
            times.push(s.acts_at);
            times.push(s.fresh_at);
            for pod in &s.pods {
                times.extend([pod.ready_at, pod.dies_at, pod.gone_at].into_iter().flatten());
            }
        }
        times.into_iter().filter(|t| *t > self.now).min()
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

    fn fence(&self, epoch: u64) -> Result<()> {
        if self.epoch > epoch { Err(Error::Overtaken { seen: self.epoch, ours: epoch }) } else { Ok(()) }
    }

    fn apply(&mut self, effect: &Effect) {
        self.log.push(format!("{}: {effect:?}", self.now));
        match effect {
            Effect::Apply { slot, revision } => {
                let reached = self.route.as_ref().is_some_and(|(r, ..)| r.weight_of(*slot) > 0)
                    || (self.route.is_none() && self.selection.is_some_and(|s| s.includes(*slot)));
                let in_place = self.slots.get(slot).is_some_and(|s| s.desired > 0) && reached;
                let empty = self.slots.get(slot).is_none_or(|s| s.pods.is_empty());
                if !empty && !in_place && self.log.iter().any(|l| l.contains("healthy")) {
                    self.broken.push(format!("at {}: template of {slot} replaced over pods", self.now));
                }
                self.slots.entry(*slot).or_default().revision = *revision;
                self.touch(*slot);
            }
            Effect::Scale { slot, replicas } => {
                let others: u32 = Slot::ALL.iter().filter(|s| *s != slot).map(|s| self.available(*s)).sum();
                let weighted = self.route.as_ref().is_some_and(|(r, ..)| r.reaches(*slot));
                let selected = self.route.is_none() && self.selection == Some(Selection::only(*slot));
                if *replicas == 0 && self.available(*slot) > 0 && (weighted || (selected && others > 0)) {
                    self.broken.push(format!("at {}: {slot} scaled to 0 while requests reach it", self.now));
                }
                self.slots.entry(*slot).or_default().desired = *replicas;
                self.touch(*slot);
            }
            Effect::Route(routing) => {
                for slot in Slot::ALL {
                    let before = self.route.as_ref().map_or(0, |(r, ..)| r.weight_of(slot));
                    let shown = self.slots.get(&slot).map_or(0, |s| s.shown.available);
                    if routing.weight_of(slot) > before
                        && shown == 0
                        && self.slots.contains_key(&slot)
                        && self.log.iter().any(|l| l.contains("healthy"))
                        && self.available(slot.other()) > 0
                    {
                        self.broken.push(format!(
                            "at {}: weight given to {slot}, which has no available pod",
                            self.now
                        ));
                    }
                }
                self.route = Some((routing.clone(), self.now, "msctl-rollout".into()));
            }
            Effect::Select(selection) => {
                self.selection = Some(*selection);
                self.selected_by = Some("msctl-rollout".into());
            }
            Effect::Prune { keep } => self.pruned = keep.clone(),
        }
        self.reconcile();
    }
}

/// The [`Platform`] over a world, as one process sees it.
pub struct Place {
    pub world: Shared,
    seen: Mutex<u64>,
}

impl Place {
    pub fn new(world: &Shared) -> Place {
        Place { world: world.clone(), seen: Mutex::new(0) }
    }

    /// Lets others run, then perhaps fails, or dies, before the request arrives.
    async fn before(&self, write: bool) -> Result<()> {
        lock(&self.world).pulse += 1;
        Yield(false).await;
        let die = {
            let mut world = lock(&self.world);
            let fault = world.fault_per_mille;
            if world.dice.chance(fault) {
                return Err(Error::Unreachable("connection reset".into()));
            }
            if write {
                world.writes += 1;
            }
            write && world.kill_at == Some((world.writes, false))
        };
        self.die(die).await;
        Ok(())
    }

    /// Perhaps dies, or loses the answer, after the request was done.
    async fn after(&self, write: bool) -> Result<()> {
        let die = {
            let mut world = lock(&self.world);
            let fault = world.fault_per_mille;
            if write && world.dice.chance(fault) {
                return Err(Error::Unreachable("the answer was lost".into()));
            }
            write && world.kill_at == Some((world.writes, true))
        };
        self.die(die).await;
        Ok(())
    }

    async fn die(&self, die: bool) {
        if die {
            lock(&self.world).killed = true;
            std::future::pending::<()>().await;
        }
    }
}

struct Yield(bool);

impl Future for Yield {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.0, true) { Poll::Ready(()) } else { Poll::Pending }
    }
}

struct Until<F: FnMut() -> bool + Unpin>(F);

impl<F: FnMut() -> bool + Unpin> Future for Until<F> {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if (self.0)() { Poll::Ready(()) } else { Poll::Pending }
    }
}

#[async_trait]
impl Platform for Place {
    fn place(&self) -> String {
        "the simulation".into()
    }
    async fn capabilities(&self) -> Result<Capabilities> {
        self.before(false).await?;
        let world = lock(&self.world);
        Ok(Capabilities {
            router: world.router.then(|| "simulated".to_owned()),
            route_lag: Duration::from_millis(if world.router { world.lag } else { 0 }),
            abilities: if world.router { Abilities::ALL } else { Abilities::default() },
        })
    }
    async fn template(&self, _: &Ctx, _: &Release) -> anyhow::Result<Template> {
        anyhow::bail!("the simulation builds nothing")
    }
    async fn diff(&self, _: &Release, _: &Template) -> anyhow::Result<Vec<Change>> {
        Ok(Vec::new())
    }
    async fn install(&self, _: &Release, _: &Template, epoch: u64) -> anyhow::Result<Vec<Change>> {
        self.before(true).await?;
        {
            let mut world = lock(&self.world);
            world.fence(epoch)?;
            world.epoch = world.epoch.max(epoch);
            if world.selection.is_none() {
                world.selection = Some(Selection::Blue);
            }
            if world.router && world.route.is_none() {
                world.route = Some((Routing::all(Slot::Blue), world.now, "msctl-rollout".into()));
            }
        }
        self.after(true).await?;
        Ok(Vec::new())
    }
    async fn delete(&self) -> anyhow::Result<Vec<Change>> {
        anyhow::bail!("the simulation deletes nothing")
    }

    async fn load(&self) -> Result<Option<Stored>> {
        self.before(false).await?;
        Ok(lock(&self.world).state.clone())
    }
    async fn save(&self, body: &str, version: Option<&str>) -> Result<String> {
        self.before(true).await?;
        let new = {
            let mut world = lock(&self.world);
            if world.state.as_ref().map(|s| s.version.as_str()) != version {
                return Err(Error::Conflict("the state".into()));
            }
            let new = world.version();
            world.state = Some(Stored { body: body.to_owned(), version: new.clone() });
            new
        };
        self.after(true).await?;
        Ok(new)
    }
    async fn put_template(&self, revision: u32, template: &Template) -> Result<()> {
        self.before(true).await?;
        lock(&self.world).templates.insert(revision, template.clone());
        self.after(true).await
    }
    async fn get_template(&self, revision: u32) -> Result<Template> {
        let world = lock(&self.world);
        world.templates.get(&revision).cloned().ok_or_else(|| Error::NotFound(format!("revision {revision}")))
    }

    async fn lease(&self) -> Result<Option<Lease>> {
        self.before(false).await?;
        Ok(lock(&self.world).lease.clone())
    }
    async fn take_lease(&self, holder: &str, seen: Option<&Lease>) -> Result<Lease> {
        self.before(true).await?;
        let lease = {
            let mut world = lock(&self.world);
            if world.lease.as_ref() != seen {
                return Err(Error::Conflict("the lease".into()));
            }
            let version = world.version();
            let now = Some(world.time());
            let lease = Lease { holder: holder.into(), acquired: now, renewed: now, version };
            world.lease = Some(lease.clone());
            lease
        };
        self.after(true).await?;
        Ok(lease)
    }
    async fn renew_lease(&self, held: &Lease, release: bool) -> Result<Lease> {
        self.before(true).await?;
        let lease = {
            let mut world = lock(&self.world);
            if world.lease.as_ref().map(|l| &l.version) != Some(&held.version) {
                return Err(Error::Conflict("the lease".into()));
            }
            let version = world.version();
            let holder = if release { String::new() } else { held.holder.clone() };
            let lease = Lease { holder, acquired: held.acquired, renewed: Some(world.time()), version };
            world.lease = Some(lease.clone());
            lease
        };
        self.after(true).await?;
        Ok(lease)
    }
    async fn epoch(&self) -> Result<u64> {
        self.before(false).await?;
        Ok(lock(&self.world).epoch)
    }
    async fn raise_epoch(&self, epoch: u64) -> Result<()> {
        self.before(true).await?;
        {
            let mut world = lock(&self.world);
            world.epoch = world.epoch.max(epoch);
        }
        self.after(true).await
    }

    async fn observe(&self) -> Result<Observation> {
        self.before(false).await?;
        let mut world = lock(&self.world);
        world.reconcile();
        *self.seen.lock().unwrap() = world.now;
        Ok(world.observation())
    }
    async fn changed(&self) {
        let seen = *self.seen.lock().unwrap();
        Until(|| lock(&self.world).now > seen).await;
    }
    async fn execute(&self, effect: &Effect, epoch: u64) -> Result<()> {
        self.before(true).await?;
        {
            let mut world = lock(&self.world);
            world.fence(epoch)?;
            world.apply(effect);
        }
        self.after(true).await
    }

    async fn logs(&self, _: &LogQuery, _: tokio::sync::mpsc::Sender<LogLine>) -> anyhow::Result<()> {
        Ok(())
    }
    async fn restart(&self, _: Slot, _: &(dyn Fn(String) + Send + Sync)) -> anyhow::Result<u32> {
        Ok(0)
    }
}

/// A process in the simulation.
pub struct Machine {
    pub world: Shared,
    pub name: String,
    pub attended: bool,
}

impl Machine {
    pub fn new(world: &Shared, name: &str) -> Machine {
        Machine { world: world.clone(), name: name.to_owned(), attended: false }
    }
}

#[async_trait]
impl Host for Machine {
    fn elapsed(&self) -> Duration {
        Duration::from_millis(lock(&self.world).now)
    }
    fn wall(&self) -> f64 {
        lock(&self.world).time().as_millisecond() as f64 / 1000.0
    }
    async fn sleep(&self, duration: Duration) {
        let due = lock(&self.world).now + (duration.as_millis() as u64).max(1);
        Until(|| {
            let mut world = lock(&self.world);
            if world.now < due {
                world.timers.push(due);
            }
            world.now >= due
        })
        .await;
    }
    async fn interrupted(&self) {
        Until(|| lock(&self.world).interrupt).await;
    }
    fn holder(&self) -> String {
        format!("{}@sim:1:1-1", self.name)
    }
    fn gone(&self, holder: &str) -> bool {
        lock(&self.world).dead.contains(holder)
    }
    fn attended(&self) -> bool {
        self.attended
    }
    fn emit(&self, event: &Event) {
        let mut world = lock(&self.world);
        let now = world.now;
        let kind = crate::ui::Event::kind(event);
        world.log.push(format!("{now}: [{}] {kind} {event:?}", self.name));
        world.events.push(event.clone());
    }
    fn frame(&self, _: &Frame) {}
}

/// Something that runs in the simulation until its end.
pub type Task<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// Runs all tasks to their ends; a killed one ends without a result. Virtual time moves when nobody can.
pub fn run<'a, T>(world: &Shared, tasks: Vec<Task<'a, T>>) -> Vec<Option<T>> {
    let mut tasks: Vec<Option<Task<'a, T>>> = tasks.into_iter().map(Some).collect();
    let mut results: Vec<Option<T>> = tasks.iter().map(|_| None).collect();
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..2_000_000u32 {
        let before = {
            let mut world = lock(world);
            world.timers.clear();
            world.pulse
        };
        let first = lock(world).dice.below(tasks.len() as u64) as usize;
        let mut ended = false;
        for offset in 0..tasks.len() {
            let index = (first + offset) % tasks.len();
            let Some(task) = &mut tasks[index] else { continue };
            if let Poll::Ready(result) = task.as_mut().poll(&mut context) {
                results[index] = Some(result);
                tasks[index] = None;
                ended = true;
            }
            let mut world = lock(world);
            if std::mem::take(&mut world.killed) {
                world.kill_at = None;
                drop(world);
                tasks[index] = None;
                ended = true;
            }
        }
        if tasks.iter().all(Option::is_none) {
            return results;
        }
        let mut world = lock(world);
        if world.pulse == before && !ended {
            let Some(next) = world.next_event() else {
                panic!("nothing can happen any more:\n{}", world.log.join("\n"));
            };
            world.advance_to(next);
        }
    }
    let world = lock(world);
    panic!("never ends:\n{}", world.log[world.log.len().saturating_sub(60)..].join("\n"));
}
