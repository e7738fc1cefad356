//! The walk, its hash and its tar, on real folders.

use super::*;
use std::collections::BTreeMap;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::{Duration, SystemTime};

fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    dir
}

fn scanned(dir: &Path, ignore: &str) -> Context {
    scan(dir, &Ignore::parse(ignore).unwrap(), &Stats::default(), None).unwrap().0
}

fn names(context: &Context) -> Vec<&str> {
    context.entries.iter().map(|e| e.path.as_str()).collect()
}

#[test]
fn order_is_that_of_a_walk_and_folders_are_kept() {
    let dir = tree(&[("a/b", ""), ("a.b", ""), ("a/c/d", ""), ("z", "")]);
    fs::create_dir(dir.path().join("empty")).unwrap();
    assert_eq!(names(&scanned(dir.path(), "")), ["a", "a/b", "a/c", "a/c/d", "a.b", "empty", "z"]);
}

#[test]
fn what_is_ignored_is_not_even_read() {
    let dir = tree(&[
        ("keep", "1"),
        ("secret/key", "2"),
        ("logs/a.log", "3"),
        ("logs/keep/b", "4"),
        ("logs/x/c", "5"),
    ]);
    fs::set_permissions(dir.path().join("secret/key"), fs::Permissions::from_mode(0o000)).unwrap();
    let context = scanned(dir.path(), "secret\nlogs\n!logs/keep\n");
    assert_eq!(names(&context), ["keep", "logs", "logs/keep", "logs/keep/b"]);
    assert_eq!((context.files, context.bytes, context.read), (2, 2, 2));
    let nothing = scanned(dir.path(), "*\n!nothing\n");
    assert_eq!(names(&nothing), Vec::<&str>::new());
}

#[test]
fn the_hash_is_of_names_modes_and_contents() {
    let files = [("a/b", "one"), ("run.sh", "two")];
    let (one, two) = (tree(&files), tree(&files));
    let hash = |dir: &tempfile::TempDir| scanned(dir.path(), "").hash;
    let first = hash(&one);
    let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    File::options().write(true).open(two.path().join("a/b")).unwrap().set_modified(old).unwrap();
    assert_eq!(first, hash(&two), "times do not count");
    fs::set_permissions(two.path().join("run.sh"), fs::Permissions::from_mode(0o755)).unwrap();
    let executable = hash(&two);
    assert_ne!(first, executable);
    fs::write(two.path().join("a/b"), "eno").unwrap();
    let changed = hash(&two);
    assert_ne!(executable, changed);
    fs::rename(two.path().join("a/b"), two.path().join("a/c")).unwrap();
    assert_ne!(changed, hash(&two));
    fs::remove_file(one.path().join("a/b")).unwrap();
    symlink("one", one.path().join("a/b")).unwrap();
    assert_ne!(first, hash(&one));
}

#[test]
fn an_unchanged_tree_is_hashed_without_reading() {
    let dir = tree(&[("a", "one"), ("b/c", "two")]);
    let ignore = Ignore::default();
    let (first, _) = scan(dir.path(), &ignore, &Stats::default(), None).unwrap();
    // As if the files were not of this very moment.
    let files: Vec<(String, Stamp, Sha)> = first
        .entries
        .iter()
        .filter_map(|e| match e.kind {
            Kind::File(sha) => {
                Some((e.path.clone(), Stamp::of(&fs::metadata(dir.path().join(&e.path)).unwrap()), sha))
            }
            _ => None,
        })
        .collect();
    let later = SystemTime::now() + Duration::from_secs(60);
    let known = Stats::of(later, files.iter().map(|(p, stamp, sha)| (p.as_str(), *stamp, *sha)));
    let (second, _) = scan(dir.path(), &ignore, &known, None).unwrap();
    assert_eq!((second.hash, second.read), (first.hash, 0));
    fs::write(dir.path().join("a"), "eno").unwrap();
    let (third, _) = scan(dir.path(), &ignore, &known, None).unwrap();
    assert_eq!(third.read, 1);
    assert_ne!(third.hash, first.hash);
}

/// Path → (kind, mode, owner, time, content).
fn untar(bytes: &[u8]) -> BTreeMap<String, (u8, u32, u64, u64, String)> {
    let mut archive = tar::Archive::new(bytes);
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().display().to_string();
        let (kind, mode) = (entry.header().entry_type().as_byte(), entry.header().mode().unwrap());
        let (owner, time) = (entry.header().uid().unwrap(), entry.header().mtime().unwrap());
        let mut content = String::new();
        entry.read_to_string(&mut content).unwrap();
        if let Some(link) = entry.link_name().unwrap() {
            content = link.display().to_string();
        }
        (path, (kind, mode, owner, time, content))
    });
    entries.collect()
}

