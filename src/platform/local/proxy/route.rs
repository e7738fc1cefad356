//! Which slot, and which process of it, a request goes to. Pure but for its counters.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hyper::Method;
use hyper::header::{COOKIE, HeaderMap, HeaderValue};
use hyper::http::request::Parts;
use regex::Regex;

use super::backend::Endpoint;
use super::split::Split;
use crate::rollout::{Affinity, HeaderMatch, Match, MatchValue, Routing, Slot};

/// Rules with their expressions compiled, and how far their shares have been dealt.
pub struct Rules {
    pub routing: Routing,
    matches: Vec<Condition>,
    split: Split,
    mirror: Split,
}

/// A match with its expressions compiled: one for each header, and the path's.
struct Condition {
    wanted: Match,
    headers: Vec<Option<Regex>>,
    path: Option<Regex>,
}

fn compile(value: &MatchValue) -> Result<Option<Regex>, String> {
    match value {
        MatchValue::Regex(text) => Regex::new(&format!("^(?:{text})$"))
            .map(Some)
            .map_err(|e| format!("{text:?} is no regular expression: {e}")),
        MatchValue::Exact(_) | MatchValue::Prefix(_) => Ok(None),
    }
}

impl Condition {
    fn new(wanted: &Match) -> Result<Self, String> {
        let headers = wanted.headers.iter().map(|h| compile(&h.value)).collect::<Result<_, _>>()?;
        let path = wanted.path.as_ref().map(compile).transpose()?.flatten();
        Ok(Condition { wanted: wanted.clone(), headers, path })
    }

    fn fits(&self, head: &Parts) -> bool {
        let method = self.wanted.method.as_ref().is_none_or(|m| m == head.method.as_str());
        let path = self.wanted.path.as_ref().is_none_or(|wanted| {
            let asked = head.uri.path();
            match wanted {
                // At the end of a path element, as routers have it.
                MatchValue::Prefix(prefix) => {
                    let prefix = prefix.trim_end_matches('/');
                    asked.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
                }
                value => value_fits(value, self.path.as_ref(), asked),
            }
        });
        let headers = || self.wanted.headers.iter().zip(&self.headers);
        method && path && headers().all(|(rule, regex)| header_fits(rule, regex.as_ref(), &head.headers))
    }
}

fn value_fits(wanted: &MatchValue, regex: Option<&Regex>, value: &str) -> bool {
    match wanted {
        MatchValue::Exact(wanted) => value == wanted,
        MatchValue::Prefix(wanted) => value.starts_with(wanted.as_str()),
        MatchValue::Regex(_) => regex.is_some_and(|r| r.is_match(value)),
    }
}

fn header_fits(rule: &HeaderMatch, regex: Option<&Regex>, headers: &HeaderMap) -> bool {
    if !rule.cookie {
        let values = headers.get_all(rule.name.as_str()).iter().filter_map(|v| v.to_str().ok());
        return values.into_iter().any(|value| value_fits(&rule.value, regex, value));
    }
    cookies(headers.get_all(COOKIE))
        .any(|(name, value)| name == rule.name && value_fits(&rule.value, regex, value))
}

fn cookies<'a>(held: impl IntoIterator<Item = &'a HeaderValue>) -> impl Iterator<Item = (&'a str, &'a str)> {
    let pairs = held.into_iter().filter_map(|v| v.to_str().ok()).flat_map(|v| v.split(';'));
    pairs.filter_map(|pair| pair.trim().split_once('=')).map(|(name, value)| (name, value.trim_matches('"')))
}

fn holds<'a>(affinity: &Affinity, value: &str, held: impl IntoIterator<Item = &'a HeaderValue>) -> bool {
    cookies(held).any(|(name, has)| name == affinity.cookie && has == value)
}

impl Rules {
    /// Fails with the expression that is not one.
    pub fn new(routing: Routing) -> Result<Self, String> {
        let matches = routing.matches.iter().map(Condition::new).collect::<Result<_, _>>()?;
        Ok(Rules { routing, matches, split: Split::default(), mirror: Split::default() })
    }

