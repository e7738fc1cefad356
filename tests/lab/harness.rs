//! The lab as a test sees it: a namespace of its own, kubectl, and msctl run as a person would, in an empty environment.
//!
//! ```ignore
//! #[test]
//! #[ignore = "needs the lab: tests/run"]
//! fn deploys() {
//!     let ns = Lab::get().namespace("deploys", true);
//!     let dir = ns.service("orders", "replicas: 2");
//!     ns.msctl(&["deploy", "--yes"]).dir(&dir).run().ok();
//! }
//! ```
#![allow(dead_code)] // the lab's vocabulary; not every build of the tests uses all of it

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

/// Test images of `lab fixtures`: labtool answers `NAME VERSION HOST`; busybox has a shell.
pub const V1: &str = "localhost:5000/labtool:v1";
pub const V2: &str = "localhost:5000/labtool:v2";
pub const BUSYBOX: &str = "localhost:5000/busybox:1";
/// The registry that wants a login: user `lab`, password `secret`.
pub const PRIVATE: &str = "localhost:5001";

/// Longer than a watch takes to bring news on a starved machine, and shorter than all that would bring it otherwise:
/// a pod's next back-off, a Lease's end, a deadline. How soon it came is for `benches/` to say.
pub const BY_WATCH: Duration = Duration::from_secs(10);

/// Traefik, Contour and Prometheus of `tests/lab/router`.
pub struct Router {
    /// Its HTTP entry point; routes attach to the Gateway `lab` in the namespace `router`.
    pub url: String,
    /// Contour's, for the Gateway `contour` in the namespace `router`: it mirrors HTTPRoutes, which Traefik does not.
    pub contour: String,
    pub prometheus: String,
}

fn exports(script: &str) -> impl Fn(&str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab").join(script);
    let out = Command::new(path).arg("env").output().expect("the lab's scripts can be run");
    let text = String::from_utf8(out.stdout).expect("exports are text");
    let script = script.to_owned();
    move |name| {
        let key = format!("export {name}=");
        let found = text.lines().find_map(|l| l.strip_prefix(&key));
        found.unwrap_or_else(|| panic!("tests/lab/{script} is not up (no {name}): see tests/run")).to_owned()
    }
}

pub struct Lab {
    pub kubeconfig: PathBuf,
    pub docker_host: String,
    pub path: String,
}

impl Lab {
    /// The running lab. Panics when there is none: a test that cannot run must not be green.
    pub fn get() -> &'static Lab {
        static LAB: LazyLock<Lab> = LazyLock::new(|| {
            let value = exports("lab");
            let old_path = std::env::var("PATH").unwrap_or_default();
            Lab {
                kubeconfig: value("KUBECONFIG").into(),
                docker_host: value("DOCKER_HOST"),
                path: value("PATH").replace("$PATH", &old_path),
            }
        });
        &LAB
    }

    /// For tests of the module `router`.
    pub fn router(&self) -> Router {
        let value = exports("router/router");
        Router {
            url: value("ROUTER_URL"),
            contour: value("CONTOUR_URL"),
            prometheus: value("PROMETHEUS_URL"),
        }
    }

    /// A new namespace, deleted when dropped. `restricted` enforces the Pod Security profile of that name.
    pub fn namespace(&'static self, name: &str, restricted: bool) -> Namespace {
        let labels = if restricted { "pod-security.kubernetes.io/enforce: restricted" } else { "" };
        Namespace::new(self, name, labels, "")
    }

    /// A namespace whose pods go to the simulated nodes, where they only pretend to run: for a thousand of them, or for
    /// failures on demand by the annotations that `kwok.yaml` lists.
    pub fn simulated(&'static self, name: &str) -> Namespace {
        let annotations = r#"scheduler.alpha.kubernetes.io/node-selector: type=simulated
    scheduler.alpha.kubernetes.io/defaultTolerations: '[{"key":"msctl.test/simulated","operator":"Exists","effect":"NoSchedule"}]'"#;
        Namespace::new(self, name, "", annotations)
    }

    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .env("KUBECONFIG", &self.kubeconfig)
            .env("DOCKER_HOST", &self.docker_host)
            .env("PATH", &self.path);
        command
    }

    pub fn kubectl(&self, args: &[&str]) -> Output {
        self.command("kubectl")
            .args(args)
            .stdin(Stdio::null())
            .output()
            .expect("the lab's kubectl can be run")
    }
}

