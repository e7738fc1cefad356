//! The operation behind `deploy`: nothing when nothing changed, else a rollout driven to where it was asked to go.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::analysis::Target;
use super::driver::{self, Driver, End, Goal, Mode};
use super::forecast::{demand, facts, foreseen, refuse_outdated, refuse_split};
use super::host::{Host, Process, person};
use super::lock::Patience;
use super::state::{Intent, State, Verb};
use super::{Event, Motion, Options, Plan, Spec, Stage, Status, obey, plan, start, tell};
use crate::context::Ctx;
use crate::error::Failure;
use crate::platform::{Change, Platform, Release, Template};

/// How long a finished rollout waits for what is late; longer delays are left to the next command.
pub const TAIL: Duration = Duration::from_secs(60);

/// How a deploy ended without failing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ended {
    /// Nothing differed; nothing was written, no Lease taken.
    Unchanged,
    Healthy,
    /// Waits for a person; exit code 6.
    Paused,
    /// What `--until` named came first, or no more is due now.
    Reached,
    /// Taken back because a person said so.
    Aborted,
    /// A driver in the cluster goes on.
    Detached,
}

/// What a deploy did.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    pub service: String,
    /// As a person calls it: the cluster's context and namespace, or this machine.
    pub place: String,
    pub ended: Ended,
    pub revision: u32,
    pub image: String,
    /// Changes outside the slots.
    pub changes: Vec<Change>,
    /// None when nothing changed, for then nothing was looked at.
    pub status: Option<Status>,
    /// From the first write to the end.
    pub seconds: f64,
}

impl Outcome {
    pub fn code(&self) -> u8 {
        match self.ended {
            Ended::Unchanged | Ended::Healthy | Ended::Reached | Ended::Aborted | Ended::Detached => 0,
            Ended::Paused => 6,
        }
    }

    pub(super) fn of(driver: &Driver<'_>, end: End, changes: Vec<Change>, seconds: f64) -> Outcome {
        let rollout = driver.state.rollout.as_ref().map(|r| r.revision);
        let live = driver.state.live.map(|l| l.revision);
        let revision = if matches!(end, End::Settled | End::Idle) { live } else { rollout }.unwrap_or(0);
        Outcome {
            service: driver.service.to_owned(),
            place: driver.platform.place(),
            ended: match end {
                End::Healthy | End::Settled | End::Failed => Ended::Healthy,
                End::Idle => Ended::Unchanged,
                End::Reached => Ended::Reached,
                End::Paused => Ended::Paused,
                End::Aborted => Ended::Aborted,
                End::Detached => Ended::Detached,
            },
            revision,
            image: driver.state.revision(revision).map(|r| r.image.clone()).unwrap_or_default(),
            changes,
            status: Some(driver.status()),
            seconds,
        }
    }
}

pub(super) async fn load(platform: &dyn Platform, service: &str) -> anyhow::Result<Option<State>> {
    let stored = tell::classify(platform.load().await, &platform.place())?;
    stored.map(|s| tell::parse(service, &s.body)).transpose()
}

/// The live revision already is what is wanted, and nothing is under way.
fn unchanged(state: &State, template: &Template, spec: &Spec) -> bool {
    let live = state.live.and_then(|l| state.revision(l.revision));
    let still = state
        .rollout
        .as_ref()
        .is_none_or(|r| r.held.is_none() && matches!(r.stage, Stage::Healthy | Stage::Aborted));
    live.is_some_and(|l| l.hash == template.hash)
        && still
        && !state.resizing
        && state.replicas == spec.replicas
        && state.scaling == spec.scaling
}

/// Rolls `template` out. A refused version, a held lock, a lost contact are errors with their exit codes.
pub async fn deploy(
    ctx: &Ctx,
    platform: Arc<dyn Platform>,
    release: &Release,
    template: &Template,
    options: &Options,
) -> anyhow::Result<Outcome> {
    let host = Process::new(ctx);
    let by = person(ctx);
    let outcome = rolled(&host, platform.as_ref(), &by, release, template, options).await;
    host.finish();
    outcome
}

