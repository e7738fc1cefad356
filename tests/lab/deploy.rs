//! `deploy`, `diff` and `delete` on a real node: what a person meets, right and wrong.

use std::time::Duration;

use crate::harness::{Lab, Namespace, Run, V1, V2};

fn orders(ns: &Namespace, extra: &str) -> std::path::PathBuf {
    ns.service("orders", &format!("replicas: 2\n{extra}"))
}

fn msctl(ns: &Namespace, args: &[&str]) -> Run {
    ns.msctl(args).dir(ns.home.path().join("orders")).env("ORDERS_TOKEN", "hunter2").run()
}

#[test]
#[ignore = "needs the lab: tests/run"]
fn a_service_is_deployed_restricted_changed_and_removed() {
    let ns = Lab::get().namespace("deploy", true);
    orders(&ns, "config: {A: x}\nsecrets: {TOKEN: {fromEnv: ORDERS_TOKEN}}");
    let plan = msctl(&ns, &["deploy", "--plan", "-o", "json"]).ok().json();
    assert_eq!(plan["services"][0]["rollout"]["revision"], 1, "{plan}");
    assert_eq!(
        ns.get(&["deploy,svc,cm", "-l", "app.kubernetes.io/name=orders", "-o", "name"]).as_deref(),
        Some("")
    );

    let first = msctl(&ns, &["deploy", "-o", "json"]).ok();
    assert_eq!(first.json()["services"][0]["ended"], "healthy", "{}", first.stdout);
    assert_eq!(ns.field("deploy/orders-blue", "{.status.availableReplicas}"), "2");
    let image = ns.field("deploy/orders-blue", "{.spec.template.spec.containers[0].image}");
    assert!(image.contains("@sha256:"), "{image}");
    let replicas =
        ns.field("deploy/orders-blue", "{.metadata.managedFields[?(@.manager=='msctl')].fieldsV1}");
    assert!(replicas.contains("f:template") && !replicas.contains("f:replicas"), "{replicas}");

    let version = |kind: &str| ns.get(&[kind, "-o", "jsonpath={.items[*].metadata.resourceVersion}"]);
    let all = "deploy,svc,sa,cm,pdb,netpol,secret,lease";
    let before = version(all);
    let again = msctl(&ns, &["deploy", "-o", "json"]).ok().json();
    assert_eq!(again["services"][0]["ended"], "unchanged", "{again}");
    assert_eq!(version(all), before, "a no-op writes nothing");
    msctl(&ns, &["diff"]).ok();

    orders(&ns, "config: {A: z}\nsecrets: {TOKEN: {fromEnv: ORDERS_TOKEN}}");
    let diff = msctl(&ns, &["diff", "-o", "json"]).exits(1);
    assert_eq!(diff.json()["schema"], "msctl.dev/diff/v1");
    assert!(diff.stdout.contains("+  A: z") && !diff.stdout.contains("hunter2"), "{}", diff.stdout);
    let second = msctl(&ns, &["deploy", "-o", "json"]).ok().json();
    assert_eq!(second["services"][0]["revision"], 2, "{second}");

    msctl(&ns, &["delete"]).exits(2);
    msctl(&ns, &["delete", "--yes"]).ok();
    let left = ns.get(&[&format!("{all},pods"), "-l", "app.kubernetes.io/name=orders", "-o", "name"]);
    assert_eq!(left.as_deref(), Some(""), "nothing is left");
}

#[test]
#[ignore = "needs the lab: tests/run"]
fn a_no_op_is_eight_requests() {
    let ns = Lab::get().namespace("deploy-noop", false);
    orders(&ns, "config: {A: x}\nautoscaling: {min: 2, max: 3}");
    msctl(&ns, &["deploy"]).ok();
    let run = msctl(&ns, &["deploy", "-vvv"]).ok();
    let requests: Vec<&str> = run.stderr.lines().filter(|l| l.contains("://")).collect();
    assert!(requests.len() <= 8, "{requests:#?}");
    assert!(requests.iter().all(|l| l.starts_with("GET ")), "{requests:#?}");
}

