//! A migration: one process, run to its end, and never two of a service at once. It is of the record, so that an agent
//! that comes after knows of it.

use std::fs::File;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rustix::process::Signal;
use serde_json::json;
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;

use super::Agent;
use super::calls::{Answer, LONG_POLL, fence, not_found};
use super::entry::Entry;
use super::logs;
use super::record::Migrating;
use super::replica::secrets;
use crate::platform::local::process::{self, Birth};
use crate::platform::{JobEnd, MigrationRun};

const LOG_LINES: usize = 20;
/// Between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(10);

impl Agent {
    /// Begins `run`, or finds it; answers its end, or nothing when that takes long: then it is to be asked again.
    pub(super) async fn migrate(self: &Arc<Self>, service: &str, run: MigrationRun, epoch: u64) -> Answer {
        let asked = Instant::now();
        loop {
            let watch = self.lock().get(service).map(Entry::watch);
            let turn = self.with(service, |entry| {
                fence(&mut entry.record, epoch)?;
                Ok(self.look(entry, &run))
            });
            match turn.unwrap_or_else(|| Err(not_found(service.to_owned())))? {
                Some(end) => return Ok(json!(end)),
                None if asked.elapsed() >= LONG_POLL => return Ok(json!(null)),
                None => {}
            }
            if let Some(mut watch) = watch {
                // An earlier agent's process ends without a word.
                let news = tokio::time::timeout(Duration::from_secs(1), watch.changed()).await;
                drop(news);
            }
        }
    }

    fn look(self: &Arc<Self>, entry: &mut Entry, run: &MigrationRun) -> Option<JobEnd> {
        let name = run.name(&entry.name);
        let lives = |m: &Migrating| m.birth.is_some_and(Birth::alive);
        match &mut entry.record.migration {
            Some(this) if (&this.name, this.attempt) == (&name, run.attempt) => {
                if this.end.is_none() && entry.migration.is_none() && !lives(this) {
                    let message = "no agent saw how it ended".to_owned();
                    this.end = Some(JobEnd::Failed { message, log: Vec::new() });
                }
                return this.end.clone();
            }
            // Two at once would meet in the same tables.
            Some(other) if other.end.is_none() && (entry.migration.is_some() || lives(other)) => return None,
            _ => {}
        }
        let stop = CancellationToken::new();
        let started = self.start(entry, run, &name);
        let birth = started.as_ref().ok().map(|(_, birth)| *birth);
        let mut this = Migrating { name, attempt: run.attempt, birth, end: None };
        match started {
            Ok((child, _)) => {
                entry.migration = Some(stop.clone());
                let (agent, service, run) = (self.clone(), entry.name.clone(), run.clone());
                tokio::spawn(async move { agent.attend(&service, &run, child, stop).await });
            }
            Err(error) => {
                let message = format!("it could not be started: {error:#}");
                this.end = Some(JobEnd::Failed { message, log: Vec::new() });
            }
        }
        entry.record.migration.insert(this).end.clone()
    }

    fn start(&self, entry: &Entry, run: &MigrationRun, name: &str) -> anyhow::Result<(Box<Child>, Birth)> {
        let program = entry.record.program(run.revision).context("its version is not kept any more")?;
        let base = entry.record.spec.as_ref().map(|s| s.base.clone()).unwrap_or_default();
        let secrets = secrets(&self.places.secrets(&entry.name), &program)?;
        let tree = self.places.revision(&entry.name, &program.build).join("tree");
        let log = self.places.log(&entry.name, name);
        std::fs::create_dir_all(self.places.logs(&entry.name)).context("make the folder of the logs")?;
        let out = File::create(&log).with_context(|| format!("open {}", log.display()))?;
        let err = out.try_clone().with_context(|| format!("open {} twice", log.display()))?;
        let word = run.command.first().context("its command is empty")?;
        let file = if word.contains('/') { tree.join(word) } else { Path::new(word).to_owned() };
        let mut command = Command::new(&file);
        command.args(&run.command[1..]).current_dir(&tree).env_clear().envs(&base);
        command.envs(&program.config).envs(&secrets).env(process::MARK, &self.places.state);
        command.envs([("MSCTL_SERVICE", &entry.name), ("MSCTL_REVISION", &run.revision.to_string())]);
        command.env("MSCTL_MIGRATION", run.phase.name());
        command.stdin(Stdio::null()).stdout(out).stderr(err).process_group(0);
        let child = command.spawn().with_context(|| format!("run {word} in {}", tree.display()))?;
        let pid = child.id().context("the process ended at once")?;
        Ok((Box::new(child), Birth::of(pid).unwrap_or(Birth { pid, start: 0 })))
    }

    /// Waits for the end of the process, and notes it.
    async fn attend(
        self: Arc<Self>,
        service: &str,
        run: &MigrationRun,
        mut child: Box<Child>,
        stop: CancellationToken,
    ) {
        let group = child.id().unwrap_or(0);
        let status = tokio::select! {
            status = child.wait() => Ok(status.ok()),
            () = stop.cancelled() => Err("it was stopped with the local platform".to_owned()),
            () = tokio::time::sleep(run.timeout) => {
                Err(format!("it did not end within {}", crate::service::Duration(run.timeout)))
            }
        };
        if status.is_err() {
            process::signal_group(group, Signal::TERM);
            if tokio::time::timeout(GRACE, child.wait()).await.is_err() {
                process::signal_group(group, Signal::KILL);
                drop(child.wait().await);
            }
        }
        let log = self.places.log(service, &run.name(service));
        let end = match status.map(|s| s.map(ended)) {
            Ok(Some(None)) => JobEnd::Succeeded,
            Ok(Some(Some(message))) | Err(message) => failed(message, &log),
            Ok(None) => failed("it ended, with a status the agent could not see".into(), &log),
        };
        self.with(service, |entry| {
            entry.migration = None;
            if let Some(this) = &mut entry.record.migration {
                this.end = Some(end);
            }
            entry.bump();
        });
    }
}

/// None: well.
fn ended(status: ExitStatus) -> Option<String> {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(0), _) => None,
        (Some(code), _) => Some(format!("it exited with {code}")),
        (None, signal) => Some(format!("it was killed by signal {}", signal.unwrap_or_default())),
    }
}

fn failed(message: String, log: &Path) -> JobEnd {
    JobEnd::Failed { message, log: logs::last_lines(log, LOG_LINES) }
}
