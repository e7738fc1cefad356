//! Looks for mistakes in a template: names that do not meet, answers under which it does not render, output that
//! does not parse. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::{Map, Value};

use super::answers::{Answers, Given, check};
use super::plan::{Plan, plan};
use super::render::{Renderer, SUFFIX, id};
use super::source::Source;
use super::template::{Kind, Variable};
use super::{BUILT_IN, check_name};
use crate::error::{Location, report};

/// Combinations of choices beyond this are covered by pairs only.
const MOST_COMBINATIONS: usize = 512;
/// Text that breaks what does not quote it.
const HOSTILE: &str = "it's \"so\": #1, {a} [b] & <c> %d @ \\ `e` ${F}";

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// A warning does not fail the lint.
    pub warning: bool,
    pub message: String,
    pub location: Option<Location>,
}

/// What the lint saw.
#[derive(Debug, Serialize)]
pub struct Lint {
    /// Sets of answers that were rendered.
    pub combinations: usize,
    pub findings: Vec<Finding>,
}

impl Lint {
    pub fn passed(&self) -> bool {
        self.findings.iter().all(|f| f.warning)
    }
    fn add(&mut self, warning: bool, message: String, location: Option<Location>) {
        let finding = Finding { warning, message, location };
        if !self.findings.contains(&finding) {
            self.findings.push(finding);
        }
    }
}

/// Lints `source`, whose pieces `renderer` has parsed.
pub fn lint(source: &Source, renderer: &Renderer) -> Lint {
    let mut lint = Lint { combinations: 0, findings: Vec::new() };
    check_names(source, renderer, &mut lint);
    check_copies(source, &mut lint);
    if !source.files.keys().any(|p| p.trim_end_matches(SUFFIX) == crate::service::FILE) {
        lint.add(
            true,
            format!("has no {}, so nothing but git knows the service", crate::service::FILE),
            None,
        );
    }
    let mut parsed = BTreeSet::new();
    for answers in combinations(source, &mut lint) {
        lint.combinations += 1;
        render(source, renderer, &answers, &mut parsed, &mut lint);
    }
    lint
}

/// Every free variable is declared before it is used, and every declared one is used.
fn check_names(source: &Source, renderer: &Renderer, lint: &mut Lint) {
    let template = &source.template;
    let declared: Vec<&str> = template
        .variables
        .iter()
        .map(|v| v.name.as_str())
        .chain(template.computed.iter().map(|c| c.name.as_str()))
        .collect();
    let mut used: BTreeSet<String> = BTreeSet::new();
    for piece in renderer.ids() {
        let text = piece.strip_prefix("files/").and_then(|p| source.files.get(p));
        let text = text.and_then(|t| std::str::from_utf8(t).ok()).unwrap_or_default();
        // What comes later is not known yet to a question's default and condition.
        let known = declared
            .iter()
            .position(|name| {
                [id::default(name), id::asked(name), id::computed(name)].contains(&piece.to_owned())
            })
            .unwrap_or(declared.len());
        for name in renderer.variables(piece) {
            used.insert(name.to_owned());
            let own = declared[..known].contains(&name) || BUILT_IN.contains(&name);
            if own || name == "loop" || sets(text, name) {
                continue;
            }
            let why = match declared.contains(&name) {
                true => format!("{piece}: {name} is asked later, and not known here"),
                false => format!("{piece}: {name} is not declared in template.yaml"),
            };
            lint.add(false, why, place(source, piece, text, name));
        }
    }
    for name in declared.iter().filter(|name| !used.contains(**name)) {
        lint.add(false, format!("template.yaml: {name} is declared and used nowhere"), None);
    }
}

/// Whether `text` itself sets the variable `name`.
fn sets(text: &str, name: &str) -> bool {
    text.match_indices(name).any(|(at, _)| {
        let before = text[..at].trim_end();
        before.len() < at
            && (before.ends_with("set") || before.ends_with("set_global") || before.ends_with("as"))
    })
}

fn place(source: &Source, piece: &str, text: &str, name: &str) -> Option<Location> {
    let (index, line) = text.lines().enumerate().find(|(_, line)| word(line, name).is_some())?;
    let column = line[..word(line, name)?].chars().count() as u64 + 1;
    Some(Location { file: format!("{}/{piece}", source.label()), line: index as u64 + 1, column })
}

fn word(line: &str, name: &str) -> Option<usize> {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(name)
        .map(|(at, _)| at)
        .find(|at| !line[..*at].ends_with(part) && !line[at + name.len()..].starts_with(part))
}

/// A file that is copied, though it looks as if it should be rendered.
fn check_copies(source: &Source, lint: &mut Lint) {
    let open = source.template.delimiters.clone().unwrap_or_default().variable[0].clone();
    let names = source.template.variables.iter().map(|v| v.name.as_str()).chain(BUILT_IN);
    let names: Vec<&str> = names.collect();
    for (path, content) in source.files.iter().filter(|(path, _)| !path.ends_with(SUFFIX)) {
        let Ok(text) = std::str::from_utf8(content) else { continue };
        for (index, line) in text.lines().enumerate() {
            let Some((before, after)) = line.split_once(&open) else { continue };
            let after = after.trim_start_matches(['-', ' ']);
            if !names.iter().any(|name| after.starts_with(name)) {
                continue;
            }
            let location = Location {
                file: format!("{}/files/{path}", source.label()),
                line: index as u64 + 1,
                column: before.chars().count() as u64 + 1,
            };
            lint.add(
                true,
                format!("files/{path} is copied as it is: its name does not end with {SUFFIX}"),
                Some(location),
            );
            break;
        }
    }
}

