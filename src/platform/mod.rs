//! A place to run a service: what deploy and rollout need of it. Adapters: Kubernetes, and the local agent.

pub mod kubernetes;
pub mod local;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::context::Ctx;
use crate::error::Failure;
use crate::rollout::{Adopted, Effect, MigrationPhase, Observation, Slot};
use crate::service::{PlatformKind, Service};
use crate::settings::Target;

/// Opens the adapter of `target`. Makes no request.
pub async fn open(ctx: &Ctx, service: &Service, target: &Target) -> anyhow::Result<Arc<dyn Platform>> {
    match target.platform {
        PlatformKind::Kubernetes => kubernetes::open(ctx, service, target).await,
        PlatformKind::Local => local::open(ctx, service, target).await,
    }
}

/// What is to be deployed.
#[derive(Debug, Clone)]
pub struct Release {
    pub service: Service,
    /// The folder of msctl.yaml.
    pub folder: PathBuf,
    /// `repository@sha256:…`; None on the local platform, which builds from the folder.
    pub image: Option<String>,
    /// Values of `secrets`, resolved; never printed, never stored outside the platform's secret store.
    pub secrets: BTreeMap<String, String>,
}

/// What a slot runs, in the platform's own terms. The same hash is the same revision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Template {
    /// Of the template without its revision label.
    pub hash: String,
    /// Shown to people: the image by digest, or the build's input hash.
    pub image: String,
    /// The platform's description; holds no secret values.
    pub body: Value,
}

/// What configures a version.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Configuration {
    /// Values by the names of their variables.
    pub values: BTreeMap<String, String>,
    /// Differs where the secrets do; None: there are none.
    pub secrets: Option<String>,
}

/// What the platform can do, said at plan time.
#[derive(Debug, Clone, Serialize)]
pub struct Capabilities {
    /// Such as `gateway-api (edge/public)`; None: numbers of pods split the traffic.
    pub router: Option<String>,
    /// After a write the router's traffic may lag so long.
    pub route_lag: std::time::Duration,
    /// What the router can do beside weights.
    pub abilities: crate::rollout::Abilities,
}

/// What adopting a Deployment as the live slot would mean.
#[derive(Debug, Clone)]
pub struct Adoption {
    pub slot: Slot,
    /// None for a slot that msctl itself made, whose state is lost.
    pub adopted: Option<Adopted>,
    /// The number it carries, where it carries one.
    pub revision: Option<u32>,
    /// Its template is stored already.
    pub known: bool,
    /// The highest number ever given.
    pub numbered: u32,
    pub replicas: u32,
    pub template: Template,
    /// What people must know before.
    pub notes: Vec<String>,
    /// No lower epoch may drive.
    pub epoch: u64,
    pub at: Timestamp,
}

/// Fields of an object that belong to rollouts: other tools must leave them alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Owned {
    pub group: String,
    pub kind: String,
    pub name: String,
    /// JSON pointers.
    pub paths: Vec<String>,
}

/// The pods that a rollout needs beside those that are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Demand {
    pub more: u32,
    /// It can go on without them, pod by pod.
    pub spare: bool,
    /// As many as the autoscaler may come to ask for.
    pub most: Option<u32>,
}

/// One difference between what is and what a deploy would make.
#[derive(Debug, Clone, Serialize)]
pub struct Change {
    /// `Deployment/orders-blue`.
    pub object: String,
    pub action: Action,
    /// Unified diff, secrets masked.
    pub diff: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    Create,
    Update,
    Delete,
}

/// The state document and the version to compare when it is saved.
#[derive(Debug, Clone)]
pub struct Stored {
    pub body: String,
    pub version: String,
}

/// A driver that is to run at the place itself, so that this machine may go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StandIn {
    /// Of msctl, by digest.
    pub image: String,
    /// After `msctl drive SERVICE`.
    pub arguments: Vec<String>,
    /// Where the analysis asks, besides the API server.
    pub ports: Vec<u16>,
}

