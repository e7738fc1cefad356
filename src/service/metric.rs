//! A metric of `rollout.analysis` as written, and what is wrong with one.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Bound, Duration, Rollout, Scalar};

/// What msctl measures itself, from the slots' pods.
pub const BUILTINS: [&str; 7] =
    ["error-rate", "latency", "latency-p50", "latency-p90", "latency-p95", "latency-p99", "restarts"];

/// One metric: a name, one source (builtin, prometheus, web, job or smoke), and what it must keep to.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct MetricSpec {
    pub name: String,
    /// error-rate, latency-p50, -p90, -p95, -p99, latency (with `compare`), restarts: scraped from the pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub builtin: Option<String>,
    /// A query for Prometheus; knows $slot, $service, $namespace and $revision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prometheus: Option<String>,
    /// Of that Prometheus, such as `http://prometheus:9090`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Sent with the query; `${NAME}` in a value is a variable of msctl's environment: `Bearer ${PROMETHEUS_TOKEN}`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, Scalar>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub web: Option<WebSpec>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job: Option<JobSpec>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub smoke: Option<SmokeSpec>,
    /// A value, a percentage, or `1.2x`: times the live slot's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<Scalar>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min: Option<Scalar>,
    /// The only good value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub equals: Option<Scalar>,
    /// Against the live slot. mann-whitney: the whole distribution of `latency`. sequential: the `error-rate`, looked at
    /// all the time, decided either way as early as it can be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compare: Option<String>,
    /// Of a sequential test: how often at most a candidate as good as the live slot is refused, in a whole rollout; 1%.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub false_alarms: Option<Scalar>,
    /// Of a sequential test: so many more errors are harmless; 1%.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub margin: Option<Scalar>,
    /// One failure refuses, whatever `failureLimit` says.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub critical: bool,
    /// Fewer requests say nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_samples: Option<u32>,
    /// Between two measurements. Web, job and smoke have none unless given: they are measured once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<Duration>,
    /// Measurements after which the metric has passed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub initial_delay: Option<Duration>,
    /// More failed measurements refuse.
    pub failure_limit: u32,
    /// More inconclusive measurements pause.
    pub inconclusive_limit: u32,
    /// More measurements in a row that could not be made refuse.
    pub error_limit: u32,
}

impl Default for MetricSpec {
    fn default() -> Self {
        MetricSpec {
            name: String::new(),
            builtin: None,
            prometheus: None,
            address: None,
            headers: BTreeMap::new(),
            web: None,
            job: None,
            smoke: None,
            max: None,
            min: None,
            equals: None,
            compare: None,
            false_alarms: None,
            margin: None,
            critical: false,
            min_samples: None,
            interval: None,
            count: None,
            initial_delay: None,
            failure_limit: 0,
            inconclusive_limit: 0,
            error_limit: 4,
        }
    }
}

/// A GET that answers JSON, or whose status alone counts.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct WebSpec {
    pub url: String,
    /// `${NAME}` in a value is a variable of msctl's environment.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, Scalar>,
    /// Where the value is: `$.data.ok`, `$.items[0].value`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub json: Option<String>,
}

/// A Job in the service's namespace; its success is the measurement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct JobSpec {
    pub image: String,
    /// Knows `$(MSCTL_URL)`, the candidate's address, `$(MSCTL_LIVE_URL)`, `$(MSCTL_SLOT)`, `$(MSCTL_REVISION)` and
    /// `$(MSCTL_SERVICE)`, which are variables of its environment.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// A Job that has not started by then is inconclusive.
    pub start_deadline: Duration,
    /// A Job that has not ended by then has failed.
    pub timeout: Duration,
}

impl Default for JobSpec {
    fn default() -> Self {
        JobSpec {
            image: String::new(),
            command: Vec::new(),
            start_deadline: Duration::secs(60),
            timeout: Duration::secs(600),
        }
    }
}

/// Requests of our own to the candidate, before anyone else's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct SmokeSpec {
    pub path: String,
    pub requests: u32,
}

impl Default for SmokeSpec {
    fn default() -> Self {
        SmokeSpec { path: "/".into(), requests: 20 }
    }
}

