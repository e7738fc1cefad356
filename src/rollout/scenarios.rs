//! The numbered acceptance scenarios at the core: real engine and driver over the simulated world.

use std::time::Duration;

use super::ask::{self, Obeyed};
use super::deploy::{Outcome, rolled};
use super::world::{Behaviour, Machine, Place, Shared, lock, run, world};
use super::*;
use super::{attach, look, undo};
use crate::error;
use crate::platform::{Platform, Release, Template};
use crate::service::{Service, Strategy};

/// One service in a simulated place.
pub struct Bench {
    pub world: Shared,
    pub service: Service,
}

pub fn template(version: &str) -> Template {
    Template { hash: version.into(), image: format!("orders:{version}"), body: serde_json::Value::Null }
}

impl Bench {
    pub fn new(router: bool, replicas: u32, rollout: &str) -> Bench {
        Bench::of(router, replicas, rollout, "")
    }

    /// With more lines of msctl.yaml.
    pub fn of(router: bool, replicas: u32, rollout: &str, more: &str) -> Bench {
        let text = format!("service: orders\nreplicas: {replicas}\nrollout: {rollout}\n{more}");
        let service: Service = crate::service::parse_yaml(&text, std::path::Path::new("msctl.yaml")).unwrap();
        let world = world(router, 7);
        lock(&world).surge = service.rollout.surge.ceil(replicas);
        Bench { world, service }
    }

    pub fn release(&self) -> Release {
        Release {
            service: self.service.clone(),
            folder: ".".into(),
            image: None,
            secrets: Default::default(),
        }
    }

    pub fn behave(&self, revision: u32, behaviour: Behaviour) {
        lock(&self.world).behaviours.insert(revision, behaviour);
    }

    pub fn deploy(&self, version: &str, options: Options) -> anyhow::Result<Outcome> {
        let (place, host) = (Place::new(&self.world), Machine::new(&self.world, "me"));
        let (release, template) = (self.release(), template(version));
        let task = Box::pin(rolled(&host, &place, "me", &release, &template, &options));
        run(&self.world, vec![task]).pop().unwrap().expect("not killed")
    }

    /// As `deploy`, by a driver that may be killed on the way.
    pub fn try_deploy(&self, version: &str) -> Option<anyhow::Result<Outcome>> {
        let (place, host) = (Place::new(&self.world), Machine::new(&self.world, "me"));
        let (release, template) = (self.release(), template(version));
        let options = Options::default();
        let task = Box::pin(rolled(&host, &place, "me", &release, &template, &options));
        run(&self.world, vec![task]).pop().unwrap()
    }

    pub fn ask(&self, verb: Verb) -> anyhow::Result<Obeyed> {
        let (place, host) = (Place::named(&self.world, "you"), Machine::new(&self.world, "you"));
        run(&self.world, vec![Box::pin(ask::ask(&host, &place, "orders", "you", verb))])
            .pop()
            .unwrap()
            .expect("not killed")
    }

    pub fn undo(&self, to: Option<u32>) -> anyhow::Result<Obeyed> {
        let (place, host) = (Place::new(&self.world), Machine::new(&self.world, "me"));
        run(&self.world, vec![Box::pin(undo::back(&host, &place, &self.service, "me", to))])
            .pop()
            .unwrap()
            .expect("not killed")
    }

    pub fn attach(&self, once: bool) -> anyhow::Result<Outcome> {
        let (place, host) = (Place::new(&self.world), Machine::new(&self.world, "me"));
        run(&self.world, vec![Box::pin(attach::resume(&host, &place, "orders", once))])
            .pop()
            .unwrap()
            .expect("not killed")
    }

    pub fn status(&self) -> Status {
        let place = Place::new(&self.world);
        run(&self.world, vec![Box::pin(look::look(&place, "orders"))]).pop().unwrap().unwrap().unwrap().2
    }

    pub fn state(&self) -> State {
        let place = Place::new(&self.world);
        let stored = run(&self.world, vec![Box::pin(place.load())]).pop().unwrap().unwrap().unwrap().unwrap();
        State::parse(&stored.body).unwrap()
    }

    /// Live and candidate pods asked for.
    pub fn pods(&self) -> (u32, u32) {
        let live = self.state().live.map_or(Slot::Blue, |l| l.slot);
        let world = lock(&self.world);
        (world.desired(live.other()), world.desired(live))
    }

    pub fn later(&self, seconds: u64) {
        let mut world = lock(&self.world);
        let then = world.now + seconds * 1000;
        world.advance_to(then);
    }

