//! A/B tests, affinity and mirrors through real routers: who meets the candidate, under load, and that nobody fails.

use std::path::PathBuf;
use std::process::Command;

use crate::harness::{Lab, Namespace, Run, V1, V2, until};
use crate::load::Load;

/// A service `orders` behind a Gateway of the lab.
struct Shop {
    ns: Namespace,
    url: String,
    host: String,
    folder: PathBuf,
}

impl Shop {
    fn new(name: &str, gateway: &str, url: &str, rollout: &str) -> Shop {
        let ns = Lab::get().namespace(name, false);
        let host = format!("{}.lab", ns.name);
        let extra = format!(
            "replicas: 2\nexpose: {{host: {host}, path: /}}\ntraffic: {{gateway: router/{gateway}}}\nrollout: {rollout}"
        );
        let folder = ns.service("orders", &extra);
        let shop = Shop { ns, url: url.to_owned(), host, folder };
        shop.msctl(&["deploy", "--image", V1]).ok();
        until(20, "the route answers", || (shop.load().count(1).good() == 1).then_some(()));
        shop
    }

    fn msctl(&self, args: &[&str]) -> Run {
        self.ns.msctl(args).dir(&self.folder).env("CI", "true").run()
    }

    fn load(&self) -> Load {
        Load::new(&self.url).host(&self.host).rate(200)
    }

    /// What a browser with these cookies gets: the version, and the cookie it is told to keep.
    fn browse(&self, cookie: Option<&str>) -> (String, Option<String>) {
        let host = format!("Host: {}", self.host);
        let mut curl = Command::new("curl");
        curl.args(["-sfg", "-m", "5", "-o", "/dev/null", "-D", "-", "-H", &host]);
        curl.args(cookie.iter().flat_map(|c| ["-b", c]));
        let out = curl.arg(&self.url).output().expect("curl can be run");
        assert!(out.status.success(), "{out:?}");
        let head = String::from_utf8(out.stdout).expect("text");
        let field = |name: &str| {
            let found =
                head.lines().filter_map(|l| l.split_once(": ")).find(|(n, _)| n.eq_ignore_ascii_case(name));
            found.map(|(_, value)| value.trim().to_owned())
        };
        let kept = field("set-cookie").and_then(|c| Some(c.split(';').next()?.to_owned()));
        (field("x-version").expect("labtool names its version"), kept)
    }

    /// Requests that the candidate's pods answered.
    fn copies(&self) -> u32 {
        let pods = ["pods", "-l", "msctl.dev/slot=green", "-o", "jsonpath={.items[*].status.podIP}"];
        let pods = self.ns.get(&pods).unwrap_or_default();
        let count = |ip: &str| -> Option<f64> {
            let url = format!("http://{ip}:8080/metrics");
            let out = Command::new("curl").args(["-sfg", "-m", "5", &url]).output().ok()?;
            let text = String::from_utf8(out.stdout).ok()?;
            let counted = |l: &&str| l.starts_with("http_requests_total") && l.contains("code=\"200\"");
            Some(text.lines().filter(counted).filter_map(|l| l.rsplit(' ').next()?.parse::<f64>().ok()).sum())
        };
        pods.split_whitespace().filter_map(count).sum::<f64>() as u32
    }
}

#[test]
#[ignore = "needs the lab: tests/run"]
fn an_ab_test_by_header_and_cookie_under_load() {
    let rollout = "{strategy: ab, abortDelay: 10m, scaleDownDelay: 1s, ab: {match: \
                   [{header: {name: x-group, exact: b}}, {cookie: {name: group, exact: b}}, {method: GET, path: {prefix: /new}}]}}";
    let shop = Shop::new("strategies-ab", "lab", &Lab::get().router().url, rollout);
    let everyone = shop.load().rate(100).start();
    let group = shop.load().rate(50).header("x-group", "b").start();
    let run = shop.msctl(&["deploy", "--image", V2, "-o", "json"]).exits(6);
    assert_eq!(run.json()["services"][0]["status"]["reason"], "awaits-promotion", "{}", run.stdout);
    for (load, version) in [
        (shop.load().header("x-group", "b"), "v2"),
        (shop.load().header("Cookie", "a=1; group=b"), "v2"),
        (shop.load().header("x-group", "c"), "v1"),
        (shop.load(), "v1"),
    ] {
        let answers = load.count(200).none_failed();
        assert_eq!(answers.share(version), 1.0, "{version}: {answers:?}");
    }
    let page =
        Load::new(&format!("{}/new/page", shop.url)).host(&shop.host).rate(200).count(50).none_failed();
    assert_eq!(page.share("v2"), 1.0, "{page:?}");
    shop.msctl(&["rollout", "abort"]).ok();
    until(10, "the rules are gone", || {
        (shop.load().header("x-group", "b").count(20).share("v1") == 1.0).then_some(())
    });
    shop.msctl(&["rollout", "retry"]).exits(6);
    shop.msctl(&["rollout", "promote"]).ok();
    until(10, "all have it", || (shop.load().count(20).share("v2") == 1.0).then_some(()));
    let (everyone, group) = (everyone.stop().none_failed(), group.stop().none_failed());
    assert!(everyone.good() > 500 && group.share("v2") > 0.3, "{everyone:?} {group:?}");
}

