//! A pod's metrics text to counters of users' requests, and two readings of it to what happened between. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use prometheus_parse::{Labels, Sample, Scrape, Value};

use super::plan::Source;

/// Names of the duration histogram, most specific first: OpenTelemetry's, then what frameworks are used to.
pub const DURATIONS: [&str; 4] = [
    "http_server_request_duration_seconds",
    "http_server_requests_seconds",
    "http_request_duration_seconds",
    "http_requests_duration_seconds",
];
pub const REQUESTS: [&str; 3] = ["http_requests_total", "http_server_requests_total", "http_requests"];
pub const STATUSES: [&str; 5] =
    ["http_response_status_code", "status_code", "code", "status", "http_status_code"];
const ROUTES: [&str; 7] = ["http_route", "route", "path", "handler", "uri", "endpoint", "url_path"];

/// Requests so far, or since a reading before.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Counts {
    pub requests: f64,
    /// Answered with 500 and above.
    pub errors: f64,
    /// By upper bound in nanoseconds, not cumulative; `u64::MAX` has none.
    pub buckets: BTreeMap<u64, f64>,
    /// Some series named no route: probes could not be told from users.
    pub routeless: bool,
}

impl Counts {
    pub fn add(&mut self, other: &Counts) {
        self.requests += other.requests;
        self.errors += other.errors;
        self.routeless |= other.routeless;
        for (bound, count) in &other.buckets {
            *self.buckets.entry(*bound).or_default() += count;
        }
    }

    /// What came since `before`; None when a counter fell: another process counts anew.
    fn since(&self, before: &Counts) -> Option<Counts> {
        let mut buckets = BTreeMap::new();
        for (bound, count) in &self.buckets {
            buckets.insert(*bound, count - before.buckets.get(bound).unwrap_or(&0.0));
        }
        let delta = Counts {
            requests: self.requests - before.requests,
            errors: self.errors - before.errors,
            buckets,
            routeless: self.routeless,
        };
        let fell = delta.requests < 0.0 || delta.errors < 0.0 || delta.buckets.values().any(|v| *v < 0.0);
        (!fell).then_some(delta)
    }

    /// The value in seconds that the share `q` stays below, and the width of the bucket it lies in.
    pub fn quantile(&self, q: f64) -> Option<(f64, f64)> {
        let total: f64 = self.buckets.values().sum();
        if total <= 0.0 {
            return None;
        }
        let rank = q * total;
        let (mut below, mut lower) = (0.0, 0.0);
        for (bound, count) in &self.buckets {
            if *bound == u64::MAX {
                break;
            }
            let upper = *bound as f64 / 1e9;
            if below + count >= rank && *count > 0.0 {
                return Some((lower + (upper - lower) * (rank - below) / count, upper - lower));
            }
            below += count;
            lower = upper;
        }
        // Beyond the last bound nothing is known but that.
        Some((lower, 0.0))
    }

    /// At most `most` latencies in seconds, as many of each bucket as its share: the buckets' middles.
    pub fn spread(&self, most: usize) -> Vec<f64> {
        let total: f64 = self.buckets.values().sum();
        let scale = (most as f64 / total.max(1.0)).min(1.0);
        let mut values = Vec::new();
        let mut lower = 0.0;
        for (bound, count) in &self.buckets {
            let upper = if *bound == u64::MAX { lower } else { *bound as f64 / 1e9 };
            values.extend(std::iter::repeat_n((lower + upper) / 2.0, (count * scale).round() as usize));
            lower = upper;
        }
        values
    }
}

