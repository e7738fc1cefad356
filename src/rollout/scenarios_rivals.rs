//! What the rivals' own end-to-end tests try, beyond the numbered scenarios: real engine and driver over the simulated
//! world.

use std::time::Duration;

use super::ask::Obeyed;
use super::deploy::Outcome;
use super::scenarios::{Bench, code, first, template};
use super::world::{Behaviour, Place, lock, run};
use super::*;
use crate::service::Strategy;

fn live(bench: &Bench) -> u32 {
    bench.state().live.unwrap().revision
}

fn promote(bench: &Bench) -> Obeyed {
    bench.ask(Verb::Promote { full: false }).unwrap()
}

fn ended(obeyed: &Obeyed) -> Option<Ended> {
    match obeyed {
        Obeyed::Driven(Outcome { ended, .. }) => Some(*ended),
        Obeyed::Said(..) => None,
    }
}

/// Available pods by revision that something leads to.
fn serving(bench: &Bench) -> Vec<(u32, u32)> {
    lock(&bench.world).serving().into_iter().collect()
}

/// The second version waits for a person beside the first.
fn paused(router: bool, replicas: u32, rollout: &str) -> Bench {
    let bench = Bench::new(router, replicas, rollout);
    first(&bench);
    assert_eq!(code(&bench.deploy("v2", Options::default())), 6);
    bench
}

fn strategy(strategy: Strategy) -> Options {
    Options { strategy: Some(strategy), ..Default::default() }
}

fn for_a_while(seconds: u64) -> Options {
    Options { timeout: Some(Duration::from_secs(seconds)), ..Default::default() }
}

/// Scaled up and down again while a version that never comes is beside the live one, with room for all.
#[test]
fn a_broken_candidate_with_surge_for_all_takes_no_live_pod() {
    let rollout = "{strategy: canary, surge: 100%, abortDelay: 1h, steps: [{weight: 100}, {pause: {}}]}";
    let bench = Bench::new(false, 4, rollout);
    first(&bench);
    bench.behave(2, Behaviour::NeverReady);
    assert_eq!(code(&bench.deploy("v2", for_a_while(30))), 124);
    assert_eq!(bench.pods(), (4, 4));
    for (replicas, pods) in [(8, (8, 4)), (4, (4, 4))] {
        let _ = bench.ask(Verb::Scale(replicas));
        assert_eq!(bench.pods(), pods, "R {replicas}");
        assert_eq!(lock(&bench.world).serving().get(&1), Some(&4));
    }
    let _ = bench.ask(Verb::Scale(8));
    bench.ask(Verb::Abort).unwrap();
    bench.later(60);
    let _ = bench.attach(true);
    assert_eq!(lock(&bench.world).serving().get(&1), Some(&8));
    bench.sound();
}

/// Weights that go down on the way: what was given is taken back, and nobody is short meanwhile.
#[test]
fn a_later_step_may_weigh_less() {
    for router in [false, true] {
        let rollout = "{strategy: canary, surge: 0, unavailable: 1, steps: [{weight: 100}, {pause: {}}, \
                       {weight: 20}, {pause: {}}, {weight: 70}, {pause: {}}]}";
        let bench = paused(router, 10, rollout);
        let mut seen = vec![bench.pods()];
        for _ in 0..2 {
            assert_eq!(ended(&promote(&bench)), Some(Ended::Paused));
            seen.push(bench.pods());
        }
        let expected = if router { [(10, 10), (2, 10), (7, 10)] } else { [(10, 0), (2, 8), (7, 3)] };
        assert_eq!(seen, expected);
        assert_eq!(ended(&promote(&bench)), Some(Ended::Healthy));
        bench.sound();
    }
}

