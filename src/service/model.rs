//! The types of msctl.yaml but for its rollout. Doc comments here are the descriptions in the published JSON Schema.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de};

use super::{Duration, Environment, Rollout};

/// One service, as msctl.yaml declares it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Service {
    /// `msctl.dev/v1`.
    #[serde(default)]
    pub api_version: ApiVersion,
    /// The service's name, a DNS label.
    #[serde(default)]
    pub service: String,
    /// Folders of services, `services/*`; such a file declares no service of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workspace: Option<Vec<String>>,
    /// Services that must be healthy before this one is deployed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<String>,
    /// The template this service came from; written by `msctl new`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<TemplateOrigin>,
    /// Where the image comes from: built here, or a reference built elsewhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<Image>,
    /// How the local platform builds and starts the service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<Run>,
    /// The port the service listens on; it is told by the variable PORT.
    #[serde(default = "default_port")]
    pub port: u16,
    /// Probe paths.
    #[serde(default)]
    pub health: Health,
    /// Where and under which names metrics are served.
    #[serde(default)]
    pub metrics: Metrics,
    /// Number of pods. Default 1.
    #[serde(default = "default_replicas")]
    pub replicas: u32,
    /// Scale by load, in place of `replicas`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub autoscaling: Option<Autoscaling>,
    /// Requests and limits of a pod.
    #[serde(default)]
    pub resources: Resources,
    /// Plain environment variables.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub config: BTreeMap<String, Scalar>,
    /// Secret environment variables, and where their values come from at deploy time.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, SecretSource>,
    /// Backing services; opens the network policy towards them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub needs: BTreeMap<String, Need>,
    /// Further destinations the pods may connect to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub egress: Vec<Egress>,
    /// Database migrations around a deploy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub migrations: Option<Migrations>,
    /// Reachable from outside the cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expose: Option<Expose>,
    /// What splits the traffic.
    #[serde(default)]
    pub traffic: Traffic,
    /// Labels, annotations and pull secrets of the pods.
    #[serde(default)]
    pub pod: Pod,
    /// How a new version takes over.
    #[serde(default)]
    pub rollout: Rollout,
    /// Image of msctl that drives in the cluster (`deploy --detach`), one that its nodes can pull.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub driver_image: Option<String>,
    /// Places to deploy to; each may override any key above.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub environments: BTreeMap<String, Environment>,
    /// The environment used without `-e`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_environment: Option<String>,
}

fn default_port() -> u16 {
    8080
}
fn default_replicas() -> u32 {
    1
}

