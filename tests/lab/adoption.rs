//! `adopt`: an existing Deployment becomes the live version under load, is replaced, and comes back.

use crate::harness::{Lab, Namespace, Run, V1, V2, until};
use crate::load::Load;

fn msctl(ns: &Namespace, args: &[&str]) -> Run {
    ns.msctl(args).dir(ns.home.path().join("orders")).run()
}

/// As a team without msctl has it: labels of their own, and the Service that callers use.
fn legacy(ns: &Namespace) {
    ns.apply(&format!(
        "apiVersion: apps/v1
kind: Deployment
metadata: {{name: legacy}}
spec:
  replicas: 2
  selector: {{matchLabels: {{app: legacy}}}}
  template:
    metadata: {{labels: {{app: legacy, team: shop}}}}
    spec:
      containers:
      - name: main
        image: \"{V1}\"
        readinessProbe: {{httpGet: {{path: /healthz, port: 8080}}, periodSeconds: 1}}
        lifecycle: {{preStop: {{sleep: {{seconds: 5}}}}}}
---
apiVersion: v1
kind: Service
metadata: {{name: orders}}
spec: {{selector: {{app: legacy}}, ports: [{{port: 80, targetPort: 8080}}]}}
"
    ));
    let out = ns.kubectl(&["rollout", "status", "deploy/legacy", "--timeout=60s"]);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
}

fn pods(ns: &Namespace) -> String {
    ns.get(&["pods", "-l", "app=legacy", "-o", "jsonpath={.items[*].metadata.uid}"]).unwrap_or_default()
}

