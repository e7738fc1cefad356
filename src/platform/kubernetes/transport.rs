//! How requests reach the API server: one connection pool, credentials renewed on 401, a time limit on everything,
//! and retries that are bounded and seen. kube's own retry is silent, takes minutes and repeats POST.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use hyper::body::{Frame, Incoming};
use hyper::http::{Method, StatusCode, header};
use hyper::{Request, Response};
use kube::client::Body;

use super::clock::ServerClock;
use super::session::Sessions;
use crate::ui::Ui;

/// To the answer's headers, and then between two parts of its body.
const LIMIT: Duration = Duration::from_secs(15);
/// Between two parts of a watch: bookmarks come every minute.
const WATCH_LIMIT: Duration = Duration::from_secs(100);
/// All the retries of one request together.
const BUDGET: Duration = Duration::from_secs(20);
/// Retries that take longer in total are told of.
const PATIENCE: Duration = Duration::from_secs(1);

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why there was no answer.
#[derive(Debug, thiserror::Error)]
pub enum Lost {
    #[error("no connection to {address}")]
    Connect { address: String, source: BoxError },
    #[error("no answer from {address} within {} s", LIMIT.as_secs())]
    Silent { address: String },
    #[error("the connection to {address} broke")]
    Broken { address: String, source: BoxError },
    /// A credential plugin failed, or the configuration holds something unusable.
    #[error("{0:#}")]
    Credentials(anyhow::Error),
}

#[derive(Clone)]
pub struct Transport(Arc<Inner>);

pub struct Inner {
    sessions: Sessions,
    pub clock: Arc<ServerClock>,
    ui: Ui,
    /// After the first answer a lost connection is worth waiting for; before it, the cluster is not there.
    reached: AtomicBool,
    requests: AtomicU64,
}

impl Transport {
    pub fn new(sessions: Sessions, clock: Arc<ServerClock>, ui: Ui) -> Self {
        Transport(Arc::new(Inner {
            sessions,
            clock,
            ui,
            reached: AtomicBool::new(false),
            requests: AtomicU64::new(0),
        }))
    }
    /// How many requests went out.
    pub fn requests(&self) -> u64 {
        self.0.requests.load(Ordering::Relaxed)
    }
}

impl tower::Service<Request<Body>> for Transport {
    type Response = Response<Limited>;
    type Error = Lost;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Lost>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Lost>> {
        Poll::Ready(Ok(()))
    }
    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let inner = self.0.clone();
        Box::pin(async move { inner.send(request).await })
    }
}

/// What a request may suffer.
struct Nature {
    /// Sent twice it does no more than sent once.
    repeatable: bool,
    /// A 429 of the eviction API is the budget's answer, not the server's load.
    eviction: bool,
    headers: Option<Duration>,
    body: Option<Duration>,
}

impl Nature {
    fn of(request: &Request<Body>) -> Self {
        let (path, query) = (request.uri().path(), request.uri().query().unwrap_or_default());
        let has = |flag: &str| query.split('&').any(|q| q == flag);
        let follows = path.ends_with("/log") && has("follow=true");
        let watches = has("watch=true");
        Nature {
            // What a pod answers through the proxy is its own, and to be counted.
            repeatable: match *request.method() {
                Method::GET | Method::PATCH => !path.contains("/proxy/"),
                Method::POST => has("dryRun=All") || names_what_it_makes(path),
                _ => false,
            },
            eviction: path.ends_with("/eviction"),
            headers: (!follows).then_some(LIMIT),
            body: if follows { None } else { Some(if watches { WATCH_LIMIT } else { LIMIT }) },
        }
    }
}

/// Objects that are made with a name: a second try meets the first, and whoever asked compares them. Reviews make nothing.
fn names_what_it_makes(path: &str) -> bool {
    let kind = path.rsplit('/').next().unwrap_or_default();
    matches!(
        kind,
        "configmaps" | "leases" | "secrets" | "selfsubjectaccessreviews" | "selfsubjectrulesreviews"
    )
}

