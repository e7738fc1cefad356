//! What in the namespace would miss, or wrongly match, the candidate of an adopted Deployment. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use serde_json::{Value, json};

use super::{Around, Labels, keda, map};
use crate::error::{Failure, Kind as Exit};
use crate::manifest::{self, names};
use crate::platform::kubernetes::{autoscaler, selector};
use crate::rollout::{Bounded, Scaler, Slot};
use crate::service::Service;

/// The pods' labels as the selector has them, and what people must know; or why it cannot be.
pub fn judge(service: &Service, object: &Value, around: &Around) -> anyhow::Result<(Labels, Vec<String>)> {
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
        let (title, selector) = (manifest::name_of(budget), &budget["spec"]["selector"]);
        match (selects(selector, &pods), selects(selector, &candidate)) {
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
        let selector = &policy["spec"]["podSelector"];
        if selects(selector, &pods) && !selects(selector, &candidate) {
            notes.push(format!(
                "NetworkPolicy {} does not hold for the candidate; msctl's own does",
                manifest::name_of(policy)
            ));
        }
    }
    let spread = object["spec"]["template"]["spec"]["topologySpreadConstraints"].as_array();
    if spread.into_iter().flatten().any(|s| selects(&s["labelSelector"], &candidate)) {
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
pub fn scaler(service: &Service, name: &str, around: &Around) -> anyhow::Result<Option<Bounded>> {
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
    !selector.is_empty() && selector.iter().all(|(k, v)| pods.get(k) == Some(v))
}

/// One that cannot be read counts as if it selected them.
fn selects(labels: &Value, pods: &Labels) -> bool {
    selector::selects(labels, pods).unwrap_or(true)
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
        let budget = |operator: &str, values: Value| {
            let one = json!({"key": "app.kubernetes.io/name", "operator": operator, "values": values});
            json!({"metadata": {"name": "b"}, "spec": {"selector": {"matchExpressions": [one]}}})
        };
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
                "budget",
                json!({"metadata": {"name": "all"}, "spec": {"selector": {}}}),
                Err("protects neither"),
            ),
            ("budget", json!({"metadata": {"name": "none"}, "spec": {}}), Ok("")),
            ("budget", budget("NotIn", json!(["other"])), Err("protects neither")),
            ("budget", budget("In", json!(["orders"])), Err("protects neither")),
            ("budget", budget("In", json!(["other"])), Ok("")),
            ("budget", budget("DoesNotExist", json!([])), Ok("protects the adopted pods only")),
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
