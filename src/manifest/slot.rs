//! A slot: its Deployment, Service, PodDisruptionBudget and, with autoscaling, HorizontalPodAutoscaler.

use serde_json::{Map, Value, json};

use super::object::{Kind, labels};
use super::{Configuration, Input, names};
use crate::platform::Template;
use crate::rollout::Slot;
use crate::service::{Amount, Percent, Rollout};

/// The template's body: what slots are made of, without the slot.
pub(super) fn body(input: &Input<'_>, pod: Value, configuration: &Configuration) -> Value {
    let service = input.service;
    let replicas = service.autoscaling.as_ref().map_or(service.replicas, |a| a.max);
    let budget = service.rollout.unavailable.floor(replicas).max(1);
    json!({
        "service": service.service,
        "podTemplate": pod,
        "port": service.port,
        "strategy": strategy(&service.rollout),
        "history": service.rollout.history,
        "budget": {"maxUnavailable": budget},
        "autoscaling": service.autoscaling,
        "configMap": configuration.config(),
        "secret": configuration.secret(),
    })
}

fn strategy(rollout: &Rollout) -> Value {
    let none = |amount: Amount| matches!(amount, Amount::Count(0) | Amount::Share(Percent(0.0)));
    let stuck = none(rollout.surge) && none(rollout.unavailable);
    let amount = |amount: Amount, round: fn(f64) -> f64| match amount {
        Amount::Count(n) => json!(n),
        // Kubernetes knows whole percents only.
        Amount::Share(Percent(p)) => json!(format!("{}%", round(p))),
    };
    let ready = rollout.min_ready.0.as_secs();
    json!({
        "surge": amount(rollout.surge, f64::ceil),
        "unavailable": if stuck { json!(1) } else { amount(rollout.unavailable, f64::floor) },
        "minReady": ready,
        // The API refuses a deadline that is not above minReadySeconds.
        "progressDeadline": rollout.progress_deadline.0.as_secs().max(ready + 1),
    })
}

/// The objects of `slot` running `template` as `revision`, in the order they are made. The Deployment is made with no
/// pods; how many it has is a rollout's to say.
pub fn objects(template: &Template, slot: Slot, revision: u32) -> Vec<Value> {
    let body = &template.body;
    let service = body["service"].as_str().unwrap_or_default();
    let name = names::slot(service, slot);
    let object = |kind: Kind, spec: Value| {
        let mut all = labels(service);
        all.insert(names::SLOT.into(), slot.name().into());
        json!({
            "apiVersion": kind.api_version(),
            "kind": kind.name(),
            "metadata": {"name": name, "labels": all},
            "spec": spec,
        })
    };
    let selector = json!({names::NAME: service, names::SLOT: slot.name()});
    let mut deployment = object(Kind::Deployment, deployment(body, slot, revision, &selector));
    let metadata = &mut deployment["metadata"];
    metadata["labels"][names::VERSION] = body["podTemplate"]["metadata"]["labels"][names::VERSION].clone();
    metadata["annotations"] = json!({
        names::TEMPLATE: template.hash, names::REVISION: revision.to_string(),
    });
    let mut all = vec![
        object(Kind::Service, json!({"selector": selector, "ports": [super::service::port()]})),
        object(
            Kind::PodDisruptionBudget,
            json!({
                "selector": {"matchLabels": selector},
                "maxUnavailable": body["budget"]["maxUnavailable"],
                "unhealthyPodEvictionPolicy": "AlwaysAllow",
            }),
        ),
        deployment,
    ];
    if body["autoscaling"].is_object() {
        all.push(object(Kind::HorizontalPodAutoscaler, autoscaler(&body["autoscaling"], &name)));
    }
    all
}

/// The Service of a slot whose pods have labels of their own.
pub fn service_of(
    service: &str,
    slot: Slot,
    pods: &std::collections::BTreeMap<String, String>,
    port: u16,
) -> Value {
    let mut all = labels(service);
    all.insert(names::SLOT.into(), slot.name().into());
    let mut number = super::service::port();
    number["targetPort"] = port.into();
    json!({
        "apiVersion": "v1", "kind": Kind::Service.name(),
        "metadata": {"name": names::slot(service, slot), "labels": all},
        "spec": {"selector": pods, "ports": [number]},
    })
}

fn deployment(body: &Value, slot: Slot, revision: u32, selector: &Value) -> Value {
    let mut pod = body["podTemplate"].clone();
    let labels = &mut pod["metadata"]["labels"];
    // A template that was adopted has labels of its own only.
    labels[names::NAME] = body["service"].clone();
    labels[names::SLOT] = slot.name().into();
    labels[names::REVISION] = revision.to_string().into();
    if let Some(constraints) = pod["spec"]["topologySpreadConstraints"].as_array_mut() {
        for constraint in constraints {
            let own = constraint["labelSelector"]["matchLabels"].as_object_mut();
            own.into_iter().for_each(|m| m.extend(selector.as_object().cloned().unwrap_or_else(Map::new)));
        }
    }
    let strategy = &body["strategy"];
    json!({
        "replicas": 0,
        "revisionHistoryLimit": 2,
        "minReadySeconds": strategy["minReady"],
        "progressDeadlineSeconds": strategy["progressDeadline"],
        "selector": {"matchLabels": selector},
        "strategy": {
            "type": "RollingUpdate",
            "rollingUpdate": {"maxSurge": strategy["surge"], "maxUnavailable": strategy["unavailable"]},
        },
        "template": pod,
    })
}

fn autoscaler(scaling: &Value, deployment: &str) -> Value {
    json!({
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": deployment},
        "minReplicas": scaling["min"],
        "maxReplicas": scaling["max"],
        "metrics": [{
            "type": "Resource",
            "resource": {
                "name": "cpu",
                "target": {"type": "Utilization", "averageUtilization": scaling["cpu"]},
            },
        }],
    })
}
