//! `rollout rehearse`: real processes behind a relay that gets things wrong, and gates that see it, or do not.

use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::local::Place;
use crate::run::Ran;

/// Counts its requests as Prometheus clients do.
const COUNTING: &str = r##"
import http.server, os, threading, time
lock, bounds, counts = threading.Lock(), [0.005, 0.05, 0.5, 5], [0] * 5
def metrics():
    name, labels = "http_server_request_duration_seconds", 'http_route="/",http_response_status_code="200"'
    text, below = "# TYPE %s histogram\n" % name, 0
    with lock:
        for bound, count in zip(bounds + ["+Inf"], counts):
            below += count
            text += '%s_bucket{%s,le="%s"} %d\n' % (name, labels, bound, below)
        return text + "%s_sum{%s} 0\n%s_count{%s} %d\nlessons_total 3\n" % (name, labels, name, labels, below)
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        began, text = time.monotonic(), metrics() if self.path == "/metrics" else "hello"
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())
        if self.path == "/":
            took = time.monotonic() - began
            with lock:
                counts[sum(took > bound for bound in bounds)] += 1
    def log_message(self, *args):
        pass
http.server.ThreadingHTTPServer.request_queue_size = 128
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"##;

const GATES: &str = "{strategy: canary, progressDeadline: 3s, steps: [{weight: 50}, {analyze: 3s}, {pause: {}}], \
    analysis: {warmUp: 0s, interval: 1s, metrics: [{name: errors, builtin: error-rate, max: 10%}, \
    {name: median, builtin: latency-p50, max: 0.1}, {name: shop, web: {url: 'http://127.0.0.1:1/'}}]}}";

struct Hall(Place);

impl Hall {
    fn new(rollout: &str) -> Hall {
        let place = Place::running();
        std::fs::write(place.folder().join("app.py"), COUNTING).unwrap();
        place.configure_rollout("cp app.py built.py", "VERSION: one", rollout);
        Hall(place)
    }
    fn command(&self, args: &[&str]) -> std::process::Command {
        let mut command = self.0.home.command(&["rollout", "rehearse"]);
        command.args(args).current_dir(self.0.folder());
        command
    }
    fn rehearse(&self, args: &[&str]) -> Ran {
        Ran::of(self.command(args).output().unwrap())
    }
    fn services(&self) -> usize {
        let status = self.0.home.run(&["local", "status", "-o", "json"]).json();
        status["services"].as_array().map_or(0, Vec::len)
    }
}

#[test]
fn gates_let_the_service_pass_and_see_every_fault() {
    let hall = Hall::new(GATES);
    let faults = ["errors=50%", "latency=300ms", "crash=0s", "unready"];
    let args: Vec<&str> =
        faults.iter().flat_map(|f| ["--fault", f]).chain(["--rate", "100", "-o", "json"]).collect();
    let ran = hall.rehearse(&args);
    assert_eq!(ran.code, 0, "{ran:#?}");
    let told = ran.json();
    assert_eq!(told["schema"], "msctl.dev/rollout-rehearse/v1");
    assert_eq!((&told["leftOut"][0], &told["strategy"]), (&"shop".into(), &"canary".into()), "{told}");
    let acts = told["acts"].as_array().unwrap();
    let of = |at: usize, key: &str| acts[at][key].clone();
    let seen: Vec<(Value, Value, Value)> =
        (0..5).map(|at| (of(at, "fault"), of(at, "ended"), of(at, "reason"))).collect();
    assert_eq!(seen[0], (Value::Null, "healthy".into(), Value::Null), "{told:#}");
    assert_eq!((of(0, "failed"), of(0, "expected")), (0.into(), true.into()), "{told:#}");
    assert!(of(0, "met").as_u64() > Some(50), "{told:#}");
    for (at, reason) in [(1, "analysis-failed"), (2, "analysis-failed"), (4, "progress-deadline")] {
        let expected = (faults[at - 1].into(), "refused".into(), reason.into());
        assert_eq!(seen[at], expected, "{told:#}");
    }
    assert_eq!(seen[3].1, "refused", "{told:#}");
    assert!(of(1, "message").as_str().unwrap().contains("metric errors"), "{told:#}");
    assert!(of(1, "failed").as_u64() > Some(5), "{told:#}");
    assert_eq!((of(2, "failed"), of(4, "met")), (0.into(), 0.into()), "{told:#}");
    assert_eq!(hall.services(), 0);
}

