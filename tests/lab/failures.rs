//! What goes wrong with a deploy while an older version serves: the cause, the next move, the exit code, and not one
//! failed request.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{BY_WATCH, Lab, Msctl, Namespace, PRIVATE, Run, V1, V2};
use crate::load::{Load, Sending};
use crate::main_job::Watch;

/// Small, so that every node has room, and soon gone.
const TWO: &str = "replicas: 2\n";

/// A service whose revision 1 serves under load.
struct Serving {
    ns: Namespace,
    dir: PathBuf,
    load: Sending,
}

impl Serving {
    fn new(name: &str) -> Self {
        let ns = Lab::get().namespace(name, true);
        let dir = ns.service("orders", TWO);
        ns.msctl(&["deploy"]).dir(&dir).run().ok();
        let load = Load::new(&ns.url("orders")).rate(20).seconds(200).start();
        Self { ns, dir, load }
    }

    /// Adds YAML to msctl.yaml: the next version.
    fn change(&self, extra: &str) {
        self.ns.service("orders", &format!("{TWO}{extra}"));
    }

    fn msctl(&self, args: &[&str]) -> Msctl {
        self.ns.msctl(args).dir(&self.dir)
    }

    /// The error document of a run that must exit so.
    fn error(&self, run: Run, code: i32) -> (Value, Duration) {
        let run = run.exits(code);
        let error = run.json()["error"].clone();
        assert_eq!(error["code"], code, "{error:#}");
        assert!(!error["hints"].as_array().unwrap().is_empty(), "no next move: {error:#}");
        (error, run.took)
    }

    /// Revision 1 is what status names, both its pods are there, and no request failed or met another version.
    fn still_serves(self) {
        let status = self.msctl(&["status", "-o", "json"]).run().json();
        let live = &status["slots"]["live"];
        assert_eq!((&live["revision"], &live["available"]), (&1.into(), &2.into()), "{status:#}");
        let answers = self.load.stop().none_failed();
        assert_eq!(answers.share("v1"), 1.0, "{answers:?}");
    }
}

fn text(error: &Value) -> String {
    error.to_string().replace("\\\"", "\"")
}

#[test]
#[ignore = "needs the lab: tests/run"]
fn a_crash_loop_is_refused_by_its_second_exit() {
    for strategy in ["--rolling", "--canary"] {
        let service = Serving::new("fail-crash");
        service.change("config: {FAIL: crash}\nrollout: {abortDelay: 1s}");
        let path = "{.status.containerStatuses[0].restartCount} {.status.containerStatuses[0].state.terminated.exitCode}";
        let watch = Watch::new(&service.ns, "pods", path);
        let deploy = service.msctl(&["deploy", strategy]).spawn();
        deploy.says("refused: revision 2", 60);
        let refused = Instant::now();
        // msctl may be told of the exit before kubectl's watch is.
        let second = || watch.lines().into_iter().find(|(_, line)| line == "1 1");
        let seen = (0..50).find_map(|_| {
            let exit = second();
            exit.is_none().then(|| std::thread::sleep(Duration::from_millis(100)));
            exit
        });
        let (exit, _) = seen.unwrap_or_else(|| panic!("refused without a second exit: {:?}", watch.lines()));
        let late = refused.duration_since(exit);
        assert!(late < BY_WATCH, "{late:?} after the second exit");
        let run = deploy.wait().exits(5);
        assert!(run.stderr.contains("cannot reach the database (FAIL=crash)"), "{}", run.stderr);
        assert!(run.stderr.contains("revision 1 serves") && run.stderr.contains("hint:"), "{}", run.stderr);
        service.still_serves();
    }
}

