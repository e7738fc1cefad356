//! Traefik's own kinds, the annotations of ingress-nginx and Istio's: what the adapter writes is taken by a real server,
//! read back, fenced, and (Istio apart, which nobody acts on here) splits counted requests as it says.

use msctl::platform::Error;
use msctl::rollout::{Effect, HeaderMatch, Match, MatchValue, Mirror, Routing, Slot};
use serde_json::Value;

use crate::harness::{Lab, Namespace, V1, V2};
use crate::kubernetes::{Site, of};

fn site(ns: &Namespace, traffic: &str) -> (Site, String) {
    let host = format!("{}.lab", ns.name);
    (Site::new(ns, &format!("expose: {{host: {host}, path: /}}\ntraffic: {traffic}")), host)
}

/// Both versions are up, one pod each, and all requests go to blue.
async fn begin(site: &Site) {
    site.install(1, V1, 1).await;
    site.install(2, V2, 1).await;
    for (slot, revision) in [(Slot::Blue, 1), (Slot::Green, 2)] {
        site.apply(slot, revision, 1).await;
        site.scale(slot, 1, 1).await;
    }
    let first = site
        .until(60, "both are up", |o| of(o, Slot::Blue).complete(1) && of(o, Slot::Green).complete(1))
        .await;
    assert_eq!(first.route.expect("a route").routing, Routing::all(Slot::Blue));
}

/// Writes `routing`, sees it read back by whom it was written, and lets the router have it.
async fn split(site: &Site, routing: &Routing) {
    site.platform.execute(&Effect::Route(routing.clone()), 1).await.unwrap();
    let read = site.platform.observe().await.unwrap().route.unwrap();
    assert_eq!((&read.routing, read.by.as_deref()), (routing, Some("msctl-rollout")));
    assert!(read.since.is_some());
    let lag = site.platform.capabilities().await.unwrap().route_lag;
    site.until(10, "the router takes it", |o| o.route.as_ref().is_some_and(|r| r.accepted)).await;
    tokio::time::sleep(lag).await;
}

async fn stale_writes_are_refused(site: &Site) {
    site.platform.execute(&Effect::Route(Routing::all(Slot::Blue)), 1).await.unwrap();
    site.platform.raise_epoch(2).await.unwrap();
    let stale = site.platform.execute(&Effect::Route(Routing::all(Slot::Green)), 1).await;
    assert!(matches!(stale, Err(Error::Overtaken { seen: 2, ours: 1 })), "{stale:?}");
    let read = site.platform.observe().await.unwrap().route.unwrap();
    assert_eq!(read.routing, Routing::all(Slot::Blue));
}

fn met(name: &str, cookie: bool, value: MatchValue) -> Match {
    Match { headers: vec![HeaderMatch { name: name.into(), cookie, value }], ..Match::default() }
}

/// `labtool hit`: counted requests, as many a second as two cores bear.
fn hit(ns: &Namespace, host: &str, url: &str, requests: u32, more: &[&str]) -> Value {
    let (requests, host) = (requests.to_string(), format!("Host: {host}"));
    let args = ["hit", "-n", &requests, "-c", "8", "-t", "60s", "-json", "-H", &host];
    let out = ns.lab.command("labtool").args(args).args(more).arg(url).output().expect("labtool runs");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let counted: Value = serde_json::from_slice(&out.stdout).expect("JSON");
    assert_eq!(counted["failures"], 0, "{counted}");
    assert_eq!(counted["status"]["200"].as_u64(), counted["requests"].as_u64(), "{counted}");
    counted
}

