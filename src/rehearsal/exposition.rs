//! The metrics of a rehearsed process: its own, but for its requests, which are counted as users met them. Pure.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use crate::rollout::analysis::Source;
use crate::rollout::analysis::series::{DURATIONS, REQUESTS, STATUSES};

/// Upper bounds in seconds; one more bucket has none.
const BOUNDS: [f64; 14] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// Requests of users by their status.
#[derive(Debug, Clone, Default)]
pub struct Counted(BTreeMap<u16, Latencies>);

#[derive(Debug, Clone, Default)]
struct Latencies {
    buckets: [u64; BOUNDS.len() + 1],
    /// In seconds.
    sum: f64,
}

impl Counted {
    pub fn add(&mut self, status: u16, took: Duration) {
        let seconds = took.as_secs_f64();
        let bucket = BOUNDS.iter().position(|bound| seconds <= *bound).unwrap_or(BOUNDS.len());
        let latencies = self.0.entry(status).or_default();
        latencies.buckets[bucket] += 1;
        latencies.sum += seconds;
    }
}

/// `own` with the requests that `counted` has in place of those it tells of; as it is where it tells of none, since a
/// service that counts nothing must not look as if it did.
pub fn amended(own: &str, source: &Source, counted: &Counted) -> String {
    let of_requests = |line: &&str| {
        let name = line.strip_prefix("# TYPE ").or(line.strip_prefix("# HELP ")).unwrap_or(line);
        family(name.split(['{', ' ', '\t']).next().unwrap_or_default(), source)
    };
    let kept: Vec<&str> = own.lines().filter(|line| !of_requests(line)).collect();
    if kept.len() == own.lines().count() {
        return own.to_owned();
    }
    let mut text: String =
        kept.into_iter().filter(|line| *line != "# EOF").map(|line| format!("{line}\n")).collect();
    let duration = source.duration.as_deref().unwrap_or(DURATIONS[0]);
    let label = source.status.as_deref().unwrap_or(STATUSES[0]);
    let mut told = |line: std::fmt::Arguments| {
        // Writing into a text cannot fail.
        let _ = writeln!(text, "{line}");
    };
    told(format_args!("# TYPE {duration} histogram"));
    for (status, latencies) in &counted.0 {
        let labels = format!("http_route=\"/\",{label}=\"{status}\"");
        let mut below = 0;
        for (at, count) in latencies.buckets.iter().enumerate() {
            below += count;
            let bound = BOUNDS.get(at).map_or("+Inf".to_owned(), f64::to_string);
            told(format_args!("{duration}_bucket{{{labels},le=\"{bound}\"}} {below}"));
        }
        told(format_args!("{duration}_sum{{{labels}}} {}", latencies.sum));
        told(format_args!("{duration}_count{{{labels}}} {below}"));
    }
    if let Some(requests) = &source.requests {
        told(format_args!("# TYPE {requests} counter"));
        for (status, latencies) in &counted.0 {
            let all: u64 = latencies.buckets.iter().sum();
            told(format_args!("{requests}{{http_route=\"/\",{label}=\"{status}\"}} {all}"));
        }
    }
    text
}

/// Whether `metric` is one that requests are read from.
fn family(metric: &str, source: &Source) -> bool {
    let names = DURATIONS.iter().chain(&REQUESTS).copied();
    let named = [source.duration.as_deref(), source.requests.as_deref()];
    names.chain(named.into_iter().flatten()).any(|name| {
        let end = metric.strip_prefix(name);
        end.is_some_and(|end| ["", "_bucket", "_sum", "_count", "_created", "_max"].contains(&end))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollout::analysis::series;

    const OWN: &str = "# HELP process_open_fds Open files.\nprocess_open_fds 9\n\
        # TYPE http_server_request_duration_seconds histogram\n\
        http_server_request_duration_seconds_bucket{http_route=\"/\",http_response_status_code=\"200\",le=\"+Inf\"} 70\n\
        http_server_request_duration_seconds_count{http_route=\"/\",http_response_status_code=\"200\"} 70\n\
        # TYPE orders_total counter\norders_total 3\n# EOF\n";

    fn counted() -> Counted {
        let mut counted = Counted::default();
        for _ in 0..95 {
            counted.add(200, Duration::from_millis(2));
        }
        for _ in 0..5 {
            counted.add(500, Duration::from_secs(60));
        }
        counted
    }

    #[test]
    fn requests_are_as_users_met_them_and_all_else_stays() {
        let text = amended(OWN, &Source::default(), &counted());
        assert!(text.contains("process_open_fds 9\n") && text.contains("orders_total 3\n"), "{text}");
        assert!(!text.contains(" 70\n") && !text.contains("# EOF"), "{text}");
        let seen = series::read(&text, &Source::default()).unwrap().unwrap();
        assert_eq!((seen.requests, seen.errors, seen.routeless), (100.0, 5.0, false));
        let (median, _) = seen.quantile(0.5).unwrap();
        assert!((0.001..=0.0025).contains(&median), "{median}");
    }

    #[test]
    fn names_of_ones_own_are_kept_to() {
        let source = Source {
            requests: Some("shop_requests".into()),
            duration: Some("shop_seconds".into()),
            status: Some("outcome".into()),
            ..Source::default()
        };
        let own = "shop_requests{outcome=\"200\"} 7\nshop_seconds_count 7\nshop_requests_queued 2\n";
        let text = amended(own, &source, &counted());
        assert!(text.contains("shop_requests_queued 2\n"), "{text}");
        let seen = series::read(&text, &source).unwrap().unwrap();
        assert_eq!((seen.requests, seen.errors), (100.0, 5.0));
        assert!(seen.quantile(0.9).is_some());
    }

    #[test]
    fn who_counts_no_requests_does_not_in_a_rehearsal() {
        let own = "process_open_fds 9\n# EOF\n";
        assert_eq!(amended(own, &Source::default(), &counted()), own);
    }
}
