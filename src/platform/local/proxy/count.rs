//! What the proxy counts per slot.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::platform::local::api::Traffic;

/// Upper bounds of the latency buckets in milliseconds; one more bucket has none.
const BOUNDS_MS: [f64; 15] =
    [0.5, 1.0, 2.0, 3.0, 5.0, 7.5, 10.0, 25.0, 50.0, 75.0, 100.0, 250.0, 500.0, 1000.0, 5000.0];

#[derive(Debug, Default)]
pub struct Counters {
    requests: AtomicU64,
    errors: AtomicU64,
    mirrored: AtomicU64,
    buckets: [AtomicU64; BOUNDS_MS.len() + 1],
}

impl Counters {
    pub fn request(&self, error: bool, took: Duration) {
        let ms = took.as_secs_f64() * 1000.0;
        let bucket = BOUNDS_MS.iter().position(|b| ms <= *b).unwrap_or(BOUNDS_MS.len());
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.errors.fetch_add(u64::from(error), Ordering::Relaxed);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
    }
    pub fn mirrored(&self) {
        self.mirrored.fetch_add(1, Ordering::Relaxed);
    }
    pub fn read(&self) -> Traffic {
        let histogram: Vec<u64> = self.buckets.iter().map(|b| b.load(Ordering::Relaxed)).collect();
        Traffic {
            requests: self.requests.load(Ordering::Relaxed),
            errors: self.errors.load(Ordering::Relaxed),
            mirrored: self.mirrored.load(Ordering::Relaxed),
            p50_ms: quantile(&histogram, 0.5),
            p99_ms: quantile(&histogram, 0.99),
            bounds_ms: BOUNDS_MS.to_vec(),
            histogram,
        }
    }
}

/// The upper bound of the bucket that holds the quantile; None without data or above the last bound.
fn quantile(histogram: &[u64], q: f64) -> Option<f64> {
    let total: u64 = histogram.iter().sum();
    let rank = ((total as f64) * q).ceil() as u64;
    let mut below = 0;
    for (i, n) in histogram.iter().enumerate() {
        below += n;
        if total > 0 && below >= rank {
            return BOUNDS_MS.get(i).copied();
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_bounds_of_buckets() {
        let counters = Counters::default();
        assert_eq!(counters.read().p50_ms, None);
        for ms in [1, 1, 1, 40] {
            counters.request(ms == 40, Duration::from_millis(ms));
        }
        let seen = counters.read();
        assert_eq!((seen.requests, seen.errors), (4, 1));
        assert_eq!((seen.p50_ms, seen.p99_ms), (Some(1.0), Some(50.0)));
    }
}
