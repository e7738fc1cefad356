//! The main job, as a person types it: from an empty folder to a canary and back, and a driver that dies on the way.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{Lab, Msctl, Namespace, V2, until};
use crate::load::Load;

/// The lines of a `kubectl get --watch`, each with the moment it came. Ended when dropped.
pub struct Watch {
    child: Child,
    lines: Arc<Mutex<Vec<(Instant, String)>>>,
}

impl Watch {
    pub fn new(ns: &Namespace, kind: &str, jsonpath: &str) -> Self {
        let mut kubectl = ns.lab.command("kubectl");
        kubectl.args([
            "-n",
            &ns.name,
            "get",
            kind,
            "--watch",
            "-o",
            &format!("jsonpath={jsonpath}{{\"\\n\"}}"),
        ]);
        let mut child = kubectl.stdout(Stdio::piped()).stdin(Stdio::null()).spawn().expect("kubectl starts");
        let out = BufReader::new(child.stdout.take().expect("piped"));
        let lines = Arc::<Mutex<Vec<_>>>::default();
        let to = lines.clone();
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                to.lock().unwrap().push((Instant::now(), line));
            }
        });
        Self { child, lines }
    }

    pub fn lines(&self) -> Vec<(Instant, String)> {
        self.lines.lock().unwrap().clone()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Available pods (green, blue) at each change of either Deployment, the same pair once in a row.
fn shapes(watch: &Watch, service: &str) -> Vec<(u32, u32)> {
    let mut shapes = vec![(0, 0)];
    for (_, line) in watch.lines() {
        let mut words = line.split(' ');
        let name = words.next().unwrap_or_default();
        let available = words.next().and_then(|n| n.parse().ok()).unwrap_or(0);
        let mut next = shapes[shapes.len() - 1];
        match name.strip_prefix(service) {
            Some("-green") => next.0 = available,
            Some("-blue") => next.1 = available,
            _ => continue,
        }
        if shapes.last() != Some(&next) {
            shapes.push(next);
        }
    }
    shapes
}

fn watch_slots(ns: &Namespace, service: &str) -> Watch {
    let watch = Watch::new(ns, "deployments", "{.metadata.name} {.status.availableReplicas}");
    until(10, "the watch begins", || shapes(&watch, service).contains(&(0, 3)).then_some(()));
    watch
}

/// Whether `wanted` appear in this order, other shapes in between.
fn pass(shapes: &[(u32, u32)], wanted: &[(u32, u32)]) -> bool {
    let mut left = wanted.iter().peekable();
    for shape in shapes {
        left.next_if(|w| *w == shape);
    }
    left.peek().is_none()
}

/// Images of the pods that are not going, sorted.
fn images(ns: &Namespace, service: &str) -> Vec<String> {
    let selector = format!("app.kubernetes.io/name={service}");
    let found = ns.get(&["pods", "-l", &selector, "-o", "json"]).expect("pods can be listed");
    let pods: Value = serde_json::from_str(&found).unwrap();
    let staying =
        pods["items"].as_array().unwrap().iter().filter(|p| p["metadata"]["deletionTimestamp"].is_null());
    let mut images: Vec<String> =
        staying.map(|p| p["spec"]["containers"][0]["image"].as_str().unwrap().to_owned()).collect();
    images.sort();
    images
}

fn greeting(ns: &Namespace) -> String {
    let out =
        ns.lab.command("curl").args(["-sS", "-m", "5", &format!("{}/", ns.url("orders"))]).output().unwrap();
    let body: Value = serde_json::from_slice(&out.stdout).unwrap_or_else(|e| panic!("{e}: {out:?}"));
    body["greeting"].as_str().unwrap().to_owned()
}

fn edit(path: &Path, from: &str, to: &str) {
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "{text}");
    std::fs::write(path, text.replace(from, to)).unwrap();
}

