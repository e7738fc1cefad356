//! What a release is on Kubernetes: its template, what it would change, and how it is installed and removed.
//! Free functions; the adapter calls them.

use anyhow::bail;
use kube::Client;

use crate::platform::{self, Change, Release, Template};
use crate::rollout::Slot;

pub use crate::manifest::Gateway;

/// Where one service lives.
#[derive(Clone)]
pub struct Site {
    pub client: Client,
    pub namespace: String,
    pub service: String,
    /// None: no HTTPRoute is made.
    pub gateway: Option<Gateway>,
}

/// What a slot would run. One read where the service has secrets (the key of their names), none otherwise.
pub async fn template(_site: &Site, _release: &Release) -> anyhow::Result<Template> {
    bail!("template: in work")
}

/// One list per kind, one dry run per object that differs; nothing is written.
pub async fn diff(_site: &Site, _release: &Release, _template: &Template) -> anyhow::Result<Vec<Change>> {
    bail!("diff: in work")
}

/// Everything that is not a slot, in waves; then what is no longer wanted is removed.
pub async fn install(
    _site: &Site,
    _release: &Release,
    _template: &Template,
    _epoch: u64,
) -> anyhow::Result<Vec<Change>> {
    bail!("install: in work")
}

/// Makes `slot` run `template` as `revision`: Service, budget, Deployment (made with no pods, its number of pods
/// left alone after), autoscaler.
pub async fn apply_slot(
    _site: &Site,
    _template: &Template,
    _slot: Slot,
    _revision: u32,
    _epoch: u64,
) -> platform::Result<()> {
    Err(anyhow::anyhow!("apply_slot: in work").into())
}

/// Removes every object of the service, pods' owners first, the public Service and state last.
pub async fn delete(_site: &Site) -> anyhow::Result<Vec<Change>> {
    bail!("delete: in work")
}

/// Whether a deploy could succeed: namespace, rights, quota, admission. Writes nothing; returns warnings.
pub async fn preflight(_site: &Site, _release: &Release) -> anyhow::Result<Vec<String>> {
    bail!("preflight: in work")
}
