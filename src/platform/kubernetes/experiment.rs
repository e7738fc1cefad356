//! An experiment: one fresh pod of the live version and one of the candidate, of the same age, that share the live slot's
//! traffic. Each is a Deployment of its own, made with no pods and scaled by a fenced patch, so that an overtaken driver
//! starts none.

use std::sync::Arc;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::PostParams;
use serde_json::{Value, json};

use super::observe::{is_going, is_over, is_present, ready_since, restarts, revision_of};
use super::{Kubernetes, fence};
use crate::manifest::{names, slot_objects};
use crate::platform::{Error, Result, Template};
use crate::rollout::{Experiment, Fresh, Slot};

/// Whose version it runs: `baseline` or `candidate`. What carries it is no part of a slot.
pub const ROLE: &str = names::EXPERIMENT;

const BASELINE: &str = "baseline";
const CANDIDATE: &str = "candidate";

fn name(service: &str, role: &str) -> String {
    format!("{service}-experiment-{role}")
}

/// The slot's Deployment for `template`, turned into an experiment's: the pod's spec is the same to the letter. `live`:
/// the slot whose Service sends users to both.
fn deployment(
    template: &Template,
    slot: Slot,
    live: Slot,
    revision: u32,
    role: &str,
    epoch: u64,
) -> Option<Value> {
    let all = slot_objects(template, slot, revision);
    let mut object = all.into_iter().find(|o| o["kind"] == "Deployment")?;
    let service = template.body["service"].as_str().unwrap_or_default().to_owned();
    let metadata = &mut object["metadata"];
    metadata["name"] = name(&service, role).into();
    metadata["labels"][ROLE] = role.into();
    metadata["labels"][names::SLOT] = live.name().into();
    metadata["annotations"][names::EPOCH] = epoch.to_string().into();
    let spec = &mut object["spec"];
    spec["replicas"] = 0.into();
    spec["revisionHistoryLimit"] = 0.into();
    spec["selector"]["matchLabels"] = json!({names::NAME: service, names::SLOT: live.name(), ROLE: role});
    spec["template"]["metadata"]["labels"][names::SLOT] = live.name().into();
    spec["template"]["metadata"]["labels"][ROLE] = role.into();
    Some(object)
}

/// Both run, of these revisions; or, with None, neither is there.
pub async fn want(
    kubernetes: &Kubernetes,
    revisions: Option<(u32, u32)>,
    live: Slot,
    epoch: u64,
) -> Result<()> {
    let service = kubernetes.service.service.as_str();
    let Some((baseline, candidate)) = revisions else {
        for role in [BASELINE, CANDIDATE] {
            remove(kubernetes, &name(service, role), epoch).await?;
        }
        return Ok(());
    };
    let sides = [(BASELINE, live, baseline), (CANDIDATE, live.other(), candidate)];
    for (role, slot, revision) in sides {
        let template = kubernetes.known_template(revision).await?;
        let wanted = deployment(&template, slot, live, revision, role, epoch)
            .ok_or_else(|| anyhow::anyhow!("the template of revision {revision} has no Deployment"))?;
        one(kubernetes, &wanted, &name(service, role), revision, epoch).await?;
    }
    Ok(())
}

async fn one(kubernetes: &Kubernetes, wanted: &Value, name: &str, revision: u32, epoch: u64) -> Result<()> {
    let cluster = &kubernetes.cluster;
    let api = cluster.api::<Deployment>();
    let label = format!("Deployment {name}");
    let found = api.get_opt(name).await.map_err(|e| cluster.explain(e, &label))?;
    let present = match found {
        Some(found) if revision_of(&found) != revision => {
            // Of a rollout before; the next turn makes ours.
            return remove(kubernetes, name, epoch).await;
        }
        Some(found) => found,
        None => {
            let new: Deployment = serde_json::from_value(wanted.clone()).map_err(anyhow::Error::from)?;
            let params =
                PostParams { field_manager: Some(names::ROLLOUT_MANAGER.into()), ..PostParams::default() };
            let made = api.create(&params, &new).await.map_err(|e| cluster.explain(e, &label))?;
            let service = &kubernetes.service.service;
            fence::stands(cluster, service, epoch, remove(kubernetes, name, epoch)).await?;
            made
        }
    };
    if present.spec.as_ref().and_then(|s| s.replicas) == Some(1) {
        return Ok(());
    }
    let one = [json!({"op": "replace", "path": "/spec/replicas", "value": 1})];
    let objects = fence::api(cluster, "apps/v1", "Deployment", "deployments");
    fence::patch(cluster, &objects, &label, name, epoch, &one).await?;
    Ok(())
}

