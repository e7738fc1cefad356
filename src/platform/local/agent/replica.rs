//! The life of one replica: start, probe, start again after a crash, and an end that loses no request.

use std::fs::{File, OpenOptions};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use jiff::Timestamp;
use rustix::process::Signal;
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;

use super::entry::Entry;
use super::probe::{Complaint, probe};
use super::record::{Exit, Phase};
use super::{Agent, logs};
use crate::platform::local::api::{Program, Secrets};
use crate::platform::local::process::{self, Birth};
use crate::platform::local::proxy::Endpoint;

/// How long requests under way may hold back SIGTERM, and SIGTERM may hold back SIGKILL.
const LAST_REQUESTS: Duration = Duration::from_secs(5);
const GRACE: Duration = Duration::from_secs(30);
/// Until a process was ready once it is asked so often.
const EAGER: Duration = Duration::from_millis(100);
const EAGER_FOR: Duration = Duration::from_secs(60);
const LIVENESS: Duration = Duration::from_secs(10);
const FAILURES: u32 = 3;
/// Ready for so long, the next crash is a first one again.
const SETTLED: Duration = Duration::from_secs(10);
const LONGEST_BACK_OFF: Duration = Duration::from_secs(60);

/// Waiting before the start that follows `streak` exits in a row: none, 1 s, 2 s, 4 s, … at most a minute.
fn back_off(streak: u32) -> Duration {
    match streak {
        0 | 1 => Duration::ZERO,
        n => Duration::from_secs(1 << (n - 2).min(6)).min(LONGEST_BACK_OFF),
    }
}

/// A process that was started here, or by an agent before this one.
enum Process {
    Child(Box<Child>, Birth),
    Adopted(Birth),
}

impl Process {
    fn birth(&self) -> Birth {
        match self {
            Process::Child(_, birth) | Process::Adopted(birth) => *birth,
        }
    }

    /// Waits for the end; its status is known of own children only.
    async fn wait(&mut self) -> Option<ExitStatus> {
        match self {
            Process::Child(child, _) => child.wait().await.ok(),
            Process::Adopted(birth) => {
                while birth.alive() {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                None
            }
        }
    }
}

/// The replica's whole task. `stop` is cancelled once the replica is out of the proxy's table.
pub async fn run(agent: Arc<Agent>, service: String, name: String, stop: CancellationToken) {
    let replica = Replica { agent, service, name, stop };
    let mut process = replica.adopted();
    while !replica.stop.is_cancelled() {
        let Some(running) = &mut process else {
            process = replica.start().await;
            continue;
        };
        let Some(exit) = replica.watch(running).await else { break };
        process::signal_group(running.birth().pid, Signal::KILL);
        replica.ended(exit);
        process = None;
    }
    if let Some(process) = &mut process {
        replica.stop_process(process).await;
    }
    replica.with(|entry, name| entry.forget(name));
    logs::tidy(&replica.agent.places, &replica.service);
}

struct Replica {
    agent: Arc<Agent>,
    service: String,
    name: String,
    stop: CancellationToken,
}

impl Replica {
    fn with<R>(&self, change: impl FnOnce(&mut Entry, &str) -> R) -> Option<R> {
        self.agent.with(&self.service, |entry| change(entry, &self.name))
    }

    fn adopted(&self) -> Option<Process> {
        let birth = self.with(|entry, name| entry.record.replica(name)?.birth())??;
        birth.alive().then_some(Process::Adopted(birth))
    }

    /// Waits out the back-off and starts the process; None when it was told to stop or could not start.
    async fn start(&self) -> Option<Process> {
        let streak = self.with(|entry, name| entry.record.replica(name).map(|r| r.streak))??;
        tokio::select! {
            () = self.stop.cancelled() => return None,
            () = tokio::time::sleep(back_off(streak)) => {}
        }
        match self.spawn() {
            Ok(process) => Some(process),
            Err(e) => {
                self.ended(Exit {
                    reason: "start-failed".into(),
                    message: format!("{e:#}"),
                    log: Vec::new(),
                });
                None
            }
        }
    }