pub struct Namespace {
    pub lab: &'static Lab,
    pub name: String,
    /// HOME of every msctl of this namespace; its `kubeconfig` has the context `lab` with the namespace set.
    pub home: tempfile::TempDir,
}

impl Namespace {
    fn new(lab: &'static Lab, name: &str, labels: &str, annotations: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let unique = std::process::id() * 100 + COUNT.fetch_add(1, Ordering::Relaxed);
        let home = tempfile::tempdir().expect("a temporary home");
        let ns = Self { lab, name: format!("{name}-{unique:x}"), home };
        ns.apply(&format!(
            "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {}\n  labels:\n    msctl.test/run: \"{}\"\n    {labels}\n  annotations:\n    msctl.test/of: {name}\n    {annotations}\n",
            ns.name,
            std::env::var("MSCTL_LAB_RUN").unwrap_or_else(|_| "by-hand".into()),
        ));
        let config = ns.kubeconfig();
        std::fs::copy(&lab.kubeconfig, &config).expect("the lab's kubeconfig can be copied");
        let config = config.to_str().expect("a path of ASCII");
        let args = ["--kubeconfig", config, "config", "set-context", "lab", "--namespace", &ns.name];
        assert!(lab.kubectl(&args).status.success());
        until(20, "the default service account", || {
            ns.get(&["serviceaccount", "default", "-o", "name"]).filter(|s| !s.is_empty())
        });
        ns
    }

    pub fn kubeconfig(&self) -> PathBuf {
        self.home.path().join("kubeconfig")
    }

    pub fn kubectl(&self, args: &[&str]) -> Output {
        self.lab.kubectl(&[&["-n", &self.name], args].concat())
    }

    /// Standard output of `kubectl get`, or None when it failed.
    pub fn get(&self, args: &[&str]) -> Option<String> {
        let out = self.kubectl(&[&["get"], args].concat());
        out.status.success().then(|| String::from_utf8_lossy(&out.stdout).trim().to_owned())
    }

    /// One field of an object: `ns.field("deploy/orders", "{.spec.replicas}")`; empty when either is missing.
    pub fn field(&self, object: &str, jsonpath: &str) -> String {
        self.get(&[object, "-o", &format!("jsonpath={jsonpath}")]).unwrap_or_default()
    }

    pub fn apply(&self, yaml: &str) {
        let mut kubectl = self.lab.command("kubectl");
        kubectl.args(["-n", &self.name, "apply", "-f", "-"]).stdin(Stdio::piped());
        let mut child = kubectl.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("kubectl starts");
        child.stdin.take().expect("piped").write_all(yaml.as_bytes()).expect("kubectl reads");
        let out = child.wait_with_output().expect("kubectl ends");
        assert!(out.status.success(), "{}\n{yaml}", String::from_utf8_lossy(&out.stderr));
    }

    /// `http://CLUSTER-IP:PORT` of a Service; the host reaches it directly.
    pub fn url(&self, service: &str) -> String {
        until(20, &format!("service {service}"), || {
            let found = self.field(&format!("service/{service}"), "{.spec.clusterIP}:{.spec.ports[0].port}");
            (found.len() > 1 && !found.starts_with("None")).then(|| format!("http://{found}"))
        })
    }

