//! `deploy`, and `deploy --plan`.

use serde::Serialize;

use crate::cli;
use crate::context::Ctx;
use crate::deploy::{self, Deployed, Planned, Request};
use crate::error::Failure;
use crate::platform::Action;
use crate::rollout::{Ended, Options, Outcome};
use crate::settings::Origin;
use crate::ui::{Paint, View};

pub fn run(ctx: &Ctx, args: &cli::Deploy) -> anyhow::Result<u8> {
    let options = Options::of(args)?;
    let request = Request {
        services: args.service.clone(),
        image: args.image.clone(),
        environments: args.envs.clone(),
        handoff: args.handoff.clone(),
        train: args.train,
    };
    one_driver(args)?;
    one_choice(ctx, args)?;
    if args.plan {
        let services = ctx.block_on(deploy::plan(ctx, &request, &options))??;
        ctx.ui.show(&Plans { services })?;
        return Ok(0);
    }
    let deployed = ctx.block_on(deploy::run(ctx, &request, &options))??;
    let code = deployed.services.iter().map(Outcome::code).max().unwrap_or(0);
    ctx.ui.show(&deployed)?;
    Ok(code)
}

/// What the driver in the cluster cannot be told.
fn one_driver(args: &cli::Deploy) -> anyhow::Result<()> {
    if args.handoff.detach && args.until.is_some() {
        return Err(Failure::usage("detach", "--until waits here, and --detach does not wait")
            .hint("`msctl rollout watch` follows the driver in the cluster")
            .into());
    }
    Ok(())
}

/// Two flags contradict each other; a variable gives way.
fn one_choice(ctx: &Ctx, args: &cli::Deploy) -> anyhow::Result<()> {
    let given = ctx.settings.environment.as_ref().is_some_and(|e| e.origin == Origin::Flag);
    if given && !args.envs.is_empty() {
        return Err(Failure::usage("usage", "--env names one environment, --envs several")
            .hint("give one of them")
            .into());
    }
    Ok(())
}

impl View for Deployed {
    fn schema(&self) -> &'static str {
        "msctl.dev/deploy/v1"
    }
    fn human(&self, paint: &Paint) -> String {
        let several = self.services.iter().any(|o| o.place != self.services[0].place);
        let mut text: String = self.services.iter().map(|outcome| line(outcome, several, paint)).collect();
        if !self.skipped.is_empty() {
            text += &format!("{}: {}\n", paint.yellow("not deployed"), self.skipped.join(", "));
        }
        text
    }
}

fn line(outcome: &Outcome, several: bool, paint: &Paint) -> String {
    let place = if several { format!(" ({})", outcome.place) } else { String::new() };
    let name = format!("{}{place}", paint.bold(&outcome.service));
    let revision = outcome.revision;
    let took = paint.dim(format!("({:.1} s)", outcome.seconds));
    match outcome.ended {
        Ended::Unchanged => format!("{name}: nothing changed; revision {revision} is live\n"),
        Ended::Healthy => format!("{name}: revision {revision} is {} {took}\n", paint.green("healthy")),
        Ended::Reached => format!("{name}: revision {revision} is where --until names {took}\n"),
        Ended::Aborted => {
            let live = outcome.status.as_ref().and_then(|s| s.slots.live.as_ref());
            let serves = live.map(|l| format!("; revision {} serves", l.revision)).unwrap_or_default();
            format!("{name}: revision {revision} was {}{serves} {took}\n", paint.yellow("taken back"))
        }
        Ended::Detached => format!(
            "{name}: a driver in the cluster rolls revision {revision} out {took}\n  \
             follow it with `msctl rollout watch`, read it with `msctl logs --driver`\n"
        ),
        Ended::Paused => format!(
            "{name}: revision {revision} is {} {took}\n  go on with `msctl rollout promote`, back with `msctl rollout abort`\n",
            paint.yellow("paused")
        ),
    }
}

#[derive(Serialize)]
struct Plans {
    services: Vec<Planned>,
}

impl View for Plans {
    fn schema(&self) -> &'static str {
        "msctl.dev/plan/v1"
    }
    fn human(&self, paint: &Paint) -> String {
        self.services.iter().map(|plan| planned(plan, paint)).collect::<Vec<_>>().join("\n")
    }
}

fn planned(plan: &Planned, paint: &Paint) -> String {
    let rollout = &plan.rollout;
    let mut text = format!("{} → {} ({})\n", paint.bold(&plan.service), plan.environment, plan.place);
    if let Some(image) = &plan.image {
        let how = if plan.builds { " (to be built and pushed)" } else { "" };
        text += &format!("  image     {image}{how}\n");
    }
    let from = rollout.from.map_or("first deploy".to_owned(), |from| format!("from revision {from}"));
    text += &format!("  revision  {} ({from})\n", rollout.revision);
    let router = rollout.router.as_ref().map(|r| format!(" by {r}")).unwrap_or_default();
    text += &format!(
        "  strategy  {}{router}, {} pods, at most {} at a time\n",
        rollout.strategy, rollout.replicas, rollout.peak
    );
    let width = rollout.steps.iter().map(|s| s.step.chars().count()).max().unwrap_or(0).max(14);
    for (at, step) in rollout.steps.iter().enumerate() {
        text += &format!(
            "  step {:<4} {:<width$} pods {}/{} (new/live), weight {} %\n",
            at + 1,
            step.step,
            step.candidate,
            step.live,
            step.weight
        );
    }
    if plan.changes.is_empty() {
        text += "  objects   none changes\n";
    }
    for (at, change) in plan.changes.iter().enumerate() {
        let label = if at == 0 { "objects" } else { "" };
        text += &format!("  {label:<9} {} {}\n", sign(change.action, paint), change.object);
    }
    for note in rollout.notes.iter().chain(&plan.warnings) {
        text += &format!("  {}      {note}\n", paint.yellow("note"));
    }
    if !plan.driver.is_empty() {
        text += "  driver    is given in the cluster:\n";
        let objects: Vec<String> = plan.driver.iter().map(crate::manifest::to_yaml).collect();
        text += &objects.join("---\n").lines().map(|l| format!("    {l}\n")).collect::<String>();
    }
    text
}

pub(super) fn sign(action: Action, paint: &Paint) -> String {
    match action {
        Action::Create => paint.green("+"),
        Action::Update => paint.yellow("~"),
        Action::Delete => paint.red("-"),
    }
}
