//! What client and agent say to each other over the socket: one call, one JSON answer.

use std::collections::BTreeMap;
use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::platform::{Error, Lease, MigrationRun, Template};
use crate::rollout::{Effect, Observation, Routing, Selection, Slot};
use crate::service::{Amount, Duration};

/// Raised when a call or its answer changes; an agent of another protocol is not spoken to.
pub const PROTOCOL: u32 = 3;

/// Who answers on the socket.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentInfo {
    pub protocol: u32,
    pub version: String,
    pub pid: u32,
    pub state: PathBuf,
    pub started: Timestamp,
    pub services: Vec<String>,
}

/// One request about one service.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "call")]
pub enum Call {
    Describe,
    Install {
        spec: Box<ServiceSpec>,
        secrets: Option<Secrets>,
        epoch: u64,
    },
    Delete,
    Load,
    Save {
        body: String,
        version: Option<String>,
    },
    PutTemplate {
        revision: u32,
        template: Template,
    },
    GetTemplate {
        revision: u32,
    },
    Lease,
    TakeLease {
        holder: String,
        seen: Option<Lease>,
    },
    RenewLease {
        held: Lease,
        release: bool,
    },
    Epoch,
    RaiseEpoch {
        epoch: u64,
    },
    Observe,
    /// Answers when the service is no longer at `seen`, or after half a minute.
    Changed {
        seen: u64,
    },
    /// GETs a path from the slot's ready processes.
    Get {
        slot: Slot,
        path: String,
    },
    /// Runs a migration; null while it runs on.
    Migrate {
        run: MigrationRun,
        epoch: u64,
    },
    Execute {
        effect: Effect,
        epoch: u64,
    },
    /// Replaces the slot's processes; answers how many.
    Restart {
        slot: Slot,
    },
    /// How many processes of the slot still have to be replaced.
    Restarting {
        slot: Slot,
    },
}

/// Secret values under the keyed digest that templates name them by.
#[derive(Clone, Serialize, Deserialize)]
pub struct Secrets {
    pub digest: String,
    pub values: BTreeMap<String, String>,
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secrets({}, {} values)", self.digest, self.values.len())
    }
}

/// Of a service, what is not a version's own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceSpec {
    pub folder: PathBuf,
    pub port: u16,
    pub surge: Amount,
    pub unavailable: Amount,
    pub min_ready: Duration,
    /// PATH, HOME and the toolchains' variables of whoever deployed: what every process starts from.
    pub base: BTreeMap<String, String>,
}

/// A version: the body of a [`Template`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Program {
    /// Folder of the build, named by the hash of what went into it.
    pub build: String,
    pub command: String,
    pub config: BTreeMap<String, String>,
    /// Keyed digest of the secret values.
    pub secrets: Option<String>,
    pub live: String,
    pub ready: String,
    pub period: Duration,
}

/// A service without its processes, for diffs.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Description {
    pub spec: Option<ServiceSpec>,
    pub selection: Option<Selection>,
    pub routing: Option<Routing>,
    pub slots: BTreeMap<Slot, u32>,
}

/// What was seen, and the number to wait from.
#[derive(Debug, Serialize, Deserialize)]
pub struct Observed {
    pub observation: Observation,
    pub seq: u64,
}

/// Why a call failed; becomes [`Error`] on the client's side.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "fault")]
pub enum Fault {
    NotFound { message: String },
    Conflict { object: String },
    Overtaken { seen: u64, ours: u64 },
    Terminating { object: String },
    PortTaken { port: u16, by: Option<String> },
    Failed { message: String },
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        match error {
            Error::NotFound(message) => Fault::NotFound { message },
            Error::Conflict(object) => Fault::Conflict { object },
            Error::Overtaken { seen, ours } => Fault::Overtaken { seen, ours },
            Error::Terminating(object) => Fault::Terminating { object },
            other => Fault::Failed { message: format!("{:#}", anyhow::Error::from(other)) },
        }
    }
}

impl From<anyhow::Error> for Fault {
    fn from(error: anyhow::Error) -> Self {
        Fault::Failed { message: format!("{error:#}") }
    }
}

/// Everything the agent runs.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentStatus {
    pub agent: AgentInfo,
    pub services: Vec<ServiceStatus>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceStatus {
    pub service: String,
    pub folder: Option<PathBuf>,
    pub port: Option<u16>,
    /// Why the port is not served, when it is not.
    pub port_problem: Option<String>,
    pub routing: Option<Routing>,
    pub slots: BTreeMap<Slot, SlotStatus>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SlotStatus {
    pub revision: u32,
    pub desired: u32,
    pub ready: u32,
    /// Percent of the requests.
    pub weight: u8,
    pub traffic: Traffic,
    pub processes: Vec<ProcessStatus>,
}

/// What the proxy counted for a slot since the agent began.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Traffic {
    pub requests: u64,
    /// Answered with 500 and above, or not at all.
    pub errors: u64,
    /// Copies sent by a mirror rule.
    pub mirrored: u64,
    /// Milliseconds from request to response head, as upper bounds of buckets.
    pub p50_ms: Option<f64>,
    pub p99_ms: Option<f64>,
    pub bounds_ms: Vec<f64>,
    /// Counts by bucket of `bounds_ms`, the last without a bound.
    pub histogram: Vec<u64>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProcessStatus {
    pub name: String,
    pub revision: u32,
    pub pid: Option<u32>,
    pub port: Option<u16>,
    /// starting, running, ready, waiting (to be started again) or stopping.
    pub phase: String,
    pub restarts: u32,
    pub since: Timestamp,
    pub problem: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollout::SlotObservation;

    /// An agent outlives the msctl that started it. What an older one does not send is read as its default, and a rollout
    /// that waits for it waits until its deadline: `led_to` did.
    #[test]
    fn another_observation_is_another_protocol() {
        let serde_json::Value::Object(slot) = serde_json::to_value(SlotObservation::default()).unwrap()
        else {
            panic!("an object")
        };
        let mut fields: Vec<&str> = slot.keys().map(String::as_str).collect();
        fields.sort_unstable();
        let known = "available current desired in_public lagging led_to problems progressed ready replicas restarts \
                     revision scaler terminating updated updated_available";
        assert_eq!(
            (PROTOCOL, fields.join(" ").as_str()),
            (3, known),
            "raise PROTOCOL, then tell the new fields here"
        );
    }
}
