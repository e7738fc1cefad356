//! The NetworkPolicy: pods accept connections to their port only, and open them to DNS, `needs` and `egress` only.

use serde_json::{Map, Value, json};

use super::names;
use super::object::{Kind, object};
use crate::service::{Egress, Need, Service};

pub(super) fn of(service: &Service) -> Value {
    let mut egress = vec![dns()];
    egress.extend(service.needs.values().map(need));
    egress.extend(service.egress.iter().map(destination));
    let spec = json!({
        // Only the name label: policies hold for both slots.
        "podSelector": {"matchLabels": {names::NAME: service.service}},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [{"ports": [tcp(service.port)]}],
        "egress": egress,
    });
    object(Kind::NetworkPolicy, service, &service.service, json!({"spec": spec}))
}

fn tcp(port: u16) -> Value {
    json!({"port": port, "protocol": "TCP"})
}

/// The cluster's resolver, and the link-local addresses where node-local caches and clouds answer.
fn dns() -> Value {
    json!({
        "to": [
            {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}},
            {"ipBlock": {"cidr": "169.254.0.0/16"}},
        ],
        "ports": [{"port": 53, "protocol": "UDP"}, tcp(53)],
    })
}

/// Where a backing service is, msctl.yaml does not say: its port is opened towards everywhere.
fn need(need: &Need) -> Value {
    let ports = need.port.map_or_else(|| usual_ports(&need.kind).unwrap_or(&[]).to_vec(), |port| vec![port]);
    json!({"ports": ports.into_iter().map(tcp).collect::<Vec<_>>()})
}

/// The ports a kind of backing service listens on; None for a kind that is not known.
pub fn usual_ports(kind: &str) -> Option<&'static [u16]> {
    Some(match kind {
        "postgres" => &[5432],
        "mysql" => &[3306],
        "redis" => &[6379],
        "memcached" => &[11211],
        "kafka" => &[9092],
        "rabbitmq" => &[5672],
        "nats" => &[4222],
        "mongodb" => &[27017],
        "cassandra" => &[9042],
        "http" => &[80, 443],
        _ => return None,
    })
}

fn destination(egress: &Egress) -> Value {
    let mut rule = Map::new();
    let mut to = Vec::new();
    if let Some(cidr) = &egress.cidr {
        to.push(json!({"ipBlock": {"cidr": cidr}}));
    }
    if !egress.pods.is_empty() {
        to.push(json!({"namespaceSelector": {}, "podSelector": {"matchLabels": egress.pods}}));
    }
    if !to.is_empty() {
        rule.insert("to".into(), to.into());
    }
    if !egress.ports.is_empty() {
        rule.insert("ports".into(), egress.ports.iter().map(|p| tcp(*p)).collect::<Vec<_>>().into());
    }
    Value::Object(rule)
}
