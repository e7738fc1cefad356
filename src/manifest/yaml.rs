//! YAML for people and kubectl: block style, and every text quoted that a YAML 1.1 reader would take for something else.

use serde_json::Value;

/// Prints one object. Reads back the same under YAML 1.1 (kubectl) and 1.2.
pub fn print(value: &Value) -> String {
    let mut text = String::new();
    write(value, 0, &mut text);
    text
}

fn write(value: &Value, indent: usize, out: &mut String) {
    let pad = " ".repeat(indent);
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (key, value) in map {
                out.push_str(&format!("{pad}{}:", scalar(key)));
                member(value, indent, out);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for item in items {
                let mut nested = String::new();
                write(item, indent + 2, &mut nested);
                if is_block(item) {
                    // The first line's own indentation becomes the dash.
                    out.push_str(&format!("{pad}- {}", &nested[(indent + 2).min(nested.len())..]));
                } else {
                    out.push_str(&format!("{pad}- {}\n", inline(item)));
                }
            }
        }
        other => out.push_str(&format!("{pad}{}\n", inline(other))),
    }
}

fn member(value: &Value, indent: usize, out: &mut String) {
    if is_block(value) {
        out.push('\n');
        // Lists stand under their key without indentation, as kubectl prints them.
        write(value, if value.is_array() { indent } else { indent + 2 }, out);
    } else {
        out.push_str(&format!(" {}\n", inline(value)));
    }
}

fn is_block(value: &Value) -> bool {
    match value {
        Value::Object(map) => !map.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => false,
    }
}

fn inline(value: &Value) -> String {
    match value {
        Value::String(text) => scalar(text),
        Value::Object(_) => "{}".into(),
        Value::Array(_) => "[]".into(),
        other => other.to_string(),
    }
}

/// A text as a plain scalar where every reader takes it for a text, else in double quotes (JSON's are YAML's).
fn scalar(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./@+ ()".contains(c) || c == ':';
    let safe = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && text.chars().all(plain)
        && !text.ends_with([':', ' '])
        && !text.contains(": ")
        && !RESERVED.contains(&text.to_ascii_lowercase().as_str());
    if safe { text.to_owned() } else { Value::from(text).to_string() }
}

/// What YAML 1.1 reads as a boolean or null. Numbers, dates and `.inf` do not begin with a letter.
const RESERVED: &[&str] = &["y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf"];
