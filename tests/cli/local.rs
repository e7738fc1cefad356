//! The local platform for real: the binary's agent, a small service in Python, requests through the proxy.

use std::collections::BTreeMap;
use std::future::Future;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use msctl::context::{Ctx, SystemClock};
use msctl::platform::{Error, LogQuery, Platform, Release};
use msctl::rollout::{Effect, Observation, Routing, Selection, Slot, SlotObservation};
use msctl::settings::{Env, Settings};

use crate::run::{Home, Ran};

/// Answers `VERSION PID`; dies of SIGTERM at once, as programs that do not care do.
pub const APP: &str = r#"
import http.server, json, os, sys, time
print("started", os.environ["VERSION"], flush=True)
if os.environ.get("CRASH"):
    print("cannot find the database", file=sys.stderr, flush=True)
    sys.exit(3)
if os.environ.get("STRAY"):
    import subprocess
    subprocess.Popen(["sleep", "600"], start_new_session=True)
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        code, text = 200, "%s %d" % (os.environ["VERSION"], os.getpid())
        if self.path == "/slow":
            time.sleep(1)
        if self.path == "/env":
            text = json.dumps(dict(os.environ))
        if self.path == "/smoke" and os.environ.get("NO_SMOKE"):
            code, text = 500, "no smoke"
        if self.path == "/health/ready" and os.environ.get("NEVER_READY"):
            code, text = 503, "waiting for the moon"
        self.send_response(code)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())
    def log_message(self, *args):
        pass
