//! Which router the cluster has for a service: asked once, and only when it is exposed. One request tells which kinds
//! there are; only those are looked for.

use std::collections::BTreeSet;

use k8s_openapi::api::networking::v1::IngressClass;
use kube::api::{ApiResource, DynamicObject, ListParams};
use kube::core::GroupVersionKind;
use kube::{Api, ResourceExt};
use serde_json::Value;

use super::{Front, Router, gateways, istio, nginx, traefik};
use crate::error::Failure;
use crate::platform::kubernetes::client::Cluster;
use crate::platform::{Error, Result};
use crate::rollout::Abilities;
use crate::service::{Expose, RouterKind, Service};

const GATEWAY_API: &str = "gateway.networking.k8s.io";
const ISTIO: &str = "networking.istio.io";
const TRAEFIK: &str = "traefik.io";

/// None: numbers of pods split the traffic.
pub async fn find(cluster: &Cluster, service: &Service) -> Result<Option<Router>> {
    let Some(expose) = &service.expose else { return Ok(None) };
    let wanted = service.traffic.router;
    if wanted == RouterKind::None {
        return Ok(None);
    }
    let groups = groups(cluster).await?;
    let found = match wanted {
        RouterKind::None => None,
        RouterKind::Auto => auto(cluster, service, expose, &groups).await?,
        RouterKind::GatewayApi => gateway(cluster, service, expose, &groups).await?,
        RouterKind::Istio => mesh(cluster, service, expose, &groups).await?,
        RouterKind::Traefik if !has(&groups, TRAEFIK) => None,
        RouterKind::Traefik => class(cluster, service, &TRAEFIK_CLASS).await?,
        RouterKind::Nginx => class(cluster, service, &NGINX_CLASS).await?,
    };
    match (found, wanted) {
        (None, RouterKind::Auto) => Ok(None),
        (None, wanted) => Err(missing(cluster, wanted, expose, groups.as_ref())),
        (found, _) => Ok(found),
    }
}

async fn auto(
    cluster: &Cluster,
    service: &Service,
    expose: &Expose,
    groups: &Groups,
) -> Result<Option<Router>> {
    if let Some(found) = gateway(cluster, service, expose, groups).await? {
        return Ok(Some(found));
    }
    if let Some(found) = mesh(cluster, service, expose, groups).await? {
        return Ok(Some(found));
    }
    let classes = classes(cluster).await?;
    if has(groups, TRAEFIK)
        && let Some(found) = chosen(&classes, &TRAEFIK_CLASS, None)?
    {
        return Ok(Some(found));
    }
    chosen(&classes, &NGINX_CLASS, None)
}

/// The API groups that the cluster serves; None: it does not tell us.
type Groups = Option<BTreeSet<String>>;

async fn groups(cluster: &Cluster) -> Result<Groups> {
    match cluster.client.list_api_groups().await {
        Ok(list) => Ok(Some(list.groups.into_iter().map(|g| g.name).collect())),
        Err(e) => match cluster.explain(e, "API groups") {
            Error::Forbidden(_) => Ok(None),
            other => Err(other),
        },
    }
}

fn has(groups: &Groups, group: &str) -> bool {
    groups.as_ref().is_none_or(|g| g.contains(group))
}

async fn gateway(
    cluster: &Cluster,
    service: &Service,
    expose: &Expose,
    groups: &Groups,
) -> Result<Option<Router>> {
    if has(groups, GATEWAY_API) { gateways::find(cluster, service, expose).await } else { Ok(None) }
}

/// The error for a router that was asked for by name and is not there.
fn missing(
    cluster: &Cluster,
    wanted: RouterKind,
    expose: &Expose,
    groups: Option<&BTreeSet<String>>,
) -> Error {
    let (name, what) = match wanted {
        RouterKind::GatewayApi | RouterKind::Auto | RouterKind::None => {
            ("gateway-api", format!("no Gateway admits {} from namespace {}", expose.host, cluster.namespace))
        }
        RouterKind::Istio => ("istio", format!("no Gateway of Istio admits {}", expose.host)),
        RouterKind::Traefik => ("traefik", "no IngressClass of Traefik with its own kinds is there".into()),
        RouterKind::Nginx => ("nginx", "no IngressClass of ingress-nginx is there".into()),
    };
    let known = [(GATEWAY_API, "Gateway API"), (ISTIO, "Istio"), (TRAEFIK, "Traefik")];
    let there = known.iter().filter(|(group, _)| groups.is_some_and(|g| g.contains(*group)));
    let there: Vec<&str> = there.map(|(_, name)| *name).collect();
    let there = if there.is_empty() { String::new() } else { format!("; it has {}", there.join(", ")) };
    Error::Other(
        Failure::usage("no-router", format!("traffic.router: {name}: {what}{there}"))
            .hint("name the Gateway or class with traffic.gateway, or set traffic.router to auto or none")
            .into(),
    )
}

