//! Gateway API: an HTTPRoute `NAME` whose rules split the traffic between the slots' Services. The rules are one
//! atomic list and are always written whole, in one patch.

use jiff::Timestamp;
use kube::api::{DynamicObject, ListParams};
use kube::{Api, ResourceExt};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Router;
use crate::error::Failure;
use crate::manifest::{Gateway, names};
use crate::platform::kubernetes::client::Cluster;
use crate::platform::kubernetes::observe::writer;
use crate::platform::{Error, Result};
use crate::rollout::{Abilities, HeaderMatch, Match, MatchValue, RouteObservation, Routing, Slot};
use crate::service::{Expose, Service};

/// On the route: what its rules were made of and when. Rules alone do not say which slot is the candidate.
const ROUTING: &str = "msctl.dev/routing";

#[derive(Serialize, Deserialize)]
struct Written {
    since: Timestamp,
    routing: Routing,
}

/// The JSON Patch that makes the route split as `routing` says. `before` is the route as last seen.
pub fn operations(
    service: &Service,
    routing: &Routing,
    before: Option<&DynamicObject>,
    now: Timestamp,
) -> Result<Vec<Value>> {
    let kept = before.and_then(|b| written(service, b)).filter(|w| w.routing == *routing).map(|w| w.since);
    let written = Written { since: kept.unwrap_or(now), routing: routing.clone() };
    let annotation = serde_json::to_string(&written).map_err(anyhow::Error::from)?;
    Ok(vec![
        json!({"op": "replace", "path": "/spec/rules", "value": rules(service, routing)}),
        json!({"op": "add", "path": "/metadata/annotations/msctl.dev~1routing", "value": annotation}),
    ])
}

