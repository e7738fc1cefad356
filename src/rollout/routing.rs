//! How requests find their slot: what a router is asked for, and what a router can do. Pure.

use serde::{Deserialize, Serialize};

use super::Slot;

/// How a router splits requests. In this order: what `matches` goes to the candidate, who holds the affinity's cookie
/// to the slot that it names, and of the rest `weight` percent to `candidate`, the others to the other slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Routing {
    pub candidate: Slot,
    pub weight: u8,
    /// Requests that meet any of these go to the candidate whatever the weight.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub matches: Vec<Match>,
    /// Requests that are copied to the candidate, whose answers are dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mirror: Option<Mirror>,
    /// Clients stay with the slot that they met. Only beside a weight between 0 and 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub affinity: Option<Affinity>,
}

impl Routing {
    /// Everything to one slot.
    pub fn all(slot: Slot) -> Self {
        Routing::split(slot.other(), 0)
    }
    /// `weight` percent to `candidate`, and nothing else.
    pub fn split(candidate: Slot, weight: u8) -> Self {
        Routing { candidate, weight, matches: Vec::new(), mirror: None, affinity: None }
    }
    /// The share of `slot` in percent.
    pub fn weight_of(&self, slot: Slot) -> u8 {
        if slot == self.candidate { self.weight } else { 100 - self.weight.min(100) }
    }
    /// Sends requests the same way, whichever slot either calls the candidate.
    pub fn same(&self, other: &Routing) -> bool {
        self.weight_of(Slot::Blue) == other.weight_of(Slot::Blue)
            && self.matches == other.matches
            && self.mirror == other.mirror
            && self.affinity == other.affinity
            && (!(self.special() || other.special()) || self.candidate == other.candidate)
    }
    /// Whether any request at all may reach `slot`.
    pub fn reaches(&self, slot: Slot) -> bool {
        self.weight_of(slot) > 0
            || (slot == self.candidate && (!self.matches.is_empty() || self.mirror.is_some()))
    }
    /// Something beside the weight decides: matches, a mirror, affinity.
    pub fn special(&self) -> bool {
        !self.matches.is_empty() || self.mirror.is_some() || self.affinity.is_some()
    }
}

/// A request that meets every condition given here.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Match {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<HeaderMatch>,
    /// In capitals: `POST`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Of the request as the client sends it; a prefix ends at a path element.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<MatchValue>,
}

impl Match {
    /// As people read it: `header x-user, POST, path /beta`.
    pub fn label(&self) -> String {
        let header = |h: &HeaderMatch| match h.cookie {
            true => format!("cookie {}", h.name),
            false => format!("header {}", h.name),
        };
        let mut parts: Vec<String> = self.headers.iter().map(header).collect();
        parts.extend(self.method.clone());
        parts.extend(self.path.as_ref().map(|p| format!("path {}", p.text())));
        parts.join(" and ")
    }
}

/// A header (or, by `cookie`, one cookie of the Cookie header) with an exact value, a prefix or a regex.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct HeaderMatch {
    pub name: String,
    #[serde(default)]
    pub cookie: bool,
    #[serde(flatten)]
    pub value: MatchValue,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MatchValue {
    Exact(String),
    Prefix(String),
    /// Of the whole value.
    Regex(String),
}

impl MatchValue {
    pub fn text(&self) -> &str {
        let (MatchValue::Exact(text) | MatchValue::Prefix(text) | MatchValue::Regex(text)) = self;
        text
    }
}

/// Which requests are copied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mirror {
    /// From 1 to 100, of the requests with these methods that are not the candidate's anyway.
    pub percent: u8,
    /// In capitals. Copies of requests that change something change it twice: GET and HEAD, unless someone asked.
    pub methods: Vec<String>,
}

/// A cookie that remembers which slot a client met.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Affinity {
    pub cookie: String,
    /// Seconds; None: as long as the client runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age: Option<u64>,
    /// The cookie's value for who met the candidate: of one rollout, so that an older cookie means nothing.
    pub candidate: String,
    /// For who met the other slot, where those stay too: then the weight is a share of the clients. None: they are
    /// dealt anew with every request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stable: Option<String>,
}

impl Affinity {
    /// What the client is told to keep.
    pub fn set_cookie(&self, value: &str) -> String {
        let age = self.max_age.map(|s| format!("; Max-Age={s}")).unwrap_or_default();
        format!("{}={value}; Path=/{age}; HttpOnly; SameSite=Lax", self.cookie)
    }
}

/// What a router can do beside weights. All false: weights only.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Abilities {
    /// A header with an exact value.
    pub headers: bool,
    /// A header by prefix or regular expression.
    pub expressions: bool,
    /// One cookie by its value.
    pub cookies: bool,
    /// One cookie whose value is `always`.
    pub cookie_always: bool,
    pub methods: bool,
    pub paths: bool,
    /// More than one condition, together or as alternatives.
    pub several: bool,
    /// Copies of every request.
    pub mirror: bool,
    /// Copies of a percentage.
    pub mirror_percent: bool,
    /// Copies of requests with some methods only.
    pub mirror_methods: bool,
    /// Clients that met the candidate stay.
    pub affinity: bool,
    /// Clients stay with whichever slot they met first.
    pub cohorts: bool,
}

