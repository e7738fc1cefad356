//! The service: configuration, HTTP, health, telemetry and the calls it makes.

pub mod config;
pub mod greeting;
pub mod health;
pub mod observe;
pub mod outbound;
pub mod server;
pub mod telemetry;

use axum::{Json, Router, extract::State, middleware, response::IntoResponse, routing::get};
use config::Config;
use health::Health;
use observe::Metrics;
use outbound::Client;
use serde::Serialize;
use std::{process::ExitCode, sync::Arc};

/// Who this is: GET /version, the image's labels and the traces agree on it.
#[derive(Clone, Debug, Serialize)]
pub struct Info {
    pub service: String,
    pub version: String,
    pub commit: String,
    #[serde(rename = "built-at")]
    pub built_at: String,
}

/// The service without its listener, so that tests can run it in their own process.
pub struct App {
    pub config: Config,
    pub info: Info,
    pub health: Health,
    pub metrics: Metrics,
    pub upstream: Option<Client>,
}

impl App {
    pub fn new(config: Config, info: Info) -> Self {
        let mut health = Health::default();
        let upstream = config.upstream_url.clone().map(|url| {
            let client = Client::new();
            let probe = client.clone();
            health.require("upstream", move || {
                let (probe, url) = (probe.clone(), url.clone());
                async move { probe.probe(url).await }
            });
            client
        });
        Self { config, info, health, metrics: Metrics::default(), upstream }
    }
}

pub type Shared = Arc<App>;

/// The routes that users call. Each gets a span, a measurement and a log line.
pub fn routes() -> Router<Shared> {
    Router::new()
        .route("/", get(greeting::greet))
        .route("/version", get(|State(app): State<Shared>| async move { Json(app.info.clone()) }))
}

/// `routes`, observed, beside probes and metrics, which are not: they would hide the rate of errors that users see.
pub fn router(app: Shared, routes: Router<Shared>) -> Router {
    let routes = routes.fallback(|| async { axum::http::StatusCode::NOT_FOUND });
    let observed = routes.layer(middleware::from_fn_with_state(app.clone(), observe::observe));
    Router::new()
        .route("/health/live", get(health::live))
        .route("/health/ready", get(|State(app): State<Shared>| async move { app.health.ready().await }))
        .route("/metrics", get(|State(app): State<Shared>| async move { app.metrics.render().into_response() }))
        .merge(observed)
        .with_state(app)
}

/// 0 after a clean drain, 1 after a failure, 2 for a wrong configuration.
pub fn run(info: Info, default_port: u16) -> ExitCode {
    let config = config::load(&|name| std::env::var(name).ok(), default_port);
    telemetry::logs(config.as_ref().map_or(tracing::Level::INFO, |c| c.log_level), std::io::stdout);
    let config = match config {
        Ok(config) => config,
        Err(invalid) => {
            tracing::error!("invalid configuration: {invalid}");
            return ExitCode::from(2);
        }
    };
    match telemetry::traces(&info, config.trace_endpoint.is_some())
        .and_then(|_flush_at_the_end| server::start(App::new(config, info)))
    {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = %error, "stopped");
            ExitCode::FAILURE
        }
    }
}
