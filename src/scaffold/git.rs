//! A new service's repository: made in the staged folder, so that it appears with its first commit or not at all.

use std::path::Path;

use git2::{IndexAddOption, Repository, RepositoryInitOptions, Signature};

use crate::error::Failure;

/// Whether `folder` belongs to a repository already.
fn inside_repository(folder: &Path) -> bool {
    match Repository::discover(folder) {
        Ok(_) => true,
        // A repository of another user, which git refuses to open, is one all the same.
        Err(error) => error.code() == git2::ErrorCode::Owner,
    }
}

/// Makes `folder` a repository on the branch main and commits everything its .gitignore lets through.
/// Returns the commit; None when `parent` is inside a repository already.
pub fn commit_all(folder: &Path, parent: &Path, message: &str) -> anyhow::Result<Option<String>> {
    if inside_repository(parent) {
        return Ok(None);
    }
    let commit = first_commit(folder, message).map_err(|error| {
        Failure::failed("git", "cannot make the git repository")
            .source(anyhow::anyhow!("{}", error.message()))
            .hint("with --no-git the service is made without one")
    })?;
    Ok(Some(commit))
}

fn first_commit(folder: &Path, message: &str) -> Result<String, git2::Error> {
    let mut options = RepositoryInitOptions::new();
    // The user's template folder may hold hooks, and a repository must not depend on whose machine made it.
    options.initial_head("main").external_template(false).no_reinit(true);
    let repository = Repository::init_opts(folder, &options)?;
    let mut index = repository.index()?;
    index.add_all(["*"], IndexAddOption::DEFAULT, None)?;
    index.write()?;
    let tree = repository.find_tree(index.write_tree()?)?;
    let author = match repository.signature() {
        Ok(author) => author,
        Err(_) => Signature::now("msctl", "msctl@localhost")?,
    };
    let commit = repository.commit(Some("HEAD"), &author, &author, message, &tree, &[])?;
    Ok(commit.to_string())
}
