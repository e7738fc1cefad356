//! Which Gateway of the cluster admits a service, and what its controller can do.

use kube::api::{DynamicObject, ListParams};
use kube::{Api, ResourceExt};

use super::{Front, Router, gateway_api};
use crate::error::Failure;
use crate::manifest::Gateway;
use crate::platform::kubernetes::client::Cluster;
use crate::platform::kubernetes::selector::selects;
use crate::platform::{Error, Result};
use crate::service::{Expose, Service};

fn listing(cluster: &Cluster, kind: &str, plural: &str) -> Api<DynamicObject> {
    let gvk = kube::core::GroupVersionKind::gvk("gateway.networking.k8s.io", "v1", kind);
    Api::all_with(cluster.client.clone(), &kube::api::ApiResource::from_gvk_with_plural(&gvk, plural))
}

/// The only Gateway that admits the host from our namespace; None where there is no Gateway API, or none admits it.
pub async fn find(cluster: &Cluster, service: &Service, expose: &Expose) -> Result<Option<Router>> {
    let all = listing(cluster, "Gateway", "gateways");
    let gateways = match &service.traffic.gateway {
        Some(named) => {
            let (namespace, name) = named.split_once('/').unwrap_or((&cluster.namespace, named));
            let params = ListParams::default().fields(&format!("metadata.name={name}"));
            let one: Api<DynamicObject> = Api::namespaced_with(
                cluster.client.clone(),
                namespace,
                &kube::api::ApiResource::from_gvk_with_plural(
                    &kube::core::GroupVersionKind::gvk("gateway.networking.k8s.io", "v1", "Gateway"),
                    "gateways",
                ),
            );
            one.list(&params).await
        }
        None => all.list(&ListParams::default()).await,
    };
    let gateways = match gateways {
        Ok(list) => list.items,
        Err(kube::Error::Api(s)) if s.code == 404 => Vec::new(),
        Err(e) => match cluster.explain(e, "Gateways") {
            // Who names it vouches for it; a wrong name shows as a route that nothing accepts.
            Error::Forbidden(_) if service.traffic.gateway.is_some() => return Ok(named(cluster, service)),
            Error::Forbidden(text) => {
                return Err(Error::Other(
                    Failure::usage(
                        "gateway-unknown",
                        format!("the Gateway cannot be found by itself: {text}"),
                    )
                    .hint("name it in msctl.yaml: `traffic: {gateway: NAMESPACE/NAME}`, or `router: none`")
                    .into(),
                ));
            }
            other => return Err(other),
        },
    };
    let labels = namespace_labels(cluster, &gateways).await?;
    let admitting: Vec<&DynamicObject> =
        gateways.iter().filter(|g| admits(g, &cluster.namespace, &labels, &expose.host)).collect();
    match (admitting.as_slice(), &service.traffic.gateway) {
        ([], Some(named)) => Err(Error::Other(
            Failure::usage("gateway-refuses", format!("Gateway {named} does not admit {}", expose.host))
                .hint(format!(
                    "its listeners must allow the host and routes from namespace {}",
                    cluster.namespace
                ))
                .into(),
        )),
        ([], None) => Ok(None),
        ([one], _) => Ok(Some(router(cluster, one).await)),
        (several, _) => {
            let names: Vec<String> = several.iter().map(|g| full_name(g)).collect();
            Err(Error::Other(
                Failure::usage("several-gateways", format!("several Gateways admit {}", expose.host))
                    .hint(format!("choose one with traffic.gateway: {}", names.join(", ")))
                    .into(),
            ))
        }
    }
}

fn full_name(gateway: &DynamicObject) -> String {
    format!("{}/{}", gateway.namespace().unwrap_or_default(), gateway.name_any())
}

type Labels = std::collections::BTreeMap<String, String>;

/// Only where a listener selects namespaces by label.
async fn namespace_labels(cluster: &Cluster, gateways: &[DynamicObject]) -> Result<Labels> {
    let selects = |g: &DynamicObject| {
        let listeners = g.data["spec"]["listeners"].as_array().cloned().unwrap_or_default();
        listeners.iter().any(|l| l["allowedRoutes"]["namespaces"]["from"] == "Selector")
    };
    if !gateways.iter().any(selects) {
        return Ok(Labels::new());
    }
    let api: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(cluster.client.clone());
    match api.get_metadata_opt(&cluster.namespace).await {
        Ok(found) => Ok(found.and_then(|n| n.metadata.labels).unwrap_or_default()),
        Err(e) => match cluster.explain(e, "the namespace") {
            // The one label every namespace has.
            Error::Forbidden(_) => {
                Ok(Labels::from([("kubernetes.io/metadata.name".into(), cluster.namespace.clone())]))
            }
            other => Err(other),
        },
    }
}

fn admits(gateway: &DynamicObject, namespace: &str, labels: &Labels, host: &str) -> bool {
    let own = gateway.namespace().unwrap_or_default() == namespace;
    let listeners = gateway.data["spec"]["listeners"].as_array().cloned().unwrap_or_default();
    listeners.iter().any(|listener| {
        let http = matches!(listener["protocol"].as_str(), Some("HTTP" | "HTTPS"));
        let from = &listener["allowedRoutes"]["namespaces"];
        let allowed = match from["from"].as_str().unwrap_or("Same") {
            "All" => true,
            "Selector" => selects(&from["selector"], labels) == Some(true),
            _ => own,
        };
        http && allowed && covers(listener["hostname"].as_str().unwrap_or_default(), host)
    })
}

/// `*.example.com` covers `a.example.com` and `a.b.example.com`, not `example.com`.
fn covers(listener: &str, host: &str) -> bool {
    match listener.strip_prefix('*') {
        Some(suffix) => host.len() > suffix.len() && host.ends_with(suffix),
        None => listener.is_empty() || listener == host,
    }
}

/// The Gateway of msctl.yaml, unseen: nothing is claimed of what it can do beyond the standard.
fn named(cluster: &Cluster, service: &Service) -> Option<Router> {
    let named = service.traffic.gateway.as_ref()?;
    let (namespace, name) = named.split_once('/').unwrap_or((&cluster.namespace, named));
    let gateway = Gateway { namespace: namespace.to_owned(), name: name.to_owned() };
    let abilities = gateway_api::abilities("", &|_| false);
    Some(Router { front: Front::GatewayApi(gateway), lag: gateway_api::lag(""), abilities })
}

async fn router(cluster: &Cluster, gateway: &DynamicObject) -> Router {
    let class = gateway.data["spec"]["gatewayClassName"].as_str().unwrap_or_default();
    // Not everyone may read classes; then nothing is claimed of the router.
    let class = listing(cluster, "GatewayClass", "gatewayclasses").get(class).await.ok();
    let class = class.map(|c| c.data).unwrap_or_default();
    let controller = class["spec"]["controllerName"].as_str().unwrap_or_default();
    let features = class["status"]["supportedFeatures"].as_array().cloned().unwrap_or_default();
    let feature = |wanted: &str| features.iter().any(|f| f == wanted || f["name"] == wanted);
    Router {
        front: Front::GatewayApi(Gateway {
            namespace: gateway.namespace().unwrap_or_default(),
            name: gateway.name_any(),
        }),
        lag: gateway_api::lag(controller),
        abilities: gateway_api::abilities(controller, &feature),
    }
}
#[cfg(test)]
#[path = "gateways_tests.rs"]
mod tests;
