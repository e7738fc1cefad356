//! What verdicts do to a rollout.

#[path = "judging_world.rs"]
mod world;

use super::super::state::Stage;
use super::super::{Slot, Verb};
use super::*;
use crate::rollout::analysis::replay;
use world::*;

fn canary(steps: &str, more: &str, metrics: &str) -> String {
    format!("{{strategy: canary, steps: [{steps}], analysis: {{warmUp: 0s, {more} metrics: [{metrics}]}}}}")
}

#[test]
fn five_percent_of_errors_are_refused_at_the_first_step_and_a_twin_passes() {
    let steps = "{weight: 10}, {analyze: 2m}, {weight: 50}, {weight: 100}";
    let mut bad = World::new(&canary(steps, "", ERRORS), traffic(5.0, 20));
    bad.run(300);
    assert_eq!((bad.rollout().stage, bad.reason(), bad.weight()), (Stage::Aborted, "analysis-failed", 0));
    assert!(bad.elapsed() <= 120, "after {} s", bad.elapsed());
    let cause = bad.rollout().cause.clone().unwrap();
    assert!(cause.message.contains("errors") && cause.message.contains("green"), "{}", cause.message);
    let status = bad.rollout().trial.status(&bad.rollout().plan.judging.metrics);
    assert_eq!((status[0].phase, status[0].limit.clone()), (TallyPhase::Failed, Some(0.01.into())));

    // What was measured is handed out, and says the same when it is judged again; a laxer limit had let it pass.
    let text = serde_json::to_string(&bad.kept).unwrap();
    let kept: Vec<Measurement> = serde_json::from_str(&text).unwrap();
    let last = kept.iter().rfind(|m| m.metric == "errors").unwrap();
    assert!(matches!(last.verdict, Some(Verdict::Fail(_))) && last.weight == 10, "{last:?}");
    let metric = bad.rollout().plan.judging.metric("errors").unwrap();
    assert!(kept.iter().filter(|m| m.metric == "errors").all(|m| m.again(metric) == m.verdict), "{kept:?}");
    let mut lax = metric.clone();
    lax.bounds.max = Some("10%".parse().unwrap());
    assert_eq!(last.again(&lax), Some(Verdict::Pass));
    let phase = |metric: &Metric| replay(metric, &kept).tally.phase;
    assert_eq!((phase(metric), phase(&lax)), (TallyPhase::Failed, TallyPhase::Running));

    let mut twin = World::new(&canary(steps, "", ERRORS), traffic(5.0, 0));
    twin.run(300);
    assert_eq!(twin.rollout().stage, Stage::Healthy, "{:?}", twin.events);
    assert!((120..130).contains(&twin.elapsed()), "judged for {} s", twin.elapsed());
}

#[test]
fn scenario_37_a_quiet_service_is_never_a_pass() {
    for steps in ["{weight: 10}, {analyze: 20s}, {weight: 100}", "{weight: 10}, {weight: 100}"] {
        let mut world = World::new(&canary(steps, "", ERRORS), traffic(0.0, 0));
        world.run(600);
        assert_eq!((world.held(), world.weight()), ("inconclusive", 10), "{steps}");
    }
}

#[test]
fn a_last_window_too_short_undoes_nothing() {
    let steps = "{weight: 10}, {analyze: 20s}, {weight: 100}";
    // Enough for a verdict every 6 s; the last window has but two.
    let mut world = World::new(&canary(steps, "interval: 2s,", ERRORS), traffic(10.0, 0));
    world.run(60);
    assert_eq!(world.rollout().stage, Stage::Healthy, "{:?}", world.events);
}

/// No step is left while a breach may yet turn out to be no chance, though windows before passed.
#[test]
fn a_suspicion_outlives_the_step_until_it_is_cleared_or_proven() {
    // 30 requests a second; of those after 2 s every `nth` fails, but for `most` in all.
    let late = |nth: u64, most: u64| -> Answer {
        Box::new(move |ask, now| {
            let since =
                |at: Timestamp| (at.as_millisecond() - 1_000_000_000 - 2000).max(0) as u64 * 30 / 1000;
            let errors = |at| (since(at) / nth).min(most);
            let samples = now.duration_since(ask.window).as_secs() as u64 * 30;
            Some(rate(errors(now) - errors(ask.window), samples))
        })
    };
    for steps in [
        "{weight: 10}, {analyze: 10s}, {weight: 50}, {pause: 20s}",
        "{weight: 10}, {pause: 10s}, {weight: 50}, {pause: 20s}",
    ] {
        let rollout = canary(steps, "interval: 2s,", ERRORS);
        let mut bad = World::new(&rollout, late(33, u64::MAX));
        bad.run(300);
        assert_eq!((bad.rollout().stage, bad.reason()), (Stage::Aborted, "analysis-failed"), "{steps}");
        assert!((11..26).contains(&bad.elapsed()), "{steps}: after {} s", bad.elapsed());
        let shares = bad.kept.iter().map(|m| m.weight).max();
        assert_eq!(shares, Some(10), "{steps}: it met no more users");

        let mut unlucky = World::new(&rollout, late(200, 1));
        unlucky.run(300);
        assert_eq!(unlucky.rollout().stage, Stage::Healthy, "{steps}: {:?}", unlucky.events);
    }
}