#[test]
#[ignore = "needs the lab: tests/run"]
fn from_nothing_to_a_canary_and_back() {
    let ns = Lab::get().namespace("main-job", true);
    let registry = format!("registry=localhost:5000/{}", ns.name);
    ns.msctl(&["new", "orders", "--template", "go", "--defaults", "--set", &registry]).run().ok();
    let dir = ns.home.path().join("orders");
    let here = ["-e", "lab", "-n", &ns.name];
    let typed = |words: &str| -> Msctl {
        let args: Vec<&str> = words.split(' ').chain(here).collect();
        ns.msctl(&args).dir(&dir).limit(Duration::from_secs(600))
    };

    // the first build on a fresh machine compiles Go's standard library, beside other tests
    let built = ns.msctl(&["build", "--push", "-o", "json"]).dir(&dir).limit(Duration::from_secs(900)).run();
    let built = built.ok().json()["images"][0].clone();
    let first = built["pinned"].as_str().unwrap().to_owned();
    assert!(first.starts_with(&format!("localhost:5000/{}/orders@sha256:", ns.name)), "{built:#}");
    let deployed = typed("deploy").run().ok();
    assert!(deployed.stdout.contains("orders: revision 1 is healthy"), "{}", deployed.stdout);
    assert!(!deployed.stderr.contains("build orders"), "built again: {}", deployed.stderr);
    assert_eq!(images(&ns, "orders"), [first.as_str(); 3]);
    let digest = first.split('@').nth(1).unwrap();
    let running = ns.field("pods", "{.items[*].status.containerStatuses[0].imageID}");
    assert_eq!(running.matches(digest).count(), 3, "{running}");
    assert_eq!(greeting(&ns), "Hello");
    let unchanged = typed("deploy").run().ok();
    assert!(unchanged.stdout.contains("nothing changed; revision 1 is live"), "{}", unchanged.stdout);

    edit(
        &dir.join("internal/app/greeting.go"),
        "Greeting: a.cfg.Greeting",
        "Greeting: a.cfg.Greeting + \" again\"",
    );
    let watch = watch_slots(&ns, "orders");
    let load = Load::new(&ns.url("orders")).seconds(300).start();
    let canary = typed("deploy --canary --steps 34,100").run().ok();
    assert!(canary.stdout.contains("orders: revision 2 is healthy"), "{}", canary.stdout);
    let seen = shapes(&watch, "orders");
    assert!(pass(&seen, &[(0, 3), (1, 3), (1, 2), (3, 0)]), "{seen:?}");
    let begun = seen.iter().position(|s| *s == (0, 3)).unwrap();
    assert!(seen[begun..].iter().all(|(green, blue)| (3..=4).contains(&(green + blue))), "{seen:?}");
    assert_eq!(greeting(&ns), "Hello again");
    let second = images(&ns, "orders");
    assert!(second.len() == 3 && second.iter().all(|i| *i == second[0] && *i != first), "{second:?}");

    let undone = typed("rollout undo").run().ok();
    assert!(undone.stdout.contains("revision 1 serves"), "{}", undone.stdout);
    load.stop().none_failed();
    assert_eq!(images(&ns, "orders"), [first.as_str(); 3]);
    assert_eq!(greeting(&ns), "Hello");
    let history = typed("rollout history -o json").run().ok().json();
    let deploys: Vec<_> =
        history["deploys"].as_array().unwrap().iter().map(|d| d["revision"].clone()).collect();
    assert_eq!((deploys, &history["live"]), (vec![1.into(), 2.into(), 1.into()], &1.into()), "{history:#}");
}

/// What is left of a rollout, without names, times and who drove it.
fn outcome(ns: &Namespace, service: &str, dir: &PathBuf) -> Value {
    let mut status = ns.msctl(&["status", "-o", "json"]).dir(dir).run().ok().json();
    for key in ["service", "since", "holder"] {
        status[key] = Value::Null;
    }
    let history = ns.msctl(&["rollout", "history", "-o", "json"]).dir(dir).run().ok().json();
    let results: Vec<_> = history["deploys"]
        .as_array()
        .unwrap()
        .iter()
        .map(|d| (d["revision"].clone(), d["result"].clone()))
        .collect();
    let replicas = |slot: &str| ns.field(&format!("deploy/{service}-{slot}"), "{.spec.replicas}");
    let slot = ns.field(&format!("service/{service}"), "{.spec.selector.msctl\\.dev/slot}");
    serde_json::json!({
        "status": status, "deploys": results, "live": history["live"], "serves": slot,
        "blue": replicas("blue"), "green": replicas("green"), "images": images(ns, service),
    })
}

#[test]
#[ignore = "needs the lab: tests/run"]
fn a_killed_driver_leaves_a_rollout_that_another_ends() {
    let ns = Lab::get().namespace("killed", true);
    let (killed, whole) = (ns.service("killed", "replicas: 3"), ns.service("whole", "replicas: 3"));
    for dir in [&killed, &whole] {
        ns.msctl(&["deploy"]).dir(dir).run().ok();
    }
    let canary = ["deploy", "--image", V2, "--canary", "--steps", "34", "--pause", "20s"];
    let uninterrupted = ns.msctl(&canary).dir(&whole).spawn();
    let driver = ns.msctl(&canary).dir(&killed).spawn();
    driver.says("pause 20s", 60);
    let load = Load::new(&ns.url("killed")).seconds(200).start();
    driver.signal("KILL");
    assert_eq!(driver.wait().status.code(), None);

    // Nobody drives it, and nothing moves: past the pause, past the Lease.
    let status = || ns.msctl(&["rollout", "status", "-o", "json"]).dir(&killed).run().json();
    let undriven = until(20, "status says that nobody drives", || {
        Some(status()).filter(|s| s["undrivenSince"].is_string())
    });
    assert_eq!(
        (&undriven["reason"], &undriven["weight"]["desired"]),
        (&"timed-pause".into(), &34.into()),
        "{undriven:#}"
    );
    let said = ns.msctl(&["status"]).dir(&killed).run().stdout;
    assert!(said.contains("undriven since") && said.contains("msctl rollout attach"), "{said}");
    sleep(Duration::from_secs(22));
    let slots = status()["slots"].clone();
    let count = |role: &str| slots[role]["available"].as_u64();
    assert_eq!((count("live"), count("candidate")), (Some(2), Some(1)), "{slots:#}");

    let attached = ns.msctl(&["rollout", "attach"]).dir(&killed).run().ok();
    assert!(attached.took < Duration::from_secs(60), "{:?}", attached.took);
    let answers = load.stop().none_failed();
    assert!(answers.versions.contains_key("v1") && answers.versions.contains_key("v2"), "{answers:?}");
    uninterrupted.wait().ok();
    assert_eq!(outcome(&ns, "killed", &killed), outcome(&ns, "whole", &whole));
}