/// The rules, first one first. Gateway API prefers the rule with the longer path, then one with a method, then the
/// one with more headers, then the earlier: a rule that is to win must have as much of each as those that it is to beat.
fn rules(service: &Service, routing: &Routing) -> Value {
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
            let held = HeaderMatch {
                name: affinity.cookie.clone(),
                cookie: true,
                value: MatchValue::Exact(value.clone()),
            };
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

/// Gateway API has exact and regular expression only. Some routers match a part, some the whole: anchors serve both.
fn header(wanted: &HeaderMatch) -> Value {
    let value = match &wanted.value {
        MatchValue::Exact(value) if !wanted.cookie => {
            return json!({"name": wanted.name, "type": "Exact", "value": value});
        }
        MatchValue::Exact(value) => regex::escape(value),
        MatchValue::Prefix(value) if wanted.cookie => format!("{}[^;]*", regex::escape(value)),
        MatchValue::Prefix(value) => format!("{}.*", regex::escape(value)),
        MatchValue::Regex(expression) => format!("(?:{expression})"),
    };
    let (name, value) = match wanted.cookie {
        true => ("Cookie", format!("^(?:.*;\\s*)?{}={value}(?:\\s*;.*)?$", regex::escape(&wanted.name))),
        false => (wanted.name.as_str(), format!("^{value}$")),
    };
    json!({"name": name, "type": "RegularExpression", "value": value})
}

fn written(service: &Service, route: &DynamicObject) -> Option<Written> {
    let written: Written = serde_json::from_str(route.annotations().get(ROUTING)?).ok()?;
    contains(&route.data["spec"]["rules"], &rules(service, &written.routing)).then_some(written)
}

/// Whether `actual` is `ours` plus what the API server fills in.
fn contains(actual: &Value, ours: &Value) -> bool {
    match (actual, ours) {
        (Value::Object(actual), Value::Object(ours)) => {
            ours.iter().all(|(key, value)| actual.get(key).is_some_and(|a| contains(a, value)))
        }
        (Value::Array(actual), Value::Array(ours)) => {
            actual.len() == ours.len() && actual.iter().zip(ours).all(|(a, o)| contains(a, o))
        }
        (actual, ours) => actual == ours,
    }
}

/// The route as it is read back.
pub fn observed(service: &Service, route: &DynamicObject) -> RouteObservation {
    let known = written(service, route);
    let since = known.as_ref().map(|w| w.since);
    let routing = known.map_or_else(|| guess(service, &route.data["spec"]["rules"]), |w| w.routing);
    let (accepted, refusal) = verdict(route);
    let by = writer(&route.metadata, "f:rules");
    RouteObservation { routing, accepted, refusal, since, by }
}

/// Rules that msctl did not write, or those of the first deploy: the last rule's shares.
fn guess(service: &Service, rules: &Value) -> Routing {
    let last = rules.as_array().and_then(|r| r.last()).cloned().unwrap_or_default();
    let backends = last["backendRefs"].as_array().cloned().unwrap_or_default();
    let share = |slot: Slot| -> u64 {
        let name = names::slot(&service.service, slot);
        let of_slot = backends.iter().filter(|b| b["name"] == name.as_str());
        of_slot.map(|b| b.get("weight").map_or(1, |w| w.as_u64().unwrap_or(0))).sum()
    };
    let (blue, green) = (share(Slot::Blue), share(Slot::Green));
    let stable = if green > blue { Slot::Green } else { Slot::Blue };
    let percent = (blue.min(green) * 100).checked_div(blue + green).and_then(|p| u8::try_from(p).ok());
    Routing { weight: percent.unwrap_or(0), ..Routing::all(stable) }
}

/// Accepted and resolved by a Gateway at the newest generation; or why not.
fn verdict(route: &DynamicObject) -> (bool, Option<String>) {
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

fn listing(cluster: &Cluster, kind: &str, plural: &str) -> Api<DynamicObject> {
    let gvk = kube::core::GroupVersionKind::gvk("gateway.networking.k8s.io", "v1", kind);
    Api::all_with(cluster.client.clone(), &kube::api::ApiResource::from_gvk_with_plural(&gvk, plural))
}

/// The only Gateway that admits the host from our namespace; None where there is no Gateway API, or none admits it.
pub async fn find(cluster: &Cluster, service: &Service, expose: &Expose) -> Result<Option<Router>> {
    let all = listing(cluster, "Gateway", "gateways");
    let gateways = match &service.traffic.gateway {
        Some(named) => {
            let (namespace, name) = named.split_once('/').unwrap_or((&cluster.namespace, named));
            let params = ListParams::default().fields(&format!("metadata.name={name}"));
            let one: Api<DynamicObject> = Api::namespaced_with(
                cluster.client.clone(),
                namespace,
                &kube::api::ApiResource::from_gvk_with_plural(
                    &kube::core::GroupVersionKind::gvk("gateway.networking.k8s.io", "v1", "Gateway"),
                    "gateways",
                ),
            );
            one.list(&params).await
        }
        None => all.list(&ListParams::default()).await,
    };
    let gateways = match gateways {
        Ok(list) => list.items,
        Err(kube::Error::Api(s)) if s.code == 404 => Vec::new(),
        Err(e) => match cluster.explain(e, "Gateways") {
            // Who names it vouches for it; a wrong name shows as a route that nothing accepts.
            Error::Forbidden(_) if service.traffic.gateway.is_some() => return Ok(named(cluster, service)),
            Error::Forbidden(text) => {
                return Err(Error::Other(
                    Failure::usage(
                        "gateway-unknown",
                        format!("the Gateway cannot be found by itself: {text}"),
                    )
                    .hint("name it in msctl.yaml: `traffic: {gateway: NAMESPACE/NAME}`, or `router: none`")
                    .into(),
                ));
            }
            other => return Err(other),
        },
    };
    let labels = namespace_labels(cluster, &gateways).await?;
    let admitting: Vec<&DynamicObject> =
        gateways.iter().filter(|g| admits(g, &cluster.namespace, &labels, &expose.host)).collect();
    match (admitting.as_slice(), &service.traffic.gateway) {
        ([], Some(named)) => Err(Error::Other(
            Failure::usage("gateway-refuses", format!("Gateway {named} does not admit {}", expose.host))
                .hint(format!(
                    "its listeners must allow the host and routes from namespace {}",
                    cluster.namespace
                ))
                .into(),
        )),
        ([], None) => Ok(None),
        ([one], _) => Ok(Some(router(cluster, one).await)),
        (several, _) => {
            let names: Vec<String> = several.iter().map(|g| full_name(g)).collect();
            Err(Error::Other(
                Failure::usage("several-gateways", format!("several Gateways admit {}", expose.host))
                    .hint(format!("choose one with traffic.gateway: {}", names.join(", ")))
                    .into(),
            ))
        }
    }
}

fn full_name(gateway: &DynamicObject) -> String {
    format!("{}/{}", gateway.namespace().unwrap_or_default(), gateway.name_any())
}

type Labels = std::collections::BTreeMap<String, String>;

/// Only where a listener selects namespaces by label.
async fn namespace_labels(cluster: &Cluster, gateways: &[DynamicObject]) -> Result<Labels> {
    let selects = |g: &DynamicObject| {
        let listeners = g.data["spec"]["listeners"].as_array().cloned().unwrap_or_default();
        listeners.iter().any(|l| l["allowedRoutes"]["namespaces"]["from"] == "Selector")
    };
    if !gateways.iter().any(selects) {
        return Ok(Labels::new());
    }
    let api: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(cluster.client.clone());
    match api.get_metadata_opt(&cluster.namespace).await {
        Ok(found) => Ok(found.and_then(|n| n.metadata.labels).unwrap_or_default()),
        Err(e) => match cluster.explain(e, "the namespace") {
            // The one label every namespace has.
            Error::Forbidden(_) => {
                Ok(Labels::from([("kubernetes.io/metadata.name".into(), cluster.namespace.clone())]))
            }
            other => Err(other),
        },
    }
}

fn admits(gateway: &DynamicObject, namespace: &str, labels: &Labels, host: &str) -> bool {
    let own = gateway.namespace().unwrap_or_default() == namespace;
    let listeners = gateway.data["spec"]["listeners"].as_array().cloned().unwrap_or_default();
    listeners.iter().any(|listener| {
        let http = matches!(listener["protocol"].as_str(), Some("HTTP" | "HTTPS"));
        let from = &listener["allowedRoutes"]["namespaces"];
        let allowed = match from["from"].as_str().unwrap_or("Same") {
            "All" => true,
            "Selector" => selected(&from["selector"], labels),
            _ => own,
        };
        http && allowed && covers(listener["hostname"].as_str().unwrap_or_default(), host)
    })
}

fn selected(selector: &Value, labels: &Labels) -> bool {
    let members = selector["matchLabels"].as_object().cloned().unwrap_or_default();
    let all = members.iter().all(|(k, v)| labels.get(k).map(String::as_str) == v.as_str());
    let expressions = selector["matchExpressions"].as_array().cloned().unwrap_or_default();
    all && expressions.iter().all(|e| {
        let have = labels.get(e["key"].as_str().unwrap_or_default());
        let listed = || {
            let values = e["values"].as_array().cloned().unwrap_or_default();
            values.iter().any(|v| v.as_str() == have.map(String::as_str))
        };
        match e["operator"].as_str().unwrap_or_default() {
            "In" => listed(),
            "NotIn" => !listed(),
            "Exists" => have.is_some(),
            "DoesNotExist" => have.is_none(),
            _ => false,
        }
    })
}

/// `*.example.com` covers `a.example.com` and `a.b.example.com`, not `example.com`.
fn covers(listener: &str, host: &str) -> bool {
    match listener.strip_prefix('*') {
        Some(suffix) => host.len() > suffix.len() && host.ends_with(suffix),
        None => listener.is_empty() || listener == host,
    }
}

/// The Gateway of msctl.yaml, unseen: nothing is claimed of what it can do beyond the standard.
fn named(cluster: &Cluster, service: &Service) -> Option<Router> {
    let named = service.traffic.gateway.as_ref()?;
    let (namespace, name) = named.split_once('/').unwrap_or((&cluster.namespace, named));
    let gateway = Gateway { namespace: namespace.to_owned(), name: name.to_owned() };
    Some(Router { gateway, lag: lag(""), abilities: abilities("", &|_| false) })
}

async fn router(cluster: &Cluster, gateway: &DynamicObject) -> Router {
    let class = gateway.data["spec"]["gatewayClassName"].as_str().unwrap_or_default();
    // Not everyone may read classes; then nothing is claimed of the router.
    let class = listing(cluster, "GatewayClass", "gatewayclasses").get(class).await.ok();
    let class = class.map(|c| c.data).unwrap_or_default();
    let controller = class["spec"]["controllerName"].as_str().unwrap_or_default();
    let features = class["status"]["supportedFeatures"].as_array().cloned().unwrap_or_default();
    let feature = |wanted: &str| features.iter().any(|f| f == wanted || f["name"] == wanted);
    Router {
        gateway: Gateway { namespace: gateway.namespace().unwrap_or_default(), name: gateway.name_any() },
        lag: lag(controller),
        abilities: abilities(controller, &feature),
    }
}

/// All have matches, by header and by regular expression. Filters on a backend's answers are no feature that routers
/// declare, and of mirrors some accept what they cannot do: known controllers, then, and else what is declared.
fn abilities(controller: &str, feature: &dyn Fn(&str) -> bool) -> Abilities {
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
fn lag(controller: &str) -> std::time::Duration {
    let envoy = ["projectcontour.io/", "gateway.envoyproxy.io/", "istio.io/"];
    let quick = envoy.iter().any(|e| controller.starts_with(e));
    std::time::Duration::from_millis(if quick { 500 } else { 2500 })
}

#[cfg(test)]
#[path = "gateway_api_tests.rs"]
mod tests;