/// Sets of answers: the defaults, each value once, each pair of choices, and all of them where they are few.
fn combinations(source: &Source, lint: &mut Lint) -> Vec<BTreeMap<String, Value>> {
    let mut base = BTreeMap::new();
    let mut hostile = BTreeMap::new();
    let mut singles = Vec::new();
    let mut choices: Vec<(&str, Vec<Value>)> = Vec::new();
    for variable in &source.template.variables {
        let values = samples(variable);
        match values.first() {
            None => {
                let why = format!(
                    "template.yaml: no sample matches the pattern of {}; give it a default",
                    variable.name
                );
                lint.add(false, why, None);
            }
            Some(first) if variable.default.is_none() => {
                base.insert(variable.name.clone(), first.clone());
            }
            Some(_) => {}
        }
        if variable.kind == Kind::String && values.contains(&HOSTILE.into()) {
            hostile.insert(variable.name.clone(), Value::from(HOSTILE));
        }
        singles.extend(values.iter().map(|v| BTreeMap::from([(variable.name.clone(), v.clone())])));
        if matches!(variable.kind, Kind::Bool | Kind::Choice | Kind::List) {
            choices.push((&variable.name, values));
        }
    }
    let mut sets = vec![BTreeMap::new(), hostile];
    sets.append(&mut singles);
    for (index, (one, ones)) in choices.iter().enumerate() {
        for (other, others) in &choices[index + 1..] {
            for (a, b) in ones.iter().flat_map(|a| others.iter().map(move |b| (a, b))) {
                sets.push(BTreeMap::from([((*one).to_owned(), a.clone()), ((*other).to_owned(), b.clone())]));
            }
        }
    }
    let all: usize = choices.iter().fold(1, |product, (_, values)| product.saturating_mul(values.len()));
    if all <= MOST_COMBINATIONS {
        let mut product = vec![BTreeMap::new()];
        for (name, values) in &choices {
            let longer = product.iter().flat_map(|set| {
                values.iter().map(move |v| {
                    let mut set = set.clone();
                    set.insert((*name).to_owned(), v.clone());
                    set
                })
            });
            product = longer.collect();
        }
        sets.append(&mut product);
    }
    let mut whole: Vec<BTreeMap<String, Value>> = Vec::new();
    for mut set in sets {
        for (name, value) in &base {
            set.entry(name.clone()).or_insert_with(|| value.clone());
        }
        if !whole.contains(&set) {
            whole.push(set);
        }
    }
    whole
}

/// Values to try for `variable`; all of them fit it.
fn samples(variable: &Variable) -> Vec<Value> {
    let texts = |texts: &[&str]| texts.iter().map(|t| Value::from(*t)).collect::<Vec<_>>();
    let mut values: Vec<Value> = match variable.kind {
        Kind::Bool => vec![true.into(), false.into()],
        Kind::Choice => variable.choices.iter().map(|c| c.clone().into()).collect(),
        Kind::Int => [1, 8080, 0, 65_535].iter().map(|n: &i64| Value::from(*n)).collect(),
        Kind::List => {
            let all = match variable.choices.is_empty() {
                true => texts(&["example", "x1"]),
                false => variable.choices.iter().map(|c| c.clone().into()).collect(),
            };
            vec![Value::Array(all), Value::Array(Vec::new())]
        }
        Kind::String => texts(&["example", "example.com", "1.0.0", "a", HOSTILE, ""]),
    };
    // A fixed default is tried by itself; one that is an expression comes with every set that leaves it out.
    values.retain(|v| check(variable, v).is_ok());
    values
}

fn render(
    source: &Source,
    renderer: &Renderer,
    set: &BTreeMap<String, Value>,
    parsed: &mut BTreeSet<String>,
    lint: &mut Lint,
) {
    let given = Given { built_in: built_in(source), file: set.clone(), ..Given::default() };
    let told = || match set.is_empty() {
        true => "with the defaults".to_owned(),
        false => {
            format!("with {}", set.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(" "))
        }
    };
    let answers = Answers::find(&source.template, renderer, &given, &mut |_, _| Ok(None));
    let made = answers.and_then(|answers| plan(source, renderer, &answers));
    match made {
        Ok(plan) => check_output(&plan, parsed, &told(), lint),
        Err(error) => {
            let report = report(&error);
            let causes = report.causes.iter().map(|c| format!(": {c}")).collect::<String>();
            lint.add(false, format!("{}: {}{causes}", told(), report.message), report.location);
        }
    }
}

