//! What a rehearsed version gets wrong, as written on the command line. Pure.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::service::{Duration, Percent};

/// One thing that goes wrong for users; probes and metrics are answered as ever, but where they are meant.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fault {
    /// This share of the requests is answered with 500.
    Errors(Percent),
    /// Every request takes so much longer.
    Latency(Duration),
    /// Each process is killed so long after its first request.
    Crash(Duration),
    /// The readiness probe never succeeds.
    Unready,
}

impl Fault {
    /// What is rehearsed unless something is named.
    pub const USUAL: [Fault; 3] =
        [Fault::Errors(Percent(5.0)), Fault::Latency(Duration::secs(1)), Fault::Crash(Duration::secs(2))];
}

impl Fault {
    /// Whether a refusal for `reason` means that it was seen, and not something else.
    pub fn seen_by(self, reason: &str) -> bool {
        match self {
            Fault::Errors(_) | Fault::Latency(_) => reason.starts_with("analysis-"),
            Fault::Crash(_) => reason.starts_with("analysis-") || reason == "crash",
            Fault::Unready => reason == "progress-deadline",
        }
    }
}

/// As it is written: `errors=5%`.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Errors(share) => write!(f, "errors={share}"),
            Fault::Latency(time) => write!(f, "latency={time}"),
            Fault::Crash(time) => write!(f, "crash={time}"),
            Fault::Unready => f.write_str("unready"),
        }
    }
}

impl FromStr for Fault {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value)));
        let time = |usual: u64| value.map_or(Ok(Duration::secs(usual)), str::parse::<Duration>);
        let fault = match name {
            "errors" => Fault::Errors(value.map_or(Ok(Percent(5.0)), str::parse::<Percent>)?),
            "latency" => Fault::Latency(time(1)?),
            "crash" => Fault::Crash(time(2)?),
            "unready" if value.is_none() => Fault::Unready,
            "unready" => return Err("unready has no value".into()),
            _ => return Err("known are errors=SHARE, latency=DURATION, crash=DURATION and unready".into()),
        };
        match fault {
            Fault::Errors(Percent(0.0)) => Err("a share of errors is above 0%".into()),
            Fault::Latency(time) if time.0.is_zero() => Err("a latency of nothing is no fault".into()),
            _ => Ok(fault),
        }
    }
}

impl Serialize for Fault {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Fault {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_read_as_they_are_written() {
        for (text, written) in [
            ("errors=5%", "errors=5%"),
            ("errors", "errors=5%"),
            ("errors=0.5%", "errors=0.5%"),
            ("latency=250ms", "latency=250ms"),
            ("crash=10s", "crash=10s"),
            ("crash=0s", "crash=0s"),
            ("unready", "unready"),
        ] {
            let fault: Fault = text.parse().unwrap();
            assert_eq!(fault.to_string(), written);
            assert_eq!(written.parse::<Fault>().unwrap(), fault);
        }
    }

    #[test]
    fn what_is_no_fault_is_refused() {
        for (text, why) in [
            ("", "known are"),
            ("error=5%", "known are"),
            ("errors=0%", "above 0%"),
            ("errors=101%", "from 0% to 100%"),
            ("errors=lots", "lots"),
            ("latency=0s", "no fault"),
            ("latency=fast", "fast"),
            ("unready=5s", "no value"),
        ] {
            let said = text.parse::<Fault>().unwrap_err();
            assert!(said.contains(why), "{text}: {said}");
        }
    }
}
