//! What one turn of the engine decides in a world given to it: the turns that once were wrong, and laws of every turn.

use proptest::prelude::*;

use super::state::{Rollout, Stage};
use super::step::step;
use super::traffic_tests::{AB, COHORT, MIRROR, planned, resolved};
use super::*;

fn rollouts() -> impl Strategy<Value = (String, u32)> {
    let step = prop_oneof![
        Just("{header: {name: a, exact: b}}".to_owned()),
        Just("{match: [{method: GET}, {path: {prefix: /a}}]}".to_owned()),
        Just("{header: {}}".to_owned()),
        (0u8..=100).prop_map(|m| format!("{{mirror: {m}}}")),
        Just("{pause: {}}".to_owned()),
        (0u32..6).prop_map(|n| format!("{{scale: {n}}}")),
        Just("{weight: 40}".to_owned()),
    ];
    let canary = (proptest::collection::vec(step, 1..6), any::<bool>()).prop_map(|(steps, sticky)| {
        let affinity = if sticky { "affinity: {cookie: s}, " } else { "" };
        format!("{{strategy: canary, {affinity}steps: [{}]}}", steps.join(", "))
    });
    let tests = prop_oneof![Just(AB), Just(COHORT), Just(MIRROR)].prop_map(str::to_owned);
    (prop_oneof![canary, tests], 1u32..6)
}

/// A rollout at `cursor` with `available` candidate pods, while the router does as `present`.
fn at(plan: Plan, cursor: usize, stage: Stage, replicas: u32) -> State {
    let now = jiff::Timestamp::UNIX_EPOCH;
    let mut state = State { replicas, ..State::default() };
    state.number("one", "one", now);
    let revision = state.number("two", "two", now);
    state.live = Some(Placed { slot: Slot::Blue, revision: 1 });
    let mut state = start(&state, plan, revision, false, "me", now);
    if let Some(rollout) = &mut state.rollout {
        *rollout = Rollout { stage, cursor, ..rollout.clone() };
    }
    state
}

fn seen(replicas: u32, desired: u32, available: u32, routing: Routing) -> Observation {
    let slot = |revision, desired, available| SlotObservation {
        revision,
        desired,
        current: true,
        replicas: desired,
        updated: desired,
        ready: available,
        available,
        updated_available: available,
        led_to: available,
        ..Default::default()
    };
    let route = RouteObservation { routing, accepted: true, refusal: None, since: None, by: None };
    Observation {
        slots: [(Slot::Blue, slot(1, replicas, replicas)), (Slot::Green, slot(2, desired, available))].into(),
        selection: Some(Selection::Blue),
        route: Some(route),
        ..Default::default()
    }
}

/// Found by seed 2573: someone had taken the route from a live pod that was not ready then; what it got back when it
/// was came before its endpoints.
#[test]
fn a_live_slot_without_weight_gets_some_once_its_service_leads_to_it() {
    let state = at(planned(2, "{strategy: canary, steps: [{weight: 50}]}"), 0, Stage::Steps, 2);
    let asks = |led_to: u32| {
        let mut seen = seen(2, 1, 1, Routing::all(Slot::Green));
        seen.slots.get_mut(&Slot::Blue).unwrap().led_to = led_to;
        let decided = step("orders", &state, &seen, jiff::Timestamp::UNIX_EPOCH);
        decided.effects.iter().any(|e| matches!(e, Effect::Route(_)))
    };
    assert_eq!([asks(0), asks(1)], [false, true]);
}

fn decided(state: &State, seen: &Observation) -> Vec<Effect> {
    step("orders", state, seen, jiff::Timestamp::UNIX_EPOCH).effects
}

/// Found by seed 6819: where someone had pointed the service's own name at the candidate, a step without weight took
/// its pods all the same.
#[test]
fn a_candidate_that_the_services_name_points_at_keeps_its_pods() {
    let plan = planned(3, "{strategy: canary, steps: [{mirror: 0}, {weight: 25}]}");
    let state = at(plan, 0, Stage::Steps, 3);
    let seen = Observation { selection: Some(Selection::Green), ..seen(3, 1, 1, Routing::all(Slot::Blue)) };
    assert_eq!(decided(&state, &seen), [Effect::Select(Selection::Blue)]);
}

