//! What was seen before and after, and whether that is a pod's own failure.

use serde_json::{Value, json};

use super::*;
use crate::manifest::names;

fn deployment(replicas: u32) -> Deployment {
    let template = json!({"metadata": {"labels": {names::REVISION: "2"}}});
    serde_json::from_value(
        json!({"metadata": {}, "spec": {"replicas": replicas, "selector": {}, "template": template}}),
    )
    .unwrap()
}

/// `name`, or `name?` for one that is not ready, or `name:template`.
fn pod(text: &str, more: &Value) -> Arc<Pod> {
    let (name, template) = text.split_once(':').unwrap_or((text, "t1"));
    let ready = if name.ends_with('?') { "False" } else { "True" };
    let name = name.trim_end_matches('?');
    let made = if template == "t1" { "2026-01-01T09:00:00Z" } else { "2026-01-01T09:30:00Z" };
    let mut pod = json!({
        "metadata": {"name": name, "uid": name, "creationTimestamp": made,
            "labels": {names::REVISION: "2", TEMPLATE: template}},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": ready}]},
    });
    for (pointer, with) in more.as_object().cloned().unwrap_or_default() {
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        match &mut pod.pointer_mut(parent).unwrap()[key] {
            Value::Array(list) => list.push(with),
            other => *other = with,
        }
    }
    Arc::new(serde_json::from_value(pod).unwrap())
}

/// Seconds, the wanted number, the pods that are well, and those that are not.
type Seen = (i64, u32, &'static [&'static str], Vec<Arc<Pod>>);

fn lost(story: Vec<Seen>) -> Vec<String> {
    let mut memory = Memory::default();
    let mut lost = Vec::new();
    for (second, desired, well, mut pods) in story {
        pods.extend(well.iter().map(|p| pod(p, &Value::Null)));
        let now = Timestamp::from_second(1_000_000 + second).unwrap();
        lost = memory.follow(&deployment(desired), &pods, now).to_vec();
    }
    lost
}

fn going(name: &str) -> Arc<Pod> {
    pod(name, &json!({"/metadata/deletionTimestamp": "2026-01-01T10:00:00Z"}))
}

fn disrupted(name: &str, reason: &str) -> Arc<Pod> {
    let condition = json!({"type": DISRUPTION, "status": "True", "reason": reason});
    pod(
        name,
        &json!({"/metadata/deletionTimestamp": "2026-01-01T10:00:00Z", "/status/conditions": condition}),
    )
}

fn failed(name: &str, reason: &str, condition: bool) -> Arc<Pod> {
    let mut more =
        json!({"/status/phase": "Failed", "/status/reason": reason, "/status/message": "said why"});
    if condition {
        more["/status/conditions"] =
            json!({"type": DISRUPTION, "status": "True", "reason": "TerminationByKubelet"});
    }
    pod(name, &more)
}

