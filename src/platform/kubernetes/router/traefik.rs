//! Traefik's own kinds: a TraefikService `NAME` with the weights, a TraefikService `NAME-mirror` that copies requests,
//! and an IngressRoute `NAME` that chooses between them and, for what matches, the candidate. Pure.
//!
//! A TraefikService with one Service that has no ready endpoints answers 404 to everyone, even at weight 0. So a slot is
//! listed only while it has a share; and the candidate, which may lose its pods under traffic, by its Service's own
//! address: that is always there, and without pods only the candidate's share fails. The live slot is listed pod by
//! pod, so that Traefik itself leaves those that end.

use serde_json::{Value, json};

use super::hot::{Hot, Objects};
use super::{below, expression, host};
use crate::manifest::{Kind, names, object};
use crate::rollout::{Abilities, HeaderMatch, Match, MatchValue, Routing, Slot};
use crate::service::Service;

/// A change is taken every 2 s.
pub const LAG: std::time::Duration = std::time::Duration::from_millis(2500);

/// The class that Traefik answers to unless told otherwise.
pub const USUAL: &str = "traefik";

/// Its sticky cookie holds both slots' clients, or nobody's.
pub const ABILITIES: Abilities = Abilities { affinity: false, ..Abilities::ALL };

fn mirror(service: &Service) -> String {
    format!("{}-mirror", service.service)
}

pub fn objects(service: &Service, class: &str, live: Slot) -> Vec<Value> {
    let routing = Routing::all(live);
    let parts = [
        (Kind::TraefikService, service.service.clone(), "weighted", weighted(service, &routing)),
        (Kind::TraefikService, mirror(service), "mirroring", mirroring(service, &routing)),
        (Kind::IngressRoute, service.service.clone(), "routes", routes(service, &routing)),
    ];
    let object = |(kind, name, part, value): (Kind, String, &str, Value)| {
        let mut object = object(kind, service, &name, json!({"spec": {part: value}}));
        // A Traefik that is told to take one class only looks here. One that is not takes its usual class and what
        // names none.
        if class == USUAL || service.traffic.gateway.as_deref() == Some(class) {
            object["metadata"]["annotations"] = json!({"kubernetes.io/ingress.class": class});
        }
        object
    };
    parts.into_iter().map(object).collect()
}

/// Weights first: a route may only lead to what is there.
pub fn hots(service: &Service, routing: &Routing) -> Vec<Hot> {
    let weights = weighted(service, routing);
    vec![
        Hot::new(Kind::TraefikService, &service.service, "/spec/weighted", weights).carrying(),
        Hot::new(Kind::TraefikService, &mirror(service), "/spec/mirroring", mirroring(service, routing)),
        Hot::new(Kind::IngressRoute, &service.service, "/spec/routes", routes(service, routing)),
    ]
}

fn backend(service: &Service, slot: Slot, candidate: bool) -> Value {
    let name = names::slot(&service.service, slot);
    let mut backend = json!({"kind": "Service", "name": name, "port": names::SERVICE_PORT});
    if candidate {
        backend["nativeLB"] = true.into();
    }
    backend
}

fn weighted(service: &Service, routing: &Routing) -> Value {
    let split = (1..100).contains(&routing.weight);
    let services: Vec<Value> = [routing.candidate.other(), routing.candidate]
        .into_iter()
        .filter(|slot| routing.weight_of(*slot) > 0)
        .map(|slot| {
            let mut backend = backend(service, slot, split && slot == routing.candidate);
            backend["weight"] = routing.weight_of(slot).into();
            backend
        })
        .collect();
    let mut weighted = json!({"services": services});
    if let Some(affinity) = &routing.affinity {
        // Its value names the Service; that of an earlier rollout must not be taken for this one's.
        let mut cookie = json!({
            "name": format!("{}-{}", affinity.cookie, affinity.candidate), "path": "/", "httpOnly": true, "sameSite": "lax",
        });
        if let Some(age) = affinity.max_age {
            cookie["maxAge"] = age.into();
        }
        weighted["sticky"] = json!({"cookie": cookie});
    }
    weighted
}

