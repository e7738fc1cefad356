//! `template.yaml`: its types, and what the types cannot say. Unknown keys are errors.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::Failure;

pub const FILE: &str = "template.yaml";
const API_VERSION: &str = "msctl.dev/template/v1";

/// A template: questions, and rules for the files under `files/`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Template {
    /// `msctl.dev/template/v1`
    pub api_version: String,
    pub name: String,
    /// Semantic version, such as 1.2.0
    pub version: String,
    pub description: String,
    #[serde(default)]
    pub requires: Requires,
    /// Set when what the template is built on has ended: says so, and what to take in its place.
    pub eol: Option<String>,
    #[serde(default)]
    pub licenses: Vec<License>,
    pub delimiters: Option<Delimiters>,
    #[serde(default)]
    pub variables: Vec<Variable>,
    /// Values made of answers, in this order, after all variables.
    #[serde(default)]
    pub computed: Vec<Computed>,
    #[serde(default)]
    pub files: Vec<FileRule>,
    pub provides: Option<Provides>,
    /// Commands that prove a generated service, by phase: lint, build, unit, run.
    #[serde(default)]
    pub tests: BTreeMap<String, Vec<String>>,
}

#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Requires {
    /// Oldest msctl that renders it, such as ">=0.1.0"
    pub msctl: Option<String>,
    /// Programs the generated service is built with
    #[serde(default)]
    pub tools: Vec<String>,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct License {
    pub spdx: String,
    /// The user must agree to it before anything is written.
    #[serde(default)]
    pub accept: bool,
}

/// What surrounds expressions, statements and comments; two bytes each.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Delimiters {
    pub variable: [String; 2],
    pub block: [String; 2],
    pub comment: [String; 2],
}

impl Default for Delimiters {
    fn default() -> Self {
        let pair = |a: &str, b: &str| [a.to_owned(), b.to_owned()];
        Delimiters { variable: pair("@{", "}@"), block: pair("@%", "%@"), comment: pair("@#", "#@") }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    String,
    Int,
    Bool,
    /// One of `choices`
    Choice,
    /// Some of `choices`, or any texts when there are none
    List,
}

/// A question.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Variable {
    pub name: String,
    #[serde(rename = "type")]
    pub kind: Kind,
    /// What a person is asked; without it the default is taken unasked.
    pub prompt: Option<String>,
    /// A value, or a text with expressions over the answers before it.
    pub default: Option<Value>,
    #[serde(default)]
    pub choices: Vec<String>,
    /// Regular expression that the whole value must match.
    pub pattern: Option<String>,
    /// Expression over the answers before it; when false the variable is empty and not asked.
    pub when: Option<String>,
    /// Never kept in the state, shown, or taken from the command line.
    #[serde(default)]
    pub secret: bool,
}

/// A text made of answers (`value`), or a truth (`when`).
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Computed {
    pub name: String,
    pub value: Option<String>,
    pub when: Option<String>,
}

/// Who owns a file after `new`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Owner {
    /// Merged three ways by `update`
    #[default]
    Managed,
    /// Written at creation only
    Once,
    /// Never touched again
    User,
}

/// A rule for a file, or for all files in a folder; later rules win, all `when`s must hold.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FileRule {
    /// Path under `files/` as it is named there
    pub src: String,
    /// Path in the service; may hold expressions
    pub dest: Option<String>,
    pub when: Option<String>,
    /// Octal, such as "0755"
    pub mode: Option<String>,
    pub owner: Option<Owner>,
}

/// Where the service answers.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Provides {
    pub port: Value,
    pub live: String,
    pub ready: String,
    pub metrics: Option<String>,
}

impl FileRule {
    /// Whether the rule speaks of the file `path` under `files/`.
    pub fn covers(&self, path: &str) -> bool {
        let src = self.src.trim_end_matches('/');
        path == src || path.strip_prefix(src).is_some_and(|rest| rest.starts_with('/'))
    }
    /// Permission bits, if the rule sets them.
    pub fn bits(&self) -> Result<Option<u32>, String> {
        let Some(mode) = &self.mode else { return Ok(None) };
        match u32::from_str_radix(mode, 8) {
            Ok(bits) if bits <= 0o777 && bits & 0o600 == 0o600 => Ok(Some(bits)),
            _ => Err(format!("mode {mode:?} is not one like \"0644\" or \"0755\"")),
        }
    }
}

impl Template {
    /// Parses and checks the text of a `template.yaml`; `file` names it in errors.
    ///
    /// # Errors
    /// Exit code 2 with the place, or the key that is wrong.
    pub fn parse(text: &str, file: &Path) -> anyhow::Result<Self> {
        let template: Template = crate::service::parse_yaml(text, file)?;
        template.check().map_err(|why| {
            Failure::usage("invalid-template", format!("{}: {why}", file.display()))
                .object(file.display().to_string())
        })?;
        Ok(template)
    }

