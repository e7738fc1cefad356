//! Puts the driver's errors and the world's changes into words.

use super::analysis::{Measure, Metric, Tally, Verdict};
use super::driver::{Driver, Goal, Mode};
use super::state::{Cause, Rollout, Stage, State};
use super::{Event, Migration, MigrationPhase, Observation};
use crate::error::{Failure, Kind};
use crate::platform::Error;

pub fn parse(service: &str, body: &str) -> anyhow::Result<State> {
    State::parse(body).map_err(|why| {
        Failure::failed("state-unreadable", format!("the rollout state of {service} cannot be read: {why}"))
            .hint("was it written by a newer msctl, or edited by hand?")
            .into()
    })
}

/// A platform's error before anything was written, as the command's.
pub fn classify<T>(result: Result<T, Error>, place: &str) -> anyhow::Result<T> {
    result.map_err(|error| early(error, place))
}

/// [`classify`] for a platform's error that already is an anyhow one.
pub fn classified<T>(result: anyhow::Result<T>, place: &str) -> anyhow::Result<T> {
    result.map_err(|error| match error.downcast::<Error>() {
        Ok(error) => early(error, place),
        Err(error) => error,
    })
}

fn early(error: Error, place: &str) -> anyhow::Error {
    let told = error.to_string();
    match error {
        Error::Other(error) => error,
        Error::Unreachable(why) => {
            Failure::failed("unreachable", format!("{place} cannot be reached: {why}"))
                .hint("`msctl doctor` looks for the cause")
                .into()
        }
        Error::Forbidden(what) => Failure::failed("forbidden", format!("forbidden in {place}: {what}"))
            .hint("ask for that right, or name a context or namespace that has it: --context, --namespace")
            .into(),
        Error::Terminating(what) => {
            Failure::failed("terminating", format!("{what} is being deleted in {place}"))
                .hint("wait until it is gone, then make it anew")
                .into()
        }
        Error::Owned { object, .. } => Failure::new(Kind::Held, "owned", told)
            .hint("let the other manager ignore that field, or stop managing the object")
            .object(object)
            .into(),
        Error::Overtaken { .. } => {
            Failure::new(Kind::Held, "overtaken", told).hint("`msctl rollout status` shows who drives").into()
        }
        Error::Conflict(_) => Failure::new(Kind::Held, "conflict", told).hint("try again").into(),
        Error::NotFound(_) => Failure::failed("not-found", told).into(),
    }
}

/// What changed hands between two states that someone else's driver saved.
pub fn moves(service: &str, before: &State, now: &State) -> Vec<Event> {
    let (Some(old), Some(new)) = (&before.rollout, &now.rollout) else { return Vec::new() };
    let mut events = Vec::new();
    if new.stage == Stage::Steps
        && (old.stage, old.cursor) != (new.stage, new.cursor)
        && let Some(step) = new.plan.steps.get(new.cursor)
    {
        let (index, count) = (new.cursor as u32 + 1, new.plan.steps.len() as u32);
        events.push(Event::Step { index, count, label: step.label() });
    }
    events.extend(measured(old, new));
    events.extend(migrated(before, now));
    if old.stage == new.stage {
        return events;
    }
    let (service, revision) = (service.to_owned(), new.revision);
    match (new.stage, &new.cause, now.live) {
        (Stage::Healthy, _, Some(live)) => events.push(Event::Healthy { service, revision, slot: live.slot }),
        (Stage::Retreat | Stage::Revert, Some(cause), _) => {
            events.push(Event::Refused { revision, cause: cause.clone() });
        }
        (Stage::Aborted, _, live) => {
            events.push(Event::Aborted { service, revision, live: live.map(|l| l.revision) });
        }
        (Stage::Failed, Some(cause), _) => {
            events.push(Event::Failed { service, revision, cause: cause.clone() })
        }
        _ => {}
    }
    events
}

/// Migrations that began or succeeded meanwhile.
fn migrated(before: &State, now: &State) -> Vec<Event> {
    let mut events = Vec::new();
    for (this, phase) in
        now.revisions.iter().flat_map(|r| [(r, MigrationPhase::Expand), (r, MigrationPhase::Contract)])
    {
        let (Some(new), revision) = (this.migration(phase), this.number) else { continue };
        let old = before.migration(revision, phase);
        if new.attempt > old.map_or(0, |m| m.attempt) {
            events.push(Event::Migrating { revision, phase, command: new.label() });
        }
        if new.done() && !old.is_some_and(Migration::done) {
            events.push(Event::Migrated { revision, phase });
        }
    }
    events
}

