//! Deploys services: order, agreement, secrets, image beside preflight, template, then the rollout; and says what is
//! wrong when it is ([`diagnose`], pure).

mod agree;
pub mod diagnose;
mod image;
mod order;
pub mod secrets;
mod stand_in;
mod train;

use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;

use crate::context::Ctx;
use crate::error::{self, Failure};
use crate::manifest;
use crate::platform::{Change, Owned, Platform, Release, Template};
use crate::rollout::{self, Ended, Forecast, Options, Outcome, Status};
use crate::service::Service;
use crate::settings::Target;

/// What `deploy`, `diff` and `--plan` act on.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Services of the workspace; all when none is named.
    pub services: Vec<String>,
    /// Deploy this image in place of the one msctl.yaml describes.
    pub image: Option<String>,
    /// The environments in place of the one that the settings name.
    pub environments: Vec<String>,
    /// `--detach` and what belongs to it.
    pub handoff: crate::cli::Handoff,
    /// All take over together.
    pub train: bool,
}

/// One service as its environment has it.
struct Job {
    folder: PathBuf,
    service: Service,
    target: Target,
}

/// What a deploy of several services did, in the order it did it.
#[derive(Debug, Serialize)]
pub struct Deployed {
    pub services: Vec<Outcome>,
    /// Not begun, because one before waits for a person.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<String>,
}

/// What a deploy of one service would do.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Planned {
    pub service: String,
    pub environment: String,
    pub place: String,
    /// By digest; by tag where it is not built yet.
    pub image: Option<String>,
    /// The image would be built and pushed first.
    pub builds: bool,
    pub changes: Vec<Change>,
    pub rollout: Forecast,
    pub warnings: Vec<String>,
    /// With `--detach`: the driver's account, rights and policy.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub driver: Vec<serde_json::Value>,
}

/// What differs for one service.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Differs {
    pub service: String,
    pub environment: String,
    pub place: String,
    pub image: Option<String>,
    pub builds: bool,
    pub changes: Vec<Change>,
}

/// Deploys the services in the order of `dependsOn`, each healthy before the next begins.
pub async fn run(ctx: &Ctx, request: &Request, options: &Options) -> anyhow::Result<Deployed> {
    let jobs = jobs(ctx, request)?;
    for target in agree::places(jobs.iter().map(|j| &j.target)) {
        agree::to_change(ctx, target, "deploy to")?;
    }
    let secrets: Vec<_> = jobs.iter().map(|j| secrets::resolve(ctx, &j.folder, &j.service)).collect();
    if request.train {
        return train::run(
            ctx,
            request,
            options,
            &jobs,
            secrets.into_iter().collect::<anyhow::Result<Vec<_>>>()?,
        )
        .await;
    }
    let mut deployed = Deployed { services: Vec::new(), skipped: Vec::new() };
    for (job, secrets) in jobs.iter().zip(secrets.into_iter().collect::<anyhow::Result<Vec<_>>>()?) {
        if deployed.services.last().is_some_and(|o| o.ended == Ended::Paused) {
            deployed.skipped.push(job.service.service.clone());
            continue;
        }
        let done = deploy(ctx, request, job, secrets, options).await;
        deployed.services.push(done.map_err(|error| after(error, &deployed.services))?);
    }
    Ok(deployed)
}

/// What a deploy would do; nothing is written, nothing built.
pub async fn plan(ctx: &Ctx, request: &Request, options: &Options) -> anyhow::Result<Vec<Planned>> {
    let mut plans = Vec::new();
    for job in jobs(ctx, request)? {
        let look = Look::at(ctx, request, &job).await?;
        let options = &detached(ctx, request, &job, options).await?;
        let (platform, release, template) = (&look.platform, &look.release, &look.template);
        let (changes, rollout, warnings) = futures::join!(
            platform.diff(release, template),
            rollout::forecast(platform.as_ref(), release, template, options),
            platform.preflight(release),
        );
        let (rollout, mut warnings) = (rollout?, warnings?);
        let seen = platform.observe().await?;
        warnings.extend(platform.fits(&rollout::demand(&rollout, &seen, release)).await?);
        plans.push(Planned {
            service: job.service.service.clone(),
            environment: job.target.environment.clone(),
            place: platform.place(),
            image: release.image.clone(),
            builds: look.builds,
            changes: changes?,
            rollout,
            warnings,
            driver: if options.detach.is_some() {
                access(platform.as_ref(), &job.service)?
            } else {
                Vec::new()
            },
        });
    }
    Ok(plans)
}

