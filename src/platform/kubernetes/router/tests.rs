//! What each router is written and read back as.

use std::time::Duration;

use super::hot::testing::{made, written};
use super::*;
use crate::rollout::{Affinity, HeaderMatch, Match, MatchValue, Mirror};

fn service() -> Service {
    let text = "service: orders\nexpose: {host: shop.test, path: /orders}\n";
    crate::service::parse_yaml(text, std::path::Path::new("msctl.yaml")).unwrap()
}

fn at(text: &str) -> Timestamp {
    format!("2026-01-01T{text}Z").parse().unwrap()
}

fn routers() -> Vec<Router> {
    let gateway = Gateway { namespace: "edge".into(), name: "public".into() };
    [
        (Front::GatewayApi(gateway), Abilities::ALL),
        (Front::Istio("edge/public".into()), Abilities::ALL),
        (Front::Traefik("traefik".into()), traefik::ABILITIES),
        (Front::Nginx("nginx".into()), nginx::ABILITIES),
    ]
    .map(|(front, abilities)| Router { front, lag: Duration::from_secs(1), abilities })
    .to_vec()
}

fn met(name: &str, cookie: bool, value: MatchValue) -> Match {
    Match { headers: vec![HeaderMatch { name: name.into(), cookie, value }], ..Match::default() }
}

fn routings() -> Vec<Routing> {
    let exact = |text: &str| MatchValue::Exact(text.into());
    let methods = |all: &[&str]| all.iter().map(|m| (*m).to_owned()).collect();
    let affinity = |stable: Option<&str>| {
        Some(Affinity {
            cookie: "slot".into(),
            max_age: Some(60),
            candidate: "2".into(),
            stable: stable.map(str::to_owned),
        })
    };
    let from = |candidate: Slot, weight: u8| Routing::split(candidate, weight);
    vec![
        Routing::all(Slot::Blue),
        Routing::all(Slot::Green),
        from(Slot::Green, 100),
        from(Slot::Green, 1),
        from(Slot::Blue, 50),
        Routing { matches: vec![met("x-user", false, exact("beta"))], ..from(Slot::Green, 0) },
        Routing {
            matches: vec![met("x-user", false, MatchValue::Prefix("be.".into()))],
            ..from(Slot::Green, 10)
        },
        Routing {
            matches: vec![met("x-user", false, MatchValue::Regex("a|b".into()))],
            ..from(Slot::Blue, 10)
        },
        Routing { matches: vec![met("canary", true, exact("always"))], ..from(Slot::Green, 0) },
        Routing { matches: vec![met("group", true, exact("b`\"c"))], ..from(Slot::Green, 0) },
        Routing {
            matches: vec![
                Match {
                    method: Some("POST".into()),
                    path: Some(MatchValue::Prefix("/orders/new/".into())),
                    ..met("x-user", false, exact("beta"))
                },
                Match { path: Some(exact("/orders/1")), ..Match::default() },
                Match { path: Some(MatchValue::Regex("/orders/[0-9]+".into())), ..Match::default() },
            ],
            ..from(Slot::Green, 5)
        },
        Routing {
            mirror: Some(Mirror { percent: 20, methods: methods(&["GET", "HEAD"]) }),
            ..from(Slot::Green, 0)
        },
        Routing { mirror: Some(Mirror { percent: 100, methods: vec![] }), ..from(Slot::Blue, 10) },
        Routing { affinity: affinity(None), ..from(Slot::Green, 10) },
        Routing { affinity: affinity(Some("1")), ..from(Slot::Green, 10) },
    ]
}

/// From every routing to every other one that the router can do: what is written is read back, and a second write of
/// the same keeps the time of the first.
#[test]
fn what_is_written_is_read_back() {
    let service = service();
    for router in routers() {
        let able: Vec<Routing> =
            routings().into_iter().filter(|r| router.abilities.lacks(r).is_none()).collect();
        assert!(able.len() >= 8, "{}", router.name());
        for from in &able {
            let first = made(&router.objects(&service, Slot::Blue));
            let seen = router.observed(&service, &first).unwrap();
            assert_eq!((seen.routing, seen.since), (Routing::all(Slot::Blue), None), "{}", router.name());
            let writes = router.writes(&service, from, &first, at("10:00:00")).unwrap();
            let before = written(&first, &writes);
            for to in &able {
                let writes = router.writes(&service, to, &before, at("11:00:00")).unwrap();
                let after = written(&before, &writes);
                let seen = router.observed(&service, &after).unwrap();
                let since = if from == to { at("10:00:00") } else { at("11:00:00") };
                assert_eq!((&seen.routing, seen.since), (to, Some(since)), "{}: {from:?}", router.name());
                let blind = router.writes(&service, to, &Objects::new(), at("11:00:00")).unwrap();
                let seen = router.observed(&service, &written(&before, &blind)).unwrap();
                assert_eq!(&seen.routing, to, "{}: without a look before", router.name());
            }
        }
    }
}

