//! A metric's limit as people write it: a value, a percentage, a duration, or so many times the live slot's.

use serde::{Deserialize, Serialize};

/// A limit as written: `1%`, `0.25`, `1.2x`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Bound {
    Value(f64),
    /// Times the live slot's value.
    Ratio(f64),
}

impl std::str::FromStr for Bound {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let trimmed = text.trim();
        let (number, make): (&str, fn(f64) -> Bound) = if let Some(n) = trimmed.strip_suffix('%') {
            (n, |n| Bound::Value(n / 100.0))
        } else if let Some(n) = trimmed.strip_suffix('x') {
            (n, Bound::Ratio)
        } else if let Some(n) = trimmed.strip_suffix("ms") {
            (n, |n| Bound::Value(n / 1000.0))
        } else if let Some(n) = trimmed.strip_suffix('s') {
            (n, Bound::Value)
        } else {
            (trimmed, Bound::Value)
        };
        match number.trim().parse::<f64>() {
            Ok(n) if n.is_finite() && n >= 0.0 => Ok(make(n)),
            _ => Err(format!("{text:?} is no bound; write it like 1%, 0.25, 300ms or 1.2x")),
        }
    }
}

impl Bound {
    /// The bound as a value; None while the live slot has none to compare with.
    pub fn against(self, live: Option<f64>) -> Option<f64> {
        match self {
            Bound::Value(value) => Some(value),
            Bound::Ratio(times) => live.map(|live| live * times),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_read_every_form() {
        for (text, bound) in [
            ("1%", Bound::Value(0.01)),
            ("0.25", Bound::Value(0.25)),
            ("300ms", Bound::Value(0.3)),
            ("2s", Bound::Value(2.0)),
            ("1.2x", Bound::Ratio(1.2)),
        ] {
            assert_eq!(text.parse::<Bound>(), Ok(bound), "{text}");
        }
        for wrong in ["", "x", "-1", "NaN", "inf", "fast"] {
            assert!(wrong.parse::<Bound>().is_err(), "{wrong:?}");
        }
    }
}
