//! Candidates judged by what their pods say, on real pods under a real load.

use std::path::Path;

use serde_json::Value;

use crate::harness::{Lab, Namespace, V1, V2};
use crate::load::Load;

/// A canary with pods by number: half of two pods' requests, judged at the first step.
fn configure(ns: &Namespace, image: &str, config: &str) -> std::path::PathBuf {
    ns.service(
        "orders",
        &format!(
            "image: {image}\nreplicas: 2\nconfig: {{{config}}}\nrollout:\n  strategy: canary\n  surge: 1\n  \
             steps: [{{weight: 10}}, {{analyze: 30s}}, {{weight: 100}}]\n  analysis:\n    interval: 3s\n    \
             warmUp: 0s\n    metrics:\n    - {{name: errors, builtin: error-rate, max: 1%, minSamples: 50}}\n"
        ),
    )
}

fn live(ns: &Namespace) {
    let folder = configure(ns, V1, "NAME: orders, VERSION: v1");
    ns.msctl(&["deploy"]).dir(&folder).run().exits(0);
}

fn analysis(ns: &Namespace, folder: &Path) -> Value {
    let status = ns.msctl(&["rollout", "status", "-o", "json"]).dir(folder).run();
    let document = status.json();
    document["analysis"].as_array().and_then(|a| a.iter().find(|m| m["metric"] == "errors")).cloned().unwrap()
}

#[test]
#[ignore = "needs the lab: tests/run"]
fn a_candidate_with_errors_is_refused_and_its_twin_passes() {
    let ns = Lab::get().namespace("analysis", true);
    live(&ns);
    let load = Load::new(&ns.url("orders")).rate(60).seconds(200).start();

    let folder = configure(&ns, V2, "NAME: orders, VERSION: v2, ERROR_RATE: 0.05");
    let refused = ns.msctl(&["deploy", "-o", "json"]).dir(&folder).run().exits(5);
    let error = &refused.json()["error"];
    assert_eq!(error["reason"], "analysis-failed", "{error}");
    assert!(error["message"].as_str().unwrap().contains("errors"), "{error}");
    let errors = analysis(&ns, &folder);
    assert_eq!((&errors["phase"], &errors["limit"]), (&"failed".into(), &0.01.into()), "{errors}");
    assert!(errors["value"].as_f64().unwrap() > 0.01, "{errors}");

    let folder = configure(&ns, V2, "NAME: orders, VERSION: v2");
    ns.msctl(&["deploy"]).dir(&folder).run().exits(0);
    let errors = analysis(&ns, &folder);
    assert_eq!((&errors["phase"], &errors["value"]), (&"successful".into(), &0.0.into()), "{errors}");
    let answers = load.stop();
    assert!(
        answers.versions["v2"] > 0 && answers.statuses.keys().all(|s| [200, 500].contains(s)),
        "{answers:?}"
    );
}

#[test]
#[ignore = "needs the lab: tests/run"]
fn a_quiet_service_is_inconclusive_and_a_person_goes_on() {
    let ns = Lab::get().namespace("analysis-quiet", true);
    live(&ns);
    let folder = configure(&ns, V2, "NAME: orders, VERSION: v2");
    ns.msctl(&["deploy", "-o", "json"]).dir(&folder).run().exits(6);
    let status = ns.msctl(&["rollout", "status", "-o", "json"]).dir(&folder).run().json();
    assert_eq!((&status["phase"], &status["reason"]), (&"paused".into(), &"inconclusive".into()), "{status}");
    ns.msctl(&["rollout", "promote"]).dir(&folder).run().exits(0);
}

#[test]
#[ignore = "needs the lab: tests/run"]
fn a_dead_metrics_endpoint_aborts_at_the_fifth_error() {
    let ns = Lab::get().namespace("analysis-dead", true);
    live(&ns);
    let folder = configure(&ns, V2, "NAME: orders, VERSION: v2, ERROR_RATE: 1");
    let file = folder.join("msctl.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    // Everything but its health fails in this candidate.
    let dead = text.replace("path: /metrics", "path: /");
    std::fs::write(&file, dead).unwrap();
    let refused = ns.msctl(&["deploy", "-o", "json"]).dir(&folder).run().exits(5);
    assert_eq!(refused.json()["error"]["reason"], "analysis-error", "{}", refused.json());
}

#[test]
#[ignore = "needs the lab: tests/run"]
fn a_refused_canary_is_reported_and_judged_again() {
    let ns = Lab::get().namespace("analysis-report", true);
    live(&ns);
    let load = Load::new(&ns.url("orders")).rate(60).seconds(60).start();
    let folder = configure(&ns, V2, "NAME: orders, VERSION: v2, ERROR_RATE: 0.3");
    ns.msctl(&["deploy"]).dir(&folder).run().exits(5);
    load.stop();
    assert!(
        ns.get(&["configmap", "orders-deploy-2"]).is_some(),
        "what is told of the deploy is kept in the cluster"
    );

    let page = ns.msctl(&["rollout", "report", "--out", "-"]).dir(&folder).run().exits(0).stdout;
    for part in ["Refused: revision 2", "errors: error rate", "Available pods", "sha256:", "Timeline"] {
        assert!(page.contains(part), "{part}: {page}");
    }
    let judged = ns.msctl(&["rollout", "judge", "-o", "json"]).dir(&folder).run().exits(0).json();
    assert_eq!(judged["deploys"][0]["change"], "same", "{judged:#}");
    let args = ["rollout", "judge", "2", "--metric", "errors:max=90%", "-o", "json"];
    let lax = ns.msctl(&args).dir(&folder).run().exits(0).json();
    assert_eq!(lax["deploys"][0]["change"], "now-passes", "{lax:#}");

    ns.msctl(&["delete", "--yes"]).dir(&folder).run().exits(0);
    let left = ns.get(&["configmap", "-l", "msctl.dev/deploy", "-o", "name"]).unwrap_or_default();
    assert_eq!(left, "", "delete removes it");
}