pub(super) async fn rolled(
    host: &dyn Host,
    platform: &dyn Platform,
    by: &str,
    release: &Release,
    template: &Template,
    options: &Options,
) -> anyhow::Result<Outcome> {
    let spec = Spec::resolve(&release.service, options)?;
    let name = release.service.service.as_str();
    let state = load(platform, name).await?;
    if let Some(state) = &state
        && unchanged(state, template, &spec)
        && platform.diff(release, template).await?.is_empty()
    {
        return Ok(Outcome {
            service: name.to_owned(),
            place: platform.place(),
            ended: Ended::Unchanged,
            revision: state.live.map_or(0, |l| l.revision),
            image: template.image.clone(),
            changes: Vec::new(),
            status: None,
            seconds: 0.0,
        });
    }
    // Looked at before the Lease is taken: from the first write on there is nothing left to list. An error shows again.
    let (warnings, seen) = futures::join!(platform.preflight(release), platform.observe());
    let mut warnings = warnings?;
    if let (Ok(seen), Ok(can)) = (seen, platform.capabilities().await) {
        let ahead = foreseen(&state.unwrap_or_default(), &seen, &can, &spec, template)?;
        warnings.extend(platform.fits(&demand(&ahead, &seen, release)).await?);
        warnings.extend(super::forecast::idle(&spec, ahead.motion));
        warnings.extend(ahead.kept);
    }
    for message in warnings {
        host.emit(&Event::Warned { message });
    }
    for message in measurable(host, platform, &spec, release, template).await? {
        host.emit(&Event::Warned { message });
    }
    let started = host.elapsed();
    let begun = Driver::begin(host, platform, name, Patience::For(options.lock_wait)).await;
    let mut driver = tell::classified(begun, &platform.place())?;
    let job = Job {
        release,
        template,
        spec,
        by,
        guarded: options.guarded,
        train: options.train.as_deref(),
        commit: options.commit.as_deref(),
    };
    let begun = match job.call(&mut driver, options).await {
        Ok(called) => {
            job.begin(&mut driver).await.map(|changes| (called.clone(), changes)).map_err(|e| (e, called))
        }
        Err(error) => Err((error, None)),
    };
    let (called, changes) = match begun {
        Ok(begun) => begun,
        Err((error, called)) => {
            if let Some(called) = called {
                // It waits for a rollout that does not come; left alone it would end by itself.
                let _ = platform.dismiss(&called, driver.state.epoch).await;
            }
            driver.release().await;
            return Err(error);
        }
    };
    if let Some(called) = called {
        return super::handover::over(driver, &called, changes, started).await;
    }
    // Nothing new to roll out: how the last rollout ended is not how this deploy ends.
    let under_way = driver.state.under_way();
    let settles = under_way.is_none();
    let hash = |number: u32| driver.state.revision(number).map(|r| r.hash.as_str());
    let deadline = Duration::from_secs(job.spec.deadline);
    let goal = Goal {
        mode: match under_way {
            None => Mode::Settle,
            // What serves was asked for, and what was under way is taken back for it.
            Some(r) if r.stage.goes_back() && hash(r.revision) != Some(&template.hash) => Mode::TakeBack,
            Some(_) => Mode::Drive(options.until),
        },
        timeout: options.timeout.or(settles.then_some(deadline)),
        patience: options.timeout.unwrap_or(deadline),
    };
    drive(driver, &goal, changes, started).await
}

/// Whether the candidate can be judged from here, where it will be; what stands against it is told before the first write.
async fn measurable(
    host: &dyn Host,
    platform: &dyn Platform,
    spec: &Spec,
    release: &Release,
    template: &Template,
) -> anyhow::Result<Vec<String>> {
    let name = &release.service.service;
    let Some(state) = load(platform, name).await? else { return Ok(Vec::new()) };
    let Some(live) = state.live else { return Ok(Vec::new()) };
    let known = state.revisions.iter().find(|r| r.hash == template.hash).map(|r| r.number);
    // A revision that was live not long ago need not prove itself.
    let experiments = spec.steps.iter().any(|s| matches!(s, super::Step::Experiment { .. }));
    if experiments && !platform.has_jobs() {
        return Err(Failure::usage("experiment", "rollout.steps: an experiment needs a cluster, and this is the local platform")
            .hint("`environments.local.rollout` may have other steps: an analyze step judges the candidate against the live slot")
            .into());
    }
    if spec.judging.is_empty() || known.is_some_and(|r| state.recent(r, spec.window)) {
        return Ok(Vec::new());
    }
    let target = Target {
        service: name.clone(),
        namespace: platform.namespace(),
        candidate: live.slot.other(),
        live: live.slot,
        revision: known.unwrap_or(state.numbered + 1),
        live_revision: live.revision,
        experiment: false,
    };
    super::analysis::check(&spec.judging, host, platform, &target).await
}

/// Runs to `goal`, does the tail, and turns a bad end into its error.
pub(super) async fn drive(
    driver: Driver<'_>,
    goal: &Goal,
    changes: Vec<Change>,
    started: Duration,
) -> anyhow::Result<Outcome> {
    drive_with(driver, goal, changes, started, TAIL).await
}

