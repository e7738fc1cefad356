//! Makes the measurements the engine asks for, beside the driver's loop: reads the pods' counters once for all metrics
//! that need them, and asks whoever else is named. What it remembers is lost with the driver; windows then begin anew.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};

use super::series::{Counts, Ledger, between, read};
use super::{Ask, Measure, Measured, Metric, Reading, Shift, Sighting, Source, compare, remote};
use crate::image::http::Client;
use crate::platform::{Answer, JobEnd, JobRun, Platform};
use crate::rollout::Slot;
use crate::rollout::host::Host;

/// Between two scrapes of pods that cannot be asked: a refusal comes at once, and would be met again at once.
const REST: SignedDuration = SignedDuration::from_secs(1);

/// Values of either side that the rank test looks at.
const SPREAD: usize = 200;
/// The smallest relative change of the median that it calls a change.
const EFFECT: f64 = 0.1;
const SLOWEST: Duration = Duration::from_secs(60);
const TRIES: u32 = 5;
const LEAVING: Duration = Duration::from_secs(5);
/// Names of Jobs are label values of their pods.
const LONGEST: usize = 63;

/// Whom the measurements are about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub service: String,
    pub namespace: String,
    pub candidate: Slot,
    pub live: Slot,
    pub revision: u32,
    pub live_revision: u32,
    /// The experiment's fresh pods instead of the slots'.
    pub experiment: bool,
}

type Key = (String, bool, Timestamp, Timestamp);
type Scraped = Result<Vec<Answer>, String>;

enum Done {
    Scraped {
        at: Timestamp,
        target: Target,
        candidate: Scraped,
        live: Scraped,
    },
    Measured(Box<Measured>),
    /// Whether it was done.
    Swept(bool),
}

/// Totals of both slots at one moment, and the pods that answered.
#[derive(Debug, Clone, Default)]
struct Totals {
    candidate: Counts,
    live: Counts,
    at: Timestamp,
}

pub struct Gatherer<'a> {
    host: &'a dyn Host,
    platform: &'a dyn Platform,
    client: Option<Arc<Client>>,
    running: FuturesUnordered<BoxFuture<'a, Done>>,
    asked: BTreeSet<Key>,
    scraping: bool,
    /// When a scrape said nothing: the next one waits a while.
    failed: Option<Timestamp>,
    asks: Vec<Ask>,
    source: Source,
    target: Option<Target>,
    ledgers: BTreeMap<Slot, Ledger>,
    /// Totals at the beginning of each open window.
    opened: BTreeMap<Timestamp, Totals>,
    done: Vec<Measured>,
    /// Jobs that are wanted; None: not known yet what an earlier driver left.
    jobs: Option<Vec<String>>,
    sweeping: u32,
    /// How often that failed.
    unswept: u32,
}

impl<'a> Gatherer<'a> {
    pub fn new(host: &'a dyn Host, platform: &'a dyn Platform) -> Self {
        Gatherer {
            host,
            platform,
            client: host.client(),
            running: FuturesUnordered::new(),
            asked: BTreeSet::new(),
            scraping: false,
            failed: None,
            asks: Vec::new(),
            source: Source::default(),
            target: None,
            ledgers: BTreeMap::new(),
            opened: BTreeMap::new(),
            done: Vec::new(),
            jobs: None,
            sweeping: 0,
            unswept: 0,
        }
    }

    /// Starts what is asked for and not under way, as the driver of `epoch`; ends what no longer is.
    pub fn want(&mut self, asks: Vec<Ask>, source: &Source, target: Target, epoch: u64, now: Timestamp) {
        if self.target.as_ref() != Some(&target) {
            self.ledgers.clear();
            self.opened.clear();
            self.target = Some(target.clone());
        }
        self.source = source.clone();
        self.opened.retain(|window, _| asks.iter().any(|a| a.window == *window));
        self.asked.retain(|key| asks.iter().any(|a| self::key(a) == *key));
        for ask in asks.iter().filter(|a| a.ripe && !a.metric.measure.scraped()) {
            if self.asked.insert(key(ask)) {
                self.running.push(alone(
                    self.host,
                    self.platform,
                    self.client.clone(),
                    ask.clone(),
                    target.clone(),
                    epoch,
                    now,
                ));
            }
        }
        let scraped = |a: &&Ask| a.metric.measure.scraped();
        let open =
            asks.iter().filter(scraped).any(|a| a.window <= now && !self.opened.contains_key(&a.window));
        let ripe = asks.iter().filter(scraped).any(|a| a.ripe);
        let rested = self.failed.is_none_or(|at| now.duration_since(at) >= REST);
        if ((open && rested) || ripe) && !self.scraping {
            self.scraping = true;
            self.running.push(scrape(self.platform, self.source.path.clone(), target, now));
        }
        self.asks = asks;
    }