    pub fn sound(&self) {
        let world = lock(&self.world);
        assert!(world.broken.is_empty(), "{:#?}\n{}", world.broken, world.log.join("\n"));
    }
}

pub fn code(result: &anyhow::Result<Outcome>) -> u8 {
    match result {
        Ok(outcome) => outcome.code(),
        Err(error) => error::kind(error).code(),
    }
}

pub fn first(bench: &Bench) {
    let outcome = bench.deploy("v1", Options::default()).unwrap();
    assert_eq!(outcome.ended, Ended::Healthy);
}

#[test]
fn a_first_deploy_goes_straight_to_live_and_the_same_again_writes_nothing() {
    for router in [false, true] {
        let bench = Bench::new(router, 3, "{strategy: canary}");
        first(&bench);
        let status = bench.status();
        assert_eq!((status.phase, status.slots.live.unwrap().available), (Phase::Healthy, 3));
        let writes = lock(&bench.world).writes;
        let again = bench.deploy("v1", Options::default()).unwrap();
        assert_eq!((again.ended, lock(&bench.world).writes), (Ended::Unchanged, writes));
        bench.sound();
    }
}

#[test]
fn scenario_1_abort_at_the_pause_and_retry() {
    for router in [false, true] {
        let bench = Bench::new(router, 2, "{strategy: canary, steps: [{weight: 50}, {pause: {}}]}");
        first(&bench);
        let paused = bench.deploy("v2", Options::default());
        assert_eq!(code(&paused), 6);
        bench.ask(Verb::Abort).unwrap();
        let status = bench.status();
        assert_eq!((status.phase, status.weight.desired), (Phase::Aborted, 0), "{status:?}");
        assert_eq!(bench.state().rollout.unwrap().cursor, 0);
        let again = bench.ask(Verb::Retry).unwrap();
        assert!(matches!(again, Obeyed::Driven(Outcome { ended: Ended::Paused, .. })));
        let done = bench.ask(Verb::Promote { full: false }).unwrap();
        assert!(matches!(done, Obeyed::Driven(Outcome { ended: Ended::Healthy, .. })));
        assert_eq!(bench.state().live.unwrap().revision, 2);
        bench.sound();
    }
}

#[test]
fn scenario_2_scaled_while_paused() {
    let bench = Bench::new(false, 1, "{strategy: canary, surge: 1, steps: [{weight: 25}, {pause: {}}]}");
    first(&bench);
    assert_eq!(code(&bench.deploy("v2", Options::default())), 6);
    assert_eq!(bench.pods(), (1, 1));
    for (replicas, pods) in [(8, (2, 6)), (4, (1, 3))] {
        bench.ask(Verb::Scale(replicas)).unwrap();
        assert_eq!(bench.pods(), pods, "R {replicas}");
    }
    bench.sound();
}

#[test]
fn pods_that_never_come_are_not_waited_for_without_end() {
    let bench = Bench::new(false, 1, "{strategy: rolling, progressDeadline: 90s}");
    first(&bench);
    bench.behave(1, Behaviour::NeverReady);
    let error = bench.ask(Verb::Scale(3)).err().expect("two pods never come");
    assert_eq!(error::failure(&error).map(|f| f.kind), Some(error::Kind::Timeout), "{error:#}");
    assert!(error.to_string().contains("after 1m30s not all the pods asked for are there"), "{error:#}");
    assert_eq!(lock(&bench.world).desired(Slot::Blue), 3, "the number stays asked for");
}

#[test]
fn scenario_4_good_bad_bad() {
    let bench = Bench::new(false, 4, "{strategy: canary, surge: 1, abortDelay: 1h, steps: [{weight: 25}]}");
    first(&bench);
    bench.behave(2, Behaviour::NeverReady);
    bench.behave(3, Behaviour::NeverReady);
    let timeout = Options { timeout: Some(Duration::from_secs(30)), ..Default::default() };
    assert_eq!(code(&bench.deploy("v2", timeout.clone())), 124);
    assert_eq!(code(&bench.deploy("v3", timeout)), 124);
    let world = lock(&bench.world);
    assert_eq!((world.revision(Slot::Blue), world.available(Slot::Blue)), (1, 4));
    assert_eq!((world.revision(Slot::Green), world.desired(Slot::Green)), (3, 1));
    assert_eq!(world.serving().get(&1), Some(&4));
    drop(world);
    bench.sound();
}