#[test]
#[ignore = "needs the lab: tests/run"]
fn a_deployment_is_adopted_replaced_and_comes_back_with_no_request_lost() {
    let ns = Lab::get().namespace("adopt", false);
    legacy(&ns);
    ns.service("orders", "replicas: 2\nrollout: {scaleDownDelay: 5s}");
    let before = (pods(&ns), ns.field("deploy/legacy", "{.metadata.generation}"));
    let plan = msctl(&ns, &["adopt", "legacy", "--plan"]).ok();
    assert!(plan.stdout.contains("would be revision 1"), "{}", plan.stdout);
    assert_eq!(
        ns.get(&["cm,lease", "-l", "app.kubernetes.io/name=orders", "-o", "name"]).as_deref(),
        Some("")
    );

    let load = Load::new(&format!("{}/", ns.url("orders"))).rate(50).start();
    msctl(&ns, &["adopt", "legacy"]).ok();
    assert_eq!(
        (pods(&ns), ns.field("deploy/legacy", "{.metadata.generation}")),
        before,
        "nothing was touched"
    );
    let status = msctl(&ns, &["rollout", "status", "-o", "json"]).ok().json();
    let live = |status: &serde_json::Value| {
        let live = &status["slots"]["live"];
        (
            live["slot"].as_str().unwrap_or_default().to_owned(),
            live["revision"].clone(),
            live["available"].clone(),
        )
    };
    assert_eq!(live(&status), ("adopted".into(), 1.into(), 2.into()), "{status}");

    // Numbers of pods cannot split with pods that no common selector reaches.
    let refused = msctl(&ns, &["deploy", "--image", V2, "--canary", "--steps", "50"]).exits(2);
    assert!(refused.stderr.contains("adopted Deployment legacy"), "{}", refused.stderr);
    msctl(&ns, &["deploy", "--image", V2, "--blue-green"]).ok();
    until(20, "the adopted pods to end", || {
        (ns.field("deploy/legacy", "{.spec.replicas}") == "0").then_some(())
    });
    let back = msctl(&ns, &["rollout", "undo", "-o", "json"]).ok().json();
    assert_eq!(live(&back["status"]), ("adopted".into(), 1.into(), 2.into()), "{back}");
    assert_eq!(ns.field("service/orders", "{.spec.selector}"), r#"{"app":"legacy"}"#);
    // In place: its own pods are replaced, still reached by their own selector.
    msctl(&ns, &["deploy", "--image", V2, "--rolling"]).ok();
    assert_eq!(ns.field("service/orders", "{.spec.selector}"), r#"{"app":"legacy"}"#);
    assert_eq!(ns.field("deploy/legacy", "{.spec.template.metadata.labels.msctl\\.dev/revision}"), "2");
    // The second slot of msctl's own takes the place of what was adopted.
    ns.service("orders", "replicas: 2\nconfig: {N: \"3\"}\nrollout: {scaleDownDelay: 0s}");
    msctl(&ns, &["deploy", "--image", V1, "--blue-green"]).ok();
    ns.service("orders", "replicas: 2\nconfig: {N: \"4\"}\nrollout: {scaleDownDelay: 0s}");
    msctl(&ns, &["deploy", "--image", V2, "--canary", "--steps", "50"]).ok();
    let status = msctl(&ns, &["rollout", "status", "-o", "json"]).ok().json();
    assert_eq!(live(&status).0, "blue", "{status}");
    let answers = load.stop().none_failed();
    assert!(answers.share("v1") > 0.0 && answers.share("v2") > 0.0, "{answers:?}");
}

#[test]
#[ignore = "needs the lab: tests/run"]
fn what_would_match_wrongly_is_refused_and_a_lost_state_is_taken_up_again() {
    let ns = Lab::get().namespace("adopt-state", false);
    legacy(&ns);
    ns.service("orders", "replicas: 1");
    ns.apply(
        "apiVersion: v1\nkind: Service\nmetadata: {name: wide}\nspec: {selector: {app.kubernetes.io/name: orders}, ports: [{port: 80}]}\n",
    );
    let run = msctl(&ns, &["adopt", "legacy"]).exits(4);
    assert!(run.stderr.contains("Service wide would send requests"), "{}", run.stderr);
    ns.kubectl(&["delete", "service", "wide", "orders"]);
    ns.kubectl(&["delete", "deployment", "legacy"]);

    msctl(&ns, &["deploy"]).ok();
    let uid = ns.field("pods", "{.items[?(@.metadata.labels.msctl\\.dev/slot=='blue')].metadata.uid}");
    ns.kubectl(&["delete", "configmap", "orders-rollout"]);
    ns.service("orders", "replicas: 1\nconfig: {N: \"2\"}");
    let lost = msctl(&ns, &["deploy"]).exits(1);
    assert!(lost.stderr.contains("msctl adopt orders-blue"), "{}", lost.stderr);
    msctl(&ns, &["adopt", "orders-blue"]).ok();
    let now = ns.field("pods", "{.items[?(@.metadata.labels.msctl\\.dev/slot=='blue')].metadata.uid}");
    assert_eq!(now, uid, "no pod was replaced");
    let next = msctl(&ns, &["deploy", "--canary", "--steps", "50", "-o", "json"]).ok().json();
    assert_eq!(next["services"][0]["revision"], 2, "{next}");
    msctl(&ns, &["rollout", "undo"]).ok();

    // Lost half-way: abort takes up what the Service selects, and takes back the rest.
    let live = ns.field("service/orders", "{.spec.selector.msctl\\.dev/slot}");
    let other = if live == "blue" { "green" } else { "blue" };
    ns.service(
        "orders",
        "replicas: 1\nconfig: {N: \"3\"}\nrollout: {abortDelay: 1s, blueGreen: {promote: manual}}",
    );
    msctl(&ns, &["deploy", "--blue-green"]).exits(6);
    ns.kubectl(&["delete", "configmap", "orders-rollout"]);
    msctl(&ns, &["rollout", "abort"]).ok();
    let status = msctl(&ns, &["rollout", "status", "-o", "json"]).exits(5).json();
    assert_eq!(status["slots"]["live"]["slot"], live.as_str(), "{status}");
    until(30, "the candidate's pods to end", || {
        (ns.field(&format!("deploy/orders-{other}"), "{.spec.replicas}") == "0").then_some(())
    });
    msctl(&ns, &["deploy", "--rolling"]).ok();
}

#[test]
#[ignore = "needs the lab: tests/run"]
fn an_autoscaler_of_what_is_adopted_is_held_and_given_back() {
    let ns = Lab::get().namespace("adopt-hpa", false);
    legacy(&ns);
    ns.apply(
        "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {name: theirs}\nspec:\n  \
         scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: legacy}\n  minReplicas: 2\n  maxReplicas: 5\n",
    );
    ns.service("orders", "replicas: 2");
    let refused = msctl(&ns, &["adopt", "legacy"]).exits(4);
    assert!(refused.stderr.contains("autoscaling: {min: 2, max: 5}"), "{}", refused.stderr);

    let configure = |n: u32, promote: &str| {
        ns.service(
            "orders",
            &format!(
                "autoscaling: {{min: 1, max: 4}}\nconfig: {{N: \"{n}\"}}\nrollout: {{strategy: blue-green, \
                 scaleDownDelay: 0s, abortDelay: 1s, blueGreen: {{promote: {promote}}}}}"
            ),
        )
    };
    configure(1, "manual");
    let plan = msctl(&ns, &["adopt", "legacy"]).ok();
    assert!(plan.stdout.contains("HorizontalPodAutoscaler theirs"), "{}", plan.stdout);
    let bounds = || {
        ns.field(
            "hpa/theirs",
            "{.spec.minReplicas}-{.spec.maxReplicas}{.spec.behavior.scaleDown.selectPolicy}{.metadata.annotations.msctl\\.dev/held}",
        )
    };
    let own = bounds();
    msctl(&ns, &["deploy", "--image", V2]).exits(6);
    assert!(bounds().contains("2-5Disabled"), "held: {}", bounds());
    msctl(&ns, &["rollout", "abort"]).ok();
    assert!(bounds().starts_with("2-5") && !bounds().contains("Disabled"), "given back: {}", bounds());

    configure(2, "auto");
    msctl(&ns, &["deploy", "--image", V2]).ok();
    until(30, "the adopted pods to end", || {
        (ns.field("deploy/legacy", "{.spec.replicas}") == "0").then_some(())
    });
    assert!(bounds().starts_with("2-5") && !bounds().contains("Disabled"), "{own}: {}", bounds());
    // A second one would undo what a rollout asks for.
    msctl(&ns, &["rollout", "undo"]).ok();
    ns.apply(
        "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {name: late}\nspec:\n  \
         scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: legacy}\n  maxReplicas: 9\n",
    );
    configure(3, "auto");
    let refused = msctl(&ns, &["deploy", "--image", V2]).exits(4);
    assert!(refused.stderr.contains("HorizontalPodAutoscaler late"), "{}", refused.stderr);
}