/// Measurements that counted meanwhile, as their sums tell; of several of one metric the last.
fn measured(old: &Rollout, new: &Rollout) -> Vec<Event> {
    let judging = &new.plan.judging;
    let of = |metric: &Metric| {
        let now = new.trial.track(&metric.name)?;
        let fresh = Tally::default();
        let before = old.trial.track(&metric.name).map_or(&fresh, |t| &t.tally);
        let why = || now.tally.why.clone().unwrap_or_default();
        let verdict = match &now.tally {
            t if t.failures > before.failures => Verdict::Fail(why()),
            t if t.inconclusives > before.inconclusives => Verdict::Inconclusive(why()),
            t if t.errors_in_a_row > before.errors_in_a_row => Verdict::Error(why()),
            t if t.measurements > before.measurements => Verdict::Pass,
            _ => return None,
        };
        let last = now.last.as_ref();
        let value = last.and_then(|s| s.candidate.value);
        Some(Event::measured(metric.name.clone(), &verdict, value, last.map_or(0, |s| s.candidate.samples)))
    };
    judging.metrics.iter().filter(|m| m.measure != Measure::Restarts).filter_map(of).collect()
}

/// An error of the platform as the command's, with what is half-done.
pub fn failure(driver: &Driver<'_>, error: Error) -> anyhow::Error {
    let service = driver.service;
    let place = driver.platform.place();
    let half = half_done(driver);
    match error {
        Error::Overtaken { .. } => {
            Failure::new(Kind::Held, "overtaken", format!("{service}: {error}; this one stops"))
                .hint("`msctl rollout watch` follows the other")
                .into()
        }
        Error::Owned { object, manager } => {
            Failure::new(Kind::Held, "owned", format!("{object} is managed by {manager}"))
                .object(object)
                .hint(format!("let {manager} ignore that field, or stop managing the object; {half}"))
                .into()
        }
        Error::Unreachable(why) if driver.wrote => Failure::new(
            Kind::Unknown,
            "contact-lost",
            format!("contact with {place} was lost during the rollout of {service}: {why}"),
        )
        .hint("the outcome is unknown; `msctl rollout attach` goes on, `msctl rollout status` tells")
        .into(),
        Error::Unreachable(why) => {
            Failure::failed("unreachable", format!("{place} cannot be reached: {why}"))
                .hint("nothing was written")
                .into()
        }
        Error::Terminating(what) => {
            Failure::failed("terminating", format!("{what} is being deleted in {place}")).hint(half).into()
        }
        Error::Forbidden(what) => {
            Failure::failed("forbidden", format!("forbidden in {place}: {what}")).hint(half).into()
        }
        Error::NotFound(what) => {
            Failure::failed("not-found", format!("{what} is gone from {place}")).hint(half).into()
        }
        Error::Conflict(what) => {
            Failure::new(Kind::Held, "conflict", format!("{what} is changed by someone else again and again"))
                .hint(half)
                .into()
        }
        Error::Other(error) => {
            let reason = crate::error::failure(&error).map_or("platform", |f| f.reason);
            Failure::failed(reason, format!("the rollout of {service} failed at {place}"))
                .source(error)
                .hint(half)
                .into()
        }
    }
}

/// An error that is told as it is, with what it leaves half-done.
pub fn left(driver: &Driver<'_>, mut error: anyhow::Error) -> anyhow::Error {
    let half = driver.wrote.then(|| half_done(driver));
    match (error.downcast_mut::<Failure>(), half) {
        (Some(failure), Some(half)) if failure.kind == Kind::Failed => failure.hints.push(half),
        _ => {}
    }
    error
}

/// What a stopped driver leaves behind, in words.
pub fn half_done(driver: &Driver<'_>) -> String {
    let Some(rollout) = driver.state.under_way().filter(|_| driver.stored()) else {
        return "nothing is half-done".into();
    };
    let slot = driver.state.candidate.map(|c| c.slot);
    let weight = slot.and_then(|s| driver.seen.weight_of(s)).unwrap_or(0);
    let judged = if weight > 0 && rollout.stage == Stage::Steps {
        format!(", unjudged at {weight} %: nobody will abort it")
    } else {
        String::new()
    };
    format!(
        "revision {} is left where it is{judged}; `msctl rollout attach` goes on, `msctl rollout abort` takes it back",
        rollout.revision
    )
}

