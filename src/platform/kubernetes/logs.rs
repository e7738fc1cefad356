//! Logs of all pods of a service. Without `follow` they are merged by time; with it each container has a stream that
//! survives broken connections and restarts (resumed by time, lines already shown are left out).

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures::{AsyncBufReadExt, StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ListParams, LogParams};
use kube::runtime::watcher::Event;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, ResourceExt};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use super::client::Cluster;
use super::watch::slot_of;
use crate::error::Failure;
use crate::manifest::names;
use crate::platform::{LogLine, LogQuery};
use crate::rollout::Slot;

/// Streams are connections: HTTP/1.1 has no other way.
const STREAMS: usize = 50;
/// Of one pod, when logs are fetched whole.
const BYTES: i64 = 16 * 1024 * 1024;
const RESUME: Duration = Duration::from_millis(500);

type Sender = mpsc::Sender<LogLine>;

pub async fn logs(cluster: &Cluster, service: &str, query: &LogQuery, lines: Sender) -> anyhow::Result<()> {
    let mut selector = match query.driver {
        true => crate::manifest::driver::selector(service),
        false => format!("{}={service}", names::NAME),
    };
    if let Some(slot) = query.slot {
        selector += &format!(",{}={slot}", names::SLOT);
    }
    if query.follow {
        follow(cluster, &selector, query, lines).await
    } else {
        once(cluster, service, &selector, query, lines).await
    }
}

async fn once(
    cluster: &Cluster,
    service: &str,
    selector: &str,
    query: &LogQuery,
    lines: Sender,
) -> anyhow::Result<()> {
    let api = cluster.api::<Pod>();
    let few = query.sample.and_then(|most| u32::try_from(most).ok());
    let params = ListParams { limit: few, ..ListParams::default().labels(selector) };
    let pods = api.list(&params).await;
    let pods = pods.map_err(|e| cluster.explain(e, &format!("pods of {service}")))?.items;
    if pods.is_empty() {
        if query.driver {
            return Err(Failure::failed(
                "no-driver",
                format!("no driver of {service} is, or was lately, in the cluster ({})", cluster.place()),
            )
            .hint("`msctl rollout status` says who drives")
            .into());
        }
        return Err(Failure::failed("not-deployed", format!("{service} has no pods ({})", cluster.place()))
            .hint("msctl status shows what is deployed")
            .into());
    }
    let fetched: Vec<_> = pods.iter().map(|pod| whole(&api, pod, query)).collect();
    let fetched: Vec<kube::Result<String>> = stream::iter(fetched).buffered(8).collect().await;
    let mut merged: Vec<(Timestamp, usize, String)> = Vec::new();
    let mut failures = Vec::new();
    for (at, text) in fetched.into_iter().enumerate() {
        match text {
            Ok(text) => merged.extend(text.lines().map(|line| {
                let (time, line) = split(line);
                (time.unwrap_or_default(), at, line.to_owned())
            })),
            Err(error) => failures.push(format!("{}: {}", pods[at].name_any(), why(error))),
        }
    }
    if failures.len() == pods.len() {
        return Err(Failure::failed(
            "no-logs",
            format!("no pod of {service} has a log: {}", failures.join("; ")),
        )
        .into());
    }
    if query.sample.is_none() {
        failures.into_iter().for_each(|f| cluster.ui.warn(f));
    }
    merged.sort_by_key(|(time, at, _)| (*time, *at));
    for (_, at, line) in merged {
        let pod = &pods[at];
        if lines.send(LogLine { pod: pod.name_any(), slot: slot_of(pod), line }).await.is_err() {
            break;
        }
    }
    Ok(())
}

/// The API's own words are in the message of its status.
fn why(error: kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message,
        other => other.to_string(),
    }
}

async fn whole(api: &Api<Pod>, pod: &Pod, query: &LogQuery) -> kube::Result<String> {
    let params = LogParams { limit_bytes: Some(BYTES), ..params(pod, query) };
    api.logs(&pod.name_any(), &params).await
}

fn params(pod: &Pod, query: &LogQuery) -> LogParams {
    LogParams {
        container: container(pod),
        follow: query.follow,
        previous: query.previous,
        since_seconds: query.since.and_then(|s| i64::try_from(s.as_secs().max(1)).ok()),
        tail_lines: query.tail,
        timestamps: true,
        ..LogParams::default()
    }
}

/// Ours where there is one, else the pod's first.
fn container(pod: &Pod) -> Option<String> {
    let containers = &pod.spec.as_ref()?.containers;
    let found = containers.iter().find(|c| c.name == names::CONTAINER).or(containers.first())?;
    Some(found.name.clone())
}

fn split(line: &str) -> (Option<Timestamp>, &str) {
    match line.split_once(' ') {
        Some((time, rest)) => match time.parse() {
            Ok(time) => (Some(time), rest),
            Err(_) => (None, line),
        },
        None => line.parse().map_or((None, line), |time| (Some(time), "")),
    }
}

