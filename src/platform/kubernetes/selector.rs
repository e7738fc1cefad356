//! Label selectors as other objects write them. Pure.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::core::{Selector, SelectorExt};
use serde_json::Value;

/// Whether `selector` selects what carries `labels`: `{}` all of it, none at all nothing. None: it cannot be read.
pub fn selects(selector: &Value, labels: &BTreeMap<String, String>) -> Option<bool> {
    if selector.is_null() {
        return Some(false);
    }
    let read: LabelSelector = serde_json::from_value(selector.clone()).ok()?;
    Some(Selector::try_from(read).ok()?.matches(labels))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn as_kubernetes_reads_them() {
        let labels = BTreeMap::from([("app".to_owned(), "orders".to_owned())]);
        let expression = |key: &str, operator: &str, values: Value| json!({"matchExpressions": [{"key": key, "operator": operator, "values": values}]});
        for (selector, selected) in [
            (Value::Null, Some(false)),
            (json!({}), Some(true)),
            (json!({"matchLabels": {"app": "orders"}}), Some(true)),
            (json!({"matchLabels": {"app": "orders", "tier": "web"}}), Some(false)),
            (expression("app", "In", json!(["users", "orders"])), Some(true)),
            (expression("app", "In", json!(["users"])), Some(false)),
            (expression("app", "NotIn", json!(["users"])), Some(true)),
            (expression("tier", "NotIn", json!(["web"])), Some(true)),
            (expression("app", "Exists", Value::Null), Some(true)),
            (expression("app", "DoesNotExist", Value::Null), Some(false)),
            (expression("app", "Near", json!(["orders"])), None),
            (json!("app=orders"), None),
        ] {
            assert_eq!(selects(&selector, &labels), selected, "{selector}");
        }
    }
}
