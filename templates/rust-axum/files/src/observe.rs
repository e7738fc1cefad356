//! Gives each request a span, a measurement and a log line.

use crate::{Shared, health::Lifecycle};
use axum::{
    extract::{MatchedPath, Request, State},
    http::{HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use futures_util::FutureExt;
use opentelemetry::{
    Context, KeyValue, global,
    trace::{FutureExt as _, SpanKind, Status, TraceContextExt, Tracer},
};
use opentelemetry_http::HeaderExtractor;
use prometheus::{HistogramOpts, HistogramVec, Registry, TextEncoder};
use std::{panic::AssertUnwindSafe, time::Instant};

/// Named as OpenTelemetry's semantic conventions say.
pub struct Metrics {
    registry: Registry,
    duration: HistogramVec,
}

impl Default for Metrics {
    fn default() -> Self {
        let buckets = vec![0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];
        let options = HistogramOpts::new("http_server_request_duration_seconds", "Duration of HTTP server requests.");
        let labels = ["http_request_method", "http_route", "http_response_status_code"];
        let duration = HistogramVec::new(options.buckets(buckets), &labels).expect("the names above are valid");
        let registry = Registry::new();
        registry.register(Box::new(duration.clone())).expect("it is the first one");
        // there from the first scrape on, so that rates start at zero
        duration.with_label_values(&["GET", "/", "200"]);
        Self { registry, duration }
    }
}

impl Metrics {
    pub fn render(&self) -> impl IntoResponse + use<> {
        match TextEncoder::new().encode_to_string(&self.registry.gather()) {
            Ok(text) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
            Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
        }
    }
}

pub async fn observe(State(app): State<Shared>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let method = known(request.method().as_str());
    // No route, no path: what nobody serves must not become a label value.
    let route = request.extensions().get::<MatchedPath>().map_or_else(String::new, |path| path.as_str().to_string());
    let parent = global::get_text_map_propagator(|p| p.extract(&HeaderExtractor(request.headers())));
    let tracer = global::tracer("service");
    let span = tracer
        .span_builder(format!("{method} {route}").trim_end().to_string())
        .with_kind(SpanKind::Server)
        .with_attributes([
            KeyValue::new("http.request.method", method),
            KeyValue::new("http.route", route.clone()),
            KeyValue::new("url.path", request.uri().path().to_string()),
        ])
        .start_with_context(&tracer, &parent);
    let context = parent.with_span(span);
    let answer = async {
        let mut response = AssertUnwindSafe(next.run(request)).catch_unwind().await.unwrap_or_else(|_| {
            tracing::error!("panic"); // the panic hook has printed where
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        });
        if app.health.state() == Lifecycle::Draining {
            // connect elsewhere before the port closes
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        let (status, seconds) = (response.status().as_u16(), began.elapsed().as_secs_f64());
        app.metrics.duration.with_label_values(&[method, &route, &status.to_string()]).observe(seconds);
        let context = Context::current();
        let span = context.span();
        span.set_attribute(KeyValue::new("http.response.status_code", i64::from(status)));
        if status >= 500 {
            span.set_status(Status::error(""));
            tracing::error!(method, route, status, seconds, "request");
        } else {
            tracing::info!(method, route, status, seconds, "request");
        }
        span.end();
        response
    };
    answer.with_context(context).await
}

fn known(method: &str) -> &'static str {
    const METHODS: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"];
    METHODS.into_iter().find(|known| *known == method).unwrap_or("_OTHER")
}
