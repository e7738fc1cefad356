//! The operation behind `migrate contract`: what only revisions before the live one need is taken away, on a person's word.

use std::time::Duration;

use super::driver::{self, Driver};
use super::host::{Host, Process};
use super::lock::Patience;
use super::look::not_deployed;
use super::migration::{Migration, MigrationPhase};
use super::{Status, deploy, tell};
use crate::context::Ctx;
use crate::error::Failure;
use crate::platform::Platform;
use crate::service::Service;

/// Runs the contracts that are open, oldest first, to their ends; returns whose they were.
pub async fn contract(
    ctx: &Ctx,
    platform: &dyn Platform,
    service: &Service,
) -> anyhow::Result<(Vec<u32>, Status)> {
    let host = Process::new(ctx);
    let done = contracted(&host, platform, service).await;
    host.finish();
    done
}

pub(super) async fn contracted(
    host: &dyn Host,
    platform: &dyn Platform,
    service: &Service,
) -> anyhow::Result<(Vec<u32>, Status)> {
    let (name, place) = (service.service.as_str(), platform.place());
    deploy::load(platform, name).await?.ok_or_else(|| not_deployed(name, &place))?;
    let begun = Driver::begin(host, platform, name, Patience::For(Duration::ZERO)).await;
    let mut driver = tell::classified(begun, &place)?;
    let open = match begin(&mut driver, service).await {
        Ok(open) => open,
        Err(error) => {
            driver.release().await;
            return Err(error);
        }
    };
    driver::finish(&mut driver, deploy::TAIL).await;
    let left = |revision: &&u32| {
        !driver.state.migration(**revision, MigrationPhase::Contract).is_some_and(Migration::done)
    };
    match open.iter().find(left) {
        None => Ok((open, driver.status())),
        Some(revision) => Err(unfinished(&driver, *revision)),
    }
}

async fn begin(driver: &mut Driver<'_>, service: &Service) -> anyhow::Result<Vec<u32>> {
    let place = driver.platform.place();
    tell::classify(driver.observe().await, &place)?;
    let mut next = driver.state.clone();
    let open = next.contract(service.migrations.as_ref()).map_err(|refusal| {
        let hint = match refusal.reason {
            "nothing-to-contract" => {
                "`migrations.contract` of msctl.yaml names the command, of a version that is deployed"
            }
            "still-needed" => "`msctl rollout attach` takes the old pods when it is time",
            _ => "`msctl rollout status` tells where it is",
        };
        Failure::failed(refusal.reason, format!("{}: {}", driver.service, refusal.message)).hint(hint)
    })?;
    tell::classify(driver.save(next).await, &place)?;
    Ok(open)
}

fn unfinished(driver: &Driver<'_>, revision: u32) -> anyhow::Error {
    let (name, contract) = (driver.service, driver.state.migration(revision, MigrationPhase::Contract));
    if contract.is_some_and(Migration::running) {
        let text = format!("{name}: the contract of revision {revision} goes on where it runs");
        return Failure::new(crate::settings::interrupted(), "interrupted", text)
            .hint("`msctl rollout attach` waits for it")
            .into();
    }
    let command = contract.map(Migration::label).unwrap_or_default();
    Failure::failed(
        "migration-failed",
        format!("{name}: the contract of revision {revision} failed: {command}"),
    )
    .hint("mend the command, or what it meets, and type this again; what serves goes on serving")
    .into()
}
