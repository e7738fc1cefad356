//! `rollout …` on the local platform: what status, history, judge and report say of real rollouts, the errors and exit
//! codes, and the live view on a terminal.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rexpect::session::PtySession;
use serde_json::Value;

use crate::run::{Home, Ran, msctl_bin};

/// Counts its requests; answers 500 at the rate of ERRORS, and says so in its log.
const APP: &str = r##"
import http.server, os, random, threading
print("listening on", os.environ["PORT"], flush=True)
lock, counts = threading.Lock(), {"200": 0, "500": 0}
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        code, text = 200, os.environ["VERSION"]
        if self.path == "/metrics":
            text = "# TYPE http_requests_total counter\n" + "".join(
                'http_requests_total{code="%s",path="/"} %d\n' % one for one in counts.items())
        elif not self.path.startswith("/health"):
            if random.random() < float(os.environ.get("ERRORS", "0")):
                code = 500
                print("ERROR <script>alert(1)</script> token=s3cret-value after 17ms", flush=True)
            with lock:
                counts[str(code)] += 1
        self.send_response(code)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())
    def log_message(self, *args):
        pass
class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128
Server(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"##;

const JUDGED: &str = "steps: [{weight: 50}, {analyze: 20s}, {weight: 100}], analysis: {interval: 500ms, warmUp: 0s, \
                      metrics: [{name: errors, builtin: error-rate, max: 1%, minSamples: 20}]}";

struct Shop {
    home: Home,
    port: u16,
}

impl Shop {
    fn new() -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let shop = Shop { home: Home::new(), port };
        std::fs::create_dir(shop.folder()).unwrap();
        std::fs::write(shop.folder().join("app.py"), APP).unwrap();
        shop.configure("VERSION: one", "");
        shop
    }
    fn folder(&self) -> PathBuf {
        self.home.dir.path().join("shop")
    }
    fn configure(&self, config: &str, rollout: &str) {
        let text = format!(
            "service: shop\nport: {}\nreplicas: 2\nrun: {{build: cp app.py built.py, command: exec python3 built.py}}\n\
             config: {{{config}}}\nrollout: {{strategy: canary, surge: 1, scaleDownDelay: 0s, abortDelay: 1s, {rollout}}}\n",
            self.port
        );
        std::fs::write(self.folder().join("msctl.yaml"), text).unwrap();
    }
    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.home.command(args);
        command.current_dir(self.folder());
        command
    }
    fn run(&self, args: &[&str]) -> Ran {
        Ran::of(self.command(args).output().unwrap())
    }
    fn exits(&self, code: i32, args: &[&str]) -> Ran {
        let ran = self.run(args);
        assert_eq!(ran.code, code, "{args:?}: {ran:#?}");
        ran
    }
    fn json(&self, code: i32, args: &[&str]) -> Value {
        self.exits(code, &[args, &["-o", "json"]].concat()).json()
    }
    fn reason(&self, code: i32, args: &[&str]) -> String {
        let document = self.json(code, args);
        assert!(!document["error"]["hints"].as_array().unwrap().is_empty(), "{document:#}");
        document["error"]["reason"].as_str().unwrap().to_owned()
    }
    fn kept(&self) -> PathBuf {
        self.home.dir.path().join(".local/state/msctl/local/deploys/shop")
    }
    fn load(&self) -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        let threads = (0..4).map(|_| {
            let (stop, port) = (stop.clone(), self.port);
            std::thread::spawn(move || {
                let began = Instant::now();
                while !stop.load(Ordering::Relaxed) && began.elapsed() < Duration::from_secs(60) {
                    request(port);
                    std::thread::sleep(Duration::from_millis(15));
                }
            })
        });
        Load { threads: threads.collect(), stop }
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        let down = self.home.run(&["local", "down"]);
        if !std::thread::panicking() {
            assert_eq!(down.code, 0, "{down:#?}");
        }
    }
}

struct Load {
    stop: Arc<AtomicBool>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().unwrap();
        }
    }
}