impl Abilities {
    pub const ALL: Abilities = Abilities {
        headers: true,
        expressions: true,
        cookies: true,
        cookie_always: true,
        methods: true,
        paths: true,
        several: true,
        mirror: true,
        mirror_percent: true,
        mirror_methods: true,
        affinity: true,
        cohorts: true,
    };

    /// The first part of `routing` that a router with these abilities cannot do.
    pub fn lacks(&self, routing: &Routing) -> Option<Lack> {
        let headers = || routing.matches.iter().flat_map(|m| &m.headers);
        let exact = |h: &HeaderMatch| matches!(h.value, MatchValue::Exact(_));
        let always = |h: &HeaderMatch| self.cookie_always && h.value == MatchValue::Exact("always".into());
        let conditions =
            |m: &Match| m.headers.len() + usize::from(m.method.is_some()) + usize::from(m.path.is_some());
        let of_mirror = |asks: fn(&Mirror) -> bool| routing.mirror.as_ref().is_some_and(asks);
        let cohort = routing.affinity.as_ref().map(|a| a.stable.is_some());
        // Who knows that one value of a cookie has it beside the one header, as an alternative.
        let more = routing.matches.iter().map(conditions).sum::<usize>() > 1;
        let one_of_each = self.cookie_always
            && !self.cookies
            && routing.matches.iter().all(|m| conditions(m) == 1)
            && headers().filter(|h| h.cookie).count() <= 1
            && headers().filter(|h| !h.cookie).count() <= 1;
        let wanted = [
            (self.headers, headers().any(|h| !h.cookie), Lack::HEADERS),
            (self.expressions, headers().any(|h| !h.cookie && !exact(h)), Lack::EXPRESSIONS),
            (self.cookies, headers().any(|h| h.cookie && !always(h)), Lack::COOKIES),
            (self.methods, routing.matches.iter().any(|m| m.method.is_some()), Lack::METHODS),
            (self.paths, routing.matches.iter().any(|m| m.path.is_some()), Lack::PATHS),
            (self.several, more && !one_of_each, Lack::SEVERAL),
            (self.mirror, routing.mirror.is_some(), Lack::MIRROR),
            (self.mirror_percent, of_mirror(|m| m.percent < 100), Lack::MIRROR_PERCENT),
            (self.mirror_methods, of_mirror(|m| !m.methods.is_empty()), Lack::MIRROR_METHODS),
            (self.affinity, cohort == Some(false), Lack::AFFINITY),
            (self.cohorts, cohort == Some(true), Lack::COHORTS),
        ];
        wanted.into_iter().find(|(can, asked, _)| *asked && !can).map(|(_, _, lack)| lack)
    }
}

/// Something that a router cannot do, and which can.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lack {
    pub what: &'static str,
    pub who: &'static str,
}

impl Lack {
    const fn new(what: &'static str, who: &'static str) -> Lack {
        Lack { what, who }
    }
    const HEADERS: Lack = Lack::new("header matches", "every other router");
    const EXPRESSIONS: Lack = Lack::new("header matches by prefix or regex", "every other router");
    const COOKIES: Lack = Lack::new(
        "cookie matches by value (nginx knows `always` alone)",
        "the Gateway API, Istio and a TraefikService",
    );
    const METHODS: Lack = Lack::new("method matches", "the Gateway API, Istio and a TraefikService");
    const PATHS: Lack = Lack::new("path matches", "the Gateway API, Istio and a TraefikService");
    const SEVERAL: Lack = Lack::new("more than one match", "the Gateway API, Istio and a TraefikService");
    const MIRROR: Lack = Lack::new(
        "mirroring",
        "a TraefikService, Istio, and Gateways that support HTTPRouteRequestMirror, as Contour's",
    );
    const MIRROR_PERCENT: Lack = Lack::new(
        "mirroring a percentage: it would copy everything",
        "a TraefikService, Istio, and Gateways that support HTTPRouteRequestPercentageMirror",
    );
    const MIRROR_METHODS: Lack = Lack::new(
        "mirroring by method: it would copy requests that change something",
        "a TraefikService, Istio, and Gateways that mirror",
    );
    const AFFINITY: Lack = Lack::new(
        "affinity by cookie for the candidate's clients alone",
        "Istio, and Gateways of Traefik, Contour, Envoy Gateway and Istio",
    );
    const COHORTS: Lack = Lack::new(
        "a sticky percentage of the clients",
        "a TraefikService, Istio, and Gateways of Traefik, Contour, Envoy Gateway and Istio",
    );
}
