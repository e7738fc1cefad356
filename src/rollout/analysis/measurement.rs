//! One measurement as it is told, kept beside the state, drawn in a report and judged again by other thresholds. Pure.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::finding::{Finding, Sighting, find};
use super::plan::Metric;
use super::{Measured, Reading, Tally, Track, Verdict};
use crate::rollout::Slot;

/// Of one metric, over one window, at one share of the traffic.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Measurement {
    pub metric: String,
    /// The candidate's.
    pub slot: Slot,
    pub revision: u32,
    /// Percent of the traffic that the candidate had.
    pub weight: u8,
    /// Of an `analyze` step, else in the background.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub inline: bool,
    /// The window: what happened from then until `at`.
    pub from: Timestamp,
    pub at: Timestamp,
    /// What was read of both slots. None: it could not be made, and the verdict is the error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<Sighting>,
    /// The window could not grow any more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub last: bool,
    /// None: it said nothing yet, and its window went on growing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
}

impl Measurement {
    /// The candidate's value and the requests it rests on.
    pub fn candidate(&self) -> Reading {
        self.seen.as_ref().map(|s| s.candidate).unwrap_or_default()
    }

    /// The live slot's, where it was read.
    pub fn live(&self) -> Option<Reading> {
        self.seen.as_ref().and_then(|s| s.live)
    }

    /// What `metric` would have said of the same numbers; an error stays one.
    pub fn again(&self, metric: &Metric) -> Option<Verdict> {
        let Some(seen) = &self.seen else { return self.verdict.clone() };
        match find(metric, seen, self.last) {
            Finding::Said(verdict) => Some(verdict),
            Finding::NotYet(_) | Finding::Suspected(_) => None,
        }
    }
}

/// What other thresholds make of kept measurements.
#[derive(Debug, Clone, PartialEq)]
pub struct Replay {
    pub tally: Tally,
    /// One a measurement, as long as the metric was judged; None: nothing said yet.
    pub verdicts: Vec<(Timestamp, Option<Verdict>)>,
}

/// Judges `kept`, the measurements of one rollout in order, by `metric`; those of other metrics are left out. It ends
/// where the metric would have ended the rollout.
pub fn replay(metric: &Metric, kept: &[Measurement]) -> Replay {
    let mut verdicts = Vec::new();
    let mut track: Option<(Track, u8)> = None;
    for one in kept.iter().filter(|m| m.metric == metric.name) {
        let (track, weight) =
            track.get_or_insert_with(|| (Track::new(metric, one.from, one.from), one.weight));
        if !track.running() {
            break;
        }
        if std::mem::replace(weight, one.weight) != one.weight {
            track.open(metric, one.from);
        }
        track.window = one.from;
        let seen = match (&one.seen, &one.verdict) {
            (Some(seen), _) => Ok(seen.clone()),
            (None, Some(Verdict::Error(why))) => Err(why.clone()),
            (None, _) => Err("it could not be made".to_owned()),
        };
        let (metric_name, window, due) = (one.metric.clone(), one.from, track.due);
        let measured = Measured { metric: metric_name, inline: false, window, due, at: one.at, seen };
        verdicts.push((one.at, track.after(metric, &measured, one.last)));
    }
    Replay { tally: track.map(|(track, _)| track.tally).unwrap_or_default(), verdicts }
}