fn mirroring(service: &Service, routing: &Routing) -> Value {
    let copies = routing.mirror.iter().map(|mirror| {
        let mut copy = backend(service, routing.candidate, true);
        copy["percent"] = mirror.percent.into();
        copy
    });
    let copies: Vec<Value> = copies.collect();
    json!({"kind": "TraefikService", "name": service.service, "mirrors": copies})
}

fn routes(service: &Service, routing: &Routing) -> Value {
    let base = format!("Host({}) && {}", quoted(host(service)), prefix(below(service)));
    // Traefik prefers the longer rule; ours are told apart by no more than that, so that others keep their place.
    let length = base.len();
    let route = |rule: String, above: usize, to: Value| json!({"kind": "Rule", "match": rule, "priority": length + above, "services": [to]});
    let split = json!({"kind": "TraefikService", "name": service.service});
    let copied = json!({"kind": "TraefikService", "name": mirror(service)});
    let mut routes = Vec::new();
    for wanted in &routing.matches {
        routes.push(route(condition(service, wanted), 2, backend(service, routing.candidate, true)));
    }
    let methods = routing.mirror.as_ref().map(|m| m.methods.as_slice()).unwrap_or_default();
    if !methods.is_empty() {
        let any: Vec<String> = methods.iter().map(|m| format!("Method({})", quoted(m))).collect();
        routes.push(route(format!("{base} && ({})", any.join(" || ")), 1, copied.clone()));
    }
    let all = routing.mirror.is_some() && methods.is_empty();
    routes.push(route(base, 0, if all { copied } else { split }));
    Value::Array(routes)
}

/// A prefix that ends at a path element.
fn prefix(path: &str) -> String {
    match path.trim_end_matches('/') {
        "" => "PathPrefix(`/`)".into(),
        path => format!("(Path({}) || PathPrefix({}))", quoted(path), quoted(&format!("{path}/"))),
    }
}

fn condition(service: &Service, wanted: &Match) -> String {
    let mut parts = vec![format!("Host({})", quoted(host(service)))];
    parts.push(match &wanted.path {
        None => prefix(below(service)),
        Some(MatchValue::Exact(path)) => format!("Path({})", quoted(path)),
        Some(MatchValue::Prefix(path)) => prefix(path),
        Some(MatchValue::Regex(expression)) => {
            format!("PathRegexp({})", quoted(&format!("^(?:{expression})$")))
        }
    });
    parts.extend(wanted.headers.iter().map(header));
    parts.extend(wanted.method.iter().map(|m| format!("Method({})", quoted(m))));
    parts.join(" && ")
}

fn header(wanted: &HeaderMatch) -> String {
    match &wanted.value {
        MatchValue::Exact(value) if !wanted.cookie => {
            format!("Header({}, {})", quoted(&wanted.name), quoted(value))
        }
        _ => {
            let (name, text) = expression::header(wanted);
            format!("HeaderRegexp({}, {})", quoted(name), quoted(&text))
        }
    }
}

/// As Go quotes: raw where that can be.
fn quoted(text: &str) -> String {
    match text.contains('`') {
        false => format!("`{text}`"),
        true => serde_json::Value::from(text).to_string(),
    }
}

/// The shares of blue and green.
pub fn shares(service: &Service, objects: &Objects) -> (u64, u64) {
    let object = objects.get(&(Kind::TraefikService, service.service.clone()));
    let backends = object.and_then(|o| o.data.pointer("/spec/weighted/services")?.as_array().cloned());
    let backends = backends.unwrap_or_default();
    let share = |slot: Slot| {
        let name = names::slot(&service.service, slot);
        let of_slot = backends.iter().filter(|b| b["name"] == name.as_str());
        of_slot.map(|b| b.get("weight").map_or(1, |w| w.as_u64().unwrap_or(0))).sum()
    };
    (share(Slot::Blue), share(Slot::Green))
}