#[test]
fn scenario_6_scale_steps() {
    let bench = Bench::new(
        true,
        4,
        "{strategy: canary, steps: [{pause: {}}, {scale: 25%}, {pause: {}}, {weight: 50}, {pause: {}}, \
         {scale: 3}, {pause: {}}, {scale: match}, {pause: {}}, {weight: 100}]}",
    );
    first(&bench);
    assert_eq!(code(&bench.deploy("v2", Options::default())), 6);
    let mut seen = vec![bench.pods()];
    for _ in 0..4 {
        bench.ask(Verb::Promote { full: false }).unwrap();
        seen.push(bench.pods());
    }
    assert_eq!(seen, [(0, 4), (1, 4), (1, 4), (3, 4), (2, 4)]);
    bench.ask(Verb::Promote { full: false }).unwrap();
    assert_eq!(bench.status().slots.live.unwrap().available, 4);
    bench.sound();
}

#[test]
fn scenario_7_full_promotion() {
    for router in [false, true] {
        let steps = "{strategy: canary, steps: [{weight: 34}, {pause: {}}, {weight: 67}, {pause: {}}]}";
        let bench = Bench::new(router, 3, steps);
        first(&bench);
        assert_eq!(code(&bench.deploy("v2", Options::default())), 6);
        bench.ask(Verb::Promote { full: true }).unwrap();
        assert_eq!(bench.status().phase, Phase::Healthy);
        assert_eq!(code(&bench.deploy("v3", Options::default())), 6);
        bench.ask(Verb::Abort).unwrap();
        bench.ask(Verb::Promote { full: true }).unwrap();
        let status = bench.status();
        assert_eq!((status.phase, status.slots.live.unwrap().revision), (Phase::Healthy, 3));
        bench.sound();
    }
}

#[test]
fn scenario_8_blue_green_with_a_preview() {
    for router in [false, true] {
        let rollout = "{strategy: blue-green, blueGreen: {previewReplicas: 1, promote: manual}}";
        let bench = Bench::new(router, 2, rollout);
        first(&bench);
        assert_eq!(code(&bench.deploy("v2", Options::default())), 6);
        assert_eq!(bench.pods(), (1, 2));
        assert_eq!(lock(&bench.world).serving().get(&2), None, "a preview answers nobody");
        let begun = lock(&bench.world).now;
        bench.ask(Verb::Promote { full: false }).unwrap();
        let world = lock(&bench.world);
        let healthy = world
            .log
            .iter()
            .position(|l| l.contains("healthy Healthy") && l.contains("revision: 2"))
            .unwrap();
        let at: u64 = world.log[healthy].split(':').next().unwrap().parse().unwrap();
        assert!(at > begun && world.now - at >= 30_000, "old pods stay 30 s after the switch");
        assert_eq!(world.present(Slot::Blue), 0);
        drop(world);
        bench.sound();
    }
}

#[test]
fn scenario_10_back_inside_the_delay_is_at_once() {
    for router in [false, true] {
        let rollout = "{strategy: blue-green, scaleDownDelay: 1h, blueGreen: {promote: manual}}";
        let bench = Bench::new(router, 2, rollout);
        first(&bench);
        assert_eq!(code(&bench.deploy("v2", Options::default())), 6);
        bench.ask(Verb::Promote { full: false }).unwrap();
        let before = lock(&bench.world).now;
        let back = bench.deploy("v1", Options::default()).unwrap();
        assert_eq!((back.ended, back.revision), (Ended::Healthy, 1));
        assert!(back.seconds < 1.0 && lock(&bench.world).now - before < 2000, "{back:?}");
        bench.sound();
    }
}

#[test]
fn scenario_16_a_pause_outlasts_the_deadline() {
    let bench = Bench::new(
        false,
        3,
        "{strategy: canary, progressDeadline: 30s, steps: [{weight: 34}, {pause: 10m}]}",
    );
    first(&bench);
    assert_eq!(code(&bench.deploy("v2", Options::default())), 0);
    assert_eq!(code(&bench.deploy("v3", Options { until: Until::Paused, ..Default::default() })), 6);
    bench.later(300);
    let once = bench.attach(true);
    assert_eq!(bench.status().phase, Phase::Paused, "{once:?}");
    bench.sound();
}

#[test]
fn scenario_19_a_third_version_at_the_seconds_pause() {
    for router in [false, true] {
        let bench = Bench::new(router, 3, "{strategy: canary, surge: 1, steps: [{weight: 20}, {pause: {}}]}");
        first(&bench);
        assert_eq!(code(&bench.deploy("v2", Options::default())), 6);
        assert_eq!(code(&bench.deploy("v3", Options::default())), 6);
        assert_eq!(bench.pods(), (1, 3));
        let state = bench.state();
        assert_eq!((state.live.unwrap().revision, state.candidate.unwrap().revision), (1, 3));
        assert_eq!(state.undo_target(), None, "the version to go back to stays the live one");
        bench.sound();
    }
}

