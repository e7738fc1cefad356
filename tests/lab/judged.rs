//! What judges beside the counters: Jobs, smoke at weight 0, the right to scrape, restarts.

use std::path::PathBuf;

use crate::harness::{Lab, Namespace, V1, V2, until};
use crate::load::Load;

/// A canary by pods whose second step runs this metric.
fn configure(ns: &Namespace, image: &str, metric: &str) -> PathBuf {
    ns.service(
        "orders",
        &format!(
            "image: {image}\nreplicas: 1\nrollout:\n  strategy: canary\n  surge: 1\n  abortDelay: 1s\n  \
             steps: [{{weight: 50}}, {{analyze: 5s}}, {{weight: 100}}]\n  analysis:\n    background: false\n    \
             warmUp: 0s\n    metrics: [{metric}]\n"
        ),
    )
}

fn jobs(ns: &Namespace) -> String {
    ns.get(&["jobs", "-o", "name"]).unwrap()
}

#[test]
#[ignore = "needs the lab: tests/run"]
fn scenario_15_a_job_judges_fails_or_never_starts_and_is_removed() {
    let ns = Lab::get().namespace("analysis-job", true);
    let job = |image: &str, more: &str| format!("{{name: e2e, job: {{image: '{image}', {more}}}}}");
    let folder = configure(&ns, V1, &job(V1, ""));
    ns.msctl(&["deploy"]).dir(&folder).run().exits(0);
    assert_eq!(jobs(&ns), "", "a first deploy is judged by nobody");

    // Scenario 15: an image that is not there says nothing, and a person decides.
    let missing = job("localhost:5000/no-such-image:1", "startDeadline: 3s");
    let folder = configure(&ns, V2, &missing);
    let paused = ns.msctl(&["deploy", "-o", "json"]).dir(&folder).run().exits(6);
    let status = ns.msctl(&["rollout", "status", "-o", "json"]).dir(&folder).run().json();
    assert_eq!((&status["phase"], &status["reason"]), (&"paused".into(), &"inconclusive".into()), "{status}");
    let message = status["message"].as_str().unwrap();
    assert!(message.contains("did not start within 3 s") && message.contains("image-pull"), "{message}");
    assert!(!paused.stdout.contains("successful"), "{}", paused.stdout);
    assert_eq!(jobs(&ns), "");
    ns.msctl(&["rollout", "abort"]).dir(&folder).run().exits(0);

    // It exits with 1, and what it said is the cause.
    let failing = job(V1, "command: [/labtool, hit, -n, '1', -max-failures, '0', 'http://127.0.0.1:1/']");
    let folder = configure(&ns, V2, &failing);
    let refused = ns.msctl(&["deploy", "-o", "json"]).dir(&folder).run().exits(5);
    let error = &refused.json()["error"];
    assert_eq!(error["reason"], "analysis-failed", "{error}");
    assert!(error["message"].as_str().unwrap().contains("it exited with 1"), "{error}");
    assert_eq!(jobs(&ns), "");

    let asking = job(V1, "command: [/labtool, hit, -n, '20', $(MSCTL_URL)]");
    let folder = configure(&ns, V2, &asking);
    ns.msctl(&["deploy"]).dir(&folder).run().exits(0);
    let status = ns.msctl(&["rollout", "status", "-o", "json"]).dir(&folder).run().json();
    let e2e = &status["analysis"][0];
    assert_eq!((&e2e["metric"], &e2e["phase"]), (&"e2e".into(), &"successful".into()), "{status}");
    assert_eq!(jobs(&ns), "");
}

