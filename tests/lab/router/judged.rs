//! A canary through Traefik, judged by what Prometheus scraped of its slots.

use std::path::PathBuf;

use crate::harness::{Lab, Namespace, V1, V2, until};
use crate::load::Load;

struct Shop {
    ns: Namespace,
    host: String,
    url: String,
    prometheus: String,
}

impl Shop {
    fn new(name: &str) -> Shop {
        let ns = Lab::get().namespace(name, false);
        let router = ns.lab.router();
        Shop { host: format!("{}.lab", ns.name), url: router.url, prometheus: router.prometheus, ns }
    }

    fn configure(&self, image: &str, rate: &str, metric: &str) -> PathBuf {
        let pod = "pod: {annotations: {prometheus.io/scrape: 'true', prometheus.io/port: '8080'}}";
        let metric = metric.replace("ADDRESS", &self.prometheus);
        self.ns.service(
            "orders",
            &format!(
                "image: {image}\nreplicas: 2\n{pod}\nconfig: {{ERROR_RATE: \"{rate}\"}}\n\
                 expose: {{host: {}, path: /}}\ntraffic: {{gateway: router/lab}}\n\
                 rollout:\n  strategy: canary\n  abortDelay: 1s\n  scaleDownDelay: 1s\n  steps: [{{weight: 30}}, {{analyze: 20s}}, {{weight: 100}}]\n  \
                 analysis:\n    background: false\n    interval: 4s\n    warmUp: 8s\n    metrics: [{metric}]\n",
                self.host
            ),
        )
    }

    fn live(&self) {
        let folder = self.configure(V1, "0", ERRORS);
        self.ns.msctl(&["deploy"]).dir(folder).run().exits(0);
        let answers = || Load::new(&self.url).host(&self.host).count(1).good() == 1;
        until(20, "the route answers", || answers().then_some(()));
    }
}

const ERRORS: &str = r#"{name: paid, address: "ADDRESS", max: 5%, inconclusiveLimit: 3,
      prometheus: "(sum(rate(http_requests_total{namespace='$namespace',slot='$slot',code='500'}[8s])) or vector(0)) / sum(rate(http_requests_total{namespace='$namespace',slot='$slot'}[8s]))"}"#;

#[test]
#[ignore = "needs the lab: tests/run"]
fn a_canary_behind_traefik_is_judged_by_a_query() {
    let shop = Shop::new("router-judged");
    shop.live();
    let load = Load::new(&shop.url).host(&shop.host).rate(60).seconds(150).start();
    let folder = shop.configure(V2, "0.3", ERRORS);
    let refused = shop.ns.msctl(&["deploy", "-o", "json"]).dir(&folder).run().exits(5);
    let error = &refused.json()["error"];
    assert_eq!(error["reason"], "analysis-failed", "{error}");
    assert!(error["message"].as_str().unwrap().contains("paid"), "{error}");
    let folder = shop.configure(V2, "0", ERRORS);
    shop.ns.msctl(&["deploy"]).dir(&folder).run().exits(0);
    let status = shop.ns.msctl(&["rollout", "status", "-o", "json"]).dir(&folder).run().json();
    let paid = &status["analysis"][0];
    assert_eq!((&paid["metric"], &paid["phase"]), (&"paid".into(), &"successful".into()), "{status}");
    assert!(load.stop().versions["v2"] > 0);
}

