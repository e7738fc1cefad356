//! `deploy --ab`, `--mirror` and affinity as a newcomer meets them: the binary, the local platform, real requests.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::local::{Load, Place};
use crate::run::Ran;

/// The version that answers a request with `header`, and the head of the answer.
fn ask(port: u16, header: &str) -> (String, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    write!(stream, "GET / HTTP/1.1\r\nHost: shop\r\n{header}\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{text}");
    (body.split(' ').next().unwrap().to_owned(), head.to_lowercase())
}

fn all(port: u16, header: &str, version: &str) {
    for _ in 0..50 {
        assert_eq!(ask(port, header).0, version, "{header}");
    }
}

struct Shop(Place);

impl Shop {
    fn new(rollout: &str) -> Shop {
        let shop = Shop(Place::running());
        shop.version("one", rollout);
        assert_eq!(shop.msctl(&["deploy"]).code, 0);
        shop
    }
    fn version(&self, version: &str, rollout: &str) {
        self.0.configure_rollout("cp app.py built.py", &format!("VERSION: {version}"), rollout);
    }
    fn msctl(&self, args: &[&str]) -> Ran {
        let mut command = self.0.home.command(args);
        Ran::of(command.current_dir(self.0.folder()).output().unwrap())
    }
}

#[test]
fn an_ab_test_from_plan_to_promotion_without_a_failed_request() {
    let rollout = "{scaleDownDelay: 0s, abortDelay: 0s, ab: {match: \
                   [{header: {name: x-group, prefix: b}}, {cookie: {name: group, exact: b}}]}}";
    let shop = Shop::new(rollout);
    let port = shop.0.port;
    shop.version("two", rollout);
    let plan = shop.msctl(&["deploy", "--ab", "--plan", "-o", "json"]).json();
    let plan = &plan["services"][0]["rollout"];
    assert_eq!((&plan["strategy"], &plan["motion"]), (&"ab".into(), &"router".into()), "{plan}");
    assert_eq!(plan["steps"][0]["step"], "cohort: header x-group or cookie group", "{plan}");
    assert_eq!((&plan["steps"][0]["candidate"], &plan["peak"]), (&1.into(), &2.into()), "{plan}");
    all(port, "x-group: b", "one");

    let load = Load::on(port);
    let run = shop.msctl(&["deploy", "--ab"]);
    assert_eq!(run.code, 6, "{run:#?}");
    for (header, version) in [
        ("x-group: b", "two"),
        ("cookie: a=1; group=b", "two"),
        ("x-group: a", "one"),
        ("cookie: group=a", "one"),
    ] {
        all(port, header, version);
    }
    let status = shop.msctl(&["rollout", "status", "-o", "json"]).json();
    assert_eq!((&status["phase"], &status["strategy"]), (&"paused".into(), &"ab".into()), "{status}");
    assert_eq!(shop.msctl(&["rollout", "abort"]).code, 0);
    all(port, "x-group: b", "one");
    assert_eq!(shop.msctl(&["rollout", "retry"]).code, 6);
    assert_eq!(shop.msctl(&["rollout", "promote"]).code, 0);
    all(port, "x-group: a", "two");
    load.no_request_failed();
}

#[test]
fn a_mirror_answers_nobody_and_a_cookie_keeps_a_client() {
    let rollout = "{scaleDownDelay: 0s, abortDelay: 0s, affinity: {cookie: slot, maxAge: 1h}}";
    let shop = Shop::new(rollout);
    let port = shop.0.port;
    shop.version("two", rollout);
    let load = Load::on(port);
    let run = shop.msctl(&["deploy", "--mirror"]);
    assert_eq!(run.code, 6, "{run:#?}");
    all(port, "x-group: b", "one");
    let seen = shop.msctl(&["local", "status", "-o", "json"]);
    let mirrored: u64 = counts(&seen.json(), "mirrored").iter().sum();
    assert!(mirrored >= 50, "{seen:#?}");
    assert_eq!(shop.msctl(&["rollout", "promote"]).code, 0);
    all(port, "x-group: b", "two");

    shop.version("three", rollout);
    let run = shop.msctl(&["deploy", "--canary", "--steps", "50", "--pause", "10m", "--until", "weight=50"]);
    assert_eq!(run.code, 0, "{run:#?}");
    let told = |head: &str| head.lines().find_map(|l| l.strip_prefix("set-cookie: ").map(str::to_owned));
    let met: Vec<(String, Option<String>)> = (0..20)
        .map(|_| {
            let (version, head) = ask(port, "x-group: b");
            (version, told(&head))
        })
        .collect();
    assert!(met.iter().all(|(version, cookie)| (version == "three") == cookie.is_some()), "{met:?}");
    let cookie = met.iter().find_map(|(_, c)| c.clone()).expect("half of them met the candidate");
    assert!(cookie.starts_with("slot=3; path=/; max-age=3600"), "{cookie}");
    all(port, "cookie: slot=3", "three");
    assert_eq!(shop.msctl(&["rollout", "abort"]).code, 0);
    all(port, "cookie: slot=3", "two");
    load.no_request_failed();
}

/// Every number under `key`, wherever it is.
fn counts(value: &serde_json::Value, key: &str) -> Vec<u64> {
    match value {
        serde_json::Value::Object(map) => map
            .iter()
            .flat_map(|(k, v)| match v.as_u64() {
                Some(n) if k == key => vec![n],
                _ => counts(v, key),
            })
            .collect(),
        serde_json::Value::Array(list) => list.iter().flat_map(|v| counts(v, key)).collect(),
        _ => Vec::new(),
    }
}

/// What nobody could mean is told before anything is built, with the place and the next move.
#[test]
fn an_ab_test_of_nobody_and_a_broken_rule_are_2() {
    let shop = Shop(Place::running());
    for (rollout, says) in [
        ("{strategy: ab}", "rollout.ab names nobody"),
        ("{strategy: ab, ab: {match: [{cookie: {name: a, regex: '('}}]}}", "no regular expression"),
        ("{strategy: ab, ab: {match: [{header: {name: 'a b', exact: c}}]}}", "no HTTP token"),
        ("{strategy: ab, ab: {percent: 100}}", "0 to 99"),
        ("{strategy: mirror, mirror: {percent: 0}}", "1 to 100"),
        ("{strategy: ab, ab: {match: [{path: {prefix: cart}}]}}", "begin with a slash"),
    ] {
        shop.version("one", rollout);
        let run = shop.msctl(&["deploy", "--plan"]);
        assert!(run.code == 2 && run.stderr.contains(says), "{rollout}: {run:#?}");
    }
}
