//! Runs the binary hermetically: empty HOME, cleared environment, fixed width.

use std::path::Path;
use std::process::{Command, Output};

pub struct Home {
    pub dir: tempfile::TempDir,
}

pub fn msctl_bin() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_msctl"))
}

impl Home {
    pub fn new() -> Self {
        Home { dir: tempfile::tempdir().unwrap() }
    }
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(msctl_bin());
        command.args(args).env_clear().current_dir(self.dir.path());
        command.env("HOME", self.dir.path()).env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("COLUMNS", "100").stdin(std::process::Stdio::null());
        command
    }
    pub fn run(&self, args: &[&str]) -> Ran {
        Ran::of(self.command(args).output().unwrap())
    }
}

/// Status, stdout and stderr of one run.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    pub fn of(output: Output) -> Self {
        Ran {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
    /// The one JSON document on stdout.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("not one JSON document: {e}\n{self:#?}"))
    }
}
