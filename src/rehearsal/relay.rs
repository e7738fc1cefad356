//! A rehearsed process: the service's own command behind a relay on its port, which gets wrong for users what the
//! rehearsal wants. To the platform the two are one process, as a bad version would be.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::time::Instant;

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode, header};
use rustix::process::Signal;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::{Counted, Fault, amended};
use crate::platform::local::process::signal_group;
use crate::platform::local::proxy::{self, Body, Endpoint, Proxy};
use crate::rollout::Slot;
use crate::rollout::analysis::Source;
use crate::ui::Ui;

/// Of a process's metrics, as far as they are amended.
const LARGEST: usize = 16 << 20;

/// What a process is to play.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Part {
    /// Tells two versions apart that do the same.
    pub act: String,
    pub fault: Option<Fault>,
    pub live: String,
    pub ready: String,
    pub source: Source,
}

/// Runs `command` as a shell would, with a port of its own in PORT, until it ends; its exit code.
pub async fn run(ui: &Ui, part: Part, command: &str, port: u16) -> anyhow::Result<u8> {
    // Out of the reach of the ports that the agent promises.
    let inner = super::load::free_port().context("find a port for the service")?;
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .with_context(|| format!("listen on port {port}"))?;
    listener.set_nonblocking(true).context("listen")?;
    let listener = tokio::net::TcpListener::from_std(listener).context("listen")?;
    let mut service = tokio::process::Command::new("/bin/sh");
    // Of this process's group: what ends the one ends the other.
    service.arg("-c").arg(command).env("PORT", inner.to_string()).stdin(Stdio::null());
    let mut child = service.spawn().with_context(|| format!("run {command:?}"))?;
    if let Some(fault) = part.fault {
        ui.note(format!("rehearsed: {fault}"));
    }
    let proxy = Proxy::new("the rehearsed service");
    proxy.set(None, [vec![Endpoint::new(Slot::Blue, 0, inner)], Vec::new()]);
    let relay = Arc::new(Relay { part, proxy, counted: Mutex::default(), met: Once::new() });
    let answer = move |peer, request| {
        let relay = relay.clone();
        async move { relay.answer(peer, request).await }
    };
    tokio::spawn(proxy::accept(listener, CancellationToken::new(), answer));
    let status = child.wait().await.context("wait for the service")?;
    Ok(code(status))
}

/// A shell's way to tell of a signal.
fn code(status: ExitStatus) -> u8 {
    use std::os::unix::process::ExitStatusExt as _;
    let code = status.code().or(status.signal().map(|signal| 128 + signal)).unwrap_or(1);
    u8::try_from(code).unwrap_or(1)
}

struct Relay {
    part: Part,
    proxy: Arc<Proxy>,
    counted: Mutex<Counted>,
    /// The first user came.
    met: Once,
}

impl Relay {
    async fn answer(&self, peer: SocketAddr, request: Request<Incoming>) -> Response<Body> {
        let path = request.uri().path();
        if path == self.part.ready && self.part.fault == Some(Fault::Unready) {
            return plain(StatusCode::SERVICE_UNAVAILABLE, "rehearsed: never ready\n".into());
        }
        if path == self.part.source.path {
            return self.metrics(self.proxy.clone().forward(peer, request).await).await;
        }
        if path == self.part.ready || path == self.part.live {
            return self.proxy.clone().forward(peer, request).await;
        }
        let began = Instant::now();
        let answer = self.wrong(peer, request).await;
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        counted.add(answer.status().as_u16(), began.elapsed());
        answer
    }

    /// A user's request. The service always gets it: what it counts and does is as it would be.
    async fn wrong(&self, peer: SocketAddr, request: Request<Incoming>) -> Response<Body> {
        match self.part.fault {
            Some(Fault::Crash(after)) => self.met.call_once(|| {
                tokio::spawn(async move {
                    tokio::time::sleep(after.0).await;
                    signal_group(rustix::process::getpgrp().as_raw_nonzero().get() as u32, Signal::KILL);
                });
            }),
            Some(Fault::Latency(time)) => tokio::time::sleep(time.0).await,
            Some(Fault::Errors(_) | Fault::Unready) | None => {}
        }
        let answer = self.proxy.clone().forward(peer, request).await;
        match self.part.fault {
            Some(Fault::Errors(share)) if rand::random_range(0.0..100.0) < share.0 => {
                plain(StatusCode::INTERNAL_SERVER_ERROR, "rehearsed: an error\n".into())
            }
            _ => answer,
        }
    }

    async fn metrics(&self, answer: Response<Body>) -> Response<Body> {
        if !answer.status().is_success() || answer.headers().contains_key(header::CONTENT_ENCODING) {
            return answer;
        }
        let (mut head, body) = answer.into_parts();
        let text = match Limited::new(body, LARGEST).collect().await {
            Ok(body) => String::from_utf8_lossy(&body.to_bytes()).into_owned(),
            Err(why) => return plain(StatusCode::BAD_GATEWAY, format!("the metrics broke off: {why}\n")),
        };
        let counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner).clone();
        head.headers.remove(header::CONTENT_LENGTH);
        let text = amended(&text, &self.part.source, &counted);
        Response::from_parts(head, whole(text))
    }
}

fn plain(status: StatusCode, text: String) -> Response<Body> {
    let mut response = Response::new(whole(text));
    *response.status_mut() = status;
    response
}

fn whole(text: String) -> Body {
    Full::new(Bytes::from(text)).map_err(|never| match never {}).boxed_unsync()
}
