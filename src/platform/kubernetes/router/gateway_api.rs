//! Gateway API: an HTTPRoute `NAME` whose rules split the traffic between the slots' Services. The rules are one
//! atomic list and are always written whole, in one patch. Pure.

use kube::api::DynamicObject;
use serde_json::{Value, json};

use super::expression;
use super::hot::{Hot, Objects};
use crate::manifest::{Kind, names};
use crate::rollout::{Abilities, HeaderMatch, Match, MatchValue, Routing, Slot};
use crate::service::Service;

pub fn hots(service: &Service, routing: &Routing) -> Vec<Hot> {
    vec![Hot::new(Kind::HttpRoute, &service.service, "/spec/rules", rules(service, routing)).carrying()]
}

/// The rules, first one first. Gateway API prefers the rule with the longer path, then one with a method, then the
/// one with more headers, then the earlier: a rule that is to win must have as much of each as those that it is to beat.
pub fn rules(service: &Service, routing: &Routing) -> Value {
    let base = json!({"path": {"type": "PathPrefix", "value": below(service)}});
    let split = backends(service, routing);
    let copied = routing.mirror.as_ref().map(|m| m.methods.as_slice()).unwrap_or_default();
    // Beside a rule for some methods, a rule for all methods has to name those too.
    let with_methods = |one: Value| -> Vec<Value> {
        let named = copied.iter().filter(|_| one.get("method").is_none()).map(|method| {
            let mut one = one.clone();
            one["method"] = method.as_str().into();
            one
        });
        let named: Vec<Value> = named.collect();
        [one].into_iter().chain(named).collect()
    };
    let candidate = backend(service, routing, routing.candidate, 100);
    let mut rules = Vec::new();
    if !routing.matches.is_empty() {
        let matches = routing.matches.iter().map(|m| condition(service, m));
        let matches: Vec<Value> = matches.flat_map(&with_methods).collect();
        rules.push(json!({"matches": matches, "backendRefs": [candidate]}));
    }
    if let Some(affinity) = &routing.affinity {
        let other = routing.candidate.other();
        let kept = [(routing.candidate, Some(&affinity.candidate)), (other, affinity.stable.as_ref())];
        for (slot, value) in kept.into_iter().filter_map(|(slot, value)| Some((slot, value?))) {
            let held = expression::cookie(&affinity.cookie, value);
            let mut one = base.clone();
            one["headers"] = json!([header(&held)]);
            let backend = json!({"name": names::slot(&service.service, slot), "port": names::SERVICE_PORT});
            rules.push(json!({"matches": with_methods(one), "backendRefs": [backend]}));
        }
    }
    if let Some(mirror) = &routing.mirror {
        let backend = json!({
            "name": names::slot(&service.service, routing.candidate), "port": names::SERVICE_PORT,
        });
        let mut copies = json!({"backendRef": backend});
        if mirror.percent < 100 {
            copies["percent"] = mirror.percent.into();
        }
        let filters = json!([{"type": "RequestMirror", "requestMirror": copies}]);
        let matches: Vec<Value> =
            copied.iter().map(|method| json!({"path": base["path"], "method": method})).collect();
        // Copies of all methods leave nothing for another rule.
        let all = matches.is_empty();
        let matches = if all { vec![base.clone()] } else { matches };
        rules.push(json!({"matches": matches, "filters": filters, "backendRefs": split}));
        if all {
            return Value::Array(rules);
        }
    }
    rules.push(json!({"matches": [base], "backendRefs": split}));
    Value::Array(rules)
}

fn below(service: &Service) -> &str {
    service.expose.as_ref().map_or("/", |e| e.path.as_str())
}

/// A slot without a share is not named: routers answer 500 for a Service that is not there, some for all.
fn backends(service: &Service, routing: &Routing) -> Vec<Value> {
    [routing.candidate.other(), routing.candidate]
        .into_iter()
        .filter(|slot| routing.weight_of(*slot) > 0)
        .map(|slot| backend(service, routing, slot, routing.weight_of(slot)))
        .collect()
}

/// A slot's Service with its weight; its answers tell the client to stay, where clients shall.
fn backend(service: &Service, routing: &Routing, slot: Slot, weight: u8) -> Value {
    let name = names::slot(&service.service, slot);
    let mut backend = json!({"name": name, "port": names::SERVICE_PORT, "weight": weight});
    let told = routing.affinity.as_ref().and_then(|affinity| {
        let value = match slot == routing.candidate {
            true => Some(&affinity.candidate),
            false => affinity.stable.as_ref(),
        };
        value.map(|value| affinity.set_cookie(value))
    });
    if let Some(cookie) = told {
        let headers = json!({"add": [{"name": "Set-Cookie", "value": cookie}]});
        backend["filters"] = json!([{"type": "ResponseHeaderModifier", "responseHeaderModifier": headers}]);
    }
    backend
}

