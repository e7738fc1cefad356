//! Plays a script, lets somebody bring it to an end, and looks at that end.

use std::time::Duration;

use super::script::{Act, Actor, Script};
use crate::rollout::deploy::rolled;
use crate::rollout::host::Host;
use crate::rollout::scenarios::{Bench, template};
use crate::rollout::world::{Behaviour, Fate, Machine, Opinion, Place, Task, lock, run_named};
use crate::rollout::*;
use crate::rollout::{ask, attach, contract, undo};
use crate::service::Strategy;

/// Plays the schedule of `seed`; its log, where it is recorded. Panics with what it broke.
pub fn schedule(seed: u64, recording: bool) -> String {
    let script = Script::throw(seed);
    let bench = stage(&script, seed, recording);
    play(&bench, &script);
    calm(&bench, &script);
    settle(&bench);
    judge(&bench, &script);
    answered(&bench, &script);
    // A version that dies when it has served for a while ends as the moment has it.
    let mortal = script.behaviours.iter().any(|(r, b)| *r == 2 && matches!(b, Behaviour::DiesAfter(_)));
    if script.plain && !mortal && bench.state().deploys.len() > 1 {
        let twin = script.undisturbed();
        let other = stage(&twin, seed, false);
        play(&other, &twin);
        calm(&other, &twin);
        settle(&other);
        let (ours, theirs) = (end(&bench), end(&other));
        assert_eq!(ours, theirs, "not as an undisturbed run ends\n{}", told(&bench, &script));
    }
    told(&bench, &script)
}

fn end(bench: &Bench) -> String {
    let state = bench.state();
    let stage = state.rollout.map(|r| r.stage);
    format!("{:?} {stage:?} {}", state.live, lock(&bench.world).summary())
}

fn told(bench: &Bench, script: &Script) -> String {
    let state = bench.state();
    let world = lock(&bench.world);
    if !world.recording {
        return String::new();
    }
    format!("{script:#?}\n{:#?}\n{}\n{}", state.rollout, world.log.join("\n"), world.summary())
}

fn stage(script: &Script, seed: u64, recording: bool) -> Bench {
    let (min, max) = (script.replicas, script.replicas + 3);
    let mut more = String::new();
    if script.autoscaled {
        more += &format!("autoscaling: {{min: {min}, max: {max}}}\n");
    }
    if script.migrated.is_some() {
        more += "migrations: {expand: [expand], contract: [contract]}\n";
    }
    let bench = Bench::of(script.router, script.replicas, &script.rollout, &more);
    if script.autoscaled {
        lock(&bench.world).scaling = Some(Scaler::free(min, max));
    }
    lock(&bench.world).schema.longest = script.migrated.map(|m| m.longest);
    lock(&bench.world).recording = recording;
    bench.deploy("v1", Options::default()).unwrap();
    let rollout = &bench.service.rollout;
    let mut world = lock(&bench.world);
    world.dice.0 = seed;
    world.unavailable =
        if rollout.surge.ceil(script.replicas) == 0 { 1 } else { rollout.unavailable.floor(script.replicas) };
    world.laws.strict = Some((rollout.surge, rollout.unavailable));
    let others = script.actors.iter().any(|a| matches!(a.act, Act::Deploy(_, Some(_))));
    world.laws.double = others
        || !(script.strategy == Strategy::Rolling || (script.strategy == Strategy::Canary && !script.router));
    world.laws.dynamic = rollout.dynamic_stable;
    let hasty = script.actors.iter().filter(|a| matches!(a.act, Act::Ask(Verb::Abort) | Act::Undo));
    world.laws.promises.hasty = hasty.map(|a| Machine::new(&bench.world, &a.name).holder()).collect();
    world.laws.autoscaled = script.autoscaled;
    world.behaviours.extend(script.behaviours.iter().copied());
    world.watch_delay = script.watch_delay;
    world.silence_per_mille = script.silence;
    world.latency = script.latency;
    world.fault_per_mille = script.faults;
    world.harsh = script.harsh;
    world.endpoint_lag = script.endpoint_lag;
    world.schema.fails_per_mille = script.migrated.map_or(0, |m| m.fails_per_mille);
    if let Some(judged) = &script.judged {
        world.court.opinions = judged.opinions.iter().copied().collect();
        world.court.longest = judged.longest;
    }
    let begun = world.now;
    let fates = script.fates.iter().filter(|(_, f)| script.autoscaled || !matches!(f, Fate::Scale(_)));
    world.fates = fates.map(|(at, fate)| (begun + at, fate.clone())).collect();
    world.kill_at = script.kill_at.map(|(at, after)| (world.writes + at, after));
    for actor in &script.actors {
        let name = actor.name.clone();
        world.skewed.insert(name.clone(), actor.skew);
        if let Some((from, to)) = actor.asleep {
            world.asleep.insert(name.clone(), vec![(begun + from, begun + to)]);
        }
        if let Some(at) = actor.dies {
            world.dies.insert(name, begun + at);
        }
    }
    drop(world);
    bench
}

