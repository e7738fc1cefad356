//! The operations behind `rollout …`, `status` and `scale`: look, ask whoever drives, or drive oneself.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::adoption;
use super::analysis::MetricStatus;
use super::deploy::{self, Ended, History, Outcome};
use super::driver::{Driver, Goal, Mode};
use super::host::{Host, Process, person};
use super::lock::{self, Patience};
use super::state::{Intent, State, Verb};
use super::status::Driving;
use super::{
    Event, Facts, Frame, Motion, Observation, Options, Phase, Refusal, Spec, Status, Until, obey, plan,
    start, status, tell,
};
use crate::context::Ctx;
use crate::error::{Failure, Kind};
use crate::platform::{Error, Platform, Stored};
use crate::service::{Service, Strategy};
use crate::ui::{self, Paint};

/// A driver that lives obeys within so long, whatever it does.
const PATIENCE: Duration = Duration::from_secs(60);

/// How a verb was obeyed.
pub enum Obeyed {
    /// By whoever drives, or without driving: what was done.
    Said(String, Status),
    /// By driving to an end.
    Driven(Outcome),
}

/// The service as it is now.
pub async fn look(
    platform: &dyn Platform,
    service: &str,
) -> anyhow::Result<(Option<State>, Observation, Status)> {
    let place = platform.place();
    let state = deploy::load(platform, service).await?;
    if state.is_none() {
        let seen = Observation::default();
        let absent = status(service, None, &seen, &Driving::default());
        return Ok((None, seen, absent));
    }
    let lease = tell::classify(platform.lease().await, &place)?;
    let seen = tell::classify(platform.observe().await, &place)?;
    let driving = driving(lease.as_ref(), seen.time);
    let status = status(service, state.as_ref(), &seen, &driving);
    Ok((state, seen, status))
}

/// A Lease not renewed for its whole length is told as nobody's; taking it over is another matter.
fn driving(lease: Option<&crate::platform::Lease>, now: jiff::Timestamp) -> Driving {
    let Some(lease) = lease else { return Driving::default() };
    let age = lease.renewed.map(|at| now.duration_since(at));
    let stale = age.is_some_and(|a| a > jiff::SignedDuration::try_from(lock::EXPIRY).unwrap_or_default());
    let known = !lease.holder.is_empty() && !stale && !super::host::gone(&lease.holder);
    Driving { holder: known.then(|| lease.holder.clone()), last_seen: lease.renewed }
}

pub fn not_deployed(service: &str, place: &str) -> anyhow::Error {
    Failure::failed("not-deployed", format!("{service} is not deployed in {place}"))
        .hint("`msctl deploy` deploys it")
        .into()
}

fn refused(service: &str, refusal: Refusal) -> anyhow::Error {
    let kind = if refusal.reason == "autoscaled" { Kind::Usage } else { Kind::Failed };
    Failure::new(kind, refusal.reason, format!("{service}: {}", refusal.message)).into()
}

/// Obeys `verb`, by the driver that runs or by driving here.
pub async fn verb(ctx: &Ctx, platform: &dyn Platform, service: &str, verb: Verb) -> anyhow::Result<Obeyed> {
    let host = Process::new(ctx);
    let done = ask(&host, platform, service, &person(ctx), verb).await;
    host.finish();
    done
}

/// Takes back what is under way, also where nobody knows any more what that is.
pub async fn abort(ctx: &Ctx, platform: &dyn Platform, service: &Service) -> anyhow::Result<Obeyed> {
    let host = Process::new(ctx);
    let by = person(ctx);
    let done = match deploy::load(platform, &service.service).await {
        Ok(None) => match adoption::abort_lost(&host, platform, service, &by).await {
            Ok(Some(outcome)) => Ok(Obeyed::Driven(outcome)),
            Ok(None) => Err(not_deployed(&service.service, &platform.place())),
            Err(error) => Err(error),
        },
        Ok(Some(_)) => ask(&host, platform, &service.service, &by, Verb::Abort).await,
        Err(error) => Err(error),
    };
    host.finish();
    done
}