fn request(port: u16) {
    if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) {
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let sent = stream.write_all(b"GET / HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n");
        // How it was answered is the service's to count.
        let _ = sent.and_then(|()| stream.read_to_end(&mut Vec::new()));
    }
}

fn errors(status: &Value) -> &Value {
    status["analysis"].as_array().unwrap().iter().find(|m| m["metric"] == "errors").unwrap()
}

#[test]
fn a_refused_canary_is_told_judged_again_and_reported() {
    let shop = Shop::new();
    shop.exits(0, &["deploy"]);
    shop.configure("VERSION: two, ERRORS: 0.4", JUDGED);
    let load = shop.load();
    let refused = shop.exits(5, &["deploy", "-o", "ndjson"]);
    let measured = refused.stdout.lines().map(|l| serde_json::from_str::<Value>(l).unwrap());
    let failed = measured.filter(|e| e["type"] == "measured").find(|e| e["verdict"] == "fail");
    assert!(
        failed.is_some_and(|e| e["metric"] == "errors" && e["samples"].as_u64() > Some(0)),
        "{refused:#?}"
    );

    let status = shop.json(5, &["rollout", "status"]);
    let gate = errors(&status);
    assert_eq!((&gate["phase"], &gate["unit"]), (&"failed".into(), &"share".into()), "{gate}");
    assert_eq!((&gate["limit"], &gate["threshold"]), (&0.01.into(), &"≤ 1 %".into()), "{gate}");
    let text = shop.exits(5, &["rollout", "status"]).stdout;
    assert!(text.contains("metric     errors failed: ") && text.contains(", limit ≤ 1 %"), "{text}");

    let judged = shop.json(0, &["rollout", "judge"]);
    let one = &judged["deploys"][0];
    assert_eq!((&one["deploy"], &one["change"]), (&2.into(), &"same".into()), "{judged:#}");
    assert_eq!(
        (&one["would"]["outcome"], &judged["unmeasured"]),
        (&"refused".into(), &serde_json::json!([1]))
    );
    let lax = shop.json(0, &["rollout", "judge", "2", "--metric", "errors:max=99%"]);
    assert_eq!(lax["deploys"][0]["change"], "now-passes", "{lax:#}");
    let text = shop.exits(0, &["rollout", "judge", "shop", "2", "--metric", "errors:max=99%"]).stdout;
    assert!(text.contains("errors ≤ 99 %") && text.contains("passes !"), "{text}");

    let reported = shop.json(0, &["rollout", "report"]);
    assert_eq!((&reported["deploy"], &reported["result"]), (&2.into(), &"aborted".into()));
    let page = std::fs::read_to_string(shop.folder().join("shop-deploy-2.html")).unwrap();
    for part in ["Refused: revision 2", "errors: error rate", "ERROR &lt;script&gt;", "token=…", "Timeline"]
    {
        assert!(page.contains(part), "{part}");
    }
    assert!(!page.contains("<script") && !page.contains("s3cret-value"));
    let piped = shop.exits(0, &["rollout", "report", "1", "--out", "-"]).stdout;
    assert!(piped.starts_with("<!DOCTYPE html>") && piped.contains("Healthy: revision 1 serves"));
    drop(load);
}

/// What a CI schedule does: nobody else drives after the candidate's pods are there.
#[test]
fn attach_once_again_and_again_brings_a_judged_canary_to_its_end() {
    let rollout = "steps: [{weight: 50}, {analyze: 25s}, {weight: 100}], analysis: {interval: 500ms, warmUp: 0s, \
                   metrics: [{name: errors, builtin: error-rate, max: 1%, minSamples: 20}]}";
    let shop = Shop::new();
    shop.exits(0, &["deploy"]);
    let load = shop.load();
    for (config, code, ended) in
        [("VERSION: two, ERRORS: 0.4", 5, "aborted"), ("VERSION: three", 0, "healthy")]
    {
        shop.configure(config, rollout);
        let left = shop.json(0, &["deploy", "--until", "available"]);
        assert_eq!(left["services"][0]["ended"], "reached", "{left:#}");
        let mut visits = 0;
        let last = loop {
            visits += 1;
            let began = Instant::now();
            let ran = shop.run(&["rollout", "attach", "--once", "-o", "json"]);
            let status = shop.run(&["rollout", "status", "-o", "json"]).json();
            if status["phase"] != "progressing" {
                assert_eq!((ran.code, &status["phase"]), (code, &ended.into()), "{ran:#?}");
                break ran.json();
            }
            assert_eq!((ran.code, &ran.json()["ended"]), (0, &"reached".into()), "not the end: {ran:#?}");
            assert!(began.elapsed() < Duration::from_secs(20) && visits < 10, "{status:#}");
        };
        match code {
            0 => assert!(last["ended"] == "healthy" && visits > 1, "after {visits} visits: {last:#}"),
            _ => assert_eq!(last["error"]["reason"], "analysis-failed", "{last:#}"),
        }
    }
    drop(load);
}