#[test]
fn scenario_12_an_inconclusive_analysis_is_promoted_exactly_once() {
    let steps = "{weight: 10}, {analyze: 20s}, {pause: {}}, {weight: 50}, {weight: 100}";
    let mut world = World::new(&canary(steps, "background: false,", ERRORS), traffic(0.0, 0));
    world.run(60);
    assert_eq!((world.held(), world.rollout().cursor), ("inconclusive", 1));
    world.ask(Verb::Promote { full: false });
    world.run(60);
    assert_eq!((world.held(), world.rollout().cursor, world.weight()), ("", 2, 10), "waits at its pause");
    world.ask(Verb::Promote { full: false });
    world.run(60);
    assert_eq!(world.rollout().stage, Stage::Healthy);
}

#[test]
fn resume_measures_again() {
    let steps = "{weight: 10}, {analyze: 20s}, {weight: 100}";
    let mut world = World::new(&canary(steps, "background: false,", ERRORS), traffic(0.0, 0));
    world.run(60);
    assert_eq!(world.held(), "inconclusive");
    world.answer = traffic(10.0, 0);
    world.ask(Verb::Resume);
    world.run(60);
    assert_eq!(world.rollout().stage, Stage::Healthy);
}

#[test]
fn scenario_14_the_fifth_straight_error_aborts() {
    let steps = "{weight: 10}, {analyze: 2m}, {weight: 100}";
    let dead = |from: usize| -> Answer {
        let mut asked = 0;
        Box::new(move |_, _| {
            asked += 1;
            Some(if asked == from { rate(0, 100) } else { Err("connection refused".into()) })
        })
    };
    let mut world = World::new(&canary(steps, "background: false,", ERRORS), dead(0));
    world.run(300);
    assert_eq!((world.rollout().stage, world.reason()), (Stage::Aborted, "analysis-error"));
    assert_eq!(world.elapsed(), 50, "errors are tried again after 10 s");
    let mut reset = World::new(&canary(steps, "background: false,", ERRORS), dead(4));
    reset.run(300);
    assert_eq!(reset.elapsed(), 90, "a success begins the count anew");
}

#[test]
fn everything_waits_for_a_first_verdict_and_promote_full_does_not() {
    let steps = "{weight: 10}, {weight: 50}, {weight: 100}";
    let mut world = World::new(&canary(steps, "", ERRORS), traffic(5.0, 0));
    world.run(5);
    assert_eq!(world.weight(), 50, "weights below 100 follow the pods");
    world.run(60);
    assert_eq!(world.rollout().stage, Stage::Healthy);
    assert!(world.elapsed() >= 10);
    let mut full = World::new(&canary(steps, "", ERRORS), traffic(5.0, 1));
    full.run(2);
    full.ask(Verb::Promote { full: true });
    full.run(60);
    assert_eq!(full.rollout().stage, Stage::Healthy, "a person skips steps and analysis");
}

#[test]
fn a_restart_under_traffic_is_a_failure_of_its_own() {
    let mut world =
        World::new(&canary("{weight: 10}, {pause: 60s}, {weight: 100}", "", ERRORS), traffic(5.0, 0));
    world.run(5);
    world.seen.slots.get_mut(&Slot::Green).unwrap().restarts += 1;
    world.run(2);
    assert_eq!((world.rollout().stage, world.reason()), (Stage::Aborted, "analysis-failed"));
    assert!(world.rollout().cause.as_ref().unwrap().message.contains("restart"));
}

