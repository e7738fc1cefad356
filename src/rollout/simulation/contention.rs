//! Crash and contention: killed at every write, two at once, a Lease that expires, a driver that wakes, many at once.

use std::time::Duration;

use crate::error;
use crate::rollout::deploy::rolled;
use crate::rollout::driver::Driver;
use crate::rollout::host::Host;
use crate::rollout::lock::Patience;
use crate::rollout::scenarios::{Bench, template};
use crate::rollout::world::{Behaviour, Machine, Place, Task, lock, run};
use crate::rollout::*;
use crate::rollout::{ask, undo};

const STRATEGIES: [&str; 3] = ["rolling", "canary", "blue-green"];

fn kill(bench: &Bench) {
    let holder = Machine::new(&bench.world, "me").holder();
    lock(&bench.world).dead.insert(holder);
}

/// Two goes, so that what was late is done too.
fn settle(bench: &Bench) {
    for _ in 0..4 {
        let _ = bench.attach(false);
        bench.later(4000);
        let _ = bench.attach(false);
        let paused = bench.status().phase == Phase::Paused;
        if !paused {
            return;
        }
        let _ = bench.ask(Verb::Promote { full: true });
    }
}

fn bench(router: bool, strategy: &str, behaviour: Behaviour) -> Bench {
    let steps = if strategy == "canary" { ", steps: [{weight: 34}, {weight: 67}]" } else { "" };
    let bench = Bench::new(router, 3, &format!("{{strategy: {strategy}{steps}}}"));
    bench.deploy("v1", Options::default()).unwrap();
    bench.behave(2, behaviour);
    bench
}

/// Killed before or after any write of a deploy of v2, then attached: the same end as without. Returns at how many cuts.
fn killed_at_every_write(what: &str, make: &dyn Fn() -> Bench) -> usize {
    let whole = make();
    let before = {
        let world = lock(&whole.world);
        (world.writes, world.summary())
    };
    let _ = whole.deploy("v2", Options::default());
    let writes = lock(&whole.world).writes - before.0;
    settle(&whole);
    let end = lock(&whole.world).summary();
    for cut in 1..=writes {
        for after in [false, true] {
            let cutted = make();
            lock(&cutted.world).kill_at = Some((before.0 + cut, after));
            let result = cutted.try_deploy("v2");
            assert!(result.is_none(), "{what}: not killed at write {cut}");
            kill(&cutted);
            let begun = cutted.state().deploys.len() > 1;
            settle(&cutted);
            let wanted = if begun { &end } else { &before.1 };
            let got = lock(&cutted.world).summary();
            let log = || lock(&cutted.world).log.join("\n");
            assert_eq!(&got, wanted, "{what}, cut {cut} after {after}\n{}", log());
            cutted.sound();
        }
    }
    2 * writes as usize
}

#[test]
fn scenario_26_a_kill_at_every_write() {
    let mut cuts = 0;
    for strategy in STRATEGIES {
        for (router, behaviour) in [
            (false, Behaviour::Good),
            (true, Behaviour::Good),
            (false, Behaviour::Crashes(400)),
            (true, Behaviour::Crashes(400)),
        ] {
            let what = format!("{strategy} router {router} {behaviour:?}");
            cuts += killed_at_every_write(&what, &|| bench(router, strategy, behaviour));
        }
    }
    assert!(cuts > 200, "only {cuts} cuts");
}

#[test]
fn scenario_26_a_kill_at_every_write_of_migrations() {
    for (strategy, fails) in [("rolling", 0), ("canary", 0), ("canary", 1000)] {
        let make = || {
            let migrations = "migrations: {expand: [expand], contract: [contract]}\n";
            let bench = Bench::of(true, 3, &format!("{{strategy: {strategy}}}"), migrations);
            lock(&bench.world).schema.longest = Some(5000);
            bench.deploy("v1", Options::default()).unwrap();
            lock(&bench.world).schema.fails_per_mille = fails;
            bench
        };
        killed_at_every_write(&format!("{strategy}, {fails} of a thousand fail"), &make);
    }
}