pub(super) async fn ask(
    host: &dyn Host,
    platform: &dyn Platform,
    service: &str,
    by: &str,
    verb: Verb,
) -> anyhow::Result<Obeyed> {
    let place = platform.place();
    let (stored, lease) = futures::join!(platform.load(), platform.lease());
    let stored = tell::classify(stored, &place)?.ok_or_else(|| not_deployed(service, &place))?;
    let state = tell::parse(service, &stored.body)?;
    let holder = tell::classify(lease, &place)?.map(|l| l.holder).unwrap_or_default();
    // Of no account: whoever obeys does so in the platform's time. To ask for that would be a list of everything.
    let now = jiff::Timestamp::from_millisecond((host.wall() * 1000.0) as i64).unwrap_or_default();
    let intent = Intent { verb: verb.clone(), by: by.to_owned(), at: now };
    let (next, message) = obey(&state, &intent, now).map_err(|r| refused(service, r))?;
    let changes = next != state;
    let asked = changes && !holder.is_empty() && !host.gone(&holder);
    if !changes || (asked && obeyed_by_driver(host, platform, service, &intent, stored).await?) {
        let (_, _, status) = look(platform, service).await?;
        return Ok(Obeyed::Said(message, status));
    }
    let patience = if verb == Verb::Abort { Patience::None } else { Patience::For(Duration::ZERO) };
    let begun = Driver::begin(host, platform, service, patience).await;
    let mut driver = tell::classified(begun, &place)?;
    let started = host.elapsed();
    if let Err(error) = apply(&mut driver, &intent, asked).await {
        driver.release().await;
        return Err(error);
    }
    let mode = match verb {
        Verb::Pause => {
            let status = driver.status();
            driver.release().await;
            return Ok(Obeyed::Said(message, status));
        }
        Verb::Abort => Mode::TakeBack,
        Verb::Scale(_) => Mode::Settle,
        Verb::Promote { .. } | Verb::Resume | Verb::Retry | Verb::Leave => Mode::Drive(Until::Healthy),
    };
    let goal = Goal { timeout: (mode == Mode::Settle).then(|| driver.deadline()), ..Goal::new(mode) };
    let outcome = deploy::drive(driver, &goal, Vec::new(), started).await?;
    Ok(match (mode, outcome.status.clone()) {
        (Mode::Settle, Some(status)) => Obeyed::Said(message, status),
        _ => Obeyed::Driven(outcome),
    })
}

async fn apply(driver: &mut Driver<'_>, intent: &Intent, asked: bool) -> anyhow::Result<()> {
    let place = driver.platform.place();
    tell::classify(driver.observe().await, &place)?;
    if asked && !driver.state.intents.contains(intent) {
        // Obeyed after all, by a driver that has left since.
        return Ok(());
    }
    let (mut state, now) = (driver.state.clone(), driver.seen.time);
    let (mut events, mut obeyed, mut refusal) = (Vec::new(), false, None);
    // What others asked for before, and nobody was there to obey, comes first.
    let earlier = std::mem::take(&mut state.intents);
    for asked in earlier.iter().filter(|i| *i != intent).chain([intent]) {
        let (verb, by) = (asked.verb.name().to_owned(), asked.by.clone());
        match obey(&state, asked, now) {
            Ok((next, message)) => {
                (state, obeyed) = (next, true);
                events.push(Event::Obeyed { verb, by, message });
            }
            Err(refused) => {
                events.push(Event::Ignored { verb, by, message: refused.message.clone() });
                refusal = (asked == intent).then_some(refused);
            }
        }
    }
    if state != driver.state {
        tell::classify(driver.save(state).await, &place)?;
    }
    events.into_iter().for_each(|event| driver.tell(event));
    // What the others asked for is to be done all the same.
    match refusal.filter(|_| !obeyed) {
        Some(refusal) => Err(refused(driver.service, refusal)),
        None => Ok(()),
    }
}

