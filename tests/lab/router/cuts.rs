//! Rollouts through a router: the driver killed after any of its writes, a tenth of its requests failed, and not one
//! request of a user lost. Traefik routes; its status is what the driver waits for, on simulated pods as on real ones.

use crate::harness::{Lab, until};
use crate::load::Load;
use crate::rollout::cuts::at_every_cut;
use crate::rollout::faults::through;
use crate::rollout::serving::through_everything;
use crate::rollout::{Bench, Case};

const DEPLOY: (&[&str], i32) = (&["deploy"], 0);
const CANARY: &str = "replicas: 2\nexpose: {host: HOST, path: /}\ntraffic: {gateway: router/lab}\n\
                      rollout: {strategy: canary, surge: 1, scaleDownDelay: 0s, abortDelay: 1s, steps: [{weight: 50}]}";

fn routed(name: &'static str, config: &'static str) -> Case {
    Case { name, config, before: &[DEPLOY], act: DEPLOY, attach: 0 }
}

#[test]
#[ignore = "needs the lab: tests/run"]
fn canary_by_router() {
    at_every_cut(&routed("cut-router", CANARY));
}

#[test]
#[ignore = "needs the lab: tests/run"]
fn ab_test() {
    at_every_cut(&routed(
        "cut-ab",
        "replicas: 2\nexpose: {host: HOST, path: /}\ntraffic: {gateway: router/lab}\n\
         rollout: {strategy: ab, scaleDownDelay: 0s, ab: {match: [{header: {name: x-group, exact: b}}], until: 1s}}",
    ));
}

#[test]
#[ignore = "needs the lab: tests/run"]
fn mirror() {
    at_every_cut(&routed(
        "cut-mirror",
        "replicas: 2\nexpose: {host: HOST, path: /}\ntraffic: {gateway: router/contour}\n\
         rollout: {strategy: mirror, scaleDownDelay: 0s, mirror: {until: 1s}}",
    ));
}

#[test]
#[ignore = "needs the lab: tests/run"]
fn abort_by_router() {
    at_every_cut(&Case {
        name: "cut-back",
        config: "replicas: 2\nexpose: {host: HOST, path: /}\ntraffic: {gateway: router/lab}\n\
                 rollout: {strategy: canary, surge: 1, abortDelay: 1s, steps: [{weight: 50}, {pause: {}}]}",
        before: &[DEPLOY, (&["deploy"], 6)],
        act: (&["rollout", "abort"], 0),
        attach: 5,
    });
}

#[test]
#[ignore = "needs the lab: tests/run"]
fn a_tenth_of_the_requests_fails_a_canary_by_router() {
    through(&routed("fault-router", CANARY), 40..44);
}

#[test]
#[ignore = "needs the lab: tests/run"]
fn no_request_through_the_router_fails() {
    let bench = Bench::real("serve-router");
    let paused = CANARY.replace("{weight: 50}", "{weight: 50}, {pause: {}}");
    bench.deployed(CANARY, &[], 0);
    let (url, host) = (Lab::get().router().url, format!("{}.lab", bench.ns.name));
    until(20, "the route answers", || (Load::new(&url).host(&host).count(1).good() == 1).then_some(()));
    let load = Load::new(&url).host(&host).rate(40).seconds(280).start();
    through_everything(&bench, CANARY, Some(&paused), load, 14);
}