fn built_in(source: &Source) -> Map<String, Value> {
    // A sample name must pass for a service's name.
    let name = if check_name(&source.template.name).is_ok() { "sample-orders" } else { "orders" };
    let values = [
        ("name", Value::from(name)),
        ("registry", "localhost:5000".into()),
        ("msctl_version", env!("CARGO_PKG_VERSION").into()),
        ("year", 2026.into()),
        ("template_digest", source.digest.clone().into()),
    ];
    values.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

fn check_output(plan: &Plan, parsed: &mut BTreeSet<String>, told: &str, lint: &mut Lint) {
    for file in &plan.files {
        let Ok(text) = std::str::from_utf8(&file.content) else { continue };
        let parse: fn(&str) -> Result<(), String> = match file.path.rsplit_once('.').map(|(_, e)| e) {
            Some("yaml" | "yml") => yaml,
            Some("json") => |text| serde_json::from_str::<Value>(text).map(|_| ()).map_err(|e| e.to_string()),
            Some("toml") => |text| toml::from_str::<toml::Table>(text).map(|_| ()).map_err(|e| e.to_string()),
            _ => continue,
        };
        if !parsed.insert(format!("{} {}", file.sha256, file.path)) {
            continue;
        }
        if let Err(why) = parse(text) {
            lint.add(false, format!("{told}: {} does not parse: {}", file.path, why.trim_end()), None);
        }
    }
}

fn yaml(text: &str) -> Result<(), String> {
    let parsed: Result<Vec<Value>, _> = serde_yaml::from_multiple(text);
    parsed.map(|_| ()).map_err(|e| e.without_snippet().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scaffold::source::{embedded, tests::source};

    fn messages(yaml: &str, files: &[(&str, &str)]) -> Vec<String> {
        let source = source(yaml, files);
        let renderer = Renderer::new(&source).unwrap();
        let lint = lint(&source, &renderer);
        let own = lint.findings.iter().filter(|f| !f.message.starts_with("has no msctl.yaml"));
        own.map(|f| f.message.clone()).collect()
    }

    #[test]
    fn embedded_templates_are_clean() {
        for source in embedded().unwrap() {
            let renderer = Renderer::new(&source).unwrap();
            let lint = lint(&source, &renderer);
            assert_eq!(lint.findings, [], "{}", source.template.name);
            assert!(lint.combinations > 1, "{}", source.template.name);
        }
    }

    #[test]
    fn names_must_meet() {
        let yaml = "variables: [{name: a, type: string, default: '@{ b }@'}, {name: b, type: string, default: x}, {name: c, type: int, default: 1}]\n";
        let body =
            "@{ a }@ @{ d }@ @% set e = 1 %@@{ e }@@% for f in [1] %@@{ f }@ @{ loop.index }@@% endfor %@";
        let found = messages(yaml, &[("x.tera", body)]).join("\n");
        for wanted in
            ["b is asked later", "files/x.tera: d is not declared", "c is declared and used nowhere"]
        {
            assert!(found.contains(wanted), "{wanted:?} is not in:\n{found}");
        }
        for innocent in [" e is", " f is", " loop is", " a is"] {
            assert!(!found.contains(innocent), "{innocent:?} is in:\n{found}");
        }
    }

    #[test]
    fn all_branches_are_rendered() {
        let yaml = "variables: [{name: a, type: bool, default: false}, {name: b, type: choice, choices: [x, y], default: x}]\n";
        let body = "@% if a and b == \"y\" %@@{ 1 + [] }@@% endif %@";
        let found = messages(yaml, &[("x.tera", body)]);
        assert!(found.iter().any(|m| m.contains("a=true") && m.contains("b=\"y\"")), "{found:?}");
    }

    #[test]
    fn output_must_parse_whatever_the_text() {
        let yaml = "variables: [{name: d, type: string, default: x}]\n";
        let files = |quoted: &'static str| {
            [
                ("a.yaml.tera", "d: @{ d FILTER }@\n"),
                ("a.json.tera", "{\"d\": @{ d | json }@}"),
                ("a.toml.tera", "d = @{ d | json }@"),
            ]
            .map(|(path, body)| (path, body.replace("FILTER", quoted)))
        };
        let bad = files("");
        let bad: Vec<(&str, &str)> = bad.iter().map(|(p, b)| (*p, b.as_str())).collect();
        let found = messages(yaml, &bad);
        assert!(found.len() == 1 && found[0].contains("a.yaml does not parse"), "{found:?}");
        let good = files("| yaml");
        let good: Vec<(&str, &str)> = good.iter().map(|(p, b)| (*p, b.as_str())).collect();
        assert_eq!(messages(yaml, &good), Vec::<String>::new());
    }

    #[test]
    fn copies_that_look_rendered_and_clashes_are_named() {
        let yaml = "variables: [{name: a, type: bool, default: false}]\nfiles: [{src: B, when: a}]\n";
        let found = messages(yaml, &[("x", "\n  @{ a }@"), ("B", ""), ("b", "")]).join("\n");
        assert!(found.contains("files/x is copied"), "{found}");
        assert!(found.contains("a=true: t: \"B\" and \"b\""), "{found}");
    }
}
