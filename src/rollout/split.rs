//! Whether the requests are split as the router was told, by what both slots' pods counted. Pure.

use serde::{Deserialize, Serialize};
use statrs::distribution::{Binomial, DiscreteCDF};

use super::Event;
use super::analysis::{Judging, Measured, Trial};
use super::plan::{Motion, Shape};
use super::state::Rollout;
use super::step::Turn;

/// Fewer requests say nothing of a share; the router's lag has to do then.
const FEWEST: u64 = 50;
/// A share is believed to be another once chance explains it less often than this.
const CHANCE: f64 = 1e-6;

/// The share that the candidate was seen to get at the present weight.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Split {
    pub percent: f64,
    /// Of both slots.
    pub requests: u64,
    /// Within what chance allows around the weight.
    pub fits: bool,
}

impl Split {
    /// None while there are too few requests to tell.
    pub fn of(weight: u8, candidate: u64, live: u64) -> Option<Split> {
        let requests = candidate + live;
        if requests < FEWEST {
            return None;
        }
        let likely = Binomial::new(f64::from(weight) / 100.0, requests).ok()?;
        let below = likely.cdf(candidate);
        let above = candidate.checked_sub(1).map_or(1.0, |n| likely.sf(n));
        let percent = (candidate as f64 * 1000.0 / requests as f64).round() / 10.0;
        Some(Split { percent, requests, fits: below.min(above) * 2.0 >= CHANCE })
    }
}

impl Turn<'_> {
    /// Compares what the pods counted with the weight, where the weight alone decides who goes where. A share that
    /// does not fit is told once: who calls past the router moves it too, so that it is no failure of the candidate.
    pub(super) fn check_split(
        &mut self,
        rollout: &Rollout,
        shape: &Shape,
        trial: &mut Trial,
        measured: &[Measured],
    ) {
        let dealt = rollout.plan.motion == Motion::Router && (1..100).contains(&shape.weight);
        if !dealt || self.uncountable(rollout, shape).is_some() {
            return;
        }
        let counted = measured.iter().filter_map(|one| counted(&rollout.plan.judging, trial, one));
        let Some((candidate, live)) = counted.max_by_key(|(candidate, live)| candidate + live) else {
            return;
        };
        let Some(split) = Split::of(shape.weight, candidate, live) else { return };
        let told = trial.split.is_some_and(|before| !before.fits);
        if !split.fits && !told {
            let message = format!(
                "the candidate got {} % of {} requests, not {} %: the router does not follow, or callers go past it",
                split.percent, split.requests, shape.weight
            );
            self.events.push(Event::Warned { message });
        }
        trial.split = Some(split);
    }

    /// Why counted requests do not tell the share.
    pub(super) fn uncountable(&self, rollout: &Rollout, shape: &Shape) -> Option<&'static str> {
        // More pods than are asked would be missing from the sum.
        let asked = crate::platform::ASKED as u32;
        let many = [self.idle(), self.live()].into_iter().any(|slot| self.slot(slot).replicas > asked);
        if shape.affinity.is_some() {
            return Some("clients stay where they are");
        }
        if !shape.matches.is_empty() || shape.mirror.is_some() {
            return Some("matches and copies are counted too");
        }
        if rollout.experiments() {
            return Some("an experiment's pods get requests too");
        }
        if rollout.plan.judging.source.path.is_empty() {
            return Some("the pods' requests are not known");
        }
        many.then_some("there are more pods than are asked")
    }
}

/// Requests of both slots in a window of the present share.
fn counted(judging: &Judging, trial: &Trial, one: &Measured) -> Option<(u64, u64)> {
    let tracks = if one.inline { &trial.inline } else { &trial.background };
    tracks.iter().find(|t| t.metric == one.metric && t.window == one.window && t.due == one.due)?;
    judging.metric(&one.metric).filter(|m| m.measure.scraped())?;
    let seen = one.seen.as_ref().ok()?;
    Some((seen.candidate.samples, seen.live.as_ref()?.samples))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_fits_within_the_binomial_bound() {
        for (weight, candidate, live, expected) in [
            (10, 4, 40, None),
            (10, 5, 45, Some(true)),
            (10, 0, 50, Some(true)),
            (10, 0, 500, Some(false)),
            (10, 1000, 9000, Some(true)),
            (10, 1100, 8900, Some(true)),
            (10, 1200, 8800, Some(false)),
            (50, 4800, 5200, Some(true)),
            (50, 10_000, 0, Some(false)),
            (90, 9000, 1000, Some(true)),
            (99, 100, 0, Some(true)),
        ] {
            let fits = Split::of(weight, candidate, live).map(|s| s.fits);
            assert_eq!(fits, expected, "{candidate} of {} at {weight} %", candidate + live);
        }
        assert_eq!(Split::of(10, 1026, 8974).unwrap().percent, 10.3);
    }
}
