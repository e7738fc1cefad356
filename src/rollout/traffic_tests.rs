//! A/B tests, mirrors, header rules and affinity: what is planned, what is refused, what the router is told on the
//! way, and that no kill and no abort leaves any of it behind.

use super::deploy::rolled;
use super::host::Host;
use super::scenarios::{Bench, code, first, template};
use super::world::{Behaviour, Machine, Place, lock, run};
use super::*;
use crate::error;
use crate::service::parse_yaml;

pub const AB: &str =
    "{strategy: ab, ab: {match: [{header: {name: x-group, exact: b}}, {cookie: {name: group, exact: b}}]}}";
pub const COHORT: &str = "{strategy: ab, ab: {percent: 25}, affinity: {cookie: slot, maxAge: 1h}}";
pub const MIRROR: &str = "{strategy: mirror, mirror: {percent: 50}}";
const STICKY: &str = "{strategy: canary, affinity: {cookie: slot}, steps: [{weight: 25}, {pause: {}}]}";

pub fn resolved(replicas: u32, rollout: &str) -> anyhow::Result<Spec> {
    let text = format!("service: orders\nreplicas: {replicas}\nrollout: {rollout}\n");
    Spec::resolve(&parse_yaml(&text, std::path::Path::new("msctl.yaml")).unwrap(), &Options::default())
}

pub fn facts(can: Abilities) -> Facts {
    Facts { router: Some(100), can, live: true, ..Facts::default() }
}

pub fn planned(replicas: u32, rollout: &str) -> Plan {
    plan(&resolved(replicas, rollout).unwrap(), &facts(Abilities::ALL)).unwrap()
}

fn routing(bench: &Bench) -> Routing {
    lock(&bench.world).route.clone().unwrap().0
}

fn header(name: &str, value: &str) -> HeaderMatch {
    HeaderMatch { name: name.into(), cookie: false, value: MatchValue::Exact(value.into()) }
}

/// Pods of the candidate at each step: a cohort of unknown size may be everyone, a share is a share.
#[test]
fn golden_pods_of_every_test() {
    for (replicas, rollout, candidates) in [
        (4, AB, vec![4, 4, 4]),
        (1, AB, vec![1, 1, 1]),
        (4, COHORT, vec![1, 1, 4]),
        (10, "{strategy: ab, ab: {percent: 15}}", vec![2, 2, 10]),
        (3, "{strategy: ab, ab: {percent: 10, match: [{method: post}]}}", vec![3, 3, 3]),
        (4, MIRROR, vec![2, 2, 4]),
        (4, "{strategy: mirror}", vec![4, 4, 4]),
        (10, "{strategy: mirror, mirror: {percent: 1}}", vec![1, 1, 10]),
    ] {
        let plan = planned(replicas, rollout);
        let forecast = plan.forecast(replicas);
        let pods: Vec<u32> = forecast.iter().map(|s| s.candidate).collect();
        assert_eq!(pods, candidates, "{rollout}");
        assert!(forecast.iter().all(|s| s.live == replicas), "{rollout}");
        assert_eq!(forecast.iter().map(|s| s.peak).max(), Some(2 * replicas), "{rollout}");
    }
}

#[test]
fn a_test_ends_by_a_person_by_time_or_by_its_metrics() {
    let metrics = "analysis: {metrics: [{name: e, builtin: error-rate, max: 1%}]}";
    for (ab, rest, expected) in [
        ("percent: 5", "", Step::Pause(Wait::Person)),
        ("percent: 5", metrics, Step::Pause(Wait::Person)),
        ("percent: 5, until: 24h", "", Step::Pause(Wait::Seconds(86_400))),
        ("percent: 5, until: 24h", metrics, Step::Analyze { seconds: Some(86_400), metrics: vec![] }),
    ] {
        let comma = if rest.is_empty() { "" } else { ", " };
        let plan = planned(3, &format!("{{strategy: ab, ab: {{{ab}}}{comma}{rest}}}"));
        assert_eq!(plan.steps[1], expected, "{ab} {rest}");
        assert_eq!(plan.steps[2], Step::Weight(100));
    }
}

