//! Two drivers and one rollout: at once, one after the other's death, and one that sleeps through its own take-over.

use std::time::{Duration, Instant};

use super::cuts::{self, at_every_write};
use super::{Bench, Case, Snapshot};
use crate::harness::{BY_WATCH, Running};
use crate::wire::{Fault, Wire};

const DEPLOY: (&[&str], i32) = (&["deploy"], 0);
/// Long enough in its pause for others to act.
const WAITING: &str =
    "replicas: 3\nrollout: {strategy: canary, surge: 1, steps: [{weight: 34}, {pause: 30s}]}";

/// The driver is frozen with one write under way, another takes over and finishes, and only then the write arrives.
fn stale(bench: &Bench, case: &Case, cut: usize, writes: &[String], wanted: &Snapshot) -> Result<(), String> {
    if cut == 0 {
        return Ok(());
    }
    bench.prepare(case);
    let wire = Wire::new(&bench.ns).plan(move |asked| (asked.write == cut).then_some(Fault::Freeze));
    let act = bench.command(case, case.act.0).env("KUBECONFIG", &wire.kubeconfig).spawn();
    wire.driver(act.id());
    if !wire.frozen(60) {
        let run = act.wait();
        // A run on a slower machine renews its Lease more often: this one had no such write.
        let others = |writes: &[String]| writes.iter().filter(|w| !w.contains("/leases/")).count();
        let made = wire.writes();
        let fewer = made.len() < cut && others(&made) == others(writes);
        let whole = fewer && run.status.code() == Some(case.act.1);
        return match whole && Snapshot::settled(&bench.ns.name) == *wanted {
            true => Ok(()),
            false => Err(format!("never came to write {cut}: {:?}\n{}", run.status, run.stderr)),
        };
    }
    // So that nobody waits for the expiry, which another test does.
    bench.ns.kubectl(&["delete", "lease", "orders-rollout"]);
    let attach = bench.again(&["rollout", "attach"]).run();
    let before = Snapshot::settled(&bench.ns.name);
    wire.thaw();
    let act = act.wait();
    let after = Snapshot::settled(&bench.ns.name);
    // Before the state is written down, nothing has begun, and what is made is inert: a template, configuration.
    let saved = writes.iter().position(|w| w.ends_with("/configmaps/orders-rollout")).unwrap_or(0);
    let code = act.status.code();
    if cut - 1 <= saved {
        let begun = before.state()["deploys"] != after.state()["deploys"];
        // Who had not taken the Lease yet comes second, not late.
        let second = cut == 1 && code == Some(0) && after == *wanted;
        return match code == Some(4) && !begun || second {
            true => Ok(()),
            false => Err(format!("exit {code:?}\n{}\n{}", act.stderr, before.differences(&after))),
        };
    }
    if attach.status.code() != Some(case.attach) || before != *wanted {
        return Err(format!(
            "attach: {:?}\n{}\n{}",
            attach.status,
            attach.stderr,
            wanted.differences(&before)
        ));
    }
    // After the rollout's end there is only the tail, which whoever comes next does as well.
    let over = act.stderr.contains("is healthy") && code == Some(case.act.1);
    match before == after && (code == Some(4) || over) {
        true => Ok(()),
        false => Err(format!("exit {code:?}\n{}\n{}", act.stderr, before.differences(&after))),
    }
}

#[test]
#[ignore = "needs the lab: tests/run"]
fn no_write_of_a_canary_arrives_after_the_take_over() {
    let case = Case { name: "stale-canary", config: cuts::CANARY, before: &[DEPLOY], act: DEPLOY, attach: 0 };
    at_every_write(&case, stale);
}

#[test]
#[ignore = "needs the lab: tests/run"]
fn no_write_of_a_rolling_update_arrives_after_the_take_over() {
    let config = "replicas: 2\nrollout: {history: 1}";
    let case = Case { name: "stale-rolling", config, before: &[DEPLOY, DEPLOY], act: DEPLOY, attach: 0 };
    at_every_write(&case, stale);
}

