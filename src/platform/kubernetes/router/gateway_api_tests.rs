//! Rules made and read back, and which Gateways admit a service.

use super::*;
use crate::rollout::{Affinity, Mirror};

fn service() -> Service {
    let text = "service: orders\nexpose: {host: shop.test, path: /orders}\n";
    crate::service::parse_yaml(text, std::path::Path::new("msctl.yaml")).unwrap()
}

fn at(text: &str) -> Timestamp {
    format!("2026-01-01T{text}Z").parse().unwrap()
}

/// The route after `operations`, with what an API server fills in.
fn route(routing: &Routing, before: Option<&DynamicObject>, now: Timestamp) -> DynamicObject {
    let operations = operations(&service(), routing, before, now).unwrap();
    let mut rules = operations[0]["value"].clone();
    for rule in rules.as_array_mut().unwrap() {
        for backend in rule["backendRefs"].as_array_mut().unwrap() {
            backend["group"] = "".into();
            backend["kind"] = "Service".into();
        }
    }
    let annotations = json!({ROUTING: operations[1]["value"]});
    let object = json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
        "metadata": {"name": "orders", "generation": 4, "annotations": annotations}, "spec": {"rules": rules}});
    serde_json::from_value(object).unwrap()
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
fn what_is_written_is_read_back() {
    let beta = matching("x-user", false, MatchValue::Prefix("be.ta".into()));
    let page = Match {
        headers: vec![matching("g", true, MatchValue::Exact("b".into()))],
        method: Some("POST".into()),
        path: Some(MatchValue::Regex("/orders/[0-9]+".into())),
    };
    for routing in [
        Routing::all(Slot::Green),
        Routing::split(Slot::Green, 100),
        Routing::split(Slot::Green, 50),
        Routing { mirror: copies(20, &["GET", "HEAD"]), ..Routing::split(Slot::Blue, 10) },
        Routing { matches: vec![one(vec![beta.clone()]), page.clone()], ..Routing::all(Slot::Green) },
        Routing {
            matches: vec![one(vec![beta.clone()])],
            mirror: copies(100, &["GET"]),
            ..Routing::split(Slot::Blue, 10)
        },
        Routing { mirror: copies(100, &[]), ..Routing::all(Slot::Blue) },
        Routing { affinity: sticky(None), ..Routing::split(Slot::Green, 25) },
        Routing { matches: vec![page], affinity: sticky(Some("6")), ..Routing::split(Slot::Green, 25) },
    ] {
        let first = route(&routing, None, at("10:00:00"));
        let seen = observed(&service(), &first);
        assert_eq!((seen.routing, seen.since), (routing.clone(), Some(at("10:00:00"))));
        let again = observed(&service(), &route(&routing, Some(&first), at("11:00:00")));
        assert_eq!(again.since, Some(at("10:00:00")), "writing the same again is no change");
    }
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
        let rules = rules(&service(), &Routing { weight, ..Routing::all(Slot::Blue) });
        let backends = rules[0]["backendRefs"].as_array().unwrap();
        let found: Vec<_> =
            backends.iter().map(|b| (b["name"].as_str().unwrap(), b["weight"].as_u64().unwrap())).collect();
        assert_eq!(found, expected);
    }
}

#[test]
fn edits_by_others_are_seen() {
    let mut edited = route(&Routing { weight: 50, ..Routing::all(Slot::Blue) }, None, at("10:00:00"));
    let backends = json!([{"name": "orders-blue", "port": 80, "weight": 1}, {"name": "orders-green", "port": 80, "weight": 3}]);
    edited.data["spec"]["rules"][0]["backendRefs"] = backends;
    let seen = observed(&service(), &edited);
    assert_eq!((seen.routing.weight_of(Slot::Blue), seen.routing.weight_of(Slot::Green)), (25, 75));
    assert_eq!(seen.since, None);
}

#[test]
fn header_expressions_hold_for_whole_and_partial_matchers() {
    for (wanted, yes, no) in [
        (
            matching("g", true, MatchValue::Exact("b".into())),
            vec!["g=b", "a=1; g=b; c=2"],
            vec!["g=bc", "xg=b", "a=g=b"],
        ),
        (matching("g", true, MatchValue::Prefix("b".into())), vec!["g=bcd", "x=1;g=b"], vec!["g=ab", "x=b"]),
        (matching("x", false, MatchValue::Prefix("a.".into())), vec!["a.b"], vec!["ab.", "xa."]),
        (matching("x", false, MatchValue::Regex("a|b".into())), vec!["a", "b"], vec!["ab", "ca"]),
    ] {
        let value = header(&wanted);
        let expression = regex::Regex::new(value["value"].as_str().unwrap()).unwrap();
        yes.iter().for_each(|y| assert!(expression.is_match(y), "{value} should match {y}"));
        no.iter().for_each(|n| assert!(!expression.is_match(n), "{value} should not match {n}"));
    }
    assert_eq!(header(&matching("x", false, MatchValue::Exact("b".into())))["type"], "Exact");
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
        let mut route = route(&Routing::all(Slot::Blue), None, at("10:00:00"));
        route.data["status"] = json!({"parents": [{"conditions": conditions}]});
        assert_eq!(verdict(&route), expected);
    }
}

#[test]
fn gateways_admit_by_namespace_and_host() {
    let labels = Labels::from([("team".into(), "shop".into())]);
    for (listener, expected) in [
        (json!({"protocol": "HTTP", "allowedRoutes": {"namespaces": {"from": "All"}}}), true),
        (json!({"protocol": "HTTP"}), false),
        (json!({"protocol": "TCP", "allowedRoutes": {"namespaces": {"from": "All"}}}), false),
        (
            json!({"protocol": "HTTPS", "hostname": "*.test", "allowedRoutes": {"namespaces": {"from": "All"}}}),
            true,
        ),
        (
            json!({"protocol": "HTTP", "hostname": "other.test", "allowedRoutes": {"namespaces": {"from": "All"}}}),
            false,
        ),
        (
            json!({"protocol": "HTTP", "allowedRoutes": {"namespaces": {"from": "Selector", "selector": {"matchLabels": {"team": "shop"}}}}}),
            true,
        ),
        (
            json!({"protocol": "HTTP", "allowedRoutes": {"namespaces": {"from": "Selector", "selector": {"matchExpressions": [{"key": "team", "operator": "NotIn", "values": ["shop"]}]}}}}),
            false,
        ),
    ] {
        let gateway = json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway",
            "metadata": {"name": "public", "namespace": "edge"}, "spec": {"listeners": [listener]}});
        let gateway: DynamicObject = serde_json::from_value(gateway).unwrap();
        assert_eq!(admits(&gateway, "shop", &labels, "shop.test"), expected, "{}", gateway.data);
    }
    assert!(covers("*.test", "a.b.test") && !covers("*.test", "test") && covers("", "x"));
}