/// Full weight at a pause, the old version at nothing: an abort brings its pods back before it takes the weight.
#[test]
fn an_abort_at_full_weight_brings_the_old_version_back_first() {
    for (router, more) in [(false, ""), (true, ", dynamicStable: true"), (true, "")] {
        let rollout = format!("{{strategy: canary, steps: [{{weight: 100}}, {{pause: {{}}}}]{more}}}");
        let bench = paused(router, 4, &rollout);
        // With a router, callers inside the cluster still come to the old version.
        assert_eq!(bench.pods(), (4, if router { 4 } else { 0 }), "{router}{more}");
        bench.ask(Verb::Abort).unwrap();
        let status = bench.status();
        assert_eq!((status.phase, status.slots.live.unwrap().available), (Phase::Aborted, 4));
        assert_eq!(lock(&bench.world).serving().keys().copied().collect::<Vec<_>>(), [1]);
        bench.sound();
    }
}

/// The stable version deployed again at a pause: the candidate is left, nothing is judged or waited for.
#[test]
fn the_live_version_deployed_at_a_pause_takes_the_candidate_back() {
    for router in [false, true] {
        for (kind, more) in [
            (Strategy::Canary, "steps: [{weight: 50}, {pause: {}}]"),
            (Strategy::BlueGreen, "blueGreen: {promote: manual}"),
        ] {
            let bench = Bench::new(router, 4, &format!("{{strategy: canary, {more}}}"));
            first(&bench);
            assert_eq!(code(&bench.deploy("v2", strategy(kind))), 6);
            let back = bench.deploy("v1", strategy(kind));
            let status = bench.status();
            assert_eq!(live(&bench), 1, "{kind:?} {router}: {back:?}");
            assert_eq!(status.slots.live.unwrap().available, 4);
            assert_eq!(lock(&bench.world).serving().keys().copied().collect::<Vec<_>>(), [1]);
            assert!(matches!(status.phase, Phase::Healthy | Phase::Aborted), "{:?}", status.phase);
            assert!(code(&back) == 0, "{kind:?} {router}: {back:?}");
            bench.sound();
        }
    }
}

/// Another strategy at another's pause: the new rollout takes the place of the old one.
#[test]
fn a_strategy_changes_in_the_middle() {
    let kinds = [Strategy::Canary, Strategy::BlueGreen, Strategy::Rolling];
    for router in [false, true] {
        for from in [Strategy::Canary, Strategy::BlueGreen] {
            for to in kinds {
                let rollout =
                    "{strategy: canary, steps: [{weight: 25}, {pause: {}}], blueGreen: {promote: manual}}";
                let bench = Bench::new(router, 4, rollout);
                first(&bench);
                assert_eq!(code(&bench.deploy("v2", strategy(from))), 6);
                let next = bench.deploy("v3", strategy(to));
                assert_eq!(
                    code(&next),
                    if to == Strategy::Rolling { 0 } else { 6 },
                    "{from:?} {to:?} {next:?}"
                );
                if to != Strategy::Rolling {
                    assert_eq!(ended(&promote(&bench)), Some(Ended::Healthy));
                }
                assert_eq!(live(&bench), 3);
                assert_eq!(serving(&bench), [(3, 4)], "{from:?} {to:?}");
                bench.undo(None).unwrap();
                assert_eq!(live(&bench), 1, "{from:?} {to:?}: the candidate in between was never live");
                bench.sound();
            }
        }
    }
}

/// Inside the window steps are skipped, outside they are not.
#[test]
fn the_window_says_who_comes_back_without_steps() {
    for (window, expected) in
        [(0, Ended::Paused), (1, Ended::Paused), (2, Ended::Healthy), (3, Ended::Healthy)]
    {
        let rollout = format!(
            "{{strategy: canary, rollbackWindow: {window}, steps: [{{weight: 50}}, {{pause: {{}}}}]}}"
        );
        let bench = Bench::new(true, 2, &rollout);
        first(&bench);
        for version in ["v2", "v3"] {
            assert_eq!(code(&bench.deploy(version, Options::default())), 6);
            bench.ask(Verb::Promote { full: true }).unwrap();
        }
        bench.later(3600);
        let _ = bench.attach(true);
        let back = bench.undo(Some(1)).unwrap();
        assert_eq!(ended(&back), Some(expected), "window {window}");
        bench.sound();
    }
}

