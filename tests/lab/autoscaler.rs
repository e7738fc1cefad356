//! A HorizontalPodAutoscaler a slot: held during a rollout, given back at every end. The lab has no metrics, so the real
//! controller only keeps targets within their bounds; what it would want beyond, `kubectl scale` does in its place.

use crate::harness::{Lab, Namespace, Run, until};

fn orders(ns: &Namespace, n: u32, rollout: &str) {
    ns.service(
        "orders",
        &format!("autoscaling: {{min: 2, max: 6}}\nconfig: {{N: \"{n}\"}}\nrollout: {{{rollout}}}"),
    );
}

fn msctl(ns: &Namespace, args: &[&str]) -> Run {
    ns.msctl(args).dir(ns.home.path().join("orders")).run()
}

fn bounds(ns: &Namespace, slot: &str) -> String {
    ns.field(
        &format!("hpa/orders-{slot}"),
        "{.spec.minReplicas}-{.spec.maxReplicas}{.spec.behavior.scaleDown.selectPolicy}",
    )
}

fn pods(ns: &Namespace, slot: &str) -> String {
    ns.field(&format!("deploy/orders-{slot}"), "{.spec.replicas}")
}

#[test]
#[ignore = "needs the lab: tests/run"]
fn a_replica_canary_holds_both_autoscalers_and_gives_them_back() {
    let ns = Lab::get().namespace("hpa", true);
    let steps = "strategy: canary, surge: 1, abortDelay: 1s, steps: [{weight: 25}, {pause: {}}]";
    orders(&ns, 1, steps);
    msctl(&ns, &["deploy"]).ok();
    // As the autoscaler would under load.
    assert!(ns.kubectl(&["scale", "deploy/orders-blue", "--replicas=4"]).status.success());
    until(30, "four pods", || {
        (ns.field("deploy/orders-blue", "{.status.availableReplicas}") == "4").then_some(())
    });
    let held = || {
        assert_eq!((bounds(&ns, "blue").as_str(), pods(&ns, "blue").as_str()), ("3-3", "3"));
        assert_eq!((bounds(&ns, "green").as_str(), pods(&ns, "green").as_str()), ("1-1", "1"));
    };
    let free = |slot: &str| assert_eq!(bounds(&ns, slot), "2-6", "{slot}");

    orders(&ns, 2, steps);
    msctl(&ns, &["deploy"]).exits(6);
    held();
    msctl(&ns, &["rollout", "abort"]).ok();
    assert_eq!(pods(&ns, "blue"), "4", "what the autoscaler had made of it, not its minimum");
    free("blue");
    free("green");

    // Killed at the pause, and finished by somebody else.
    let driver = ns.msctl(&["rollout", "retry"]).dir(ns.home.path().join("orders")).run();
    driver.exits(6);
    held();
    let attached = ns.msctl(&["rollout", "promote"]).dir(ns.home.path().join("orders")).spawn();
    attached.says("1 of 2 available", 20);
    attached.signal("KILL");
    drop(attached);
    let end = msctl(&ns, &["rollout", "attach"]);
    if end.status.code() == Some(6) {
        msctl(&ns, &["rollout", "promote"]).ok();
    } else {
        end.ok();
    }
    assert_eq!((pods(&ns, "green").as_str(), pods(&ns, "blue").as_str()), ("4", "0"));
    free("green");
    free("blue");
    // Its own bounds can be changed by a deploy that changes nothing else.
    ns.service(
        "orders",
        &format!("autoscaling: {{min: 2, max: 9}}\nconfig: {{N: \"2\"}}\nrollout: {{{steps}}}"),
    );
    assert!(msctl(&ns, &["diff"]).exits(1).stdout.contains("+  maxReplicas: 9"));
    msctl(&ns, &["deploy"]).ok();
    assert_eq!(bounds(&ns, "green"), "2-9");
}

#[test]
#[ignore = "needs the lab: tests/run"]
fn an_autoscaler_of_somebody_else_is_refused_before_the_first_write() {
    let ns = Lab::get().namespace("hpa-foreign", true);
    ns.service("orders", "replicas: 1");
    ns.apply(
        "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {name: theirs}\nspec:\n  \
         scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: orders-blue}\n  minReplicas: 1\n  maxReplicas: 3\n",
    );
    let run = msctl(&ns, &["deploy"]).exits(4);
    assert!(run.stderr.contains("HorizontalPodAutoscaler theirs"), "{}", run.stderr);
    assert_eq!(ns.get(&["deploy,svc,lease", "-o", "name"]).as_deref(), Some(""), "nothing was written");
}