/// Found by seed 19149: under `dynamicStable` a weight that someone else had given the candidate shrank the live slot.
#[test]
fn a_live_slot_shrinks_for_no_weight_but_ours() {
    let plan = planned(4, "{strategy: canary, dynamicStable: true, steps: [{weight: 34}]}");
    let state = at(plan, 0, Stage::Steps, 4);
    let effects = decided(&state, &seen(4, 2, 0, Routing::all(Slot::Green)));
    let shrinks = |e: &Effect| matches!(e, Effect::Scale { slot: Slot::Blue, .. });
    assert!(!effects.iter().any(shrinks), "{effects:?}");
}

/// Found by seed 16994: the candidate shrank and grew again, and a pod on its way out was counted where a late watch
/// still showed it.
#[test]
fn a_live_slot_shrinks_for_no_pod_that_is_on_its_way_out() {
    let spec = resolved(2, "{strategy: canary, steps: [{weight: 100}]}").unwrap();
    let plan = plan(&spec, &Facts { live: true, ..Facts::default() }).unwrap();
    let state = at(plan, 0, Stage::Steps, 2);
    let shrinks = |lagging: bool| {
        let mut seen = Observation {
            selection: Some(Selection::Both),
            route: None,
            ..seen(2, 2, 2, Routing::all(Slot::Blue))
        };
        seen.slots.get_mut(&Slot::Green).unwrap().lagging = lagging;
        let shrunk = Effect::Scale { slot: Slot::Blue, replicas: 0 };
        decided(&state, &seen).contains(&shrunk)
    };
    assert_eq!([shrinks(true), shrinks(false)], [false, true]);
}

/// Found by seed 4902: under `dynamicStable` live pods that a smaller number no longer asks for stayed beside the
/// candidate's.
#[test]
fn a_dynamic_live_slot_keeps_no_more_than_is_asked_for() {
    let plan = planned(1, "{strategy: canary, dynamicStable: true, steps: [{weight: 34}]}");
    let state = at(plan, 0, Stage::Steps, 1);
    let effects = decided(&state, &seen(3, 0, 0, Routing::all(Slot::Blue)));
    assert_eq!(
        effects,
        [Effect::Scale { slot: Slot::Blue, replicas: 1 }, Effect::Scale { slot: Slot::Green, replicas: 1 }]
    );
}

/// Found by seed 94414: an autoscaler had given the candidate its full size of its own accord; the switch came before
/// it was told to keep that, and it took the pods again.
#[test]
fn a_candidate_that_its_autoscaler_may_shrink_is_not_at_full_size() {
    let spec = resolved(4, "{strategy: blue-green}").unwrap();
    let plan = plan(&spec, &Facts { live: true, ..Facts::default() }).unwrap();
    let last = plan.steps.len() - 1;
    let mut state = at(plan, last, Stage::Steps, 4);
    (state.autoscaled, state.scaling) = (true, Some(Scaler::free(2, 8)));
    let switches = |min: u32| {
        let mut seen = Observation { route: None, ..seen(4, 4, 4, Routing::all(Slot::Blue)) };
        let held = Scaler { held: true, ..Scaler::free(min, 8) };
        seen.slots.get_mut(&Slot::Green).unwrap().scaler = Some(held);
        decided(&state, &seen).contains(&Effect::Select(Selection::Green))
    };
    assert_eq!([switches(1), switches(4)], [false, true]);
}

/// Found by seeds 95172 and 96455: someone pointed the service's name, or the route, back to the old slot after the
/// last step; the rollout was healthy, and nobody reached the new version.
#[test]
fn nothing_is_healthy_that_requests_are_not_led_to() {
    let state = at(planned(4, "{strategy: canary, steps: [{weight: 50}]}"), 1, Stage::Switch, 4);
    for selection in [Selection::Blue, Selection::Green] {
        let seen = Observation { selection: Some(selection), ..seen(4, 4, 4, Routing::all(Slot::Blue)) };
        assert_eq!(decided(&state, &seen), [Effect::Route(Routing::all(Slot::Green))]);
    }
    let spec = resolved(4, "{strategy: canary, steps: [{weight: 50}]}").unwrap();
    let plan = plan(&spec, &Facts { live: true, ..Facts::default() }).unwrap();
    let state = at(plan, 1, Stage::Switch, 4);
    let seen = Observation { route: None, ..seen(0, 4, 4, Routing::all(Slot::Blue)) };
    assert_eq!(decided(&state, &seen), [Effect::Select(Selection::Green)]);
}

