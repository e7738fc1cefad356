//! A service as Kubernetes objects. Pure: a service, an image and secrets in, JSON out; one file per family.

mod account;
mod config;
pub mod driver;
mod hash;
mod migration;
pub mod names;
mod object;
mod pod;
mod policy;
mod route;
mod service;
mod slot;
mod yaml;

use std::collections::BTreeMap;

use serde_json::Value;

use crate::platform::Template;
use crate::rollout::Slot;
use crate::service::{SecretSource, Service};

pub use config::Configuration;
pub use hash::{canonical, checksum, keyed, sha256};
pub use migration::migration;
pub use object::{CANARY_WEIGHT, Kind, inert, kind_of, name_of, object, rollout_fields, stamped};
pub use policy::usual_ports;
pub use route::{Gateway, http_route};
pub use slot::{objects as slot_objects, service_of as slot_service};
pub use yaml::print as to_yaml;

/// What objects are made of.
pub struct Input<'a> {
    pub service: &'a Service,
    /// `repository@sha256:…`.
    pub image: &'a str,
    /// Values of the secrets that msctl stores.
    pub secrets: &'a BTreeMap<String, String>,
    /// Key of the secrets' names; unused without secrets.
    pub key: &'a [u8],
}

/// What a slot runs, slot-neutral: `Template::body` of the Kubernetes platform.
pub fn template(input: &Input<'_>) -> Template {
    let configuration = config::of(input);
    let pod = pod::template(input, &configuration);
    Template {
        hash: sha256(&pod),
        image: input.image.to_owned(),
        body: slot::body(input, pod, &configuration),
    }
}

/// Everything of a service that is not a slot, in the waves it is written in.
/// `live` is the slot that a Service made anew points to, `routes` are the router's objects.
pub fn shared(input: &Input<'_>, routes: Vec<Value>, live: Slot) -> [Vec<Value>; 3] {
    let service = input.service;
    let mut first = vec![account::of(service)];
    first.extend(config::of(input).objects());
    let second = vec![service::public(service, live), policy::of(service)];
    [first, second, routes]
}

/// What Kubernetes would not take, as the key of msctl.yaml and why.
pub fn check(service: &Service) -> Result<(), (String, String)> {
    for (name, need) in &service.needs {
        if need.port.is_none() && usual_ports(&need.kind).is_none() {
            return Err((
                format!("needs.{name}.kind"),
                format!("the port of {:?} is not known; give `port`", need.kind),
            ));
        }
    }
    for (name, source) in &service.secrets {
        if let SecretSource::FromSecret(reference) = source
            && !reference.split_once('/').is_some_and(|(secret, key)| !secret.is_empty() && !key.is_empty())
        {
            return Err((
                format!("secrets.{name}.fromSecret"),
                format!("{reference:?} is not NAME/KEY of a Secret"),
            ));
        }
    }
    Ok(())
}

/// Whether msctl stores a Secret for the service.
pub fn stores_secrets(service: &Service) -> bool {
    service.secrets.values().any(|s| !matches!(s, SecretSource::FromSecret(_)))
}

#[cfg(test)]
mod tests;