/// Has whoever drives obey `verb`; that somebody does is the caller's business.
pub(super) async fn tell_driver(
    host: &dyn Host,
    platform: &dyn Platform,
    service: &str,
    by: &str,
    verb: Verb,
) -> anyhow::Result<()> {
    let place = platform.place();
    let at = jiff::Timestamp::from_millisecond((host.wall() * 1000.0) as i64).unwrap_or_default();
    let intent = Intent { verb, by: by.to_owned(), at };
    let stored = tell::classify(platform.load().await, &place)?;
    let stored = stored.ok_or_else(|| not_deployed(service, &place))?;
    let started = host.elapsed();
    let mut obeyed = obeyed_by_driver(host, platform, service, &intent, stored).await?;
    while !obeyed && host.elapsed().saturating_sub(started) < PATIENCE {
        host.sleep(Duration::from_millis(100)).await;
        obeyed = deploy::load(platform, service).await?.is_none_or(|s| !s.intents.contains(&intent));
    }
    if obeyed {
        return Ok(());
    }
    let text = format!("the driver of {service} does not obey {}", intent.verb.name());
    Err(Failure::failed("not-obeyed", text).hint("`msctl rollout status` says who drives").into())
}

/// Writes the intent for the driver; false when nobody obeyed it.
async fn obeyed_by_driver(
    host: &dyn Host,
    platform: &dyn Platform,
    service: &str,
    intent: &Intent,
    stored: Stored,
) -> anyhow::Result<bool> {
    let place = platform.place();
    let pending = |state: &State| state.intents.contains(intent);
    let (mut written, mut known) = (false, Some(stored));
    for _ in 0..20 {
        let read = match known.take() {
            Some(stored) => Some(stored),
            None => tell::classify(platform.load().await, &place)?,
        };
        let Some(stored) = read else { return Ok(false) };
        let mut state = tell::parse(service, &stored.body)?;
        state.intents.push(intent.clone());
        match platform.save(&state.body(), Some(&stored.version)).await {
            Ok(_) => {
                written = true;
                break;
            }
            Err(Error::Conflict(_)) => host.sleep(Duration::from_millis(20)).await,
            Err(error) => return tell::classify(Err(error), &place),
        }
    }
    if !written {
        return Err(Failure::new(Kind::Held, "conflict", format!("the state of {service} changes too fast"))
            .hint("try again")
            .into());
    }
    let wait = if intent.verb == Verb::Abort { Duration::from_secs(2) } else { lock::EXPIRY };
    let started = host.elapsed();
    while host.elapsed().saturating_sub(started) < wait {
        host.sleep(Duration::from_millis(50)).await;
        let (state, lease) = futures::join!(deploy::load(platform, service), platform.lease());
        if !state?.is_some_and(|state| pending(&state)) {
            return Ok(true);
        }
        // It left, and nobody will.
        if tell::classify(lease, &place)?.is_some_and(|lease| lease.holder.is_empty()) {
            break;
        }
    }
    Ok(false)
}

/// Goes on with a rollout whose driver is gone; with `once`, does what is due and returns.
pub async fn attach(
    ctx: &Ctx,
    platform: &dyn Platform,
    service: &str,
    once: bool,
) -> anyhow::Result<Outcome> {
    let host = Process::new(ctx);
    let done = resume(&host, platform, service, once).await;
    host.finish();
    done
}

pub(super) async fn resume(
    host: &dyn Host,
    platform: &dyn Platform,
    service: &str,
    once: bool,
) -> anyhow::Result<Outcome> {
    let place = platform.place();
    deploy::load(platform, service).await?.ok_or_else(|| not_deployed(service, &place))?;
    let started = host.elapsed();
    let begun = Driver::begin(host, platform, service, Patience::For(Duration::ZERO)).await;
    let driver = tell::classified(begun, &place)?;
    let mode = if once { Mode::Once } else { Mode::Drive(Until::Healthy) };
    let outcome = deploy::drive(driver, &Goal::new(mode), Vec::new(), started).await?;
    match outcome.status.as_ref().filter(|_| outcome.ended == Ended::Healthy) {
        Some(status) if status.phase == Phase::Degraded => Err(degraded(status)),
        Some(status) if status.phase == Phase::Progressing && once => {
            Ok(Outcome { ended: Ended::Reached, ..outcome })
        }
        _ => Ok(outcome),
    }
}