/// Own traffic comes before the first user's, on as many pods as these users will need.
#[test]
fn a_smoke_comes_before_the_cohort_and_before_the_copies() {
    let smoke = "analysis: {metrics: [{name: smoke, smoke: {path: /}}]}";
    for (rollout, pods) in [
        ("strategy: ab, ab: {match: [{method: GET}]}", [4, 4, 4, 4, 4, 4]),
        ("strategy: ab, ab: {percent: 25}", [1, 1, 1, 1, 1, 4]),
        ("strategy: mirror, mirror: {percent: 50}", [2, 2, 2, 2, 2, 4]),
    ] {
        let plan = planned(4, &format!("{{{rollout}, {smoke}}}"));
        assert!(matches!(plan.steps[1], Step::Analyze { .. }), "{:?}", plan.steps);
        assert!(!plan.shape(1, 4).served() && plan.shape(2, 4).served(), "{:?}", plan.steps);
        assert_eq!(plan.forecast(4).iter().map(|s| s.candidate).collect::<Vec<_>>(), pods, "{rollout}");
    }
}

/// What the router is told at each step of each strategy.
#[test]
fn golden_routes() {
    let told = |rollout: &str| -> Vec<Routing> {
        let plan = planned(4, rollout);
        (0..plan.steps.len()).map(|c| plan.shape(c, 4).routing(Slot::Green, 7, Some(6))).collect()
    };
    let group = Match { headers: vec![header("x-group", "b")], ..Match::default() };
    let cookie = HeaderMatch { cookie: true, ..header("group", "b") };
    let cohort = Routing {
        matches: vec![group, Match { headers: vec![cookie], ..Match::default() }],
        ..Routing::split(Slot::Green, 0)
    };
    let all = Routing::split(Slot::Green, 100);
    assert_eq!(told(AB), [cohort.clone(), cohort, all.clone()]);
    let affinity = |stable: Option<&str>, max_age| {
        Some(Affinity {
            cookie: "slot".into(),
            max_age,
            candidate: "7".into(),
            stable: stable.map(str::to_owned),
        })
    };
    let quarter = |affinity| Routing { affinity, ..Routing::split(Slot::Green, 25) };
    let share = quarter(affinity(Some("6"), Some(3600)));
    assert_eq!(told(COHORT), [share.clone(), share, all.clone()]);
    let sticky = quarter(affinity(None, None));
    assert_eq!(told(STICKY), [sticky.clone(), sticky, all.clone()]);
    let mirror = Some(Mirror { percent: 50, methods: vec!["GET".into(), "HEAD".into()] });
    let copied = Routing { mirror, ..Routing::split(Slot::Green, 0) };
    assert_eq!(told(MIRROR), [copied.clone(), copied, all]);
    let all_methods = told("{strategy: mirror, mirror: {methods: ['*']}}");
    assert_eq!(all_methods[0].mirror, Some(Mirror { percent: 100, methods: vec![] }));
    let stepped =
        told("{strategy: canary, steps: [{mirror: 20, methods: [post]}, {weight: 5}, {mirror: 0}]}");
    let mirrors: Vec<_> = stepped.iter().map(|r| r.mirror.clone()).collect();
    let post = Some(Mirror { percent: 20, methods: vec!["POST".into()] });
    assert_eq!(mirrors, [post.clone(), post, None, None]);
}

