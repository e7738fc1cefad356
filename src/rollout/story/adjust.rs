//! `--metric NAME:KEY=VALUE,…`: a threshold to judge by in place of the written one. Pure.

use crate::error::Failure;
use crate::rollout::analysis::{Judging, Metric};
use crate::service::NoData;

const KEYS: &str =
    "max, min, equals, minSamples, failureLimit, inconclusiveLimit, errorLimit, count and noData";

/// Changes `judging` as `text` says; a metric that it lacks is taken from `kept`.
pub fn adjust(judging: &mut Judging, text: &str, kept: &[Metric]) -> Result<(), Failure> {
    let wrong = |why: String| {
        Failure::usage("metric", format!("--metric {text:?}: {why}"))
            .hint("such as --metric errors:max=2% or --metric p99:max=1.5x,failureLimit=1")
    };
    let (name, changes) =
        text.split_once(':').ok_or_else(|| wrong("no NAME: before the threshold".into()))?;
    if judging.metric(name).is_none() {
        let found = kept.iter().find(|m| m.name == name);
        judging.metrics.extend(found.cloned());
    }
    let names: Vec<String> = judging.metrics.iter().map(|m| m.name.clone()).collect();
    let metric = judging.metrics.iter_mut().find(|m| m.name == name).ok_or_else(|| {
        let known = if names.is_empty() { "there are none".into() } else { names.join(", ") };
        wrong(format!("no metric has that name; known: {known}"))
    })?;
    for change in changes.split(',') {
        let (key, value) =
            change.split_once('=').ok_or_else(|| wrong(format!("{change:?} is not KEY=VALUE")))?;
        set(metric, key.trim(), value.trim()).map_err(&wrong)?;
    }
    Ok(())
}

fn set(metric: &mut Metric, key: &str, value: &str) -> Result<(), String> {
    let number = || value.parse::<u32>().map_err(|_| format!("{key}: {value:?} is not a number"));
    let bound = || value.parse().map(Some).map_err(|why: String| format!("{key}: {why}"));
    match key {
        "max" => metric.bounds.max = bound()?,
        "min" => metric.bounds.min = bound()?,
        "equals" => metric.equals = Some(value.to_owned()),
        "minSamples" => metric.bounds.min_samples = number()?.into(),
        "failureLimit" => metric.limits.failures = number()?,
        "inconclusiveLimit" => metric.limits.inconclusives = number()?,
        "errorLimit" => metric.limits.errors = number()?,
        "count" => metric.limits.count = Some(number()?),
        "noData" => {
            metric.no_data = match value {
                "inconclusive" => NoData::Inconclusive,
                "pass" => NoData::Pass,
                "fail" => NoData::Fail,
                other => return Err(format!("noData: {other:?} is none of inconclusive, pass, fail")),
            }
        }
        other => return Err(format!("{other:?} is no threshold; those are {KEYS}")),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::Bound;

    fn judging() -> Judging {
        let text = "service: a\nrollout: {analysis: {metrics: [{name: e, builtin: error-rate, max: 1%}]}}\n";
        Judging::resolve(&crate::service::parse_yaml(text, std::path::Path::new("msctl.yaml")).unwrap())
            .unwrap()
    }

    #[test]
    fn thresholds_are_replaced_by_name() {
        let mut judging = judging();
        adjust(&mut judging, "e:max=2%,minSamples=7,failureLimit=1,noData=pass", &[]).unwrap();
        let metric = judging.metric("e").unwrap();
        assert_eq!(metric.bounds.max, Some(Bound::Value(0.02)));
        assert_eq!((metric.bounds.min_samples, metric.limits.failures, metric.no_data), (7, 1, NoData::Pass));
    }

    #[test]
    fn a_metric_may_come_from_what_was_kept() {
        let kept = judging().metrics;
        let mut none = Judging::default();
        adjust(&mut none, "e:max=3x", &kept).unwrap();
        assert_eq!(none.metric("e").unwrap().bounds.max, Some(Bound::Ratio(3.0)));
    }

    #[test]
    fn a_mistake_says_what_would_do() {
        for (text, part) in [
            ("e", "no NAME:"),
            ("x:max=1", "known: e"),
            ("e:max", "KEY=VALUE"),
            ("e:max=much", "max:"),
            ("e:most=1", "failureLimit"),
            ("e:noData=maybe", "none of"),
            ("e:count=-1", "not a number"),
        ] {
            let error = adjust(&mut judging(), text, &[]).unwrap_err();
            assert!(error.message.contains(part), "{text}: {}", error.message);
            assert!(!error.hints.is_empty());
        }
    }
}
