//! `--detach`: the driver as a Job in the cluster, steered from anywhere. Its image is made here, of the binary under
//! test and the C library it is linked to.

use std::path::PathBuf;
use std::process::Command;
use std::sync::LazyLock;
use std::time::Instant;

use serde_json::Value;

use crate::harness::{BY_WATCH, Lab, Msctl, Namespace, V1, V2, until};

/// By tag; msctl resolves it.
pub fn image() -> &'static str {
    static IMAGE: LazyLock<String> = LazyLock::new(|| {
        let lab = Lab::get();
        let folder = tempfile::tempdir().unwrap();
        let run = |command: &mut Command| {
            let out = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
            assert!(out.status.success(), "{command:?}: {}", String::from_utf8_lossy(&out.stderr));
        };
        let base = "gcr.io/distroless/cc-debian12:nonroot";
        let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/lab/lab");
        run(Command::new(script).args(["base-image", base]));
        let binary = folder.path().join("msctl");
        run(Command::new("strip").args(["-o"]).arg(&binary).arg(env!("CARGO_BIN_EXE_msctl")));
        // Linked on this machine, it wants this machine's zlib, which the base has not.
        let zlib = std::fs::canonicalize("/lib/x86_64-linux-gnu/libz.so.1").unwrap();
        std::fs::copy(zlib, folder.path().join("libz.so.1")).unwrap();
        let text = format!(
            "FROM {base}\nCOPY libz.so.1 /lib/x86_64-linux-gnu/\nCOPY msctl /usr/local/bin/\n\
             ENTRYPOINT [\"/usr/local/bin/msctl\"]\n"
        );
        std::fs::write(folder.path().join("Dockerfile"), text).unwrap();
        let name = format!("localhost:5000/msctl-under-test:{}", std::process::id());
        run(lab
            .command("docker")
            .env("DOCKER_BUILDKIT", "1")
            .args(["build", "-q", "-t", &name])
            .arg(folder.path()));
        run(lab.command("docker").args(["push", "-q", &name]));
        name
    });
    &IMAGE
}

const TWO_STEPS: &str = "replicas: 2\nrollout: {strategy: canary, scaleDownDelay: 1s, abortDelay: 1s, \
                         steps: [{weight: 50}, {pause: {}}, {weight: 100}]}";

fn detach(ns: &Namespace, dir: &PathBuf, more: &[&str]) -> Msctl {
    let all = [&["deploy", "--yes", "--image", V2, "--detach", "--driver-image", image()], more].concat();
    ns.msctl(&all).dir(dir)
}

fn status(ns: &Namespace, dir: &PathBuf) -> Value {
    ns.msctl(&["rollout", "status", "-o", "json"]).dir(dir).run().json()
}

fn paused(ns: &Namespace, dir: &PathBuf) -> Value {
    until(40, "it waits for a person", || Some(status(ns, dir)).filter(|s| s["reason"] == "awaits-promotion"))
}

fn driver_log(ns: &Namespace, dir: &PathBuf) -> String {
    ns.msctl(&["logs", "--driver"]).dir(dir).run().ok().stdout
}

#[test]
#[ignore = "needs the lab: tests/run"]
fn a_detached_canary_is_promoted_from_elsewhere() {
    let ns = Lab::get().namespace("detach", true);
    let dir = ns.service("orders", TWO_STEPS);
    ns.msctl(&["deploy", "--yes", "--image", V1]).dir(&dir).run().ok();
    let begun = Instant::now();
    let run = detach(&ns, &dir, &["-o", "json"]).run().ok();
    let took = begun.elapsed();
    assert_eq!(run.json()["services"][0]["ended"], "detached", "{}", run.stdout);
    let waiting = paused(&ns, &dir);
    let holder = waiting["holder"].as_str().unwrap_or_default().to_owned();
    assert!(holder.starts_with("msctl-driver@orders-driver-2-"), "{waiting:#}");
    assert_eq!(waiting["undrivenSince"], Value::Null, "{waiting:#}");

    // Another home, another person's msctl: only the cluster is shared.
    let elsewhere = tempfile::tempdir().unwrap();
    let from = |args: &[&str]| ns.msctl(args).env("HOME", elsewhere.path()).env("USER", "bob").dir(&dir);
    let watching = from(&["rollout", "watch", "-o", "ndjson"]).spawn();
    from(&["rollout", "promote"]).run().ok();
    until(40, "healthy", || (status(&ns, &dir)["phase"] == "healthy").then_some(()));
    drop(watching);
    let log = driver_log(&ns, &dir);
    assert!(log.contains("promote by bob@") && log.contains("orders is healthy: revision 2"), "{log}");
    assert!(!log.contains('\u{1b}'), "plain lines: {log}");

    let job = until(30, "the Job is complete", || {
        ns.get(&["job", "orders-driver-2", "-o", "json"])
            .map(|j| serde_json::from_str::<Value>(&j).unwrap())
            .filter(|j| j["status"]["succeeded"] == 1)
    });
    let pod = &job["spec"]["template"]["spec"];
    assert_eq!(pod["restartPolicy"], "OnFailure");
    assert!(pod["containers"][0]["image"].as_str().unwrap().contains("@sha256:"), "{pod:#}");
    assert_eq!(job["spec"]["ttlSecondsAfterFinished"], 3600);
    ns.kubectl(&[
        "patch",
        "job",
        "orders-driver-2",
        "--type=merge",
        "-p",
        r#"{"spec":{"ttlSecondsAfterFinished":1}}"#,
    ]);
    until(20, "the ended Job goes by itself", || ns.get(&["job", "orders-driver-2"]).is_none().then_some(()));
    ns.msctl(&["delete", "--yes"]).dir(&dir).run().ok();
    let left = ns.get(&["sa,role,rolebinding,networkpolicy,job", "-l", "msctl.dev/driver-of", "-o", "name"]);
    assert_eq!(left.as_deref(), Some(""));
    println!("handed over after {took:?}");
}

