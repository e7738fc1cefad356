//! Puts planned files on the disk: into a hidden folder beside the target, then one rename. What fails or is
//! interrupted leaves nothing; what is killed leaves the hidden folder, which the next run in the same place removes.
//!
//! Nothing is synced to the disk: the rename alone makes the folder appear whole or not at all to everyone, also when
//! the process is killed; only a power cut within seconds could lose what one command makes again. Syncing the
//! parent alone would be worse than nothing (a durable name with empty files), syncing 40 files costs a hundred times
//! their writing.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::plan::Planned;
use crate::error::Failure;

const PREFIX: &str = ".msctl-new-";

/// A hidden folder that becomes the target, or vanishes when dropped.
pub struct Stage {
    folder: PathBuf,
    /// Held while the process lives, so that others know the folder is not an orphan.
    _lock: File,
    renamed: bool,
}

/// Refuses a target that is there already, unless it is an empty folder.
///
/// # Errors
/// Exit code 1, naming what is in the way.
pub fn check_target(target: &Path) -> anyhow::Result<()> {
    let in_the_way = |what: &str| {
        Failure::failed("already-exists", format!("{} {what}", target.display()))
            .object(target.display().to_string())
            .hint("take another name, another --into, or move it away")
    };
    match fs::symlink_metadata(target) {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
        Err(e) => Err(broken("look at", target, &e)),
        Ok(found) if found.is_symlink() => Err(in_the_way("is a symbolic link").into()),
        Ok(found) if !found.is_dir() => Err(in_the_way("is there already, and is no folder").into()),
        Ok(_) => match fs::read_dir(target).map(|mut entries| entries.next().is_none()) {
            Ok(true) => Ok(()),
            Ok(false) => Err(in_the_way("is there already, with files in it").into()),
            Err(e) => Err(broken("list", target, &e)),
        },
    }
}

