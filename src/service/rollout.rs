//! How a version takes over, as msctl.yaml says it: strategy, steps, matches, analysis.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de};

use super::{Amount, Duration, MetricSpec, Percent, Scalar};

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