#[test]
fn what_nobody_asked_for_is_a_failure() {
    let both: Seen = (0, 2, &["a", "b"], vec![]);
    let rows: Vec<(&str, Vec<Seen>, usize)> = vec![
        ("all is well", vec![both.clone(), (9, 2, &["a", "b"], vec![])], 0),
        (
            "deleted, and replaced",
            vec![both.clone(), (1, 2, &["b", "c"], vec![going("a")]), (4, 2, &["b", "c"], vec![])],
            1,
        ),
        (
            "deleted by force",
            vec![both.clone(), (1, 2, &["b", "c?"], vec![]), (4, 2, &["b", "c"], vec![])],
            1,
        ),
        ("both", vec![both.clone(), (1, 2, &["c?"], vec![going("a")]), (4, 2, &["c", "d"], vec![])], 2),
        ("too early to say", vec![both.clone(), (1, 2, &["b"], vec![going("a")]), (2, 2, &["b"], vec![])], 0),
        (
            "never ready",
            vec![(0, 2, &["a?", "b"], vec![]), (1, 2, &["b"], vec![]), (4, 2, &["b"], vec![])],
            0,
        ),
        (
            "once ready",
            vec![both.clone(), (1, 2, &["a?", "b"], vec![]), (2, 2, &["b"], vec![]), (5, 2, &["b"], vec![])],
            1,
        ),
        (
            "evicted by a node without memory",
            vec![both.clone(), (1, 2, &["b"], vec![failed("a", "Evicted", true)])],
            1,
        ),
        (
            "and told once",
            vec![
                both.clone(),
                (1, 2, &["b"], vec![failed("a", "Evicted", true)]),
                (9, 2, &["b", "c"], vec![failed("a", "Evicted", true)]),
                (99, 2, &["b", "c"], vec![]),
            ],
            1,
        ),
        (
            "its node is shut down",
            vec![both.clone(), (1, 2, &["b"], vec![failed("a", "Terminated", true)])],
            0,
        ),
        (
            "it ended otherwise",
            vec![both.clone(), (1, 2, &["b"], vec![failed("a", "UnexpectedAdmissionError", false)])],
            1,
        ),
        ("scaled down", vec![both.clone(), (1, 1, &["b"], vec![going("a")]), (9, 1, &["b"], vec![])], 0),
        (
            "scaled down, and the number is seen late",
            vec![
                both.clone(),
                (1, 2, &["b"], vec![going("a")]),
                (2, 1, &["b"], vec![]),
                (9, 1, &["b"], vec![]),
            ],
            0,
        ),
        (
            "scaled down by one, two go",
            vec![both.clone(), (1, 1, &[], vec![going("a"), going("b")]), (4, 1, &["c"], vec![])],
            1,
        ),
        (
            "scaled down, the one that is not ready goes",
            vec![
                (0, 3, &["a", "b", "c?"], vec![]),
                (1, 2, &["a", "b"], vec![]),
                (4, 2, &["a"], vec![]),
                (9, 2, &["a"], vec![]),
            ],
            1,
        ),
        (
            "grown just before",
            vec![
                (0, 1, &["a"], vec![]),
                (1, 3, &["a", "b", "c"], vec![]),
                (2, 3, &["b", "c"], vec![]),
                (5, 3, &["b", "c"], vec![]),
            ],
            1,
        ),
        (
            "emptied",
            vec![
                both.clone(),
                (1, 0, &["a", "b"], vec![]),
                (20, 0, &[], vec![going("a"), going("b")]),
                (99, 0, &[], vec![]),
            ],
            0,
        ),
        (
            "a template replaces another",
            vec![both.clone(), (1, 2, &["b", "n:t2"], vec![]), (9, 2, &["n:t2", "m:t2"], vec![])],
            0,
        ),
    ];
    for (what, story, expected) in rows {
        let lost = lost(story);
        assert_eq!(lost.len(), expected, "{what}: {lost:?}");
    }
}

#[test]
fn who_asks_by_the_api_is_known_by_the_condition() {
    for reason in [
        "EvictionByEvictionAPI",
        "PreemptionByScheduler",
        "DeletionByTaintManager",
        "DeletionByPodGC",
        "TerminationByKubelet",
    ] {
        let story = vec![
            (0, 2, &["a", "b"][..], vec![]),
            (1, 2, &["b", "c"][..], vec![disrupted("a", reason)]),
            (9, 2, &["b", "c"][..], vec![]),
        ];
        assert_eq!(lost(story), Vec::<String>::new(), "{reason}");
    }
}

#[test]
fn it_is_told_in_words() {
    let told = |gone: Vec<Arc<Pod>>| {
        lost(vec![(0, 2, &["a", "b"], vec![]), (1, 2, &["b"], gone), (9, 2, &["b"], vec![])]).remove(0)
    };
    assert_eq!(told(vec![going("a")]), "pod a was deleted, and nobody is known to have asked for it");
    assert_eq!(told(vec![]), "pod a is gone, and nobody is known to have asked for it");
    assert_eq!(told(vec![failed("a", "Evicted", true)]), "pod a was evicted by its node: said why");
}

#[test]
fn another_revision_in_the_slot_is_another_matter() {
    let mut memory = Memory::default();
    let at = |second| Timestamp::from_second(second).unwrap();
    memory.follow(&deployment(1), &[pod("a", &Value::Null)], at(0));
    let mut next = deployment(1);
    let template = &mut next.spec.as_mut().unwrap().template;
    template.metadata.as_mut().unwrap().labels.as_mut().unwrap().insert(names::REVISION.into(), "3".into());
    assert!(memory.follow(&next, &[], at(1)).is_empty());
    assert!(memory.follow(&next, &[], at(9)).is_empty());
}
