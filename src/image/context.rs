//! The build context: one ignore-aware parallel walk that stats and hashes, and a tar stream made from it.
//!
//! A file is read once: what the walk read to hash it is kept (up to [`KEEP`] bytes) for the stream. Files the
//! [`super::stats`] cache knows unchanged are not read at all. Order is by name, owner is root, links stay links.
//! Times are the files' own: `cargo` and `make` in a cache mount decide by them, and a constant time would make them
//! keep stale results. `SOURCE_DATE_EPOCH` caps them, as elsewhere.

use std::collections::HashMap;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex};

use anyhow::Context as _;
use sha2::{Digest, Sha256};

use super::dockerignore::{Above, Ignore};
use super::stats::{Stamp, Stats};
use crate::error::Failure;

/// How many bytes of files read by the walk are kept for the stream.
pub const KEEP: u64 = 64 << 20;

const SECOND: i64 = 1_000_000_000;

pub type Sha = [u8; 32];

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    Folder,
    File(Sha),
    Link(PathBuf),
}

#[derive(Debug, Clone)]
pub struct Entry {
    /// Relative to the context's root, `/` between names.
    pub path: String,
    pub kind: Kind,
    /// Permission bits, with setuid, setgid and sticky.
    pub mode: u32,
    pub size: u64,
    /// Nanoseconds since 1970.
    pub time: i64,
}

/// A walked folder, ready to be sent.
#[derive(Debug)]
pub struct Context {
    pub root: PathBuf,
    /// Sorted by name, folders before what is in them.
    pub entries: Vec<Entry>,
    /// Of names, kinds, modes and contents; not of times.
    pub hash: Sha,
    pub files: u64,
    pub bytes: u64,
    /// Files that had to be read.
    pub read: u64,
    /// What was left out because it is neither file, folder nor link.
    pub odd: Vec<String>,
    kept: HashMap<String, Vec<u8>>,
}

/// Everything a walk's threads share.
struct Walk<'a> {
    root: &'a Path,
    ignore: &'a Ignore,
    known: &'a Stats,
    cap: Option<i64>,
    queue: Mutex<Queue>,
    more: Condvar,
    budget: AtomicU64,
}

#[derive(Default)]
struct Queue {
    folders: Vec<(String, Above, bool)>,
    busy: usize,
    failed: bool,
}

#[derive(Default)]
struct Found {
    entries: Vec<(Entry, Stamp)>,
    kept: HashMap<String, Vec<u8>>,
    read: u64,
    odd: Vec<String>,
}

/// Walks `root` and hashes what `ignore` lets in. `known` spares reading; [`Context::stamps`] feeds it afterwards.
pub fn scan(
    root: &Path,
    ignore: &Ignore,
    known: &Stats,
    cap: Option<i64>,
) -> anyhow::Result<(Context, Stats)> {
    let begun = std::time::SystemTime::now();
    let walk = Walk {
        root,
        ignore,
        known,
        cap,
        queue: Mutex::new(Queue {
            folders: vec![(String::new(), Above::default(), false)],
            ..Queue::default()
        }),
        more: Condvar::new(),
        budget: AtomicU64::new(KEEP),
    };
    let threads = std::thread::available_parallelism().map_or(2, usize::from).clamp(1, 8);
    let parts = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(|| walk.work())).collect();
        let ends = workers.into_iter().map(|w| w.join().unwrap_or_else(|p| std::panic::resume_unwind(p)));
        ends.collect::<anyhow::Result<Vec<Found>>>()
    })?;
    let mut all = Found::default();
    for part in parts {
        all.entries.extend(part.entries);
        all.kept.extend(part.kept);
        all.odd.extend(part.odd);
        all.read += part.read;
    }
    all.entries.sort_unstable_by(|a, b| by_name(&a.0.path, &b.0.path));
    drop_empty_parents(&mut all.entries);
    let stats = Stats::of(
        begun,
        all.entries.iter().filter_map(|(entry, stamp)| match entry.kind {
            Kind::File(sha) => Some((entry.path.as_str(), *stamp, sha)),
            _ => None,
        }),
    );
    let entries: Vec<Entry> = all.entries.into_iter().map(|(entry, _)| entry).collect();
    let files = entries.iter().filter(|e| matches!(e.kind, Kind::File(_)));
    let (count, bytes) = files.fold((0, 0), |(n, bytes), e| (n + 1, bytes + e.size));
    all.odd.sort();
    let context = Context {
        root: root.to_owned(),
        hash: hash(&entries),
        files: count,
        bytes,
        read: all.read,
        odd: all.odd,
        kept: all.kept,
        entries,
    };
    Ok((context, stats))
}

