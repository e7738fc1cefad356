//! Effects as writes. Hot ones are JSON Patch fenced by the epoch; their answers go straight into the caches, so that
//! an observation is never older than a write.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::ResourceExt;
use kube::api::{DynamicObject, ListParams};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::client::Cluster;
use super::fence::{DEPLOYMENT, SCALER, SERVICE, Terms};
use super::watch::Watches;
use super::{Kubernetes, adoption, autoscaler, experiment, fence, release, state};
use crate::manifest::names;
use crate::platform::{Error, Result, Template};
use crate::rollout::{Adopted, Effect, Selection, Slot};

/// The written object as the type its cache holds.
fn typed<K: DeserializeOwned>(object: DynamicObject) -> Result<K> {
    let value = serde_json::to_value(object).map_err(anyhow::Error::from)?;
    Ok(serde_json::from_value(value).map_err(anyhow::Error::from)?)
}

pub async fn execute(kubernetes: &Kubernetes, effect: &Effect, epoch: u64) -> Result<()> {
    let (cluster, service) = (&kubernetes.cluster, kubernetes.service.service.as_str());
    match effect {
        Effect::Apply { slot, revision } => {
            let template = kubernetes.known_template(*revision).await?;
            if let Some(adopted) = kubernetes.adopted().filter(|a| a.slot == *slot) {
                let pod = adoption::in_place(&template, &adopted, *revision);
                let operation = json!({"op": "replace", "path": "/spec/template", "value": pod});
                let written = patch(cluster, DEPLOYMENT, &adopted.deployment, epoch, operation).await?;
                return remember(kubernetes, |w| {
                    w.written(typed(written)?);
                    Ok(())
                });
            }
            apply(kubernetes, &template, *slot, *revision, epoch).await
        }
        Effect::Scale { slot, replicas } => {
            let name = kubernetes.deployment(*slot);
            let operation = json!({"op": "replace", "path": "/spec/replicas", "value": replicas});
            let written = patch(cluster, DEPLOYMENT, &name, epoch, operation).await?;
            remember(kubernetes, |w| {
                w.written(typed(written)?);
                Ok(())
            })
        }
        Effect::Select(selection) => {
            let selector = selector(service, *selection, kubernetes.adopted().as_ref());
            let operation = json!({"op": "replace", "path": "/spec/selector", "value": selector});
            let written = patch(cluster, SERVICE, service, epoch, operation).await?;
            remember(kubernetes, |w| {
                w.services.written(typed(written)?);
                Ok(())
            })
        }
        Effect::Route(routing) => {
            let Some(router) = kubernetes.router().await? else {
                return Err(Error::NotFound(format!("a router for {service}")));
            };
            let objects = kubernetes.watches.get().map(Watches::route_objects).unwrap_or_default();
            let writes = router.writes(&kubernetes.service, routing, &objects, cluster.clock.now())?;
            for write in writes {
                let (version, kind, plural) = write.kind.terms();
                let api = fence::api(cluster, version, kind, plural);
                let label = format!("{kind} {}", write.name);
                let written =
                    fence::patch(cluster, &api, &label, &write.name, epoch, &write.operations).await?;
                remember(kubernetes, |w| {
                    if let Some((_, store)) = w.routes.iter().find(|(kind, _)| *kind == write.kind) {
                        store.written(written);
                    }
                    Ok(())
                })?;
            }
            Ok(())
        }
        Effect::Experiment { live, revisions } => {
            experiment::want(kubernetes, *revisions, *live, epoch).await
        }
        Effect::Rebound { slot, scaler } => {
            let name = kubernetes.scaler(*slot);
            let Some(before) = kubernetes.watches.get().and_then(|w| w.scalers(&name).get(&name)) else {
                return Ok(());
            };
            let api = fence::api(cluster, SCALER.0, SCALER.1, SCALER.2);
            let operations = autoscaler::operations(&before, *scaler);
            let written =
                fence::patch(cluster, &api, &format!("{} {name}", SCALER.1), &name, epoch, &operations)
                    .await?;
            remember(kubernetes, |w| {
                w.scalers(&name).written(typed(written)?);
                Ok(())
            })
        }
        Effect::Prune { keep } => prune(kubernetes, keep, epoch).await,
    }
}