impl Stage {
    /// Makes the hidden folder in `parent`, where the target will be, and clears orphans of killed runs.
    pub fn create(parent: &Path) -> anyhow::Result<Self> {
        remove_orphans(parent);
        for _ in 0..16 {
            let folder = parent.join(format!("{PREFIX}{:08x}", rand::random::<u32>()));
            match fs::create_dir(&folder) {
                Ok(()) => {}
                Err(e) if e.kind() == ErrorKind::AlreadyExists => continue,
                Err(e) => return Err(broken("create a folder in", parent, &e)),
            }
            // Between mkdir and lock another run may take it for an orphan: then it is gone, or locked.
            let Ok(lock) = File::open(&folder) else { continue };
            let mine = lock.metadata().map(|m| m.ino()).ok();
            if lock.try_lock().is_ok() && fs::metadata(&folder).map(|m| m.ino()).ok() == mine {
                return Ok(Stage { folder, _lock: lock, renamed: false });
            }
        }
        Err(Failure::failed("no-stage", format!("found no free name for a folder in {}", parent.display()))
            .into())
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Writes the files; `stop` is asked before each, and its error ends it.
    pub fn write(&self, files: &[Planned], stop: &dyn Fn() -> anyhow::Result<()>) -> anyhow::Result<()> {
        let mut made = BTreeSet::new();
        for file in files {
            stop()?;
            let place = self.folder.join(&file.path);
            if let Some((folder, _)) = file.path.rsplit_once('/')
                && made.insert(folder)
            {
                let folder = self.folder.join(folder);
                fs::create_dir_all(&folder).map_err(|e| broken("create", &folder, &e))?;
            }
            let opened = OpenOptions::new().write(true).create_new(true).mode(file.mode).open(&place);
            let mut opened = opened.map_err(|e| broken("create", &place, &e))?;
            opened.write_all(&file.content).map_err(|e| broken("write", &place, &e))?;
        }
        stop()
    }

    /// Renames the hidden folder to `target`, which is absent or an empty folder.
    pub fn commit(mut self, target: &Path) -> anyhow::Result<()> {
        check_target(target)?;
        fs::rename(&self.folder, target).map_err(|e| broken("create", target, &e))?;
        self.renamed = true;
        Ok(())
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if !self.renamed {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

fn remove_orphans(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        if !entry.file_name().as_encoded_bytes().starts_with(PREFIX.as_bytes()) {
            continue;
        }
        let orphan = File::open(entry.path()).is_ok_and(|folder| folder.try_lock().is_ok());
        if orphan && entry.file_type().is_ok_and(|t| t.is_dir()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// An error of the file system, with what can be done about it.
fn broken(verb: &str, place: &Path, error: &std::io::Error) -> anyhow::Error {
    let place = place.display();
    let (reason, hint) = match error.kind() {
        ErrorKind::NotFound => ("no-folder", "the folder it should be in is not there: create it first"),
        ErrorKind::PermissionDenied => {
            ("not-writable", "you may not write there: choose another folder with --into")
        }
        ErrorKind::ReadOnlyFilesystem => {
            ("not-writable", "the file system is read-only: choose another folder with --into")
        }
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            ("disk-full", "free some space, or choose another disk with --into; nothing was left behind")
        }
        ErrorKind::NotADirectory => ("no-folder", "something on the way there is a file, not a folder"),
        _ => ("file-system", "nothing was left behind"),
    };
    Failure::failed(reason, format!("cannot {verb} {place}"))
        .object(place.to_string())
        .hint(hint)
        .source(anyhow::anyhow!("{error}"))
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn go() -> anyhow::Result<()> {
        Ok(())
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_failure_leaves_nothing() {
        let home = tempfile::tempdir().unwrap();
        let stage = Stage::create(home.path()).unwrap();
        let twice =
            [Planned::new("a/b", b"1".as_slice(), 0o644), Planned::new("a/b", b"2".as_slice(), 0o644)];
        assert!(stage.write(&twice, &go).is_err());
        drop(stage);
        let stage = Stage::create(home.path()).unwrap();
        let stopped = stage.write(&twice[..1], &|| anyhow::bail!("interrupted"));
        assert!(stopped.is_err());
        drop(stage);
        assert_eq!(names(home.path()), Vec::<String>::new());
    }

    #[test]
    fn the_target_may_be_an_empty_folder_and_nothing_else() {
        let home = tempfile::tempdir().unwrap();
        let at = |name: &str| home.path().join(name);
        fs::create_dir(at("empty")).unwrap();
        fs::create_dir(at("full")).unwrap();
        fs::write(at("full/x"), "").unwrap();
        fs::write(at("file"), "").unwrap();
        std::os::unix::fs::symlink(at("empty"), at("link")).unwrap();
        for (name, good) in
            [("empty", true), ("absent", true), ("full", false), ("file", false), ("link", false)]
        {
            assert_eq!(check_target(&at(name)).is_ok(), good, "{name}");
            let stage = Stage::create(home.path()).unwrap();
            stage.write(&[Planned::new("a", b"1".as_slice(), 0o600)], &go).unwrap();
            assert_eq!(stage.commit(&at(name)).is_ok(), good, "{name}");
        }
        assert_eq!(names(home.path()), ["absent", "empty", "file", "full", "link"]);
        assert_eq!(names(&at("full")), ["x"]);
    }

    #[test]
    fn orphans_are_removed_and_living_stages_are_not() {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir_all(home.path().join(".msctl-new-dead/sub")).unwrap();
        let living = Stage::create(home.path()).unwrap();
        let other = Stage::create(home.path()).unwrap();
        assert_eq!(names(home.path()).len(), 2);
        assert!(living.folder().is_dir() && other.folder().is_dir());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        /// What is planned, written and read back is what was planned.
        #[test]
        fn written_is_planned(
            files in proptest::collection::btree_map("[a-z]{1,3}(/[a-z]{4,6}){0,2}", proptest::collection::vec(any::<u8>(), 0..64), 0..12),
            executable in any::<bool>(),
        ) {
            let mode = if executable { 0o755 } else { 0o600 };
            let clash = super::super::path::collision(files.keys().map(String::as_str)).is_some();
            let planned: Vec<_> = files.iter().map(|(p, c)| Planned::new(p.clone(), c.clone(), mode)).collect();
            let home = tempfile::tempdir().unwrap();
            let stage = Stage::create(home.path()).unwrap();
            prop_assert_eq!(stage.write(&planned, &go).is_err(), clash);
            if !clash {
                let target = home.path().join("t");
                stage.commit(&target).unwrap();
                let mut back = Vec::new();
                read(&target, "", &mut back);
                back.sort_by(|a, b| a.path.cmp(&b.path));
                prop_assert_eq!(back, planned);
            }
        }
    }

    fn read(folder: &Path, path: &str, back: &mut Vec<Planned<'static>>) {
        for name in names(folder) {
            let (place, path) = (folder.join(&name), format!("{path}{name}"));
            if place.is_dir() {
                read(&place, &format!("{path}/"), back);
            } else {
                let mode = fs::metadata(&place).unwrap().mode() & 0o777;
                back.push(Planned::new(path, fs::read(&place).unwrap(), mode));
            }
        }
    }
}
