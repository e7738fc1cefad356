//! `rollout judge`: what other thresholds would have made of past deploys.

use serde::Serialize;

use crate::context::Ctx;
use crate::rollout::analysis::TallyPhase;
use crate::rollout::story::{Change, Judged, MetricJudged, Would};
use crate::rollout::{self, DeployResult};
use crate::ui::{Paint, View};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    service: String,
    /// The thresholds judged by.
    thresholds: Vec<Threshold>,
    /// Newest first.
    deploys: Vec<Judged>,
    /// Deploys of which no measurements are kept.
    unmeasured: Vec<u32>,
}

#[derive(Serialize)]
struct Threshold {
    metric: String,
    limit: Option<String>,
}

pub fn run(ctx: &Ctx, target: &[String], metrics: &[String]) -> anyhow::Result<u8> {
    let (named, number) = super::rollout::deploy_of(target)?;
    ctx.block_on(async {
        let (service, platform) = super::rollout::open(ctx, &named).await?;
        let judged = rollout::judged(platform.as_ref(), &service, number, metrics).await?;
        let thresholds = judged
            .metrics
            .iter()
            .map(|m| Threshold { metric: m.name.clone(), limit: m.limit_text() })
            .collect();
        ctx.ui.show(&Answer {
            service: service.service,
            thresholds,
            deploys: judged.deploys,
            unmeasured: judged.unmeasured,
        })?;
        Ok(0)
    })?
}

impl View for Answer {
    fn schema(&self) -> &'static str {
        "msctl.dev/rollout-judge/v1"
    }
    fn human(&self, paint: &Paint) -> String {
        let limits =
            self.thresholds.iter().map(|t| format!("{} {}", t.metric, t.limit.as_deref().unwrap_or("")));
        let limits: Vec<String> = limits.map(|l| l.trim().to_owned()).collect();
        let mut text = format!("{} judged by {}\n\n", paint.bold(&self.service), limits.join(", "));
        let mut table = comfy_table::Table::new();
        table.load_preset(comfy_table::presets::NOTHING);
        table.set_header(["DEPLOY", "REVISION", "BEGAN", "THEN", "NOW", "WHY"]);
        for deploy in &self.deploys {
            let (now, why) = now(deploy, paint);
            table.add_row([
                deploy.deploy.to_string(),
                deploy.revision.to_string(),
                deploy.began.strftime("%Y-%m-%d %H:%M:%SZ").to_string(),
                then(deploy, paint),
                now,
                why,
            ]);
        }
        text += &table.to_string();
        text += "\n";
        if let [only] = self.deploys.as_slice() {
            text += &metrics(&only.metrics, paint);
        }
        if !self.unmeasured.is_empty() {
            let numbers: Vec<String> = self.unmeasured.iter().map(u32::to_string).collect();
            text +=
                &paint.dim(format!("\nnothing was measured, or is kept, of deploy {}", numbers.join(", ")));
        }
        text
    }
}

fn then(deploy: &Judged, paint: &Paint) -> String {
    let reason = deploy.reason.as_ref().map(|r| format!(" ({r})")).unwrap_or_default();
    let word = match deploy.result {
        DeployResult::Progressing => paint.cyan("under way"),
        DeployResult::Healthy => paint.green("healthy"),
        DeployResult::Aborted => paint.yellow("taken back"),
        DeployResult::Failed => paint.red("failed"),
        DeployResult::Superseded => paint.dim("superseded"),
    };
    word + &reason
}

fn now(deploy: &Judged, paint: &Paint) -> (String, String) {
    let after = |at: &jiff::Timestamp| {
        let seconds = at.duration_since(deploy.began).as_secs().max(0);
        format!("after {}:{:02}", seconds / 60, seconds % 60)
    };
    let (word, why) = match &deploy.would {
        Would::Pass => ("passes".to_owned(), String::new()),
        Would::Refused { at, metric, why } => (format!("refused {}", after(at)), format!("{metric}: {why}")),
        Would::Paused { at, metric, why } => (format!("paused {}", after(at)), format!("{metric}: {why}")),
        Would::Unknown => ("unknown".to_owned(), "none of these metrics was measured".to_owned()),
    };
    let word = match deploy.change {
        Change::Same => word,
        Change::NowRefused => paint.red(format!("{word} !")),
        Change::NowPasses => paint.green(format!("{word} !")),
        Change::NowPauses => paint.yellow(format!("{word} !")),
        Change::Unknown => paint.dim(word),
    };
    (word, why)
}

fn metrics(metrics: &[MetricJudged], paint: &Paint) -> String {
    let mut table = comfy_table::Table::new();
    table.load_preset(comfy_table::presets::NOTHING);
    table.set_header(["METRIC", "LIMIT", "VERDICT", "MEASUREMENTS", "FAILED", "HIGHEST", "WHY"]);
    for metric in metrics {
        let verdict = match metric.phase {
            Some(TallyPhase::Successful) => paint.green("passed"),
            Some(TallyPhase::Failed) => paint.red("failed"),
            Some(TallyPhase::Error) => paint.red("error"),
            Some(TallyPhase::Inconclusive) => paint.yellow("inconclusive"),
            Some(TallyPhase::Running) => paint.dim("undecided"),
            Some(TallyPhase::Waiting) | None => paint.dim("not measured"),
        };
        table.add_row([
            metric.metric.clone(),
            metric.limit.clone().unwrap_or_default(),
            verdict,
            metric.measurements.to_string(),
            metric.failures.to_string(),
            metric.worst.map(|v| metric.unit.show(v)).unwrap_or_default(),
            metric.why.clone().unwrap_or_default(),
        ]);
    }
    format!("\n{table}\n")
}
