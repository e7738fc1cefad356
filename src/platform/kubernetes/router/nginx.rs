//! ingress-nginx: an Ingress `NAME` to the live slot, and an Ingress `NAME-canary` whose annotations give the other slot
//! its share. Pure. One patch sets both weights; only a change of roles needs a second one, and then what lies between
//! sends everything to one slot. The live slot is always the first one's: without endpoints there nginx answers 503
//! whatever the canary's weight.

use serde_json::{Value, json};

use super::hot::{Hot, Objects};
use super::{below, expression, host};
use crate::manifest::{CANARY_WEIGHT as WEIGHT, Kind, names, object};
use crate::rollout::{Abilities, HeaderMatch, Match, MatchValue, Routing, Slot};
use crate::service::Service;

/// What is a canary at all; never changed.
const CANARY: &str = "nginx.ingress.kubernetes.io/canary";
const HEADER: &str = "nginx.ingress.kubernetes.io/canary-by-header";
const HEADER_VALUE: &str = "nginx.ingress.kubernetes.io/canary-by-header-value";
const HEADER_PATTERN: &str = "nginx.ingress.kubernetes.io/canary-by-header-pattern";
const COOKIE: &str = "nginx.ingress.kubernetes.io/canary-by-cookie";
/// The one value that sends a cookie's owner to the canary.
const ALWAYS: &str = "always";

/// The controller takes a change every 3.3 s, and its balancers look once a second.
pub const LAG: std::time::Duration = std::time::Duration::from_millis(4500);

pub const ABILITIES: Abilities = Abilities {
    headers: true,
    expressions: true,
    cookie_always: true,
    cookies: false,
    methods: false,
    paths: false,
    several: false,
    mirror: false,
    mirror_percent: false,
    mirror_methods: false,
    affinity: false,
    cohorts: false,
};

fn canary(service: &Service) -> String {
    format!("{}-canary", service.service)
}

fn rules(service: &Service, slot: Slot) -> Value {
    let path = match below(service) {
        "" => "/",
        path => path,
    };
    let backend = json!({"service": {
        "name": names::slot(&service.service, slot), "port": {"number": names::SERVICE_PORT},
    }});
    json!([{
        "host": host(service),
        "http": {"paths": [{"path": path, "pathType": "Prefix", "backend": backend}]},
    }])
}

pub fn objects(service: &Service, class: &str, live: Slot) -> Vec<Value> {
    let object = |name: &str, slot: Slot| {
        let spec = json!({"ingressClassName": class, "rules": rules(service, slot)});
        object(Kind::Ingress, service, name, json!({"spec": spec}))
    };
    let mut second = object(&canary(service), live.other());
    second["metadata"]["annotations"] = json!({CANARY: "true", WEIGHT: "0"});
    vec![object(&service.service, live), second]
}

/// The slot of the first Ingress, and the weight of the other one.
fn roles(routing: &Routing) -> (Slot, u8) {
    let whole = routing.weight >= 100 && routing.matches.is_empty();
    if whole { (routing.candidate, 0) } else { (routing.candidate.other(), routing.weight.min(100)) }
}

pub fn hots(service: &Service, routing: &Routing) -> Vec<Hot> {
    let (first, weight) = roles(routing);
    let mut second =
        Hot::new(Kind::Ingress, &canary(service), "/spec/rules", rules(service, first.other())).carrying();
    let conditions = || routing.matches.iter().flat_map(|m| &m.headers);
    let header = conditions().find(|h| !h.cookie);
    let (value, pattern) = match header.map(|h| &h.value) {
        Some(MatchValue::Exact(value)) => (Some(value.clone()), None),
        Some(_) => (None, header.map(|h| expression::header(h).1)),
        None => (None, None),
    };
    second.annotations = vec![
        (WEIGHT, Some(weight.to_string())),
        (HEADER, header.map(|h| h.name.clone())),
        (HEADER_VALUE, value),
        (HEADER_PATTERN, pattern),
        (COOKIE, conditions().find(|h| h.cookie).map(|h| h.name.clone())),
    ];
    vec![second, Hot::new(Kind::Ingress, &service.service, "/spec/rules", rules(service, first))]
}

/// When both Ingresses change their slot, everything goes to one slot between the two patches: the one that ends up
/// with more.
pub fn order(hots: &mut [Hot], service: &Service, routing: &Routing, objects: &Objects) {
    let (first, weight) = roles(routing);
    let now = slot_of(service, objects, &service.service);
    if now.is_some_and(|slot| slot != first) && weight < 50 {
        hots.reverse();
    }
}

fn slot_of(service: &Service, objects: &Objects, name: &str) -> Option<Slot> {
    let object = objects.get(&(Kind::Ingress, name.to_owned()))?;
    let backend = object.data.pointer("/spec/rules/0/http/paths/0/backend/service/name")?.as_str()?;
    Slot::ALL.into_iter().find(|s| names::slot(&service.service, *s) == backend)
}

/// Ingresses that msctl did not write, or those of the first deploy.
pub fn guess(service: &Service, objects: &Objects) -> Routing {
    let first = slot_of(service, objects, &service.service).unwrap_or(Slot::Blue);
    let name = canary(service);
    let (Some(second), Some(object)) =
        (slot_of(service, objects, &name), objects.get(&(Kind::Ingress, name.clone())))
    else {
        return Routing::all(first);
    };
    let note = |name: &str| object.metadata.annotations.as_ref()?.get(name).cloned();
    if second == first || note(CANARY).as_deref() != Some("true") {
        return Routing::all(first);
    }
    let weight = note(WEIGHT).and_then(|w| w.parse::<u8>().ok()).unwrap_or(0).min(100);
    let mut matches = Vec::new();
    let mut met = |name: String, cookie: bool, value: MatchValue| {
        matches.push(Match { headers: vec![HeaderMatch { name, cookie, value }], ..Match::default() });
    };
    if let Some(name) = note(HEADER) {
        let value = match (note(HEADER_VALUE), note(HEADER_PATTERN)) {
            (Some(value), _) => MatchValue::Exact(value),
            (None, Some(pattern)) => MatchValue::Regex(pattern),
            (None, None) => MatchValue::Exact(ALWAYS.into()),
        };
        met(name, false, value);
    }
    if let Some(name) = note(COOKIE) {
        met(name, true, MatchValue::Exact(ALWAYS.into()));
    }
    Routing { matches, ..Routing::split(second, weight) }
}