impl Walk<'_> {
    fn work(&self) -> anyhow::Result<Found> {
        let mut found = Found::default();
        while let Some((folder, above, excluded)) = self.next() {
            let result = self.visit(&folder, &above, excluded, &mut found);
            let mut queue = self.queue.lock().unwrap_or_else(|e| e.into_inner());
            queue.busy -= 1;
            queue.failed |= result.is_err();
            self.more.notify_all();
            drop(queue);
            result?;
        }
        Ok(found)
    }

    fn next(&self) -> Option<(String, Above, bool)> {
        let mut queue = self.queue.lock().unwrap_or_else(|e| e.into_inner());
        loop {
            if queue.failed {
                return None;
            }
            if let Some(folder) = queue.folders.pop() {
                queue.busy += 1;
                return Some(folder);
            }
            if queue.busy == 0 {
                return None;
            }
            queue = self.more.wait(queue).unwrap_or_else(|e| e.into_inner());
        }
    }

    fn visit(&self, folder: &str, above: &Above, excluded: bool, found: &mut Found) -> anyhow::Result<()> {
        let path = self.root.join(folder);
        let entries = match fs::read_dir(&path) {
            Err(e) if excluded && e.kind() == io::ErrorKind::PermissionDenied => return Ok(()),
            entries => entries.map_err(|e| unreadable(&path, e))?,
        };
        let mut below = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|e| unreadable(&path, e))?;
            let name = entry.file_name();
            let Some(name) = name.to_str() else {
                let name = name.to_string_lossy();
                let message = format!("{}/{name}: the name is not UTF-8", path.display());
                return Err(Failure::failed("bad-file-name", message)
                    .hint("rename it, or leave it out in .dockerignore with a wildcard")
                    .into());
            };
            let path = if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
            let excluded = self.ignore.excludes(&path, above);
            if excluded && !self.ignore.may_return_below(&path) {
                continue;
            }
            let meta = match entry.metadata() {
                // Gone since it was listed: as if it had never been there.
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                meta => meta.map_err(|e| unreadable(&entry.path(), e))?,
            };
            if meta.is_dir() {
                below.push((path.clone(), self.ignore.folder(&path, above), excluded));
            } else if excluded {
                continue;
            }
            self.take(path, &meta, excluded, found)?;
        }
        if !below.is_empty() {
            self.queue.lock().unwrap_or_else(|e| e.into_inner()).folders.extend(below);
            self.more.notify_all();
        }
        Ok(())
    }

    fn take(&self, path: String, meta: &Metadata, excluded: bool, found: &mut Found) -> anyhow::Result<()> {
        let full = self.root.join(&path);
        let stamp = Stamp::of(meta);
        let kind = if meta.is_dir() {
            Kind::Folder
        } else if meta.is_symlink() {
            Kind::Link(fs::read_link(&full).map_err(|e| unreadable(&full, e))?)
        } else if meta.is_file() {
            let sha = match self.known.get(&path, &stamp) {
                Some(sha) => sha,
                None => {
                    found.read += 1;
                    self.read(&path, &full, meta.len(), found).map_err(|e| unreadable(&full, e))?
                }
            };
            Kind::File(sha)
        } else {
            if !meta.file_type().is_socket() {
                found.odd.push(path);
            }
            return Ok(());
        };
        let time = meta.mtime().saturating_mul(SECOND).saturating_add(meta.mtime_nsec());
        let entry = Entry {
            path,
            size: if meta.is_file() { meta.len() } else { 0 },
            time: self.cap.map_or(time, |cap| time.min(cap.saturating_mul(SECOND))),
            // The bit no permission uses marks a folder that is only there for what is below it.
            mode: meta.mode() & 0o7777 | if excluded { ONLY_PARENT } else { 0 },
            kind,
        };
        found.entries.push((entry, stamp));
        Ok(())
    }

    fn read(&self, path: &str, full: &Path, size: u64, found: &mut Found) -> io::Result<Sha> {
        let file = File::open(full)?;
        let keep = size > 0
            && self
                .budget
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |b| b.checked_sub(size))
                .is_ok();
        let mut hasher = Sha256::new();
        if keep {
            let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0) + 1);
            file.take(size).read_to_end(&mut bytes)?;
            hasher.update(&bytes);
            found.kept.insert(path.to_owned(), bytes);
        } else {
            io::copy(&mut file.take(size), &mut hasher)?;
        }
        Ok(hasher.finalize().into())
    }
}

const ONLY_PARENT: u32 = 1 << 16;

/// Removes excluded folders under which nothing came back, and the mark from the others.
fn drop_empty_parents(entries: &mut Vec<(Entry, Stamp)>) {
    let mut wanted = vec![true; entries.len()];
    let mut next: Option<&str> = None;
    for (index, (entry, _)) in entries.iter().enumerate().rev() {
        let below = |n: &str| n.strip_prefix(entry.path.as_str()).is_some_and(|rest| rest.starts_with('/'));
        wanted[index] = entry.mode & ONLY_PARENT == 0 || next.is_some_and(below);
        if wanted[index] {
            next = Some(&entry.path);
        }
    }
    let mut wanted = wanted.into_iter();
    entries.retain(|_| wanted.next().unwrap_or(true));
    for (entry, _) in entries {
        entry.mode &= !ONLY_PARENT;
    }
}

