//! What people ask for, as transitions of the state: a new deploy, promote, pause, resume, abort, retry, scale. Pure.

use jiff::Timestamp;

use super::analysis::Trial;
use super::memo::Memo;
use super::plan::Motion;
use super::spec::{Step, Wait};
use super::state::{Cause, Deploy, DeployResult, Hold, Intent, Rollout, Stage, State, Verb};
use super::{Placed, Plan};

/// A verb that cannot be obeyed, and why; nothing changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub reason: &'static str,
    pub message: String,
}

fn refuse<T>(reason: &'static str, message: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal { reason, message: message.into() })
}

impl Verb {
    pub fn name(&self) -> &'static str {
        match self {
            Verb::Promote { full: true } => "promote --full",
            Verb::Promote { full: false } => "promote",
            Verb::Pause => "pause",
            Verb::Resume => "resume",
            Verb::Abort => "abort",
            Verb::Retry => "retry",
            Verb::Scale(_) => "scale",
            Verb::Leave => "leave",
        }
    }
}

/// Begins a rollout of `revision` in place of whatever is under way; the version to go back to stays the live one.
pub fn start(state: &State, plan: Plan, revision: u32, kept: bool, by: &str, now: Timestamp) -> State {
    let mut next = state.clone();
    next.memo = Memo::default();
    next.intents.clear();
    if let Some(old) = state.under_way()
        && let Some(deploy) = next.deploy_mut(old.deploy)
    {
        deploy.result = DeployResult::Superseded;
        deploy.ended = Some(now);
    }
    let number = state.deploys.last().map_or(0, |d| d.number) + 1;
    let from = state.live.map(|l| l.revision);
    next.deploys.push(Deploy {
        number,
        revision,
        from,
        strategy: plan.strategy,
        in_place: matches!(plan.motion, Motion::InPlace),
        undo: false,
        at: now,
        ended: None,
        result: DeployResult::Progressing,
        reason: None,
        by: by.to_owned(),
    });
    let held_by_candidate = state.candidate.is_some() && state.previous.is_none();
    let stage = match plan.motion {
        Motion::First => Stage::InPlace,
        Motion::InPlace if held_by_candidate => Stage::Clear,
        Motion::InPlace => Stage::InPlace,
        Motion::Router | Motion::Replicas | Motion::Switch if kept => Stage::Steps,
        Motion::Router | Motion::Replicas | Motion::Switch => Stage::Clear,
    };
    match plan.motion {
        Motion::First => next.candidate = None,
        Motion::InPlace => {}
        Motion::Router | Motion::Replicas | Motion::Switch => {
            next.candidate = Some(Placed { slot: state.idle(), revision });
            next.previous = None;
        }
    }
    next.rollout = Some(Rollout {
        deploy: number,
        revision,
        from,
        train: None,
        plan,
        stage,
        cursor: 0,
        started: now,
        stage_since: now,
        step_since: now,
        clock: now,
        held: None,
        cause: None,
        reassert: false,
        tidy: false,
        jobs_before: state.under_way().is_some_and(|r| r.jobs_before || r.plan.judging.runs_jobs()),
        size: state.under_way().and_then(|r| r.size),
        trial: Trial::default(),
    });
    next
}

/// Obeys `intent`; the text says what was done.
pub fn obey(state: &State, intent: &Intent, now: Timestamp) -> Result<(State, String), Refusal> {
    let mut next = state.clone();
    let message = match &intent.verb {
        Verb::Promote { full } => promote(&mut next, *full, now)?,
        Verb::Pause => pause(&mut next, &intent.by, now)?,
        Verb::Resume => resume(&mut next, now)?,
        Verb::Abort => abort(&mut next, &intent.by, now)?,
        Verb::Retry => retry(&mut next, now)?,
        Verb::Scale(replicas) => scale(&mut next, *replicas)?,
        Verb::Leave => leave(&mut next, now)?,
    };
    Ok((next, message))
}

fn unhold(rollout: &mut Rollout, memo: &mut Memo, now: Timestamp) -> bool {
    let Some(hold) = rollout.held.take() else { return false };
    rollout.clock = now;
    rollout.reassert = hold.reason == "contested";
    *memo = Memo {
        settled: memo.settled.take(),
        check: std::mem::take(&mut memo.check),
        anew: memo.anew,
        lost: memo.lost,
        ..Memo::default()
    };
    true
}

