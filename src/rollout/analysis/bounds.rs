//! One measurement against its bounds: a value, or so many times the live slot's.

use serde::{Deserialize, Serialize};

use crate::service::{Bound, NoData};

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Bounds {
    pub max: Option<Bound>,
    pub min: Option<Bound>,
    /// Fewer requests than this on either side say nothing.
    pub min_samples: u64,
    /// A difference smaller than this is no breach: the width of a histogram's bucket.
    pub resolution: f64,
}

/// What was read of one slot: None when there was nothing to read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    pub value: Option<f64>,
    /// Requests or observations it rests on.
    pub samples: u64,
}

/// What one measurement says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "verdict", content = "why")]
pub enum Verdict {
    Pass,
    Fail(String),
    Inconclusive(String),
    /// The measurement itself could not be made.
    Error(String),
}

/// Judges one measurement. Breach is strictly beyond the bound; no data is what the policy says.
pub fn judge(bounds: &Bounds, no_data: NoData, candidate: Reading, live: Option<Reading>) -> Verdict {
    let Some(value) = candidate.value.filter(|v| v.is_finite()) else {
        return missing(no_data, "the candidate had no data");
    };
    if candidate.samples < bounds.min_samples {
        return missing(no_data, &format!("{} of {} samples", candidate.samples, bounds.min_samples));
    }
    let compares = [bounds.max, bounds.min].iter().flatten().any(|b| matches!(b, Bound::Ratio(_)));
    let live_value = live.and_then(|l| l.value).filter(|v| v.is_finite());
    if compares && live.is_none_or(|l| l.samples < bounds.min_samples || live_value.is_none()) {
        return missing(no_data, "the live slot has too little data to compare with");
    }
    if let Some(limit) = bounds.max.and_then(|b| b.against(live_value))
        && value - limit > bounds.resolution
    {
        return Verdict::Fail(format!("{} is above {}", show(value), show(limit)));
    }
    if let Some(limit) = bounds.min.and_then(|b| b.against(live_value))
        && limit - value > bounds.resolution
    {
        return Verdict::Fail(format!("{} is below {}", show(value), show(limit)));
    }
    Verdict::Pass
}

fn missing(policy: NoData, why: &str) -> Verdict {
    match policy {
        NoData::Inconclusive => Verdict::Inconclusive(why.to_owned()),
        NoData::Pass => Verdict::Pass,
        NoData::Fail => Verdict::Fail(why.to_owned()),
    }
}

/// Four significant digits.
pub fn show(value: f64) -> String {
    let digits = if value == 0.0 { 0 } else { (3 - value.abs().log10().floor() as i32).clamp(0, 8) };
    let text = format!("{value:.*}", digits as usize);
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: f64, samples: u64) -> Reading {
        Reading { value: Some(value), samples }
    }
    fn max(text: &str) -> Bounds {
        Bounds { max: Some(text.parse().unwrap()), min_samples: 50, ..Bounds::default() }
    }

    #[test]
    fn a_breach_is_strictly_beyond() {
        let judge =
            |value, samples, live| judge(&max("1%"), NoData::Inconclusive, read(value, samples), live);
        assert_eq!(judge(0.01, 100, None), Verdict::Pass);
        assert!(matches!(judge(0.0101, 100, None), Verdict::Fail(_)));
        assert!(matches!(judge(0.5, 49, None), Verdict::Inconclusive(_)), "too few samples say nothing");
    }

    #[test]
    fn a_ratio_needs_the_live_slot() {
        let bounds = max("1.2x");
        let say = |live| judge(&bounds, NoData::Inconclusive, read(0.13, 100), live);
        assert!(matches!(say(None), Verdict::Inconclusive(_)));
        assert!(matches!(say(Some(read(0.1, 10))), Verdict::Inconclusive(_)));
        assert!(matches!(say(Some(read(0.1, 100))), Verdict::Fail(_)));
        assert_eq!(say(Some(read(0.11, 100))), Verdict::Pass);
        let wide = Bounds { resolution: 0.05, ..bounds };
        assert_eq!(judge(&wide, NoData::Fail, read(0.13, 100), Some(read(0.1, 100))), Verdict::Pass);
    }

    #[test]
    fn no_data_is_what_the_policy_says() {
        for (policy, wanted) in [
            (NoData::Pass, Verdict::Pass),
            (NoData::Fail, Verdict::Fail("the candidate had no data".into())),
            (NoData::Inconclusive, Verdict::Inconclusive("the candidate had no data".into())),
        ] {
            assert_eq!(judge(&max("1%"), policy, Reading::default(), None), wanted);
            let nan = Reading { value: Some(f64::NAN), samples: 100 };
            assert_eq!(judge(&max("1%"), policy, nan, None), wanted);
        }
    }
}
