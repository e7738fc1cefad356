//! Remembers the hash of files by their stat, so that an unchanged tree is hashed without reading a file.
//!
//! An entry is believed only when size, times, inode and mode are all the same. The time of the last status change
//! cannot be set by a program, so a rewrite that keeps size and modification time is still seen. A file that changed
//! within [`MARGIN`] before it was read is not remembered: a second change in the same tick would be missed.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};

use super::context::Sha;

/// Coarser than the clock of any file system in use but FAT.
const MARGIN: Duration = Duration::from_secs(2);
const MAGIC: &[u8] = b"msctl stats 1\n";

/// What must be equal for a file to count as unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp([u8; 48]);

impl Stamp {
    pub fn of(meta: &Metadata) -> Self {
        let mut bytes = [0; 48];
        let seconds = [meta.len(), meta.mtime() as u64, meta.ctime() as u64, meta.ino()];
        let rest = [meta.mtime_nsec() as u32, meta.ctime_nsec() as u32, meta.mode(), meta.dev() as u32];
        for (to, value) in bytes.chunks_exact_mut(8).zip(seconds) {
            to.copy_from_slice(&value.to_le_bytes());
        }
        for (to, value) in bytes[32..].chunks_exact_mut(4).zip(rest) {
            to.copy_from_slice(&value.to_le_bytes());
        }
        Stamp(bytes)
    }

    fn ctime(&self) -> Duration {
        let seconds = u64::from_le_bytes(self.0[16..24].try_into().expect("eight bytes"));
        let nanos = u32::from_le_bytes(self.0[36..40].try_into().expect("four bytes"));
        Duration::new(seconds, nanos)
    }
}

/// Records in the order of their paths, in the form they have on disk.
#[derive(Debug, Default)]
pub struct Stats {
    bytes: Vec<u8>,
    /// Where each record begins.
    starts: Vec<u32>,
}

impl Stats {
    /// The stats of files, sorted by path as bytes compare after `/` is taken for the smallest; hashed since `begun`.
    pub fn of<'a>(begun: SystemTime, files: impl Iterator<Item = (&'a str, Stamp, Sha)>) -> Self {
        let limit = begun.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().saturating_sub(MARGIN);
        let mut stats = Stats { bytes: MAGIC.to_vec(), starts: Vec::new() };
        let mut files: Vec<_> =
            files.filter(|(path, stamp, _)| stamp.ctime() < limit && path.len() < 65536).collect();
        files.sort_unstable_by_key(|(path, ..)| *path);
        for (path, stamp, sha) in files {
            let Ok(start) = u32::try_from(stats.bytes.len()) else { break };
            stats.starts.push(start);
            stats.bytes.extend((path.len() as u16).to_le_bytes());
            stats.bytes.extend(path.as_bytes());
            stats.bytes.extend(stamp.0);
            stats.bytes.extend(sha);
        }
        stats
    }

    pub fn get(&self, path: &str, stamp: &Stamp) -> Option<Sha> {
        let found = self.starts.binary_search_by(|&start| self.path(start).cmp(path.as_bytes())).ok()?;
        let after = self.starts[found] as usize + 2 + path.len();
        let record = &self.bytes[after..after + 80];
        (record[..48] == stamp.0).then(|| record[48..].try_into().expect("32 bytes"))
    }

    fn path(&self, start: u32) -> &[u8] {
        let start = start as usize;
        let length = usize::from(u16::from_le_bytes([self.bytes[start], self.bytes[start + 1]]));
        &self.bytes[start + 2..start + 2 + length]
    }

    /// What was saved for `root`; nothing when there is none, or it is damaged.
    pub fn load(folder: &Path, root: &Path) -> Self {
        std::fs::read(file(folder, root)).ok().and_then(Self::parse).unwrap_or_default()
    }

    fn parse(mut body: Vec<u8>) -> Option<Self> {
        let sum = body.split_off(body.len().checked_sub(8)?);
        if !body.starts_with(MAGIC) || checksum(&body) != sum[..] {
            return None;
        }
        let mut starts = Vec::with_capacity(body.len() / 128);
        let mut at = MAGIC.len();
        while at < body.len() {
            let length = usize::from(u16::from_le_bytes([*body.get(at)?, *body.get(at + 1)?]));
            starts.push(u32::try_from(at).ok()?);
            at += 2 + length + 80;
        }
        (at == body.len()).then_some(Stats { bytes: body, starts })
    }

    /// Replaces what was saved for `root`, if it differs from `before`. Losing it costs time only, so errors are not told.
    pub fn save(&self, folder: &Path, root: &Path, before: &Stats) {
        if self.bytes == before.bytes {
            return;
        }
        let written = std::fs::create_dir_all(folder).and_then(|()| {
            let mut temporary = tempfile::NamedTempFile::new_in(folder)?;
            std::io::Write::write_all(&mut temporary, &self.bytes)?;
            std::io::Write::write_all(&mut temporary, &checksum(&self.bytes))?;
            temporary.persist(file(folder, root)).map_err(|e| e.error)
        });
        drop(written);
    }
}