/// Reads a pod's text. None: there is no series of requests in it, yet or at all.
pub fn read(text: &str, source: &Source) -> Result<Option<Counts>, String> {
    let lines = text.lines().map(|line| Ok(line.to_owned()));
    let scrape = Scrape::parse(lines).map_err(|e| format!("its metrics cannot be read: {e}"))?;
    let named = |wanted: &Option<String>, known: &[&str], ends: &[&str]| {
        let names: Vec<String> = match wanted {
            Some(name) => vec![name.clone()],
            None => known.iter().map(|k| (*k).to_owned()).collect(),
        };
        names.into_iter().find(|name| {
            scrape
                .samples
                .iter()
                .any(|s| s.metric.strip_prefix(name.as_str()).is_some_and(|end| ends.contains(&end)))
        })
    };
    let duration = named(&source.duration, &DURATIONS, &["", "_count"]);
    let counter = named(&source.requests, &REQUESTS, &[""]);
    let mut counts = Counts::default();
    let mut found = false;
    let mut by_duration = Counts::default();
    let mut statused = false;
    for sample in &scrape.samples {
        if duration.as_ref().is_some_and(|d| {
            sample.metric.strip_prefix(d.as_str()).is_some_and(|end| ["", "_count"].contains(&end))
        }) {
            found = true;
            statused |= status(&sample.labels, source).is_some();
            take(&mut by_duration, sample, source);
        }
    }
    // The histogram's own count serves where it tells errors apart; else the counter of requests.
    let counter = counter.filter(|_| source.requests.is_some() || !statused);
    if let Some(counter) = counter {
        for sample in scrape.samples.iter().filter(|s| s.metric == counter) {
            found = true;
            take(&mut counts, sample, source);
        }
        counts.buckets = by_duration.buckets;
    } else {
        counts = by_duration;
    }
    Ok(found.then_some(counts))
}

fn status<'a>(labels: &'a Labels, source: &Source) -> Option<&'a str> {
    match &source.status {
        Some(name) => labels.get(name),
        None => STATUSES.iter().find_map(|name| labels.get(name)),
    }
}

fn take(counts: &mut Counts, sample: &Sample, source: &Source) {
    match ROUTES.iter().find_map(|name| sample.labels.get(name)) {
        Some(route) if source.routes.iter().any(|r| r == route) => return,
        Some(_) => {}
        None => counts.routeless = true,
    }
    let failed = status(&sample.labels, source).is_some_and(|s| s.starts_with('5'));
    let mut count = |number: f64| {
        counts.requests += number;
        if failed {
            counts.errors += number;
        }
    };
    match &sample.value {
        Value::Histogram(buckets) => {
            let mut below = 0.0;
            for bucket in buckets {
                let bound = match bucket.less_than {
                    b if b.is_finite() => (b * 1e9).round() as u64,
                    _ => u64::MAX,
                };
                *counts.buckets.entry(bound).or_default() += (bucket.count - below).max(0.0);
                below = bucket.count;
            }
        }
        Value::Counter(number) | Value::Gauge(number) | Value::Untyped(number) => count(*number),
        // A summary's count comes as a sample of its own.
        Value::Summary(_) => {}
    }
}

/// What one process's counters came to, over all the times they were read.
#[derive(Debug, Clone, Default)]
struct Series {
    last: Counts,
    total: Counts,
}

/// A slot's counters, process by process: they only grow, whatever comes and goes.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    processes: BTreeMap<String, Series>,
    /// When the last reading was taken.
    read: Option<Timestamp>,
}

impl Ledger {
    /// Takes one process's reading in. `started`: when it began to count, where that is known.
    pub fn take(&mut self, process: &str, started: Option<Timestamp>, counts: Counts) {
        // What a process counted before it was first seen is ours only if it began after the last reading.
        let fresh = self.read.is_some_and(|at| started.is_some_and(|s| s >= at));
        match self.processes.get_mut(process) {
            Some(series) => {
                let delta = counts.since(&series.last).unwrap_or_else(|| counts.clone());
                series.total.add(&delta);
                series.last = counts;
            }
            None => {
                let total = if fresh { counts.clone() } else { Counts::default() };
                self.processes.insert(process.to_owned(), Series { last: counts, total });
            }
        }
    }

    pub fn done(&mut self, at: Timestamp) {
        self.read = Some(at);
    }

    pub fn total(&self) -> Counts {
        let mut total = Counts::default();
        for series in self.processes.values() {
            total.add(&series.total);
            total.routeless |= series.last.routeless;
        }
        total
    }
}

