//! The files a local build starts from: found, hashed, and copied into the revision's own folder.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use ignore::gitignore::{Gitignore, GitignoreBuilder};
use sha2::{Digest, Sha256};

use crate::error::{Failure, Location};
use crate::image::dockerignore::{Above, Ignore};

/// msctl.yaml says how a version runs, not what it is: a changed value there builds nothing anew.
const NEVER: [&str; 3] = [".git", ".msctl", "msctl.yaml"];

/// Files and links of a folder, relative to it and sorted.
pub struct Sources {
    root: PathBuf,
    files: Vec<PathBuf>,
}

impl Sources {
    /// All but what .dockerignore (where there is none, .gitignore) leaves out.
    pub fn of(root: &Path) -> anyhow::Result<Self> {
        let ignored = Ignored::of(root)?;
        let mut files = Vec::new();
        let mut folders = vec![(PathBuf::new(), Above::default())];
        while let Some((folder, above)) = folders.pop() {
            let entries = fs::read_dir(root.join(&folder))
                .with_context(|| format!("read {}", root.join(&folder).display()))?;
            for entry in entries {
                let entry = entry.with_context(|| format!("read {}", root.join(&folder).display()))?;
                let path = folder.join(entry.file_name());
                let kind = entry.file_type().with_context(|| format!("look at {}", path.display()))?;
                let top = folder.as_os_str().is_empty();
                let never = top && NEVER.iter().any(|n| path.as_os_str() == *n);
                let (out, closed) = ignored.path(&path, kind.is_dir(), &above);
                if never || closed {
                    continue;
                }
                if kind.is_dir() {
                    let below = ignored.below(&path, &above);
                    folders.push((path, below));
                } else if !out && (kind.is_file() || kind.is_symlink()) {
                    files.push(path);
                }
            }
        }
        files.sort();
        Ok(Sources { root: root.to_owned(), files })
    }

    /// Of every path, content, link and executable bit, and of `command`; 16 hex digits.
    pub fn hash(&self, command: &str) -> anyhow::Result<String> {
        let mut hash = Sha256::new();
        hash.update(b"msctl local build 1\0");
        hash.update(command.as_bytes());
        for path in &self.files {
            let full = self.root.join(path);
            let meta = fs::symlink_metadata(&full).with_context(|| format!("look at {}", full.display()))?;
            hash.update(b"\0\0");
            hash.update(path.as_os_str().as_bytes());
            if meta.is_symlink() {
                let target = fs::read_link(&full).with_context(|| format!("read {}", full.display()))?;
                hash.update(b"\0link\0");
                hash.update(target.as_os_str().as_bytes());
            } else {
                let executable = meta.permissions().mode() & 0o100 != 0;
                hash.update(if executable { b"\0exec\0" } else { b"\0file\0" });
                hash.update(meta.len().to_le_bytes());
                let mut file = fs::File::open(&full).with_context(|| format!("open {}", full.display()))?;
                std::io::copy(&mut file, &mut hash).with_context(|| format!("read {}", full.display()))?;
            }
        }
        Ok(hex::encode(hash.finalize())[..16].to_owned())
    }

    /// Copies everything to `to`, with permissions and times: build tools compare times.
    pub fn copy(&self, to: &Path) -> anyhow::Result<()> {
        for path in &self.files {
            let (from, to) = (self.root.join(path), to.join(path));
            let copied = || -> std::io::Result<()> {
                fs::create_dir_all(to.parent().unwrap_or(Path::new("/")))?;
                if fs::symlink_metadata(&from)?.is_symlink() {
                    return std::os::unix::fs::symlink(fs::read_link(&from)?, &to);
                }
                fs::copy(&from, &to)?;
                let modified = fs::metadata(&from)?.modified()?;
                let mut permissions = fs::metadata(&to)?.permissions();
                permissions.set_mode(permissions.mode() | 0o600);
                fs::set_permissions(&to, permissions)?;
                fs::File::options().write(true).open(&to)?.set_modified(modified)
            };
            copied().with_context(|| format!("copy {} to {}", from.display(), to.display()))?;
        }
        Ok(())
    }
}

/// What is left out: as Docker reads .dockerignore, else as git reads .gitignore.
enum Ignored {
    Docker(Ignore),
    Git(Box<Gitignore>),
}

