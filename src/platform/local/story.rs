//! What is kept of deploys: a file each, in a folder of the service, written by whoever drives.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use sha2::{Digest, Sha256};

use super::places::{Places, remove, write_private};
use crate::platform::{Error, Result, Stored};

fn number(path: &Path) -> Option<u32> {
    path.file_name()?.to_str()?.strip_suffix(".json")?.parse().ok()
}

/// The files by deploy, oldest first.
fn files(folder: &Path) -> Vec<(u32, PathBuf)> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<_> = entries.filter_map(|e| Some((number(&e.path())?, e.path()))).collect();
    files.sort();
    files
}

fn version(body: &str) -> String {
    hex::encode(&Sha256::digest(body)[..8])
}

fn read(path: &Path) -> Result<Option<Stored>> {
    match std::fs::read_to_string(path) {
        Ok(body) => Ok(Some(Stored { version: version(&body), body })),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(anyhow::Error::new(e).context(format!("read {}", path.display())).into()),
    }
}

pub fn stories(places: &Places, service: &str, deploy: Option<u32>) -> Result<Vec<Stored>> {
    let wanted = files(&places.stories(service)).into_iter().filter(|(n, _)| deploy.is_none_or(|d| d == *n));
    wanted.filter_map(|(_, path)| read(&path).transpose()).collect()
}

pub fn keep(
    places: &Places,
    service: &str,
    deploy: u32,
    body: &str,
    seen: Option<&str>,
    keep: u32,
) -> Result<String> {
    // A service that was taken down meanwhile leaves nothing behind.
    if !places.record(service).exists() {
        return Err(Error::NotFound(format!("{service} is not there")));
    }
    let folder = places.stories(service);
    let path = folder.join(format!("{deploy}.json"));
    if read(&path)?.map(|s| s.version).as_deref() != seen {
        return Err(Error::Conflict(format!("what is kept of deploy {deploy}")));
    }
    write_private(&path, body.as_bytes()).with_context(|| format!("write {}", path.display()))?;
    let all = files(&folder);
    for (_, old) in all.iter().take(all.len().saturating_sub(keep as usize)) {
        remove(old)?;
    }
    Ok(version(body))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Env;

    #[test]
    fn a_ring_of_files_by_compare_and_swap() {
        let dir = tempfile::tempdir().unwrap();
        let places = Places::at(dir.path().to_owned(), &Env::default()).unwrap();
        assert!(matches!(keep(&places, "shop", 1, "a", None, 2), Err(Error::NotFound(_))), "no such service");
        write_private(&places.record("shop"), b"{}").unwrap();
        let first = keep(&places, "shop", 1, "a", None, 2).unwrap();
        assert!(matches!(keep(&places, "shop", 1, "b", None, 2), Err(Error::Conflict(_))));
        keep(&places, "shop", 1, "b", Some(&first), 2).unwrap();
        assert!(matches!(keep(&places, "shop", 1, "c", Some(&first), 2), Err(Error::Conflict(_))));
        for deploy in [2, 10] {
            keep(&places, "shop", deploy, "x", None, 2).unwrap();
        }
        let bodies = |deploy| {
            let all = stories(&places, "shop", deploy).unwrap();
            all.into_iter().map(|s| s.body).collect::<Vec<_>>()
        };
        assert_eq!(bodies(None), ["x", "x"]);
        assert_eq!(bodies(Some(1)), Vec::<String>::new(), "the oldest went");
        assert_eq!(bodies(Some(10)), ["x"]);
    }
}
