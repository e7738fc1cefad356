//! KEDA's ScaledObjects: whom they act on, and whether they do. msctl reads them and never writes one: it is the user's to
//! pause, and the HorizontalPodAutoscaler that hangs on it is KEDA's own. Pure.

use serde_json::Value;

pub const VERSION: &str = "keda.sh/v1alpha1";
pub const KIND: &str = "ScaledObject";
pub const PLURAL: &str = "scaledobjects";

const PAUSED: &str = "autoscaling.keda.sh/paused";
/// Pauses it at a number that KEDA itself sets, again and again.
const PAUSED_AT: &str = "autoscaling.keda.sh/paused-replicas";

/// A target without a kind is a Deployment.
pub fn targets(object: &Value, deployment: &str) -> bool {
    let target = &object["spec"]["scaleTargetRef"];
    let kind = target["kind"].as_str().filter(|k| !k.is_empty()).unwrap_or("Deployment");
    kind == "Deployment" && target["name"] == deployment
}

/// It sets the number of pods now.
pub fn acts(object: &Value) -> bool {
    let annotations = &object["metadata"]["annotations"];
    // As KEDA reads it: what Go does not parse as a boolean pauses too.
    let paused =
        !matches!(annotations[PAUSED].as_str(), None | Some("0" | "f" | "F" | "false" | "FALSE" | "False"));
    !paused || annotations[PAUSED_AT].is_string()
}

/// The ScaledObject that a HorizontalPodAutoscaler hangs on.
pub fn made(scaler: &Value) -> Option<&str> {
    scaler["metadata"]["labels"]["scaledobject.keda.sh/name"].as_str()
}

pub fn hint(name: &str) -> String {
    format!(
        "pause it for the rollout: `kubectl annotate scaledobject {name} {PAUSED}=true {PAUSED_AT}-`; or use `autoscaling` of msctl.yaml"
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn whether_it_acts() {
        for (annotations, expected) in [
            (json!(null), true),
            (json!({}), true),
            (json!({PAUSED: "true"}), false),
            (json!({PAUSED: "1"}), false),
            (json!({PAUSED: "false"}), true),
            (json!({PAUSED: "yes"}), false),
            (json!({PAUSED_AT: "2"}), true),
            (json!({PAUSED: "true", PAUSED_AT: "2"}), true),
        ] {
            assert_eq!(acts(&json!({"metadata": {"annotations": annotations}})), expected, "{annotations}");
        }
    }

    #[test]
    fn on_whom() {
        for (target, expected) in [
            (json!({"name": "orders-blue"}), true),
            (json!({"name": "orders-blue", "kind": "Deployment"}), true),
            (json!({"name": "orders-blue", "kind": "StatefulSet"}), false),
            (json!({"name": "orders"}), false),
            (json!(null), false),
        ] {
            assert_eq!(
                targets(&json!({"spec": {"scaleTargetRef": target}}), "orders-blue"),
                expected,
                "{target}"
            );
        }
    }
}