/// Who drives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// `user@host:pid:random`; empty when released.
    pub holder: String,
    pub acquired: Option<Timestamp>,
    pub renewed: Option<Timestamp>,
    /// Changes with every renewal; expiry is judged by how long it stays the same.
    pub version: String,
}

/// The cases a caller branches on; everything else is `Other`.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0}")]
    NotFound(String),
    /// The object changed since it was read.
    #[error("{0} was changed by someone else meanwhile")]
    Conflict(String),
    /// Another manager owns the field or object.
    #[error("{object} is managed by {manager}")]
    Owned { object: String, manager: String },
    #[error("forbidden: {0}")]
    Forbidden(String),
    /// No answer; the request may or may not have arrived.
    #[error("{0}")]
    Unreachable(String),
    /// Another driver raised the epoch: this one must stop.
    #[error("another driver took over (epoch {seen} is above {ours})")]
    Overtaken { seen: u64, ours: u64 },
    /// The namespace or service is being deleted.
    #[error("{0} is being deleted")]
    Terminating(String),
    #[error(transparent)]
    Other(#[from] anyhow::Error),
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What `logs` asks for.
#[derive(Debug, Clone, Default)]
pub struct LogQuery {
    pub follow: bool,
    pub tail: Option<i64>,
    pub since: Option<std::time::Duration>,
    pub slot: Option<Slot>,
    pub previous: bool,
    /// Of at most so many pods, and no word about those that have no log.
    pub sample: Option<usize>,
    /// The log of the driver in the cluster, in place of the service's.
    pub driver: bool,
}

/// A line of a pod's log.
#[derive(Debug, Clone, Serialize)]
pub struct LogLine {
    pub pod: String,
    pub slot: Option<Slot>,
    pub line: String,
}

/// What one pod answered to a GET.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Answer {
    pub pod: String,
    /// Another one counts from zero.
    pub container: String,
    pub started: Option<Timestamp>,
    /// Status and body, or why there is none.
    pub said: Result<(u16, String), String>,
}

/// A metric's Job: its success is the measurement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobRun {
    /// One a revision and phase.
    pub name: String,
    pub metric: String,
    /// Tells one measurement from the next of the same metric.
    pub measurement: String,
    /// The candidate's.
    pub slot: Slot,
    pub revision: u32,
    pub image: String,
    pub command: Vec<String>,
    pub start_deadline: std::time::Duration,
    pub timeout: std::time::Duration,
}

/// A migration of a revision: a command in its image, with its configuration and secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MigrationRun {
    pub revision: u32,
    pub phase: MigrationPhase,
    pub command: Vec<String>,
    /// Tells one try from the next.
    pub attempt: u32,
    pub start_deadline: std::time::Duration,
    pub timeout: std::time::Duration,
}

impl MigrationRun {
    /// One a revision and phase; no longer than 63 characters, since a Job's name is a label of its pods.
    pub fn name(&self, service: &str) -> String {
        let phase = self.phase.name();
        let name = |phase: &str| format!("{service}-r{}-{phase}", self.revision);
        Some(name(phase)).filter(|n| n.len() <= 63).unwrap_or_else(|| name(&phase[..1]))
    }
}

/// How a Job ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "end")]
pub enum JobEnd {
    Succeeded,
    Failed {
        message: String,
        log: Vec<String>,
    },
    /// No container ran in time: it has said nothing.
    NotStarted {
        message: String,
    },
}

/// So many pods of a slot are asked at most, and so many at a time.
pub const ASKED: usize = 20;
pub const AT_A_TIME: usize = 16;

fn no_stand_in(place: &str) -> Error {
    Error::Other(
        crate::error::Failure::usage(
            "no-cluster",
            format!("--detach: {place} has no cluster that a driver could run in"),
        )
        .hint("name an environment that has a cluster: -e ENV")
        .into(),
    )
}

