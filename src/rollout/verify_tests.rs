//! How long a weight is waited for, over a world that does at once what it is asked; the router lags 2 s.

use std::path::Path;

use super::*;
use crate::rollout::analysis::{Measured, Reading, Sighting};
use crate::rollout::{
    Abilities, Effect, Facts, Observation, Options, Placed, RouteObservation, Selection, Slot,
    SlotObservation, Spec, State, plan, start, step,
};

/// Seconds from the weight's write to the next step, how it was verified, and how often it was counted.
fn verify(rollout: &str, counts: Result<(u64, u64), &str>) -> (i64, String, usize) {
    let text = format!("service: orders\nreplicas: 2\nrollout: {rollout}\n");
    let service = crate::service::parse_yaml(&text, Path::new("msctl.yaml")).unwrap();
    let begun = Timestamp::from_second(1_000_000).unwrap();
    let mut state = State { replicas: 2, ..State::default() };
    state.number("one", "one", begun);
    let revision = state.number("two", "two", begun);
    state.live = Some(Placed { slot: Slot::Blue, revision: 1 });
    let facts = Facts { router: Some(2000), can: Abilities::ALL, live: true, kept: false, known: false };
    let plan = plan(&Spec::resolve(&service, &Options::default()).unwrap(), &facts).unwrap();
    let mut state = start(&state, plan, revision, false, "me", begun);
    let slot = |revision: u32, n: u32| SlotObservation {
        revision,
        desired: n,
        current: true,
        replicas: n,
        updated: n,
        ready: n,
        available: n,
        updated_available: n,
        led_to: n,
        ..SlotObservation::default()
    };
    let route = |routing: Routing, since: Option<Timestamp>| {
        Some(RouteObservation { routing, accepted: true, refusal: None, since, by: None })
    };
    let mut seen = Observation {
        time: begun,
        selection: Some(Selection::Blue),
        route: route(Routing::all(Slot::Blue), None),
        ..Observation::default()
    };
    seen.slots.extend([(Slot::Blue, slot(1, 2)), (Slot::Green, slot(0, 0))]);
    let (mut asked, mut written) = (0, begun);
    for _ in 0..400 {
        let now = seen.time;
        let decision = step("orders", &state, &seen, now);
        state = decision.state;
        for event in &decision.events {
            if let Event::Verified { by, .. } = event {
                return ((now.duration_since(written)).as_secs(), by.clone(), asked);
            }
        }
        for effect in &decision.effects {
            match effect {
                Effect::Apply { slot: of, revision } => {
                    let n = seen.slots.get(of).map_or(0, |s| s.desired);
                    seen.slots.insert(*of, slot(*revision, n));
                }
                Effect::Scale { slot: of, replicas } => {
                    let revision = seen.slots.get(of).map_or(0, |s| s.revision);
                    seen.slots.insert(*of, slot(revision, *replicas));
                }
                Effect::Route(routing) => {
                    written = now;
                    seen.route = route(routing.clone(), Some(now));
                }
                Effect::Select(selection) => seen.selection = Some(*selection),
                Effect::Rebound { .. } | Effect::Prune { .. } | Effect::Experiment { .. } => {}
            }
        }
        for ask in decision.asks.iter().filter(|a| a.ripe) {
            asked += 1;
            let reading = |samples| Reading { value: None, samples };
            let sighting = |(candidate, live)| Sighting {
                candidate: reading(candidate),
                live: Some(reading(live)),
                ..Sighting::default()
            };
            state.memo.measured.push(Measured {
                metric: ask.metric.name.clone(),
                inline: ask.inline,
                window: ask.window,
                due: ask.due,
                at: now,
                seen: counts.map(sighting).map_err(str::to_owned),
            });
        }
        if decision.effects.is_empty() && state.memo.measured.is_empty() {
            seen.time = decision.wake_at.unwrap_or(now + SignedDuration::from_secs(1)).max(now);
        }
    }
    panic!("never verified: {:?}", state.rollout);
}

const HALF: &str = "{strategy: canary, steps: [{weight: 50}, {pause: {}}]}";

#[test]
fn a_share_that_fits_ends_it_early_and_what_says_nothing_takes_twice_the_lag() {
    let (seconds, by, asked) = verify(HALF, Ok((490, 510)));
    assert_eq!((seconds, by.as_str(), asked), (3, "49 % of 1000 requests", 1));
    for (counts, expected) in [
        (Ok((20, 20)), "40 requests are too few to tell"),
        (Ok((0, 1000)), "0 % of 1000 requests is another share"),
        (Err("forbidden"), "forbidden"),
    ] {
        let (seconds, by, asked) = verify(HALF, counts);
        assert_eq!((seconds, asked), (4, 1), "{by}");
        assert!(by.contains(expected) && by.contains("twice the router's lag"), "{by}");
    }
}

#[test]
fn where_the_weight_does_not_tell_nothing_is_counted() {
    for rollout in [
        "{strategy: canary, affinity: {cookie: slot}, steps: [{weight: 50}, {pause: {}}]}",
        "{strategy: canary, steps: [{header: {name: a, exact: b}}, {weight: 50}, {pause: {}}]}",
        "{strategy: mirror}",
        "{strategy: ab, ab: {match: [{header: {name: a, exact: b}}]}}",
    ] {
        let (seconds, by, asked) = verify(rollout, Ok((500, 500)));
        assert_eq!((seconds, asked), (4, 0), "{by}");
    }
}
