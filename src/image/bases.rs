//! The images that a Dockerfile builds on, and the same file with their digests written in. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use serde::Serialize;

use super::reference::Reference;

/// An image that a Dockerfile names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Base {
    /// Without its digest.
    pub image: String,
    /// None while it is whatever its tag is at the time.
    pub digest: Option<String>,
    /// Where the Dockerfile says it; None where only an argument or several together do, so that it cannot be written.
    #[serde(skip)]
    pub written: Option<Range<usize>>,
}

/// Each image once for each place that names it, in the order of the file. `arguments` are those of the build.
pub fn bases(text: &str, arguments: &BTreeMap<String, String>) -> Vec<Base> {
    let mut defaults: BTreeMap<&str, Range<usize>> = BTreeMap::new();
    let mut stages: BTreeSet<String> = BTreeSet::new();
    let mut found: Vec<Base> = Vec::new();
    let mut add = |base: Base| {
        if !found.contains(&base) {
            found.push(base);
        }
    };
    for words in text.split_inclusive('\n').scan(0, |at, line| {
        let words = words(line, *at);
        *at += line.len();
        Some(words)
    }) {
        let word = |range: &Range<usize>| &text[range.clone()];
        let Some((instruction, rest)) = words.split_first() else { continue };
        match word(instruction).to_ascii_uppercase().as_str() {
            // Only those before the first FROM reach a FROM.
            "ARG" if stages.is_empty() => defaults.extend(rest.iter().filter_map(|range| {
                let (name, value) = word(range).split_once('=')?;
                Some((
                    name,
                    unquoted(text, range.start + name.len() + 1..range.end).filter(|_| !value.is_empty())?,
                ))
            })),
            "FROM" => {
                let mut rest = rest.iter().filter(|r| !word(r).starts_with("--"));
                let Some(image) = rest.next() else { continue };
                if !stages.contains(&word(image).to_lowercase()) {
                    add(base(text, image, &defaults, arguments));
                }
                let name =
                    rest.next().filter(|r| word(r).eq_ignore_ascii_case("AS")).and_then(|_| rest.next());
                // A stage without a name counts all the same: ARGs after it are its own.
                stages.insert(name.map_or(String::new(), |r| word(r).to_lowercase()));
            }
            "COPY" => {
                let from = rest.iter().find(|r| word(r).starts_with("--from="));
                let image = from.map(|r| r.start + "--from=".len()..r.end);
                let other = |r: &Range<usize>| {
                    !stages.contains(&word(r).to_lowercase()) && word(r).parse::<u32>().is_err()
                };
                if let Some(image) = image.filter(other) {
                    add(base(text, &image, &BTreeMap::new(), arguments));
                }
            }
            _ => {}
        }
    }
    found.retain(|base| base.image != "scratch");
    found
}

/// The text with `digests` (by image) written after each image that it names.
pub fn pinned(text: &str, bases: &[Base], digests: &BTreeMap<String, String>) -> String {
    let mut text = text.to_owned();
    let places = bases.iter().filter_map(|b| Some((b.written.clone()?, &b.image, digests.get(&b.image)?)));
    let mut places: Vec<_> = places.collect();
    places.sort_by_key(|(place, ..)| std::cmp::Reverse(place.start));
    for (place, image, digest) in places {
        text.replace_range(place, &format!("{image}@{digest}"));
    }
    text
}

fn base(
    text: &str,
    place: &Range<usize>,
    defaults: &BTreeMap<&str, Range<usize>>,
    arguments: &BTreeMap<String, String>,
) -> Base {
    let word = &text[place.clone()];
    let (value, written) = match argument(word) {
        Some(name) => match (arguments.get(name), defaults.get(name)) {
            (Some(given), _) => (given.as_str(), None),
            (None, Some(default)) => (&text[default.clone()], Some(default.clone())),
            (None, None) => (word, None),
        },
        None => (word, Some(place.clone())),
    };
    match Reference::parse(value) {
        Ok(reference) => {
            let image = Reference { digest: None, ..reference.clone() }.to_string();
            // By digest alone there is no tag to ask about.
            let written = written.filter(|_| reference.digest.is_none() || reference.tag.is_some());
            Base { image, digest: reference.digest, written: written.filter(|_| value != "scratch") }
        }
        Err(_) => Base { image: value.to_owned(), digest: None, written: None },
    }
}

