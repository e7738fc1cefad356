//! What one measurement of a metric says, or that it must go on growing to say anything. Pure.

use serde::{Deserialize, Serialize};
use statrs::distribution::{Binomial, DiscreteCDF};

use super::{Bounds, Measure, Metric, Reading, Shift, Verdict, judge};
use crate::service::{Bound, NoData};

/// An error rate above its limit is believed once chance explains it less often than this.
const CHANCE: f64 = 0.001;

/// What was read of a metric in its window.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sighting {
    pub candidate: Reading,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live: Option<Reading>,
    /// How the distributions lie, where they were compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shift: Option<Shift>,
    /// The value as text, for `equals`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The width of the bucket that the value lies in.
    #[serde(default)]
    pub resolution: f64,
    /// Why there is nothing to read, or what was left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Last lines of what failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub log: Vec<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Finding {
    Said(Verdict),
    /// Too few requests, or undecided.
    NotYet(String),
    /// A breach that may be chance.
    Suspected(String),
}

/// Judges what was seen. `last`: the measurement cannot grow any more.
pub fn find(metric: &Metric, seen: &Sighting, last: bool) -> Finding {
    let verdict = verdict(metric, seen);
    if last || metric.patience() == 0 {
        return Finding::Said(verdict);
    }
    match &verdict {
        Verdict::Inconclusive(why) => Finding::NotYet(why.clone()),
        // The policy speaks only once nothing more can come.
        _ if lacking(metric, seen) => Finding::NotYet(format!("{} requests so far", seen.candidate.samples)),
        Verdict::Fail(why) if may_be_chance(metric, seen) => {
            Finding::Suspected(format!("{why}, which may be chance"))
        }
        Verdict::Fail(_) | Verdict::Pass | Verdict::Error(_) => Finding::Said(verdict),
    }
}

fn lacking(metric: &Metric, seen: &Sighting) -> bool {
    let few = |r: Reading| r.value.is_none() || r.samples < metric.bounds.min_samples;
    match metric.measure {
        Measure::ErrorRate | Measure::Latency(_) => {
            few(seen.candidate) || (metric.compares() && seen.live.is_none_or(few))
        }
        Measure::Distribution => matches!(seen.shift, None | Some(Shift::NoData)),
        _ => false,
    }
}

fn verdict(metric: &Metric, seen: &Sighting) -> Verdict {
    if metric.measure == Measure::Distribution {
        return match seen.shift {
            Some(Shift::High) => Verdict::Fail("it is slower than the live slot, beyond chance".into()),
            Some(Shift::Same | Shift::Low) => Verdict::Pass,
            Some(Shift::NoData) | None => nothing(metric.no_data, "too few requests to compare"),
        };
    }
    if let Measure::Job { .. } = metric.measure {
        let why = seen.note.clone().unwrap_or_else(|| "the Job said nothing".into());
        return match seen.candidate.value {
            Some(0.0) => Verdict::Pass,
            Some(_) => Verdict::Fail(why),
            // Whatever is said of missing data: what never ran has not passed.
            None => Verdict::Inconclusive(why),
        };
    }
    if let Some(wanted) = &metric.equals {
        return match &seen.text {
            Some(text) if text == wanted => Verdict::Pass,
            Some(text) => Verdict::Fail(format!("{} is not {wanted}", shorten(text))),
            None => nothing(metric.no_data, seen.note.as_deref().unwrap_or("there is no value")),
        };
    }
    let bounds = Bounds { resolution: seen.resolution, ..metric.bounds };
    match (judge(&bounds, metric.no_data, seen.candidate, seen.live), &seen.note) {
        (Verdict::Inconclusive(why), Some(note)) => Verdict::Inconclusive(format!("{why}: {note}")),
        (Verdict::Fail(why), Some(note)) => Verdict::Fail(format!("{why}: {note}")),
        (verdict, _) => verdict,
    }
}

pub(super) fn nothing(policy: NoData, why: &str) -> Verdict {
    match policy {
        NoData::Inconclusive => Verdict::Inconclusive(why.to_owned()),
        NoData::Pass => Verdict::Pass,
        NoData::Fail => Verdict::Fail(why.to_owned()),
    }
}

fn shorten(text: &str) -> String {
    text.chars().take(80).collect()
}

/// A candidate exactly at its limit would show this many errors more often than `CHANCE`.
fn may_be_chance(metric: &Metric, seen: &Sighting) -> bool {
    let (Measure::ErrorRate, Some(value), Some(bound)) =
        (&metric.measure, seen.candidate.value, metric.bounds.max)
    else {
        return false;
    };
    let n = seen.candidate.samples;
    let errors = (value * n as f64).round() as u64;
    let limit = match bound {
        Bound::Value(limit) => limit,
        Bound::Ratio(times) => {
            let Some(live) = seen.live else { return false };
            // A live slot without errors so far may still have a rate of its own.
            let rate = (live.value.unwrap_or(0.0) * live.samples as f64 + 1.0) / (live.samples as f64 + 1.0);
            times * rate
        }
    };
    if errors == 0 || n == 0 {
        return false;
    }
    let Ok(at_limit) = Binomial::new(limit.clamp(0.0, 1.0), n) else { return false };
    at_limit.sf(errors - 1) > CHANCE
}