/// One service on one place. Methods that write take the driver's epoch and fail with [`Error::Overtaken`]
/// when an object carries a higher one.
/// Hears how many pods are replaced so far, and what is done or waited for.
pub type Replaced<'a> = dyn Fn(u32, String) + Send + Sync + 'a;

#[async_trait]
pub trait Platform: Send + Sync {
    /// For messages: `context kind-staging, namespace shop`, or `this machine`.
    fn place(&self) -> String;
    async fn capabilities(&self) -> Result<Capabilities>;

    /// Works out what a slot would run. Writes nothing that serves; locally this is the build.
    async fn template(&self, ctx: &Ctx, release: &Release) -> anyhow::Result<Template>;
    /// Whether a deploy of `release` (its image may not be known yet) could succeed: rights, quota, admission.
    /// Writes nothing; returns warnings.
    async fn preflight(&self, _release: &Release) -> anyhow::Result<Vec<String>> {
        Ok(Vec::new())
    }
    /// What is known of `deployment`, which is to become the live slot; refused where that cannot be. Writes nothing.
    async fn inspect(&self, deployment: &str) -> anyhow::Result<Adoption> {
        Err(Failure::usage("adopt", format!("{deployment}: nothing can be adopted in {}", self.place()))
            .hint("adopting is for Deployments of a cluster; choose an environment with -e")
            .into())
    }
    /// The fields that rollouts set, for tools that apply the same objects. Makes no request.
    fn owned(&self) -> Vec<Owned> {
        Vec::new()
    }
    /// Whether what a rollout will have at its peak fits, as far as the last `preflight` saw; returns warnings.
    async fn fits(&self, _demand: &Demand) -> anyhow::Result<Vec<String>> {
        Ok(Vec::new())
    }
    /// What configures a version, as far as it can be read; secret values never.
    async fn configuration(&self, _template: &Template) -> Configuration {
        Configuration::default()
    }
    /// What `install`, and applying `template` to the live slot, would change.
    async fn diff(&self, release: &Release, template: &Template) -> anyhow::Result<Vec<Change>>;
    /// Makes everything that is not a slot: accounts, configuration, the public Service, policy, route.
    /// What only a rollout may change (selector, weights) is set at creation and left alone after.
    /// Returns what changed; nothing changed, nothing written.
    async fn install(
        &self,
        release: &Release,
        template: &Template,
        epoch: u64,
    ) -> anyhow::Result<Vec<Change>>;
    /// Removes the service and all that belongs to it.
    async fn delete(&self) -> anyhow::Result<Vec<Change>>;

    async fn load(&self) -> Result<Option<Stored>>;
    /// Compare-and-swap; `version` None creates. Returns the new version.
    async fn save(&self, body: &str, version: Option<&str>) -> Result<String>;
    async fn put_template(&self, revision: u32, template: &Template) -> Result<()>;
    async fn get_template(&self, revision: u32) -> Result<Template>;

    /// Keeps what is told of a deploy beside the state, for the newest `keep` deploys; by compare-and-swap. Returns
    /// the new version. Nothing that serves depends on it.
    async fn keep_story(
        &self,
        _deploy: u32,
        _body: &str,
        _version: Option<&str>,
        _keep: u32,
    ) -> Result<String> {
        Ok(String::new())
    }
    /// What is kept of `deploy`, or of all deploys, oldest first.
    async fn stories(&self, _deploy: Option<u32>) -> Result<Vec<Stored>> {
        Ok(Vec::new())
    }

    async fn lease(&self) -> Result<Option<Lease>>;
    /// Takes the lease over from `seen` (None: it does not exist), by compare-and-swap. Returns its new version.
    async fn take_lease(&self, holder: &str, seen: Option<&Lease>) -> Result<Lease>;
    /// Renews or, with `release`, gives it up; fails with Conflict when it is no longer ours.
    async fn renew_lease(&self, held: &Lease, release: bool) -> Result<Lease>;
    /// The highest epoch any managed object carries.
    async fn epoch(&self) -> Result<u64>;
    /// Raises the epoch of every managed object to `epoch`, never lowers one.
    async fn raise_epoch(&self, epoch: u64) -> Result<()>;

