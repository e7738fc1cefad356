//! What networks and API servers do at their worst, at a tenth of all requests and from a seed; and the right end all
//! the same: the one of a run that nothing disturbed.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::{Bench, Case, Snapshot, undisturbed};
use crate::wire::{Asked, Fault, Wire};

/// SplitMix64: a seed's numbers are the same on every machine.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

/// One request of ten meets one of the faults; one of them all is silence.
fn tenth(seed: u64) -> impl FnMut(&Asked) -> Option<Fault> + Send + 'static {
    let (mut numbers, mut silences) = (Numbers(seed), 0);
    move |asked| {
        let (hit, which) = (numbers.below(10) == 0, numbers.below(8));
        let time = Duration::from_millis(200 + numbers.below(2000));
        if !hit {
            return None;
        }
        Some(match which {
            0 | 1 if asked.watch => Fault::Gone,
            2..=4 if asked.watch => Fault::Cut { after: time, clean: which == 2 },
            0 | 1 => Fault::Status(429),
            2 => Fault::Status(500),
            3 => Fault::Status(503),
            4 => Fault::Unheard,
            5 => Fault::Broken,
            // A patch that lost against others too often; a server does not say so of a read, nor of a new object.
            6 if asked.line.starts_with("PATCH ") => Fault::Status(409),
            6 => Fault::Status(500),
            _ if silences == 0 => {
                silences += 1;
                Fault::Silent(Duration::from_secs(30))
            }
            _ => Fault::Broken,
        })
    }
}

const DEPLOY: (&[&str], i32) = (&["deploy"], 0);

/// Runs the case undisturbed, then under the faults of each seed.
pub fn through(case: &Case, seeds: std::ops::Range<u64>) {
    let first = Bench::simulated(case.name);
    let (_, wanted) = undisturbed(&first, case);
    let (failures, all) = (Mutex::new(Vec::new()), Mutex::new(BTreeMap::<String, usize>::new()));
    let one = |seed: u64| {
        let bench = Bench::simulated(case.name);
        bench.prepare(case);
        let wire = Wire::new(&bench.ns).plan(tenth(seed));
        let begun = Instant::now();
        let act = bench.command(case, case.act.0).env("KUBECONFIG", &wire.kubeconfig).run();
        let ended = Snapshot::settled(&bench.ns.name);
        let injected = wire.injected();
        for (fault, count) in &injected {
            *all.lock().unwrap().entry(fault.clone()).or_default() += count;
        }
        *all.lock().unwrap().entry("requests".into()).or_default() += wire.requests();
        if act.status.code() != Some(case.act.1) || ended != wanted {
            let text = format!(
                "seed {seed}: exit {:?} after {:.1} s, {injected:?}\n{}\n{}",
                act.status,
                begun.elapsed().as_secs_f64(),
                act.stderr,
                wanted.differences(&ended)
            );
            failures.lock().unwrap().push(text);
        }
    };
    let one = &one;
    std::thread::scope(|scope| {
        for seed in seeds {
            scope.spawn(move || one(seed));
        }
    });
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{}: {} seeds\n{}", case.name, failures.len(), failures.join("\n"));
    eprintln!("{}: {:?}", case.name, all.into_inner().unwrap());
}

#[test]
#[ignore = "needs the lab: tests/run"]
fn a_tenth_of_the_requests_fails_a_rolling_update() {
    let case =
        Case { name: "fault-rolling", config: "replicas: 3", before: &[DEPLOY], act: DEPLOY, attach: 0 };
    through(&case, 0..4);
}

#[test]
#[ignore = "needs the lab: tests/run"]
fn a_tenth_of_the_requests_fails_a_canary() {
    let case =
        Case { name: "fault-canary", config: super::cuts::CANARY, before: &[DEPLOY], act: DEPLOY, attach: 0 };
    through(&case, 10..14);
}

#[test]
#[ignore = "needs the lab: tests/run"]
fn a_tenth_of_the_requests_fails_a_blue_green() {
    let case = Case {
        name: "fault-bluegreen",
        config: super::cuts::BLUE_GREEN,
        before: &[DEPLOY],
        act: DEPLOY,
        attach: 0,
    };
    through(&case, 20..24);
}

#[test]
#[ignore = "needs the lab: tests/run"]
fn a_tenth_of_the_requests_fails_a_first_deploy() {
    let case = Case { name: "fault-first", config: "replicas: 2", before: &[], act: DEPLOY, attach: 0 };
    through(&case, 30..34);
}
