//! Rules, and what a Gateway says of them.

use super::*;
use crate::rollout::{Affinity, Mirror};

fn service() -> Service {
    let text = "service: orders\nexpose: {host: shop.test, path: /orders}\n";
    crate::service::parse_yaml(text, std::path::Path::new("msctl.yaml")).unwrap()
}

fn matching(name: &str, cookie: bool, value: MatchValue) -> HeaderMatch {
    HeaderMatch { name: name.into(), cookie, value }
}

fn one(headers: Vec<HeaderMatch>) -> Match {
    Match { headers, ..Match::default() }
}

fn copies(percent: u8, methods: &[&str]) -> Option<Mirror> {
    Some(Mirror { percent, methods: methods.iter().map(|m| (*m).to_owned()).collect() })
}

fn sticky(stable: Option<&str>) -> Option<Affinity> {
    let stable = stable.map(str::to_owned);
    Some(Affinity { cookie: "slot".into(), max_age: Some(60), candidate: "7".into(), stable })
}

#[test]
fn a_rule_of_anothers_that_reaches_a_slot_is_seen() {
    let beta = one(vec![matching("x-user", false, MatchValue::Exact("beta".into()))]);
    let of = |routing: Routing| named(&service(), &rules(&service(), &routing), Slot::Green);
    assert!(!of(Routing::all(Slot::Blue)));
    assert!(of(Routing { matches: vec![beta], ..Routing::all(Slot::Blue) }));
    assert!(of(Routing { mirror: copies(20, &["GET"]), ..Routing::all(Slot::Blue) }));
    let mut idle = rules(&service(), &Routing::split(Slot::Green, 50));
    assert!(named(&service(), &idle, Slot::Green));
    idle[0]["backendRefs"][1]["weight"] = 0.into();
    assert!(!named(&service(), &idle, Slot::Green));
}

/// A router prefers a rule with a method to one with a header: a match for all methods has to name those of the mirror.
#[test]
fn a_match_wins_over_the_mirror_and_is_not_copied() {
    let beta = one(vec![matching("x-user", false, MatchValue::Exact("beta".into()))]);
    let routing = Routing {
        matches: vec![beta],
        mirror: copies(20, &["GET", "HEAD"]),
        ..Routing::split(Slot::Green, 5)
    };
    let rules = rules(&service(), &routing);
    let methods = |rule: usize| -> Vec<Option<&str>> {
        let matches = rules[rule]["matches"].as_array().unwrap();
        matches.iter().map(|m| m.get("method").and_then(|m| m.as_str())).collect()
    };
    assert_eq!(methods(0), [None, Some("GET"), Some("HEAD")]);
    assert_eq!(rules[0]["filters"], Value::Null);
    assert_eq!(rules[0]["backendRefs"][0]["name"], "orders-green");
    assert_eq!(methods(1), [Some("GET"), Some("HEAD")]);
    assert_eq!(rules[1]["filters"][0]["requestMirror"]["percent"], 20);
    assert_eq!(rules[1]["filters"][0]["requestMirror"]["backendRef"]["name"], "orders-green");
    assert_eq!(methods(2), [None]);
    assert_eq!(rules.as_array().unwrap().len(), 3);
}

#[test]
fn a_match_names_everything_below_the_services_path() {
    let wanted = Match { method: Some("POST".into()), ..Match::default() };
    assert_eq!(
        condition(&service(), &wanted),
        json!({"path": {"type": "PathPrefix", "value": "/orders"}, "method": "POST"})
    );
    let short = Match { path: Some(MatchValue::Regex("/.*".into())), ..Match::default() };
    let made = condition(&service(), &short)["path"]["value"].as_str().unwrap().to_owned();
    assert!(
        made.len() > "/orders".len() && regex::Regex::new(&made).unwrap().is_match("/orders/1"),
        "{made}"
    );
    let wanted = Match { path: Some(MatchValue::Exact("/orders/new".into())), ..Match::default() };
    assert_eq!(condition(&service(), &wanted), json!({"path": {"type": "Exact", "value": "/orders/new"}}));
}