/// An image that only the private registry has.
fn private(ns: &Namespace) -> String {
    let docker = ns.home.path().join(".docker");
    std::fs::create_dir_all(&docker).unwrap();
    std::fs::write(
        docker.join("config.json"),
        format!(r#"{{"auths":{{"{PRIVATE}":{{"auth":"bGFiOnNlY3JldA=="}}}}}}"#),
    )
    .unwrap();
    let image = format!("{PRIVATE}/{}/labtool:v2", ns.name);
    for args in [["tag", V2, &image], ["push", "-q", &image]] {
        let out = ns.lab.command("docker").env("HOME", ns.home.path()).args(args).output().unwrap();
        assert!(out.status.success(), "{out:?}");
    }
    image
}

#[test]
#[ignore = "needs the lab: tests/run"]
fn a_pull_secret_lets_the_node_in() {
    let ns = Lab::get().namespace("pull-secret", true);
    let image = private(&ns);
    let login = ["--docker-server", PRIVATE, "--docker-username=lab", "--docker-password=secret"];
    let made = ns.kubectl(&[&["create", "secret", "docker-registry", "pull"], &login as &[&str]].concat());
    assert!(made.status.success(), "{made:?}");
    let dir = ns.service("orders", "pod: {pullSecrets: [pull]}");
    ns.msctl(&["deploy", "--image", &image]).dir(&dir).run().ok();
    assert_eq!(ns.field("deploy/orders-blue", "{.status.availableReplicas}"), "1");
}

#[test]
#[ignore = "needs the lab: tests/run"]
fn an_image_the_node_may_not_pull_is_refused_at_once() {
    let service = Serving::new("fail-pull");
    let image = private(&service.ns);
    for strategy in ["--rolling", "--canary"] {
        let begun = Instant::now();
        let deploy = service.msctl(&["deploy", strategy, "--image", &image]).spawn();
        deploy.says("refused: revision", 15);
        let took = begun.elapsed();
        let run = deploy.wait().exits(5);
        assert!(
            run.stderr.contains("401 Unauthorized") && run.stderr.contains("`pod.pullSecrets`"),
            "{}",
            run.stderr
        );
        assert!(took < BY_WATCH, "{strategy}: {took:?}");
    }
    let (error, _) =
        service.error(service.msctl(&["deploy", "--image", "localhost:5000/none:x", "-o", "json"]).run(), 1);
    assert!(text(&error).contains("localhost:5000/none:x"), "{error:#}");
    service.still_serves();
}

#[test]
#[ignore = "needs the lab: tests/run"]
fn a_version_that_is_never_ready_is_refused_at_its_deadline() {
    for strategy in ["--rolling", "--canary"] {
        let service = Serving::new("fail-ready");
        service.change("config: {FAIL: unready}\nrollout: {progressDeadline: 8s, abortDelay: 1s}");
        let (error, took) = service.error(service.msctl(&["deploy", strategy, "-o", "json"]).run(), 5);
        assert!(took > Duration::from_secs(8) && took < Duration::from_secs(40), "{strategy}: {took:?}");
        let text = text(&error);
        assert!(
            text.contains("8s") && text.to_lowercase().contains("readiness probe"),
            "{strategy}: {error:#}"
        );
        service.still_serves();
    }
}

#[test]
#[ignore = "needs the lab: tests/run"]
fn without_rights_or_a_cluster_nothing_is_touched() {
    let service = Serving::new("fail-rights");
    let ns = &service.ns;
    let token = ns.kubectl(&["create", "token", "default"]);
    assert!(token.status.success(), "{token:?}");
    let token = String::from_utf8(token.stdout).unwrap().trim().to_owned();
    let nobody = ns.home.path().join("nobody");
    std::fs::copy(ns.kubeconfig(), &nobody).unwrap();
    let config = |args: &[&str]| {
        let all = [&["--kubeconfig", nobody.to_str().unwrap(), "config"], args].concat();
        let out = ns.lab.kubectl(&all);
        assert!(out.status.success(), "{out:?}");
    };
    config(&["set-credentials", "nobody", &format!("--token={token}")]);
    config(&["set-context", "lab", "--user=nobody"]);
    let run = |kubeconfig: &PathBuf| {
        let deploy =
            service.msctl(&["deploy", "--image", V2, "-o", "json"]).env("KUBECONFIG", kubeconfig).run();
        service.error(deploy, 1)
    };
    let (error, _) = run(&nobody);
    let said = text(&error);
    assert_eq!(error["reason"], "forbidden", "{error:#}");
    assert!(["get", "list", "create", "patch"].iter().any(|verb| said.contains(verb)), "no verb: {error:#}");
    assert!(
        ["configmaps", "deployments", "leases"].iter().any(|r| said.contains(r)),
        "no resource: {error:#}"
    );
    assert!(!said.contains(&token));

    let gone = ns.home.path().join("gone");
    std::fs::write(
        &gone,
        "apiVersion: v1\nkind: Config\nclusters: [{name: c, cluster: {server: 'https://127.0.0.1:1'}}]\nusers: [{name: u, user: {}}]\n\
         contexts: [{name: lab, context: {cluster: c, user: u}}]\n",
    )
    .unwrap();
    let (error, took) = run(&gone);
    assert_eq!(error["reason"], "unreachable", "{error:#}");
    assert!(text(&error).contains("127.0.0.1:1") && took < BY_WATCH, "{took:?}: {error:#}");
    service.still_serves();
}

#[test]
#[ignore = "needs the lab: tests/run"]
fn without_an_engine_or_a_login_nothing_is_touched() {
    let service = Serving::new("fail-build");
    std::fs::write(service.dir.join("Dockerfile"), format!("FROM {V1}\nENV VERSION=v2\n")).unwrap();
    for (registry, docker, reason, hint) in [
        ("localhost:5000", "unix:///nonexistent/docker.sock", "no-docker", ""),
        (PRIVATE, service.ns.lab.docker_host.as_str(), "login-needed", "docker login localhost:5001"),
    ] {
        service.change(&format!("image: {{repository: {registry}/{}/orders}}", service.ns.name));
        let deploy = service.msctl(&["deploy", "-o", "json"]).env("DOCKER_HOST", docker).run();
        let (error, took) = service.error(deploy, 1);
        assert_eq!(error["reason"], reason, "{error:#}");
        assert!(error["hints"].to_string().contains(hint), "{error:#}");
        assert!(took < Duration::from_secs(20), "{took:?}");
    }
    service.still_serves();
}

#[test]
#[ignore = "needs the lab: tests/run"]
fn of_two_deploys_one_is_told_who_is_at_it() {
    let service = Serving::new("fail-held");
    let canary =
        service.msctl(&["deploy", "--image", V2, "--canary", "--steps", "50", "--pause", "15s"]).spawn();
    canary.says("pause 15s", 60);
    let (error, took) = service.error(service.msctl(&["deploy", "--image", V1, "-o", "json"]).run(), 4);
    assert!(took < BY_WATCH, "{took:?}");
    let holder = format!(":{}:", canary.id());
    assert!(text(&error).contains(&holder), "the holder {holder} is not named: {error:#}");
    assert!(text(&error).contains("--lock-wait"), "{error:#}");
    canary.wait().ok();
    let answers = service.load.stop().none_failed();
    assert!(answers.versions.contains_key("v2"), "{answers:?}");
}
