//! Migrations as Jobs of a real cluster: before the first pod, never twice, and nothing is lost with the driver.

use std::time::Duration;

use crate::harness::{Lab, Namespace, V1, V2, until};

fn service(ns: &Namespace, image: &str, expand: &str, contract: &str) -> std::path::PathBuf {
    ns.service(
        "orders",
        &format!(
            "image: {image}\nreplicas: 2\nconfig: {{LEVEL: info}}\nrollout: {{scaleDownDelay: 0s, rollbackWindow: 1}}\n\
             migrations: {{expand: {expand}, contract: {contract}}}"
        ),
    )
}

const GOOD: &str = "[/labtool, sleep, 1s]";

#[test]
#[ignore = "needs the lab: tests/run"]
fn expand_ends_before_the_first_pod_and_contract_closes_it_a_deploy_later() {
    let ns = Lab::get().namespace("migrations", true);
    let ns = &ns;
    let dir = service(ns, V1, GOOD, GOOD);
    let run = ns.msctl(&["deploy"]).dir(&dir).run().ok();
    assert!(run.stderr.contains("the schema has what revision 1 needs"), "{}", run.stderr);
    let ended = ns.field("job/orders-r1-expand", "{.status.completionTime}");
    let pods = ns.get(&[
        "pods",
        "-l",
        "msctl.dev/slot=blue",
        "-o",
        "jsonpath={.items[*].metadata.creationTimestamp}",
    ]);
    for born in pods.unwrap().split(' ') {
        assert!(!ended.is_empty() && born >= ended.as_str(), "a pod of {born}, the migration ended {ended}");
    }
    let from =
        ns.field("job/orders-r1-expand", "{.spec.template.spec.containers[0].envFrom[0].configMapRef.name}");
    assert!(from.starts_with("orders-config-"), "its own configuration: {from:?}");
    let endpoints =
        ns.get(&["endpointslices", "-o", "jsonpath={.items[*].endpoints[*].targetRef.name}"]).unwrap();
    assert!(!endpoints.contains("expand"), "no Service leads to it: {endpoints}");

    // One that fails: nothing of the version starts, its log is told, the Job is kept.
    let dir = service(ns, V2, "[/labtool, nonsense]", GOOD);
    let run = ns.msctl(&["deploy", "--canary"]).dir(&dir).run().exits(5);
    for told in ["it exited with 2", "labtool backend", "revision 1 serves"] {
        assert!(run.stderr.contains(told), "{told}: {}", run.stderr);
    }
    assert_eq!(ns.get(&["pods", "-l", "msctl.dev/slot=green", "-o", "name"]).unwrap(), "");
    assert_eq!(ns.field("job/orders-r2-expand", "{.status.failed}"), "1");
    // The next run is not blocked by it, and revision 1 needs nothing that was before.
    let dir = service(ns, V2, GOOD, GOOD);
    let run = ns.msctl(&["deploy", "--canary"]).dir(&dir).run().ok();
    let lost = "the schema has lost what only revisions before 1 needed";
    assert!(run.stderr.contains(lost), "{}", run.stderr);
    assert_eq!(ns.field("job/orders-r1-contract", "{.status.succeeded}"), "1");

    let dir = ns.service(
        "orders",
        &format!(
            "image: {V2}\nreplicas: 2\nconfig: {{LEVEL: debug}}\n\
        rollout: {{scaleDownDelay: 0s, rollbackWindow: 1}}\nmigrations: {{expand: {GOOD}, contract: {GOOD}}}"
        ),
    );
    ns.msctl(&["deploy", "--rolling"]).dir(&dir).run().ok();
    assert_eq!(ns.field("job/orders-r2-contract", "{.status.succeeded}"), "1");
    let undo = ns.msctl(&["rollout", "undo", "--to", "1"]).dir(&dir).run().exits(1);
    assert!(undo.stderr.contains("needs a schema that a contract took away"), "{}", undo.stderr);
    let undo = ns.msctl(&["rollout", "undo"]).dir(&dir).run().ok();
    assert!(undo.stderr.contains("with revision 2 come back: LEVEL=info (is debug)"), "{}", undo.stderr);
    ns.msctl(&["delete", "--yes"]).dir(&dir).run().ok();
    until(60, "the Jobs go with the service", || {
        ns.get(&["jobs,pods", "-o", "name"]).filter(String::is_empty)
    });
}

#[test]
#[ignore = "needs the lab: tests/run"]
fn a_driver_killed_in_a_migration_is_followed_by_one_that_waits_for_the_same_job() {
    let ns = Lab::get().namespace("migrations-kill", true);
    let ns = &ns;
    let dir = service(ns, V1, "[/labtool, sleep, 8s]", GOOD);
    // What a driver made that died before it let it go holds up nobody.
    ns.apply(
        "{apiVersion: batch/v1, kind: Job, metadata: {name: orders-r9-expand, labels: {app.kubernetes.io/name: orders, \
         app.kubernetes.io/managed-by: msctl, msctl.dev/migration: expand}}, spec: {suspend: true, template: {spec: \
         {restartPolicy: Never, containers: [{name: app, image: nowhere}]}}}}",
    );
    let deploy = ns.msctl(&["deploy"]).dir(&dir).spawn();
    let active = || Some(ns.field("job/orders-r1-expand", "{.status.ready}")).filter(|n| n == "1");
    until(60, "the migration runs", active);
    let uid = ns.field("job/orders-r1-expand", "{.metadata.uid}");
    deploy.signal("KILL");
    drop(deploy.wait());
    let status = ns.msctl(&["rollout", "status", "-o", "json"]).dir(&dir).run().ok().json();
    assert_eq!(status["reason"], "migrating", "{status:#}");
    ns.msctl(&["rollout", "attach"]).dir(&dir).limit(Duration::from_secs(120)).run().ok();
    assert_eq!(ns.field("job/orders-r1-expand", "{.metadata.uid}"), uid, "the same, not another");
    assert_eq!(ns.field("deploy/orders-blue", "{.status.availableReplicas}"), "2");
}

#[test]
#[ignore = "needs the lab: tests/run"]
fn a_migration_that_cannot_start_is_told_with_its_cause_and_starts_no_more() {
    let ns = Lab::get().namespace("migrations-pull", true);
    let ns = &ns;
    let dir = ns.service(
        "orders",
        "image: localhost:5000/no-such:image@sha256:0000000000000000000000000000000000000000000000000000000000000000\n\
         rollout: {progressDeadline: 25s}\nmigrations: {expand: [/labtool, sleep, 1s]}",
    );
    let run = ns.msctl(&["deploy"]).dir(&dir).run().exits(1);
    for told in ["did not start within 25 s", "image-pull", "migration expand: "] {
        assert!(run.stderr.contains(told), "{told}: {}", run.stderr);
    }
    until(20, "it is taken away", || ns.get(&["jobs", "-o", "name"]).filter(String::is_empty));
}
