//! What cannot knock a rollout over: drivers killed, frozen, rivalled and cut off, on a real API server; and whether
//! the end is the one of an undisturbed run.

pub mod cuts;
pub mod faults;
mod rivals;
pub mod serving;
mod strangers;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use hyper::Method;
use serde_json::{Map, Value, json};

use crate::harness::{Lab, Msctl, Namespace, Run, Running, V1, V2};
use crate::wire::{self, Wire};

/// One thing a person asks for, and what was there before.
pub struct Case {
    pub name: &'static str,
    /// YAML of every version, at the top level of msctl.yaml.
    pub config: &'static str,
    /// Commands before, each with its exit code; a `deploy` is of the next version.
    pub before: &'static [(&'static [&'static str], i32)],
    pub act: (&'static [&'static str], i32),
    /// What `rollout attach` exits with, once the rest is done.
    pub attach: i32,
}

/// One service in a namespace of its own, run through its versions.
pub struct Bench {
    pub ns: Namespace,
    version: std::cell::Cell<u32>,
}

impl Bench {
    /// On simulated nodes: pods are ready in no time.
    pub fn simulated(name: &str) -> Self {
        Bench { ns: Lab::get().simulated(name), version: Default::default() }
    }

    pub fn folder(&self) -> PathBuf {
        self.ns.home.path().join("orders")
    }

    /// Writes msctl.yaml of that version: another image, another configuration.
    pub fn write(&self, config: &str, version: u32) {
        let image = if version % 2 == 1 { V1 } else { V2 };
        let text = format!("image: {image}\nconfig: {{NAME: orders, VERSION: v{version}}}\n{config}");
        let host = text.replace("HOST", &format!("{}.lab", self.ns.name));
        self.ns.service("orders", &host);
    }

    /// On the real node: pods run and answer.
    pub fn real(name: &str) -> Self {
        Bench { ns: Lab::get().namespace(name, true), version: Default::default() }
    }

    /// The command in the service's folder; a deploy is of the next version.
    pub fn command(&self, case: &Case, args: &[&str]) -> Msctl {
        if args[0] == "deploy" {
            self.version.set(self.version.get() + 1);
        }
        self.write(case.config, self.version.get().max(1));
        self.ns.msctl(args).dir(self.folder())
    }

    pub fn again(&self, args: &[&str]) -> Msctl {
        self.ns.msctl(args).dir(self.folder())
    }

    pub fn prepare(&self, case: &Case) {
        self.version.set(0);
        for (args, code) in case.before {
            self.command(case, args).run().exits(*code);
        }
    }

    /// Deploys the next version, in the background, through the wire.
    pub fn deploy(&self, config: &str, wire: &Wire, args: &[&str]) -> Running {
        self.version.set(self.version.get() + 1);
        self.write(config, self.version.get());
        let driver = self.again(&[&["deploy"], args].concat()).env("KUBECONFIG", &wire.kubeconfig).spawn();
        wire.driver(driver.id());
        driver
    }

    /// Deploys the next version to its end.
    pub fn deployed(&self, config: &str, args: &[&str], code: i32) -> Run {
        self.version.set(self.version.get() + 1);
        self.write(config, self.version.get());
        self.again(&[&["deploy"], args].concat()).run().exits(code)
    }

    pub fn status(&self) -> Value {
        self.again(&["rollout", "status", "-o", "json"]).run().json()
    }

    /// Nothing of the service is left.
    pub fn remove(&self) {
        self.again(&["delete", "--yes"]).run().ok();
        let left = objects(&self.ns.name, false);
        assert!(left.is_empty(), "left by delete: {:?}", left.keys());
    }
}

/// Everything of the service as it stands, without what time and chance put there.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot(pub BTreeMap<String, Value>);

