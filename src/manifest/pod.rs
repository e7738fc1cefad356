//! The pod template, slot-neutral: admitted under Pod Security *restricted*, probed, drained, spread.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::object::labels;
use super::{Configuration, Input, names};
use crate::service::{SecretSource, Service};

/// Seconds a pod goes on serving after it was told to end: longer than routers and kube-proxy lag.
const PRE_STOP: u32 = 5;
/// Covers the pre-stop and the 20 s a service may take to drain.
const GRACE: u32 = 30;
/// Seconds a service may take until it answers at all: a JVM on a busy node needs one minute.
const START: u64 = 120;
/// Seconds between two questions whether it lives, and how many it may miss.
const LIVE: (u64, u32) = (10, 3);

pub(super) fn template(input: &Input<'_>, configuration: &Configuration) -> Value {
    let service = input.service;
    let mut all: BTreeMap<String, String> = service.pod.labels.clone();
    all.extend(labels(&service.service));
    all.insert(names::VERSION.into(), version(input.image));
    let mut metadata = json!({"labels": all});
    if !service.pod.annotations.is_empty() {
        metadata["annotations"] = json!(service.pod.annotations);
    }
    let mut template = json!({
        "metadata": metadata,
        "spec": {
            "serviceAccountName": service.service,
            "automountServiceAccountToken": false,
            "enableServiceLinks": false,
            "terminationGracePeriodSeconds": GRACE,
            "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
            "topologySpreadConstraints": [spread("kubernetes.io/hostname"), spread("topology.kubernetes.io/zone")],
            "volumes": [{"name": "tmp", "emptyDir": {}}],
            "containers": [container(input, configuration)],
        },
    });
    if !service.pod.pull_secrets.is_empty() {
        let named = service.pod.pull_secrets.iter().map(|name| json!({"name": name}));
        template["spec"]["imagePullSecrets"] = named.collect();
    }
    template
}

/// Evenly, where it can be done; the slot label joins when the slot is known, so that slots do not count each other.
fn spread(topology: &str) -> Value {
    json!({
        "maxSkew": 1,
        "topologyKey": topology,
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": {}},
        "matchLabelKeys": ["pod-template-hash"],
    })
}

fn container(input: &Input<'_>, configuration: &Configuration) -> Value {
    let service = input.service;
    let probe = |path: &str, period: u64, failures: u32| {
        json!({
            "httpGet": {"path": path, "port": names::PORT_NAME, "scheme": "HTTP"},
            "periodSeconds": period.max(1), "timeoutSeconds": 2, "failureThreshold": failures,
        })
    };
    // No startup probe: readiness is not asked for before it has passed, which costs every pod up to a second.
    let mut live = probe(&service.health.live, LIVE.0, LIVE.1);
    live["initialDelaySeconds"] = (START - LIVE.0 * u64::from(LIVE.1)).into();
    let mut container = json!({
        "name": names::CONTAINER,
        "image": input.image,
        "ports": [{"name": names::PORT_NAME, "containerPort": service.port, "protocol": "TCP"}],
        "env": variables(service),
        "livenessProbe": live,
        "readinessProbe": probe(&service.health.ready, service.health.period.0.as_secs(), 3),
        "lifecycle": {"preStop": {"sleep": {"seconds": PRE_STOP}}},
        "resources": resources(service),
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": {"drop": ["ALL"]},
        },
        // The log's end then stands in the pod's status, where the cause of a crash is read without another request.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
    });
    let mut from = Vec::new();
    from.extend(configuration.config().map(|name| json!({"configMapRef": {"name": name}})));
    from.extend(configuration.secret().map(|name| json!({"secretRef": {"name": name}})));
    if !from.is_empty() {
        container["envFrom"] = from.into();
    }
    container
}

fn variables(service: &Service) -> Vec<Value> {
    let mut variables = vec![json!({"name": "PORT", "value": service.port.to_string()})];
    for (name, source) in &service.secrets {
        if let SecretSource::FromSecret(reference) = source {
            let (secret, key) = reference.split_once('/').unwrap_or((reference, name));
            variables
                .push(json!({"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}}));
        }
    }
    variables
}

fn resources(service: &Service) -> Value {
    let mut resources = json!({
        "requests": {"cpu": service.resources.cpu, "memory": service.resources.memory},
        "limits": {"memory": service.resources.memory},
    });
    if let Some(limit) = &service.resources.cpu_limit {
        resources["limits"]["cpu"] = limit.clone().into();
    }
    resources
}

/// A label value that tells versions apart: the image's tag, else the start of its digest.
pub(super) fn version(image: &str) -> String {
    let (name, digest) = image.split_once('@').unwrap_or((image, ""));
    let last = name.rsplit('/').next().unwrap_or(name);
    let tag = last.split_once(':').map(|(_, tag)| tag);
    let digest = digest.split_once(':').map_or("", |(_, hex)| hex);
    let text = tag.unwrap_or_else(|| digest.get(..12).unwrap_or("unknown"));
    let fits = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' };
    let text: String = text.chars().take(63).map(fits).collect();
    text.trim_matches(|c: char| !c.is_ascii_alphanumeric()).to_owned()
}