    fn spawn(&self) -> anyhow::Result<Process> {
        let (program, base, revision, slot) = self
            .with(|entry, name| {
                let replica = entry.record.replica(name)?;
                let base = entry.record.spec.as_ref().map(|s| s.base.clone()).unwrap_or_default();
                Some((entry.record.program(replica.revision)?, base, replica.revision, replica.slot))
            })
            .flatten()
            .context("its version is not kept any more")?;
        let places = &self.agent.places;
        let secrets = secrets(&places.secrets(&self.service), &program)?;
        let port = self.free_port().context("no port between 20000 and 29999 is free")?;
        let tree = places.revision(&self.service, &program.build).join("tree");
        let (out, err) = self.log_file()?;
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(&program.command).current_dir(&tree).env_clear().envs(&base);
        command.env("HOST", "127.0.0.1").envs(&program.config).envs(&secrets);
        command.env("PORT", port.to_string()).env(process::MARK, &places.state);
        command.stdin(Stdio::null()).stdout(out).stderr(err).process_group(0);
        let child =
            command.spawn().with_context(|| format!("start {:?} in {}", program.command, tree.display()))?;
        let pid = child.id().context("the process ended at once")?;
        let birth = Birth::of(pid).unwrap_or(Birth { pid, start: 0 });
        let endpoint = Endpoint::new(slot, revision, port);
        self.with(|entry, name| {
            if let Some(handle) = entry.handle(name) {
                handle.endpoint = Some(endpoint);
            }
            if let Some(replica) = entry.record.replica_mut(name) {
                replica.phase = match replica.stopping() {
                    true => Phase::Stopping { birth: Some(birth), port },
                    false => Phase::Running { birth, port },
                };
                (replica.since, replica.ready, replica.probe) = (Timestamp::now(), None, None);
            }
        });
        Ok(Process::Child(Box::new(child), birth))
    }

    /// Neither listened on nor promised to another process.
    fn free_port(&self) -> Option<u16> {
        let promised: Vec<u16> = {
            let services = self.agent.lock();
            services.values().flat_map(|e| e.record.replicas.iter().filter_map(|r| r.port())).collect()
        };
        process::free_port(|p| promised.contains(&p))
    }

    /// The log's end, for output and errors; what an earlier run wrote is kept beside it.
    fn log_file(&self) -> anyhow::Result<(File, File)> {
        let path = self.agent.places.log(&self.service, &self.name);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
        }
        if path.exists() {
            std::fs::rename(&path, logs::previous(&path)).context("keep the previous log")?;
        }
        let open = OpenOptions::new().create(true).append(true).open(&path);
        let file = open.with_context(|| format!("open {}", path.display()))?;
        let copy = file.try_clone().with_context(|| format!("open {} twice", path.display()))?;
        Ok((file, copy))
    }

    /// Probes until the process ends, is beyond help, or is to stop (None).
    async fn watch(&self, process: &mut Process) -> Option<Exit> {
        let (program, port, endpoint) = self.with(|entry, name| {
            let replica = entry.record.replica(name)?;
            let program = entry.record.program(replica.revision)?;
            let port = replica.port()?;
            Some((program, port, entry.handle(name)?.endpoint.clone()?))
        })??;
        let began = Instant::now();
        let mut alive = (Instant::now(), 0);
        let mut delay = EAGER;
        loop {
            let asked = async {
                tokio::select! {
                    () = tokio::time::sleep(delay) => {}
                    () = endpoint.suspect.notified() => {}
                }
                probe(port, &program.ready).await
            };
            let answer = tokio::select! {
                () = self.stop.cancelled() => return None,
                status = process.wait() => return Some(self.exit(status)),
                answer = asked => answer,
            };
            let ready = self.probed(answer);
            delay = if ready || began.elapsed() > EAGER_FOR { program.period.0.max(EAGER) } else { EAGER };
            if ready && alive.0.elapsed() >= LIVENESS {
                alive = (Instant::now(), self.failures_of_life(port, &program.live, alive.1).await);
                if alive.1 >= FAILURES {
                    let message = format!(
                        "GET {} failed {FAILURES} times in a row; the process was killed",
                        program.live
                    );
                    return Some(self.exit_with("probe-failing", message));
                }
            }
            logs::limit(&self.agent.places.log(&self.service, &self.name));
        }
    }

