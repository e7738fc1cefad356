//! A judged rollout over a world that does at once what it is asked, with a router; for tests.

use std::path::Path;

use super::super::*;
use crate::rollout::memo::Memo;
use crate::rollout::state::{Deploy, DeployResult, State};
use crate::rollout::{
    Abilities, Effect, Experiment, Facts, Fresh, Intent, Observation, Options, Placed, RouteObservation,
    Routing, Selection, Slot, SlotObservation, Spec, Verb, obey, plan, start, step,
};
use crate::service::Strategy;

pub type Answer = Box<dyn FnMut(&Ask, Timestamp) -> Option<Result<Sighting, String>>>;

pub struct World {
    pub state: State,
    pub seen: Observation,
    pub answer: Answer,
    pub events: Vec<Event>,
    pub kept: Vec<Measurement>,
    pub wake_at: Option<Timestamp>,
    /// When the present driver came.
    pub began: Timestamp,
}

pub fn rate(errors: u64, samples: u64) -> Result<Sighting, String> {
    let value = (samples > 0).then(|| errors as f64 / samples as f64);
    Ok(Sighting { candidate: Reading { value, samples }, ..Sighting::default() })
}

pub const ERRORS: &str = "{name: errors, builtin: error-rate, max: 1%, minSamples: 50}";

/// So many requests a second, of which every `nth` fails.
pub fn traffic(a_second: f64, nth: u64) -> Answer {
    Box::new(move |ask, now| {
        let samples = (now.duration_since(ask.window).as_secs_f64() * a_second) as u64;
        Some(rate(samples.checked_div(nth).unwrap_or(0), samples))
    })
}

impl World {
    pub fn new(rollout: &str, answer: Answer) -> World {
        let text = format!("service: orders\nreplicas: 4\nrollout: {rollout}\n");
        let file = Path::new("msctl.yaml");
        let service = crate::service::parse_yaml(&text, file).unwrap();
        crate::service::validate(&service, file).unwrap();
        let now = Timestamp::from_second(1_000_000).unwrap();
        let mut state = State { replicas: 4, ..State::default() };
        state.number("one", "one", now);
        let revision = state.number("two", "two", now);
        state.live = Some(Placed { slot: Slot::Blue, revision: 1 });
        state.deploys.push(Deploy {
            number: 1,
            revision: 1,
            from: None,
            strategy: Strategy::Rolling,
            in_place: true,
            undo: false,
            at: now,
            ended: Some(now),
            result: DeployResult::Healthy,
            reason: None,
            by: "me".into(),
        });
        let facts = Facts { router: Some(0), can: Abilities::ALL, live: true, kept: false, known: false };
        let plan = plan(&Spec::resolve(&service, &Options::default()).unwrap(), &facts).unwrap();
        let state = start(&state, plan, revision, false, "me", now);
        let route = RouteObservation {
            routing: Routing::all(Slot::Blue),
            accepted: true,
            refusal: None,
            since: None,
            by: None,
        };
        let mut world = World {
            state,
            seen: Observation {
                time: now,
                selection: Some(Selection::Blue),
                route: Some(route),
                ..Observation::default()
            },
            answer,
            events: Vec::new(),
            kept: Vec::new(),
            wake_at: None,
            began: now,
        };
        world.slot(Slot::Blue, 1, 4);
        world.slot(Slot::Green, 0, 0);
        world
    }

    pub fn slot(&mut self, slot: Slot, revision: u32, n: u32) {
        let known = self.seen.slots.get(&slot).cloned().unwrap_or_default();
        let seen = SlotObservation {
            revision,
            desired: n,
            current: true,
            replicas: n,
            updated: n,
            ready: n,
            available: n,
            updated_available: n,
            led_to: n,
            restarts: known.restarts,
            lost: known.lost,
            ..SlotObservation::default()
        };
        self.seen.slots.insert(slot, seen);
    }