fn play(bench: &Bench, script: &Script) {
    let release = bench.release();
    let stages: Vec<(Machine, Place)> = script
        .actors
        .iter()
        .map(|a| (Machine::new(&bench.world, &a.name), Place::named(&bench.world, &a.name)))
        .collect();
    let release = &release;
    let tasks = script.actors.iter().zip(&stages).map(|(actor, (machine, place))| {
        let task: Task<'_, ()> = Box::pin(async move {
            if actor.at > 0 {
                machine.sleep(Duration::from_millis(actor.at)).await;
            }
            act(bench, actor, machine, place, release).await;
        });
        (actor.name.clone(), task)
    });
    run_named(&bench.world, tasks.collect());
}

async fn act(
    bench: &Bench,
    actor: &Actor,
    machine: &Machine,
    place: &Place,
    release: &crate::platform::Release,
) {
    let by = actor.name.as_str();
    let wrong = match &actor.act {
        Act::Deploy(version, strategy) => {
            let options = Options {
                strategy: *strategy,
                timeout: Some(Duration::from_secs(300)),
                ..Default::default()
            };
            rolled(machine, place, by, release, &template(version), &options).await.err()
        }
        Act::Ask(verb) => ask::ask(machine, place, "orders", by, verb.clone()).await.err(),
        Act::Undo => undo::back(machine, place, &bench.service, by, None).await.err(),
        Act::Contract => contract::contracted(machine, place, &bench.service).await.err(),
        Act::Attach { once } => attach::resume(machine, place, "orders", *once).await.err(),
    };
    lock(&bench.world).note(|_| match wrong {
        Some(error) => format!("[{by}] {:?} ends: {error:#}", actor.act),
        None => format!("[{by}] {:?} is done", actor.act),
    });
}

/// Faults stop, and everybody has gone.
fn calm(bench: &Bench, script: &Script) {
    let mut world = lock(&bench.world);
    world.fault_per_mille = 0;
    world.silence_per_mille = 0;
    world.fates.clear();
    world.kill_at = None;
    world.restless = false;
    world.dies.clear();
    world.asleep.clear();
    for actor in script.actors.iter().filter(|a| a.seen_dead) {
        let holder = Machine::new(&bench.world, &actor.name).holder();
        world.dead.insert(holder);
    }
    world.note(|_| "--- all is calm".into());
}

/// Whoever comes next brings it to an end, what was late too.
fn settle(bench: &Bench) {
    settle_rollout(bench);
    // Pods come and go a little after what asked for it.
    bench.later(120);
}

fn settle_rollout(bench: &Bench) {
    for _ in 0..8 {
        let _ = bench.attach(false);
        bench.later(4000);
        let _ = bench.attach(false);
        let status = bench.status();
        match (status.phase, status.reason.as_str()) {
            (Phase::Paused, "contested" | "held") => drop(bench.ask(Verb::Resume)),
            (Phase::Paused, _) => drop(bench.ask(Verb::Promote { full: true })),
            _ => {
                let state = bench.state();
                if state.under_way().is_none()
                    && !state.resizing
                    && state.rollout.is_none_or(|r| r.tidy || r.stage == Stage::Failed)
                {
                    return;
                }
            }
        }
    }
}

