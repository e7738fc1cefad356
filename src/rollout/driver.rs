//! Carries the core's decisions out: observe, decide, save, execute, wait. Holds the Lease, obeys intents,
//! gives way to a higher epoch, and keeps trying when contact is lost.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use jiff::SignedDuration;

use super::analysis::{Ask, Gatherer, Measured, Target};
use super::host::Host;
use super::lock::{self, Patience};
use super::state::State;
use super::status::{Driving, Phase};
use super::story::Keeper;
use super::{Effect, Event, Frame, Observation, Until, obey, status, step, tell};
use crate::error::{Failure, Kind};
use crate::platform::{Error, Lease, Platform};
use crate::ui::{self, Paint};

/// What a run is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// To the end, or to what is waited for.
    Drive(Until),
    /// Until the traffic is back, or nothing was to be taken back.
    TakeBack,
    /// Until the asked-for number of pods is there.
    Settle,
    /// What is due now.
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
    /// Nothing more is due.
    Idle,
    /// Another drives on.
    Detached,
}

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
    /// Something was written since the Lease was taken.
    pub wrote: bool,
    lost: Option<Duration>,
    failures: u32,
    asked: Vec<Effect>,
    told: BTreeSet<(String, String)>,
    recent: VecDeque<(jiff::Timestamp, String)>,
    wake_at: Option<jiff::Timestamp>,
    gatherer: Gatherer<'a>,
    measured: Vec<Measured>,
    /// Writes the deploy's story, beside the loop.
    pub keeper: Keeper<'a>,
}

/// How long the Lease is kept for the sake of what is told.
const SETTLE: Duration = Duration::from_secs(2);

enum Turned {
    /// Something was done; decide again at once.
    Again,
    Wait,
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
            wrote: false,
            lost: None,
            failures: 0,
            asked: Vec::new(),
            told: BTreeSet::new(),
            recent: VecDeque::new(),
            wake_at: None,
            gatherer: Gatherer::new(host, platform),
            measured: Vec::new(),
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