#[test]
#[ignore = "needs the lab: tests/run"]
fn a_killed_driver_goes_on_and_an_abort_reaches_it() {
    let ns = Lab::get().namespace("detach-kill", true);
    let dir = ns.service("orders", TWO_STEPS);
    ns.msctl(&["deploy", "--yes", "--image", V1]).dir(&dir).run().ok();
    detach(&ns, &dir, &[]).run().ok();
    let before = paused(&ns, &dir)["holder"].clone();
    // Not a deletion, which ends it in good order: the process is killed where it is.
    kill_driver(&ns);
    let after = until(60, "another run of the driver has taken over", || {
        let now = status(&ns, &dir);
        (now["holder"].is_string() && now["holder"] != before).then_some(now)
    });
    assert_eq!(after["reason"], "awaits-promotion", "{after:#}");
    let begun = Instant::now();
    ns.msctl(&["rollout", "abort"]).dir(&dir).run().ok();
    assert!(begun.elapsed() < BY_WATCH, "no wait for the Lease: {:?}", begun.elapsed());
    let aborted = until(40, "aborted", || Some(status(&ns, &dir)).filter(|s| s["phase"] == "aborted"));
    assert_eq!(aborted["slots"]["live"]["revision"], 1, "{aborted:#}");
    // The end is told once, with its code; the restart that follows finds nothing to do. The kubelet may forget how the
    // run before ended once the pod is done, so that is looked for all the while.
    let mut refused = false;
    until(60, "the Job ends", || {
        let pods = ns.get(&["pods", "-l", "msctl.dev/driver-of=orders", "-o", "json"])?;
        let pods: Value = serde_json::from_str(&pods).unwrap();
        let status = &pods["items"][0]["status"]["containerStatuses"][0];
        refused |= ["state", "lastState"].iter().any(|s| status[s]["terminated"]["exitCode"] == 5);
        (status["state"]["terminated"]["exitCode"] == 0).then_some(())
    });
    assert!(refused, "a run of the driver ended with 5");
}

#[test]
#[ignore = "needs the lab: tests/run"]
fn what_cannot_be_detached_is_refused_before_the_first_write() {
    let ns = Lab::get().namespace("detach-no", true);
    let dir = ns.service("orders", TWO_STEPS);
    ns.msctl(&["deploy", "--yes", "--image", V1]).dir(&dir).run().ok();
    let version = || ns.field("configmap/orders-rollout", "{.metadata.resourceVersion}");
    let before = version();
    // No such image: its registry says so.
    let args = ["deploy", "--yes", "--image", V2, "--detach", "--driver-image"];
    let nowhere = ns.msctl(&[&args[..], &["localhost:5000/msctl-nowhere:1", "-o", "json"]].concat());
    let error = nowhere.dir(&dir).run().exits(1).json()["error"].clone();
    assert_eq!(error["reason"], "driver-image", "{error:#}");
    // A person who may deploy but not give rights.
    restricted(&ns);
    let refused = ns
        .msctl(&[&args[..], &[image()]].concat())
        .env("KUBECONFIG", ns.home.path().join("dev"))
        .dir(&dir)
        .run()
        .exits(1);
    for text in ["kind: Role\n", "leases", "rollout rbac orders"] {
        assert!(refused.stderr.contains(text), "{text}: {}", refused.stderr);
    }
    assert_eq!(version(), before, "nothing of the rollout was written");
    assert_eq!(status(&ns, &dir)["slots"]["live"]["revision"], 1);

    // Once an administrator has made them, Jobs are all that is needed.
    let yaml = ns.msctl(&["rollout", "rbac"]).dir(&dir).run().ok().stdout;
    ns.apply(&yaml);
    // An image by digest is believed here, and the cluster cannot pull it.
    let absent = format!("localhost:5000/msctl-nowhere@sha256:{}", "0".repeat(64));
    let dev = |reference: &str| {
        ns.msctl(&[&args[..], &[reference, "-o", "json"]].concat())
            .env("KUBECONFIG", ns.home.path().join("dev"))
    };
    let error = dev(&absent).dir(&dir).run().exits(1).json()["error"].clone();
    assert_eq!(error["reason"], "driver-not-started", "{error:#}");
    assert!(error["message"].as_str().unwrap().contains("msctl-nowhere"), "{error:#}");
    assert!(ns.get(&["job", "orders-driver-2"]).is_none(), "the Job that could not start is gone");
    assert_eq!(version(), before, "nothing of the rollout was written");

    dev(image()).dir(&dir).run().ok();
    paused(&ns, &dir);
    ns.msctl(&["rollout", "promote", "--full"]).dir(&dir).run().ok();
    until(40, "healthy", || (status(&ns, &dir)["phase"] == "healthy").then_some(()));
}