#[test]
fn an_undo_that_waited_while_another_version_became_live_undoes_nothing() {
    let bench = bench(false, "rolling", Behaviour::Good);
    bench.deploy("v2", Options::default()).unwrap();
    let mut theirs = bench.state();
    theirs.deploys.push(Deploy { number: 3, revision: 3, ..theirs.deploys[1].clone() });
    theirs.live = theirs.live.map(|live| Placed { revision: 3, ..live });
    {
        let mut world = lock(&bench.world);
        let lease = world.lease.as_mut().unwrap();
        (lease.holder, lease.renewed) = ("another@sim:1:1-1".into(), None);
    }
    let (place, host) = (Place::named(&bench.world, "you"), Machine::new(&bench.world, "you"));
    let asked: Task<'_, String> = Box::pin(async {
        let done = undo::back(&host, &place, &bench.service, "you", None).await;
        error::failure(&done.err().expect("refused")).map(|f| f.reason.to_owned()).unwrap_or_default()
    });
    let other = Machine::new(&bench.world, "other");
    let meanwhile: Task<'_, String> = Box::pin(async {
        other.sleep(Duration::from_secs(5)).await;
        lock(&bench.world).rewrite(theirs.body());
        String::new()
    });
    let told = run(&bench.world, vec![asked, meanwhile]);
    assert_eq!(told[0].as_deref(), Some("changed"));
    assert_eq!(bench.state().deploys.len(), 3, "nothing was begun");
}

#[test]
fn a_template_dropped_by_a_driver_that_died_before_it_said_so_is_put_again() {
    let bench = bench(false, "rolling", Behaviour::Good);
    bench.deploy("v2", Options::default()).unwrap();
    lock(&bench.world).lose_template(1);
    let undone = bench.undo(None).err().expect("refused");
    assert_eq!(error::failure(&undone).map(|f| f.reason), Some("no-target"));
    assert!(bench.state().under_way().is_none(), "nothing was begun");
    bench.deploy("v1", Options::default()).unwrap();
    assert_eq!(bench.state().live.map(|l| l.revision), Some(1));
}

#[test]
fn scenario_27_two_at_once() {
    let bench = bench(false, "canary", Behaviour::Good);
    let release = bench.release();
    let (a, b) = (Machine::new(&bench.world, "one"), Machine::new(&bench.world, "two"));
    let (at_a, at_b) = (Place::new(&bench.world), Place::new(&bench.world));
    let (v2, v3, options) = (template("v2"), template("v3"), Options::default());
    let results = run(
        &bench.world,
        vec![
            Box::pin(rolled(&a, &at_a, "one", &release, &v2, &options)) as Task<'_, _>,
            Box::pin(rolled(&b, &at_b, "two", &release, &v3, &options)),
        ],
    );
    let errors: Vec<_> = results.iter().flatten().filter_map(|r| r.as_ref().err()).collect();
    assert_eq!(errors.len(), 1, "one refuses");
    let report = error::report(errors[0]);
    assert_eq!(report.code, 4);
    assert!(report.message.contains("@sim:1:"), "{}", report.message);
    bench.sound();
}

/// A driver elsewhere dies without a word: its Lease is taken when it stayed unchanged for its whole length.
#[test]
fn an_expired_lease_is_taken_over() {
    let bench = bench(false, "canary", Behaviour::Good);
    let writes = lock(&bench.world).writes;
    lock(&bench.world).kill_at = Some((writes + 8, true));
    let (place, host) = (Place::new(&bench.world), Machine::new(&bench.world, "elsewhere"));
    let (release, v2, options) = (bench.release(), template("v2"), Options::default());
    run(&bench.world, vec![Box::pin(rolled(&host, &place, "elsewhere", &release, &v2, &options))]);
    let died = lock(&bench.world).now;
    let refused = bench.attach(false).expect_err("its Lease is fresh");
    assert_eq!(error::kind(&refused).code(), 4);
    bench.later(16);
    bench.attach(false).unwrap();
    assert!(lock(&bench.world).now - died >= 15_000);
    assert_eq!((bench.status().phase, bench.state().live.unwrap().revision), (Phase::Healthy, 2));
    assert!(lock(&bench.world).epoch() > 1, "the old driver is fenced off");
    bench.sound();
}

/// Scenario 29: who wakes with an old epoch changes nothing.
#[test]
fn scenario_29_a_sleeper_is_fenced() {
    use crate::platform::{Error, Platform};
    let bench = bench(true, "canary", Behaviour::Good);
    let place = Place::new(&bench.world);
    lock(&bench.world).set_epoch(5);
    let before = lock(&bench.world).summary();
    for effect in [
        Effect::Apply { slot: Slot::Green, revision: 2 },
        Effect::Scale { slot: Slot::Blue, replicas: 0 },
        Effect::Route(Routing::all(Slot::Green)),
        Effect::Select(Selection::Green),
    ] {
        let result = run(&bench.world, vec![Box::pin(place.execute(&effect, 4))]).pop().unwrap().unwrap();
        assert!(matches!(result, Err(Error::Overtaken { seen: 5, ours: 4 })), "{effect:?}");
    }
    assert_eq!(lock(&bench.world).summary(), before);
}

