//! The HTTPRoute: `expose` on a Gateway. Its rules are made once, all traffic to the live slot; a rollout patches them.

use serde_json::{Value, json};

use super::names;
use super::object::{Kind, object};
use crate::rollout::Slot;
use crate::service::{Expose, Service};

/// The Gateway that an HTTPRoute attaches to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gateway {
    pub namespace: String,
    pub name: String,
}

pub(super) fn of(service: &Service, expose: &Expose, gateway: &Gateway, live: Slot) -> Value {
    let spec = json!({
        "parentRefs": [{"namespace": gateway.namespace, "name": gateway.name}],
        "hostnames": [expose.host],
        "rules": rules(&service.service, &expose.path, live),
    });
    object(Kind::HttpRoute, service, &service.service, json!({"spec": spec}))
}

/// The rules of a first deploy. Only the live slot is named: some routers answer 500 for the share of a Service that is not there.
pub fn rules(service: &str, path: &str, live: Slot) -> Value {
    json!([{
        "matches": [{"path": {"type": "PathPrefix", "value": path}}],
        "backendRefs": [{
            "name": names::slot(service, live), "port": names::SERVICE_PORT, "weight": 100,
        }],
    }])
}