fn holder(bench: &Bench) -> String {
    bench.ns.field("lease/orders-rollout", "{.spec.holderIdentity}")
}

/// A canary that waits in its pause.
fn waiting(bench: &Bench, wire: &Wire) -> Running {
    bench.deployed(WAITING, &[], 0);
    let driver = bench.deploy(WAITING, wire, &[]);
    driver.says("pause 30s", 60);
    driver
}

/// Scenario 27.
#[test]
#[ignore = "needs the lab: tests/run"]
fn of_two_at_once_one_is_refused_and_told_by_whom() {
    let bench = Bench::simulated("rivals");
    bench.deployed("replicas: 2", &[], 0);
    bench.write(cuts::CANARY, 2);
    let both = [0, 1].map(|_| bench.again(&["deploy", "-o", "json"]).spawn());
    let names = both.each_ref().map(|r| format!(":{}:", r.id()));
    let runs = both.map(Running::wait);
    let codes = runs.each_ref().map(|r| r.status.code().unwrap_or(-1));
    let loser = codes.iter().position(|c| *c == 4).unwrap_or_else(|| panic!("{codes:?}"));
    assert_eq!(codes[1 - loser], 0, "{}", runs[1 - loser].stderr);
    let error = &runs[loser].json()["error"];
    assert_eq!(error["reason"], "held", "{error}");
    let message = error["message"].as_str().unwrap();
    assert!(message.contains(&names[1 - loser]) && message.contains("drives the rollout"), "{message}");
}

/// Scenario 27, with drivers on two machines: the Lease of the dead one has to expire.
#[test]
#[ignore = "needs the lab: tests/run"]
fn a_killed_holder_is_followed_from_another_machine_once_its_lease_expires() {
    let bench = Bench::simulated("rivals-killed");
    let wire = Wire::new(&bench.ns);
    let driver = waiting(&bench, &wire);
    let name = holder(&bench);
    assert!(name.contains(&format!(":{}:", driver.id())), "{name}");
    driver.signal("KILL");
    driver.wait();
    let died = Instant::now();
    bench.write(WAITING, 3);
    let refused = bench.again(&["deploy", "-o", "json"]).elsewhere().run().exits(4).json();
    assert!(refused["error"]["message"].as_str().unwrap().contains(&name), "{refused}");
    bench.write(WAITING, 2);
    let status = bench.again(&["rollout", "status", "-o", "json"]).elsewhere().run().json();
    assert!(status.to_string().contains(&name), "{status}");
    std::thread::sleep(Duration::from_secs(15).saturating_sub(died.elapsed()));
    let status = bench.again(&["rollout", "status"]).elsewhere().run();
    assert!(status.stdout.contains("undriven"), "{}", status.stdout);
    let attach = bench.again(&["rollout", "attach"]).elsewhere().run().ok();
    assert!(attach.stderr.contains(&format!("took over from {name}")), "{}", attach.stderr);
    assert_eq!(bench.ns.field("deploy/orders-green", "{.status.availableReplicas}"), "3");
}

/// Scenario 29: a real expiry, a real sleeper.
#[test]
#[ignore = "needs the lab: tests/run"]
fn a_driver_that_sleeps_through_its_expiry_wakes_up_to_nothing() {
    let bench = Bench::simulated("rivals-asleep");
    let wire = Wire::new(&bench.ns);
    let driver = waiting(&bench, &wire);
    driver.signal("STOP");
    std::thread::sleep(Duration::from_secs(15));
    let begun = Instant::now();
    let attach = bench.again(&["rollout", "attach"]).elsewhere().run().ok();
    assert!(attach.stderr.contains("(epoch 2)"), "{}", attach.stderr);
    assert!(begun.elapsed() > Duration::from_secs(10), "took over after {:?}", begun.elapsed());
    let before = Snapshot::settled(&bench.ns.name);
    driver.signal("CONT");
    let run = driver.wait().exits(4);
    assert!(run.stderr.contains("drives the rollout") || run.stderr.contains("took over"), "{}", run.stderr);
    let after = Snapshot::settled(&bench.ns.name);
    assert_eq!(before, after, "{}", before.differences(&after));
}

