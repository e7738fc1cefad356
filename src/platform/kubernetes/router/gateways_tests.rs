//! Which Gateways admit a service.

use serde_json::json;

use super::*;

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
