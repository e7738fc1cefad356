//! `rollout rehearse`, and the hidden `relay` that plays a version.

use std::collections::BTreeMap;

use crate::cli;
use crate::context::Ctx;
use crate::error::Failure;
use crate::rehearsal::{self, Act, Ended, Fault, Rehearsal, Wishes};
use crate::rollout::Options;
use crate::rollout::analysis::headers;
use crate::service::Strategy;
use crate::ui::{Paint, View};

pub fn run(ctx: &Ctx, args: &cli::Rehearse) -> anyhow::Result<u8> {
    let wishes = wishes(ctx, args)?;
    let options = Options::of(&cli::Deploy {
        strategy: args.strategy.clone(),
        steps: args.steps.clone(),
        pause: args.pause.clone(),
        ..cli::Deploy::default()
    })?;
    let name = args.named.service.as_deref();
    let rehearsal = ctx.block_on(rehearsal::rehearse(ctx, name, &wishes, &options))??;
    ctx.ui.show(&rehearsal)?;
    Ok(u8::from(!rehearsal.convinces()))
}

/// Ends as the service does.
pub fn relay(ctx: &Ctx, args: &cli::Relay) -> anyhow::Result<u8> {
    let part = serde_json::from_str(&args.part)
        .map_err(|e| Failure::usage("relay", format!("{}: {e}", args.part)))?;
    let port = ctx.settings.env.get("PORT").and_then(|port| port.parse().ok()).ok_or_else(|| {
        Failure::usage("relay", "PORT does not say where to listen").hint("msctl starts this by itself")
    })?;
    ctx.block_on(rehearsal::relay::run(&ctx.ui, part, &args.command, port))?
}

fn wishes(ctx: &Ctx, args: &cli::Rehearse) -> anyhow::Result<Wishes> {
    let wrong = |text: &str, why: String| Failure::usage("fault", format!("--fault {text}: {why}"));
    let named = args.fault.iter().map(|text| text.parse::<Fault>().map_err(|why| wrong(text, why)));
    let named = named.collect::<Result<Vec<_>, _>>()?;
    if !(1..=1000).contains(&args.rate) {
        return Err(Failure::usage("rate", "--rate is from 1 to 1000 requests a second").into());
    }
    if !args.path.starts_with('/') {
        return Err(Failure::usage("path", format!("--path {:?} does not begin with /", args.path)).into());
    }
    let pair = |text: &String| text.split_once(':').map(|(n, v)| (n.trim().to_owned(), v.to_owned()));
    let written: Option<BTreeMap<_, _>> = args.header.iter().map(pair).collect();
    // What it holds may be nobody's business.
    let written = written.ok_or_else(|| Failure::usage("header", "a --header is not NAME:VALUE"))?;
    let variables = |name: &str| ctx.settings.env.get(name).map(str::to_owned);
    let headers =
        headers(&written, &variables).map_err(|why| Failure::usage("header", format!("--header: {why}")))?;
    let faults = if named.is_empty() { Fault::USUAL.to_vec() } else { named };
    Ok(Wishes { faults, rate: args.rate, path: args.path.clone(), headers })
}

impl View for Rehearsal {
    fn schema(&self) -> &'static str {
        "msctl.dev/rollout-rehearse/v1"
    }
    fn human(&self, paint: &Paint) -> String {
        let mut table = comfy_table::Table::new();
        table.load_preset(comfy_table::presets::NOTHING);
        table.set_header(["", "VERSION", "ENDED", "AFTER", "REQUESTS", "MET IT", "FAILED"]);
        for act in &self.acts {
            table.add_row([
                if act.expected { paint.green("✓") } else { paint.red("✗") },
                act.fault.map_or("as it is".to_owned(), |fault| fault.to_string()),
                ended(act.ended).to_owned(),
                format!("{:.1} s", act.seconds),
                act.requests.to_string(),
                act.met.to_string(),
                act.failed.to_string(),
            ]);
        }
        let (service, strategy, whose) = (paint.bold(&self.service), self.strategy, &self.environment);
        let mut text =
            format!("\n{service}: {strategy} as in {whose}, rehearsed on this machine\n\n{table}\n\n");
        for act in &self.acts {
            text += &remark(act, strategy, paint);
        }
        text
    }
}

fn ended(ended: Ended) -> &'static str {
    match ended {
        Ended::Healthy => "healthy",
        Ended::Refused => "refused",
        Ended::Held => "held",
    }
}

/// Why it ended so, or what would have seen it.
fn remark(act: &Act, strategy: Strategy, paint: &Paint) -> String {
    let name = act.fault.map_or("as it is".to_owned(), |fault| fault.to_string());
    match (&act.message, act.fault) {
        (Some(message), _) if act.expected => format!("{}: {message}\n", paint.dim(name)),
        (Some(message), Some(_)) => {
            format!("{}: refused, but not for what is wrong with it: {message}\n", paint.red(name))
        }
        (Some(message), None) => format!(
            "{}: {message}\n  {} a version like the live one must pass: more requests (--rate), a longer window, a wider bound\n",
            paint.red(name),
            paint.cyan("hint:")
        ),
        (None, Some(fault)) => {
            format!(
                "{}: no gate saw it\n  {} {}\n",
                paint.red(name),
                paint.cyan("hint:"),
                gate(fault, strategy)
            )
        }
        (None, None) => String::new(),
    }
}

/// What sees such a fault.
fn gate(fault: Fault, strategy: Strategy) -> &'static str {
    match fault {
        _ if strategy == Strategy::Rolling => {
            "a rolling update is judged by readiness alone: another strategy has a candidate to judge, such as --canary"
        }
        Fault::Errors(_) => {
            "a metric such as {name: errors, builtin: error-rate, max: 1%}, judged while the weight is low: docs/analysis.md"
        }
        Fault::Latency(_) => {
            "a metric such as {name: latency, builtin: latency-p95, max: 1.5x}, judged while the weight is low: docs/analysis.md"
        }
        Fault::Crash(_) | Fault::Unready => "a pause or an analysis before all requests go there",
    }
}
