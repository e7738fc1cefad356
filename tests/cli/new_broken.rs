//! `msctl new` where it cannot end well: full and read-only disks, no network, interrupted, killed.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::new::{names, template};
use crate::run::{Home, Ran, msctl_bin};

/// Runs a shell script where it may mount and cut the network; None where this machine does not let it.
fn apart(home: &Home, flags: &str, script: &str) -> Option<Ran> {
    let run = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(flags.split(' ')).args(["sh", "-c", script, "sh"]).arg(msctl_bin());
        command.env_clear().env("HOME", home.dir.path()).env("PATH", std::env::var_os("PATH").unwrap());
        command.current_dir(home.dir.path()).output().ok().map(Ran::of)
    };
    let mounts = "mkdir -p disk && mount -t tmpfs tmpfs disk";
    let probe = run(if flags.contains('m') { mounts } else { "true" });
    if probe.as_ref().is_none_or(|p| p.code != 0) {
        // A person's machine may forbid it; where it counts it must not go unnoticed.
        assert!(std::env::var_os("CI").is_none(), "unshare {flags} is not allowed here: {probe:?}");
        return None;
    }
    run(script)
}

#[test]
fn a_full_disk_is_named_and_left_clean() {
    let home = Home::new();
    let script = "mkdir -p disk && mount -t tmpfs -o size=48k tmpfs disk && $1 new orders --into disk -o json; \
        echo code $? >&2; ls -A disk >&2";
    let Some(ran) = apart(&home, "-rm", script) else { return };
    assert_eq!(ran.stderr, "code 1\n", "{ran:#?}");
    assert_eq!(ran.json()["error"]["reason"], "disk-full");
}

#[test]
fn a_read_only_folder_is_named() {
    let home = Home::new();
    let script = "mkdir -p disk && mount -t tmpfs -o ro tmpfs disk && $1 new orders --into disk -o json; \
        echo code $? >&2; ls -A disk >&2";
    let Some(ran) = apart(&home, "-rm", script) else { return };
    assert_eq!(ran.stderr, "code 1\n", "{ran:#?}");
    assert_eq!(ran.json()["error"]["reason"], "not-writable");
}

#[test]
fn no_network_is_needed() {
    let home = Home::new();
    for template in ["go", "rust-axum", "python-fastapi"] {
        let script = format!("$1 new {template}-svc -t {template} --defaults");
        let Some(ran) = apart(&home, "-rn", &script) else { return };
        assert_eq!(ran.code, 0, "{ran:#?}");
    }
}

/// A template of so many files that writing them can be interrupted.
fn big(home: &Home) {
    let folder = template(home, "", &[]);
    for file in 0..4000 {
        fs::write(folder.join(format!("files/f{file}")), "x").unwrap();
    }
}

/// Starts `new`, sends `signal` once something was staged; returns the exit status.
fn interrupted(home: &Home, signal: &str) -> std::process::ExitStatus {
    use std::os::unix::process::ExitStatusExt;
    let mut child = home.command(&["new", "orders", "-t", "./t", "--no-git"]);
    let mut child = child.stderr(std::process::Stdio::piped()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        assert!(Instant::now() < deadline, "nothing was staged in time");
        let staged = names(home.dir.path()).into_iter().find(|n| n.starts_with(".msctl-new-"));
        if staged.is_some_and(|s| fs::read_dir(home.dir.path().join(s)).is_ok_and(|mut d| d.next().is_some()))
        {
            break;
        }
        if let Some(status) = child.try_wait().unwrap() {
            assert!(!status.success(), "it ended before it could be interrupted");
            return std::process::ExitStatus::from_raw(status.into_raw());
        }
        std::thread::sleep(Duration::from_micros(500));
    }
    let sent = Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    child.wait().unwrap()
}

#[test]
fn an_interrupt_leaves_nothing() {
    let home = Home::new();
    big(&home);
    for (signal, code) in [("-INT", 130), ("-TERM", 143)] {
        let status = interrupted(&home, signal);
        assert_eq!(status.code(), Some(code), "{signal}: {status}");
        assert_eq!(names(home.dir.path()), ["t"], "{signal}");
    }
}

#[test]
fn a_kill_leaves_a_hidden_folder_that_the_next_run_removes() {
    let home = Home::new();
    big(&home);
    assert_eq!(interrupted(&home, "-KILL").code(), None);
    let left = names(home.dir.path());
    assert_eq!(left.len(), 2, "{left:?}");
    assert!(left[0].starts_with(".msctl-new-"), "{left:?}");
    assert_eq!(home.run(&["new", "other"]).code, 0);
    assert_eq!(names(home.dir.path()), ["other", "t"]);
}
