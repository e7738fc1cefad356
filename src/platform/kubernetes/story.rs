//! What is kept of deploys: a ConfigMap each, in a ring. No part of what is managed: nothing that serves depends on it,
//! so it carries no epoch; its version guards it, and a driver that was overtaken finds the other's.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams, Preconditions};
use serde_json::json;

use super::client::Cluster;
use crate::manifest::names;
use crate::platform::{Error, Result, Stored};

const KEY: &str = "story";

fn name(service: &str, deploy: u32) -> String {
    format!("{service}-deploy-{deploy}")
}

fn ours(service: &str) -> ListParams {
    ListParams::default().labels(&format!("{},{}", names::selector(service), names::DEPLOY))
}

fn number<K: ResourceExt>(object: &K) -> u32 {
    object.labels().get(names::DEPLOY).and_then(|n| n.parse().ok()).unwrap_or(0)
}

fn stored(object: &ConfigMap) -> Option<Stored> {
    let body = object.data.as_ref()?.get(KEY)?.clone();
    Some(Stored { body, version: object.resource_version()? })
}

pub async fn stories(cluster: &Cluster, service: &str, deploy: Option<u32>) -> Result<Vec<Stored>> {
    let api = cluster.api::<ConfigMap>();
    if let Some(deploy) = deploy {
        let name = name(service, deploy);
        let found = api.get_opt(&name).await;
        let found = found.map_err(|e| cluster.explain(e, &format!("ConfigMap {name}")))?;
        return Ok(found.as_ref().and_then(stored).into_iter().collect());
    }
    let found = api.list(&ours(service)).await;
    let mut found = found.map_err(|e| cluster.explain(e, &format!("deploys of {service}")))?.items;
    found.sort_by_key(number);
    Ok(found.iter().filter_map(stored).collect())
}

pub async fn keep(
    cluster: &Cluster,
    service: &str,
    deploy: u32,
    body: &str,
    version: Option<&str>,
    keep: u32,
) -> Result<String> {
    let (api, name) = (cluster.api::<ConfigMap>(), name(service, deploy));
    let manager = Some(names::ROLLOUT_MANAGER.to_owned());
    let object = format!("ConfigMap {name}");
    let saved = match version {
        None => {
            let labels = [(names::NAME, service), (names::MANAGED_BY, "msctl")];
            let mut labels: BTreeMap<String, String> =
                labels.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
            labels.insert(names::DEPLOY.to_owned(), deploy.to_string());
            let new = ConfigMap {
                metadata: ObjectMeta { name: Some(name), labels: Some(labels), ..ObjectMeta::default() },
                data: Some(BTreeMap::from([(KEY.to_owned(), body.to_owned())])),
                ..ConfigMap::default()
            };
            api.create(&PostParams { field_manager: manager, ..PostParams::default() }, &new).await
        }
        Some(version) => {
            let patch = json!({ "metadata": { "resourceVersion": version }, "data": { KEY: body } });
            let params = PatchParams { field_manager: manager, ..PatchParams::default() };
            api.patch(&name, &params, &Patch::Merge(&patch)).await
        }
    };
    let saved = saved.map_err(|e| cluster.explain(e, &object))?;
    if version.is_none() {
        prune(cluster, service, keep as usize).await?;
    }
    Ok(saved.resource_version().unwrap_or_default())
}

/// Drops the oldest above `keep`.
async fn prune(cluster: &Cluster, service: &str, keep: usize) -> Result<()> {
    let api = cluster.api::<ConfigMap>();
    let found = api.list_metadata(&ours(service)).await;
    let mut found = found.map_err(|e| cluster.explain(e, &format!("deploys of {service}")))?.items;
    found.sort_by_key(number);
    for old in found.iter().take(found.len().saturating_sub(keep)) {
        let preconditions = Preconditions { uid: old.uid(), resource_version: None };
        let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
        match api.delete(&old.name_any(), &params).await.map_err(|e| cluster.explain(e, &old.name_any())) {
            Ok(_) | Err(Error::NotFound(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
