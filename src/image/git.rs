//! Reads what [`super::tag`] wants to know from git. Never writes: not even the index's cached stats.

use std::path::Path;

use anyhow::Context as _;
use git2::{ErrorCode, Repository, Status, StatusOptions};
use jiff::Timestamp;

use super::tag::Facts;

/// What git says of `folder`; None where there is no repository or no commit yet. Only changes below the folder count.
pub fn facts(folder: &Path) -> anyhow::Result<Option<Facts>> {
    let repository = match Repository::discover(folder) {
        Ok(repository) => repository,
        Err(e) if e.code() == ErrorCode::NotFound => return Ok(None),
        Err(e) => return Err(e).with_context(|| format!("open the git repository of {}", folder.display())),
    };
    let Some(root) = repository.workdir() else { return Ok(None) };
    let commit = match repository.head().and_then(|h| h.peel_to_commit()) {
        Ok(commit) => commit,
        Err(e) if matches!(e.code(), ErrorCode::UnbornBranch | ErrorCode::NotFound) => return Ok(None),
        Err(e) => return Err(e).context("read git's HEAD"),
    };
    // A folder that is ignored as a whole, or lies in another work tree, is not this repository's matter.
    let below = folder.canonicalize()?;
    let Ok(below) = below.strip_prefix(root.canonicalize()?) else { return Ok(None) };
    if !below.as_os_str().is_empty() && repository.is_path_ignored(below).unwrap_or(false) {
        return Ok(None);
    }
    Ok(Some(Facts {
        time: Timestamp::from_second(commit.time().seconds()).unwrap_or(Timestamp::UNIX_EPOCH),
        tags: tags(&repository, commit.id())?,
        changed: changed(&repository, below)?,
        source: repository.find_remote("origin").ok().and_then(|r| without_login(r.url().ok()?)),
        commit: commit.id().to_string(),
    }))
}

fn tags(repository: &Repository, commit: git2::Oid) -> anyhow::Result<Vec<String>> {
    let mut found = Vec::new();
    for reference in repository.references_glob("refs/tags/v*").context("list git tags")? {
        let Ok(reference) = reference else { continue };
        let here = reference.peel_to_commit().is_ok_and(|c| c.id() == commit);
        if here && let Some(name) = reference.name().ok().and_then(|n| n.strip_prefix("refs/tags/")) {
            found.push(name.to_owned());
        }
    }
    Ok(found)
}

fn changed(repository: &Repository, below: &Path) -> anyhow::Result<Vec<String>> {
    let mut options = StatusOptions::new();
    options.include_untracked(true).recurse_untracked_dirs(true).include_ignored(false);
    options.exclude_submodules(true).update_index(false).disable_pathspec_match(true);
    if !below.as_os_str().is_empty() {
        options.pathspec(below);
    }
    let statuses = repository.statuses(Some(&mut options)).context("ask git what changed")?;
    let prefix = if below.as_os_str().is_empty() { String::new() } else { format!("{}/", below.display()) };
    let mut files: Vec<String> = statuses
        .iter()
        .filter(|s| s.status() != Status::CURRENT && !s.status().is_ignored())
        .map(|s| String::from_utf8_lossy(s.path_bytes()).into_owned())
        .map(|p| p.strip_prefix(&prefix).map(str::to_owned).unwrap_or(p))
        .collect();
    files.sort();
    Ok(files)
}

/// A remote's address as a web address: no user, no password, no `git@`.
fn without_login(url: &str) -> Option<String> {
    if let Some((scheme, rest)) = url.split_once("://") {
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
        return (!host.is_empty()).then(|| format!("{scheme}://{host}/{path}"));
    }
    let (host, path) = url.split_once(':')?;
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    (!path.is_empty() && !host.contains('/'))
        .then(|| format!("https://{host}/{}", path.trim_start_matches('/')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repository() -> (tempfile::TempDir, Repository) {
        let dir = tempfile::tempdir().unwrap();
        let repository = Repository::init(dir.path()).unwrap();
        (dir, repository)
    }

    fn commit(repository: &Repository) -> git2::Oid {
        let mut index = repository.index().unwrap();
        index.add_all(["*"], git2::IndexAddOption::DEFAULT, None).unwrap();
        index.write().unwrap();
        let tree = repository.find_tree(index.write_tree().unwrap()).unwrap();
        let author = git2::Signature::new("A", "a@example.com", &git2::Time::new(1_700_000_000, 0)).unwrap();
        let parent = repository.head().ok().and_then(|h| h.peel_to_commit().ok());
        let parents: Vec<&git2::Commit<'_>> = parent.iter().collect();
        repository.commit(Some("HEAD"), &author, &author, "x", &tree, &parents).unwrap()
    }

    #[test]
    fn only_the_services_folder_counts() {
        let (dir, repository) = repository();
        let (orders, other) = (dir.path().join("orders"), dir.path().join("other"));
        for folder in [&orders, &other] {
            std::fs::create_dir(folder).unwrap();
            std::fs::write(folder.join("main.go"), "package main").unwrap();
        }
        std::fs::write(dir.path().join(".gitignore"), "*.tmp\n/ignored\n").unwrap();
        assert_eq!(facts(&orders).unwrap(), None, "no commit yet");
        let id = commit(&repository);
        repository.tag_lightweight("v1.0.0", repository.find_commit(id).unwrap().as_object(), false).unwrap();

        std::fs::write(other.join("main.go"), "changed").unwrap();
        std::fs::write(orders.join("x.tmp"), "ignored").unwrap();
        let clean = facts(&orders).unwrap().unwrap();
        assert_eq!(
            (clean.commit, clean.tags, clean.changed),
            (id.to_string(), vec!["v1.0.0".into()], vec![])
        );
        assert_eq!(clean.time.as_second(), 1_700_000_000);

        std::fs::write(orders.join("main.go"), "changed").unwrap();
        std::fs::create_dir(orders.join("new")).unwrap();
        std::fs::write(orders.join("new/file"), "").unwrap();
        assert_eq!(facts(&orders).unwrap().unwrap().changed, ["main.go", "new/file"]);

        std::fs::remove_file(orders.join("main.go")).unwrap();
        assert_eq!(facts(&orders).unwrap().unwrap().changed, ["main.go", "new/file"]);
        std::fs::create_dir(dir.path().join("ignored")).unwrap();
        assert_eq!(facts(&dir.path().join("ignored")).unwrap(), None, "an ignored folder has no commit");
    }

    #[test]
    fn a_source_has_no_login() {
        for (url, clean) in [
            ("https://user:token@example.com/o/r.git", Some("https://example.com/o/r.git")),
            ("git@example.com:o/r.git", Some("https://example.com/o/r.git")),
            ("ssh://git@example.com:22/o/r", Some("ssh://example.com:22/o/r")),
            ("/srv/repo", None),
        ] {
            assert_eq!(without_login(url).as_deref(), clean, "{url}");
        }
    }
}
