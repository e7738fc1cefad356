//! Random schedules from one seed: the real core and driver over the simulated world, with lagging watches, faults,
//! kills at any write, rival drivers and people's verbs; invariants hold at every moment and the end is whole.
//! `MSCTL_SIM_SEED=n cargo test --lib simulation` replays one, `MSCTL_SIM_SCHEDULES=100000` runs as many.

use std::time::Duration;

use super::deploy::rolled;
use super::host::Host;
use super::operate;
use super::scenarios::{Bench, template};
use super::world::{Behaviour, Dice, Machine, Place, Task, lock, run};
use super::*;
use crate::error;

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

/// Scenario 26: killed before or after any write, then attached: the same end as without.
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
            let whole = bench(router, strategy, behaviour);
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
                    let cutted = bench(router, strategy, behaviour);
                    lock(&cutted.world).kill_at = Some((before.0 + cut, after));
                    let (place, host) = (Place::new(&cutted.world), Machine::new(&cutted.world, "me"));
                    let (release, template, options) = (cutted.release(), template("v2"), Options::default());
                    let task = Box::pin(rolled(&host, &place, "me", &release, &template, &options));
                    let result = run(&cutted.world, vec![task]).pop().unwrap();
                    assert!(result.is_none(), "{strategy} router {router}: not killed at write {cut}");
                    kill(&cutted);
                    let begun = cutted.state().deploys.len() > 1;
                    settle(&cutted);
                    let wanted = if begun { &end } else { &before.1 };
                    let got = lock(&cutted.world).summary();
                    let log = || lock(&cutted.world).log.join("\n");
                    assert_eq!(
                        &got,
                        wanted,
                        "{strategy} router {router} {behaviour:?} cut {cut} after {after}\n{}",
                        log()
                    );
                    cutted.sound();
                    cuts += 1;
                }
            }
        }
    }
    assert!(cuts > 200, "{cuts}");
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
    assert!(lock(&bench.world).epoch > 1, "the old driver is fenced off");
    bench.sound();
}

/// Scenario 29: who wakes with an old epoch changes nothing.
#[test]
fn scenario_29_a_sleeper_is_fenced() {
    use crate::platform::{Error, Platform};
    let bench = bench(true, "canary", Behaviour::Good);
    let place = Place::new(&bench.world);
    lock(&bench.world).epoch = 5;
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
            operate::ask(&you, &at_you, "orders", "you", Verb::Abort).await.unwrap();
            lock(&bench.world).now - asked
        };
        let results = run(&bench.world, vec![Box::pin(driven) as Task<'_, u64>, Box::pin(aborted)]);
        assert_eq!(results[0], Some(5));
        assert!(results[1].unwrap() < 1000, "obeyed after {:?} ms", results[1]);
        assert_eq!(bench.status().phase, Phase::Aborted);
        bench.sound();
    }
}

#[allow(clippy::disallowed_methods)]
fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn random_schedules_keep_every_promise() {
    if let Some(seed) = variable("MSCTL_SIM_SEED") {
        return schedule(seed, true);
    }
    let schedules = variable("MSCTL_SIM_SCHEDULES").unwrap_or(150);
    let workers = std::thread::available_parallelism().map_or(2, |n| n.get() as u64);
    let work = |worker: u64| {
        for seed in (worker..schedules).step_by(workers as usize) {
            let done = std::panic::catch_unwind(|| schedule(seed, false));
            assert!(done.is_ok(), "replay with: MSCTL_SIM_SEED={seed} cargo test --lib random_schedules");
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..workers).map(|w| scope.spawn(move || work(w))).collect();
        threads.into_iter().for_each(|t| t.join().expect("every schedule keeps its promises"));
    });
}

