//! Answers the probes. Liveness says only that the process can answer; readiness also asks the dependencies.

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use futures_util::future::{BoxFuture, FutureExt, join_all};
use serde_json::{Map, json};
use std::{
    sync::atomic::{AtomicU8, Ordering},
    time::Duration,
};

type Check = Box<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

#[derive(Clone, Copy, PartialEq)]
pub enum Lifecycle {
    Starting,
    Serving,
    Draining,
}

#[derive(Default)]
pub struct Health {
    state: AtomicU8,
    checks: Vec<(&'static str, Check)>,
}

pub async fn live() -> Response {
    Json(json!({"status": "live"})).into_response()
}

impl Health {
    /// Adds a dependency without which the service cannot work.
    pub fn require<F>(&mut self, name: &'static str, check: impl Fn() -> F + Send + Sync + 'static)
    where
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        self.checks.push((name, Box::new(move || check().boxed())));
    }

    pub fn set(&self, state: Lifecycle) {
        self.state.store(state as u8, Ordering::SeqCst);
    }

    pub fn state(&self) -> Lifecycle {
        match self.state.load(Ordering::SeqCst) {
            0 => Lifecycle::Starting,
            1 => Lifecycle::Serving,
            _ => Lifecycle::Draining,
        }
    }

    pub async fn ready(&self) -> Response {
        let (name, serving) = match self.state() {
            Lifecycle::Starting => ("starting", false),
            Lifecycle::Serving => ("ok", true),
            Lifecycle::Draining => ("draining", false),
        };
        let mut checks = Map::from_iter([("lifecycle".to_string(), json!(name))]);
        let mut ok = serving;
        if serving {
            // while starting or draining the answer is known
            for (name, up) in join_all(self.checks.iter().map(|(name, check)| ask(name, check))).await {
                ok &= up;
                checks.insert(name.into(), json!(if up { "ok" } else { "failing" }));
            }
        }
        let (status, word) = if ok { (StatusCode::OK, "ready") } else { (StatusCode::SERVICE_UNAVAILABLE, "unready") };
        (status, Json(json!({"status": word, "checks": checks}))).into_response()
    }
}

/// A second at most. The cause goes to the log, not to whoever asks.
async fn ask(name: &'static str, check: &Check) -> (&'static str, bool) {
    let result = tokio::time::timeout(Duration::from_secs(1), check()).await;
    let error = match result {
        Ok(Ok(())) => return (name, true),
        Ok(Err(error)) => error,
        Err(_) => "no answer within a second".into(),
    };
    tracing::warn!(check = name, error, "readiness check failed");
    (name, false)
}
