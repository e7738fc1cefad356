//! The wire between one msctl and the API server: a plain HTTP proxy on loopback that counts writes, kills or freezes
//! its client between any two of them, and injects what networks and API servers do at their worst.
#![allow(dead_code)]

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Frame, Incoming};
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use kube::client::ConfigExt;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::harness::{Lab, Namespace};

type Answer = Response<BoxBody<Bytes, std::io::Error>>;
type Upstream = Client<hyper_rustls::HttpsConnector<HttpConnector>, Full<Bytes>>;

/// A request as a fault is chosen for it.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Counted from 1 over all requests, and over writes (0 for a read).
    pub request: usize,
    pub write: usize,
    pub watch: bool,
    /// `PATCH /apis/apps/v1/namespaces/x/deployments/orders-blue`, without the query.
    pub line: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The client is killed; the request never arrives.
    KillBefore,
    /// The request is carried out, then the client is killed before it hears of it.
    KillAfter,
    /// The request and the client stand still until [`Wire::thaw`]; then it goes on its way.
    Freeze,
    Status(u16),
    /// Carried out; the connection breaks before the answer.
    Unheard,
    /// Never carried out; the connection breaks.
    Broken,
    /// No answer for so long, then the connection ends.
    Silent(Duration),
    /// A watch that ends, cleanly or not, after so long.
    Cut {
        after: Duration,
        clean: bool,
    },
    /// A watch that is told its version is too old.
    Gone,
}

type Plan = Box<dyn FnMut(&Asked) -> Option<Fault> + Send>;

struct Shared {
    plan: Mutex<Plan>,
    log: Mutex<Log>,
    driver: watch::Sender<Option<u32>>,
    /// Dead: nothing passes any more.
    dead: watch::Sender<bool>,
    frozen: watch::Sender<bool>,
}

#[derive(Default)]
struct Log {
    requests: usize,
    writes: Vec<(Instant, String)>,
    injected: BTreeMap<String, usize>,
}

pub struct Wire {
    pub kubeconfig: PathBuf,
    shared: Arc<Shared>,
    listener: tokio::task::JoinHandle<()>,
}

static RUNTIME: LazyLock<tokio::runtime::Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
});

/// The API server's address, and a client with the administrator's certificate.
static UPSTREAM: LazyLock<(Uri, Upstream)> = LazyLock::new(|| {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let file = kube::config::Kubeconfig::read_from(&Lab::get().kubeconfig).expect("the lab's kubeconfig");
    let options = kube::config::KubeConfigOptions::default();
    let config = RUNTIME.block_on(kube::Config::from_custom_kubeconfig(file, &options));
    let config = config.expect("the lab's kubeconfig is whole");
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_nodelay(true);
    let https = config.rustls_https_connector_with_connector(http).expect("TLS");
    (config.cluster_url.clone(), Client::builder(TokioExecutor::new()).build(https))
});

/// One request to the API server as the administrator; what is not there is null.
pub fn ask(method: Method, path: &str, body: Option<(&str, &Value)>) -> Value {
    let (base, client) = &*UPSTREAM;
    let uri = format!("{}{path}", base.to_string().trim_end_matches('/'));
    let mut request = Request::builder().method(method).uri(uri);
    if let Some((content, _)) = body {
        request = request.header("content-type", content);
    }
    let body = body.map(|(_, b)| b.to_string()).unwrap_or_default();
    RUNTIME.block_on(async {
        let answer = client.request(request.body(Full::from(body)).expect("a request")).await;
        let answer = answer.unwrap_or_else(|e| panic!("{path}: {e}"));
        let status = answer.status();
        let bytes = answer.into_body().collect().await.expect("an answer").to_bytes();
        if status == StatusCode::NOT_FOUND {
            return Value::Null;
        }
        assert!(status.is_success(), "{path}: {status}: {}", String::from_utf8_lossy(&bytes));
        serde_json::from_slice(&bytes).expect("JSON")
    })
}