pub fn interrupted(driver: &Driver<'_>) -> anyhow::Error {
    Failure::new(
        crate::settings::interrupted(),
        "interrupted",
        format!("interrupted; the state of {} is saved", driver.service),
    )
    .hint(half_done(driver))
    .into()
}

pub fn timed_out(driver: &Driver<'_>, goal: &Goal) -> anyhow::Error {
    let status = driver.status();
    let problem = driver.seen.slots.values().flat_map(|s| &s.problems).next();
    let cause = match (problem, driver.state.rollout.as_ref().and_then(|r| r.cause.as_ref())) {
        (_, Some(cause)) => cause.message.clone(),
        (Some(problem), None) => format!("{}: {}: {}", problem.pod, problem.reason, problem.message),
        (None, None) => status.message.clone(),
    };
    let timeout = crate::service::Duration(goal.timeout.unwrap_or_default());
    let (service, phase) = (driver.service, status.phase.name());
    let (message, hint) = match goal.mode {
        Mode::Settle => (
            format!("{service}: after {timeout} not all the pods asked for are there: {cause}"),
            "the number stays asked for; `msctl status` tells when they are there".to_owned(),
        ),
        Mode::Drive(_) | Mode::TakeBack | Mode::Once => {
            (format!("--timeout {timeout} ran out while {service} was {phase}: {cause}"), half_done(driver))
        }
    };
    Failure::new(Kind::Timeout, "timeout", message).hint(hint).into()
}

/// What helps against a registry that does not let a node pull.
pub fn pull_hint(cause: &Cause) -> Option<&'static str> {
    let message = cause.message.to_ascii_lowercase();
    let closed = ["401", "403", "unauthorized", "denied", "forbidden", "no basic auth"];
    (cause.reason == "image-pull" && closed.iter().any(|word| message.contains(word))).then_some(
        "let the nodes log in: `kubectl create secret docker-registry NAME …`, and name it in `pod.pullSecrets` of msctl.yaml",
    )
}

/// The stable reasons a cause may have, as a `Failure` keeps them.
pub fn stable(reason: &str) -> &'static str {
    const KNOWN: [&str; 16] = [
        "analysis-failed",
        "analysis-error",
        "aborted",
        "progress-deadline",
        "rollback-deadline",
        "image-pull",
        "crash",
        "oom-killed",
        "unschedulable",
        "probe-failing",
        "config-missing",
        "start-failed",
        "quota",
        "admission",
        "build-failed",
        "migration-failed",
    ];
    KNOWN.into_iter().find(|k| *k == reason).unwrap_or("refused")
}

/// What a rollout that just began waits for before anything else.
fn clearing(state: &State, rollout: &Rollout, now: &Observation) -> Option<Event> {
    let slot = state.idle();
    let seen = now.slots.get(&slot)?;
    let pods = seen.replicas + seen.terminating;
    (pods > 0 && seen.revision != rollout.revision).then_some(Event::Clearing { slot, pods })
}

/// The differences between two observations that people and scripts are told.
pub fn changes(state: &State, before: &Observation, now: &Observation) -> Vec<Event> {
    let mut events = Vec::new();
    let Some(rollout) = &state.rollout else { return events };
    let first = before.slots.is_empty() && before.selection.is_none();
    if first && rollout.stage == Stage::Clear {
        events.extend(clearing(state, rollout, now));
    }
    for (slot, seen) in &now.slots {
        let old = before.slots.get(slot);
        let counts = |s: &super::SlotObservation| (s.revision, s.available, s.desired);
        if !first
            && old.map(counts) != Some(counts(seen))
            && (seen.desired > 0 || old.is_some_and(|o| o.desired > 0))
        {
            events.push(Event::Pods {
                slot: *slot,
                revision: seen.revision,
                available: seen.available,
                replicas: seen.desired,
            });
        }
        let ours = seen.revision == rollout.revision && !rollout.stage.ended();
        events.extend(seen.problems.iter().filter(|_| ours).map(|problem| Event::Problem {
            reason: problem.reason.clone(),
            pod: problem.pod.clone(),
            message: problem.message.clone(),
            terminal: problem.terminal,
            log: problem.log.clone(),
        }));
    }
    if let Some(candidate) = state.candidate.map(|c| c.slot)
        && let (Some(_), Some(weight)) = (&now.route, now.weight_of(candidate))
        && !first
        && before.weight_of(candidate) != Some(weight)
    {
        events.push(Event::Weight { slot: candidate, weight });
    }
    events
}
