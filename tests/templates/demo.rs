//! The tour, taken whole: what it says of the requests, and that it leaves nothing behind.

use serde_json::Value;
use std::path::Path;
use std::process::{Command, Stdio};

/// Command lines and environments of this user's processes that name the folder.
fn processes(folder: &Path) -> Vec<String> {
    let folder = folder.to_str().unwrap();
    let text = |pid: &std::path::PathBuf, name| {
        String::from_utf8_lossy(&std::fs::read(pid.join(name)).unwrap_or_default()).replace('\0', " ")
    };
    let all = std::fs::read_dir("/proc").unwrap().map(|e| e.unwrap().path());
    all.filter(|p| text(p, "cmdline").contains(folder) || text(p, "environ").contains(folder))
        .map(|p| text(&p, "cmdline"))
        .collect()
}

fn files(folder: &Path) -> Vec<String> {
    std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
#[ignore = "compiles a service: tests/run templates"]
fn the_tour_fails_no_request_and_leaves_nothing() {
    let home = tempfile::tempdir().unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let mut msctl = Command::new(env!("CARGO_BIN_EXE_msctl"));
    msctl.args(["demo", "--template", "go", "-o", "ndjson"]).env_clear().current_dir(home.path());
    msctl.env("HOME", home.path()).env("TMPDIR", scratch.path()).stdin(Stdio::null());
    // The toolchain's own caches and settings; go itself says where they are.
    let go = Command::new("go").args(["env", "-json"]).output().unwrap();
    let go: Value = serde_json::from_slice(&go.stdout).unwrap();
    for name in ["GOCACHE", "GOMODCACHE", "GOPROXY", "GOSUMDB", "GONOSUMDB", "GOFLAGS"] {
        msctl.env(name, go[name].as_str().unwrap_or_default());
    }
    for (name, value) in std::env::vars_os() {
        let shown = name.to_string_lossy();
        if shown == "PATH" || shown.starts_with("SSL_") || shown.to_lowercase().ends_with("_proxy") {
            msctl.env(name, value);
        }
    }
    let out = msctl.output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert_eq!(out.status.code(), Some(0), "{said}");
    let last: Value =
        serde_json::from_slice(out.stdout.trim_ascii_end().rsplit(|b| *b == b'\n').next().unwrap()).unwrap();
    let tour = &last["result"];
    assert_eq!(
        (&tour["schema"], &tour["failed"], &tour["refused"]),
        (&"msctl.dev/demo/v1".into(), &0.into(), &5.into()),
        "{said}"
    );
    assert!(tour["requests"].as_u64().unwrap() > 500, "{said}");
    let revisions: Vec<&String> = tour["revisions"].as_object().unwrap().keys().collect();
    assert_eq!(revisions, ["1", "2"], "the broken version served: {said}");

    assert_eq!(processes(home.path()), [""; 0], "{said}");
    assert_eq!(files(scratch.path()), [""; 0], "{said}");
    // Go counts its own use there, and msctl has no business with it.
    let _ = std::fs::remove_dir_all(home.path().join(".config/go"));
    let _ = std::fs::remove_dir(home.path().join(".config"));
    assert_eq!(files(home.path()), [""; 0], "{said}");
}