/// A version that was refused and is deployed as it was is tried again; and the one that serves stays meanwhile.
#[test]
fn an_aborted_version_deployed_again_starts_again() {
    for router in [false, true] {
        let bench = paused(router, 2, "{strategy: canary, steps: [{weight: 50}, {pause: {}}]}");
        bench.ask(Verb::Abort).unwrap();
        let again = bench.deploy("v2", Options::default());
        assert_eq!(code(&again), 6, "{again:?}");
        assert_eq!(bench.state().candidate.map(|c| c.revision), Some(2));
        bench.sound();
    }
}

/// The third version needs the slot whose pods a long delay keeps: they go first, and the way back is the second.
#[test]
fn a_third_version_takes_the_slot_of_the_first() {
    for router in [false, true] {
        let bench = Bench::new(router, 3, "{strategy: blue-green, scaleDownDelay: 1h}");
        first(&bench);
        for version in ["v2", "v3"] {
            assert_eq!(code(&bench.deploy(version, Options::default())), 0);
        }
        assert_eq!(live(&bench), 3);
        let before = lock(&bench.world).now;
        bench.undo(None).unwrap();
        assert_eq!(live(&bench), 2);
        assert!(lock(&bench.world).now - before < 4000, "its pods were kept");
        bench.sound();
    }
}

/// Nothing of a first version serves: mended, it goes straight to live, without the steps of a canary.
#[test]
fn a_first_version_that_never_came_is_replaced_by_the_next() {
    for kind in [Strategy::Rolling, Strategy::Canary, Strategy::BlueGreen] {
        for router in [false, true] {
            let rollout = "{strategy: canary, progressDeadline: 20s, steps: [{weight: 50}, {pause: {}}]}";
            let bench = Bench::new(router, 2, rollout);
            bench.behave(1, Behaviour::NeverReady);
            let failed = bench.deploy("v1", strategy(kind));
            assert_ne!(code(&failed), 0, "{failed:?}");
            let mended = bench.deploy("v2", strategy(kind));
            assert_eq!(code(&mended), 0, "{kind:?} router {router}: {mended:?}");
            assert_eq!(lock(&bench.world).serving().get(&2), Some(&2), "{kind:?} router {router}");
            bench.sound();
        }
    }
}

/// The live version broke after it was live: its mend is let in by `--proceed`, and by `--rolling`.
#[test]
fn a_broken_live_version_does_not_block_its_mend() {
    for router in [false, true] {
        for options in [
            Options { proceed: true, ..Default::default() },
            strategy(Strategy::Rolling),
            Options { proceed: true, ..strategy(Strategy::BlueGreen) },
        ] {
            let bench = Bench::new(router, 3, "{strategy: canary, steps: [{weight: 34}]}");
            bench.behave(1, Behaviour::DiesAfter(20_000));
            first(&bench);
            bench.later(60);
            if options.proceed {
                let refused = bench.deploy("v2", strategy(options.strategy.unwrap_or(Strategy::Canary)));
                assert_ne!(code(&refused), 0, "{refused:?}");
            }
            let mended = bench.deploy("v2", options.clone());
            assert_eq!(code(&mended), 0, "router {router} {options:?}: {mended:?}");
            assert_eq!(lock(&bench.world).serving().get(&2), Some(&3));
        }
    }
}

/// Scaled to nothing and back, idle and in the middle.
#[test]
fn a_service_may_be_scaled_to_nothing_and_back() {
    for router in [false, true] {
        let bench = Bench::new(router, 3, "{strategy: canary, steps: [{weight: 34}, {pause: {}}]}");
        first(&bench);
        bench.ask(Verb::Scale(0)).unwrap();
        assert_eq!(bench.pods(), (0, 0));
        bench.ask(Verb::Scale(3)).unwrap();
        assert_eq!((bench.pods(), bench.status().phase), ((0, 3), Phase::Healthy));
        assert_eq!(code(&bench.deploy("v2", Options::default())), 6);
        let _ = bench.ask(Verb::Scale(0));
        let _ = bench.ask(Verb::Scale(3));
        assert_eq!(bench.status().phase, Phase::Paused);
        assert_eq!(ended(&promote(&bench)), Some(Ended::Healthy));
        assert_eq!(lock(&bench.world).serving().get(&2), Some(&3));
    }
}

