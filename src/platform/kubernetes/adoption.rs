//! What adopting a Deployment would mean: its pods, its template, and everything in the namespace that reaches them and
//! will miss, or wrongly match, a candidate. Reads only; the judging half is pure.

use std::collections::BTreeMap;

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use kube::ResourceExt;
use kube::api::{DynamicObject, ListParams};
use serde_json::{Value, json};

use super::client::Cluster;
use super::release::{Site, keda, refuse_tool};
use super::{autoscaler, fence, state};
use crate::error::{Failure, Kind as Exit};
use crate::manifest::{self, Kind, names};
use crate::platform::{Adoption, Error, Result, Template};
use crate::rollout::{Adopted, Bounded, Scaler, Slot};
use crate::service::Service;

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

/// The pods' labels as the selector has them, and what people must know; or why it cannot be.
fn judge(service: &Service, object: &Value, around: &Around) -> anyhow::Result<(Labels, Vec<String>)> {
    let name = manifest::name_of(object);
    let refuse = |reason: &'static str, text: String, hint: &str| {
        Err(anyhow::Error::from(
            Failure::new(Exit::Held, reason, text).object(format!("Deployment/{name}")).hint(hint),
        ))
    };
    let selector = &object["spec"]["selector"];
    if selector["matchExpressions"].as_array().is_some_and(|e| !e.is_empty()) {
        return refuse(
            "selector",
            format!("the selector of Deployment {name} has matchExpressions, which no Service can have"),
            "a selector cannot be changed: deploy beside it under another name, and move the callers",
        );
    }
    let labels = map(&selector["matchLabels"]);
    let pods = map(&object["spec"]["template"]["metadata"]["labels"]);
    let candidate = candidate(service);
    if matches(&labels, &candidate) {
        return refuse(
            "wrong-match",
            format!("the selector of Deployment {name} would match the candidate's pods too"),
            "name the service otherwise in msctl.yaml, so that its pods carry another name label",
        );
    }
    let mut notes = Vec::new();
    services(service, around, &pods, &candidate, &mut notes)?;
    for budget in &around.budgets {
        let (title, selector) = (manifest::name_of(budget), map(&budget["spec"]["selector"]["matchLabels"]));
        match (matches(&selector, &pods), matches(&selector, &candidate)) {
            (_, true) => return refuse("wrong-match",
                format!("PodDisruptionBudget {title} would count the candidate's pods too, and then protects neither version"),
                "narrow its selector to the Deployment's own labels"),
            (true, false) => notes.push(format!("PodDisruptionBudget {title} protects the adopted pods only; msctl makes one for each slot of its own")),
            (false, false) => {}
        }
    }
    if let Some(Bounded { name: title, .. }) = scaler(service, name, around)? {
        notes.push(format!("HorizontalPodAutoscaler {title} scales the adopted pods only: rollouts hold it and give its bounds back; msctl makes one for each slot of its own"));
    }
    for object in around.scaled.iter().filter(|s| keda::targets(s, name)) {
        let title = manifest::name_of(object);
        notes.push(format!("ScaledObject {title} is paused, and has to stay so during rollouts"));
    }
    for policy in &around.policies {
        let selector = map(&policy["spec"]["podSelector"]["matchLabels"]);
        if matches_or_empty(&selector, &pods) && !matches_or_empty(&selector, &candidate) {
            notes.push(format!(
                "NetworkPolicy {} does not hold for the candidate; msctl's own does",
                manifest::name_of(policy)
            ));
        }
    }
    let spread = object["spec"]["template"]["spec"]["topologySpreadConstraints"].as_array();
    if spread.into_iter().flatten().any(|s| matches(&map(&s["labelSelector"]["matchLabels"]), &candidate)) {
        notes.push("a spread rule of the adopted pods counts the candidate's pods too".into());
    }
    if object["spec"]["strategy"]["type"] == "Recreate" {
        notes.push(
            "the Deployment's strategy is Recreate: a rolling update of it has a gap; blue-green has none"
                .into(),
        );
    }
    if object["spec"]["template"]["spec"]["containers"][0]["lifecycle"]["preStop"].is_null() {
        notes.push(
            "the adopted pods have no preStop: requests that reach them while they end may fail".into(),
        );
    }
    Ok((labels, notes))
}

