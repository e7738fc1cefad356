//! Tables over whole services: what comes out of msctl.yaml.

use std::path::Path;

use super::*;
use crate::rollout::Slot;

const IMAGE: &str =
    "localhost:5000/shop/orders@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn service(text: &str) -> Service {
    crate::service::parse_yaml(&format!("service: orders\n{text}"), Path::new("msctl.yaml")).expect(text)
}

fn input<'a>(service: &'a Service, secrets: &'a BTreeMap<String, String>) -> Input<'a> {
    Input { service, image: IMAGE, secrets, key: b"key" }
}

fn made(text: &str) -> Template {
    template(&input(&service(text), &BTreeMap::new()))
}

fn one(objects: &[Value], kind: Kind) -> Value {
    objects.iter().find(|o| kind_of(o) == Some(kind)).cloned().unwrap_or_else(|| panic!("no {kind:?}"))
}

#[test]
fn a_pod_is_admitted_under_restricted() {
    let pod = made("").body["podTemplate"]["spec"].clone();
    let container = &pod["containers"][0];
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
    assert_eq!(container["securityContext"]["allowPrivilegeEscalation"], false);
    assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
    assert_eq!(container["securityContext"]["capabilities"]["drop"], serde_json::json!(["ALL"]));
    assert_eq!(pod["automountServiceAccountToken"], false);
    assert_eq!(
        (&pod["terminationGracePeriodSeconds"], &container["lifecycle"]["preStop"]["sleep"]["seconds"]),
        (&30.into(), &5.into())
    );
    assert_eq!(container["env"][0], serde_json::json!({"name": "PORT", "value": "8080"}));
    assert_eq!(container["readinessProbe"]["periodSeconds"], 1);
    let live = &container["livenessProbe"];
    let [delay, period, failures] = ["initialDelaySeconds", "periodSeconds", "failureThreshold"]
        .map(|key| live[key].as_u64().expect("a number"));
    assert_eq!(delay + period * failures, 120, "a slow start is no death: {live}");
    assert!(pod["volumes"].as_array().expect("volumes").iter().all(|v| v.get("emptyDir").is_some()));
}

#[test]
fn a_hash_names_the_pod_template_alone() {
    let hash = |text: &str| made(text).hash;
    let base = hash("replicas: 2\nconfig: {A: x}");
    for same in [
        "replicas: 7\nconfig: {A: x}",
        "config: {A: x}\nrollout: {surge: 50%}",
        "config: {A: x}\nautoscaling: {min: 1, max: 3}",
    ] {
        assert_eq!(hash(same), base, "{same}");
    }
    for other in ["config: {A: y}", "config: {A: x}\nport: 9090", "config: {A: x}\npod: {labels: {team: a}}"]
    {
        assert_ne!(hash(other), base, "{other}");
    }
}

#[test]
fn slots_differ_in_the_slot_alone() {
    let template = made("");
    let blue = slot_objects(&template, Slot::Blue, 3);
    let green = slot_objects(&template, Slot::Green, 3);
    let text = |objects: &[Value]| serde_json::to_string(objects).expect("prints");
    assert_eq!(text(&blue).replace("blue", "green"), text(&green));
    let deployment = one(&blue, Kind::Deployment);
    assert_eq!(deployment["spec"]["template"]["metadata"]["labels"]["msctl.dev/revision"], "3");
    let selector = &deployment["spec"]["selector"]["matchLabels"];
    assert_eq!(selector, &serde_json::json!({"app.kubernetes.io/name": "orders", "msctl.dev/slot": "blue"}));
    let spread = &deployment["spec"]["template"]["spec"]["topologySpreadConstraints"][0];
    assert_eq!(&spread["labelSelector"]["matchLabels"], selector);
}

#[test]
fn what_a_rollout_owns_is_never_applied() {
    let service = service("expose: {host: shop.example.com}");
    let none = BTreeMap::new();
    let gateway = Gateway { namespace: "edge".into(), name: "public".into() };
    let expose = service.expose.as_ref().expect("is exposed");
    let route = http_route(&service, expose, &gateway, serde_json::json!([]));
    let mut all: Vec<Value> =
        shared(&input(&service, &none), vec![route], Slot::Blue).into_iter().flatten().collect();
    all.extend(slot_objects(&template(&input(&service, &none)), Slot::Green, 1));
    let absent = |object: &Value, path: &str| inert(object).pointer(path).is_none();
    assert!(absent(&one(&all, Kind::Deployment), "/spec/replicas"));
    assert!(absent(&one(&all, Kind::HttpRoute), "/spec/rules"));
    for service in all.iter().filter(|o| kind_of(o) == Some(Kind::Service)) {
        assert_eq!(absent(service, "/spec/selector"), name_of(service) == "orders", "{service}");
    }
    for object in &all {
        let text = object.to_string();
        assert!(!text.contains("Recreate"));
        let sum = |epoch| stamped(object, "set", epoch)["metadata"]["annotations"][names::CHECKSUM].clone();
        assert_eq!(sum(1), sum(2), "the epoch is not part of the checksum");
    }
}

