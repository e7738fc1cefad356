//! What the cluster has of the service: one list a kind, asked for side by side.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::try_join_all;
use serde_json::Value;

use super::{Site, api, inventory};
use crate::manifest::{Kind, name_of, names};
use crate::platform::Error;
use crate::rollout::Slot;

/// The kinds every service has.
pub const USUAL: [Kind; 7] = [
    Kind::Deployment,
    Kind::Service,
    Kind::ServiceAccount,
    Kind::ConfigMap,
    Kind::PodDisruptionBudget,
    Kind::HorizontalPodAutoscaler,
    Kind::NetworkPolicy,
];

/// The service's objects by kind and name.
#[derive(Debug, Default)]
pub struct Live(BTreeMap<(Kind, String), Value>);

impl Live {
    /// Lists the usual kinds, those `wanted` besides, and then whatever else the inventory names.
    pub async fn read(site: &Site, wanted: &BTreeSet<Kind>) -> Result<Live, Error> {
        let mut kinds: BTreeSet<Kind> = USUAL.into_iter().collect();
        kinds.extend(wanted);
        let mut live = Live::default();
        live.list(site, &kinds).await?;
        let more: BTreeSet<Kind> =
            inventory::kinds(live.inventory(site)).difference(&kinds).copied().collect();
        if !more.is_empty() {
            live.list(site, &more).await?;
        }
        Ok(live)
    }

    async fn list(&mut self, site: &Site, kinds: &BTreeSet<Kind>) -> Result<(), Error> {
        let lists =
            kinds.iter().map(|kind| async move { Ok::<_, Error>((*kind, api::list(site, *kind).await?)) });
        for (kind, items) in try_join_all(lists).await? {
            self.0.extend(items.into_iter().map(|o| ((kind, name_of(&o).to_owned()), o)));
        }
        Ok(())
    }

    pub fn get(&self, kind: Kind, name: &str) -> Option<&Value> {
        self.0.get(&(kind, name.to_owned()))
    }

    pub fn all(&self) -> impl Iterator<Item = (Kind, &Value)> {
        self.0.iter().map(|((kind, _), object)| (*kind, object))
    }

    pub fn inventory(&self, site: &Site) -> Option<&Value> {
        self.get(Kind::ConfigMap, &names::inventory(&site.service))
    }

    /// Of the rollout's state, which is not stored as one of the service's objects.
    pub fn state_version(&self, site: &Site) -> Option<String> {
        let state = self.get(Kind::ConfigMap, &names::state(&site.service))?;
        state["metadata"]["resourceVersion"].as_str().map(str::to_owned)
    }

    pub fn deployment(&self, site: &Site, slot: Slot) -> Option<&Value> {
        self.get(Kind::Deployment, &names::slot(&site.service, slot))
    }

    /// Pods asked for, of both slots.
    pub fn pods(&self) -> u64 {
        let deployments = self.all().filter(|(kind, _)| *kind == Kind::Deployment);
        deployments.filter_map(|(_, d)| d["spec"]["replicas"].as_u64()).sum()
    }

    /// The slot that serves: what the public Service selects, else the one with pods, else blue.
    pub fn slot(&self, site: &Site) -> Slot {
        let selected = self
            .get(Kind::Service, &site.service)
            .and_then(|s| s["spec"]["selector"][names::SLOT].as_str())
            .and_then(|name| Slot::ALL.into_iter().find(|s| s.name() == name));
        let pods = |slot: &Slot| {
            self.deployment(site, *slot).and_then(|d| d["status"]["availableReplicas"].as_u64()).unwrap_or(0)
        };
        selected.unwrap_or_else(
            || {
                if pods(&Slot::Green) > pods(&Slot::Blue) { Slot::Green } else { Slot::Blue }
            },
        )
    }
}