#[test]
#[ignore = "needs the lab: tests/run"]
fn who_may_not_ask_pods_is_told_before_the_first_write() {
    let ns = Lab::get().namespace("analysis-rights", true);
    let errors = "{name: errors, builtin: error-rate, max: 1%}";
    let folder = configure(&ns, V1, errors);
    ns.msctl(&["deploy"]).dir(&folder).run().exits(0);
    ns.apply(
        "apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: deployer}
rules:
- {apiGroups: [''], resources: [pods, pods/log, events, services, configmaps, secrets, serviceaccounts, resourcequotas], verbs: ['*']}
- {apiGroups: [apps, policy, autoscaling, networking.k8s.io, coordination.k8s.io, discovery.k8s.io, batch, gateway.networking.k8s.io], resources: ['*'], verbs: ['*']}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: deployer}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: deployer}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: deployer}
subjects: [{kind: ServiceAccount, name: deployer}]
",
    );
    let token = ns.kubectl(&["create", "token", "deployer"]);
    let token = String::from_utf8(token.stdout).unwrap().trim().to_owned();
    let config = ns.home.path().join("deployer");
    std::fs::copy(ns.kubeconfig(), &config).unwrap();
    let path = config.to_str().unwrap();
    for args in
        [["set-credentials", "deployer", "--token", &token], ["set-context", "lab", "--user", "deployer"]]
    {
        assert!(ns.lab.kubectl(&[&["--kubeconfig", path, "config"], &args[..]].concat()).status.success());
    }
    let folder = configure(&ns, V2, errors);
    let before = ns.field("lease/orders-rollout", "{.metadata.resourceVersion}");
    let blind = ns.msctl(&["deploy", "-o", "json"]).env("KUBECONFIG", path).dir(&folder).run().exits(1);
    let error = &blind.json()["error"];
    assert_eq!(error["reason"], "analysis-blind", "{error}");
    assert!(error["message"].as_str().unwrap().contains("pods/proxy"), "{error}");
    assert!(error["hints"].to_string().contains("--detach"), "{error}");
    assert_eq!(
        ns.field("lease/orders-rollout", "{.metadata.resourceVersion}"),
        before,
        "something was written"
    );
}

#[test]
#[ignore = "needs the lab: tests/run"]
fn smoke_on_real_pods_comes_before_any_user() {
    let ns = Lab::get().namespace("analysis-smoke", true);
    let configure = |image: &str, rate: &str| {
        ns.service(
            "orders",
            &format!(
                "image: {image}\nreplicas: 1\nconfig: {{ERROR_RATE: \"{rate}\"}}\nrollout:\n  strategy: blue-green\n  \
                 abortDelay: 1s\n  scaleDownDelay: 1s\n  blueGreen: {{pre: [smoke]}}\n  analysis:\n    \
                 background: false\n    metrics: [{{name: smoke, smoke: {{path: /, requests: 20}}}}]\n"
            ),
        )
    };
    ns.msctl(&["deploy"]).dir(configure(V1, "0")).run().exits(0);
    let folder = configure(V2, "0.9");
    let refused = ns.msctl(&["deploy", "-o", "json"]).dir(&folder).run().exits(5);
    let message = refused.json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(message.contains("smoke") && message.contains("of 20 requests failed"), "{message}");
    assert_eq!(ns.field("service/orders", "{.spec.selector.msctl\\.dev/slot}"), "blue");
    ns.msctl(&["deploy"]).dir(configure(V2, "0")).run().exits(0);
    assert_eq!(ns.field("service/orders", "{.spec.selector.msctl\\.dev/slot}"), "green");
}

#[test]
#[ignore = "needs the lab: tests/run"]
fn an_experiment_compares_fresh_pods_of_both_versions_and_removes_them() {
    let ns = Lab::get().namespace("analysis-experiment", true);
    let configure = |image: &str, rate: &str| {
        ns.service(
            "orders",
            &format!(
                "image: {image}\nreplicas: 1\nconfig: {{ERROR_RATE: \"{rate}\"}}\nrollout:\n  strategy: canary\n  \
                 surge: 1\n  abortDelay: 1s\n  steps: [{{experiment: 10s, metrics: [errors]}}, {{weight: 100}}]\n  \
                 analysis:\n    background: false\n    interval: 3s\n    warmUp: 0s\n    \
                 metrics: [{{name: errors, builtin: error-rate, max: 2%, minSamples: 30}}]\n"
            ),
        )
    };
    ns.msctl(&["deploy"]).dir(configure(V1, "0")).run().exits(0);
    let load = Load::new(&ns.url("orders")).rate(60).seconds(90).start();
    let folder = configure(V2, "0");
    let running = ns.msctl(&["deploy"]).dir(&folder).spawn();
    let fresh = |role: &str| format!("deploy/orders-experiment-{role}");
    let spec = |object: &str| ns.field(object, "{.spec.template.spec}");
    until(60, "both fresh pods are available", || {
        let ready = |role: &str| ns.field(&fresh(role), "{.status.availableReplicas}") == "1";
        (ready("baseline") && ready("candidate")).then_some(())
    });
    assert_eq!(spec(&fresh("baseline")), spec("deploy/orders-blue"));
    assert_eq!(spec(&fresh("candidate")), spec("deploy/orders-green"));
    assert_ne!(spec(&fresh("candidate")), spec(&fresh("baseline")));
    let hashes =
        ns.get(&["rs", "-o", r"jsonpath={range .items[*]}{.metadata.labels.pod-template-hash}{'\n'}{end}"]);
    let mut hashes: Vec<String> = hashes.unwrap().lines().map(str::to_owned).collect();
    let count = hashes.len();
    hashes.sort();
    hashes.dedup();
    assert!(count >= 3 && hashes.len() == count, "{hashes:?}");
    running.wait().exits(0);
    let left = || ns.get(&["deploy,pods", "-l", "msctl.dev/experiment", "-o", "name"]).unwrap();
    until(40, "nothing of it is left", || left().is_empty().then_some(()));
    assert!(!ns.field("service/orders", "{.spec.selector}").contains("experiment"));

    // One that errs is refused before a pod of its slot has met a user, and its experiment goes too.
    let folder = configure(V1, "0.5");
    let refused = ns.msctl(&["deploy", "-o", "json"]).dir(&folder).run().exits(5);
    assert_eq!(refused.json()["error"]["reason"], "analysis-failed", "{}", refused.stdout);
    until(40, "nothing of it is left", || left().is_empty().then_some(()));
    let answers = load.stop();
    assert!(answers.versions["v1"] > 0 && answers.versions["v2"] > 0, "{answers:?}");
    assert!(answers.statuses.keys().all(|s| [200, 500].contains(s)), "{answers:?}");
}

