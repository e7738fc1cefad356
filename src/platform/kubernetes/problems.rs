//! What is wrong with a slot: fetches the events and logs that the pods themselves do not carry, each once per
//! restart, and lets `deploy::diagnose` judge.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::future::join_all;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::ResourceExt;
use kube::api::{ListParams, LogParams};
use serde::Serialize;
use serde_json::Value;

use super::client::Cluster;
use super::observe::{is_going, is_present, ready_since, revision_of};
use crate::deploy::diagnose::{self, Facts, LogWanted};
use crate::rollout::Problem;

/// Pods looked at closely; a hundred crashing ones crash for the same reason.
const PODS: usize = 5;
const LOG_LINES: i64 = 20;
/// A log or an event list may not hold an observation up for longer.
const LIMIT: Duration = Duration::from_secs(2);
/// Events come late and have no place in a watch of ours.
const EVENTS_AGE: Duration = Duration::from_secs(2);
/// A pod on its ordinary way up is not asked about: that would be a request a pod, and hold up the next step.
const ORDINARY: SignedDuration = SignedDuration::from_secs(3);

#[derive(Default)]
pub struct Problems {
    logs: Mutex<HashMap<String, Vec<String>>>,
    events: Mutex<HashMap<String, (Instant, Vec<Value>)>>,
}

fn json(object: &impl Serialize) -> Value {
    // Objects of the API were JSON a moment ago.
    serde_json::to_value(object).unwrap_or_default()
}

impl Problems {
    /// Of the pods of the slot's present template.
    pub async fn of(&self, cluster: &Cluster, deployment: &Deployment, pods: &[Arc<Pod>]) -> Vec<Problem> {
        let revision = revision_of(deployment);
        let desired = deployment.spec.as_ref().and_then(|s| s.replicas).unwrap_or(0);
        let present = || pods.iter().filter(|p| is_present(p, revision) && !is_going(p));
        let sick: Vec<&Arc<Pod>> = present().filter(|p| is_sick(p)).take(PODS).collect();
        let missing = i64::from(desired) > present().count() as i64;
        if sick.is_empty() && !missing {
            return Vec::new();
        }
        let values: Vec<Value> = sick.iter().map(|p| json(p.as_ref())).collect();
        let deployment_value = json(deployment);
        let mut events = Vec::new();
        let now = cluster.clock.now();
        for pod in sick.iter().filter(|p| is_stuck(p, now)) {
            events.extend(self.events(cluster, "Pod", &pod.name_any(), &pod.uid().unwrap_or_default()).await);
        }
        let mut facts = Facts {
            pods: values.iter().collect(),
            events: events.iter().collect(),
            deployment: Some(&deployment_value),
            ..Facts::default()
        };
        let wanted = diagnose::logs_wanted(&facts);
        let logs = join_all(wanted.iter().take(PODS).map(|w| self.log(cluster, w, &sick))).await;
        facts.logs = wanted.iter().map(|w| w.pod.clone()).zip(logs).collect::<BTreeMap<_, _>>();
        diagnose::diagnose(&facts)
    }

    async fn events(&self, cluster: &Cluster, kind: &str, name: &str, uid: &str) -> Vec<Value> {
        {
            let known = self.events.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((_, events)) = known.get(uid).filter(|(at, _)| at.elapsed() < EVENTS_AGE) {
                return events.clone();
            }
        }
        let selector = format!("involvedObject.kind={kind},involvedObject.name={name}");
        let (api, params) = (cluster.api::<Event>(), ListParams::default().fields(&selector).limit(50));
        let found = tokio::time::timeout(LIMIT, api.list(&params)).await;
        let found: Vec<Value> = match found {
            Ok(Ok(list)) => list.items.iter().map(json).collect(),
            // Without events the pod's own status still says most.
            Ok(Err(_)) | Err(_) => Vec::new(),
        };
        let mut known = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, (at, _)| at.elapsed() < EVENTS_AGE);
        known.insert(uid.to_owned(), (Instant::now(), found.clone()));
        found
    }

    async fn log(&self, cluster: &Cluster, wanted: &LogWanted, pods: &[&Arc<Pod>]) -> Vec<String> {
        let pod = pods.iter().find(|p| p.name_any() == wanted.pod);
        let run = pod.map(|p| run_of(p, &wanted.container)).unwrap_or_default();
        let key = format!("{}/{}/{run}/{}", wanted.pod, wanted.container, wanted.previous);
        if let Some(lines) = self.logs.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return lines.clone();
        }
        let params = LogParams {
            container: Some(wanted.container.clone()),
            previous: wanted.previous,
            tail_lines: Some(LOG_LINES),
            limit_bytes: Some(64 * 1024),
            ..LogParams::default()
        };
        let api = cluster.api::<Pod>();
        let Ok(Ok(text)) = tokio::time::timeout(LIMIT, api.logs(&wanted.pod, &params)).await else {
            return Vec::new(); // asked again at the next change
        };
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        self.logs.lock().unwrap_or_else(PoisonError::into_inner).insert(key, lines.clone());
        lines
    }
}

/// Not ready, or a container of it has ended before.
pub fn is_sick(pod: &Pod) -> bool {
    let statuses = pod.status.as_ref().and_then(|s| s.container_statuses.as_ref());
    let restarted = statuses.into_iter().flatten().any(|c| c.restart_count > 0);
    restarted || ready_since(pod).is_none()
}

/// Something was reported of it, or it takes longer than usual.
fn is_stuck(pod: &Pod, now: Timestamp) -> bool {
    let statuses = pod.status.iter().flat_map(|s| {
        s.init_container_statuses.iter().flatten().chain(s.container_statuses.iter().flatten())
    });
    let troubled =
        statuses.filter_map(|c| Some((c.restart_count, c.state.as_ref()?))).any(|(restarts, state)| {
            let waiting = state.waiting.as_ref().and_then(|w| w.reason.as_deref());
            restarts > 0
                || state.terminated.as_ref().is_some_and(|t| t.exit_code != 0)
                || waiting.is_some_and(|r| !matches!(r, "ContainerCreating" | "PodInitializing"))
        });
    let made = pod.metadata.creation_timestamp.as_ref().map_or(now, |t| t.0);
    troubled || now.duration_since(made) >= ORDINARY
}

fn run_of(pod: &Pod, container: &str) -> String {
    let statuses = pod.status.as_ref().and_then(|s| s.container_statuses.as_ref());
    let status = statuses.into_iter().flatten().find(|c| c.name == container);
    status
        .map(|c| format!("{}:{}", c.restart_count, c.container_id.as_deref().unwrap_or_default()))
        .unwrap_or_default()
}
