//! [`Platform`] as calls to the agent.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use async_trait::async_trait;
use http_body_util::BodyExt;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;

use super::agent::LogLineWire;
use super::api::{Call, Description, Observed, Program, ServiceSpec};
use super::{Client, build};
use crate::context::Ctx;
use crate::error::Failure;
use crate::platform::{
    Action, Answer, Capabilities, Change, Configuration, JobEnd, Lease, LogLine, LogQuery, MigrationRun,
    Platform, Release, Result, Stored, Template,
};
use crate::rollout::{Abilities, Effect, Observation, Selection, Slot};
use crate::settings::Env;

/// Variables that toolchains and runtimes need to be found; all else of the user's environment stays out.
const BASE: [&str; 26] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "TZ",
    "TMPDIR",
    "LD_LIBRARY_PATH",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "JAVA_HOME",
    "GOROOT",
    "GOPATH",
    "GOCACHE",
    "GOFLAGS",
    "CARGO_HOME",
    "RUSTUP_HOME",
    "RUSTUP_TOOLCHAIN",
    "PYENV_ROOT",
    "PYENV_VERSION",
    "NVM_DIR",
    "NODE_PATH",
    "DOTNET_ROOT",
    "GEM_HOME",
];

pub struct Local {
    name: String,
    client: Client,
    env: Env,
    /// Sequence number of the last observation.
    seen: AtomicU64,
}

impl Local {
    pub fn new(name: String, client: Client, env: Env) -> Self {
        Local { name, client, env, seen: AtomicU64::new(0) }
    }

    async fn call<T: DeserializeOwned>(&self, call: Call) -> Result<T> {
        self.client.call(&self.name, &call).await
    }

    fn spec(&self, release: &Release) -> ServiceSpec {
        let (service, rollout) = (&release.service, &release.service.rollout);
        let base = BASE.iter().filter_map(|n| Some((n.to_string(), self.env.get(n)?.to_owned()))).collect();
        ServiceSpec {
            folder: release.folder.clone(),
            port: service.port,
            surge: rollout.surge,
            unavailable: rollout.unavailable,
            min_ready: rollout.min_ready,
            base,
        }
    }

    /// Differences of everything that is not a version, and of the live slot's version.
    async fn changes(&self, release: &Release, template: &Template) -> Result<Vec<Change>> {
        let now: Description = self.call(Call::Describe).await?;
        let quiet = |spec: &ServiceSpec| ServiceSpec { base: BTreeMap::new(), ..spec.clone() };
        let before = now.spec.as_ref().map(quiet);
        let mut changes = Vec::new();
        changes.extend(change(
            format!("Service/{}", self.name),
            before.as_ref(),
            &quiet(&self.spec(release)),
        )?);
        let live = match now.selection {
            Some(Selection::Green) => Slot::Green,
            _ => Slot::Blue,
        };
        let present = match now.slots.get(&live) {
            Some(revision) => {
                let revision = *revision;
                let present: Template = self.call(Call::GetTemplate { revision }).await?;
                Some(program(&present)?)
            }
            None => None,
        };
        changes.extend(change(format!("Slot/{}-{live}", self.name), present.as_ref(), &program(template)?)?);
        Ok(changes)
    }
}

fn program(template: &Template) -> anyhow::Result<Program> {
    serde_json::from_value(template.body.clone()).context("understand the stored version")
}

fn change<T: Serialize + PartialEq>(
    object: String,
    before: Option<&T>,
    after: &T,
) -> anyhow::Result<Option<Change>> {
    if before == Some(after) {
        return Ok(None);
    }
    let text = |value: &T| serde_json::to_string_pretty(value).map(|t| t + "\n");
    let (old, new) = (before.map(text).transpose()?.unwrap_or_default(), text(after)?);
    let diff = similar::TextDiff::from_lines(&old, &new).unified_diff().context_radius(2).to_string();
    let action = if before.is_some() { Action::Update } else { Action::Create };
    Ok(Some(Change { object, action, diff }))
}

#[async_trait]
impl Platform for Local {
    fn place(&self) -> String {
        "this machine".into()
    }

    async fn capabilities(&self) -> Result<Capabilities> {
        Ok(Capabilities {
            router: Some("local proxy".into()),
            route_lag: Duration::ZERO,
            abilities: Abilities::ALL,
        })
    }

    async fn template(&self, ctx: &Ctx, release: &Release) -> anyhow::Result<Template> {
        build::template(ctx, &self.client.places, &self.name, release).await
    }

    async fn configuration(&self, template: &Template) -> Configuration {
        let program = program(template).ok();
        program.map(|p| Configuration { values: p.config, secrets: p.secrets }).unwrap_or_default()
    }

    async fn diff(&self, release: &Release, template: &Template) -> anyhow::Result<Vec<Change>> {
        Ok(self.changes(release, template).await?)
    }

    async fn install(
        &self,
        release: &Release,
        template: &Template,
        epoch: u64,
    ) -> anyhow::Result<Vec<Change>> {
        let service = format!("Service/{}", self.name);
        let mut changes = self.changes(release, template).await?;
        // The version itself is the rollout's to apply.
        changes.retain(|c| c.object == service);
        let spec = Box::new(self.spec(release));
        let secrets = build::secrets(&self.client.places, &release.secrets)?;
        self.call::<()>(Call::Install { spec, secrets, epoch }).await?;
        Ok(changes)
    }

