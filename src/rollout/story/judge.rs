//! Replays a deploy's kept measurements against other thresholds, by the same judge as a rollout under way. Pure.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::Story;
use crate::rollout::analysis::{
    Judging, Measure, Measured, Measurement, Metric, Reading, Sighting, TallyPhase, Track, Unit, Verdict,
};
use crate::rollout::state::DeployResult;

/// What would have become of a deploy.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "outcome")]
pub enum Would {
    /// No metric stands in its way, as far as it was measured.
    Pass,
    Refused {
        at: Timestamp,
        metric: String,
        why: String,
    },
    Paused {
        at: Timestamp,
        metric: String,
        why: String,
    },
    /// Nothing was kept that the thresholds speak of.
    Unknown,
}

/// Against what happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    Same,
    /// It was let through, or only paused.
    NowRefused,
    /// An analysis had refused it.
    NowPasses,
    NowPauses,
    Unknown,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Judged {
    pub deploy: u32,
    pub revision: u32,
    pub began: Timestamp,
    /// What happened.
    pub result: DeployResult,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    pub would: Would,
    pub change: Change,
    pub metrics: Vec<MetricJudged>,
    /// Measurements that did not fit into what was kept.
    #[serde(skip_serializing_if = "is_zero")]
    pub left_out: u32,
}