    /// Decides and obeys until nothing moves, then lets a second pass; as long as it is under way and not held.
    pub fn run(&mut self, seconds: u64) {
        for _ in 0..seconds {
            if !self.settle() {
                return;
            }
            self.seen.time += SignedDuration::from_secs(1);
        }
    }

    /// As `run`, but from one thing that is due to the next.
    pub fn leap(&mut self, seconds: i64) {
        let end = self.seen.time + SignedDuration::from_secs(seconds);
        while self.seen.time < end && self.settle() {
            let soon = self.seen.time + SignedDuration::from_secs(1);
            self.seen.time = self.wake_at.map_or(end, |at| at.max(soon));
        }
    }

    /// Until nothing moves; false when it is over or held.
    pub fn settle(&mut self) -> bool {
        for _ in 0..100 {
            let now = self.seen.time;
            let decision = step("orders", &self.state, &self.seen, now);
            self.state = State::parse(&decision.state.body()).unwrap();
            self.state.memo = decision.state.memo;
            self.wake_at = decision.wake_at;
            self.events.extend(decision.events);
            self.kept.extend(decision.measurements);
            for effect in &decision.effects {
                self.execute(effect);
            }
            let measured = decision.asks.iter().filter(|a| a.ripe).filter_map(|ask| {
                let seen = match ask.window < self.began {
                    // Nobody knows what was counted before.
                    true => rate(0, 0),
                    false => (self.answer)(ask, now)?,
                };
                let (metric, inline) = (ask.metric.name.clone(), ask.inline);
                Some(Measured { metric, inline, window: ask.window, due: ask.due, at: now, seen })
            });
            self.state.memo.measured = measured.collect();
            if decision.effects.is_empty() && self.state.memo.measured.is_empty() {
                break;
            }
        }
        self.rollout().held.is_none() && !self.rollout().stage.ended()
    }

    pub fn execute(&mut self, effect: &Effect) {
        match effect {
            Effect::Apply { slot, revision } => {
                let n = self.seen.slots[slot].desired;
                self.slot(*slot, *revision, n);
            }
            Effect::Scale { slot, replicas } => {
                let revision = self.seen.slots[slot].revision;
                self.slot(*slot, revision, *replicas);
            }
            Effect::Route(routing) => self.seen.route.as_mut().unwrap().routing = routing.clone(),
            Effect::Select(selection) => self.seen.selection = Some(*selection),
            Effect::Experiment { revisions, .. } => {
                let fresh = |revision| Fresh { revision, available: true, restarts: 0, lost: Vec::new() };
                self.seen.experiment = revisions.map(|(live, candidate)| Experiment {
                    baseline: fresh(live),
                    candidate: fresh(candidate),
                });
            }
            Effect::Rebound { .. } | Effect::Prune { .. } => {}
        }
    }

    /// The driver leaves; another comes so many seconds later.
    pub fn leave(&mut self, seconds: i64) {
        self.seen.time += SignedDuration::from_secs(seconds);
        self.began = self.seen.time;
        self.state.memo = Memo::default();
    }

    pub fn rollout(&self) -> &Rollout {
        self.state.rollout.as_ref().unwrap()
    }
    pub fn weight(&self) -> u8 {
        self.seen.weight_of(Slot::Green).unwrap()
    }
    pub fn ask(&mut self, verb: Verb) {
        let now = self.seen.time;
        let intent = Intent { verb, by: "me".into(), at: now };
        self.state = obey(&self.state, &intent, now).unwrap().0;
    }
    pub fn elapsed(&self) -> i64 {
        self.seen.time.duration_since(self.rollout().started).as_secs()
    }
    pub fn reason(&self) -> &str {
        self.rollout().cause.as_ref().map_or("", |c| c.reason.as_str())
    }
    pub fn held(&self) -> &str {
        self.rollout().held.as_ref().map_or("", |h| h.reason.as_str())
    }
}