class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128
Server(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"#;

/// A home with one service and an agent; everything ends with it, also in a panic.
pub struct Place {
    pub home: Home,
    agent: Option<Child>,
    pub port: u16,
}

impl Place {
    fn new() -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let place = Place { home: Home::new(), agent: None, port };
        std::fs::create_dir(place.folder()).unwrap();
        std::fs::write(place.folder().join("app.py"), APP).unwrap();
        place.configure("cp app.py built.py", "VERSION: one");
        place
    }
    pub fn running() -> Self {
        let mut place = Self::new();
        place.start_agent();
        place
    }
    pub fn folder(&self) -> PathBuf {
        self.home.dir.path().join("shop")
    }
    fn state(&self) -> PathBuf {
        self.home.dir.path().join(".local/state/msctl/local")
    }
    fn socket(&self) -> PathBuf {
        self.state().join("agent.sock")
    }
    fn configure(&self, build: &str, config: &str) {
        self.configure_rollout(build, config, "{surge: 1, unavailable: 0}");
    }
    pub fn configure_rollout(&self, build: &str, config: &str, rollout: &str) {
        let python = real_python();
        let text = format!(
            "service: shop\nport: {}\nrun: {{build: '{build}', command: 'exec {python} built.py'}}\n\
             config: {{{config}}}\nrollout: {rollout}\n",
            self.port
        );
        std::fs::write(self.folder().join("msctl.yaml"), text).unwrap();
    }
    fn start_agent(&mut self) {
        let state = self.state().display().to_string();
        let mut command = self.home.command(&["agent", &state]);
        self.agent = Some(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        eventually("the agent answers", || std::os::unix::net::UnixStream::connect(self.socket()).is_ok());
    }
    fn kill_agent(&mut self) {
        let mut agent = self.agent.take().expect("an agent was started");
        agent.kill().unwrap();
        agent.wait().unwrap();
    }
    fn ctx(&self) -> Ctx {
        let args = ["msctl", "-q", "-C", self.folder().to_str().unwrap(), "config", "schema"].map(Into::into);
        let env = Env::of([
            ("HOME", self.home.dir.path().display().to_string()),
            ("PATH", std::env::var("PATH").unwrap()),
            ("SHELL_SECRET", "not for services".into()),
        ]);
        let settings = Settings::resolve(&msctl::cli::parse(&args, &env).unwrap(), env).unwrap();
        Ctx::new(settings, Arc::new(SystemClock))
    }
    /// Runs `test` with the platform opened as a command would.
    fn drive<F: Future<Output = ()>>(&self, test: impl FnOnce(Driver) -> F) {
        let ctx = Arc::new(self.ctx());
        let (folder, service, target) = ctx.service(None).unwrap();
        ctx.block_on(async {
            let platform = ctx.platform(&service, &target).await.unwrap();
            let release = Release { service, folder, image: None, secrets: BTreeMap::new() };
            test(Driver { ctx: ctx.clone(), platform, release, port: self.port }).await;
        })
        .unwrap();
    }
    fn local(&self, verb: &str) -> Ran {
        self.home.run(&["local", verb, "-o", "json"])
    }
    /// Living processes that belong to this place's agent.
    fn processes(&self) -> Vec<u32> {
        let mark = format!("MSCTL_LOCAL={}", self.state().display());
        let pids = std::fs::read_dir("/proc").unwrap().flatten();
        pids.filter_map(|e| e.file_name().to_str()?.parse().ok())
            .filter(|pid| {
                let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
                environment.split(|b| *b == 0).any(|v| v == mark.as_bytes())
            })
            .collect()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let down = self.local("down");
        if let Some(mut agent) = self.agent.take() {
            // It has ended by itself, unless `down` failed.
            let _ = agent.kill();
            let _ = agent.wait();
        }
        let left = self.processes();
        for pid in &left {
            let _ = Command::new("kill").args(["-9", &pid.to_string()]).status();
        }
        if !std::thread::panicking() {
            assert_eq!((down.code, left.len()), (0, 0), "{down:#?}");
            assert!(!self.state().exists(), "the state folder is left behind");
        }
    }
}

/// The interpreter itself: a version manager's shim takes a second to find it.
pub fn real_python() -> String {
    static PATH: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    let find = || {
        let output =
            Command::new("python3").args(["-c", "import sys; print(sys.executable)"]).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    PATH.get_or_init(find).clone()
}

struct Driver {
    ctx: Arc<Ctx>,
    platform: Arc<dyn Platform>,
    release: Release,
    port: u16,
}

impl Driver {
    fn config(&mut self, pairs: &[(&str, &str)]) {
        let scalar = |v: &str| msctl::service::Scalar(v.to_owned());
        self.release.service.config = pairs.iter().map(|(k, v)| (k.to_string(), scalar(v))).collect();
    }
    /// Builds the release as it is now and hands it to the agent as `revision`.
    async fn put(&self, revision: u32) {
        let template = self.platform.template(&self.ctx, &self.release).await.unwrap();
        self.platform.install(&self.release, &template, 1).await.unwrap();
        self.platform.put_template(revision, &template).await.unwrap();
    }
    async fn run(&self, slot: Slot, revision: u32, replicas: u32) {
        self.execute(Effect::Apply { slot, revision }).await;
        self.execute(Effect::Scale { slot, replicas }).await;
    }
    async fn execute(&self, effect: Effect) {
        self.platform.execute(&effect, 1).await.unwrap();
    }
    async fn until(&self, what: &str, done: impl Fn(&Observation) -> bool) -> Observation {
        let began = Instant::now();
        loop {
            let seen = self.platform.observe().await.unwrap();
            if done(&seen) {
                return seen;
            }
            assert!(began.elapsed() < Duration::from_secs(40), "{what} did not come: {seen:#?}");
            tokio::time::timeout(Duration::from_millis(500), self.platform.changed()).await.ok();
        }
    }
    async fn complete(&self, slot: Slot, replicas: u32) -> SlotObservation {
        let seen =
            self.until("completion", |o| o.slots.get(&slot).is_some_and(|s| s.complete(replicas))).await;
        seen.slots[&slot].clone()
    }
    /// Revision 1 in blue, serving.
    async fn live(&self, replicas: u32) {
        self.put(1).await;
        self.run(Slot::Blue, 1, replicas).await;
        self.complete(Slot::Blue, replicas).await;
    }
}

fn eventually(what: &str, done: impl Fn() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < Duration::from_secs(30), "not so: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Status, head and body; Err when the connection broke.
fn get(port: u16, path: &str) -> std::io::Result<(u16, String, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let (head, body) = text.split_once("\r\n\r\n").ok_or(std::io::ErrorKind::UnexpectedEof)?;
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
    Ok((status, head.to_lowercase(), body.to_owned()))
}

/// The version that answered.
pub fn version(port: u16) -> String {
    let (status, _, body) = get(port, "/").unwrap();
    assert_eq!(status, 200, "{body}");
    body.split(' ').next().unwrap().to_owned()
}

/// Requests from two threads until dropped; says what failed.
pub struct Load {
    stop: Arc<AtomicBool>,
    threads: Vec<std::thread::JoinHandle<(u32, Vec<String>)>>,
}

impl Load {
    pub fn on(port: u16) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let one = |_| {
            let stop = stop.clone();
            std::thread::spawn(move || {
                let (mut answered, mut failed) = (0, Vec::new());
                while !stop.load(Ordering::Relaxed) {
                    match get(port, "/") {
                        Ok((200, ..)) => answered += 1,
                        other => failed.push(format!("{other:?}")),
                    }
                    std::thread::sleep(Duration::from_millis(2));
                }
                (answered, failed)
            })
        };
        Load { threads: (0..2).map(one).collect(), stop }
    }
    pub fn no_request_failed(self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            let (answered, failed) = thread.join().unwrap();
            assert_eq!(failed, Vec::<String>::new());
            assert!(answered > 2, "only {answered} requests were sent");
        }
    }
}

#[test]
fn versions_roll_and_split_and_no_request_fails() {
    let place = Place::running();
    place.drive(|mut driver| async move {
        driver.live(2).await;
        let port = driver.port;
        assert_eq!(version(port), "one");
        let (_, head, _) = get(port, "/").unwrap();
        assert!(head.contains("x-msctl-slot: blue") && head.contains("x-msctl-revision: 1"), "{head}");
        let load = Load::on(port);

        driver.config(&[("VERSION", "two")]);
        driver.put(2).await;
        driver.execute(Effect::Apply { slot: Slot::Blue, revision: 2 }).await;
        driver.complete(Slot::Blue, 2).await;
        assert_eq!(version(port), "two");

        driver.config(&[("VERSION", "three")]);
        driver.put(3).await;
        driver.run(Slot::Green, 3, 1).await;
        let green = driver.complete(Slot::Green, 1).await;
        assert_eq!((green.in_public, green.revision), (0, 3));
        load.no_request_failed();
        for weight in [10, 50, 90] {
            let routing = Routing { weight, ..Routing::all(Slot::Blue) };
            driver.execute(Effect::Route(routing.clone())).await;
            let to_three = (0..200).filter(|_| version(port) == "three").count();
            assert_eq!(to_three, usize::from(weight) * 2);
            let route = driver.platform.observe().await.unwrap().route.unwrap();
            assert!(route.accepted && route.routing == routing);
        }

        let load = Load::on(port);
        driver.execute(Effect::Route(Routing::all(Slot::Green))).await;
        driver.execute(Effect::Select(Selection::Green)).await;
        driver.execute(Effect::Scale { slot: Slot::Blue, replicas: 0 }).await;
        driver.until("blue empty", |o| o.slots[&Slot::Blue].empty()).await;
        assert_eq!(version(port), "three");
        let replaced = driver.platform.restart(Slot::Green, &|_, _| {}).await.unwrap();
        assert_eq!(replaced, 1);
        driver.complete(Slot::Green, 1).await;
        load.no_request_failed();
    });
}

#[test]
fn a_crash_loop_and_a_silent_probe_say_why() {
    let place = Place::running();
    place.drive(|mut driver| async move {
        driver.live(1).await;
        driver.config(&[("VERSION", "two"), ("CRASH", "1")]);
        driver.put(2).await;
        driver.run(Slot::Green, 2, 1).await;
        let crashed = |o: &Observation| o.slots[&Slot::Green].problems.iter().any(|p| p.terminal);
        let seen = driver.until("a crash loop", crashed).await;
        let problem = &seen.slots[&Slot::Green].problems[0];
        assert_eq!(problem.reason, "crash");
        assert!(problem.message.contains("exit code 3"), "{problem:?}");
        assert!(problem.log.iter().any(|l| l.contains("cannot find the database")), "{problem:?}");
        assert!(seen.slots[&Slot::Green].restarts >= 2);
        assert_eq!(version(driver.port), "one");

        driver.config(&[("VERSION", "three"), ("NEVER_READY", "1")]);
        driver.put(3).await;
        driver.execute(Effect::Apply { slot: Slot::Green, revision: 3 }).await;
        let silent =
            |o: &Observation| o.slots[&Slot::Green].problems.iter().any(|p| p.reason == "probe-failing");
        let seen = driver.until("a failing probe", silent).await;
        let problem = &seen.slots[&Slot::Green].problems[0];
        assert!(problem.message.contains("503 waiting for the moon") && !problem.terminal, "{problem:?}");

        driver.release.service.run.as_mut().unwrap().command = "./nothing-here".into();
        driver.put(4).await;
        driver.execute(Effect::Apply { slot: Slot::Green, revision: 4 }).await;
        let absent =
            |o: &Observation| o.slots[&Slot::Green].problems.iter().any(|p| p.reason == "start-failed");
        let seen = driver.until("a start that fails", absent).await;
        assert!(seen.slots[&Slot::Green].problems[0].terminal, "{seen:#?}");
        assert_eq!(version(driver.port), "one");
    });
}

#[test]
fn a_slow_request_outlives_its_slot() {
    let place = Place::running();
    place.drive(|driver| async move {
        driver.live(1).await;
        let port = driver.port;
        let slow = std::thread::spawn(move || get(port, "/slow"));
        tokio::time::sleep(Duration::from_millis(300)).await;
        driver.execute(Effect::Scale { slot: Slot::Blue, replicas: 0 }).await;
        let seen = driver.platform.observe().await.unwrap();
        assert_eq!((seen.slots[&Slot::Blue].replicas, seen.slots[&Slot::Blue].terminating), (0, 1));
        assert_eq!(get(port, "/").unwrap().0, 503, "it gets no new requests");
        driver.until("the end", |o| o.slots[&Slot::Blue].empty()).await;
        assert_eq!(slow.join().unwrap().unwrap().0, 200);
    });
}

#[test]
fn writes_of_an_overtaken_driver_and_stale_versions_are_refused() {
    let place = Place::running();
    place.drive(|driver| async move {
        let platform = &driver.platform;
        driver.live(1).await;
        platform.raise_epoch(4).await.unwrap();
        assert_eq!(platform.epoch().await.unwrap(), 4);
        let overtaken = |e: Error| matches!(e, Error::Overtaken { seen: 4, .. });
        let template = platform.get_template(1).await.unwrap();
        let stale = platform.install(&driver.release, &template, 3).await.unwrap_err();
        assert!(overtaken(stale.downcast().unwrap()));
        assert!(overtaken(platform.raise_epoch(3).await.unwrap_err()));
        for effect in [
            Effect::Scale { slot: Slot::Blue, replicas: 0 },
            Effect::Apply { slot: Slot::Blue, revision: 1 },
            Effect::Route(Routing::all(Slot::Green)),
            Effect::Select(Selection::Green),
            Effect::Prune { keep: vec![] },
        ] {
            assert!(overtaken(platform.execute(&effect, 3).await.unwrap_err()), "{effect:?}");
        }
        let seen = platform.observe().await.unwrap();
        assert_eq!((seen.slots[&Slot::Blue].desired, seen.selection), (1, Some(Selection::Blue)));

        let first = platform.save("{}", None).await.unwrap();
        assert!(matches!(platform.save("{}", None).await, Err(Error::Conflict(_))));
        let second = platform.save("{\"a\":1}", Some(&first)).await.unwrap();
        assert!(matches!(platform.save("{}", Some(&first)).await, Err(Error::Conflict(_))));
        let stored = platform.load().await.unwrap().unwrap();
        assert_eq!((stored.body.as_str(), stored.version), ("{\"a\":1}", second));

        let lease = platform.take_lease("me", None).await.unwrap();
        assert!(matches!(platform.take_lease("you", None).await, Err(Error::Conflict(_))));
        let renewed = platform.renew_lease(&lease, false).await.unwrap();
        assert!(matches!(platform.renew_lease(&lease, false).await, Err(Error::Conflict(_))));
        let released = platform.renew_lease(&renewed, true).await.unwrap();
        assert_eq!(released.holder, "");
        assert_eq!(platform.take_lease("you", Some(&released)).await.unwrap().holder, "you");
        assert!(matches!(platform.get_template(9).await, Err(Error::NotFound(_))));
    });
}

#[test]
fn processes_survive_a_killed_agent_and_the_next_command_brings_one() {
    let mut place = Place::running();
    place.drive(|driver| async move { driver.live(2).await });
    let before: Vec<String> = (0..2).map(|_| get(place.port, "/").unwrap().2).collect();
    let processes = place.processes();
    assert_eq!(processes.len(), 2);
    place.kill_agent();
    assert!(get(place.port, "/").is_err(), "the proxy went with the agent");
    let status = place.local("status");
    assert_eq!(status.code, 0, "{status:#?}");
    eventually("the proxy serves again", || get(place.port, "/").is_ok_and(|a| a.0 == 200));
    assert_eq!(place.processes(), processes, "nothing was started anew");
    let after: Vec<String> = (0..2).map(|_| get(place.port, "/").unwrap().2).collect();
    let (mut before, mut after) = (before, after);
    before.sort();
    after.sort();
    assert_eq!(before, after);
    let document = place.local("status").json();
    assert_eq!(document["schema"], "msctl.dev/local-status/v1");
    let blue = &document["services"][0]["slots"]["blue"];
    assert_eq!((&blue["ready"], &blue["revision"], &blue["weight"]), (&2.into(), &1.into(), &100.into()));

    // An adopted process is watched like any other.
    Command::new("kill").args(["-9", &processes[0].to_string()]).status().unwrap();
    let whole = || place.processes().len() == 2 && !place.processes().contains(&processes[0]);
    eventually("the killed process is replaced", whole);
}

#[test]
fn down_leaves_nothing_not_even_strays() {
    let mut place = Place::new();
    place.configure("cp app.py built.py", "VERSION: one, STRAY: 1");
    place.start_agent();
    place.drive(|driver| async move { driver.live(1).await });
    assert_eq!(place.processes().len(), 2, "the service and its stray");
    let agent = place.local("status").json()["agent"]["pid"].as_u64().unwrap();
    let text = place.home.run(&["local", "status"]);
    assert!(text.stdout.contains(&format!("pid {agent}")) && text.stdout.contains("1/1 ready"), "{text:#?}");
    let down = place.local("down");
    assert_eq!((down.code, &down.json()["stopped"]), (0, &serde_json::json!(["shop"])), "{down:#?}");
    assert!(place.processes().is_empty() && !place.state().exists());
    let ended = place.agent.take().unwrap().wait().unwrap();
    assert!(ended.success(), "{ended}");
    assert!(TcpListener::bind(("127.0.0.1", place.port)).is_ok());
    let again = place.local("down");
    assert_eq!((again.code, again.json()["stopped"].as_array().map(Vec::len)), (0, Some(0)));
    let idle = place.local("status");
    assert_eq!((idle.code, &idle.json()["running"]), (0, &false.into()));
    assert!(!place.state().exists(), "looking starts nothing");
}

#[test]
fn a_taken_port_names_who_has_it() {
    let place = Place::running();
    let _held = TcpListener::bind(("127.0.0.1", place.port)).unwrap();
    place.drive(|driver| async move {
        let template = driver.platform.template(&driver.ctx, &driver.release).await.unwrap();
        let error = driver.platform.install(&driver.release, &template, 1).await.unwrap_err();
        let report = msctl::error::report(&error);
        assert_eq!((report.code, report.reason.as_str()), (1, "port-taken"));
        assert!(format!("{error:#}").contains(&format!("pid {}", std::process::id())), "{error:#}");
        assert!(driver.platform.observe().await.unwrap().slots.is_empty());
    });
}

#[test]
fn a_build_is_made_once_and_configuration_makes_none() {
    let place = Place::running();
    place.configure("echo made >> $HOME/made; cp app.py built.py", "VERSION: one");
    place.drive(|mut driver| async move {
        let file = driver.ctx.settings.env.home().unwrap().join("made");
        let made = || std::fs::read_to_string(&file).unwrap();
        let template = driver.platform.template(&driver.ctx, &driver.release).await.unwrap();
        let again = driver.platform.template(&driver.ctx, &driver.release).await.unwrap();
        assert_eq!((&template, made().as_str()), (&again, "made\n"));
        driver.config(&[("VERSION", "two")]);
        let other = driver.platform.template(&driver.ctx, &driver.release).await.unwrap();
        assert!(other.hash != template.hash && other.image == template.image);
        assert_eq!(made(), "made\n");
        std::fs::write(driver.release.folder.join("more.txt"), "x").unwrap();
        let rebuilt = driver.platform.template(&driver.ctx, &driver.release).await.unwrap();
        assert!(rebuilt.image != template.image && made() == "made\nmade\n");

        let changes = driver.platform.diff(&driver.release, &template).await.unwrap();
        let objects: Vec<&str> = changes.iter().map(|c| c.object.as_str()).collect();
        assert_eq!(objects, ["Service/shop", "Slot/shop-blue"]);
        driver.put(1).await;
        driver.run(Slot::Blue, 1, 1).await;
        driver.complete(Slot::Blue, 1).await;
        let present = driver.platform.get_template(1).await.unwrap();
        assert!(driver.platform.diff(&driver.release, &present).await.unwrap().is_empty());
        assert!(driver.platform.install(&driver.release, &present, 1).await.unwrap().is_empty());
        let changes = driver.platform.diff(&driver.release, &template).await.unwrap();
        assert!(changes.len() == 1 && changes[0].diff.contains("\"one\""), "{changes:#?}");

        driver.release.service.run.as_mut().unwrap().build = Some("cat nothing-here || exit 7".into());
        let error = driver.platform.template(&driver.ctx, &driver.release).await.unwrap_err();
        let report = msctl::error::report(&error);
        assert_eq!((report.code, report.reason.as_str()), (1, "build-failed"));
        assert!(report.message.contains("exit code 7"), "{report:?}");
        assert!(report.causes.iter().any(|c| c.contains("cat: nothing-here: No such file")), "{report:?}");
    });
}

#[test]
fn secrets_reach_the_process_and_its_store_alone() {
    let place = Place::running();
    place.drive(|mut driver| async move {
        driver.release.secrets.insert("TOKEN".into(), "s3cret-value".into());
        driver.live(1).await;
        let (_, _, body) = get(driver.port, "/env").unwrap();
        let env: BTreeMap<String, String> = serde_json::from_str(&body).unwrap();
        assert_eq!((env["TOKEN"].as_str(), env["VERSION"].as_str()), ("s3cret-value", "one"));
        assert!(!env.contains_key("SHELL_SECRET") && env.contains_key("PATH"), "{env:#?}");
        let template = driver.platform.get_template(1).await.unwrap();
        assert!(!format!("{template:?}").contains("s3cret-value"));
    });
    let found = Command::new("grep").args(["-rl", "s3cret-value"]).arg(place.state()).output().unwrap();
    let found = String::from_utf8(found.stdout).unwrap();
    let files: Vec<&str> = found.lines().collect();
    assert!(files.len() == 1 && files[0].contains("/secrets/shop/"), "{files:?}");
    let mode = |path: PathBuf| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(files[0].into()), 0o600);
    assert_eq!((mode(place.socket()), mode(place.state())), (0o600, 0o700));
}

