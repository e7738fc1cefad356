//! Where a rollout's judging is: the tracks of its metrics, their windows, and what a measurement changes. Pure.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::finding::{Finding, Sighting, find, limit, nothing};
use super::plan::Metric;
use super::{Batch, Reading, Sequential, Stop, Tally, TallyPhase, Unit, Verdict, show};

/// A measurement that could not be made is tried again so soon, whatever the interval.
pub const RETRY: SignedDuration = SignedDuration::from_secs(10);

/// Kept with the rollout.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Trial {
    /// The share of the traffic that the windows belong to, as the engine writes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share: Option<String>,
    /// When the candidate first had traffic.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first: Option<Timestamp>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub background: Vec<Track>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub inline: Vec<Track>,
    /// The step that the inline tracks belong to, and until when it judges.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// The share that the candidate was seen to get since the present share began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub split: Option<crate::rollout::Split>,
    /// A person went on without a verdict, or skips all of it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub vouched: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub skipped: bool,
    /// Restarts that were there before the traffic.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restarts: Option<u32>,
    /// Pods that vanished unasked since then, and the last of them in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lost: Option<(u32, String)>,
}

/// One metric's way through a rollout or an `analyze` step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Track {
    pub metric: String,
    pub tally: Tally,
    /// The present measurement began here.
    pub window: Timestamp,
    /// Measured then, or again then.
    pub due: Timestamp,
    /// The measurement has grown since then, where earlier drivers looked already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// What it has counted so far is a breach, if chance does not explain it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub suspected: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Sighting>,
    /// Running sums of a sequential test.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequential: Option<Sequential>,
}

/// A measurement the driver is asked for: of `metric` since `window`, at `due`.
#[derive(Debug, Clone, PartialEq)]
pub struct Ask {
    pub metric: Metric,
    pub inline: bool,
    /// `step-2`, or `background`.
    pub phase: String,
    pub window: Timestamp,
    pub due: Timestamp,
    /// Its time has come; until then its window only has to be opened.
    pub ripe: bool,
}

/// What the driver brought back.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    pub metric: String,
    pub inline: bool,
    pub window: Timestamp,
    pub due: Timestamp,
    /// When it was read; the next window begins here.
    pub at: Timestamp,
    pub seen: Result<Sighting, String>,
}

impl Track {
    pub fn new(metric: &Metric, now: Timestamp, not_before: Timestamp) -> Track {
        let mut track = Track {
            metric: metric.name.clone(),
            tally: Tally::default(),
            window: now,
            due: now,
            since: None,
            suspected: false,
            last: None,
            sequential: metric.sequential.map(|test| Sequential::new(test, now)),
        };
        let delay = now + SignedDuration::from_secs(metric.delay as i64);
        track.open(metric, now.max(not_before).max(delay));
        track
    }

    /// Begins a measurement at `from`.
    pub fn open(&mut self, metric: &Metric, from: Timestamp) {
        self.window = from;
        self.since = None;
        self.suspected = false;
        if let Some(test) = &mut self.sequential {
            test.renew(from);
        }
        let wait = if metric.measure.scraped() || self.tally.measurements > 0 {
            metric.interval.unwrap_or(0)
        } else {
            0
        };
        self.due = from + SignedDuration::from_millis(wait as i64);
    }

    pub fn running(&self) -> bool {
        !self.tally.phase.ended()
    }

    /// Whether its window has grown for as long as it may.
    pub fn spent(&self, metric: &Metric, at: Timestamp) -> bool {
        at.duration_since(self.began()).as_millis() >= i128::from(metric.patience())
    }

    fn began(&self) -> Timestamp {
        self.sequential.as_ref().map_or(self.since.unwrap_or(self.window), |test| test.since)
    }

    /// When it was last looked at; before `now`.
    pub fn looked(&self, metric: &Metric, now: Timestamp) -> Timestamp {
        let interval = SignedDuration::from_millis(metric.interval.unwrap_or(0) as i64);
        (self.due - interval).max(self.window).min(now)
    }

    /// Goes on under another driver, which has not seen the window's beginning. What was waited before counts, not what
    /// passed since.
    pub fn resume(&mut self, metric: &Metric, now: Timestamp) {
        if self.window >= now {
            return;
        }
        let since = now - self.looked(metric, now).duration_since(self.began());
        match &mut self.sequential {
            Some(test) => test.since = since,
            None => self.since = Some(since),
        }
        self.window = now;
        self.due = now + SignedDuration::from_millis(metric.interval.unwrap_or(0) as i64);
    }

    /// The track after a measurement; the verdict if it counted. `last`: nothing more can come.
    pub fn after(&mut self, metric: &Metric, measured: &Measured, last: bool) -> Option<Verdict> {
        let interval = SignedDuration::from_millis(metric.interval.unwrap_or(0) as i64);
        let seen = match &measured.seen {
            Err(why) => {
                let verdict = Verdict::Error(why.clone());
                self.tally = self.tally.after(&verdict, &metric.limits);
                self.due = measured.at + RETRY;
                return Some(verdict);
            }
            Ok(seen) => seen,
        };
        let last = last || self.spent(metric, measured.at);
        let finding = match self.sequential.as_mut() {
            Some(test) => {
                let (finding, sums) = look(metric, test, seen, last, measured.at);
                self.last = Some(sums);
                finding
            }
            None => {
                self.last = Some(seen.clone());
                find(metric, seen, last)
            }
        };
        self.suspected = matches!(finding, Finding::Suspected(_));
        match finding {
            Finding::NotYet(why) | Finding::Suspected(why) => {
                if self.sequential.is_some() {
                    self.window = measured.at;
                }
                self.tally.errors_in_a_row = 0;
                self.tally.phase = TallyPhase::Running;
                self.tally.why = Some(why);
                self.due = measured.at + interval;
                None
            }
            Finding::Said(verdict) => {
                self.tally = self.tally.after(&verdict, &metric.limits);
                if verdict == Verdict::Pass {
                    self.tally.why = None;
                    // Decided: looking on tells a step nothing. The background goes on, at the same rate of alarms.
                    if self.sequential.is_some() && measured.inline && metric.limits.count.is_none() {
                        self.tally.phase = TallyPhase::Successful;
                    }
                }
                self.window = measured.at;
                self.since = None;
                self.due = measured.at + interval;
                Some(verdict)
            }
        }
    }
}

