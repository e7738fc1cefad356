//! Carries the core's decisions out: observe, decide, save, execute, wait. Holds the Lease, obeys intents,
//! gives way to a higher epoch, and keeps trying when contact is lost.

mod endure;
mod finish;
mod goal;
mod migrator;
mod once;
mod refusal;
mod tenure;

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use jiff::SignedDuration;

use super::analysis::{Ask, Gatherer, Measured, Target};
use super::host::Host;
use super::lock::{self, Patience};
use super::state::State;
use super::status::Driving;
use super::story::Keeper;
use super::{Effect, Event, Frame, Observation, obey, status, step, tell};
use crate::platform::{Error, Lease, Platform};
use crate::ui::{self, Paint};

/// A driver that holds the Lease.
pub struct Driver<'a> {
    pub host: &'a dyn Host,
    pub platform: &'a dyn Platform,
    pub service: &'a str,
    pub state: State,
    pub seen: Observation,
    /// Of the stored document.
    version: Option<String>,
    lease: Option<Lease>,
    renewed: (Duration, f64),
    /// Taken from a driver that did not leave cleanly, and the epoch is not raised yet: whoever comes next must.
    unfenced: bool,
    /// The Lease was gone, deleted by hand: it does not tell who had it last.
    orphaned: bool,
    /// Something was written since the Lease was taken.
    pub wrote: bool,
    lost: Option<Duration>,
    failures: u32,
    asked: Vec<Effect>,
    /// It saw the rollout's end, and is about to leave.
    ended: bool,
    told: BTreeSet<(String, String)>,
    recent: VecDeque<(jiff::Timestamp, String)>,
    wake_at: Option<jiff::Timestamp>,
    /// When something was last asked of the platform, or the driver began.
    moved: Duration,
    /// Since when measurements are asked for.
    asking: Option<Duration>,
    gatherer: Gatherer<'a>,
    measured: Vec<Measured>,
    migrator: Migrator<'a>,
    /// Writes the deploy's story, beside the loop.
    pub keeper: Keeper<'a>,
}

/// How long the Lease is kept for the sake of what is told.
const SETTLE: Duration = Duration::from_secs(2);

use migrator::Migrator;

pub use finish::finish;
pub use goal::{End, Goal, Mode};
pub use refusal::refusal;

enum Turned {
    /// Something was done; decide again at once.
    Again,
    Wait,
    /// Someone wants begun again what has ended: that is for who stays to drive it.
    Leave,
}

impl<'a> Driver<'a> {
    /// Takes the Lease, loads the state and, after a driver that did not leave cleanly, raises the epoch.
    pub async fn begin(
        host: &'a dyn Host,
        platform: &'a dyn Platform,
        service: &'a str,
        patience: Patience,
    ) -> anyhow::Result<Self> {
        let held = lock::acquire(host, platform, service, patience).await?;
        let mut driver = Driver {
            host,
            platform,
            service,
            state: State::default(),
            seen: Observation::default(),
            version: None,
            lease: Some(held.lease),
            renewed: (host.elapsed(), host.wall()),
            unfenced: false,
            orphaned: false,
            wrote: false,
            lost: None,
            failures: 0,
            asked: Vec::new(),
            ended: false,
            told: BTreeSet::new(),
            recent: VecDeque::new(),
            wake_at: None,
            moved: host.elapsed(),
            asking: None,
            gatherer: Gatherer::new(host, platform),
            measured: Vec::new(),
            migrator: Migrator::default(),
            keeper: Keeper::new(platform),
        };
        match driver.take_over(held.taken_from, held.fresh).await {
            Ok(()) => Ok(driver),
            Err(error) => {
                driver.release().await;
                Err(error)
            }
        }
    }

    async fn load(&mut self) -> anyhow::Result<()> {
        let Some(stored) = self.platform.load().await? else {
            self.version = None;
            return Ok(());
        };
        let memo = std::mem::take(&mut self.state.memo);
        self.state = tell::parse(self.service, &stored.body)?;
        self.state.memo = memo;
        self.version = Some(stored.version);
        self.keeper.recorder.found(&self.state);
        Ok(())
    }

    /// How long pods may take to come, by the last plan.
    pub fn deadline(&self) -> Duration {
        Duration::from_secs(self.state.rollout.as_ref().map_or(600, |r| r.plan.deadline))
    }

    /// Whether a document is stored.
    pub fn stored(&self) -> bool {
        self.version.is_some()
    }

    /// Saves `next`, made from the present state; fails when someone changed the document since.
    pub async fn save(&mut self, next: State) -> Result<(), Error> {
        let body = next.body();
        let version = match self.platform.save(&body, self.version.as_deref()).await {
            Err(Error::Unreachable(why)) => self.saved_after_all(&body, why).await?,
            other => other?,
        };
        self.version = Some(version);
        self.state = next;
        self.wrote = true;
        self.keeper.recorder.follow(self.service, &self.platform.place(), &self.state);
        Ok(())
    }

