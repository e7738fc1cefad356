//! The weighted HTTP proxy in front of a service's processes: what a router is on a cluster.

mod backend;
mod count;
mod forward;
mod mirror;
mod route;
mod split;
#[cfg(test)]
mod tests;

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, PoisonError, RwLock};

use futures::FutureExt as _;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use backend::{Body, Endpoint};
use count::Counters;
use route::{Rules, Table};

use crate::rollout::{Routing, Slot};

/// One service's proxy. Its table is replaced whole; requests under way keep the one they began with.
pub struct Proxy {
    name: String,
    table: RwLock<Arc<Table>>,
    counters: [Counters; 2],
    /// For copies.
    room: Arc<tokio::sync::Semaphore>,
}

impl Proxy {
    pub fn new(name: &str) -> Arc<Self> {
        Arc::new(Proxy {
            name: name.to_owned(),
            table: RwLock::default(),
            counters: Default::default(),
            room: Arc::new(tokio::sync::Semaphore::new(mirror::COPIES)),
        })
    }

    fn table(&self) -> Arc<Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes one request to a process and its answer back.
    pub async fn forward(self: Arc<Self>, peer: SocketAddr, request: Request<Incoming>) -> Response<Body> {
        forward::forward(self, peer, request).await
    }

    pub fn counters(&self, slot: Slot) -> &Counters {
        &self.counters[slot as usize]
    }

    /// Whether `routing` can be followed.
    pub fn check(routing: &Routing) -> Result<(), String> {
        Rules::new(routing.clone()).map(drop)
    }

    /// Takes effect with the next request. Unchanged rules go on dealing where they were.
    pub fn set(&self, routing: Option<&Routing>, endpoints: [Vec<Arc<Endpoint>>; 2]) {
        let before = self.table();
        let rules = match (&before.rules, routing) {
            (Some(rules), Some(routing)) if rules.routing == *routing => Some(rules.clone()),
            // `check` has seen the expressions before.
            (_, Some(routing)) => Rules::new(routing.clone()).ok().map(Arc::new),
            (_, None) => None,
        };
        let table = Table { rules, endpoints, turn: before.turn.clone() };
        *self.table.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(table);
    }
}

/// The open port of a service; dropped, it and all its connections are closed.
pub struct Front {
    pub port: u16,
    stop: CancellationToken,
}

impl Front {
    /// Listens on 127.0.0.1 and, where there is one, on ::1. Needs a running runtime.
    pub fn open(proxy: &Arc<Proxy>, port: u16) -> std::io::Result<Self> {
        let bind = |address: SocketAddr| {
            let listener = std::net::TcpListener::bind(address)?;
            listener.set_nonblocking(true)?;
            TcpListener::from_std(listener)
        };
        let four = bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
        let port = four.local_addr()?.port();
        let six = match bind(SocketAddr::from((Ipv6Addr::LOCALHOST, port))) {
            Ok(listener) => Some(listener),
            Err(e) if e.kind() == std::io::ErrorKind::AddrInUse => return Err(e),
            Err(_) => None,
        };
        let stop = CancellationToken::new();
        for listener in std::iter::once(four).chain(six) {
            let proxy = proxy.clone();
            let answer = move |peer, request| proxy.clone().forward(peer, request);
            tokio::spawn(accept(listener, stop.clone(), answer));
        }
        Ok(Front { port, stop })
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Serves every connection until `stop`, which ends them too.
pub async fn accept<A, F>(listener: TcpListener, stop: CancellationToken, answer: A)
where
    A: Fn(SocketAddr, Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, peer)) = accepted else {
            // Out of file descriptors, most likely: some will come back.
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            continue;
        };
        let (answer, stop) = (answer.clone(), stop.clone());
        tokio::spawn(async move {
            // Latency matters more than packets on loopback; a socket that refuses is as good as it gets.
            let _ = stream.set_nodelay(true);
            let service =
                service_fn(move |request| answer(peer, request).map(Ok::<_, std::convert::Infallible>));
            let connection = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .with_upgrades();
            tokio::pin!(connection);
            tokio::select! {
                () = stop.cancelled() => {}
                _ = &mut connection => {}
            }
        });
    }
}