#[test]
#[ignore = "needs the lab: tests/run"]
fn a_candidate_pod_that_is_deleted_is_a_failure_and_one_that_is_evicted_is_not() {
    let ns = Lab::get().namespace("analysis-vanish", true);
    let configure = |image: &str| {
        ns.service(
            "orders",
            &format!(
                "image: {image}\nreplicas: 2\nrollout:\n  strategy: canary\n  surge: 1\n  abortDelay: 1s\n  \
                 steps: [{{weight: 50}}, {{pause: 2m}}, {{weight: 100}}]\n  analysis:\n    interval: 2s\n    \
                 warmUp: 0s\n    noData: pass\n    metrics: [{{name: errors, builtin: error-rate, max: 50%}}]\n"
            ),
        )
    };
    ns.msctl(&["deploy"]).dir(configure(V1)).run().exits(0);
    let folder = configure(V2);
    let running = ns.msctl(&["deploy", "-o", "json"]).dir(&folder).spawn();
    let status = || ns.msctl(&["rollout", "status", "-o", "json"]).dir(&folder).run().json();
    until(60, "the pause", || (status()["reason"] == "timed-pause").then_some(()));
    let pod = || {
        let names = "{.items[?(@.metadata.labels.msctl\\.dev/slot=='green')].metadata.name}";
        ns.get(&["pods", "--field-selector=status.phase=Running", "-o", &format!("jsonpath={names}")])
            .unwrap()
    };
    let first = pod();
    let eviction = format!(
        r#"{{"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {{"name": "{first}", "namespace": "{}"}}}}"#,
        ns.name
    );
    let file = ns.home.path().join("eviction.json");
    std::fs::write(&file, eviction).unwrap();
    let path = format!("/api/v1/namespaces/{}/pods/{first}/eviction", ns.name);
    assert!(ns.kubectl(&["create", "--raw", &path, "-f", file.to_str().unwrap()]).status.success());
    let second = until(60, "another pod in its place", || {
        let ready = ns.field("deploy/orders-green", "{.status.availableReplicas}") == "1";
        Some(pod()).filter(|p| ready && !p.is_empty() && !p.contains(&first))
    });
    // Longer than a lowered number may be late, and than the driver sleeps.
    std::thread::sleep(std::time::Duration::from_secs(8));
    assert_eq!(status()["reason"], "timed-pause", "an eviction was asked for");

    assert!(ns.kubectl(&["delete", "pod", &second, "--wait=false"]).status.success());
    let refused = running.wait().exits(5).json();
    let message = refused["error"]["message"].as_str().unwrap();
    assert!(message.contains(&second) && message.contains("was deleted"), "{message}");
    let status = status();
    let metrics = status["analysis"].as_array().unwrap();
    let restarts = metrics.iter().find(|m| m["metric"] == "restarts").unwrap();
    assert!(restarts["message"].as_str().unwrap().contains(&second), "{restarts}");
    let report = ns.msctl(&["rollout", "report", "--out", "report.html"]).dir(&folder).run();
    report.exits(0);
    assert!(std::fs::read_to_string(folder.join("report.html")).unwrap().contains(&second));
}
