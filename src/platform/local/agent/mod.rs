//! The agent: one process per user that keeps services running and answers on a socket of its own.
//! It is API server, kubelet and router of the local platform in one.

mod adopt;
mod ask;
mod calls;
mod decide;
mod entry;
mod logs;
mod migrate;
mod observe;
mod probe;
mod record;
mod replica;
mod server;
mod status;

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::api::{AgentInfo, PROTOCOL};
use super::places::{Places, private_folder, remove};
use super::process::Birth;
use crate::ui::Ui;
use entry::Entry;
pub use logs::Line as LogLineWire;

/// An agent with nothing to run goes after so long; the next command starts one.
const IDLE: Duration = Duration::from_secs(600);

/// Everything the agent holds. One lock; it is never held across an await.
pub struct Agent {
    places: Places,
    started: Timestamp,
    ui: Ui,
    services: Mutex<BTreeMap<String, Entry>>,
    /// The agent is on its way out and starts nothing any more.
    ending: AtomicBool,
    /// Everything was stopped for good: the state goes too.
    downed: AtomicBool,
    stop: CancellationToken,
}

/// Runs the agent until it is told to go. `interrupt` ends it as a reboot would: what ran runs again next time.
pub async fn run(places: Places, ui: Ui, interrupt: CancellationToken) -> anyhow::Result<()> {
    // Fails only where this is a session's leader already.
    let _ = rustix::process::setsid();
    private_folder(&places.state)?;
    let lock_path = places.lock();
    let open = std::fs::OpenOptions::new().create(true).write(true).truncate(false).open(&lock_path);
    let mut lock = open.with_context(|| format!("open {}", lock_path.display()))?;
    if lock.try_lock().is_err() {
        ui.note("another agent runs already");
        return Ok(());
    }
    lock.set_len(0).with_context(|| format!("write {}", lock_path.display()))?;
    let me = Birth::me();
    writeln!(lock, "{} {}", me.pid, me.start).with_context(|| format!("write {}", lock_path.display()))?;
    let agent = Arc::new(Agent {
        places,
        started: Timestamp::now(),
        ui,
        services: Mutex::default(),
        ending: AtomicBool::new(false),
        downed: AtomicBool::new(false),
        stop: CancellationToken::new(),
    });
    agent.say("started");
    adopt::adopt(&agent)?;
    let serving = tokio::spawn(server::serve(agent.clone()));
    let ticking = tokio::spawn(tick(agent.clone()));
    tokio::select! {
        () = interrupt.cancelled() => agent.stop_all().await,
        () = agent.stop.cancelled() => {}
    }
    ticking.abort();
    serving.abort();
    remove(&agent.places.socket)?;
    if agent.downed.load(Ordering::Acquire) {
        agent.places.remove_all()?;
    }
    agent.say("ended");
    drop(lock);
    Ok(())
}

/// What changes by time alone, and ports that could not be opened yet.
async fn tick(agent: Arc<Agent>) {
    let mut interval = tokio::time::interval(Duration::from_millis(250));
    let mut busy = Instant::now();
    loop {
        interval.tick().await;
        let now = Timestamp::now();
        let mut services = agent.lock();
        if !services.is_empty() {
            busy = Instant::now();
        } else if busy.elapsed() > IDLE {
            agent.stop.cancel();
        }
        for entry in services.values_mut() {
            entry.reopen();
            if entry.record.ripening(now) {
                entry.settle(&agent);
            }
        }
    }
}

impl Agent {
    fn say(&self, text: impl std::fmt::Display) {
        self.ui.note(format!("{} {text}", Timestamp::now()));
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Entry>> {
        self.services.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ending(&self) -> bool {
        self.ending.load(Ordering::Acquire)
    }

    /// Changes a service's record and lets the supervisor act on it; None when there is no such service.
    fn with<R>(self: &Arc<Self>, service: &str, change: impl FnOnce(&mut Entry) -> R) -> Option<R> {
        let mut services = self.lock();
        let entry = services.get_mut(service)?;
        let result = change(entry);
        entry.settle(self);
        Some(result)
    }

    fn info(&self) -> AgentInfo {
        AgentInfo {
            protocol: PROTOCOL,
            version: env!("CARGO_PKG_VERSION").into(),
            pid: std::process::id(),
            state: self.places.state.clone(),
            started: self.started,
            services: self.lock().keys().cloned().collect(),
        }
    }

    /// Ends every process, keeping what should run for the next agent.
    async fn stop_all(self: &Arc<Self>) {
        self.ending.store(true, Ordering::Release);
        for entry in self.lock().values_mut() {
            entry.stop_processes();
        }
        while self.lock().values().any(Entry::has_processes) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Ends everything for good, and the agent with it.
    async fn down(self: &Arc<Self>) -> anyhow::Result<()> {
        self.stop_all().await;
        adopt::sweep(self).await;
        self.lock().clear();
        self.downed.store(true, Ordering::Release);
        for folder in ["services", "revisions", "cache", "logs", "secrets"] {
            remove(&self.places.state.join(folder))?;
        }
        Ok(())
    }
}
