//! The HTTPRoute: `expose` on a Gateway. Its rules are made once, all traffic to the live slot; a rollout patches them.

use serde_json::{Value, json};

use super::object::{Kind, object};
use crate::service::{Expose, Service};

/// The Gateway that an HTTPRoute attaches to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gateway {
    pub namespace: String,
    pub name: String,
}

pub fn http_route(service: &Service, expose: &Expose, gateway: &Gateway, rules: Value) -> Value {
    let spec = json!({
        "parentRefs": [{"namespace": gateway.namespace, "name": gateway.name}],
        "hostnames": [expose.host],
        "rules": rules,
    });
    object(Kind::HttpRoute, service, &service.service, json!({"spec": spec}))
}
