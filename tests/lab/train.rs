//! Several services that take over together: all at the barrier before any switches, all back when one is refused.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::harness::{Lab, Namespace, V1, V2, until};
use crate::load::Load;

const NAMES: [&str; 3] = ["users", "orders", "web"];

/// A workspace of three, each after the one before it; all live with version 1.
fn workspace(ns: &Namespace, steps: &str) -> PathBuf {
    for (at, name) in NAMES.iter().enumerate() {
        let needs = if at == 0 { String::new() } else { format!("dependsOn: [{}]\n", NAMES[at - 1]) };
        let rollout = format!(
            "replicas: 2\nrollout: {{strategy: canary, scaleDownDelay: 20s, abortDelay: 1s, steps: {steps}}}\n"
        );
        ns.service(name, &(needs + &rollout));
    }
    let root = ns.home.path().to_owned();
    let text = "apiVersion: msctl.dev/v1\nworkspace: [users, orders, web]\n";
    std::fs::write(root.join("msctl.yaml"), text).unwrap();
    ns.msctl(&["deploy", "--yes"]).dir(&root).run().ok();
    root
}

fn change(root: &Path, name: &str, from: &str, to: &str) {
    let file = root.join(name).join("msctl.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains(from), "{text}");
    std::fs::write(&file, text.replace(from, to)).unwrap();
}

fn status(ns: &Namespace, root: &Path, name: &str) -> Value {
    ns.msctl(&["rollout", "status", name, "-o", "json"]).dir(root).run().json()
}

fn live(ns: &Namespace, root: &Path) -> Vec<Option<u64>> {
    NAMES.iter().map(|n| status(ns, root, n)["slots"]["live"]["revision"].as_u64()).collect()
}

#[test]
#[ignore = "needs the lab: tests/run"]
fn a_refused_car_takes_the_train_back_in_reverse() {
    let ns = Lab::get().namespace("train-refused", true);
    let root = workspace(&ns, "[{weight: 50}, {weight: 100}]");
    for name in NAMES {
        change(&root, name, V1, V2);
    }
    change(&root, "web", "replicas: 2", "config: {FAIL: crash}\nreplicas: 2");
    let loads: Vec<_> =
        ["users", "orders"].map(|n| Load::new(&ns.url(n)).rate(20).start()).into_iter().collect();
    let run = ns.msctl(&["deploy", "--yes", "--train", "-o", "ndjson"]).dir(&root).run().exits(5);
    let events: Vec<Value> = run.stdout.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let of = |kind: &str| -> Vec<&str> {
        events.iter().filter(|e| e["type"] == kind).filter_map(|e| e["car"].as_str()).collect()
    };
    assert_eq!(of("at-barrier"), ["users", "orders"]);
    assert_eq!(of("takes-back"), ["orders", "users"], "in reverse order");
    assert!(!of("healthy").contains(&"users"), "nobody took over: {}", run.stdout);
    let error = &events.last().unwrap()["error"];
    assert_eq!(error["reason"], "train-refused", "{error:#}");
    assert!(error["message"].as_str().unwrap().contains("web"), "{error:#}");
    assert_eq!(live(&ns, &root), [Some(1), Some(1), Some(1)]);
    loads.into_iter().for_each(|load| {
        load.stop().none_failed();
    });
}

#[test]
#[ignore = "needs the lab: tests/run"]
fn a_train_whose_conductor_was_killed_waits_and_goes_on() {
    let ns = Lab::get().namespace("train", true);
    let root = workspace(&ns, "[{weight: 50}, {weight: 100}]");
    for name in NAMES {
        change(&root, name, V1, V2);
    }
    // The last one pauses before its barrier, so the others wait at theirs, for as long as a busy machine may take.
    change(&root, "web", "{weight: 50},", "{weight: 50}, {pause: 30s},");
    let load = Load::new(&ns.url("users")).rate(20).start();
    let first = ns.msctl(&["deploy", "--yes", "--train"]).dir(&root).spawn();
    let barrier = |name: &str| (status(&ns, &root, name)["reason"] == "awaits-train").then_some(());
    until(60, "two are at the barrier", || barrier("users").and(barrier("orders")));
    until(30, "the third has begun", || (status(&ns, &root, "web")["phase"] == "paused").then_some(()));
    first.signal("KILL");
    drop(first);
    std::thread::sleep(Duration::from_secs(1));
    let waiting = status(&ns, &root, "users");
    assert_eq!(
        (waiting["phase"].as_str(), waiting["reason"].as_str()),
        (Some("paused"), Some("awaits-train"))
    );
    assert!(waiting["undrivenSince"].is_string(), "{waiting:#}");
    // Alone it does not go: the others are not there.
    let refused = ns.msctl(&["rollout", "promote", "users", "-o", "json"]).dir(&root).run().exits(1);
    assert_eq!(refused.json()["error"]["reason"], "awaits-train");

    let run = ns.msctl(&["deploy", "--yes", "--train", "-o", "json"]).dir(&root).run().ok();
    let services = run.json()["services"].clone();
    assert_eq!(services.as_array().unwrap().len(), 3, "{services:#}");
    assert!(services.as_array().unwrap().iter().all(|s| s["ended"] == "healthy"), "{services:#}");
    assert_eq!(live(&ns, &root), [Some(2), Some(2), Some(2)]);
    load.stop().none_failed();
    let again = ns.msctl(&["deploy", "--yes", "--train", "-o", "json"]).dir(&root).run().ok();
    assert_eq!(again.json()["services"][2]["ended"], "unchanged", "{}", again.stdout);
}

#[test]
#[ignore = "needs the lab: tests/run"]
fn a_train_of_two_environments_takes_over_and_goes_back_in_both() {
    let (ns, other) = (Lab::get().namespace("train-lab", true), Lab::get().namespace("train-other", true));
    let root = ns.home.path().to_owned();
    for (name, needs) in [("users", ""), ("orders", "users")] {
        let rollout =
            "{strategy: canary, scaleDownDelay: 1s, abortDelay: 1s, steps: [{weight: 50}, {weight: 100}]}";
        let dir = ns.service(name, &format!("replicas: 2\ndependsOn: [{needs}]\nrollout: {rollout}"));
        let file = dir.join("msctl.yaml");
        let text = std::fs::read_to_string(&file).unwrap();
        let place = format!("environments:\n  other: {{context: lab, namespace: {}}}\n", other.name);
        std::fs::write(&file, text.replace("environments:\n", &place)).unwrap();
    }
    std::fs::write(root.join("msctl.yaml"), "workspace: [users, orders]\n").unwrap();
    let deploy = |more: &[&str]| {
        ns.msctl(&[&["deploy", "--yes", "--envs", "lab,other"], more].concat()).dir(&root).run()
    };
    let live = || {
        let of = |ns: &Namespace, name: &str| {
            ns.field(&format!("service/{name}"), "{.spec.selector.msctl\\.dev/slot}")
        };
        [of(&ns, "users"), of(&ns, "orders"), of(&other, "users"), of(&other, "orders")]
    };
    let first = deploy(&[]).ok();
    for place in [&ns.name, &other.name] {
        assert!(first.stdout.contains(&format!("namespace {place})")), "where is told: {}", first.stdout);
    }
    assert_eq!(live(), ["blue"; 4]);
    ["users", "orders"].iter().for_each(|name| change(&root, name, V1, V2));
    let loads: Vec<_> = [&ns, &other].map(|ns| Load::new(&ns.url("users")).rate(20).start()).into();
    let run = deploy(&["--train", "-o", "ndjson"]).ok();
    let events =
        |text: &str| -> Vec<Value> { text.lines().map(|l| serde_json::from_str(l).unwrap()).collect() };
    let told = events(&run.stdout);
    let last = told.iter().rposition(|e| e["type"] == "at-barrier").unwrap();
    let began = told.iter().position(|e| e["type"] == "healthy").unwrap();
    assert!(last < began, "all are at the barrier before one is healthy: {}", run.stdout);
    assert_eq!(live(), ["green"; 4]);
    let services = told.last().unwrap()["result"]["services"].clone();
    let places: Vec<&str> = services.as_array().unwrap().iter().filter_map(|s| s["place"].as_str()).collect();
    assert!(places[0].contains(&ns.name) && places[3].contains(&other.name), "{places:?}");

    // What is refused in one environment goes back in both.
    ["users", "orders"].iter().for_each(|name| change(&root, name, V2, V1));
    change(
        &root,
        "orders",
        &format!("namespace: {}}}", other.name),
        &format!("namespace: {}, config: {{FAIL: crash}}}}", other.name),
    );
    let run = deploy(&["--train", "-o", "ndjson"]).exits(5);
    let back = events(&run.stdout);
    let mut back: Vec<&str> =
        back.iter().filter(|e| e["type"] == "takes-back").filter_map(|e| e["car"].as_str()).collect();
    back.dedup();
    assert_eq!(back, ["users (other)", "orders (lab)", "users (lab)"], "in reverse order: {}", run.stdout);
    assert_eq!(live(), ["green"; 4]);
    loads.into_iter().for_each(|load| {
        load.stop().none_failed();
    });
}

/// The most memory the process has had so far, in MiB.
fn peak(pid: u32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find(|l| l.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? / 1024)
}

#[test]
#[ignore = "needs the lab: tests/run"]
fn one_process_drives_a_hundred_services() {
    const SERVICES: usize = 100;
    let ns = Lab::get().simulated("hundred");
    let root = ns.home.path().to_owned();
    let names: Vec<String> = (0..SERVICES).map(|n| format!("s{n:02}")).collect();
    for name in &names {
        ns.service(name, "rollout: {strategy: canary, scaleDownDelay: 1h, steps: [{weight: 100}]}");
    }
    let text = format!("apiVersion: msctl.dev/v1\nworkspace: [{}]\n", names.join(", "));
    std::fs::write(root.join("msctl.yaml"), text).unwrap();
    for (version, barrier) in [(1, 0), (2, SERVICES)] {
        if version == 2 {
            names.iter().for_each(|name| change(&root, name, V1, V2));
        }
        let run = ns.msctl(&["deploy", "--yes", "--train", "-o", "ndjson"]).dir(&root).spawn();
        let pid = run.id();
        let watching = std::thread::spawn(move || {
            let mut most = 0;
            while let Some(now) = peak(pid) {
                most = most.max(now);
                std::thread::sleep(Duration::from_millis(50));
            }
            most
        });
        let run = run.wait().ok();
        let most = watching.join().unwrap();
        let events: Vec<Value> = run.stdout.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        let result = events.iter().find(|e| e["type"] == "result").expect("a result");
        let services = result["result"]["services"].as_array().unwrap();
        assert!(services.len() == SERVICES && services.iter().all(|s| s["ended"] == "healthy"));
        let began = events.iter().position(|e| e["type"] == "healthy").unwrap();
        let together = events[..began].iter().filter(|e| e["type"] == "rollout-started").count();
        assert_eq!(events.iter().filter(|e| e["type"] == "at-barrier").count(), barrier);
        println!(
            "version {version}: {SERVICES} services in {:.1} s, {together} begun before the first was healthy, {most} MiB",
            run.took.as_secs_f64()
        );
        assert!(version == 1 || together == SERVICES, "{together} at once");
        assert!(most < 256, "{most} MiB for {SERVICES} services");
    }
}
