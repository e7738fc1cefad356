//! Calls one other service. Each attempt has a timeout, requests that are safe to repeat are repeated a few times
//! after a random wait, and a circuit breaker leaves a service alone that keeps failing.

use opentelemetry::{
    Context, KeyValue, global,
    trace::{FutureExt, SpanKind, Status, TraceContextExt, Tracer},
};
use opentelemetry_http::HeaderInjector;
use reqwest::{Method, Request, Response, StatusCode, Url};
use std::{
    fmt,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

/// One TLS provider for everything in the process; the first call decides.
pub fn install_tls() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}

#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    breaker: Arc<Breaker>,
    pub attempts: u32,
    /// The upper bound of the first wait; it doubles.
    pub backoff: Duration,
    pub timeout: Duration,
}

#[derive(Debug)]
pub enum Failure {
    /// No call was made: the breaker is open.
    Open,
    Http(reqwest::Error),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Open => f.write_str("circuit breaker is open"),
            Self::Http(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for Failure {}

impl Default for Client {
    fn default() -> Self {
        Self::new()
    }
}

impl Client {
    pub fn new() -> Self {
        install_tls();
        Self {
            http: reqwest::Client::new(),
            breaker: Arc::new(Breaker::new(5, Duration::from_secs(5))),
            attempts: 3,
            backoff: Duration::from_millis(100),
            timeout: Duration::from_secs(2),
        }
    }

    pub async fn get(&self, url: Url) -> Result<Response, Failure> {
        self.send(Request::new(Method::GET, url)).await
    }

    /// 429, 502, 503, 504 and a failed connection count as failures to try again.
    pub async fn send(&self, request: Request) -> Result<Response, Failure> {
        let mut attempt = 1;
        loop {
            let again = if attempt < self.attempts { repeatable(&request) } else { None };
            let Some(copy) = again else { return self.once(request).await };
            match self.once(copy).await {
                Ok(response) if !worth_retry(response.status()) => return Ok(response),
                Err(Failure::Open) => return Err(Failure::Open),
                Ok(_) | Err(Failure::Http(_)) => {}
            }
            let longest = self.backoff * 2u32.pow(attempt - 1);
            tokio::time::sleep(longest.mul_f64(fastrand::f64())).await;
            attempt += 1;
        }
    }

    /// For readiness: any answer below 500 will do, and nothing is retried.
    pub async fn probe(&self, url: Url) -> Result<(), String> {
        let response = self.attempt(Request::new(Method::GET, url)).await.map_err(|error| error.to_string())?;
        if response.status().is_server_error() { Err(response.status().to_string()) } else { Ok(()) }
    }

    async fn once(&self, request: Request) -> Result<Response, Failure> {
        let call = Breaker::allow(&self.breaker).ok_or(Failure::Open)?;
        let result = self.attempt(request).await;
        call.report(result.as_ref().is_ok_and(|response| !response.status().is_server_error()));
        result.map_err(Failure::Http)
    }

    /// One attempt, as a span that hands the trace on in the headers.
    async fn attempt(&self, mut request: Request) -> Result<Response, reqwest::Error> {
        let tracer = global::tracer("service");
        let span = tracer
            .span_builder(request.method().to_string())
            .with_kind(SpanKind::Client)
            .with_attributes([
                KeyValue::new("http.request.method", request.method().to_string()),
                KeyValue::new("server.address", request.url().host_str().unwrap_or_default().to_string()),
            ])
            .start(&tracer);
        let context = Context::current_with_span(span);
        global::get_text_map_propagator(|p| p.inject_context(&context, &mut HeaderInjector(request.headers_mut())));
        request.timeout_mut().get_or_insert(self.timeout);
        let result = self.http.execute(request).with_context(context.clone()).await;
        match &result {
            Ok(response) => {
                let status = i64::from(response.status().as_u16());
                context.span().set_attribute(KeyValue::new("http.response.status_code", status));
            }
            Err(_) => context.span().set_status(Status::error("no answer")),
        }
        context.span().end();
        result
    }
}

fn repeatable(request: &Request) -> Option<Request> {
    let safe = [Method::GET, Method::HEAD, Method::PUT, Method::DELETE, Method::OPTIONS].contains(request.method());
    if safe { request.try_clone() } else { None }
}

fn worth_retry(status: StatusCode) -> bool {
    matches!(status.as_u16(), 429 | 502 | 503 | 504)
}

/// Opens after `threshold` failures in a row; after `open_for` it lets one request through to find out.
pub struct Breaker {
    threshold: u32,
    open_for: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    failures: u32,
    until: Option<Instant>,
    probing: bool,
}

impl Breaker {
    pub fn new(threshold: u32, open_for: Duration) -> Self {
        Self { threshold, open_for, state: Mutex::default() }
    }

    /// Asks before a call. A call that is dropped without a report was never made.
    pub fn allow(this: &Arc<Self>) -> Option<Call> {
        let mut state = this.lock();
        if state.failures >= this.threshold {
            if state.probing || state.until.is_some_and(|until| Instant::now() < until) {
                return None;
            }
            state.probing = true;
        }
        Some(Call(this.clone()))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

pub struct Call(Arc<Breaker>);

impl Call {
    pub fn report(self, ok: bool) {
        let mut state = self.0.lock();
        if ok {
            state.failures = 0;
            return;
        }
        state.failures = state.failures.saturating_add(1);
        if state.failures >= self.0.threshold {
            state.until = Some(Instant::now() + self.0.open_for);
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.0.lock().probing = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn breaker() {
        let open_for = Duration::from_millis(30);
        let breaker = Arc::new(Breaker::new(2, open_for));
        let allow = || Breaker::allow(&breaker);
        allow().unwrap().report(false);
        allow().unwrap().report(false);
        assert!(allow().is_none(), "open after two failures");
        std::thread::sleep(open_for);
        let probe = allow().expect("one goes through to find out");
        assert!(allow().is_none(), "and only one");
        probe.report(false);
        assert!(allow().is_none(), "open again");
        std::thread::sleep(open_for);
        drop(allow().expect("a probe that is cancelled"));
        allow().expect("does not count").report(true);
        allow().unwrap().report(false);
        assert!(allow().is_some(), "closed again: one failure is not enough");
    }
}