#[test]
fn attach_once_says_what_is_left_as_it_is() {
    let shop = Shop::new();
    shop.exits(0, &["deploy"]);
    assert_eq!(shop.json(0, &["rollout", "attach", "--once"])["ended"], "healthy");
    shop.configure("VERSION: two", "steps: [{weight: 50}, {pause: 1h}, {weight: 100}]");
    shop.json(0, &["deploy", "--until", "step=2"]);
    let left = shop.json(0, &["rollout", "attach", "--once"]);
    assert_eq!((&left["ended"], &left["status"]["reason"]), (&"reached".into(), &"timed-pause".into()));
    shop.exits(0, &["rollout", "pause"]);
    assert_eq!(shop.json(6, &["rollout", "attach", "--once"])["ended"], "paused");
    // Also where somebody could be waited for.
    let (mut session, _) = on_terminal(&shop, 24, 100, "dumb", "rollout attach --once");
    session.exp_eof().unwrap();
    let ended = session.process().wait().unwrap();
    assert!(matches!(ended, rexpect::process::WaitStatus::Exited(_, 6)), "{ended:?}");
    shop.exits(0, &["rollout", "abort"]);
}

#[test]
fn history_marks_the_one_deploy_that_serves() {
    let shop = Shop::new();
    shop.exits(0, &["deploy"]);
    shop.configure("VERSION: two", "history: 2");
    shop.exits(0, &["deploy", "--rolling"]);
    shop.exits(0, &["rollout", "undo"]);
    shop.exits(0, &["rollout", "undo"]);
    let text = shop.exits(0, &["rollout", "history"]).stdout;
    let marked: Vec<&str> = text.lines().filter(|l| l.trim_start().starts_with("* ")).collect();
    assert!(marked.len() == 1 && marked[0].contains("2 from 1") && marked[0].contains("undo ("), "{text}");
    assert!(text.lines().any(|l| l.contains("first") && l.contains("healthy")), "{text}");
    let history = shop.json(0, &["rollout", "history"]);
    assert_eq!((&history["live"], history["deploys"].as_array().unwrap().len()), (&2.into(), 4));
    let kept = || {
        std::fs::read_dir(shop.kept())
            .into_iter()
            .flatten()
            .flatten()
            .map(|e| e.file_name())
            .collect::<Vec<_>>()
    };
    let mut names = kept();
    names.sort();
    assert_eq!(names, ["3.json", "4.json"], "as many as rollout.history says");
    shop.exits(0, &["delete", "--yes"]);
    assert!(kept().is_empty(), "delete removes them");
}

