//! Exact shares: of any 100 requests in a row that start at a multiple of 100, exactly `weight` are chosen,
//! spread evenly. No randomness, no lock.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts requests and picks the chosen ones.
#[derive(Debug, Default)]
pub struct Split {
    turn: AtomicU64,
}

impl Split {
    /// Whether the next request is one of the `weight` in a hundred.
    pub fn pick(&self, weight: u8) -> bool {
        chosen(self.turn.fetch_add(1, Ordering::Relaxed), weight)
    }
}

fn chosen(turn: u64, weight: u8) -> bool {
    let (n, weight) = (turn % 100, u64::from(weight.min(100)));
    (n + 1) * weight / 100 > n * weight / 100
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ten_thousand_split_exactly() {
        for weight in [0, 10, 50, 90, 100] {
            let split = Split::default();
            let picked = (0..10_000).filter(|_| split.pick(weight)).count();
            assert_eq!(picked, usize::from(weight) * 100);
        }
    }

    proptest! {
        #[test]
        fn every_hundred_is_exact_and_every_stretch_is_near(weight in 0u8..=100, from in 0u64..1000, len in 1u64..500) {
            let hundred = (from * 100..from * 100 + 100).filter(|t| chosen(*t, weight)).count();
            prop_assert_eq!(hundred, usize::from(weight));
            let picked = (from..from + len).filter(|t| chosen(*t, weight)).count() as f64;
            prop_assert!((picked - len as f64 * f64::from(weight) / 100.0).abs() <= 1.0 + 1e-9);
        }
    }
}