/// Between two totals of a ledger.
pub fn between(before: &Counts, now: &Counts) -> Counts {
    now.since(before).unwrap_or_else(|| now.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source() -> Source {
        let routes = ["/health/live", "/health/ready", "/metrics"].map(String::from).to_vec();
        Source { path: "/metrics".into(), routes, probes: 0.2, ..Source::default() }
    }

    const OTEL: &str = r#"# TYPE http_server_request_duration_seconds histogram
http_server_request_duration_seconds_bucket{http_route="/",http_response_status_code="200",le="0.1"} 90
http_server_request_duration_seconds_bucket{http_route="/",http_response_status_code="200",le="0.5"} 95
http_server_request_duration_seconds_bucket{http_route="/",http_response_status_code="200",le="+Inf"} 95
http_server_request_duration_seconds_sum{http_route="/",http_response_status_code="200"} 9
http_server_request_duration_seconds_count{http_route="/",http_response_status_code="200"} 95
http_server_request_duration_seconds_bucket{http_route="/",http_response_status_code="503",le="0.1"} 5
http_server_request_duration_seconds_bucket{http_route="/",http_response_status_code="503",le="0.5"} 5
http_server_request_duration_seconds_bucket{http_route="/",http_response_status_code="503",le="+Inf"} 5
http_server_request_duration_seconds_sum{http_route="/",http_response_status_code="503"} 1
http_server_request_duration_seconds_count{http_route="/",http_response_status_code="503"} 5
http_server_request_duration_seconds_bucket{http_route="/health/ready",http_response_status_code="200",le="+Inf"} 77
http_server_request_duration_seconds_sum{http_route="/health/ready",http_response_status_code="200"} 1
http_server_request_duration_seconds_count{http_route="/health/ready",http_response_status_code="200"} 77
"#;

    #[test]
    fn open_telemetry_names_without_probes() {
        let counts = read(OTEL, &source()).unwrap().unwrap();
        assert_eq!((counts.requests, counts.errors, counts.routeless), (100.0, 5.0, false));
        let (p50, width) = counts.quantile(0.5).unwrap();
        assert!((p50 - 0.1 * 50.0 / 95.0).abs() < 1e-9 && (width - 0.1).abs() < 1e-9, "{p50} {width}");
        let (p99, width) = counts.quantile(0.99).unwrap();
        assert!((p99 - (0.1 + 0.4 * 4.0 / 5.0)).abs() < 1e-9 && (width - 0.4).abs() < 1e-9, "{p99}");
    }

    #[test]
    fn a_counter_with_codes_beside_a_plain_histogram() {
        let text = r#"# TYPE http_requests_total counter
http_requests_total{name="demo",code="200"} 19
http_requests_total{name="demo",code="500"} 1
# TYPE http_request_duration_seconds histogram
http_request_duration_seconds_bucket{name="demo",le="0.005"} 20
http_request_duration_seconds_bucket{name="demo",le="+Inf"} 20
http_request_duration_seconds_sum{name="demo"} 0.02
http_request_duration_seconds_count{name="demo"} 20
"#;
        let counts = read(text, &source()).unwrap().unwrap();
        assert_eq!((counts.requests, counts.errors, counts.routeless), (20.0, 1.0, true));
        assert_eq!(counts.buckets.values().sum::<f64>(), 20.0);
        let named = Source { status: Some("name".into()), ..source() };
        assert_eq!(read(text, &named).unwrap().unwrap().errors, 0.0, "another label was named");
    }

    #[test]
    fn text_without_requests_is_no_data() {
        assert_eq!(read("# TYPE up gauge\nup 1\n", &source()), Ok(None));
        assert_eq!(read("", &source()), Ok(None));
    }

    #[test]
    fn a_ledger_counts_from_its_first_reading_and_through_restarts() {
        let of = |requests: f64| Counts { requests, ..Counts::default() };
        let at = |s: i64| Timestamp::from_second(s).unwrap();
        let mut ledger = Ledger::default();
        ledger.take("a/1", Some(at(0)), of(1000.0));
        ledger.done(at(10));
        assert_eq!(ledger.total().requests, 0.0, "what was before is not ours");
        ledger.take("a/1", Some(at(0)), of(1010.0));
        ledger.take("b/1", Some(at(12)), of(7.0));
        ledger.take("c/1", Some(at(5)), of(500.0));
        ledger.done(at(20));
        assert_eq!(ledger.total().requests, 17.0, "a new process counts whole, one only now seen does not");
        ledger.take("a/1", None, of(3.0));
        ledger.done(at(30));
        assert_eq!(ledger.total().requests, 20.0, "a counter that fell counts anew");
        ledger.done(at(40));
        assert_eq!(ledger.total().requests, 20.0, "who vanished keeps what was counted");
    }
}