impl Inner {
    async fn send(&self, request: Request<Body>) -> Result<Response<Limited>, Lost> {
        let nature = Nature::of(&request);
        let (started, mut attempt, mut renewed) = (Instant::now(), 0, false);
        loop {
            let session = self.sessions.current().await.map_err(Lost::Credentials)?;
            let copy = clone(&request);
            let result =
                self.once(&session, copy.unwrap_or_else(|| Request::new(Body::empty())), &nature).await;
            let wait = match &result {
                Ok(answer) if answer.status() == StatusCode::UNAUTHORIZED && !renewed => {
                    renewed = true;
                    let again = self.sessions.renew(&session).await;
                    if again.map_err(Lost::Credentials)? {
                        continue;
                    }
                    None
                }
                Ok(answer) => overloaded(answer, &nature).then(|| retry_after(answer, attempt)),
                Err(Lost::Credentials(_)) => None,
                Err(Lost::Connect { .. }) => self.reached().then(|| backoff(attempt)),
                // Something listens there: it may have been a moment's weakness.
                Err(_) => (nature.repeatable && (self.reached() || attempt < 3)).then(|| backoff(attempt)),
            };
            let Some(wait) = wait.filter(|w| started.elapsed() + *w < BUDGET) else {
                return result;
            };
            attempt += 1;
            let why = match &result {
                Ok(answer) => format!("the API server answers {}", answer.status()),
                Err(lost) => lost.to_string(),
            };
            let text = format!("{why}; trying again in {:.1} s ({attempt})", wait.as_secs_f64());
            if started.elapsed() + wait > PATIENCE {
                self.ui.note(text)
            } else {
                self.ui.detail(text)
            }
            tokio::time::sleep(wait).await;
        }
    }

    fn reached(&self) -> bool {
        self.reached.load(Ordering::Relaxed)
    }

    async fn once(
        &self,
        session: &super::session::Session,
        mut request: Request<Body>,
        nature: &Nature,
    ) -> Result<Response<Limited>, Lost> {
        let address = self.sessions.address();
        session.prepare(&mut request).map_err(Lost::Credentials)?;
        let line = format!("{} {}", request.method(), request.uri());
        let sent = Instant::now();
        let before = self.clock.local();
        self.requests.fetch_add(1, Ordering::Relaxed);
        let answer = (session.send)(request);
        let answer = match nature.headers {
            Some(limit) => match tokio::time::timeout(limit, answer).await {
                Ok(answer) => answer,
                Err(_) => return Err(Lost::Silent { address }),
            },
            None => answer.await,
        };
        let answer = answer.map_err(|e| {
            let connecting = e.is_connect();
            let source = deepest(&e);
            if connecting { Lost::Connect { address, source } } else { Lost::Broken { address, source } }
        })?;
        self.reached.store(true, Ordering::Relaxed);
        if let Some(date) = answer.headers().get(header::DATE).and_then(|d| d.to_str().ok()) {
            self.clock.learn(before, date);
        }
        if self.ui.options.verbosity >= 3 {
            self.ui.detail(format!("{line}: {} in {} ms", answer.status(), sent.elapsed().as_millis()));
        }
        let limit = nature.body;
        Ok(answer.map(|body| Limited { body, limit, sleep: None }))
    }
}

/// The last cause says what happened: `connection refused`, `invalid peer certificate`, …
fn deepest(error: &(dyn std::error::Error + 'static)) -> BoxError {
    let mut last = error;
    while let Some(next) = last.source() {
        last = next;
    }
    last.to_string().into()
}

fn clone(request: &Request<Body>) -> Option<Request<Body>> {
    let mut copy = Request::new(request.body().try_clone()?);
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    *copy.extensions_mut() = request.extensions().clone();
    Some(copy)
}

fn overloaded(answer: &Response<Limited>, nature: &Nature) -> bool {
    match answer.status() {
        StatusCode::TOO_MANY_REQUESTS => !nature.eviction,
        StatusCode::SERVICE_UNAVAILABLE => {
            answer.headers().contains_key(header::RETRY_AFTER) || nature.repeatable
        }
        StatusCode::INTERNAL_SERVER_ERROR | StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT => {
            nature.repeatable
        }
        _ => false,
    }
}

fn retry_after(answer: &Response<Limited>, attempt: u32) -> Duration {
    let asked = answer.headers().get(header::RETRY_AFTER).and_then(|v| v.to_str().ok()?.parse().ok());
    asked.map_or(Duration::ZERO, Duration::from_secs).max(backoff(attempt))
}

/// 0.1, 0.2, 0.4 … 5 s, give or take half.
fn backoff(attempt: u32) -> Duration {
    let base = 0.1 * f64::from(2u32.saturating_pow(attempt));
    Duration::from_secs_f64(base.min(5.0) * rand::random_range(0.5..1.5))
}

/// An answer's body that may not stall.
pub struct Limited {
    body: Incoming,
    limit: Option<Duration>,
    sleep: Option<Pin<Box<tokio::time::Sleep>>>,
}

impl hyper::body::Body for Limited {
    type Data = bytes::Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<bytes::Bytes>, BoxError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            self.sleep = None;
            return Poll::Ready(frame.map(|f| f.map_err(Into::into)));
        }
        let Some(limit) = self.limit else { return Poll::Pending };
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        if sleep.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Some(Err("the answer stalled".into())));
        }
        Poll::Pending
    }
}

#[cfg(test)]
#[path = "transport_tests.rs"]
mod tests;