/// Against a cut file, not against malice: eight bytes of a fast sum.
fn checksum(bytes: &[u8]) -> [u8; 8] {
    let mut sum = 0xcbf2_9ce4_8422_2325_u64;
    for chunk in bytes.chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        sum = (sum ^ u64::from_le_bytes(word)).wrapping_mul(0x0100_0000_01b3).rotate_left(23);
    }
    (sum ^ bytes.len() as u64).to_le_bytes()
}

fn file(folder: &Path, root: &Path) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    let name = hex::encode(&Sha256::digest(root.as_os_str().as_bytes())[..8]);
    folder.join(format!("{name}.stats"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(path: &Path) -> Stamp {
        Stamp::of(&std::fs::symlink_metadata(path).unwrap())
    }

    #[test]
    fn what_is_saved_is_found_again_until_it_changes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        std::fs::write(&path, "one").unwrap();
        let later = SystemTime::now() + Duration::from_secs(10);
        let saved =
            Stats::of(later, [("b/a", stamp(&path), [7; 32]), ("a", stamp(&path), [8; 32])].into_iter());
        saved.save(dir.path(), Path::new("/x"), &Stats::default());
        let loaded = Stats::load(dir.path(), Path::new("/x"));
        assert_eq!(loaded.get("a", &stamp(&path)), Some([8; 32]));
        assert_eq!(loaded.get("b/a", &stamp(&path)), Some([7; 32]));
        assert_eq!(loaded.get("c", &stamp(&path)), None);
        assert_eq!(Stats::load(dir.path(), Path::new("/y")).get("a", &stamp(&path)), None);

        let times = std::fs::metadata(&path).unwrap().modified().unwrap();
        std::fs::write(&path, "two").unwrap();
        std::fs::File::options().write(true).open(&path).unwrap().set_modified(times).unwrap();
        assert_eq!(loaded.get("a", &stamp(&path)), None, "same size and time, but written since");
    }

    #[test]
    fn a_file_just_written_is_not_remembered() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        std::fs::write(&path, "one").unwrap();
        let stats = Stats::of(SystemTime::now(), [("a", stamp(&path), [8; 32])].into_iter());
        assert_eq!(stats.get("a", &stamp(&path)), None);
    }

    #[test]
    fn a_damaged_file_is_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        std::fs::write(&path, "one").unwrap();
        let later = SystemTime::now() + Duration::from_secs(10);
        Stats::of(later, [("a", stamp(&path), [8; 32])].into_iter()).save(
            dir.path(),
            Path::new("/x"),
            &Stats::default(),
        );
        let saved = file(dir.path(), Path::new("/x"));
        let whole = std::fs::read(&saved).unwrap();
        for end in 0..whole.len() {
            assert!(Stats::parse(whole[..end].to_vec()).is_none(), "cut at {end}");
        }
        let mut flipped = whole;
        flipped[MAGIC.len() + 5] ^= 1;
        assert!(Stats::parse(flipped).is_none());
    }
}