    /// The slot for a request; one that matches or has its slot already does not take part in the shares.
    pub fn slot(&self, head: &Parts) -> Slot {
        let (candidate, other) = (self.routing.candidate, self.routing.candidate.other());
        if self.matches.iter().any(|m| m.fits(head)) {
            return candidate;
        }
        if let Some(affinity) = &self.routing.affinity {
            let holds = |value: &str| holds(affinity, value, head.headers.get_all(COOKIE));
            if holds(&affinity.candidate) {
                return candidate;
            }
            if affinity.stable.as_deref().is_some_and(holds) {
                return other;
            }
        }
        if self.split.pick(self.routing.weight) { candidate } else { other }
    }

    /// Whether this request, which is not the candidate's, is copied to it.
    pub fn copied(&self, method: &Method) -> bool {
        self.routing.mirror.as_ref().is_some_and(|mirror| {
            let meant = mirror.methods.is_empty() || mirror.methods.iter().any(|m| m == method.as_str());
            meant && self.mirror.pick(mirror.percent)
        })
    }

    /// The cookie for a client that `slot` answered, unless it is among those it `held`.
    pub fn remember(&self, slot: Slot, held: &[HeaderValue]) -> Option<HeaderValue> {
        let affinity = self.routing.affinity.as_ref()?;
        let value = match slot == self.routing.candidate {
            true => &affinity.candidate,
            false => affinity.stable.as_ref()?,
        };
        if holds(affinity, value, held) {
            return None;
        }
        HeaderValue::from_str(&affinity.set_cookie(value)).ok()
    }
}

/// The rules and the processes that are ready, as of one moment.
#[derive(Default)]
pub struct Table {
    pub rules: Option<Arc<Rules>>,
    pub endpoints: [Vec<Arc<Endpoint>>; 2],
    pub turn: Arc<AtomicUsize>,
}

impl Table {
    pub fn of(&self, slot: Slot) -> &[Arc<Endpoint>] {
        &self.endpoints[slot as usize]
    }

    /// The process of `slot` whose turn it is.
    pub fn of_turn(&self, slot: Slot) -> Option<&Arc<Endpoint>> {
        let turn = self.turn.load(Ordering::Relaxed);
        self.of(slot).get(turn.checked_rem(self.of(slot).len())?)
    }

    /// Processes to try, in order: those of the chosen slot in turn, then those of the other one if it has a
    /// share of the traffic anyway. A slot with no share answers nobody, whatever happens to the other.
    pub fn candidates(&self, slot: Slot) -> Vec<Arc<Endpoint>> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let mut order = rotated(self.of(slot), turn);
        if self.rules.as_ref().is_some_and(|r| r.routing.weight_of(slot.other()) > 0) {
            order.extend(rotated(self.of(slot.other()), turn));
        }
        order
    }
}