    /// Writes `NAME/msctl.yaml` for labtool v1 below the home; `extra` is YAML added at the top level.
    pub fn service(&self, name: &str, extra: &str) -> PathBuf {
        let dir = self.home.path().join(name);
        std::fs::create_dir_all(&dir).expect("a folder");
        let image = if extra.lines().any(|l| l.starts_with("image:")) {
            String::new()
        } else {
            format!("image: {V1}\n")
        };
        // Little: services that wait for each other hold their pods, and with more they filled the node for ever.
        let resources = if extra.lines().any(|l| l.starts_with("resources:")) {
            ""
        } else {
            "resources: {cpu: 5m, memory: 32Mi}\n"
        };
        let text = format!(
            "apiVersion: msctl.dev/v1\nservice: {name}\n{image}{resources}port: 8080\nhealth: {{live: /livez, ready: /healthz}}\n\
             metrics: {{path: /metrics, requests: http_requests_total, duration: http_request_duration_seconds, status: code}}\n\
             environments:\n  lab: {{platform: kubernetes, context: lab, namespace: {}}}\n{extra}\n",
            self.name
        );
        std::fs::write(dir.join("msctl.yaml"), text).expect("msctl.yaml");
        dir
    }

    /// msctl in an otherwise empty environment: HOME, PATH, KUBECONFIG, DOCKER_HOST, and MSCTL_ENV=lab.
    pub fn msctl(&self, args: &[&str]) -> Msctl {
        let mut command = Command::new(env!("CARGO_BIN_EXE_msctl"));
        let home = self.home.path();
        command.args(args).env_clear().current_dir(home).env("HOME", home).env("PATH", &self.lab.path);
        command.env("KUBECONFIG", self.kubeconfig()).env("DOCKER_HOST", &self.lab.docker_host);
        command.env("MSCTL_ENV", "lab").env("LANG", "C.UTF-8").env("TERM", "dumb");
        Msctl { command, limit: Duration::from_secs(300), input: None }
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if std::thread::panicking() && std::env::var_os("MSCTL_LAB_KEEP").is_some() {
            return; // to look at what a failed test left
        }
        self.lab.kubectl(&["delete", "namespace", &self.name, "--wait=false"]);
    }
}

pub struct Msctl {
    command: Command,
    limit: Duration,
    input: Option<String>,
}

impl Msctl {
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub fn dir(mut self, dir: impl AsRef<Path>) -> Self {
        self.command.current_dir(dir);
        self
    }