/// `NAME` of `$NAME` and `${NAME}`, where that is all.
fn argument(word: &str) -> Option<&str> {
    let rest = word.strip_prefix('$')?;
    let name = rest.strip_prefix('{').map_or(Some(rest), |r| r.strip_suffix('}'))?;
    name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_').then_some(name)
}

/// Where the words of a line are, comments being none.
fn words(line: &str, at: usize) -> Vec<Range<usize>> {
    if line.trim_start().starts_with('#') {
        return Vec::new();
    }
    let start = |word: &str| at + (word.as_ptr() as usize - line.as_ptr() as usize);
    line.split_whitespace().map(|word| start(word)..start(word) + word.len()).collect()
}

fn unquoted(text: &str, place: Range<usize>) -> Option<Range<usize>> {
    let word = &text[place.clone()];
    let quoted = ['"', '\''].into_iter().any(|q| word.len() > 1 && word.starts_with(q) && word.ends_with(q));
    Some(if quoted { place.start + 1..place.end - 1 } else { place })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\
# FROM nothing
ARG BUILD=golang:1.26 OTHER=\"alpine:3\"
ARG GIVEN=debian:12
FROM --platform=$BUILDPLATFORM ${BUILD} AS Build
ARG BUILD=not-this:1
from $OTHER
COPY --from=build /a /a
COPY --from=0 /b /b
COPY --from=ghcr.io/tools/uv:1 /uv /uv
FROM build AS again
FROM $GIVEN
FROM scratch
FROM golang:${VERSION}
FROM busybox:1@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa AS last
";

    fn given() -> BTreeMap<String, String> {
        BTreeMap::from([("GIVEN".to_owned(), "ubuntu:24.04".to_owned())])
    }

    #[test]
    fn what_is_built_on_is_found() {
        let found = bases(FILE, &given());
        let told =
            |b: &Base| (b.image.clone(), b.digest.is_some(), b.written.clone().map(|r| FILE[r].to_owned()));
        let told: Vec<_> = found.iter().map(told).collect();
        let entry = |image: &str, pinned: bool, written: Option<&str>| {
            (image.to_owned(), pinned, written.map(str::to_owned))
        };
        let old = format!("busybox:1@sha256:{}", "a".repeat(64));
        assert_eq!(
            told,
            [
                entry("golang:1.26", false, Some("golang:1.26")),
                entry("alpine:3", false, Some("alpine:3")),
                entry("ghcr.io/tools/uv:1", false, Some("ghcr.io/tools/uv:1")),
                entry("ubuntu:24.04", false, None),
                entry("golang:${VERSION}", false, None),
                entry("busybox:1", true, Some(&old)),
            ]
        );
    }

    #[test]
    fn digests_are_written_where_the_images_are() {
        let found = bases(FILE, &given());
        let digest = |c: &str| format!("sha256:{}", c.repeat(64));
        let digests = [("golang:1.26", "1"), ("alpine:3", "2"), ("busybox:1", "3"), ("ubuntu:24.04", "4")];
        let digests = digests.map(|(image, c)| (image.to_owned(), digest(c))).into();
        let text = pinned(FILE, &found, &digests);
        for line in [
            format!("ARG BUILD=golang:1.26@{} OTHER=\"alpine:3@{}\"", digest("1"), digest("2")),
            format!("FROM busybox:1@{} AS last", digest("3")),
            "ARG GIVEN=debian:12".to_owned(),
            "COPY --from=ghcr.io/tools/uv:1 /uv /uv".to_owned(),
        ] {
            assert!(text.lines().any(|l| l == line), "{line}\n{text}");
        }
        let again = bases(&text, &given());
        assert_eq!(pinned(&text, &again, &digests), text, "a second time changes nothing");
        let three = again.iter().filter(|b| b.digest.is_some()).count();
        assert_eq!(three, 3, "{again:#?}");
    }

    #[test]
    fn an_image_by_digest_alone_stays() {
        let text = format!("FROM busybox@sha256:{}\n", "a".repeat(64));
        let found = bases(&text, &BTreeMap::new());
        assert_eq!((found[0].image.as_str(), &found[0].written), ("busybox", &None));
        assert!(
            bases("", &BTreeMap::new()).is_empty() && bases("FROM\nARG\nCOPY\n", &BTreeMap::new()).is_empty()
        );
    }
}
