//! The operation behind `rollout attach`: goes on where a driver left.

use std::time::Duration;

use super::deploy::{self, Ended, Outcome};
use super::driver::{Driver, Goal, Mode};
use super::host::{Host, Process};
use super::lock::Patience;
use super::look::not_deployed;
use super::{Phase, Status, Until, tell};
use crate::context::Ctx;
use crate::error::Failure;
use crate::platform::Platform;

/// Goes on with a rollout whose driver is gone; with `once`, does what is due and returns.
pub async fn attach(
    ctx: &Ctx,
    platform: &dyn Platform,
    service: &str,
    once: bool,
) -> anyhow::Result<Outcome> {
    let host = Process::new(ctx);
    let done = resume(&host, platform, service, once).await;
    host.finish();
    done
}

pub(super) async fn resume(
    host: &dyn Host,
    platform: &dyn Platform,
    service: &str,
    once: bool,
) -> anyhow::Result<Outcome> {
    let place = platform.place();
    deploy::load(platform, service).await?.ok_or_else(|| not_deployed(service, &place))?;
    let started = host.elapsed();
    let begun = Driver::begin(host, platform, service, Patience::For(Duration::ZERO)).await;
    let driver = tell::classified(begun, &place)?;
    let mode = if once { Mode::Once } else { Mode::Drive(Until::Healthy) };
    let outcome = deploy::drive(driver, &Goal::new(mode), Vec::new(), started).await?;
    match outcome.status.as_ref().filter(|_| outcome.ended == Ended::Healthy) {
        Some(status) if status.phase == Phase::Degraded => Err(degraded(status)),
        Some(status) if status.phase == Phase::Progressing && once => {
            Ok(Outcome { ended: Ended::Reached, ..outcome })
        }
        _ => Ok(outcome),
    }
}

/// What a finished rollout left serves nobody: that is not healthy, whoever asks.
fn degraded(status: &Status) -> anyhow::Error {
    let service = &status.service;
    Failure::failed("degraded", format!("{service} is degraded: {}", status.message))
        .hint("`msctl status` and `msctl logs` say more; `msctl rollout undo` goes back")
        .into()
}