    /// Saves `next` as the first decision has it, so that a beginning costs one write; returns what is to be told.
    pub async fn begin_with(&mut self, next: State) -> Result<Vec<Event>, Error> {
        let decision = step(self.service, &next, &self.seen, self.seen.time);
        self.save(decision.state).await?;
        Ok(decision.events)
    }

    /// A write whose answer was lost may have been done.
    async fn saved_after_all(&self, body: &str, why: String) -> Result<String, Error> {
        match self.platform.load().await? {
            Some(stored) if stored.body == body => Ok(stored.version),
            _ => Err(Error::Unreachable(why)),
        }
    }

    pub async fn observe(&mut self) -> Result<(), Error> {
        self.seen = self.platform.observe().await?;
        Ok(())
    }

    /// Drives until `goal` is met.
    pub async fn run(&mut self, goal: &Goal) -> anyhow::Result<End> {
        let started = self.host.elapsed();
        loop {
            if goal.timeout.is_some_and(|t| self.host.elapsed().saturating_sub(started) >= t) {
                let error = tell::timed_out(self, goal);
                self.release().await;
                return Err(error);
            }
            let wait = match self.turn().await {
                Ok(turned) => {
                    self.lost = None;
                    self.failures = 0;
                    if matches!(turned, Turned::Again) {
                        continue;
                    }
                    if let Some(end) = self.met(goal) {
                        return Ok(end);
                    }
                    if matches!(turned, Turned::Leave) {
                        return Ok(End::Idle);
                    }
                    self.pause_length(goal, started)
                }
                Err(error) => match self.endure(error, goal).await {
                    Ok(wait) => wait,
                    Err(error) => {
                        self.release().await;
                        return Err(error);
                    }
                },
            };
            let calm = self.lost.is_none() && self.failures == 0;
            tokio::select! {
                biased;
                () = self.host.interrupted() => {
                    let error = tell::interrupted(self);
                    self.release().await;
                    return Err(error);
                }
                () = self.gatherer.finished() => {}
                () = self.migrator.finished() => {}
                never = self.keeper.work() => match never {},
                () = self.platform.changed(), if calm => {}
                () = self.host.sleep(wait) => {}
            }
        }
    }

    fn pause_length(&self, goal: &Goal, started: Duration) -> Duration {
        let mut wait = lock::RENEW.saturating_sub(self.host.elapsed().saturating_sub(self.renewed.0));
        if let Some(at) = self.wake_at {
            let until = at.duration_since(self.seen.time).max(SignedDuration::from_millis(10));
            wait = wait.min(Duration::try_from(until).unwrap_or(wait));
        }
        if let Some(timeout) = goal.timeout {
            wait = wait.min(timeout.saturating_sub(self.host.elapsed().saturating_sub(started)));
        }
        if !self.asked.is_empty() {
            wait = wait.min(Duration::from_secs(1));
        }
        wait.max(Duration::from_millis(5))
    }

    /// One round: lease, observation, state, decision, save, effects.
    async fn turn(&mut self) -> Result<Turned, Error> {
        self.keep_lease().await?;
        let before = self.seen.clone();
        self.observe().await?;
        if self.seen.terminating {
            return Err(Error::Terminating(self.service.to_owned()));
        }
        if self.seen.state_version.is_none() || self.seen.state_version != self.version {
            self.reload().await?;
        }
        let mut state = self.state.clone();
        self.measured.extend(self.gatherer.take());
        state.memo.measured = self.measured.clone();
        state.memo.migrated = self.migrator.ended();
        let mut events = Vec::new();
        let now = self.seen.time;
        for intent in std::mem::take(&mut state.intents) {
            let (verb, by) = (intent.verb.name().to_owned(), intent.by.clone());
            match obey(&state, &intent, now) {
                // It took pods at the end, of which its caches may tell as if they were there.
                Ok((next, _)) if self.ended && next.under_way().is_some() => return Ok(Turned::Leave),
                Ok((next, message)) => {
                    state = next;
                    events.push(Event::Obeyed { verb, by, message });
                }
                Err(refusal) => events.push(Event::Ignored { verb, by, message: refusal.message }),
            }
        }
        let decision = step(self.service, &state, &self.seen, now);
        if self.drains(&decision.effects) && !self.unpointed().await? {
            return Ok(Turned::Again);
        }
        events.extend(decision.events);
        if decision.state != self.state {
            self.save(decision.state).await?;
        } else {
            self.state = decision.state;
        }
        self.ended = self.state.rollout.as_ref().is_some_and(|r| r.stage.ended());
        self.measured.clear();
        self.migrator.taken();
        self.migrator.want(self.host, self.platform, decision.migration, self.state.epoch);
        self.keeper.recorder.measured(decision.measurements);
        if !decision.asks.is_empty() {
            self.asking.get_or_insert(self.host.elapsed());
        }
        self.gather(decision.asks);
        self.wake_at = decision.wake_at;
        // What the world did led to what was decided, and is told before it.
        self.tell_changes(&before);
        events.into_iter().for_each(|event| self.tell(event));
        self.keep_story();
        self.frame();
        // The same asked again of an unchanged world would spin: the world is waited for.
        let repeated = self.asked == decision.effects && before == self.seen;
        self.asked = decision.effects.clone();
        for effect in &decision.effects {
            self.wrote = true;
            self.moved = self.host.elapsed();
            self.platform.execute(effect, self.state.epoch).await?;
            if let Effect::Prune { keep } = effect {
                self.state.memo.pruned = Some(keep.clone());
            }
        }
        Ok(if decision.effects.is_empty() || repeated { Turned::Wait } else { Turned::Again })
    }

