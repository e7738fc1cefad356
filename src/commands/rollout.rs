//! `rollout …`: steer and follow a rollout.

use std::sync::Arc;

use serde::Serialize;

use crate::cli;
use crate::context::Ctx;
use crate::error::Failure;
use crate::platform::Platform;
use crate::rollout::{self, Deploy, DeployResult, Ended, History, Obeyed, Outcome, Status, Verb};
use crate::service::Service;
use crate::ui::{Format, Paint, View};

pub fn run(ctx: &Ctx, args: cli::Rollout) -> anyhow::Result<u8> {
    use cli::Rollout;
    match args {
        Rollout::Status(named) => super::status::rollout(ctx, &named),
        Rollout::Watch(named) => watch(ctx, &named),
        Rollout::Promote { named, full } => verb(ctx, &named, Verb::Promote { full }),
        Rollout::Pause(named) => verb(ctx, &named, Verb::Pause),
        Rollout::Resume(named) => verb(ctx, &named, Verb::Resume),
        Rollout::Abort(named) => verb(ctx, &named, Verb::Abort),
        Rollout::Retry(named) => verb(ctx, &named, Verb::Retry),
        Rollout::Undo { named, to } => undo(ctx, &named, to),
        Rollout::History(named) => history(ctx, &named),
        Rollout::Restart(named) => restart(ctx, &named),
        Rollout::Rehearse(args) => super::rehearse::run(ctx, &args),
        Rollout::Judge { target, metric } => super::judge::run(ctx, &target, &metric),
        Rollout::Report { target, out } => super::report::run(ctx, &target, out.as_deref()),
        Rollout::Attach { named, once, handoff } => attach(ctx, &named, once, &handoff),
        Rollout::Rbac(named) => rbac(ctx, &named),
    }
}

/// The service, and the place it runs in.
pub(super) async fn open(ctx: &Ctx, named: &cli::Named) -> anyhow::Result<(Service, Arc<dyn Platform>)> {
    let (_, service, target) = ctx.service(named.service.as_deref())?;
    let platform = ctx.platform(&service, &target).await?;
    Ok((service, platform))
}

/// `[SERVICE] [DEPLOY]`: what is a number is a deploy's, since no service is called so.
pub(super) fn deploy_of(target: &[String]) -> anyhow::Result<(cli::Named, Option<u32>)> {
    let wrong = |text: &String| {
        Failure::usage("deploy-number", format!("{text:?} is not the number of a deploy"))
            .hint("`msctl rollout history` lists them")
    };
    Ok(match target {
        [] => (cli::Named::default(), None),
        [one] => match one.parse() {
            Ok(number) => (cli::Named::default(), Some(number)),
            Err(_) if one.chars().all(|c| c.is_ascii_digit()) => return Err(wrong(one).into()),
            Err(_) => (cli::Named { service: Some(one.clone()) }, None),
        },
        [service, number, ..] => {
            let deploy = number.parse().map_err(|_| wrong(number))?;
            (cli::Named { service: Some(service.clone()) }, Some(deploy))
        }
    })
}

/// What a verb did.
#[derive(Serialize)]
struct Done {
    service: String,
    message: String,
    status: Status,
}

impl View for Done {
    fn schema(&self) -> &'static str {
        "msctl.dev/rollout/v1"
    }
    fn human(&self, paint: &Paint) -> String {
        format!("{}: {}", paint.bold(&self.service), self.message)
    }
}

/// What driving came to.
#[derive(Serialize)]
struct Driven(Outcome);

impl View for Driven {
    fn schema(&self) -> &'static str {
        "msctl.dev/rollout/v1"
    }
    fn human(&self, paint: &Paint) -> String {
        let outcome = &self.0;
        let name = paint.bold(&outcome.service);
        let message = outcome.status.as_ref().map(|s| s.message.clone()).unwrap_or_default();
        match outcome.ended {
            Ended::Unchanged => format!("{name}: nothing to do"),
            Ended::Healthy => format!("{name}: {message} ({:.1} s)", outcome.seconds),
            Ended::Reached => format!("{name}: {message}"),
            Ended::Detached => format!("{name}: a driver in the cluster goes on: {message}"),
            Ended::Paused => format!(
                "{name}: paused: {message}; `msctl rollout promote` goes on, `msctl rollout abort` takes it back"
            ),
            Ended::Aborted => format!("{name}: revision {} is taken back: {message}", outcome.revision),
        }
    }
}

