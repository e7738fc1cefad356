//! Who owns which field. A new object is applied whole, then the fields that rollouts change pass from `msctl` to
//! `msctl-rollout`, so that a later apply without them leaves them alone. (Left with `msctl`, an apply without
//! `replicas` would reset them to 1; made by POST, every field would be another manager's.) After a take-over the epoch
//! passes too: left with `msctl`, a stale apply by the driver before would lower it and meet no conflict. Pure.

use serde_json::{Value, json};

use crate::manifest::names::{EPOCH, MANAGER, ROLLOUT_MANAGER};
use crate::manifest::rollout_fields;

/// The managed fields as they should be; None when they are.
pub fn settled(object: &Value) -> Option<Vec<Value>> {
    let entries = object["metadata"]["managedFields"].as_array()?;
    let mut owned = rollout_fields(object).to_vec();
    let kept = owned.clone();
    if unfenced(object, entries) {
        owned.push(FENCE);
    }
    let mut settled = entries.clone();
    let mut moved = false;
    for entry in &mut settled {
        let applies = entry["manager"] == MANAGER && entry["operation"] == "Apply";
        if applies {
            for path in &owned {
                moved |= remove(&mut entry["fieldsV1"], path).is_some();
            }
        }
    }
    let mut given_back = false;
    for entry in &mut settled {
        if entry["manager"] == ROLLOUT_MANAGER && entry.get("subresource").is_none() {
            given_back |= keep_only(&mut entry["fieldsV1"], &kept);
        }
    }
    settled.retain(|e| e["fieldsV1"].as_object().is_none_or(|f| !f.is_empty()));
    if moved {
        grant(&mut settled, object, &owned);
    }
    (moved || given_back).then_some(settled)
}

const FENCE: &[&str] = &["metadata", "annotations", EPOCH];

/// An object that a driver made which took over: those before it may still live, and it alone is not fenced by having
/// been raised.
pub fn unfenced(object: &Value, entries: &[Value]) -> bool {
    let owns =
        |e: &Value| FENCE.iter().try_fold(&e["fieldsV1"], |at, key| at.get(format!("f:{key}"))).is_some();
    let raised = entries.iter().any(|e| e["manager"] == ROLLOUT_MANAGER && owns(e));
    super::write::epoch(object) > 1 && !raised
}

/// Adds `owned` to the entry of `msctl-rollout`, made where there is none.
fn grant(entries: &mut Vec<Value>, object: &Value, owned: &[&[&str]]) {
    let at = entries.iter().position(|e| e["manager"] == ROLLOUT_MANAGER && e.get("subresource").is_none());
    let at = at.unwrap_or_else(|| {
        entries.push(json!({
            "manager": ROLLOUT_MANAGER, "operation": "Update", "apiVersion": object["apiVersion"],
            "time": object["metadata"]["creationTimestamp"], "fieldsType": "FieldsV1", "fieldsV1": {},
        }));
        entries.len() - 1
    });
    for path in owned {
        let mut at = &mut entries[at]["fieldsV1"];
        for key in *path {
            at = &mut at[format!("f:{key}")];
            if at.is_null() {
                *at = json!({});
            }
        }
    }
}

fn remove(fields: &mut Value, path: &[&str]) -> Option<Value> {
    let (last, parents) = path.split_last()?;
    let mut at = fields;
    for key in parents {
        at = at.get_mut(format!("f:{key}"))?;
    }
    at.as_object_mut()?.shift_remove(&format!("f:{last}"))
}

/// What `msctl-rollout` patched but no longer owns (HPA bounds, once restored) goes back to whoever applies it. The
/// epoch stays: it is the fence.
fn keep_only(fields: &mut Value, owned: &[&[&str]]) -> bool {
    let before = fields.clone();
    let mut kept = json!({});
    let epoch = format!("f:{EPOCH}");
    if fields["f:metadata"]["f:annotations"].get(&epoch).is_some() {
        kept["f:metadata"]["f:annotations"][&epoch] = json!({});
    }
    for path in owned {
        let found = path.iter().try_fold(&before, |at, key| at.get(format!("f:{key}")));
        if let Some(found) = found {
            let place = path.iter().fold(&mut kept, |at, key| &mut at[format!("f:{key}")]);
            *place = found.clone();
        }
    }
    // Only fields of the object itself matter here; markers such as "." do not.
    let spec = |fields: &Value| fields.get("f:spec").cloned().unwrap_or(json!({}));
    if spec(&before) == spec(&kept) {
        return false;
    }
    *fields = kept;
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deployment(entries: Value) -> Value {
        json!({"kind": "Deployment", "apiVersion": "apps/v1", "metadata": {
            "creationTimestamp": "2026-01-01T00:00:00Z", "managedFields": entries}})
    }

    #[test]
    fn replicas_pass_to_the_rollout_once() {
        let applied = json!([{"manager": "msctl", "operation": "Apply",
            "fieldsV1": {"f:spec": {"f:replicas": {}, "f:paused": {}}}}]);
        let after = settled(&deployment(applied)).expect("moves");
        assert_eq!(after[0]["fieldsV1"], json!({"f:spec": {"f:paused": {}}}));
        assert_eq!(
            (&after[1]["manager"], &after[1]["operation"]),
            (&"msctl-rollout".into(), &"Update".into())
        );
        assert_eq!(after[1]["fieldsV1"], json!({"f:spec": {"f:replicas": {}}}));
        assert_eq!(settled(&deployment(after.into())), None, "nothing is left to do");
    }

    #[test]
    fn the_epoch_passes_only_after_a_take_over_and_once() {
        let fields = json!({"f:metadata": {"f:annotations": {"f:msctl.dev/epoch": {}, "f:a": {}}}});
        let applied = json!([{"manager": "msctl", "operation": "Apply", "fieldsV1": fields}]);
        let mut service = deployment(applied);
        service["kind"] = "ServiceAccount".into();
        for (epoch, moves) in [("1", false), ("2", true)] {
            service["metadata"]["annotations"] = json!({"msctl.dev/epoch": epoch});
            assert_eq!(settled(&service).is_some(), moves, "{epoch}");
        }
        let after = settled(&service).expect("moves");
        assert_eq!(after[0]["fieldsV1"], json!({"f:metadata": {"f:annotations": {"f:a": {}}}}));
        assert_eq!(after[1]["manager"], "msctl-rollout");
        service["metadata"]["managedFields"] = after.into();
        assert_eq!(settled(&service), None);
    }

    #[test]
    fn what_a_rollout_no_longer_needs_goes_back() {
        let entries = json!([{"manager": "msctl-rollout", "operation": "Update", "fieldsV1": {
            "f:metadata": {"f:annotations": {"f:msctl.dev/epoch": {}}}, "f:spec": {"f:minReplicas": {}}}}]);
        let mut scaler = deployment(entries);
        scaler["kind"] = "HorizontalPodAutoscaler".into();
        let after = settled(&scaler).expect("gives back");
        assert_eq!(after[0]["fieldsV1"], json!({"f:metadata": {"f:annotations": {"f:msctl.dev/epoch": {}}}}));
    }
}