async fn remove(kubernetes: &Kubernetes, name: &str, epoch: u64) -> Result<()> {
    let cluster = &kubernetes.cluster;
    let (api, label) =
        (fence::api(cluster, "apps/v1", "Deployment", "deployments"), format!("Deployment {name}"));
    for _ in 0..10 {
        let found = api.get_metadata_opt(name).await.map_err(|e| cluster.explain(e, &label))?;
        let Some(found) = found.filter(|f| f.metadata.deletion_timestamp.is_none()) else { return Ok(()) };
        match fence::delete(cluster, &api, &label, &found.metadata, epoch).await {
            // Its controller writes the status meanwhile.
            Err(Error::Conflict(_)) => {}
            done => return done,
        }
    }
    Err(Error::Conflict(label))
}

/// The pods of one side.
pub fn pods(all: &[Arc<Pod>], candidate: bool) -> Vec<Arc<Pod>> {
    let role = if candidate { CANDIDATE } else { BASELINE };
    all.iter().filter(|p| p.labels().get(ROLE).is_some_and(|r| r == role)).cloned().collect()
}

/// The Deployment of the candidate's side.
pub fn candidate(deployments: &[Arc<Deployment>]) -> Option<&Deployment> {
    deployments.iter().find(|d| d.labels().get(ROLE).is_some_and(|r| r == CANDIDATE)).map(AsRef::as_ref)
}

/// What the caches hold of an experiment; None: nothing of one.
pub fn observed(deployments: &[Arc<Deployment>], pods: &[Arc<Pod>]) -> Option<Experiment> {
    let of = |role: &str| deployments.iter().find(|d| d.labels().get(ROLE).is_some_and(|r| r == role));
    if of(BASELINE).is_none() && of(CANDIDATE).is_none() {
        return None;
    }
    let side = |role: &str| {
        let Some(deployment) = of(role) else { return Fresh::default() };
        let revision = revision_of(deployment);
        let ours = self::pods(pods, role == CANDIDATE);
        let present: Vec<&Arc<Pod>> =
            ours.iter().filter(|p| is_present(p, revision) && !is_going(p) && !is_over(p)).collect();
        Fresh {
            revision,
            available: present.iter().any(|p| ready_since(p).is_some()),
            restarts: present.iter().map(|p| restarts(p)).sum(),
            lost: Vec::new(),
        }
    };
    Some(Experiment { baseline: side(BASELINE), candidate: side(CANDIDATE) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scenario_25_an_experiment_runs_what_the_slots_run() {
        let template = |image: &str| {
            let text = format!("service: orders\nreplicas: 3\nimage: {image}\n");
            let service = crate::service::parse_yaml(&text, std::path::Path::new("msctl.yaml")).unwrap();
            let secrets = Default::default();
            let input = crate::manifest::Input { service: &service, image, secrets: &secrets, key: b"key" };
            crate::manifest::template(&input)
        };
        let [live, candidate] = ["a@sha256:1", "b@sha256:2"].map(template);
        let mut hashes = Vec::new();
        for (template, slot, revision, role) in
            [(&live, Slot::Blue, 1, BASELINE), (&candidate, Slot::Green, 2, CANDIDATE)]
        {
            let slots = slot_objects(template, slot, revision);
            let slots = slots.iter().find(|o| o["kind"] == "Deployment").unwrap();
            let fresh = deployment(template, slot, Slot::Blue, revision, role, 3).unwrap();
            assert_eq!(fresh["spec"]["template"]["spec"], slots["spec"]["template"]["spec"]);
            assert_eq!(fresh["spec"]["replicas"], 0, "made inert");
            // A slot's Deployment must not take the experiment's ReplicaSet for its own: other templates, other hashes.
            hashes.extend([&fresh, slots].map(|d| d["spec"]["template"].to_string()));
            let labels = &fresh["spec"]["template"]["metadata"]["labels"];
            assert_eq!((&labels[names::SLOT], &labels[ROLE]), (&"blue".into(), &role.into()));
            let selector = fresh["spec"]["selector"]["matchLabels"].as_object().unwrap();
            assert!(selector.iter().all(|(k, v)| &labels[k] == v));
        }
        hashes.sort();
        hashes.dedup();
        assert_eq!(hashes.len(), 4, "four templates, four hashes");
    }
}
