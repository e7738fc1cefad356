//! Finds msctl.yaml: in the folder, or above it; a workspace names its services by globs.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::{Service, parse_yaml, validate};
use crate::error::{Failure, did_you_mean};

pub const FILE: &str = "msctl.yaml";

/// A service and the folder its msctl.yaml is in.
#[derive(Debug, Clone)]
pub struct Member {
    pub folder: PathBuf,
    pub service: Service,
}

/// One service, or a workspace of several.
#[derive(Debug)]
pub struct Project {
    pub members: Vec<Member>,
}

impl Project {
    /// The named service, or the only one.
    pub fn member(&self, name: Option<&str>) -> anyhow::Result<&Member> {
        let names = || self.members.iter().map(|m| m.service.service.as_str());
        match name {
            None if self.members.len() == 1 => Ok(&self.members[0]),
            None => Err(Failure::usage("which-service", "the workspace has several services")
                .hint(format!("name one of: {}", names().collect::<Vec<_>>().join(", ")))
                .into()),
            Some(name) => self.members.iter().find(|m| m.service.service == name).ok_or_else(|| {
                let mut failure =
                    Failure::usage("unknown-service", format!("no service is named {name:?} here"));
                if let Some(near) = did_you_mean(name, names()) {
                    failure = failure.hint(format!("did you mean {near:?}?"));
                }
                failure.hint(format!("known are: {}", names().collect::<Vec<_>>().join(", "))).into()
            }),
        }
    }
}

/// Reads the msctl.yaml of `folder` or of the nearest folder above it.
pub fn discover(folder: &Path) -> anyhow::Result<Project> {
    let root = folder.ancestors().find(|f| f.join(FILE).is_file()).ok_or_else(|| {
        Failure::usage("no-service", format!("there is no {FILE} in {} or above it", folder.display()))
            .hint("go into a service's folder, name it with -C, or create one with `msctl new NAME`")
    })?;
    let top = read(root)?;
    let Some(globs) = top.workspace.clone() else {
        return Ok(Project { members: vec![Member { folder: root.to_owned(), service: top }] });
    };
    let mut members = Vec::new();
    for glob in &globs {
        for folder in expand(root, glob)? {
            members.push(Member { service: read(&folder)?, folder });
        }
    }
    if members.is_empty() {
        return Err(Failure::usage("empty-workspace", format!("no folder of {globs:?} holds a {FILE}"))
            .object(root.join(FILE).display().to_string())
            .into());
    }
    Ok(Project { members })
}

fn read(folder: &Path) -> anyhow::Result<Service> {
    let file = folder.join(FILE);
    let text = std::fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
    let service: Service = parse_yaml(&text, &file)?;
    validate(&service, &file)?;
    Ok(service)
}

/// The folders with a msctl.yaml that `glob` names: `*` stands for one folder's name.
fn expand(root: &Path, glob: &str) -> anyhow::Result<Vec<PathBuf>> {
    let mut folders = vec![root.to_owned()];
    for part in glob.split('/').filter(|p| !p.is_empty() && *p != ".") {
        let mut next = Vec::new();
        for folder in &folders {
            if part != "*" {
                next.push(folder.join(part));
                continue;
            }
            let entries = std::fs::read_dir(folder).with_context(|| format!("list {}", folder.display()))?;
            next.extend(entries.flatten().map(|e| e.path()).filter(|p| p.is_dir()));
        }
        next.sort();
        folders = next;
    }
    Ok(folders.into_iter().filter(|f| f.join(FILE).is_file()).collect())
}