    /// Jobs that are asked for no more go.
    pub fn sweep(&mut self, asks: &[Ask], target: &Target, epoch: u64) {
        let jobs = asks.iter().filter(|a| matches!(a.metric.measure, Measure::Job { .. }));
        let wanted: Vec<String> = jobs.map(|a| job_name(a, target)).collect();
        let gone = |before: &Vec<String>| before.iter().any(|name| !wanted.contains(name));
        if self.jobs.as_ref().is_none_or(gone) {
            let (platform, keep) = (self.platform, wanted.clone());
            self.sweeping += 1;
            self.running
                .push(Box::pin(async move { Done::Swept(platform.sweep_jobs(&keep, epoch).await.is_ok()) }));
        }
        self.jobs = Some(wanted);
    }

    /// What could not be swept is swept with the next turn, a few times; then it goes by its own deadline.
    fn swept(&mut self, done: bool) {
        self.sweeping -= 1;
        if !done && self.unswept < TRIES {
            self.unswept += 1;
            self.jobs = None;
        }
    }

    /// Before the driver leaves: what is being tidied up is done.
    pub async fn leave(&mut self, host: &dyn Host) {
        let tidy = async {
            while self.sweeping > 0 {
                match self.running.next().await {
                    Some(Done::Swept(done)) => self.swept(done),
                    Some(_) => {}
                    None => return,
                }
            }
        };
        tokio::select! {
            biased;
            () = tidy => {}
            () = host.sleep(LEAVING) => {}
        }
    }

    /// Returns when a measurement is there; never while none is under way.
    pub async fn finished(&mut self) {
        while self.done.is_empty() {
            match self.running.next().await {
                Some(Done::Measured(measured)) => self.done.push(*measured),
                Some(Done::Swept(done)) => self.swept(done),
                Some(Done::Scraped { at, target, candidate, live }) => {
                    self.scraping = false;
                    if self.target.as_ref() == Some(&target) {
                        self.scraped(at, &target, candidate, live);
                    }
                    // Windows may have been opened meanwhile: the driver asks again after its next turn.
                    return;
                }
                None => std::future::pending().await,
            }
        }
    }

    /// Whether an answer is awaited; how long one may take that would be lost with this driver, where one is; and the
    /// longest of the intervals that what is asked for takes.
    pub fn awaits(&self) -> (bool, Option<Duration>, Duration) {
        let mut ripe = self.asks.iter().filter(|a| a.ripe).map(|a| &a.metric.measure);
        let awaited = ripe.clone().next().is_some();
        let lost = ripe
            .any(|m| matches!(m, Measure::Prometheus { .. } | Measure::Web { .. } | Measure::Smoke { .. }));
        let scraped = self.asks.iter().filter(|a| a.metric.measure.scraped());
        let longest = scraped.filter_map(|a| a.metric.interval).max().unwrap_or(0);
        (awaited, lost.then_some(SLOWEST), Duration::from_millis(longest))
    }

    pub fn take(&mut self) -> Vec<Measured> {
        std::mem::take(&mut self.done)
    }

    fn scraped(&mut self, at: Timestamp, target: &Target, candidate: Scraped, live: Scraped) {
        let candidate = self.enter(at, target.candidate, candidate);
        let live = self.enter(at, target.live, live);
        self.failed = (candidate.is_err() || live.is_err()).then_some(at);
        let total = |slot: Slot| self.ledgers.get(&slot).map(Ledger::total).unwrap_or_default();
        let now = Totals { candidate: total(target.candidate), live: total(target.live), at };
        let asks: Vec<Ask> = self.asks.iter().filter(|a| a.metric.measure.scraped()).cloned().collect();
        let pods = (*candidate.as_ref().unwrap_or(&0), *live.as_ref().unwrap_or(&0));
        for ask in asks.iter().filter(|a| a.window <= at) {
            let failed = match (&candidate, &live) {
                (Err(why), _) => Some(why.clone()),
                (_, Err(why)) if ask.metric.compares() => Some(why.clone()),
                _ => None,
            };
            let seen = match (failed, self.opened.get(&ask.window)) {
                (Some(why), _) => Err(why),
                (None, Some(before)) => Ok(sighting(&ask.metric, before, &now, pods, &self.source)),
                (None, None) => {
                    self.opened.insert(ask.window, now.clone());
                    Ok(sighting(&ask.metric, &now, &now, pods, &self.source))
                }
            };
            if ask.ripe {
                self.done.push(measured(ask, at, seen));
            }
        }
        self.opened.insert(at, now);
    }

