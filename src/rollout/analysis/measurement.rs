//! One measurement as it is told, kept beside the state, drawn in a report and judged again by other thresholds. Pure.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::finding::{Finding, Sighting, find};
use super::plan::Metric;
use super::{Reading, Verdict};
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
            Finding::NotYet(_) => None,
        }
    }
}