#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, JsonSchema)]
pub enum ApiVersion {
    #[default]
    #[serde(rename = "msctl.dev/v1")]
    V1,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TemplateOrigin {
    pub name: String,
    pub version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
}

/// An image built from this folder, or a reference to one built elsewhere.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Image {
    Reference(String),
    Built(BuiltImage),
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BuiltImage {
    /// Registry and name, without a tag: `ghcr.io/shop/orders`.
    pub repository: String,
    /// Default `Dockerfile`.
    #[serde(default = "default_dockerfile")]
    pub dockerfile: String,
    /// Folder of the build context. Default: the service's folder.
    #[serde(default = "default_context")]
    pub context: String,
    /// `git`: from the commit and the changed files.
    #[serde(default)]
    pub tag: TagPolicy,
    /// Build arguments.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub args: BTreeMap<String, Scalar>,
    /// Stage of the Dockerfile to build.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
}

fn default_dockerfile() -> String {
    "Dockerfile".into()
}
fn default_context() -> String {
    ".".into()
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TagPolicy {
    #[default]
    Git,
}

impl<'de> Deserialize<'de> for Image {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> de::Visitor<'de> for V {
            type Value = Image;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an image reference, or `repository` and how to build it")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Image, E> {
                Ok(Image::Reference(text.to_owned()))
            }
            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Image, A::Error> {
                BuiltImage::deserialize(de::value::MapAccessDeserializer::new(map)).map(Image::Built)
            }
        }
        d.deserialize_any(V)
    }
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Run {
    /// Shell command that builds, run in a copy of the service's folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub build: Option<String>,
    /// Command that starts the service; it gets PORT.
    pub command: String,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Health {
    /// 200 while the process can make progress.
    pub live: String,
    /// 200 when requests can be served.
    pub ready: String,
    /// Seconds between two readiness probes.
    pub period: Duration,
}

impl Default for Health {
    fn default() -> Self {
        Health { live: "/health/live".into(), ready: "/health/ready".into(), period: Duration::secs(1) }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Metrics {
    pub path: String,
    /// Counter of requests, where it is not the duration histogram's own count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests: Option<String>,
    /// Histogram of request durations in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration: Option<String>,
    /// Label that holds the response status.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
}

impl Default for Metrics {
    fn default() -> Self {
        Metrics { path: "/metrics".into(), requests: None, duration: None, status: None }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Autoscaling {
    pub min: u32,
    pub max: u32,
    /// Target use of the requested CPU, in percent. Default 80.
    #[serde(default = "default_cpu_target")]
    pub cpu: u32,
}

fn default_cpu_target() -> u32 {
    80
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Resources {
    /// Requested CPU, such as 100m.
    pub cpu: String,
    /// Requested and limiting memory, such as 128Mi.
    pub memory: String,
    /// CPU limit; none by default, since throttling costs latency.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_limit: Option<String>,
}

impl Default for Resources {
    fn default() -> Self {
        Resources { cpu: "100m".into(), memory: "128Mi".into(), cpu_limit: None }
    }
}

/// A text, number or boolean; used as text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct Scalar(pub String);

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct V;
        impl de::Visitor<'_> for V {
            type Value = Scalar;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, a number, or true or false")
            }
            fn visit_str<E: de::Error>(self, v: &str) -> Result<Scalar, E> {
                Ok(Scalar(v.to_owned()))
            }
            fn visit_bool<E: de::Error>(self, v: bool) -> Result<Scalar, E> {
                Ok(Scalar(v.to_string()))
            }
            fn visit_u64<E: de::Error>(self, v: u64) -> Result<Scalar, E> {
                Ok(Scalar(v.to_string()))
            }
            fn visit_i64<E: de::Error>(self, v: i64) -> Result<Scalar, E> {
                Ok(Scalar(v.to_string()))
            }
            fn visit_f64<E: de::Error>(self, v: f64) -> Result<Scalar, E> {
                Ok(Scalar(v.to_string()))
            }
        }
        d.deserialize_any(V)
    }
}

/// Where a secret's value comes from. The value itself never enters a file of msctl.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum SecretSource {
    /// A variable of the environment `msctl deploy` runs in.
    FromEnv(String),
    /// A file, relative to msctl.yaml.
    FromFile(String),
    /// `NAME/KEY` of a Secret that is already in the namespace.
    FromSecret(String),
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Need {
    /// postgres, mysql, redis, memcached, kafka, rabbitmq, nats, mongodb, cassandra, http.
    pub kind: String,
    /// Port, where it is not the usual one of the kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Egress {
    /// Address range such as 10.0.0.0/8; any when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cidr: Option<String>,
    /// Pods with these labels, in any namespace.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pods: BTreeMap<String, String>,
    /// Ports; all when left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<u16>,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Migrations {
    /// Command of the service's image, run before its first pod starts: what the version before can live with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expand: Vec<String>,
    /// Command of the service's image, run when no revision that could come back needs the old schema.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub contract: Vec<String>,
    /// How long either may take.
    #[serde(default = "default_migration_timeout")]
    pub timeout: Duration,
}

fn default_migration_timeout() -> Duration {
    Duration::secs(15 * 60)
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Expose {
    pub host: String,
    #[serde(default = "default_path")]
    pub path: String,
}

fn default_path() -> String {
    "/".into()
}

#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Traffic {
    pub router: RouterKind,
    /// `NAMESPACE/NAME` of the Gateway; for traefik and nginx the name of the IngressClass.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RouterKind {
    #[default]
    Auto,
    GatewayApi,
    Istio,
    Traefik,
    Nginx,
    None,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Pod {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Secrets of type `kubernetes.io/dockerconfigjson` with which nodes pull the image; they must be there already.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pull_secrets: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PlatformKind {
    Local,
    Kubernetes,
}

/// Where an environment is.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct EnvironmentTarget {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<PlatformKind>,
    /// Kubeconfig context.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Changes must be confirmed by the environment's name.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub protected: bool,
}

impl EnvironmentTarget {
    /// Kubernetes unless it says local.
    pub fn kind(&self) -> PlatformKind {
        self.platform.unwrap_or(PlatformKind::Kubernetes)
    }
}
