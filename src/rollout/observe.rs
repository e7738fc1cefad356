//! What a platform reports of a service, read from caches that watches keep current.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Routing, Scaler, Selection, Slot};

/// The service as it is now.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Observation {
    /// The platform's clock; pauses and deadlines are compared in it.
    pub time: Timestamp,
    /// Slots that exist.
    pub slots: BTreeMap<Slot, SlotObservation>,
    /// What the public Service selects; None before it exists.
    pub selection: Option<Selection>,
    /// Who wrote that selection last, where the platform knows: a field manager.
    pub selected_by: Option<String>,
    /// None without a router.
    pub route: Option<RouteObservation>,
    /// Version of the state document as a watch last saw it; None: not watched, so the driver loads it.
    pub state_version: Option<String>,
    /// The service's place is being deleted.
    pub terminating: bool,
    /// Fresh pods beside the slots; None: there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub experiment: Option<Experiment>,
}

/// What an experiment compares.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Experiment {
    pub baseline: Fresh,
    pub candidate: Fresh,
}

/// One side's pod.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Fresh {
    /// 0: not made yet.
    pub revision: u32,
    pub available: bool,
    pub restarts: u32,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lost: Vec<String>,
}

/// One slot. Counts are of pods of the slot's present template unless they say otherwise.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SlotObservation {
    /// Revision of the template the slot carries.
    pub revision: u32,
    /// Asked-for number of pods.
    pub desired: u32,
    /// The platform has acted on the newest template and number (observedGeneration is current).
    pub current: bool,
    /// The platform's own report is behind its pods: `kubectl get` would still show fewer.
    #[serde(default)]
    pub lagging: bool,
    /// Pods that exist and are not terminating, of any template.
    pub replicas: u32,
    /// Pods of the present template.
    pub updated: u32,
    /// Ready pods of any template.
    pub ready: u32,
    /// Pods of any template, ready for at least minReady.
    pub available: u32,
    /// Available pods of the present template.
    pub updated_available: u32,
    /// Those of them that the slot's own Service leads to: a router knows no others.
    #[serde(default)]
    pub led_to: u32,
    /// Pods that are going but still there.
    pub terminating: u32,
    /// Pods that the public Service's endpoints hold, ready or not.
    pub in_public: u32,
    /// When a count last improved, a pod started, or the template changed.
    pub progressed: Option<Timestamp>,
    /// What is wrong with pods of the present template.
    pub problems: Vec<Problem>,
    /// Restarts of containers of the present template.
    pub restarts: u32,
    /// Pods that vanished although nobody is known to have asked for it, in words, since the platform was first looked at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lost: Vec<String>,
    /// The slot's autoscaler, where it has one.
    #[serde(default)]
    pub scaler: Option<Scaler>,
}

impl SlotObservation {
    /// The slot runs `replicas` pods of its present template, all available, and none of another.
    pub fn complete(&self, replicas: u32) -> bool {
        self.current
            && self.desired == replicas
            && self.replicas == replicas
            && self.updated == replicas
            && self.updated_available == replicas
    }
    /// Complete, and the platform's own report says so too.
    pub fn settled(&self, replicas: u32) -> bool {
        self.complete(replicas) && !self.lagging
    }
    /// No pod is left, not even a terminating one.
    pub fn empty(&self) -> bool {
        self.current && self.desired == 0 && self.replicas == 0 && self.terminating == 0
    }
}

/// The router's rules as read back, and whether it took them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RouteObservation {
    pub routing: Routing,
    /// Accepted and resolved at the newest generation.
    pub accepted: bool,
    /// Why not, in the router's words.
    pub refusal: Option<String>,
    /// When the present rules were written, as far as known.
    pub since: Option<Timestamp>,
    /// Who wrote the present rules, where the platform knows: a field manager.
    pub by: Option<String>,
}

/// Why a pod does not become or stay ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Stable code: image-pull, crash, oom-killed, unschedulable, probe-failing, config-missing, start-failed, …
    pub reason: String,
    pub pod: String,
    /// In the platform's own words: the event, the exit code, the probe's answer.
    pub message: String,
    /// Waiting longer will not help.
    pub terminal: bool,
    /// Last lines of the container's log.
    pub log: Vec<String>,
}
