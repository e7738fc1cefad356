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
    "rehearsal/exposition.rs",
    "rehearsal/fault.rs",
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
        ("clap::", &["cli/", "ui/mod.rs", "settings.rs", "commands/"]),
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

/// A licence expression whose every `AND` has an allowed alternative.
fn licensed(expression: &str, allowed: &[&str]) -> bool {
    let alternatives = |part: &str| part.trim_matches(['(', ')']).replace('/', " OR ");
    let one_of = |part: &str| alternatives(part).split(" OR ").any(|name| allowed.contains(&name.trim()));
    expression.split(" AND ").all(one_of)
}

#[test]
fn dependencies_are_as_deny_toml_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let deny: toml::Table = std::fs::read_to_string(root.join("deny.toml")).unwrap().parse().unwrap();
    let texts = |list: &toml::Value, key: &str| -> Vec<String> {
        let of = |v: &toml::Value| v.get(key).unwrap_or(v).as_str().unwrap().to_owned();
        list.as_array().unwrap().iter().map(of).collect()
    };
    let allowed = texts(&deny["licenses"]["allow"], "");
    let allowed: Vec<&str> = allowed.iter().map(String::as_str).collect();
    let banned = texts(&deny["bans"]["deny"], "name");
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let output = std::process::Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--offline", "--filter-platform", &target])
        .current_dir(root)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages: Vec<_> =
        metadata["packages"].as_array().unwrap().iter().filter(|p| p["name"] != "msctl").collect();
    assert!(packages.len() > 100, "{}", packages.len());
    for package in packages {
        let (name, licence) =
            (package["name"].as_str().unwrap(), package["license"].as_str().unwrap_or("none"));
        assert!(licensed(licence, &allowed), "{name} has the licence {licence}");
        assert!(!banned.iter().any(|b| b == name), "{name} is banned");
        let source = package["source"].as_str().unwrap_or_default();
        assert!(
            source.starts_with("registry+https://github.com/rust-lang/crates.io-index"),
            "{name}: {source}"
        );
    }
    let refused = ["GPL-3.0", "MIT AND GPL-3.0", "none"];
    assert!(refused.iter().all(|text| !licensed(text, &allowed)));
}