pub(super) fn show(ctx: &Ctx, service: &str, obeyed: Obeyed) -> anyhow::Result<u8> {
    match obeyed {
        Obeyed::Said(message, status) => {
            ctx.ui.show(&Done { service: service.to_owned(), message, status })?;
            Ok(0)
        }
        Obeyed::Driven(outcome) => {
            let code = outcome.code();
            ctx.ui.show(&Driven(outcome))?;
            Ok(code)
        }
    }
}

pub(super) fn verb(ctx: &Ctx, named: &cli::Named, verb: Verb) -> anyhow::Result<u8> {
    ctx.block_on(async {
        let (service, platform) = open(ctx, named).await?;
        let obeyed = match verb {
            Verb::Abort => rollout::abort(ctx, platform.as_ref(), &service).await?,
            verb => rollout::verb(ctx, platform.as_ref(), &service.service, verb).await?,
        };
        show(ctx, &service.service, obeyed)
    })?
}

fn undo(ctx: &Ctx, named: &cli::Named, to: Option<u32>) -> anyhow::Result<u8> {
    ctx.block_on(async {
        let (service, platform) = open(ctx, named).await?;
        let obeyed = rollout::undo(ctx, platform.as_ref(), &service, to).await?;
        show(ctx, &service.service, obeyed)
    })?
}

/// The driver's objects: YAML for kubectl as text, a list as JSON.
#[derive(Serialize)]
struct Rbac {
    service: String,
    objects: Vec<serde_json::Value>,
}

impl View for Rbac {
    fn schema(&self) -> &'static str {
        "msctl.dev/rollout-rbac/v1"
    }
    fn human(&self, _paint: &Paint) -> String {
        self.objects.iter().map(crate::manifest::to_yaml).collect::<Vec<_>>().join("---\n")
    }
}

fn rbac(ctx: &Ctx, named: &cli::Named) -> anyhow::Result<u8> {
    ctx.block_on(async {
        let (service, platform) = open(ctx, named).await?;
        // What was adopted has a name of its own; where there is no state, or no cluster, nothing was.
        let _ = platform.load().await;
        let objects = crate::deploy::access(platform.as_ref(), &service)?;
        // What it has to say comes before the answer.
        drop(platform);
        ctx.ui.show(&Rbac { service: service.service, objects })?;
        Ok(0)
    })?
}

fn attach(ctx: &Ctx, named: &cli::Named, once: bool, handoff: &cli::Handoff) -> anyhow::Result<u8> {
    ctx.block_on(async {
        let (_, service, target) = ctx.service(named.service.as_deref())?;
        let platform = ctx.platform(&service, &target).await?;
        let outcome = match crate::deploy::substitute(ctx, handoff, &service, &target).await? {
            Some(wanted) => {
                rollout::attach_detached(ctx, platform.as_ref(), &service.service, &wanted).await?
            }
            None => rollout::attach(ctx, platform.as_ref(), &service.service, once).await?,
        };
        show(ctx, &service.service, Obeyed::Driven(outcome))
    })?
}

fn watch(ctx: &Ctx, named: &cli::Named) -> anyhow::Result<u8> {
    if ctx.ui.options.format == Format::Json {
        return Err(Failure::usage("format", "watch is a stream; one JSON document cannot hold it")
            .hint("use -o ndjson, or `msctl rollout status -o json`")
            .into());
    }
    ctx.block_on(async {
        let (service, platform) = open(ctx, named).await?;
        let status = rollout::watch(ctx, platform.as_ref(), &service.service).await?;
        let code = rollout::code(&status);
        ctx.ui.show(&super::status::View::rollout(status))?;
        Ok(code)
    })?
}