/// Scenario 30: a verb from a second machine, and a Lease deleted by hand.
#[test]
fn scenario_30_abort_from_elsewhere() {
    for delete_lease in [false, true] {
        let bench = Bench::new(true, 3, "{strategy: canary, steps: [{weight: 34}, {pause: 5m}]}");
        bench.deploy("v1", Options::default()).unwrap();
        let (ci, you) = (Machine::new(&bench.world, "ci"), Machine::new(&bench.world, "you"));
        let (at_ci, at_you) = (Place::new(&bench.world), Place::new(&bench.world));
        let (release, v2, options) = (bench.release(), template("v2"), Options::default());
        let driven = async {
            let result = rolled(&ci, &at_ci, "ci", &release, &v2, &options).await;
            error::kind(&result.expect_err("aborted")).code() as u64
        };
        let aborted = async {
            you.sleep(Duration::from_secs(20)).await;
            if delete_lease {
                lock(&bench.world).lease = None;
                you.sleep(Duration::from_secs(20)).await;
            }
            let asked = lock(&bench.world).now;
            ask::ask(&you, &at_you, "orders", "you", Verb::Abort).await.unwrap();
            lock(&bench.world).now - asked
        };
        let results = run(&bench.world, vec![Box::pin(driven) as Task<'_, u64>, Box::pin(aborted)]);
        assert_eq!(results[0], Some(5));
        assert!(results[1].unwrap() < 1000, "obeyed after {:?} ms", results[1]);
        assert_eq!(bench.status().phase, Phase::Aborted);
        bench.sound();
    }
}

/// One process drives a hundred services at once, each with its own Lease and clock, and keeps their laws.
#[test]
fn one_process_drives_a_hundred_services() {
    let strategies = ["rolling", "canary", "blue-green"];
    let benches: Vec<Bench> = (0..100)
        .map(|n| {
            bench(
                n % 2 == 0,
                strategies[n % 3],
                if n % 7 == 0 { Behaviour::Crashes(400) } else { Behaviour::Good },
            )
        })
        .collect();
    let machines: Vec<(Machine, Place, _)> =
        benches.iter().map(|b| (Machine::new(&b.world, "me"), Place::new(&b.world), b.release())).collect();
    let (v2, options) = (template("v2"), Options::default());
    let tasks = benches.iter().zip(&machines).map(|(bench, (host, place, release))| {
        let task: Task<'_, _> = Box::pin(rolled(host, place, "me", release, &v2, &options));
        (bench.world.clone(), task)
    });
    let results = crate::rollout::world::run_all(tasks.collect());
    for (n, (bench, result)) in benches.iter().zip(results).enumerate() {
        let live = bench.state().live.unwrap().revision;
        match n % 7 {
            0 => assert_eq!((error::kind(&result.expect_err("it crashes")).code(), live), (5, 1)),
            _ => assert_eq!((result.unwrap().ended, live), (Ended::Healthy, 2)),
        }
        bench.sound();
    }
}

/// Found by seed 189: under `dynamicStable` the live slot went to zero at weight 100, while callers inside the cluster
/// still came to it by the service's own name.
#[test]
fn a_dynamic_live_slot_serves_the_services_name_until_the_switch() {
    let bench = Bench::new(
        true,
        4,
        "{strategy: canary, dynamicStable: true, scaleDownDelay: 10s, steps: [{weight: 50}]}",
    );
    bench.deploy("v1", Options::default()).unwrap();
    bench.deploy("v2", Options::default()).unwrap();
    let world = lock(&bench.world);
    let at = |what: &str| world.log.iter().position(|l| l.contains(what)).unwrap_or_else(|| panic!("{what}"));
    assert!(at("Select(Green)") < at("Scale { slot: Blue, replicas: 0 }"), "{}", world.log.join("\n"));
    drop(world);
    bench.sound();
}

/// A driver dies before it has asked for pods; who attaches long after the progress deadline still gets them time.
#[test]
fn nobodys_time_is_not_the_candidates() {
    for strategy in STRATEGIES {
        for cut in 1..=4 {
            let bench = bench(false, strategy, Behaviour::Good);
            let before = lock(&bench.world).writes;
            // Lease, installation, template, state; then effect by effect.
            lock(&bench.world).kill_at = Some((before + 4 + cut, false));
            let (place, host) = (Place::new(&bench.world), Machine::new(&bench.world, "me"));
            let (release, v2, options) = (bench.release(), template("v2"), Options::default());
            run(&bench.world, vec![Box::pin(rolled(&host, &place, "me", &release, &v2, &options))]);
            kill(&bench);
            lock(&bench.world).kill_at = None;
            bench.later(24 * 3600);
            let ended = bench.attach(false).map(|o| o.ended);
            assert!(matches!(ended, Ok(Ended::Healthy)), "{strategy} cut {cut}: {ended:?}");
            let state = bench.state();
            // Cut before the beginning was saved, nothing began.
            let wanted = state.deploys.len() as u32;
            assert_eq!(state.live.unwrap().revision, wanted, "{strategy} cut {cut}");
        }
    }
}

/// What someone asked of a driver that was dead is obeyed before what is asked next.
#[test]
fn a_pending_intent_is_obeyed_first() {
    let bench = Bench::new(true, 3, "{strategy: canary, steps: [{weight: 34}, {pause: {}}]}");
    bench.deploy("v1", Options::default()).unwrap();
    bench.deploy("v2", Options::default()).unwrap();
    intend(&bench, Verb::Scale(5));
    bench.ask(Verb::Promote { full: false }).unwrap();
    let state = bench.state();
    assert_eq!((state.live.unwrap().revision, state.replicas), (2, 5), "{:?}", state.intents);
    assert_eq!(lock(&bench.world).available(Slot::Green), 5);
    bench.sound();
}

/// A take-over that failed half-way leaves the Lease as it found it: whoever comes next raises the epoch too.
#[test]
fn a_failed_take_over_is_taken_over() {
    let bench = bench(true, "canary", Behaviour::Good);
    let writes = lock(&bench.world).writes;
    lock(&bench.world).kill_at = Some((writes + 8, true));
    let (place, host) = (Place::new(&bench.world), Machine::new(&bench.world, "elsewhere"));
    let (release, v2, options) = (bench.release(), template("v2"), Options::default());
    run(&bench.world, vec![Box::pin(rolled(&host, &place, "elsewhere", &release, &v2, &options))]);
    lock(&bench.world).dead.insert(host.holder());
    lock(&bench.world).fault_per_mille = 1000;
    assert!(bench.attach(false).is_err());
    lock(&bench.world).fault_per_mille = 600;
    for _ in 0..20 {
        let _ = bench.attach(false);
        let world = lock(&bench.world);
        if let Some(lease) = world.lease.clone().filter(|l| l.holder.is_empty()) {
            // Left cleanly: then everything is fenced.
            assert!(world.epochs().iter().all(|e| *e >= 2), "{lease:?} {:?}", world.epochs());
        }
    }
}

/// Found by seed 6129: a take-over that could not even read the state gave the Lease up as if all were fenced.
#[test]
fn a_take_over_that_reads_no_state_is_taken_over() {
    let bench = bench(true, "canary", Behaviour::Good);
    let (place, host) = (Place::new(&bench.world), Machine::new(&bench.world, "me"));
    let gone =
        crate::platform::Lease { holder: "elsewhere".into(), ..lock(&bench.world).lease.clone().unwrap() };
    lock(&bench.world).lease = Some(gone);
    lock(&bench.world).dead.insert("elsewhere".into());
    lock(&bench.world).rewrite("unreadable".into());
    let fails = async { Driver::begin(&host, &place, "orders", Patience::None).await.is_err() };
    assert_eq!(run(&bench.world, vec![Box::pin(fails) as Task<'_, bool>]), [Some(true)]);
    let lease = lock(&bench.world).lease.clone().unwrap();
    assert_eq!(lease.holder, host.holder(), "whoever comes next raises the epoch");
}

/// Found by seed 771: pods that cannot be asked answer at once, and were asked again at once, without end.
#[test]
fn pods_that_cannot_be_asked_are_not_asked_without_rest() {
    let bench = Bench::new(true, 4, "{strategy: canary, steps: [{weight: 50}, {pause: 5s}]}");
    bench.deploy("v1", Options::default()).unwrap();
    lock(&bench.world).lag = 2000;
    bench.deploy("v2", Options::default()).unwrap();
    let (asked, lasted) = {
        let world = lock(&bench.world);
        (world.scraped, world.now / 1000)
    };
    assert!(asked > 0 && u64::from(asked) < lasted, "{asked} times in {lasted} s");
    bench.sound();
}

/// Found by seed 10550: a driver at its end began again what another retried, gave weight to pods that it had taken
/// itself a moment ago, and left the rollout to nobody.
#[test]
fn who_ends_leaves_a_retry_to_who_asks_for_it() {
    let bench = Bench::new(true, 3, "{strategy: canary, abortDelay: 1s, steps: [{weight: 34}, {pause: 2m}]}");
    bench.deploy("v1", Options::default()).unwrap();
    let (ci, you) = (Machine::new(&bench.world, "ci"), Machine::new(&bench.world, "you"));
    let (at_ci, at_you) = (Place::new(&bench.world), Place::new(&bench.world));
    let (release, v2, options) = (bench.release(), template("v2"), Options::default());
    let driven = async {
        let result = rolled(&ci, &at_ci, "ci", &release, &v2, &options).await;
        error::kind(&result.expect_err("aborted")).code() == 5
    };
    let retried = async {
        you.sleep(Duration::from_secs(20)).await;
        ask::ask(&you, &at_you, "orders", "you", Verb::Abort).await.unwrap();
        while lock(&bench.world).desired(Slot::Green) > 0 {
            you.sleep(Duration::from_millis(50)).await;
        }
        let done = ask::ask(&you, &at_you, "orders", "you", Verb::Retry).await.unwrap();
        matches!(done, ask::Obeyed::Driven(outcome) if outcome.ended == Ended::Healthy)
    };
    let results = run(&bench.world, vec![Box::pin(driven) as Task<'_, bool>, Box::pin(retried)]);
    assert_eq!(results, [Some(true), Some(true)], "{}", lock(&bench.world).log.join("\n"));
    let state = bench.state();
    assert_eq!((state.live.unwrap().revision, state.deploys.len(), state.intents.len()), (2, 2, 0));
    bench.sound();
}

fn intend(bench: &Bench, verb: Verb) {
    use crate::platform::Platform;
    let place = Place::new(&bench.world);
    let mut state = bench.state();
    state.intents.push(Intent { verb, by: "other".into(), at: lock(&bench.world).time() });
    let stored = run(&bench.world, vec![Box::pin(place.load())]).pop().unwrap().unwrap().unwrap().unwrap();
    let body = state.body();
    run(&bench.world, vec![Box::pin(place.save(&body, Some(&stored.version)))]);
}

/// Found by seed 331: a retry that somebody dead had asked for was told as obeyed, made one's own retry an error, and
/// was never saved; whoever came next obeyed it once more.
#[test]
fn what_was_asked_before_is_done_even_where_it_leaves_nothing_to_ask() {
    let bench = Bench::new(true, 3, "{strategy: canary, steps: [{weight: 34}, {pause: {}}]}");
    bench.deploy("v1", Options::default()).unwrap();
    bench.deploy("v2", Options::default()).unwrap();
    bench.ask(Verb::Abort).unwrap();
    intend(&bench, Verb::Retry);
    let done = bench.ask(Verb::Retry).unwrap();
    assert!(matches!(done, ask::Obeyed::Driven(outcome) if outcome.ended == Ended::Paused));
    let state = bench.state();
    assert_eq!((state.rollout.unwrap().stage, state.intents.len()), (Stage::Steps, 0));
    bench.sound();
}

/// Found by seed 353: each further `promote --full` put the progress deadline off.
#[test]
fn a_second_full_promotion_changes_nothing() {
    let bench = Bench::new(true, 3, "{strategy: canary, steps: [{weight: 34}, {pause: {}}]}");
    bench.deploy("v1", Options::default()).unwrap();
    bench.deploy("v2", Options::default()).unwrap();
    let full = |state: &State, after: i64| {
        let at = lock(&bench.world).time() + jiff::SignedDuration::from_secs(after);
        let intent = Intent { verb: Verb::Promote { full: true }, by: "you".into(), at };
        obey(state, &intent, at).unwrap().0
    };
    let once = full(&bench.state(), 0);
    assert_eq!(full(&once, 30), once);
}
