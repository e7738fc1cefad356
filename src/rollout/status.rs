//! The document of `rollout status`: where a service and its rollout are. Pure.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::plan::Motion;
use super::spec::{Step, Wait};
use super::state::{Rollout, Stage, State};
use super::{MigrationPhase, Observation, Slot};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Nothing is deployed.
    Absent,
    Progressing,
    Paused,
    Healthy,
    /// The candidate was refused or taken back; the version before serves.
    Aborted,
    /// Neither is as it should be.
    Degraded,
}

impl Phase {
    pub fn name(self) -> &'static str {
        match self {
            Phase::Absent => "absent",
            Phase::Progressing => "progressing",
            Phase::Paused => "paused",
            Phase::Healthy => "healthy",
            Phase::Aborted => "aborted",
            Phase::Degraded => "degraded",
        }
    }
}

/// Where the rollout is.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    pub service: String,
    pub phase: Phase,
    /// Stable code, listed in docs.
    pub reason: String,
    pub message: String,
    pub strategy: Option<String>,
    pub step: Option<StepStatus>,
    pub weight: WeightStatus,
    pub slots: Slots,
    /// The metrics, each as last measured.
    pub analysis: Vec<super::analysis::MetricStatus>,
    /// `user@host:pid:random` of the driver.
    pub holder: Option<String>,
    /// Since when an unfinished rollout has had no driver.
    pub undriven_since: Option<Timestamp>,
    /// When the present phase began.
    pub since: Option<Timestamp>,
}

/// The step the rollout is at, counted from 1, of how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct StepStatus {
    pub index: u32,
    pub count: u32,
}

/// The candidate's share in percent.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct WeightStatus {
    pub desired: u8,
    /// What the router, or the pods, are set to; None until observed.
    pub actual: Option<u8>,
    /// What the pods of both slots counted since the weight is this one, where an analysis reads their counters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub measured: Option<super::Split>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Slots {
    pub live: Option<SlotStatus>,
    pub candidate: Option<SlotStatus>,
    /// The old slot, inside its delay.
    pub previous: Option<SlotStatus>,
}

/// A slot as people are shown it: one that is somebody else's Deployment is `adopted`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seat {
    pub slot: Slot,
    pub adopted: bool,
}

impl Seat {
    pub fn name(self) -> &'static str {
        if self.adopted { "adopted" } else { self.slot.name() }
    }
}

