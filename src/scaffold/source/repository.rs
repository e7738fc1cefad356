//! A template in a git repository: git-url[//subfolder][@ref], read from the objects without a checkout.
//! What is on this machine is opened in place; the rest is fetched by the user's git.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context as _;
use git2::{ObjectType, Oid, Repository, Tree};

use super::{Contents, check_size};
use crate::error::Failure;
use crate::scaffold::template::FILE;

/// What follows `--template` when it names a repository.
#[derive(Debug, PartialEq, Eq)]
pub struct Address {
    /// A folder, or what git calls a URL.
    url: String,
    subfolder: Option<String>,
    reference: Option<String>,
    local: Option<PathBuf>,
}

impl Address {
    /// Reads `text` as an address; None when it is none.
    pub fn parse(text: &str, here: &Path) -> Option<Self> {
        let start = text.find("://").map_or(0, |at| at + 3);
        let (whole, reference) = match text[start..].rfind('@').map(|at| at + start) {
            // The @ of user@host stands before the path; a ref stands after it.
            Some(at) if text[start..at].contains('/') || Path::new(&text[..at]).exists() => {
                (&text[..at], Some(text[at + 1..].to_owned()).filter(|r| !r.is_empty()))
            }
            _ => (text, None),
        };
        let (url, subfolder) = match whole[start..].find("//").map(|at| at + start) {
            Some(at) => (&whole[..at], Some(whole[at + 2..].trim_matches('/').to_owned())),
            None => (whole, None),
        };
        let subfolder = subfolder.filter(|s| !s.is_empty());
        let local = match url.strip_prefix("file://") {
            Some(path) => Some(PathBuf::from(path)),
            None if start == 0 => Some(here.join(url)).filter(|p| !url.is_empty() && p.is_dir()),
            None => None,
        };
        let remote = start > 0 || (url.contains('@') && url.contains(':')) || url.ends_with(".git");
        let named = subfolder.is_some() || reference.is_some();
        let repository =
            local.as_ref().is_some_and(|p| named || p.join("HEAD").exists() || p.join(".git").exists());
        (remote || repository).then(|| Address { url: url.to_owned(), subfolder, reference, local })
    }

    /// Whether it must be fetched from elsewhere.
    pub fn is_remote(&self) -> bool {
        self.local.is_none()
    }

    /// The address with its subfolder.
    pub fn place(&self) -> String {
        match &self.subfolder {
            Some(subfolder) => format!("{}//{subfolder}", self.url),
            None => self.url.clone(),
        }
    }
}

/// The template's files, and the commit they are of.
pub fn contents(address: &Address) -> anyhow::Result<(Contents, String)> {
    let (_clone, repository) = open(address)?;
    let reference = address.reference.as_deref().unwrap_or("HEAD");
    let commit = find(&repository, reference).ok_or_else(|| {
        Failure::usage("no-ref", format!("{} has no branch, tag or commit {reference:?}", address.url))
            .object(address.url.clone())
    })?;
    let tree = repository.find_commit(commit)?.tree()?;
    let tree = match &address.subfolder {
        None => tree,
        Some(path) => {
            let entry = tree.get_path(Path::new(path)).ok().filter(|e| e.kind() == Some(ObjectType::Tree));
            let entry = entry.ok_or_else(|| {
                Failure::usage(
                    "no-subfolder",
                    format!("{} has no folder {path:?} at {reference}", address.url),
                )
                .object(address.url.clone())
            })?;
            repository.find_tree(entry.id())?
        }
    };
    let mut contents = Contents::new();
    collect(&repository, &tree, "", &mut contents).with_context(|| format!("read {}", address.place()))?;
    Ok((contents, commit.to_string()))
}

/// The repository, and the temporary folder it was fetched into.
fn open(address: &Address) -> anyhow::Result<(Option<tempfile::TempDir>, Repository)> {
    let Some(folder) = &address.local else {
        let folder = tempfile::tempdir().context("make a temporary folder")?;
        fetch(&address.url, folder.path())?;
        let repository = Repository::open_bare(folder.path()).map_err(|e| unreadable(address, &e))?;
        return Ok((Some(folder), repository));
    };
    Ok((None, Repository::open(folder).map_err(|e| unreadable(address, &e))?))
}