#[test]
#[ignore = "needs the lab: tests/run"]
fn what_a_gitops_tool_owns_is_4_with_the_paths_to_ignore() {
    let ns = Lab::get().namespace("gitops", true);
    ns.service("orders", "replicas: 1");
    msctl(&ns, &["deploy"]).ok();
    let owned = msctl(&ns, &["diff", "--owned"]).ok();
    assert!(
        owned.stdout.contains("/spec/selector") && owned.stdout.contains("/spec/replicas"),
        "{}",
        owned.stdout
    );
    let mark = "argocd.argoproj.io/tracking-id=shop:/Service:x/orders";
    assert!(ns.kubectl(&["annotate", "service/orders", mark]).status.success());
    let before = ns.field("lease/orders-rollout", "{.metadata.resourceVersion}");
    ns.service("orders", "replicas: 1\nconfig: {N: \"2\"}");
    let run = msctl(&ns, &["deploy", "--blue-green"]).exits(4);
    for says in ["Service/orders", "Argo CD", "ignoreDifferences", "/spec/selector"] {
        assert!(run.stderr.contains(says), "{says}: {}", run.stderr);
    }
    assert_eq!(
        ns.field("lease/orders-rollout", "{.metadata.resourceVersion}"),
        before,
        "nothing was written"
    );
    assert!(ns.kubectl(&["annotate", "service/orders", "msctl.dev/shared=true"]).status.success());
    msctl(&ns, &["deploy", "--blue-green"]).ok();
}

#[test]
#[ignore = "needs the lab: tests/run"]
fn a_quota_too_small_for_the_strategy_and_a_limit_range_are_found_by_the_plan() {
    let ns = Lab::get().namespace("room", true);
    ns.service("orders", "replicas: 2");
    msctl(&ns, &["deploy"]).ok();
    ns.apply("apiVersion: v1\nkind: ResourceQuota\nmetadata: {name: small}\nspec: {hard: {pods: \"3\"}}\n");
    until(20, "the quota's status", || (ns.field("quota/small", "{.status.used.pods}") == "2").then_some(()));
    ns.service("orders", "replicas: 2\nconfig: {N: \"2\"}");
    // One more pod at a time fits, two more do not.
    msctl(&ns, &["deploy", "--plan"]).ok();
    for command in [&["deploy", "--plan", "--blue-green"] as &[&str], &["deploy", "--blue-green"]] {
        let run = msctl(&ns, command).exits(1);
        assert!(run.stderr.contains("quota small") && run.stderr.contains("needs 2"), "{}", run.stderr);
    }
    ns.service("orders", "autoscaling: {min: 2, max: 9}\nconfig: {N: \"2\"}");
    let plan = msctl(&ns, &["deploy", "--plan"]).ok();
    assert!(plan.stdout.contains("autoscaling.max"), "{}", plan.stdout);
    ns.apply(
        "apiVersion: v1\nkind: LimitRange\nmetadata: {name: narrow}\nspec: {limits: [{type: Container, max: {memory: 8Mi}}]}\n",
    );
    let run = msctl(&ns, &["deploy", "--plan"]).exits(1);
    assert!(run.stderr.contains("per Container is 8Mi"), "{}", run.stderr);
}

/// As much of KEDA's kind as msctl reads; nothing acts on it here.
const SCALED_OBJECT: &str = "apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: scaledobjects.keda.sh}
spec:
  group: keda.sh
  scope: Namespaced
  names: {kind: ScaledObject, listKind: ScaledObjectList, plural: scaledobjects, singular: scaledobject}
  versions:
  - name: v1alpha1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
";

#[test]
#[ignore = "needs the lab: tests/run"]
fn a_scaled_object_on_a_slot_has_to_be_paused_and_is_never_written() {
    let ns = Lab::get().namespace("keda", true);
    // Left there: another run may be using it.
    ns.apply(SCALED_OBJECT);
    let established = ["wait", "crd/scaledobjects.keda.sh", "--for=condition=Established", "--timeout=30s"];
    assert!(ns.kubectl(&established).status.success());
    ns.service("orders", "replicas: 1");
    ns.apply(
        "apiVersion: keda.sh/v1alpha1\nkind: ScaledObject\nmetadata: {name: queue}\nspec: {scaleTargetRef: {name: orders-blue}, triggers: []}\n",
    );
    let run = msctl(&ns, &["deploy"]).exits(4);
    assert!(run.stderr.contains("ScaledObject queue"), "{}", run.stderr);
    assert_eq!(ns.get(&["deploy,svc,lease", "-o", "name"]).as_deref(), Some(""), "nothing was written");
    // What the hint says helps, to the letter.
    let hint = run.stderr.split('`').find(|part| part.starts_with("kubectl annotate")).expect(&run.stderr);
    let annotate: Vec<&str> = hint.split(' ').skip(1).collect();
    assert!(ns.kubectl(&annotate).status.success(), "{hint}");
    let version = ns.field("scaledobject/queue", "{.metadata.resourceVersion}");
    msctl(&ns, &["deploy"]).ok();
    ns.service("orders", "replicas: 1\nconfig: {N: \"2\"}");
    msctl(&ns, &["deploy", "--blue-green"]).ok();
    assert_eq!(ns.field("scaledobject/queue", "{.metadata.resourceVersion}"), version, "msctl wrote it");
    assert!(
        ns.kubectl(&["annotate", "scaledobject", "queue", "autoscaling.keda.sh/paused-"]).status.success()
    );
    ns.service("orders", "replicas: 1\nconfig: {N: \"3\"}");
    msctl(&ns, &["deploy"]).exits(4);
}
