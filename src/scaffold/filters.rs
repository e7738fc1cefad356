//! Filters for templates: quoting for a format (yaml, json, xml, sh), and the spellings of names. Pure.

use tera::{Kwargs, State, Tera, TeraResult, Value};

/// Adds the filters to `tera`.
pub fn register(tera: &mut Tera) {
    tera.register_filter("yaml", |v: Value, _: Kwargs, _: &State| yaml(&v));
    tera.register_filter("json", |v: Value, _: Kwargs, _: &State| json(&v));
    tera.register_filter("xml", |v: String, _: Kwargs, _: &State| xml(&v));
    tera.register_filter("sh", |v: String, _: Kwargs, _: &State| sh(&v));
    tera.register_filter("snake", |v: String, _: Kwargs, _: &State| snake(&v));
    tera.register_filter("kebab", |v: String, _: Kwargs, _: &State| words(&v).join("-"));
    tera.register_filter("pascal", |v: String, _: Kwargs, _: &State| pascal(&v));
    tera.register_filter("camel", |v: String, _: Kwargs, _: &State| camel(&v));
    tera.register_filter("screaming", |v: String, _: Kwargs, _: &State| snake(&v).to_uppercase());
    tera.register_filter("java_package", |v: String, _: Kwargs, _: &State| java_package(&v));
    tera.register_filter("dns_label", |v: String, _: Kwargs, _: &State| dns_label(&v));
}

fn json(value: &Value) -> TeraResult<String> {
    serde_json::to_string(value).map_err(|e| tera::Error::message(format!("json: {e}")))
}

/// A text as one line of YAML that 1.1 and 1.2 readers take for the same text; the rest as JSON, which YAML is.
fn yaml(value: &Value) -> TeraResult<String> {
    let Some(text) = value.as_str() else { return json(value) };
    const WORDS: [&str; 10] = ["true", "false", "yes", "no", "on", "off", "null", "y", "n", "~"];
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "_-./".contains(c))
        && !WORDS.contains(&text.to_lowercase().as_str());
    if plain {
        return Ok(text.to_owned());
    }
    // JSON leaves these as they are, and YAML does not: 7f..9f are not printable, the others end a line.
    let mut quoted = String::new();
    for c in json(value)?.chars() {
        match c {
            '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' => {
                quoted += &format!("\\u{:04x}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    Ok(quoted)
}

fn xml(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            '\'' => out += "&apos;",
            c => out.push(c),
        }
    }
    out
}

/// One word of a POSIX shell.
pub fn sh(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:@%+,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// The words of a name in small letters: `HTTPServer`, `http-server` and `http server` are all http, server.
fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let chars: Vec<char> = text.chars().collect();
    let mut open = false;
    for (i, c) in chars.iter().enumerate() {
        if !c.is_alphanumeric() {
            open = false;
            continue;
        }
        let before = i.checked_sub(1).map(|i| chars[i]);
        let after_small = before.is_some_and(|b| b.is_lowercase() || b.is_numeric());
        let before_small = chars.get(i + 1).is_some_and(|n| n.is_lowercase());
        let hump =
            c.is_uppercase() && (after_small || (before.is_some_and(char::is_uppercase) && before_small));
        if !open || hump {
            words.push(String::new());
            open = true;
        }
        if let Some(word) = words.last_mut() {
            word.extend(c.to_lowercase());
        }
    }
    words
}

pub fn snake(text: &str) -> String {
    words(text).join("_")
}

fn capital(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map(|c| c.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

fn pascal(text: &str) -> String {
    words(text).iter().map(|w| capital(w)).collect()
}

fn camel(text: &str) -> String {
    let words = words(text);
    let rest = words.iter().skip(1).map(|w| capital(w));
    words.first().cloned().into_iter().chain(rest).collect()
}

/// A package's name: `.`, `/` and spaces divide it, other signs vanish, keywords get a trailing `_`.
fn java_package(text: &str) -> String {
    let parts = text.split(['.', '/', ' ']).filter_map(|part| {
        let part: String =
            part.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_lowercase();
        let begins_with_digit = part.starts_with(|c: char| c.is_ascii_digit());
        match part.as_str() {
            "" => None,
            word if super::language::reserving(&["java".to_owned()], word).is_some() => {
                Some(format!("{word}_"))
            }
            word if begins_with_digit => Some(format!("_{word}")),
            word => Some(word.to_owned()),
        }
    });
    parts.collect::<Vec<_>>().join(".")
}

/// The nearest DNS label: 63 signs at most, empty when nothing is left.
pub fn dns_label(text: &str) -> String {
    let mut label = String::new();
    for c in text.to_lowercase().chars() {
        match c {
            'a'..='z' | '0'..='9' => label.push(c),
            _ if !label.is_empty() && !label.ends_with('-') => label.push('-'),
            _ => {}
        }
    }
    label.truncate(63);
    label.trim_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn filtered(filter: &str, value: &str) -> String {
        let mut tera = Tera::new();
        register(&mut tera);
        let mut context = tera::Context::new();
        context.insert("v", value);
        tera.render_str(&format!("{{{{ v | {filter} }}}}"), &context, false).unwrap()
    }

    #[test]
    fn spellings() {
        for (filter, given, wanted) in [
            ("snake", "order-items", "order_items"),
            ("snake", "HTTPServer2Go", "http_server2_go"),
            ("kebab", "Order items", "order-items"),
            ("pascal", "order-items", "OrderItems"),
            ("camel", "order-items", "orderItems"),
            ("screaming", "order-items", "ORDER_ITEMS"),
            ("java_package", "com.example.order-items", "com.example.orderitems"),
            ("java_package", "com.new.2go", "com.new_._2go"),
            ("dns_label", "Größe & Orders!", "gr-e-orders"),
            ("dns_label", "--", ""),
        ] {
            assert_eq!(filtered(filter, given), wanted, "{filter} of {given:?}");
        }
    }

    #[test]
    fn quoting() {
        for (filter, given, wanted) in [
            ("yaml", "orders", "orders"),
            ("yaml", "yes", "\"yes\""),
            ("yaml", "012", "\"012\""),
            ("yaml", "1e3", "\"1e3\""),
            ("yaml", "a: b", "\"a: b\""),
            ("yaml", "", "\"\""),
            ("json", "a\"b\n", r#""a\"b\n""#),
            ("xml", "<a & 'b'>", "&lt;a &amp; &apos;b&apos;&gt;"),
            ("sh", "it's", r"'it'\''s'"),
            ("sh", "a/b", "a/b"),
            ("sh", "", "''"),
        ] {
            assert_eq!(filtered(filter, given), wanted, "{filter} of {given:?}");
        }
    }

    proptest! {
        #[test]
        fn yaml_reads_back(text in any::<String>()) {
            let line = format!("v: {}", filtered("yaml", &text));
            let back: std::collections::BTreeMap<String, String> = serde_yaml::from_str(&line).unwrap();
            prop_assert_eq!(&back["v"], &text);
        }

        #[test]
        fn labels_are_labels(text in any::<String>()) {
            let label = dns_label(&text);
            prop_assert!(label.len() <= 63 && !label.starts_with('-') && !label.ends_with('-'));
        }
    }
}
