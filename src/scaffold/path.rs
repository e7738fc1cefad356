//! Which paths a template may write: relative, plain, and the same on every disk. Pure.

use std::collections::BTreeMap;

/// Why `path`, with `/` between its parts, must not be written into a service's folder.
pub fn check(path: &str) -> Result<(), String> {
    if path.is_empty() {
        return Err("is empty".into());
    }
    if path.starts_with('/') {
        return Err("is absolute".into());
    }
    if path.len() > 1024 {
        return Err(format!("has {} bytes; 1024 is the most", path.len()));
    }
    for part in path.split('/') {
        check_part(part).map_err(|why| format!("{why} ({part:?})"))?;
    }
    let first = path.split('/').next().unwrap_or_default().to_lowercase();
    if first == ".msctl" {
        return Err(".msctl belongs to msctl".into());
    }
    Ok(())
}

fn check_part(part: &str) -> Result<(), String> {
    if part.is_empty() || part == "." || part == ".." {
        return Err("leaves the folder, or names nothing".into());
    }
    if part.len() > 255 {
        return Err("has a part of more than 255 bytes".into());
    }
    if let Some(bad) = part.chars().find(|c| c.is_control() || "\\:*?\"<>|".contains(*c)) {
        return Err(format!("holds {bad:?}, which not every disk takes"));
    }
    if part.ends_with(['.', ' ']) || part.starts_with(' ') {
        return Err("begins with a space, or ends with a space or dot".into());
    }
    let folded = part.to_lowercase();
    if folded == ".git" || folded.starts_with("git~") {
        return Err("is git's own".into());
    }
    let stem = folded.split('.').next().unwrap_or_default().trim_end();
    let numbered = |device: &str| {
        stem.strip_prefix(device)
            .is_some_and(|n| n.chars().count() == 1 && n.chars().all(|c| "0123456789¹²³".contains(c)))
    };
    if matches!(stem, "con" | "prn" | "aux" | "nul" | "conin$" | "conout$")
        || numbered("com")
        || numbered("lpt")
    {
        return Err("is a device's name on Windows".into());
    }
    Ok(())
}

/// Two paths of which only one could exist on a disk that ignores case, or of which one is inside the other.
pub fn collision<'a>(paths: impl IntoIterator<Item = &'a str>) -> Option<(&'a str, &'a str)> {
    let mut files: BTreeMap<String, &str> = BTreeMap::new();
    let mut all = Vec::new();
    for path in paths {
        if let Some(other) = files.insert(path.to_lowercase(), path) {
            return Some((other, path));
        }
        all.push(path);
    }
    // A folder may be spelt one way only, and must not be a file elsewhere.
    let mut folders: BTreeMap<String, &str> = BTreeMap::new();
    for path in all {
        for (end, _) in path.match_indices('/') {
            let folder = &path[..end];
            let folded = folder.to_lowercase();
            if let Some(file) = files.get(&folded) {
                return Some((file, path));
            }
            match folders.get(&folded) {
                Some(other) if !other.starts_with(&format!("{folder}/")) => return Some((other, path)),
                Some(_) => {}
                None => {
                    folders.insert(folded, path);
                }
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn good_and_bad_paths() {
        for good in [
            "a",
            ".gitignore",
            "cmd/orders/main.go",
            ".github/workflows/ci.yml",
            "a b",
            "größe.txt",
            "console",
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        let long = "x".repeat(256);
        for bad in [
            "",
            "/etc/passwd",
            "../x",
            "a/../../x",
            "a/./b",
            "a//b",
            "a/",
            "a\\..\\b",
            "C:/x",
            "a\0b",
            "a\nb",
            "CON",
            "nul.txt",
            "lib/com1.rs",
            "LPT9",
            "a.",
            "a ",
            ".git/config",
            "sub/.GIT/hooks/x",
            "git~1/x",
            ".msctl/service.yaml",
            ".MSCTL/x",
            "con .txt",
            &long,
        ] {
            assert!(check(bad).is_err(), "{bad:?} must be refused");
        }
    }

    #[test]
    fn collisions() {
        let found = |paths: &[&str]| collision(paths.iter().copied()).is_some();
        assert!(found(&["README.md", "readme.md"]));
        assert!(found(&["Src/a", "src/b"]));
        assert!(found(&["src", "src/b"]));
        assert!(found(&["SRC", "src/b"]));
        assert!(found(&["a", "a"]));
        assert!(!found(&["src/a", "src/b", "src/c/d", "srcs"]));
    }

    proptest! {
        /// Whatever the text: what passes stays inside the folder it is joined to.
        #[test]
        fn what_passes_stays_inside(path in r"[a-zA-Z./\\ ~:\x00-\x1f]{0,24}|(\.\.|\.|/|a|\.git|b/){0,8}") {
            if check(&path).is_ok() {
                let parts: Vec<_> = std::path::Path::new(&path).components().collect();
                prop_assert!(parts.iter().all(|c| matches!(c, std::path::Component::Normal(_))));
                prop_assert_eq!(parts.len(), path.split('/').count());
            }
        }

        /// A case-insensitive disk could hold what `collision` lets through, and nothing else.
        #[test]
        fn no_collision_means_all_fit(paths in proptest::collection::vec("[abAB]{1,2}(/[abAB]{1,2}){0,2}", 1..6)) {
            let mut disk: BTreeMap<String, (bool, String)> = BTreeMap::new();
            let mut fits = true;
            for path in &paths {
                let mut ends: Vec<usize> = path.match_indices('/').map(|(i, _)| i).collect();
                ends.push(path.len());
                for end in ends {
                    let (is_file, spelt) = (end == path.len(), path[..end].to_owned());
                    match disk.insert(spelt.to_lowercase(), (is_file, spelt.clone())) {
                        Some(old) if old.0 || is_file || old.1 != spelt => fits = false,
                        _ => {}
                    }
                }
            }
            prop_assert_eq!(collision(paths.iter().map(String::as_str)).is_none(), fits, "{:?}", paths);
        }
    }
}