fn promote(state: &mut State, full: bool, now: Timestamp) -> Result<String, Refusal> {
    let Some(rollout) = &mut state.rollout else {
        return refuse("nothing-to-promote", "nothing is being rolled out");
    };
    let (whole, last) = (rollout.plan.whole(), rollout.plan.steps.len().saturating_sub(1));
    match (rollout.stage, rollout.plan.motion) {
        (Stage::Healthy, _) if rollout.held.is_some() => {
            unhold(rollout, &mut state.memo, now);
            Ok("the hold is lifted".into())
        }
        (Stage::Healthy, _) => {
            refuse("nothing-to-promote", format!("revision {} is live already", rollout.revision))
        }
        (_, Motion::First | Motion::InPlace) => {
            refuse("no-steps", "a rolling update has no steps to promote; it goes on by itself")
        }
        (Stage::Aborted | Stage::Failed | Stage::Retreat | Stage::Revert, _) if !full => refuse(
            "aborted",
            format!(
                "revision {} {}; `retry` starts it again, `promote --full` at full weight",
                rollout.revision,
                if rollout.stage == Stage::Failed { "failed" } else { "was aborted" }
            ),
        ),
        (Stage::Aborted | Stage::Failed | Stage::Retreat | Stage::Revert, _) => {
            again(state, now)?;
            if let Some(rollout) = &mut state.rollout {
                rollout.cursor = whole;
                rollout.trial.skipped = true;
            }
            Ok("starts again at full weight, without steps".into())
        }
        (Stage::Switch, _) => Ok("it is switching already".into()),
        (Stage::Steps, _) if !full && rollout.held.is_none() && barred(rollout) => refuse(
            super::AWAITS_TRAIN,
            "it waits for the others of its train; `promote --full` lets it go alone",
        ),
        (Stage::Clear | Stage::Place | Stage::Steps | Stage::InPlace, _) => {
            let unsure = rollout.held.as_ref().is_some_and(|h| h.reason == "inconclusive");
            let lifted = unhold(rollout, &mut state.memo, now);
            let ended = unsure && {
                rollout.trial.vouched = true;
                rollout.trial.go_on(&rollout.plan.judging, now)
            };
            let paused = rollout.stage == Stage::Steps
                && matches!(rollout.plan.steps.get(rollout.cursor), Some(Step::Pause(_)));
            let onward = full || paused || ended || !lifted;
            let at_last = rollout.cursor >= last && !paused;
            if onward && if full { rollout.trial.skipped } else { at_last } {
                return Ok("the last step is under way; availability is never skipped".into());
            }
            if full {
                rollout.cursor = rollout.cursor.max(whole);
                rollout.trial.skipped = true;
            } else if onward {
                rollout.cursor += 1;
            }
            rollout.step_since = now;
            rollout.clock = now;
            let label = rollout.plan.steps.get(rollout.cursor).map_or("the switch".into(), Step::label);
            Ok(match (full, paused || lifted) {
                (true, _) => "skips the remaining steps".into(),
                (false, true) => format!("the pause is over; next is {label}"),
                (false, false) => format!("one step is skipped; next is {label}"),
            })
        }
    }
}

/// At the barrier of a train.
fn barred(rollout: &Rollout) -> bool {
    let step = rollout.plan.steps.get(rollout.cursor);
    rollout.stage == Stage::Steps && step == Some(&Step::Pause(Wait::Train))
}

fn leave(state: &mut State, now: Timestamp) -> Result<String, Refusal> {
    let Some(rollout) = state.rollout.as_mut().filter(|r| barred(r)) else {
        return refuse("not-at-the-barrier", "it is not at the barrier of a train");
    };
    rollout.cursor += 1;
    rollout.step_since = now;
    rollout.clock = now;
    Ok("all of the train are there; it goes on".into())
}

fn pause(state: &mut State, by: &str, now: Timestamp) -> Result<String, Refusal> {
    let Some(rollout) = state.rollout.as_mut().filter(|r| !r.stage.ended()) else {
        return refuse("nothing-to-pause", "nothing is being rolled out");
    };
    match rollout.stage {
        Stage::Clear | Stage::Place | Stage::Steps => {
            if rollout.held.is_some() {
                return Ok("it is held already".into());
            }
            let message = format!("held by {by}");
            rollout.held = Some(Hold { since: now, reason: "held".into(), message: message.clone() });
            Ok(message)
        }
        Stage::InPlace | Stage::Revert => {
            refuse("cannot-pause", "a rolling update cannot be held where it is; abort takes it back")
        }
        Stage::Switch => refuse("cannot-pause", "it is switching; abort takes it back until it is healthy"),
        Stage::Retreat => refuse("cannot-pause", "it is being taken back"),
        Stage::Healthy | Stage::Aborted | Stage::Failed => {
            refuse("nothing-to-pause", "nothing is being rolled out")
        }
    }
}

