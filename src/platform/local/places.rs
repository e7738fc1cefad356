//! Where the local platform keeps things: its state folder, and the socket of its agent.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::Serialize;

use crate::error::Failure;
use crate::settings::{Env, Settings};

/// The longest path a Unix socket can be bound to, in bytes.
const SOCKET_LIMIT: usize = 107;

/// The folders and files of one user's local platform.
#[derive(Debug, Clone)]
pub struct Places {
    /// `$XDG_STATE_HOME/msctl/local`, closed to other users.
    pub state: PathBuf,
    pub socket: PathBuf,
}

impl Places {
    pub fn of(settings: &Settings) -> anyhow::Result<Self> {
        Self::at(settings.state_folder()?.join("local"), &settings.env)
    }

    /// The places whose state folder is `state`.
    pub fn at(state: PathBuf, env: &Env) -> anyhow::Result<Self> {
        let runtime = env.path("XDG_RUNTIME_DIR").filter(|p| p.is_absolute()).map(|p| p.join("msctl"));
        let folder = match runtime {
            Some(folder) if private_folder(&folder).is_ok() => folder,
            _ => state.clone(),
        };
        let socket = folder.join("agent.sock");
        let length = socket.as_os_str().len();
        if length > SOCKET_LIMIT {
            return Err(Failure::failed(
                "socket-path",
                format!(
                    "{} is {length} bytes long; a socket's path may have {SOCKET_LIMIT}",
                    socket.display()
                ),
            )
            .hint("set XDG_RUNTIME_DIR to a short folder of your own, such as /tmp/NAME")
            .into());
        }
        Ok(Places { state, socket })
    }

    pub fn services(&self) -> PathBuf {
        self.state.join("services")
    }
    /// The rollout state, templates and processes of a service.
    pub fn record(&self, service: &str) -> PathBuf {
        self.services().join(format!("{service}.json"))
    }
    /// Built versions of a service, one folder each.
    pub fn revisions(&self, service: &str) -> PathBuf {
        self.state.join("revisions").join(service)
    }
    pub fn revision(&self, service: &str, build: &str) -> PathBuf {
        self.revisions(service).join(build)
    }
    /// What makes the next build of a service faster.
    pub fn cache(&self, service: &str) -> PathBuf {
        self.state.join("cache").join(service)
    }
    pub fn logs(&self, service: &str) -> PathBuf {
        self.state.join("logs").join(service)
    }
    pub fn log(&self, service: &str, replica: &str) -> PathBuf {
        self.logs(service).join(format!("{replica}.log"))
    }
    /// What is kept of a service's deploys, one file each.
    pub fn stories(&self, service: &str) -> PathBuf {
        self.state.join("deploys").join(service)
    }
    pub fn secrets(&self, service: &str) -> PathBuf {
        self.state.join("secrets").join(service)
    }
    pub fn agent_log(&self) -> PathBuf {
        self.state.join("agent.log")
    }
    pub fn lock(&self) -> PathBuf {
        self.state.join("agent.lock")
    }

    /// Everything on disk that belongs to a service.
    pub fn of_service(&self, service: &str) -> [PathBuf; 6] {
        [
            self.record(service),
            self.revisions(service),
            self.cache(service),
            self.logs(service),
            self.secrets(service),
            self.stories(service),
        ]
    }

    /// Removes all of it, and the folders around it that held nothing else.
    pub fn remove_all(&self) -> anyhow::Result<()> {
        remove(&self.socket)?;
        remove(&self.state)?;
        for folder in [self.state.parent(), self.socket.parent()].into_iter().flatten() {
            // Something else lives there, then: it stays.
            let _ = fs::remove_dir(folder);
        }
        Ok(())
    }

    /// Whether any service was ever installed and not taken down.
    pub fn in_use(&self) -> bool {
        fs::read_dir(self.services()).is_ok_and(|mut entries| entries.next().is_some())
    }

    /// A random key that only this user can read; digests of secrets are made with it.
    pub fn key(&self) -> anyhow::Result<Vec<u8>> {
        private_folder(&self.state)?;
        let file = self.state.join("key");
        if !file.exists() {
            let fresh: [u8; 32] = rand::random();
            write_private(&file, &fresh).with_context(|| format!("write {}", file.display()))?;
        }
        fs::read(&file).with_context(|| format!("read {}", file.display()))
    }
}

/// Makes `folder` (mode 0700) unless it is there, and checks that it belongs to this user.
pub fn private_folder(folder: &Path) -> anyhow::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .with_context(|| format!("make {}", folder.display()))?;
    let owner = fs::metadata(folder).with_context(|| format!("look at {}", folder.display()))?.uid();
    if owner != rustix::process::getuid().as_raw() {
        return Err(Failure::failed(
            "foreign-folder",
            format!("{} belongs to another user", folder.display()),
        )
        .hint("set XDG_STATE_HOME and XDG_RUNTIME_DIR to folders of your own")
        .into());
    }
    Ok(())
}

/// Replaces `file` in one step, readable by this user only.
pub fn write_private(file: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = file.parent().unwrap_or(Path::new("."));
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let temporary = folder.join(format!(".{:016x}.tmp", rand::random::<u64>()));
    let mut out = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    let written = out.write_all(bytes).and_then(|()| fs::rename(&temporary, file));
    if written.is_err() {
        // The error that is returned matters more than the leftover.
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// The same, as JSON.
pub fn write_json(file: &Path, value: &impl Serialize) -> anyhow::Result<()> {
    let text = serde_json::to_vec(value)?;
    write_private(file, &text).with_context(|| format!("write {}", file.display()))
}

/// Removes a file or folder with all it holds; one that is not there is removed already.
pub fn remove(path: &Path) -> anyhow::Result<()> {
    let gone = match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(e) => Err(e),
    };
    match gone {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(e).with_context(|| format!("remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_socket_path_that_is_too_long_says_so() {
        let error = Places::at(PathBuf::from("/x".repeat(60)), &Env::default()).expect_err("too long");
        assert_eq!(crate::error::failure(&error).map(|f| f.reason), Some("socket-path"));
    }

    #[test]
    fn the_runtime_folder_holds_the_socket_and_is_closed() {
        let dir = tempfile::tempdir().unwrap();
        let runtime = dir.path().join("run");
        let env = Env::of([("XDG_RUNTIME_DIR", runtime.display().to_string())]);
        let places = Places::at(dir.path().join("state"), &env).unwrap();
        assert_eq!(places.socket, runtime.join("msctl/agent.sock"));
        let mode = fs::metadata(runtime.join("msctl")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }

    #[test]
    fn written_files_are_private_and_leave_no_temporary() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a/b.json");
        write_json(&file, &1).unwrap();
        write_json(&file, &2).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "2");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path().join("a")).unwrap().count(), 1);
    }
}
