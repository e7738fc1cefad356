//! Rollouts beside autoscalers that ask for what they like: nobody is starved, nothing is reset, bounds come back.

use super::ask::Obeyed;
use super::scenarios::{Bench, code, first};
use super::world::{Machine, lock};
use super::*;

const OWN: Scaler = Scaler { min: 2, max: 8, shrinks: true, held: false };

fn bench(router: bool, seed: u64, rollout: &str) -> Bench {
    let mut bench = Bench::new(router, 1, rollout);
    let text = format!("service: orders\nautoscaling: {{min: 2, max: 8}}\nrollout: {rollout}\n");
    bench.service = crate::service::parse_yaml(&text, std::path::Path::new("msctl.yaml")).unwrap();
    {
        let mut world = lock(&bench.world);
        world.scaling = Some(OWN);
        world.dice.0 = seed;
    }
    bench
}

/// The live slot is within its bounds and at full strength; both autoscalers are free.
fn whole(bench: &Bench, seed: u64) {
    bench.later(60);
    let _ = bench.attach(true);
    let live = bench.state().live.unwrap().slot;
    let world = lock(&bench.world);
    let log = || world.log[world.log.len().saturating_sub(40)..].join("\n");
    assert_eq!(world.scaler(live), Some(OWN), "seed {seed}:\n{}", log());
    assert!((2..=8).contains(&world.desired(live)), "seed {seed}: {}", world.desired(live));
    let other = world.scaler(live.other());
    assert!(other.is_none_or(|s| s == OWN), "seed {seed}: {other:?}\n{}", log());
    assert_eq!(world.desired(live.other()), 0, "seed {seed}:\n{}", log());
    drop(world);
    bench.sound();
}

/// Sets the live slot's number as its autoscaler would.
fn grown(bench: &Bench, pods: u32) {
    let live = bench.state().live.unwrap().slot;
    lock(&bench.world).resize(live, pods);
    bench.later(5);
}

#[test]
fn a_replica_canary_pins_both_slots_to_the_step() {
    let steps = "{strategy: canary, surge: 1, steps: [{weight: 25}, {pause: {}}, {weight: 50}, {pause: {}}]}";
    let bench = bench(false, 5, steps);
    first(&bench);
    grown(&bench, 6);
    let before = lock(&bench.world).desired(Slot::Blue);
    assert!(before >= 2);
    assert_eq!(code(&bench.deploy("v2", Options::default())), 6);
    let size = bench.state().rollout.unwrap().size.unwrap();
    let pinned = |bench: &Bench| {
        let world = lock(&bench.world);
        for slot in Slot::ALL {
            let n = world.desired(slot);
            assert_eq!(
                world.scaler(slot),
                Some(Scaler { held: true, ..Scaler::free(n, n) }),
                "{slot}\n{}",
                world.log.join("\n")
            );
        }
        (world.desired(Slot::Green), world.desired(Slot::Blue))
    };
    let wanted = |weight| {
        let split = super::replicas::split(size, weight, true);
        (split.candidate, split.live)
    };
    assert_eq!(pinned(&bench), wanted(25));
    bench.later(30);
    assert_eq!(pinned(&bench), wanted(25), "the autoscalers stay where they are held");
    bench.ask(Verb::Promote { full: false }).unwrap();
    assert_eq!(pinned(&bench), wanted(50));
    bench.ask(Verb::Promote { full: false }).unwrap();
    assert_eq!(bench.status().phase, Phase::Healthy);
    whole(&bench, 5);
}

#[test]
fn with_a_router_the_live_slot_does_not_shrink() {
    let bench = bench(true, 9, "{strategy: canary, steps: [{weight: 50}, {pause: {}}]}");
    first(&bench);
    grown(&bench, 6);
    let before = lock(&bench.world).desired(Slot::Blue);
    assert_eq!(code(&bench.deploy("v2", Options::default())), 6);
    let (live, candidate) = {
        let world = lock(&bench.world);
        (world.scaler(Slot::Blue).unwrap(), world.scaler(Slot::Green).unwrap())
    };
    assert_eq!(live, Scaler { shrinks: false, held: true, ..OWN });
    assert!(candidate.min >= before.div_ceil(2), "{candidate:?} for half of {before}");
    bench.later(100);
    assert!(lock(&bench.world).desired(Slot::Blue) >= before);
    bench.ask(Verb::Abort).unwrap();
    whole(&bench, 9);
}

#[test]
fn an_adopted_autoscaler_keeps_bounds_of_its_own() {
    let bench = bench(true, 11, "{strategy: canary, steps: [{weight: 50}, {pause: {}}]}");
    first(&bench);
    let theirs = Scaler::free(3, 5);
    {
        let mut state = bench.state();
        state.adopted = Some(Adopted {
            slot: Slot::Blue,
            deployment: "legacy".into(),
            labels: Default::default(),
            service: None,
            scaler: Some(Bounded { name: "theirs".into(), own: theirs }),
            revision: 1,
            active: true,
        });
        let mut world = lock(&bench.world);
        world.rewrite(state.body());
        world.rescale(Slot::Blue, theirs);
    }
    let both = |bench: &Bench| {
        let world = lock(&bench.world);
        [world.scaler(Slot::Blue).unwrap(), world.scaler(Slot::Green).unwrap()]
    };
    assert_eq!(code(&bench.deploy("v2", Options::default())), 6);
    let [live, candidate] = both(&bench);
    assert_eq!(live, Scaler { shrinks: false, held: true, ..theirs });
    assert_eq!((candidate.max, candidate.held), (OWN.max, true), "{candidate:?}");
    bench.ask(Verb::Abort).unwrap();
    bench.later(60);
    let _ = bench.attach(true);
    assert_eq!(both(&bench), [theirs, OWN]);
    // What somebody sets between two rollouts is theirs to get back.
    let wider = Scaler::free(4, 7);
    lock(&bench.world).rescale(Slot::Blue, wider);
    assert_eq!(code(&bench.deploy("v3", Options::default())), 6);
    assert_eq!(both(&bench)[0], Scaler { shrinks: false, held: true, ..wider });
    bench.ask(Verb::Promote { full: false }).unwrap();
    bench.later(60);
    let _ = bench.attach(true);
    assert_eq!(both(&bench), [wider, OWN]);
    assert_eq!(bench.state().live.unwrap().slot, Slot::Green);
    bench.sound();
}

#[test]
fn bounds_come_back_at_every_end_whoever_dies() {
    for seed in 0..60u64 {
        let router = seed % 2 == 0;
        let strategy =
            ["canary, steps: [{weight: 30}, {weight: 60}]", "blue-green", "rolling"][seed as usize % 3];
        let bench =
            bench(router, seed * 7 + 1, &format!("{{strategy: {strategy}, surge: 1, abortDelay: 2s}}"));
        first(&bench);
        grown(&bench, 2 + (seed % 7) as u32);
        {
            let mut world = lock(&bench.world);
            let after = world.writes + 1 + seed % 40;
            world.kill_at = Some((after, seed % 5 < 2));
        }
        let _ = bench.try_deploy("v2");
        let holder = super::host::Host::holder(&Machine::new(&bench.world, "me"));
        lock(&bench.world).dead.insert(holder);
        lock(&bench.world).kill_at = None;
        if seed % 4 == 3 {
            if let Ok(Obeyed::Said(..)) = bench.ask(Verb::Abort) {}
        } else {
            let _ = bench.attach(false);
        }
        whole(&bench, seed);
    }
}
