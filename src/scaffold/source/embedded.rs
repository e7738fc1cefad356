//! The templates inside the binary: `templates/` as it was at build time.

use std::borrow::Cow;

use include_dir::{Dir, include_dir};

use super::Contents;
use crate::scaffold::template::FILE;

static TEMPLATES: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/templates");

/// The embedded templates' names, sorted.
pub fn names() -> impl Iterator<Item = &'static str> {
    let mut names: Vec<&str> = TEMPLATES
        .dirs()
        .filter(|dir| dir.files().any(|f| f.path().ends_with(FILE)))
        .filter_map(|dir| dir.path().to_str())
        .collect();
    names.sort_unstable();
    names.into_iter()
}

/// The files of the embedded template `name`; empty when there is none.
pub fn contents(name: &str) -> Contents {
    let mut contents = Contents::new();
    if let Some(dir) = TEMPLATES.dirs().find(|d| d.path().to_str() == Some(name)) {
        collect(dir, &format!("{name}/"), &mut contents);
    }
    contents
}

fn collect(dir: &'static Dir<'static>, root: &str, contents: &mut Contents) {
    for file in dir.files() {
        let inside = file.path().to_str().and_then(|path| path.strip_prefix(root));
        if let Some(path) = inside.filter(|path| *path == FILE || path.starts_with("files/")) {
            contents.insert(path.to_owned(), Cow::Borrowed(file.contents()));
        }
    }
    for inner in dir.dirs() {
        collect(inner, root, contents);
    }
}