    /// Enters the pods' answers; the number of those that answered well.
    fn enter(&mut self, at: Timestamp, slot: Slot, answers: Scraped) -> Result<usize, String> {
        let answers = answers?;
        let ledger = self.ledgers.entry(slot).or_default();
        let (mut good, mut bad) = (0, None);
        for answer in &answers {
            match counts(answer, &self.source) {
                Ok(counts) => {
                    good += 1;
                    ledger.take(&answer.container, answer.started, counts.unwrap_or_default());
                }
                Err(why) => bad = Some(format!("{}: {why}", answer.pod)),
            }
        }
        ledger.done(at);
        match bad {
            Some(why) if good * 2 < answers.len() => Err(why),
            _ if good == 0 => Err(format!("no pod of {slot} is there to be measured")),
            _ => Ok(good),
        }
    }
}

fn key(ask: &Ask) -> Key {
    (ask.metric.name.clone(), ask.inline, ask.window, ask.due)
}

fn measured(ask: &Ask, at: Timestamp, seen: Result<Sighting, String>) -> Measured {
    Measured {
        metric: ask.metric.name.clone(),
        inline: ask.inline,
        window: ask.window,
        due: ask.due,
        at,
        seen,
    }
}

fn counts(answer: &Answer, source: &Source) -> Result<Option<Counts>, String> {
    match &answer.said {
        Err(why) => Err(why.clone()),
        Ok((200, body)) => read(body, source),
        Ok((status, _)) => Err(format!("GET {} answered {status}", source.path)),
    }
}

fn scrape(platform: &dyn Platform, path: String, target: Target, at: Timestamp) -> BoxFuture<'_, Done> {
    let fresh = target.experiment;
    let read = async move |slot: Slot| {
        let answers = match fresh {
            true => platform.get_fresh(slot == target.candidate, &path).await,
            false => platform.get(slot, &path).await,
        };
        answers.map_err(|e| e.to_string())
    };
    Box::pin(async move {
        let (candidate, live) = tokio::join!(read(target.candidate), read(target.live));
        Done::Scraped { at, target, candidate, live }
    })
}

/// `pods`: how many of the candidate's and of the live slot's answered.
fn sighting(
    metric: &Metric,
    before: &Totals,
    now: &Totals,
    pods: (usize, usize),
    source: &Source,
) -> Sighting {
    let candidate = between(&before.candidate, &now.candidate);
    let live = between(&before.live, &now.live);
    let seconds = now.at.duration_since(before.at).as_secs_f64();
    let probing = |counts: &Counts, pods: usize| match counts.routeless {
        true => (source.probes * seconds * pods as f64).round(),
        false => 0.0,
    };
    let (probes, live_probes) = (probing(&candidate, pods.0), probing(&live, pods.1));
    let note = if probes > 0.0 {
        Some(format!("about {probes} probes left out, as the series name no route"))
    } else if now.candidate.requests == 0.0 && now.candidate.buckets.is_empty() {
        Some(format!("{} has no series of requests yet", source.path))
    } else {
        None
    };
    let rate = |counts: &Counts, less: f64| {
        let samples = (counts.requests - less).max(counts.errors).max(0.0);
        Reading { value: (samples > 0.0).then(|| counts.errors / samples), samples: samples as u64 }
    };
    match metric.measure {
        Measure::Latency(q) => {
            let reading = |counts: &Counts, less: f64| {
                let found = counts.quantile(q);
                let samples = (counts.buckets.values().sum::<f64>() - less).max(0.0) as u64;
                (Reading { value: found.map(|f| f.0), samples }, found.map_or(0.0, |f| f.1))
            };
            let ((candidate, width), (live, other)) =
                (reading(&candidate, probes), reading(&live, live_probes));
            let resolution = if metric.compares() { width.max(other) } else { width };
            Sighting { candidate, live: Some(live), resolution, note, ..Sighting::default() }
        }
        Measure::Distribution => {
            let shift = compare(&candidate.spread(SPREAD), &live.spread(SPREAD), EFFECT);
            let median = |counts: &Counts| Reading {
                value: counts.quantile(0.5).map(|f| f.0),
                samples: counts.buckets.values().sum::<f64>() as u64,
            };
            let (candidate, live) = (median(&candidate), median(&live));
            let enough = candidate.samples.min(live.samples) >= metric.bounds.min_samples.max(1);
            let shift = if enough { shift } else { Shift::NoData };
            Sighting { candidate, live: Some(live), shift: Some(shift), note, ..Sighting::default() }
        }
        _ => Sighting {
            candidate: rate(&candidate, probes),
            live: Some(rate(&live, live_probes)),
            note,
            ..Sighting::default()
        },
    }
}