/// As a schedule of CI does it: two intervals every five minutes.
#[test]
fn drivers_that_come_and_go_judge_as_one_that_stays() {
    let visits = |steps: &str, answer: Answer| {
        let mut world = World::new(&canary(steps, "interval: 10s,", ERRORS), answer);
        for visit in 1..30 {
            world.run(21);
            if world.rollout().stage.ended() || world.rollout().held.is_some() {
                return (visit, world);
            }
            world.leave(280);
        }
        panic!("no end: {:?}", world.rollout());
    };
    let steps = "{weight: 10}, {analyze: 2m}, {weight: 50}, {weight: 100}";
    let (visit, good) = visits(steps, traffic(20.0, 0));
    assert_eq!((good.rollout().stage, good.weight()), (Stage::Healthy, 100), "{:?}", good.events);
    assert!((6..=8).contains(&visit), "two minutes of judging took {visit} visits of 20 s");
    let (_, bad) = visits(steps, traffic(20.0, 10));
    assert_eq!((bad.rollout().stage, bad.reason()), (Stage::Aborted, "analysis-failed"));
    // A measurement waits for enough requests for twelve intervals, of those that somebody was there.
    let (visit, quiet) = visits("{weight: 10}, {weight: 100}", traffic(0.1, 0));
    assert_eq!((quiet.held(), quiet.weight()), ("inconclusive", 10));
    assert!((6..=8).contains(&visit), "patience ended at visit {visit}");
}

#[test]
fn a_pod_that_vanishes_under_traffic_is_a_failure_of_its_own() {
    let lose = |world: &mut World| {
        let green = world.seen.slots.get_mut(&Slot::Green).unwrap();
        green.lost.push(format!("pod green-{} was deleted", green.lost.len()));
    };
    let mut world =
        World::new(&canary("{weight: 10}, {pause: 60s}, {weight: 100}", "", ERRORS), traffic(5.0, 0));
    world.run(5);
    lose(&mut world);
    world.run(2);
    assert_eq!((world.rollout().stage, world.reason()), (Stage::Aborted, "analysis-failed"));
    let cause = &world.rollout().cause.as_ref().unwrap().message;
    assert!(cause.contains("restarts: 1 is above 0: pod green-0 was deleted"), "{cause}");
    let metrics = &world.rollout().plan.judging.metrics;
    let told = world.rollout().trial.status(metrics).into_iter().find(|m| m.metric == "restarts").unwrap();
    assert_eq!((told.phase, told.value), (TallyPhase::Failed, Some(1.0.into())));
    assert!(told.message.unwrap().contains("pod green-0"));

    // Each counts once, whoever drives; what was lost before the traffic was nobody's loss.
    let lenient = format!("{ERRORS}, {{name: lost, builtin: restarts, max: 2}}");
    let mut world =
        World::new(&canary("{weight: 10}, {pause: {}}, {weight: 100}", "", &lenient), traffic(5.0, 0));
    lose(&mut world);
    world.run(5);
    lose(&mut world);
    world.run(2);
    world.leave(300);
    world.run(2);
    lose(&mut world);
    world.run(2);
    assert_eq!(
        (world.rollout().trial.lost.clone().map(|l| l.0), world.rollout().stage),
        (Some(2), Stage::Steps)
    );
    lose(&mut world);
    world.run(2);
    assert_eq!(world.rollout().stage, Stage::Aborted);
}

#[test]
fn smoke_comes_before_any_user() {
    let smoke = "{name: smoke, smoke: {path: /, requests: 5}}";
    let failing: Answer = Box::new(|_, _| {
        let candidate = Reading { value: Some(0.4), samples: 5 };
        Some(Ok(Sighting { candidate, note: Some("2 of 5 requests failed".into()), ..Sighting::default() }))
    });
    let mut world = World::new(&canary("{weight: 25}, {weight: 100}", "", smoke), failing);
    world.run(60);
    assert_eq!((world.rollout().stage, world.reason()), (Stage::Aborted, "analysis-failed"));
    let weighted = |e: &Event| matches!(e, Event::Step { label, .. } if label.starts_with("weight"));
    assert!(!world.events.iter().any(weighted), "{:?}", world.events);
    let good: Answer = Box::new(|_, _| Some(rate(0, 5)));
    let mut world = World::new(&canary("{weight: 25}, {weight: 100}", "", smoke), good);
    world.run(60);
    assert_eq!(world.rollout().stage, Stage::Healthy, "{:?}", world.rollout());
}

#[test]
fn windows_are_cut_at_each_weight() {
    let steps = "{weight: 10}, {pause: 5s}, {weight: 50}, {pause: 25s}, {weight: 100}";
    let mut windows = Vec::new();
    let mut world = World::new(&canary(steps, "interval: 10s,", ERRORS), traffic(50.0, 0));
    let started = world.seen.time;
    world.run(1);
    for _ in 0..100 {
        world.run(1);
        windows.extend(
            world.rollout().trial.background.first().map(|t| t.window.duration_since(started).as_secs()),
        );
    }
    windows.dedup();
    assert_eq!(windows, [0, 5, 15, 25, 30], "no measurement spans two weights");
}