/// Everybody asked once: nobody is obeyed twice, and who is not hears of it.
fn answered(bench: &Bench, script: &Script) {
    let world = lock(&bench.world);
    let promises = &world.laws.promises;
    let twice =
        script.actors.iter().find(|a| promises.obeyed.iter().any(|((by, _), n)| *by == a.name && *n > 1));
    let twice = twice.map(|a| a.name.clone());
    // Who dies, or loses an answer, may do so before it tells.
    let deadly =
        script.faults > 0 || script.kill_at.is_some() || script.actors.iter().any(|a| a.dies.is_some());
    let lost: Vec<_> = promises.lost().into_iter().filter(|_| !deadly).cloned().collect();
    drop(world);
    assert_eq!(twice, None, "obeyed twice\n{}", told(bench, script));
    assert!(lost.is_empty(), "asked for, and lost: {lost:?}\n{}", told(bench, script));
}

fn judge(bench: &Bench, script: &Script) {
    let state = bench.state();
    let told = || told(bench, script);
    let world = lock(&bench.world);
    let broken = world.broken.clone();
    let (meddled, live) = (world.laws.meddled, state.live.expect("something is live"));
    let behaviour = world.behaviours.get(&live.revision).copied().unwrap_or(Behaviour::Good);
    let (revision, available, desired) =
        (world.revision(live.slot), world.available(live.slot), world.desired(live.slot));
    let others = world.present(live.slot.other());
    let (selection, route) = (world.selection, world.route.clone());
    let (scaler, own) = (world.scaler(live.slot), world.scaling);
    let (left, opinion) = (world.court.left(), world.court.opinion(live.revision));
    drop(world);
    assert!(broken.is_empty(), "{:#?}\n{}", broken, told());
    assert!(state.under_way().is_none(), "it has not ended\n{}", told());
    assert!(!state.resizing || !behaviour.good(), "the number of pods is not settled\n{}", told());
    assert_eq!(revision, live.revision, "the live slot runs another revision\n{}", told());
    assert!(left.is_empty(), "what judged is left: {left:?}\n{}", told());
    // Tests end by whoever promotes or aborts them, whatever was measured.
    let tests = matches!(script.strategy, Strategy::Ab | Strategy::Mirror);
    if script.plain && script.judged.is_some() && !tests {
        assert_ne!(opinion, Opinion::Bad, "a version that was judged bad is live\n{}", told());
    }
    if state.rollout.as_ref().is_some_and(|r| r.stage == Stage::Healthy) {
        let window = bench.service.rollout.rollback_window;
        assert_eq!(state.contract_due(window), None, "a contract is still due\n{}", told());
    }
    let last = state.deploys.iter().rev().find(|d| d.result == DeployResult::Healthy);
    assert_eq!(last.map(|d| d.revision), Some(live.revision), "the history says otherwise\n{}", told());
    let stage = state.rollout.as_ref().map(|r| r.stage);
    // What was to be gone back to has died on the way: who serves instead keeps what reaches it, and its pods.
    let stranded = stage == Some(Stage::Failed) && !behaviour.good();
    let wanted = if script.autoscaled { desired } else { state.replicas };
    assert!(desired == wanted || stranded, "{desired} pods asked for, not {wanted}\n{}", told());
    if behaviour.good() {
        assert_eq!(available, wanted, "available pods\n{}", told());
    } else {
        assert!(
            matches!(behaviour, Behaviour::DiesAfter(_)),
            "a version that never serves is live\n{}",
            told()
        );
    }
    if !meddled.0 && !stranded {
        assert_eq!(selection, Some(Selection::only(live.slot)), "the service's own name\n{}", told());
    }
    if let Some((routing, ..)) = route.filter(|_| !meddled.1 && !stranded) {
        assert!(routing.same(&Routing::all(live.slot)), "the route: {routing:?}\n{}", told());
    }
    if !stranded {
        assert_eq!(scaler, own.filter(|_| scaler.is_some()), "the autoscaler's own bounds\n{}", told());
    }
    if meddled == (false, false) && stage != Some(Stage::Failed) {
        assert_eq!(others, 0, "the other slot is not drained\n{}", told());
    }
}
