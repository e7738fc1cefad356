//! How msctl fails: a [`Failure`] carries a kind (the exit code), a stable reason, the object, hints and a place.
//! The only room that turns an error into text or into the error document.

use std::fmt;

use serde::Serialize;

use crate::platform;

/// What an error means to the caller; each has one exit code (`docs/exit-codes.md`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Failed or refused, nothing half-done, or the message says what is. 1
    Failed,
    /// Wrong usage or invalid configuration. 2
    Usage,
    /// Someone else holds it: lock, field or object of another manager, a higher epoch. 4
    Held,
    /// The new version was refused and the old one serves. 5
    Refused,
    /// Waits for a person. 6
    Paused,
    /// A bug in msctl. 70
    Bug,
    /// Contact was lost after the first write; the outcome is unknown. 75
    Unknown,
    /// `--timeout` ran out. 124
    Timeout,
    /// Ctrl-C. 130
    Interrupted,
    /// SIGTERM. 143
    Terminated,
    /// A remote command's own code (`exec`), or `diff`'s above-one.
    Code(u8),
}

impl Kind {
    pub fn code(self) -> u8 {
        match self {
            Kind::Failed => 1,
            Kind::Usage => 2,
            Kind::Held => 4,
            Kind::Refused => 5,
            Kind::Paused => 6,
            Kind::Bug => 70,
            Kind::Unknown => 75,
            Kind::Timeout => 124,
            Kind::Interrupted => 130,
            Kind::Terminated => 143,
            Kind::Code(code) => code,
        }
    }
}

/// A place in a file the user wrote; line and column count from 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Location {
    pub file: String,
    pub line: u64,
    pub column: u64,
}

/// An error with everything a person needs: what, on which object, why (the source), what next (hints).
#[derive(Debug)]
pub struct Failure {
    pub kind: Kind,
    /// Stable, kebab-case; scripts match on it.
    pub reason: &'static str,
    pub message: String,
    pub object: Option<String>,
    pub hints: Vec<String>,
    pub location: Option<Location>,
    pub source: Option<anyhow::Error>,
}

impl Failure {
    pub fn new(kind: Kind, reason: &'static str, message: impl Into<String>) -> Self {
        Failure {
            kind,
            reason,
            message: message.into(),
            object: None,
            hints: Vec::new(),
            location: None,
            source: None,
        }
    }
    pub fn failed(reason: &'static str, message: impl Into<String>) -> Self {
        Self::new(Kind::Failed, reason, message)
    }
    pub fn usage(reason: &'static str, message: impl Into<String>) -> Self {
        Self::new(Kind::Usage, reason, message)
    }
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }
    pub fn object(mut self, object: impl Into<String>) -> Self {
        self.object = Some(object.into());
        self
    }
    pub fn at(mut self, location: Location) -> Self {
        self.location = Some(location);
        self
    }
    pub fn source(mut self, source: impl Into<anyhow::Error>) -> Self {
        self.source = Some(source.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(at) = &self.location {
            write!(f, "{}:{}:{}: ", at.file, at.line, at.column)?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|e| e.as_ref() as _)
    }
}

/// The first [`Failure`] in an error's chain, also inside a platform's error.
pub fn failure(error: &anyhow::Error) -> Option<&Failure> {
    error.chain().find_map(|e| match e.downcast_ref::<platform::Error>() {
        Some(platform::Error::Other(inner)) => failure(inner),
        Some(_) => None,
        None => e.downcast_ref::<Failure>(),
    })
}

/// The exit code an error stands for; an error nobody classified is plain failure.
pub fn kind(error: &anyhow::Error) -> Kind {
    failure(error).map(|f| f.kind).or_else(|| refusal(error).map(|r| r.0)).unwrap_or(Kind::Failed)
}

/// What a platform's error means where nobody branched on it, and the next move.
fn refusal(error: &anyhow::Error) -> Option<(Kind, &'static str, &'static str)> {
    let error = error.chain().find_map(|e| e.downcast_ref::<platform::Error>())?;
    Some(match error {
        platform::Error::NotFound(_) => (Kind::Failed, "not-found", "`msctl status` shows what there is"),
        platform::Error::Conflict(_) => (Kind::Held, "conflict", "try again"),
        platform::Error::Owned { .. } => {
            (Kind::Held, "owned", "let the other manager ignore that field, or stop managing the object")
        }
        platform::Error::Forbidden(_) => {
            (Kind::Failed, "forbidden", "ask for the right, or use a context that has it: --context NAME")
        }
        platform::Error::Unreachable(_) => {
            (Kind::Failed, "unreachable", "`msctl doctor` looks for the cause")
        }
        platform::Error::Overtaken { .. } => {
            (Kind::Held, "overtaken", "`msctl rollout status` shows who drives")
        }
        platform::Error::Terminating(_) => (Kind::Failed, "terminating", "wait until it is gone"),
        platform::Error::Other(_) => return None,
    })
}

