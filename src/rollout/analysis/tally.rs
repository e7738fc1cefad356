//! Verdicts add up to a phase: failures and inconclusives are cumulative, errors count in a row.

use serde::{Deserialize, Serialize};

use super::Verdict;

/// A breach is strictly more than the limit; `count` measurements end the metric, None goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    pub failures: u32,
    pub inconclusives: u32,
    pub errors: u32,
    pub count: Option<u32>,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { failures: 0, inconclusives: 0, errors: 4, count: None }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TallyPhase {
    Waiting,
    Running,
    Successful,
    Failed,
    Inconclusive,
    Error,
}

impl TallyPhase {
    pub fn ended(self) -> bool {
        !matches!(self, TallyPhase::Waiting | TallyPhase::Running)
    }
}

/// What a metric's measurements came to so far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tally {
    pub phase: TallyPhase,
    pub measurements: u32,
    pub failures: u32,
    pub inconclusives: u32,
    pub errors_in_a_row: u32,
    /// Of the last verdict that was no pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

impl Default for Tally {
    fn default() -> Self {
        Tally {
            phase: TallyPhase::Waiting,
            measurements: 0,
            failures: 0,
            inconclusives: 0,
            errors_in_a_row: 0,
            why: None,
        }
    }
}

impl Tally {
    /// The tally after one more verdict. An ended tally stays as it is.
    pub fn after(&self, verdict: &Verdict, limits: &Limits) -> Tally {
        let mut next = self.clone();
        if self.phase.ended() {
            return next;
        }
        next.phase = TallyPhase::Running;
        match verdict {
            Verdict::Error(why) => {
                next.errors_in_a_row += 1;
                next.why = Some(why.clone());
                if next.errors_in_a_row > limits.errors {
                    next.phase = TallyPhase::Error;
                }
                return next;
            }
            Verdict::Pass => {}
            Verdict::Fail(why) => {
                next.failures += 1;
                next.why = Some(why.clone());
            }
            Verdict::Inconclusive(why) => {
                next.inconclusives += 1;
                next.why = Some(why.clone());
            }
        }
        next.errors_in_a_row = 0;
        next.measurements += 1;
        if next.failures > limits.failures {
            next.phase = TallyPhase::Failed;
        } else if next.inconclusives > limits.inconclusives {
            next.phase = TallyPhase::Inconclusive;
        } else if limits.count.is_some_and(|count| next.measurements >= count) {
            next.phase = TallyPhase::Successful;
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(limits: Limits, verdicts: &str) -> Tally {
        verdicts.chars().fold(Tally::default(), |tally, c| {
            let why = || "why".to_owned();
            let verdict = match c {
                'p' => Verdict::Pass,
                'f' => Verdict::Fail(why()),
                'i' => Verdict::Inconclusive(why()),
                _ => Verdict::Error(why()),
            };
            tally.after(&verdict, &limits)
        })
    }

    #[test]
    fn limits_are_breached_strictly_above() {
        let with = |failures, inconclusives| Limits { failures, inconclusives, ..Limits::default() };
        for (limits, verdicts, phase) in [
            (with(0, 0), "ppp", TallyPhase::Running),
            (with(0, 0), "pf", TallyPhase::Failed),
            (with(1, 0), "pfp", TallyPhase::Running),
            (with(1, 0), "fpf", TallyPhase::Failed),
            (with(0, 0), "i", TallyPhase::Inconclusive),
            (with(0, 2), "iip", TallyPhase::Running),
            (with(0, 0), "eeee", TallyPhase::Running),
            (with(0, 0), "eeeee", TallyPhase::Error),
            (with(0, 0), "eeeepeeee", TallyPhase::Running),
            (Limits { count: Some(2), ..Limits::default() }, "pp", TallyPhase::Successful),
            (Limits { count: Some(2), ..Limits::default() }, "pe", TallyPhase::Running),
        ] {
            assert_eq!(run(limits, verdicts).phase, phase, "{verdicts}");
        }
    }

    #[test]
    fn what_ended_stays() {
        assert_eq!(run(Limits::default(), "fppp"), run(Limits::default(), "f"));
    }
}