#[test]
fn the_tar_holds_the_tree_the_same_each_time() {
    let long = format!("{}/{}", "d".repeat(120), "f".repeat(120));
    let dir = tree(&[("a", "one"), (&long, "long"), ("umlaut-ä", "u")]);
    symlink("a", dir.path().join("link")).unwrap();
    symlink("/nowhere/at/all", dir.path().join("dangling")).unwrap();
    fs::set_permissions(dir.path().join("a"), fs::Permissions::from_mode(0o750)).unwrap();
    let time = SystemTime::UNIX_EPOCH + Duration::new(1_000_000_000, 5);
    File::options().write(true).open(dir.path().join("a")).unwrap().set_modified(time).unwrap();
    let context = scanned(dir.path(), "");
    let (mut one, mut two) = (Vec::new(), Vec::new());
    context.write_tar(&mut one, &[("Dockerfile".into(), b"FROM a".to_vec())]).unwrap();
    context.write_tar(&mut two, &[("Dockerfile".into(), b"FROM a".to_vec())]).unwrap();
    assert_eq!(one, two);
    let files = untar(&one);
    assert_eq!(files["a"], (b'0', 0o750, 0, 1_000_000_001, "one".into()));
    assert_eq!(files[&long].4, "long");
    assert_eq!(files["umlaut-ä"].4, "u");
    assert_eq!((files["link"].0, files["link"].4.as_str()), (b'2', "a"));
    assert_eq!(files["dangling"].4, "/nowhere/at/all");
    assert_eq!(files["Dockerfile"].4, "FROM a");
    assert!(files.contains_key(&format!("{}/", "d".repeat(120))));
}

#[test]
fn a_file_that_changes_under_the_stream_is_an_error() {
    let dir = tree(&[("a", "one"), ("b", "two")]);
    let context = scanned(dir.path(), "");
    for changed in ["tow", "tw", "twoo"] {
        let again = Context {
            kept: HashMap::new(),
            entries: context.entries.clone(),
            odd: vec![],
            root: context.root.clone(),
            ..context
        };
        fs::write(dir.path().join("b"), changed).unwrap();
        let error = again.write_tar(io::sink(), &[]).unwrap_err();
        assert_eq!(crate::error::report(&error).reason, "changed-while-building", "{changed}: {error:#}");
    }
    fs::write(dir.path().join("b"), "two").unwrap();
    let same = Context {
        kept: HashMap::new(),
        entries: context.entries.clone(),
        odd: vec![],
        root: context.root.clone(),
        ..context
    };
    same.write_tar(io::sink(), &[]).unwrap();
}

#[test]
fn odd_things_are_named_not_sent() {
    let dir = tree(&[("a", "one")]);
    let fifo = dir.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let _socket = std::os::unix::net::UnixListener::bind(dir.path().join("sock")).unwrap();
    let context = scanned(dir.path(), "");
    assert_eq!((names(&context), context.odd.clone()), (vec!["a"], vec!["pipe".to_owned()]));
}

#[test]
fn times_can_be_capped() {
    let dir = tree(&[("a", "one")]);
    let context = scan(dir.path(), &Ignore::default(), &Stats::default(), Some(1000)).unwrap().0;
    assert_eq!(context.newest(), 1000);
}

#[test]
fn a_name_that_is_not_utf8_is_refused_with_a_hint() {
    use std::os::unix::ffi::OsStrExt;
    let dir = tree(&[]);
    fs::write(dir.path().join(std::ffi::OsStr::from_bytes(b"a\xff")), "").unwrap();
    let error = scan(dir.path(), &Ignore::default(), &Stats::default(), None).unwrap_err();
    assert_eq!(crate::error::report(&error).reason, "bad-file-name");
}

#[test]
fn many_folders_are_walked_by_all_threads_once() {
    let files: Vec<(String, String)> =
        (0..400).map(|n| (format!("d{}/e{}/f{n}", n % 7, n % 31), n.to_string())).collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    let dir = tree(&files);
    let first = scanned(dir.path(), "");
    assert_eq!((first.files, first.read), (400, 400));
    assert_eq!(first.hash, scanned(dir.path(), "").hash);
    assert!(first.entries.is_sorted_by(|a, b| by_name(&a.path, &b.path).is_lt()));
}