/// What a deploy would change, as differences.
pub async fn diff(ctx: &Ctx, request: &Request) -> anyhow::Result<Vec<Differs>> {
    let mut all = Vec::new();
    for job in jobs(ctx, request)? {
        let look = Look::at(ctx, request, &job).await?;
        all.push(Differs {
            service: job.service.service.clone(),
            environment: job.target.environment.clone(),
            place: look.platform.place(),
            changes: look.platform.diff(&look.release, &look.template).await?,
            image: look.release.image,
            builds: look.builds,
        });
    }
    Ok(all)
}

/// The fields of one service that rollouts set.
#[derive(Debug, Serialize)]
pub struct OwnedBy {
    pub service: String,
    pub place: String,
    pub objects: Vec<Owned>,
}

/// What other tools that apply the same objects must leave alone.
pub async fn owned(ctx: &Ctx, request: &Request) -> anyhow::Result<Vec<OwnedBy>> {
    let mut all = Vec::new();
    for job in jobs(ctx, request)? {
        let platform = ctx.platform(&job.service, &job.target).await?;
        all.push(OwnedBy {
            service: job.service.service,
            place: platform.place(),
            objects: platform.owned(),
        });
    }
    Ok(all)
}

/// Takes an existing Deployment over as the live version.
pub async fn adopt(
    ctx: &Ctx,
    name: Option<&str>,
    deployment: &str,
    plan: bool,
) -> anyhow::Result<rollout::Taken> {
    let (_, service, target) = ctx.service(name)?;
    let platform = ctx.platform(&service, &target).await?;
    if !plan {
        agree::to_change(ctx, &target, "adopt a Deployment in")?;
    }
    rollout::adopt(ctx, platform.as_ref(), &service, deployment, plan).await
}

/// Whose contracts were run.
#[derive(Debug, Serialize)]
pub struct Contracted {
    pub service: String,
    pub revisions: Vec<u32>,
    pub status: Status,
}

/// What was removed.
#[derive(Debug, Serialize)]
pub struct Removed {
    pub service: String,
    pub place: String,
    pub changes: Vec<Change>,
}

/// Removes a service, after asking.
pub async fn delete(ctx: &Ctx, name: Option<&str>) -> anyhow::Result<Removed> {
    let (_, service, target) = ctx.service(name)?;
    let platform = ctx.platform(&service, &target).await?;
    let place = platform.place();
    agree::to_remove(ctx, &target, &service.service, &place)?;
    refuse_driven(ctx, platform.as_ref(), &service.service).await?;
    let changes = platform.delete().await?;
    Ok(Removed { service: service.service, place, changes })
}

/// Runs the contracts that are open, after asking; whose they were.
pub async fn contract(ctx: &Ctx, name: Option<&str>) -> anyhow::Result<Contracted> {
    let (_, service, target) = ctx.service(name)?;
    let platform = ctx.platform(&service, &target).await?;
    agree::to_contract(ctx, &target, &service.service, &platform.place())?;
    let (revisions, status) = rollout::contract(ctx, platform.as_ref(), &service).await?;
    Ok(Contracted { service: service.service, revisions, status })
}

/// A rollout that somebody drives is not pulled away under it.
async fn refuse_driven(ctx: &Ctx, platform: &dyn Platform, service: &str) -> anyhow::Result<()> {
    let Ok(Some(lease)) = platform.lease().await else { return Ok(()) };
    let fresh = lease.renewed.is_some_and(|r| ctx.clock.now().duration_since(r).as_secs().abs() < 15);
    if lease.holder.is_empty() || !fresh {
        return Ok(());
    }
    Err(Failure::new(error::Kind::Held, "held", format!("{} drives a rollout of {service}", lease.holder))
        .object(format!("Lease/{service}-rollout"))
        .hint("`msctl rollout abort` ends it; then delete")
        .into())
}

fn jobs(ctx: &Ctx, request: &Request) -> anyhow::Result<Vec<Job>> {
    let project = ctx.project()?;
    let named = request.services.iter().map(|name| project.member(Some(name)));
    let members = match request.services.is_empty() {
        true => project.members.iter().collect(),
        false => named.collect::<anyhow::Result<Vec<_>>>()?,
    };
    if request.image.is_some() && members.len() > 1 {
        return Err(Failure::usage("which-service", "--image is of one service, and several are named")
            .hint("name the service: `msctl deploy NAME --image REF`")
            .into());
    }
    let order = order::of(&members.iter().map(|m| &m.service).collect::<Vec<_>>())?;
    let here = [ctx.settings.clone()];
    let chosen: Vec<_> = request.environments.iter().map(|name| ctx.settings.for_environment(name)).collect();
    let places = if chosen.is_empty() { &here[..] } else { &chosen };
    places
        .iter()
        .flat_map(|place| order.iter().map(move |at| (place, *at)))
        .map(|(place, at)| {
            let member = members[at];
            let target = place.target(Some(&member.service))?;
            let service = member.service.in_environment(&target.environment)?;
            manifest::check(&service).map_err(|(key, why)| {
                let file = member.folder.join(crate::service::FILE).display().to_string();
                Failure::usage("invalid-service", format!("{file}: {key}: {why}")).object(file)
            })?;
            Ok(Job { folder: member.folder.clone(), service, target })
        })
        .collect()
}

