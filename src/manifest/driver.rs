//! The driver that runs in the cluster in place of a person's machine: a Job, its account and least rights, and the
//! policy that lets it reach the API server. No value of a secret is in any of it.

use serde_json::{Value, json};

use super::object::Kind;
use super::{checksum, names, stores_secrets, to_yaml};
use crate::rollout::{Adopted, Slot};
use crate::service::{RouterKind, Service};

/// Seconds that the ended Job, and with it the driver's log, is kept.
const KEPT: u32 = 3600;
/// Restarts of a killed driver until the Job gives up.
const RESTARTS: u32 = 20;
/// As each object of the driver is named, and as its container is.
pub const DRIVER: &str = "driver";

/// What the driver is made of.
pub struct Driver<'a> {
    pub service: &'a Service,
    pub namespace: &'a str,
    /// Of msctl, by digest.
    pub image: &'a str,
    /// After `msctl drive`.
    pub arguments: &'a [String],
    /// Where the analysis asks, besides the API server.
    pub ports: &'a [u16],
    /// A Deployment of somebody else in a slot's place, and what scales it.
    pub adopted: Option<Adopted>,
}

/// `orders-driver`.
pub fn name(service: &str) -> String {
    format!("{service}-{DRIVER}")
}

/// `orders-driver-7`: one a revision.
pub fn job_name(service: &str, revision: u32) -> String {
    format!("{service}-{DRIVER}-{revision}")
}

/// Selects every object of the driver of `service`.
pub fn selector(service: &str) -> String {
    format!("{}={service}", names::DRIVER_OF)
}

/// Not the service's own name label: the public Service would send users to the driver.
fn labels(service: &str) -> Value {
    json!({
        names::NAME: "msctl",
        "app.kubernetes.io/component": DRIVER,
        names::MANAGED_BY: "msctl",
        names::DRIVER_OF: service,
    })
}

fn object(service: &str, version: &str, kind: &str, name: &str) -> Value {
    json!({"apiVersion": version, "kind": kind, "metadata": {"name": name, "labels": labels(service)}})
}

fn with(mut object: Value, key: &str, value: Value) -> Value {
    object[key] = value;
    object
}

/// Account, rights and policy: the same for every revision. What an administrator may apply beforehand.
pub fn access(driver: &Driver<'_>) -> Vec<Value> {
    let service = driver.service.service.as_str();
    let (name, of) =
        (name(service), |version: &str, kind: &str| object(service, version, kind, &name(service)));
    let rules = rules(driver.service, driver.adopted.as_ref());
    let mut account = with(of("v1", "ServiceAccount"), "automountServiceAccountToken", false.into());
    // Which rights it was made with, for those who may not read Roles.
    account["metadata"]["annotations"] = json!({names::CHECKSUM: checksum(&rules)});
    let role = with(of("rbac.authorization.k8s.io/v1", "Role"), "rules", rules);
    let mut binding = of("rbac.authorization.k8s.io/v1", "RoleBinding");
    binding["roleRef"] = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name});
    binding["subjects"] = json!([{"kind": "ServiceAccount", "name": name, "namespace": driver.namespace}]);
    let policy = with(of("networking.k8s.io/v1", "NetworkPolicy"), "spec", policy(service, driver.ports));
    vec![account, role, binding, policy]
}

