//! The image's tag from what git says of the folder. Pure.
//!
//! `v1.2.3` on a clean tagged commit, `<12 hex of the commit>` on a clean one, `<12 hex>-dirty-<8 hex of the content>`
//! otherwise, `tree-<12 hex of the content>` without git.

use jiff::Timestamp;

/// What git knows of the service's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// 40 hex digits.
    pub commit: String,
    pub time: Timestamp,
    /// Names of the tags on the commit.
    pub tags: Vec<String>,
    /// Changed, added and removed files of the folder, relative to it.
    pub changed: Vec<String>,
    /// Where the code comes from, without credentials.
    pub source: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    pub name: String,
    pub warning: Option<String>,
}

/// The tag for a folder whose content hashes to `content` (hex, at least 12 digits).
pub fn tag(facts: Option<&Facts>, content: &str) -> Tag {
    let Some(facts) = facts else {
        return Tag { name: format!("tree-{}", &content[..12]), warning: None };
    };
    let commit = &facts.commit[..12];
    if !facts.changed.is_empty() {
        let warning = format!("not committed: {}", some_of(&facts.changed));
        return Tag { name: format!("{commit}-dirty-{}", &content[..8]), warning: Some(warning) };
    }
    let released = facts.tags.iter().filter_map(|t| Some((version(t)?, t))).max_by(|a, b| a.0.cmp(&b.0));
    Tag { name: released.map_or_else(|| commit.to_owned(), |(_, t)| t.clone()), warning: None }
}

/// The first ten names and how many more there are.
fn some_of(names: &[String]) -> String {
    let shown = names.iter().take(10).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(10) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// Orders `v1.2.3` and `v1.2.3-rc.1`; None for names that are not versions or cannot be image tags.
fn version(name: &str) -> Option<([u64; 3], bool, Vec<Identifier>)> {
    let rest = name.strip_prefix('v')?;
    let (core, pre) = rest.split_once('-').map_or((rest, None), |(core, pre)| (core, Some(pre)));
    let mut numbers = core.split('.').map(|n| {
        let plain = n.bytes().all(|b| b.is_ascii_digit()) && (n == "0" || !n.starts_with('0'));
        plain.then(|| n.parse().ok()).flatten()
    });
    let core = [numbers.next()??, numbers.next()??, numbers.next()??];
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    if numbers.next().is_some()
        || name.len() > 128
        || pre.is_some_and(|p| p.is_empty() || !p.chars().all(legal))
    {
        return None;
    }
    let identifiers = pre.map(|p| p.split('.').map(Identifier::of).collect()).unwrap_or_default();
    Some((core, pre.is_none(), identifiers))
}

/// Of a pre-release: numbers come before words and are compared as numbers.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Identifier {
    Number(u64),
    Word(String),
}

impl Identifier {
    fn of(text: &str) -> Self {
        text.parse().map_or_else(|_| Identifier::Word(text.to_owned()), Identifier::Number)
    }
}

/// Whether `tag` may be an image's tag.
pub fn is_legal(tag: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    tag.len() <= 128 && tag.starts_with(word) && tag.chars().all(|c| word(c) || c == '.' || c == '-')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CONTENT: &str = "0123456789abcdef0123456789abcdef";

    fn facts(tags: &[&str], changed: &[&str]) -> Facts {
        Facts {
            commit: "aabbccddeeff00112233445566778899aabbccdd".into(),
            time: Timestamp::UNIX_EPOCH,
            tags: tags.iter().map(|t| t.to_string()).collect(),
            changed: changed.iter().map(|t| t.to_string()).collect(),
            source: None,
        }
    }

    #[test]
    fn git_facts_become_a_tag() {
        let name = |tags: &[&str], changed: &[&str]| tag(Some(&facts(tags, changed)), CONTENT).name;
        assert_eq!(name(&[], &[]), "aabbccddeeff");
        assert_eq!(name(&["v1.2.3"], &[]), "v1.2.3");
        assert_eq!(name(&["v1.2.3", "v1.10.0", "v1.9.0"], &[]), "v1.10.0");
        assert_eq!(name(&["v1.2.3-rc.9", "v1.2.3-rc.10"], &[]), "v1.2.3-rc.10");
        assert_eq!(name(&["v1.2.3-rc.10", "v1.2.3"], &[]), "v1.2.3");
        assert_eq!(
            name(&["latest", "1.2.3", "v1.2", "v01.2.3", "v1.2.3+b", "v1.2.3-", "v1.2.3.4"], &[]),
            "aabbccddeeff"
        );
        assert_eq!(name(&["v1.2.3"], &["main.go"]), "aabbccddeeff-dirty-01234567");
        assert_eq!(tag(None, CONTENT).name, "tree-0123456789ab");
    }

    #[test]
    fn a_dirty_folder_is_told_with_its_files() {
        let few = tag(Some(&facts(&[], &["a.go", "b/c.go"])), CONTENT).warning.unwrap();
        assert_eq!(few, "not committed: a.go, b/c.go");
        let names: Vec<String> = (0..13).map(|n| format!("f{n}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let many = tag(Some(&facts(&[], &names)), CONTENT).warning.unwrap();
        assert!(many.ends_with("f9 and 3 more"), "{many}");
    }

    proptest! {
        #[test]
        fn every_tag_is_legal(tags in proptest::collection::vec("v?[0-9]{1,3}(\\.[0-9]{1,3}){0,3}(-[ -~]{0,12})?", 0..4), dirty: bool) {
            let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
            let found = tag(Some(&facts(&tags, if dirty { &["x"] } else { &[] })), CONTENT);
            prop_assert!(is_legal(&found.name), "{}", found.name);
        }
    }
}
