//! The listener and the graceful end.

use crate::{App, Shared, health::Lifecycle, router, routes};
use axum::Router;
use std::{error::Error, sync::Arc};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::{mpsc, oneshot},
    time::sleep,
};

type Result = std::result::Result<(), Box<dyn Error + Send + Sync>>;

/// Serves until a signal, on a runtime of its own.
pub fn start(app: App) -> Result {
    let runtime = tokio::runtime::Runtime::new()?;
    let result = runtime.block_on(async {
        let signals = signals()?;
        let listener = listen(app.config.port).await?;
        serve(Arc::new(app), routes(), listener, signals).await
    });
    runtime.shutdown_background(); // a thread that hangs would keep the process
    result
}

/// A listener for IPv4 and IPv6, or for IPv4 where that is all there is.
async fn listen(port: u16) -> std::io::Result<TcpListener> {
    match TcpListener::bind(("::", port)).await {
        Ok(listener) => Ok(listener),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => Err(error),
        Err(_) => TcpListener::bind(("0.0.0.0", port)).await,
    }
}

fn signals() -> std::io::Result<mpsc::Receiver<&'static str>> {
    let (send, receive) = mpsc::channel(2);
    for (kind, name) in [(SignalKind::terminate(), "SIGTERM"), (SignalKind::interrupt(), "SIGINT")] {
        let (mut stream, send) = (signal(kind)?, send.clone());
        tokio::spawn(async move {
            while stream.recv().await.is_some() {
                let _ = send.send(name).await; // nobody listens: it is over already
            }
        });
    }
    Ok(receive)
}

/// After a signal: not ready at once, a moment for the load balancers to notice, no new connections, and the
/// requests under way finish. It fails when they do not, or at a second signal.
pub async fn serve(
    app: Shared,
    routes: Router<Shared>,
    listener: TcpListener,
    mut signals: mpsc::Receiver<&'static str>,
) -> Result {
    let (close, closed) = oneshot::channel::<()>();
    let address = listener.local_addr()?;
    let service = axum::serve(listener, router(app.clone(), routes));
    let service = service.with_graceful_shutdown(async { drop(closed.await) });
    let mut server = tokio::spawn(service.into_future());
    app.health.set(Lifecycle::Serving);
    tracing::info!(%address, version = app.info.version, "listening");
    tokio::select! {
        ended = &mut server => return Err(format!("serve on {address}: {ended:?}").into()),
        Some(signal) = signals.recv() => {
            app.health.set(Lifecycle::Draining);
            tracing::info!(signal, "draining");
        }
    }
    let drain = async {
        sleep(app.config.drain_delay).await;
        drop(close);
        (&mut server).await
    };
    let result = tokio::select! {
        ended = drain => ended?.map_err(Into::into),
        () = sleep(app.config.shutdown_timeout) => Err("requests were still running after SHUTDOWN_TIMEOUT".into()),
        Some(signal) = signals.recv() => Err(format!("{signal} again: quit without waiting").into()),
    };
    server.abort();
    if result.is_ok() {
        tracing::info!("stopped");
    }
    result
}