/// Scenario 30.
#[test]
#[ignore = "needs the lab: tests/run"]
fn an_abort_from_a_second_machine_is_obeyed_at_once() {
    let bench = Bench::simulated("rivals-abort");
    let (wire, second) = (Wire::new(&bench.ns), Wire::new(&bench.ns));
    let driver = waiting(&bench, &wire);
    let so_far = wire.times().len();
    let abort =
        bench.again(&["rollout", "abort"]).env("KUBECONFIG", &second.kubeconfig).elsewhere().run().ok();
    assert!(abort.stdout.contains("taking revision 2 back to 1"), "{}", abort.stdout);
    let run = driver.wait().exits(5);
    assert!(run.stderr.contains("aborted by"), "{}", run.stderr);
    let said = second.times();
    assert!(said.len() == 1 && said[0].1.ends_with("/configmaps/orders-rollout"), "took the Lease: {said:?}");
    let obeyed = wire.times()[so_far..].iter().find(|(at, _)| *at > said[0].0).expect("it wrote").0;
    let late = obeyed.duration_since(said[0].0);
    assert!(late < BY_WATCH, "obeyed after {late:?}");
    let ended = Snapshot::settled(&bench.ns.name);
    assert_eq!(ended.0["public"], serde_json::json!({"blue": 3}));
}

/// Scenario 30, its second half.
#[test]
#[ignore = "needs the lab: tests/run"]
fn a_lease_deleted_by_hand_stops_nobody() {
    let bench = Bench::simulated("rivals-lease");
    let config = "replicas: 3\nrollout: {strategy: canary, surge: 1, steps: [{weight: 34}, {pause: 8s}]}";
    bench.deployed(config, &[], 0);
    let wire = Wire::new(&bench.ns);
    let driver = bench.deploy(config, &wire, &[]);
    driver.says("pause 8s", 60);
    assert!(bench.ns.kubectl(&["delete", "lease", "orders-rollout"]).status.success());
    // The holder of old goes on; a renewal makes the object again.
    driver.wait().ok();
    assert_eq!(holder(&bench), "");

    let driver = bench.deploy(config, &wire, &[]);
    driver.says("pause 8s", 60);
    driver.signal("KILL");
    driver.wait();
    assert!(bench.ns.kubectl(&["delete", "lease", "orders-rollout"]).status.success());
    let attach = bench.again(&["rollout", "attach"]).elsewhere().run().ok();
    assert!(attach.stderr.contains("took over from nobody (epoch 2)"), "{}", attach.stderr);
    Snapshot::settled(&bench.ns.name);
}

/// The tail is no way around the fence: a Lease deleted while a driver sleeps before its last drain.
#[test]
#[ignore = "needs the lab: tests/run"]
fn a_drain_that_wakes_up_late_empties_nothing() {
    let bench = Bench::simulated("rivals-tail");
    let config = "replicas: 2\nrollout: {strategy: blue-green, scaleDownDelay: 0s}";
    bench.deployed(config, &[], 0);
    // The only write to the old slot's Deployment is its drain.
    let mut frozen = false;
    let wire = Wire::new(&bench.ns).plan(move |asked| {
        let drain = asked.line.starts_with("PATCH") && asked.line.ends_with("/deployments/orders-blue");
        (drain && !std::mem::replace(&mut frozen, true)).then_some(Fault::Freeze)
    });
    let driver = bench.deploy(config, &wire, &[]);
    assert!(wire.frozen(60), "{}", driver.stderr());
    assert!(bench.ns.kubectl(&["delete", "lease", "orders-rollout"]).status.success());
    // Back to version 1, in the slot that was about to be drained.
    bench.again(&["rollout", "undo"]).run().ok();
    assert_eq!(bench.ns.field("svc/orders", "{.spec.selector.msctl\\.dev/slot}"), "blue");
    wire.thaw();
    driver.wait();
    assert_eq!(bench.ns.field("deploy/orders-blue", "{.spec.replicas}"), "2", "the live slot was drained");
}
