//! Log lines that only the candidate writes: variable parts are masked, so that the same message is the same line. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use regex::Regex;
use serde::{Deserialize, Serialize};

/// Kept at most.
const KEPT: usize = 40;
const WIDTH: usize = 300;

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diverging {
    /// Those that speak of trouble first, then the most frequent.
    pub list: Vec<Line>,
    /// Lines that were compared, of the candidate and of the live slot.
    pub candidate: usize,
    pub live: usize,
    /// More kinds of lines than are listed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub more: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// The first of its kind, secrets masked.
    pub text: String,
    pub count: u32,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub trouble: bool,
}

macro_rules! pattern {
    ($name:ident, $text:literal) => {
        static $name: LazyLock<Regex> = LazyLock::new(|| Regex::new($text).expect("a constant pattern"));
    };
}

pattern!(LOGIN, r"(?i)\b([a-z][a-z0-9+.-]*://)[^\s/@:]+:[^\s/@]+@");
pattern!(BEARER, r"(?i)\b(bearer|basic)\s+[a-z0-9._~+/=-]{8,}");
pattern!(
    NAMED,
    r#"(?i)((?:password|passwd|pwd|secret|token|api[_-]?key|access[_-]?key|authorization|credential)s?["']?\s*[:=]\s*)("[^"]*"|'[^']*'|[^\s,;&"'}]+)"#
);
pattern!(JWT, r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*");
pattern!(COLOUR, r"\x1b\[[0-9;?]*[A-Za-z]");
pattern!(
    VARIABLE,
    r"(?x) \b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b
      | \b(?:0x)?[0-9a-fA-F]*[0-9][0-9a-fA-F]{7,}\b
      | [0-9]+(?:[.:,T+/-][0-9]+)*(?:Z|ns|µs|us|ms|s|m|h|B|KiB|MiB|GiB|kB|MB|GB)?"
);
pattern!(
    TROUBLE,
    r"(?i)\b(error|err|fatal|panic(ked)?|exception|traceback|fail(ed|ure)?|warn(ing)?|refused|denied|timed? ?out|unavailable|cannot|could not|unable)\b"
);

/// `text` without what looks like a credential.
pub fn masked(text: &str) -> String {
    let text = LOGIN.replace_all(text, "$1…@");
    let text = JWT.replace_all(&text, "…");
    let text = BEARER.replace_all(&text, "$1 …");
    NAMED.replace_all(&text, "$1…").into_owned()
}

/// What makes a line the same as another.
fn kind(line: &str) -> String {
    VARIABLE.replace_all(line.trim(), "#").into_owned()
}

fn shown(line: &str) -> String {
    let plain = COLOUR.replace_all(line.trim(), "");
    let clean: String = plain.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let masked = masked(&clean);
    match masked.char_indices().nth(WIDTH) {
        Some((end, _)) => masked[..end].to_owned() + "…",
        None => masked,
    }
}

/// Lines of `candidate` with no like among those of `live`.
pub fn diverging(candidate: &[String], live: &[String]) -> Diverging {
    let known: BTreeSet<String> = live.iter().map(|l| kind(&shown(l))).collect();
    let mut found: BTreeMap<String, (usize, Line)> = BTreeMap::new();
    for (at, line) in candidate.iter().enumerate() {
        let text = shown(line);
        let kind = kind(&text);
        if text.is_empty() || known.contains(&kind) {
            continue;
        }
        let trouble = TROUBLE.is_match(&text);
        found.entry(kind).or_insert_with(|| (at, Line { text, count: 0, trouble })).1.count += 1;
    }
    let mut list: Vec<(usize, Line)> = found.into_values().collect();
    list.sort_by_key(|(at, line)| (!line.trouble, std::cmp::Reverse(line.count), *at));
    let more = list.len() > KEPT;
    Diverging {
        list: list.into_iter().take(KEPT).map(|(_, line)| line).collect(),
        candidate: candidate.len(),
        live: live.len(),
        more,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &[&str]) -> Vec<String> {
        text.iter().map(|l| (*l).to_owned()).collect()
    }

    #[test]
    fn the_same_message_is_the_same_line() {
        for (a, b) in [
            (
                "2026-01-01T10:00:00.123Z GET /orders/17 200 1.5ms",
                "2026-01-02T11:00:00.9Z GET /orders/4 200 12ms",
            ),
            (
                "order 550e8400-e29b-41d4-a716-446655440000 paid",
                "order 6ba7b810-9dad-11d1-80b4-00c04fd430c8 paid",
            ),
            ("trace 4bf92f3577b34da6a3ce929d0e0e4736", "trace 00f067aa0ba902b74bf92f3577b34da6"),
            ("from 10.0.0.7:43512", "from 10.0.1.19:9"),
        ] {
            assert_eq!(kind(a), kind(b));
        }
        assert_ne!(kind("GET /orders 200"), kind("POST /orders 200"));
    }

    #[test]
    fn only_what_the_live_slot_never_says_is_told() {
        let live = lines(&["listening on 8080", "GET /orders/1 200", "GET /orders/2 200"]);
        let candidate = lines(&[
            "listening on 9090",
            "cache is cold",
            "GET /orders/7 200",
            "ERROR cannot reach inventory: timed out after 3s",
            "ERROR cannot reach inventory: timed out after 4s",
            "",
        ]);
        let found = diverging(&candidate, &live);
        let told: Vec<(&str, u32, bool)> =
            found.list.iter().map(|l| (l.text.as_str(), l.count, l.trouble)).collect();
        assert_eq!(
            told,
            [("ERROR cannot reach inventory: timed out after 3s", 2, true), ("cache is cold", 1, false)]
        );
        assert_eq!((found.candidate, found.live, found.more), (6, 3, false));
    }

    #[test]
    fn there_is_an_end_to_it() {
        let many: Vec<String> = (0..500).map(|n| "x".repeat(n + 1)).collect();
        let found = diverging(&many, &[]);
        assert!(found.more && found.list.len() == KEPT);
        assert!(found.list.iter().all(|l| l.text.chars().count() <= WIDTH + 1));
        assert_eq!(diverging(&lines(&["\u{1b}[31mred\u{1b}[0m\u{7}"]), &[]).list[0].text, "red ");
    }

    #[test]
    fn credentials_are_masked() {
        for (line, wanted) in [
            ("connect postgres://shop:hunter2@db/orders", "connect postgres://…@db/orders"),
            ("Authorization: Bearer abcdef123456", "Authorization: … abcdef123456"),
            ("password=hunter2 user=shop", "password=… user=shop"),
            (r#"{"api_key": "k-123", "n": 1}"#, r#"{"api_key": …, "n": 1}"#),
            ("jwt eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.sig", "jwt …"),
            ("the token bucket is full", "the token bucket is full"),
        ] {
            let masked = masked(line);
            assert!(!masked.contains("hunter2") && !masked.contains("k-123"), "{masked}");
            if !line.contains("Bearer") {
                assert_eq!(masked, wanted);
            } else {
                assert!(!masked.contains("abcdef123456"), "{masked}");
            }
        }
    }
}
