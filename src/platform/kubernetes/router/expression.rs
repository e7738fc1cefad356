//! Conditions as regular expressions of a whole value, anchored: some routers match a part, some the whole. Pure.

use crate::rollout::{HeaderMatch, MatchValue};

/// A value's; of a cookie's value, only what may stand before the next cookie.
fn value(value: &MatchValue, cookie: bool) -> String {
    match value {
        MatchValue::Exact(text) => regex::escape(text),
        MatchValue::Prefix(text) if cookie => format!("{}[^;]*", regex::escape(text)),
        MatchValue::Prefix(text) => format!("{}.*", regex::escape(text)),
        MatchValue::Regex(expression) => format!("(?:{expression})"),
    }
}

/// The header that carries the condition, and the expression that its value matches.
pub fn header(wanted: &HeaderMatch) -> (&str, String) {
    let text = value(&wanted.value, wanted.cookie);
    match wanted.cookie {
        true => ("Cookie", format!("^(?:.*;\\s*)?{}={text}(?:\\s*;.*)?$", regex::escape(&wanted.name))),
        false => (wanted.name.as_str(), format!("^{text}$")),
    }
}

/// One cookie with this value, as its condition.
pub fn cookie(name: &str, value: &str) -> HeaderMatch {
    HeaderMatch { name: name.to_owned(), cookie: true, value: MatchValue::Exact(value.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_hold_for_whole_and_partial_matchers() {
        let matching =
            |name: &str, cookie: bool, value: MatchValue| HeaderMatch { name: name.into(), cookie, value };
        for (wanted, yes, no) in [
            (
                matching("g", true, MatchValue::Exact("b".into())),
                vec!["g=b", "a=1; g=b; c=2"],
                vec!["g=bc", "xg=b", "a=g=b"],
            ),
            (
                matching("g", true, MatchValue::Prefix("b".into())),
                vec!["g=bcd", "x=1;g=b"],
                vec!["g=ab", "x=b"],
            ),
            (matching("x", false, MatchValue::Prefix("a.".into())), vec!["a.b"], vec!["ab.", "xa."]),
            (matching("x", false, MatchValue::Regex("a|b".into())), vec!["a", "b"], vec!["ab", "ca"]),
        ] {
            let (_, text) = header(&wanted);
            let expression = regex::Regex::new(&text).unwrap();
            yes.iter().for_each(|y| assert!(expression.is_match(y), "{text} should match {y}"));
            no.iter().for_each(|n| assert!(!expression.is_match(n), "{text} should not match {n}"));
        }
    }
}
