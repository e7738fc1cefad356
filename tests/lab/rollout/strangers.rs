//! What others do to a rollout under way: objects deleted, pointers set back, rights and credentials taken away, the
//! namespace gone.

use std::time::{Duration, Instant};

use hyper::Method;
use serde_json::{Value, json};

use super::cuts::{BLUE_GREEN, CANARY};
use super::{Bench, Snapshot};
use crate::harness::until;
use crate::wire::{self, Fault, Wire};

const WAITING: &str =
    "replicas: 3\nrollout: {strategy: canary, surge: 1, steps: [{weight: 34}, {pause: 5s}]}";

/// Patches as another manager would.
fn patch(bench: &Bench, manager: &str, object: &str, body: &Value) {
    let (kind, text) = (object.split_once('/').unwrap(), body.to_string());
    let manager = format!("--field-manager={manager}");
    let out = bench.ns.kubectl(&["patch", kind.0, kind.1, "--type=merge", &manager, "-p", &text]);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
}

fn public(bench: &Bench) -> Vec<String> {
    let path = format!(
        "/apis/discovery.k8s.io/v1/namespaces/{}/endpointslices?labelSelector=kubernetes.io%2Fservice-name%3Dorders",
        bench.ns.name
    );
    let slices = wire::ask(Method::GET, &path, None);
    let slices = slices["items"].as_array().cloned().unwrap_or_default();
    let ends = slices.iter().flat_map(|s| s["endpoints"].as_array().cloned().unwrap_or_default());
    ends.filter_map(|e| e["targetRef"]["name"].as_str().map(str::to_owned)).collect()
}

#[test]
#[ignore = "needs the lab: tests/run"]
fn a_state_deleted_by_hand_is_written_again_by_its_driver_and_lost_without_one() {
    let bench = Bench::simulated("state-lost");
    bench.deployed(WAITING, &[], 0);
    let wire = Wire::new(&bench.ns);
    let driver = bench.deploy(WAITING, &wire, &[]);
    driver.says("pause 5s", 60);
    assert!(bench.ns.kubectl(&["delete", "configmap", "orders-rollout"]).status.success());
    driver.wait().ok();
    let ended = Snapshot::settled(&bench.ns.name);
    assert_eq!(ended.state()["deploys"].as_array().map(Vec::len), Some(2), "{:#}", ended.state());
    assert_eq!(ended.0["public"], json!({"green": 3}));

    assert!(bench.ns.kubectl(&["delete", "configmap", "orders-rollout"]).status.success());
    let before = Snapshot::settled(&bench.ns.name);
    let lost = bench.deployed(WAITING, &["-o", "json"], 1).json();
    assert_eq!(lost["error"]["reason"], "state-lost", "{lost}");
    let mut after = Snapshot::settled(&bench.ns.name);
    after.0.insert("Lease/orders-rollout".into(), before.0["Lease/orders-rollout"].clone());
    assert_eq!(before, after, "{}", before.differences(&after));
}

#[test]
#[ignore = "needs the lab: tests/run"]
fn a_namespace_deleted_under_way_ends_it_at_once() {
    let bench = Bench::simulated("ns-gone");
    bench.deployed(WAITING, &[], 0);
    let config = WAITING.replace("5s", "100s");
    let wire = Wire::new(&bench.ns);
    let driver = bench.deploy(&config, &wire, &["-o", "json"]);
    driver.says("pause 1m40s", 60);
    let begun = Instant::now();
    bench.ns.lab.kubectl(&["delete", "namespace", &bench.ns.name, "--wait=false"]);
    let run = driver.wait().exits(1);
    assert_eq!(run.json()["error"]["reason"], "terminating", "{}", run.stdout);
    assert!(begun.elapsed() < Duration::from_secs(20), "after {:?}", begun.elapsed());
}

/// Credentials that expire and rights that are taken away in the middle: the cause is told with what is half-done, and
/// who has them finishes.
#[test]
#[ignore = "needs the lab: tests/run"]
fn lost_credentials_and_rights_are_told_and_another_finishes() {
    let bench = Bench::simulated("rights");
    bench.deployed(CANARY, &[], 0);
    for (code, reason) in [(401, "unauthorized"), (403, "forbidden")] {
        let wire = Wire::new(&bench.ns).plan(move |asked| {
            let hit = asked.line.contains("/deployments/") && asked.line.starts_with("PATCH");
            (asked.write > 9 && (code == 401 || hit)).then_some(Fault::Status(code))
        });
        let run = bench.deploy(CANARY, &wire, &["-o", "json"]).wait().exits(1);
        let error = run.json()["error"].clone();
        assert_eq!(error["reason"], reason, "{error}");
        assert!(error["hints"].to_string().contains("rollout attach"), "what is half-done: {error}");
        bench.again(&["rollout", "attach"]).run().ok();
        assert_eq!(bench.status()["phase"], "healthy");
    }
    let ended = Snapshot::settled(&bench.ns.name);
    assert_eq!(ended.0["public"], json!({"blue": 4}), "two canaries later");
}

