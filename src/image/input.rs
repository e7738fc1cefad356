//! What an image is made from, as one hash, and what is told to the build about its origin. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::context::Sha;
use super::tag::Facts;

/// Everything that decides what the image contains. The commit and the tag are not among it: the same files give the
/// same image, whichever commit they are in.
pub struct Input<'a> {
    pub context: &'a Sha,
    pub dockerfile: &'a [u8],
    pub arguments: &'a BTreeMap<String, String>,
    pub target: Option<&'a str>,
    pub platforms: &'a [String],
}

impl Input<'_> {
    /// 16 hex digits.
    pub fn hash(&self) -> String {
        let mut hasher = Sha256::new();
        let mut add = |part: &[u8]| {
            hasher.update((part.len() as u64).to_le_bytes());
            hasher.update(part);
        };
        add(b"msctl image 1");
        add(self.context);
        add(self.dockerfile);
        add(self.target.unwrap_or_default().as_bytes());
        add(&(self.arguments.len() as u64).to_le_bytes());
        for (name, value) in self.arguments {
            add(name.as_bytes());
            add(value.as_bytes());
        }
        let mut platforms: Vec<&String> = self.platforms.iter().collect();
        platforms.sort();
        platforms.iter().for_each(|p| add(p.as_bytes()));
        hex::encode(&hasher.finalize()[..8])
    }
}

/// Who made the image from what: labels and build arguments.
pub struct Origin<'a> {
    pub service: &'a str,
    pub tag: &'a str,
    pub facts: Option<&'a Facts>,
    /// The commit's time; without one, the newest file's.
    pub time: Timestamp,
}

impl Origin<'_> {
    fn revision(&self) -> Option<String> {
        let facts = self.facts?;
        Some(if facts.changed.is_empty() { facts.commit.clone() } else { format!("{}-dirty", facts.commit) })
    }

    /// The OCI labels, as far as they are known.
    pub fn labels(&self) -> BTreeMap<String, String> {
        let source = self.facts.and_then(|f| f.source.clone());
        let all = [
            ("title", Some(self.service.to_owned())),
            ("version", Some(self.tag.to_owned())),
            ("revision", self.revision()),
            ("created", Some(self.time.to_string())),
            ("source", source),
        ];
        let named = |(name, value): (&str, Option<String>)| {
            Some((format!("org.opencontainers.image.{name}"), value?))
        };
        all.into_iter().filter_map(named).collect()
    }

    /// VERSION, COMMIT and BUILT_AT, where the Dockerfile declares them.
    pub fn arguments(&self, dockerfile: &str) -> BTreeMap<String, String> {
        let declared = declared(dockerfile);
        let all = [
            ("VERSION", Some(self.tag.to_owned())),
            ("COMMIT", self.revision()),
            ("BUILT_AT", Some(self.time.to_string())),
        ];
        let wanted = |(name, value): (&str, Option<String>)| {
            declared.iter().any(|d| d == name).then_some((name.to_owned(), value?))
        };
        all.into_iter().filter_map(wanted).collect()
    }
}

/// The names after `ARG` in a Dockerfile, continued lines included.
pub fn declared(dockerfile: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut continued = false;
    for line in dockerfile.lines().map(str::trim).filter(|l| !l.starts_with('#')) {
        let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let rest = match (continued, word.eq_ignore_ascii_case("ARG")) {
            (true, _) => line,
            (false, true) => rest,
            (false, false) => continue,
        };
        continued = rest.ends_with('\\');
        let words = rest.trim_end_matches('\\').split_whitespace();
        names.extend(words.map(|w| w.split('=').next().unwrap_or(w).to_owned()));
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_changes_the_hash_and_nothing_else() {
        let none = BTreeMap::new();
        let one = BTreeMap::from([("A".to_owned(), "1".to_owned())]);
        let base = || Input {
            context: &[0; 32],
            dockerfile: b"FROM a",
            arguments: &none,
            target: None,
            platforms: &[],
        };
        let platforms = ["linux/arm64".to_owned(), "linux/amd64".to_owned()];
        let hashes = [
            base().hash(),
            Input { context: &[1; 32], ..base() }.hash(),
            Input { dockerfile: b"FROM b", ..base() }.hash(),
            Input { arguments: &one, ..base() }.hash(),
            Input { target: Some("test"), ..base() }.hash(),
            Input { platforms: &platforms, ..base() }.hash(),
            Input { platforms: &platforms[..1], ..base() }.hash(),
        ];
        for (index, hash) in hashes.iter().enumerate() {
            assert_eq!(hash.len(), 16);
            assert!(!hashes[..index].contains(hash), "{index}");
        }
        let reversed = [platforms[1].clone(), platforms[0].clone()];
        assert_eq!(Input { platforms: &reversed, ..base() }.hash(), hashes[5]);
    }

    #[test]
    fn origin_is_told_where_asked() {
        let facts = Facts {
            commit: "ab".repeat(20),
            time: Timestamp::UNIX_EPOCH,
            tags: vec![],
            changed: vec![],
            source: Some("https://example.com/o/r".into()),
        };
        let origin = Origin { service: "orders", tag: "v1.2.3", facts: Some(&facts), time: facts.time };
        let labels = origin.labels();
        assert_eq!(labels["org.opencontainers.image.version"], "v1.2.3");
        assert_eq!(labels["org.opencontainers.image.created"], "1970-01-01T00:00:00Z");
        assert_eq!(labels.len(), 5);
        let file = "FROM a\n# ARG BUILT_AT\narg VERSION=dev \\\n  COMMIT\nRUN echo ARG BUILT_AT\n";
        let arguments = origin.arguments(file);
        assert_eq!(arguments.keys().collect::<Vec<_>>(), ["COMMIT", "VERSION"]);
        let unknown = Origin { facts: None, ..origin };
        assert_eq!(unknown.arguments(file).keys().collect::<Vec<_>>(), ["VERSION"]);
        assert_eq!(unknown.labels().len(), 3);
    }
}
