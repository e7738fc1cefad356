//! How people read a metric's values: shares as percent, seconds as milliseconds. Pure.

use serde::{Deserialize, Serialize};

use super::{Measure, Metric, show};
use crate::service::Bound;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// Of all requests, 0 to 1.
    Share,
    Seconds,
    /// A plain number.
    Number,
}

impl Unit {
    pub fn of(measure: &Measure) -> Unit {
        match measure {
            Measure::ErrorRate | Measure::Smoke { .. } => Unit::Share,
            Measure::Latency(_) | Measure::Distribution => Unit::Seconds,
            _ => Unit::Number,
        }
    }

    /// `0.05` is `5 %`, `0.0123` seconds are `12.3 ms`.
    pub fn show(self, value: f64) -> String {
        match self {
            Unit::Share => format!("{} %", show(value * 100.0)),
            Unit::Seconds if value.abs() < 1.0 => format!("{} ms", show(value * 1000.0)),
            Unit::Seconds => format!("{} s", show(value)),
            Unit::Number => show(value),
        }
    }

    fn bound(self, bound: Bound) -> String {
        match bound {
            Bound::Value(value) => self.show(value),
            Bound::Ratio(times) => format!("{}x", show(times)),
        }
    }
}

impl Metric {
    /// What it must keep to: `≤ 1 %`, `≤ 1.2x`, `= true`.
    pub fn limit_text(&self) -> Option<String> {
        if self.measure == Measure::Distribution {
            return Some("not slower".into());
        }
        let unit = Unit::of(&self.measure);
        let max = self.bounds.max.map(|b| format!("≤ {}", unit.bound(b)));
        let min = self.bounds.min.map(|b| format!("≥ {}", unit.bound(b)));
        match (&self.equals, max, min) {
            (Some(wanted), _, _) => Some(format!("= {wanted}")),
            (None, Some(max), Some(min)) => Some(format!("{max}, {min}")),
            (None, max, min) => max.or(min),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_for_people() {
        for (unit, value, text) in [
            (Unit::Share, 0.05, "5 %"),
            (Unit::Share, 0.012345, "1.234 %"),
            (Unit::Share, 0.0, "0 %"),
            (Unit::Seconds, 0.0123, "12.3 ms"),
            (Unit::Seconds, 1.5, "1.5 s"),
            (Unit::Number, 42.0, "42"),
        ] {
            assert_eq!(unit.show(value), text);
        }
    }

    #[test]
    fn limits_say_their_direction() {
        let text = "service: a\nrollout: {analysis: {metrics: [{name: e, builtin: error-rate, max: 1%}, \
                    {name: p, builtin: latency-p99, max: 1.2x}, {name: w, web: {url: 'http://a/', json: $.ok}, equals: true}]}}\n";
        let service = crate::service::parse_yaml(text, std::path::Path::new("msctl.yaml")).unwrap();
        let judging = super::super::Judging::resolve(&service).unwrap();
        let told: Vec<_> = judging.metrics.iter().filter_map(Metric::limit_text).collect();
        assert_eq!(told, ["≤ 1 %", "≤ 1.2x", "= true", "≤ 0"]);
    }
}
