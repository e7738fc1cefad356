//! What splits the traffic of an exposed service. Without `expose`, or where the cluster has nothing: numbers of pods.
//! Each router's file is pure, objects in and objects out; `find`, `gateways` and `split` ask the cluster.

mod expression;
mod find;
mod gateway_api;
mod gateways;
pub mod hot;
mod istio;
mod nginx;
mod traefik;

use std::time::Duration;

use jiff::Timestamp;
use kube::api::DynamicObject;
use serde_json::Value;

pub use find::find;
pub use hot::Objects;

use crate::manifest::{Gateway, Kind};
use crate::platform::{Capabilities, Result};
use crate::rollout::{Abilities, Match, RouteObservation, Routing, Slot};
use crate::service::{RouterKind, Service};
use hot::{Hot, Write};

/// What a cluster has for a service.
#[derive(Debug, Clone, PartialEq)]
pub struct Router {
    pub front: Front,
    /// Traffic follows a write after so long at most.
    pub lag: Duration,
    pub abilities: Abilities,
}

/// Whose objects bring the requests in.
#[derive(Debug, Clone, PartialEq)]
pub enum Front {
    /// An HTTPRoute on this Gateway.
    GatewayApi(Gateway),
    /// A VirtualService on Istio's Gateway of that name, `NAMESPACE/NAME`.
    Istio(String),
    /// An IngressRoute to a TraefikService; the class that Traefik answers to.
    Traefik(String),
    /// An Ingress of this class, and a second one with canary annotations.
    Nginx(String),
}

impl Router {
    /// For people: `gateway-api (edge/public)`.
    pub fn name(&self) -> String {
        match &self.front {
            Front::GatewayApi(gateway) => format!("gateway-api ({}/{})", gateway.namespace, gateway.name),
            Front::Istio(gateway) => format!("istio ({gateway})"),
            Front::Traefik(class) => format!("traefik ({class})"),
            Front::Nginx(class) => format!("nginx ({class})"),
        }
    }

    /// As msctl.yaml would name it.
    pub fn named(&self) -> (RouterKind, Option<String>) {
        match &self.front {
            Front::GatewayApi(gateway) => {
                (RouterKind::GatewayApi, Some(format!("{}/{}", gateway.namespace, gateway.name)))
            }
            Front::Istio(gateway) => (RouterKind::Istio, Some(gateway.clone())),
            Front::Traefik(class) => (RouterKind::Traefik, Some(class.clone())),
            Front::Nginx(class) => (RouterKind::Nginx, Some(class.clone())),
        }
    }

