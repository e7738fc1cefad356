//! `status` and `rollout status`: the same document, read without the Lease.

use serde::Serialize;

use crate::cli;
use crate::context::Ctx;
use crate::rollout::analysis::{MetricStatus, TallyPhase};
use crate::rollout::{self, Phase, SlotStatus, Status};
use crate::ui::{self, Paint};

#[derive(Serialize)]
pub struct View {
    #[serde(skip)]
    schema: &'static str,
    #[serde(flatten)]
    status: Status,
}

impl View {
    pub fn rollout(status: Status) -> View {
        View { schema: "msctl.dev/rollout-status/v1", status }
    }
}

pub fn rollout(ctx: &Ctx, named: &cli::Named) -> anyhow::Result<u8> {
    shown(ctx, named, "msctl.dev/rollout-status/v1")
}

pub fn run(ctx: &Ctx, named: &cli::Named) -> anyhow::Result<u8> {
    shown(ctx, named, "msctl.dev/status/v1")
}

fn shown(ctx: &Ctx, named: &cli::Named, schema: &'static str) -> anyhow::Result<u8> {
    ctx.block_on(async {
        let (service, platform) = super::rollout::open(ctx, named).await?;
        let (_, _, status) = rollout::look(platform.as_ref(), &service.service).await?;
        let code = rollout::code(&status);
        ctx.ui.show(&View { schema, status })?;
        Ok(code)
    })?
}

impl ui::View for View {
    fn schema(&self) -> &'static str {
        self.schema
    }
    fn human(&self, paint: &Paint) -> String {
        let status = &self.status;
        let phase = match status.phase {
            Phase::Healthy => paint.green("healthy"),
            Phase::Progressing => paint.cyan("progressing"),
            Phase::Paused => paint.yellow("paused"),
            Phase::Aborted => paint.yellow("aborted"),
            Phase::Absent => paint.dim("absent"),
            Phase::Degraded => paint.red("degraded"),
        };
        let mut text = format!("{} {phase}: {}\n", paint.bold(&status.service), status.message);
        if let Some(strategy) = &status.strategy {
            let step = status.step.map(|s| format!(", step {} of {}", s.index, s.count)).unwrap_or_default();
            let weight = match (status.weight.desired, status.weight.actual) {
                // What pods can split, they have split.
                (desired, Some(actual)) if desired != actual && status.phase == Phase::Paused => {
                    format!(", weight {actual} %, the nearest to {desired} %")
                }
                (desired, Some(actual)) if desired != actual => {
                    format!(", weight {actual} % on the way to {desired} %")
                }
                (desired, _) => format!(", weight {desired} %"),
            };
            let measured =
                status.weight.measured.map(|m| format!(" ({} % of {} requests)", m.percent, m.requests));
            text += &format!("  strategy   {strategy}{step}{weight}{}\n", measured.unwrap_or_default());
        }
        let slots = &status.slots;
        for (role, slot) in
            [("live", &slots.live), ("candidate", &slots.candidate), ("previous", &slots.previous)]
        {
            if let Some(slot) = slot {
                text += &line(role, slot, paint);
            }
        }
        for gate in &status.analysis {
            text += &gate_line(gate, paint);
        }
        if let Some(holder) = &status.holder {
            text += &format!("  driven by  {holder}\n");
        }
        if let Some(since) = status.undriven_since {
            text += &format!(
                "  {} since {since:.0}: nobody judges or advances it; `msctl rollout attach` does\n",
                paint.yellow("undriven")
            );
        }
        text
    }
}

/// One metric: what it came to, what it must keep to, and how that stands.
fn gate_line(gate: &MetricStatus, paint: &Paint) -> String {
    let phase = match gate.phase {
        TallyPhase::Waiting => paint.dim("waiting"),
        TallyPhase::Running => paint.cyan("running"),
        TallyPhase::Successful => paint.green("passed"),
        TallyPhase::Failed => paint.red("failed"),
        TallyPhase::Inconclusive => paint.yellow("inconclusive"),
        TallyPhase::Error => paint.red("error"),
    };
    let mut text = format!("  metric     {} {phase}", paint.bold(&gate.metric));
    if let Some(value) = gate.value_text() {
        text += &format!(": {value}");
    }
    if let Some(threshold) = &gate.threshold {
        text += &format!(", limit {threshold}");
    }
    if let Some(live) = gate.live {
        text += &format!(", live {}", gate.unit.show(live));
    }
    let samples = gate.samples.map(|n| format!(" of {n} requests")).unwrap_or_default();
    text += &paint.dim(format!("  {} measured{samples}", gate.measurements));
    if let Some(message) = gate.message.as_ref().filter(|_| gate.phase != TallyPhase::Successful) {
        text += &format!("\n             {message}");
    }
    text + "\n"
}

fn line(role: &str, slot: &SlotStatus, paint: &Paint) -> String {
    let until = slot.until.map(|u| format!(", until {u:.0}")).unwrap_or_default();
    format!(
        "  {role:<10} {} revision {}: {} of {} available{until}  {}\n",
        slot.slot.name(),
        slot.revision,
        slot.available,
        slot.replicas,
        paint.dim(&slot.image)
    )
}
