//! Which slot, and which process of it, a request goes to. Pure but for its counters.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hyper::HeaderMap;
use hyper::header::COOKIE;
use regex::Regex;

use super::backend::Endpoint;
use super::split::Split;
use crate::rollout::{HeaderMatch, MatchValue, Routing, Slot};

/// Rules with their expressions compiled, and how far their shares have been dealt.
pub struct Rules {
    pub routing: Routing,
    matches: Vec<(HeaderMatch, Option<Regex>)>,
    split: Split,
    mirror: Split,
}

impl Rules {
    /// Fails with the expression that is not one.
    pub fn new(routing: Routing) -> Result<Self, String> {
        let compile = |m: &HeaderMatch| match &m.value {
            MatchValue::Regex(text) => Regex::new(&format!("^(?:{text})$"))
                .map(|r| (m.clone(), Some(r)))
                .map_err(|e| format!("{text:?} is no regular expression: {e}")),
            _ => Ok((m.clone(), None)),
        };
        let matches = routing.matches.iter().map(compile).collect::<Result<_, _>>()?;
        Ok(Rules { routing, matches, split: Split::default(), mirror: Split::default() })
    }

    /// The slot for a request; a matching one does not take part in the shares.
    pub fn slot(&self, headers: &HeaderMap) -> Slot {
        let matched = self.matches.iter().any(|(m, regex)| fits(m, regex.as_ref(), headers));
        let candidate = matched || self.split.pick(self.routing.weight);
        if candidate { self.routing.candidate } else { self.routing.candidate.other() }
    }

    /// Whether this request is copied to the candidate.
    pub fn copied(&self) -> bool {
        self.routing.mirror > 0 && self.mirror.pick(self.routing.mirror)
    }
}

fn fits(rule: &HeaderMatch, regex: Option<&Regex>, headers: &HeaderMap) -> bool {
    let fits = |value: &str| match &rule.value {
        MatchValue::Exact(wanted) => value == wanted,
        MatchValue::Prefix(wanted) => value.starts_with(wanted.as_str()),
        MatchValue::Regex(_) => regex.is_some_and(|r| r.is_match(value)),
    };
    if !rule.cookie {
        return headers.get_all(rule.name.as_str()).iter().filter_map(|v| v.to_str().ok()).any(fits);
    }
    let cookies = headers.get_all(COOKIE).iter().filter_map(|v| v.to_str().ok()).flat_map(|v| v.split(';'));
    cookies
        .filter_map(|pair| pair.trim().split_once('='))
        .any(|(name, value)| name == rule.name && fits(value.trim_matches('"')))
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

    fn rule(cookie: bool, name: &str, value: MatchValue) -> Rules {
        let matches = vec![HeaderMatch { name: name.into(), cookie, value }];
        Rules::new(Routing { candidate: Slot::Green, weight: 0, matches, mirror: 0 }).unwrap()
    }

    #[test]
    fn headers_and_cookies_choose_the_candidate() {
        let exact = |v: &str| MatchValue::Exact(v.into());
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
            let mut headers = HeaderMap::new();
            headers.insert(
                hyper::header::HeaderName::from_bytes(name.as_bytes()).unwrap(),
                value.parse().unwrap(),
            );
            let slot = if candidate { Slot::Green } else { Slot::Blue };
            assert_eq!(rules.slot(&headers), slot, "{name}: {value}");
        }
    }

    #[test]
    fn a_broken_expression_is_refused() {
        let matches =
            vec![HeaderMatch { name: "x".into(), cookie: false, value: MatchValue::Regex("(".into()) }];
        assert!(Rules::new(Routing { candidate: Slot::Green, weight: 0, matches, mirror: 0 }).is_err());
    }
}
