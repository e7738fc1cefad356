//! When a weight that was written counts as what the router does: a status is not traffic. It ends by what both slots'
//! pods counted, or, where that says nothing, after twice the router's known lag; the event says which. Pure.

use jiff::{SignedDuration, Timestamp};

use super::analysis::{Ask, Bounds, Limits, Measure, Metric};
use super::plan::Shape;
use super::state::Rollout;
use super::step::Turn;
use super::{Event, Routing, Split};
use crate::service::{Bound, NoData};

/// The name of the measurement; no metric of a service may have it, since those have no space.
const COUNT: &str = "split of the requests";

/// Requests to the candidate and to both slots, or why they are not known.
type Counted = Result<(u64, u64), String>;

/// What is remembered of the present weight.
#[derive(Debug, Clone, Default)]
pub struct Check {
    /// The routing that was verified last.
    pub done: Option<Routing>,
    /// What came of counting in the window that began then.
    counted: Option<(Timestamp, Counted)>,
}

impl Turn<'_> {
    /// Whether the router does `wanted`, as far as can be told.
    pub(super) fn verified(&mut self, rollout: &Rollout, shape: &Shape, wanted: &Routing) -> bool {
        let lag = rollout.plan.lag;
        if !self.settled(wanted, lag) {
            return false;
        }
        let done = self.state.memo.check.done.as_ref().is_some_and(|d| d.same(wanted));
        let Some((_, since)) = self.state.memo.settled.clone().filter(|_| !done) else { return true };
        // At 0 and 100 there is no share to tell; the lag is outlived, twice where others than that share are met.
        let plain = !wanted.special() && !(1..100).contains(&shape.weight);
        if lag == 0 || plain {
            return true;
        }
        // What came before the lag was over may have been split by the weight before.
        let lag = SignedDuration::from_millis(lag as i64);
        let (window, end) = (since + lag, since + lag * 2);
        let why = match self.uncountable(rollout, shape) {
            Some(why) => why.to_owned(),
            None => match self.counted(window, window + lag / 2) {
                None => "they were not counted in time".to_owned(),
                Some(Err(why)) => why,
                Some(Ok((candidate, live))) => match Split::of(shape.weight, candidate, live) {
                    Some(split) if split.fits => {
                        let by = format!("{} % of {} requests", split.percent, split.requests);
                        return self.told(shape, wanted, by);
                    }
                    Some(split) => format!(
                        "{} % of {} requests is another share; callers may go past the router",
                        split.percent, split.requests
                    ),
                    None => format!("{} requests are too few to tell", candidate + live),
                },
            },
        };
        if self.now < end {
            self.wake(end);
            return false;
        }
        self.told(shape, wanted, format!("by twice the router's lag: {why}"))
    }

    fn told(&mut self, shape: &Shape, wanted: &Routing, by: String) -> bool {
        self.state.memo.check = Check { done: Some(wanted.clone()), counted: None };
        self.events.push(Event::Verified { slot: wanted.candidate, weight: shape.weight, by });
        true
    }

    /// Both slots' requests since `window`, asked for at `due`.
    fn counted(&mut self, window: Timestamp, due: Timestamp) -> Option<Counted> {
        let ours = self.state.memo.measured.iter().find(|m| m.metric == COUNT && m.window == window);
        if let Some(one) = ours {
            let counts = match &one.seen {
                Ok(seen) => match &seen.live {
                    Some(live) => Ok((seen.candidate.samples, live.samples)),
                    None => Err("the live slot was not counted".to_owned()),
                },
                Err(why) => Err(why.clone()),
            };
            self.state.memo.check.counted = Some((window, counts));
        }
        if let Some((at, counts)) = &self.state.memo.check.counted
            && *at == window
        {
            return Some(counts.clone());
        }
        if self.now < due {
            self.wake(due);
        }
        let (phase, ripe) = ("split".to_owned(), self.now >= due);
        self.asks.push(Ask { metric: metric(), inline: true, phase, window, due, ripe });
        None
    }
}

/// Read from both slots' pods, or it says nothing.
fn metric() -> Metric {
    Metric {
        name: COUNT.into(),
        place: String::new(),
        measure: Measure::ErrorRate,
        bounds: Bounds { max: Some(Bound::Ratio(1.0)), ..Bounds::default() },
        equals: None,
        sequential: None,
        no_data: NoData::Pass,
        interval: None,
        delay: 0,
        limits: Limits::default(),
    }
}

#[cfg(test)]
#[path = "verify_tests.rs"]
mod tests;