impl Serialize for Seat {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SlotStatus {
    pub slot: Seat,
    pub revision: u32,
    pub image: String,
    pub replicas: u32,
    pub ready: u32,
    pub available: u32,
    /// Until when the slot keeps its pods.
    pub until: Option<Timestamp>,
}

/// Who drives, as far as the reader can tell.
#[derive(Debug, Clone, Default)]
pub struct Driving {
    /// None: nobody, or a driver that is known to be gone.
    pub holder: Option<String>,
    /// When the last driver was last heard of.
    pub last_seen: Option<Timestamp>,
}

/// Puts the document together.
pub fn status(service: &str, state: Option<&State>, seen: &Observation, driving: &Driving) -> Status {
    let Some(state) = state else { return absent(service) };
    let Some(rollout) = &state.rollout else { return absent(service) };
    let (phase, reason, message) = phase(state, rollout, seen);
    let unfinished = !rollout.stage.ended();
    let undriven = driving.holder.is_none() && unfinished;
    let waits = driving.last_seen.unwrap_or(rollout.stage_since);
    let mut trial = rollout.trial.clone();
    if rollout.stage == Stage::Healthy {
        // What passed to the end has succeeded, although nothing ended it.
        trial.stop();
    }
    Status {
        service: service.to_owned(),
        phase,
        reason,
        message,
        strategy: Some(rollout.plan.strategy.to_string()),
        step: step_of(rollout),
        weight: weight(state, rollout, seen),
        slots: slots(state, rollout, seen),
        analysis: trial.status(&rollout.plan.judging.metrics),
        holder: driving.holder.clone(),
        undriven_since: undriven.then_some(waits),
        since: Some(since(rollout)),
    }
}

fn absent(service: &str) -> Status {
    Status {
        service: service.to_owned(),
        phase: Phase::Absent,
        reason: "not-deployed".into(),
        message: format!("{service} is not deployed here"),
        strategy: None,
        step: None,
        weight: WeightStatus { desired: 0, actual: None, measured: None },
        slots: Slots { live: None, candidate: None, previous: None },
        analysis: Vec::new(),
        holder: None,
        undriven_since: None,
        since: None,
    }
}

fn since(rollout: &Rollout) -> Timestamp {
    match &rollout.held {
        Some(hold) => hold.since,
        None if pausing(rollout).is_some() => rollout.step_since,
        None if rollout.stage.ended() => rollout.stage_since,
        None => rollout.started,
    }
}

/// The pause the rollout is in by its own plan.
fn pausing(rollout: &Rollout) -> Option<Wait> {
    match rollout.plan.steps.get(rollout.cursor) {
        Some(Step::Pause(wait)) if rollout.stage == Stage::Steps => Some(*wait),
        _ => None,
    }
}

fn phase(state: &State, rollout: &Rollout, seen: &Observation) -> (Phase, String, String) {
    let said = |phase, reason: &str, message: String| (phase, reason.to_owned(), message);
    if let Some(hold) = &rollout.held {
        return said(Phase::Paused, &hold.reason, hold.message.clone());
    }
    let cause = rollout.cause.as_ref();
    let because = cause.map_or("", |c| c.reason.as_str());
    let why = || cause.map(|c| c.message.clone()).unwrap_or_default();
    let revision = rollout.revision;
    let expand = state.migration(revision, MigrationPhase::Expand).filter(|m| m.running());
    match rollout.stage {
        Stage::Place | Stage::InPlace if let Some(expand) = expand => said(
            Phase::Progressing,
            "migrating",
            format!("expand of revision {revision}: {}", expand.label()),
        ),
        Stage::Clear => said(Phase::Progressing, "clearing", "the idle slot is being emptied".into()),
        Stage::Place => {
            said(Phase::Progressing, "placing", format!("revision {revision} goes into the idle slot"))
        }
        Stage::Steps => match pausing(rollout) {
            Some(Wait::Person) => {
                said(Phase::Paused, "awaits-promotion", "waits to be promoted or aborted".into())
            }
            Some(Wait::Train) => {
                let text = "waits at the barrier for the other services of its train";
                said(Phase::Paused, super::AWAITS_TRAIN, text.into())
            }
            Some(Wait::Seconds(seconds)) => {
                let until = rollout.step_since + SignedDuration::from_secs(seconds as i64);
                said(Phase::Paused, "timed-pause", format!("pauses until {until:.0}"))
            }
            None => {
                let label = rollout.plan.steps.get(rollout.cursor).map(Step::label);
                said(Phase::Progressing, "shifting", label.unwrap_or_else(|| Step::Weight(100).label()))
            }
        },
        Stage::Switch => said(Phase::Progressing, "switching", format!("revision {revision} takes over")),
        Stage::InPlace => {
            said(Phase::Progressing, "updating", format!("revision {revision} replaces the live pods"))
        }
        Stage::Revert | Stage::Retreat => said(Phase::Progressing, "taking-back", why()),
        Stage::Healthy => match unhealthy(state, seen) {
            Some((reason, message)) => said(Phase::Degraded, &reason, message),
            None if state.resizing => {
                said(Phase::Progressing, "scaling", format!("to {} pods", state.replicas))
            }
            None => said(Phase::Healthy, "complete", format!("revision {revision} serves")),
        },
        Stage::Aborted => said(Phase::Aborted, because, why()),
        Stage::Failed => said(Phase::Degraded, because, why()),
    }
}

/// What is wrong with a live slot that no rollout touches.
fn unhealthy(state: &State, seen: &Observation) -> Option<(String, String)> {
    let live = state.live?;
    let Some(slot) = seen.slots.get(&live.slot) else {
        return Some(("live-gone".into(), format!("the live slot {} is gone", live.slot)));
    };
    if state.replicas > 0 && slot.available == 0 {
        return Some(match slot.problems.first() {
            Some(problem) => (problem.reason.clone(), format!("{}: {}", problem.pod, problem.message)),
            None => ("unavailable".into(), format!("no pod of {} is available", live.slot)),
        });
    }
    None
}

fn step_of(rollout: &Rollout) -> Option<StepStatus> {
    let count = rollout.plan.steps.len() as u32;
    let index = match rollout.stage {
        Stage::Healthy | Stage::Switch => count,
        Stage::Clear
        | Stage::Place
        | Stage::Steps
        | Stage::InPlace
        | Stage::Revert
        | Stage::Retreat
        | Stage::Aborted
        | Stage::Failed => (rollout.cursor as u32 + 1).min(count),
    };
    (count > 0).then_some(StepStatus { index, count })
}

fn weight(state: &State, rollout: &Rollout, seen: &Observation) -> WeightStatus {
    let slot = match rollout.stage {
        Stage::Healthy => state.live.map(|l| l.slot),
        _ => state.candidate.map(|c| c.slot),
    };
    let desired = match (rollout.stage, rollout.plan.motion) {
        (Stage::Steps, _) => rollout.plan.shape(rollout.cursor, state.replicas).weight,
        (Stage::Switch | Stage::Healthy, _) => 100,
        _ => 0,
    };
    let actual = slot.and_then(|slot| seen.weight_of(slot));
    let measured = rollout.trial.split.filter(|_| rollout.stage == Stage::Steps);
    WeightStatus { desired, actual, measured }
}

fn slots(state: &State, rollout: &Rollout, seen: &Observation) -> Slots {
    let one = |slot: Slot, revision: u32, until: Option<Timestamp>| {
        let observed = seen.slots.get(&slot).cloned().unwrap_or_default();
        let adopted = state.adopted.as_ref().is_some_and(|a| a.active && a.slot == slot);
        SlotStatus {
            slot: Seat { slot, adopted },
            revision,
            image: state.revision(revision).map(|r| r.image.clone()).unwrap_or_default(),
            replicas: observed.replicas,
            ready: observed.ready,
            available: observed.available,
            until,
        }
    };
    let shifts = !matches!(rollout.plan.motion, Motion::First | Motion::InPlace);
    let kept = rollout.plan.abort_delay.filter(|_| rollout.stage == Stage::Aborted && shifts);
    let kept = kept.map(|d| rollout.stage_since + SignedDuration::from_secs(d as i64));
    Slots {
        live: state.live.map(|l| one(l.slot, l.revision, None)),
        candidate: state.candidate.map(|c| one(c.slot, c.revision, kept)),
        previous: state.previous.map(|p| one(p.slot, p.revision, Some(p.until))),
    }
}
