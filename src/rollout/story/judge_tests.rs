//! Past deploys under other thresholds.

use super::super::{Point, Reading as Kept, Story, Told};
use super::*;
use crate::rollout::Slot;
use crate::rollout::state::{Cause, Deploy, State};
use crate::service::Strategy;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn judging(metrics: &str) -> Judging {
    let text = format!("service: a\nrollout: {{analysis: {{warmUp: 0s, metrics: [{metrics}]}}}}\n");
    let service = crate::service::parse_yaml(&text, std::path::Path::new("msctl.yaml")).unwrap();
    Judging::resolve(&service).unwrap()
}

fn errors(max: &str) -> Judging {
    judging(&format!("{{name: errors, builtin: error-rate, max: {max}, minSamples: 50}}"))
}

/// A story with these readings of `errors`: end of window, its begin, errors and requests since then.
fn story(judged: &Judging, readings: &[(i64, i64, u64, u64)]) -> Story {
    let mut state = State::default();
    state.number("h1", "image@1", at(0));
    state.deploys.push(Deploy {
        number: 7,
        revision: 1,
        from: None,
        strategy: Strategy::Canary,
        in_place: false,
        undo: false,
        at: at(0),
        ended: Some(at(500)),
        result: DeployResult::Healthy,
        reason: None,
        by: "someone".into(),
    });
    let mut story = Story::of("orders", "here", &state, 7).unwrap();
    story.judging = judged.clone();
    story.points.push(Point { at: at(0), wanted: 10, had: Some(10), new: 1, old: 3 });
    for (end, begin, bad, all) in readings {
        let value = (*all > 0).then(|| *bad as f64 / *all as f64);
        let seen = Sighting { candidate: Reading { value, samples: *all }, ..Sighting::default() };
        let mut measured = Measurement {
            metric: "errors".into(),
            slot: Slot::Green,
            revision: 1,
            weight: 10,
            inline: false,
            from: at(*begin),
            at: at(*end),
            seen: Some(seen),
            last: end - begin >= 120,
            verdict: None,
        };
        measured.verdict = measured.again(judged.metric("errors").unwrap());
        story.measurements.push(Kept { measured, attempt: 1 });
    }
    story
}

fn refused(mut story: Story) -> Story {
    let message = "metric errors".to_owned();
    story.result = DeployResult::Aborted;
    story.cause =
        Some(Cause { reason: "analysis-failed".into(), message, at: at(9), pod: None, log: vec![] });
    story
}

#[test]
fn the_same_thresholds_say_what_they_said() {
    let one = errors("1%");
    let healthy = story(&one, &[(10, 0, 0, 100), (20, 10, 0, 100), (30, 20, 2, 120)]);
    let judged = judge(&healthy, &one);
    assert_eq!((&judged.would, judged.change), (&Would::Pass, Change::Same));
    assert_eq!((judged.metrics[0].phase, judged.metrics[0].measurements), (Some(TallyPhase::Successful), 2));
    let bad = refused(story(&one, &[(10, 0, 0, 100), (20, 10, 20, 100)]));
    let judged = judge(&bad, &one);
    assert!(
        matches!(&judged.would, Would::Refused { at: when, metric, .. } if *when == at(20) && metric == "errors")
    );
    assert_eq!(judged.change, Change::Same);
}

#[test]
fn stricter_ones_refuse_what_passed_and_laxer_ones_pass_what_was_refused() {
    let one = errors("1%");
    let healthy = story(&one, &[(10, 0, 10, 1000), (20, 10, 9, 1000)]);
    let strict = judge(&healthy, &errors("0.1%"));
    assert_eq!(strict.change, Change::NowRefused, "{strict:?}");
    assert!(matches!(strict.would, Would::Refused { at: when, .. } if when == at(10)));
    let bad = refused(story(&one, &[(10, 0, 20, 400)]));
    let lax = judge(&bad, &errors("10%"));
    assert_eq!((lax.would, lax.change), (Would::Pass, Change::NowPasses));
}

