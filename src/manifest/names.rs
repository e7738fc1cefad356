//! Names, labels and annotations of what msctl makes in a cluster: the contract between the rooms that write
//! objects and those that read them back.

use crate::rollout::Slot;

/// Applies objects. Never owns what only a rollout may change.
pub const MANAGER: &str = "msctl";
/// Patches replicas, the public Service's selector, route rules, HPA bounds and epochs.
pub const ROLLOUT_MANAGER: &str = "msctl-rollout";

pub const NAME: &str = "app.kubernetes.io/name";
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
pub const VERSION: &str = "app.kubernetes.io/version";
pub const SLOT: &str = "msctl.dev/slot";
pub const REVISION: &str = "msctl.dev/revision";
/// On what is kept of a deploy: its number.
pub const DEPLOY: &str = "msctl.dev/deploy";
/// What is an experiment's and no slot's: `baseline` or `candidate`.
pub const EXPERIMENT: &str = "msctl.dev/experiment";
/// On a migration's Job and pod: `expand` or `contract`.
pub const MIGRATION: &str = "msctl.dev/migration";
/// On a migration's pod: whose database it is.
pub const MIGRATION_OF: &str = "msctl.dev/migration-of";
/// The fence against a driver that was overtaken.
pub const EPOCH: &str = "msctl.dev/epoch";
/// Of the object as it was applied, without the epoch.
pub const CHECKSUM: &str = "msctl.dev/checksum";
/// On a slot's Deployment: the hash of its template.
pub const TEMPLATE: &str = "msctl.dev/template";
/// On everything of a driver in the cluster: the service it drives.
pub const DRIVER_OF: &str = "msctl.dev/driver-of";
/// On a driver's pod: what it must know of the service, as msctl.yaml.
pub const DRIVEN: &str = "msctl.dev/driven";
/// On an autoscaler that a rollout holds: its own `scaleDown.selectPolicy`, empty where it had no behaviour.
pub const HELD: &str = "msctl.dev/held";
/// On an EndpointSlice: its Service.
pub const SLICE_OF: &str = "kubernetes.io/service-name";
/// Membership of the service's ApplySet.
pub const PART_OF: &str = "applyset.kubernetes.io/part-of";

/// The container that runs the service, and the name of its port.
pub const CONTAINER: &str = "app";
pub const PORT_NAME: &str = "http";
/// The port of the public Service and of the slot Services.
pub const SERVICE_PORT: u16 = 80;

/// `orders-blue`: Deployment, Service, PodDisruptionBudget and HorizontalPodAutoscaler of a slot.
pub fn slot(service: &str, slot: Slot) -> String {
    format!("{service}-{slot}")
}

/// The ConfigMap that lists which kinds the service has.
pub fn inventory(service: &str) -> String {
    format!("{service}-inventory")
}

/// The ConfigMap with the rollout's state, and the Lease of who drives it.
pub fn state(service: &str) -> String {
    format!("{service}-rollout")
}

/// The Secret with the key that secrets' names are hashed with.
pub fn hash_key(service: &str) -> String {
    format!("{service}-hash-key")
}

/// Selects every object of a service.
pub fn selector(service: &str) -> String {
    format!("{NAME}={service},{MANAGED_BY}=msctl")
}