/// As `drive`, with its own patience for what is late.
pub(super) async fn drive_with(
    mut driver: Driver<'_>,
    goal: &Goal,
    changes: Vec<Change>,
    started: Duration,
    tail: Duration,
) -> anyhow::Result<Outcome> {
    let end = driver.run(goal).await?;
    let seconds = driver.host.elapsed().saturating_sub(started).as_secs_f64();
    let outcome = Outcome::of(&driver, end, changes, seconds);
    let refusal = driver::refusal(&driver, end);
    match end {
        End::Healthy | End::Aborted => driver::finish(&mut driver, tail).await,
        End::Reached | End::Paused | End::Failed | End::Settled | End::Idle | End::Detached => {
            driver.release().await
        }
    }
    match refusal {
        // Who said abort is obeyed; everyone else's version was refused.
        Some(_) if goal.mode == Mode::TakeBack && end == End::Aborted => Ok(outcome),
        Some(error) => Err(error),
        None => Ok(outcome),
    }
}

/// One deploy, once the Lease is held.
struct Job<'a> {
    release: &'a Release,
    template: &'a Template,
    spec: Spec,
    by: &'a str,
    commit: Option<&'a str>,
    guarded: bool,
    train: Option<&'a str>,
}

impl Job<'_> {
    /// With `--detach`, and something to roll out: the driver in the cluster, running and waiting.
    async fn call(&self, driver: &mut Driver<'_>, options: &Options) -> anyhow::Result<Option<String>> {
        let Some(wanted) = &options.detach else { return Ok(None) };
        tell::classify(driver.observe().await, &driver.platform.place())?;
        let (live, under_way) =
            (driver.state.live.map(|l| l.revision), driver.state.under_way().map(|r| r.revision));
        let mut next = driver.state.clone();
        let revision = next.number(&self.template.hash, &self.template.image, driver.seen.time);
        if live == Some(revision) && under_way.is_none() {
            return Ok(None);
        }
        super::handover::call(driver, wanted, revision).await.map(Some)
    }

    /// A rollout of this version that knows no barrier would not wait at it.
    fn refuse_outside_train(&self, state: &State, revision: u32) -> anyhow::Result<()> {
        let loner = state.under_way().filter(|r| r.revision == revision && r.train.as_deref() != self.train);
        match (self.train, loner) {
            (Some(_), Some(_)) => Err(Failure::failed(
                "outside-the-train",
                format!(
                    "revision {revision} of {} is being rolled out by itself",
                    self.release.service.service
                ),
            )
            .hint("let it end, or `msctl rollout abort` it, then start the train")
            .into()),
            _ => Ok(()),
        }
    }

    /// What takes so long is not left to a terminal in a protected environment.
    fn refuse_unattended(&self, plan: &Plan) -> anyhow::Result<()> {
        match plan.long().filter(|_| self.guarded) {
            None => Ok(()),
            Some(why) => Err(Failure::usage(
                "needs-a-driver",
                format!("{why}: the environment is protected, and nobody drives when this terminal closes"),
            )
            .hint("--detach leaves a driver in the cluster; --attended says that this one stays")
            .into()),
        }
    }

    async fn begin(&self, driver: &mut Driver<'_>) -> anyhow::Result<Vec<Change>> {
        let place = driver.platform.place();
        let can = tell::classify(driver.platform.capabilities().await, &place)?;
        tell::classify(driver.observe().await, &place)?;
        self.refuse_lost_state(driver)?;
        let now = driver.seen.time;
        let mut next = driver.state.clone();
        let under_way = next.under_way().map(|r| r.revision);
        let live = next.live.map(|l| l.revision);
        let known = next.revisions.iter().any(|r| r.hash == self.template.hash && !r.pruned);
        let revision = next.number(&self.template.hash, &self.template.image, now);
        next.migrates(revision, self.spec.migrations.as_ref());
        self.note_commit(driver, &mut next, revision);
        let scaled = next.live.is_some() && !next.autoscaled && next.replicas != self.spec.replicas;
        let was = std::mem::replace(&mut next.replicas, self.spec.replicas);
        next.autoscaled = self.spec.autoscaled;
        let rebound = next.scaling != self.spec.scaling;
        next.scaling = self.spec.scaling;
        let facts = facts(&next, &driver.seen, &can, &self.spec, revision);
        let plan = plan(&self.spec, &facts)?;
        let fresh = under_way != Some(revision) && live != Some(revision);
        if fresh {
            self.refuse_broken_live(driver, &plan)?;
            self.refuse_unattended(&plan)?;
        }
        self.refuse_outside_train(&next, revision)?;
        if fresh {
            refuse_split(&driver.state, &plan)?;
            refuse_outdated(&driver.state, &plan, revision)?;
        }
        let changes = driver.platform.install(self.release, self.template, next.epoch).await?;
        driver.wrote = true;
        // A driver that died while it pruned may have dropped what the state still lists.
        if !known || fresh {
            tell::classify(driver.platform.put_template(revision, self.template).await, &place)?;
            next.revisions.iter_mut().filter(|r| r.number == revision).for_each(|r| r.pruned = false);
        }
        if scaled {
            let message = format!("{} pods, as msctl.yaml says; they were {was}", self.spec.replicas);
            driver.tell(Event::Obeyed { verb: "replicas".into(), by: self.by.into(), message });
        }
        if fresh {
            next = start(&next, plan, revision, facts.kept, self.by, now);
            if let Some(rollout) = &mut next.rollout {
                rollout.train = self.train.map(str::to_owned);
            }
        } else if live == Some(revision) && under_way.is_some_and(|r| r != revision) {
            // Back to what is live already: the candidate is taken away, nothing starts.
            let intent = Intent { verb: Verb::Abort, by: self.by.into(), at: now };
            if let Ok((aborted, _)) = obey(&next, &intent, now) {
                next = aborted;
            }
        } else if next.under_way().is_none() {
            next.resizing = scaled;
            if let Some(rollout) = next.rollout.as_mut().filter(|_| rebound) {
                rollout.tidy = false;
            }
        }
        let events = tell::classify(driver.begin_with(next).await, &place)?;
        if fresh {
            self.announce(driver);
        }
        events.into_iter().for_each(|event| driver.tell(event));
        Ok(changes)
    }

    /// What was built, for the deploy's story.
    fn note_commit(&self, driver: &mut Driver<'_>, next: &mut State, revision: u32) {
        driver.keeper.recorder.hide(self.release.secrets.values());
        if let Some(this) = next.revisions.iter_mut().find(|r| r.number == revision)
            && this.commit.is_none()
        {
            this.commit = self.commit.map(str::to_owned);
        }
        let commit = |number: u32| next.revision(number).and_then(|r| r.commit.clone());
        if let (Some(from), Some(to)) = (next.live.and_then(|l| commit(l.revision)), commit(revision)) {
            driver.keeper.recorder.commits(driver.host.commits(&self.release.folder, &from, &to));
        }
    }

    fn announce(&self, driver: &mut Driver<'_>) {
        let Some(rollout) = driver.state.rollout.clone() else { return };
        driver.tell(Event::Started {
            service: driver.service.to_owned(),
            revision: rollout.revision,
            from: rollout.from,
            strategy: match rollout.plan.motion {
                Motion::First => "first deploy".into(),
                _ => rollout.plan.strategy.to_string(),
            },
            image: self.template.image.clone(),
        });
    }

    /// The Deployment that the service's own name reaches.
    fn serving(&self, driver: &Driver<'_>, seen: super::Slot) -> String {
        let reached = |s: &super::Slot| driver.seen.selection == Some(super::Selection::only(*s));
        let live = super::Slot::ALL.into_iter().find(|s| reached(s)).unwrap_or(seen);
        format!("{}-{live}", driver.service)
    }

    /// Slots that serve without a state document: nobody knows what they are.
    fn refuse_lost_state(&self, driver: &Driver<'_>) -> anyhow::Result<()> {
        let serving = driver.seen.slots.iter().find(|(_, s)| s.desired > 0 || s.replicas > 0);
        match serving {
            Some((slot, _)) if !driver.stored() => Err(Failure::failed(
                "state-lost",
                format!("{} runs in slot {slot}, but its rollout state is gone", driver.service),
            )
            .object(format!("ConfigMap/{}-rollout", driver.service))
            .hint(format!("`msctl adopt {}` takes up what serves", self.serving(driver, *slot)))
            .hint("`msctl rollout abort` takes back what was under way, and adopts it too")
            .hint("`msctl delete` removes the service")
            .into()),
            _ => Ok(()),
        }
    }

    fn refuse_broken_live(&self, driver: &Driver<'_>, plan: &Plan) -> anyhow::Result<()> {
        let shifts = matches!(plan.motion, Motion::Router | Motion::Replicas | Motion::Switch);
        let Some(live) = driver.state.live.filter(|_| shifts && !plan.proceed) else { return Ok(()) };
        let seen = driver.seen.slots.get(&live.slot);
        // At full weight the candidate of the rollout before has all of its pods, and gives them back first.
        let made_room = driver.state.under_way().is_some() && seen.is_some_and(|s| s.desired == 0);
        let broken = driver.state.replicas > 0 && !made_room && seen.is_none_or(|s| s.available == 0);
        if !broken {
            return Ok(());
        }
        let why = seen.and_then(|s| s.problems.first()).map(|p| format!(": {}: {}", p.pod, p.message));
        Err(Failure::failed(
            "live-broken",
            format!(
                "the live revision {} of {} serves nobody{}",
                live.revision,
                driver.service,
                why.unwrap_or_default()
            ),
        )
        .hint("`--proceed` rolls out all the same, `--rolling` replaces it in place")
        .into())
    }
}
