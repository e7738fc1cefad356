//! The embedded templates' images on a real node: built by msctl, admitted under Pod Security *restricted* with a
//! read-only disk and no capability, drained by the kubelet, and replaced by msctl under load without a failed answer.

use serde_json::Value;
use std::time::Duration;

use crate::harness::{Lab, Namespace, until};
use crate::load::Load;

fn pod(name: &str, image: &str) -> String {
    format!(
        "apiVersion: v1
kind: Pod
metadata: {{name: {name}}}
spec:
  securityContext: {{runAsNonRoot: true, seccompProfile: {{type: RuntimeDefault}}}}
  containers:
  - name: main
    image: {image}
    env: [{{name: DRAIN_DELAY, value: 3s}}]
    readinessProbe: {{httpGet: {{path: /health/ready, port: 8080}}, periodSeconds: 1}}
    securityContext: {{readOnlyRootFilesystem: true, allowPrivilegeEscalation: false, capabilities: {{drop: [ALL]}}}}
"
    )
}

/// Status and body of a GET to the pod; status 0 when it does not answer.
fn get(ns: &Namespace, address: &str, path: &str) -> (u16, String) {
    let url = format!("http://{address}:8080{path}");
    let out = ns.lab.command("curl").args(["-s", "-m", "2", "-w", "\n%{http_code}", &url]).output().unwrap();
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let (body, status) = text.rsplit_once('\n').unwrap_or_default();
    (status.parse().unwrap_or(0), body.to_owned())
}

fn runs_restricted(template: &str) {
    let name = format!("made-by-{template}");
    let ns = Lab::get().namespace(&name, true);
    // A repository of its own: equal inputs of an earlier run would be found built, from another commit.
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    let registry = format!("registry=localhost:5000/{}-{now}", ns.name);
    ns.msctl(&["new", &name, "--template", template, "--defaults", "--set", &registry]).run().ok();
    let build = ns.msctl(&["build", "--push", "-o", "json"]).dir(ns.home.path().join(&name));
    let built = build.limit(Duration::from_secs(900)).run().ok().json();
    let image = &built["images"][0];
    ns.apply(&pod(&name, image["pinned"].as_str().unwrap()));
    let ready = ns.kubectl(&["wait", &format!("pod/{name}"), "--for=condition=Ready", "--timeout=60s"]);
    assert!(ready.status.success(), "{}", String::from_utf8_lossy(&ready.stderr));
    let address = ns.field(&format!("pod/{name}"), "{.status.podIP}");

    assert_eq!(get(&ns, &address, "/").0, 200);
    let (status, body) = get(&ns, &address, "/version");
    assert_eq!(status, 200, "{body}");
    let version: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((&version["service"], &version["version"]), (&name.as_str().into(), &image["tag"]));
    let inspect = ["inspect", "-f", "{{json .Config.Labels}}", image["imageId"].as_str().unwrap()];
    let labels = ns.lab.command("docker").args(inspect).output().unwrap().stdout;
    let labels: Value = serde_json::from_slice(&labels).unwrap();
    for (label, key) in [("version", "version"), ("revision", "commit"), ("created", "built-at")] {
        assert_eq!(labels[format!("org.opencontainers.image.{label}")], version[key], "{labels} {version}");
    }

    let delete = ns.kubectl(&["delete", "pod", &name, "--wait=false"]);
    assert!(delete.status.success(), "{delete:?}");
    until(20, "readiness says that it drains", || {
        let (status, body) = get(&ns, &address, "/health/ready");
        (status == 503 && body.contains("draining")).then_some(())
    });
    assert_eq!(get(&ns, &address, "/").0, 200, "still served while it drains");
    replaced_under_load(&ns, &name);
}

/// Deployed as it was generated, then with another GREETING.
fn replaced_under_load(ns: &Namespace, name: &str) {
    let dir = ns.home.path().join(name);
    let deploy = || ns.msctl(&["deploy", "--no-input"]).dir(&dir).run().ok();
    deploy();
    let url = ns.url(name);
    let load = Load::new(&url).rate(40).start();
    let file = dir.join("msctl.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains("GREETING: Hello"), "{text}");
    std::fs::write(&file, text.replace("GREETING: Hello", "GREETING: Ahoy")).unwrap();
    deploy();
    until(60, "the new greeting everywhere", || {
        let body = || ns.lab.command("curl").args(["-s", "-m", "2", &url]).output().unwrap().stdout;
        (0..12).all(|_| String::from_utf8_lossy(&body()).contains("Ahoy")).then_some(())
    });
    std::thread::sleep(Duration::from_secs(8)); // the old pods wait five seconds, then drain
    load.stop().none_failed();
}

#[test]
#[ignore = "needs the lab: tests/run"]
fn go_runs_restricted() {
    runs_restricted("go");
}

#[test]
#[ignore = "needs the lab: tests/run"]
fn python_fastapi_runs_restricted() {
    runs_restricted("python-fastapi");
}

#[test]
#[ignore = "needs the lab: tests/run"]
fn rust_axum_runs_restricted() {
    runs_restricted("rust-axum");
}