#[test]
fn scenario_20_abort_when_idle_changes_nothing() {
    let bench = Bench::new(false, 3, "{strategy: canary}");
    first(&bench);
    let writes = lock(&bench.world).writes;
    assert!(matches!(bench.ask(Verb::Abort).unwrap(), Obeyed::Said(..)));
    assert_eq!(lock(&bench.world).writes, writes);
    assert_eq!(bench.pods(), (0, 3));
}

#[test]
fn scenario_23_a_refused_version_is_taken_back_and_stables_image_starts_nothing() {
    for strategy in ["rolling", "canary", "blue-green"] {
        for router in [false, true] {
            let bench = Bench::new(router, 3, &format!("{{strategy: {strategy}}}"));
            first(&bench);
            bench.behave(2, Behaviour::Crashes(300));
            let error = bench.deploy("v2", Options::default()).expect_err("it crashes");
            let report = error::report(&error);
            assert_eq!((report.code, report.reason.as_str()), (5, "crash"), "{strategy}: {report:?}");
            assert!(report.causes.iter().any(|c| c.contains("boom")), "{report:?}");
            let status = bench.status();
            assert_eq!(
                (status.phase, status.slots.live.clone().unwrap().available),
                (Phase::Aborted, 3),
                "{status:?}"
            );
            let writes = lock(&bench.world).writes;
            assert_eq!(bench.deploy("v1", Options::default()).unwrap().ended, Ended::Unchanged);
            assert_eq!(lock(&bench.world).writes, writes);
            bench.behave(2, Behaviour::Good);
            let again = bench.deploy("v2", Options::default()).unwrap();
            assert_eq!((again.ended, again.revision), (Ended::Healthy, 2), "{strategy}");
            bench.sound();
        }
    }
}

#[test]
fn scenario_31_undo_goes_where_the_record_says() {
    let bench = Bench::new(false, 3, "{strategy: canary}");
    first(&bench);
    assert_eq!(code(&bench.deploy("v2", Options::default())), 0);
    let rolling = Options { strategy: Some(Strategy::Rolling), ..Default::default() };
    assert_eq!(code(&bench.deploy("v3", rolling)), 0);
    bench.undo(None).unwrap();
    assert_eq!(bench.state().live.unwrap().revision, 2);
    bench.behave(4, Behaviour::Crashes(100));
    assert_eq!(code(&bench.deploy("v4", Options::default())), 5);
    bench.undo(None).unwrap();
    assert_eq!(bench.state().live.unwrap().revision, 3, "the one live before, never the refused one");
    assert!(bench.undo(Some(4)).is_err(), "a refused revision is no target");
    bench.sound();
}

#[test]
fn scenario_32_a_canary_right_after_a_long_delay() {
    let bench =
        Bench::new(false, 3, "{strategy: canary, scaleDownDelay: 1h, steps: [{weight: 34}, {pause: {}}]}");
    first(&bench);
    let switch = Options { strategy: Some(Strategy::BlueGreen), ..Default::default() };
    assert_eq!(code(&bench.deploy("v2", switch)), 0);
    assert_eq!(lock(&bench.world).present(Slot::Blue), 3, "kept");
    assert_eq!(code(&bench.deploy("v3", Options::default())), 6);
    let world = lock(&bench.world);
    let wide = world.log.iter().position(|l| l.contains("Select(Both)")).unwrap();
    let emptied = world.log.iter().position(|l| l.contains("Scale { slot: Blue, replicas: 0 }")).unwrap();
    assert!(emptied < wide, "{}", world.log.join("\n"));
    assert_eq!(world.serving().keys().copied().collect::<Vec<_>>(), [2, 3]);
    drop(world);
    bench.sound();
}

#[test]
fn scenario_33_a_kept_candidate_is_in_no_public_endpoint() {
    let bench = Bench::new(
        false,
        4,
        "{strategy: canary, surge: 1, abortDelay: 0, steps: [{weight: 50}, {pause: {}}]}",
    );
    first(&bench);
    assert_eq!(code(&bench.deploy("v2", Options::default())), 6);
    bench.ask(Verb::Abort).unwrap();
    let world = lock(&bench.world);
    assert_eq!(world.selection, Some(Selection::Blue));
    assert_eq!((world.available(Slot::Blue), world.desired(Slot::Green)), (4, 1));
    drop(world);
    bench.later(3600);
    assert!(bench.attach(true).is_ok() || bench.status().phase == Phase::Aborted);
    assert_eq!(lock(&bench.world).desired(Slot::Green), 1, "0 is for ever");
    bench.sound();
}