/// What a person, a rival and fate do in one schedule.
struct Script {
    replicas: u32,
    router: bool,
    rollout: String,
    verbs: Vec<(u64, Verb)>,
    rival: Option<(u64, &'static str)>,
    lethal: bool,
}

fn script(dice: &mut Dice) -> Script {
    let strategy = STRATEGIES[dice.below(3) as usize];
    let replicas = 1 + dice.below(5) as u32;
    let steps = [
        "[{weight: 20}, {weight: 60}]",
        "[{weight: 34}, {pause: 5s}, {weight: 67}]",
        "[{weight: 50}, {pause: {}}]",
        "[{weight: 1}, {weight: 99}]",
    ][dice.below(4) as usize];
    let (surge, unavailable) = [(1, 0), (0, 1), (2, 1), (1, 1)][dice.below(4) as usize];
    let delay = [0, 30, 3600][dice.below(3) as usize];
    let dynamic = dice.chance(200);
    let promote = ["auto", "manual", "3s"][dice.below(3) as usize];
    let rollout = format!(
        "{{strategy: {strategy}, steps: {steps}, surge: {surge}, unavailable: {unavailable}, scaleDownDelay: {delay}s, \
         abortDelay: {}s, dynamicStable: {dynamic}, progressDeadline: 60s, blueGreen: {{promote: {promote}}}}}",
        [1, 30][dice.below(2) as usize]
    );
    let verb = |dice: &mut Dice| match dice.below(7) {
        0 | 1 => Verb::Abort,
        2 => Verb::Promote { full: false },
        3 => Verb::Promote { full: true },
        4 => Verb::Pause,
        5 => Verb::Resume,
        _ => Verb::Retry,
    };
    let verbs = (0..dice.below(4)).map(|_| (dice.below(12_000), verb(dice))).collect();
    let rival = dice.chance(300).then(|| (dice.below(10_000), ["v3", "v1"][dice.below(2) as usize]));
    Script { replicas, router: dice.chance(500), rollout, verbs, rival, lethal: dice.chance(400) }
}

fn schedule(seed: u64, tell: bool) {
    let mut dice = Dice(seed ^ 0x5eed);
    let script = script(&mut dice);
    let bench = Bench::new(script.router, script.replicas, &script.rollout);
    bench.deploy("v1", Options::default()).unwrap();
    let behave = |dice: &mut Dice| match dice.below(8) {
        0 => Behaviour::Crashes(dice.below(1500)),
        1 => Behaviour::NeverReady,
        _ => Behaviour::Good,
    };
    for revision in [2, 3] {
        bench.behave(revision, behave(&mut dice));
    }
    {
        let spec = Spec::resolve(&bench.service, &Options::default()).unwrap();
        let mut world = lock(&bench.world);
        world.dice = Dice(dice.next());
        world.watch_delay = [0, 50, 400][dice.below(3) as usize];
        world.fault_per_mille = [0, 0, 20, 100][dice.below(4) as usize];
        world.unavailable =
            if spec.surge.ceil(script.replicas) == 0 { 1 } else { spec.unavailable.floor(script.replicas) };
        let bounds = replicas::Bounds::new(
            script.replicas,
            spec.surge.ceil(script.replicas),
            spec.unavailable.floor(script.replicas),
        );
        world.floor = Some(bounds.floor());
        if script.lethal {
            world.kill_at = Some((world.writes + 1 + dice.below(40), dice.chance(500)));
        }
    }
    play(&bench, &script);
    {
        let mut world = lock(&bench.world);
        world.fault_per_mille = 0;
        world.kill_at = None;
        for name in ["me", "rival", "you"] {
            world.dead.insert(format!("{name}@sim:1:1-1"));
        }
    }
    conclude(&bench, seed, tell);
}

fn play(bench: &Bench, script: &Script) {
    let (me, rival, you) = (
        Machine::new(&bench.world, "me"),
        Machine::new(&bench.world, "rival"),
        Machine::new(&bench.world, "you"),
    );
    let places = [Place::new(&bench.world), Place::new(&bench.world), Place::new(&bench.world)];
    let (release, v2) = (bench.release(), template("v2"));
    let options = Options { timeout: Some(Duration::from_secs(300)), ..Default::default() };
    let mut tasks: Vec<Task<'_, ()>> = vec![Box::pin(async {
        let _ = rolled(&me, &places[0], "me", &release, &v2, &options).await;
    })];
    if let Some((at, version)) = script.rival {
        let (rival, place, release, options) = (&rival, &places[1], &release, &options);
        tasks.push(Box::pin(async move {
            rival.sleep(Duration::from_millis(at)).await;
            let _ = rolled(rival, place, "rival", release, &template(version), options).await;
        }));
    }
    tasks.push(Box::pin(async {
        for (at, verb) in &script.verbs {
            you.sleep(Duration::from_millis(*at)).await;
            let _ = operate::ask(&you, &places[2], "orders", "you", verb.clone()).await;
        }
    }));
    run(&bench.world, tasks);
}

/// Whoever comes next brings it to an end, and that end is whole.
fn conclude(bench: &Bench, seed: u64, tell: bool) {
    settle(bench);
    let state = bench.state();
    let world = lock(&bench.world);
    let log = || format!("seed {seed}\n{:?}\n{}", state.rollout, world.log.join("\n"));
    if tell {
        println!("{}\n{}", log(), world.summary());
    }
    assert!(world.broken.is_empty(), "{:#?}\n{}", world.broken, log());
    let live = state.live.expect("something is live");
    assert!(state.under_way().is_none(), "not ended\n{}", log());
    let good = |revision: u32| matches!(world.behaviours.get(&revision), None | Some(Behaviour::Good));
    assert!(good(live.revision), "revision {} is live\n{}", live.revision, log());
    assert_eq!(world.revision(live.slot), live.revision, "{}", log());
    assert_eq!(world.available(live.slot), bench.service.replicas, "{}", log());
    assert_eq!(world.selection, Some(Selection::only(live.slot)), "{}", log());
    if let Some((routing, ..)) = &world.route {
        assert!(routing.same(&Routing::all(live.slot)), "{routing:?}\n{}", log());
    }
    assert_eq!(world.present(live.slot.other()), 0, "the other slot is not drained\n{}", log());
}
