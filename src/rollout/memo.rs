//! What one driver remembers between two decisions; no part of the document.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::analysis::Measured;
use super::{Routing, Selection, Slot, verify};
use crate::platform::{JobEnd, MigrationRun};

/// Never stored; any two are equal, so that it alone never causes a save.
#[derive(Debug, Clone, Default)]
pub struct Memo {
    /// When this driver first decided.
    pub began: Option<Timestamp>,
    /// The rules last seen accepted, and since when.
    pub settled: Option<(Routing, Timestamp)>,
    /// What we wanted and saw confirmed, to tell a revert from a delay.
    pub route: Confirmed<Routing>,
    pub selection: Confirmed<Selection>,
    /// Whether the present weight was seen to be what the router does.
    pub check: verify::Check,
    /// What the driver measured since the last decision.
    pub measured: Vec<Measured>,
    /// The windows of the measurements are this driver's own.
    pub anew: bool,
    /// The fewest pods that each slot was lately asked for, where that took some, and when.
    pub shrunk: BTreeMap<Slot, (u32, Timestamp)>,
    /// Of the candidate's vanished pods, how many were taken in.
    pub lost: Option<usize>,
    /// How a migration ended, since the last decision.
    pub migrated: Option<(MigrationRun, Result<JobEnd, String>)>,
    /// Everything but these revisions was dropped by this driver.
    pub pruned: Option<Vec<u32>>,
}

impl PartialEq for Memo {
    fn eq(&self, _: &Memo) -> bool {
        true
    }
}

/// A desired value that an observation confirmed, and how often someone changed it back since.
#[derive(Debug, Clone)]
pub struct Confirmed<T> {
    pub value: Option<T>,
    pub reverts: u32,
}

impl<T> Default for Confirmed<T> {
    fn default() -> Self {
        Confirmed { value: None, reverts: 0 }
    }
}
