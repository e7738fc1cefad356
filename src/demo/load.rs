//! A steady trickle of requests to one loopback address, counted.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// What came back.
#[derive(Debug, Clone, Default)]
pub struct Counts {
    pub answered: u64,
    /// No answer, or one of 500 and above.
    pub failed: u64,
    pub revisions: BTreeMap<String, u64>,
}

pub struct Load {
    counts: Arc<Mutex<Counts>>,
    stop: CancellationToken,
    tracker: TaskTracker,
}

const EVERY: Duration = Duration::from_millis(20);
/// An upper bound on a tour's traffic: half an hour of it.
const MOST: u32 = 90_000;

impl Load {
    pub fn start(url: &str) -> anyhow::Result<Load> {
        let uri: hyper::Uri = url.parse().with_context(|| format!("{url} is not an address"))?;
        let client: Client<HttpConnector, Empty<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
        let (counts, stop, tracker) =
            (Arc::<Mutex<Counts>>::default(), CancellationToken::new(), TaskTracker::new());
        let load = Load { counts: counts.clone(), stop: stop.clone(), tracker: tracker.clone() };
        tracker.clone().spawn(async move {
            let mut ticks = tokio::time::interval(EVERY);
            for _ in 0..MOST {
                tokio::select! { _ = ticks.tick() => {}, () = stop.cancelled() => break }
                let (client, uri, counts) = (client.clone(), uri.clone(), counts.clone());
                tracker.spawn(async move {
                    let answer = tokio::time::timeout(Duration::from_secs(10), ask(&client, uri)).await;
                    let mut counts = counts.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
                    match answer {
                        Ok(Ok((status, revision))) if status < 500 => {
                            counts.answered += 1;
                            *counts.revisions.entry(revision).or_default() += 1;
                        }
                        _ => counts.failed += 1,
                    }
                });
            }
        });
        Ok(load)
    }

    pub fn counts(&self) -> Counts {
        self.counts.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }

    /// Stops asking, waits for the answers still out, and counts.
    pub async fn stop(self) -> Counts {
        self.stop.cancel();
        self.tracker.close();
        self.tracker.wait().await;
        self.counts()
    }
}

async fn ask(client: &Client<HttpConnector, Empty<Bytes>>, uri: hyper::Uri) -> anyhow::Result<(u16, String)> {
    let answer = client.get(uri).await?;
    let status = answer.status().as_u16();
    let revision = answer.headers().get("x-msctl-revision").and_then(|v| v.to_str().ok());
    let revision = revision.unwrap_or("?").to_owned();
    answer.into_body().collect().await?;
    Ok((status, revision))
}

/// A port nobody listens on now.
pub fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
