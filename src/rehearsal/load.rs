//! The users of a rehearsal or a tour: a steady trickle of requests to one loopback address, counted.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::{HeaderMap, Request};
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
    /// Answered, by the revision that did.
    pub revisions: BTreeMap<String, u64>,
    /// Answered with 500 and above, by the revision that did.
    pub errors: BTreeMap<String, u64>,
}

pub struct Load {
    counts: Arc<Mutex<Counts>>,
    stop: CancellationToken,
    tracker: TaskTracker,
}

/// An upper bound on the traffic of one load.
const LONGEST: Duration = Duration::from_secs(3600);

impl Load {
    /// `rate` requests a second, each with `headers`.
    pub fn start(url: &str, rate: u32, headers: &HeaderMap) -> anyhow::Result<Load> {
        let uri: hyper::Uri = url.parse().with_context(|| format!("{url} is not an address"))?;
        let every = Duration::from_secs(1) / rate.max(1);
        let mut asked = Request::get(uri).body(Empty::new()).context("make a request")?;
        asked.headers_mut().extend(headers.clone());
        let client: Client<HttpConnector, Empty<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
        let (counts, stop, tracker) =
            (Arc::<Mutex<Counts>>::default(), CancellationToken::new(), TaskTracker::new());
        let load = Load { counts: counts.clone(), stop: stop.clone(), tracker: tracker.clone() };
        tracker.clone().spawn(async move {
            let mut ticks = tokio::time::interval(every);
            for _ in 0..LONGEST.as_nanos() / every.as_nanos() {
                tokio::select! { _ = ticks.tick() => {}, () = stop.cancelled() => break }
                let (client, asked, counts) = (client.clone(), asked.clone(), counts.clone());
                tracker.spawn(async move {
                    let answer = tokio::time::timeout(Duration::from_secs(10), ask(&client, asked)).await;
                    let mut counts = counts.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
                    match answer {
                        Ok(Ok((status, revision))) if status < 500 => {
                            counts.answered += 1;
                            *counts.revisions.entry(revision).or_default() += 1;
                        }
                        Ok(Ok((_, revision))) => {
                            counts.failed += 1;
                            *counts.errors.entry(revision).or_default() += 1;
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

async fn ask(
    client: &Client<HttpConnector, Empty<Bytes>>,
    asked: Request<Empty<Bytes>>,
) -> anyhow::Result<(u16, String)> {
    let answer = client.request(asked).await?;
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