    async fn take_over(&mut self, from: Option<String>, fresh: bool) -> anyhow::Result<()> {
        self.load().await?;
        // A Lease that is gone was deleted by hand: whoever held it may still live, in its tail as much as before.
        let interrupted = from.is_some() || fresh;
        if !interrupted || self.version.is_none() {
            return Ok(());
        }
        let seen = self.platform.epoch().await?;
        let mut next = self.state.clone();
        next.epoch = self.state.epoch.max(seen) + 1;
        self.version = Some(self.platform.save(&next.body(), self.version.as_deref()).await?);
        self.platform.raise_epoch(next.epoch).await?;
        self.state = next;
        self.tell(Event::TookOver {
            holder: from.unwrap_or_else(|| "nobody".into()),
            epoch: self.state.epoch,
        });
        Ok(())
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
        let version = self.platform.save(&next.body(), self.version.as_deref()).await?;
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
        let mut events = Vec::new();
        let now = self.seen.time;
        for intent in std::mem::take(&mut state.intents) {
            let (verb, by) = (intent.verb.name().to_owned(), intent.by.clone());
            match obey(&state, &intent, now) {
                Ok((next, message)) => {
                    state = next;
                    events.push(Event::Obeyed { verb, by, message });
                }
                Err(refusal) => events.push(Event::Ignored { verb, by, message: refusal.message }),
            }
        }
        let decision = step(self.service, &state, &self.seen, now);
        events.extend(decision.events);
        if decision.state != self.state {
            self.save(decision.state).await?;
        } else {
            self.state = decision.state;
        }
        self.measured.clear();
        self.keeper.recorder.measured(decision.measurements);
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
            self.platform.execute(effect, self.state.epoch).await?;
            if let Effect::Prune { keep } = effect {
                self.state.memo.pruned = Some(keep.clone());
            }
        }
        Ok(if decision.effects.is_empty() || repeated { Turned::Wait } else { Turned::Again })
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
        };
        self.gatherer.want(asks, &rollout.plan.judging, target, self.state.epoch, self.seen.time);
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

    /// Renews the Lease when a third of it has passed on either clock.
    async fn keep_lease(&mut self) -> Result<(), Error> {
        let (monotonic, wall) = (self.host.elapsed(), self.host.wall());
        let due = monotonic.saturating_sub(self.renewed.0) >= lock::RENEW
            || wall - self.renewed.1 >= lock::RENEW.as_secs_f64();
        let Some(lease) = self.lease.clone().filter(|_| due) else { return Ok(()) };
        let renewed = match self.platform.renew_lease(&lease, false).await {
            Ok(lease) => lease,
            Err(Error::Conflict(_) | Error::NotFound(_)) => self.regain().await?,
            Err(error) => return Err(error),
        };
        self.lease = Some(renewed);
        self.renewed = (monotonic, wall);
        Ok(())
    }

    /// Keeps the Lease while something else runs; returns only when it is lost.
    pub async fn keep(&mut self) -> anyhow::Error {
        loop {
            self.host.sleep(lock::RENEW).await;
            match self.keep_lease().await {
                Ok(()) | Err(Error::Unreachable(_)) => {}
                Err(error) => return tell::failure(self, error),
            }
        }
    }

    /// A renewal that failed may have been ours, answered too late; or the Lease was deleted by hand.
    async fn regain(&mut self) -> Result<Lease, Error> {
        let seen = self.platform.lease().await?;
        match &seen {
            Some(lease) if lease.holder == self.host.holder() => Ok(lease.clone()),
            Some(lease) if !lease.holder.is_empty() => {
                let holder = lease.holder.clone();
                self.lease = None;
                Err(Error::Other(lock::held_by(self.service, &holder)))
            }
            // Nobody has it: nobody else may have written since, and the epoch would tell.
            _ => self.platform.take_lease(&self.host.holder(), seen.as_ref()).await,
        }
    }

    /// Gives the Lease up; a failure to do so costs the next driver its expiry, nothing else.
    pub async fn release(&mut self) {
        self.gatherer.leave().await;
        if self.lease.is_some() && self.lost.is_none() {
            self.keeper.settle(self.host, SETTLE).await;
        }
        if let Some(lease) = self.lease.take() {
            let _ = self.platform.renew_lease(&lease, true).await;
        }
    }

    /// Takes the Lease again after a release, if the state is still ours; false when someone else acted.
    pub async fn resume(&mut self) -> bool {
        let Ok(held) =
            lock::acquire(self.host, self.platform, self.service, Patience::For(Duration::ZERO)).await
        else {
            return false;
        };
        self.lease = Some(held.lease);
        self.renewed = (self.host.elapsed(), self.host.wall());
        let (version, clean) = (self.version.clone(), held.taken_from.is_none());
        if clean && self.reload().await.is_ok() && self.version == version {
            return true;
        }
        self.release().await;
        false
    }

    /// What an error means: try on after so long, or stop.
    async fn endure(&mut self, error: Error, goal: &Goal) -> anyhow::Result<Duration> {
        self.failures += 1;
        let wait = Duration::from_millis(100 << self.failures.min(5));
        match error {
            Error::Conflict(_) if self.failures < 50 => {
                self.failures = 0;
                self.reload().await.or_else(|e| match e {
                    Error::Overtaken { .. } => Err(tell::failure(self, e)),
                    _ => Ok(()),
                })?;
                Ok(Duration::from_millis(20))
            }
            Error::Unreachable(message) => {
                let now = self.host.elapsed();
                let since = *self.lost.get_or_insert(now);
                if since == now {
                    self.tell(Event::Unreachable { message: message.clone() });
                }
                if !self.wrote || now.saturating_sub(since) >= goal.patience {
                    return Err(tell::failure(self, Error::Unreachable(message)));
                }
                Ok(wait.min(Duration::from_secs(2)))
            }
            Error::Other(error) if crate::error::failure(&error).is_some() => Err(error),
            Error::NotFound(_) | Error::Other(_) | Error::Conflict(_) if self.failures < 6 => Ok(wait),
            error => {
                if matches!(error, Error::Overtaken { .. } | Error::Terminating(_)) {
                    self.keeper.close();
                }
                Err(tell::failure(self, error))
            }
        }
    }

    /// The end that the state means for this run.
    fn met(&self, goal: &Goal) -> Option<End> {
        let phase = self.status().phase;
        let quiet = self.asked.is_empty();
        let rollout = self.state.rollout.as_ref();
        let ended = rollout.is_none_or(|r| r.stage.ended());
        let end = match phase {
            _ if ended && rollout.is_some_and(|r| r.stage == super::Stage::Failed) => Some(End::Failed),
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
            Mode::Drive(until) => end.or_else(|| super::until::reached(until, self).filter(|_| quiet)),
            Mode::TakeBack => end.filter(|e| *e != End::Paused),
            Mode::Settle => {
                let whole = self.seen.slots.values().all(|s| s.desired == 0 || s.settled(s.desired));
                (quiet && whole && !self.state.resizing).then_some(End::Idle)
            }
            Mode::Once => match rollout.map(|r| r.stage) {
                Some(super::Stage::Retreat | super::Stage::Revert | super::Stage::Switch) => end,
                _ => end.or_else(|| quiet.then_some(End::Idle)),
            },
        }
    }

    /// A pause that only a person ends, where none is there; or one that was waited for.
    fn waits(&self, goal: &Goal) -> Option<End> {
        let person = self.status().reason == "awaits-promotion";
        let wanted = goal.mode == Mode::Drive(Until::Paused);
        (wanted || (person && !self.host.attended())).then_some(End::Paused)
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

/// The rollout is over; what is late and harmless is done if it is due within a minute, else left.
pub async fn finish(driver: &mut Driver<'_>, limit: Duration) {
    let started = driver.host.elapsed();
    let settled = |driver: &Driver| {
        let tidy = driver.state.rollout.as_ref().is_none_or(|r| r.tidy || r.held.is_some());
        (tidy && !driver.state.resizing) || driver.state.rollout.as_ref().is_some_and(|r| r.held.is_some())
    };
    while !settled(driver) {
        let left = limit.saturating_sub(driver.host.elapsed().saturating_sub(started));
        let due = driver.next_due().map(|at| at.duration_since(driver.seen.time));
        let due = due.and_then(|d| Duration::try_from(d).ok()).unwrap_or_default();
        if left.is_zero() || due > left {
            break;
        }
        if due > Duration::from_secs(1) {
            driver.release().await;
            let interrupted = tokio::select! {
                biased;
                () = driver.host.interrupted() => true,
                () = driver.host.sleep(due) => false,
            };
            if interrupted || !driver.resume().await {
                return;
            }
        }
        match driver.turn().await {
            Ok(Turned::Again) => {}
            Ok(Turned::Wait) => {
                let wait = driver.pause_length(&Goal::new(Mode::Settle), started).min(Duration::from_secs(1));
                tokio::select! {
                    biased;
                    () = driver.host.interrupted() => break,
                    never = driver.keeper.work() => match never {},
                    () = driver.platform.changed() => {}
                    () = driver.host.sleep(wait) => {}
                }
            }
            // Late and harmless: the next command does it.
            Err(_) => break,
        }
    }
    driver.release().await;
}

/// The kind of error that a run's end means, for ends that are errors.
pub fn refusal(driver: &Driver<'_>, end: End) -> Option<anyhow::Error> {
    let rollout = driver.state.rollout.as_ref()?;
    let cause = rollout.cause.as_ref()?;
    let live = driver.state.live.map(|l| l.revision);
    let kind = match end {
        End::Aborted => Kind::Refused,
        End::Failed => Kind::Failed,
        End::Healthy | End::Reached | End::Paused | End::Idle | End::Detached => return None,
    };
    let serves = match (kind, live) {
        (Kind::Refused, Some(live)) => format!("; revision {live} serves"),
        _ => String::new(),
    };
    let reason = tell::stable(&cause.reason);
    let verdict = if kind == Kind::Refused { "was refused" } else { "failed" };
    let message =
        format!("{}: revision {} {verdict}: {}{serves}", driver.service, rollout.revision, cause.message);
    let mut failure = Failure::new(kind, reason, message);
    if let Some(pod) = &cause.pod {
        failure = failure.object(format!("Pod/{pod}"));
    }
    if !cause.log.is_empty() {
        failure = failure.source(anyhow::anyhow!("the log's last lines:\n{}", cause.log.join("\n")));
    }
    if kind == Kind::Failed && rollout.from.is_none() {
        failure = failure
            .hint("its pods are left for a look: `msctl logs`; mend it and deploy again, or `msctl delete`");
    } else if kind == Kind::Refused {
        failure = failure.hint("mend it and deploy again, or `msctl rollout retry`");
    } else {
        failure = failure.hint("`msctl rollout abort` takes it back, `msctl rollout retry` starts it again");
    }
    Some(failure.into())
}