/// A pod that was lost between the last step and the switch is awaited first.
#[test]
fn the_services_name_moves_to_a_candidate_of_full_size_only() {
    let state = at(planned(4, "{strategy: canary, steps: [{weight: 50}]}"), 1, Stage::Switch, 4);
    let moves = |available: u32| {
        let mut seen = seen(4, 4, available, Routing::all(Slot::Green));
        // Longer ago than the router's lag.
        seen.route.as_mut().unwrap().since = Some(seen.time - jiff::SignedDuration::from_secs(1));
        decided(&state, &seen).contains(&Effect::Select(Selection::Green))
    };
    assert_eq!([moves(3), moves(4)], [false, true]);
}

/// The live slot had shrunk and was asked to grow again: a late watch still shows pods that are going.
#[test]
fn an_abort_gives_no_weight_to_live_pods_on_their_way_out() {
    let plan = planned(4, "{strategy: canary, dynamicStable: true, steps: [{weight: 50}]}");
    let state = at(plan, 0, Stage::Retreat, 4);
    let given = |lagging: bool| {
        let mut seen = seen(4, 2, 2, Routing::split(Slot::Green, 50));
        seen.slots.get_mut(&Slot::Blue).unwrap().lagging = lagging;
        decided(&state, &seen).contains(&Effect::Route(Routing::all(Slot::Blue)))
    };
    assert_eq!([given(true), given(false)], [false, true]);
}

#[test]
fn an_undo_waits_for_no_pod_of_its_own_version_on_its_way_out() {
    let state = at(planned(4, "{strategy: canary, steps: [{weight: 50}]}"), 0, Stage::Clear, 4);
    let begins = |revision: u32, desired: u32| {
        let mut seen = seen(4, desired, desired, Routing::all(Slot::Blue));
        seen.route.as_mut().unwrap().since = Some(jiff::Timestamp::MIN);
        let idle = seen.slots.get_mut(&Slot::Green).unwrap();
        (idle.terminating, idle.revision) = (4, revision);
        decided(&state, &seen)
    };
    assert_eq!(begins(1, 0), []);
    assert_eq!(begins(2, 1), [Effect::Scale { slot: Slot::Green, replicas: 0 }]);
    assert_eq!(begins(2, 0), [Effect::Scale { slot: Slot::Green, replicas: 2 }]);
}

/// Found by seed 249: after a promotion into it, an `analyze` step waited for ever for pods that never came.
#[test]
fn an_analyze_step_waits_for_its_pods_no_longer_than_the_deadline() {
    let plan = planned(
        4,
        "{strategy: canary, progressDeadline: 60s, steps: [{weight: 50}, {analyze: 6s}], \
         analysis: {metrics: [{name: e2e, job: {image: e2e}}]}}",
    );
    let state = at(plan, 1, Stage::Steps, 4);
    let after = |seconds: i64| {
        let now = jiff::Timestamp::UNIX_EPOCH + jiff::SignedDuration::from_secs(seconds);
        let decided = step("orders", &state, &seen(4, 2, 0, Routing::all(Slot::Blue)), now);
        decided.state.rollout.unwrap().stage
    };
    assert_eq!([after(59), after(61)], [Stage::Steps, Stage::Retreat]);
}

#[test]
fn what_a_rollout_first_waits_for_is_told() {
    let state = at(planned(4, "{strategy: canary, steps: [{weight: 50}]}"), 0, Stage::Clear, 4);
    let told = |before: &Observation, revision: u32, terminating: u32| {
        let mut seen = seen(4, 0, 0, Routing::all(Slot::Blue));
        let idle = seen.slots.get_mut(&Slot::Green).unwrap();
        (idle.terminating, idle.revision) = (terminating, revision);
        tell::changes(&state, before, &seen)
    };
    let first = Observation::default();
    assert_eq!(told(&first, 1, 3), [Event::Clearing { slot: Slot::Green, pods: 3 }]);
    assert_eq!(told(&first, 1, 0), []);
    assert_eq!(told(&first, 2, 3), [], "an undo does not wait for its own");
    assert_eq!(told(&seen(4, 0, 0, Routing::all(Slot::Blue)), 1, 3), [], "told once");
}