#[test]
fn every_condition_is_read() {
    let steps = "[{match: [{header: {name: a, prefix: b}, cookie: {name: c, regex: d+}, method: post, \
                 path: {prefix: /cart}}]}, {match: []}]";
    let spec = resolved(3, &format!("{{strategy: canary, steps: {steps}}}")).unwrap();
    let wanted = Match {
        headers: vec![
            HeaderMatch { name: "a".into(), cookie: false, value: MatchValue::Prefix("b".into()) },
            HeaderMatch { name: "c".into(), cookie: true, value: MatchValue::Regex("d+".into()) },
        ],
        method: Some("POST".into()),
        path: Some(MatchValue::Prefix("/cart".into())),
    };
    assert_eq!(spec.steps[..2], [Step::Match(vec![wanted]), Step::Match(vec![])]);
    for wrong in [
        "{strategy: ab}",
        "{strategy: ab, ab: {match: [{}]}}",
        "{strategy: ab, ab: {match: [{header: {name: a}}]}}",
        "{strategy: ab, ab: {match: [{header: {name: a, exact: b, prefix: c}}]}}",
        "{strategy: ab, ab: {match: [{cookie: {name: a, regex: '('}}]}}",
    ] {
        let error = resolved(3, wrong).expect_err(wrong);
        assert_eq!(error::kind(&error).code(), 2, "{wrong}");
    }
}

/// Each ability is what stands between its strategy and a plan; without a router there is none.
#[test]
fn what_a_router_cannot_do_is_refused_before_anything_is_written() {
    let all = Abilities::ALL;
    let header = "{strategy: ab, ab: {match: [{header: {name: a, exact: b}}]}}";
    for (rollout, lacking, named) in [
        (header, Abilities { headers: false, ..all }, "header"),
        (
            "{strategy: ab, ab: {match: [{header: {name: a, prefix: b}}]}}",
            Abilities { expressions: false, ..all },
            "prefix",
        ),
        (AB, Abilities { cookies: false, ..all }, "cookie"),
        (AB, Abilities { several: false, ..all }, "more than one"),
        ("{strategy: ab, ab: {match: [{method: GET}]}}", Abilities { methods: false, ..all }, "method"),
        ("{strategy: ab, ab: {match: [{path: {exact: /a}}]}}", Abilities { paths: false, ..all }, "path"),
        (COHORT, Abilities { cohorts: false, ..all }, "percentage of the clients"),
        (MIRROR, Abilities { mirror: false, ..all }, "mirroring"),
        (MIRROR, Abilities { mirror_percent: false, ..all }, "percentage"),
        (MIRROR, Abilities { mirror_methods: false, ..all }, "method"),
        (STICKY, Abilities { affinity: false, ..all }, "affinity"),
    ] {
        let spec = resolved(3, rollout).unwrap();
        assert!(plan(&spec, &facts(all)).is_ok(), "{rollout}");
        for facts in [facts(lacking), Facts { live: true, ..Facts::default() }] {
            let refused = anyhow::Error::from(plan(&spec, &facts).expect_err(rollout));
            let report = error::report(&refused);
            assert_eq!(report.code, 2, "{rollout}");
            assert!(!report.hints.is_empty(), "{report:?}");
            if facts.router.is_some() {
                assert!(report.message.contains(named), "{rollout}: {report:?}");
            }
        }
        let first = Facts { live: false, ..facts(lacking) };
        assert!(plan(&spec, &first).is_ok(), "the first deploy goes straight to live: {rollout}");
    }
    // All or nothing is enough for all.
    let whole = resolved(3, "{strategy: mirror}").unwrap();
    assert!(plan(&whole, &facts(Abilities { mirror_percent: false, ..all })).is_ok());
}

#[test]
fn an_ab_test_runs_until_it_is_promoted() {
    let bench = Bench::new(true, 3, AB);
    first(&bench);
    let outcome = bench.deploy("v2", Options::default());
    assert_eq!(code(&outcome), 6, "waits for a person");
    assert_eq!((routing(&bench).weight, routing(&bench).matches.len()), (0, 2));
    assert_eq!(bench.pods(), (3, 3));
    let status = bench.status();
    assert_eq!((status.phase, status.reason.as_str()), (Phase::Paused, "awaits-promotion"), "{status:?}");
    bench.ask(Verb::Promote { full: false }).unwrap();
    assert_eq!((bench.status().phase, bench.state().live.unwrap().revision), (Phase::Healthy, 2));
    assert!(routing(&bench).same(&Routing::all(Slot::Green)));
    bench.sound();
}

