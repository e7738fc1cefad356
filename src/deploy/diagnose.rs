//! Why pods do not become ready: facts as the API gives them (JSON) in, problems out. Pure.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::rollout::Problem;

/// What is known of one slot. Only pods of the present template belong here.
#[derive(Debug, Default)]
pub struct Facts<'a> {
    pub pods: Vec<&'a Value>,
    /// Events about those pods and their ReplicaSet.
    pub events: Vec<&'a Value>,
    pub replica_sets: Vec<&'a Value>,
    pub deployment: Option<&'a Value>,
    /// Last lines of a pod's container, by pod name; fetched for what [`logs_wanted`] names.
    pub logs: BTreeMap<String, Vec<String>>,
}

/// A container whose last lines would tell the cause.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogWanted {
    pub pod: String,
    pub container: String,
    /// Of the run before the present one.
    pub previous: bool,
}

/// Which logs to fetch before [`diagnose`] can name the cause; empty while nothing has crashed.
pub fn logs_wanted(_facts: &Facts<'_>) -> Vec<LogWanted> {
    Vec::new()
}

/// The problems of one slot, the gravest first.
pub fn diagnose(_facts: &Facts<'_>) -> Vec<Problem> {
    Vec::new()
}
