//! `deploy --train`: every image, template and preflight first, then all rollouts under one conductor.

use std::sync::Arc;

use super::{Deployed, Job, Request, secrets};
use crate::context::Ctx;
use crate::error::Failure;
use crate::platform::{Platform, Release, Template};
use crate::rollout::train::{self, Car};
use crate::rollout::{self, Options};

/// A service that is ready to leave.
struct Ready {
    label: String,
    platform: Arc<dyn Platform>,
    release: Release,
    template: Template,
    options: Options,
}

pub async fn run(
    ctx: &Ctx,
    request: &Request,
    options: &Options,
    jobs: &[Job],
    secrets: Vec<secrets::Values>,
) -> anyhow::Result<Deployed> {
    let several = jobs.iter().any(|j| j.target.environment != jobs[0].target.environment);
    let mut ready = Vec::new();
    for (job, secrets) in jobs.iter().zip(secrets) {
        let label = match several {
            true => format!("{} ({})", job.service.service, job.target.environment),
            false => job.service.service.clone(),
        };
        let platform = ctx.platform(&job.service, &job.target).await?;
        let guarded = Options { guarded: options.guarded && job.target.protected, ..options.clone() };
        let (release, template, options) =
            super::prepared(ctx, request, job, platform.as_ref(), secrets, &guarded).await?;
        ready.push(Ready { label, platform, release, template, options });
    }
    apart(&ready)?;
    // All could be begun, before one is.
    for car in &ready {
        car.platform.preflight(&car.release).await?;
    }
    let versions: Vec<(String, String)> = ready
        .iter()
        .map(|c| (format!("{} {}", c.label, c.platform.place()), c.template.hash.clone()))
        .collect();
    let cars: Vec<Car<'_>> = ready
        .iter()
        .enumerate()
        .map(|(at, car)| Car {
            label: car.label.clone(),
            platform: car.platform.as_ref(),
            release: &car.release,
            template: &car.template,
            options: car.options.clone(),
            needs: needs(jobs, at),
        })
        .collect();
    let arrival = rollout::conduct(ctx, &train::name(&versions), &cars).await?;
    Ok(Deployed { services: arrival.outcomes, skipped: arrival.left })
}

/// Two environments at one place would hand one service to two drivers.
fn apart(ready: &[Ready]) -> anyhow::Result<()> {
    for (at, car) in ready.iter().enumerate() {
        let same = |other: &&Ready| {
            other.release.service.service == car.release.service.service
                && other.platform.place() == car.platform.place()
        };
        if let Some(other) = ready[..at].iter().find(same) {
            let message = format!(
                "{} and {} are the same service at the same place: {}",
                other.label,
                car.label,
                car.platform.place()
            );
            return Err(Failure::usage("same-place", message)
                .hint("--envs takes environments that differ in context or namespace")
                .into());
        }
    }
    Ok(())
}

/// Of the same environment.
fn needs(jobs: &[Job], at: usize) -> Vec<usize> {
    let job = &jobs[at];
    let needed = |other: &Job| {
        other.target.environment == job.target.environment
            && job.service.depends_on.contains(&other.service.service)
    };
    (0..jobs.len()).filter(|i| *i != at && needed(&jobs[*i])).collect()
}
