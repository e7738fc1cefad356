//! What a rollout tells while it goes: one line for people, one object for scripts.

use serde::Serialize;
use serde_json::Value;

use super::analysis::Verdict;
use super::{Cause, MigrationPhase, Slot};
use crate::ui::{self, Level, Paint};

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "event", rename_all_fields = "camelCase")]
pub enum Event {
    /// A deploy began.
    Started {
        service: String,
        revision: u32,
        from: Option<u32>,
        strategy: String,
        image: String,
    },
    /// The idle slot is emptied first: what pods it still has, those on their way out too.
    Clearing {
        slot: Slot,
        pods: u32,
    },
    Step {
        index: u32,
        count: u32,
        label: String,
    },
    /// The candidate's share, as observed.
    Weight {
        slot: Slot,
        weight: u8,
    },
    /// The router was seen to do what it was told, or had long enough.
    Verified {
        slot: Slot,
        weight: u8,
        by: String,
    },
    Pods {
        slot: Slot,
        revision: u32,
        available: u32,
        replicas: u32,
    },
    /// Waits: for a person, or until the clock says.
    Paused {
        reason: String,
        message: String,
    },
    /// Someone's verb was obeyed.
    Obeyed {
        verb: String,
        by: String,
        message: String,
    },
    Ignored {
        verb: String,
        by: String,
        message: String,
    },
    /// Something is wrong with a pod of the new revision.
    Problem {
        reason: String,
        pod: String,
        message: String,
        terminal: bool,
        log: Vec<String>,
    },
    /// A measurement that counted.
    Measured {
        metric: String,
        /// pass, fail, inconclusive or error.
        verdict: String,
        value: Option<String>,
        samples: u64,
        message: String,
    },
    /// Going back.
    Refused {
        revision: u32,
        cause: Cause,
    },
    /// The new revision serves; the moment that is measured.
    Healthy {
        service: String,
        revision: u32,
        slot: Slot,
    },
    /// The version before serves again.
    Aborted {
        service: String,
        revision: u32,
        live: Option<u32>,
    },
    Failed {
        service: String,
        revision: u32,
        cause: Cause,
    },
    Drained {
        slot: Slot,
        revision: u32,
    },
    /// Contact is lost, and looked for.
    Unreachable {
        message: String,
    },
    /// This driver took over from one that is gone.
    TookOver {
        holder: String,
        epoch: u64,
    },
    Waiting {
        holder: String,
    },
    /// Of one car of a train.
    Of {
        car: String,
        happened: Box<Event>,
    },
    /// A car is at the barrier; so many are still to come.
    AtBarrier {
        car: String,
        waiting: u32,
    },
    /// A car goes back because another was refused.
    TakesBack {
        car: String,
    },
    /// A driver is started in the cluster.
    Calling {
        image: String,
    },
    /// What an undo brings back beside the image.
    Restores {
        revision: u32,
        what: Vec<String>,
    },
    /// It drives; this machine may go.
    HandedOver {
        holder: String,
        job: String,
    },
    /// A migration of the database began, or goes on.
    Migrating {
        revision: u32,
        phase: MigrationPhase,
        command: String,
    },
    Migrated {
        revision: u32,
        phase: MigrationPhase,
    },
    /// One that no rollout waits for: what serves goes on serving.
    MigrationFailed {
        revision: u32,
        phase: MigrationPhase,
        cause: Cause,
    },
    /// Nothing is wrong yet, but may be.
    Warned {
        message: String,
    },
}

impl Event {
    pub fn measured(metric: String, verdict: &Verdict, value: Option<f64>, samples: u64) -> Event {
        let (verdict, message) = match verdict {
            Verdict::Pass => ("pass", String::new()),
            Verdict::Fail(why) => ("fail", why.clone()),
            Verdict::Inconclusive(why) => ("inconclusive", why.clone()),
            Verdict::Error(why) => ("error", why.clone()),
        };
        let value = value.map(super::analysis::show);
        Event::Measured { metric, verdict: verdict.into(), value, samples, message }
    }
}