#[test]
fn errors_say_what_is_wrong_and_what_next() {
    let shop = Shop::new();
    for verb in ["history", "judge", "report", "promote", "pause", "abort", "retry", "undo", "attach"] {
        assert_eq!(shop.reason(1, &["rollout", verb]), "not-deployed", "{verb}");
    }
    shop.exits(1, &["rollout", "status"]);
    shop.exits(0, &["deploy"]);
    for (code, reason, line) in [
        (1, "nothing-kept", "rollout judge"),
        (1, "no-deploy", "rollout judge 99"),
        (1, "no-deploy", "rollout report 99"),
        (2, "deploy-number", "rollout report shop many"),
        (2, "deploy-number", "rollout judge 99999999999"),
        (2, "metric", "rollout judge --metric errors"),
        (2, "metric", "rollout judge --metric errors:max=1%"),
        (2, "format", "rollout report --out -"),
        (1, "not-written", "rollout report --out no/such/folder.html"),
        (2, "format", "rollout watch"),
        (1, "no-target", "rollout undo --to 7"),
    ] {
        assert_eq!(shop.reason(code, &line.split(' ').collect::<Vec<_>>()), reason, "{line}");
    }
    for verb in ["promote", "pause", "retry"] {
        let ran = shop.run(&["rollout", verb, "-o", "json"]);
        assert_eq!(ran.code, 1, "{verb}: {ran:#?}");
    }
    shop.exits(0, &["rollout", "abort"]);
    shop.exits(0, &["rollout", "watch"]);
}

/// `msctl ARGS` on a terminal of that size; the process's number first.
fn on_terminal(shop: &Shop, rows: u32, columns: u32, terminal: &str, args: &str) -> (PtySession, String) {
    let mut command = Command::new("sh");
    let msctl = msctl_bin().display();
    let script = format!("stty rows {rows} cols {columns}; echo pid $$ here; exec {msctl} {args}");
    command.args(["-c", &script]).env_clear().current_dir(shop.folder());
    command.env("HOME", shop.home.dir.path()).env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.env("TERM", terminal);
    let mut session = rexpect::session::spawn_command(command, Some(30_000)).unwrap();
    session.exp_string("pid ").unwrap();
    let pid = session.exp_string(" here").unwrap();
    (session, pid)
}

fn resize(pid: &str, rows: u32, columns: u32) {
    let terminal = format!("/proc/{pid}/fd/0");
    let size = [rows, columns].map(|n| n.to_string());
    let done = Command::new("stty").args(["-F", &terminal, "rows", &size[0], "cols", &size[1]]).status();
    assert!(done.unwrap().success());
}

#[test]
fn on_a_terminal_a_rollout_is_a_picture_that_survives_a_resize() {
    let shop = Shop::new();
    shop.exits(0, &["deploy"]);
    shop.configure("VERSION: two", "steps: [{weight: 50}, {pause: {}}, {weight: 100}]");
    let (mut session, pid) = on_terminal(&shop, 24, 100, "xterm", "deploy");
    session.exp_string("waits to be promoted").unwrap();
    resize(&pid, 8, 40);
    // Drawn anew by itself, in the short form of narrow terminals.
    session.exp_regex(r"candidate \x1b\[3[24]mgreen \x1b\[0mr2 ").unwrap();
    let picture = session.exp_string("\x1b[?2026l").unwrap();
    for line in picture.lines() {
        assert!(console_width(line) < 40, "{line:?}");
    }
    assert!(picture.contains("50 %") && picture.contains("pause until promoted"), "{picture:?}");
    shop.exits(0, &["rollout", "promote"]);
    session.exp_string("revision 2 is \x1b[32mhealthy").unwrap();
    session.exp_eof().unwrap();
    let ended = session.process().wait().unwrap();
    assert!(matches!(ended, rexpect::process::WaitStatus::Exited(_, 0)), "{ended:?}");
}

/// Without what only moves or colours.
fn console_width(line: &str) -> usize {
    let mut plain = String::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once("\x1b[") {
        plain += before;
        let end = after.find(|c: char| c.is_ascii_alphabetic()).map_or(after.len(), |n| n + 1);
        rest = &after[end..];
    }
    plain += rest;
    // The session hands bytes out as characters.
    let bytes = plain.trim_end_matches('\r').chars().map(|c| c as u8).collect();
    String::from_utf8(bytes).unwrap().chars().count()
}

#[test]
fn without_colours_and_on_a_dumb_terminal_lines_are_plain() {
    let shop = Shop::new();
    let (mut session, _) = on_terminal(&shop, 24, 80, "dumb", "deploy");
    let all = session.exp_eof().unwrap();
    assert!(all.contains("shop is healthy: revision 1") && !all.contains('\x1b'), "{all:?}");
}