impl Wire {
    /// A proxy for the namespace's msctl; nothing is done to its requests until [`Wire::plan`].
    pub fn new(ns: &Namespace) -> Self {
        let shared = Arc::new(Shared {
            plan: Mutex::new(Box::new(|_| None)),
            log: Mutex::default(),
            driver: watch::Sender::new(None),
            dead: watch::Sender::new(false),
            frozen: watch::Sender::new(false),
        });
        LazyLock::force(&UPSTREAM);
        let listener = RUNTIME.block_on(tokio::net::TcpListener::bind(("127.0.0.1", 0))).expect("a port");
        let at = listener.local_addr().expect("bound");
        let kubeconfig = ns.home.path().join(format!("wire-{}", at.port()));
        write_kubeconfig(&kubeconfig, &format!("http://{at}"), &ns.name);
        let to = shared.clone();
        let listener = RUNTIME.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(connection(stream, to.clone()));
            }
        });
        Wire { kubeconfig, shared, listener }
    }

    pub fn plan(self, plan: impl FnMut(&Asked) -> Option<Fault> + Send + 'static) -> Self {
        *self.shared.plan.lock().unwrap() = Box::new(plan);
        self
    }

    /// Who is killed or frozen; a fault that needs it waits until it is known.
    pub fn driver(&self, pid: u32) {
        self.shared.driver.send_replace(Some(pid));
    }

    /// Waits until the driver stands still.
    pub fn frozen(&self, seconds: u64) -> bool {
        let mut frozen = self.shared.frozen.subscribe();
        let wait =
            async { tokio::time::timeout(Duration::from_secs(seconds), frozen.wait_for(|f| *f)).await };
        RUNTIME.block_on(wait).is_ok_and(|f| f.is_ok())
    }

    /// Lets the held request go, and the driver after it.
    pub fn thaw(&self) {
        self.shared.frozen.send_replace(false);
        let pid = self.shared.driver.borrow().expect("a driver");
        signal(pid, Signal::CONT);
    }

    pub fn requests(&self) -> usize {
        self.shared.log.lock().unwrap().requests
    }

    pub fn writes(&self) -> Vec<String> {
        self.shared.log.lock().unwrap().writes.iter().map(|(_, line)| line.clone()).collect()
    }

    /// When this wire's writes came, by the same clock for all wires.
    pub fn times(&self) -> Vec<(Instant, String)> {
        self.shared.log.lock().unwrap().writes.clone()
    }

    pub fn injected(&self) -> BTreeMap<String, usize> {
        self.shared.log.lock().unwrap().injected.clone()
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

pub fn write_kubeconfig(path: &Path, server: &str, namespace: &str) {
    let config = json!({"apiVersion": "v1", "kind": "Config", "current-context": "lab",
        "clusters": [{"name": "lab", "cluster": {"server": server}}],
        "users": [{"name": "lab", "user": {}}],
        "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "lab", "namespace": namespace}}]});
    std::fs::write(path, config.to_string()).expect("a kubeconfig");
}

fn signal(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a process number");
    // A process that is gone already cannot be killed again.
    let _ = kill_process(pid, signal);
}

async fn connection(stream: tokio::net::TcpStream, shared: Arc<Shared>) {
    let _ = stream.set_nodelay(true);
    let mut dead = shared.dead.subscribe();
    let service = hyper::service::service_fn(|request| pass(request, shared.clone()));
    let serve = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    tokio::select! { _ = serve.with_upgrades() => {}, _ = dead.wait_for(|d| *d) => {} }
}

/// Whether the request changes anything: a review or a dry run does not.
fn writes(request: &Request<Incoming>) -> bool {
    let (path, query) = (request.uri().path(), request.uri().query().unwrap_or_default());
    let reviewed = path.starts_with("/apis/authorization.k8s.io/");
    *request.method() != Method::GET && !reviewed && !query.contains("dryRun=")
}

fn asked(request: &Request<Incoming>, shared: &Shared) -> Asked {
    let mut log = shared.log.lock().unwrap();
    log.requests += 1;
    let line = format!("{} {}", request.method(), request.uri().path());
    let mut write = 0;
    if writes(request) {
        log.writes.push((Instant::now(), line.clone()));
        write = log.writes.len();
    }
    let watch =
        request.uri().query().unwrap_or_default().split('&').any(|q| matches!(q, "watch=true" | "watch=1"));
    Asked { request: log.requests, write, watch, line }
}

/// An error here breaks the connection.
async fn pass(request: Request<Incoming>, shared: Arc<Shared>) -> Result<Answer, std::io::Error> {
    let asked = asked(&request, &shared);
    let fault = (shared.plan.lock().unwrap())(&asked);
    if let Some(fault) = fault {
        let name = format!("{fault:?}").split(['(', ' ']).next().unwrap_or_default().to_owned();
        let name = if let Fault::Status(code) = fault { code.to_string() } else { name };
        *shared.log.lock().unwrap().injected.entry(name).or_default() += 1;
    }
    let broken = || Err(std::io::Error::other("broken by the test"));
    match fault {
        None => forward(request).await,
        Some(Fault::KillBefore) => {
            kill(&shared).await;
            broken()
        }
        Some(Fault::KillAfter) => {
            let _ = forward(request).await;
            kill(&shared).await;
            broken()
        }
        Some(Fault::Freeze) => {
            signal(driver(&shared).await, Signal::STOP);
            shared.frozen.send_replace(true);
            let _ = shared.frozen.subscribe().wait_for(|f| !*f).await;
            forward(request).await
        }
        Some(Fault::Status(code)) => Ok(status(code)),
        Some(Fault::Unheard) => {
            let _ = forward(request).await;
            broken()
        }
        Some(Fault::Broken) => broken(),
        Some(Fault::Silent(time)) => {
            tokio::time::sleep(time).await;
            broken()
        }
        Some(Fault::Cut { after, clean }) => Ok(cut(forward(request).await?, after, clean)),
        Some(Fault::Gone) => {
            let gone = json!({"type": "ERROR", "object": document(410)});
            Ok(answer(200, format!("{gone}\n")))
        }
    }
}

async fn driver(shared: &Shared) -> u32 {
    let mut driver = shared.driver.subscribe();
    let known = driver.wait_for(Option::is_some).await.expect("the sender lives in the same struct");
    known.expect("waited for")
}

async fn kill(shared: &Shared) {
    signal(driver(shared).await, Signal::KILL);
    shared.dead.send_replace(true);
}

async fn forward(request: Request<Incoming>) -> Result<Answer, std::io::Error> {
    let (base, client) = &*UPSTREAM;
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(std::io::Error::other)?.to_bytes();
    let path = parts.uri.path_and_query().map_or("/", |p| p.as_str());
    let uri = format!("{}{path}", base.to_string().trim_end_matches('/'));
    let mut onward = Request::builder().method(parts.method).uri(uri);
    for (name, value) in parts.headers.iter().filter(|(n, _)| *n != "host" && *n != "connection") {
        onward = onward.header(name, value);
    }
    let onward = onward.body(Full::from(body)).map_err(std::io::Error::other)?;
    let answer = client.request(onward).await.map_err(std::io::Error::other)?;
    Ok(answer.map(|b| b.map_err(std::io::Error::other).boxed()))
}

fn cut(answer: Answer, after: Duration, clean: bool) -> Answer {
    let (sent, body) = tokio::sync::mpsc::channel::<Result<Frame<Bytes>, std::io::Error>>(16);
    answer.map(|mut from| {
        tokio::spawn(async move {
            let copy = async {
                while let Some(frame) = from.frame().await {
                    if sent.send(frame).await.is_err() {
                        break;
                    }
                }
            };
            if tokio::time::timeout(after, copy).await.is_err() && !clean {
                let _ = sent.send(Err(std::io::Error::other("cut by the test"))).await;
            }
        });
        let stream = tokio_stream::wrappers::ReceiverStream::new(body);
        BodyExt::boxed(http_body_util::StreamBody::new(stream))
    })
}

fn document(code: u16) -> Value {
    let (reason, message) = match code {
        401 => ("Unauthorized", "Unauthorized"),
        403 => (
            "Forbidden",
            "forbidden: User \"ci\" cannot patch resource \"deployments\" in API group \"apps\"",
        ),
        409 => (
            "Conflict",
            "the object has been modified; please apply your changes to the latest version and try again",
        ),
        410 => ("Expired", "too old resource version"),
        429 => ("TooManyRequests", "too many requests, please try again later"),
        503 => ("ServiceUnavailable", "the server is currently unable to handle the request"),
        _ => ("InternalError", "etcdserver: request timed out"),
    };
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": reason,
        "message": message, "code": code})
}

fn status(code: u16) -> Answer {
    answer(code, document(code).to_string())
}

fn answer(code: u16, body: String) -> Answer {
    let mut answer = Response::builder().status(code).header("content-type", "application/json");
    if code == 429 {
        answer = answer.header("retry-after", "1");
    }
    let body = Full::from(body).map_err(|e: Infallible| match e {}).boxed();
    answer.body(body).expect("a response")
}
