//! Pods of a slot that vanish although nobody asked for it, told from what was seen of them before. Pure.
//!
//! Asked away are pods that an eviction, a preemption, a taint or the end of their node took, by their own condition; as
//! many as the wanted number fell by, whoever lowered it; and those of a template that is being replaced. What cannot be
//! told: who deleted a pod otherwise. A person who deletes one, or drains with `--disable-eviction`, is not known from it.
//! What vanishes while no driver looks is seen by none.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use super::observe::{is_going, is_over, is_present, ready_since, revision_of};

/// Deployments and pods come by watches of their own: a lowered number may be seen after the pods it took.
const LATE: SignedDuration = SignedDuration::from_secs(2);
/// A pod that a lowered number takes is gone from the ready ones by then.
const OWED: SignedDuration = SignedDuration::from_secs(30);
/// Names the ReplicaSet.
const TEMPLATE: &str = "pod-template-hash";

/// What is remembered of a Deployment's pods of its present template.
#[derive(Debug, Default)]
pub struct Memory {
    revision: u32,
    desired: Option<u32>,
    alive: BTreeMap<String, Known>,
    /// Pods that a lowered number may still take, and since when.
    owed: Vec<(Timestamp, u32)>,
    suspects: Vec<(Timestamp, Known, &'static str)>,
    /// Each pod that vanished unasked, in words.
    lost: Vec<String>,
}

#[derive(Debug, Clone)]
struct Known {
    name: String,
    /// Was ready, so it had traffic, if any of its slot had.
    ready: bool,
    template: String,
}

/// What became of a pod that runs no more.
enum Fate {
    Asked,
    Lost(String),
    /// Unless the wanted number fell.
    Deleted(&'static str),
}

impl Memory {
    /// Takes in what is seen now; all the pods that vanished unasked since it began, in words.
    pub fn follow(&mut self, deployment: &Deployment, pods: &[Arc<Pod>], now: Timestamp) -> &[String] {
        let revision = revision_of(deployment);
        if revision != self.revision {
            *self = Memory { revision, lost: std::mem::take(&mut self.lost), ..Memory::default() };
        }
        let desired = deployment.spec.as_ref().and_then(|s| s.replicas).and_then(|n| u32::try_from(n).ok());
        let fell = self.desired.zip(desired).map_or(0, |(before, now)| before.saturating_sub(now));
        self.owed.retain(|(at, n)| *n > 0 && now.duration_since(*at) < OWED);
        self.owed.push((now, fell));
        self.desired = desired;

        let alive = alive(pods, revision);
        let before = std::mem::take(&mut self.alive);
        let (stay, mut gone): (Vec<_>, Vec<_>) =
            before.into_iter().partition(|(uid, _)| alive.contains_key(uid));
        // Of too many, a ReplicaSet takes those that are not ready first.
        gone.sort_by_key(|(_, known)| known.ready);
        for (uid, known) in gone {
            match fate(pods.iter().find(|p| p.uid().as_ref() == Some(&uid))) {
                Fate::Asked => {}
                Fate::Lost(why) if known.ready => self.lost.push(format!("pod {} {why}", known.name)),
                Fate::Lost(_) => {}
                Fate::Deleted(how) => self.suspects.push((now, known, how)),
            }
        }
        self.alive = alive;
        for (uid, known) in stay {
            if let Some(seen) = self.alive.get_mut(&uid) {
                seen.ready |= known.ready;
            }
        }
        self.decide(pods, now);
        &self.lost
    }

    fn decide(&mut self, pods: &[Arc<Pod>], now: Timestamp) {
        let newest = pods.iter().filter(|p| is_present(p, self.revision) && !is_going(p));
        let newest = newest.max_by_key(|p| p.metadata.creation_timestamp.as_ref().map(|t| t.0));
        let newest = newest.map(|p| template(p));
        for (at, known, how) in std::mem::take(&mut self.suspects) {
            let replaced = newest.as_ref().is_some_and(|n| *n != known.template);
            if replaced || self.owed() {
                continue;
            }
            if now.duration_since(at) < LATE {
                self.suspects.push((at, known, how));
            } else if known.ready {
                self.lost.push(format!("pod {} {how}, and nobody is known to have asked for it", known.name));
            }
        }
    }

    /// Takes one of what a lowered number may take.
    fn owed(&mut self) -> bool {
        let left = self.owed.iter_mut().find(|(_, n)| *n > 0);
        left.map(|(_, n)| *n -= 1).is_some()
    }
}

fn alive(pods: &[Arc<Pod>], revision: u32) -> BTreeMap<String, Known> {
    let alive = pods.iter().filter(|p| is_present(p, revision) && !is_going(p) && !is_over(p));
    let known = |pod: &Arc<Pod>| Known {
        name: pod.name_any(),
        ready: ready_since(pod).is_some(),
        template: template(pod),
    };
    alive.filter_map(|pod| Some((pod.uid()?, known(pod)))).collect()
}

fn template(pod: &Pod) -> String {
    pod.labels().get(TEMPLATE).cloned().unwrap_or_default()
}

/// What ended a pod, by what it says itself; None: it is there no more, and was not seen going.
fn fate(pod: Option<&Arc<Pod>>) -> Fate {
    let Some(pod) = pod else { return Fate::Deleted("is gone") };
    let status = pod.status.clone().unwrap_or_default();
    let reason = status.reason.unwrap_or_default();
    // A node short of memory chooses whoever takes more than it asked for.
    if reason == "Evicted" {
        return Fate::Lost(format!("was evicted by its node: {}", status.message.unwrap_or_default()));
    }
    let target = status.conditions.iter().flatten().find(|c| c.type_ == DISRUPTION && c.status == "True");
    match target {
        Some(_) => Fate::Asked,
        None if is_over(pod) => Fate::Lost(format!("ended: {reason} {}", status.message.unwrap_or_default())),
        None => Fate::Deleted("was deleted"),
    }
}

/// The condition that evictions, preemptions, taints and the loss of a node leave; see Kubernetes' pod lifecycle.
pub const DISRUPTION: &str = "DisruptionTarget";

#[cfg(test)]
#[path = "vanish_tests.rs"]
mod tests;
