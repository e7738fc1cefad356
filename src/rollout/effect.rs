//! What the engine can ask of a platform: desired state, so that asking twice is harmless.

use serde::{Deserialize, Serialize};

use super::{Routing, Scaler, Slot};

/// One write.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "effect")]
pub enum Effect {
    /// The slot runs the template of `revision`. Its number of pods is not touched; a slot that did not exist
    /// is made with none. On a slot with pods the platform replaces them within surge and unavailable.
    Apply { slot: Slot, revision: u32 },
    /// The slot has so many pods.
    Scale { slot: Slot, replicas: u32 },
    /// The slot's autoscaler keeps to these bounds. Nothing where it has none.
    Rebound { slot: Slot, scaler: Scaler },
    /// The router sends traffic so; weights, rules and mirror in one write. Only where there is a router.
    Route(Routing),
    /// The service's own name reaches these slots.
    Select(Selection),
    /// A fresh pod each of these revisions, the live and the candidate's, that share the traffic of the slot `live`;
    /// with None neither is there.
    Experiment { live: Slot, revisions: Option<(u32, u32)> },
    /// Templates and configuration of all revisions but these are dropped, unless a pod still names them.
    Prune { keep: Vec<u32> },
}

/// Which pods the public Service selects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Selection {
    Blue,
    Green,
    /// While the numbers of pods split the traffic.
    Both,
}

impl Selection {
    pub fn only(slot: Slot) -> Self {
        match slot {
            Slot::Blue => Selection::Blue,
            Slot::Green => Selection::Green,
        }
    }
    pub fn includes(self, slot: Slot) -> bool {
        self == Selection::Both || self == Selection::only(slot)
    }
}