#[test]
#[ignore = "needs the lab: tests/run"]
fn a_cohort_of_the_clients_stays_where_it_began() {
    cohort("strategies-cohort", "lab", &Lab::get().router().url);
}

#[test]
#[ignore = "needs the lab: tests/run"]
fn a_cohort_stays_on_envoy_too() {
    cohort("strategies-envoy", "contour", &Lab::get().router().contour);
}

/// A share of the clients: whoever keeps the cookie of the first answer stays, and abort ends it.
fn cohort(name: &str, gateway: &str, url: &str) {
    let rollout =
        "{strategy: ab, abortDelay: 10m, ab: {percent: 50}, affinity: {cookie: shop-slot, maxAge: 1h}}";
    let shop = Shop::new(name, gateway, url, rollout);
    shop.msctl(&["deploy", "--image", V2]).exits(6);
    let mut met = [0, 0];
    let mut cookies = Vec::new();
    for _ in 0..40 {
        let (version, cookie) = shop.browse(None);
        let cookie = cookie.expect("the first answer names the slot");
        met[usize::from(version == "v2")] += 1;
        for _ in 0..3 {
            let (again, told) = shop.browse(Some(&cookie));
            assert_eq!((again.as_str(), told), (version.as_str(), None), "{cookie}");
        }
        cookies.push(cookie);
    }
    // Below the binomial's 40 000th part on either side.
    assert!(met[0] > 7 && met[1] > 7, "{met:?}");
    shop.msctl(&["rollout", "abort"]).ok();
    until(10, "weight 0 ends it", || {
        cookies.iter().all(|c| shop.browse(Some(c)) == ("v1".into(), None)).then_some(())
    });
}

/// Copies reach the candidate, once each, and its answers reach nobody; then it is promoted.
#[test]
#[ignore = "needs the lab: tests/run"]
fn a_mirror_answers_nobody_and_is_promoted() {
    let rollout = "{strategy: mirror, scaleDownDelay: 1s}";
    let shop = Shop::new("strategies-mirror", "contour", &Lab::get().router().contour, rollout);
    let everyone = shop.load().rate(50).start();
    shop.msctl(&["deploy", "--image", V2]).exits(6);
    let before = everyone.good();
    let answers = shop.load().count(200).none_failed();
    assert_eq!(answers.share("v1"), 1.0, "the mirror answered: {answers:?}");
    until(10, "every request is copied", || (shop.copies() >= 200).then_some(()));
    shop.msctl(&["rollout", "promote"]).ok();
    until(10, "all have it", || (shop.load().count(20).share("v2") == 1.0).then_some(()));
    let answers = everyone.stop().none_failed();
    assert!(answers.good() > before, "{answers:?}");
}

/// What Traefik cannot do through an HTTPRoute is said before anything is written.
#[test]
#[ignore = "needs the lab: tests/run"]
fn a_mirror_that_the_router_cannot_do_is_refused_at_plan_time() {
    let shop = Shop::new("strategies-refused", "lab", &Lab::get().router().url, "{strategy: mirror}");
    for args in [&["deploy", "--image", V2, "--plan"] as &[&str], &["deploy", "--image", V2]] {
        let run = shop.msctl(args).exits(2);
        assert!(run.stderr.contains("mirroring") && run.stderr.contains("traffic.gateway"), "{}", run.stderr);
    }
    assert_eq!(shop.ns.get(&["deploy", "orders-green", "-o", "name"]), None, "nothing was written");
}