/// What a driver does, and nothing else: the names of what it changes are given wherever they are known.
pub fn rules(service: &Service, adopted: Option<&Adopted>) -> Value {
    let name = service.service.as_str();
    let mut named = vec![name.to_owned()];
    named.extend(Slot::ALL.into_iter().map(|slot| names::slot(name, slot)));
    // Of the routers that need a second object.
    named.extend(["canary", "mirror"].map(|part| format!("{name}-{part}")));
    let routes = routes(service);
    let rule = |group: &str, resources: &[&str], verbs: &[&str], of: &[String]| {
        let mut rule = json!({"apiGroups": [group], "resources": resources, "verbs": verbs});
        if !of.is_empty() {
            rule["resourceNames"] = json!(of);
        }
        rule
    };
    let state = [format!("{name}-rollout")];
    let mut rules = vec![
        rule("coordination.k8s.io", &["leases"], &["create"], &[]),
        rule("coordination.k8s.io", &["leases"], &["get", "list", "watch", "patch"], &state),
        rule("", &["pods"], &["get", "list", "watch"], &[]),
        rule("", &["pods/log", "pods/proxy"], &["get"], &[]),
        rule("", &["events", "resourcequotas"], &["list"], &[]),
        rule("apps", &["replicasets"], &["list"], &[]),
        rule("discovery.k8s.io", &["endpointslices"], &["list", "watch"], &[]),
        rule("batch", &["jobs"], &["get", "list", "watch", "create", "patch", "delete"], &[]),
        // Configuration and the templates of revisions are named by content and number.
        rule("", &["configmaps"], &["get", "list", "watch", "create", "patch", "update", "delete"], &[]),
    ];
    if stores_secrets(service) {
        rules.push(rule("", &["secrets"], &["get", "list", "patch", "delete"], &[]));
    }
    for kind in Kind::ALL {
        match kind {
            Kind::ConfigMap | Kind::Secret => continue,
            _ if Kind::ROUTES.contains(&kind) && !routes.contains(&kind) => continue,
            // Made by a deploy; the driver only raises its epoch there.
            Kind::ServiceAccount | Kind::NetworkPolicy => {
                rules.push(rule(kind.group(), &[kind.plural()], &["list"], &[]));
                rules.push(rule(kind.group(), &[kind.plural()], &["get", "patch"], &named));
            }
            _ => {
                let change: &[&str] = match kind {
                    Kind::HorizontalPodAutoscaler => &["patch", "delete"],
                    _ => &["patch"],
                };
                rules.push(rule(kind.group(), &[kind.plural()], &["get", "list", "watch", "create"], &[]));
                rules.push(rule(kind.group(), &[kind.plural()], change, &named));
            }
        }
    }
    if let Some(adopted) = adopted {
        let deployment = std::slice::from_ref(&adopted.deployment);
        rules.push(rule("apps", &["deployments"], &["patch"], deployment));
        if let Some(scaler) = &adopted.scaler {
            let name = std::slice::from_ref(&scaler.name);
            rules.push(rule("autoscaling", &["horizontalpodautoscalers"], &["patch"], name));
        }
    }
    rules.into()
}

/// The kinds of objects that the service's router may have.
fn routes(service: &Service) -> Vec<Kind> {
    let of: &[Kind] = match service.traffic.router {
        _ if service.expose.is_none() => &[],
        RouterKind::None => &[],
        RouterKind::Auto => &Kind::ROUTES,
        RouterKind::GatewayApi => &[Kind::HttpRoute],
        RouterKind::Istio => &[Kind::VirtualService],
        RouterKind::Traefik => &[Kind::TraefikService, Kind::IngressRoute],
        RouterKind::Nginx => &[Kind::Ingress],
    };
    of.to_vec()
}

/// To the resolver, the API server and where the analysis asks. The API server's address differs inside and outside
/// and no selector names it: its usual ports are opened.
fn policy(service: &str, ports: &[u16]) -> Value {
    let tcp = |port: u16| json!({"port": port, "protocol": "TCP"});
    let mut open: Vec<u16> = [443, 6443].into_iter().chain(ports.iter().copied()).collect();
    open.sort_unstable();
    open.dedup();
    json!({
        "podSelector": {"matchLabels": {names::DRIVER_OF: service}},
        "policyTypes": ["Ingress", "Egress"],
        "egress": [
            {"ports": [{"port": 53, "protocol": "UDP"}, tcp(53)]},
            {"ports": open.into_iter().map(tcp).collect::<Vec<_>>()},
        ],
    })
}

/// The Job of `revision`, suspended: whoever holds the epoch releases it.
pub fn job(driver: &Driver<'_>, revision: u32, epoch: u64) -> Value {
    let service = driver.service.service.as_str();
    let mut job = object(service, "batch/v1", "Job", &job_name(service, revision));
    job["metadata"]["annotations"] =
        json!({names::EPOCH: epoch.to_string(), names::REVISION: revision.to_string()});
    job["spec"] = json!({
        "suspend": true,
        "backoffLimit": RESTARTS,
        "ttlSecondsAfterFinished": KEPT,
        "template": {
            "metadata": {"labels": labels(service), "annotations": {names::DRIVEN: description(driver)}},
            "spec": pod(driver),
        },
    });
    job
}