async fn follow(cluster: &Cluster, selector: &str, query: &LogQuery, lines: Sender) -> anyhow::Result<()> {
    let api = cluster.api::<Pod>();
    // A first request of our own: a watcher would retry "forbidden" for ever.
    let first = api.list(&ListParams::default().labels(selector).limit(1)).await;
    first.map_err(|e| cluster.explain(e, "pods"))?;
    let room = Arc::new(Semaphore::new(STREAMS));
    let (mut streams, mut known) = (JoinSet::new(), HashSet::new());
    let pods =
        watcher(api.clone(), watcher::Config::default().labels(selector).page_size(200)).default_backoff();
    let mut pods = std::pin::pin!(pods);
    let mut query = query.clone();
    loop {
        let event = tokio::select! {
            event = pods.next() => event,
            () = lines.closed() => return Ok(()),
        };
        let pod = match event {
            Some(Ok(Event::Apply(pod) | Event::InitApply(pod))) => pod,
            Some(Ok(Event::Delete(pod))) => {
                known.remove(&pod.uid());
                continue;
            }
            Some(Ok(Event::Init)) => continue,
            Some(Ok(Event::InitDone)) => {
                // Of a pod that starts from now on every line is new.
                query = LogQuery { tail: None, since: None, previous: false, ..query };
                continue;
            }
            Some(Err(error)) => {
                cluster.ui.detail(format!("watch of pods: {error}; it goes on"));
                continue;
            }
            None => return Ok(()),
        };
        if !started(&pod) || !known.insert(pod.uid()) {
            continue;
        }
        let Ok(place) = room.clone().try_acquire_owned() else {
            cluster.ui.warn(format!("{}: not followed, {STREAMS} logs are at once", pod.name_any()));
            continue;
        };
        let tail = Tail { api: api.clone(), params: params(&pod, &query), pod, last: None, shown: 0 };
        let lines = lines.clone();
        streams.spawn(async move {
            tail.run(lines).await;
            drop(place);
        });
    }
}

fn started(pod: &Pod) -> bool {
    let statuses = pod.status.as_ref().and_then(|s| s.container_statuses.as_ref());
    let mut states = statuses.into_iter().flatten();
    states.any(|c| {
        c.restart_count > 0 || c.state.as_ref().is_some_and(|s| s.running.is_some() || s.terminated.is_some())
    })
}

/// The followed log of one pod.
struct Tail {
    api: Api<Pod>,
    params: LogParams,
    pod: Pod,
    /// Time of the last line sent, and how many of that same time were.
    last: Option<Timestamp>,
    shown: usize,
}

impl Tail {
    async fn run(mut self, lines: Sender) {
        loop {
            let stream = self.api.log_stream(&self.pod.name_any(), &self.params).await;
            if let Ok(stream) = stream
                && self.pass_on(stream.lines(), &lines).await.is_err()
            {
                return; // nobody listens
            }
            if !self.goes_on().await {
                return;
            }
            tokio::time::sleep(RESUME).await;
            if let Some(last) = self.last {
                self.params = LogParams {
                    since_time: Some(last),
                    since_seconds: None,
                    tail_lines: None,
                    previous: false,
                    ..self.params.clone()
                };
            }
        }
    }

    /// `Err` when the receiver is gone; a broken stream is only an end.
    async fn pass_on<S>(&mut self, stream: S, lines: &Sender) -> Result<(), ()>
    where
        S: futures::Stream<Item = std::io::Result<String>>,
    {
        let slot: Option<Slot> = slot_of(&self.pod);
        let mut repeated = Repeats::after(self.last, self.shown);
        let mut stream = std::pin::pin!(stream);
        while let Ok(Some(line)) = stream.try_next().await {
            let (time, text) = split(&line);
            if repeated.skips(time) {
                continue;
            }
            self.shown = if time.is_some() && time == self.last { self.shown + 1 } else { 1 };
            self.last = time.or(self.last);
            let line = LogLine { pod: self.pod.name_any(), slot, line: text.to_owned() };
            lines.send(line).await.map_err(|_| ())?;
        }
        Ok(())
    }

    /// Whether the pod may still log: it is there and has not ended.
    async fn goes_on(&self) -> bool {
        match self.api.get_opt(&self.pod.name_any()).await {
            Ok(Some(pod)) => pod.uid() == self.pod.uid() && !super::observe::is_over(&pod),
            Ok(None) => false,
            Err(_) => true,
        }
    }
}

/// Leaves out what a resumed stream shows a second time: the API resumes at whole seconds.
struct Repeats {
    last: Option<Timestamp>,
    same: usize,
}

impl Repeats {
    fn after(last: Option<Timestamp>, shown: usize) -> Self {
        Repeats { last, same: shown }
    }
    fn skips(&mut self, time: Option<Timestamp>) -> bool {
        let (Some(last), Some(time)) = (self.last, time) else { return false };
        if time == last && self.same > 0 {
            self.same -= 1;
            return true;
        }
        time < last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_split_at_their_time() {
        let time: Timestamp = "2026-01-01T10:00:00.123456789Z".parse().unwrap();
        assert_eq!(split("2026-01-01T10:00:00.123456789Z a  b"), (Some(time), "a  b"));
        assert_eq!(split("2026-01-01T10:00:00.123456789Z"), (Some(time), ""));
        assert_eq!(split("no time here"), (None, "no time here"));
    }

    #[test]
    fn a_resumed_stream_repeats_nothing_and_loses_nothing() {
        let at = |n: i64| Timestamp::from_second(n).unwrap();
        let mut repeats = Repeats::after(Some(at(5)), 2);
        let skipped: Vec<bool> = [4, 5, 5, 5, 6].into_iter().map(|n| repeats.skips(Some(at(n)))).collect();
        assert_eq!(skipped, [true, true, true, false, false], "the third of second 5 is new");
        assert!(!Repeats::after(None, 0).skips(Some(at(1))));
    }
}