/// The autoscaler that acts on Deployment `name`, if a rollout can hold it.
fn scaler(service: &Service, name: &str, around: &Around) -> anyhow::Result<Option<Bounded>> {
    let refuse = |text: String, hint: String| {
        let failure = Failure::new(Exit::Held, "autoscaler", text);
        Err(failure.object(format!("Deployment/{name}")).hint(hint).into())
    };
    if let Some(object) = around.scaled.iter().find(|s| keda::targets(s, name) && keda::acts(s)) {
        let title = manifest::name_of(object);
        return refuse(
            format!(
                "ScaledObject {title} sets the pods of Deployment {name}, and during a rollout the rollout does"
            ),
            keda::hint(title),
        );
    }
    let acting = around.scalers.iter().filter(|s| s["spec"]["scaleTargetRef"]["name"] == name);
    // KEDA takes its own away, sooner or later, once it is paused.
    let acting: Vec<&Value> =
        acting.filter(|s| keda::made(s).is_none() || around.scaled.is_empty()).collect();
    let Some(first) = acting.first() else { return Ok(None) };
    let title = manifest::name_of(first);
    if let Some(scaled) = keda::made(first) {
        return refuse(
            format!("HorizontalPodAutoscaler {title} is KEDA's, of a ScaledObject that you may not read"),
            keda::hint(scaled),
        );
    }
    if let [_, second, ..] = acting[..] {
        return refuse(
            format!("both {title} and {} set the pods of Deployment {name}", manifest::name_of(second)),
            "leave one HorizontalPodAutoscaler, then adopt".into(),
        );
    }
    let read: HorizontalPodAutoscaler = serde_json::from_value((*first).clone())?;
    let own = autoscaler::read(&read).map_or(Scaler::free(1, 1), |s| Scaler::free(s.min, s.max));
    if service.autoscaling.is_none() {
        return refuse(
            format!(
                "HorizontalPodAutoscaler {title} sets the pods of Deployment {name}, and msctl.yaml has a fixed number"
            ),
            format!("set `autoscaling: {{min: {}, max: {}}}` in msctl.yaml", own.min, own.max),
        );
    }
    Ok(Some(Bounded { name: title.to_owned(), own }))
}

fn services(
    service: &Service,
    around: &Around,
    pods: &Labels,
    candidate: &Labels,
    notes: &mut Vec<String>,
) -> anyhow::Result<()> {
    for object in &around.services {
        let (title, selector) = (manifest::name_of(object), map(&object["spec"]["selector"]));
        let (old, new) = (matches(&selector, pods), matches(&selector, candidate));
        let refuse = |text: String, hint: String| {
            Err(Failure::new(Exit::Held, "wrong-match", text)
                .object(format!("Service/{title}"))
                .hint(hint)
                .into())
        };
        if new {
            return refuse(
                format!(
                    "Service {title} would send requests to the candidate's pods from their first second"
                ),
                "narrow its selector to the Deployment's own labels, then adopt".into(),
            );
        }
        let public = title == service.service;
        if public && !old {
            return refuse(
                format!(
                    "Service {title} does not select the Deployment's pods, and its name is the one callers will use"
                ),
                "adopt the Deployment that it selects, or name the service otherwise in msctl.yaml".into(),
            );
        }
        if public {
            for port in object["spec"]["ports"].as_array().into_iter().flatten() {
                let target = if port["targetPort"].is_null() { &port["port"] } else { &port["targetPort"] };
                if *target != json!(service.port) && *target != names::PORT_NAME {
                    return refuse(
                        format!(
                            "port {} of Service {title} goes to {target} of the pods, and the candidate listens on {}",
                            port["port"], service.port
                        ),
                        format!("set its targetPort to {}, or `port` in msctl.yaml", service.port),
                    );
                }
            }
            notes.push(format!("Service {title} stays as it is made; a rollout sets its selector"));
        } else if old {
            notes.push(format!("Service {title} misses the candidate: its callers stay with the adopted pods, and have none once those are drained"));
        }
    }
    Ok(())
}

/// The labels that the candidate's pods will have.
fn candidate(service: &Service) -> Labels {
    let none = BTreeMap::new();
    let input = manifest::Input { service, image: "candidate", secrets: &none, key: b"adopted" };
    let mut labels = map(&manifest::template(&input).body["podTemplate"]["metadata"]["labels"]);
    labels.insert(names::SLOT.into(), Slot::Green.name().into());
    labels
}

/// A Service without a selector selects nothing.
fn matches(selector: &Labels, pods: &Labels) -> bool {
    !selector.is_empty() && matches_or_empty(selector, pods)
}