impl MetricSpec {
    /// The sources that are set.
    pub fn sources(&self) -> Vec<&'static str> {
        [
            ("builtin", self.builtin.is_some()),
            ("prometheus", self.prometheus.is_some()),
            ("web", self.web.is_some()),
            ("job", self.job.is_some()),
            ("smoke", self.smoke.is_some()),
        ]
        .into_iter()
        .filter_map(|(name, set)| set.then_some(name))
        .collect()
    }

    fn check(&self) -> Result<(), (&'static str, String)> {
        match self.sources().as_slice() {
            [_] => {}
            [] => return Err(("", "names no source; one of builtin, prometheus, web, job, smoke".into())),
            several => return Err(("", format!("names {}; a metric has one source", several.join(" and ")))),
        }
        for (key, bound) in [("max", &self.max), ("min", &self.min)] {
            if let Some(text) = bound {
                text.0.parse::<Bound>().map_err(|why| (key, why))?;
            }
        }
        let bounded = self.max.is_some() || self.min.is_some();
        let ratio = |b: &Option<Scalar>| b.as_ref().is_some_and(|s| s.0.trim().ends_with('x'));
        if (ratio(&self.max) || ratio(&self.min)) && self.builtin.is_none() && self.prometheus.is_none() {
            return Err((
                "max",
                "only builtin and prometheus metrics have a live slot to compare with".into(),
            ));
        }
        if self.count == Some(0) {
            return Err(("count", "0 measurements judge nothing".into()));
        }
        self.check_compare()?;
        if self.address.is_some() && self.prometheus.is_none() {
            return Err(("address", "belongs to a prometheus metric".into()));
        }
        if !self.headers.is_empty() && self.prometheus.is_none() {
            return Err(("headers", "belongs to a prometheus metric; a web metric's are web.headers".into()));
        }
        self.check_secrets()?;
        if self.equals.is_some() && self.web.is_none() && self.prometheus.is_none() {
            return Err(("equals", "belongs to a web or prometheus metric".into()));
        }
        self.check_source(bounded)
    }

    /// A secret that is written down is no longer one, and a plan is stored in the cluster.
    fn check_secrets(&self) -> Result<(), (&'static str, String)> {
        const SECRET: [&str; 4] = ["authorization", "proxy-authorization", "cookie", "x-api-key"];
        let web = self.web.iter().flat_map(|w| w.headers.iter().map(|h| ("web.headers", h)));
        let all = self.headers.iter().map(|h| ("headers", h)).chain(web);
        let mut bare = all.filter(|(_, (name, value))| {
            SECRET.contains(&name.to_ascii_lowercase().as_str()) && !value.0.contains("${")
        });
        match bare.next() {
            Some((key, (name, _))) => Err((
                key,
                format!("{name}: the value stands here for all to read; take it from a variable: ${{TOKEN}}"),
            )),
            None => Ok(()),
        }
    }

    fn check_compare(&self) -> Result<(), (&'static str, String)> {
        let builtin = self.builtin.as_deref();
        match self.compare.as_deref() {
            None | Some("mann-whitney" | "sequential") => {}
            Some(other) => {
                return Err(("compare", format!("{other:?} is not known; mann-whitney and sequential are")));
            }
        }
        if self.compare.as_deref() == Some("mann-whitney") && builtin != Some("latency") {
            return Err((
                "compare",
                "mann-whitney belongs to `builtin: latency`, which compares whole distributions".into(),
            ));
        }
        if !self.is_sequential() {
            let stray = [("falseAlarms", &self.false_alarms), ("margin", &self.margin)];
            return match stray.into_iter().find(|(_, value)| value.is_some()) {
                Some((key, _)) => Err((key, "belongs to `compare: sequential`".into())),
                None => Ok(()),
            };
        }
        if builtin != Some("error-rate") {
            return Err(("compare", "sequential belongs to `builtin: error-rate`".into()));
        }
        if self.max.is_some() || self.min.is_some() {
            let why = "a sequential test compares with the live slot; give a limit in a metric of its own";
            return Err(("max", why.into()));
        }
        self.sequential().map(|_| ())
    }

    pub fn is_sequential(&self) -> bool {
        self.compare.as_deref() == Some("sequential")
    }

    /// The rate of false alarms and the harmless margin of a sequential test.
    pub fn sequential(&self) -> Result<(f64, f64), (&'static str, String)> {
        let share = |key: &'static str, text: &Option<Scalar>, usual: f64| {
            let Some(text) = text else { return Ok(usual) };
            match text.0.parse::<Bound>() {
                Ok(Bound::Value(share)) if (0.0..=0.5).contains(&share) => Ok(share),
                Ok(_) => Err((key, format!("{:?} is not a share such as 1%", text.0))),
                Err(why) => Err((key, why)),
            }
        };
        let alarms = share("falseAlarms", &self.false_alarms, 0.01)?;
        if alarms <= 0.0 {
            return Err(("falseAlarms", "a test that never errs never ends; give a share such as 1%".into()));
        }
        Ok((alarms, share("margin", &self.margin, 0.01)?))
    }

    fn check_source(&self, bounded: bool) -> Result<(), (&'static str, String)> {
        if let Some(builtin) = &self.builtin {
            if !BUILTINS.contains(&builtin.as_str()) {
                return Err(("builtin", format!("{builtin:?} is none of {}", BUILTINS.join(", "))));
            }
            return match builtin.as_str() {
                "latency" if self.compare.is_none() => Err((
                    "compare",
                    "`latency` compares distributions: `compare: mann-whitney`, or take latency-p99".into(),
                )),
                "latency" | "restarts" => Ok(()),
                _ if !bounded && !self.is_sequential() => {
                    Err(("max", "a limit is needed, such as `max: 1%` or `max: 1.2x`".into()))
                }
                _ => Ok(()),
            };
        }
        if let Some(query) = &self.prometheus {
            if query.trim().is_empty() {
                return Err(("prometheus", "the query is empty".into()));
            }
            let address = self.address.as_deref().unwrap_or_default();
            if !is_http(address) {
                return Err((
                    "address",
                    format!("{address:?} is not the address of a Prometheus, such as http://prometheus:9090"),
                ));
            }
            if !bounded && self.equals.is_none() {
                return Err(("max", "a limit is needed: max, min or equals".into()));
            }
        }
        if let Some(web) = &self.web {
            if !is_http(&web.url) {
                return Err((
                    "web.url",
                    format!("{:?} is not an address, such as https://gate.example.com/ok", web.url),
                ));
            }
            if web.json.as_ref().is_some_and(|p| !p.starts_with('$')) {
                return Err(("web.json", "a path begins with $, such as $.data.ok".into()));
            }
            if web.json.is_none() && (bounded || self.equals.is_some()) {
                return Err(("web.json", "says where in the answer the value is, such as $.ok".into()));
            }
        }
        if let Some(smoke) = &self.smoke
            && (!smoke.path.starts_with('/') || smoke.requests == 0 || smoke.requests > 10_000)
        {
            return Err(("smoke", "needs a path that begins with a slash, and 1 to 10000 requests".into()));
        }
        if self.job.as_ref().is_some_and(|j| j.image.is_empty()) {
            return Err(("job.image", "is needed".into()));
        }
        Ok(())
    }
}