fn restart(ctx: &Ctx, named: &cli::Named) -> anyhow::Result<u8> {
    #[derive(Serialize)]
    struct Restarted {
        service: String,
        pods: u32,
    }
    impl View for Restarted {
        fn schema(&self) -> &'static str {
            "msctl.dev/rollout-restart/v1"
        }
        fn human(&self, paint: &Paint) -> String {
            format!("{}: {} pods replaced", paint.bold(&self.service), self.pods)
        }
    }
    ctx.block_on(async {
        let (service, platform) = open(ctx, named).await?;
        let pods = rollout::restart(ctx, platform.as_ref(), &service.service).await?;
        ctx.ui.show(&Restarted { service: service.service, pods })?;
        Ok(0)
    })?
}

impl View for History {
    fn schema(&self) -> &'static str {
        "msctl.dev/rollout-history/v1"
    }
    fn human(&self, paint: &Paint) -> String {
        let mut table = comfy_table::Table::new();
        table.load_preset(comfy_table::presets::NOTHING);
        table.set_header(["", "DEPLOY", "REVISION", "STRATEGY", "RESULT", "BEGAN", "TOOK", "BY", "IMAGE"]);
        let live = self.live_deploy();
        for deploy in self.deploys.iter().rev() {
            let image = self.revisions.iter().find(|r| r.number == deploy.revision);
            let from = deploy.from.map(|f| format!(" from {f}")).unwrap_or_default();
            table.add_row([
                if live == Some(deploy.number) { "*" } else { "" }.to_owned(),
                deploy.number.to_string(),
                format!("{}{from}", deploy.revision),
                strategy(deploy),
                result(deploy, paint),
                deploy.at.strftime("%Y-%m-%d %H:%M:%SZ").to_string(),
                deploy.ended.map(|end| took(end.duration_since(deploy.at))).unwrap_or_default(),
                deploy.by.clone(),
                image.map(|r| short(&r.image)).unwrap_or_else(|| "no longer kept".into()),
            ]);
        }
        table.to_string()
    }
}

fn strategy(deploy: &Deploy) -> String {
    match (deploy.from, deploy.undo) {
        (None, _) => "first".into(),
        (_, true) => format!("undo ({})", deploy.strategy),
        (_, false) => deploy.strategy.to_string(),
    }
}

/// Who says abort is no verdict on the version.
fn result(deploy: &Deploy, paint: &Paint) -> String {
    let because = |reason: &Option<String>| reason.as_ref().map(|r| format!(" ({r})")).unwrap_or_default();
    match (deploy.result, deploy.reason.as_deref()) {
        (DeployResult::Progressing, _) => paint.cyan("under way"),
        (DeployResult::Healthy, _) => paint.green("healthy"),
        (DeployResult::Aborted, Some("aborted")) => paint.yellow("aborted"),
        (DeployResult::Aborted, _) => paint.red(format!("refused{}", because(&deploy.reason))),
        (DeployResult::Failed, _) => paint.red(format!("failed{}", because(&deploy.reason))),
        (DeployResult::Superseded, _) => paint.dim("superseded"),
    }
}

/// `42s`, `3m05s`, `2h10m`.
fn took(duration: jiff::SignedDuration) -> String {
    let seconds = duration.as_secs().max(0);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
    }
}

/// `registry/shop/orders@sha256:0123456789ab…` without most of the digest.
fn short(image: &str) -> String {
    match image.split_once("@sha256:") {
        Some((name, digest)) => format!("{name}@{}", digest.chars().take(12).collect::<String>()),
        None => image.chars().take(60).collect(),
    }
}

fn history(ctx: &Ctx, named: &cli::Named) -> anyhow::Result<u8> {
    ctx.block_on(async {
        let (service, platform) = open(ctx, named).await?;
        ctx.ui.show(&rollout::history(platform.as_ref(), &service.service).await?)?;
        Ok(0)
    })?
}