/// The share of v2 in `requests`, which a fair split at `weight` exceeds or misses by 4 deviations once in 16 000.
fn shares(ns: &Namespace, host: &str, weight: u8, requests: u32) {
    let counted = hit(ns, host, &ns.lab.router().url, requests, &[]);
    let n = counted["requests"].as_f64().unwrap();
    assert_eq!(n as u32, requests, "not all were sent: {counted}");
    let (p, seen) = (f64::from(weight) / 100.0, counted["versions"]["v2"].as_f64().unwrap_or(0.0));
    let bound = 4.0 * (n * p * (1.0 - p)).sqrt();
    assert!((seen - n * p).abs() <= bound, "{seen} of {n} at {weight} %: {counted}");
}

/// All of some requests go to one version.
fn all(ns: &Namespace, host: &str, version: &str, path: &str, more: &[&str]) {
    let url = format!("{}{path}", ns.lab.router().url);
    let counted = hit(ns, host, &url, 200, more);
    assert_eq!(counted["versions"][version], 200, "{path} {more:?}: {counted}");
}

fn blocking<T>(work: impl FnOnce() -> T) -> T {
    tokio::task::block_in_place(work)
}

#[test]
#[ignore = "needs the lab: tests/run"]
fn a_traefik_service_splits_matches_and_mirrors() {
    let ns = Lab::get().namespace("router-traefik", false);
    let (site, host) = site(&ns, "{router: traefik}");
    site.run(async {
        let can = site.platform.capabilities().await.unwrap();
        assert_eq!(can.router.as_deref(), Some("traefik (traefik)"));
        begin(&site).await;
        for weight in [10, 50, 90] {
            split(&site, &Routing::split(Slot::Green, weight)).await;
            blocking(|| shares(&ns, &host, weight, 10_000));
        }
        let exact = |text: &str| MatchValue::Exact(text.into());
        let matches = vec![
            met("x-user", false, exact("beta")),
            met("x-team", false, MatchValue::Prefix("blue-".into())),
            met("group", true, exact("b")),
            Match { method: Some("PUT".into()), ..Match::default() },
            Match { path: Some(MatchValue::Prefix("/beta".into())), ..Match::default() },
        ];
        split(&site, &Routing { matches, ..Routing::split(Slot::Green, 0) }).await;
        blocking(|| {
            all(&ns, &host, "v2", "/", &["-H", "X-User: beta"]);
            all(&ns, &host, "v2", "/any", &["-H", "X-Team: blue-1"]);
            all(&ns, &host, "v2", "/", &["-H", "Cookie: a=1; group=b; c=2"]);
            all(&ns, &host, "v2", "/", &["-X", "PUT"]);
            all(&ns, &host, "v2", "/beta/1", &[]);
            all(&ns, &host, "v1", "/betas", &[]);
            all(&ns, &host, "v1", "/", &["-H", "X-User: betas", "-H", "Cookie: group=bb"]);
        });
        let mirror = Mirror { percent: 20, methods: vec!["GET".into()] };
        let copies = Routing { mirror: Some(mirror), ..Routing::split(Slot::Green, 0) };
        split(&site, &copies).await;
        let before = counted(&site).await;
        blocking(|| {
            hit(&ns, &host, &ns.lab.router().url, 800, &["-X", "POST"]);
            for _ in 0..4 {
                all(&ns, &host, "v1", "/", &[]);
            }
        });
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        // The router counts anew whenever any of its routes changes, which tests beside this one do: every fifth
        // request is copied, the first of each count included, so that a cut count has one more and never one less.
        let copies = counted(&site).await - before;
        assert!((160.0..=161.0).contains(&copies), "20 % of 800 GETs, and no POST: {copies}");
        stale_writes_are_refused(&site).await;
    });
    let gone = ns.msctl(&["delete", "--yes"]).dir(ns.home.path().join("orders")).run();
    gone.ok();
    for kind in ["ingressroutes.traefik.io", "traefikservices.traefik.io"] {
        assert_eq!(ns.get(&[kind, "-o", "name"]).as_deref(), Some(""), "{kind} are left");
    }
}