#[test]
fn blue_green_is_judged_before_and_after_its_switch() {
    let text = "{strategy: blue-green, blueGreen: {pre: [gate], post: [errors]}, analysis: {warmUp: 0s, \
                metrics: [{name: gate, web: {url: 'http://gate/'}}, ";
    let text = format!("{text}{ERRORS}]}}}}");
    let by_name = |gate: f64, nth: u64| -> Answer {
        let mut errors = traffic(10.0, nth);
        Box::new(move |ask, now| match ask.metric.name.as_str() {
            "gate" => {
                let candidate = Reading { value: Some(gate), samples: 1 };
                Some(Ok(Sighting { candidate, ..Sighting::default() }))
            }
            _ => errors(ask, now),
        })
    };
    let mut world = World::new(&text, by_name(1.0, 0));
    world.run(60);
    assert_eq!((world.rollout().stage, world.weight()), (Stage::Aborted, 0), "the gate is shut");
    let mut world = World::new(&text, by_name(0.0, 4));
    world.run(120);
    assert_eq!(
        (world.rollout().stage, world.weight(), world.reason()),
        (Stage::Aborted, 0, "analysis-failed")
    );
    let mut world = World::new(&text, by_name(0.0, 0));
    world.run(120);
    assert_eq!((world.rollout().stage, world.weight()), (Stage::Healthy, 100));
}

/// Requests that err by chance: a second's worth to each side, at these rates; `share` of them to the candidate.
/// Rates and numbers vary from second to second, as they do in life.
fn noise(seed: u64, a_second: f64, share: f64, candidate: f64, live: f64) -> Answer {
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};
    let mut rng = StdRng::seed_from_u64(seed);
    let mut drawn: std::collections::BTreeMap<i64, [(u64, u64); 2]> = Default::default();
    Box::new(move |ask, now| {
        let mut total = [(0, 0); 2];
        for second in ask.window.as_second()..now.as_second() {
            let of_second = drawn.entry(second).or_insert_with(|| {
                let busy = rng.random_range(0.5..1.5);
                let mut drawn = |n: u64, rate: f64| {
                    // From one error to the next, as chance has it.
                    let (mut at, mut errors) = (0.0, 0);
                    loop {
                        let draw: f64 = rng.random_range(f64::EPSILON..1.0);
                        at += (draw.ln() / (1.0 - rate).ln()).floor() + 1.0;
                        if at > n as f64 {
                            return errors;
                        }
                        errors += 1;
                    }
                };
                let mut side = |share: f64, rate: f64| {
                    let n = drawn((a_second * busy * 2.0) as u64, share / 2.0);
                    (n, drawn(n, (rate * busy).min(0.9)))
                };
                [side(share, candidate), side(1.0 - share, live)]
            });
            for (sum, (n, errors)) in total.iter_mut().zip(of_second) {
                *sum = (sum.0 + *n, sum.1 + *errors);
            }
        }
        let reading = |(samples, errors): (u64, u64)| Reading {
            value: (samples > 0).then(|| errors as f64 / samples as f64),
            samples,
        };
        let [candidate, live] = total.map(reading);
        Some(Ok(Sighting { candidate, live: Some(live), ..Sighting::default() }))
    })
}

/// How many of `runs` rollouts with a 10 % step ended so, and the longest time one was judged there.
fn rollouts(metric: &str, runs: u64, rates: (f64, f64), wanted: Stage) -> (u64, i64) {
    let steps = "{weight: 10}, {analyze: 2m}, {weight: 50}, {analyze: 1m}, {weight: 100}";
    let (mut count, mut longest) = (0, 0);
    for seed in 0..runs {
        let answer = noise(seed, 100.0, 0.1, rates.0, rates.1);
        let mut world = World::new(&canary(steps, "background: false,", metric), answer);
        world.leap(400);
        if world.rollout().stage == wanted {
            count += 1;
            longest = longest.max(world.elapsed());
        }
    }
    (count, longest)
}

#[test]
fn of_simulated_rollouts_a_twin_passes_99_of_100_and_five_percent_of_errors_never() {
    let against_limit = "{name: errors, builtin: error-rate, max: 1%, minSamples: 50}";
    let against_live = "{name: errors, builtin: error-rate, compare: sequential, margin: 2%, minSamples: 50}";
    for metric in [against_limit, against_live] {
        let (passed, _) = rollouts(metric, 100, (0.003, 0.003), Stage::Healthy);
        assert!(passed >= 99, "{passed} of 100 healthy twins passed {metric}");
        let (refused, after) = rollouts(metric, 50, (0.05, 0.003), Stage::Aborted);
        assert_eq!(refused, 50, "{metric}");
        assert!(after <= 120, "refused only after {after} s by {metric}");
    }
}

