//! The lab checks itself first: what the other tests take for granted is true here.

use crate::harness::{BUSYBOX, Lab, Namespace, PRIVATE, V1, V2, until};
use crate::load::Load;

fn pod(name: &str, image: &str, command: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, labels: {{app: {name}}}}}\nspec:\n  terminationGracePeriodSeconds: 0\n  containers:\n  - name: main\n    image: {image}\n    {command}\n    securityContext: {{allowPrivilegeEscalation: false, runAsNonRoot: true, runAsUser: 1000, capabilities: {{drop: [ALL]}}, seccompProfile: {{type: RuntimeDefault}}}}\n"
    )
}

fn service(name: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{selector: {{app: {name}}}, ports: [{{port: 80, targetPort: 8080}}]}}\n"
    )
}

fn ready(ns: &Namespace, pod: &str) {
    let out = ns.kubectl(&["wait", &format!("pod/{pod}"), "--for=condition=Ready", "--timeout=60s"]);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
}

fn text(out: &std::process::Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr))
}

#[test]
#[ignore = "needs the lab: tests/run"]
fn pods_run_and_their_service_answers_the_host_and_other_pods() {
    let ns = Lab::get().namespace("lab-pods", true);
    ns.apply(&pod("web", V1, ""));
    ns.apply(&service("web"));
    ns.apply(&pod("sh", BUSYBOX, "command: [sleep, \"600\"]"));
    ready(&ns, "web");
    ready(&ns, "sh");
    until(20, "the Service answers", || (Load::new(&ns.url("web")).count(1).good() == 1).then_some(()));
    let answers = Load::new(&ns.url("web")).rate(100).count(20).none_failed();
    assert_eq!(answers.versions["v1"], 20);

    let by_name = ns.kubectl(&["exec", "sh", "--", "timeout", "5", "wget", "-qO-", "http://web"]);
    assert!(text(&by_name).starts_with("demo v1 web"), "{}", text(&by_name));
    let outside = ns.kubectl(&["exec", "sh", "--", "timeout", "5", "nslookup", "example.org"]);
    assert!(!outside.status.success(), "a name outside the lab was answered: {}", text(&outside));
    let logs = ns.kubectl(&["logs", "web"]);
    assert!(text(&logs).contains("demo v1 starts"), "{}", text(&logs));
}

#[test]
#[ignore = "needs the lab: tests/run"]
fn restricted_namespaces_refuse_a_privileged_pod() {
    let ns = Lab::get().namespace("lab-restricted", true);
    let out = ns.kubectl(&["run", "root", "--image", BUSYBOX, "--privileged"]);
    assert!(text(&out).contains("violates PodSecurity"), "{}", text(&out));
}

#[test]
#[ignore = "needs the lab: tests/run"]
fn the_private_registry_wants_its_password() {
    let lab = Lab::get();
    let config = tempfile::tempdir().unwrap();
    let docker = |args: &[&str]| {
        let all = [&["--config", config.path().to_str().unwrap()], args].concat();
        lab.command("docker").args(all).output().expect("docker can be run")
    };
    let image = format!("{PRIVATE}/labtool:v2");
    assert!(docker(&["tag", V2, &image]).status.success());
    let refused = docker(&["push", &image]);
    assert!(!refused.status.success(), "pushed without a login: {}", text(&refused));
    let login = docker(&["login", "-u", "lab", "-p", "secret", PRIVATE]);
    assert!(login.status.success(), "{}", text(&login));
    let pushed = docker(&["push", &image]);
    assert!(pushed.status.success(), "{}", text(&pushed));
}

#[test]
#[ignore = "needs the lab: tests/run"]
fn simulated_nodes_take_pods_by_the_hundred_and_fail_on_demand() {
    let ns = Lab::get().simulated("lab-sim");
    ns.apply(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: many}\nspec:\n  replicas: 100\n  selector: {matchLabels: {app: many}}\n  template:\n    metadata: {labels: {app: many}}\n    spec: {containers: [{name: main, image: nowhere/many:1}]}\n",
    );
    ns.apply(
        "apiVersion: v1\nkind: Pod\nmetadata: {name: bad, annotations: {msctl.test/fail: crash}}\nspec: {containers: [{name: main, image: nowhere/bad:1}]}\n",
    );
    until(60, "100 pods are ready", || {
        (ns.field("deploy/many", "{.status.readyReplicas}") == "100").then_some(())
    });
    let waiting = "{.status.containerStatuses[0].state.waiting.reason}";
    until(30, "the other crashes", || (ns.field("pod/bad", waiting) == "CrashLoopBackOff").then_some(()));
    let nodes = ns.field("pod", "{.items[*].spec.nodeName}");
    assert!(!nodes.contains("node1"), "a pod went to the real node: {nodes}");
}
