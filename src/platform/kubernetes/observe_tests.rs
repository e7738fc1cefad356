//! Every transition a rollout waits for, from objects as the API gives them.

use serde_json::{Value, json};

use super::*;

fn now() -> Timestamp {
    "2026-01-01T10:00:00Z".parse().unwrap()
}

fn deployment(slot: &str, replicas: u32, generation: (i64, i64), revision: u32) -> Arc<Deployment> {
    let labels = json!({names::NAME: "orders", names::SLOT: slot});
    let mut template = labels.clone();
    template[names::REVISION] = revision.to_string().into();
    let value = json!({
        "metadata": {"name": format!("orders-{slot}"), "labels": labels, "generation": generation.0},
        "spec": {"replicas": replicas, "selector": {}, "minReadySeconds": 0,
                 "template": {"metadata": {"labels": template}}},
        "status": {"observedGeneration": generation.1,
                   "conditions": [{"type": "Progressing", "status": "True", "lastUpdateTime": "2026-01-01T09:00:00Z"}]},
    });
    Arc::new(serde_json::from_value(value).unwrap())
}

fn pod(name: &str, slot: &str, revision: u32, more: Value) -> Arc<Pod> {
    let mut value = json!({
        "metadata": {"name": name, "creationTimestamp": "2026-01-01T09:30:00Z",
            "labels": {names::NAME: "orders", names::SLOT: slot, names::REVISION: revision.to_string()}},
        "status": {"phase": "Running", "conditions": [
            {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T09:59:50Z"}],
            "containerStatuses": [{"name": "app", "image": "i", "imageID": "i", "ready": true, "restartCount": 1}]},
    });
    for (pointer, with) in more.as_object().cloned().unwrap_or_default() {
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        value.pointer_mut(parent).unwrap()[key] = with;
    }
    Arc::new(serde_json::from_value(value).unwrap())
}

fn unready() -> Value {
    json!({"/status/conditions": [{"type": "Ready", "status": "False"}]})
}

fn going() -> Value {
    json!({"/metadata/deletionTimestamp": "2026-01-01T09:59:59Z"})
}

fn seen(deployments: Vec<Arc<Deployment>>, pods: Vec<Arc<Pod>>) -> Seen {
    Seen {
        adopted: None,
        now: now(),
        deployments,
        pods,
        service: None,
        slices: Vec::new(),
        route: None,
        state_version: None,
        terminating: false,
    }
}

fn blue(deployment: Arc<Deployment>, pods: Vec<Arc<Pod>>) -> SlotObservation {
    observation("orders", &seen(vec![deployment], pods)).slots.remove(&Slot::Blue).unwrap()
}

#[test]
fn complete_only_when_all_pods_are_of_the_present_template() {
    let both = || vec![pod("a", "blue", 2, json!({})), pod("b", "blue", 2, json!({}))];
    let old = || vec![pod("a", "blue", 2, json!({})), pod("b", "blue", 1, json!({}))];
    let extra = || [both(), vec![pod("c", "blue", 1, json!({}))]].concat();
    let failed = || [both(), vec![pod("c", "blue", 2, json!({"/status/phase": "Failed"}))]].concat();
    let foreign = || [both(), vec![pod("c", "green", 2, json!({}))]].concat();
    let leaving = || [both(), vec![pod("c", "blue", 1, going())]].concat();
    for (what, generation, pods, expected) in [
        ("all new", (3, 3), both(), true),
        ("status of an older generation", (4, 3), both(), false),
        ("one of the old template", (3, 3), old(), false),
        ("an old one too many", (3, 3), extra(), false),
        ("an evicted one beside them", (3, 3), failed(), true),
        ("the other slot's pod", (3, 3), foreign(), true),
        ("an old one terminating", (3, 3), leaving(), true),
        ("one missing", (3, 3), both()[..1].to_vec(), false),
        ("one not ready", (3, 3), vec![both().remove(0), pod("b", "blue", 2, unready())], false),
    ] {
        let slot = blue(deployment("blue", 2, generation, 2), pods);
        assert_eq!(slot.complete(2), expected, "{what}: {slot:?}");
    }
}

#[test]
fn settled_only_when_the_deployment_says_so_too() {
    for (available, expected) in [(Some(2), true), (Some(1), false), (None, false)] {
        let mut deployment = Arc::unwrap_or_clone(deployment("blue", 2, (3, 3), 2));
        let status = deployment.status.as_mut().unwrap();
        (status.replicas, status.updated_replicas, status.available_replicas) = (Some(2), Some(2), available);
        let pods = vec![pod("a", "blue", 2, json!({})), pod("b", "blue", 2, json!({}))];
        let slot = blue(Arc::new(deployment), pods);
        assert!(slot.complete(2));
        assert_eq!(slot.settled(2), expected, "{available:?}: {slot:?}");
    }
}

#[test]
fn counts_tell_templates_apart() {
    let pods = vec![
        pod("a", "blue", 1, json!({})),
        pod("b", "blue", 2, json!({})),
        pod("c", "blue", 2, unready()),
        pod("d", "blue", 1, going()),
    ];
    let slot = blue(deployment("blue", 3, (1, 1), 2), pods);
    assert_eq!(
        (slot.revision, slot.desired, slot.replicas, slot.updated, slot.ready, slot.available),
        (2, 3, 3, 2, 2, 2)
    );
    assert_eq!((slot.updated_available, slot.terminating, slot.restarts), (1, 1, 2));
    assert_eq!(slot.progressed, Some("2026-01-01T09:59:50Z".parse().unwrap()));
}

#[test]
fn available_is_ready_for_long_enough() {
    for (seconds, expected) in [(0, 1), (10, 1), (11, 0)] {
        let mut deployment = Arc::unwrap_or_clone(deployment("blue", 1, (1, 1), 2));
        deployment.spec.as_mut().unwrap().min_ready_seconds = Some(seconds);
        let slot = blue(Arc::new(deployment), vec![pod("a", "blue", 2, json!({}))]);
        assert_eq!((slot.ready, slot.available), (1, expected), "{seconds} s");
    }
}

#[test]
fn a_slot_is_empty_only_without_terminating_pods() {
    let zero = || deployment("blue", 0, (2, 2), 2);
    assert!(blue(zero(), vec![]).empty());
    assert!(!blue(zero(), vec![pod("a", "blue", 2, going())]).empty());
    assert!(!blue(deployment("blue", 0, (2, 1), 2), vec![]).empty(), "not acted on yet");
}

fn slice(service: &str, pods: &[&str], ready: bool) -> Arc<EndpointSlice> {
    let endpoint = |pod: &&str| json!({"addresses": ["10.0.0.1"], "conditions": {"ready": ready}, "targetRef": {"kind": "Pod", "name": pod}});
    let endpoints: Vec<Value> = pods.iter().map(endpoint).collect();
    let slice = json!({"metadata": {"labels": {names::SLICE_OF: service}}, "addressType": "IPv4", "endpoints": endpoints});
    Arc::new(serde_json::from_value(slice).unwrap())
}

#[test]
fn only_ready_endpoints_of_the_slots_own_service_lead_to_a_pod() {
    let pods = || {
        vec![pod("a", "blue", 1, json!({})), pod("b", "blue", 1, json!({})), pod("c", "blue", 1, unready())]
    };
    for (slices, led_to) in [
        (vec![], 0),
        (vec![slice("orders", &["a", "b"], true)], 0),
        (vec![slice("orders-green", &["a", "b"], true)], 0),
        (vec![slice("orders-blue", &["a", "b"], false)], 0),
        (vec![slice("orders-blue", &["a"], true), slice("orders-blue", &["a", "c", "gone"], true)], 1),
        (vec![slice("orders-blue", &["a", "b", "c"], true)], 2),
    ] {
        let mut seen = seen(vec![deployment("blue", 3, (1, 1), 1)], pods());
        seen.slices = slices;
        let slot = observation("orders", &seen).slots.remove(&Slot::Blue).unwrap();
        assert_eq!((slot.updated_available, slot.led_to), (2, led_to));
    }
}

#[test]
fn the_public_service_says_who_is_reached() {
    let service = |selector: Value| -> Arc<Service> {
        Arc::new(serde_json::from_value(json!({"spec": {"selector": selector}})).unwrap())
    };
    for (selector, expected) in [
        (json!({names::NAME: "orders"}), Some(Selection::Both)),
        (json!({names::NAME: "orders", names::SLOT: "green"}), Some(Selection::Green)),
        (json!({names::NAME: "orders", names::SLOT: "canary"}), None),
    ] {
        let pods = vec![
            pod("a", "blue", 1, going()),
            pod("b", "blue", 1, json!({})),
            pod("c", "blue", 1, json!({})),
        ];
        let mut seen = seen(vec![deployment("blue", 2, (1, 1), 1)], pods);
        seen.service = Some(service(selector));
        seen.slices = vec![slice("orders", &["a"], false), slice("orders", &["b", "elsewhere"], false)];
        let observation = observation("orders", &seen);
        assert_eq!(observation.selection, expected);
        assert_eq!(observation.slots[&Slot::Blue].in_public, 2, "terminating ones too, over all slices");
    }
}
