//! Istio: a VirtualService `NAME` that splits the requests between the slots' Services, all in one patch, and a
//! DestinationRule for each of those. Pure.

use kube::api::DynamicObject;
use serde_json::{Value, json};

use super::hot::{Hot, Objects};
use super::{below, expression};
use crate::manifest::{Kind, names, object};
use crate::rollout::{Affinity, HeaderMatch, Match, MatchValue, Routing, Slot};
use crate::service::{Expose, Service};

/// istiod gathers changes for 100 ms, longer while many come.
pub const LAG: std::time::Duration = std::time::Duration::from_millis(1000);

/// The rule of a slot names the slot's label, so that its pods can be told apart by who reads Istio's configuration. The
/// routes do not depend on it: where a rule they name is missing, Envoy answers 503.
pub fn objects(service: &Service, expose: &Expose, gateway: &str, live: Slot) -> Vec<Value> {
    let spec = json!({
        "hosts": [expose.host], "gateways": [gateway], "http": http(service, &Routing::all(live)),
    });
    let mut all = vec![object(Kind::VirtualService, service, &service.service, json!({"spec": spec}))];
    all.extend(Slot::ALL.map(|slot| {
        let name = names::slot(&service.service, slot);
        let spec = json!({
            "host": name,
            "trafficPolicy": {"loadBalancer": {"simple": "LEAST_REQUEST"}},
            "subsets": [{"name": slot.name(), "labels": {names::SLOT: slot.name()}}],
        });
        object(Kind::DestinationRule, service, &name, json!({"spec": spec}))
    }));
    all
}

pub fn hots(service: &Service, routing: &Routing) -> Vec<Hot> {
    vec![Hot::new(Kind::VirtualService, &service.service, "/spec/http", http(service, routing)).carrying()]
}

/// The routes; the first that matches serves.
fn http(service: &Service, routing: &Routing) -> Value {
    let mut routes = Vec::new();
    let candidate = json!([destination(service, routing, routing.candidate, 100)]);
    if !routing.matches.is_empty() {
        let met: Vec<Value> = routing.matches.iter().flat_map(|m| conditions(service, m)).collect();
        routes.push(json!({"name": "matched", "match": met, "route": candidate}));
    }
    if let Some(affinity) = &routing.affinity {
        for (slot, value) in kept(routing, affinity) {
            let held =
                Match { headers: vec![expression::cookie(&affinity.cookie, value)], ..Match::default() };
            let route = json!([{"destination": to(service, slot)}]);
            routes.push(json!({
                "name": format!("kept-{slot}"), "match": conditions(service, &held), "route": route,
            }));
        }
    }
    let split: Vec<Value> = [routing.candidate.other(), routing.candidate]
        .into_iter()
        .filter(|slot| routing.weight_of(*slot) > 0)
        .map(|slot| destination(service, routing, slot, routing.weight_of(slot)))
        .collect();
    if let Some(mirror) = &routing.mirror {
        let copied = |method: Option<&String>| {
            conditions(service, &Match { method: method.cloned(), ..Match::default() })
        };
        let met: Vec<Value> = match mirror.methods.is_empty() {
            true => copied(None),
            false => mirror.methods.iter().flat_map(|m| copied(Some(m))).collect(),
        };
        routes.push(json!({
            "name": "mirrored", "match": met, "route": split,
            "mirror": to(service, routing.candidate),
            "mirrorPercentage": {"value": f64::from(mirror.percent)},
        }));
    }
    routes.push(json!({"name": "split", "match": conditions(service, &Match::default()), "route": split}));
    Value::Array(routes)
}

fn kept<'a>(routing: &Routing, affinity: &'a Affinity) -> Vec<(Slot, &'a str)> {
    let mut kept = vec![(routing.candidate, affinity.candidate.as_str())];
    kept.extend(affinity.stable.as_deref().map(|stable| (routing.candidate.other(), stable)));
    kept
}

fn to(service: &Service, slot: Slot) -> Value {
    json!({"host": names::slot(&service.service, slot), "port": {"number": names::SERVICE_PORT}})
}

