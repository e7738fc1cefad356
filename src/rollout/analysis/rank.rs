//! Mann-Whitney on two samples of latencies, with the Hodges-Lehmann shift as effect size.
//! After the judge of Kayenta: a difference counts only when it is both sure and large enough.

use serde::{Deserialize, Serialize};

/// How the candidate's values lie to the live slot's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Shift {
    Same,
    High,
    Low,
    /// Too few values on a side.
    NoData,
}

/// 98 %: 1 % in either tail.
const Z: f64 = 2.326_347_874;
/// Of the live slot's own spread of location that the interval must clear.
const TOLERANCE: f64 = 0.25;
const FEWEST: usize = 8;

/// Compares at 98 % confidence. `effect` is the smallest relative change of the median that matters, such as 0.1.
pub fn compare(candidate: &[f64], live: &[f64], effect: f64) -> Shift {
    if candidate.len() < FEWEST || live.len() < FEWEST {
        return Shift::NoData;
    }
    let mut differences: Vec<f64> =
        candidate.iter().flat_map(|c| live.iter().map(move |l| c - l)).filter(|d| d.is_finite()).collect();
    differences.sort_by(f64::total_cmp);
    let total = differences.len();
    if total == 0 {
        return Shift::NoData;
    }
    let shift = median(&differences);
    // The interval of the shift: the order statistics of the differences that U's normal approximation names.
    let (m, n) = (candidate.len() as f64, live.len() as f64);
    let spread = Z * (m * n * (m + n + 1.0) / 12.0).sqrt();
    let lower = ((m * n / 2.0 - spread).floor().max(0.0) as usize).min(total - 1);
    let (low, high) = (differences[lower], differences[total - 1 - lower]);
    let mut sorted = live.to_vec();
    sorted.sort_by(f64::total_cmp);
    let matters = effect * median(&sorted).abs();
    let clear = TOLERANCE * shift.abs();
    if low > clear && shift > matters {
        Shift::High
    } else if high < -clear && -shift > matters {
        Shift::Low
    } else {
        Shift::Same
    }
}

fn median(sorted: &[f64]) -> f64 {
    let half = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[half] } else { (sorted[half - 1] + sorted[half]) / 2.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    fn noise(rng: &mut StdRng, centre: f64, count: usize) -> Vec<f64> {
        (0..count).map(|_| centre * (0.8 + 0.4 * rng.random::<f64>())).collect()
    }

    #[test]
    fn identical_data_is_the_same() {
        let values: Vec<f64> = (0..40).map(f64::from).collect();
        assert_eq!(compare(&values, &values, 0.1), Shift::Same);
        assert_eq!(compare(&[1.0; 30], &[1.0; 30], 0.1), Shift::Same);
        assert_eq!(compare(&[1.0; 3], &values, 0.1), Shift::NoData);
    }

    #[test]
    fn a_clear_shift_is_seen_and_noise_is_not() {
        let mut rng = StdRng::seed_from_u64(7);
        let mut alarms = 0;
        for _ in 0..400 {
            let live = noise(&mut rng, 0.1, 40);
            let twin = noise(&mut rng, 0.1, 40);
            alarms += u32::from(compare(&twin, &live, 0.05) != Shift::Same);
            let slow = noise(&mut rng, 0.14, 40);
            assert_eq!(compare(&slow, &live, 0.05), Shift::High);
            let fast = noise(&mut rng, 0.07, 40);
            assert_eq!(compare(&fast, &live, 0.05), Shift::Low);
        }
        assert!(alarms <= 8, "{alarms} of 400 twins were taken for different");
    }
}