/// A driver may die between two patches. What then is gets no request to a slot that neither routing reaches.
#[test]
fn between_two_patches_no_other_slot_is_reached() {
    let service = service();
    for router in routers() {
        let able: Vec<Routing> =
            routings().into_iter().filter(|r| router.abilities.lacks(r).is_none()).collect();
        for (from, to) in able.iter().flat_map(|from| able.iter().map(move |to| (from, to))) {
            let first = made(&router.objects(&service, Slot::Blue));
            let mut objects =
                written(&first, &router.writes(&service, from, &first, at("10:00:00")).unwrap());
            let writes = router.writes(&service, to, &objects, at("11:00:00")).unwrap();
            for write in &writes {
                objects = written(&objects, std::slice::from_ref(write));
                let seen = router.observed(&service, &objects).unwrap().routing;
                for slot in Slot::ALL.into_iter().filter(|s| !from.reaches(*s) && !to.reaches(*s)) {
                    let reached = seen.reaches(slot);
                    assert!(!reached, "{}: {from:?} to {to:?} reaches {slot}: {seen:?}", router.name());
                }
            }
            assert!(writes.len() == 1 || router.kinds() != [Kind::HttpRoute], "one patch for both weights");
            let roles = from.candidate == to.candidate || from.weight == to.weight;
            let plain =
                [from, to].iter().all(|r| r.matches.is_empty() && r.mirror.is_none() && r.weight < 100);
            if roles && plain && from.candidate == to.candidate {
                assert_eq!(writes.len(), 1, "{}: {from:?} to {to:?}", router.name());
            }
        }
    }
}

#[test]
fn edits_by_others_are_seen() {
    let service = service();
    for router in routers() {
        let first = made(&router.objects(&service, Slot::Blue));
        let split = Routing::split(Slot::Green, 50);
        let objects = written(&first, &router.writes(&service, &split, &first, at("10:00:00")).unwrap());
        let other = Routing::split(Slot::Green, 75);
        // Another's hand leaves our note as it is.
        let mut edits = router.writes(&service, &other, &objects, at("10:00:00")).unwrap();
        for edit in &mut edits {
            edit.operations.retain(|o| o["path"] != "/metadata/annotations/msctl.dev~1routing");
        }
        let seen = router.observed(&service, &written(&objects, &edits)).unwrap();
        let shares = (seen.routing.weight_of(Slot::Blue), seen.routing.weight_of(Slot::Green));
        assert_eq!((shares, seen.since), ((25, 75), None), "{}", router.name());
    }
}

#[test]
fn a_route_that_is_gone_is_not_there() {
    let service = service();
    for router in routers() {
        let whole = made(&router.objects(&service, Slot::Blue));
        for key in whole.keys().filter(|(kind, _)| router.kinds().contains(kind)) {
            let mut objects = whole.clone();
            objects.remove(key);
            assert_eq!(router.observed(&service, &objects), None, "{} without {key:?}", router.name());
        }
    }
}

#[test]
fn nginx_knows_one_header_and_one_cookie() {
    let service = service();
    let both = vec![
        met("x-user", false, MatchValue::Exact("beta".into())),
        met("canary", true, MatchValue::Exact("always".into())),
    ];
    let routing = Routing { matches: both.clone(), ..Routing::split(Slot::Green, 10) };
    assert_eq!(nginx::ABILITIES.lacks(&routing), None, "a header or a cookie");
    let hots = nginx::hots(&service, &routing);
    let notes: Vec<(&str, &str)> = hots[0]
        .annotations
        .iter()
        .filter_map(|(name, value)| Some((name.rsplit_once('/')?.1, value.as_deref()?)))
        .collect();
    assert_eq!(
        notes,
        [
            ("canary-weight", "10"),
            ("canary-by-header", "x-user"),
            ("canary-by-header-value", "beta"),
            ("canary-by-cookie", "canary"),
        ]
    );
    let together =
        vec![Match { headers: both.iter().flat_map(|m| m.headers.clone()).collect(), ..Match::default() }];
    let value = vec![met("group", true, MatchValue::Exact("b".into()))];
    let two = vec![both[0].clone(), met("x-other", false, MatchValue::Exact("b".into()))];
    for matches in [together, value, two] {
        let routing = Routing { matches, ..Routing::split(Slot::Green, 10) };
        assert!(nginx::ABILITIES.lacks(&routing).is_some(), "{routing:?}");
    }
}

#[test]
fn traefik_lists_no_slot_that_may_be_empty() {
    let service = service();
    let listed = |routing: &Routing| traefik::hots(&service, routing)[0].value["services"].clone();
    for (routing, expected) in [
        (Routing::all(Slot::Blue), vec![("orders-blue", false)]),
        (Routing::split(Slot::Green, 100), vec![("orders-green", false)]),
        (Routing::split(Slot::Green, 10), vec![("orders-blue", false), ("orders-green", true)]),
    ] {
        let services = listed(&routing);
        let found: Vec<(&str, bool)> = services
            .as_array()
            .unwrap()
            .iter()
            .map(|s| (s["name"].as_str().unwrap(), s["nativeLB"] == true))
            .collect();
        assert_eq!(found, expected);
    }
}