#[test]
fn strategies_are_what_kubernetes_takes() {
    for (text, surge, unavailable) in [
        ("", serde_json::json!("25%"), serde_json::json!(0)),
        ("rollout: {surge: 0}", serde_json::json!(0), serde_json::json!(1)),
        ("rollout: {surge: 0%, unavailable: 0%}", serde_json::json!("0%"), serde_json::json!(1)),
        ("rollout: {surge: 12.5%, unavailable: 12.5%}", serde_json::json!("13%"), serde_json::json!("12%")),
        ("rollout: {surge: 2, unavailable: 1}", serde_json::json!(2), serde_json::json!(1)),
    ] {
        let deployment = one(&slot_objects(&made(text), Slot::Blue, 1), Kind::Deployment);
        let update = &deployment["spec"]["strategy"]["rollingUpdate"];
        assert_eq!((&update["maxSurge"], &update["maxUnavailable"]), (&surge, &unavailable), "{text}");
    }
}

#[test]
fn autoscalers_only_when_asked() {
    assert_eq!(slot_objects(&made(""), Slot::Blue, 1).len(), 3);
    let scaler = one(
        &slot_objects(&made("autoscaling: {min: 2, max: 5, cpu: 70}"), Slot::Blue, 1),
        Kind::HorizontalPodAutoscaler,
    );
    assert_eq!(scaler["spec"]["scaleTargetRef"]["name"], "orders-blue");
    assert_eq!((&scaler["spec"]["minReplicas"], &scaler["spec"]["maxReplicas"]), (&2.into(), &5.into()));
}

#[test]
fn configuration_is_named_by_content() {
    let service =
        service("config: {B: 2, A: yes}\nsecrets: {TOKEN: {fromEnv: T}, OLD: {fromSecret: vault/key}}");
    let name = |value: &str, key: &[u8]| {
        let secrets = BTreeMap::from([("TOKEN".to_owned(), value.to_owned())]);
        let input = Input { service: &service, image: IMAGE, secrets: &secrets, key };
        let [first, ..] = shared(&input, Vec::new(), Slot::Blue);
        let secret = one(&first, Kind::Secret);
        assert_eq!(
            (&secret["immutable"], &one(&first, Kind::ConfigMap)["immutable"]),
            (&true.into(), &true.into())
        );
        assert!(stamped(&secret, "set", 1)["metadata"]["annotations"].get(names::CHECKSUM).is_none());
        let template = template(&input);
        assert!(!template.body.to_string().contains(value), "a template holds no secret value");
        let env = template.body["podTemplate"]["spec"]["containers"][0].clone();
        assert_eq!(env["envFrom"][1]["secretRef"]["name"], name_of(&secret));
        assert_eq!(
            env["env"][1]["valueFrom"]["secretKeyRef"],
            serde_json::json!({"name": "vault", "key": "key"})
        );
        name_of(&secret).to_owned()
    };
    assert_eq!(name("hunter2", b"k"), name("hunter2", b"k"));
    assert_ne!(name("hunter2", b"k"), name("hunter3", b"k"));
    assert_ne!(name("hunter2", b"k"), name("hunter2", b"l"), "the name depends on the key");
}

#[test]
fn versions_are_label_values() {
    for (image, version) in [
        (IMAGE, "0123456789ab"),
        ("reg:5000/a/b:v1.2.3@sha256:0123456789abcdef", "v1.2.3"),
        ("b:-x+y-", "x-y"),
        ("b", "unknown"),
    ] {
        assert_eq!(pod::version(image), version, "{image}");
    }
}

/// What a NetworkPolicy says of one connection, as its specification has it.
fn allows(policy: &Value, direction: &str, peer: &Peer, protocol: &str, port: u16) -> bool {
    let spec = &policy["spec"];
    let typed = spec["policyTypes"].as_array().is_some_and(|t| t.iter().any(|t| t == direction));
    let (rules, side) =
        if direction == "Ingress" { (&spec["ingress"], "from") } else { (&spec["egress"], "to") };
    !typed
        || rules.as_array().into_iter().flatten().any(|rule| {
            let ports = rule["ports"].as_array().is_none_or(|ports| {
                ports.iter().any(|p| p["port"] == port && p["protocol"].as_str().unwrap_or("TCP") == protocol)
            });
            let peers = rule[side].as_array().is_none_or(|peers| peers.iter().any(|p| peer.matches(p)));
            ports && peers
        })
}