#[test]
fn a_test_with_an_end_goes_on_by_itself() {
    for rollout in ["{strategy: ab, ab: {percent: 10, until: 5m}}", "{strategy: mirror, mirror: {until: 5m}}"]
    {
        let bench = Bench::new(true, 3, rollout);
        first(&bench);
        let began = lock(&bench.world).now;
        assert_eq!(bench.deploy("v2", Options::default()).unwrap().ended, Ended::Healthy);
        assert!(lock(&bench.world).now - began >= 300_000, "{rollout}");
        bench.sound();
    }
}

#[test]
fn a_mirror_answers_nobody_until_it_is_promoted() {
    let bench = Bench::new(true, 4, MIRROR);
    first(&bench);
    assert_eq!(code(&bench.deploy("v2", Options::default())), 6);
    let copying = routing(&bench);
    assert_eq!((copying.weight, copying.mirror.as_ref().map(|m| m.percent)), (0, Some(50)));
    assert_eq!(bench.pods(), (2, 4));
    bench.ask(Verb::Promote { full: false }).unwrap();
    assert!(routing(&bench).same(&Routing::all(Slot::Green)));
    assert_eq!(bench.status().phase, Phase::Healthy);
    bench.sound();
}

#[test]
fn a_cohort_that_crashes_goes_back_and_keeps_no_rule() {
    for rollout in [AB, COHORT, MIRROR, STICKY] {
        let bench = Bench::new(true, 3, rollout);
        first(&bench);
        bench.behave(2, Behaviour::DiesAfter(20_000));
        assert_eq!(code(&bench.deploy("v2", Options::default())), 6, "{rollout}");
        bench.later(60);
        assert_eq!(code(&bench.attach(true)), 5, "{rollout}");
        assert!(routing(&bench).same(&Routing::all(Slot::Blue)), "{rollout}");
        bench.sound();
    }
}

/// Scenario 24: the rule is there for its step and the wait after it, whichever way it ends.
#[test]
fn scenario_24_a_header_rule_is_gone_after_the_next_step_promotion_or_abort() {
    let steps = |rest: &str| {
        format!(
            "{{strategy: canary, steps: [{{weight: 20}}, {{header: {{name: x-user, exact: beta}}}}, {{pause: {{}}}}, {rest}]}}"
        )
    };
    let rule = |bench: &Bench| (routing(bench).weight, routing(bench).matches.len());
    for (rest, after) in [
        ("{weight: 50}, {pause: {}}", (50, 0)),
        ("{pause: {}}", (20, 0)),
        ("{header: {}}, {pause: {}}", (20, 0)),
        ("{header: {name: y, exact: z}}, {pause: {}}", (20, 1)),
    ] {
        let bench = Bench::new(true, 5, &steps(rest));
        first(&bench);
        assert_eq!(code(&bench.deploy("v2", Options::default())), 6);
        assert_eq!(rule(&bench), (20, 1), "{rest}");
        bench.ask(Verb::Promote { full: false }).unwrap();
        assert_eq!(rule(&bench), after, "{rest}");
        assert_eq!(bench.status().phase, Phase::Paused, "{rest}");
        bench.ask(Verb::Abort).unwrap();
        assert!(routing(&bench).same(&Routing::all(Slot::Blue)), "{rest}");
        bench.sound();
    }
    for verb in [Verb::Abort, Verb::Promote { full: true }] {
        let bench = Bench::new(true, 5, &steps("{weight: 50}, {pause: {}}"));
        first(&bench);
        assert_eq!(code(&bench.deploy("v2", Options::default())), 6);
        bench.ask(verb.clone()).unwrap();
        assert_eq!(routing(&bench).matches, [], "{verb:?}");
        bench.sound();
    }
}