/// A candidate that dies at a pause: whoever drives takes it back there and then.
#[test]
fn a_candidate_that_dies_at_a_timed_pause_is_taken_back() {
    for router in [false, true] {
        let bench = Bench::new(router, 4, "{strategy: canary, steps: [{weight: 50}, {pause: 10m}]}");
        first(&bench);
        bench.behave(2, Behaviour::DiesAfter(20_000));
        let begun = lock(&bench.world).now;
        assert_eq!(code(&bench.deploy("v2", Options::default())), 5, "router {router}");
        assert!(lock(&bench.world).now - begun < 120_000, "it does not wait for the end of the pause");
        assert_eq!(serving(&bench), [(1, 4)]);
        bench.sound();
    }
}

/// The kept pods of an aborted candidate go when their time is over, whoever comes by then.
#[test]
fn the_pods_of_an_aborted_candidate_go_after_their_delay() {
    for router in [false, true] {
        let rollout = "{strategy: canary, abortDelay: 10m, steps: [{weight: 50}, {pause: {}}]}";
        let bench = paused(router, 4, rollout);
        bench.ask(Verb::Abort).unwrap();
        assert!(bench.pods().0 > 0, "kept");
        bench.later(300);
        let _ = bench.attach(true);
        assert!(bench.pods().0 > 0, "kept for ten minutes");
        bench.later(301);
        let _ = bench.attach(true);
        assert_eq!((bench.pods(), bench.status().phase), ((0, 4), Phase::Aborted));
        bench.sound();
    }
}

/// One pod, and no room for a second: it goes before the new one comes.
#[test]
fn one_pod_without_surge_is_replaced() {
    let bench = Bench::new(false, 1, "{strategy: canary, surge: 0, unavailable: 1, steps: [{weight: 50}]}");
    first(&bench);
    assert_eq!(code(&bench.deploy("v2", Options::default())), 0);
    assert_eq!(serving(&bench), [(2, 1)]);
}

/// The number in msctl.yaml changes together with the version.
#[test]
fn a_deploy_may_change_the_number_of_pods_too() {
    for router in [false, true] {
        for (before, after) in [(2, 6), (6, 2), (3, 0), (0, 3)] {
            for kind in [Strategy::Rolling, Strategy::Canary, Strategy::BlueGreen] {
                let mut bench = Bench::new(router, before, "{strategy: canary, steps: [{weight: 50}]}");
                let run = bench.deploy("v1", strategy(kind));
                assert_eq!(code(&run), 0, "{before} {kind:?}: {run:?}");
                bench.service.replicas = after;
                let run = bench.deploy("v2", strategy(kind));
                assert_eq!(code(&run), 0, "{before} to {after} {kind:?} router {router}: {run:?}");
                let expected: Vec<_> = (after > 0).then_some((2, after)).into_iter().collect();
                assert_eq!(serving(&bench), expected, "{before} to {after} {kind:?}");
            }
        }
    }
}

