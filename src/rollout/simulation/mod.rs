//! Random schedules, each from one seed: the real core and the real driver over the simulated world, whose laws are
//! watched at every step; in the end somebody attaches, and that end is whole.
//! `MSCTL_SIM_SEED=n cargo test --lib schedules -- --nocapture` replays one, `MSCTL_SIM_SCHEDULES=n` runs as many.

mod contention;
mod play;
mod script;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};

#[allow(clippy::disallowed_methods)]
fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// What a schedule broke.
fn outcome(seed: u64, recording: bool) -> Result<String, String> {
    catch_unwind(AssertUnwindSafe(|| play::schedule(seed, recording))).map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned())).unwrap_or_default()
    })
}

fn replay(seed: u64) -> String {
    format!("replay with: MSCTL_SIM_SEED={seed} cargo test --lib schedules -- --nocapture")
}

#[test]
fn random_schedules_keep_every_promise() {
    if let Some(seed) = variable("MSCTL_SIM_SEED") {
        match outcome(seed, true) {
            Ok(told) => return println!("{told}"),
            Err(broken) => panic!("{broken}\n{}", replay(seed)),
        }
    }
    let schedules = variable("MSCTL_SIM_SCHEDULES").unwrap_or(100);
    let first = variable("MSCTL_SIM_FIRST").unwrap_or(0);
    let most = variable("MSCTL_SIM_FAILURES").unwrap_or(1) as usize;
    let workers = std::thread::available_parallelism().map_or(2, |n| n.get() as u64);
    let stop = AtomicBool::new(false);
    let failed = std::sync::Mutex::new(Vec::new());
    let work = &|worker: u64| {
        for seed in (first + worker..first + schedules).step_by(workers as usize) {
            if stop.load(Ordering::Relaxed) {
                return;
            }
            if let Err(broken) = outcome(seed, false) {
                let mut failed = failed.lock().unwrap();
                failed.push((seed, broken));
                stop.store(failed.len() >= most, Ordering::Relaxed);
            }
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..workers).map(|w| scope.spawn(move || work(w))).collect();
        threads.into_iter().for_each(|t| t.join().unwrap());
    });
    let failed = failed.into_inner().unwrap();
    if let Some((seed, _)) = failed.iter().min_by_key(|(seed, _)| seed) {
        let told = outcome(*seed, true).expect_err("the same seed does the same");
        let others: Vec<String> = failed
            .iter()
            .map(|(s, why)| format!("seed {s}: {}", why.lines().take(3).collect::<Vec<_>>().join(" / ")))
            .collect();
        panic!("{told}\n{}\n{}", others.join("\n"), replay(*seed));
    }
}

#[test]
fn a_seed_is_the_same_schedule_every_time() {
    for seed in 0..20 {
        assert_eq!(outcome(seed, true), outcome(seed, true), "seed {seed}");
    }
}
