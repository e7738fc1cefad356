//! A slot's HorizontalPodAutoscaler: its bounds as read, and the patch that holds or frees it. Pure.

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use kube::ResourceExt;
use serde_json::{Value, json};

use crate::manifest::names::HELD;
use crate::rollout::Scaler;

const ANNOTATION: &str = "/metadata/annotations/msctl.dev~1held";
const DISABLED: &str = "Disabled";

fn policy(object: &HorizontalPodAutoscaler) -> Option<&str> {
    object.spec.as_ref()?.behavior.as_ref()?.scale_down.as_ref()?.select_policy.as_deref()
}

pub fn read(object: &HorizontalPodAutoscaler) -> Option<Scaler> {
    let spec = object.spec.as_ref()?;
    let held = object.annotations().contains_key(HELD);
    let count = |n: i32| u32::try_from(n).unwrap_or(0);
    Some(Scaler {
        min: count(spec.min_replicas.unwrap_or(1)),
        max: count(spec.max_replicas),
        shrinks: !(held && policy(object) == Some(DISABLED)),
        held,
    })
}

/// The JSON Patch that makes `object` keep to `wanted`. What it had for scaling down is kept in an annotation by the
/// same patch, so that no moment lacks it.
pub fn operations(object: &HorizontalPodAutoscaler, wanted: Scaler) -> Vec<Value> {
    let mut operations = vec![
        json!({"op": "add", "path": "/spec/minReplicas", "value": wanted.min}),
        json!({"op": "add", "path": "/spec/maxReplicas", "value": wanted.max}),
    ];
    let kept = object.annotations().get(HELD).map(String::as_str);
    let before = kept.or_else(|| policy(object)).unwrap_or_default();
    if wanted.held && kept.is_none() {
        operations.push(json!({"op": "add", "path": ANNOTATION, "value": before}));
    }
    let disabled = kept.is_some() && policy(object) == Some(DISABLED);
    let behavior = object.spec.as_ref().and_then(|s| s.behavior.as_ref());
    let of_scaling_down = |value: &str| match behavior.map(|b| b.scale_down.is_some()) {
        Some(true) => json!({"op": "add", "path": "/spec/behavior/scaleDown/selectPolicy", "value": value}),
        Some(false) => {
            json!({"op": "add", "path": "/spec/behavior/scaleDown", "value": {"selectPolicy": value}})
        }
        None => {
            json!({"op": "add", "path": "/spec/behavior", "value": {"scaleDown": {"selectPolicy": value}}})
        }
    };
    match (wanted.shrinks, disabled) {
        (false, false) => operations.push(of_scaling_down(DISABLED)),
        (true, true) if before.is_empty() => {
            operations.push(json!({"op": "remove", "path": "/spec/behavior"}))
        }
        (true, true) => operations.push(of_scaling_down(before)),
        (false, true) | (true, false) => {}
    }
    if !wanted.held && kept.is_some() {
        operations.push(json!({"op": "remove", "path": ANNOTATION}));
    }
    operations
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scaler(behavior: Value, held: Option<&str>) -> HorizontalPodAutoscaler {
        let mut object = json!({
            "metadata": {"name": "orders-blue", "annotations": {"msctl.dev/epoch": "1"}},
            "spec": {"minReplicas": 2, "maxReplicas": 8, "scaleTargetRef": {"kind": "Deployment", "name": "orders-blue"}},
        });
        if !behavior.is_null() {
            object["spec"]["behavior"] = behavior;
        }
        if let Some(held) = held {
            object["metadata"]["annotations"][HELD] = held.into();
        }
        serde_json::from_value(object).expect("an autoscaler")
    }

    /// Applies the operations as the server would.
    fn after(object: &HorizontalPodAutoscaler, wanted: Scaler) -> HorizontalPodAutoscaler {
        let mut value = serde_json::to_value(object).expect("JSON");
        for operation in operations(object, wanted) {
            let path = operation["path"].as_str().expect("a path");
            let (parent, key) = path.rsplit_once('/').expect("a parent");
            let parent = value.pointer_mut(parent).expect(path).as_object_mut().expect("an object");
            match operation["op"].as_str() {
                Some("add") => parent.insert(key.replace("~1", "/"), operation["value"].clone()),
                _ => Some(parent.shift_remove(&key.replace("~1", "/")).expect("there to remove")),
            };
        }
        serde_json::from_value(value).expect("an autoscaler")
    }

    #[test]
    fn what_is_held_comes_back_as_it_was() {
        let own = Scaler::free(2, 8);
        for behavior in [
            Value::Null,
            json!({"scaleDown": {"selectPolicy": "Min"}}),
            json!({"scaleUp": {"selectPolicy": "Max"}}),
            json!({"scaleDown": {"selectPolicy": "Disabled"}}),
        ] {
            let first = scaler(behavior.clone(), None);
            assert_eq!(read(&first), Some(own), "{behavior}");
            let stays = Scaler { shrinks: false, held: true, ..own };
            let pinned = Scaler { min: 3, max: 3, shrinks: true, held: true };
            let held = after(&first, stays);
            assert_eq!(read(&held), Some(stays), "{behavior}");
            assert_eq!(after(&held, own).spec.map(|s| s.min_replicas), Some(Some(2)));
            assert_eq!(policy(&after(&held, own)), policy(&first), "{behavior}");
            if policy(&first) != Some(DISABLED) {
                let both = after(&held, pinned);
                assert_eq!(read(&both), Some(pinned), "{behavior}");
                assert_eq!(read(&after(&both, own)), Some(own), "{behavior}");
            }
        }
    }
}