#[test]
fn windows_follow_the_new_thresholds() {
    // Kept: one window that grew to 300 requests. Judged by 50, it is three windows of 100.
    let patient = judging("{name: errors, builtin: error-rate, max: 1%, minSamples: 300}");
    let kept = story(&patient, &[(10, 0, 0, 100), (20, 0, 0, 200), (30, 0, 60, 300)]);
    let judged = judge(&kept, &errors("20%"));
    assert_eq!((judged.metrics[0].measurements, judged.metrics[0].worst), (3, Some(0.6)), "{judged:?}");
    assert!(matches!(judged.would, Would::Refused { at: when, .. } if when == at(30)));
    // The other way about: three kept windows of 100 are one that grows to 300.
    let kept = story(&errors("50%"), &[(10, 0, 0, 100), (20, 10, 0, 100), (30, 20, 30, 100)]);
    let judged = judge(&kept, &judging("{name: errors, builtin: error-rate, max: 20%, minSamples: 300}"));
    assert_eq!((judged.metrics[0].measurements, judged.metrics[0].worst), (1, Some(0.1)), "{judged:?}");
    assert_eq!(judged.would, Would::Pass);
}

#[test]
fn too_few_requests_pause() {
    let one = errors("1%");
    let quiet = story(&one, &[(60, 0, 0, 10), (120, 0, 0, 20)]);
    let judged = judge(&quiet, &one);
    assert!(matches!(judged.would, Would::Paused { at: when, .. } if when == at(120)), "{judged:?}");
    assert_eq!(judged.change, Change::NowPauses);
    let mut quiet = quiet;
    let text = "paused: the analysis is inconclusive".to_owned();
    quiet.told.push(Told { at: at(120), kind: "paused".into(), warning: false, text });
    assert_eq!(judge(&quiet, &one).change, Change::Same);
}

#[test]
fn what_was_not_measured_is_said_so() {
    let kept = story(&errors("1%"), &[(10, 0, 0, 100)]);
    let other = judging("{name: p99, builtin: latency-p99, max: 300ms}");
    let judged = judge(&kept, &other);
    assert_eq!((&judged.would, judged.change), (&Would::Unknown, Change::Unknown));
    assert_eq!(judged.metrics[0].why.as_deref(), Some("it was not measured then"));
    let renamed = judging("{name: failures, builtin: error-rate, max: 1%}");
    assert_eq!(judge(&kept, &renamed).would, Would::Pass, "the same measure under another name");
    let changed = judging("{name: errors, builtin: latency-p50, max: 1s}");
    assert_eq!(judge(&kept, &changed).metrics[0].why.as_deref(), Some("it measured something else then"));
}

#[test]
fn warm_up_and_earlier_attempts_do_not_count() {
    let one = errors("1%");
    let mut kept = story(&one, &[(10, 0, 90, 100), (40, 30, 0, 100)]);
    kept.measurements[0].attempt = 1;
    kept.measurements[1].attempt = 2;
    kept.attempts = 2;
    assert_eq!(judge(&kept, &one).would, Would::Pass);
    let kept = story(&one, &[(10, 0, 90, 100), (40, 30, 0, 100)]);
    let warm = Judging { warm_up: 30, ..one };
    assert_eq!(judge(&kept, &warm).would, Would::Pass);
}

#[test]
fn errors_in_a_row_refuse_and_a_success_resets() {
    let one = errors("1%");
    let mut kept = story(&one, &[(0, 0, 0, 0); 6].map(|_| (10, 0, 0, 0)));
    for (n, reading) in kept.measurements.iter_mut().enumerate() {
        reading.measured.seen = None;
        reading.measured.at = at(10 * n as i64);
        reading.measured.verdict = Some(Verdict::Error("no answer".into()));
    }
    assert!(matches!(judge(&kept, &one).would, Would::Refused { at: when, .. } if when == at(40)));
    let mut lenient = one.clone();
    lenient.metrics[0].limits.errors = 9;
    assert_eq!(judge(&kept, &lenient).would, Would::Pass);
}
