//! `deploy --train` on the local platform: two services behind one barrier, own requests before the first user's, and
//! the way back.

use std::net::TcpListener;
use std::path::PathBuf;

use serde_json::Value;

use crate::local::{APP, Load, Place, real_python};
use crate::run::Ran;

/// `shop`, and `web` that depends on it, in one workspace.
struct Train {
    place: Place,
    web: u16,
}

const SMOKE: &str = "{name: smoke, smoke: {path: /smoke, requests: 6}}";

impl Train {
    fn new() -> Train {
        let web = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let train = Train { place: Place::running(), web };
        std::fs::create_dir(train.root().join("web")).unwrap();
        std::fs::write(train.root().join("web/app.py"), APP).unwrap();
        std::fs::write(train.root().join("msctl.yaml"), "workspace: [shop, web]\n").unwrap();
        train.version("one", "");
        let first = train.msctl(&["deploy"]);
        assert_eq!(first.code, 0, "{first:#?}");
        train
    }
    fn root(&self) -> PathBuf {
        self.place.home.dir.path().to_owned()
    }
    /// Both services; `more` is configuration of `web` alone.
    fn version(&self, version: &str, more: &str) {
        let python = real_python();
        for (name, port, needs, more) in [("shop", self.place.port, "", ""), ("web", self.web, "shop", more)]
        {
            let rollout = format!(
                "{{strategy: canary, scaleDownDelay: 0s, abortDelay: 0s, steps: [{{weight: 50}}, {{weight: 100}}], \
                 analysis: {{metrics: [{SMOKE}]}}}}"
            );
            let text = format!(
                "service: {name}\nport: {port}\nreplicas: 2\ndependsOn: [{needs}]\n\
                 run: {{command: 'exec {python} app.py'}}\nconfig: {{VERSION: {version}{more}}}\nrollout: {rollout}\n\
                 environments:\n  a: {{platform: local}}\n  b: {{platform: local}}\ndefaultEnvironment: a\n"
            );
            std::fs::write(self.root().join(name).join("msctl.yaml"), text).unwrap();
        }
    }
    fn msctl(&self, args: &[&str]) -> Ran {
        Ran::of(self.place.home.command(args).current_dir(self.root()).output().unwrap())
    }
    /// Requests of users that a slot of `web` answered so far.
    fn answered(&self, slot: &str) -> u64 {
        let local = self.msctl(&["local", "status", "-o", "json"]).json();
        let web = local["services"].as_array().unwrap().iter().find(|s| s["service"] == "web").unwrap();
        web["slots"][slot]["traffic"]["requests"].as_u64().unwrap()
    }
    fn versions(&self) -> [String; 2] {
        [self.place.port, self.web].map(crate::local::version)
    }
}

fn events(ran: &Ran) -> Vec<Value> {
    ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn cars<'a>(events: &'a [Value], kind: &str) -> Vec<&'a str> {
    events.iter().filter(|e| e["type"] == kind).filter_map(|e| e["car"].as_str()).collect()
}

#[test]
fn both_take_over_together_and_both_go_back() {
    let train = Train::new();
    let loads = [train.place.port, train.web].map(Load::on);
    train.version("two", "");
    let run = train.msctl(&["deploy", "--train", "-o", "ndjson"]);
    assert_eq!(run.code, 0, "{run:#?}");
    let told = events(&run);
    assert_eq!(cars(&told, "at-barrier"), ["shop", "web"]);
    assert_eq!(cars(&told, "healthy"), ["shop", "web"]);
    let first = |kind: &str| told.iter().position(|e| e["type"] == kind).unwrap();
    let last = told.iter().rposition(|e| e["type"] == "at-barrier").unwrap();
    assert!(last < first("healthy"), "nobody is healthy before all are at the barrier: {run:#?}");
    assert_eq!(train.versions(), ["two", "two"]);

    // The second fails its own requests, before a user met it; the first waited and goes back.
    train.version("three", ", NO_SMOKE: 1");
    let before = train.answered("blue");
    let run = train.msctl(&["deploy", "--train", "-o", "ndjson"]);
    assert_eq!(run.code, 5, "{run:#?}");
    let told = events(&run);
    assert_eq!(cars(&told, "takes-back"), ["shop"], "{run:#?}");
    let error = &told.last().unwrap()["error"];
    assert_eq!(error["reason"], "train-refused");
    assert_eq!(error["hints"], serde_json::json!(["mend it and start the train again"]));
    assert!(train.answered("blue") <= before, "no user met it: {run:#?}");
    assert_eq!(train.versions(), ["two", "two"]);
    loads.into_iter().for_each(Load::no_request_failed);
}

#[test]
fn two_environments_at_one_place_are_no_train() {
    let train = Train::new();
    train.version("two", "");
    let run = train.msctl(&["deploy", "--train", "--envs", "a,b", "-o", "json"]);
    let error = &run.json()["error"];
    assert_eq!((run.code, error["reason"].as_str()), (2, Some("same-place")), "{run:#?}");
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("shop (a) and shop (b)") && message.contains("this machine"), "{message}");
    assert_eq!(train.versions(), ["one", "one"]);
    let one = train.msctl(&["deploy", "--train", "--envs", "b"]);
    assert_eq!((one.code, train.versions()), (0, ["two".to_owned(), "two".to_owned()]), "{one:#?}");
}
