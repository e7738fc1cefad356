//! Tests that need Traefik or Prometheus: `tests/run router`. First, that the two do what the others take for granted.

mod cuts;
mod judged;
mod kinds;
mod routes;
mod strategies;

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

/// An HTTPRoute for `host` on a Gateway of the lab, with the rule given as YAML.
fn route(ns: &Namespace, gateway: &str, host: &str, rule: &str) {
    ns.apply(&format!(
        "apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: {gateway}}}
spec:
  parentRefs: [{{name: {gateway}, namespace: router}}]
  hostnames: [{host}]
  rules: [{rule}]
"
    ));
}

fn answers(url: &str, host: &str) {
    until(20, "the route answers", || (Load::new(url).host(host).count(1).good() == 1).then_some(()));
}

#[test]
#[ignore = "needs the lab: tests/run"]
fn weights_of_a_route_are_shares_of_the_answers() {
    let ns = Lab::get().namespace("router-weights", false);
    let url = ns.lab.router().url;
    backend(&ns, "stable", V1);
    backend(&ns, "canary", V2);
    let host = format!("{}.lab", ns.name);
    let rule = "{backendRefs: [{name: stable, port: 80, weight: 75}, {name: canary, port: 80, weight: 25}]}";
    route(&ns, "lab", &host, rule);
    answers(&url, &host);
    let answers = Load::new(&url).host(&host).rate(200).count(200).none_failed();
    assert!((answers.share("v2") - 0.25).abs() < 0.02, "{answers:?}");
}

#[test]
#[ignore = "needs the lab: tests/run"]
fn contour_mirrors_each_request_once() {
    let ns = Lab::get().namespace("router-mirror", false);
    let url = ns.lab.router().contour;
    backend(&ns, "stable", V1);
    backend(&ns, "canary", V2);
    let host = format!("{}.lab", ns.name);
    let mirror = "{type: RequestMirror, requestMirror: {backendRef: {name: canary, port: 80}}}";
    route(
        &ns,
        "contour",
        &host,
        &format!("{{backendRefs: [{{name: stable, port: 80}}], filters: [{mirror}]}}"),
    );
    answers(&url, &host);
    let mirrored = || {
        let counts = get(&format!("{}/metrics", ns.url("canary")));
        let line =
            counts.lines().find(|l| l.starts_with("http_requests_total") && l.contains("code=\"200\""));
        line.and_then(|l| l.rsplit(' ').next()?.parse::<u32>().ok()).expect("labtool counts its answers")
    };
    let before = mirrored();
    let answers = Load::new(&url).host(&host).rate(100).count(50).none_failed();
    assert_eq!(answers.versions["v1"], 50, "the mirror answered clients: {answers:?}");
    until(5, "all 50 reached the mirror", || (mirrored() == before + 50).then_some(()));
}

fn get(url: &str) -> String {
    let out =
        std::process::Command::new("curl").args(["-sfg", "-m", "5", url]).output().expect("curl can be run");
    String::from_utf8(out.stdout).expect("text")
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
        let found: serde_json::Value = serde_json::from_str(&get(&query)).ok()?;
        let counts = found["data"]["result"]
            .as_array()?
            .iter()
            .filter_map(|s| s["value"][1].as_str()?.parse::<f64>().ok());
        (counts.sum::<f64>() >= 30.0).then_some(())
    });
}
