//! What all objects share: kinds, labels, the stamp of epoch and checksum, and the fields left to rollouts.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{checksum, names};
use crate::service::Service;

/// A kind of object and where the API serves it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    ServiceAccount,
    ConfigMap,
    Secret,
    Service,
    NetworkPolicy,
    PodDisruptionBudget,
    Deployment,
    HorizontalPodAutoscaler,
    HttpRoute,
    Ingress,
    TraefikService,
    IngressRoute,
    VirtualService,
    DestinationRule,
}

impl Kind {
    pub const ALL: [Kind; 14] = [
        Kind::ServiceAccount,
        Kind::ConfigMap,
        Kind::Secret,
        Kind::Service,
        Kind::NetworkPolicy,
        Kind::PodDisruptionBudget,
        Kind::Deployment,
        Kind::HorizontalPodAutoscaler,
        Kind::HttpRoute,
        Kind::Ingress,
        Kind::TraefikService,
        Kind::IngressRoute,
        Kind::VirtualService,
        Kind::DestinationRule,
    ];

    /// What routers are told by. A cluster need not know any of them.
    pub const ROUTES: [Kind; 6] = [
        Kind::HttpRoute,
        Kind::Ingress,
        Kind::TraefikService,
        Kind::IngressRoute,
        Kind::VirtualService,
        Kind::DestinationRule,
    ];

    /// API version, kind, plural.
    pub fn terms(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Kind::ServiceAccount => ("v1", "ServiceAccount", "serviceaccounts"),
            Kind::ConfigMap => ("v1", "ConfigMap", "configmaps"),
            Kind::Secret => ("v1", "Secret", "secrets"),
            Kind::Service => ("v1", "Service", "services"),
            Kind::NetworkPolicy => ("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies"),
            Kind::PodDisruptionBudget => ("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets"),
            Kind::Deployment => ("apps/v1", "Deployment", "deployments"),
            Kind::HorizontalPodAutoscaler => {
                ("autoscaling/v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers")
            }
            Kind::HttpRoute => ("gateway.networking.k8s.io/v1", "HTTPRoute", "httproutes"),
            Kind::Ingress => ("networking.k8s.io/v1", "Ingress", "ingresses"),
            Kind::TraefikService => ("traefik.io/v1alpha1", "TraefikService", "traefikservices"),
            Kind::IngressRoute => ("traefik.io/v1alpha1", "IngressRoute", "ingressroutes"),
            Kind::VirtualService => ("networking.istio.io/v1", "VirtualService", "virtualservices"),
            Kind::DestinationRule => ("networking.istio.io/v1", "DestinationRule", "destinationrules"),
        }
    }
    pub fn api_version(self) -> &'static str {
        self.terms().0
    }
    pub fn name(self) -> &'static str {
        self.terms().1
    }
    pub fn plural(self) -> &'static str {
        self.terms().2
    }
    /// Empty for the core group.
    pub fn group(self) -> &'static str {
        self.api_version().split_once('/').map_or("", |(group, _)| group)
    }
    pub fn named(name: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|k| k.name() == name)
    }
}

pub fn kind_of(object: &Value) -> Option<Kind> {
    Kind::named(object["kind"].as_str()?)
}

pub fn name_of(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

/// The labels of every object of `service`.
pub(super) fn labels(service: &str) -> BTreeMap<String, String> {
    BTreeMap::from([(names::NAME.into(), service.into()), (names::MANAGED_BY.into(), "msctl".into())])
}

/// `kind`, `name` and the labels all objects have; `rest` adds members beside metadata.
pub fn object(kind: Kind, service: &Service, name: &str, rest: Value) -> Value {
    let mut object = json!({
        "apiVersion": kind.api_version(),
        "kind": kind.name(),
        "metadata": {"name": name, "labels": labels(&service.service)},
    });
    if let (Value::Object(object), Value::Object(rest)) = (&mut object, rest) {
        object.extend(rest);
    }
    object
}

/// On the Ingress of the slot that gets a share.
pub const CANARY_WEIGHT: &str = "nginx.ingress.kubernetes.io/canary-weight";

/// Fields that only a rollout may change: set when the object is made, never applied again.
pub fn rollout_fields(object: &Value) -> &'static [&'static [&'static str]] {
    match kind_of(object) {
        Some(Kind::Deployment) => &[&["spec", "replicas"]],
        Some(Kind::Service) if object["metadata"]["labels"].get(names::SLOT).is_none() => {
            &[&["spec", "selector"]]
        }
        Some(Kind::HttpRoute) => &[&["spec", "rules"]],
        Some(Kind::Ingress) => match object["metadata"]["annotations"].get(CANARY_WEIGHT).is_some() {
            true => &[&["spec", "rules"], &["metadata", "annotations", CANARY_WEIGHT]],
            false => &[&["spec", "rules"]],
        },
        Some(Kind::TraefikService) => match object["spec"].get("mirroring").is_some() {
            true => &[&["spec", "mirroring"]],
            false => &[&["spec", "weighted"]],
        },
        Some(Kind::IngressRoute) => &[&["spec", "routes"]],
        Some(Kind::VirtualService) => &[&["spec", "http"]],
        _ => &[],
    }
}

/// The object without what only a rollout may change: what is applied once it exists.
pub fn inert(object: &Value) -> Value {
    let mut object = object.clone();
    for path in rollout_fields(&object) {
        let (last, parents) = path.split_last().expect("a path has a last part");
        let parent = parents.iter().fold(&mut object, |at, key| &mut at[*key]);
        if let Some(parent) = parent.as_object_mut() {
            parent.remove(*last);
        }
    }
    object
}

/// The object as it is applied: with its place in the inventory, its checksum and the driver's epoch. A Secret gets no
/// checksum: its name is its keyed hash already, and a plain hash would let values be tried against it.
pub fn stamped(object: &Value, part_of: &str, epoch: u64) -> Value {
    let mut object = object.clone();
    let metadata = object["metadata"].as_object_mut().expect("every object of ours has metadata");
    let labels = metadata.entry("labels").or_insert_with(|| Value::Object(Map::new()));
    labels[names::PART_OF] = part_of.into();
    let sum = checksum(&inert(&object));
    let secret = kind_of(&object) == Some(Kind::Secret);
    let metadata = &mut object["metadata"];
    if metadata.get("annotations").is_none() {
        metadata["annotations"] = json!({});
    }
    if !secret {
        metadata["annotations"][names::CHECKSUM] = sum.into();
    }
    metadata["annotations"][names::EPOCH] = epoch.to_string().into();
    object
}
