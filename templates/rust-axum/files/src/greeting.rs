//! The example: replace it with what the service is for.

use crate::{Shared, outbound::Client};
use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use reqwest::Url;
use serde::Serialize;
use serde_json::{Value, json};

#[derive(Serialize)]
struct Greeting {
    greeting: String,
    service: String,
    version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream: Option<Value>,
}

/// Answers GET / with GREETING, and with what UPSTREAM_URL says when that is set.
pub async fn greet(State(app): State<Shared>) -> Response {
    if fastrand::f64() < app.config.fail_rate {
        let body = json!({"error": "FAIL_RATE asked for this"});
        return (StatusCode::INTERNAL_SERVER_ERROR, Json(body)).into_response();
    }
    let mut answer = Greeting {
        greeting: app.config.greeting.clone(),
        service: app.info.service.clone(),
        version: app.info.version.clone(),
        upstream: None,
    };
    if let (Some(client), Some(url)) = (&app.upstream, &app.config.upstream_url) {
        match ask(client, url.clone()).await {
            Ok(body) => answer.upstream = Some(body),
            Err(error) => {
                tracing::error!(%error, "upstream");
                let body = json!({"error": "upstream does not answer"});
                return (StatusCode::BAD_GATEWAY, Json(body)).into_response();
            }
        }
    }
    Json(answer).into_response()
}

async fn ask(client: &Client, url: Url) -> Result<Value, Box<dyn std::error::Error + Send + Sync>> {
    let text = client.get(url).await?.error_for_status()?.text().await?;
    Ok(serde_json::from_str(&text).unwrap_or(Value::String(text)))
}