/// Users' requests that green's pods counted, from outside the router.
async fn counted(site: &Site) -> f64 {
    let answers = site.platform.get(Slot::Green, "/metrics").await.unwrap();
    let text = |said: &Result<(u16, String), String>| said.clone().expect("the pod answers").1;
    let lines: Vec<String> =
        answers.iter().flat_map(|a| text(&a.said).lines().map(str::to_owned).collect::<Vec<_>>()).collect();
    let users = lines.iter().filter(|l| l.starts_with("http_requests_total"));
    users.filter_map(|l| l.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

/// Without endpoints a TraefikService would answer 404 to everyone. The candidate's pods may go under traffic: only its
/// share fails.
#[test]
#[ignore = "needs the lab: tests/run"]
fn a_candidate_without_pods_takes_nobody_elses_answers() {
    let ns = Lab::get().namespace("router-empty", false);
    let (site, host) = site(&ns, "{router: traefik}");
    site.run(async {
        begin(&site).await;
        split(&site, &Routing::split(Slot::Green, 50)).await;
        ns.kubectl(&[
            "delete",
            "pod",
            "-l",
            "msctl.dev/slot=green",
            "--grace-period=0",
            "--force",
            "--wait=false",
        ]);
        site.scale(Slot::Green, 0, 1).await;
        site.until(30, "green is empty", |o| of(o, Slot::Green).empty()).await;
        tokio::time::sleep(std::time::Duration::from_secs(3)).await;
        let host = format!("Host: {host}");
        let args =
            ["hit", "-n", "80", "-c", "8", "-timeout", "500ms", "-json", "-H", &host, &ns.lab.router().url];
        let out = ns.lab.command("labtool").args(args).output().expect("labtool runs");
        let counted: Value = serde_json::from_slice(&out.stdout).expect("JSON");
        // Every second one, and one more or less where the router takes its turns anew, as after any change of a route.
        let answered = counted["versions"]["v1"].as_u64().unwrap_or(0);
        assert!((39..=41).contains(&answered), "{counted}");
        assert_eq!(counted["status"]["404"], Value::Null, "{counted}");
    });
}

#[test]
#[ignore = "needs the lab: tests/run"]
fn annotations_of_nginx_split_and_match() {
    let ns = Lab::get().namespace("router-nginx", false);
    let (site, host) = site(&ns, "{router: nginx}");
    site.run(async {
        let can = site.platform.capabilities().await.unwrap();
        assert_eq!(can.router.as_deref(), Some("nginx (nginx)"));
        assert!(!can.abilities.mirror && !can.abilities.paths && can.abilities.headers);
        begin(&site).await;
        let weight = |weight| Routing::split(Slot::Green, weight);
        for share in [10, 90] {
            split(&site, &weight(share)).await;
            blocking(|| shares(&ns, &host, share, 2_000));
        }
        let matches = |value: MatchValue| {
            vec![met("x-user", false, value), met("canary", true, MatchValue::Exact("always".into()))]
        };
        split(&site, &Routing { matches: matches(MatchValue::Exact("beta".into())), ..weight(0) }).await;
        blocking(|| {
            all(&ns, &host, "v2", "/", &["-H", "X-User: beta"]);
            all(&ns, &host, "v2", "/", &["-H", "Cookie: a=1; canary=always"]);
            all(&ns, &host, "v1", "/", &["-H", "X-User: betas", "-H", "Cookie: canary=b"]);
        });
        split(&site, &Routing { matches: matches(MatchValue::Prefix("be".into())), ..weight(0) }).await;
        blocking(|| {
            all(&ns, &host, "v2", "/", &["-H", "X-User: beta"]);
            all(&ns, &host, "v1", "/", &["-H", "X-User: abe"]);
        });
        // The roles change: the first Ingress follows, so that blue may lose its pods.
        split(&site, &weight(100)).await;
        blocking(|| all(&ns, &host, "v2", "/", &[]));
        let first = ns.field("ingress/orders", "{.spec.rules[0].http.paths[0].backend.service.name}");
        assert_eq!(first, "orders-green");
        split(&site, &Routing::split(Slot::Blue, 50)).await;
        blocking(|| shares(&ns, &host, 50, 2_000));
        stale_writes_are_refused(&site).await;
    });
}

/// Nobody acts on them here: the server takes the objects and the patches, and they are read back.
#[test]
#[ignore = "needs the lab: tests/run"]
fn a_virtual_service_is_written_and_read_back() {
    let ns = Lab::get().namespace("router-istio", false);
    let host = format!("{}.lab", ns.name);
    ns.apply(&format!(
        "apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: public}}
spec: {{selector: {{istio: ingressgateway}}, servers: [{{port: {{number: 80, name: http, protocol: HTTP}}, hosts: [{host}]}}]}}
"
    ));
    let (site, _) = site(&ns, &format!("{{router: istio, gateway: {}/public}}", ns.name));
    site.run(async {
        let can = site.platform.capabilities().await.unwrap();
        assert_eq!(can.router, Some(format!("istio ({}/public)", ns.name)));
        site.install(1, V1, 1).await;
        let first = site.platform.observe().await.unwrap().route.expect("a route");
        assert_eq!((first.routing, first.accepted), (Routing::all(Slot::Blue), true));
        let matches = vec![
            Match {
                method: Some("POST".into()),
                path: Some(MatchValue::Regex("/a/[0-9]+".into())),
                ..met("X-User", false, MatchValue::Prefix("be".into()))
            },
            met("group", true, MatchValue::Exact("b".into())),
        ];
        let mirror = Some(Mirror { percent: 20, methods: vec!["GET".into(), "HEAD".into()] });
        let affinity = Some(msctl::rollout::Affinity {
            cookie: "slot".into(),
            max_age: Some(60),
            candidate: "2".into(),
            stable: Some("1".into()),
        });
        let green = |weight| Routing::split(Slot::Green, weight);
        for routing in [
            green(10),
            Routing { matches, ..green(10) },
            Routing { mirror, ..green(0) },
            Routing { affinity, ..green(50) },
            green(100),
        ] {
            site.platform.execute(&Effect::Route(routing.clone()), 1).await.unwrap();
            let read = site.platform.observe().await.unwrap().route.unwrap();
            assert_eq!((&read.routing, read.by.as_deref()), (&routing, Some("msctl-rollout")));
        }
        // A deploy leaves the rules alone; another's edit is seen, and whose it is.
        site.install(2, V2, 1).await;
        let kept = site.platform.observe().await.unwrap().route.unwrap();
        assert_eq!((kept.routing, kept.by.as_deref()), (green(100), Some("msctl-rollout")));
        let edit = r#"[{"op": "replace", "path": "/spec/http/0/route", "value": [
            {"destination": {"host": "orders-blue", "port": {"number": 80}}, "weight": 100}]}]"#;
        let out =
            ns.kubectl(&["patch", "virtualservice.v1.networking.istio.io/orders", "--type=json", "-p", edit]);
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        let edited = site
            .until(5, "the edit is seen", |o| o.route.as_ref().is_some_and(|r| r.since.is_none()))
            .await
            .route
            .unwrap();
        assert_eq!(
            (edited.routing.weight_of(Slot::Blue), edited.by.as_deref()),
            (100, Some("kubectl-patch"))
        );
        stale_writes_are_refused(&site).await;
    });
    // Without exposure nothing of it is left.
    let rules = ns.get(&["destinationrules.networking.istio.io", "-o", "name"]).unwrap();
    assert_eq!(rules.lines().count(), 2, "{rules}");
    let hidden = Site::new(&ns, "");
    hidden.run(hidden.install(2, V2, 2));
    for kind in ["virtualservices.networking.istio.io", "destinationrules.networking.istio.io"] {
        assert_eq!(ns.get(&[kind, "-o", "name"]).as_deref(), Some(""), "{kind} are left");
    }
}