/// Where nobody reports any more, as without a controller manager, the way back is open all the same.
#[test]
fn an_abort_to_a_live_slot_that_made_no_room_waits_for_no_report() {
    let plan = planned(4, "{strategy: canary, steps: [{weight: 50}]}");
    let state = at(plan, 0, Stage::Retreat, 4);
    let mut seen = seen(4, 2, 2, Routing::split(Slot::Green, 50));
    seen.slots.get_mut(&Slot::Blue).unwrap().lagging = true;
    assert!(decided(&state, &seen).contains(&Effect::Route(Routing::all(Slot::Blue))));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// No weight, no match and no mirror is asked for a slot without available pods, and what is there is taken away.
    #[test]
    fn a_slot_without_available_pods_is_reached_by_nothing(
        (rollout, replicas) in rollouts(), cursor in 0usize..8, desired in 0u32..4, there in any::<bool>(),
    ) {
        let plan = planned(replicas, &rollout);
        let cursor = cursor % plan.steps.len();
        let wanted = plan.shape(cursor, replicas).routing(Slot::Green, 2, Some(1));
        let present = if there { wanted.clone() } else { Routing::all(Slot::Blue) };
        let state = at(plan, cursor, Stage::Steps, replicas);
        let decided = step("orders", &state, &seen(replicas, desired, 0, present.clone()), jiff::Timestamp::UNIX_EPOCH);
        for effect in &decided.effects {
            if let Effect::Route(routing) = effect {
                prop_assert!(!routing.reaches(Slot::Green), "{rollout}: {routing:?}");
            }
        }
        if there && wanted.reaches(Slot::Green) {
            let back = decided.effects.iter().any(|e| matches!(e, Effect::Route(_)));
            prop_assert!(back, "{rollout} at {cursor}: {:?}", decided.effects);
        }
    }

    /// Nor for one whose pods the router cannot know yet: it waits for endpoints, and then asks at once.
    #[test]
    fn a_slot_is_reached_once_its_service_leads_to_its_pods(
        (rollout, replicas) in rollouts(), cursor in 0usize..8, late in 1u32..4,
    ) {
        let plan = planned(replicas, &rollout);
        let cursor = cursor % plan.steps.len();
        let shape = plan.shape(cursor, replicas);
        let wanted = shape.routing(Slot::Green, 2, Some(1));
        let (pods, present) = (shape.pods.candidate, Routing::all(Slot::Blue));
        prop_assume!(wanted.reaches(Slot::Green));
        let state = at(plan, cursor, Stage::Steps, replicas);
        let asks = |led_to: u32| {
            let mut seen = seen(replicas, pods, pods, present.clone());
            seen.slots.get_mut(&Slot::Green).unwrap().led_to = led_to;
            let decided = step("orders", &state, &seen, jiff::Timestamp::UNIX_EPOCH);
            decided.effects.iter().any(|e| matches!(e, Effect::Route(_)))
        };
        prop_assert!(!asks(pods.saturating_sub(late)), "{rollout} at {cursor}");
        prop_assert!(asks(pods), "{rollout} at {cursor}");
    }

    /// From any step an abort takes every rule away and ends with all traffic on the live slot.
    #[test]
    fn abort_always_reaches_stable(
        (rollout, replicas) in rollouts(), cursor in 0usize..8, desired in 0u32..4, lost in 0u32..4,
    ) {
        let plan = planned(replicas, &rollout);
        let cursor = cursor % plan.steps.len();
        let mut present = plan.shape(cursor, replicas).routing(Slot::Green, 2, Some(1));
        let mut state = at(plan, cursor, Stage::Steps, replicas);
        let mut now = jiff::Timestamp::UNIX_EPOCH;
        let intent = Intent { verb: Verb::Abort, by: "you".into(), at: now };
        state = obey(&state, &intent, now).unwrap().0;
        let available = desired.saturating_sub(lost);
        for _ in 0..20 {
            let decided = step("orders", &state, &seen(replicas, desired, available, present.clone()), now);
            for effect in decided.effects {
                if let Effect::Route(routing) = effect {
                    present = routing;
                }
            }
            state = decided.state;
            now += jiff::SignedDuration::from_secs(1);
        }
        prop_assert!(present.same(&Routing::all(Slot::Blue)), "{rollout} at {cursor}: {present:?}");
        prop_assert_eq!(state.rollout.unwrap().stage, Stage::Aborted);
    }

    /// A share of the clients never comes without the cookie that keeps them, nor the cookie without a share.
    #[test]
    fn shapes_are_consistent((rollout, replicas) in rollouts()) {
        let plan = planned(replicas, &rollout);
        for cursor in 0..plan.steps.len() {
            let shape = plan.shape(cursor, replicas);
            prop_assert_eq!(
                shape.affinity.is_some(),
                plan.affinity.is_some() && shape.weight > 0 && shape.weight < 100
            );
            prop_assert!(!shape.served() || shape.pods.candidate > 0, "{:?}", shape);
            prop_assert!(shape.weight < 100 || (shape.matches.is_empty() && shape.mirror.is_none()));
        }
    }
}
