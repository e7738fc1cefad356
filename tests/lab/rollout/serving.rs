//! Real pods under a steady load: not one request fails, whatever is rolled out, taken back, or killed in the middle
//! (scenario 28).

use super::Bench;
use crate::load::{Load, Sending};
use crate::wire::{Fault, Wire};

/// Every way there and back, its driver killed after the `kill`th write; `paused` waits for a person on the way.
pub fn through_everything(bench: &Bench, config: &str, paused: Option<&str>, load: Sending, kill: usize) {
    let wire = Wire::new(&bench.ns).plan(move |asked| (asked.write == kill).then_some(Fault::KillAfter));
    let driver = bench.deploy(config, &wire, &[]).wait();
    assert!(driver.status.code().is_none(), "not killed: {:#?}{}", wire.writes(), driver.stderr);
    bench.again(&["rollout", "attach"]).run().ok();
    bench.again(&["rollout", "undo"]).run().ok();
    if let Some(paused) = paused {
        bench.deployed(paused, &[], 6);
        bench.again(&["rollout", "abort"]).run().ok();
        bench.again(&["rollout", "retry"]).run().exits(6);
        bench.again(&["rollout", "promote"]).run().ok();
    }
    let answers = load.stop().none_failed();
    eprintln!("{}: {} requests, slowest {:?}", bench.ns.name, answers.all(), answers.slowest);
    let versions = if paused.is_some() { 3 } else { 2 };
    assert_eq!(answers.versions.len(), versions, "{answers:?}");
}

fn by_service(name: &str, config: &str, paused: Option<&str>, kill: usize) {
    let bench = Bench::real(name);
    bench.deployed(config, &[], 0);
    let load = Load::new(&bench.ns.url("orders")).rate(40).seconds(280).start();
    through_everything(&bench, config, paused, load, kill);
}

const TWO: &str = "replicas: 2\n";

#[test]
#[ignore = "needs the lab: tests/run"]
fn scenario_28_no_request_fails_in_a_rolling_update() {
    by_service("serve-rolling", TWO, None, 5);
}

#[test]
#[ignore = "needs the lab: tests/run"]
fn scenario_28_no_request_fails_in_a_canary_by_replicas() {
    let canary = |steps: &str| {
        format!("{TWO}rollout: {{strategy: canary, surge: 1, abortDelay: 1s, steps: [{steps}]}}")
    };
    let paused = canary("{weight: 50}, {pause: {}}");
    by_service("serve-canary", &canary("{weight: 50}"), Some(&paused), 13);
}

#[test]
#[ignore = "needs the lab: tests/run"]
fn scenario_28_no_request_fails_in_a_blue_green() {
    let green = |promote: &str| {
        format!(
            "{TWO}rollout: {{strategy: blue-green, scaleDownDelay: 0s, abortDelay: 1s, blueGreen: {{promote: {promote}}}}}"
        )
    };
    by_service("serve-bluegreen", &green("auto"), Some(&green("manual")), 14);
}

/// At full weight the old version has no pods, and is not given up: it comes back before the new one goes.
#[test]
#[ignore = "needs the lab: tests/run"]
fn no_request_fails_at_a_pause_at_full_weight() {
    let steps = "{weight: 100}, {pause: {}}, {weight: 50}";
    let config = format!("{TWO}rollout: {{strategy: canary, surge: 1, abortDelay: 1s, steps: [{steps}]}}");
    let bench = Bench::real("serve-whole");
    bench.deployed(&config, &[], 0);
    let load = Load::new(&bench.ns.url("orders")).rate(40).seconds(180).start();
    bench.deployed(&config, &[], 6);
    assert_eq!(bench.ns.field("deploy/orders-blue", "{.spec.replicas}"), "0");
    bench.again(&["rollout", "abort"]).run().ok();
    assert_eq!(bench.ns.field("deploy/orders-blue", "{.status.availableReplicas}"), "2");
    bench.again(&["rollout", "retry"]).run().exits(6);
    bench.again(&["rollout", "promote"]).run().ok();
    let answers = load.stop().none_failed();
    assert_eq!(answers.versions.len(), 2, "{answers:?}");
}

/// Scenario 36: a live pod that is replaced during a canary still finds its configuration.
#[test]
#[ignore = "needs the lab: tests/run"]
fn a_live_pod_replaced_during_a_canary_starts() {
    let config = "replicas: 2\n\
                  rollout: {strategy: canary, history: 1, surge: 1, abortDelay: 1s, steps: [{weight: 50}, {pause: {}}]}";
    let bench = Bench::real("serve-replaced");
    bench.deployed(config, &["--rolling"], 0);
    bench.deployed(config, &["--rolling"], 0);
    bench.deployed(config, &["--rolling"], 0);
    bench.deployed(config, &[], 6);
    let live = "msctl.dev/revision=3";
    let pods = || bench.ns.get(&["pods", "-l", live, "-o", "jsonpath={.items[*].metadata.name}"]).unwrap();
    let before = pods();
    assert!(bench.ns.kubectl(&["delete", "pod", "-l", live, "--wait=false"]).status.success());
    crate::harness::until(60, "the replaced live pods are ready", || {
        let ready = bench.ns.field("deploy/orders-blue", "{.status.readyReplicas}");
        let wanted = bench.ns.field("deploy/orders-blue", "{.spec.replicas}");
        (ready == wanted && !pods().split(' ').any(|p| before.contains(p))).then_some(())
    });
    bench.again(&["rollout", "abort"]).run().ok();
}