#[test]
fn a_sequential_test_ends_its_step_early_either_way() {
    let metric = "{name: errors, builtin: error-rate, compare: sequential, margin: 2%}";
    let steps = "{weight: 10}, {analyze: 20m}, {weight: 100}";
    let run = |rate: f64, a_second: f64| {
        let answer = noise(5, a_second, 0.1, rate, 0.003);
        let mut world = World::new(&canary(steps, "background: false,", metric), answer);
        world.leap(1500);
        world
    };
    let twin = run(0.003, 100.0);
    assert_eq!(twin.rollout().stage, Stage::Healthy, "{:?}", twin.events);
    assert!(twin.elapsed() < 180, "a twin was judged for {} s of 20 min", twin.elapsed());
    let bad = run(0.05, 100.0);
    assert_eq!((bad.rollout().stage, bad.reason()), (Stage::Aborted, "analysis-failed"));
    assert!(bad.elapsed() < 60, "harm was found after {} s", bad.elapsed());
    let cause = &bad.rollout().cause.as_ref().unwrap().message;
    assert!(cause.contains("more often than the live slot") && cause.contains("1 % false alarms"), "{cause}");
    // Too few requests to decide: a person does.
    let quiet = run(0.003, 1.0);
    assert_eq!(quiet.held(), "inconclusive");
    assert!(quiet.rollout().held.as_ref().unwrap().message.contains("too few requests"));
}

/// The pods' own counters say whether the router deals as it was told: shown, told once where not, never a failure.
#[test]
fn the_share_is_checked_by_what_the_pods_counted() {
    let dealt = |share: f64| -> Answer {
        Box::new(move |ask, now| {
            let all = now.duration_since(ask.window).as_secs_f64() * 20.0;
            let live = rate(0, (all * (1.0 - share)) as u64).ok().map(|s| s.candidate);
            Some(rate(0, (all * share) as u64).map(|seen| Sighting { live, ..seen }))
        })
    };
    let weighted = canary("{weight: 25}, {pause: {}}", "", ERRORS);
    let ab = format!("{{strategy: ab, ab: {{percent: 25}}, analysis: {{warmUp: 0s, metrics: [{ERRORS}]}}}}");
    for (rollout, share, fits, warned) in
        [(&weighted, 0.25, Some(true), 0), (&weighted, 0.05, Some(false), 1), (&ab, 0.05, None, 0)]
    {
        let mut world = World::new(rollout, dealt(share));
        world.run(60);
        assert_eq!(world.rollout().trial.split.map(|s| s.fits), fits, "{rollout} {share}");
        let told = world.events.iter().filter(|e| matches!(e, Event::Warned { .. })).count();
        assert_eq!((told, world.rollout().stage), (warned, Stage::Steps), "{rollout} {share}");
    }
}
#[test]
fn scenario_25_an_experiment_compares_fresh_pods_and_is_removed_whatever_it_says() {
    let steps = "{experiment: 30s, metrics: [errors]}, {weight: 50}, {weight: 100}";
    let text = canary(steps, "background: false,", ERRORS);
    let begun = |world: &World| world.seen.experiment.clone();
    let mut good = World::new(&text, traffic(10.0, 0));
    good.run(20);
    let experiment = begun(&good).expect("is there while its step lasts");
    assert_eq!((experiment.baseline.revision, experiment.candidate.revision, good.weight()), (1, 2, 0));
    good.run(60);
    assert_eq!((good.rollout().stage, begun(&good)), (Stage::Healthy, None));
    assert!(good.elapsed() >= 30, "judged for {} s", good.elapsed());

    let mut bad = World::new(&text, traffic(10.0, 10));
    bad.run(100);
    assert_eq!((bad.rollout().stage, bad.reason()), (Stage::Aborted, "analysis-failed"));
    bad.settle();
    assert_eq!((begun(&bad), bad.weight()), (None, 0), "nobody else met it");

    for verb in [Verb::Abort, Verb::Promote { full: false }, Verb::Promote { full: true }] {
        let mut left = World::new(&text, traffic(10.0, 0));
        left.run(5);
        assert!(begun(&left).is_some());
        left.ask(verb.clone());
        left.run(2);
        left.settle();
        assert_eq!(begun(&left), None, "{verb:?}");
    }
    let mut crashing = World::new(&text, traffic(10.0, 0));
    crashing.run(5);
    crashing.seen.experiment.as_mut().unwrap().candidate.restarts = 1;
    crashing.run(5);
    assert_eq!(crashing.reason(), "analysis-failed");
}
