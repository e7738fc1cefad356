//! From the metrics of msctl.yaml to what the engine judges by; stored with the rollout's plan. Pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Bounds, Limits, Test};
use crate::service::{Bound, MetricSpec, NoData, Scalar, Service};

/// The metric that is judged wherever any is: dead pods take their errors with them.
pub const RESTARTS: &str = "restarts";
/// So many intervals a measurement may grow before it has to say something.
const PATIENCE: u64 = 12;
/// So many looks a sequential test may take before it has to say something.
const LOOKS: u64 = 60;

/// How a rollout is judged.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Judging {
    /// From the first weight on, beside the steps.
    pub background: bool,
    /// Seconds after the first weight that are not judged.
    pub warm_up: u64,
    pub metrics: Vec<Metric>,
    /// Where pods serve their metrics, and under which names.
    pub source: Source,
}

/// What a scrape has to know of the service.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Source {
    pub path: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// Routes that are no user's: health and metrics.
    pub routes: Vec<String>,
    /// Requests of ours a second and pod, subtracted where the series name no route.
    pub probes: f64,
}

impl Source {
    pub fn of(service: &Service) -> Source {
        let metrics = &service.metrics;
        let period = service.health.period.0.as_secs_f64().max(1.0);
        let mut routes =
            vec![service.health.live.clone(), service.health.ready.clone(), metrics.path.clone()];
        routes.dedup();
        Source {
            path: metrics.path.clone(),
            requests: metrics.requests.clone(),
            duration: metrics.duration.clone(),
            status: metrics.status.clone(),
            routes,
            probes: 2.0 / period,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metric {
    pub name: String,
    /// Where it is written: `rollout.analysis.metrics[2]`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub place: String,
    pub measure: Measure,
    pub bounds: Bounds,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub equals: Option<String>,
    /// Looked at all the time, against the live slot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequential: Option<Test>,
    pub no_data: NoData,
    /// Milliseconds between measurements; None: one measurement.
    pub interval: Option<u64>,
    /// Seconds after its start that a metric is not measured.
    pub delay: u64,
    pub limits: Limits,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Measure {
    ErrorRate,
    /// Seconds that this share of the requests stay below.
    Latency(f64),
    /// The distributions of both slots against each other.
    Distribution,
    Restarts,
    Prometheus {
        query: String,
        address: String,
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        headers: BTreeMap<String, String>,
    },
    Web {
        url: String,
        headers: BTreeMap<String, String>,
        json: Option<String>,
    },
    Smoke {
        path: String,
        requests: u32,
    },
    #[serde(rename_all = "camelCase")]
    Job {
        image: String,
        command: Vec<String>,
        /// Seconds; as is the following.
        start_deadline: u64,
        timeout: u64,
    },
}

impl Measure {
    /// Read from the pods' own counters.
    pub fn scraped(&self) -> bool {
        matches!(self, Measure::ErrorRate | Measure::Latency(_) | Measure::Distribution)
    }
}

impl Metric {
    /// Needs the live slot's value.
    pub fn compares(&self) -> bool {
        let ratio = |b: Option<Bound>| matches!(b, Some(Bound::Ratio(_)));
        self.measure == Measure::Distribution
            || self.sequential.is_some()
            || ratio(self.bounds.max)
            || ratio(self.bounds.min)
    }

    /// Milliseconds that a measurement may wait for enough requests.
    pub fn patience(&self) -> u64 {
        let looks = if self.sequential.is_some() { LOOKS } else { PATIENCE };
        if self.measure.scraped() { self.interval.unwrap_or(10_000) * looks } else { 0 }
    }
}

impl Judging {
    pub fn runs_jobs(&self) -> bool {
        self.metrics.iter().any(|m| matches!(m.measure, Measure::Job { .. }))
    }

    pub fn resolve(service: &Service) -> anyhow::Result<Judging> {
        let analysis = &service.rollout.analysis;
        let mut metrics = Vec::new();
        for (index, spec) in analysis.metrics.iter().enumerate() {
            let place = format!("rollout.analysis.metrics[{index}]");
            let made = metric(service, spec).map_err(|(key, why)| {
                crate::error::Failure::usage("analysis", format!("{place}.{key}: {}: {why}", spec.name))
            })?;
            metrics.push(Metric { place, ..made });
        }
        if !metrics.is_empty() && !metrics.iter().any(|m| m.measure == Measure::Restarts) {
            metrics.push(restarts(analysis.no_data));
        }
        Ok(Judging {
            background: analysis.background,
            warm_up: analysis.warm_up.0.as_secs(),
            metrics,
            source: Source::of(service),
        })
    }

    /// Not even where the pods are measured is known.
    pub fn is_unset(&self) -> bool {
        *self == Judging::default()
    }

    pub fn is_empty(&self) -> bool {
        self.metrics.is_empty()
    }

    pub fn metric(&self, name: &str) -> Option<&Metric> {
        self.metrics.iter().find(|m| m.name == name)
    }

    /// Names of the metrics that can be asked before any user meets the candidate, and of those that need users. What
    /// sends traffic of its own has its place already, and restarts are always looked at.
    pub fn by_need(&self) -> (Vec<String>, Vec<String>) {
        let placed = |m: &&Metric| matches!(m.measure, Measure::Smoke { .. } | Measure::Restarts);
        let (before, after): (Vec<&Metric>, Vec<&Metric>) = self
            .metrics
            .iter()
            .filter(|m| !placed(m))
            .partition(|m| matches!(m.measure, Measure::Job { .. } | Measure::Web { .. }));
        let names = |metrics: Vec<&Metric>| metrics.into_iter().map(|m| m.name.clone()).collect();
        (names(before), names(after))
    }

    /// Names of the metrics that send traffic of their own.
    pub fn smokes(&self) -> Vec<String> {
        let smokes = self.metrics.iter().filter(|m| matches!(m.measure, Measure::Smoke { .. }));
        smokes.map(|m| m.name.clone()).collect()
    }
}

fn restarts(no_data: NoData) -> Metric {
    Metric {
        name: RESTARTS.into(),
        place: "rollout.analysis".into(),
        measure: Measure::Restarts,
        bounds: Bounds { max: Some(Bound::Value(0.0)), ..Bounds::default() },
        equals: None,
        sequential: None,
        no_data,
        interval: Some(10_000),
        delay: 0,
        limits: Limits::default(),
    }
}

fn headers(written: &BTreeMap<String, Scalar>) -> BTreeMap<String, String> {
    written.iter().map(|(name, value)| (name.clone(), value.0.clone())).collect()
}

type Wrong = (&'static str, String);

fn metric(service: &Service, spec: &MetricSpec) -> Result<Metric, Wrong> {
    let analysis = &service.rollout.analysis;
    let bound = |key: &'static str, text: &Option<Scalar>| match text {
        Some(text) => text.0.parse::<Bound>().map(Some).map_err(|why| (key, why)),
        None => Ok(None),
    };
    let measure = measure(spec)?;
    let max = match measure {
        // Their value is what failed.
        Measure::Restarts | Measure::Smoke { .. } | Measure::Job { .. } | Measure::Web { json: None, .. }
            if spec.max.is_none() =>
        {
            Some(Bound::Value(0.0))
        }
        _ => bound("max", &spec.max)?,
    };
    let sequential = match spec.is_sequential() {
        true => Some(spec.sequential().map(|(alpha, margin)| Test { alpha, margin })?),
        false => None,
    };
    let fewest = match &measure {
        // Without an error in so many, the rate is below the margin at 95 %.
        Measure::ErrorRate if sequential.is_some() => {
            sequential.map_or(1, |t| (3.0 / t.margin.max(0.003)).ceil() as u64)
        }
        // A quantile that rests on fewer than ten requests beyond it is a guess.
        Measure::Latency(q) => (10.0 / (1.0 - q)).ceil() as u64,
        Measure::ErrorRate | Measure::Distribution => 1,
        _ => 0,
    };
    let once = matches!(measure, Measure::Web { .. } | Measure::Smoke { .. } | Measure::Job { .. });
    let interval = spec.interval.or(Some(analysis.interval).filter(|_| !once));
    let bounds = Bounds {
        max,
        min: bound("min", &spec.min)?,
        min_samples: u64::from(spec.min_samples.unwrap_or(0)).max(fewest),
        resolution: 0.0,
    };
    Ok(Metric {
        name: spec.name.clone(),
        place: String::new(),
        measure,
        bounds,
        equals: spec.equals.as_ref().map(|e| e.0.clone()),
        sequential,
        no_data: analysis.no_data,
        interval: interval.map(|i| (i.0.as_millis() as u64).max(500)),
        delay: spec.initial_delay.map_or(0, |d| d.0.as_secs()),
        limits: Limits {
            failures: if spec.critical { 0 } else { spec.failure_limit },
            inconclusives: spec.inconclusive_limit,
            errors: spec.error_limit,
            count: spec.count.or(Some(1).filter(|_| interval.is_none())),
        },
    })
}

fn measure(spec: &MetricSpec) -> Result<Measure, Wrong> {
    if let Some(builtin) = &spec.builtin {
        return Ok(match builtin.as_str() {
            "error-rate" => Measure::ErrorRate,
            "latency" => Measure::Distribution,
            "latency-p50" => Measure::Latency(0.5),
            "latency-p90" => Measure::Latency(0.9),
            "latency-p95" => Measure::Latency(0.95),
            "latency-p99" => Measure::Latency(0.99),
            "restarts" => Measure::Restarts,
            other => return Err(("builtin", format!("{other:?} is not known"))),
        });
    }
    if let Some(query) = &spec.prometheus {
        let address = spec.address.clone().unwrap_or_default();
        return Ok(Measure::Prometheus {
            query: query.clone(),
            address: address.trim_end_matches('/').into(),
            headers: headers(&spec.headers),
        });
    }
    if let Some(web) = &spec.web {
        let (url, json) = (web.url.clone(), web.json.clone());
        return Ok(Measure::Web { url, headers: headers(&web.headers), json });
    }
    if let Some(smoke) = &spec.smoke {
        return Ok(Measure::Smoke { path: smoke.path.clone(), requests: smoke.requests });
    }
    match &spec.job {
        Some(job) => Ok(Measure::Job {
            image: job.image.clone(),
            command: job.command.clone(),
            start_deadline: job.start_deadline.0.as_secs().max(1),
            timeout: job.timeout.0.as_secs().max(1),
        }),
        None => Err(("", "names no source".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judging(analysis: &str) -> Judging {
        let text = format!("service: a\nrollout: {{analysis: {analysis}}}\n");
        let service = crate::service::parse_yaml(&text, std::path::Path::new("msctl.yaml")).unwrap();
        Judging::resolve(&service).unwrap()
    }

    #[test]
    fn defaults_come_from_the_analysis() {
        let judging = judging(
            "{interval: 5s, warmUp: 1m, noData: pass, metrics: [{name: e, builtin: error-rate, max: 1%}, \
             {name: p, builtin: latency-p99, max: 1.2x, minSamples: 50}, {name: w, web: {url: 'http://a/'}}, \
             {name: c, builtin: error-rate, max: 2%, interval: 1s, critical: true, failureLimit: 3}]}",
        );
        let [e, p, w, c, restarts] = judging.metrics.as_slice() else { panic!("{judging:?}") };
        assert_eq!((e.interval, e.bounds.min_samples, e.no_data), (Some(5000), 1, NoData::Pass));
        assert_eq!(e.patience(), 60_000);
        assert_eq!((p.bounds.min_samples, p.compares()), (1000, true), "a p99 needs 10/(1-0.99) requests");
        assert_eq!((w.interval, w.limits.count), (None, Some(1)), "one measurement");
        assert_eq!(
            (c.interval, c.limits.failures),
            (Some(1000), 0),
            "one failure of a critical metric refuses"
        );
        assert_eq!(restarts.measure, Measure::Restarts);
        assert_eq!((judging.warm_up, judging.background), (60, true));
    }

    #[test]
    fn no_metrics_judge_nothing() {
        assert!(judging("{}").is_empty());
    }
}