fn pod(driver: &Driver<'_>) -> Value {
    let service = driver.service.service.as_str();
    let mut arguments = vec!["drive".to_owned(), service.to_owned()];
    arguments.extend(driver.arguments.iter().cloned());
    json!({
        "restartPolicy": "OnFailure",
        "serviceAccountName": name(service),
        "automountServiceAccountToken": true,
        "enableServiceLinks": false,
        "terminationGracePeriodSeconds": 30,
        "securityContext": {
            "runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "volumes": [
            {"name": "tmp", "emptyDir": {}},
            {"name": "service", "downwardAPI": {"items": [{
                "path": crate::service::FILE,
                "fieldRef": {"fieldPath": format!("metadata.annotations['{}']", names::DRIVEN)},
            }]}},
        ],
        "containers": [{
            "name": DRIVER,
            "image": driver.image,
            "args": arguments,
            "env": [
                {"name": "MSCTL_DIRECTORY", "value": "/service"},
                {"name": "MSCTL_ENV", "value": ENVIRONMENT},
                {"name": "MSCTL_NO_INPUT", "value": "true"},
                {"name": "MSCTL_COLOR", "value": "never"},
                {"name": "HOME", "value": "/tmp"},
                {"name": "USER", "value": "msctl-driver"},
            ],
            "resources": {
                "requests": {"cpu": "50m", "memory": "64Mi"},
                "limits": {"memory": "128Mi"},
            },
            "securityContext": {
                "allowPrivilegeEscalation": false,
                "readOnlyRootFilesystem": true,
                "capabilities": {"drop": ["ALL"]},
            },
            "terminationMessagePolicy": "FallbackToLogsOnError",
            "volumeMounts": [
                {"name": "tmp", "mountPath": "/tmp"},
                {"name": "service", "mountPath": "/service", "readOnly": true},
            ],
        }],
    })
}

const ENVIRONMENT: &str = "cluster";

/// The msctl.yaml that the driver reads: what it must know to observe and route. Plan, templates and state are in the
/// cluster already; configuration, secrets and commands are none of its business.
fn description(driver: &Driver<'_>) -> String {
    let service = driver.service;
    let mut bare = json!({
        "service": service.service,
        "port": service.port,
        "health": service.health,
        "metrics": service.metrics,
        "traffic": service.traffic,
        "environments": {ENVIRONMENT: {"platform": "kubernetes", "namespace": driver.namespace}},
    });
    if let Some(expose) = &service.expose {
        bare["expose"] = json!(expose);
    }
    if let Some(autoscaling) = &service.autoscaling {
        bare["autoscaling"] = json!(autoscaling);
    }
    bare_of_nulls(&mut bare);
    to_yaml(&bare)
}

/// What is not said is left out.
fn bare_of_nulls(value: &mut Value) {
    if let Some(members) = value.as_object_mut() {
        members.retain(|_, v| !v.is_null());
        members.values_mut().for_each(bare_of_nulls);
    }
}

