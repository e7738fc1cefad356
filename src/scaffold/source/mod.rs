//! Where templates come from: embedded in the binary, a folder, or a git repository. All end up in memory.

mod embedded;
mod folder;
mod repository;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::template::{FILE, Template};
use crate::error::{Failure, did_you_mean};

/// More than any template needs; a folder taken for a template by mistake stops here.
const MOST_BYTES: usize = 64 << 20;
const MOST_FILES: usize = 10_000;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    Embedded,
    Folder(PathBuf),
    /// `place` is the address with its `//subfolder`.
    Git {
        place: String,
        commit: String,
    },
}

/// A template with all its files.
#[derive(Debug)]
pub struct Source {
    pub origin: Origin,
    pub template: Template,
    /// By path under `files/`.
    pub files: BTreeMap<String, Cow<'static, [u8]>>,
    /// `sha256:…` over template.yaml and the files, names and contents.
    pub digest: String,
}

/// A template's files by path, as an origin hands them over: template.yaml and what is under files/.
type Contents = BTreeMap<String, Cow<'static, [u8]>>;

impl Source {
    fn new(origin: Origin, mut contents: Contents) -> anyhow::Result<Self> {
        let digest = digest(&contents);
        let place = match &origin {
            Origin::Embedded => String::new(),
            Origin::Folder(folder) => folder.display().to_string(),
            Origin::Git { place, .. } => place.clone(),
        };
        let Some(yaml) = contents.remove(FILE) else {
            return Err(Failure::usage(
                "no-template",
                format!("{place} has no {FILE}, so it is no template"),
            )
            .object(place)
            .into());
        };
        let file = Path::new(&place).join(FILE);
        let yaml = std::str::from_utf8(&yaml).map_err(|e| {
            Failure::usage("invalid-template", format!("{} is not UTF-8: {e}", file.display()))
        })?;
        let template = Template::parse(yaml, &file)?;
        let files = contents.into_iter();
        let files =
            files.filter_map(|(path, c)| Some((path.strip_prefix("files/")?.to_owned(), c))).collect();
        Ok(Source { origin, template, files, digest })
    }

    /// What the template is called in messages.
    pub fn label(&self) -> String {
        match &self.origin {
            Origin::Embedded => self.template.name.clone(),
            Origin::Folder(folder) => folder.display().to_string(),
            Origin::Git { place, .. } => place.clone(),
        }
    }

    #[cfg(test)]
    pub fn of_text(yaml: &str, files: &[(&str, &str)]) -> anyhow::Result<Self> {
        let own = |text: &str| Cow::Owned(text.as_bytes().to_vec());
        let mut contents: Contents = files.iter().map(|(p, c)| (format!("files/{p}"), own(c))).collect();
        contents.insert(FILE.into(), own(yaml));
        Source::new(Origin::Folder("t".into()), contents)
    }
}

fn digest(contents: &Contents) -> String {
    let mut hash = Sha256::new();
    for (path, content) in contents {
        for part in [path.as_bytes(), content.as_ref()] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
    }
    format!("sha256:{}", hex::encode(hash.finalize()))
}

/// The embedded templates, by name.
pub fn embedded() -> anyhow::Result<Vec<Source>> {
    embedded::names().map(|name| Source::new(Origin::Embedded, embedded::contents(name))).collect()
}

/// Whether `--template` names a repository that must be fetched.
pub fn is_remote(name: &str, here: &Path) -> bool {
    let embedded = embedded::names().any(|known| known == name);
    !embedded && repository::Address::parse(name, here).is_some_and(|address| address.is_remote())
}

/// Opens what `--template` names: an embedded template, a folder, or git-url[//subfolder][@ref].
/// Folders are relative to `here`.
///
/// # Errors
/// Exit code 2 when there is no such template or it is wrong, 1 when it cannot be read.
pub fn open(name: &str, here: &Path) -> anyhow::Result<Source> {
    if embedded::names().any(|known| known == name) {
        return Source::new(Origin::Embedded, embedded::contents(name));
    }
    let folder = here.join(name);
    if !name.is_empty() && folder.join(FILE).is_file() {
        let contents = folder::contents(&folder)?;
        return Source::new(Origin::Folder(folder), contents);
    }
    if let Some(address) = repository::Address::parse(name, here) {
        let (contents, commit) = repository::contents(&address)?;
        return Source::new(Origin::Git { place: address.place(), commit }, contents);
    }
    let known: Vec<&str> = embedded::names().collect();
    if folder.is_dir() && name.contains(['/', '.']) {
        return Err(Failure::usage(
            "no-template",
            format!("{} has no {FILE}, so it is no template", folder.display()),
        )
        .object(name.to_owned())
        .into());
    }
    let mut failure =
        Failure::usage("unknown-template", format!("there is no template {name:?}")).object(name.to_owned());
    if let Some(near) = did_you_mean(name, known.iter().copied()) {
        failure = failure.hint(format!("did you mean {near:?}?"));
    }
    Err(failure.hint(format!("embedded are: {}; or give a folder or a git address", known.join(", "))).into())
}

/// Refuses a template that is too big to be one.
fn check_size(contents: &Contents, place: &str) -> anyhow::Result<()> {
    let bytes: usize = contents.values().map(|c| c.len()).sum();
    if contents.len() <= MOST_FILES && bytes <= MOST_BYTES {
        return Ok(());
    }
    let message =
        format!("{place} is too big for a template: {MOST_FILES} files and {MOST_BYTES} bytes are the most");
    Err(Failure::usage("template-too-big", message).object(place.to_owned()).into())
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A template named t whose template.yaml ends with `yaml`.
    pub fn source(yaml: &str, files: &[(&str, &str)]) -> Source {
        let head = "apiVersion: msctl.dev/template/v1\nname: t\nversion: 1.0.0\ndescription: d\n";
        Source::of_text(&format!("{head}{yaml}"), files).unwrap()
    }

    #[test]
    fn every_embedded_template_parses_and_renders_with_its_defaults() {
        use crate::scaffold::{Answers, Given, Renderer, plan};
        let sources = embedded().unwrap();
        assert!(sources.iter().any(|s| s.template.name == "go"));
        for source in &sources {
            let renderer = Renderer::new(source).unwrap();
            let mut given = Given::default();
            for (key, value) in [("name", "orders"), ("registry", "r.example"), ("msctl_version", "1.0.0")] {
                given.built_in.insert(key.into(), value.into());
            }
            given.built_in.insert("year".into(), 2026.into());
            given.built_in.insert("template_digest".into(), source.digest.clone().into());
            let answers = Answers::find(&source.template, &renderer, &given, &mut |_, _| Ok(None)).unwrap();
            let plan = plan(source, &renderer, &answers).unwrap();
            assert!(plan.files.iter().any(|f| f.path == "msctl.yaml"), "{}", source.template.name);
        }
    }

    #[test]
    fn the_digest_knows_names_contents_and_borders() {
        let digest = |files: &[(&str, &str)]| source("", files).digest;
        let one = digest(&[("a", "b")]);
        assert_eq!(one, digest(&[("a", "b")]));
        for other in [digest(&[("a", "c")]), digest(&[("b", "b")]), digest(&[("a", "b"), ("c", "")])] {
            assert_ne!(one, other);
        }
        assert_ne!(digest(&[("ab", "c")]), digest(&[("a", "bc")]));
    }

    #[test]
    fn an_unknown_template_gets_a_suggestion() {
        let error = open("goo", Path::new("/")).expect_err("is unknown");
        assert!(crate::error::report(&error).hints[0].contains("\"go\""), "{error:#}");
    }
}