fn resume(state: &mut State, now: Timestamp) -> Result<String, Refusal> {
    let Some(rollout) = &mut state.rollout else {
        return refuse("nothing-to-resume", "nothing is being rolled out");
    };
    if unhold(rollout, &mut state.memo, now) {
        rollout.trial.go_on(&rollout.plan.judging, now);
        return Ok("goes on where it was held".into());
    }
    match rollout.plan.steps.get(rollout.cursor) {
        Some(Step::Pause(Wait::Person)) if rollout.stage == Stage::Steps => {
            refuse("awaits-promotion", "nothing holds it but its own pause; `promote` ends that")
        }
        _ => Ok("nothing holds it".into()),
    }
}

fn abort(state: &mut State, by: &str, now: Timestamp) -> Result<String, Refusal> {
    let Some(rollout) = &mut state.rollout else { return Ok("nothing is under way; nothing changed".into()) };
    let stage = match (rollout.stage, rollout.plan.motion) {
        (Stage::Healthy | Stage::Aborted, _) => return Ok("nothing is under way; nothing changed".into()),
        (Stage::Retreat | Stage::Revert, _) => return Ok("it is being taken back already".into()),
        (_, Motion::First) => {
            return refuse("nothing-before", "the first version has none before it; `delete` removes it");
        }
        (_, Motion::InPlace) => Stage::Revert,
        (_, Motion::Router | Motion::Replicas | Motion::Switch) => Stage::Retreat,
    };
    rollout.stage = stage;
    rollout.stage_since = now;
    rollout.clock = now;
    rollout.held = None;
    rollout.cause = Some(Cause {
        reason: "aborted".into(),
        message: format!("aborted by {by}"),
        at: now,
        pod: None,
        log: vec![],
    });
    // It may never have been meant to go back by itself; a person's word is another matter.
    Ok(match state.live {
        Some(live) => format!("taking revision {} back to {}", rollout.revision, live.revision),
        None => format!("taking revision {} back", rollout.revision),
    })
}

fn retry(state: &mut State, now: Timestamp) -> Result<String, Refusal> {
    match &state.rollout {
        Some(r) if matches!(r.stage, Stage::Aborted | Stage::Failed | Stage::Retreat | Stage::Revert) => {
            let revision = r.revision;
            again(state, now)?;
            Ok(format!("revision {revision} starts again"))
        }
        Some(r) if !r.stage.ended() => refuse("not-aborted", "it is under way; there is nothing to retry"),
        _ => refuse("not-aborted", "no aborted rollout is there to retry"),
    }
}

/// Starts an aborted rollout again, in the slot that still has its template.
fn again(state: &mut State, now: Timestamp) -> Result<(), Refusal> {
    let idle = state.idle();
    state.memo = Memo::default();
    let Some(rollout) = &mut state.rollout else { return refuse("nothing", "nothing was rolled out") };
    rollout.stage = match rollout.plan.motion {
        Motion::First | Motion::InPlace => Stage::InPlace,
        Motion::Router | Motion::Replicas | Motion::Switch => {
            state.candidate = Some(Placed { slot: idle, revision: rollout.revision });
            Stage::Place
        }
    };
    rollout.cursor = 0;
    rollout.trial = Trial::default();
    rollout.cause = None;
    rollout.held = None;
    rollout.tidy = false;
    rollout.stage_since = now;
    rollout.step_since = now;
    rollout.clock = now;
    let number = rollout.deploy;
    if let Some(deploy) = state.deploy_mut(number) {
        deploy.result = DeployResult::Progressing;
        deploy.ended = None;
        deploy.reason = None;
    }
    Ok(())
}

fn scale(state: &mut State, replicas: u32) -> Result<String, Refusal> {
    if state.autoscaled {
        return refuse(
            "autoscaled",
            "an autoscaler sets the number of pods; change `autoscaling` in msctl.yaml",
        );
    }
    if state.live.is_none() && state.under_way().is_none() {
        return refuse("not-deployed", "nothing is deployed that could be scaled");
    }
    state.replicas = replicas;
    state.resizing = state.under_way().is_none();
    Ok(format!("{replicas} pods, until the next deploy"))
}