#[test]
fn the_candidates_answers_tell_the_client_to_stay() {
    let cookie = |rules: &Value, rule: usize, backend: usize| {
        let filters = &rules[rule]["backendRefs"][backend]["filters"];
        filters[0]["responseHeaderModifier"]["add"][0]["value"].as_str().map(str::to_owned)
    };
    for (stable, kept) in [(None, vec!["orders-green"]), (Some("6"), vec!["orders-green", "orders-blue"])] {
        let rules =
            rules(&service(), &Routing { affinity: sticky(stable), ..Routing::split(Slot::Green, 25) });
        let all = rules.as_array().unwrap();
        assert_eq!(all.len(), kept.len() + 1);
        for (rule, name) in all.iter().zip(&kept) {
            assert_eq!(rule["backendRefs"][0]["name"], *name, "{rule}");
            assert_eq!(rule["matches"][0]["headers"][0]["name"], "Cookie");
        }
        let last = kept.len();
        assert_eq!(rules[last]["backendRefs"][1]["weight"], 25);
        let told = "slot=7; Path=/; Max-Age=60; HttpOnly; SameSite=Lax";
        assert_eq!(cookie(&rules, last, 1).as_deref(), Some(told));
        assert_eq!(cookie(&rules, last, 0).is_some(), stable.is_some());
    }
}

#[test]
fn abilities_of_known_and_of_other_controllers() {
    let of = |controller: &str, features: &[&str]| abilities(controller, &|f| features.contains(&f));
    let traefik = of("traefik.io/gateway-controller", &[]);
    assert!(traefik.headers && traefik.affinity && !traefik.mirror, "{traefik:?}");
    let contour = of("projectcontour.io/gateway-controller", &[]);
    assert!(contour.mirror && !contour.mirror_percent, "it ignores the percentage: {contour:?}");
    let other = of("example.com/x", &["HTTPRouteRequestMirror", "HTTPRouteRequestPercentageMirror"]);
    assert!(other.mirror_percent && !other.cohorts, "{other:?}");
}

#[test]
fn only_slots_with_a_share_are_named() {
    for (weight, expected) in [
        (0, vec![("orders-blue", 100)]),
        (100, vec![("orders-green", 100)]),
        (5, vec![("orders-blue", 95), ("orders-green", 5)]),
    ] {
        let rules = rules(&service(), &Routing::split(Slot::Green, weight));
        let backends = rules[0]["backendRefs"].as_array().unwrap();
        let found: Vec<_> =
            backends.iter().map(|b| (b["name"].as_str().unwrap(), b["weight"].as_u64().unwrap())).collect();
        assert_eq!(found, expected);
    }
}

#[test]
fn a_verdict_counts_only_at_the_newest_generation() {
    let condition = |kind: &str, status: &str, generation: i64| json!({"type": kind, "status": status, "observedGeneration": generation, "reason": "R", "message": "m"});
    for (conditions, expected) in [
        (vec![condition("Accepted", "True", 4), condition("ResolvedRefs", "True", 4)], (true, None)),
        (vec![condition("Accepted", "True", 4), condition("ResolvedRefs", "True", 3)], (false, None)),
        (vec![condition("Accepted", "True", 3), condition("ResolvedRefs", "False", 3)], (false, None)),
        (
            vec![condition("Accepted", "True", 4), condition("ResolvedRefs", "False", 4)],
            (false, Some("R: m".to_owned())),
        ),
        (vec![], (false, None)),
    ] {
        let route = json!({"metadata": {"name": "orders", "generation": 4},
            "status": {"parents": [{"conditions": conditions}]}});
        let route: DynamicObject = serde_json::from_value(route).unwrap();
        assert_eq!(verdict(&route), expected);
    }
}
