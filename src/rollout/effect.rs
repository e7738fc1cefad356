//! What the engine can ask of a platform: desired state, so that asking twice is harmless.

use serde::{Deserialize, Serialize};

use super::Slot;

/// One write.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "effect")]
pub enum Effect {
    /// The slot runs the template of `revision`. Its number of pods is not touched; a slot that did not exist
    /// is made with none. On a slot with pods the platform replaces them within surge and unavailable.
    Apply { slot: Slot, revision: u32 },
    /// The slot has so many pods.
    Scale { slot: Slot, replicas: u32 },
    /// The router sends traffic so; weights, rules and mirror in one write. Only where there is a router.
    Route(Routing),
    /// The service's own name reaches these slots.
    Select(Selection),
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

/// How a router splits requests. `weight` percent go to `candidate`, the rest to the other slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Routing {
    pub candidate: Slot,
    pub weight: u8,
    /// Requests that match any of these go to the candidate whatever the weight.
    #[serde(default)]
    pub matches: Vec<HeaderMatch>,
    /// Percent of the requests copied to the candidate, whose answers are dropped.
    #[serde(default)]
    pub mirror: u8,
}

impl Routing {
    /// Everything to one slot.
    pub fn all(slot: Slot) -> Self {
        Routing { candidate: slot.other(), weight: 0, matches: Vec::new(), mirror: 0 }
    }
    /// The share of `slot` in percent.
    pub fn weight_of(&self, slot: Slot) -> u8 {
        if slot == self.candidate { self.weight } else { 100 - self.weight.min(100) }
    }
    /// Sends requests the same way, whichever slot either calls the candidate.
    pub fn same(&self, other: &Routing) -> bool {
        let extras = |r: &Routing| !r.matches.is_empty() || r.mirror > 0;
        self.weight_of(Slot::Blue) == other.weight_of(Slot::Blue)
            && self.matches == other.matches
            && self.mirror == other.mirror
            && (!extras(self) || self.candidate == other.candidate)
    }
    /// Whether any request at all may reach `slot`.
    pub fn reaches(&self, slot: Slot) -> bool {
        self.weight_of(slot) > 0 || (slot == self.candidate && (!self.matches.is_empty() || self.mirror > 0))
    }
}

/// A header (or, by `cookie`, one cookie of the Cookie header) with an exact value, a prefix or a regex.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct HeaderMatch {
    pub name: String,
    #[serde(default)]
    pub cookie: bool,
    #[serde(flatten)]
    pub value: MatchValue,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MatchValue {
    Exact(String),
    Prefix(String),
    Regex(String),
}
