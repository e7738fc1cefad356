//! Everything the environment decides. Values are checked once, at start.

use std::{fmt, time::Duration};

#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// PORT
    pub port: u16,
    /// LOG_LEVEL: debug, info, warn, error
    pub log_level: tracing::Level,
    /// GREETING: what GET / says
    pub greeting: String,
    /// FAIL_RATE: rehearse a bad release: this share of GET / answers 500
    pub fail_rate: f64,
    /// DRAIN_DELAY: from "not ready" to "accepts no more"
    pub drain_delay: Duration,
    /// SHUTDOWN_TIMEOUT: from SIGTERM to the end
    pub shutdown_timeout: Duration,
    /// UPSTREAM_URL: a service that GET / asks; required for readiness when set
    pub upstream_url: Option<reqwest::Url>,
    /// OTEL_EXPORTER_OTLP_ENDPOINT: no traces leave unless it is set
    pub trace_endpoint: Option<reqwest::Url>,
}

/// Names every variable that is wrong. Values are never repeated: one of them may be a secret.
#[derive(Debug)]
pub struct Invalid(pub Vec<String>);

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.0.join("; "))
    }
}

pub fn load(get: &dyn Fn(&str) -> Option<String>, default_port: u16) -> Result<Config, Invalid> {
    let mut env = Env { get, problems: Vec::new() };
    let config = Config {
        port: env.read("PORT", "a number from 1 to 65535", port).unwrap_or(default_port),
        log_level: env.read("LOG_LEVEL", "debug, info, warn or error", level).unwrap_or(tracing::Level::INFO),
        greeting: env.read("GREETING", "text", |s| Some(s.into())).unwrap_or_else(|| "Hello".into()),
        fail_rate: env.read("FAIL_RATE", "a number from 0 to 1", share).unwrap_or(0.0),
        drain_delay: env.read("DRAIN_DELAY", "a duration such as 1s", duration).unwrap_or(Duration::from_secs(1)),
        shutdown_timeout: env
            .read("SHUTDOWN_TIMEOUT", "a duration such as 20s", duration)
            .unwrap_or(Duration::from_secs(20)),
        upstream_url: env.read("UPSTREAM_URL", "an http or https URL", http_url),
        trace_endpoint: env.read("OTEL_EXPORTER_OTLP_ENDPOINT", "an http or https URL", http_url),
    };
    if env.problems.is_empty() && config.drain_delay >= config.shutdown_timeout {
        env.problems.push("DRAIN_DELAY: must be shorter than SHUTDOWN_TIMEOUT".into());
    }
    if env.problems.is_empty() { Ok(config) } else { Err(Invalid(env.problems)) }
}

struct Env<'a> {
    get: &'a dyn Fn(&str) -> Option<String>,
    problems: Vec<String>,
}

impl Env<'_> {
    fn read<T>(&mut self, name: &str, want: &str, parse: impl Fn(&str) -> Option<T>) -> Option<T> {
        let raw = (self.get)(name).filter(|raw| !raw.is_empty())?;
        let value = parse(&raw);
        if value.is_none() {
            self.problems.push(format!("{name}: want {want}"));
        }
        value
    }
}

fn port(raw: &str) -> Option<u16> {
    raw.parse().ok().filter(|port| *port > 0)
}

fn share(raw: &str) -> Option<f64> {
    raw.parse().ok().filter(|share| (0.0..=1.0).contains(share))
}

fn level(raw: &str) -> Option<tracing::Level> {
    matches!(raw, "debug" | "info" | "warn" | "error").then(|| raw.parse().ok()).flatten()
}

/// 20s, 1m30s, 500ms or plain seconds.
fn duration(raw: &str) -> Option<Duration> {
    let mut seconds = 0.0;
    let mut rest = raw;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, tail) = rest.split_at(digits);
        let end = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(end);
        let scale = match unit {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            "" if rest.len() == raw.len() => 1.0,
            _ => return None,
        };
        seconds += number.parse::<f64>().ok()? * scale;
        rest = tail;
    }
    Duration::try_from_secs_f64(seconds).ok()
}

fn http_url(raw: &str) -> Option<reqwest::Url> {
    reqwest::Url::parse(raw).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(pairs: &[(&str, &str)]) -> Result<Config, Invalid> {
        let pairs: std::collections::HashMap<_, _> = pairs.iter().copied().collect();
        load(&|name| pairs.get(name).map(|v| v.to_string()), 8081)
    }

    #[test]
    fn bad_variables_are_named() {
        for (env, bad) in [
            (&[("PORT", "http")][..], &["PORT"][..]),
            (&[("PORT", "70000")], &["PORT"]),
            (&[("PORT", "0"), ("LOG_LEVEL", "loud")], &["PORT", "LOG_LEVEL"]),
            (&[("FAIL_RATE", "1.5")], &["FAIL_RATE"]),
            (&[("FAIL_RATE", "NaN")], &["FAIL_RATE"]),
            (&[("SHUTDOWN_TIMEOUT", "-1s")], &["SHUTDOWN_TIMEOUT"]),
            (&[("SHUTDOWN_TIMEOUT", "5 parsecs")], &["SHUTDOWN_TIMEOUT"]),
            (&[("DRAIN_DELAY", "30s")], &["DRAIN_DELAY"]),
            (&[("UPSTREAM_URL", "stock:8080")], &["UPSTREAM_URL"]),
            (&[("OTEL_EXPORTER_OTLP_ENDPOINT", "ftp://x")], &["OTEL_EXPORTER_OTLP_ENDPOINT"]),
        ] {
            let problems = with(env).expect_err(bad[0]).0;
            let named: Vec<_> = problems.iter().map(|p| p.split(':').next().unwrap()).collect();
            assert_eq!(named, bad);
        }
    }

    #[test]
    fn values() {
        let config =
            with(&[("SHUTDOWN_TIMEOUT", "1m30s"), ("DRAIN_DELAY", "500ms"), ("GREETING", "Ahoy"), ("FAIL_RATE", "")]);
        let config = config.unwrap();
        assert_eq!((config.port, config.greeting.as_str(), config.fail_rate), (8081, "Ahoy", 0.0));
        assert_eq!((config.shutdown_timeout.as_secs(), config.drain_delay.as_millis()), (90, 500));
        assert_eq!(with(&[("SHUTDOWN_TIMEOUT", "7")]).unwrap().shutdown_timeout.as_secs(), 7);
    }

    #[test]
    fn values_are_not_repeated() {
        assert!(
            !with(&[("PORT", "hunter2"), ("UPSTREAM_URL", "hunter2")]).unwrap_err().to_string().contains("hunter2")
        );
    }
}
