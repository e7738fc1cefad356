//! The state document (one ConfigMap, compare-and-swap on its version) and one ConfigMap a revision for its template.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt;
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use serde_json::json;

use super::client::Cluster;
use crate::error::Failure;
use crate::manifest::names;
use crate::platform::{Configuration, Error, Result, Stored, Template};

const KEY: &str = "state";
const TEMPLATE: &str = "template";
/// Far below etcd's limit, so that history cannot grow until a save fails in the middle of an abort.
const LIMIT: usize = 64 * 1024;

pub fn name(service: &str) -> String {
    names::state(service)
}

pub fn template_name(service: &str, revision: u32) -> String {
    format!("{service}-rollout-{revision}")
}

/// The revision whose template an object of this name holds.
pub fn template_revision(service: &str, name: &str) -> Option<u32> {
    name.strip_prefix(service)?.strip_prefix("-rollout-")?.parse().ok()
}

fn stored(object: &ConfigMap) -> Option<Stored> {
    let body = object.data.as_ref()?.get(KEY)?.clone();
    Some(Stored { body, version: object.resource_version()? })
}

fn config_map(name: String, service: &str, key: &str, body: String) -> ConfigMap {
    let labels = [(names::NAME, service), (names::MANAGED_BY, "msctl")];
    ConfigMap {
        metadata: ObjectMeta {
            name: Some(name),
            labels: Some(labels.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect()),
            ..ObjectMeta::default()
        },
        data: Some(BTreeMap::from([(key.to_owned(), body)])),
        ..ConfigMap::default()
    }
}

async fn get(cluster: &Cluster, service: &str) -> Result<Option<ConfigMap>> {
    let name = name(service);
    let found = cluster.api::<ConfigMap>().get_opt(&name).await;
    found.map_err(|e| cluster.explain(e, &format!("ConfigMap {name}")))
}

pub async fn load(cluster: &Cluster, service: &str) -> Result<Option<Stored>> {
    Ok(get(cluster, service).await?.as_ref().and_then(stored))
}

/// Returns the object as saved.
pub async fn save(cluster: &Cluster, service: &str, body: &str, version: Option<&str>) -> Result<ConfigMap> {
    if body.len() > LIMIT {
        return Err(Error::Other(
            Failure::failed("state-too-large", format!("the rollout's state has {} bytes", body.len()))
                .hint(format!("the limit is {LIMIT}; lower rollout.history"))
                .into(),
        ));
    }
    let (api, name) = (cluster.api::<ConfigMap>(), name(service));
    let object = format!("ConfigMap {name}");
    let saved = match version {
        None => {
            let new = config_map(name.clone(), service, KEY, body.to_owned());
            api.create(
                &PostParams { field_manager: Some(names::ROLLOUT_MANAGER.into()), ..Default::default() },
                &new,
            )
            .await
        }
        Some(version) => {
            let patch = json!({ "metadata": { "resourceVersion": version }, "data": { KEY: body } });
            let params =
                PatchParams { field_manager: Some(names::ROLLOUT_MANAGER.into()), ..Default::default() };
            api.patch(&name, &params, &Patch::Merge(&patch)).await
        }
    };
    match saved.map_err(|e| cluster.explain(e, &object)) {
        Ok(saved) => Ok(saved),
        // A repeated request finds its own first try: then it has been saved.
        Err(conflict @ Error::Conflict(_)) => match get(cluster, service).await? {
            Some(found) if stored(&found).is_some_and(|s| s.body == body) => Ok(found),
            _ => Err(conflict),
        },
        Err(Error::NotFound(_)) if version.is_some() => Err(Error::Conflict(object)),
        Err(other) => Err(other),
    }
}

/// A revision names one template for ever: writing it again is harmless, writing another one is a conflict.
pub async fn put_template(
    cluster: &Cluster,
    service: &str,
    revision: u32,
    template: &Template,
) -> Result<()> {
    let name = template_name(service, revision);
    let body = serde_json::to_string(template).map_err(anyhow::Error::from)?;
    let mut new = config_map(name.clone(), service, TEMPLATE, body);
    new.immutable = Some(true);
    new.labels_mut().insert(names::REVISION.into(), revision.to_string());
    let params = PostParams { field_manager: Some(names::ROLLOUT_MANAGER.into()), ..Default::default() };
    match cluster.api::<ConfigMap>().create(&params, &new).await {
        Ok(_) => Ok(()),
        Err(e) => match cluster.explain(e, &format!("ConfigMap {name}")) {
            conflict @ Error::Conflict(_) => {
                let same = get_template(cluster, service, revision).await?.hash == template.hash;
                if same { Ok(()) } else { Err(conflict) }
            }
            other => Err(other),
        },
    }
}

/// What the template's ConfigMap holds, where it can be read, and the name of its Secret, which tells its content.
pub async fn configuration(cluster: &Cluster, template: &Template) -> Configuration {
    let mut found = Configuration::default();
    let from = &template.body["podTemplate"]["spec"]["containers"][0]["envFrom"];
    for source in from.as_array().into_iter().flatten() {
        if let Some(name) = source["configMapRef"]["name"].as_str()
            && let Ok(map) = cluster.api::<ConfigMap>().get(name).await
        {
            found.values.extend(map.data.unwrap_or_default());
        }
        if let Some(name) = source["secretRef"]["name"].as_str() {
            found.secrets = Some(name.to_owned());
        }
    }
    found
}

pub async fn get_template(cluster: &Cluster, service: &str, revision: u32) -> Result<Template> {
    let name = template_name(service, revision);
    let object = format!("ConfigMap {name}");
    let found = cluster.api::<ConfigMap>().get(&name).await.map_err(|e| cluster.explain(e, &object))?;
    let body = found.data.as_ref().and_then(|d| d.get(TEMPLATE)).map_or("", String::as_str);
    serde_json::from_str(body)
        .map_err(|e| {
            Failure::failed("bad-template", format!("{object} does not hold a template")).source(e).into()
        })
        .map_err(Error::Other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn template_names_read_back() {
        for (name, expected) in [
            ("orders-rollout-7", Some(7)),
            ("orders-rollout", None),
            ("orders-rollout-x", None),
            ("orders2-rollout-7", None),
        ] {
            assert_eq!(template_revision("orders", name), expected, "{name}");
        }
        assert_eq!(template_revision("orders", &template_name("orders", 12)), Some(12));
    }
}