/// An HTTPRouteMatch that meets all of `wanted`, below the service's path.
fn condition(service: &Service, wanted: &Match) -> Value {
    let path = match &wanted.path {
        None => json!({"type": "PathPrefix", "value": below(service)}),
        Some(MatchValue::Exact(path)) => json!({"type": "Exact", "value": path}),
        Some(MatchValue::Prefix(path)) => json!({"type": "PathPrefix", "value": path}),
        Some(MatchValue::Regex(expression)) => {
            // Routers prefer the longer of two paths, whatever it is: not shorter than that of all other requests.
            let empty = "(?:)".repeat(below(service).len().saturating_sub(expression.len()).div_ceil(4));
            json!({"type": "RegularExpression", "value": format!("^(?:{expression}){empty}$")})
        }
    };
    let mut condition = json!({"path": path});
    let headers: Vec<Value> = wanted.headers.iter().map(header).collect();
    if !headers.is_empty() {
        condition["headers"] = headers.into();
    }
    if let Some(method) = &wanted.method {
        condition["method"] = method.as_str().into();
    }
    condition
}
/// Gateway API has exact and regular expression only.
fn header(wanted: &HeaderMatch) -> Value {
    match &wanted.value {
        MatchValue::Exact(value) if !wanted.cookie => {
            json!({"name": wanted.name, "type": "Exact", "value": value})
        }
        _ => {
            let (name, value) = expression::header(wanted);
            json!({"name": name, "type": "RegularExpression", "value": value})
        }
    }
}

/// The shares of blue and green in the last rule.
pub fn shares(service: &Service, objects: &Objects) -> (u64, u64) {
    let object = objects.get(&(Kind::HttpRoute, service.service.clone()));
    let last = object.and_then(|o| o.data.pointer("/spec/rules")?.as_array()?.last().cloned());
    let backends = last.and_then(|r| r["backendRefs"].as_array().cloned()).unwrap_or_default();
    let share = |slot: Slot| {
        let name = names::slot(&service.service, slot);
        let of_slot = backends.iter().filter(|b| b["name"] == name.as_str());
        of_slot.map(|b| b.get("weight").map_or(1, |w| w.as_u64().unwrap_or(0))).sum()
    };
    (share(Slot::Blue), share(Slot::Green))
}

/// Whether any rule or mirror may send a request to `slot`, whatever its share in the last rule.
pub fn named(service: &Service, rules: &Value, slot: Slot) -> bool {
    match rules {
        Value::Array(all) => all.iter().any(|one| named(service, one, slot)),
        Value::Object(map) => {
            let ours = rules["name"] == names::slot(&service.service, slot).as_str() && rules["weight"] != 0;
            (ours && map.contains_key("port")) || map.values().any(|one| named(service, one, slot))
        }
        _ => false,
    }
}

/// Accepted and resolved by a Gateway at the newest generation; or why not.
pub fn verdict(route: &DynamicObject) -> (bool, Option<String>) {
    let generation = route.metadata.generation.unwrap_or(0);
    let parents = route.data["status"]["parents"].as_array().cloned().unwrap_or_default();
    let mut refusal = None;
    let mut accepted = false;
    for parent in &parents {
        let conditions = parent["conditions"].as_array().cloned().unwrap_or_default();
        let current = |kind: &str| {
            let fresh = |c: &&Value| c["observedGeneration"].as_i64().unwrap_or(0) >= generation;
            conditions.iter().filter(fresh).find(|c| c["type"] == kind).cloned()
        };
        let (Some(taken), Some(resolved)) = (current("Accepted"), current("ResolvedRefs")) else { continue };
        match [&taken, &resolved].into_iter().find(|c| c["status"] != "True") {
            None => accepted = true,
            Some(c) => {
                let text = |key: &str| c[key].as_str().unwrap_or_default().to_owned();
                refusal = Some(format!("{}: {}", text("reason"), text("message")));
            }
        }
    }
    (accepted, if accepted { None } else { refusal })
}

/// All have matches, by header and by regular expression. Filters on a backend's answers are no feature that routers
/// declare, and of mirrors some accept what they cannot do: known controllers, then, and else what is declared.
pub fn abilities(controller: &str, feature: &dyn Fn(&str) -> bool) -> Abilities {
    let of = |names: &[&str]| names.iter().any(|name| controller.starts_with(name));
    let envoy = of(&["projectcontour.io/", "gateway.envoyproxy.io/"]);
    let mirror = envoy || feature("HTTPRouteRequestMirror");
    let affinity = envoy || of(&["traefik.io/", "istio.io/"]);
    Abilities {
        mirror,
        mirror_percent: feature("HTTPRouteRequestPercentageMirror"),
        mirror_methods: mirror,
        affinity,
        cohorts: affinity,
        ..Abilities::ALL
    }
}

/// Traefik takes a change every 2 s; Envoy has it after tens of milliseconds.
pub fn lag(controller: &str) -> std::time::Duration {
    let envoy = ["projectcontour.io/", "gateway.envoyproxy.io/", "istio.io/"];
    let quick = envoy.iter().any(|e| controller.starts_with(e));
    std::time::Duration::from_millis(if quick { 500 } else { 2500 })
}
#[cfg(test)]
#[path = "gateway_api_tests.rs"]
mod tests;