    /// The kinds of its objects that a rollout writes.
    pub fn kinds(&self) -> &'static [Kind] {
        match self.front {
            Front::GatewayApi(_) => &[Kind::HttpRoute],
            Front::Istio(_) => &[Kind::VirtualService],
            Front::Traefik(_) => &[Kind::TraefikService, Kind::IngressRoute],
            Front::Nginx(_) => &[Kind::Ingress],
        }
    }

    /// The kinds of all its objects.
    pub fn all_kinds(&self) -> &'static [Kind] {
        match self.front {
            Front::Istio(_) => &[Kind::VirtualService, Kind::DestinationRule],
            Front::GatewayApi(_) | Front::Traefik(_) | Front::Nginx(_) => self.kinds(),
        }
    }

    /// Its objects as a first deploy makes them, all traffic to `live`. None without `expose`.
    pub fn objects(&self, service: &Service, live: Slot) -> Vec<Value> {
        let Some(expose) = &service.expose else { return Vec::new() };
        match &self.front {
            Front::GatewayApi(gateway) => vec![crate::manifest::http_route(
                service,
                expose,
                gateway,
                gateway_api::rules(service, &Routing::all(live)),
            )],
            Front::Istio(gateway) => istio::objects(service, expose, gateway, live),
            Front::Traefik(class) => traefik::objects(service, class, live),
            Front::Nginx(class) => nginx::objects(service, class, live),
        }
    }

    /// The parts that split as `routing` says.
    fn hots(&self, service: &Service, routing: &Routing) -> Vec<Hot> {
        match self.front {
            Front::GatewayApi(_) => gateway_api::hots(service, routing),
            Front::Istio(_) => istio::hots(service, routing),
            Front::Traefik(_) => traefik::hots(service, routing),
            Front::Nginx(_) => nginx::hots(service, routing),
        }
    }

    /// The patches that make it split as `routing` says, in this order. `objects` as last seen.
    pub fn writes(
        &self,
        service: &Service,
        routing: &Routing,
        objects: &Objects,
        now: Timestamp,
    ) -> Result<Vec<Write>> {
        let mut hots = self.hots(service, routing);
        if matches!(self.front, Front::Nginx(_)) {
            nginx::order(&mut hots, service, routing, objects);
        }
        hot::writes(&hots, routing, objects, now)
    }

    /// The route as it is read back; None where it is not there.
    pub fn observed(&self, service: &Service, objects: &Objects) -> Option<RouteObservation> {
        let hots = self.hots(service, &Routing::all(Slot::Blue));
        let carrier = hots.iter().find(|h| h.carrier)?;
        if hots.iter().any(|h| !objects.contains_key(&(h.kind, h.name.clone()))) {
            return None;
        }
        let carrier = objects.get(&(carrier.kind, carrier.name.clone()))?;
        let (known, by) = hot::remembered(carrier, |routing| self.hots(service, routing), objects);
        let since = known.as_ref().map(|(_, since)| *since);
        let routing = known.map_or_else(|| self.guess(service, objects), |(routing, _)| routing);
        let (accepted, refusal) = self.verdict(carrier);
        Some(RouteObservation { routing, accepted, refusal, since, by })
    }

    /// Rules that msctl did not write, or those of the first deploy.
    fn guess(&self, service: &Service, objects: &Objects) -> Routing {
        let shares = match self.front {
            Front::GatewayApi(_) => {
                let routing = guess(gateway_api::shares(service, objects));
                let rules = objects
                    .get(&(Kind::HttpRoute, service.service.clone()))
                    .and_then(|o| o.data.pointer("/spec/rules"));
                // Another's rule may send requests to a slot without a share: its pods are not to be taken.
                let reached = rules.is_some_and(|r| gateway_api::named(service, r, routing.candidate));
                let matches = if reached { vec![Match::default()] } else { Vec::new() };
                return Routing { matches, ..routing };
            }
            Front::Istio(_) => istio::shares(service, objects),
            Front::Traefik(_) => traefik::shares(service, objects),
            Front::Nginx(_) => return nginx::guess(service, objects),
        };
        guess(shares)
    }

    /// Whether the router took the newest rules, or why not. Where it says nothing, writing is all there is to see.
    fn verdict(&self, carrier: &DynamicObject) -> (bool, Option<String>) {
        match self.front {
            Front::GatewayApi(_) => gateway_api::verdict(carrier),
            Front::Istio(_) => istio::verdict(carrier),
            Front::Traefik(_) | Front::Nginx(_) => (true, None),
        }
    }
}

/// The shares of blue and green as a routing; the larger one is the stable slot's.
fn guess((blue, green): (u64, u64)) -> Routing {
    let stable = if green > blue { Slot::Green } else { Slot::Blue };
    let percent = (blue.min(green) * 100).checked_div(blue + green).and_then(|p| u8::try_from(p).ok());
    Routing::split(stable.other(), percent.unwrap_or(0))
}

pub fn capabilities(router: Option<&Router>) -> Capabilities {
    Capabilities {
        router: router.map(Router::name),
        route_lag: router.map_or(Duration::ZERO, |r| r.lag),
        abilities: router.map(|r| r.abilities).unwrap_or_default(),
    }
}

/// The path that the service is exposed under, without the slash at its end; empty for all paths.
fn below(service: &Service) -> &str {
    service.expose.as_ref().map_or("", |e| e.path.trim_end_matches('/'))
}

fn host(service: &Service) -> &str {
    service.expose.as_ref().map_or("", |e| e.host.as_str())
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