/// A slot with its weight; its answers tell the client to stay, where clients shall.
fn destination(service: &Service, routing: &Routing, slot: Slot, weight: u8) -> Value {
    let mut one = json!({"destination": to(service, slot), "weight": weight});
    let affinity = routing.affinity.as_ref();
    let told = affinity.and_then(|a| kept(routing, a).into_iter().find(|k| k.0 == slot).map(|k| (a, k.1)));
    if let Some((affinity, value)) = told {
        one["headers"] = json!({"response": {"add": {"set-cookie": affinity.set_cookie(value)}}});
    }
    one
}

/// HTTPMatchRequests, any of which is `wanted` below the service's path. A prefix ends at a path element.
fn conditions(service: &Service, wanted: &Match) -> Vec<Value> {
    let below = |path: &str| match path.trim_end_matches('/') {
        "" => vec![json!({"prefix": "/"})],
        path => vec![json!({"exact": path}), json!({"prefix": format!("{path}/")})],
    };
    let uris = match &wanted.path {
        None => below(self::below_of(service)),
        Some(MatchValue::Exact(path)) => vec![json!({"exact": path})],
        Some(MatchValue::Prefix(path)) => below(path),
        Some(MatchValue::Regex(expression)) => vec![json!({"regex": expression})],
    };
    let with = |uri: Value| {
        let mut one = json!({"uri": uri});
        for header in &wanted.headers {
            let (name, value) = text(header);
            one["headers"][name] = value;
        }
        if let Some(method) = &wanted.method {
            one["method"] = json!({"exact": method});
        }
        one
    };
    uris.into_iter().map(with).collect()
}

fn below_of(service: &Service) -> &str {
    below(service)
}

/// Istio's names of headers are in small letters; its regular expressions match the whole value.
fn text(header: &HeaderMatch) -> (String, Value) {
    let value = match &header.value {
        MatchValue::Exact(value) if !header.cookie => json!({"exact": value}),
        MatchValue::Prefix(value) if !header.cookie => json!({"prefix": value}),
        _ => json!({"regex": expression::header(header).1}),
    };
    (expression::header(header).0.to_ascii_lowercase(), value)
}

/// The shares of blue and green in the last route.
pub fn shares(service: &Service, objects: &Objects) -> (u64, u64) {
    let object = objects.get(&(Kind::VirtualService, service.service.clone()));
    let routes = object.and_then(|o| o.data.pointer("/spec/http")?.as_array()?.last().cloned());
    let backends = routes.and_then(|r| r["route"].as_array().cloned()).unwrap_or_default();
    let share = |slot: Slot| {
        let name = names::slot(&service.service, slot);
        let host = |b: &Value| b["destination"]["host"].as_str().map(|h| h.split('.').next() == Some(&name));
        let of_slot = backends.iter().filter(|b| host(b) == Some(true));
        let alone = u64::from(backends.len() == 1);
        of_slot.map(|b| b["weight"].as_u64().unwrap_or(alone)).sum()
    };
    (share(Slot::Blue), share(Slot::Green))
}

/// Istio writes a status only where that is switched on; its word counts then, at the newest generation.
pub fn verdict(object: &DynamicObject) -> (bool, Option<String>) {
    let status = &object.data["status"];
    let seen = |value: &Value| match value {
        Value::String(text) => text.parse::<i64>().ok(),
        other => other.as_i64(),
    };
    let current =
        seen(&status["observedGeneration"]).is_none_or(|g| g >= object.metadata.generation.unwrap_or(0));
    let messages = status["validationMessages"].as_array().cloned().unwrap_or_default();
    let wrong = messages.iter().find(|m| m["level"] == "ERROR" || m["level"] == 3);
    match wrong.filter(|_| current) {
        Some(message) => {
            let code = message["type"]["code"].as_str().or(message["type"]["name"].as_str());
            let about = message["documentationUrl"].as_str().unwrap_or_default();
            (false, Some(format!("{}: {about}", code.unwrap_or("invalid"))))
        }
        None => (current, None),
    }
}