const PAGE: u32 = 100;
const CONFIG_MAP: Terms = ("v1", "ConfigMap", "configmaps");
const SECRET: Terms = ("v1", "Secret", "secrets");

async fn patch(
    cluster: &Cluster,
    terms: Terms,
    name: &str,
    epoch: u64,
    operation: Value,
) -> Result<DynamicObject> {
    let api = fence::api(cluster, terms.0, terms.1, terms.2);
    fence::patch(cluster, &api, &format!("{} {name}", terms.1), name, epoch, &[operation]).await
}

fn remember(kubernetes: &Kubernetes, write: impl FnOnce(&Watches) -> Result<()>) -> Result<()> {
    kubernetes.watches.get().map_or(Ok(()), write)
}

fn selector(service: &str, selection: Selection, adopted: Option<&Adopted>) -> Value {
    if let Some(adopted) = adopted.filter(|a| selection == Selection::only(a.slot)) {
        return json!(adopted.service.as_ref().unwrap_or(&adopted.labels));
    }
    match selection {
        Selection::Both => json!({names::NAME: service}),
        Selection::Blue => json!({names::NAME: service, names::SLOT: Slot::Blue.name()}),
        Selection::Green => json!({names::NAME: service, names::SLOT: Slot::Green.name()}),
    }
}

async fn apply(
    kubernetes: &Kubernetes,
    template: &Template,
    slot: Slot,
    revision: u32,
    epoch: u64,
) -> Result<()> {
    let (cluster, service) = (&kubernetes.cluster, kubernetes.service.service.as_str());
    let known = kubernetes.watches.get().and_then(|w| w.deployments.get(&names::slot(service, slot)));
    let made = release::apply_slot(&kubernetes.site().await?, template, slot, revision, epoch).await?;
    remember(kubernetes, |watches| {
        watches.deployments.written(serde_json::from_value(made).map_err(anyhow::Error::from)?);
        Ok(())
    })?;
    match known {
        Some(_) => Ok(()),
        None => fence::not_overtaken(cluster, service, epoch).await,
    }
}

/// Drops templates of revisions not kept, and the configuration that neither a kept template, a slot nor a pod names.
async fn prune(kubernetes: &Kubernetes, keep: &[u32], epoch: u64) -> Result<()> {
    let (cluster, service) = (&kubernetes.cluster, kubernetes.service.service.as_str());
    let api = fence::api(cluster, CONFIG_MAP.0, CONFIG_MAP.1, CONFIG_MAP.2);
    let params = ListParams::default().labels(&format!("{},{}", names::selector(service), names::REVISION));
    let templates = cluster.api::<ConfigMap>().list(&params).await;
    let templates = templates.map_err(|e| cluster.explain(e, &format!("templates of {service}")))?;
    let mut named = pods_and_slots(cluster, service).await?;
    let mut gone = Vec::new();
    let mut candidates = Vec::new();
    for object in templates {
        let Some(revision) = state::template_revision(service, &object.name_any()) else { continue };
        let used = configuration(&object);
        if keep.contains(&revision) || named.revisions.contains(&revision) {
            named.configuration.extend(used);
        } else {
            candidates.extend(used);
            gone.push(object.metadata);
        }
    }
    // Configuration goes first: a crash in between leaves the template that still names it.
    candidates.retain(|name| !named.configuration.contains(name));
    for terms in [CONFIG_MAP, SECRET] {
        delete_named(cluster, terms, &candidates, service, epoch).await?;
    }
    for meta in &gone {
        let label = format!("ConfigMap {}", meta.name.as_deref().unwrap_or_default());
        fence::delete(cluster, &api, &label, meta, epoch).await?;
    }
    Ok(())
}

/// What may not be dropped yet.
struct Named {
    revisions: Vec<u32>,
    configuration: Vec<String>,
}