#[test]
fn what_no_gate_sees_is_told_with_what_would_and_the_next_meets_the_service_as_it_is() {
    let hall = Hall::new("{steps: [{weight: 50}, {pause: 2s}]}");
    // The rollout of another environment, at a cluster that nobody asks.
    let file = hall.0.folder().join("msctl.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    let more = "environments:\n  shop: {platform: kubernetes, context: nowhere, protected: true, rollout: {strategy: canary}}\n";
    std::fs::write(&file, text + more).unwrap();
    let ran = hall.rehearse(&["-e", "shop", "--fault", "errors=100%", "--fault", "errors=99%"]);
    assert_eq!(ran.code, 1, "{ran:#?}");
    for told in
        ["canary as in shop", "errors=100%: no gate saw it", "builtin: error-rate", "docs/analysis.md"]
    {
        assert!(ran.stdout.contains(told), "{told}: {ran:#?}");
    }
    let live = ran.stderr.matches("back to the service as it is").count();
    assert_eq!(live, 2, "{ran:#?}");
    let rolling = hall.rehearse(&["--rolling", "--fault", "errors=50%"]);
    assert_eq!(rolling.code, 1, "{rolling:#?}");
    assert!(rolling.stdout.contains("judged by readiness alone"), "{rolling:#?}");
    assert_eq!(hall.services(), 0);
}

#[test]
fn nothing_is_left_by_one_that_is_stopped_and_the_next_clears_what_was_killed() {
    let hall = Hall::new("{strategy: canary, progressDeadline: 2s, steps: [{weight: 50}, {pause: 60s}]}");
    let begun = |signal: &str| {
        let mut child = hall
            .command(&["--fault", "unready"])
            .stderr(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let since = Instant::now();
        while hall.services() == 0 && since.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(Duration::from_millis(50));
        }
        // Somebody else's has to wait.
        let held = hall.rehearse(&[]);
        assert_eq!(held.code, 4, "{held:#?}");
        std::process::Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
        child.wait().unwrap().code()
    };
    assert_eq!(begun("-KILL"), None);
    assert_eq!(hall.services(), 1);
    assert_eq!(begun("-INT"), Some(130));
    assert_eq!(hall.services(), 0);
}

#[test]
fn what_cannot_be_rehearsed_is_refused_before_anything_starts() {
    let hall = Hall::new("{strategy: canary}");
    for (args, why) in [
        (&["--fault", "errors=0%"] as &[&str], "above 0%"),
        (&["--fault", "meteor"], "known are errors=SHARE"),
        (&["--rate", "0"], "from 1 to 1000"),
        (&["--path", "orders"], "does not begin with /"),
        (&["--header", "x-group"], "NAME:VALUE"),
        (&["--steps", "50,10"], "weights only grow"),
        (&["nobody"], "nobody"),
    ] {
        let ran = hall.rehearse(args);
        assert_eq!(ran.code, 2, "{ran:#?}");
        assert!(ran.stderr.contains(why), "{why}: {ran:#?}");
    }
    let secret = hall.rehearse(&["--header", "authorization=hunter2"]);
    assert!(!secret.stderr.contains("hunter2"), "{secret:#?}");
    let broken = hall.0.folder().join("msctl.yaml");
    let text = std::fs::read_to_string(&broken).unwrap().replace("built.py'}", "missing.py'}");
    std::fs::write(&broken, text).unwrap();
    let ran = hall.rehearse(&[]);
    assert_eq!(ran.code, 1, "{ran:#?}");
    assert!(ran.stderr.contains("does not start as it is"), "{ran:#?}");
    assert_eq!(hall.services(), 0);
}
