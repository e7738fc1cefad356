//! What splits the traffic of an exposed service. Without `expose`, or where the cluster has nothing: numbers of pods.

pub mod gateway_api;

use std::time::Duration;

use super::client::Cluster;
use crate::error::Failure;
use crate::manifest::Gateway;
use crate::platform::{Capabilities, Error, Result};
use crate::rollout::Abilities;
use crate::service::{RouterKind, Service};

/// A Gateway that admits the service's namespace and host.
pub struct Router {
    pub gateway: Gateway,
    pub lag: Duration,
    pub abilities: Abilities,
}

pub async fn find(cluster: &Cluster, service: &Service) -> Result<Option<Router>> {
    let Some(expose) = &service.expose else { return Ok(None) };
    match service.traffic.router {
        RouterKind::None => Ok(None),
        RouterKind::Auto => gateway_api::find(cluster, service, expose).await,
        RouterKind::GatewayApi => match gateway_api::find(cluster, service, expose).await? {
            Some(router) => Ok(Some(router)),
            None => Err(Error::Other(
                Failure::failed("no-gateway", format!("no Gateway admits {} from this namespace", expose.host))
                    .hint("name one with traffic.gateway, or set traffic.router: none")
                    .into(),
            )),
        },
        kind @ (RouterKind::Istio | RouterKind::Traefik | RouterKind::Nginx) => Err(Error::Other(
            Failure::usage("router", format!("traffic.router: {kind:?} is not supported"))
                .hint("supported are gateway-api, auto and none; Istio, Traefik and nginx all serve the Gateway API")
                .into(),
        )),
    }
}

pub fn capabilities(router: Option<&Router>) -> Capabilities {
    Capabilities {
        router: router.map(|r| format!("gateway-api ({}/{})", r.gateway.namespace, r.gateway.name)),
        route_lag: router.map_or(Duration::ZERO, |r| r.lag),
        abilities: router.map(|r| r.abilities).unwrap_or_default(),
    }
}
