//! Taking over what msctl did not make: an existing Deployment becomes the live slot, with no restart and no field of
//! it changed; and slots whose state is lost are taken up again.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::deploy;
use super::driver::Driver;
use super::host::{Host, Process, person};
use super::lock::Patience;
use super::state::{DeployResult, Revision, Stage};
use super::{Facts, Options, Placed, Scaler, Slot, Spec, State, plan, start, tell};
use crate::context::Ctx;
use crate::error::Failure;
use crate::platform::{Adoption, Platform};
use crate::service::Service;

/// A Deployment of somebody else in a slot's place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Adopted {
    pub slot: Slot,
    pub deployment: String,
    /// What its selector asks of pods, and so what reaches them.
    pub labels: BTreeMap<String, String>,
    /// The selector that the public Service had, where it was there already; it stays as it is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<BTreeMap<String, String>>,
    /// The autoscaler that acts on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scaler: Option<Bounded>,
    /// The number of the version it ran.
    pub revision: u32,
    /// It still is the slot; from the first version that takes the slot on, it is not.
    pub active: bool,
}

/// An autoscaler that msctl did not make, and its own bounds, which come back at every end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bounded {
    pub name: String,
    pub own: Scaler,
}

/// What was, or would be, adopted.
#[derive(Debug, Clone, Serialize)]
pub struct Taken {
    pub service: String,
    pub place: String,
    pub deployment: String,
    pub revision: u32,
    pub replicas: u32,
    pub image: String,
    pub notes: Vec<String>,
    pub written: bool,
}

pub async fn adopt(
    ctx: &Ctx,
    platform: &dyn Platform,
    service: &Service,
    deployment: &str,
    look_only: bool,
) -> anyhow::Result<Taken> {
    let host = Process::new(ctx);
    let done = taken(&host, platform, service, &person(ctx), deployment, look_only).await;
    host.finish();
    done
}

async fn taken(
    host: &dyn Host,
    platform: &dyn Platform,
    service: &Service,
    by: &str,
    deployment: &str,
    look_only: bool,
) -> anyhow::Result<Taken> {
    let (name, place) = (service.service.as_str(), platform.place());
    if deploy::load(platform, name).await?.is_some_and(|s| s.live.is_some()) {
        return Err(Failure::failed("deployed", format!("{name} has a live version in {place} already"))
            .hint("`msctl rollout status` shows it; adopting is for what msctl does not know yet")
            .into());
    }
    let found = platform.inspect(deployment).await?;
    let mut taken = Taken {
        service: name.into(),
        place: place.clone(),
        deployment: deployment.into(),
        revision: found.revision.unwrap_or(found.numbered + 1),
        replicas: found.replicas,
        image: found.template.image.clone(),
        notes: found.notes.clone(),
        written: false,
    };
    if look_only {
        return Ok(taken);
    }
    let begun = Driver::begin(host, platform, name, Patience::For(std::time::Duration::ZERO)).await;
    let mut driver = tell::classified(begun, &place)?;
    let done = record(&mut driver, service, by, &found, taken.revision).await;
    driver.release().await;
    done?;
    taken.written = true;
    Ok(taken)
}

async fn record(
    driver: &mut Driver<'_>,
    service: &Service,
    by: &str,
    found: &Adoption,
    revision: u32,
) -> anyhow::Result<()> {
    let place = driver.platform.place();
    let now = found.at;
    let spec = Spec::resolve(service, &Options::default())?;
    let spec = Spec { replicas: found.replicas, ..spec };
    let mut next = start(&driver.state, plan(&spec, &Facts::default())?, revision, false, by, now);
    next.epoch = next.epoch.max(found.epoch);
    next.replicas = found.replicas;
    next.autoscaled = spec.autoscaled;
    next.scaling = spec.scaling;
    next.numbered = found.numbered.max(revision);
    next.revisions.push(Revision {
        number: revision,
        hash: found.template.hash.clone(),
        image: found.template.image.clone(),
        at: now,
        commit: None,
        pruned: false,
    });
    next.adopted = found.adopted.clone().map(|a| Adopted { revision, ..a });
    settle(&mut next, Placed { slot: found.slot, revision }, now);
    if !found.known {
        tell::classify(driver.platform.put_template(revision, &found.template).await, &place)?;
    }
    tell::classify(driver.save(next).await, &place)
}

/// It serves already: there is nothing to roll out.
fn settle(state: &mut State, live: Placed, now: jiff::Timestamp) {
    state.live = Some(live);
    state.candidate = None;
    if let Some(rollout) = &mut state.rollout {
        rollout.stage = Stage::Healthy;
        rollout.tidy = true;
    }
    if let Some(deploy) = state.deploys.last_mut() {
        deploy.result = DeployResult::Healthy;
        deploy.ended = Some(now);
        deploy.reason = Some("adopted".into());
    }
}
