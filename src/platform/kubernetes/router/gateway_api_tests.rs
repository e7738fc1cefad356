//! Rules made and read back, and which Gateways admit a service.

use super::*;
use crate::rollout::Mirror;

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

#[test]
fn what_is_written_is_read_back() {
    let beta = matching("x-user", false, MatchValue::Prefix("be.ta".into()));
    for routing in [
        Routing::all(Slot::Green),
        Routing { weight: 100, ..Routing::all(Slot::Blue) },
        Routing { weight: 50, ..Routing::all(Slot::Blue) },
        Routing {
            weight: 10,
            matches: vec![Match { headers: vec![beta], ..Match::default() }],
            mirror: Some(Mirror { percent: 20, methods: vec!["GET".into(), "HEAD".into()] }),
            ..Routing::all(Slot::Green)
        },
    ] {
        let first = route(&routing, None, at("10:00:00"));
        let seen = observed(&service(), &first);
        assert_eq!((seen.routing, seen.since), (routing.clone(), Some(at("10:00:00"))));
        let again = observed(&service(), &route(&routing, Some(&first), at("11:00:00")));
        assert_eq!(again.since, Some(at("10:00:00")), "writing the same again is no change");
    }
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
