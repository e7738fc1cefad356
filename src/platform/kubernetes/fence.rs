//! The fence: every object carries the epoch of the driver that may write it. Raised by JSON Patch that tests what was
//! seen, never lowered; writes that must be fenced test it in the same patch (rollouts.md, section 4).

use std::collections::BTreeMap;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use kube::api::{ApiResource, DynamicObject, ListParams, PartialObjectMeta, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use super::client::Cluster;
use crate::manifest::{Kind, names};
use crate::platform::{Error, Result};

/// The epoch's place in a JSON Patch.
const POINTER: &str = "/metadata/annotations/msctl.dev~1epoch";
const TRIES: usize = 5;
const AT_ONCE: usize = 8;

pub fn api(cluster: &Cluster, api_version: &str, kind: &str, plural: &str) -> Api<DynamicObject> {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let resource = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural);
    Api::namespaced_with(cluster.client.clone(), &cluster.namespace, &resource)
}

/// API version, kind, plural.
pub type Terms = (&'static str, &'static str, &'static str);

pub const DEPLOYMENT: Terms = ("apps/v1", "Deployment", "deployments");
pub const JOB: Terms = ("batch/v1", "Job", "jobs");
pub const SERVICE: Terms = ("v1", "Service", "services");
pub const SCALER: Terms = ("autoscaling/v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers");

/// What msctl makes, beside the objects of a router.
const KINDS: [Terms; 9] = [
    DEPLOYMENT,
    SERVICE,
    ("v1", "ConfigMap", "configmaps"),
    ("v1", "Secret", "secrets"),
    ("v1", "ServiceAccount", "serviceaccounts"),
    ("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets"),
    ("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies"),
    SCALER,
    JOB,
];

pub fn epoch_of(annotations: &BTreeMap<String, String>) -> Option<u64> {
    annotations.get(names::EPOCH)?.parse().ok()
}

struct Managed {
    api: Api<DynamicObject>,
    /// `Deployment orders-blue`.
    label: String,
    meta: PartialObjectMeta<DynamicObject>,
}

/// Metadata of everything of the service; not the state and what is kept of deploys, whose versions alone guard them.
/// `others`: what was adopted has labels of its own.
async fn managed(
    cluster: &Cluster,
    service: &str,
    routes: &[Kind],
    others: &[(Terms, String)],
) -> Result<Vec<Managed>> {
    let params = ListParams::default().labels(&format!("{},!{}", names::selector(service), names::DEPLOY));
    let kinds = KINDS.into_iter().chain(routes.iter().map(|kind| kind.terms()));
    let mut lists: Vec<_> = kinds.map(|kind| list(cluster, service, kind, params.clone())).collect();
    // A driver in the cluster does not carry the service's name, or users would be sent to it.
    let drivers = ListParams::default().labels(&crate::manifest::driver::selector(service));
    lists.push(list(cluster, service, JOB, drivers));
    let lists: Vec<_> = stream::iter(lists).buffer_unordered(AT_ONCE).try_collect().await?;
    let state = super::state::name(service);
    let mut adopted = Vec::new();
    for ((version, kind, plural), name) in others {
        let (api, label) = (api(cluster, version, kind, plural), format!("{kind} {name}"));
        let found = api.get_metadata_opt(name).await.map_err(|e| cluster.explain(e, &label))?;
        adopted.extend(found.map(|meta| Managed { api, label, meta }));
    }
    Ok(lists
        .into_iter()
        .flat_map(|(api, kind, items)| {
            items.into_iter().map(move |meta| {
                let label = format!("{kind} {}", meta.name_any());
                Managed { api: api.clone(), label, meta }
            })
        })
        .filter(|m| m.meta.name_any() != state)
        .chain(adopted)
        .collect())
}

type Listed = (Api<DynamicObject>, &'static str, Vec<PartialObjectMeta<DynamicObject>>);

async fn list(cluster: &Cluster, service: &str, terms: Terms, params: ListParams) -> Result<Listed> {
    let (version, kind, plural) = terms;
    let api = api(cluster, version, kind, plural);
    match api.list_metadata(&params).await {
        Ok(list) => Ok((api, kind, list.items)),
        // Who may not list them wrote none, and none of them is changed once it is made: a driver of a service
        // without secrets, or somebody who never detached one.
        Err(kube::Error::Api(s)) if s.code == 403 && matches!(kind, "Secret" | "Job") => {
            Ok((api, kind, Vec::new()))
        }
        Err(e) => Err(cluster.explain(e, &format!("{kind}s of {service}"))),
    }
}

/// The highest epoch of the service's objects.
pub async fn highest(
    cluster: &Cluster,
    service: &str,
    routes: &[Kind],
    others: &[(Terms, String)],
) -> Result<u64> {
    let all = managed(cluster, service, routes, others).await?;
    Ok(all.iter().filter_map(|m| epoch_of(m.meta.annotations())).max().unwrap_or(0))
}

/// Raises every object to `epoch`. Fails with Overtaken at the first that is above.
pub async fn raise(
    cluster: &Cluster,
    service: &str,
    routes: &[Kind],
    others: &[(Terms, String)],
    epoch: u64,
) -> Result<()> {
    let all = managed(cluster, service, routes, others).await?;
    let raised: Vec<_> = all.into_iter().map(|object| raise_one(cluster, object, epoch)).collect();
    stream::iter(raised).buffer_unordered(AT_ONCE).try_collect::<Vec<()>>().await?;
    Ok(())
}

async fn raise_one(cluster: &Cluster, object: Managed, epoch: u64) -> Result<()> {
    let Managed { api, label, mut meta } = object;
    let name = meta.name_any();
    for _ in 0..TRIES {
        let seen = epoch_of(meta.annotations());
        match seen {
            Some(seen) if seen == epoch => return Ok(()),
            Some(seen) if seen > epoch => return Err(Error::Overtaken { seen, ours: epoch }),
            _ => {}
        }
        let mut operations = Vec::new();
        match meta.annotations().get(names::EPOCH) {
            Some(text) => operations.push(json!({"op": "test", "path": POINTER, "value": text})),
            None => {
                let version = meta.resource_version();
                operations.push(json!({"op": "test", "path": "/metadata/resourceVersion", "value": version}));
                if meta.annotations().is_empty() {
                    operations.push(json!({"op": "add", "path": "/metadata/annotations", "value": {}}));
                }
            }
        }
        operations.push(json!({"op": "add", "path": POINTER, "value": epoch.to_string()}));
        let patch = json_patch(operations)?;
        match api.patch_metadata(&name, &rollout_params(), &patch).await {
            Ok(_) => return Ok(()),
            Err(kube::Error::Api(s)) if s.code == 404 => return Ok(()),
            Err(kube::Error::Api(s)) if test_failed(s.code) => {}
            Err(e) => return Err(cluster.explain(e, &label)),
        }
        match api.get_metadata_opt(&name).await.map_err(|e| cluster.explain(e, &label))? {
            Some(newer) => meta = newer,
            None => return Ok(()),
        }
    }
    Err(Error::Conflict(label))
}

/// A failed `test` is 422; a patch that lost a race against another write, 409.
fn test_failed(code: u16) -> bool {
    matches!(code, 409 | 422)
}

pub fn rollout_params() -> PatchParams {
    PatchParams { field_manager: Some(names::ROLLOUT_MANAGER.into()), ..PatchParams::default() }
}

fn json_patch(operations: Vec<Value>) -> Result<Patch<()>> {
    let patch = serde_json::from_value(Value::Array(operations)).map_err(anyhow::Error::from)?;
    Ok(Patch::Json(patch))
}

/// A hot write: `operations` on one object, only while it carries our epoch. Returns the object as written.
pub async fn patch(
    cluster: &Cluster,
    api: &Api<DynamicObject>,
    label: &str,
    name: &str,
    epoch: u64,
    operations: &[Value],
) -> Result<DynamicObject> {
    for _ in 0..TRIES {
        let mut all = vec![json!({"op": "test", "path": POINTER, "value": epoch.to_string()})];
        all.extend_from_slice(operations);
        match api.patch(name, &rollout_params(), &json_patch(all)?).await {
            Ok(written) => return Ok(written),
            Err(kube::Error::Api(s)) if test_failed(s.code) => {
                let meta = api.get_metadata(name).await.map_err(|e| cluster.explain(e, label))?;
                match epoch_of(meta.annotations()) {
                    Some(seen) if seen > epoch => return Err(Error::Overtaken { seen, ours: epoch }),
                    // The epoch fits: another test failed, or the object itself is refused.
                    Some(seen) if seen == epoch => {
                        return Err(cluster.explain(kube::Error::Api(s), label));
                    }
                    // Someone dropped the annotation, or made the object anew without it.
                    _ => {
                        let object = Managed { api: api.clone(), label: label.to_owned(), meta };
                        raise_one(cluster, object, epoch).await?;
                    }
                }
            }
            Err(e) => return Err(cluster.explain(e, label)),
        }
    }
    Err(Error::Conflict(label.to_owned()))
}

/// After something inert was made anew, before it is let go: it carries no epoch but ours, so that a patch of it tests
/// nothing that another driver raised. The service's own Service tells; it is asked again where it does not answer.
pub async fn not_overtaken(cluster: &Cluster, service: &str, epoch: u64) -> Result<()> {
    let services = api(cluster, "v1", "Service", "services");
    let mut tries = 0;
    let found = loop {
        let found = services.get_metadata_opt(service).await;
        match found.map_err(|e| cluster.explain(e, &format!("Service {service}"))) {
            Err(Error::Unreachable(_)) if tries < TRIES => {
                tries += 1;
                tokio::time::sleep(Duration::from_millis(100 << tries)).await;
            }
            found => break found?,
        }
    };
    match found.and_then(|service| epoch_of(service.annotations())) {
        Some(seen) if seen > epoch => Err(Error::Overtaken { seen, ours: epoch }),
        _ => Ok(()),
    }
}

/// What was just made inert stands; or, where that cannot be known, `remove` takes it away again.
pub async fn stands(
    cluster: &Cluster,
    service: &str,
    epoch: u64,
    remove: impl Future<Output = Result<()>>,
) -> Result<()> {
    match not_overtaken(cluster, service, epoch).await {
        Ok(()) => Ok(()),
        Err(error) => {
            remove.await?;
            Err(error)
        }
    }
}

/// Deletes exactly the object that was read, unless it carries a higher epoch. Gone already is done.
pub async fn delete(
    cluster: &Cluster,
    api: &Api<DynamicObject>,
    label: &str,
    meta: &kube::api::ObjectMeta,
    epoch: u64,
) -> Result<()> {
    let seen = meta.annotations.as_ref().and_then(epoch_of).unwrap_or(0);
    if seen > epoch {
        return Err(Error::Overtaken { seen, ours: epoch });
    }
    let params = kube::api::DeleteParams {
        preconditions: Some(kube::api::Preconditions {
            uid: meta.uid.clone(),
            resource_version: meta.resource_version.clone(),
        }),
        ..kube::api::DeleteParams::background()
    };
    match api.delete(meta.name.as_deref().unwrap_or_default(), &params).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(s)) if s.code == 404 => Ok(()),
        Err(e) => Err(cluster.explain(e, label)),
    }
}
