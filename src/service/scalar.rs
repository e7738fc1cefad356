//! Scalars people write: durations (`2m`, `1h30m`), percents (`5%`), amounts (`3` or `25%`).

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A length of time, not negative. A bare number is seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Duration(pub std::time::Duration);

impl Duration {
    pub const fn secs(seconds: u64) -> Self {
        Duration(std::time::Duration::from_secs(seconds))
    }
    pub fn signed(self) -> jiff::SignedDuration {
        jiff::SignedDuration::try_from(self.0).unwrap_or(jiff::SignedDuration::MAX)
    }
}

impl FromStr for Duration {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(seconds) = text.parse::<u32>() {
            return Ok(Duration::secs(seconds.into()));
        }
        let wrong = || format!("{text:?} is not a duration; write it like 30s, 2m or 1h30m");
        let signed: jiff::SignedDuration = text.parse().map_err(|_| wrong())?;
        std::time::Duration::try_from(signed).map(Duration).map_err(|_| wrong())
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        if millis == 0 {
            return f.write_str("0s");
        }
        let parts = [(3_600_000, "h"), (60_000, "m"), (1_000, "s"), (1, "ms")];
        let mut rest = millis;
        for (size, unit) in parts {
            if rest >= size {
                write!(f, "{}{unit}", rest / size)?;
                rest %= size;
            }
        }
        Ok(())
    }
}

/// A share in percent, 0 to 100, kept exact to a hundredth.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Percent(pub f64);

impl FromStr for Percent {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let number = text.trim().strip_suffix('%').unwrap_or(text).trim();
        match number.parse::<f64>() {
            Ok(value) if (0.0..=100.0).contains(&value) => Ok(Percent(value)),
            _ => Err(format!("{text:?} is not a percentage from 0% to 100%")),
        }
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0)
    }
}

/// A count of pods, or a share of the replicas.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Amount {
    Count(u32),
    Share(Percent),
}

impl Amount {
    /// In pods of `replicas`, a share rounded up.
    pub fn ceil(self, replicas: u32) -> u32 {
        match self {
            Amount::Count(n) => n,
            Amount::Share(p) => (f64::from(replicas) * p.0 / 100.0).ceil() as u32,
        }
    }
    /// In pods of `replicas`, a share rounded down.
    pub fn floor(self, replicas: u32) -> u32 {
        match self {
            Amount::Count(n) => n,
            Amount::Share(p) => (f64::from(replicas) * p.0 / 100.0).floor() as u32,
        }
    }
}

impl FromStr for Amount {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if text.trim().ends_with('%') {
            return text.parse().map(Amount::Share);
        }
        text.parse().map(Amount::Count).map_err(|_| format!("{text:?} is neither a number nor a percentage"))
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Amount::Count(n) => write!(f, "{n}"),
            Amount::Share(p) => write!(f, "{p}"),
        }
    }
}

struct TextOrNumber<T>(std::marker::PhantomData<T>);

impl<T: FromStr<Err = String>> de::Visitor<'_> for TextOrNumber<T> {
    type Value = T;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text or a number")
    }
    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
    fn visit_u64<E: de::Error>(self, number: u64) -> Result<T, E> {
        number.to_string().parse().map_err(E::custom)
    }
    fn visit_i64<E: de::Error>(self, number: i64) -> Result<T, E> {
        number.to_string().parse().map_err(E::custom)
    }
    fn visit_f64<E: de::Error>(self, number: f64) -> Result<T, E> {
        number.to_string().parse().map_err(E::custom)
    }
}

macro_rules! scalar {
    ($type:ident, $pattern:literal, $description:literal) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                d.deserialize_any(TextOrNumber(std::marker::PhantomData))
            }
        }
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }
        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({"type": ["string", "number"], "pattern": $pattern, "description": $description})
            }
        }
    };
}

scalar!(
    Duration,
    "^([0-9.]+(ms|s|m|h))+$|^[0-9]+$",
    "A length of time: 30s, 2m, 1h30m; a bare number is seconds"
);
scalar!(Percent, "^[0-9.]+%?$", "A share in percent, 0% to 100%");
scalar!(Amount, "^[0-9.]+%?$", "A number of pods, or a share of the replicas");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_and_print_the_same() {
        for (text, seconds, shown) in
            [("2m", 120, "2m"), ("1h30m", 5400, "1h30m"), ("90", 90, "1m30s"), ("0s", 0, "0s")]
        {
            let d: Duration = text.parse().expect(text);
            assert_eq!(d, Duration::secs(seconds), "{text}");
            assert_eq!(d.to_string(), shown);
        }
        for wrong in ["", "abc", "-5s", "5 parsecs"] {
            assert!(wrong.parse::<Duration>().is_err(), "{wrong:?} must not parse");
        }
    }

    #[test]
    fn amounts_round_as_kubernetes_does() {
        let quarter: Amount = "25%".parse().expect("a share");
        assert_eq!((quarter.ceil(3), quarter.floor(3)), (1, 0));
        assert!("101%".parse::<Amount>().is_err());
    }
}