#[test]
#[ignore = "needs the lab: tests/run"]
fn fields_and_objects_of_others_are_4_and_named() {
    let ns = Lab::get().namespace("deploy-owned", false);
    orders(&ns, "");
    msctl(&ns, &["deploy"]).ok();
    let patch = ["patch", "pdb", "orders-blue", "--field-manager=someone", "--type=merge", "-p"];
    assert!(
        ns.kubectl(&[&patch as &[&str], &[r#"{"spec":{"maxUnavailable":2}}"#]].concat()).status.success()
    );
    for command in ["deploy", "diff"] {
        let run = msctl(&ns, &[command]).exits(4);
        assert!(run.stderr.contains("someone (.spec.maxUnavailable)"), "{}", run.stderr);
    }
    assert_eq!(ns.field("pdb/orders-blue", "{.spec.maxUnavailable}"), "2", "not taken by force");

    let other = Lab::get().namespace("deploy-foreign", false);
    other.apply("apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: orders}\n");
    orders(&other, "");
    let run = msctl(&other, &["deploy"]).exits(4);
    assert!(run.stderr.contains("ServiceAccount/orders is there already"), "{}", run.stderr);
    assert_eq!(other.get(&["deploy,svc,netpol", "-o", "name"]).as_deref(), Some(""), "nothing was written");
}

#[test]
#[ignore = "needs the lab: tests/run"]
fn quota_rights_and_namespace_are_looked_at_before_the_first_write() {
    let ns = Lab::get().namespace("deploy-quota", false);
    ns.apply("apiVersion: v1\nkind: ResourceQuota\nmetadata: {name: small}\nspec: {hard: {pods: \"1\"}}\n");
    crate::harness::until(20, "the quota's status", || {
        Some(ns.field("quota/small", "{.status.hard.pods}")).filter(|v| v == "1")
    });
    orders(&ns, "");
    let run = msctl(&ns, &["deploy"]).exits(1);
    assert!(run.stderr.contains("quota small") && run.stderr.contains("needs 2"), "{}", run.stderr);
    let none = msctl(&ns, &["deploy", "-n", "no-such-namespace"]).exits(1);
    assert!(none.stderr.contains("no namespace no-such-namespace"), "{}", none.stderr);

    let few = Lab::get().namespace("deploy-rights", false);
    orders(&few, "");
    let verb = "--verb=get,list,watch";
    let role = ["create", "role", "reader", verb, "--resource=pods,deployments,services,configmaps"];
    assert!(few.kubectl(&role).status.success());
    assert!(few.kubectl(&["create", "serviceaccount", "dep"]).status.success());
    let subject = format!("--serviceaccount={}:dep", few.name);
    assert!(few.kubectl(&["create", "rolebinding", "reader", "--role=reader", &subject]).status.success());
    let token = few.kubectl(&["create", "token", "dep"]).stdout;
    let token = String::from_utf8(token).expect("a token");
    let config = few.kubeconfig().display().to_string();
    let credentials = ["--kubeconfig", &config, "config", "set-credentials", "dep", "--token", token.trim()];
    assert!(few.lab.kubectl(&credentials).status.success());
    let context = ["--kubeconfig", &config, "config", "set-context", "lab", "--user", "dep"];
    assert!(few.lab.kubectl(&context).status.success());
    let run = msctl(&few, &["deploy", "-o", "json"]).exits(1);
    let error = &run.json()["error"];
    assert_eq!(error["reason"], "forbidden", "{error}");
    assert!(error["message"].as_str().is_some_and(|m| m.contains("create,patch,delete deployments.apps")));
    assert_eq!(few.get(&["deploy,svc,netpol", "-o", "name"]).as_deref(), Some(""), "nothing was written");
}

#[test]
#[ignore = "needs the lab: tests/run"]
fn a_bad_version_is_told_soon_with_its_cause_and_the_old_one_serves() {
    let ns = Lab::get().namespace("deploy-bad", true);
    orders(&ns, "");
    msctl(&ns, &["deploy"]).ok();
    let serves = || assert_eq!(ns.field("deploy/orders-blue", "{.status.availableReplicas}"), "2");
    let gone = format!("{}@sha256:{}", V2.split(':').take(2).collect::<Vec<_>>().join(":"), "0".repeat(64));
    for (extra, args, code, says) in [
        ("config: {FAIL: crash}", &["deploy"] as &[&str], 5, "FAIL=crash"),
        ("", &["deploy", "--image", &gone], 5, "not found"),
        ("secrets: {T: {fromSecret: vault/key}}", &["deploy"], 5, "secret \"vault\" not found"),
        ("config: {FAIL: unready}", &["deploy", "--timeout", "6s"], 124, "statuscode: 503"),
    ] {
        orders(&ns, extra);
        let run = msctl(&ns, args).exits(code);
        assert!(run.stderr.contains(says), "{extra}: {}", run.stderr);
        assert!(run.took < Duration::from_secs(20), "{extra}: took {:?}", run.took);
        serves();
    }
    msctl(&ns, &["rollout", "abort"]).ok();
    orders(&ns, "");
    // The live version again, with a change beside it: how the refused one ended is not how this ends.
    orders(&ns, "rollout: {progressDeadline: 5m}");
    let same = msctl(&ns, &["deploy", "--image", V1, "-o", "json"]).ok().json();
    assert_eq!(
        (&same["services"][0]["ended"], &same["services"][0]["revision"]),
        (&"healthy".into(), &1.into())
    );
}

#[test]
#[ignore = "needs the lab: tests/run"]
fn kubectl_reads_our_yaml_as_it_was_meant() {
    let ns = Lab::get().namespace("deploy-yaml", false);
    let words = [
        "yes",
        "on",
        "No",
        "y",
        "012",
        "0o14",
        "1e3",
        "0x1f",
        "1_000",
        "~",
        "null",
        "",
        " a",
        "a: b",
        "- a",
        "#x",
        "12:30:45",
        "2026-01-01",
        ".inf",
        "a#b",
        "@a",
        "line\nline",
        "ü",
        "=",
        "<<",
        "a:",
        "10m",
        "{}",
        "NaN",
        "+1",
    ];
    let data: serde_json::Map<String, serde_json::Value> =
        words.iter().enumerate().map(|(at, word)| (format!("k{at}"), (*word).into())).collect();
    let object = serde_json::json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "words"}, "data": data,
    });
    ns.apply(&msctl::manifest::to_yaml(&object));
    let read = ns.get(&["configmap", "words", "-o", "json"]).expect("the ConfigMap");
    let read: serde_json::Value = serde_json::from_str(&read).expect("JSON");
    assert_eq!(read["data"], object["data"]);
}