/// What a finished rollout left serves nobody: that is not healthy, whoever asks.
fn degraded(status: &Status) -> anyhow::Error {
    let service = &status.service;
    Failure::failed("degraded", format!("{service} is degraded: {}", status.message))
        .hint("`msctl status` and `msctl logs` say more; `msctl rollout undo` goes back")
        .into()
}

/// Returns to the last revision that was live, or to `to`; during a rollout that is, first, an abort.
pub async fn undo(
    ctx: &Ctx,
    platform: &dyn Platform,
    service: &Service,
    to: Option<u32>,
) -> anyhow::Result<Obeyed> {
    let host = Process::new(ctx);
    let done = back(&host, platform, service, &person(ctx), to).await;
    host.finish();
    done
}

pub(super) async fn back(
    host: &dyn Host,
    platform: &dyn Platform,
    service: &Service,
    by: &str,
    to: Option<u32>,
) -> anyhow::Result<Obeyed> {
    let name = service.service.as_str();
    let place = platform.place();
    let state = deploy::load(platform, name).await?.ok_or_else(|| not_deployed(name, &place))?;
    let shifting = state.under_way().is_some_and(|r| r.from.is_some());
    if shifting {
        let aborted = ask(host, platform, name, by, Verb::Abort).await?;
        if to.is_none() || to == state.live.map(|l| l.revision) {
            return Ok(aborted);
        }
    }
    let target = target(&state, name, to)?;
    if state.live.is_some_and(|l| l.revision == target) {
        let (_, _, status) = look(platform, name).await?;
        return Ok(Obeyed::Said(format!("revision {target} is live already"), status));
    }
    let started = host.elapsed();
    let begun = Driver::begin(host, platform, name, Patience::For(Duration::ZERO)).await;
    let mut driver = tell::classified(begun, &place)?;
    if let Err(error) = begin_undo(&mut driver, service, target, by).await {
        driver.release().await;
        return Err(error);
    }
    deploy::drive(driver, &Goal::new(Mode::Drive(Until::Healthy)), Vec::new(), started)
        .await
        .map(Obeyed::Driven)
}

fn target(state: &State, name: &str, to: Option<u32>) -> anyhow::Result<u32> {
    let lives = state.lives();
    let known = || lives.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
    match to {
        None => state.undo_target().ok_or_else(|| {
            Failure::failed("no-target", format!("no revision of {name} was live before the present one"))
                .into()
        }),
        Some(number) if lives.contains(&number) && state.revision(number).is_some_and(|r| !r.pruned) => {
            Ok(number)
        }
        Some(number) => Err(Failure::failed(
            "no-target",
            format!("revision {number} of {name} was never live, or is no longer kept"),
        )
        .hint(format!("live were: {}", known()))
        .into()),
    }
}

