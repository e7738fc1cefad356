//! The embedded templates, each generated and then used as its README says: checked, built, tested, run, and ended
//! under load. `tests/run templates` runs these; they fetch packages and compile, so a plain `cargo test` does not.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

mod demo;
mod http;
mod service;

use http::{Upstream, get, get_with};
use service::Service;
use std::time::{Duration, Instant};

macro_rules! templates {
    ($($name:ident: $template:literal,)*) => {$(
        mod $name {
            #[test]
            #[ignore = "compiles a service: tests/run templates"]
            fn meets_the_contract() {
                super::meets_the_contract(&super::Service::generate($template));
            }
        }
    )*};
}

templates! {
    go: "go",
    python_fastapi: "python-fastapi",
    rust_axum: "rust-axum",
}

fn meets_the_contract(service: &Service) {
    for phase in ["build", "lint", "unit"] {
        service.phase(phase);
    }
    routes_and_metrics(service);
    trace_and_logs(service);
    drains(service);
    second_signal_quits(service);
    bad_variables_are_named(service);
    rehearses_failure(service);
}

fn routes_and_metrics(service: &Service) {
    let mut running = service.start(&[("GREETING", "Ahoy")]);
    let root = running.get("/");
    assert_eq!(root.status, 200);
    assert_eq!(root.json()["greeting"], "Ahoy");
    let version = running.get("/version").json();
    assert_eq!(version["service"], service.name());
    for key in ["version", "commit", "built-at"] {
        assert!(version[key].is_string(), "{key} in {version}");
    }
    assert_eq!(running.get("/health/live").status, 200);
    assert_eq!(running.get("/health/ready").json()["checks"]["lifecycle"], "ok");
    assert_eq!(running.get("/nowhere").status, 404);
    let metrics = running.get("/metrics").body;
    let series = prometheus_parse::Scrape::parse(metrics.lines().map(|l| Ok(l.to_owned()))).unwrap();
    let counted = |route: &str, status: &str| {
        let name = "http_server_request_duration_seconds";
        series.samples.iter().any(|s| {
            s.metric == name
                && s.labels.get("http_route") == Some(route)
                && s.labels.get("http_response_status_code") == Some(status)
                && s.labels.get("http_request_method") == Some("GET")
                && matches!(&s.value, prometheus_parse::Value::Histogram(b) if b.last().is_some_and(|b| b.count == 1.0))
        })
    };
    assert!(counted("/", "200") && counted("", "404"), "{metrics}");
    assert!(!metrics.contains("/health"), "probes are counted");
    let six = get(&format!("[::1]:{}", running.port), "/health/live");
    assert_eq!(six.status, 200, "IPv6");
    assert_eq!(running.terminate().wait().code(), Some(0));
}

fn trace_and_logs(service: &Service) {
    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    let upstream = Upstream::start();
    let mut running = service.start(&[
        ("UPSTREAM_URL", upstream.url.as_str()),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", upstream.url.trim_end_matches('/')),
    ]);
    let header = format!("traceparent: 00-{TRACE}-b7ad6b7169203331-01");
    let answer = get_with(&running.address(), "/", &header);
    assert_eq!((answer.status, &answer.json()["upstream"]["stock"]), (200, &7.into()));
    assert!(upstream.saw(&format!("traceparent: 00-{TRACE}")), "the trace is handed on");
    assert_eq!(running.terminate().wait().code(), Some(0));
    assert!(upstream.saw("post /v1/traces"), "the spans are sent");
    let mut traced = 0;
    for line in running.lines() {
        let line: serde_json::Value = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line}"));
        for key in ["time", "level", "message", "trace_id", "span_id"] {
            assert!(line[key].is_string(), "{key} in {line}");
        }
        traced += usize::from(line["trace_id"] == TRACE);
    }
    assert!(traced > 0, "no log line carries the trace");
}

/// The drill: SIGTERM while a request is under way.
fn drains(service: &Service) {
    let upstream = Upstream::start();
    // Longer than the default, so that a busy machine still sees what happens in between.
    let mut running = service.start(&[("UPSTREAM_URL", upstream.url.as_str()), ("DRAIN_DELAY", "6s")]);
    // Less than the services wait for an answer, which is 2 s.
    upstream.slow_down(Duration::from_millis(1500));
    let address = running.address();
    let slow = std::thread::spawn(move || get(&address, "/").status);
    upstream.await_slow_call();
    running.terminate();
    let deadline = Instant::now() + Duration::from_secs(5);
    while running.get("/health/ready").status != 503 {
        assert!(Instant::now() < deadline, "still ready");
    }
    assert_eq!(running.get("/health/ready").json()["checks"]["lifecycle"], "draining");
    assert_eq!(running.get("/health/live").status, 200);
    assert_eq!(slow.join().unwrap(), 200, "the request under way");
    assert_eq!(running.wait().code(), Some(0));
}

fn second_signal_quits(service: &Service) {
    let mut running = service.start(&[("DRAIN_DELAY", "15s")]);
    running.terminate();
    while running.get("/health/ready").status != 503 {}
    let began = Instant::now();
    let status = running.terminate().wait();
    assert!(!status.success() && began.elapsed() < Duration::from_secs(10), "{status} {:?}", began.elapsed());
}

fn bad_variables_are_named(service: &Service) {
    let mut running = service.spawn(&[("PORT", "http"), ("FAIL_RATE", "2"), ("LOG_LEVEL", "hunter2")]);
    assert_eq!(running.wait().code(), Some(2));
    let said = running.lines().join("\n");
    assert!(["PORT", "FAIL_RATE", "LOG_LEVEL"].iter().all(|name| said.contains(name)), "{said}");
    assert!(!said.contains("hunter2"), "a value is repeated: {said}");
}

fn rehearses_failure(service: &Service) {
    let mut running = service.start(&[("FAIL_RATE", "0.5")]);
    let failed = (0..200).filter(|_| running.get("/").status == 500).count();
    assert!((50..150).contains(&failed), "{failed} of 200");
    assert_eq!(running.get("/health/ready").status, 200);
    assert_eq!(running.terminate().wait().code(), Some(0));
}