impl ui::Event for Event {
    fn kind(&self) -> &'static str {
        match self {
            Event::Started { .. } => "rollout-started",
            Event::Clearing { .. } => "clearing",
            Event::Step { .. } => "step",
            Event::Weight { .. } => "weight",
            Event::Verified { .. } => "weight-verified",
            Event::Pods { .. } => "pods",
            Event::Paused { .. } => "paused",
            Event::Obeyed { .. } => "obeyed",
            Event::Ignored { .. } => "ignored",
            Event::Problem { .. } => "problem",
            Event::Measured { .. } => "measured",
            Event::Refused { .. } => "refused",
            Event::Healthy { .. } => "healthy",
            Event::Aborted { .. } => "aborted",
            Event::Failed { .. } => "degraded",
            Event::Drained { .. } => "drained",
            Event::Unreachable { .. } => "unreachable",
            Event::TookOver { .. } => "took-over",
            Event::Waiting { .. } => "waiting",
            Event::Calling { .. } => "calling",
            Event::Of { happened, .. } => happened.kind(),
            Event::AtBarrier { .. } => "at-barrier",
            Event::TakesBack { .. } => "takes-back",
            Event::Restores { .. } => "restores",
            Event::Migrating { .. } => "migrating",
            Event::Migrated { .. } => "migrated",
            Event::MigrationFailed { .. } => "migration-failed",
            Event::HandedOver { .. } => "handed-over",
            Event::Warned { .. } => "warning",
        }
    }

    fn level(&self) -> Level {
        match self {
            Event::Problem { .. }
            | Event::Refused { .. }
            | Event::Failed { .. }
            | Event::Unreachable { .. }
            | Event::MigrationFailed { .. }
            | Event::Warned { .. }
            | Event::Ignored { .. } => Level::Warning,
            Event::Measured { verdict, .. } if verdict == "pass" => Level::Detail,
            Event::Of { happened, .. } => happened.level(),
            Event::TakesBack { .. } => Level::Warning,
            Event::Started { .. }
            | Event::Step { .. }
            | Event::Weight { .. }
            | Event::Verified { .. }
            | Event::Pods { .. }
            | Event::Measured { .. }
            | Event::Paused { .. }
            | Event::Clearing { .. }
            | Event::Obeyed { .. }
            | Event::Healthy { .. }
            | Event::Aborted { .. }
            | Event::Drained { .. }
            | Event::TookOver { .. }
            | Event::Waiting { .. }
            | Event::Calling { .. }
            | Event::Restores { .. }
            | Event::Migrating { .. }
            | Event::Migrated { .. }
            | Event::HandedOver { .. }
            | Event::AtBarrier { .. } => Level::Info,
        }
    }

    fn line(&self, paint: &Paint) -> Option<String> {
        Some(match self {
            Event::Started { service, revision, from, strategy, image } => {
                let from = from.map(|f| format!(" from revision {f}")).unwrap_or_default();
                format!("{} {strategy} to revision {revision}{from}: {image}", paint.bold(service))
            }
            Event::Clearing { slot, pods: 1 } => format!("{slot} is emptied first: 1 pod is on its way out"),
            Event::Clearing { slot, pods } => {
                format!("{slot} is emptied first: {pods} pods are on their way out")
            }
            Event::Step { index, count, label } => {
                format!("{} {label}", paint.dim(format!("step {index}/{count}")))
            }
            Event::Weight { slot, weight } => format!("{slot} gets {weight} % of the requests"),
            Event::Verified { slot, weight: 0, by } => format!("the rules for {slot} hold: {by}"),
            Event::Verified { slot, weight, by } => format!("{slot} has {weight} %: {by}"),
            Event::Pods { slot, revision, available, replicas } => {
                format!("{slot} (revision {revision}): {available} of {replicas} available")
            }
            Event::Paused { message, .. } => format!("{} {message}", paint.yellow("paused:")),
            Event::Obeyed { verb, by, message } => format!("{verb} by {by}: {message}"),
            Event::Ignored { verb, by, message } => {
                format!("{} {verb} by {by} was not obeyed: {message}", paint.yellow("warning:"))
            }
            Event::Problem { reason, pod, message, log, .. } => {
                let mut text = format!("{} {pod}: {reason}: {message}", paint.yellow("problem:"));
                for line in log.iter().rev().take(5).rev() {
                    text += &format!("\n  {} {line}", paint.dim("|"));
                }
                text
            }
            Event::Measured { metric, verdict, value, samples, message } => {
                let value = value.as_ref().map(|v| format!(" {v}")).unwrap_or_default();
                let samples = if *samples > 0 { format!(", {samples} requests") } else { String::new() };
                let message = if message.is_empty() { String::new() } else { format!(": {message}") };
                format!("metric {metric}{value}: {verdict}{message}{samples}")
            }
            Event::Refused { revision, cause } => {
                format!("{} revision {revision}: {}; taking it back", paint.red("refused:"), cause.message)
            }
            Event::Healthy { service, revision, slot } => {
                format!("{} {service} is healthy: revision {revision} serves from {slot}", paint.green("✓"))
            }
            Event::Aborted { service, revision, live } => match live {
                Some(live) => format!("{service}: revision {revision} is taken back; revision {live} serves"),
                None => format!("{service}: revision {revision} is taken back"),
            },
            Event::Failed { service, revision, cause } => {
                format!("{} {service} revision {revision}: {}", paint.red("degraded:"), cause.message)
            }
            Event::Drained { slot, revision } => format!("{slot} is drained of revision {revision}"),
            Event::Unreachable { message } => {
                format!("{} {message}; trying on", paint.yellow("no contact:"))
            }
            Event::TookOver { holder, epoch } => format!("took over from {holder} (epoch {epoch})"),
            Event::Waiting { holder } => format!("{holder} drives; waiting"),
            Event::Of { car, happened } => {
                let line = happened.line(paint)?;
                format!("{} {line}", paint.dim(format!("{car} |")))
            }
            Event::AtBarrier { car, waiting: 0 } => {
                format!("{car} is at the barrier, as all are; they go on")
            }
            Event::AtBarrier { car, waiting } => {
                format!("{car} is at the barrier; still to come: {waiting}")
            }
            Event::TakesBack { car } => format!("{} {car} goes back", paint.yellow("train refused:")),
            Event::Calling { image } => format!("starting a driver in the cluster: {image}"),
            Event::Restores { revision, what } => {
                format!("with revision {revision} come back: {}", what.join(", "))
            }
            Event::Migrating { revision, phase, command } => {
                format!(
                    "{} of revision {revision}: {command}",
                    paint.dim(format!("migration {}", phase.name()))
                )
            }
            Event::Migrated { revision, phase: MigrationPhase::Expand } => {
                format!("the schema has what revision {revision} needs")
            }
            Event::Migrated { revision, phase: MigrationPhase::Contract } => {
                format!("the schema has lost what only revisions before {revision} needed")
            }
            Event::MigrationFailed { revision, phase, cause } => {
                let mut text = format!("{} revision {revision}: {}", paint.yellow("warning:"), cause.message);
                for line in cause.log.iter().rev().take(5).rev() {
                    text += &format!("\n  {} {line}", paint.dim("|"));
                }
                if *phase == MigrationPhase::Contract {
                    text += "\n  mend it, then `msctl migrate contract`; the next deploy tries again too";
                }
                text
            }
            Event::HandedOver { holder, job } => format!("handed over to {holder} (Job {job})"),
            Event::Warned { message } => format!("{} {message}", paint.yellow("warning:")),
        })
    }

    fn data(&self) -> Value {
        if let Event::Of { car, happened } = self {
            let mut data = happened.data();
            data["car"] = car.as_str().into();
            return data;
        }
        let mut value = serde_json::to_value(self).unwrap_or_default();
        if let Some(members) = value.as_object_mut() {
            members.remove("event");
        }
        value
    }
}
