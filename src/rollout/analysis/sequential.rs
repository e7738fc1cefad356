//! A test that may look after every batch and stop early, either way, at a stated rate of false alarms.
//!
//! Harm: the e-process for two proportions of Turner, Ly and Grünwald ("Generic e-variables for exact sequential
//! k-sample tests", 2024). Under equal error rates its expectation never exceeds 1, so by Ville's inequality it
//! exceeds 1/α with probability at most α, however often one looks.
//! Harmless: confidence sequences from the beta-binomial mixture (Robbins 1970) for both rates; when the
//! candidate's upper end is below the live slot's lower end plus a margin, waiting longer is not needed.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use statrs::function::beta::ln_beta;

/// What a test promises.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Test {
    /// Chance of calling an equal candidate harmful, over the whole rollout.
    pub alpha: f64,
    /// Additional errors that are still harmless, as a share.
    pub margin: f64,
}

/// Requests and errors of both slots since the last batch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Batch {
    pub candidate: u64,
    pub candidate_errors: u64,
    pub live: u64,
    pub live_errors: u64,
}

/// Why one may stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stop {
    /// The candidate errs more often than the live slot.
    Harm,
    /// It errs at most `margin` more often.
    Harmless,
}

/// Running sums; small enough to be kept in the rollout's state.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sequential {
    #[serde(flatten)]
    test: Test,
    /// The sums count from then.
    pub since: Timestamp,
    candidate: u64,
    candidate_errors: u64,
    live: u64,
    live_errors: u64,
    /// Logarithm of the e-process.
    log_e: f64,
}

impl Sequential {
    pub fn new(test: Test, since: Timestamp) -> Self {
        Sequential {
            test: Test { alpha: test.alpha.clamp(1e-9, 0.5), margin: test.margin.max(0.0) },
            since,
            candidate: 0,
            candidate_errors: 0,
            live: 0,
            live_errors: 0,
            log_e: 0.0,
        }
    }

    /// Begins to count anew, at another share of the traffic. The evidence of harm stays: one rate of false alarms holds
    /// over all of a rollout's steps.
    pub fn renew(&mut self, since: Timestamp) {
        *self = Sequential { log_e: self.log_e, ..Sequential::new(self.test, since) };
    }

    /// Requests and errors of the candidate, and of the live slot.
    pub fn sums(&self) -> [(u64, u64); 2] {
        [(self.candidate, self.candidate_errors), (self.live, self.live_errors)]
    }

    pub fn test(&self) -> Test {
        self.test
    }

    /// Takes a batch in; says whether to stop. Errors beyond the requests count as requests that failed.
    pub fn add(&mut self, batch: Batch) -> Option<Stop> {
        let errors = batch.candidate_errors.min(batch.candidate);
        let live_errors = batch.live_errors.min(batch.live);
        if batch.candidate > 0 && batch.live > 0 {
            self.log_e += self.log_increment(batch.candidate, errors, batch.live, live_errors);
        }
        self.candidate += batch.candidate;
        self.candidate_errors += errors;
        self.live += batch.live;
        self.live_errors += live_errors;
        let Test { alpha, margin } = self.test;
        if self.log_e >= -alpha.ln() {
            return Some(Stop::Harm);
        }
        let (_, upper) = interval(self.candidate_errors, self.candidate, alpha / 2.0);
        let (lower, _) = interval(self.live_errors, self.live, alpha / 2.0);
        (self.candidate > 0 && upper <= lower + margin).then_some(Stop::Harmless)
    }

    /// The e-value of one block against "both rates are equal", with the past's estimates as alternative;
    /// where those do not say "candidate worse" it bets nothing.
    fn log_increment(&self, na: u64, xa: u64, nb: u64, xb: u64) -> f64 {
        let estimate = |x: u64, n: u64| (x as f64 + 0.18) / (n as f64 + 0.36);
        let a = estimate(self.candidate_errors, self.candidate);
        let b = estimate(self.live_errors, self.live);
        if a <= b {
            return 0.0;
        }
        let (na, nb) = (na as f64, nb as f64);
        let pooled = (na * a + nb * b) / (na + nb);
        let likelihood = |p: f64, x: f64, n: f64| x * p.ln() + (n - x) * (1.0 - p).ln();
        likelihood(a, xa as f64, na) + likelihood(b, xb as f64, nb)
            - likelihood(pooled, (xa + xb) as f64, na + nb)
    }
}

