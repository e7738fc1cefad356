//! Speaks to the agent over its socket, and starts one where none answers.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::sync::OnceCell;

use super::api::{AgentInfo, Call, Fault, PROTOCOL};
use super::places::{Places, private_folder};
use crate::error::Failure;
use crate::platform::{Error, Result};
use crate::settings::Settings;

const START: Duration = Duration::from_secs(15);

pub struct Client {
    pub places: Places,
    /// The little an agent's own environment needs.
    env: Vec<(&'static str, PathBuf)>,
    greeted: OnceCell<()>,
}

impl Client {
    pub fn new(settings: &Settings) -> anyhow::Result<Self> {
        let names = ["PATH", "HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR", "TMPDIR"];
        let env = names.into_iter().filter_map(|n| Some((n, settings.env.path(n)?))).collect();
        Ok(Client { places: Places::of(settings)?, env, greeted: OnceCell::new() })
    }

    /// One call about a service; the agent is started first where none runs.
    pub async fn call<T: DeserializeOwned>(&self, service: &str, call: &Call) -> Result<T> {
        self.greeted.get_or_try_init(|| self.greet()).await?;
        let body = serde_json::to_vec(call).map_err(anyhow::Error::from)?;
        let path = format!("/services/{}", utf8_percent_encode(service, NON_ALPHANUMERIC));
        let response = self.request(Method::POST, &path, body).await?;
        answer(response).await
    }

    /// A stream of lines.
    pub async fn lines(&self, path: &str) -> Result<Response<Incoming>> {
        self.greeted.get_or_try_init(|| self.greet()).await?;
        self.request(Method::GET, path, Vec::new()).await
    }

    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        answer(self.request(Method::GET, path, Vec::new()).await?).await
    }

    /// Ends everything; returns when the answer came, just before the agent itself ends.
    pub async fn post(&self, path: &str) -> Result<()> {
        answer(self.request(Method::POST, path, Vec::new()).await?).await
    }

    /// The agent, if one answers; none is started.
    pub async fn running(&self) -> Option<AgentInfo> {
        UnixStream::connect(&self.places.socket).await.ok()?;
        self.get("/agent").await.ok()
    }

    /// Makes sure that the agent is one this version can work with.
    async fn greet(&self) -> Result<()> {
        let info: AgentInfo = self.get("/agent").await?;
        if info.state != self.places.state {
            let message = format!(
                "the agent at {} keeps its state in {}, this command would look in {}",
                self.places.socket.display(),
                info.state.display(),
                self.places.state.display()
            );
            let failure = Failure::failed("foreign-agent", message)
                .hint("set XDG_RUNTIME_DIR and XDG_STATE_HOME as they were, or stop it: kill that agent")
                .object(format!("pid {}", info.pid));
            return Err(Error::Other(failure.into()));
        }
        let mine = info.protocol == PROTOCOL && info.version == env!("CARGO_PKG_VERSION");
        if mine || (info.protocol == PROTOCOL && !info.services.is_empty()) {
            return Ok(());
        }
        if info.services.is_empty() {
            self.post("/replace").await?;
            self.gone(info.pid).await;
            return Ok(());
        }
        let message = format!(
            "the agent (version {}) runs {} and does not speak this version's protocol",
            info.version,
            info.services.join(", ")
        );
        let failure = Failure::failed("agent-version", message)
            .hint("stop its services with `msctl local down`, then deploy again");
        Err(Error::Other(failure.into()))
    }

    /// Waits for the agent's end.
    pub async fn gone(&self, pid: u32) {
        while super::process::Birth::of(pid).is_some() && self.running().await.is_some_and(|i| i.pid == pid) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let waiting = Instant::now();
        while super::process::Birth::of(pid).is_some() && waiting.elapsed() < START {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn request(&self, method: Method, path: &str, body: Vec<u8>) -> Result<Response<Incoming>> {
        let stream = match UnixStream::connect(&self.places.socket).await {
            Ok(stream) => stream,
            Err(_) => self.start().await?,
        };
        let lost = |e: hyper::Error| Error::Unreachable(format!("the local agent broke off: {e}"));
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(lost)?;
        // Its errors reach the one who waits for the answer.
        tokio::spawn(async move { connection.await.is_ok() });
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "msctl")
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(anyhow::Error::from)?;
        sender.send_request(request).await.map_err(lost)
    }

    /// Starts an agent that outlives this command, and connects to it.
    async fn start(&self) -> anyhow::Result<UnixStream> {
        private_folder(&self.places.state)?;
        let log_path = self.places.agent_log();
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log_path)
            .with_context(|| format!("open {}", log_path.display()))?;
        let program = std::env::current_exe().context("find this program's own file")?;
        let mut command = tokio::process::Command::new(&program);
        command.arg("agent").arg(&self.places.state).current_dir("/").env_clear();
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        let errors = log.try_clone().context("open the agent's log twice")?;
        command.stdin(Stdio::null()).stdout(log).stderr(errors);
        let mut child = command.spawn().with_context(|| format!("start {}", program.display()))?;
        let began = Instant::now();
        loop {
            if let Ok(stream) = UnixStream::connect(&self.places.socket).await {
                return Ok(stream);
            }
            let failed = child.try_wait().context("watch the agent start")?.is_some_and(|s| !s.success());
            if failed || began.elapsed() > START {
                let text = std::fs::read_to_string(&log_path).unwrap_or_default();
                let last = text.lines().rev().take(5).collect::<Vec<_>>();
                let last = last.into_iter().rev().collect::<Vec<_>>().join("\n");
                let failure = Failure::failed("agent", "the local platform's agent did not start")
                    .source(anyhow::anyhow!(last))
                    .hint(format!("its log is {}", log_path.display()));
                return Err(failure.into());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

async fn answer<T: DeserializeOwned>(response: Response<Incoming>) -> Result<T> {
    let status = response.status();
    let body = response.into_body().collect().await;
    let body = body.map_err(|e| Error::Unreachable(format!("the local agent broke off: {e}")))?.to_bytes();
    if status.is_success() {
        let body: &[u8] = if body.is_empty() { b"null" } else { &body };
        return Ok(serde_json::from_slice(body).context("read the local agent's answer")?);
    }
    if status != StatusCode::CONFLICT {
        let text = String::from_utf8_lossy(&body).into_owned();
        return Err(Error::Other(anyhow::anyhow!("the local agent answered {status}: {text}")));
    }
    let fault: Fault = serde_json::from_slice(&body).context("read the local agent's refusal")?;
    Err(fault.into())
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::NotFound { message } => Error::NotFound(message),
            Fault::Conflict { object } => Error::Conflict(object),
            Fault::Overtaken { seen, ours } => Error::Overtaken { seen, ours },
            Fault::Terminating { object } => Error::Terminating(object),
            Fault::Failed { message } => Error::Other(anyhow::anyhow!(message)),
            Fault::PortTaken { port, by } => {
                let by = by.map(|by| format!(" by {by}")).unwrap_or_default();
                let failure = Failure::failed("port-taken", format!("port {port} is taken{by}"))
                    .object(format!("port {port}"))
                    .hint("end that program, or set another `port` in msctl.yaml");
                Error::Other(failure.into())
            }
        }
    }
}