#[test]
fn scenario_34_traffic_pointed_back_to_the_old_slot() {
    let bench = Bench::new(false, 2, "{strategy: blue-green, scaleDownDelay: 2h}");
    first(&bench);
    assert_eq!(code(&bench.deploy("v2", Options::default())), 0);
    {
        let mut world = lock(&bench.world);
        world.select(Selection::Blue, "argocd-controller");
    }
    bench.later(3 * 3600);
    let _ = bench.attach(true);
    let status = bench.status();
    assert_eq!((status.phase, status.reason.as_str()), (Phase::Paused, "contested"), "{status:?}");
    assert!(status.message.contains("argocd-controller"));
    assert_eq!(lock(&bench.world).available(Slot::Blue), 2, "no pod was taken");
    bench.ask(Verb::Resume).unwrap();
    let world = lock(&bench.world);
    assert_eq!((world.selection, world.desired(Slot::Blue)), (Some(Selection::Green), 0));
    drop(world);
    bench.sound();
}

#[test]
fn scenario_35_an_undriven_candidate_that_crashes() {
    let bench = Bench::new(true, 4, "{strategy: canary, steps: [{weight: 50}, {pause: {}}]}");
    first(&bench);
    bench.behave(2, Behaviour::DiesAfter(20_000));
    assert_eq!(code(&bench.deploy("v2", Options::default())), 6);
    bench.later(60);
    let status = bench.status();
    assert!(status.undriven_since.is_some() && status.holder.is_none(), "{status:?}");
    assert_eq!(code(&bench.attach(true)), 5);
    assert_eq!(bench.status().phase, Phase::Aborted);
    assert!(lock(&bench.world).route.clone().unwrap().0.same(&Routing::all(Slot::Blue)));
}

#[test]
fn scenario_36_a_prune_takes_nothing_that_serves() {
    let bench = Bench::new(true, 2, "{strategy: canary, history: 1, steps: [{weight: 50}, {pause: {}}]}");
    first(&bench);
    for version in 2..=5u32 {
        let logged = lock(&bench.world).log.len();
        assert_eq!(code(&bench.deploy(&format!("v{version}"), Options::default())), 6);
        let (live, candidate) = (bench.state().live.unwrap(), bench.state().candidate.unwrap());
        {
            let world = lock(&bench.world);
            assert!(!world.log[logged..].iter().any(|l| l.contains("Prune")), "nothing is pruned on the way");
            assert!(world.has_template(live.revision) && world.has_template(candidate.revision));
        }
        bench.ask(Verb::Promote { full: false }).unwrap();
        let world = lock(&bench.world);
        assert!(world.has_template(version) && world.has_template(version - 1), "the way back is kept");
    }
    let state = bench.state();
    assert!(state.revision(1).unwrap().pruned && !lock(&bench.world).has_template(1));
    assert!(bench.undo(Some(1)).is_err(), "what is pruned is no target");
    // Deployed anew, it has its old number, and its template.
    assert_eq!(code(&bench.deploy("v1", Options::default())), 6);
    assert_eq!(bench.state().candidate.unwrap().revision, 1);
    bench.ask(Verb::Promote { full: true }).unwrap();
    assert_eq!((bench.state().live.unwrap().revision, bench.state().revisions.len()), (1, 5));
    bench.sound();
}

/// A held rollout gives no traffic to a candidate that has none yet.
#[test]
fn a_pause_before_the_first_step_holds_it_there() {
    let bench = Bench::new(true, 2, "{strategy: canary, abortDelay: 1h, steps: [{weight: 50}]}");
    first(&bench);
    bench.behave(2, Behaviour::NeverReady);
    let timeout = Options { timeout: Some(Duration::from_secs(5)), ..Default::default() };
    assert_eq!(code(&bench.deploy("v2", timeout)), 124);
    bench.ask(Verb::Abort).unwrap();
    bench.behave(2, Behaviour::Good);
    let now = lock(&bench.world).time();
    let mut state = bench.state();
    for verb in [Verb::Retry, Verb::Pause] {
        state = obey(&state, &Intent { verb, by: "you".into(), at: now }, now).unwrap().0;
    }
    let seen = {
        let place = Place::new(&bench.world);
        run(&bench.world, vec![Box::pin(place.observe())]).pop().unwrap().unwrap().unwrap()
    };
    let decision = step("orders", &state, &seen, seen.time);
    assert_eq!(decision.effects, [], "{:?}", decision.state.rollout);
}