    /// The service as it is; the first call lists and starts the watches, later ones read the caches.
    /// Never older than a write that `execute` has returned from: what was asked for is seen asked for.
    async fn observe(&self) -> Result<Observation>;
    /// Reads what points at the slots (selector, endpoints, route) again, past the caches: a watch may be silent.
    async fn reread(&self) -> Result<()> {
        Ok(())
    }
    /// Returns when something observed, the state or the lease may have changed since the last `observe`.
    async fn changed(&self);
    async fn execute(&self, effect: &Effect, epoch: u64) -> Result<()>;

    /// What a stand-in consists of, as objects of the place. Makes no request.
    fn stand_in_objects(&self, _wanted: &StandIn) -> Result<Vec<Value>> {
        Err(no_stand_in(&self.place()))
    }
    /// Fails unless a stand-in could be made here. Writes nothing.
    async fn may_stand_in(&self, _wanted: &StandIn) -> anyhow::Result<()> {
        Err(no_stand_in(&self.place()).into())
    }
    /// Starts a driver here that waits for the Lease and then drives `revision`; returns its name once it runs.
    async fn stand_in(&self, _wanted: &StandIn, _revision: u32, _epoch: u64) -> anyhow::Result<String> {
        Err(no_stand_in(&self.place()).into())
    }
    /// Takes a stand-in away; returns what it said last, if anything.
    async fn dismiss(&self, _name: &str, _epoch: u64) -> Result<Option<String>> {
        Err(no_stand_in(&self.place()))
    }

    /// For queries; empty where there is no such thing.
    fn namespace(&self) -> String {
        String::new()
    }
    /// As `get`, from an experiment's fresh pod: the candidate's, or the baseline's.
    async fn get_fresh(&self, candidate: bool, path: &str) -> Result<Vec<Answer>> {
        let side = if candidate { "candidate" } else { "baseline" };
        Err(Error::Other(anyhow::anyhow!("no {side} can be asked for {path} in {}", self.place())))
    }
    /// Whether Jobs and experiments can be run here.
    fn has_jobs(&self) -> bool {
        false
    }
    /// Runs a Job to its end, or waits for the end of the one that is there; it is left for [`Platform::sweep_jobs`].
    async fn job(&self, run: &JobRun, _epoch: u64) -> Result<JobEnd> {
        Err(Error::Other(anyhow::anyhow!("{} cannot run in {}", run.name, self.place())))
    }
    /// Deletes the Jobs of the service's metrics, but for those named.
    async fn sweep_jobs(&self, _keep: &[String], _epoch: u64) -> Result<()> {
        Ok(())
    }
    /// Runs a migration to its end, or waits for the end of this very attempt where it was begun; never beside another
    /// one of the service.
    async fn migrate(&self, run: &MigrationRun, _epoch: u64) -> Result<JobEnd> {
        Err(Error::Other(anyhow::anyhow!("no {} can be run in {}", run.phase.name(), self.place())))
    }
    /// Whether `get` is allowed to whoever runs this; asked before a rollout is judged by it.
    async fn may_ask(&self) -> Result<bool> {
        Ok(true)
    }
    /// GETs `path` from each available pod of the slot's present version, at most [`ASKED`] of them.
    async fn get(&self, slot: Slot, path: &str) -> Result<Vec<Answer>> {
        Err(Error::Other(anyhow::anyhow!(
            "the pods of {slot} cannot be asked for {path} in {}",
            self.place()
        )))
    }

    /// Sends lines until the logs end, or for ever with `follow`; ends when the receiver is dropped.
    async fn logs(&self, query: &LogQuery, lines: tokio::sync::mpsc::Sender<LogLine>) -> anyhow::Result<()>;
    /// Replaces the pods of `slot` one at a time, respecting budgets; returns how many were replaced.
    async fn restart(&self, slot: Slot, progress: &Replaced<'_>) -> anyhow::Result<u32>;
}