/// Istio's Gateway that admits the host.
async fn mesh(
    cluster: &Cluster,
    service: &Service,
    expose: &Expose,
    groups: &Groups,
) -> Result<Option<Router>> {
    if !has(groups, ISTIO) {
        return Ok(None);
    }
    let resource =
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(ISTIO, "v1", "Gateway"), "gateways");
    let named = service.traffic.gateway.as_deref();
    let listed = match named {
        Some(named) => {
            let (namespace, name) = named.split_once('/').unwrap_or((&cluster.namespace, named));
            let api: Api<DynamicObject> = Api::namespaced_with(cluster.client.clone(), namespace, &resource);
            api.list(&ListParams::default().fields(&format!("metadata.name={name}"))).await
        }
        None => {
            let api: Api<DynamicObject> = Api::all_with(cluster.client.clone(), &resource);
            api.list(&ListParams::default()).await
        }
    };
    let gateways = match listed {
        Ok(list) => list.items,
        Err(kube::Error::Api(s)) if s.code == 404 => Vec::new(),
        Err(e) => match (cluster.explain(e, "Istio's Gateways"), named) {
            // Who names it vouches for it.
            (Error::Forbidden(_), Some(named)) => return Ok(Some(istio_on(named.to_owned()))),
            (error, _) => return Err(unknown(error, "the Gateway of Istio")),
        },
    };
    let admitting = gateways.iter().filter(|g| admits(g, &cluster.namespace, &expose.host));
    let names: Vec<String> =
        admitting.map(|g| format!("{}/{}", g.namespace().unwrap_or_default(), g.name_any())).collect();
    match names.as_slice() {
        [] => Ok(None),
        [one] => Ok(Some(istio_on(one.clone()))),

        several => Err(Error::Other(
            Failure::usage("several-gateways", format!("several Gateways of Istio admit {}", expose.host))
                .hint(format!("choose one with traffic.gateway: {}", several.join(", ")))
                .into(),
        )),
    }
}

fn istio_on(gateway: String) -> Router {
    Router { front: Front::Istio(gateway), lag: istio::LAG, abilities: Abilities::ALL }
}

fn unknown(error: Error, what: &str) -> Error {
    match error {
        Error::Forbidden(text) => Error::Other(
            Failure::usage("gateway-unknown", format!("{what} cannot be found by itself: {text}"))
                .hint("name the kind and its Gateway or class: `traffic: {router: KIND, gateway: NAME}`, or `router: none`")
                .into(),
        ),
        other => other,
    }
}

/// A server's host is `HOST`, `*`, `*.SUFFIX`, or one of these after `NAMESPACE/`, where that is `*` or `.` too.
fn admits(gateway: &DynamicObject, namespace: &str, host: &str) -> bool {
    let own = gateway.namespace().unwrap_or_default() == namespace;
    let servers = gateway.data["spec"]["servers"].as_array().cloned().unwrap_or_default();
    servers.iter().any(|server| {
        let http = matches!(server["port"]["protocol"].as_str(), Some("HTTP" | "HTTPS" | "HTTP2"));
        let hosts = server["hosts"].as_array().cloned().unwrap_or_default();
        http && hosts.iter().filter_map(Value::as_str).any(|text| {
            let (of, pattern) = text.split_once('/').unwrap_or(("*", text));
            let allowed = of == "*" || of == namespace || (of == "." && own);
            let covered = match pattern.strip_prefix('*') {
                Some(suffix) => host.ends_with(suffix),
                None => pattern == host,
            };
            allowed && covered
        })
    })
}

/// Who answers for an IngressClass.
struct Class {
    controller: &'static str,
    usual: &'static str,
    router: fn(String) -> Router,
}

const TRAEFIK_CLASS: Class = Class {
    controller: "traefik.io/ingress-controller",
    usual: traefik::USUAL,
    router: |class| Router { front: Front::Traefik(class), lag: traefik::LAG, abilities: traefik::ABILITIES },
};

const NGINX_CLASS: Class = Class {
    controller: "k8s.io/ingress-nginx",
    usual: "nginx",
    router: |class| Router { front: Front::Nginx(class), lag: nginx::LAG, abilities: nginx::ABILITIES },
};