/// The `error` member of the error document.
#[derive(Debug, Serialize)]
pub struct Report {
    pub code: u8,
    pub reason: String,
    pub message: String,
    pub object: Option<String>,
    pub causes: Vec<String>,
    pub hints: Vec<String>,
    pub location: Option<Location>,
}

/// Flattens an error chain: the outermost text is the message, the rest are causes, each text once.
pub fn report(error: &anyhow::Error) -> Report {
    let mut texts: Vec<String> = Vec::new();
    for cause in error.chain().map(|e| e.to_string()) {
        let known = texts.iter().any(|t| t.contains(&cause));
        if !known && !cause.trim().is_empty() {
            texts.push(cause);
        }
    }
    let failure = failure(error);
    let mut texts = texts.into_iter();
    Report {
        code: kind(error).code(),
        reason: failure.map(|f| f.reason).or_else(|| refusal(error).map(|r| r.1)).unwrap_or("failed").into(),
        message: texts.next().unwrap_or_else(|| "failed without a message".into()),
        object: failure.and_then(|f| f.object.clone()),
        causes: texts.collect(),
        hints: match (failure, refusal(error)) {
            (Some(failure), _) => failure.hints.clone(),
            (None, refusal) => refusal.map(|r| r.2.to_owned()).into_iter().collect(),
        },
        location: failure.and_then(|f| f.location.clone()),
    }
}

/// The closest of `candidates` to a misspelt `word`, if one is near enough to be meant.
pub fn did_you_mean<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let distance = |a: &str, b: &str| {
        let b: Vec<char> = b.chars().collect();
        let mut row: Vec<usize> = (0..=b.len()).collect();
        for (i, ca) in a.chars().enumerate() {
            let mut diagonal = row[0];
            row[0] = i + 1;
            for (j, cb) in b.iter().enumerate() {
                let next = (diagonal + usize::from(ca != *cb)).min(row[j] + 1).min(row[j + 1] + 1);
                diagonal = std::mem::replace(&mut row[j + 1], next);
            }
        }
        row[b.len()]
    };
    candidates
        .into_iter()
        .map(|c| (distance(&word.to_lowercase(), &c.to_lowercase()), c))
        .filter(|(d, c)| *d <= (c.chars().count().max(3) / 3))
        .min_by_key(|(d, _)| *d)
        .map(|(_, c)| c)
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn context_keeps_kind_hints_and_causes() {
        let failure = Failure::new(Kind::Held, "held", "rollout is held").hint("wait").object("lease/orders");
        let error = Err::<(), _>(failure).context("deploy orders").expect_err("is an error");
        let report = report(&error);
        assert_eq!((report.code, report.reason.as_str()), (4, "held"));
        assert_eq!(report.message, "deploy orders");
        assert_eq!(report.causes, ["rollout is held"]);
        assert_eq!(report.hints, ["wait"]);
    }

    #[test]
    fn a_platform_s_error_keeps_what_it_carries() {
        let inner = Failure::new(Kind::Usage, "several", "choose one").hint("of two");
        for (error, code, reason) in [
            (platform::Error::Other(inner.into()), 2, "several"),
            (platform::Error::Overtaken { seen: 5, ours: 4 }, 4, "overtaken"),
            (platform::Error::Unreachable("nobody there".into()), 1, "unreachable"),
        ] {
            let report = report(&anyhow::Error::new(error).context("deploy orders"));
            assert_eq!((report.code, report.reason.as_str()), (code, reason));
        }
    }

    #[test]
    fn suggestions_are_near_or_none() {
        assert_eq!(did_you_mean("replica", ["replicas", "port"]), Some("replicas"));
        assert_eq!(did_you_mean("prot", ["replicas", "port"]), None.or(did_you_mean("prot", ["port"])));
        assert_eq!(did_you_mean("zebra", ["replicas", "port"]), None);
    }
}