    /// All the pods of a slot are to be taken.
    fn drains(&self, effects: &[Effect]) -> bool {
        effects.iter().any(|effect| matches!(effect, Effect::Scale { replicas: 0, .. }))
    }

    /// What points at the slots, read past the caches, is what was decided upon: a watch may be silent, and an
    /// outage would be the price.
    async fn unpointed(&mut self) -> Result<bool, Error> {
        let points = |seen: &Observation| {
            let public: Vec<bool> = seen.slots.values().map(|s| s.in_public > 0).collect();
            (seen.selection, seen.route.as_ref().map(|r| r.routing.clone()), public)
        };
        let known = points(&self.seen);
        self.platform.reread().await?;
        self.observe().await?;
        Ok(points(&self.seen) == known)
    }

    /// Has the wanted measurements made, beside the loop.
    fn gather(&mut self, asks: Vec<Ask>) {
        let Some(rollout) = &self.state.rollout else { return };
        let candidate = self.state.idle();
        let target = Target {
            service: self.service.to_owned(),
            namespace: self.platform.namespace(),
            candidate,
            live: candidate.other(),
            revision: rollout.revision,
            live_revision: self.state.live.map_or(0, |l| l.revision),
            experiment: rollout.experiments(),
        };
        let (judging, epoch) = (&rollout.plan.judging, self.state.epoch);
        if rollout.jobs_before || judging.runs_jobs() {
            self.gatherer.sweep(&asks, &target, epoch);
        }
        self.gatherer.want(asks, &judging.source, target, epoch, self.seen.time);
    }

    /// What is to be kept of this turn, and a complaint where it could not be.
    fn keep_story(&mut self) {
        let status = self.status();
        self.keeper.recorder.point(&status, &self.seen);
        if let Some(rollout) = &self.state.rollout {
            let slot = self.keeper.recorder.story().map_or(self.state.idle(), |s| s.slot);
            self.keeper.tick(rollout, slot, self.seen.time);
        }
        if let Some(why) = self.keeper.complaint() {
            self.tell(Event::Warned {
                message: format!("what is told of this deploy cannot be kept: {why}"),
            });
        }
    }

    async fn reload(&mut self) -> Result<(), Error> {
        let Some(stored) = self.platform.load().await? else {
            // Deleted under us: ours is the only copy, and saving it creates it again.
            self.version = None;
            return Ok(());
        };
        if self.version.as_deref() == Some(&stored.version) {
            return Ok(());
        }
        let theirs = State::parse(&stored.body).map_err(|why| {
            Error::Other(anyhow::anyhow!("the rollout state of {} cannot be read: {why}", self.service))
        })?;
        if theirs.epoch > self.state.epoch {
            return Err(Error::Overtaken { seen: theirs.epoch, ours: self.state.epoch });
        }
        let memo = std::mem::take(&mut self.state.memo);
        self.state = State { memo, ..theirs };
        self.version = Some(stored.version);
        Ok(())
    }

    pub fn status(&self) -> super::Status {
        let driving = Driving { holder: self.lease.as_ref().map(|l| l.holder.clone()), last_seen: None };
        status(self.service, Some(&self.state), &self.seen, &driving)
    }

    /// When the tail has something to do next, in the platform's time.
    pub fn next_due(&self) -> Option<jiff::Timestamp> {
        self.wake_at
    }

    pub fn tell(&mut self, event: Event) {
        self.host.emit(&event);
        if let Some(line) = ui::Event::line(&event, &Paint::PLAIN) {
            let (kind, level) = (ui::Event::kind(&event), ui::Event::level(&event));
            self.keeper.recorder.told(self.seen.time, kind, level > ui::Level::Info, &line);
            self.recent.push_back((self.seen.time, line));
        }
        if self.recent.len() > 20 {
            self.recent.pop_front();
        }
    }

    fn frame(&mut self) {
        let recent: Vec<_> = self.recent.iter().cloned().collect();
        let mut frame = Frame::of(&self.platform.place(), self.status(), &self.state, &self.seen, recent);
        let recorder = &self.keeper.recorder;
        frame.values =
            frame.status.analysis.iter().map(|m| (m.metric.clone(), recorder.values(&m.metric))).collect();
        self.host.frame(&frame);
    }

    /// Says what the world did: pods that came, weights that changed, problems that showed.
    fn tell_changes(&mut self, before: &Observation) {
        let events = tell::changes(&self.state, before, &self.seen);
        for event in events {
            if let Event::Problem { reason, pod, .. } = &event
                && !self.told.insert((reason.clone(), pod.clone()))
            {
                continue;
            }
            self.tell(event);
        }
    }
}
