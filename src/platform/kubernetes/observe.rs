//! Cached objects in, an observation out. Pure. Counts come from pods, not from the Deployment's status: that one
//! lags behind its pods, and says `available` of an older generation. Only the end of a rollout waits for it.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::ObjectMeta;
use kube::{Resource, ResourceExt};

use super::watch::slot_of;
use crate::manifest::names;
use crate::rollout::{Adopted, Observation, RouteObservation, Selection, Slot, SlotObservation};

/// What the caches held at one moment.
pub struct Seen {
    pub now: Timestamp,
    pub deployments: Vec<Arc<Deployment>>,
    pub pods: Vec<Arc<Pod>>,
    /// The public Service.
    pub service: Option<Arc<Service>>,
    /// Of the public Service and of the slots' own.
    pub slices: Vec<Arc<EndpointSlice>>,
    pub route: Option<RouteObservation>,
    /// None: there is no state.
    pub state_version: Option<String>,
    pub terminating: bool,
    pub adopted: Option<Adopted>,
}

/// The service without its problems; those need logs and events.
pub fn observation(service: &str, seen: &Seen) -> Observation {
    let slots = seen.deployments.iter().filter_map(|deployment| {
        let slot = slot_of(deployment.as_ref())?;
        let pods = seen.pods.iter().filter(|p| slot_of(p.as_ref()) == Some(slot));
        let reach = Reach::of(&seen.slices, service, slot);
        Some((slot, self::slot(deployment, pods, &reach, seen.now)))
    });
    Observation {
        time: seen.now,
        slots: slots.collect(),
        selection: seen.service.as_deref().and_then(|s| selection(s, seen.adopted.as_ref())),
        selected_by: seen.service.as_deref().and_then(|s| writer(s.meta(), "f:selector")),
        route: seen.route.clone(),
        state_version: Some(seen.state_version.clone().unwrap_or_default()),
        terminating: seen.terminating,
        experiment: super::experiment::observed(&seen.deployments, &seen.pods),
    }
}

/// The manager that last wrote a field of `spec`.
pub fn writer(meta: &ObjectMeta, field: &str) -> Option<String> {
    let entries = meta.managed_fields.iter().flatten();
    let owners = entries.filter(|e| e.fields_v1.as_ref().is_some_and(|f| f.0["f:spec"].get(field).is_some()));
    owners.max_by_key(|e| e.time.as_ref().map(|t| t.0))?.manager.clone()
}

/// The revision a Deployment's template carries.
pub fn revision_of(deployment: &Deployment) -> u32 {
    let template = deployment.spec.as_ref().and_then(|s| s.template.metadata.as_ref());
    let label = template.and_then(|m| m.labels.as_ref()).and_then(|l| l.get(names::REVISION));
    label.and_then(|l| l.parse().ok()).unwrap_or(0)
}

/// Whether the pod runs the slot's present template.
pub fn is_present(pod: &Pod, revision: u32) -> bool {
    pod.labels().get(names::REVISION).is_some_and(|l| *l == revision.to_string())
}

pub fn is_going(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_some()
}

/// Evicted or ended: it counts for nothing, the ReplicaSet has made another.
pub fn is_over(pod: &Pod) -> bool {
    matches!(pod.status.as_ref().and_then(|s| s.phase.as_deref()), Some("Failed" | "Succeeded"))
}

/// Since when the pod is ready.
pub fn ready_since(pod: &Pod) -> Option<Timestamp> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let ready = conditions.iter().find(|c| c.type_ == "Ready" && c.status == "True")?;
    Some(ready.last_transition_time.as_ref().map_or(Timestamp::UNIX_EPOCH, |t| t.0))
}