/// The API server says nothing for half a minute, and the rollout goes on after.
#[test]
#[ignore = "needs the lab: tests/run"]
fn half_a_minute_of_silence_is_waited_out() {
    let bench = Bench::simulated("silence");
    bench.deployed(CANARY, &[], 0);
    let mut since: Option<Instant> = None;
    let wire = Wire::new(&bench.ns).plan(move |asked| {
        if asked.write == 12 {
            since.get_or_insert_with(Instant::now);
        }
        let left = Duration::from_secs(30).saturating_sub(since?.elapsed());
        (!left.is_zero()).then_some(Fault::Silent(left))
    });
    let run = bench.deploy(CANARY, &wire, &[]).wait().ok();
    assert!(run.took > Duration::from_secs(30) && run.took < Duration::from_secs(90), "{:?}", run.took);
    assert!(wire.injected()["Silent"] > 1, "{:?}", wire.injected());
    let ended = Snapshot::settled(&bench.ns.name);
    assert_eq!(ended.0["public"], json!({"green": 4}));
}

/// Scenario 34: something sets the public Service back to the old slot just before its drain.
#[test]
#[ignore = "needs the lab: tests/run"]
fn a_selector_set_back_before_the_drain_keeps_the_old_pods_and_names_who_did_it() {
    let bench = Bench::simulated("reset");
    let config = BLUE_GREEN.replace("0s", "7s");
    bench.deployed(&config, &[], 0);
    let wire = Wire::new(&bench.ns);
    let driver = bench.deploy(&config, &wire, &[]);
    driver.says("is healthy: revision 2", 60);
    patch(
        &bench,
        "argocd-controller",
        "svc/orders",
        &json!({"spec": {"selector": {"msctl.dev/slot": "blue"}}}),
    );
    let run = driver.wait();
    let status = bench.status();
    let told = format!("{} {status}", run.stderr);
    assert!(told.contains("argocd-controller"), "{told}");
    assert_eq!((&status["phase"], &status["reason"]), (&"paused".into(), &"contested".into()), "{status}");
    assert_eq!(bench.ns.field("deploy/orders-blue", "{.spec.replicas}"), "2", "the old slot serves");
    assert_eq!(public(&bench).len(), 2);
    // Told to, it points it back, and drains.
    bench.again(&["rollout", "resume"]).run().ok();
    bench.again(&["rollout", "attach", "--once"]).run();
    until(20, "the old slot is drained", || {
        bench.again(&["rollout", "attach", "--once"]).run();
        (bench.ns.field("deploy/orders-blue", "{.spec.replicas}") == "0").then_some(())
    });
    assert_eq!(bench.ns.field("svc/orders", "{.spec.selector.msctl\\.dev/slot}"), "green");
}

/// Scenario 32: the old pods of a blue-green wait an hour; a canary right after must not let them serve.
#[test]
#[ignore = "needs the lab: tests/run"]
fn a_canary_right_after_a_long_delay_lets_no_old_pod_serve() {
    let bench = Bench::simulated("delay");
    let config = BLUE_GREEN.replace("0s", "1h");
    bench.deployed(&config, &[], 0);
    bench.deployed(&config, &[], 0);
    let old: Vec<String> = bench
        .ns
        .get(&["pods", "-l", "msctl.dev/revision=1", "-o", "jsonpath={.items[*].metadata.name}"])
        .unwrap()
        .split(' ')
        .map(str::to_owned)
        .collect();
    assert_eq!(old.len(), 2, "kept for an hour");
    let wire = Wire::new(&bench.ns);
    let driver = bench.deploy(
        "replicas: 2\nrollout: {strategy: canary, surge: 1, steps: [{weight: 50}, {pause: 2s}]}",
        &wire,
        &[],
    );
    let mut looks = 0;
    while !driver.stderr().contains("is healthy: revision 3") {
        let serving = public(&bench);
        assert!(!old.iter().any(|pod| serving.contains(pod)), "{old:?} in {serving:?}");
        looks += 1;
        assert!(looks < 6000, "{}", driver.stderr());
        std::thread::sleep(Duration::from_millis(10));
    }
    driver.wait().ok();
    assert!(looks > 20, "{looks}");
}