/// As above, and nobody is at a terminal: the driver in the cluster writes the route and asks the pods.
#[test]
#[ignore = "needs the lab: tests/run"]
fn a_detached_canary_behind_traefik_is_judged_by_its_pods() {
    const PODS: &str = "{name: errors, builtin: error-rate, max: 5%, minSamples: 50}";
    let shop = Shop::new("router-detached");
    shop.live();
    let load = Load::new(&shop.url).host(&shop.host).rate(60).seconds(200).start();
    let status =
        |folder: &PathBuf| shop.ns.msctl(&["rollout", "status", "-o", "json"]).dir(folder).run().json();
    let detached = |rate: &str, phase: &str| {
        let folder = shop.configure(V2, rate, PODS);
        let args = ["deploy", "--yes", "--detach", "--driver-image", crate::handoff::image(), "-o", "json"];
        let run = shop.ns.msctl(&args).dir(&folder).run().exits(0);
        assert_eq!(run.json()["services"][0]["ended"], "detached", "{}", run.stdout);
        let end = until(120, phase, || {
            let now = status(&folder);
            (now["phase"] != "progressing").then_some(now)
        });
        assert_eq!(end["phase"], phase, "{end:#}\n{}", driver_log(&shop.ns, &folder));
        end
    };
    let refused = detached("0.3", "aborted");
    assert_eq!(refused["reason"], "analysis-failed", "{refused:#}");
    assert_eq!(refused["slots"]["live"]["revision"], 1, "{refused:#}");
    let healthy = detached("0", "healthy");
    let errors = &healthy["analysis"][0];
    assert_eq!(
        (&errors["metric"], &errors["phase"]),
        (&"errors".into(), &"successful".into()),
        "{healthy:#}"
    );
    assert_eq!(healthy["slots"]["live"]["revision"], 3, "{healthy:#}");
    let answers = load.stop();
    assert!(
        answers.versions["v2"] > 0 && answers.statuses.keys().all(|s| [200, 500].contains(s)),
        "{answers:?}"
    );
}

fn driver_log(ns: &Namespace, folder: &PathBuf) -> String {
    ns.msctl(&["logs", "--driver"]).dir(folder).run().stdout
}

#[test]
#[ignore = "needs the lab: tests/run"]
fn what_prometheus_cannot_answer_is_told_before_the_first_write() {
    let shop = Shop::new("router-blind");
    shop.live();
    let before = shop.ns.field("deploy/orders-green", "{.metadata.resourceVersion}");
    let deploy = |metric: &str| {
        let folder = shop.configure(V2, "0", metric);
        shop.ns.msctl(&["deploy", "-o", "json"]).env("TOKEN", "hidden-token").dir(folder).run()
    };
    let wrong = deploy("{name: paid, address: ADDRESS, max: 1, prometheus: 'sum(rate('}").exits(2);
    let error = wrong.json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(error.contains("rollout.analysis.metrics[0]") && error.contains("parse error"), "{error}");
    let nowhere = "{name: paid, address: 'http://127.0.0.1:9', max: 1, prometheus: up, \
                   headers: {Authorization: 'Bearer ${TOKEN}'}}";
    let unreachable = deploy(nowhere).exits(1);
    let error = &unreachable.json()["error"];
    assert_eq!(error["reason"], "analysis-blind", "{error}");
    assert!(error["message"].as_str().unwrap().contains("127.0.0.1:9"), "{error}");
    assert!(!unreachable.stdout.contains("hidden-token") && !unreachable.stderr.contains("hidden-token"));
    let unset = deploy(&nowhere.replace("TOKEN", "UNSET_TOKEN")).exits(2);
    assert!(unset.stdout.contains("UNSET_TOKEN"), "{}", unset.stdout);
    assert_eq!(
        shop.ns.field("deploy/orders-green", "{.metadata.resourceVersion}"),
        before,
        "something was written"
    );
    // A query that finds no series is no data: a person decides, and nothing of the token is kept.
    let silent = "{name: paid, address: ADDRESS, max: 1, prometheus: 'nothing{slot=\"$slot\"}', \
                  headers: {Authorization: 'Bearer ${TOKEN}'}}";
    deploy(silent).exits(6);
    let kept = shop.ns.get(&["configmaps,leases", "-o", "yaml"]).unwrap();
    assert!(kept.contains("TOKEN") && !kept.contains("hidden-token"), "the token is stored");
}
