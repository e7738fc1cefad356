//! What the agent remembers of a service: everything that must outlive the agent itself. No I/O.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::decide::{Seen, Want};
use crate::platform::local::api::{Program, ServiceSpec};
use crate::platform::local::process::Birth;
use crate::platform::{JobEnd, Lease, Template};
use crate::rollout::{Routing, Selection, Slot};

/// A service on this machine.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Record {
    pub spec: Option<ServiceSpec>,
    pub epoch: u64,
    pub state: Option<StateDocument>,
    pub lease: Option<Lease>,
    pub templates: BTreeMap<u32, Template>,
    pub slots: BTreeMap<Slot, SlotSpec>,
    pub selection: Option<Selection>,
    pub routing: Option<Routing>,
    pub routed: Option<Timestamp>,
    pub replicas: Vec<Replica>,
    /// The last one.
    pub migration: Option<Migrating>,
    /// Number of the next replica, version or lease.
    pub next: u64,
    pub deleting: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StateDocument {
    pub body: String,
    pub version: String,
}

/// What a slot is to run; the counterpart of a Deployment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SlotSpec {
    pub revision: u32,
    pub replicas: u32,
    /// Raised by a restart: replicas of a lower generation are replaced.
    pub generation: u32,
    /// When a count last improved, a process started, or the template changed.
    pub progressed: Timestamp,
}

/// One process that should run, through all its restarts; the counterpart of a pod.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Replica {
    pub name: String,
    pub slot: Slot,
    pub revision: u32,
    pub generation: u32,
    pub phase: Phase,
    /// Since when it is in this phase.
    pub since: Timestamp,
    pub ready: Option<Timestamp>,
    pub restarts: u32,
    /// Exits in a row, none of them after a while of being ready.
    pub streak: u32,
    pub exit: Option<Exit>,
    /// The last probe's complaint, and how many came in a row.
    #[serde(skip)]
    pub probe: Option<(String, u32)>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "phase")]
pub enum Phase {
    /// To be started, at once or after a back-off.
    Waiting,
    Running {
        birth: Birth,
        port: u16,
    },
    /// Out of the proxy; told to end, or about to be.
    Stopping {
        birth: Option<Birth>,
        port: u16,
    },
}

/// How a process ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Exit {
    /// Stable reason: crash, start-failed, probe-failing.
    pub reason: String,
    pub message: String,
    pub log: Vec<String>,
}

/// A migration's process, and how it ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Migrating {
    /// Of a revision and phase.
    pub name: String,
    pub attempt: u32,
    /// None: it could not be started.
    pub birth: Option<Birth>,
    pub end: Option<JobEnd>,
}

impl Replica {
    pub fn stopping(&self) -> bool {
        matches!(self.phase, Phase::Stopping { .. })
    }
    pub fn birth(&self) -> Option<Birth> {
        match self.phase {
            Phase::Waiting => None,
            Phase::Running { birth, .. } => Some(birth),
            Phase::Stopping { birth, .. } => birth,
        }
    }
    pub fn port(&self) -> Option<u16> {
        match self.phase {
            Phase::Waiting => None,
            Phase::Running { port, .. } | Phase::Stopping { port, .. } => Some(port),
        }
    }
    /// Ready for at least `min_ready`.
    pub fn available(&self, min_ready: std::time::Duration, now: Timestamp) -> bool {
        !self.stopping() && self.ready.is_some_and(|t| now.duration_since(t).unsigned_abs() >= min_ready)
    }
}

impl Record {
    pub fn min_ready(&self) -> std::time::Duration {
        self.spec.as_ref().map(|s| s.min_ready.0).unwrap_or_default()
    }
    pub fn replica(&self, name: &str) -> Option<&Replica> {
        self.replicas.iter().find(|r| r.name == name)
    }
    pub fn replica_mut(&mut self, name: &str) -> Option<&mut Replica> {
        self.replicas.iter_mut().find(|r| r.name == name)
    }
    pub fn of_slot(&self, slot: Slot) -> impl Iterator<Item = &Replica> {
        self.replicas.iter().filter(move |r| r.slot == slot)
    }
    pub fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
    /// The version a revision number stands for.
    pub fn program(&self, revision: u32) -> Option<Program> {
        serde_json::from_value(self.templates.get(&revision)?.body.clone()).ok()
    }

    /// The supervisor's question about a slot.
    pub fn want(&self, slot: Slot) -> Option<Want> {
        let spec = self.slots.get(&slot)?;
        let (surge, unavailable) = match &self.spec {
            Some(s) => (s.surge.ceil(spec.replicas), s.unavailable.floor(spec.replicas)),
            None => (1, 0),
        };
        Some(Want::new(spec.replicas, surge, unavailable))
    }
    /// What the supervisor sees of it, oldest first.
    pub fn seen(&self, slot: Slot, now: Timestamp) -> Vec<Seen> {
        let Some(spec) = self.slots.get(&slot) else { return Vec::new() };
        let min_ready = self.min_ready();
        self.of_slot(slot)
            .filter(|r| !r.stopping())
            .map(|r| Seen {
                name: r.name.clone(),
                present: r.revision == spec.revision && r.generation == spec.generation,
                ready: r.ready.is_some(),
                available: r.available(min_ready, now),
            })
            .collect()
    }
    /// Revisions that something runs or will run.
    pub fn named(&self, revision: u32) -> bool {
        self.slots.values().any(|s| s.revision == revision)
            || self.replicas.iter().any(|r| r.revision == revision)
    }
    /// What is seen of it may change by the passing of time alone.
    pub fn ripening(&self, now: Timestamp) -> bool {
        let min_ready = self.min_ready();
        self.replicas.iter().any(|r| !r.stopping() && !r.available(min_ready, now))
    }
}
