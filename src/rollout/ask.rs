//! The operations behind promote, pause, resume, abort, retry and scale: a verb is left for whoever drives, or, where
//! nobody does, obeyed here.

use std::time::Duration;

use super::deploy::Outcome;
use super::driver::{Driver, Goal, Mode};
use super::host::{Host, Process, person};
use super::lock::{self, Patience};
use super::look::{look, not_deployed};
use super::state::{Intent, State, Verb};
use super::{Event, Refusal, Status, Until, adoption, deploy, obey, tell};
use crate::context::Ctx;
use crate::error::{Failure, Kind};
use crate::platform::{Error, Platform, Stored};
use crate::service::Service;

/// A driver that lives obeys within so long, whatever it does.
const PATIENCE: Duration = Duration::from_secs(60);

/// How a verb was obeyed.
pub enum Obeyed {
    /// By whoever drives, or without driving: what was done.
    Said(String, Status),
    /// By driving to an end.
    Driven(Outcome),
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
    let idle = driver.state.under_way().is_none();
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
        // With another's retry, which nobody else is there to drive.
        Verb::Scale(_) if idle && driver.state.under_way().is_some() => Mode::Drive(Until::Healthy),
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
            // It may have arrived.
            Err(Error::Unreachable(why)) => return Err(unknown(service, intent, &why)),
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
    let mut silent = None;
    while host.elapsed().saturating_sub(started) < wait {
        host.sleep(Duration::from_millis(50)).await;
        let (stored, lease) = futures::join!(platform.load(), platform.lease());
        let (stored, lease) = match (stored, lease) {
            (Ok(stored), Ok(lease)) => (stored, lease),
            // It is written: whoever drives may have contact where there is none here.
            (Err(Error::Unreachable(why)), _) | (_, Err(Error::Unreachable(why))) => {
                silent = Some(why);
                continue;
            }
            (Err(error), _) | (_, Err(error)) => return tell::classify(Err(error), &place),
        };
        silent = None;
        let state = stored.map(|stored| tell::parse(service, &stored.body)).transpose()?;
        if !state.is_some_and(|state| pending(&state)) {
            return Ok(true);
        }
        // It left, and nobody will.
        if lease.is_some_and(|lease| lease.holder.is_empty()) {
            break;
        }
    }
    match silent {
        Some(why) => Err(unknown(service, intent, &why)),
        None => Ok(false),
    }
}

/// It was, or may have been, left for whoever drives, and nobody can be asked what became of it.
fn unknown(service: &str, intent: &Intent, why: &str) -> anyhow::Error {
    let text = format!("{service}: {} was asked for, and contact was lost: {why}", intent.verb.name());
    Failure::new(Kind::Unknown, "contact-lost", text)
        .hint("whoever drives may obey it yet; `msctl rollout status` tells, before it is asked for again")
        .into()
}
