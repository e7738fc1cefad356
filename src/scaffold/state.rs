//! `.msctl/`: what was made from what. `update` needs it, so it belongs into the repository.
//!
//! `service.yaml` holds the template, the answers and the files' hashes; `base.tar` the managed files as they were
//! rendered, for a three-way merge without the old renderer. A tar because it is one file that no build, linter or
//! search takes for source (a folder of copies would be), needs no git to be there (a note or a tree object would),
//! and being uncompressed and without times it is small in git: packs compress it and keep only what an update changed.

use std::collections::BTreeMap;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Answers;
use super::plan::{Plan, Planned};
use super::source::{Origin, Source};
use super::template::Owner;

pub const STATE: &str = ".msctl/service.yaml";
pub const BASE: &str = ".msctl/base.tar";

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct State {
    pub api_version: String,
    /// Version of the msctl that wrote it.
    pub msctl: String,
    pub template: TemplateState,
    /// Built-in values and answers that are not secret.
    pub answers: Map<String, Value>,
    pub files: BTreeMap<String, FileState>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TemplateState {
    pub name: String,
    pub version: String,
    pub digest: String,
    /// `embedded`, a folder, or a repository's address with its `//subfolder`.
    pub source: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FileState {
    pub sha256: String,
    pub owner: Owner,
}

impl State {
    pub fn new(source: &Source, answers: &Answers, plan: &Plan) -> Self {
        let (place, commit) = match &source.origin {
            Origin::Embedded => ("embedded".to_owned(), None),
            Origin::Folder(folder) => (folder.display().to_string(), None),
            Origin::Git { place, commit } => (place.clone(), Some(commit.clone())),
        };
        let built_in = ["name", "registry", "year"];
        let built_in =
            built_in.iter().filter_map(|k| Some(((*k).to_owned(), answers.values.get(*k)?.clone())));
        let files = plan.files.iter();
        State {
            api_version: "msctl.dev/state/v1".into(),
            msctl: env!("CARGO_PKG_VERSION").into(),
            template: TemplateState {
                name: source.template.name.clone(),
                version: source.template.version.clone(),
                digest: source.digest.clone(),
                source: place,
                commit,
            },
            answers: built_in.chain(answers.kept(&source.template)).collect(),
            files: files
                .map(|f| (f.path.clone(), FileState { sha256: f.sha256.clone(), owner: f.owner }))
                .collect(),
        }
    }

    /// The files under `.msctl/`.
    pub fn files(&self, plan: &Plan) -> anyhow::Result<Vec<Planned<'static>>> {
        let yaml = serde_yaml::to_string(self).context("write the state")?;
        let yaml =
            format!("# What made this service; `msctl update` needs it. Commit it, do not edit it.\n{yaml}");
        Ok(vec![
            Planned::new(BASE, base(plan).context("pack the rendered files")?, 0o644),
            Planned::new(STATE, yaml.into_bytes(), 0o644),
        ])
    }
}

/// The managed files without secrets, byte for byte the same for the same plan.
fn base(plan: &Plan) -> std::io::Result<Vec<u8>> {
    let mut tar = tar::Builder::new(Vec::new());
    for file in plan.files.iter().filter(|f| f.owner == Owner::Managed && !f.secret) {
        let mut header = tar::Header::new_gnu();
        header.set_size(file.content.len() as u64);
        header.set_mode(file.mode);
        header.set_mtime(0);
        tar.append_data(&mut header, &file.path, file.content.as_ref())?;
    }
    tar.into_inner()
}
