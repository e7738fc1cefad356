//! The document of `rollout status`: where a service and its rollout are. Pure.

use jiff::Timestamp;
use serde::Serialize;

use super::Slot;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Nothing is deployed.
    Absent,
    Progressing,
    Paused,
    Healthy,
    /// The candidate was refused or taken back; the version before serves.
    Aborted,
    /// Neither is as it should be.
    Degraded,
}

impl Phase {
    pub fn name(self) -> &'static str {
        match self {
            Phase::Absent => "absent",
            Phase::Progressing => "progressing",
            Phase::Paused => "paused",
            Phase::Healthy => "healthy",
            Phase::Aborted => "aborted",
            Phase::Degraded => "degraded",
        }
    }
}

/// Where the rollout is.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    pub service: String,
    pub phase: Phase,
    /// Stable code, listed in docs.
    pub reason: String,
    pub message: String,
    pub strategy: Option<String>,
    pub step: Option<StepStatus>,
    pub weight: WeightStatus,
    pub slots: Slots,
    /// No analysis runs in this build's strategies; the list is part of the contract.
    pub analysis: Vec<serde_json::Value>,
    /// `user@host:pid:random` of the driver.
    pub holder: Option<String>,
    /// Since when an unfinished rollout has had no driver.
    pub undriven_since: Option<Timestamp>,
    /// When the present phase began.
    pub since: Option<Timestamp>,
}

/// The step the rollout is at, counted from 1, of how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct StepStatus {
    pub index: u32,
    pub count: u32,
}

/// The candidate's share in percent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct WeightStatus {
    pub desired: u8,
    /// None until observed.
    pub actual: Option<u8>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Slots {
    pub live: Option<SlotStatus>,
    pub candidate: Option<SlotStatus>,
    /// The old slot, inside its delay.
    pub previous: Option<SlotStatus>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SlotStatus {
    pub slot: Slot,
    pub revision: u32,
    pub image: String,
    pub replicas: u32,
    pub ready: u32,
    pub available: u32,
    /// Until when the slot keeps its pods.
    pub until: Option<Timestamp>,
}