fn unreadable(address: &Address, error: &git2::Error) -> Failure {
    let failure = Failure::failed("no-repository", format!("cannot read the repository {}", address.url))
        .object(address.url.clone())
        .source(anyhow::anyhow!("{}", error.message()));
    match error.code() {
        git2::ErrorCode::Owner => {
            failure.hint("it belongs to another user: git config --global --add safe.directory FOLDER")
        }
        _ => failure,
    }
}

/// Clones a remote repository with the user's own git: its proxies, helpers, keys and known hosts then just work,
/// and no second TLS stack is linked. It never asks; hooks and submodules are not run or fetched.
fn fetch(url: &str, into: &Path) -> anyhow::Result<()> {
    if url.starts_with('-') {
        return Err(
            Failure::usage("invalid-address", format!("{url:?} is no address of a repository")).into()
        );
    }
    let user = url.split_once("://").and_then(|(_, rest)| rest.split('/').next()?.split_once('@'));
    if user.is_some_and(|(user, _)| user.contains(':')) {
        return Err(Failure::usage("secret-in-arguments", "the repository's address holds a password")
            .hint("leave it out: git asks its credential helper")
            .into());
    }
    let mut git = Command::new("git");
    git.args(["clone", "--bare", "--quiet", "--template=", "--"]).arg(url).arg(into);
    git.env("GIT_TERMINAL_PROMPT", "0").stdin(Stdio::null());
    let failed = |why: String| {
        Failure::failed("no-repository", format!("cannot fetch the repository {url}"))
            .object(url.to_owned())
            .source(anyhow::anyhow!("{why}"))
    };
    let ran = git.output().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => failed("git is not on PATH".into())
            .hint("install git, or give --template a folder or a repository on this machine"),
        _ => failed(format!("start git: {error}")),
    })?;
    if ran.status.success() {
        return Ok(());
    }
    let told = String::from_utf8_lossy(&ran.stderr);
    Err(failed(format!("git: {}", told.trim())).hint("try `git ls-remote` with the same address").into())
}

fn find(repository: &Repository, reference: &str) -> Option<Oid> {
    let names = [reference.to_owned(), format!("refs/remotes/origin/{reference}")];
    let object = names.iter().find_map(|name| repository.revparse_single(name).ok())?;
    object.peel_to_commit().ok().map(|commit| commit.id())
}

fn collect(repository: &Repository, tree: &Tree, path: &str, contents: &mut Contents) -> anyhow::Result<()> {
    for entry in tree.iter() {
        let name = std::str::from_utf8(entry.name_bytes()).context("a file's name is not UTF-8")?;
        let path = if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") };
        if path != FILE && path != "files" && !path.starts_with("files/") {
            continue;
        }
        match (entry.kind(), entry.filemode()) {
            (Some(ObjectType::Tree), _) => {
                collect(repository, &repository.find_tree(entry.id())?, &path, contents)?;
            }
            (Some(ObjectType::Blob), mode) if mode != 0o120_000 => {
                contents.insert(path, repository.find_blob(entry.id())?.content().to_vec().into());
                check_size(contents, "the repository")?;
            }
            _ => {
                return Err(Failure::usage("invalid-template", format!("{path} is a link or a submodule"))
                    .hint("a template holds plain files only")
                    .into());
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let parse = |text: &str| {
            let a = Address::parse(text, Path::new("/nowhere"))?;
            Some((a.url, a.subfolder.unwrap_or_default(), a.reference.unwrap_or_default()))
        };
        let row = |url: &str, sub: &str, reference: &str| Some((url.into(), sub.into(), reference.into()));
        for (text, wanted) in [
            ("https://host/a/b", row("https://host/a/b", "", "")),
            ("https://host/a/b.git//svc/go@v1.2.0", row("https://host/a/b.git", "svc/go", "v1.2.0")),
            ("https://me@host/a/b", row("https://me@host/a/b", "", "")),
            ("git@host:a/b.git", row("git@host:a/b.git", "", "")),
            ("git@host:a/b.git//x@main", row("git@host:a/b.git", "x", "main")),
            ("file:///srv/t//x@1", row("file:///srv/t", "x", "1")),
            ("ssh://git@host/a", row("ssh://git@host/a", "", "")),
            ("goo", None),
            ("./no/such", None),
        ] {
            assert_eq!(parse(text), wanted, "{text}");
        }
    }
}