/// Scenario 33: a candidate that was aborted and is kept for ever serves nobody.
#[test]
#[ignore = "needs the lab: tests/run"]
fn a_kept_candidate_is_in_no_public_endpoint() {
    let bench = Bench::simulated("kept");
    let config = "replicas: 3\nrollout: {strategy: canary, surge: 1, abortDelay: 0s, steps: [{weight: 34}, {pause: {}}]}";
    bench.deployed(config, &[], 0);
    bench.deployed(config, &[], 6);
    bench.again(&["rollout", "abort"]).run().ok();
    let ended = Snapshot::settled(&bench.ns.name);
    assert_eq!(ended.0["public"], json!({"blue": 3}));
    assert_eq!(ended.0["pods"], json!({"blue r1": 3, "green r2": 1}));
    bench.again(&["rollout", "attach", "--once"]).run();
    let later = Snapshot::settled(&bench.ns.name);
    assert_eq!(ended.0["pods"], later.0["pods"], "kept for ever");
}

/// Scenario 31, by commands.
#[test]
#[ignore = "needs the lab: tests/run"]
fn undo_goes_to_what_was_live_before_as_recorded() {
    let bench = Bench::simulated("undo");
    let config = "replicas: 2\nrollout: {surge: 1, abortDelay: 1s, steps: [{weight: 50}]}";
    bench.deployed(config, &[], 0);
    bench.deployed(config, &["--canary"], 0);
    bench.deployed(config, &["--rolling"], 0);
    bench.again(&["rollout", "undo"]).run().ok();
    let live = || bench.status()["slots"]["live"]["revision"].clone();
    assert_eq!(live(), 2);
    let paused = "replicas: 2\nrollout: {surge: 1, abortDelay: 1s, strategy: canary, steps: [{weight: 50}, {pause: {}}]}";
    bench.deployed(paused, &[], 6);
    bench.again(&["rollout", "abort"]).run().ok();
    assert_eq!(live(), 2);
    bench.again(&["rollout", "undo"]).run().ok();
    assert_eq!(live(), 3, "what was live before 2, not the refused 4");
}

/// Someone scales both slots while the driver waits: the driver's numbers come back.
#[test]
#[ignore = "needs the lab: tests/run"]
fn slots_scaled_by_hand_get_their_numbers_back() {
    let bench = Bench::simulated("scaled");
    let config = WAITING.replace("5s", "10s");
    bench.deployed(&config, &[], 0);
    let wire = Wire::new(&bench.ns);
    let driver = bench.deploy(&config, &wire, &[]);
    driver.says("pause 10s", 60);
    for (slot, was) in [("deploy/orders-green", "1"), ("deploy/orders-blue", "2")] {
        assert_eq!(bench.ns.field(slot, "{.spec.replicas}"), was);
        assert!(bench.ns.kubectl(&["scale", slot, "--replicas=5"]).status.success());
        until(9, "the number comes back", || (bench.ns.field(slot, "{.spec.replicas}") == was).then_some(()));
    }
    driver.wait().ok();
}

/// Who asked and lost contact is told that nobody knows; the driver, which has contact, obeys.
#[test]
#[ignore = "needs the lab: tests/run"]
fn a_verb_whose_asker_loses_contact_has_an_unknown_outcome_and_is_obeyed() {
    let bench = Bench::simulated("unheard");
    bench.deployed(WAITING, &[], 0);
    let wire = Wire::new(&bench.ns);
    let driver = bench.deploy(&WAITING.replace("5s", "100s"), &wire, &[]);
    driver.says("pause 1m40s", 60);
    let mut wrote = false;
    let lost = Wire::new(&bench.ns).plan(move |asked| match (wrote, asked.write) {
        (true, _) => Some(Fault::Broken),
        (false, 0) => None,
        (false, _) => {
            wrote = true;
            Some(Fault::Unheard)
        }
    });
    let abort = bench.again(&["rollout", "abort", "-o", "json"]);
    let run = abort.env("KUBECONFIG", &lost.kubeconfig).run().exits(75);
    let error = &run.json()["error"];
    assert_eq!(error["reason"], "contact-lost", "{error}");
    assert!(error["hints"].to_string().contains("rollout status"), "{error}");
    let driver = driver.wait().exits(5);
    assert!(driver.stderr.contains("abort by"), "{}", driver.stderr);
}