async fn begin_undo(driver: &mut Driver<'_>, service: &Service, target: u32, by: &str) -> anyhow::Result<()> {
    let place = driver.platform.place();
    let can = tell::classify(driver.platform.capabilities().await, &place)?;
    tell::classify(driver.observe().await, &place)?;
    let mut state = driver.state.clone();
    let scaler = state.live.and_then(|l| driver.seen.slots.get(&l.slot)?.scaler);
    // An undo is of a version: bounds that a person gave the autoscaler since stay.
    if let Some(seen) = scaler.filter(|s| !s.held && state.under_way().is_none()) {
        state.scaling = state.scaling.map(|_| seen);
    }
    let last = state.deploys.iter().rev().find(|d| d.result == super::DeployResult::Healthy);
    let strategy = match last {
        Some(deploy) if deploy.in_place => Strategy::Rolling,
        Some(deploy) if deploy.from.is_none() => Strategy::Rolling,
        // The way back is no test; where it needs steps at all, a canary's are meant.
        Some(deploy) if matches!(deploy.strategy, Strategy::Rolling | Strategy::Ab | Strategy::Mirror) => {
            Strategy::Canary
        }
        Some(deploy) => deploy.strategy,
        None => Strategy::Rolling,
    };
    let spec = Spec::resolve(service, &Options { strategy: Some(strategy), ..Default::default() })?;
    let spec =
        Spec { replicas: state.replicas, autoscaled: state.autoscaled, scaling: state.scaling, ..spec };
    let idle = state.idle();
    let kept = driver.seen.slots.get(&idle).is_some_and(|s| {
        s.revision == target && s.updated_available >= spec.replicas.max(1) && s.terminating == 0
    });
    let facts = Facts {
        router: can.router.as_ref().map(|_| can.route_lag.as_millis() as u64),
        can: can.abilities,
        live: true,
        kept,
        known: state.recent(target, spec.window),
    };
    let plan = plan(&spec, &facts)?;
    let kept = kept && plan.motion != Motion::InPlace;
    let mut next = start(&state, plan, target, kept, by, driver.seen.time);
    if let Some(deploy) = next.deploys.last_mut() {
        deploy.undo = true;
    }
    let events = tell::classify(driver.begin_with(next).await, &place)?;
    driver.tell(Event::Started {
        service: driver.service.to_owned(),
        revision: target,
        from: state.live.map(|l| l.revision),
        strategy: format!("undo ({strategy})"),
        image: state.revision(target).map(|r| r.image.clone()).unwrap_or_default(),
    });
    events.into_iter().for_each(|event| driver.tell(event));
    Ok(())
}

/// Follows without driving, until the rollout ends or waits for a person.
pub async fn watch(ctx: &Ctx, platform: &dyn Platform, service: &str) -> anyhow::Result<Status> {
    let host = Process::new(ctx);
    let followed = follow(&host, platform, service).await;
    host.finish();
    followed
}

async fn follow(host: &dyn Host, platform: &dyn Platform, service: &str) -> anyhow::Result<Status> {
    let mut before: Option<(State, Observation)> = None;
    let mut told = Told::default();
    loop {
        let (state, seen, status) = look(platform, service).await?;
        let Some(state) = state else { return Err(not_deployed(service, &platform.place())) };
        if let Some((old, was)) = &before {
            for event in
                tell::changes(&state, was, &seen).into_iter().chain(tell::moves(service, old, &state))
            {
                host.emit(&event);
                told.event(seen.time, &event);
            }
        }
        told.values(&status);
        let mut frame = Frame::of(&platform.place(), status.clone(), &state, &seen, told.events());
        frame.values = told.values.clone();
        host.frame(&frame);
        let waits = status.phase == Phase::Paused && status.reason != "timed-pause";
        if waits || state.rollout.as_ref().is_none_or(|r| r.stage.ended()) {
            return Ok(status);
        }
        before = Some((state, seen));
        tokio::select! {
            biased;
            () = host.interrupted() => {
                return Err(Failure::new(crate::settings::interrupted(), "interrupted", "no longer watching").into());
            }
            () = platform.changed() => host.sleep(Duration::from_millis(50)).await,
            () = host.sleep(Duration::from_secs(1)) => {}
        }
    }
}

/// What someone who only watches has seen so far, for the picture.
#[derive(Default)]
struct Told {
    recent: VecDeque<(jiff::Timestamp, String)>,
    values: BTreeMap<String, Vec<f64>>,
    last: BTreeMap<String, MetricStatus>,
}

impl Told {
    fn event(&mut self, at: jiff::Timestamp, event: &Event) {
        if let Some(line) = ui::Event::line(event, &Paint::PLAIN) {
            self.recent.push_back((at, line));
        }
        if self.recent.len() > 20 {
            self.recent.pop_front();
        }
    }