    fn check(&self) -> Result<(), String> {
        if self.api_version != API_VERSION {
            return Err(format!("apiVersion {:?} is not {API_VERSION}", self.api_version));
        }
        crate::service::check_name(&self.name).map_err(|why| format!("name: {why}"))?;
        numbers(&self.version).ok_or_else(|| format!("version {:?} is not one like 1.2.0", self.version))?;
        self.check_msctl(env!("CARGO_PKG_VERSION"))?;
        let mut known: BTreeSet<&str> = super::BUILT_IN.into();
        let names = self.variables.iter().map(|v| &v.name).chain(self.computed.iter().map(|c| &c.name));
        for name in names {
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            if !name.starts_with(|c: char| c.is_ascii_lowercase()) || !name.chars().all(plain) {
                return Err(format!("variable {name:?}: small letters, digits and _ only, a letter first"));
            }
            if !known.insert(name) {
                return Err(format!("variable {name:?} is there already, or built in"));
            }
        }
        for variable in &self.variables {
            variable.check().map_err(|why| format!("variable {}: {why}", variable.name))?;
        }
        for computed in &self.computed {
            if computed.value.is_some() == computed.when.is_some() {
                return Err(format!("computed {}: give either value or when", computed.name));
            }
        }
        for rule in &self.files {
            rule.bits().map_err(|why| format!("file {}: {why}", rule.src))?;
        }
        Ok(())
    }

    fn check_msctl(&self, have: &str) -> Result<(), String> {
        let Some(wanted) = &self.requires.msctl else { return Ok(()) };
        let least = wanted.strip_prefix(">=").and_then(|v| numbers(v.trim()));
        match (least, numbers(have)) {
            (None, _) => Err(format!("requires.msctl: {wanted:?} is not one like \">=0.1.0\"")),
            (Some(least), Some(have)) if have < least => {
                Err(format!("needs msctl {wanted}, this is {}", env!("CARGO_PKG_VERSION")))
            }
            _ => Ok(()),
        }
    }
}

impl Variable {
    fn check(&self) -> Result<(), String> {
        if self.kind == Kind::Choice && self.choices.is_empty() {
            return Err("a choice needs choices".into());
        }
        if !self.choices.is_empty() && !matches!(self.kind, Kind::Choice | Kind::List) {
            return Err("choices belong to the types choice and list".into());
        }
        if let Some(pattern) = &self.pattern {
            regex::Regex::new(pattern).map_err(|e| format!("pattern: {e}"))?;
        }
        let fits = match (&self.default, self.kind) {
            (None | Some(Value::String(_)), _) => true,
            (Some(default), Kind::Int) => default.is_i64(),
            (Some(default), Kind::Bool) => default.is_boolean(),
            (Some(default), Kind::List) => default.is_array(),
            (Some(_), Kind::String | Kind::Choice) => false,
        };
        if fits { Ok(()) } else { Err("the default is not of its type; quote a text".into()) }
    }
}

fn numbers(version: &str) -> Option<[u64; 3]> {
    let mut parts = version.split('.').map(str::parse);
    let mut next = || parts.next()?.ok();
    let version = [next()?, next()?, next()?];
    next().is_none().then_some(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "apiVersion: msctl.dev/template/v1\nname: t\nversion: 1.0.0\ndescription: d\n";

    fn parse(rest: &str) -> anyhow::Result<Template> {
        Template::parse(&format!("{HEAD}{rest}"), Path::new("t/template.yaml"))
    }

    #[test]
    fn an_unknown_key_has_a_place_and_a_suggestion() {
        let error = parse("variabels: []\n").expect_err("is refused");
        let report = crate::error::report(&error);
        assert_eq!(report.location.map(|l| l.line), Some(5), "{:?}", report.message);
        assert_eq!(report.hints, ["did you mean \"variables\"?"]);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (rest, word) in [
            ("variables: [{name: Port, type: int}]\n", "small letters"),
            ("variables: [{name: name, type: string}]\n", "built in"),
            ("variables: [{name: a, type: int}, {name: a, type: int}]\n", "there already"),
            ("variables: [{name: a, type: choice}]\n", "needs choices"),
            ("variables: [{name: a, type: int, default: true}]\n", "not of its type"),
            ("variables: [{name: a, type: string, pattern: '('}]\n", "pattern"),
            ("computed: [{name: a}]\n", "either value or when"),
            ("files: [{src: a, mode: '4755'}]\n", "mode"),
            ("requires: {msctl: '>=99.0.0'}\n", "needs msctl"),
            ("requires: {msctl: '0.1'}\n", "not one like"),
        ] {
            let error = parse(rest).expect_err(rest).to_string();
            assert!(error.contains(word), "{rest}: {error}");
        }
    }

    #[test]
    fn a_rule_covers_a_file_or_a_folder() {
        let rule = |src: &str| FileRule { src: src.into(), dest: None, when: None, mode: None, owner: None };
        assert!(rule("ci").covers("ci/ship.sh"));
        assert!(rule("ci/").covers("ci/ship.sh"));
        assert!(!rule("ci").covers("cities/ship.sh"));
        assert!(rule("a.tera").covers("a.tera"));
    }
}
