//! `doctor`: what this machine has of what msctl can use, and how to get the rest.

use std::path::Path;

use serde::Serialize;

use crate::context::Ctx;
use crate::error;
use crate::service::{self, PlatformKind, Service};
use crate::settings::Target;
use crate::ui::{Paint, View};
use crate::{image, platform};

#[derive(Serialize)]
struct Diagnosis {
    /// Nothing that the project needs is missing.
    healthy: bool,
    checks: Vec<Check>,
}

#[derive(Serialize)]
struct Check {
    name: String,
    outcome: Outcome,
    detail: String,
    hints: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    Ok,
    /// Missing, but not needed by every user.
    Missing,
    /// The project here needs it.
    Failed,
}

impl View for Diagnosis {
    fn schema(&self) -> &'static str {
        "msctl.dev/doctor/v1"
    }
    fn human(&self, paint: &Paint) -> String {
        let mut text = String::new();
        for check in &self.checks {
            let mark = match check.outcome {
                Outcome::Ok => paint.green("✓"),
                Outcome::Missing => paint.yellow("–"),
                Outcome::Failed => paint.red("✗"),
            };
            text += &format!("{mark} {:<22} {}\n", check.name, check.detail);
            for hint in &check.hints {
                text += &format!("  {:<22} {}\n", "", paint.dim(hint));
            }
        }
        text
    }
}

impl Check {
    fn ok(name: impl Into<String>, detail: impl Into<String>) -> Self {
        Check { name: name.into(), outcome: Outcome::Ok, detail: detail.into(), hints: Vec::new() }
    }
    fn failed(name: impl Into<String>, outcome: Outcome, error: &anyhow::Error) -> Self {
        let report = error::report(error);
        let all = std::iter::once(report.message).chain(report.causes).collect::<Vec<_>>().join(": ");
        let detail = all.replace('\n', "; ");
        Check { name: name.into(), outcome, detail, hints: report.hints }
    }
}

pub fn run(ctx: &Ctx) -> anyhow::Result<u8> {
    let checks = ctx.block_on(examine(ctx))?;
    let healthy = checks.iter().all(|c| c.outcome != Outcome::Failed);
    ctx.ui.show(&Diagnosis { healthy, checks })?;
    Ok(u8::from(!healthy))
}

async fn examine(ctx: &Ctx) -> Vec<Check> {
    let mut checks = vec![state(ctx)];
    let service = match ctx.project() {
        Ok(project) => project.members.first().map(|m| m.service.clone()),
        Err(error) if error::failure(&error).is_some_and(|f| f.reason == "no-service") => None,
        Err(error) => {
            checks.push(Check::failed(service::FILE, Outcome::Failed, &error));
            None
        }
    };
    let (engine, environments) = tokio::join!(engine(ctx), environments(ctx, service.as_ref()));
    checks.push(engine);
    checks.extend(environments);
    checks.extend(tools(ctx, service.as_ref()));
    checks
}

fn state(ctx: &Ctx) -> Check {
    let writable = |folder: &Path| {
        std::fs::create_dir_all(folder)?;
        tempfile::tempfile_in(folder).map(drop)
    };
    match ctx.settings.state_folder() {
        Err(error) => Check::failed("state folder", Outcome::Failed, &error),
        Ok(folder) => match writable(&folder) {
            Ok(()) => Check::ok("state folder", folder.display().to_string()),
            Err(e) => {
                let error = anyhow::Error::new(e).context(format!("write into {}", folder.display()));
                Check::failed("state folder", Outcome::Failed, &error)
            }
        },
    }
}

async fn engine(ctx: &Ctx) -> Check {
    match image::engine_summary(&ctx.settings).await {
        Ok(summary) => Check::ok("docker engine", summary),
        Err(error) => Check::failed("docker engine", Outcome::Missing, &error),
    }
}

/// Each Kubernetes environment of the project, else the kubeconfig's current one; asked all at once.
async fn environments(ctx: &Ctx, service: Option<&Service>) -> Vec<Check> {
    let mut targets: Vec<Target> = Vec::new();
    let named = service.map(|s| s.environments.keys().cloned().collect::<Vec<_>>()).unwrap_or_default();
    for name in named {
        let mut settings = ctx.settings.clone();
        settings.environment = Some(crate::settings::Resolved {
            value: name.clone(),
            origin: crate::settings::Origin::Service(service::FILE.into()),
        });
        match settings.target(service) {
            Ok(target) => targets.push(target),
            Err(error) => return vec![Check::failed(format!("environment {name}"), Outcome::Failed, &error)],
        }
    }
    targets.retain(|t| t.platform == PlatformKind::Kubernetes);
    let asked = targets.iter().map(|target| environment(ctx, service, target));
    futures::future::join_all(asked).await
}

async fn environment(ctx: &Ctx, service: Option<&Service>, target: &Target) -> Check {
    let name = format!("environment {}", target.environment);
    let Some(service) = service else { return Check::ok(name, "nothing to ask for") };
    let reached = async {
        let platform = platform::open(ctx, service, target).await?;
        platform.lease().await?;
        anyhow::Ok(platform.place())
    };
    match reached.await {
        Ok(place) => Check::ok(name, place),
        Err(error) => Check::failed(name, Outcome::Failed, &error),
    }
}

/// The programs that templates build with; the one this service's build names must be there.
fn tools(ctx: &Ctx, service: Option<&Service>) -> Vec<Check> {
    let path = ctx.settings.env.os("PATH").unwrap_or_default().to_owned();
    let find = |tool: &str| std::env::split_paths(&path).map(|p| p.join(tool)).find(|p| p.is_file());
    let build = service.and_then(|s| s.run.as_ref()).and_then(|r| r.build.as_deref()).unwrap_or_default();
    let needed = |tool: &str| build.split(|c: char| !c.is_alphanumeric()).any(|word| word == tool);
    let known = [("git", "git"), ("go", "Go"), ("cargo", "Rust"), ("python3", "Python"), ("node", "Node.js")];
    let check = |(tool, title): (&str, &str)| match find(tool) {
        Some(path) => Check::ok(tool, path.display().to_string()),
        None => Check {
            name: tool.into(),
            outcome: if needed(tool) { Outcome::Failed } else { Outcome::Missing },
            detail: "not on PATH".into(),
            hints: vec![if needed(tool) {
                format!("install {title}: run.build of {} needs it", service::FILE)
            } else {
                format!("only needed for services written in {title}")
                    .replace("written in git", "kept in git")
            }],
        },
    };
    known.into_iter().map(check).collect()
}
