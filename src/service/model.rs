//! The types of msctl.yaml. Doc comments here are the descriptions in the published JSON Schema.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de};

use super::{Amount, Duration, Environment, MetricSpec, Percent};

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
    /// Command run before the candidate gets traffic.
    #[serde(default)]
    pub expand: Vec<String>,
    /// Command run when no revision needs the old schema.
    #[serde(default)]
    pub contract: Vec<String>,
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

/// How a new version takes over.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Rollout {
    pub strategy: Strategy,
    /// Pods above the replicas while they are replaced; rounds up.
    pub surge: Amount,
    /// Pods that may be missing while they are replaced; rounds down.
    pub unavailable: Amount,
    /// No progress for so long: failed.
    pub progress_deadline: Duration,
    /// A pod counts as available after being ready so long.
    pub min_ready: Duration,
    /// Revisions kept, with their configuration and secrets.
    pub history: u32,
    /// Returning to one of the last N live revisions skips steps and analysis.
    pub rollback_window: u32,
    /// The old slot keeps its pods so long after the switch.
    pub scale_down_delay: Duration,
    /// An aborted candidate keeps its pods so long; 0 is for ever.
    pub abort_delay: Duration,
    /// With a router: the live slot shrinks as the candidate grows.
    pub dynamic_stable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub affinity: Option<Affinity>,
    /// Steps of a canary.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<StepSpec>,
    pub blue_green: BlueGreen,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ab: Option<Ab>,
    pub mirror: MirrorSpec,
    pub analysis: Analysis,
}

impl Default for Rollout {
    fn default() -> Self {
        Rollout {
            strategy: Strategy::Rolling,
            surge: Amount::Share(Percent(25.0)),
            unavailable: Amount::Count(0),
            progress_deadline: Duration::secs(600),
            min_ready: Duration::secs(0),
            history: 10,
            rollback_window: 2,
            scale_down_delay: Duration::secs(30),
            abort_delay: Duration::secs(30),
            dynamic_stable: false,
            affinity: None,
            steps: Vec::new(),
            blue_green: BlueGreen::default(),
            ab: None,
            mirror: MirrorSpec::default(),
            analysis: Analysis::default(),
        }
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    #[default]
    Rolling,
    Canary,
    BlueGreen,
    Ab,
    Mirror,
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Strategy::Rolling => "rolling",
            Strategy::Canary => "canary",
            Strategy::BlueGreen => "blue-green",
            Strategy::Ab => "ab",
            Strategy::Mirror => "mirror",
        })
    }
}

/// A client that met the candidate stays with it, by a cookie, until the weight is 0.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Affinity {
    pub cookie: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age: Option<Duration>,
}

/// One step; exactly one action is named.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct StepSpec {
    /// The candidate's share of the traffic, in percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<u8>,
    /// Candidate pods: a number, a percentage, or `match` to follow the weight again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale: Option<ScaleSpec>,
    /// Wait so long; `{}` waits for a person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pause: Option<PauseSpec>,
    /// Judge the metrics for so long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub analyze: Option<Duration>,
    /// Metrics of this analyze or experiment; all when none is named.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub metrics: Vec<String>,
    /// Requests with this header go to the candidate until the next pause or analysis is over; `{}` removes the rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header: Option<HeaderSpec>,
    /// Requests that meet any of these go to the candidate until the next pause or analysis is over; `[]` removes
    /// the rule.
    #[serde(rename = "match", skip_serializing_if = "Option::is_none")]
    pub matches: Option<Vec<MatchSpec>>,
    /// Copy so many percent of the requests to the candidate; 0 stops it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mirror: Option<u8>,
    /// Of the requests that this mirror copies; `rollout.mirror.methods` unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub methods: Option<Vec<String>>,
    /// Fresh pods of both versions, judged against each other for so long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub experiment: Option<Duration>,
}

impl StepSpec {
    /// The names of the actions that are set.
    pub fn actions(&self) -> Vec<&'static str> {
        [
            ("weight", self.weight.is_some()),
            ("scale", self.scale.is_some()),
            ("pause", self.pause.is_some()),
            ("analyze", self.analyze.is_some()),
            ("header", self.header.is_some()),
            ("match", self.matches.is_some()),
            ("mirror", self.mirror.is_some()),
            ("experiment", self.experiment.is_some()),
        ]
        .into_iter()
        .filter_map(|(name, set)| set.then_some(name))
        .collect()
    }
}