/// The rates a share of `errors` in `count` cannot reject, at every moment at once with probability 1 − `alpha`.
fn interval(errors: u64, count: u64, alpha: f64) -> (f64, f64) {
    if count == 0 {
        return (0.0, 1.0);
    }
    let (x, n) = (errors as f64, count as f64);
    // Rejected where the mixture beats the rate's own likelihood by 1/alpha.
    let mixture = ln_beta(x + 0.5, n - x + 0.5) - ln_beta(0.5, 0.5);
    let rejected = |p: f64| mixture - (x * p.ln() + (n - x) * (1.0 - p).ln()) >= -alpha.ln();
    let edge = |mut inside: f64, mut outside: f64| {
        for _ in 0..60 {
            let middle = (inside + outside) / 2.0;
            if rejected(middle) { outside = middle } else { inside = middle }
        }
        outside
    };
    let centre = ((x + 0.5) / (n + 1.0)).clamp(1e-12, 1.0 - 1e-12);
    let lower = if errors == 0 { 0.0 } else { edge(centre, 1e-12) };
    let upper = if errors == count { 1.0 } else { edge(centre, 1.0 - 1e-12) };
    (lower, upper)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    fn batch(rng: &mut StdRng, size: u64, candidate: f64, live: f64) -> Batch {
        let mut errors = |rate: f64| (0..size).filter(|_| rng.random::<f64>() < rate).count() as u64;
        Batch { candidate_errors: errors(candidate), live_errors: errors(live), candidate: size, live: size }
    }

    fn test(margin: f64) -> Sequential {
        Sequential::new(Test { alpha: 0.01, margin }, Timestamp::UNIX_EPOCH)
    }

    /// What the test says of a rollout of `looks` batches.
    fn rollout(rng: &mut StdRng, rates: (f64, f64), looks: usize) -> (Option<Stop>, usize) {
        let mut test = test(0.02);
        for look in 1..=looks {
            if let Some(stop) = test.add(batch(rng, 50, rates.0, rates.1)) {
                return (Some(stop), look);
            }
        }
        (None, looks)
    }

    #[test]
    fn the_rate_of_false_alarms_holds_however_often_one_looks() {
        let mut rng = StdRng::seed_from_u64(1);
        for rate in [0.0, 0.001, 0.01, 0.2] {
            let alarms = (0..1000).filter(|_| {
                let mut test = test(0.0);
                (0..60).any(|look| {
                    // New shares of the traffic change nothing about the rate.
                    if look % 20 == 19 {
                        test.renew(Timestamp::UNIX_EPOCH);
                    }
                    test.add(batch(&mut rng, 30, rate, rate)) == Some(Stop::Harm)
                })
            });
            let alarms = alarms.count();
            // 1 % of 1000, and three standard deviations.
            assert!(alarms <= 10 + 10, "{alarms} false alarms at error rate {rate}");
        }
    }

    #[test]
    fn harm_is_found_soon_and_health_too() {
        let mut rng = StdRng::seed_from_u64(2);
        for _ in 0..200 {
            let (stop, looks) = rollout(&mut rng, (0.10, 0.001), 60);
            assert_eq!(stop, Some(Stop::Harm));
            assert!(looks <= 12, "took {looks} batches");
        }
        let harmless = (0..200).filter(|_| rollout(&mut rng, (0.001, 0.001), 60).0 == Some(Stop::Harmless));
        assert!(harmless.count() >= 198);
    }

    #[test]
    fn an_interval_holds_the_rate_it_rests_on() {
        for (errors, count) in [(0, 10), (1, 10), (10, 10), (50, 1000)] {
            let (low, high) = interval(errors, count, 0.01);
            let share = errors as f64 / count as f64;
            assert!(low <= share && share <= high && (0.0..=1.0).contains(&low) && high <= 1.0);
        }
    }
}