/// A measurement that shares nothing with others.
fn alone<'a>(
    host: &'a dyn Host,
    platform: &'a dyn Platform,
    client: Option<Arc<Client>>,
    ask: Ask,
    target: Target,
    epoch: u64,
    now: Timestamp,
) -> BoxFuture<'a, Done> {
    Box::pin(async move {
        if let Measure::Job { .. } = ask.metric.measure {
            let seen = job(platform, &ask, &target, epoch).await;
            return Done::Measured(Box::new(measured(&ask, now, seen)));
        }
        let variable = |name: &str| host.variable(name);
        let work = async {
            let client = client.as_deref().ok_or("nothing outside can be asked from here");
            match &ask.metric.measure {
                Measure::Prometheus { .. } => {
                    remote::prometheus(client?, &ask.metric, &target, &variable).await
                }
                Measure::Web { url, headers, json } => {
                    remote::web(client?, url, headers, json.as_deref(), &target, &variable).await
                }
                Measure::Smoke { path, requests } => smoke(platform, target.candidate, path, *requests).await,
                Measure::ErrorRate
                | Measure::Latency(_)
                | Measure::Distribution
                | Measure::Restarts
                | Measure::Job { .. } => Err("this is read from the pods".to_owned()),
            }
        };
        let seen = tokio::select! {
            biased;
            seen = work => seen,
            () = host.sleep(SLOWEST) => Err(format!("it took longer than {} s", SLOWEST.as_secs())),
        };
        Done::Measured(Box::new(measured(&ask, now, seen)))
    })
}

/// `orders-r2-e2e-step-3`; what is too long ends in a hash.
fn job_name(ask: &Ask, target: &Target) -> String {
    let metric: String = ask.metric.name.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
    let metric = metric.to_ascii_lowercase();
    let name = format!("{}-r{}-{}-{}", target.service, target.revision, metric.trim_matches('-'), ask.phase);
    if name.len() <= LONGEST && metric == ask.metric.name {
        return name;
    }
    let hash = hex::encode(&Sha256::digest(format!("{name}/{}", ask.metric.name).as_bytes())[..5]);
    let short: String = name.chars().take(LONGEST - 1 - hash.len()).collect();
    format!("{}-{hash}", short.trim_end_matches('-'))
}

async fn job(platform: &dyn Platform, ask: &Ask, target: &Target, epoch: u64) -> Result<Sighting, String> {
    let Measure::Job { image, command, start_deadline, timeout } = &ask.metric.measure else {
        return Err("it is no Job".into());
    };
    let run = JobRun {
        name: job_name(ask, target),
        metric: label(&ask.metric.name),
        measurement: format!("{}/{}", ask.window, ask.due),
        slot: target.candidate,
        revision: target.revision,
        image: image.clone(),
        command: command.clone(),
        start_deadline: Duration::from_secs(*start_deadline),
        timeout: Duration::from_secs(*timeout),
    };
    let (value, note, log) = match platform.job(&run, epoch).await.map_err(|e| e.to_string())? {
        JobEnd::Succeeded => (Some(0.0), None, Vec::new()),
        JobEnd::Failed { message, log } => (Some(1.0), Some(format!("Job {}: {message}", run.name)), log),
        JobEnd::NotStarted { message } => (None, Some(message), Vec::new()),
    };
    let log = log.iter().rev().take(10).rev().map(|line| line.chars().take(300).collect()).collect();
    Ok(Sighting { candidate: Reading { value, samples: 0 }, note, log, ..Sighting::default() })
}

/// A metric's name as a label's value.
fn label(name: &str) -> String {
    let fits = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' };
    let text: String = name.chars().take(LONGEST).map(fits).collect();
    text.trim_matches(|c: char| !c.is_ascii_alphanumeric()).to_owned()
}

/// Requests of our own, one to each pod at a time. The value is the share that failed.
async fn smoke(platform: &dyn Platform, slot: Slot, path: &str, requests: u32) -> Result<Sighting, String> {
    let (mut sent, mut failed, mut first) = (0_u32, 0_u32, None);
    while sent < requests {
        let answers = platform.get(slot, path).await.map_err(|e| e.to_string())?;
        if answers.is_empty() {
            return Err(format!("no pod of {slot} is there to be asked"));
        }
        for answer in answers {
            sent += 1;
            let why = match answer.said {
                Ok((200..400, _)) => continue,
                Ok((status, _)) => format!("GET {path} answered {status} ({})", answer.pod),
                Err(why) => format!("{}: {why}", answer.pod),
            };
            failed += 1;
            first.get_or_insert(why);
        }
    }
    let value = Some(f64::from(failed) / f64::from(sent));
    let note = first.map(|why| format!("{failed} of {sent} requests failed; {why}"));
    Ok(Sighting { candidate: Reading { value, samples: sent.into() }, note, ..Sighting::default() })
}
