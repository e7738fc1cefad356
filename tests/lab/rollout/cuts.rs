//! The driver is killed between any two of its writes; `rollout attach` finishes, and the end is that of a run
//! nobody disturbed (scenario 26). On simulated nodes, so that every cut of every strategy is made.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use super::{Bench, Case, Snapshot, undisturbed};
use crate::wire::{Fault, Wire};

/// So many namespaces a case, each making one cut after the other.
const SIDE_BY_SIDE: usize = 8;

/// Makes every cut; panics with all that ended elsewhere.
pub fn at_every_cut(case: &Case) {
    at_every_write(case, one);
}

/// Does `one` after every write of the case, 0 meaning before the first; panics with all that went wrong.
pub fn at_every_write(
    case: &Case,
    one: impl Fn(&Bench, &Case, usize, &[String], &Snapshot) -> Result<(), String> + Sync,
) {
    let begun = Instant::now();
    let first = Bench::simulated(case.name);
    let (writes, wanted) = undisturbed(&first, case);
    first.remove();
    let next = AtomicUsize::new(0);
    let failures = Mutex::new(Vec::new());
    let work = |bench: Bench| {
        loop {
            let cut = next.fetch_add(1, Ordering::Relaxed);
            if cut > writes.len() {
                return;
            }
            if let Err(why) = one(&bench, case, cut, &writes, &wanted) {
                let after = cut.checked_sub(1).map_or("the beginning", |n| &writes[n]);
                failures.lock().unwrap().push(format!("cut {cut}, after {after}: {why}"));
            }
            bench.remove();
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| work(first));
        for _ in 1..SIDE_BY_SIDE.min(writes.len()) {
            scope.spawn(|| work(Bench::simulated(case.name)));
        }
    });
    let (failures, took) = (failures.into_inner().unwrap(), begun.elapsed().as_secs_f64());
    let (bad, all, name) = (failures.len(), writes.len() + 1, case.name);
    assert!(bad == 0, "{name}: {bad} of {all}, {took:.0} s\n{}\nwrites: {writes:#?}", failures.join("\n"));
    eprintln!("{name}: {all} in {took:.1} s");
}

fn one(bench: &Bench, case: &Case, cut: usize, _: &[String], wanted: &Snapshot) -> Result<(), String> {
    bench.prepare(case);
    let deploys = |s: &Snapshot| s.state()["deploys"].as_array().map_or(0, Vec::len);
    let before = if case.before.is_empty() { 0 } else { deploys(&Snapshot::of(&bench.ns.name)) };
    let wire = Wire::new(&bench.ns).plan(move |asked| match cut {
        0 => (asked.write == 1).then_some(Fault::KillBefore),
        _ => (asked.write == cut).then_some(Fault::KillAfter),
    });
    let act = bench.command(case, case.act.0).env("KUBECONFIG", &wire.kubeconfig).spawn();
    wire.driver(act.id());
    let act = act.wait();
    if act.status.code().is_some_and(|c| c != case.act.1) {
        return Err(format!("exit {:?}\n{}", act.status, act.stderr));
    }
    let attach = bench.again(&["rollout", "attach"]).run();
    let mut ended = Snapshot::settled(&bench.ns.name);
    // Killed before the rollout was written down, nothing has begun, and it is asked for again.
    if cut == 0 || (ended != *wanted && deploys(&ended) == before) {
        bench.again(case.act.0).run().exits(case.act.1);
        ended = Snapshot::settled(&bench.ns.name);
    } else if attach.status.code() != Some(case.attach) {
        return Err(format!("attach: exit {:?}\n{}", attach.status, attach.stderr));
    }
    if ended != *wanted {
        return Err(format!("{}attach said:\n{}", wanted.differences(&ended), attach.stderr));
    }
    Ok(())
}

const DEPLOY: (&[&str], i32) = (&["deploy"], 0);
pub const CANARY: &str =
    "replicas: 4\nrollout: {strategy: canary, surge: 1, steps: [{weight: 25}, {pause: 1s}, {weight: 50}]}";
pub const BLUE_GREEN: &str = "replicas: 2\nrollout: {strategy: blue-green, scaleDownDelay: 0s}";
const PAUSED: &str =
    "replicas: 3\nrollout: {strategy: canary, surge: 1, abortDelay: 1s, steps: [{weight: 34}, {pause: {}}]}";

#[test]
#[ignore = "needs the lab: tests/run"]
fn first_deploy() {
    at_every_cut(&Case { name: "cut-first", config: "replicas: 2", before: &[], act: DEPLOY, attach: 0 });
}

#[test]
#[ignore = "needs the lab: tests/run"]
fn rolling() {
    let config = "replicas: 3\nrollout: {history: 1}";
    at_every_cut(&Case { name: "cut-rolling", config, before: &[DEPLOY, DEPLOY], act: DEPLOY, attach: 0 });
}

#[test]
#[ignore = "needs the lab: tests/run"]
fn canary_by_replicas() {
    at_every_cut(&Case { name: "cut-canary", config: CANARY, before: &[DEPLOY], act: DEPLOY, attach: 0 });
}

#[test]
#[ignore = "needs the lab: tests/run"]
fn canary_with_an_autoscaler() {
    let config =
        "autoscaling: {min: 3, max: 6}\nrollout: {strategy: canary, surge: 1, steps: [{weight: 34}]}";
    at_every_cut(&Case { name: "cut-hpa", config, before: &[DEPLOY], act: DEPLOY, attach: 0 });
}

#[test]
#[ignore = "needs the lab: tests/run"]
fn blue_green() {
    at_every_cut(&Case {
        name: "cut-blue-green",
        config: BLUE_GREEN,
        before: &[DEPLOY],
        act: DEPLOY,
        attach: 0,
    });
}

#[test]
#[ignore = "needs the lab: tests/run"]
fn promote() {
    let act: (&[&str], i32) = (&["rollout", "promote"], 0);
    at_every_cut(&Case {
        name: "cut-promote",
        config: PAUSED,
        before: &[DEPLOY, (&["deploy"], 6)],
        act,
        attach: 0,
    });
}

#[test]
#[ignore = "needs the lab: tests/run"]
fn abort() {
    let act: (&[&str], i32) = (&["rollout", "abort"], 0);
    at_every_cut(&Case {
        name: "cut-abort",
        config: PAUSED,
        before: &[DEPLOY, (&["deploy"], 6)],
        act,
        attach: 5,
    });
}

#[test]
#[ignore = "needs the lab: tests/run"]
fn undo() {
    let config = "replicas: 2\nrollout: {strategy: canary, surge: 1, steps: [{weight: 50}]}";
    let act: (&[&str], i32) = (&["rollout", "undo"], 0);
    at_every_cut(&Case { name: "cut-undo", config, before: &[DEPLOY, DEPLOY], act, attach: 0 });
}

/// A third version while the second waits: the second is discarded first.
#[test]
#[ignore = "needs the lab: tests/run"]
fn a_third_version() {
    at_every_cut(&Case {
        name: "cut-third",
        config: PAUSED,
        before: &[DEPLOY, (&["deploy"], 6)],
        act: (&["deploy"], 6),
        attach: 6,
    });
}
