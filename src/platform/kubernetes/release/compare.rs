//! Whether what is wanted already is: every wanted field has its value, whatever else the server or others added.
//! Pure.

use serde_json::Value;

use crate::manifest::names;

/// Whether `live` has all of `wanted`, the epoch aside.
pub fn fulfilled(wanted: &Value, live: &Value) -> bool {
    subset(wanted, live, "")
}

fn subset(wanted: &Value, live: &Value, key: &str) -> bool {
    match (wanted, live) {
        (Value::Object(wanted), Value::Object(live)) => wanted.iter().all(|(name, value)| {
            if name == names::EPOCH {
                return true;
            }
            // Under requests and limits the names are resources, the texts amounts.
            let key = if matches!(key, "requests" | "limits") { "quantity" } else { name.as_str() };
            match live.get(name) {
                Some(found) => subset(value, found, key),
                None => empty(value),
            }
        }),
        (Value::Array(wanted), Value::Array(live)) => list(wanted, live),
        (Value::String(a), Value::String(b)) if key == "quantity" => {
            a == b || quantity(a).is_some_and(|a| Some(a) == quantity(b))
        }
        (wanted, live) => wanted == live,
    }
}

/// Items with names are found by them, as the server merges them; others count by position.
fn list(wanted: &[Value], live: &[Value]) -> bool {
    if !wanted.is_empty() && wanted.iter().all(|item| item["name"].is_string()) {
        return wanted.iter().all(|item| {
            live.iter()
                .find(|other| other["name"] == item["name"])
                .is_some_and(|other| subset(item, other, ""))
        });
    }
    wanted.len() == live.len() && wanted.iter().zip(live).all(|(a, b)| subset(a, b, ""))
}

/// What the server leaves out when it is set: nothing, zero, false. A default other than these it writes down.
fn empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(map) => map.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::String(text) => text.is_empty(),
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::Bool(set) => !set,
    }
}

/// A Kubernetes quantity as a number: `100m`, `128Mi`, `1e3`, `0.5`.
pub fn quantity(text: &str) -> Option<f64> {
    const SUFFIXES: [(&str, f64); 15] = [
        ("Ki", 1024.0),
        ("Mi", 1_048_576.0),
        ("Gi", 1_073_741_824.0),
        ("Ti", 1_099_511_627_776.0),
        ("Pi", 1_125_899_906_842_624.0),
        ("Ei", 1_152_921_504_606_846_976.0),
        ("n", 1e-9),
        ("u", 1e-6),
        ("m", 1e-3),
        ("k", 1e3),
        ("M", 1e6),
        ("G", 1e9),
        ("T", 1e12),
        ("P", 1e15),
        ("E", 1e18),
    ];
    let (number, factor) =
        SUFFIXES.iter().find_map(|(s, f)| text.strip_suffix(s).map(|n| (n, *f))).unwrap_or((text, 1.0));
    let value = number.parse::<f64>().ok()? * factor;
    // 0.1 and 100m are the same amount, though not the same binary fraction.
    Some((value * 1e9).round() / 1e9)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn subsets() {
        for (wanted, live, same) in [
            (json!({"a": 1}), json!({"a": 1, "b": 2}), true),
            (json!({"a": 1, "b": {}}), json!({"a": 1}), true),
            (json!({"minReadySeconds": 0}), json!({}), true),
            (json!({"minReadySeconds": 1}), json!({}), false),
            (json!({"a": [1, 2]}), json!({"a": [1, 2, 3]}), false),
            (
                json!({"c": [{"name": "x", "v": 1}]}),
                json!({"c": [{"name": "y"}, {"name": "x", "v": 1}]}),
                true,
            ),
            (json!({"c": [{"name": "x", "v": 1}]}), json!({"c": [{"name": "x", "v": 2}]}), false),
            (json!({"requests": {"cpu": "0.1"}}), json!({"requests": {"cpu": "100m"}}), true),
            (json!({"requests": {"cpu": "0.2"}}), json!({"requests": {"cpu": "100m"}}), false),
            (json!({"limits": {"memory": "1024Mi"}}), json!({"limits": {"memory": "1Gi"}}), true),
            (json!({"value": "1024Mi"}), json!({"value": "1Gi"}), false),
            (
                json!({"annotations": {"msctl.dev/epoch": "2"}}),
                json!({"annotations": {"msctl.dev/epoch": "1"}}),
                true,
            ),
            (json!({"a": "1"}), json!({"a": 1}), false),
        ] {
            assert_eq!(fulfilled(&wanted, &live), same, "{wanted} in {live}");
        }
    }
}
