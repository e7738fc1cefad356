//! One value out of a JSON document by a path such as `$.data.items[0]['ok']`. Pure.

use serde_json::Value;

/// None when the path leads nowhere; an error when it is no path.
pub fn at<'a>(document: &'a Value, path: &str) -> Result<Option<&'a Value>, String> {
    let wrong = || format!("{path:?} is no path; write it like $.data.items[0].ok");
    let mut rest = path.strip_prefix('$').ok_or_else(wrong)?;
    let mut value = Some(document);
    while !rest.is_empty() {
        let (key, after) = if let Some(inner) = rest.strip_prefix('[') {
            let (inside, after) = inner.split_once(']').ok_or_else(wrong)?;
            (inside.trim_matches(['\'', '"']), after)
        } else if let Some(name) = rest.strip_prefix('.') {
            let end = name.find(['.', '[']).unwrap_or(name.len());
            name.split_at(end)
        } else {
            return Err(wrong());
        };
        if key.is_empty() {
            return Err(wrong());
        }
        value = value.and_then(|v| match v {
            Value::Array(items) => key.parse::<usize>().ok().and_then(|i| items.get(i)),
            other => other.get(key),
        });
        rest = after;
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        let document = serde_json::json!({"ok": true, "a": {"b c": [1, {"x": "y"}]}});
        for (path, found) in [
            ("$.ok", Some(serde_json::json!(true))),
            ("$", Some(document.clone())),
            ("$.a['b c'][1].x", Some(serde_json::json!("y"))),
            ("$.a['b c'][7]", None),
            ("$.nothing.here", None),
        ] {
            assert_eq!(at(&document, path), Ok(found.as_ref()), "{path}");
        }
        for wrong in ["ok", "$.", "$..a", "$[0", "$x"] {
            assert!(at(&document, wrong).is_err(), "{wrong}");
        }
    }
}