/// The process of the one driver's pod of this namespace, found by the pod's id in its control group.
fn kill_driver(ns: &Namespace) {
    let uid = ns.field("pods", "{.items[?(@.metadata.labels.msctl\\.dev/driver-of=='orders')].metadata.uid}");
    assert_eq!(uid.len(), 36, "one driver's pod: {uid:?}");
    let read = |path: PathBuf| std::fs::read_to_string(path).unwrap_or_default();
    let ours: Vec<String> = std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter(|p| {
            let group = read(p.path().join("cgroup"));
            let line = read(p.path().join("cmdline"));
            (group.contains(&uid) || group.contains(&uid.replace('-', "_")))
                && line.contains("\0drive\0orders\0")
        })
        .map(|p| p.file_name().into_string().unwrap())
        .collect();
    assert_eq!(ours.len(), 1, "one process of pod {uid}: {ours:?}");
    assert!(Command::new("kill").args(["-KILL", &ours[0]]).status().unwrap().success());
}

/// A kubeconfig `dev` of an account that may do what a deploy does, and Jobs, and nothing with rights.
fn restricted(ns: &Namespace) {
    let name = &ns.name;
    ns.apply(&format!(
        r#"
apiVersion: v1
kind: ServiceAccount
metadata: {{name: dev}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {{name: dev}}
rules:
- {{apiGroups: ["", apps, policy, networking.k8s.io, autoscaling, coordination.k8s.io, discovery.k8s.io, gateway.networking.k8s.io, batch], resources: ["*"], verbs: ["*"]}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {{name: dev}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: dev}}
subjects: [{{kind: ServiceAccount, name: dev, namespace: {name}}}]
"#
    ));
    let token = ns.kubectl(&["create", "token", "dev"]);
    let token = String::from_utf8(token.stdout).unwrap();
    let to = ns.home.path().join("dev");
    std::fs::copy(ns.kubeconfig(), &to).unwrap();
    let to = to.to_str().unwrap();
    let config = |args: &[&str]| {
        assert!(ns.lab.kubectl(&[&["--kubeconfig", to, "config"], args].concat()).status.success());
    };
    config(&["set-credentials", "dev", &format!("--token={}", token.trim())]);
    config(&["set-context", "lab", "--user=dev"]);
}

#[test]
#[ignore = "needs the lab: tests/run"]
fn a_protected_environment_wants_a_driver_that_stays() {
    let ns = Lab::get().namespace("guarded", true);
    let dir =
        ns.service("orders", "replicas: 1\nrollout: {strategy: canary, steps: [{weight: 50}, {pause: 11m}]}");
    ns.msctl(&["deploy", "--yes", "--image", V1]).dir(&dir).run().ok();
    let file = dir.join("msctl.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("context: lab,", "context: lab, protected: true,")).unwrap();
    let plan = ns.msctl(&["deploy", "--plan", "--image", V2]).dir(&dir).run().ok().stdout;
    assert!(plan.contains("--detach is recommended"), "{plan}");
    let refused = ns.msctl(&["deploy", "--yes=lab", "--image", V2, "-o", "json"]).dir(&dir).run().exits(2);
    let error = refused.json()["error"].clone();
    assert_eq!(error["reason"], "needs-a-driver", "{error:#}");
    let hint = error["hints"][0].as_str().unwrap();
    assert!(hint.contains("--detach") && hint.contains("--attended"), "{hint}");
    assert_eq!(status(&ns, &dir)["phase"], "healthy", "nothing began");
    let stays = ["deploy", "--yes=lab", "--image", V2, "--attended", "--until", "paused"];
    ns.msctl(&stays).dir(&dir).run().exits(6);
}