struct Peer {
    ip: [u8; 4],
    namespace: &'static str,
    labels: &'static [(&'static str, &'static str)],
}

impl Peer {
    fn matches(&self, peer: &Value) -> bool {
        if let Some(cidr) = peer["ipBlock"]["cidr"].as_str() {
            let (base, bits) = cidr.split_once('/').expect("a range");
            let base: Vec<u8> = base.split('.').map(|b| b.parse().expect("a byte")).collect();
            let number = |b: &[u8]| u32::from_be_bytes([b[0], b[1], b[2], b[3]]);
            let mask = u32::MAX.checked_shl(32 - bits.parse::<u32>().expect("bits")).unwrap_or(0);
            return number(&base) & mask == number(&self.ip) & mask;
        }
        let pods = |labels: &Value| {
            labels
                .as_object()
                .is_none_or(|m| m.iter().all(|(k, v)| self.labels.iter().any(|(a, b)| a == k && v == b)))
        };
        let namespace = &peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"];
        (namespace.is_null() || namespace == self.namespace) && pods(&peer["podSelector"]["matchLabels"])
    }
}

#[test]
fn the_network_policy_denies_all_but_what_is_declared() {
    let text = "needs: {database: {kind: postgres}, bus: {kind: kafka, port: 9094}}\n\
                egress: [{cidr: 10.1.0.0/16, ports: [443]}, {pods: {app: mail}, ports: [25]}]";
    let none = BTreeMap::new();
    let policy = |text: &str| {
        let service = service(text);
        one(&shared(&input(&service, &none), Vec::new(), Slot::Blue).concat(), Kind::NetworkPolicy)
    };
    let (open, closed) = (policy(text), policy(""));
    let dns = Peer { ip: [10, 77, 0, 2], namespace: "kube-system", labels: &[("k8s-app", "kube-dns")] };
    let local = Peer { ip: [169, 254, 20, 10], namespace: "", labels: &[] };
    let world = Peer { ip: [8, 8, 8, 8], namespace: "", labels: &[] };
    let inside = Peer { ip: [10, 1, 2, 3], namespace: "", labels: &[] };
    let mail = Peer { ip: [10, 77, 0, 9], namespace: "shop", labels: &[("app", "mail")] };
    let cases = [
        ("Ingress", &world, "TCP", 8080, true, true),
        ("Ingress", &world, "TCP", 9000, false, false),
        ("Ingress", &world, "UDP", 8080, false, false),
        ("Egress", &dns, "UDP", 53, true, true),
        ("Egress", &local, "TCP", 53, true, true),
        ("Egress", &world, "UDP", 53, false, false),
        ("Egress", &dns, "TCP", 443, false, false),
        ("Egress", &world, "TCP", 5432, true, false),
        ("Egress", &world, "TCP", 9094, true, false),
        ("Egress", &world, "TCP", 9092, false, false),
        ("Egress", &inside, "TCP", 443, true, false),
        ("Egress", &world, "TCP", 443, false, false),
        ("Egress", &mail, "TCP", 25, true, false),
        ("Egress", &world, "TCP", 25, false, false),
    ];
    for (direction, peer, protocol, port, with, without) in cases {
        assert_eq!(allows(&open, direction, peer, protocol, port), with, "{direction} {protocol} {port}");
        assert_eq!(
            allows(&closed, direction, peer, protocol, port),
            without,
            "bare: {direction} {protocol} {port}"
        );
    }
    assert_eq!(
        closed["spec"]["podSelector"]["matchLabels"],
        serde_json::json!({"app.kubernetes.io/name": "orders"})
    );
}

#[test]
fn yaml_reads_back_as_text() {
    for text in [
        "yes",
        "on",
        "No",
        "012",
        "1e3",
        "0x1f",
        "1_000",
        "~",
        "null",
        "",
        " a",
        "a ",
        "a: b",
        "- a",
        "#x",
        "12:30:45",
        "2026-01-01",
        ".inf",
        "a#b",
        "@a",
        "%a",
        "line\nline",
        "ü",
        "y",
        "=",
        "<<",
        "a:",
        "sha256:abc",
        "10m",
        "/health",
        "{}",
    ] {
        let object = serde_json::json!({"data": {"KEY": text}, "list": [text, {"a": text, "b": [1, text]}, []], "none": {}});
        let printed = to_yaml(&object);
        let read: Value = serde_yaml::from_str(&printed).unwrap_or_else(|e| panic!("{e}\n{printed}"));
        assert_eq!(read, object, "{printed}");
    }
    assert_eq!(
        to_yaml(&serde_json::json!({"a": {"b": [{"c": 1, "d": true}], "e": "on"}})),
        "a:\n  b:\n  - c: 1\n    d: true\n  e: \"on\"\n"
    );
}
