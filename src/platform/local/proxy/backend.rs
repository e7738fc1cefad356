//! One process behind the proxy: its connections, and how many requests it is busy with.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::HeaderValue;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::Notify;

use crate::rollout::Slot;

pub type Body = UnsyncBoxBody<Bytes, hyper::Error>;

/// Connections kept for the next request.
const KEPT: usize = 256;

pub struct Endpoint {
    pub slot: Slot,
    pub revision: HeaderValue,
    address: SocketAddr,
    busy: AtomicUsize,
    idle: Mutex<Vec<SendRequest<Body>>>,
    /// Told when the process refused a connection, so that it is probed at once.
    pub suspect: Notify,
}

impl Endpoint {
    pub fn new(slot: Slot, revision: u32, port: u16) -> Arc<Self> {
        Arc::new(Endpoint {
            slot,
            revision: HeaderValue::from(revision),
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            busy: AtomicUsize::new(0),
            idle: Mutex::default(),
            suspect: Notify::new(),
        })
    }

    /// Requests that are not answered to the end.
    pub fn busy(&self) -> usize {
        self.busy.load(Ordering::Acquire)
    }

    /// A kept connection that can take a request now; the second value says whether it was kept.
    pub async fn connection(&self) -> std::io::Result<(SendRequest<Body>, bool)> {
        if let Some(kept) = self.kept() {
            return Ok((kept, true));
        }
        let connecting = tokio::time::timeout(Duration::from_secs(2), TcpStream::connect(self.address));
        let stream = connecting.await.map_err(std::io::Error::other)??;
        stream.set_nodelay(true)?;
        let (sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(std::io::Error::other)?;
        // Its errors reach whoever waits for an answer on it.
        tokio::spawn(async move { connection.with_upgrades().await.is_ok() });
        Ok((sender, false))
    }

    fn kept(&self) -> Option<SendRequest<Body>> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|c| !c.is_closed());
        let ready = idle.iter().rposition(SendRequest::is_ready)?;
        Some(idle.swap_remove(ready))
    }

    /// Keeps a connection; it becomes usable when its answer was read to the end.
    pub fn keep(&self, connection: SendRequest<Body>) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < KEPT {
            idle.push(connection);
        }
    }

    /// Closes the connections nobody uses.
    pub fn close_idle(&self) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// Counts as one request until dropped.
pub struct Busy(Arc<Endpoint>);

impl Busy {
    pub fn with(endpoint: &Arc<Endpoint>) -> Self {
        endpoint.busy.fetch_add(1, Ordering::AcqRel);
        Busy(endpoint.clone())
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::AcqRel);
    }
}