#[test]
fn delete_prune_and_logs() {
    let place = Place::running();
    place.drive(|mut driver| async move {
        driver.live(1).await;
        driver.config(&[("VERSION", "two")]);
        driver.put(2).await;
        driver.config(&[("VERSION", "three")]);
        driver.put(3).await;
        driver.execute(Effect::Prune { keep: vec![3] }).await;
        assert!(driver.platform.get_template(1).await.is_ok(), "a process runs it");
        assert!(matches!(driver.platform.get_template(2).await, Err(Error::NotFound(_))));
        assert!(driver.platform.get_template(3).await.is_ok());

        let (to, mut lines) = tokio::sync::mpsc::channel(16);
        let query = LogQuery { tail: Some(1), ..LogQuery::default() };
        driver.platform.logs(&query, to).await.unwrap();
        let line = lines.recv().await.unwrap();
        assert_eq!((line.line.as_str(), line.slot), ("started one", Some(Slot::Blue)));
        let (to, mut lines) = tokio::sync::mpsc::channel(16);
        let (platform, query) = (driver.platform.clone(), LogQuery { follow: true, ..LogQuery::default() });
        let following = tokio::spawn(async move { platform.logs(&query, to).await });
        assert_eq!(lines.recv().await.unwrap().line, "started one");
        driver.execute(Effect::Apply { slot: Slot::Blue, revision: 3 }).await;
        assert_eq!(lines.recv().await.unwrap().line, "started three");
        following.abort();

        driver.complete(Slot::Blue, 1).await;
        let gone = driver.platform.delete().await.unwrap();
        assert!(gone.iter().any(|c| c.object == "Slot/shop-blue"), "{gone:?}");
        assert!(driver.platform.load().await.unwrap().is_none());
        assert!(driver.platform.delete().await.unwrap().is_empty());
        assert!(get(driver.port, "/").is_err());
    });
    assert!(place.processes().is_empty());
}