/// Names in the order of a walk: `a`, `a/b`, `a.b`.
fn by_name(a: &str, b: &str) -> std::cmp::Ordering {
    let key = |c: u8| if c == b'/' { 0 } else { c };
    a.bytes().map(key).cmp(b.bytes().map(key))
}

fn hash(entries: &[Entry]) -> Sha {
    let mut hasher = Sha256::new();
    for entry in entries {
        hasher.update(entry.path.as_bytes());
        hasher.update([0]);
        hasher.update(entry.mode.to_le_bytes());
        match &entry.kind {
            Kind::Folder => hasher.update(b"d"),
            Kind::File(sha) => {
                hasher.update(b"f");
                hasher.update(sha);
            }
            Kind::Link(to) => {
                hasher.update(b"l");
                hasher.update(to.as_os_str().as_bytes());
                hasher.update([0]);
            }
        }
    }
    hasher.finalize().into()
}

fn unreadable(path: &Path, error: io::Error) -> anyhow::Error {
    let failure =
        Failure::failed("unreadable-file", format!("read {} for the build context", path.display()));
    failure.hint("make it readable, or leave it out in .dockerignore").source(error).into()
}

impl Context {
    /// The newest time of a file, seconds since 1970.
    pub fn newest(&self) -> i64 {
        let files = self.entries.iter().filter(|e| matches!(e.kind, Kind::File(_)));
        files.map(|e| e.time / SECOND).max().unwrap_or(0)
    }

    /// The content of a file as it was hashed. Reading a file that changed since then ends with an error.
    pub fn open(&self, entry: &Entry) -> anyhow::Result<Box<dyn Read + '_>> {
        if let Some(bytes) = self.kept.get(&entry.path) {
            return Ok(Box::new(bytes.as_slice()));
        }
        let path = self.root.join(&entry.path);
        let file = File::open(&path).map_err(|e| unreadable(&path, e))?;
        let Kind::File(sha) = entry.kind else { return Ok(Box::new(io::empty())) };
        Ok(Box::new(Checked { file, left: entry.size, hasher: Sha256::new(), sha }))
    }

    /// Writes the context as a tar archive; `extra` are files that are not in the tree, at the archive's end.
    pub fn write_tar(&self, to: impl io::Write, extra: &[(String, Vec<u8>)]) -> anyhow::Result<()> {
        let mut tar = tar::Builder::new(to);
        for entry in &self.entries {
            let mut header = tar::Header::new_gnu();
            header.set_mode(entry.mode);
            // Whole seconds, rounded up so that no change looks older than it is.
            header.set_mtime(u64::try_from(entry.time).unwrap_or(0).div_ceil(SECOND.unsigned_abs()));
            header.set_uid(0);
            header.set_gid(0);
            header.set_size(entry.size);
            match &entry.kind {
                Kind::Folder => {
                    header.set_entry_type(tar::EntryType::Directory);
                    tar.append_data(&mut header, format!("{}/", entry.path), io::empty())?;
                }
                Kind::Link(to) => {
                    header.set_entry_type(tar::EntryType::Symlink);
                    tar.append_link(&mut header, &entry.path, to)?;
                }
                Kind::File(_) => {
                    let content = self.open(entry)?;
                    let appended = tar.append_data(&mut header, &entry.path, content);
                    appended.map_err(|e| unsendable(&self.root.join(&entry.path), e))?;
                }
            }
        }
        for (path, content) in extra {
            let mut header = tar::Header::new_gnu();
            header.set_mode(0o644);
            header.set_uid(0);
            header.set_gid(0);
            header.set_mtime(0);
            header.set_size(content.len() as u64);
            tar.append_data(&mut header, path, content.as_slice())?;
        }
        tar.into_inner().context("end the build context")?;
        Ok(())
    }
}

/// A file that must end as it was hashed.
struct Checked {
    file: File,
    left: u64,
    hasher: Sha256,
    sha: Sha,
}

#[derive(Debug, thiserror::Error)]
#[error("changed since it was hashed")]
struct Changed;

impl Read for Checked {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = (&mut self.file).take(self.left).read(buffer)?;
        self.hasher.update(&buffer[..read]);
        self.left -= read as u64;
        let over = self.left == 0 || (read == 0 && !buffer.is_empty());
        if over {
            let longer = self.file.read(&mut [0])? > 0;
            if longer || self.left > 0 || Sha::from(self.hasher.clone().finalize()) != self.sha {
                return Err(io::Error::other(Changed));
            }
        }
        Ok(read)
    }
}

/// Why a file could not be sent: it changed, it cannot be read, or nobody listens.
pub fn unsendable(path: &Path, error: io::Error) -> anyhow::Error {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return anyhow::Error::from(error).context("the engine stopped reading the build context");
    }
    if !error.get_ref().is_some_and(|e| e.is::<Changed>()) {
        return unreadable(path, error);
    }
    Failure::failed("changed-while-building", format!("{} changed while it was being sent", path.display()))
        .hint("build again; if a tool writes it all the time, leave it out in .dockerignore")
        .into()
}

#[cfg(test)]
#[path = "context_tests.rs"]
mod tests;
