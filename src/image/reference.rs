//! Image references: `[HOST[:PORT]/]NAME[:TAG][@DIGEST]`. Pure.

use std::fmt;

use crate::error::Failure;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// As it was written, without tag and digest.
    pub repository: String,
    pub tag: Option<String>,
    pub digest: Option<String>,
}

impl Reference {
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let bad =
            |why: &str| Failure::usage("bad-reference", format!("{text:?} is not an image reference: {why}"));
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.to_owned())),
            None => (text, None),
        };
        if digest.as_deref().is_some_and(|d| !is_digest(d)) {
            return Err(bad("the digest is not sha256: and 64 hex digits").into());
        }
        let (repository, tag) = match rest.rsplit_once(':') {
            Some((repository, tag)) if !tag.contains('/') => (repository, Some(tag.to_owned())),
            _ => (rest, None),
        };
        if tag.as_deref().is_some_and(|t| !super::tag::is_legal(t)) {
            return Err(bad("the tag may hold letters, digits, '_', '.' and '-'").into());
        }
        let found = Reference { repository: repository.to_owned(), tag, digest };
        let part = |p: &str| {
            let ends = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
            p.starts_with(ends)
                && p.ends_with(ends)
                && p.chars().all(|c| ends(c) || matches!(c, '.' | '_' | '-'))
        };
        let (host, name) = found.split();
        let host_ok =
            !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || ".-:[]_".contains(c));
        if !host_ok || !name.split('/').all(part) {
            return Err(bad("a name holds lower-case letters, digits and '.', '_', '-' between them").into());
        }
        Ok(found)
    }

    /// Registry and name at the registry: `busybox` is `docker.io`, `library/busybox`.
    pub fn split(&self) -> (&str, String) {
        match self.repository.split_once('/') {
            Some((host, name)) if host.contains(['.', ':']) || host == "localhost" => (host, name.to_owned()),
            Some(_) => ("docker.io", self.repository.clone()),
            None => ("docker.io", format!("library/{}", self.repository)),
        }
    }

    pub fn host(&self) -> &str {
        self.split().0
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

pub fn is_digest(text: &str) -> bool {
    let hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    text.strip_prefix("sha256:").is_some_and(|h| h.len() == 64 && h.chars().all(hex))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn references_are_read() {
        let sha = format!("sha256:{}", "ab".repeat(32));
        for (text, host, name, tag, digest) in [
            ("busybox".to_owned(), "docker.io", "library/busybox", None, None),
            ("shop/orders:v1".into(), "docker.io", "shop/orders", Some("v1"), None),
            ("localhost/orders".into(), "localhost", "orders", None, None),
            (
                "localhost:5000/shop/orders:v1.2.3".into(),
                "localhost:5000",
                "shop/orders",
                Some("v1.2.3"),
                None,
            ),
            (format!("ghcr.io/a/b@{sha}"), "ghcr.io", "a/b", None, Some(&sha)),
            (format!("10.0.0.1:5000/a:t@{sha}"), "10.0.0.1:5000", "a", Some("t"), Some(&sha)),
        ] {
            let found = Reference::parse(&text).unwrap();
            assert_eq!(found.split(), (host, name.to_owned()), "{text}");
            assert_eq!((found.tag.as_deref(), found.digest.as_ref()), (tag, digest), "{text}");
            assert_eq!(found.to_string(), text);
        }
        for text in [
            "",
            "Shop/orders",
            "a//b",
            "a:",
            "a:b c",
            "a@sha256:12",
            "-a",
            "a/",
            "http://x/y",
            "a:-t",
            "ghcr.io/",
        ] {
            assert!(Reference::parse(text).is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_read_is_written_the_same(text in "[a-zA-Z0-9:/@._-]{0,40}") {
            if let Ok(found) = Reference::parse(&text) {
                prop_assert_eq!(found.to_string(), text);
            }
        }
    }
}