impl Snapshot {
    /// Once no pod is on its way out, and endpoints, which trail the pods, have caught up with them.
    pub fn settled(namespace: &str) -> Self {
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            let now = Snapshot::of(namespace);
            let going = now.0["pods"].to_string().contains("going");
            if (!going && now.endpoints_follow()) || Instant::now() > end {
                return now;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// A slot that the public Service has endpoints of has one for each of its pods.
    fn endpoints_follow(&self) -> bool {
        let pods = |slot: &str| -> u64 {
            let of_slot = |(key, _): &(&String, &Value)| key.split(' ').next() == Some(slot);
            let counts = self.0["pods"].as_object().into_iter().flatten();
            counts.filter(of_slot).filter_map(|(_, n)| n.as_u64()).sum()
        };
        let mut public = self.0["public"].as_object().into_iter().flatten();
        public.all(|(slot, n)| n.as_u64() == Some(pods(slot)))
    }

    pub fn of(namespace: &str) -> Self {
        let mut all = objects(namespace, true);
        let pods = list(namespace, "api/v1", "pods", "labelSelector=app.kubernetes.io%2Fname%3Dorders");
        let label =
            |object: &Value, key: &str| object["metadata"]["labels"][key].as_str().unwrap_or("-").to_owned();
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for pod in &pods {
            let going = if pod["metadata"]["deletionTimestamp"].is_null() { "" } else { " going" };
            let key =
                format!("{} r{}{going}", label(pod, "msctl.dev/slot"), label(pod, "msctl.dev/revision"));
            *counts.entry(key).or_default() += 1;
        }
        all.insert("pods".into(), json!(counts));
        let slices = list(
            namespace,
            "apis/discovery.k8s.io/v1",
            "endpointslices",
            "labelSelector=kubernetes.io%2Fservice-name%3Dorders",
        );
        let mut public: BTreeMap<String, usize> = BTreeMap::new();
        for end in slices.iter().flat_map(|s| s["endpoints"].as_array().cloned().unwrap_or_default()) {
            let name = end["targetRef"]["name"].as_str().unwrap_or_default();
            let pod = pods.iter().find(|p| p["metadata"]["name"] == name);
            let slot = pod.map_or("gone".to_owned(), |p| label(p, "msctl.dev/slot"));
            *public.entry(slot).or_default() += 1;
        }
        all.insert("public".into(), json!(public));
        Snapshot(all)
    }

    pub fn state(&self) -> &Value {
        self.0.get("ConfigMap/orders-rollout").map_or(&Value::Null, |c| &c["data"]["state"])
    }

    /// Differences as lines, for the failure's message.
    pub fn differences(&self, other: &Snapshot) -> String {
        let keys: std::collections::BTreeSet<_> = self.0.keys().chain(other.0.keys()).collect();
        let text = |s: &Snapshot, k: &String| s.0.get(k).map(|v| format!("{v:#}")).unwrap_or_default();
        keys.into_iter()
            .filter(|k| self.0.get(*k) != other.0.get(*k))
            .map(|k| {
                let (a, b) = (text(self, k), text(other, k));
                format!("{k}:\n{}", similar::TextDiff::from_lines(&a, &b).unified_diff().context_radius(2))
            })
            .collect()
    }
}

fn list(namespace: &str, api: &str, plural: &str, query: &str) -> Vec<Value> {
    let found = wire::ask(Method::GET, &format!("/{api}/namespaces/{namespace}/{plural}?{query}"), None);
    found["items"].as_array().cloned().unwrap_or_default()
}

const KINDS: [(&str, &str, &str); 11] = [
    ("apis/apps/v1", "deployments", "Deployment"),
    ("apis/apps/v1", "replicasets", "ReplicaSet"),
    ("api/v1", "services", "Service"),
    ("api/v1", "configmaps", "ConfigMap"),
    ("api/v1", "secrets", "Secret"),
    ("api/v1", "serviceaccounts", "ServiceAccount"),
    ("apis/policy/v1", "poddisruptionbudgets", "PodDisruptionBudget"),
    ("apis/networking.k8s.io/v1", "networkpolicies", "NetworkPolicy"),
    ("apis/autoscaling/v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler"),
    ("apis/coordination.k8s.io/v1", "leases", "Lease"),
    ("apis/gateway.networking.k8s.io/v1", "httproutes", "HTTPRoute"),
];

/// What the namespace holds of the service, by kind and name; every epoch must be the state's.
fn objects(namespace: &str, check: bool) -> BTreeMap<String, Value> {
    let (mut all, mut epochs, mut state) = (BTreeMap::new(), Vec::new(), None);
    for (api, plural, kind) in KINDS {
        for object in list(namespace, api, plural, "") {
            let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            let foreign = matches!(name.as_str(), "default" | "kube-root-ca.crt");
            // Old ReplicaSets are the Deployment's history; they go with it.
            let idle = kind == "ReplicaSet" && object["spec"]["replicas"] == 0;
            // What is told of a deploy is full of times and of those who drove, and kept as well as may be.
            let told = name.starts_with("orders-deploy-") && check;
            if foreign || idle || told || (kind == "ReplicaSet" && !check) {
                continue;
            }
            let key = format!("{kind}/{name}");
            if let Some(epoch) = object["metadata"]["annotations"]["msctl.dev/epoch"].as_str() {
                epochs.push((key.clone(), epoch.to_owned()));
            }
            let clean = cleaned(kind, &object).to_string().replace(namespace, "NAMESPACE");
            let clean = serde_json::from_str(&clean).expect("still JSON");
            if let Some(text) = object["data"]["state"].as_str() {
                let body: Value = serde_json::from_str(text).expect("the state is JSON");
                state = Some(body["epoch"].to_string());
            }
            all.insert(key, clean);
        }
    }
    if let (Some(state), true) = (state, check) {
        // Configuration that a driver made just before it was found to be late is named by its content, and harms nobody.
        let inert = |key: &str| key.starts_with("ReplicaSet") || key.contains("/orders-config-");
        let wrong: Vec<_> = epochs.iter().filter(|(key, e)| *e != state && !inert(key)).collect();
        assert!(wrong.is_empty(), "the state's epoch is {state}, but {wrong:?}");
    }
    all
}

const SET: &str = "applyset.kubernetes.io/id";
const PART_OF: &str = "applyset.kubernetes.io/part-of";

fn cleaned(kind: &str, object: &Value) -> Value {
    let mut kept = Map::new();
    for key in ["spec", "data", "stringData", "immutable"] {
        if !object[key].is_null() {
            kept.insert(key.into(), object[key].clone());
        }
    }
    for key in ["labels", "annotations"] {
        let mut map = object["metadata"][key].as_object().cloned().unwrap_or_default();
        // The checksum and the set's name are of this namespace.
        for gone in
            ["msctl.dev/epoch", "msctl.dev/checksum", "deployment.kubernetes.io/revision", PART_OF, SET]
        {
            map.shift_remove(gone);
        }
        kept.insert(key.into(), map.into());
    }
    let mut kept = Value::from(kept);
    match kind {
        "Service" => ["clusterIP", "clusterIPs"].iter().for_each(|k| {
            kept["spec"].as_object_mut().and_then(|s| s.shift_remove(*k));
        }),
        "HTTPRoute" => {
            let text = kept["annotations"]["msctl.dev/routing"].as_str().unwrap_or("null");
            let mut routing: Value = serde_json::from_str(text).expect("the routing is JSON");
            timeless(&mut routing);
            kept["annotations"]["msctl.dev/routing"] = routing;
        }
        "Lease" => kept["spec"] = json!({"holder": object["spec"]["holderIdentity"]}),
        "ReplicaSet" => {
            let revision = &object["spec"]["template"]["metadata"]["labels"]["msctl.dev/revision"];
            kept = json!({"replicas": object["spec"]["replicas"], "revision": revision});
        }
        "ConfigMap" => {
            if let Some(text) = kept["data"]["state"].as_str() {
                let mut state: Value = serde_json::from_str(text).expect("the state is JSON");
                timeless(&mut state);
                kept["data"]["state"] = state;
            }
        }
        _ => {}
    }
    kept
}

/// Without times, and the epoch, which counts interruptions.
fn timeless(value: &mut Value) {
    match value {
        Value::Object(map) => {
            let time = |v: &Value| v.as_str().is_some_and(|s| s.parse::<jiff::Timestamp>().is_ok());
            map.retain(|k, v| k != "epoch" && !time(v));
            map.values_mut().for_each(timeless);
        }
        Value::Array(items) => items.iter_mut().for_each(timeless),
        _ => {}
    }
}

/// The act, whole, through a wire that only counts: what it wrote, and where it ended.
pub fn undisturbed(bench: &Bench, case: &Case) -> (Vec<String>, Snapshot) {
    bench.prepare(case);
    let wire = Wire::new(&bench.ns);
    let act = bench.command(case, case.act.0).env("KUBECONFIG", &wire.kubeconfig).run();
    act.exits(case.act.1);
    let found = (wire.writes(), Snapshot::settled(&bench.ns.name));
    assert!(!found.0.is_empty(), "nothing was written");
    found
}