/// Whether the object in the cluster is what we want of it: everything we say is there, as we say it.
pub fn fulfilled(wanted: &Value, live: &Value) -> bool {
    match (wanted, live) {
        (Value::Object(wanted), Value::Object(live)) => {
            wanted.iter().all(|(key, value)| live.get(key).is_some_and(|l| fulfilled(value, l)))
        }
        (Value::Array(wanted), Value::Array(live)) => {
            wanted.len() == live.len() && wanted.iter().zip(live).all(|(w, l)| fulfilled(w, l))
        }
        (wanted, live) => wanted == live,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollout::{Bounded, Scaler};
    use crate::service::PlatformKind;

    fn service(extra: &str) -> Service {
        let text = format!("service: orders\nport: 8080\n{extra}");
        crate::service::parse_yaml(&text, std::path::Path::new("msctl.yaml")).unwrap()
    }

    fn driver<'a>(service: &'a Service, arguments: &'a [String]) -> Driver<'a> {
        Driver {
            service,
            namespace: "shop",
            image: "r/msctl@sha256:1",
            arguments,
            ports: &[9090],
            adopted: None,
        }
    }

    #[test]
    fn the_driver_reads_what_it_needs_and_no_more() {
        let service = service(
            "config: {PLAIN: value-of-config}\nsecrets: {KEY: {fromEnv: ORDERS_KEY}}\n\
             expose: {host: shop.example.com, path: /orders}\ntraffic: {gateway: edge/public}\n\
             metrics: {path: /m, requests: r}\n",
        );
        let arguments = ["--timeout".to_owned(), "5m".to_owned()];
        let job = job(&driver(&service, &arguments), 7, 3);
        let text = job.to_string();
        assert!(!text.contains("value-of-config") && !text.contains("ORDERS_KEY"), "{text}");
        let read = job["spec"]["template"]["metadata"]["annotations"][names::DRIVEN].as_str().unwrap();
        let read: Service = crate::service::parse_yaml(read, std::path::Path::new("msctl.yaml")).unwrap();
        assert_eq!((read.service.as_str(), read.port, read.metrics.path.as_str()), ("orders", 8080, "/m"));
        assert_eq!(read.expose.unwrap().host, "shop.example.com");
        assert_eq!(read.traffic.gateway.as_deref(), Some("edge/public"));
        let environment = &read.environments[ENVIRONMENT].target;
        assert_eq!(environment.kind(), PlatformKind::Kubernetes);
        assert_eq!(environment.namespace.as_deref(), Some("shop"));
        assert_eq!(job["spec"]["suspend"], true);
        assert_eq!(job["metadata"]["annotations"][names::EPOCH], "3");
        let labels = &job["spec"]["template"]["metadata"]["labels"];
        assert_ne!(labels[names::NAME], "orders", "the public Service would select it");
        assert_eq!(
            job["spec"]["template"]["spec"]["containers"][0]["args"],
            json!(["drive", "orders", "--timeout", "5m"])
        );
    }

    #[test]
    fn secrets_are_asked_for_only_where_some_are_stored() {
        let mentions = |extra: &str| rules(&service(extra), None).to_string().contains("\"secrets\"");
        assert!(!mentions(""));
        assert!(!mentions("secrets: {KEY: {fromSecret: other/key}}\n"));
        assert!(mentions("secrets: {KEY: {fromEnv: KEY}}\n"));
        let rules = rules(&service(""), None);
        let broad = |r: &&Value| {
            ["*"].iter().any(|s| r["verbs"].to_string().contains(s) || r["resources"].to_string().contains(s))
        };
        assert_eq!(rules.as_array().unwrap().iter().find(broad), None, "no wildcard");
    }

    #[test]
    fn what_was_adopted_may_be_patched_by_its_own_name() {
        let adopted = Adopted {
            slot: Slot::Blue,
            deployment: "legacy".into(),
            labels: Default::default(),
            service: None,
            scaler: Some(Bounded { name: "theirs".into(), own: Scaler::free(1, 3) }),
            revision: 1,
            active: true,
        };
        let rules = rules(&service(""), Some(&adopted));
        for (resource, name) in [("deployments", "legacy"), ("horizontalpodautoscalers", "theirs")] {
            let named = rules.as_array().unwrap().iter().filter(|r| r["resourceNames"] == json!([name]));
            let named: Vec<_> = named.map(|r| (r["resources"].clone(), r["verbs"].clone())).collect();
            assert_eq!(named, [(json!([resource]), json!(["patch"]))]);
        }
    }

    #[test]
    fn what_the_server_adds_is_no_difference() {
        let wanted = json!({"a": [{"b": 1}], "c": "x"});
        assert!(fulfilled(&wanted, &json!({"a": [{"b": 1, "d": 2}], "c": "x", "e": 1})));
        assert!(!fulfilled(&wanted, &json!({"a": [{"b": 1}, {"b": 2}], "c": "x"})));
        assert!(!fulfilled(&wanted, &json!({"a": [{"b": 2}], "c": "x"})));
    }
}