/// At full weight, before it is live: every way on and every way back.
#[test]
fn a_pause_at_full_weight_is_left_either_way() {
    let rollout = "{strategy: canary, steps: [{weight: 50}, {weight: 100}, {pause: {}}]}";
    for router in [false, true] {
        let full = || {
            let bench = paused(router, 3, rollout);
            let status = bench.status();
            let at = (status.reason.as_str(), status.weight.desired, status.step.unwrap().index);
            assert_eq!((at, live(&bench)), (("awaits-promotion", 100, 3), 1));
            bench
        };
        for skip in [false, true] {
            let bench = full();
            assert_eq!(ended(&bench.ask(Verb::Promote { full: skip }).unwrap()), Some(Ended::Healthy));
            assert_eq!(serving(&bench), [(2, 3)]);
            bench.undo(None).unwrap();
            assert_eq!(live(&bench), 1);
            bench.sound();
        }
        for (next, code_of) in [(Strategy::Canary, 6), (Strategy::Rolling, 0)] {
            let bench = full();
            assert_eq!(code(&bench.deploy("v3", strategy(next))), code_of);
            let state = bench.state();
            let version = state.candidate.or(state.live).unwrap().revision;
            assert_eq!((version, state.undo_target()), (3, (next == Strategy::Rolling).then_some(1)));
            bench.sound();
        }
        let bench = full();
        assert_eq!(code(&bench.attach(true)), 6);
        bench.undo(None).unwrap();
        assert_eq!((live(&bench), serving(&bench)), (1, vec![(1, 3)]));
        bench.sound();
    }
}

/// Promoted past its last pause while its pods are gone: it is live once they are back.
#[test]
fn a_promotion_at_full_weight_waits_for_pods() {
    for router in [false, true] {
        let rollout = "{strategy: canary, steps: [{weight: 100}, {pause: {}}]}";
        let bench = paused(router, 3, rollout);
        bench.behave(2, Behaviour::Slow(20_000));
        {
            let mut world = lock(&bench.world);
            let candidate = Slot::Green;
            world.resize(candidate, 1);
            world.resize(candidate, 3);
        }
        bench.ask(Verb::Promote { full: false }).unwrap();
        let world = lock(&bench.world);
        assert_eq!(world.serving().get(&2), Some(&3));
        let healthy = world.log.iter().find(|l| l.contains("healthy Healthy") && l.contains("revision: 2"));
        assert!(healthy.is_some(), "{}", world.log.join("\n"));
    }
}

/// A smaller weight wants live pods that do not come: that is not waited for without end.
#[test]
fn a_smaller_weight_on_a_broken_live_version_has_a_deadline() {
    for router in [false, true] {
        let rollout = "{strategy: canary, surge: 1, progressDeadline: 30s, steps: [{weight: 75}, {pause: {}}, {weight: 25}]}";
        let bench = Bench::new(router, 4, rollout);
        bench.behave(1, Behaviour::DiesAfter(30_000));
        first(&bench);
        assert_eq!(code(&bench.deploy("v2", Options::default())), 6);
        bench.later(60);
        let ended = bench.ask(Verb::Promote { full: false });
        let kind = ended.err().map(|e| crate::error::kind(&e).code());
        assert!(matches!(kind, Some(1 | 5)), "router {router}: {kind:?}");
        assert!(lock(&bench.world).serving().get(&2).is_some_and(|n| *n > 0), "who serves goes on serving");
    }
}

/// Deployed again with other steps while it is under way: it keeps its plan, and says so, in the plan too.
#[test]
fn other_steps_count_from_the_next_rollout() {
    let mut bench = paused(true, 4, "{strategy: canary, steps: [{weight: 50}, {pause: {}}]}");
    let steps = |bench: &Bench| bench.state().rollout.unwrap().plan.steps;
    lock(&bench.world).recording = true;
    let told = |bench: &Bench| format!("{:?}", lock(&bench.world).events).contains("the plan it began with");
    let before = steps(&bench);
    assert_eq!(code(&bench.deploy("v2", Options::default())), 6);
    assert!(!told(&bench), "nothing is different");
    let others = "{strategy: canary, steps: [{weight: 20}, {pause: {}}, {weight: 70}, {pause: {}}]}";
    bench.service = Bench::new(true, 4, others).service;
    let (place, release, template) = (Place::new(&bench.world), bench.release(), template("v2"));
    let options = Options::default();
    let plan = Box::pin(forecast::forecast(&place, &release, &template, &options));
    let forecast = run(&bench.world, vec![plan]).pop().unwrap().unwrap().unwrap();
    assert_eq!(forecast.steps.len(), before.len(), "{forecast:?}");
    assert!(forecast.notes.iter().any(|n| n.contains("the plan it began with")), "{forecast:?}");
    assert_eq!(code(&bench.deploy("v2", Options::default())), 6);
    assert_eq!(steps(&bench), before);
    assert!(told(&bench));
    bench.ask(Verb::Abort).unwrap();
    assert_eq!(code(&bench.deploy("v2", Options::default())), 6);
    assert_eq!(bench.status().weight.desired, 20);
    bench.sound();
}

