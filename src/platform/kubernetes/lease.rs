//! Who drives: a coordination.k8s.io Lease, taken, renewed and released by compare-and-swap on its version.
//! It does not fence (a driver may sleep through its expiry): `fence` does.

use k8s_openapi::api::coordination::v1 as api;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::ResourceExt;
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use serde_json::json;

use super::client::Cluster;
use crate::manifest::names;
use crate::platform::{Error, Lease, Result};

const SECONDS: i32 = 15;

pub fn name(service: &str) -> String {
    super::state::name(service)
}

pub fn read(object: &api::Lease) -> Lease {
    let spec = object.spec.clone().unwrap_or_default();
    Lease {
        holder: spec.holder_identity.unwrap_or_default(),
        acquired: spec.acquire_time.map(|t| t.0),
        renewed: spec.renew_time.map(|t| t.0),
        version: object.resource_version().unwrap_or_default(),
    }
}

pub async fn get(cluster: &Cluster, service: &str) -> Result<Option<api::Lease>> {
    let name = name(service);
    let found = cluster.api::<api::Lease>().get_opt(&name).await;
    found.map_err(|e| cluster.explain(e, &format!("Lease {name}")))
}

pub async fn take(
    cluster: &Cluster,
    service: &str,
    holder: &str,
    seen: Option<&Lease>,
) -> Result<api::Lease> {
    let now = MicroTime(cluster.clock.now());
    if let Some(seen) = seen {
        let spec = json!({
            "holderIdentity": holder, "leaseDurationSeconds": SECONDS, "acquireTime": now, "renewTime": now,
        });
        return swap(cluster, service, &seen.version, spec, holder).await;
    }
    let labels = [(names::NAME, service), (names::MANAGED_BY, "msctl")];
    let new = api::Lease {
        metadata: ObjectMeta {
            name: Some(name(service)),
            labels: Some(labels.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect()),
            ..ObjectMeta::default()
        },
        spec: Some(api::LeaseSpec {
            holder_identity: Some(holder.to_owned()),
            lease_duration_seconds: Some(SECONDS),
            acquire_time: Some(now.clone()),
            renew_time: Some(now),
            ..api::LeaseSpec::default()
        }),
    };
    let params = PostParams { field_manager: Some(names::ROLLOUT_MANAGER.into()), ..Default::default() };
    let made = cluster.api::<api::Lease>().create(&params, &new).await;
    match made.map_err(|e| cluster.explain(e, &format!("Lease {}", name(service)))) {
        Ok(made) => Ok(made),
        Err(conflict @ Error::Conflict(_)) => ours(cluster, service, holder, conflict).await,
        Err(other) => Err(other),
    }
}

pub async fn renew(
    cluster: &Cluster,
    service: &str,
    held: &Lease,
    release: bool,
) -> Result<Option<api::Lease>> {
    let now = MicroTime(cluster.clock.now());
    let holder = if release { "" } else { held.holder.as_str() };
    let spec = json!({ "holderIdentity": holder, "renewTime": now });
    match swap(cluster, service, &held.version, spec, holder).await {
        // Someone deleted the object: whoever comes next may make it anew.
        Err(Error::NotFound(_)) if release => Ok(None),
        Err(Error::NotFound(object)) => Err(Error::Conflict(object)),
        other => other.map(Some),
    }
}

async fn swap(
    cluster: &Cluster,
    service: &str,
    version: &str,
    spec: serde_json::Value,
    holder: &str,
) -> Result<api::Lease> {
    let name = name(service);
    let patch = json!({ "metadata": { "resourceVersion": version }, "spec": spec });
    let params = PatchParams { field_manager: Some(names::ROLLOUT_MANAGER.into()), ..Default::default() };
    let done = cluster.api::<api::Lease>().patch(&name, &params, &Patch::Merge(&patch)).await;
    match done.map_err(|e| cluster.explain(e, &format!("Lease {name}"))) {
        Ok(done) => Ok(done),
        Err(conflict @ Error::Conflict(_)) => ours(cluster, service, holder, conflict).await,
        Err(other) => Err(other),
    }
}

/// A repeated request finds its own first try: the holder's name is unique to this driver.
async fn ours(cluster: &Cluster, service: &str, holder: &str, conflict: Error) -> Result<api::Lease> {
    match get(cluster, service).await? {
        Some(found) if read(&found).holder == holder && !holder.is_empty() => Ok(found),
        _ => Err(conflict),
    }
}
