//! A service made by `msctl new`, and the commands of its template.yaml.

use super::http::{Answer, get};
use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

#[derive(serde::Deserialize)]
struct Template {
    tests: BTreeMap<String, Vec<String>>,
}

pub struct Service {
    home: tempfile::TempDir,
    template: String,
    tests: BTreeMap<String, Vec<String>>,
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Service {
    pub fn generate(template: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let service = Service { home, template: template.into(), tests: tests_of(template) };
        let mut msctl = Command::new(env!("CARGO_BIN_EXE_msctl"));
        msctl.args(["new", &service.name(), "--template", template, "--defaults"]);
        msctl.env_clear().env("HOME", service.home.path()).current_dir(service.home.path());
        succeed(&mut msctl);
        if template == "rust-axum" {
            // compiled dependencies outlive the test
            let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(template);
            std::fs::create_dir_all(&kept).unwrap();
            std::os::unix::fs::symlink(kept, service.dir().join("target")).unwrap();
        }
        service
    }

    pub fn name(&self) -> String {
        format!("the-{}", self.template)
    }

    fn dir(&self) -> PathBuf {
        self.home.path().join(self.name())
    }

    /// With this machine's toolchains and their caches, but nothing of the cargo that runs the test.
    fn command(&self, phase: &str) -> Command {
        let argv: Vec<String> =
            self.tests[phase].iter().map(|word| word.replace("@{ name }@", &self.name())).collect();
        let mut command = Command::new(&argv[0]);
        command.args(&argv[1..]).current_dir(self.dir()).stdin(Stdio::null());
        for (key, _) in std::env::vars().filter(|(key, _)| key.starts_with("CARGO_") || key == "RUSTFLAGS") {
            if key != "CARGO_HOME" {
                command.env_remove(key);
            }
        }
        command
    }

    pub fn phase(&self, phase: &str) {
        let began = Instant::now();
        succeed(&mut self.command(phase));
        assert!(began.elapsed() < Duration::from_secs(900), "{phase} took {:?}", began.elapsed());
    }

    pub fn spawn(&self, env: &[(&str, &str)]) -> Running {
        let mut command = self.command("run");
        let port = free_port();
        command.env("PORT", port.to_string()).envs(env.iter().copied());
        let out = self.home.path().join(format!("{port}.log"));
        command.stdout(std::fs::File::create(&out).unwrap());
        Running { child: command.spawn().unwrap(), port, out }
    }

    pub fn start(&self, env: &[(&str, &str)]) -> Running {
        let mut running = self.spawn(env);
        let deadline = Instant::now() + Duration::from_secs(30);
        while running.get("/health/ready").status != 200 {
            assert!(running.child.try_wait().unwrap().is_none(), "it ended: {:?}", running.lines());
            assert!(Instant::now() < deadline, "never ready: {:?}", running.lines());
            std::thread::sleep(Duration::from_millis(10));
        }
        running
    }
}

/// The commands of `templates/NAME/template.yaml`.
fn tests_of(template: &str) -> BTreeMap<String, Vec<String>> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("templates").join(template).join("template.yaml");
    let text = std::fs::read_to_string(file).unwrap();
    serde_yaml::from_str::<Template>(&text).unwrap().tests
}

fn succeed(command: &mut Command) {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{command:?}\n{}\n{}", text(&output.stdout), text(&output.stderr));
}

/// The process; it does not outlive the test.
pub struct Running {
    child: Child,
    pub port: u16,
    out: PathBuf,
}

impl Running {
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn get(&self, path: &str) -> Answer {
        get(&self.address(), path)
    }

    pub fn terminate(&mut self) -> &mut Self {
        let pid = self.child.id().to_string();
        succeed(Command::new("kill").args(["-TERM", &pid]));
        self
    }

    /// The contract's 20 s, and a little.
    pub fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + Duration::from_secs(25);
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "it does not end: {:?}", self.lines());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// What it has written to stdout.
    pub fn lines(&self) -> Vec<String> {
        std::fs::read_to_string(&self.out).unwrap().lines().map(String::from).collect()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