impl Ignored {
    fn of(root: &Path) -> anyhow::Result<Self> {
        let read = |name: &str| match fs::read_to_string(root.join(name)) {
            Ok(text) => Ok(Some(text)),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e).with_context(|| format!("read {}", root.join(name).display())),
        };
        if let Some(text) = read(".dockerignore")? {
            return Ignore::parse(&text).map(Ignored::Docker).map_err(|bad| {
                let file = root.join(".dockerignore").display().to_string();
                let at = Location { file, line: bad.line as u64, column: 1 };
                Failure::usage("bad-pattern", format!("{:?} is not a pattern", bad.pattern)).at(at).into()
            });
        }
        let mut builder = GitignoreBuilder::new(root);
        for line in read(".gitignore")?.unwrap_or_default().lines() {
            builder.add_line(None, line).with_context(|| format!("understand {line:?} of .gitignore"))?;
        }
        let rules = builder.build().context("understand .gitignore")?;
        Ok(Ignored::Git(Box::new(rules)))
    }

    /// Whether `path` itself is left out, and whether a folder of that name is not even entered.
    fn path(&self, path: &Path, folder: bool, above: &Above) -> (bool, bool) {
        match self {
            Ignored::Docker(rules) => {
                let path = path.to_string_lossy();
                let out = rules.excludes(&path, above);
                (out, out && !rules.may_return_below(&path))
            }
            Ignored::Git(rules) => {
                let out = rules.matched(path, folder).is_ignore();
                (out, out)
            }
        }
    }

    fn below(&self, path: &Path, above: &Above) -> Above {
        match self {
            Ignored::Docker(rules) => rules.folder(&path.to_string_lossy(), above),
            Ignored::Git(_) => Above::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        dir
    }

    fn names(dir: &tempfile::TempDir) -> Vec<String> {
        Sources::of(dir.path()).unwrap().files.iter().map(|p| p.display().to_string()).collect()
    }

    #[test]
    fn dockerignore_is_rooted_and_knows_exceptions() {
        let dir = tree(&[
            (".dockerignore", "target\n**/*.log\ndocs/*\n!docs/keep.md\n"),
            (".git/config", ""),
            ("msctl.yaml", ""),
            ("a.log", ""),
            ("docs/drop.md", ""),
            ("docs/keep.md", ""),
            ("src/a.log", ""),
            ("src/main.rs", ""),
            ("src/target/x", ""),
            ("target/x", ""),
        ]);
        assert_eq!(names(&dir), [".dockerignore", "docs/keep.md", "src/main.rs", "src/target/x"]);
    }

    #[test]
    fn a_bad_pattern_is_named_with_its_line() {
        let dir = tree(&[(".dockerignore", "ok\n[\n")]);
        let error = Sources::of(dir.path()).err().expect("refused");
        let report = crate::error::report(&error);
        assert_eq!((report.code, report.location.map(|l| l.line)), (2, Some(2)));
    }

    #[test]
    fn gitignore_serves_where_there_is_no_dockerignore() {
        let dir = tree(&[(".gitignore", "target/\n"), ("target/x", ""), ("a/target/x", ""), ("b", "")]);
        assert_eq!(names(&dir), [".gitignore", "b"]);
    }

    #[test]
    fn the_hash_sees_content_mode_and_command_and_a_copy_is_the_same() {
        let dir = tree(&[("a/b", "1"), ("c", "2")]);
        std::os::unix::fs::symlink("c", dir.path().join("d")).unwrap();
        let hash = |dir: &Path, command: &str| Sources::of(dir).unwrap().hash(command).unwrap();
        let first = hash(dir.path(), "make");
        let copy = tempfile::tempdir().unwrap();
        Sources::of(dir.path()).unwrap().copy(copy.path()).unwrap();
        assert_eq!(hash(copy.path(), "make"), first);
        assert_ne!(hash(dir.path(), "make all"), first);
        fs::set_permissions(dir.path().join("c"), fs::Permissions::from_mode(0o755)).unwrap();
        assert_ne!(hash(dir.path(), "make"), first);
        fs::write(copy.path().join("c"), "3").unwrap();
        assert_ne!(hash(copy.path(), "make"), first);
    }
}
