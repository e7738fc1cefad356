//! The house's directions, read from its imports; docs/design.md says why.

use std::path::{Path, PathBuf};

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Each source below `src`: its path from there, and its code without comments and test modules.
fn code() -> Vec<(String, String)> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    sources(&src)
        .into_iter()
        .map(|path| {
            let text = std::fs::read_to_string(&path).unwrap();
            let text = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
            let lines: Vec<&str> = text.lines().filter(|l| !l.trim_start().starts_with("//")).collect();
            (path.strip_prefix(&src).unwrap().display().to_string(), lines.join("\n"))
        })
        .collect()
}

const PURE: &[&str] = &[
    "service/",
    "manifest/",
    "rollout/slot.rs",
    "rollout/driver/once.rs",
    "rollout/effect.rs",
    "rollout/observe.rs",
    "rollout/spec.rs",
    "rollout/judging",
    "rollout/analysis/bounds.rs",
    "rollout/analysis/finding.rs",
    "rollout/analysis/json.rs",
    "rollout/analysis/plan.rs",
    "rollout/analysis/series.rs",
    "rollout/analysis/tally.rs",
    "rollout/analysis/trial.rs",
    "rollout/analysis/unit.rs",
    "rollout/plan.rs",
    "rollout/report/",
    "rollout/state.rs",
    "rollout/step",
    "rollout/replicas.rs",
    "rollout/status.rs",
    "rollout/train/decide.rs",
    "rollout/story/adjust.rs",
    "rollout/story/judge.rs",
    "rollout/story/lines.rs",
    "rollout/story/mod.rs",
    "rollout/story/recorder.rs",
    "rollout/verbs.rs",
    "rollout/verdict.rs",
    "deploy/diagnose.rs",
    "image/bases.rs",
    "image/dockerignore.rs",
    "image/tag.rs",
    "scaffold/answers.rs",
    "scaffold/filters.rs",
    "scaffold/language.rs",
    "scaffold/lint.rs",
    "scaffold/path.rs",
    "scaffold/plan.rs",
    "scaffold/render.rs",
    "scaffold/state.rs",
    "scaffold/template.rs",
];

#[test]
fn pure_rooms_know_no_outside() {
    let outside = [
        "tokio::",
        "use kube",
        "kube::Client",
        "bollard::",
        "crate::ui",
        "crate::context",
        "Timestamp::now(",
        "std::env::",
    ];
    for (file, code) in code() {
        if PURE.iter().any(|p| file.starts_with(p)) {
            for word in outside {
                assert!(!code.contains(word), "src/{file} is pure, yet uses {word}");
            }
        }
    }
}

#[test]
fn each_outside_has_its_rooms() {
    let allowed: &[(&str, &[&str])] = &[
        ("kube::", &["platform/kubernetes/", "deploy/", "context.rs"]),
        ("bollard::", &["image/"]),
        ("git2::", &["scaffold/", "image/"]),
        ("indicatif::", &["ui/"]),
        ("dialoguer::", &["ui/"]),
        ("clap::", &["cli.rs", "ui/mod.rs", "settings.rs", "commands/"]),
    ];
    for (file, code) in code() {
        for (word, rooms) in allowed {
            let used = code.split(word).count() > 1 && !code.contains(&format!("_{word}"));
            assert!(
                !used || rooms.iter().any(|r| file.starts_with(r)),
                "src/{file} uses {word}: not its room"
            );
        }
    }
}

#[test]
fn rooms_have_names() {
    for (file, _) in code() {
        for vague in ["util", "helper", "common", "misc"] {
            assert!(!file.contains(vague), "src/{file}: what is it for?");
        }
    }
}

#[test]
fn every_module_opens_with_its_purpose() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for path in sources(&src) {
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("//!"), "{} does not say what it is for", path.display());
    }
}

#[test]
fn every_test_file_is_run() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli");
    let main = std::fs::read_to_string(folder.join("main.rs")).unwrap();
    for path in sources(&folder) {
        let stem = path.file_stem().unwrap().to_str().unwrap();
        assert!(
            stem == "main" || main.contains(&format!("mod {stem};")),
            "{stem}.rs is forgotten in main.rs"
        );
    }
}