async fn deploy(
    ctx: &Ctx,
    request: &Request,
    job: &Job,
    secrets: secrets::Values,
    options: &Options,
) -> anyhow::Result<Outcome> {
    let options = &detached(ctx, request, job, options).await?;
    let platform = ctx.platform(&job.service, &job.target).await?;
    if let Some(wanted) = &options.detach {
        platform.may_stand_in(wanted).await?;
    }
    let (release, template, options) =
        prepared(ctx, request, job, platform.as_ref(), secrets, options).await?;
    rollout::deploy(ctx, platform, &release, &template, &options).await
}

/// What a rollout needs, its image built and pushed where none is named.
async fn prepared(
    ctx: &Ctx,
    request: &Request,
    job: &Job,
    platform: &dyn Platform,
    secrets: secrets::Values,
    options: &Options,
) -> anyhow::Result<(Release, Template, Options)> {
    let mut release =
        Release { service: job.service.clone(), folder: job.folder.clone(), image: None, secrets };
    release.image = image::pinned(ctx, request, job, platform, &release).await?;
    let template = platform.template(ctx, &release).await?;
    let built = image::reference(request, job).is_none();
    let commit = if built { crate::image::commits::head(&job.folder) } else { None };
    Ok((release, template, Options { commit, ..options.clone() }))
}

/// The options of one service: its driver in the cluster, and whether its environment is guarded.
async fn detached(ctx: &Ctx, request: &Request, job: &Job, options: &Options) -> anyhow::Result<Options> {
    let timeout = options.timeout.map(|t| ["--timeout".to_owned(), format!("{}s", t.as_secs().max(1))]);
    let arguments = timeout.into_iter().flatten().collect();
    let detach = stand_in::wanted(ctx, &request.handoff, &job.service, &job.target, arguments).await?;
    Ok(Options { detach, guarded: options.guarded && job.target.protected, ..options.clone() })
}

/// What a driver of the service needs in the cluster.
pub fn access(platform: &dyn Platform, service: &Service) -> anyhow::Result<Vec<serde_json::Value>> {
    Ok(platform.stand_in_objects(&stand_in::shown(service))?)
}

/// The driver that `attach --detach` leaves in the cluster.
pub async fn substitute(
    ctx: &Ctx,
    flags: &crate::cli::Handoff,
    service: &Service,
    target: &Target,
) -> anyhow::Result<Option<crate::platform::StandIn>> {
    stand_in::wanted(ctx, flags, service, target, Vec::new()).await
}

/// A release worked out without building or writing.
struct Look {
    platform: Arc<dyn Platform>,
    release: Release,
    template: Template,
    builds: bool,
}

impl Look {
    async fn at(ctx: &Ctx, request: &Request, job: &Job) -> anyhow::Result<Look> {
        let secrets = secrets::resolve(ctx, &job.folder, &job.service)?;
        let platform = ctx.platform(&job.service, &job.target).await?;
        let (image, builds) = image::known(ctx, request, job).await?;
        let release = Release { service: job.service.clone(), folder: job.folder.clone(), image, secrets };
        let template = platform.template(ctx, &release).await?;
        Ok(Look { platform, release, template, builds })
    }
}

/// The error, with what was deployed before it.
fn after(error: anyhow::Error, done: &[Outcome]) -> anyhow::Error {
    if done.is_empty() {
        return error;
    }
    let names: Vec<&str> = done.iter().map(|o| o.service.as_str()).collect();
    let report = error::report(&error);
    let mut failure = Failure::new(
        error::kind(&error),
        "failed",
        format!("{} (deployed before: {})", report.message, names.join(", ")),
    );
    if let Some(inner) = error::failure(&error) {
        failure.reason = inner.reason;
        failure.object = inner.object.clone();
        failure.hints = inner.hints.clone();
        failure.location = inner.location.clone();
    }
    failure.source(error).into()
}