async fn classes(cluster: &Cluster) -> Result<Vec<IngressClass>> {
    let api: Api<IngressClass> = Api::all(cluster.client.clone());
    match api.list(&ListParams::default()).await {
        Ok(list) => Ok(list.items),
        Err(e) => Err(unknown(cluster.explain(e, "IngressClasses"), "the router")),
    }
}

/// For a router asked for by name: who may not list the classes has the one that is named, or the usual one.
async fn class(cluster: &Cluster, service: &Service, wanted: &Class) -> Result<Option<Router>> {
    let named = service.traffic.gateway.as_deref();
    let api: Api<IngressClass> = Api::all(cluster.client.clone());
    match api.list(&ListParams::default()).await {
        Ok(list) => chosen(&list.items, wanted, named),
        Err(e) => match cluster.explain(e, "IngressClasses") {
            Error::Forbidden(_) => Ok(Some((wanted.router)(named.unwrap_or(wanted.usual).to_owned()))),
            other => Err(other),
        },
    }
}

/// The class that is named, else the only one, else the default one of the controller's.
fn chosen(classes: &[IngressClass], wanted: &Class, named: Option<&str>) -> Result<Option<Router>> {
    let controlled =
        |c: &&IngressClass| c.spec.as_ref().and_then(|s| s.controller.as_deref()) == Some(wanted.controller);
    let ours: Vec<&IngressClass> = classes
        .iter()
        .filter(controlled)
        .filter(|c| named.is_none_or(|name| c.metadata.name.as_deref() == Some(name)))
        .collect();
    let default = |c: &&&IngressClass| {
        c.annotations().get("ingressclass.kubernetes.io/is-default-class").is_some_and(|v| v == "true")
    };
    let one = match ours.as_slice() {
        [] => return Ok(None),
        [one] => one,
        several => match several.iter().find(default) {
            Some(one) => one,
            None => {
                let names: Vec<String> = several.iter().map(|c| c.name_any()).collect();
                return Err(Error::Other(
                    Failure::usage("several-classes", format!("several classes are {}'s", wanted.controller))
                        .hint(format!(
                            "choose one with traffic.gateway: {}, and name traffic.router",
                            names.join(", ")
                        ))
                        .into(),
                ));
            }
        },
    };
    Ok(Some((wanted.router)(one.name_any())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn gateways_of_istio_admit_by_host_and_namespace() {
        for (hosts, protocol, expected) in [
            (json!(["shop.test"]), "HTTP", true),
            (json!(["other.test", "*.test"]), "HTTPS", true),
            (json!(["*"]), "HTTP", true),
            (json!(["*"]), "TCP", false),
            (json!(["shop/shop.test"]), "HTTP", true),
            (json!(["other/shop.test"]), "HTTP", false),
            (json!(["./shop.test"]), "HTTP", false),
            (json!(["*/*.other"]), "HTTP", false),
        ] {
            let gateway = json!({"metadata": {"name": "public", "namespace": "edge"},
                "spec": {"servers": [{"port": {"protocol": protocol}, "hosts": hosts}]}});
            let gateway: DynamicObject = serde_json::from_value(gateway).unwrap();
            assert_eq!(admits(&gateway, "shop", "shop.test"), expected, "{}", gateway.data);
        }
    }

    #[test]
    fn a_class_is_named_or_the_only_one_or_the_default() {
        let class = |name: &str, controller: &str, default: bool| -> IngressClass {
            let text = default.to_string();
            serde_json::from_value(json!({"metadata": {"name": name,
                "annotations": {"ingressclass.kubernetes.io/is-default-class": text}},
                "spec": {"controller": controller}}))
            .unwrap()
        };
        let nginx = "k8s.io/ingress-nginx";
        let name = |classes: &[IngressClass], named: Option<&str>| {
            chosen(classes, &NGINX_CLASS, named).map(|r| r.map(|r| r.name()))
        };
        let two = [class("a", nginx, false), class("b", nginx, false), class("c", "nginx.org/x", true)];
        assert_eq!(name(&two[2..], None).unwrap(), None, "another controller knows other annotations");
        assert_eq!(name(&two[1..], None).unwrap().as_deref(), Some("nginx (b)"));
        assert_eq!(name(&two, Some("a")).unwrap().as_deref(), Some("nginx (a)"));
        assert!(name(&two, None).is_err());
        let default = [class("a", nginx, false), class("b", nginx, true)];
        assert_eq!(name(&default, None).unwrap().as_deref(), Some("nginx (b)"));
    }
}