/// Read from the cluster, not from caches: those are stripped, and this is no time to be late.
async fn pods_and_slots(cluster: &Cluster, service: &str) -> Result<Named> {
    let params = ListParams::default().labels(&format!("{}={service}", names::NAME));
    let deployments =
        cluster.api::<Deployment>().list(&params).await.map_err(|e| cluster.explain(e, "Deployments"))?;
    let sets = cluster.api::<k8s_openapi::api::apps::v1::ReplicaSet>().list(&params).await;
    let sets = sets.map_err(|e| cluster.explain(e, "ReplicaSets"))?;
    let mut named = Named { revisions: Vec::new(), configuration: Vec::new() };
    let mut add = |labels: Option<&std::collections::BTreeMap<String, String>>, spec: Value| {
        named
            .revisions
            .extend(labels.and_then(|l| l.get(names::REVISION)).and_then(|r| r.parse::<u32>().ok()));
        references(&spec, &mut named.configuration);
    };
    // Page by page: a thousand pods at once are more than all else that is kept.
    let mut page = params.clone().limit(PAGE);
    loop {
        let pods = cluster.api::<Pod>().list(&page).await.map_err(|e| cluster.explain(e, "Pods"))?;
        for pod in &pods {
            add(pod.metadata.labels.as_ref(), json!(pod.spec));
        }
        match pods.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => page = page.continue_token(&token),
            None => break,
        }
    }
    for template in deployments.iter().filter_map(|d| d.spec.as_ref()).map(|s| &s.template) {
        add(template.metadata.as_ref().and_then(|m| m.labels.as_ref()), json!(template.spec));
    }
    // A ReplicaSet without pods makes none again: revisions are rolled back by applying their template.
    for set in sets.iter().filter_map(|s| s.spec.as_ref()).filter(|s| s.replicas.unwrap_or(0) > 0) {
        let template = set.template.as_ref();
        let labels = template.and_then(|t| t.metadata.as_ref()).and_then(|m| m.labels.as_ref());
        add(labels, json!(template.and_then(|t| t.spec.as_ref())));
    }
    Ok(named)
}

/// Names of ConfigMaps and Secrets that a pod's spec refers to, wherever it does.
fn references(spec: &Value, to: &mut Vec<String>) {
    match spec {
        Value::Object(members) => {
            for (key, value) in members {
                let reference = matches!(
                    key.as_str(),
                    "configMapRef"
                        | "secretRef"
                        | "configMapKeyRef"
                        | "secretKeyRef"
                        | "configMap"
                        | "secret"
                );
                if reference {
                    let name = value.get("name").or_else(|| value.get("secretName"));
                    to.extend(name.and_then(Value::as_str).map(str::to_owned));
                }
                references(value, to);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, to)),
        _ => {}
    }
}

/// The configuration that a stored template names.
fn configuration(object: &ConfigMap) -> Vec<String> {
    let text = object.data.as_ref().and_then(|d| d.values().next());
    let template: Option<Template> = text.and_then(|t| serde_json::from_str(t).ok());
    let mut names = Vec::new();
    if let Some(template) = template {
        references(&template.body, &mut names);
    }
    names
}

/// Only what msctl made: a name in a template may be the user's own ConfigMap.
async fn delete_named(
    cluster: &Cluster,
    terms: Terms,
    wanted: &[String],
    service: &str,
    epoch: u64,
) -> Result<()> {
    if wanted.is_empty() {
        return Ok(());
    }
    let api = fence::api(cluster, terms.0, terms.1, terms.2);
    let params = ListParams::default().labels(&names::selector(service));
    let found = api.list_metadata(&params).await;
    let found = found.map_err(|e| cluster.explain(e, &format!("{}s of {service}", terms.1)))?;
    for object in found.iter().filter(|o| wanted.contains(&o.name_any())) {
        fence::delete(cluster, &api, &format!("{} {}", terms.1, object.name_any()), &object.metadata, epoch)
            .await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_found_wherever_a_pod_may_have_them() {
        let spec = json!({
            "containers": [{"envFrom": [{"configMapRef": {"name": "a"}}, {"secretRef": {"name": "b"}}],
                "env": [{"valueFrom": {"secretKeyRef": {"name": "c", "key": "k"}}},
                        {"valueFrom": {"configMapKeyRef": {"name": "d", "key": "k"}}}]}],
            "volumes": [{"configMap": {"name": "e"}}, {"secret": {"secretName": "f"}},
                        {"projected": {"sources": [{"secret": {"name": "g"}}]}}],
            "serviceAccountName": "z",
        });
        let mut found = Vec::new();
        references(&spec, &mut found);
        found.sort();
        assert_eq!(found, ["a", "b", "c", "d", "e", "f", "g"]);
    }
}