    async fn failures_of_life(&self, port: u16, path: &str, before: u32) -> u32 {
        match probe(port, path).await {
            Ok(()) => 0,
            Err(_) => before + 1,
        }
    }

    /// Notes a readiness probe's answer; returns whether the process counts as ready.
    fn probed(&self, answer: Result<(), Complaint>) -> bool {
        let note = |entry: &mut Entry, name: &str| {
            let Some(replica) = entry.record.replica_mut(name) else { return false };
            match answer {
                Ok(()) => {
                    replica.probe = None;
                    replica.ready.get_or_insert_with(Timestamp::now);
                }
                Err(complaint) => {
                    let failures = replica.probe.as_ref().map_or(0, |(_, n)| *n) + 1;
                    if complaint.refused || failures >= FAILURES {
                        replica.ready = None;
                    }
                    replica.probe = Some((complaint.to_string(), failures));
                }
            }
            replica.ready.is_some()
        };
        self.with(note).unwrap_or(false)
    }

    fn exit(&self, status: Option<ExitStatus>) -> Exit {
        let (reason, message) = match (status.and_then(|s| s.code()), status.and_then(|s| s.signal())) {
            (Some(code @ (126 | 127)), _) => {
                ("start-failed", format!("its command could not be run (exit code {code})"))
            }
            (Some(code), _) => ("crash", format!("it ended with exit code {code}")),
            (None, Some(signal)) => ("crash", format!("it was killed by signal {signal}")),
            (None, None) => ("crash", "it ended, with a status the agent could not see".into()),
        };
        self.exit_with(reason, message)
    }

    fn exit_with(&self, reason: &str, message: String) -> Exit {
        let log = logs::last_lines(&self.agent.places.log(&self.service, &self.name), 10);
        Exit { reason: reason.into(), message, log }
    }

    fn ended(&self, exit: Exit) {
        self.with(|entry, name| {
            let Some(replica) = entry.record.replica_mut(name) else { return };
            let now = Timestamp::now();
            let settled = replica.ready.is_some_and(|t| now.duration_since(t).unsigned_abs() >= SETTLED);
            replica.streak = if settled { 1 } else { replica.streak + 1 };
            replica.restarts += 1;
            replica.ready = None;
            replica.exit = Some(exit);
            if !replica.stopping() {
                replica.phase = Phase::Waiting;
                replica.since = now;
            }
            if let Some(handle) = entry.handle(name) {
                handle.endpoint = None;
            }
        });
    }

    /// It gets no new requests any more: wait for those under way, ask it to end, and insist after the grace.
    async fn stop_process(&self, process: &mut Process) {
        let group = process.birth().pid;
        let endpoint = self.with(|entry, name| entry.handle(name)?.endpoint.clone()).flatten();
        if let Some(endpoint) = endpoint {
            // A request that read the table before it was replaced is counted by now.
            tokio::time::sleep(Duration::from_millis(50)).await;
            let waited = Instant::now();
            while endpoint.busy() > 0 && waited.elapsed() < LAST_REQUESTS {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            endpoint.close_idle();
        }
        process::signal_group(group, Signal::TERM);
        let end = async {
            process.wait().await;
            while process::group_lives(group) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        if tokio::time::timeout(GRACE, end).await.is_err() {
            process::signal_group(group, Signal::KILL);
            process.wait().await;
        }
    }
}

/// The secret values of a version, from the agent's own store.
pub(super) fn secrets(
    folder: &Path,
    program: &Program,
) -> anyhow::Result<std::collections::BTreeMap<String, String>> {
    let Some(digest) = &program.secrets else { return Ok(Default::default()) };
    let file = folder.join(format!("{digest}.json"));
    let text = std::fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
    let secrets: Secrets = serde_json::from_str(&text).context("the stored secrets are damaged")?;
    Ok(secrets.values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn back_off_doubles_up_to_a_minute() {
        let seconds: Vec<u64> = (0..10).map(|n| back_off(n).as_secs()).collect();
        assert_eq!(seconds, [0, 0, 1, 2, 4, 8, 16, 32, 60, 60]);
    }
}