fn matches_or_empty(selector: &Labels, pods: &Labels) -> bool {
    selector.iter().all(|(k, v)| pods.get(k) == Some(v))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn service(extra: &str) -> Service {
        let text = format!("service: orders\nport: 8080\n{extra}");
        crate::service::parse_yaml(&text, std::path::Path::new("msctl.yaml")).expect("a service")
    }

    fn deployment(labels: Value) -> Value {
        json!({"metadata": {"name": "legacy"}, "spec": {"replicas": 2, "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"image": "i", "lifecycle": {"preStop": {}}}]}}}})
    }

    fn around(kind: &str, object: Value) -> Around {
        let mut around =
            Around { services: vec![], scalers: vec![], scaled: vec![], budgets: vec![], policies: vec![] };
        match kind {
            "service" => around.services.push(object),
            "scaler" => around.scalers.push(object),
            "scaled" => around.scaled.push(object),
            "budget" => around.budgets.push(object),
            _ => around.policies.push(object),
        }
        around
    }

    #[test]
    fn what_matches_wrongly_is_refused_and_what_misses_is_told() {
        let svc = |name: &str, selector: Value| json!({"metadata": {"name": name}, "spec": {"selector": selector, "ports": [{"port": 80, "targetPort": 8080}]}});
        let old = json!({"app": "legacy"});
        let shared = json!({"app.kubernetes.io/name": "orders"});
        for (kind, object, says) in [
            ("service", svc("orders", old.clone()), Ok("stays as it is made")),
            ("service", svc("metrics", old.clone()), Ok("misses the candidate")),
            ("service", svc("orders", json!({"app": "other"})), Err("does not select")),
            ("service", svc("wide", shared.clone()), Err("from their first second")),
            (
                "service",
                json!({"metadata": {"name": "orders"}, "spec": {"selector": old, "ports": [{"port": 80, "targetPort": 9}]}}),
                Err("goes to 9"),
            ),
            (
                "budget",
                json!({"metadata": {"name": "b"}, "spec": {"selector": {"matchLabels": shared}}}),
                Err("protects neither"),
            ),
            (
                "budget",
                json!({"metadata": {"name": "b"}, "spec": {"selector": {"matchLabels": old}}}),
                Ok("protects the adopted pods only"),
            ),
            (
                "scaler",
                json!({"metadata": {"name": "h"}, "spec": {"scaleTargetRef": {"name": "legacy"}, "minReplicas": 2, "maxReplicas": 5}}),
                Err("sets the pods"),
            ),
            (
                "scaled",
                json!({"metadata": {"name": "k"}, "spec": {"scaleTargetRef": {"name": "legacy"}}}),
                Err("ScaledObject k sets the pods"),
            ),
            (
                "scaled",
                json!({"metadata": {"name": "k", "annotations": {"autoscaling.keda.sh/paused": "true"}},
                    "spec": {"scaleTargetRef": {"name": "legacy"}}}),
                Ok("is paused"),
            ),
            (
                "scaled",
                json!({"metadata": {"name": "k"}, "spec": {"scaleTargetRef": {"name": "another"}}}),
                Ok(""),
            ),
            (
                "policy",
                json!({"metadata": {"name": "p"}, "spec": {"podSelector": {"matchLabels": old}}}),
                Ok("does not hold for the candidate"),
            ),
        ] {
            let found =
                judge(&service(""), &deployment(json!({"app": "legacy"})), &around(kind, object.clone()));
            match (found, says) {
                (Ok((_, notes)), Ok("")) => assert_eq!(notes, Vec::<String>::new(), "{object}"),
                (Ok((_, notes)), Ok(says)) => {
                    assert!(notes.iter().any(|n| n.contains(says)), "{object}: {notes:?}")
                }
                (Err(error), Err(says)) => {
                    assert!(error.to_string().contains(says), "{object}: {error}");
                    assert_eq!(crate::error::kind(&error).code(), 4);
                }
                (found, says) => panic!("{object}: {found:?}, not {says:?}"),
            }
        }
    }

    #[test]
    fn an_autoscaler_is_held_with_its_own_bounds_or_told_why_not() {
        let hpa = |name: &str, labels: Value| {
            json!({"metadata": {"name": name, "labels": labels},
                "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "legacy"}, "minReplicas": 2, "maxReplicas": 5}})
        };
        let keda = json!({"scaledobject.keda.sh/name": "queue"});
        let scaled = service("autoscaling: {min: 1, max: 9}\n");
        let of = |all: Vec<Value>| {
            let mut around = around("scaler", hpa("h", json!({})));
            around.scalers = all;
            scaler(&scaled, "legacy", &around)
        };
        let found = of(vec![hpa("h", json!({}))]).unwrap().unwrap();
        assert_eq!(found, Bounded { name: "h".into(), own: Scaler::free(2, 5) }, "not those of msctl.yaml");
        assert_eq!(of(vec![]).unwrap(), None);
        for (all, says) in [
            (vec![hpa("h", json!({})), hpa("i", json!({}))], "both h and i"),
            (vec![hpa("keda-hpa-queue", keda)], "is KEDA's"),
        ] {
            let error = of(all).unwrap_err();
            assert_eq!(crate::error::kind(&error).code(), 4);
            assert!(error.to_string().contains(says), "{error}");
        }
    }

    #[test]
    fn a_selector_that_matches_the_candidate_is_refused() {
        let same = judge(
            &service(""),
            &deployment(json!({"app.kubernetes.io/name": "orders"})),
            &around("policy", json!({})),
        );
        assert!(same.is_err_and(|e| e.to_string().contains("would match the candidate")));
    }
}