/// Takes one window into a sequential test: what it says, and the sums as people are told them.
fn look(
    metric: &Metric,
    test: &mut Sequential,
    seen: &Sighting,
    last: bool,
    at: Timestamp,
) -> (Finding, Sighting) {
    let errors = |r: Reading| (r.value.unwrap_or(0.0) * r.samples as f64).round() as u64;
    let live = seen.live.unwrap_or_default();
    let stop = test.add(Batch {
        candidate: seen.candidate.samples,
        candidate_errors: errors(seen.candidate),
        live: live.samples,
        live_errors: errors(live),
    });
    let [candidate, live] = test.sums();
    let reading = |(samples, errors): (u64, u64)| Reading {
        value: (samples > 0).then(|| errors as f64 / samples as f64),
        samples,
    };
    let sums = Sighting { candidate: reading(candidate), live: Some(reading(live)), ..seen.clone() };
    let side = |(samples, errors): (u64, u64)| format!("{errors} errors in {samples} requests");
    let text = format!("{} against {} of the live slot", side(candidate), side(live));
    let enough = candidate.0.min(live.0) >= metric.bounds.min_samples.max(1);
    let finding = match stop.filter(|_| enough) {
        Some(Stop::Harm) => Finding::Said(Verdict::Fail(format!(
            "it errs more often than the live slot: {text} (sequential test, at most {} % false alarms)",
            show(test.test().alpha * 100.0)
        ))),
        Some(Stop::Harmless) => Finding::Said(Verdict::Pass),
        None if last => {
            test.renew(at);
            let gap = sums.candidate.value.zip(sums.live.and_then(|l| l.value)).map(|(c, l)| c - l);
            Finding::Said(match gap.filter(|_| enough) {
                // As much as such a time can show, and that is told.
                Some(gap) if gap <= test.test().margin => Verdict::Pass,
                Some(_) => nothing(metric.no_data, &format!("the sequential test is undecided: {text}")),
                None => nothing(metric.no_data, &format!("too few requests for a sequential test: {text}")),
            })
        }
        None => Finding::NotYet(format!("undecided so far: {text}")),
    };
    (finding, sums)
}

/// As `rollout status` tells it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MetricStatus {
    pub metric: String,
    pub phase: TallyPhase,
    pub unit: Unit,
    /// The candidate's, as last measured.
    pub value: Option<serde_json::Value>,
    pub limit: Option<serde_json::Value>,
    /// Measurements that counted.
    pub measurements: u32,
    /// Requests that the value rests on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub samples: Option<u64>,
    /// The live slot's value, where they are compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub live: Option<f64>,
    /// What it must keep to, as written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

impl MetricStatus {
    /// The value as people read it.
    pub fn value_text(&self) -> Option<String> {
        match self.value.as_ref()? {
            serde_json::Value::String(text) => Some(text.chars().take(40).collect()),
            value => value.as_f64().map(|v| self.unit.show(v)),
        }
    }
}

impl Trial {
    /// The plan's metrics in order, each as its latest track has it.
    pub fn status(&self, metrics: &[Metric]) -> Vec<MetricStatus> {
        metrics.iter().map(|metric| one(metric, self.track(&metric.name))).collect()
    }

    /// The latest of a metric.
    pub fn track(&self, name: &str) -> Option<&Track> {
        let of = |tracks: &'_ [Track]| tracks.iter().position(|t| t.metric == name);
        of(&self.inline)
            .map(|i| &self.inline[i])
            .or_else(|| of(&self.background).map(|i| &self.background[i]))
    }

    /// The tracks that go on stop: one bad metric stops its siblings.
    pub fn stop(&mut self) {
        for track in self.inline.iter_mut().chain(&mut self.background) {
            if track.running() && track.tally.measurements > 0 {
                track.tally.phase = TallyPhase::Successful;
            }
        }
    }
}

fn one(metric: &Metric, track: Option<&Track>) -> MetricStatus {
    let last = track.and_then(|t| t.last.as_ref());
    let value = last.and_then(|seen| match &metric.equals {
        Some(_) => seen.text.clone().map(serde_json::Value::from),
        None => seen.candidate.value.map(serde_json::Value::from),
    });
    let limit = match &metric.equals {
        Some(wanted) => Some(serde_json::Value::from(wanted.clone())),
        None => limit(metric, last).map(serde_json::Value::from),
    };
    let tally = track.map(|t| t.tally.clone()).unwrap_or_default();
    MetricStatus {
        metric: metric.name.clone(),
        phase: tally.phase,
        unit: Unit::of(&metric.measure),
        value,
        limit,
        measurements: tally.measurements,
        samples: last.map(|s| s.candidate.samples).filter(|_| metric.measure.scraped()),
        live: last.and_then(|s| s.live).and_then(|l| l.value).filter(|_| metric.compares()),
        threshold: metric.limit_text(),
        message: tally.why,
    }
}
