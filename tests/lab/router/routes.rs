//! The adapter's HTTPRoute on a real router: what it writes is accepted, read back, and splits as it says.

use msctl::platform::Error;
use msctl::rollout::{Effect, HeaderMatch, Match, MatchValue, Routing, Slot};

use crate::harness::{Lab, V1, V2};
use crate::kubernetes::{Site, of};
use crate::load::Load;

#[test]
#[ignore = "needs the lab: tests/run"]
fn a_route_splits_by_weight_header_and_cookie() {
    let ns = Lab::get().namespace("router-split", false);
    let url = ns.lab.router().url;
    let host = format!("{}.lab", ns.name);
    let site =
        Site::new(&ns, &format!("expose: {{host: {host}, path: /}}\ntraffic: {{gateway: router/lab}}"));
    site.run(async {
        let can = site.platform.capabilities().await.unwrap();
        assert_eq!(can.router.as_deref(), Some("gateway-api (router/lab)"));
        assert!(can.abilities.headers && !can.abilities.mirror, "Traefik cannot mirror: {can:?}");
        site.install(1, V1, 1).await;
        site.install(2, V2, 1).await;
        for (slot, revision) in [(Slot::Blue, 1), (Slot::Green, 2)] {
            site.apply(slot, revision, 1).await;
            site.scale(slot, 1, 1).await;
        }
        let first = site
            .until(60, "both are up, and the first rules taken", |o| {
                let up = of(o, Slot::Blue).complete(1) && of(o, Slot::Green).complete(1);
                up && o.route.as_ref().is_some_and(|r| r.accepted)
            })
            .await;
        assert_eq!(first.route.unwrap().routing, Routing::all(Slot::Blue));

        let exact = |name: &str, cookie: bool, value: &str| {
            let value = MatchValue::Exact(value.into());
            Match { headers: vec![HeaderMatch { name: name.into(), cookie, value }], ..Match::default() }
        };
        let matches = vec![exact("x-user", false, "beta"), exact("group", true, "b")];
        for (routing, share) in [
            (Routing { weight: 25, ..Routing::all(Slot::Blue) }, 0.25),
            (Routing { weight: 10, matches, ..Routing::all(Slot::Blue) }, 0.10),
            (Routing { weight: 100, ..Routing::all(Slot::Blue) }, 1.0),
            (Routing::all(Slot::Blue), 0.0),
        ] {
            site.platform.execute(&Effect::Route(routing.clone()), 1).await.unwrap();
            let read = site.platform.observe().await.unwrap().route.unwrap();
            assert_eq!((&read.routing, read.by.as_deref()), (&routing, Some("msctl-rollout")));
            let taken =
                site.until(10, "the router takes it", |o| o.route.as_ref().is_some_and(|r| r.accepted)).await;
            let since = taken.route.unwrap().since.unwrap();
            assert!(taken.time.duration_since(since).as_secs() < 10);
            tokio::time::sleep(can.route_lag).await;
            let load = || Load::new(&url).host(&host).rate(400);
            let answers = tokio::task::block_in_place(|| load().count(400)).none_failed();
            assert!((answers.share("v2") - share).abs() < 0.02, "{routing:?}: {:?}", answers.versions);
            if !routing.matches.is_empty() {
                for (name, value, expected) in [
                    ("x-user", "beta", 1.0),
                    ("x-user", "betas", share),
                    ("Cookie", "a=1; group=b; c=2", 1.0),
                    ("Cookie", "group=bb", share),
                ] {
                    let answers = tokio::task::block_in_place(|| load().header(name, value).count(100));
                    let seen = answers.none_failed().share("v2");
                    assert!((seen - expected).abs() < 0.06, "{name}: {value} is {seen}, not {expected}");
                }
            }
        }
        site.platform.raise_epoch(2).await.unwrap();
        let stale = site.platform.execute(&Effect::Route(Routing::all(Slot::Green)), 1).await;
        assert!(matches!(stale, Err(Error::Overtaken { seen: 2, ours: 1 })), "{stale:?}");
        assert_eq!(site.platform.observe().await.unwrap().route.unwrap().routing, Routing::all(Slot::Blue));
    });
}
