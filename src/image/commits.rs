//! The commits between two versions of a folder, for people to read.

use std::path::Path;

use git2::{Oid, Repository, Sort};
use jiff::Timestamp;

/// Commits that are listed, and that are looked at for them.
const LISTED: usize = 50;
const LOOKED: usize = 2000;

/// Between two versions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Between {
    /// `to` is the older one.
    pub back: bool,
    /// Those that touch the folder, newest first.
    pub list: Vec<Commit>,
    pub more: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    pub id: String,
    pub at: Timestamp,
    pub author: String,
    pub subject: String,
}

/// What is checked out; None where `folder` is in no repository, or that has no commit.
pub fn head(folder: &Path) -> Option<String> {
    let repository = Repository::discover(folder).ok()?;
    below(&repository, folder)?;
    Some(repository.head().ok()?.peel_to_commit().ok()?.id().to_string())
}

/// None where the repository does not know both, or they have nothing in common.
pub fn between(folder: &Path, from: &str, to: &str) -> Option<Between> {
    let repository = Repository::discover(folder).ok()?;
    let path = below(&repository, folder)?;
    let (from, to) = (Oid::from_str(from).ok()?, Oid::from_str(to).ok()?);
    repository.merge_base(from, to).ok()?;
    let back = from != to && repository.graph_descendant_of(from, to).ok()?;
    let (older, newer) = if back { (to, from) } else { (from, to) };
    let mut walk = repository.revwalk().ok()?;
    walk.set_sorting(Sort::TOPOLOGICAL | Sort::TIME).ok()?;
    walk.push(newer).ok()?;
    walk.hide(older).ok()?;
    let mut found = Between { back, ..Between::default() };
    for (looked, id) in walk.flatten().enumerate() {
        if looked == LOOKED || found.list.len() == LISTED {
            found.more = true;
            break;
        }
        let Ok(commit) = repository.find_commit(id) else { continue };
        if touches(&commit, &path) {
            found.list.push(told(&commit));
        }
    }
    Some(found)
}

/// The folder's path in the work tree.
fn below(repository: &Repository, folder: &Path) -> Option<std::path::PathBuf> {
    let root = repository.workdir()?.canonicalize().ok()?;
    Some(folder.canonicalize().ok()?.strip_prefix(root).ok()?.to_owned())
}

/// Whether the folder is another one than in the parent; a merge that only joins touches nothing itself.
fn touches(commit: &git2::Commit<'_>, path: &Path) -> bool {
    if commit.parent_count() > 1 {
        return false;
    }
    let tree = |commit: &git2::Commit<'_>| {
        let tree = commit.tree().ok()?;
        if path.as_os_str().is_empty() { Some(tree.id()) } else { tree.get_path(path).ok().map(|e| e.id()) }
    };
    tree(commit) != commit.parent(0).ok().as_ref().and_then(tree)
}

fn told(commit: &git2::Commit<'_>) -> Commit {
    let clip = |text: &str, most: usize| text.chars().take(most).collect::<String>();
    Commit {
        id: commit.id().to_string(),
        at: Timestamp::from_second(commit.time().seconds()).unwrap_or(Timestamp::UNIX_EPOCH),
        author: clip(&String::from_utf8_lossy(commit.author().name_bytes()), 60),
        subject: clip(&String::from_utf8_lossy(commit.summary_bytes().unwrap_or_default()), 120),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use git2::{IndexAddOption, Signature};

    fn commit(repository: &Repository, file: &str, subject: &str) -> String {
        let path = repository.workdir().unwrap().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, subject).unwrap();
        let mut index = repository.index().unwrap();
        index.add_all(["*"], IndexAddOption::DEFAULT, None).unwrap();
        let tree = repository.find_tree(index.write_tree().unwrap()).unwrap();
        let who = Signature::now("Ann", "ann@example.com").unwrap();
        let parent = repository.head().ok().and_then(|h| h.peel_to_commit().ok());
        let parents: Vec<_> = parent.iter().collect();
        repository.commit(Some("HEAD"), &who, &who, subject, &tree, &parents).unwrap().to_string()
    }

    #[test]
    fn only_commits_of_the_folder_are_told_both_ways() {
        let dir = tempfile::tempdir().unwrap();
        let repository = Repository::init(dir.path()).unwrap();
        let folder = dir.path().join("services/orders");
        let first = commit(&repository, "services/orders/a", "orders: begin");
        commit(&repository, "services/other/a", "other: begin");
        let last = commit(&repository, "services/orders/b", "orders: mend");
        assert_eq!(head(&folder), Some(last.clone()));
        let found = between(&folder, &first, &last).unwrap();
        let subjects: Vec<&str> = found.list.iter().map(|c| c.subject.as_str()).collect();
        assert_eq!((subjects.as_slice(), found.back, found.more), (&["orders: mend"][..], false, false));
        let back = between(&folder, &last, &first).unwrap();
        assert!(back.back && back.list == found.list);
        assert!(between(&folder, &first, &first).unwrap().list.is_empty());
        assert_eq!(between(&folder, &first, &"0".repeat(40)), None, "not known here");
        assert_eq!(head(dir.path().parent().unwrap()), None);
    }
}