#[test]
fn a_terminated_agent_stops_its_services_and_the_next_starts_them_again() {
    let mut place = Place::running();
    place.drive(|driver| async move { driver.live(1).await });
    let mut agent = place.agent.take().unwrap();
    let before = place.processes();
    Command::new("kill").arg(agent.id().to_string()).status().unwrap();
    assert!(agent.wait().unwrap().success());
    assert!(place.processes().is_empty() && !place.socket().exists());
    assert_eq!(place.local("status").code, 0);
    eventually("it serves again", || get(place.port, "/").is_ok_and(|a| a.0 == 200));
    assert_ne!(place.processes(), before);
}

#[test]
fn an_agent_of_another_protocol_is_not_driven() {
    let place = Place::new();
    std::fs::create_dir_all(place.state()).unwrap();
    let listener = std::os::unix::net::UnixListener::bind(place.socket()).unwrap();
    let state = place.state().display().to_string();
    let answering = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 1024];
        let _ = stream.read(&mut request).unwrap();
        let info = format!(
            r#"{{"protocol":99,"version":"9.0.0","pid":1,"state":"{state}","started":"2026-01-01T00:00:00Z","services":["shop"]}}"#
        );
        write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{info}", info.len()).unwrap();
    });
    place.drive(|driver| async move {
        let error = driver.platform.observe().await.unwrap_err();
        let report = msctl::error::report(&error.into());
        assert_eq!((report.code, report.reason.as_str()), (1, "agent-version"));
        assert!(
            report.message.contains("9.0.0") && report.hints[0].contains("msctl local down"),
            "{report:?}"
        );
    });
    answering.join().unwrap();
}

#[test]
fn one_agent_per_user() {
    let place = Place::running();
    let state = place.state().display().to_string();
    let second = place.home.run(&["agent", &state]);
    assert!(second.code == 0 && second.stderr.contains("another agent runs already"), "{second:#?}");
    assert_eq!(place.local("status").json()["agent"]["pid"], place.agent.as_ref().unwrap().id());
}