/// `match`, a number of pods, or a percentage.
#[derive(Debug, Clone, Copy, PartialEq, JsonSchema)]
#[schemars(untagged)]
pub enum ScaleSpec {
    Match,
    Amount(Amount),
}

impl Serialize for ScaleSpec {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self {
            ScaleSpec::Match => s.serialize_str("match"),
            ScaleSpec::Amount(amount) => amount.serialize(s),
        }
    }
}

impl<'de> Deserialize<'de> for ScaleSpec {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let Scalar(text) = Scalar::deserialize(d)?;
        if text == "match" {
            return Ok(ScaleSpec::Match);
        }
        text.parse().map(ScaleSpec::Amount).map_err(de::Error::custom)
    }
}

/// A duration, or `{}` for a person.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum PauseSpec {
    For(Duration),
    Person {},
}

impl<'de> Deserialize<'de> for PauseSpec {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> de::Visitor<'de> for V {
            type Value = PauseSpec;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration, or {} to wait for a person")
            }
            fn visit_str<E: de::Error>(self, v: &str) -> Result<PauseSpec, E> {
                v.parse().map(PauseSpec::For).map_err(E::custom)
            }
            fn visit_u64<E: de::Error>(self, v: u64) -> Result<PauseSpec, E> {
                Ok(PauseSpec::For(Duration::secs(v)))
            }
            fn visit_i64<E: de::Error>(self, v: i64) -> Result<PauseSpec, E> {
                u64::try_from(v).map(|v| PauseSpec::For(Duration::secs(v))).map_err(E::custom)
            }
            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<PauseSpec, A::Error> {
                match map.next_key::<String>()? {
                    None => Ok(PauseSpec::Person {}),
                    Some(key) => Err(de::Error::custom(format!("unknown field `{key}`, expected {{}}"))),
                }
            }
        }
        d.deserialize_any(V)
    }
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct HeaderSpec {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exact: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub regex: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct BlueGreen {
    /// Pods of the preview; `all` or a number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preview_replicas: Option<Scalar>,
    /// `auto`, a duration, or `manual`.
    pub promote: Scalar,
    /// Metrics judged before the switch.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pre: Vec<String>,
    /// Metrics judged after the switch.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub post: Vec<String>,
}

impl Default for BlueGreen {
    fn default() -> Self {
        BlueGreen { preview_replicas: None, promote: Scalar("auto".into()), pre: vec![], post: vec![] }
    }
}

/// Who meets the candidate in an A/B test.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Ab {
    /// Requests that meet any of these go to the candidate.
    #[serde(rename = "match")]
    pub matches: Vec<MatchSpec>,
    /// So many percent of the other clients go to the candidate and stay; they are told apart by a cookie.
    pub percent: u8,
    /// Ends the test: by the metrics if there are any, else promoted. Without it a person decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Duration>,
}

/// Which requests are copied to the candidate, whose answers nobody gets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct MirrorSpec {
    pub percent: u8,
    /// Others than GET and HEAD change something twice; `*` is all.
    pub methods: Vec<String>,
    /// Ends the test: by the metrics if there are any, else promoted. Without it a person decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Duration>,
}

impl Default for MirrorSpec {
    fn default() -> Self {
        MirrorSpec { percent: 100, methods: ["GET", "HEAD"].map(str::to_owned).to_vec(), until: None }
    }
}

/// A request that meets every condition given.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct MatchSpec {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header: Option<HeaderSpec>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cookie: Option<HeaderSpec>,
    /// Such as `POST`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The whole path as the client asks for it; a prefix ends at a path element.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathSpec>,
}

/// One of the three.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct PathSpec {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exact: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub regex: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Analysis {
    /// Judged from the first weight on, beside the steps.
    pub background: bool,
    /// Between two measurements.
    pub interval: Duration,
    /// Not judged for so long after the first weight.
    pub warm_up: Duration,
    /// What no data means.
    pub no_data: NoData,
    pub metrics: Vec<MetricSpec>,
}

impl Default for Analysis {
    fn default() -> Self {
        Analysis {
            background: true,
            interval: Duration::secs(10),
            warm_up: Duration::secs(30),
            no_data: NoData::Inconclusive,
            metrics: Vec::new(),
        }
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum NoData {
    #[default]
    Inconclusive,
    Pass,
    Fail,
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
