//! The Service that others call. It is made selecting the live slot; a rollout repoints it.

use serde_json::{Value, json};

use super::names;
use super::object::{Kind, object};
use crate::rollout::Slot;
use crate::service::Service;

pub(super) fn public(service: &Service, live: Slot) -> Value {
    let selector = json!({names::NAME: service.service, names::SLOT: live.name()});
    let mut ports = vec![port()];
    if service.port != names::SERVICE_PORT {
        // The declared port too, so that an address that works locally works in the cluster.
        ports.push(json!({
            "name": "declared", "port": service.port, "targetPort": names::PORT_NAME, "protocol": "TCP",
        }));
    }
    let spec = json!({"selector": selector, "ports": ports});
    object(Kind::Service, service, &service.service, json!({"spec": spec}))
}

/// By the port's name, so that slots whose versions listen on different ports can stand side by side.
pub(super) fn port() -> Value {
    json!({
        "name": names::PORT_NAME, "port": names::SERVICE_PORT, "targetPort": names::PORT_NAME, "protocol": "TCP",
    })
}