    /// As if from another machine: under another host name.
    pub fn elsewhere(mut self) -> Self {
        let mut outer = Command::new("unshare");
        outer.args(["-u", "sh", "-c", r#"hostname elsewhere && exec "$0" "$@""#]);
        outer.arg(self.command.get_program()).args(self.command.get_args()).env_clear();
        for (name, value) in self.command.get_envs().filter_map(|(n, v)| Some((n, v?))) {
            outer.env(name, value);
        }
        outer.current_dir(self.command.get_current_dir().expect("set when made"));
        self.command = outer;
        self
    }

    /// How long it may take; then it is killed and the test fails. 300 s unless told.
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    pub fn stdin(mut self, input: &str) -> Self {
        self.input = Some(input.to_owned());
        self
    }

    /// Lets it find the machine's cargo, go and pip with their caches and registry settings: to build on the host.
    pub fn toolchains(mut self) -> Self {
        let home = std::env::var("HOME").unwrap_or_else(|_| "/root".into());
        self.command
            .env("CARGO_HOME", format!("{home}/.cargo"))
            .env("RUSTUP_HOME", format!("{home}/.rustup"));
        self.command.env("GOPATH", format!("{home}/go")).env("GOCACHE", format!("{home}/.cache/go-build"));
        self.command.env("PYENV_ROOT", format!("{home}/.pyenv"));
        let kept = ["CARGO_HOME", "RUSTUP_HOME", "PYENV_ROOT"];
        let families = [
            "GO",
            "PIP_",
            "SSL_",
            "CARGO_HTTP_",
            "CARGO_NET_",
            "CARGO_REGISTRIES_",
            "CARGO_SOURCE_",
            "npm_config_",
        ];
        for (name, value) in std::env::vars() {
            if kept.contains(&name.as_str())
                || families.iter().any(|f| name.starts_with(f))
                || name.ends_with("_proxy")
            {
                self.command.env(name, value);
            }
        }
        self
    }

    pub fn spawn(mut self) -> Running {
        self.command.stdin(if self.input.is_some() { Stdio::piped() } else { Stdio::null() });
        self.command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.command.spawn().expect("msctl starts");
        if let Some(input) = self.input {
            child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("msctl reads");
        }
        let out = Reader::new(child.stdout.take().expect("piped"));
        let err = Reader::new(child.stderr.take().expect("piped"));
        Running {
            child,
            out,
            err,
            begun: Instant::now(),
            limit: self.limit,
            line: format!("{:?}", self.command),
        }
    }

    pub fn run(self) -> Run {
        self.spawn().wait()
    }
}

/// A msctl that runs in the background. Killed when dropped.
pub struct Running {
    child: Child,
    out: Reader,
    err: Reader,
    begun: Instant,
    limit: Duration,
    line: String,
}

impl Running {
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// `signal` as kill(1) names it: INT, TERM, KILL.
    pub fn signal(&self, signal: &str) {
        let status = Command::new("kill").arg(format!("-{signal}")).arg(self.id().to_string()).status();
        assert!(status.expect("kill can be run").success(), "no process to signal");
    }

    pub fn stdout(&self) -> String {
        self.out.text()
    }

    pub fn stderr(&self) -> String {
        self.err.text()
    }

    /// Waits until its output (either stream) holds the text.
    pub fn says(&self, text: &str, seconds: u64) -> &Self {
        let end = Instant::now() + Duration::from_secs(seconds);
        while !self.stdout().contains(text) && !self.stderr().contains(text) {
            let all = || format!("{}\n{}\n{}", self.line, self.stdout(), self.stderr());
            assert!(Instant::now() < end, "did not say {text:?} in {seconds} s: {}", all());
            sleep(Duration::from_millis(20));
        }
        self
    }

    pub fn wait(mut self) -> Run {
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                break status;
            }
            if self.begun.elapsed() > self.limit {
                self.child.kill().expect("a child");
                panic!("took over {:?}: {}\n{}\n{}", self.limit, self.line, self.stdout(), self.stderr());
            }
            sleep(Duration::from_millis(5));
        };
        let took = self.begun.elapsed();
        Run { status, took, stdout: self.out.finish(), stderr: self.err.finish(), line: self.line.clone() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// What a finished msctl left.
pub struct Run {
    pub status: ExitStatus,
    pub took: Duration,
    pub stdout: String,
    pub stderr: String,
    line: String,
}

impl Run {
    pub fn ok(self) -> Self {
        self.exits(0)
    }

    /// Panics with everything it printed unless it exited with this code.
    pub fn exits(self, code: i32) -> Self {
        let seen = self.status.code().map_or(format!("signal {:?}", self.status.signal()), |c| c.to_string());
        assert!(
            self.status.code() == Some(code),
            "exit {seen}, not {code}: {}\n--- stdout\n{}--- stderr\n{}",
            self.line,
            self.stdout,
            self.stderr
        );
        self
    }

    /// Standard output as the one JSON document that `-o json` promises.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|e| panic!("not one JSON document ({e}): {}", self.stdout))
    }
}

struct Reader {
    text: Arc<Mutex<Vec<u8>>>,
    thread: Option<JoinHandle<()>>,
}

impl Reader {
    fn new(mut from: impl Read + Send + 'static) -> Self {
        let text = Arc::new(Mutex::new(Vec::new()));
        let to = text.clone();
        let thread = std::thread::spawn(move || {
            let mut part = [0; 8192];
            while let Ok(n @ 1..) = from.read(&mut part) {
                to.lock().unwrap().extend_from_slice(&part[..n]);
            }
        });
        Self { text, thread: Some(thread) }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.text.lock().unwrap()).into_owned()
    }

    /// All of it, or what came within 2 s: a grandchild may hold the pipe open.
    fn finish(&mut self) -> String {
        let end = Instant::now() + Duration::from_secs(2);
        while self.thread.as_ref().is_some_and(|t| !t.is_finished()) && Instant::now() < end {
            sleep(Duration::from_millis(2));
        }
        self.text()
    }
}

/// Asks five times a second until there is an answer; panics after so many seconds.
pub fn until<T>(seconds: u64, what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + Duration::from_secs(seconds);
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < end, "not within {seconds} s: {what}");
        sleep(Duration::from_millis(200));
    }
}