fn slot<'a>(
    deployment: &Deployment,
    pods: impl Iterator<Item = &'a Arc<Pod>>,
    reach: &Reach,
    now: Timestamp,
) -> SlotObservation {
    let spec = deployment.spec.as_ref();
    let status = deployment.status.as_ref();
    let min_ready = spec.and_then(|s| s.min_ready_seconds).unwrap_or(0);
    let revision = revision_of(deployment);
    let mut slot = SlotObservation {
        revision,
        desired: spec.and_then(|s| s.replicas).and_then(|r| u32::try_from(r).ok()).unwrap_or(0),
        current: status.and_then(|s| s.observed_generation) >= deployment.metadata.generation
            && deployment.metadata.generation.is_some(),
        progressed: progressing(deployment),
        ..SlotObservation::default()
    };
    for pod in pods {
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        slot.in_public += u32::from(reach.public.contains(name));
        if is_going(pod) {
            slot.terminating += 1;
            continue;
        }
        if is_over(pod) {
            continue;
        }
        let present = is_present(pod, revision);
        let since = ready_since(pod);
        let held = SignedDuration::from_secs(i64::from(min_ready));
        let available = since.is_some_and(|s| min_ready == 0 || now.duration_since(s) >= held);
        slot.replicas += 1;
        slot.updated += u32::from(present);
        slot.ready += u32::from(since.is_some());
        slot.available += u32::from(available);
        slot.updated_available += u32::from(available && present);
        slot.led_to += u32::from(available && present && reach.own.contains(name));
        if present {
            slot.restarts += restarts(pod);
            let started = pod.metadata.creation_timestamp.as_ref().map(|t| t.0);
            slot.progressed = slot.progressed.max(since).max(started);
        }
    }
    let said = |count: Option<i32>| count.and_then(|n| u32::try_from(n).ok()).unwrap_or(0);
    let report = status.map(|s| [said(s.replicas), said(s.updated_replicas), said(s.available_replicas)]);
    slot.lagging = report.unwrap_or_default() != [slot.replicas, slot.updated, slot.available];
    slot
}

fn progressing(deployment: &Deployment) -> Option<Timestamp> {
    let conditions = deployment.status.as_ref()?.conditions.as_ref()?;
    let progressing = conditions.iter().find(|c| c.type_ == "Progressing")?;
    progressing.last_update_time.as_ref().map(|t| t.0)
}

pub fn restarts(pod: &Pod) -> u32 {
    let statuses = pod.status.as_ref().and_then(|s| s.container_statuses.as_ref());
    statuses.into_iter().flatten().filter_map(|c| u32::try_from(c.restart_count).ok()).sum()
}

/// Names of pods among the endpoints.
struct Reach<'a> {
    /// Of the public Service, ready or not.
    public: BTreeSet<&'a str>,
    /// Of the slot's own Service, ready ones. They trail the pods' readiness, by a second where much changes at once.
    own: BTreeSet<&'a str>,
}

impl<'a> Reach<'a> {
    fn of(slices: &'a [Arc<EndpointSlice>], service: &str, slot: Slot) -> Self {
        let own = names::slot(service, slot);
        let endpoints = |name: &str, ready: bool| {
            let of = slices.iter().filter(|s| s.labels().get(names::SLICE_OF).is_some_and(|l| l == name));
            let endpoints = of.flat_map(|s| s.endpoints.iter()).filter(|e| {
                // Unset means ready.
                !ready || e.conditions.as_ref().and_then(|c| c.ready).unwrap_or(true)
            });
            let pods =
                endpoints.filter_map(|e| e.target_ref.as_ref()).filter(|t| t.kind.as_deref() == Some("Pod"));
            pods.filter_map(|t| t.name.as_deref()).collect()
        };
        Reach { public: endpoints(service, false), own: endpoints(&own, true) }
    }
}

/// Which slots the Service's selector reaches; None when it is not one of ours.
fn selection(service: &Service, adopted: Option<&Adopted>) -> Option<Selection> {
    let selector = service.spec.as_ref()?.selector.as_ref()?;
    if let Some(adopted) = adopted.filter(|_| !selector.contains_key(names::SLOT)) {
        return Some(Selection::only(adopted.slot));
    }
    match selector.get(names::SLOT) {
        None => Some(Selection::Both),
        Some(name) => Slot::ALL.into_iter().find(|s| s.name() == name).map(Selection::only),
    }
}

#[cfg(test)]
#[path = "observe_tests.rs"]
mod tests;
