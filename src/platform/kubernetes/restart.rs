//! Replaces a slot's pods one at a time through the eviction API, so that disruption budgets hold.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{DeleteParams, EvictParams, Preconditions};

use super::client::Cluster;
use super::observe::{is_going, is_over, ready_since};
use super::watch::{Watches, slot_of};
use crate::error::Failure;
use crate::platform::Replaced;
use crate::rollout::{Adopted, Slot};

/// Between two tries against a budget that allows nothing now; longer with each, up to five times that.
const RETRY: Duration = Duration::from_secs(2);
/// What the API server says, as an error of its own, where more than one budget selects a pod.
const MANY: &str = "more than one PodDisruptionBudget";

pub async fn restart(
    cluster: &Cluster,
    watches: &Watches,
    adopted: Option<&Adopted>,
    slot: Slot,
    progress: &Replaced<'_>,
) -> anyhow::Result<u32> {
    let of_slot = || {
        let pods = watches.slots(adopted).1.into_iter();
        pods.filter(|p| slot_of(p.as_ref()) == Some(slot) && !is_going(p) && !is_over(p))
    };
    let old: Vec<_> = of_slot().collect();
    let deployment = watches.slots(adopted).0.into_iter().find(|d| slot_of(d.as_ref()) == Some(slot));
    let wanted = deployment.as_ref().and_then(|d| d.spec.as_ref()?.replicas).unwrap_or(0);
    if old.is_empty() || wanted == 0 {
        return Err(Failure::failed("nothing-to-restart", format!("slot {slot} has no pods")).into());
    }
    let mut replaced = 0;
    for pod in &old {
        let name = pod.name_any();
        let waits = |text: String| progress(replaced, text);
        if evict(cluster, pod, &waits).await? {
            replaced += 1;
            progress(replaced, format!("{name} evicted ({replaced} of {})", old.len()));
        }
        loop {
            watches.look();
            let ready = of_slot().filter(|p| p.uid() != pod.uid() && ready_since(p).is_some()).count();
            let left = of_slot().any(|p| p.uid() == pod.uid());
            if !left && ready >= usize::try_from(wanted).unwrap_or(0) {
                break;
            }
            watches.changed().await;
        }
    }
    Ok(replaced)
}

/// Evicts exactly this pod; false when it was gone already. Waits as long as a budget refuses.
async fn evict(cluster: &Cluster, pod: &Pod, waits: &(dyn Fn(String) + Send + Sync)) -> anyhow::Result<bool> {
    let (api, name) = (cluster.api::<Pod>(), pod.name_any());
    let preconditions = Preconditions { uid: pod.uid(), resource_version: None };
    let delete = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
    let params = EvictParams { delete_options: Some(delete), ..EvictParams::default() };
    let mut tries = 0;
    loop {
        match api.evict(&name, &params).await {
            Ok(_) => return Ok(true),
            // Gone, or another pod of that name.
            Err(kube::Error::Api(s)) if matches!(s.code, 404 | 409) => return Ok(false),
            Err(kube::Error::Api(s)) if s.code == 429 || (s.code == 500 && s.message.contains(MANY)) => {
                tries += 1;
                let cause = s.details.as_ref().and_then(|d| d.causes.first()).map(|c| c.message.clone());
                let why = cause.unwrap_or(s.message);
                waits(format!("{name} may not be evicted now: {why} (try {tries})"));
                tokio::time::sleep(RETRY * u32::min(tries, 5)).await;
            }
            Err(e) => return Err(cluster.explain(e, &format!("eviction of {name}")).into()),
        }
    }
}