    fn events(&self) -> Vec<(jiff::Timestamp, String)> {
        self.recent.iter().cloned().collect()
    }

    fn values(&mut self, status: &Status) {
        for metric in &status.analysis {
            let known = self.last.insert(metric.metric.clone(), metric.clone());
            let value = metric.value.as_ref().and_then(|v| v.as_f64());
            let fresh = known.is_none_or(|k| {
                (k.value, k.samples, k.measurements)
                    != (metric.value.clone(), metric.samples, metric.measurements)
            });
            if let (true, Some(value)) = (fresh, value) {
                let values = self.values.entry(metric.metric.clone()).or_default();
                values.push(value);
                let surplus = values.len().saturating_sub(32);
                values.drain(..surplus);
            }
        }
    }
}

pub async fn history(platform: &dyn Platform, service: &str) -> anyhow::Result<History> {
    let state = deploy::load(platform, service).await?;
    let state = state.ok_or_else(|| not_deployed(service, &platform.place()))?;
    Ok(History {
        service: service.to_owned(),
        live: state.live.map(|l| l.revision),
        deploys: state.deploys,
        revisions: state.revisions,
        now: jiff::Timestamp::UNIX_EPOCH,
    })
}

/// The exit code that a status stands for.
pub fn code(status: &Status) -> u8 {
    match status.phase {
        Phase::Healthy | Phase::Progressing => 0,
        // A pause with an end waits for nobody.
        Phase::Paused if status.reason == "timed-pause" => 0,
        Phase::Paused => 6,
        Phase::Aborted => 5,
        Phase::Absent | Phase::Degraded => 1,
    }
}

/// Replaces the live pods one by one, under the Lease, so that no rollout runs meanwhile.
pub async fn restart(ctx: &Ctx, platform: &dyn Platform, service: &str) -> anyhow::Result<u32> {
    let host = Process::new(ctx);
    let place = platform.place();
    deploy::load(platform, service).await?.ok_or_else(|| not_deployed(service, &place))?;
    let begun = Driver::begin(&host, platform, service, Patience::For(Duration::ZERO)).await;
    let mut driver = tell::classified(begun, &place)?;
    let live = driver.state.live.filter(|_| driver.state.under_way().is_none());
    let Some(live) = live else {
        driver.release().await;
        return Err(Failure::failed("under-way", format!("a rollout of {service} is under way"))
            .hint("abort it, or let it end, first")
            .into());
    };
    let task = ctx.ui.task(format!("restart {service}"));
    let state = Mutex::new((0, host.elapsed(), String::new()));
    let seen = || state.lock().unwrap_or_else(PoisonError::into_inner);
    let progress = |replaced: u32, text: String| {
        task.say(text.clone());
        let mut seen = seen();
        let since = if replaced == seen.0 { seen.1 } else { host.elapsed() };
        *seen = (replaced, since, text);
    };
    let limit = driver.deadline();
    let stalled = async {
        loop {
            let left = (seen().1 + limit).saturating_sub(host.elapsed());
            if left.is_zero() {
                return stalled(service, limit, &seen().2);
            }
            host.sleep(left).await;
        }
    };
    let replaced = tokio::select! {
        late = stalled => Err(late),
        () = host.interrupted() => Err(Failure::new(crate::settings::interrupted(), "interrupted", format!("interrupted; some pods of {service} are replaced, none is missing")).into()),
        lost = driver.keep() => Err(lost),
        replaced = platform.restart(live.slot, &progress) => replaced,
    };
    driver.release().await;
    let replaced = replaced?;
    task.done(format!("{replaced} pods replaced"));
    Ok(replaced)
}

fn stalled(service: &str, limit: Duration, last: &str) -> anyhow::Error {
    let limit = crate::service::Duration(limit);
    let text = format!("no pod of {service} was replaced for {limit} (progressDeadline): {last}");
    Failure::new(Kind::Timeout, "timeout", text)
        .hint("at most one is missing; `msctl rollout restart` replaces all of them again once nothing holds it up")
        .into()
}
