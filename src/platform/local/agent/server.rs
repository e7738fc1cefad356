//! The API on the socket: HTTP and JSON, for this user's processes only.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use tokio::net::unix::SocketAddr;
use tokio::net::{UnixListener, UnixStream};
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;

use super::{Agent, logs};
use crate::platform::local::api::{AgentInfo, AgentStatus, Call, Fault};
use crate::platform::local::places::remove;

/// Serves until the task is aborted; makes the socket anew when someone cleaned it away.
pub async fn serve(agent: Arc<Agent>) {
    let router = Router::new()
        .route("/agent", get(info))
        .route("/status", get(status))
        .route("/down", post(down))
        .route("/replace", post(replace))
        .route("/services/{service}", post(call))
        .route("/services/{service}/logs", get(log_lines))
        .with_state(agent.clone());
    loop {
        match listen(&agent) {
            Ok(gate) => {
                let serving = axum::serve(gate, router.clone()).into_future();
                tokio::select! {
                    _ = serving => {}
                    () = vanished(&agent) => agent.say("the socket vanished; making it anew"),
                }
            }
            Err(e) => {
                agent.say(format!("listen on {}: {e:#}", agent.places.socket.display()));
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

async fn vanished(agent: &Agent) {
    while agent.places.socket.exists() {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Only the holder of the lock comes here, so a socket that is there already is a dead agent's.
fn listen(agent: &Agent) -> anyhow::Result<Gate> {
    let socket = &agent.places.socket;
    if let Some(folder) = socket.parent() {
        crate::platform::local::places::private_folder(folder)?;
    }
    remove(socket)?;
    let listener = UnixListener::bind(socket)?;
    std::fs::set_permissions(socket, std::fs::Permissions::from_mode(0o600))?;
    Ok(Gate(listener))
}

/// Lets in connections of this user and, as everywhere, of root.
struct Gate(UnixListener);

impl axum::serve::Listener for Gate {
    type Io = UnixStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (UnixStream, SocketAddr) {
        let me = rustix::process::getuid().as_raw();
        loop {
            match self.0.accept().await {
                Ok((stream, address)) => {
                    let uid = stream.peer_cred().map(|c| c.uid());
                    if uid.is_ok_and(|uid| uid == me || uid == 0) {
                        return (stream, address);
                    }
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

async fn info(State(agent): State<Arc<Agent>>) -> Json<AgentInfo> {
    Json(agent.info())
}

async fn status(State(agent): State<Arc<Agent>>) -> Json<AgentStatus> {
    Json(agent.status())
}

async fn down(State(agent): State<Arc<Agent>>) -> Response {
    let answer = agent.down().await;
    leave(&agent);
    match answer {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(e) => fault(e.into()),
    }
}

/// Makes room for another version of msctl, if nothing would be missed.
async fn replace(State(agent): State<Arc<Agent>>) -> Response {
    if agent.info().services.is_empty() {
        leave(&agent);
        StatusCode::NO_CONTENT.into_response()
    } else {
        fault(Fault::Failed { message: "services are running".into() })
    }
}

/// Ends the agent once the answer is on its way.
fn leave(agent: &Arc<Agent>) {
    let agent = agent.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(50)).await;
        agent.stop.cancel();
    });
}

async fn call(
    State(agent): State<Arc<Agent>>,
    Path(service): Path<String>,
    Json(call): Json<Call>,
) -> Response {
    match agent.answer(&service, call).await {
        Ok(value) => Json(value).into_response(),
        Err(why) => fault(why),
    }
}

fn fault(fault: Fault) -> Response {
    (StatusCode::CONFLICT, Json(fault)).into_response()
}

async fn log_lines(
    State(agent): State<Arc<Agent>>,
    Path(service): Path<String>,
    Query(query): Query<logs::Query>,
) -> Response {
    let (sender, receiver) = tokio::sync::mpsc::channel(256);
    tokio::spawn(logs::stream(agent, service, query, sender));
    let lines = ReceiverStream::new(receiver)
        .map(|line| serde_json::to_string(&line).map(|text| Bytes::from(format!("{text}\n"))));
    Body::from_stream(lines).into_response()
}