#[test]
fn affinity_holds_until_weight_0() {
    let bench = Bench::new(true, 4, STICKY);
    first(&bench);
    assert_eq!(code(&bench.deploy("v2", Options::default())), 6);
    let affinity = routing(&bench).affinity.expect("clients stay");
    assert_eq!((affinity.candidate.as_str(), affinity.stable), ("2", None));
    bench.ask(Verb::Abort).unwrap();
    assert_eq!((routing(&bench).weight_of(Slot::Green), routing(&bench).affinity), (0, None));
    bench.ask(Verb::Retry).unwrap();
    assert_eq!(routing(&bench).affinity.unwrap().candidate, "2", "the same candidate, the same clients");
    bench.sound();
}

fn settle(bench: &Bench) {
    for _ in 0..4 {
        let _ = bench.attach(false);
        bench.later(4000);
        let _ = bench.attach(false);
        if bench.status().phase != Phase::Paused {
            return;
        }
        let _ = bench.ask(Verb::Promote { full: true });
    }
}

/// Scenario 26 for these strategies: killed before or after any write, then attached: the same end as without.
#[test]
fn scenario_26_a_kill_at_every_write_of_a_test() {
    let mut cuts = 0;
    let matched = "{strategy: ab, ab: {match: [{header: {name: a, exact: b}}], until: 5s}}";
    let cohort = "{strategy: ab, ab: {percent: 25, until: 5s}, affinity: {cookie: slot}}";
    let mirror = "{strategy: mirror, mirror: {percent: 50, until: 5s}}";
    let ruled = "{strategy: canary, affinity: {cookie: slot}, steps: [{weight: 25}, {header: {name: a, exact: b}}, \
                 {pause: 1s}, {mirror: 10}, {weight: 50}]}";
    for (rollout, behaviour) in [
        (AB, Behaviour::Good),
        (matched, Behaviour::Good),
        (cohort, Behaviour::Good),
        (cohort, Behaviour::Crashes(400)),
        (mirror, Behaviour::Good),
        (mirror, Behaviour::Crashes(400)),
        (ruled, Behaviour::Good),
    ] {
        let ready = || {
            let bench = Bench::new(true, 3, rollout);
            first(&bench);
            bench.behave(2, behaviour);
            bench
        };
        let whole = ready();
        let before = lock(&whole.world).writes;
        let idle = lock(&whole.world).summary();
        let _ = whole.deploy("v2", Options::default());
        let writes = lock(&whole.world).writes - before;
        settle(&whole);
        let end = lock(&whole.world).summary();
        for (cut, after) in (1..=writes).flat_map(|cut| [(cut, false), (cut, true)]) {
            let bench = ready();
            lock(&bench.world).kill_at = Some((before + cut, after));
            let (place, host) = (Place::new(&bench.world), Machine::new(&bench.world, "me"));
            let (release, template, options) = (bench.release(), template("v2"), Options::default());
            let task = Box::pin(rolled(&host, &place, "me", &release, &template, &options));
            assert!(run(&bench.world, vec![task]).pop().unwrap().is_none(), "not killed at write {cut}");
            let holder = host.holder();
            lock(&bench.world).dead.insert(holder);
            let begun = bench.state().deploys.len() > 1;
            settle(&bench);
            let got = lock(&bench.world).summary();
            let log = || lock(&bench.world).log.join("\n");
            let wanted = if begun { &end } else { &idle };
            assert_eq!(&got, wanted, "{rollout} {behaviour:?} cut {cut} after {after}\n{}", log());
            let live = bench.state().live.unwrap().slot;
            assert!(routing(&bench).same(&Routing::all(live)), "{rollout}: {:?}", routing(&bench));
            bench.sound();
            cuts += 1;
        }
    }
    assert!(cuts > 100, "{cuts}");
}