fn is_http(address: &str) -> bool {
    ["http://", "https://"].iter().any(|s| address.strip_prefix(s).is_some_and(|rest| !rest.is_empty()))
}

/// What is wrong with a rollout's metrics, and with the steps that name them: the key and why.
pub fn check(rollout: &Rollout) -> Result<(), (String, String)> {
    let metrics = &rollout.analysis.metrics;
    for (index, metric) in metrics.iter().enumerate() {
        let at = |key: &str| {
            let key = if key.is_empty() { String::new() } else { format!(".{key}") };
            format!("rollout.analysis.metrics[{index}]{key}")
        };
        if metric.name.is_empty() {
            return Err((at("name"), "a metric has a name".into()));
        }
        if metrics[..index].iter().any(|m| m.name == metric.name) {
            return Err((at("name"), format!("{:?} is there twice", metric.name)));
        }
        metric.check().map_err(|(key, why)| (at(key), format!("{}: {why}", metric.name)))?;
    }
    let known = |name: &String| metrics.iter().any(|m| m.name == *name);
    let unknown = |key: String, name: &String| {
        let names: Vec<&str> = metrics.iter().map(|m| m.name.as_str()).collect();
        let names = if names.is_empty() { "none is defined".into() } else { names.join(", ") };
        Err((key, format!("{name:?} is no metric of rollout.analysis.metrics ({names})")))
    };
    for (index, step) in rollout.steps.iter().enumerate() {
        if let Some(name) = step.metrics.iter().find(|n| !known(n)) {
            return unknown(format!("rollout.steps[{index}].metrics"), name);
        }
        let judging = [("analyze", step.analyze.is_some()), ("experiment", step.experiment.is_some())];
        if let Some((key, _)) = judging.iter().find(|(_, set)| *set && metrics.is_empty()) {
            let why = "judges nothing: rollout.analysis.metrics is empty";
            return Err((format!("rollout.steps[{index}].{key}"), why.into()));
        }
    }
    for (key, names) in [("pre", &rollout.blue_green.pre), ("post", &rollout.blue_green.post)] {
        if let Some(name) = names.iter().find(|n| !known(n)) {
            return unknown(format!("rollout.blueGreen.{key}"), name);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    fn wrong(metric: &str) -> String {
        let text = format!("service: a\nrollout: {{analysis: {{metrics: [{metric}]}}}}\n");
        let file = std::path::Path::new("msctl.yaml");
        match crate::service::parse_yaml(&text, file).and_then(|s| crate::service::validate(&s, file)) {
            Ok(()) => String::new(),
            Err(error) => {
                assert_eq!(crate::error::kind(&error).code(), 2, "{metric}");
                format!("{error:#}")
            }
        }
    }

    #[test]
    fn a_wrong_metric_is_named_with_its_key() {
        for (metric, said) in [
            ("{name: e, builtin: error-rate, max: 1%}", ""),
            ("{name: j, builtin: latency, compare: mann-whitney, critical: true}", ""),
            ("{name: r, builtin: restarts}", ""),
            ("{name: s, smoke: {}}", ""),
            ("{name: g, web: {url: \"http://a/ok\", json: $.ok}, equals: true, count: 1}", ""),
            ("{name: q, prometheus: \"up\", address: \"http://p:9090\", min: 0.9x}", ""),
            ("{builtin: error-rate, max: 1%}", "metrics[0].name"),
            ("{name: e, max: 1%}", "names no source"),
            ("{name: e, builtin: error-rate, smoke: {}, max: 1%}", "builtin and smoke"),
            ("{name: e, builtin: errors, max: 1%}", "metrics[0].builtin"),
            ("{name: e, builtin: error-rate}", "metrics[0].max"),
            ("{name: e, builtin: error-rate, max: fast}", "metrics[0].max"),
            ("{name: j, builtin: latency}", "metrics[0].compare"),
            ("{name: e, builtin: error-rate, compare: sequential, falseAlarms: 0.1%, margin: 0.5%}", ""),
            ("{name: e, builtin: error-rate, compare: sequential, max: 1%}", "metrics[0].max"),
            ("{name: e, builtin: latency-p99, compare: sequential, max: 1}", "metrics[0].compare"),
            ("{name: e, builtin: error-rate, compare: sequential, falseAlarms: 2}", "metrics[0].falseAlarms"),
            ("{name: e, builtin: error-rate, max: 1%, margin: 1%}", "metrics[0].margin"),
            ("{name: e, builtin: error-rate, max: 1%, compare: mann-whitney}", "metrics[0].compare"),
            ("{name: q, prometheus: up, max: 1}", "metrics[0].address"),
            (
                "{name: q, prometheus: up, address: 'http://p', max: 1, headers: {Authorization: 'Bearer ${T}'}}",
                "",
            ),
            (
                "{name: q, prometheus: up, address: 'http://p', max: 1, headers: {authorization: abc}}",
                "metrics[0].headers",
            ),
            ("{name: g, web: {url: 'http://a', headers: {Cookie: abc}}}", "metrics[0].web.headers"),
            ("{name: g, web: {url: nowhere}}", "metrics[0].web.url"),
            ("{name: g, web: {url: \"http://a\"}, equals: 1}", "metrics[0].web.json"),
            ("{name: e, builtin: error-rate, max: 1%}, {name: e, builtin: restarts}", "twice"),
        ] {
            let error = wrong(metric);
            assert!(error.contains(said) && error.is_empty() == said.is_empty(), "{metric}: {error}");
        }
    }
}
