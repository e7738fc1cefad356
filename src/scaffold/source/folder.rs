//! A template in a folder: template.yaml and everything under files/. Links are refused, not followed.

use std::path::Path;

use anyhow::Context as _;

use super::{Contents, check_size};
use crate::error::Failure;
use crate::scaffold::template::FILE;

pub fn contents(folder: &Path) -> anyhow::Result<Contents> {
    let mut contents = Contents::new();
    let yaml = folder.join(FILE);
    contents.insert(
        FILE.into(),
        std::fs::read(&yaml).with_context(|| format!("read {}", yaml.display()))?.into(),
    );
    let files = folder.join("files");
    if files.is_dir() {
        collect(&files, "files", &mut contents)?;
    }
    Ok(contents)
}

fn collect(folder: &Path, path: &str, contents: &mut Contents) -> anyhow::Result<()> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("list {}", folder.display()))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("list {}", folder.display()))?;
        let place = entry.path();
        let name = entry.file_name().into_string().map_err(|_| {
            Failure::usage("invalid-template", format!("{}: its name is not UTF-8", place.display()))
        })?;
        let path = format!("{path}/{name}");
        let kind = entry.file_type().with_context(|| format!("look at {}", place.display()))?;
        if kind.is_dir() {
            collect(&place, &path, contents)?;
        } else if kind.is_file() {
            let content = std::fs::read(&place).with_context(|| format!("read {}", place.display()))?;
            contents.insert(path, content.into());
            check_size(contents, &folder.display().to_string())?;
        } else {
            let what = if kind.is_symlink() { "a symbolic link" } else { "no plain file" };
            return Err(Failure::usage("invalid-template", format!("{} is {what}", place.display()))
                .hint("a template holds plain files only")
                .into());
        }
    }
    Ok(())
}