/// Scaled while the preview waits, up and down: each side keeps its share, and the switch waits for all of them.
#[test]
fn a_preview_follows_the_number_of_pods() {
    for router in [false, true] {
        for (preview, at) in [("all", [3, 5, 1]), ("1", [1, 1, 1]), ("50%", [2, 3, 1])] {
            let rollout = format!(
                "{{strategy: blue-green, blueGreen: {{promote: manual, previewReplicas: {preview}}}}}"
            );
            let bench = paused(router, 3, &rollout);
            for (replicas, wanted) in [3, 5, 1].into_iter().zip(at) {
                let _ = bench.ask(Verb::Scale(replicas)).unwrap();
                assert_eq!(bench.pods(), (wanted, replicas), "previewReplicas {preview} of {replicas}");
                assert_eq!(lock(&bench.world).serving().get(&1), Some(&replicas));
            }
            let _ = bench.ask(Verb::Scale(4)).unwrap();
            assert_eq!(ended(&promote(&bench)), Some(Ended::Healthy));
            assert_eq!(serving(&bench), [(2, 4)]);
            bench.sound();
        }
    }
}

/// The live slot shrinks as the candidate grows; scaled, aborted, tried again and promoted, nobody is short.
#[test]
fn a_live_slot_that_shrinks_comes_back() {
    let rollout =
        "{strategy: canary, dynamicStable: true, abortDelay: 1s, steps: [{weight: 75}, {pause: {}}]}";
    let bench = paused(true, 4, rollout);
    assert_eq!(bench.pods(), (3, 1));
    let _ = bench.ask(Verb::Scale(8)).unwrap();
    assert_eq!(bench.pods(), (6, 2));
    let _ = bench.ask(Verb::Scale(4)).unwrap();
    bench.ask(Verb::Abort).unwrap();
    assert_eq!(serving(&bench), [(1, 4)]);
    assert_eq!(ended(&bench.ask(Verb::Retry).unwrap()), Some(Ended::Paused));
    assert_eq!(bench.pods(), (3, 1));
    assert_eq!(code(&bench.deploy("v3", Options::default())), 6);
    assert_eq!(bench.state().live.unwrap().revision, 1);
    assert_eq!(bench.pods(), (3, 1));
    assert_eq!(ended(&promote(&bench)), Some(Ended::Healthy));
    assert_eq!(serving(&bench), [(3, 4)]);
    bench.sound();
}

/// What was refused is no target, nor is what is under way; and an undo of the first deploy has none.
#[test]
fn an_undo_has_only_what_was_live_for_a_target() {
    let bench = Bench::new(true, 2, "{strategy: canary, steps: [{weight: 50}, {pause: {}}]}");
    first(&bench);
    assert!(bench.undo(None).is_err());
    bench.behave(2, Behaviour::Crashes(300));
    assert_eq!(code(&bench.deploy("v2", Options::default())), 5);
    assert!(bench.undo(None).is_err());
    assert!(bench.undo(Some(2)).is_err());
    assert!(bench.undo(Some(7)).is_err());
    assert_eq!(code(&bench.deploy("v3", Options::default())), 6);
    assert!(bench.undo(Some(2)).is_err(), "refused before");
    assert_eq!(bench.state().under_way().map(|r| r.revision), Some(3), "a wrong target changes nothing");
    bench.undo(None).unwrap();
    assert_eq!((live(&bench), bench.state().under_way().map(|r| r.revision)), (1, None));
    bench.sound();
}
