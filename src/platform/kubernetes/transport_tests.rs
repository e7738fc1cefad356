//! What a request may suffer, against a server that misbehaves on demand.

use kube::api::{Api, EvictParams};
use kube::config::ExecConfig;
use serde_json::json;
use wiremock::matchers::{header, method};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;
use crate::context::SystemClock;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};

fn client(address: &str, exec: Option<ExecConfig>) -> (kube::Client, Transport) {
    let config = kube::Config::new(address.parse().unwrap());
    let options = crate::ui::Options {
        format: crate::ui::Format::Text,
        color: false,
        verbosity: 0,
        animate: false,
        interactive: false,
        width: 100,
    };
    let clock = Arc::new(SystemClock);
    let ui = Ui::new(options, clock.clone());
    let transport = Transport::new(Sessions::new(config, exec, false), Arc::new(ServerClock::new(clock)), ui);
    (kube::Client::new(transport.clone(), "shop"), transport)
}

fn found() -> ResponseTemplate {
    ResponseTemplate::new(200)
        .set_body_json(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}))
}

fn refused(code: u16) -> ResponseTemplate {
    ResponseTemplate::new(code).set_body_json(json!({"kind": "Status", "status": "Failure", "code": code}))
}

fn code(error: &kube::Error) -> u16 {
    match error {
        kube::Error::Api(status) => status.code,
        other => panic!("{other:?}"),
    }
}

async fn first(server: &MockServer, verb: &str, times: u64, answer: ResponseTemplate) {
    Mock::given(method(verb)).respond_with(answer).up_to_n_times(times).mount(server).await;
}

#[tokio::test]
async fn an_overloaded_server_is_asked_again_as_late_as_it_says() {
    let server = MockServer::start().await;
    first(&server, "GET", 1, refused(429).insert_header("retry-after", "1")).await;
    first(&server, "GET", 2, refused(503)).await;
    Mock::given(method("GET")).respond_with(found()).mount(&server).await;
    let (client, transport) = client(&server.uri(), None);
    let started = Instant::now();
    Api::<ConfigMap>::default_namespaced(client).get("a").await.unwrap();
    assert_eq!(transport.requests(), 4);
    assert!(started.elapsed() >= Duration::from_secs(1), "{:?}", started.elapsed());
}

#[tokio::test]
async fn only_what_is_harmless_twice_is_done_twice() {
    // An object with a name is made once, however often it is asked for; a Job's might have run.
    for (verb, plural, status, requests) in [
        ("POST", "jobs", 500, 1),
        ("POST", "jobs", 503, 1),
        ("POST", "jobs", 429, 2),
        ("POST", "configmaps", 500, 2),
        ("GET", "configmaps", 404, 1),
    ] {
        let server = MockServer::start().await;
        first(&server, verb, 1, refused(status)).await;
        Mock::given(method(verb)).respond_with(found()).mount(&server).await;
        let (client, transport) = client(&server.uri(), None);
        let request = hyper::Request::builder().method(verb).uri(format!("/api/v1/namespaces/shop/{plural}"));
        let result = client.request::<serde_json::Value>(request.body(Vec::new()).unwrap()).await;
        assert_eq!(transport.requests(), requests, "{verb} {plural} {status}");
        assert_eq!(result.is_ok(), requests == 2, "{verb} {plural} {status}");
    }
}

#[tokio::test]
async fn a_budget_s_refusal_is_an_answer() {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .respond_with(refused(429).insert_header("retry-after", "10"))
        .mount(&server)
        .await;
    let (client, transport) = client(&server.uri(), None);
    let error = Api::<Pod>::default_namespaced(client).evict("a", &EvictParams::default()).await.unwrap_err();
    assert_eq!((code(&error), transport.requests()), (429, 1));
}

#[tokio::test]
async fn the_plugin_runs_once_and_once_more_on_401() {
    let folder = tempfile::tempdir().unwrap();
    let count = folder.path().join("count").display().to_string();
    let script = format!(
        r#"echo x >> {count}; echo "{{\"status\": {{\"token\": \"t$(wc -l < {count} | tr -d ' ')\"}}}}""#
    );
    let plugin: ExecConfig =
        serde_json::from_value(json!({"command": "sh", "args": ["-c", script], "interactiveMode": "Never"}))
            .unwrap();
    let server = MockServer::start().await;
    Mock::given(header("authorization", "Bearer t1"))
        .respond_with(found())
        .up_to_n_times(2)
        .mount(&server)
        .await;
    Mock::given(header("authorization", "Bearer t2"))
        .respond_with(found())
        .up_to_n_times(1)
        .mount(&server)
        .await;
    Mock::given(method("GET")).respond_with(refused(401)).mount(&server).await;
    let (client, transport) = client(&server.uri(), Some(plugin));
    let api = Api::<ConfigMap>::default_namespaced(client);
    let runs = || std::fs::read_to_string(&count).map_or(0, |t| t.lines().count());
    assert_eq!(runs(), 0, "opening runs nothing");
    api.get("a").await.unwrap();
    api.get("a").await.unwrap();
    assert_eq!((runs(), transport.requests()), (1, 2));
    api.get("a").await.unwrap();
    assert_eq!((runs(), transport.requests()), (2, 4), "refused, renewed, asked again");
    let error = api.get("a").await.unwrap_err();
    assert_eq!((code(&error), runs(), transport.requests()), (401, 3, 6), "a second refusal is final");
}

#[tokio::test]
async fn a_cluster_that_is_not_there_is_said_at_once() {
    let (client, _) = client("http://127.0.0.1:1", None);
    let started = Instant::now();
    let error = Api::<ConfigMap>::default_namespaced(client).get("a").await.unwrap_err();
    let error = super::super::client::unanswered(error, "ConfigMap a");
    assert!(started.elapsed() < Duration::from_secs(1));
    assert!(matches!(error, crate::platform::Error::Unreachable(_)), "{error:?}");
    let text = error.to_string();
    assert!(text.starts_with("no connection to http://127.0.0.1:1: ") && text.contains("refused"), "{text}");
}
