//! What adopting a Deployment would mean: its pods, its template, and everything in the namespace that reaches them.
//! Reads only.

mod judge;

use std::collections::BTreeMap;

use kube::ResourceExt;
use kube::api::{DynamicObject, ListParams};
use serde_json::Value;

use super::client::Cluster;
use super::release::{Site, keda, refuse_tool};
use super::{fence, state};
use crate::error::Failure;
use crate::manifest::{self, Kind, names};
use crate::platform::{Adoption, Error, Result, Template};
use crate::rollout::{Adopted, Slot};
use crate::service::Service;
use judge::{judge, scaler};

type Labels = BTreeMap<String, String>;

/// What is there beside the Deployment.
struct Around {
    services: Vec<Value>,
    scalers: Vec<Value>,
    /// KEDA's, where the cluster has it.
    scaled: Vec<Value>,
    budgets: Vec<Value>,
    policies: Vec<Value>,
}

pub async fn inspect(
    cluster: &Cluster,
    site: &Site,
    service: &Service,
    name: &str,
    routes: &[Kind],
) -> anyhow::Result<Adoption> {
    let api = fence::api(cluster, "apps/v1", "Deployment", "deployments");
    let found = api.get(name).await.map_err(|e| cluster.explain(e, &format!("Deployment {name}")));
    let object = match found {
        Ok(found) => json_of(&found)?,
        Err(Error::NotFound(text)) => {
            return Err(Failure::failed("not-found", text)
                .hint("`kubectl get deployments` lists what could be adopted")
                .into());
        }
        Err(error) => return Err(error.into()),
    };
    refuse_tool(Kind::Deployment, &object)?;
    let around = around(cluster).await?;
    let epoch = fence::highest(cluster, &service.service, routes, &[]).await?;
    let replicas = object["spec"]["replicas"].as_u64().and_then(|n| u32::try_from(n).ok()).unwrap_or(1);
    let at = cluster.clock.now();
    if let Some(slot) = own_slot(&object, &service.service) {
        return own(
            cluster,
            site,
            service,
            &object,
            slot,
            &around,
            Adoption {
                slot,
                adopted: None,
                revision: None,
                known: false,
                numbered: 0,
                replicas,
                template: template(service, &object),
                notes: Vec::new(),
                // Whoever wrote before the state was lost is fenced out.
                epoch: epoch + 1,
                at,
            },
        )
        .await;
    }
    let (labels, notes) = judge(service, &object, &around)?;
    let public = around.services.iter().find(|s| manifest::name_of(s) == service.service);
    let adopted = Adopted {
        slot: Slot::Blue,
        deployment: name.to_owned(),
        labels,
        service: public.map(|s| map(&s["spec"]["selector"])),
        scaler: scaler(service, name, &around)?,
        revision: 0,
        active: true,
    };
    if let Some(public) = public {
        refuse_tool(Kind::Service, public)?;
    }
    let template = template(service, &object);
    Ok(Adoption {
        slot: Slot::Blue,
        adopted: Some(adopted),
        revision: None,
        known: false,
        numbered: 0,
        replicas,
        template,
        notes,
        epoch,
        at,
    })
}

fn json_of(object: &DynamicObject) -> Result<Value> {
    Ok(serde_json::to_value(object).map_err(anyhow::Error::from)?)
}

async fn around(cluster: &Cluster) -> Result<Around> {
    let list = |version: &'static str, kind: &'static str, plural: &'static str| async move {
        let found = fence::api(cluster, version, kind, plural).list(&ListParams::default()).await;
        let found = found.map_err(|e| cluster.explain(e, plural))?;
        found.items.iter().map(json_of).collect::<Result<Vec<Value>>>()
    };
    let (services, scalers, scaled, budgets, policies) = futures::try_join!(
        list("v1", "Service", "services"),
        list("autoscaling/v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers"),
        async {
            match list(keda::VERSION, keda::KIND, keda::PLURAL).await {
                Err(Error::NotFound(_) | Error::Forbidden(_)) => Ok(Vec::new()),
                other => other,
            }
        },
        list("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets"),
        list("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies"),
    )?;
    Ok(Around { services, scalers, scaled, budgets, policies })
}

/// A slot that msctl itself made, whose state is lost.
fn own_slot(object: &Value, service: &str) -> Option<Slot> {
    let labels = &object["metadata"]["labels"];
    let ours = labels[names::MANAGED_BY] == "msctl" && labels[names::NAME] == service;
    Slot::ALL.into_iter().find(|s| ours && labels[names::SLOT] == s.name())
}

/// Live is what the Service selects; its version is known by its label, its template by what is stored or runs.
async fn own(
    cluster: &Cluster,
    site: &Site,
    service: &Service,
    object: &Value,
    slot: Slot,
    around: &Around,
    mut found: Adoption,
) -> anyhow::Result<Adoption> {
    let public = around.services.iter().find(|s| manifest::name_of(s) == service.service);
    let selects = public.and_then(|s| s["spec"]["selector"][names::SLOT].as_str());
    if selects.is_some_and(|s| s != slot.name()) {
        let other = names::slot(&site.service, slot.other());
        return Err(Failure::failed(
            "not-live",
            format!(
                "Service {} selects the other slot, so {} is not what is live",
                service.service,
                manifest::name_of(object)
            ),
        )
        .hint(format!("`msctl adopt {other}`"))
        .into());
    }
    let number = object["metadata"]["annotations"][names::REVISION].as_str();
    found.revision = number.and_then(|n| n.parse().ok());
    let params =
        ListParams::default().labels(&format!("{},{}", names::selector(&service.service), names::REVISION));
    let api = fence::api(cluster, "v1", "ConfigMap", "configmaps");
    let stored = api.list_metadata(&params).await.map_err(|e| cluster.explain(e, "ConfigMaps"))?;
    let numbers = stored.iter().filter_map(|c| state::template_revision(&service.service, &c.name_any()));
    found.numbered = numbers.chain(found.revision).max().unwrap_or(0);
    if let Some(revision) = found.revision
        && let Ok(template) = state::get_template(cluster, &service.service, revision).await
    {
        found.template = template;
        found.known = true;
    }
    Ok(found)
}

fn map(value: &Value) -> Labels {
    let members = value.as_object().into_iter().flatten();
    members.filter_map(|(k, v)| Some((k.clone(), v.as_str()?.to_owned()))).collect()
}

/// The Deployment's template as a revision's. Its pods are as they are: nothing is added.
fn template(service: &Service, object: &Value) -> Template {
    let pod = &object["spec"]["template"];
    let image = pod["spec"]["containers"][0]["image"].as_str().unwrap_or_default();
    let none = BTreeMap::new();
    let input = manifest::Input { service, image, secrets: &none, key: b"adopted" };
    let mut made = manifest::template(&input);
    let hash = object["metadata"]["annotations"][names::TEMPLATE].as_str();
    made.hash = hash.map_or_else(|| manifest::sha256(pod), str::to_owned);
    made.body["podTemplate"] = pod.clone();
    made
}

/// The template of `revision` for the adopted Deployment itself: its selector still has to match.
pub fn in_place(template: &Template, adopted: &Adopted, revision: u32) -> Value {
    let mut pod = template.body["podTemplate"].clone();
    if revision == adopted.revision {
        return pod;
    }
    let labels = &mut pod["metadata"]["labels"];
    labels[names::SLOT] = adopted.slot.name().into();
    labels[names::REVISION] = revision.to_string().into();
    for (key, value) in &adopted.labels {
        labels[key.as_str()] = value.clone().into();
    }
    pod
}