fn is_zero(n: &u32) -> bool {
    *n == 0
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MetricJudged {
    pub metric: String,
    /// None: it was not measured then.
    pub phase: Option<TallyPhase>,
    /// Verdicts under these thresholds.
    pub measurements: u32,
    pub failures: u32,
    /// Readings that were kept.
    pub readings: u32,
    /// The highest that a reading came to, and the limit.
    pub worst: Option<f64>,
    pub limit: Option<String>,
    pub unit: Unit,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// What `judging` says of `story`'s last attempt.
pub fn judge(story: &Story, judging: &Judging) -> Judged {
    let warm = first_traffic(story).map(|at| at + SignedDuration::from_secs(judging.warm_up as i64));
    let mut replays: Vec<Replay> = judging.metrics.iter().map(|m| Replay::new(m, story)).collect();
    let mut would = Would::Unknown;
    let (mut refused, mut paused) = (None, None);
    for kept in story.measurements.iter().filter(|r| r.attempt == story.attempts).map(|r| &r.measured) {
        for replay in replays.iter_mut().filter(|r| r.of.as_ref().is_some_and(|o| o.name == kept.metric)) {
            if would == Would::Unknown {
                would = Would::Pass;
            }
            let early = warm.is_some_and(|w| replay.metric.measure.scraped() && kept.at < w);
            if refused.is_some() || early {
                continue;
            }
            let (at, metric) = (kept.at, replay.metric.name.clone());
            match replay.take(kept) {
                Some((TallyPhase::Failed | TallyPhase::Error, why)) => {
                    refused = Some(Would::Refused { at, metric, why });
                }
                Some((TallyPhase::Inconclusive, why)) if paused.is_none() => {
                    paused = Some(Would::Paused { at, metric, why });
                }
                _ => {}
            }
        }
    }
    let would = refused.or(paused).unwrap_or(would);
    Judged {
        deploy: story.deploy,
        revision: story.revision,
        began: story.began,
        result: story.result,
        reason: story.cause.as_ref().map(|c| c.reason.clone()),
        message: story.cause.as_ref().map(|c| c.message.clone()),
        change: change(story, &would),
        would,
        metrics: replays
            .into_iter()
            .filter(|r| r.metric.measure != Measure::Restarts || r.readings > 0)
            .map(Replay::end)
            .collect(),
        left_out: story.left_out.measurements,
    }
}

fn change(story: &Story, would: &Would) -> Change {
    let by_analysis = story.cause.as_ref().is_some_and(|c| c.reason.starts_with("analysis-"));
    let had_paused = story.told.iter().any(|t| t.kind == "paused" && t.text.contains("inconclusive"));
    match would {
        Would::Unknown => Change::Unknown,
        Would::Refused { .. } if by_analysis => Change::Same,
        Would::Refused { .. } => Change::NowRefused,
        Would::Paused { .. } if had_paused => Change::Same,
        Would::Paused { .. } => Change::NowPauses,
        Would::Pass if by_analysis => Change::NowPasses,
        Would::Pass => Change::Same,
    }
}

fn first_traffic(story: &Story) -> Option<Timestamp> {
    story.points.iter().find(|p| p.wanted > 0).map(|p| p.at)
}

/// One metric's way through what was kept.
struct Replay {
    metric: Metric,
    /// The kept metric that measured the same.
    of: Option<Metric>,
    missing: Option<String>,
    track: Option<Track>,
    /// The reading before: as kept, and as judged; and whether that ended its measurement.
    before: Option<(Measurement, Sighting, bool)>,
    /// What a measurement that goes on had before the kept one began anew.
    carried: Option<Sighting>,
    /// What the kept one had when ours was over.
    spent: Option<Sighting>,
    readings: u32,
    worst: Option<f64>,
    failures: u32,
    measurements: u32,
    ended: Option<(TallyPhase, Option<String>)>,
}

impl Replay {
    fn new(metric: &Metric, story: &Story) -> Replay {
        let kept = &story.judging.metrics;
        let same = |k: &&Metric| same(&k.measure, &metric.measure);
        let found = kept.iter().filter(same).find(|k| k.name == metric.name).or(kept.iter().find(same));
        let missing = match kept.iter().find(|k| k.name == metric.name) {
            _ if found.is_some() => None,
            Some(_) => Some("it measured something else then".to_owned()),
            None => Some("it was not measured then".to_owned()),
        };
        Replay {
            of: found.cloned(),
            metric: metric.clone(),
            missing,
            track: None,
            before: None,
            carried: None,
            spent: None,
            readings: 0,
            worst: None,
            failures: 0,
            measurements: 0,
            ended: None,
        }
    }

    /// The phase that this reading brought about, if it ended the track.
    fn take(&mut self, kept: &Measurement) -> Option<(TallyPhase, String)> {
        self.readings += 1;
        // Within one track a window begins where the one before ended.
        let fresh = self
            .before
            .as_ref()
            .is_some_and(|(b, ..)| b.inline != kept.inline || (kept.inline && kept.from > b.at));
        if fresh {
            (self.track, self.before, self.carried, self.spent) = (None, None, None, None);
        }
        let mut track = self.track.take().unwrap_or_else(|| {
            let mut track = Track::new(&self.metric, kept.from, kept.from);
            track.window = kept.from;
            track
        });
        if track.tally.phase.ended() {
            self.track = Some(track);
            return None;
        }
        let seen = self.grown(kept);
        if let Some(value) = seen.as_ref().and_then(|s| s.candidate.value) {
            self.worst = Some(self.worst.map_or(value, |w| w.max(value)));
        }
        let conclusive = track.tally.measurements > track.tally.inconclusives;
        let measured = Measured {
            metric: self.metric.name.clone(),
            inline: kept.inline,
            window: track.window,
            due: track.due,
            at: kept.at,
            seen: match (&seen, &kept.verdict) {
                (Some(seen), _) => Ok(seen.clone()),
                (None, Some(Verdict::Error(why))) => Err(why.clone()),
                (None, _) => Err("it could not be made".into()),
            },
        };
        let was = track.tally.failures;
        // That the kept window had grown for long enough is not the end of ours.
        let grown = self.of.as_ref().map_or(0, Metric::patience);
        let over = kept.at.duration_since(kept.from).as_millis() >= i128::from(grown);
        let last = kept.last && (!over || track.window == kept.from) && !conclusive;
        let said = track.after(&self.metric, &measured, last);
        self.failures += track.tally.failures - was;
        self.measurements += u32::from(said.is_some());
        if let Some(seen) = seen {
            self.before = Some((kept.clone(), seen, said.is_some()));
        }
        let phase = track.tally.phase;
        let why = track.tally.why.clone();
        if phase.ended() {
            self.ended = Some((phase, why.clone()));
        }
        // After a pause a person went on, and the metric began anew.
        let over = phase == TallyPhase::Inconclusive;
        self.track = (!over).then_some(track);
        phase.ended().then(|| (phase, why.unwrap_or_default()))
    }

    /// The reading over our own window, where that is not the kept one.
    fn grown(&mut self, kept: &Measurement) -> Option<Sighting> {
        let seen = kept.seen.clone()?;
        if let Some((before, judged, said)) = &self.before {
            let same_window = before.from == kept.from;
            if *said {
                self.carried = None;
                self.spent = before.seen.clone().filter(|_| same_window);
            } else if !same_window {
                self.carried = Some(judged.clone());
                self.spent = None;
            }
        }
        if self.metric.measure != Measure::ErrorRate {
            return Some(seen);
        }
        let seen = match &self.spent {
            Some(spent) => combined(&seen, spent, -1.0),
            None => seen,
        };
        Some(match &self.carried {
            Some(carried) => combined(&seen, carried, 1.0),
            None => seen,
        })
    }

    fn end(self) -> MetricJudged {
        let running = self.track.as_ref().map(|t| (t.tally.phase, t.tally.why.clone()));
        let (phase, why) = self.ended.or(running).map_or((None, None), |(p, w)| (Some(p), w));
        // What had said something and was not ended by a limit has passed.
        let phase = match phase {
            Some(TallyPhase::Running | TallyPhase::Waiting) if self.measurements > 0 => {
                Some(TallyPhase::Successful)
            }
            other => other,
        };
        MetricJudged {
            metric: self.metric.name.clone(),
            phase,
            measurements: self.measurements,
            failures: self.failures,
            readings: self.readings,
            worst: self.worst,
            limit: self.metric.limit_text(),
            unit: Unit::of(&self.metric.measure),
            why: self.missing.or(why.filter(|_| phase != Some(TallyPhase::Successful))),
        }
    }
}

/// Whether two metrics read the same thing.
fn same(a: &Measure, b: &Measure) -> bool {
    match (a, b) {
        // The kept one has no headers' values.
        (Measure::Web { url: a, json: x, .. }, Measure::Web { url: b, json: y, .. }) => a == b && x == y,
        (a, b) => a == b,
    }
}

/// Error rates add up, and are taken apart, by their requests.
fn combined(a: &Sighting, b: &Sighting, sign: f64) -> Sighting {
    let reading = |a: Reading, b: Reading| {
        let samples = (a.samples as f64 + sign * b.samples as f64).max(0.0);
        let errors = |r: Reading| r.value.unwrap_or(0.0) * r.samples as f64;
        let errors = (errors(a) + sign * errors(b)).max(0.0);
        Reading { value: (samples > 0.0).then(|| errors / samples), samples: samples as u64 }
    };
    let live = match (a.live, b.live) {
        (Some(a), Some(b)) => Some(reading(a, b)),
        (a, _) => a,
    };
    Sighting { candidate: reading(a.candidate, b.candidate), live, ..a.clone() }
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
