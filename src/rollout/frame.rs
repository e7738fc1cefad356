//! Makes the live view's picture of a rollout. Pure.

use jiff::{SignedDuration, Timestamp};

use super::spec::{Step, Wait};
use super::state::{Stage, State};
use super::{Frame, Observation, Slot, Status, StepLine, StepProgress};

impl Frame {
    pub fn of(
        place: &str,
        status: Status,
        state: &State,
        seen: &Observation,
        events: Vec<(Timestamp, String)>,
    ) -> Frame {
        let rollout = state.rollout.as_ref();
        let at = status.step.map_or(0, |s| s.index as usize);
        let steps = rollout.iter().flat_map(|rollout| {
            let over = rollout.stage == Stage::Healthy;
            let until = |step: &Step| match step {
                Step::Pause(Wait::Seconds(seconds)) if rollout.stage == Stage::Steps => {
                    Some(rollout.step_since + SignedDuration::from_secs(*seconds as i64))
                }
                Step::Analyze { .. } | Step::Experiment { .. } if rollout.stage == Stage::Steps => {
                    rollout.trial.until
                }
                _ => None,
            };
            rollout.plan.steps.iter().enumerate().map(move |(index, step)| StepLine {
                label: step.label(),
                progress: match (index + 1).cmp(&at) {
                    std::cmp::Ordering::Less => StepProgress::Done,
                    std::cmp::Ordering::Equal if over => StepProgress::Done,
                    std::cmp::Ordering::Equal => StepProgress::Now(until(step)),
                    std::cmp::Ordering::Greater => StepProgress::Todo,
                },
            })
        });
        Frame {
            place: place.to_owned(),
            steps: steps.collect(),
            started: rollout.map(|r| r.started),
            now: seen.time,
            desired: seen.slots.iter().map(|(slot, s)| (*slot, s.desired)).collect(),
            values: Default::default(),
            events,
            status,
        }
    }
}

impl Observation {
    /// The share of the requests that `slot` gets: by the route, else by its available pods among those selected.
    pub fn weight_of(&self, slot: Slot) -> Option<u8> {
        if let Some(route) = &self.route {
            return Some(route.routing.weight_of(slot));
        }
        let selection = self.selection?;
        let available =
            |s: Slot| if selection.includes(s) { self.slots.get(&s).map_or(0, |o| o.available) } else { 0 };
        let total = available(slot) + available(slot.other());
        (total > 0).then(|| (f64::from(available(slot)) * 100.0 / f64::from(total)).round() as u8)
    }
}
