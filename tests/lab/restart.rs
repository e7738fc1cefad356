//! `rollout restart`: pods go by eviction, one at a time, so that budgets hold.

use crate::harness::{Lab, Namespace, until};

fn pods(ns: &Namespace) -> Vec<String> {
    let all = ns.get(&["pods", "-o", "jsonpath={.items[?(@.status.phase=='Running')].metadata.uid}"]);
    let mut all: Vec<String> = all.unwrap().split(' ').map(str::to_owned).collect();
    all.sort();
    all
}

#[test]
#[ignore = "needs the lab: tests/run"]
fn scenario_21_a_budget_of_all_pods_holds_a_restart_up_until_it_is_gone() {
    let ns = Lab::get().namespace("restart", true);
    let dir = ns.service("orders", "replicas: 2\nrollout: {progressDeadline: 40s}");
    ns.msctl(&["deploy"]).dir(&dir).run().ok();
    let strict = || {
        ns.apply(
            "apiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {name: strict}\nspec: {minAvailable: 2, selector: {matchLabels: {app.kubernetes.io/name: orders}}}\n",
        );
        ns.kubectl(&["wait", "pdb/strict", "--for=jsonpath={.status.currentHealthy}=2", "--timeout=20s"]);
    };
    strict();
    let before = pods(&ns);
    assert_eq!(before.len(), 2, "{before:?}");
    let restart = ns.msctl(&["rollout", "restart"]).dir(&dir).spawn();
    // Beside the slot's own budget the API server refuses with an error; alone, by the budget.
    restart.says("may not be evicted now", 20).says("(try 2)", 20);
    assert!(ns.kubectl(&["delete", "pdb", "orders-blue"]).status.success());
    restart.says("(try 4)", 30);
    assert_eq!(pods(&ns), before, "evicted in spite of the budget");
    assert!(ns.kubectl(&["delete", "pdb", "strict"]).status.success());
    restart.wait().ok();
    until(40, "two other pods alone", || {
        let after = pods(&ns);
        (after.len() == 2 && after.iter().all(|uid| !before.contains(uid))).then_some(())
    });

    strict();
    let late = ns.msctl(&["rollout", "restart", "-o", "json"]).dir(&dir).run().exits(124).json();
    let error = &late["error"];
    assert!(error["message"].as_str().unwrap().contains("may not be evicted now"), "{error}");
    assert_eq!(pods(&ns).len(), 2, "none is missing");
}

/// Where a rollout waits for a person its live pods may be replaced, and it waits on; where one is left it may not.
#[test]
#[ignore = "needs the lab: tests/run"]
fn the_live_pods_of_a_paused_rollout_are_replaced_and_it_stays_where_it_is() {
    let ns = Lab::get().namespace("restart-paused", true);
    let write = |weight: u32, version: u32| {
        let steps = format!("[{{weight: {weight}}}, {{pause: {{}}}}]");
        let rollout = format!("rollout: {{strategy: canary, surge: 1, steps: {steps}}}");
        ns.service("orders", &format!("replicas: 3\nconfig: {{VERSION: \"{version}\"}}\n{rollout}"))
    };
    let of = |slot: &str| {
        let labels = format!("-lapp.kubernetes.io/name=orders,msctl.dev/slot={slot}");
        let names =
            ns.get(&["pods", &labels, "-o", "jsonpath={.items[?(@.status.phase=='Running')].metadata.name}"]);
        names.unwrap()
    };
    let dir = write(34, 1);
    ns.msctl(&["deploy"]).dir(&dir).run().ok();
    write(34, 2);
    ns.msctl(&["deploy"]).dir(&dir).run().exits(6);
    // One that made room for the candidate takes a while to end.
    let two = |but: &str| {
        until(40, "two live pods", || {
            let names = of("blue");
            let fresh = !names.split(' ').any(|name| but.contains(name));
            (names.split(' ').count() == 2 && fresh).then_some(names)
        })
    };
    let (live, candidate) = (two(""), of("green"));
    ns.msctl(&["rollout", "restart"]).dir(&dir).run().ok();
    two(&live);
    assert_eq!(of("green"), candidate);
    let status = ns.msctl(&["rollout", "status", "-o", "json"]).dir(&dir).run().exits(6).json();
    assert_eq!((&status["phase"], &status["step"]["index"]), (&"paused".into(), &2.into()), "{status}");
    ns.msctl(&["rollout", "promote"]).dir(&dir).run().ok();

    write(67, 3);
    ns.msctl(&["deploy"]).dir(&dir).run().exits(6);
    let refused = ns.msctl(&["rollout", "restart", "-o", "json"]).dir(&dir).run().exits(1).json();
    assert!(refused["error"]["message"].as_str().unwrap().contains("too few live pods"), "{refused}");
}