fn rotated(endpoints: &[Arc<Endpoint>], turn: usize) -> Vec<Arc<Endpoint>> {
    let start = turn.checked_rem(endpoints.len()).unwrap_or(0);
    endpoints[start..].iter().chain(&endpoints[..start]).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::rollout::{Affinity, Mirror};

    fn rules(matches: Vec<Match>) -> Rules {
        Rules::new(Routing { matches, ..Routing::split(Slot::Green, 0) }).unwrap()
    }

    fn rule(cookie: bool, name: &str, value: MatchValue) -> Rules {
        let headers = vec![HeaderMatch { name: name.into(), cookie, value }];
        rules(vec![Match { headers, ..Match::default() }])
    }

    fn head(method: &str, path: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = hyper::Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn exact(value: &str) -> MatchValue {
        MatchValue::Exact(value.into())
    }

    #[test]
    fn headers_and_cookies_choose_the_candidate() {
        let regex = |v: &str| MatchValue::Regex(v.into());
        let table = [
            (rule(false, "x-user", exact("beta")), "x-user", "beta", true),
            (rule(false, "X-User", exact("beta")), "x-user", "beta", true),
            (rule(false, "x-user", exact("beta")), "x-user", "beta2", false),
            (rule(false, "x-user", MatchValue::Prefix("be".into())), "x-user", "beta2", true),
            (rule(false, "x-user", regex("b.ta")), "x-user", "beta", true),
            (rule(false, "x-user", regex("b.ta")), "x-user", "a beta b", false),
            (rule(true, "group", exact("b")), "cookie", "a=1; group=b; c=2", true),
            (rule(true, "group", exact("b")), "cookie", "subgroup=b", false),
            (rule(true, "group", exact("b")), "group", "b", false),
        ];
        for (rules, name, value, candidate) in table {
            let slot = if candidate { Slot::Green } else { Slot::Blue };
            assert_eq!(rules.slot(&head("GET", "/", &[(name, value)])), slot, "{name}: {value}");
        }
    }

    #[test]
    fn every_condition_of_a_match_and_any_match() {
        let beta = HeaderMatch { name: "x-user".into(), cookie: false, value: exact("beta") };
        let both = Match {
            headers: vec![beta],
            method: Some("POST".into()),
            path: Some(MatchValue::Prefix("/cart".into())),
        };
        let page = Match { path: Some(MatchValue::Regex("/new/[0-9]+".into())), ..Match::default() };
        let rules = rules(vec![both, page]);
        for (method, path, user, candidate) in [
            ("POST", "/cart", "beta", true),
            ("POST", "/cart/7?x=1", "beta", true),
            ("POST", "/carts", "beta", false),
            ("GET", "/cart", "beta", false),
            ("POST", "/cart", "other", false),
            ("GET", "/new/12", "other", true),
            ("GET", "/new/12/x", "other", false),
        ] {
            let slot = if candidate { Slot::Green } else { Slot::Blue };
            assert_eq!(rules.slot(&head(method, path, &[("x-user", user)])), slot, "{method} {path} {user}");
        }
    }

    #[test]
    fn a_cookie_keeps_a_client_and_an_older_one_means_nothing() {
        let affinity = Affinity {
            cookie: "slot".into(),
            max_age: Some(60),
            candidate: "7".into(),
            stable: Some("6".into()),
        };
        let of = |affinity: Affinity| {
            Rules::new(Routing { affinity: Some(affinity), ..Routing::split(Slot::Green, 50) }).unwrap()
        };
        let slots = |rules: &Rules, cookie: &str| {
            let dealt: Vec<Slot> =
                (0..10).map(|_| rules.slot(&head("GET", "/", &[("cookie", cookie)]))).collect();
            (dealt.contains(&Slot::Green), dealt.contains(&Slot::Blue))
        };
        let cohort = of(affinity.clone());
        assert_eq!(slots(&cohort, "a=1; slot=7"), (true, false));
        assert_eq!(slots(&cohort, "slot=6"), (false, true));
        assert_eq!(slots(&cohort, "slot=5"), (true, true), "of another rollout");
        let met = |rules: &Rules, slot| rules.remember(slot, &[]).map(|v| v.to_str().unwrap().to_owned());
        let expected = "slot=7; Path=/; Max-Age=60; HttpOnly; SameSite=Lax";
        assert_eq!(met(&cohort, Slot::Green).as_deref(), Some(expected));
        assert!(met(&cohort, Slot::Blue).unwrap().starts_with("slot=6"));
        assert_eq!(cohort.remember(Slot::Green, &[HeaderValue::from_static("slot=7")]), None, "it knows");
        let canary = of(Affinity { stable: None, ..affinity });
        assert_eq!(slots(&canary, "slot=6"), (true, true), "only the candidate keeps");
        assert_eq!(met(&canary, Slot::Blue), None);
    }

    #[test]
    fn copies_are_of_the_methods_meant() {
        let mirror = |methods: &[&str]| Mirror {
            percent: 100,
            methods: methods.iter().map(|m| (*m).to_owned()).collect(),
        };
        for (methods, method, copied) in
            [(&["GET"][..], Method::GET, true), (&["GET"], Method::POST, false), (&[], Method::POST, true)]
        {
            let routing = Routing { mirror: Some(mirror(methods)), ..Routing::all(Slot::Blue) };
            assert_eq!(Rules::new(routing).unwrap().copied(&method), copied, "{methods:?} {method}");
        }
    }

    #[test]
    fn a_broken_expression_is_refused() {
        let headers =
            vec![HeaderMatch { name: "x".into(), cookie: false, value: MatchValue::Regex("(".into()) }];
        let matches = vec![Match { headers, ..Match::default() }];
        assert!(Rules::new(Routing { matches, ..Routing::split(Slot::Green, 0) }).is_err());
    }
}
