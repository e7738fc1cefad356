//! The whole service over real HTTP, in this process.

use axum::{Router, routing::get};
use reqwest::Url;
use service::{App, Info, Shared, config, outbound::Client, routes, server, telemetry};
use std::{
    collections::HashMap,
    io::Write,
    sync::{
        Arc, Mutex, Once,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{net::TcpListener, sync::mpsc, task::JoinHandle, time::sleep};

type Ended = Result<(), Box<dyn std::error::Error + Send + Sync>>;

struct Service {
    url: Url,
    app: Shared,
    signals: mpsc::Sender<&'static str>,
    ended: JoinHandle<Ended>,
    http: reqwest::Client,
}

fn info() -> Info {
    Info {
        service: "orders".into(),
        version: "1.2.3".into(),
        commit: "abc".into(),
        built_at: "2026-01-01T00:00:00Z".into(),
    }
}

fn app(env: &[(&str, &str)]) -> App {
    static TRACING: Once = Once::new();
    TRACING.call_once(|| {
        telemetry::logs(tracing::Level::INFO, || Logs);
        std::mem::forget(telemetry::traces(&info(), false).unwrap());
    });
    let mut values = HashMap::from([("DRAIN_DELAY", "0"), ("SHUTDOWN_TIMEOUT", "5s")]);
    values.extend(env.iter().copied());
    App::new(config::load(&|name| values.get(name).map(|v| v.to_string()), 8080).unwrap(), info())
}

async fn start(app: App, routes: Router<Shared>) -> Service {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
    let (signals, receive) = mpsc::channel(2);
    let app = Arc::new(app);
    let ended = tokio::spawn(server::serve(app.clone(), routes, listener, receive));
    let service = Service { url, app, signals, ended, http: reqwest::Client::new() };
    service.until("health/ready", 200).await;
    service
}

impl Service {
    async fn get(&self, path: &str) -> (u16, String) {
        match self.http.get(self.url.join(path).unwrap()).send().await {
            Ok(response) => (response.status().as_u16(), response.text().await.unwrap_or_default()),
            Err(_) => (0, String::new()),
        }
    }

    async fn expect(&self, path: &str, status: u16, parts: &[&str]) {
        let (got, body) = self.get(path).await;
        assert_eq!(got, status, "/{path}: {body}");
        for part in parts {
            assert!(body.contains(part), "/{path} is missing {part} in\n{body}");
        }
    }

    async fn until(&self, path: &str, status: u16) {
        let deadline = Instant::now() + Duration::from_secs(5);
        while self.get(path).await.0 != status {
            assert!(Instant::now() < deadline, "/{path} never answered {status}");
            sleep(Duration::from_millis(5)).await;
        }
    }

    async fn terminate(&self) {
        self.signals.send("SIGTERM").await.unwrap();
    }
}

static LINES: Mutex<Vec<u8>> = Mutex::new(Vec::new());

struct Logs;

impl Write for Logs {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        LINES.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn the_routes() {
    let s = start(app(&[("GREETING", "Ahoy")]), routes()).await;
    s.expect("", 200, &[r#""greeting":"Ahoy""#, r#""version":"1.2.3""#]).await;
    s.expect("version", 200, &[r#""service":"orders""#, r#""commit":"abc""#, r#""built-at":"2026-01-01T00:00:00Z""#])
        .await;
    s.expect("health/live", 200, &[]).await;
    s.expect("health/ready", 200, &[r#""lifecycle":"ok""#]).await;
    s.expect("nowhere/1", 404, &[]).await;
    let (_, metrics) = s.get("metrics").await;
    for (route, status) in [("/", 200), ("/version", 200), ("", 404)] {
        let labels = format!(r#"http_request_method="GET",http_response_status_code="{status}",http_route="{route}""#);
        let line = format!("http_server_request_duration_seconds_count{{{labels}}} 1\n");
        assert!(metrics.contains(&line), "{line} in\n{metrics}");
    }
    assert!(!metrics.contains("/health"));
}

#[tokio::test]
async fn fail_rate() {
    let s = start(app(&[("FAIL_RATE", "1")]), routes()).await;
    s.expect("", 500, &["FAIL_RATE"]).await;
    s.expect("health/ready", 200, &[]).await;
}

#[tokio::test]
async fn a_panic_is_an_answer() {
    async fn broken() -> &'static str {
        panic!("boom")
    }
    let s = start(app(&[]), routes().route("/broken", get(broken))).await;
    s.expect("broken", 500, &[]).await;
    s.expect("", 200, &[]).await;
}

#[tokio::test]
async fn readiness_names_the_dependency() {
    let down = Arc::new(AtomicUsize::new(0));
    let mut app = app(&[]);
    let seen = down.clone();
    app.health.require("database", move || {
        let down = seen.load(Ordering::SeqCst) == 1;
        async move { if down { Err("password=hunter2 refused".into()) } else { Ok(()) } }
    });
    let starting = app.health.ready().await;
    assert_eq!(starting.status(), 503);
    let s = start(app, routes()).await;
    s.expect("health/ready", 200, &[r#""database":"ok""#]).await;
    down.store(1, Ordering::SeqCst);
    s.expect("health/ready", 503, &[r#""database":"failing""#]).await;
    s.expect("health/live", 200, &[]).await;
    assert!(!s.get("health/ready").await.1.contains("hunter2"));
}

/// A server that answers with the statuses in turn, the last one for ever, and counts; with the headers it saw last.
async fn upstream(statuses: &'static [u16]) -> (Url, Arc<AtomicUsize>, Arc<Mutex<String>>, JoinHandle<()>) {
    let (calls, traceparent) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(String::new())));
    let (count, seen) = (calls.clone(), traceparent.clone());
    let answer = move |headers: axum::http::HeaderMap| {
        let n = count.fetch_add(1, Ordering::SeqCst);
        *seen.lock().unwrap() = headers.get("traceparent").map_or("", |v| v.to_str().unwrap()).into();
        async move { (axum::http::StatusCode::from_u16(statuses[n.min(statuses.len() - 1)]).unwrap(), r#"{"stock":7}"#) }
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
    let router = Router::new().route("/", axum::routing::any(answer));
    let server = tokio::spawn(async move { drop(axum::serve(listener, router).await) });
    (url, calls, traceparent, server)
}

#[tokio::test]
async fn the_trace_goes_through() {
    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    let (url, _, traceparent, server) = upstream(&[200]).await;
    let s = start(app(&[("UPSTREAM_URL", url.as_str())]), routes()).await;
    let request = s.http.get(s.url.clone()).header("traceparent", format!("00-{TRACE}-b7ad6b7169203331-01"));
    let body = request.send().await.unwrap().text().await.unwrap();
    assert!(body.contains(r#""upstream":{"stock":7}"#), "{body}");
    assert!(traceparent.lock().unwrap().contains(TRACE));
    let lines = String::from_utf8(LINES.lock().unwrap().clone()).unwrap();
    let line = lines.lines().find(|line| line.contains(TRACE)).expect("a log line with the trace");
    let line: serde_json::Value = serde_json::from_str(line).unwrap();
    assert_eq!((line["level"].as_str(), line["message"].as_str()), (Some("info"), Some("request")));
    assert!(line["time"].as_str().unwrap().ends_with('Z') && line["span_id"].as_str().unwrap().len() == 16);
    server.abort();
    s.until("", 502).await;
    s.until("health/ready", 503).await;
    s.expect("health/ready", 503, &[r#""upstream":"failing""#]).await;
}

fn quick() -> Client {
    let mut client = Client::new();
    client.backoff = Duration::from_millis(1);
    client
}

#[tokio::test]
async fn the_client_repeats_what_is_safe() {
    use reqwest::{Method, Request};
    for (method, statuses, want, calls) in [
        (Method::GET, &[503, 502, 200][..], 200, 3),
        (Method::GET, &[503], 503, 3),
        (Method::POST, &[503, 200], 503, 1),
        (Method::GET, &[404], 404, 1),
    ] {
        let (url, count, _, _server) = upstream(statuses).await;
        let response = quick().send(Request::new(method.clone(), url)).await.unwrap();
        assert_eq!((response.status().as_u16(), count.load(Ordering::SeqCst)), (want, calls), "{method} {statuses:?}");
    }
}

#[tokio::test]
async fn the_client_leaves_alone_what_keeps_failing() {
    let (url, count, _, _server) = upstream(&[500]).await;
    let client = quick();
    for _ in 0..5 {
        client.get(url.clone()).await.unwrap();
    }
    let error = client.get(url).await.unwrap_err();
    assert_eq!((error.to_string().as_str(), count.load(Ordering::SeqCst)), ("circuit breaker is open", 5));
}

#[tokio::test]
async fn the_client_gives_up_waiting() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap(); // accepts, never answers
    let url = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
    let mut client = quick();
    client.timeout = Duration::from_millis(30);
    let began = Instant::now();
    client.get(url).await.unwrap_err();
    assert!(began.elapsed() < Duration::from_secs(1));
}

/// The service with a request under way that takes a while.
async fn busy(env: &[(&str, &str)], takes: Duration) -> (Service, JoinHandle<u16>) {
    let begun = Arc::new(tokio::sync::Notify::new());
    let tell = begun.clone();
    let slow = move || async move {
        tell.notify_one();
        sleep(takes).await;
        "done"
    };
    let s = start(app(env), routes().route("/slow", get(slow))).await;
    let url = s.url.join("slow").unwrap();
    let call = tokio::spawn(async move { reqwest::get(url).await.map_or(0, |r| r.status().as_u16()) });
    begun.notified().await;
    (s, call)
}

#[tokio::test]
async fn drain() {
    let (s, call) = busy(&[("DRAIN_DELAY", "300ms")], Duration::from_millis(600)).await;
    s.terminate().await;
    s.until("health/ready", 503).await;
    s.expect("health/ready", 503, &[r#""lifecycle":"draining""#]).await;
    s.expect("health/live", 200, &[]).await;
    s.expect("", 200, &[]).await; // still served while the load balancers notice
    assert_eq!(call.await.unwrap(), 200, "the request under way");
    s.ended.await.unwrap().expect("a clean end");
    assert!(reqwest::get(s.url).await.is_err(), "still accepts connections");
    assert!(s.app.upstream.is_none());
}

#[tokio::test]
async fn shutdown_timeout() {
    let (s, _call) = busy(&[("SHUTDOWN_TIMEOUT", "100ms")], Duration::from_secs(9)).await;
    s.terminate().await;
    let error = s.ended.await.unwrap().unwrap_err().to_string();
    assert!(error.contains("SHUTDOWN_TIMEOUT"), "{error}");
}

#[tokio::test]
async fn a_second_signal_quits() {
    let (s, _call) = busy(&[("DRAIN_DELAY", "4s")], Duration::from_secs(9)).await;
    let began = Instant::now();
    s.terminate().await;
    s.terminate().await;
    s.ended.await.unwrap().unwrap_err();
    assert!(began.elapsed() < Duration::from_millis(500));
}