/// The limit as a number, for people: of a ratio, times what the live slot has.
pub fn limit(metric: &Metric, seen: Option<&Sighting>) -> Option<f64> {
    if let Some(test) = metric.sequential {
        return seen.and_then(|s| s.live).and_then(|l| l.value).map(|live| live + test.margin);
    }
    let bound = metric.bounds.max.or(metric.bounds.min)?;
    bound.against(seen.and_then(|s| s.live).and_then(|l| l.value))
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    use super::*;
    use crate::rollout::analysis::Limits;

    fn metric(measure: Measure, max: &str) -> Metric {
        Metric {
            name: "m".into(),
            place: String::new(),
            measure,
            bounds: Bounds { max: Some(max.parse().unwrap()), min_samples: 50, ..Bounds::default() },
            equals: None,
            sequential: None,
            no_data: NoData::Inconclusive,
            interval: Some(10_000),
            delay: 0,
            limits: Limits::default(),
        }
    }
    fn rate(errors: u64, samples: u64) -> Sighting {
        let value = (samples > 0).then(|| errors as f64 / samples as f64);
        Sighting { candidate: Reading { value, samples }, ..Sighting::default() }
    }

    #[test]
    fn a_rate_grows_until_it_is_sure() {
        let errors = metric(Measure::ErrorRate, "1%");
        assert!(matches!(find(&errors, &rate(0, 20), false), Finding::NotYet(_)), "too few");
        assert_eq!(find(&errors, &rate(0, 60), false), Finding::Said(Verdict::Pass));
        assert!(
            matches!(find(&errors, &rate(1, 60), false), Finding::Suspected(_)),
            "one error may be chance"
        );
        assert!(matches!(find(&errors, &rate(30, 60), false), Finding::Said(Verdict::Fail(_))));
        assert!(
            matches!(find(&errors, &rate(1, 60), true), Finding::Said(Verdict::Fail(_))),
            "strict at the end"
        );
        for quiet in [rate(0, 0), rate(0, 20)] {
            assert!(matches!(find(&errors, &quiet, true), Finding::Said(Verdict::Inconclusive(_))));
        }
        let lenient = Metric { no_data: NoData::Pass, ..errors };
        assert!(matches!(find(&lenient, &rate(0, 20), false), Finding::NotYet(_)), "a policy is no hurry");
        assert_eq!(find(&lenient, &rate(0, 20), true), Finding::Said(Verdict::Pass));
    }

    #[test]
    fn a_job_that_never_ran_has_not_passed() {
        let job = Measure::Job { image: "e2e".into(), command: Vec::new(), start_deadline: 60, timeout: 600 };
        let job = Metric { no_data: NoData::Pass, ..metric(job, "0") };
        let said = |value: Option<f64>| {
            find(&job, &Sighting { candidate: Reading { value, samples: 0 }, ..Sighting::default() }, true)
        };
        assert_eq!(said(Some(0.0)), Finding::Said(Verdict::Pass));
        assert!(matches!(said(Some(1.0)), Finding::Said(Verdict::Fail(_))));
        assert!(matches!(said(None), Finding::Said(Verdict::Inconclusive(_))));
    }

    #[test]
    fn equals_compares_text() {
        let gate = Metric {
            equals: Some("true".into()),
            ..metric(Measure::Web { url: String::new(), headers: Default::default(), json: None }, "1")
        };
        let said = |text: Option<&str>| {
            find(&gate, &Sighting { text: text.map(String::from), ..Sighting::default() }, false)
        };
        assert_eq!(said(Some("true")), Finding::Said(Verdict::Pass));
        assert!(matches!(said(Some("false")), Finding::Said(Verdict::Fail(_))));
        assert!(matches!(said(None), Finding::Said(Verdict::Inconclusive(_))));
    }

    /// Two minutes at 5 requests a second, looked at every 10 s, as the engine does: whether it was refused.
    fn refused(rng: &mut StdRng, rate_of_errors: f64) -> bool {
        let errors = metric(Measure::ErrorRate, "1%");
        let (mut n, mut bad, mut age) = (0, 0, 0);
        for _ in 0..12 {
            n += 50;
            bad += (0..50).filter(|_| rng.random_bool(rate_of_errors)).count() as u64;
            age += 10_000;
            match find(&errors, &rate(bad, n), age >= errors.patience()) {
                Finding::Said(Verdict::Fail(_)) => return true,
                Finding::Said(_) => (n, bad, age) = (0, 0, 0),
                Finding::NotYet(_) | Finding::Suspected(_) => {}
            }
        }
        false
    }

    #[test]
    fn a_healthy_twin_passes_99_of_100_and_five_percent_never() {
        let mut rng = StdRng::seed_from_u64(11);
        let twins = (0..1000).filter(|_| refused(&mut rng, 0.003)).count();
        assert!(twins <= 10, "{twins} of 1000 healthy twins were refused");
        let passed = (0..1000).filter(|_| !refused(&mut rng, 0.05)).count();
        assert!(passed <= 1, "{passed} of 1000 candidates with 5 % errors passed");
    }
}