    async fn delete(&self) -> anyhow::Result<Vec<Change>> {
        let gone: Vec<String> = self.call(Call::Delete).await?;
        let change = |object| Change { object, action: Action::Delete, diff: String::new() };
        Ok(gone.into_iter().map(change).collect())
    }

    async fn load(&self) -> Result<Option<Stored>> {
        self.call::<Option<StoredWire>>(Call::Load).await.map(|s| s.map(Stored::from))
    }

    async fn save(&self, body: &str, version: Option<&str>) -> Result<String> {
        self.call(Call::Save { body: body.to_owned(), version: version.map(str::to_owned) }).await
    }

    async fn put_template(&self, revision: u32, template: &Template) -> Result<()> {
        self.call(Call::PutTemplate { revision, template: template.clone() }).await
    }

    async fn get_template(&self, revision: u32) -> Result<Template> {
        self.call(Call::GetTemplate { revision }).await
    }

    async fn keep_story(&self, deploy: u32, body: &str, version: Option<&str>, keep: u32) -> Result<String> {
        super::story::keep(&self.client.places, &self.name, deploy, body, version, keep)
    }

    async fn stories(&self, deploy: Option<u32>) -> Result<Vec<Stored>> {
        super::story::stories(&self.client.places, &self.name, deploy)
    }

    async fn lease(&self) -> Result<Option<Lease>> {
        self.call(Call::Lease).await
    }

    async fn take_lease(&self, holder: &str, seen: Option<&Lease>) -> Result<Lease> {
        self.call(Call::TakeLease { holder: holder.to_owned(), seen: seen.cloned() }).await
    }

    async fn renew_lease(&self, held: &Lease, release: bool) -> Result<Lease> {
        self.call(Call::RenewLease { held: held.clone(), release }).await
    }

    async fn epoch(&self) -> Result<u64> {
        self.call(Call::Epoch).await
    }

    async fn raise_epoch(&self, epoch: u64) -> Result<()> {
        self.call(Call::RaiseEpoch { epoch }).await
    }

    async fn observe(&self) -> Result<Observation> {
        let observed: Observed = self.call(Call::Observe).await?;
        self.seen.store(observed.seq, Ordering::Release);
        Ok(observed.observation)
    }

    async fn changed(&self) {
        let seen = self.seen.load(Ordering::Acquire);
        if self.call::<()>(Call::Changed { seen }).await.is_err() {
            // The next observation says what is wrong; until then do not spin.
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    async fn execute(&self, effect: &Effect, epoch: u64) -> Result<()> {
        self.call(Call::Execute { effect: effect.clone(), epoch }).await
    }

    async fn get(&self, slot: Slot, path: &str) -> Result<Vec<Answer>> {
        self.call(Call::Get { slot, path: path.to_owned() }).await
    }

    async fn migrate(&self, run: &MigrationRun, epoch: u64) -> Result<JobEnd> {
        loop {
            let call = Call::Migrate { run: run.clone(), epoch };
            if let Some(end) = self.call::<Option<JobEnd>>(call).await? {
                return Ok(end);
            }
        }
    }

    async fn logs(&self, query: &LogQuery, lines: mpsc::Sender<LogLine>) -> anyhow::Result<()> {
        let mut path = format!(
            "/services/{}/logs?follow={}&previous={}",
            utf8_percent_encode(&self.name, NON_ALPHANUMERIC),
            query.follow,
            query.previous
        );
        if let Some(tail) = query.tail {
            path += &format!("&tail={tail}");
        }
        if let Some(since) = query.since {
            path += &format!("&since_ms={}", since.as_millis());
        }
        if let Some(slot) = query.slot {
            path += &format!("&slot={slot}");
        }
        let mut body = self.client.lines(&path).await?.into_body();
        let mut rest = Vec::new();
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.context("read the logs")?.into_data() else { continue };
            rest.extend_from_slice(&data);
            while let Some(end) = rest.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = rest.drain(..=end).collect();
                let line: LogLineWire = serde_json::from_slice(&line).context("read the logs")?;
                let line = LogLine { pod: line.pod, slot: line.slot, line: line.line };
                if lines.send(line).await.is_err() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    async fn restart(&self, slot: Slot, progress: &crate::platform::Replaced<'_>) -> anyhow::Result<u32> {
        let count: u32 = self.call(Call::Restart { slot }).await?;
        let mut said = None;
        loop {
            let left: u32 = self.call(Call::Restarting { slot }).await?;
            if said != Some(left) {
                let replaced = count.saturating_sub(left);
                progress(replaced, format!("{replaced} of {count} replaced"));
                said = Some(left);
            }
            if left == 0 {
                return Ok(count);
            }
            let observed = self.observe().await?;
            let stuck =
                observed.slots.get(&slot).and_then(|s| s.problems.iter().find(|p| p.terminal).cloned());
            if let Some(problem) = stuck {
                let failure =
                    Failure::failed("restart-stuck", format!("{} does not start again", problem.pod))
                        .source(anyhow::anyhow!("{}\n{}", problem.message, problem.log.join("\n")))
                        .hint("the other processes still serve; msctl logs --previous says more");
                return Err(failure.into());
            }
            tokio::time::timeout(Duration::from_secs(1), self.changed()).await.ok();
        }
    }
}

#[derive(serde::Deserialize)]
struct StoredWire {
    body: String,
    version: String,
}

impl From<StoredWire> for Stored {
    fn from(wire: StoredWire) -> Self {
        Stored { body: wire.body, version: wire.version }
    }
}
