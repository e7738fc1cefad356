//! What `new` made, or would make: for people a short tree and the next commands.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use crate::cli;
use crate::context::Ctx;
use crate::scaffold::{self, Plan, Planned, Source};
use crate::ui::{Paint, View};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Made {
    name: String,
    folder: String,
    template: MadeOf,
    files: Vec<MadeFile>,
    git: Option<Git>,
    dry_run: bool,
    /// The folder as the user can type it.
    #[serde(skip)]
    shown: String,
}

#[derive(Serialize)]
struct MadeOf {
    name: String,
    version: String,
    digest: String,
}

#[derive(Serialize)]
pub struct Git {
    pub commit: String,
}

#[derive(Serialize)]
struct MadeFile {
    path: String,
    mode: String,
    size: usize,
    sha256: String,
    owner: scaffold::Owner,
    /// What to show of a dry run's file.
    #[serde(skip)]
    content: Option<String>,
}

impl View for Made {
    fn schema(&self) -> &'static str {
        "msctl.dev/new/v1"
    }

    fn human(&self, paint: &Paint) -> String {
        let MadeOf { name, version, .. } = &self.template;
        let count = self.files.len();
        if self.dry_run {
            let mut text =
                format!("Would create {} from {name} {version}, {count} files:\n", paint.bold(&self.shown));
            for file in &self.files {
                text += &format!("  {:>7} {} {}\n", file.size, file.mode, file.path);
                for line in file.content.iter().flat_map(|c| c.lines()) {
                    text += &format!("  {} {line}\n", paint.dim("│"));
                }
            }
            return text;
        }
        let mut text = format!("Created {} from {name} {version}, {count} files:\n", paint.bold(&self.shown));
        text += &tree(self.files.iter().map(|f| f.path.as_str()), paint);
        if let Some(git) = &self.git {
            text += &format!("  {}\n", paint.dim(format!("git: first commit {} on main", &git.commit[..12])));
        }
        text + &format!(
            "\nNext:\n  {}\n  {}\n",
            paint.cyan(format!("cd {}", self.shown)),
            paint.cyan("msctl deploy")
        )
    }
}

/// The top of the tree: files by name, folders with the number of files in them.
fn tree<'a>(paths: impl Iterator<Item = &'a str>, paint: &Paint) -> String {
    let mut folders: BTreeMap<&str, usize> = BTreeMap::new();
    let mut files = Vec::new();
    for path in paths {
        match path.split_once('/') {
            Some((folder, _)) => *folders.entry(folder).or_default() += 1,
            None => files.push(path),
        }
    }
    let folders = folders.into_iter().map(|(folder, count)| {
        let plural = if count == 1 { "" } else { "s" };
        format!("{:<18} {}", format!("{folder}/"), paint.dim(format!("{count} file{plural}")))
    });
    let mut lines: Vec<String> = folders.chain(files.into_iter().map(str::to_owned)).collect();
    let last = lines.pop();
    let inner = lines.iter().map(|line| format!("  {} {line}\n", paint.dim("├──")));
    inner.chain(last.map(|line| format!("  {} {line}\n", paint.dim("└──")))).collect()
}

/// `target` as the user's shell takes it, from where the user is.
fn typed(target: &Path) -> String {
    let here = std::env::current_dir().ok();
    let near = here.and_then(|here| target.strip_prefix(here).ok());
    scaffold::sh(&near.unwrap_or(target).display().to_string())
}

pub fn view(
    ctx: &Ctx,
    args: &cli::New,
    source: &Source,
    plan: &Plan,
    target: &Path,
    git: Option<Git>,
) -> Made {
    let verbose = ctx.ui.options.verbosity >= 2;
    let file = |file: &Planned| MadeFile {
        path: file.path.clone(),
        mode: format!("{:04o}", file.mode),
        size: file.content.len(),
        sha256: file.sha256.clone(),
        owner: file.owner,
        content: match (verbose && args.dry_run, file.secret) {
            (false, _) => None,
            (true, true) => Some("(holds a secret)".into()),
            (true, false) => Some(String::from_utf8_lossy(&file.content).into_owned()),
        },
    };
    Made {
        name: args.name.clone(),
        folder: target.display().to_string(),
        template: MadeOf {
            name: source.template.name.clone(),
            version: source.template.version.clone(),
            digest: source.digest.clone(),
        },
        files: plan.files.iter().map(file).collect(),
        git,
        dry_run: args.dry_run,
        shown: typed(target),
    }
}
