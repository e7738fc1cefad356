//! Tests that need Traefik or Prometheus: `tests/run router`. First, that the two do what the others take for granted.

use crate::harness::{Lab, Namespace, V1, V2, until};
use crate::load::Load;

/// A Deployment of labtool that Prometheus scrapes, and its Service.
fn backend(ns: &Namespace, name: &str, image: &str) {
    ns.apply(&format!(
        "apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}}}
spec:
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata:
      labels: {{app: {name}, msctl.dev/slot: blue}}
      annotations: {{prometheus.io/scrape: \"true\", prometheus.io/port: \"8080\"}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{{name: main, image: \"{image}\", readinessProbe: {{httpGet: {{path: /healthz, port: 8080}}, periodSeconds: 1}}}}]
---
apiVersion: v1
kind: Service
metadata: {{name: {name}}}
spec: {{selector: {{app: {name}}}, ports: [{{port: 80, targetPort: 8080}}]}}
"
    ));
    let out = ns.kubectl(&["rollout", "status", &format!("deploy/{name}"), "--timeout=60s"]);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
}

#[test]
#[ignore = "needs the lab: tests/run"]
fn weights_of_a_route_are_shares_of_the_answers() {
    let ns = Lab::get().namespace("router-weights", false);
    let router = ns.lab.router();
    backend(&ns, "stable", V1);
    backend(&ns, "canary", V2);
    let host = format!("{}.lab", ns.name);
    ns.apply(&format!(
        "apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: weights}}
spec:
  parentRefs: [{{name: lab, namespace: router}}]
  hostnames: [{host}]
  rules: [{{backendRefs: [{{name: stable, port: 80, weight: 75}}, {{name: canary, port: 80, weight: 25}}]}}]
"
    ));
    until(20, "the route answers", || {
        (Load::new(&router.url).host(&host).count(1).good() == 1).then_some(())
    });
    let answers = Load::new(&router.url).host(&host).rate(200).count(200).none_failed();
    assert!((answers.share("v2") - 0.25).abs() < 0.02, "{answers:?}");
}

#[test]
#[ignore = "needs the lab: tests/run"]
fn prometheus_counts_the_requests_of_each_slot() {
    let ns = Lab::get().namespace("router-metrics", false);
    let router = ns.lab.router();
    backend(&ns, "web", V1);
    until(20, "the Service answers", || (Load::new(&ns.url("web")).count(1).good() == 1).then_some(()));
    Load::new(&ns.url("web")).rate(100).count(30).none_failed();
    let query = format!(
        "{}/api/v1/query?query=http_requests_total{{slot=\"blue\",namespace=\"{}\"}}",
        router.prometheus, ns.name
    );
    until(30, "Prometheus has the counter", || {
        let out = std::process::Command::new("curl")
            .args(["-sfg", "-m", "5", &query])
            .output()
            .expect("curl can be run");
        let found: serde_json::Value = serde_json::from_slice(&out.stdout).ok()?;
        let counts = found["data"]["result"]
            .as_array()?
            .iter()
            .filter_map(|s| s["value"][1].as_str()?.parse::<f64>().ok());
        (counts.sum::<f64>() >= 30.0).then_some(())
    });
}
