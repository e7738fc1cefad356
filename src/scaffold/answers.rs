//! Questions become answers: given, asked, or by default; each checked. Pure: whoever asks is handed in.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};
use tera::Context;

use super::render::{Renderer, id};
use super::template::{Kind, Template, Variable};
use crate::error::{Failure, did_you_mean};

/// What is known before anything is asked.
#[derive(Debug, Clone, Default)]
pub struct Given {
    /// `name`, `registry`, `msctl_version`, `year`, `template_digest`.
    pub built_in: Map<String, Value>,
    /// `--set KEY=VALUE`, the last one of a key wins.
    pub set: Vec<(String, String)>,
    /// The file of `--answers`.
    pub file: BTreeMap<String, Value>,
}

/// Asks for a variable, offering a default; None where nobody is asked and the default is to be taken.
pub type Ask<'a> = dyn FnMut(&Variable, Option<&Value>) -> anyhow::Result<Option<Value>> + 'a;

/// Every variable's value, and what may be told of it.
#[derive(Debug, Default)]
pub struct Answers {
    /// Built-in, answered and computed values.
    pub values: Map<String, Value>,
    /// Names of values that are secret, or made of secrets.
    pub secret: BTreeSet<String>,
    /// Names that were given but are not asked under these answers.
    pub idle: Vec<String>,
}

impl Answers {
    pub fn context(&self) -> Context {
        context(&self.values)
    }
    /// The answers of `template`'s own variables that may be kept.
    pub fn kept(&self, template: &Template) -> Map<String, Value> {
        let own = template.variables.iter().filter(|v| !v.secret);
        own.filter_map(|v| Some((v.name.clone(), self.values.get(&v.name)?.clone()))).collect()
    }

    /// Answers every question of `template`.
    ///
    /// # Errors
    /// Exit code 2 when an answer does not fit, belongs to no question, or is missing and nobody can be asked.
    pub fn find(
        template: &Template,
        renderer: &Renderer,
        given: &Given,
        ask: &mut Ask,
    ) -> anyhow::Result<Self> {
        refuse_unknown(template, given)?;
        let mut answers = Answers { values: given.built_in.clone(), ..Answers::default() };
        for variable in &template.variables {
            let context = answers.context();
            let set = given.set.iter().rev().find(|(key, _)| *key == variable.name);
            let from_file = given.file.get(&variable.name);
            let value = if !renderer.holds(&id::asked(&variable.name), &context)? {
                if set.is_some() || from_file.is_some() {
                    answers.idle.push(variable.name.clone());
                }
                empty(variable.kind)
            } else if let Some((_, text)) = set {
                if variable.secret {
                    return Err(secret_in_argv(variable));
                }
                let value = coerce(variable, text).map_err(|why| unfit(variable, &why))?;
                checked(variable, value)?
            } else if let Some(value) = from_file {
                checked(variable, value.clone())?
            } else {
                let default = default_of(variable, renderer, &context)?;
                match (ask(variable, default.as_ref())?, default) {
                    (Some(value), _) | (None, Some(value)) => checked(variable, value)?,
                    (None, None) => return Err(unanswered(variable)),
                }
            };
            if variable.secret {
                answers.secret.insert(variable.name.clone());
            }
            answers.values.insert(variable.name.clone(), value);
        }
        answers.compute(template, renderer)?;
        Ok(answers)
    }

    fn compute(&mut self, template: &Template, renderer: &Renderer) -> anyhow::Result<()> {
        for computed in &template.computed {
            let id = id::computed(&computed.name);
            let context = self.context();
            let value = match computed.when {
                Some(_) => Value::Bool(renderer.holds(&id, &context)?),
                None => Value::String(renderer.render(&id, &context)?),
            };
            if renderer.variables(&id).iter().any(|v| self.secret.contains(*v)) {
                self.secret.insert(computed.name.clone());
            }
            self.values.insert(computed.name.clone(), value);
        }
        Ok(())
    }
}

fn context(values: &Map<String, Value>) -> Context {
    let mut context = Context::new();
    for (name, value) in values {
        context.insert(name.clone(), value);
    }
    context
}

fn empty(kind: Kind) -> Value {
    match kind {
        Kind::String | Kind::Choice => Value::String(String::new()),
        Kind::Int => 0.into(),
        Kind::Bool => false.into(),
        Kind::List => Value::Array(Vec::new()),
    }
}

fn default_of(variable: &Variable, renderer: &Renderer, context: &Context) -> anyhow::Result<Option<Value>> {
    let Some(default) = &variable.default else { return Ok(None) };
    let Some(text) = default.as_str() else { return Ok(Some(default.clone())) };
    let id = id::default(&variable.name);
    let text = if renderer.has(&id) { renderer.render(&id, context)? } else { text.to_owned() };
    Ok(Some(coerce(variable, &text).map_err(|why| unfit(variable, &format!("its default {why}")))?))
}

/// The value that `text` stands for.
pub fn coerce(variable: &Variable, text: &str) -> Result<Value, String> {
    match variable.kind {
        Kind::String | Kind::Choice => Ok(text.into()),
        Kind::Int => {
            text.trim().parse::<i64>().map(Value::from).map_err(|_| format!("{text:?} is not a whole number"))
        }
        Kind::Bool => match text.trim().to_lowercase().as_str() {
            "true" | "yes" | "y" | "on" | "1" => Ok(true.into()),
            "false" | "no" | "n" | "off" | "0" => Ok(false.into()),
            _ => Err(format!("{text:?} is neither true nor false")),
        },
        Kind::List => Ok(text
            .split(',')
            .map(str::trim)
            .filter(|t| !t.is_empty())
            .map(Value::from)
            .collect::<Vec<_>>()
            .into()),
    }
}

/// Whether `value` may be the answer to `variable`; if not, why.
pub fn check(variable: &Variable, value: &Value) -> Result<(), String> {
    let texts: Vec<String> = match (variable.kind, value) {
        (Kind::String | Kind::Choice, Value::String(text)) => vec![text.clone()],
        (Kind::Int, value) if value.is_i64() => vec![value.to_string()],
        (Kind::Bool, Value::Bool(_)) => return Ok(()),
        (Kind::List, Value::Array(items)) => {
            let texts = items.iter().map(|i| i.as_str().map(str::to_owned));
            texts.collect::<Option<_>>().ok_or("every item must be a text; quote it")?
        }
        (Kind::String | Kind::Choice, _) => return Err(format!("{value} must be a text; quote it")),
        (Kind::Int, _) => return Err(format!("{value} is not a whole number")),
        (Kind::Bool, _) => return Err(format!("{value} is neither true nor false")),
        (Kind::List, _) => return Err(format!("{value} must be a list")),
    };
    for text in &texts {
        if !variable.choices.is_empty() && !variable.choices.contains(text) {
            let near = did_you_mean(text, variable.choices.iter().map(String::as_str));
            let near = near.map(|n| format!("; did you mean {n:?}?")).unwrap_or_default();
            return Err(format!("{text:?} is not one of {}{near}", variable.choices.join(", ")));
        }
        if let Some(pattern) = &variable.pattern {
            let whole =
                regex::Regex::new(&format!("^(?:{pattern})$")).map_err(|e| format!("pattern: {e}"))?;
            if !whole.is_match(text) {
                return Err(format!("{text:?} does not match {pattern}"));
            }
        }
    }
    Ok(())
}

/// The value, if it fits; a secret's value is not repeated in the error.
fn checked(variable: &Variable, value: Value) -> anyhow::Result<Value> {
    match check(variable, &value) {
        Ok(()) => Ok(value),
        Err(_) if variable.secret => {
            Err(unfit(variable, "the secret given does not fit its type or pattern"))
        }
        Err(why) => Err(unfit(variable, &why)),
    }
}

fn unfit(variable: &Variable, why: &str) -> anyhow::Error {
    Failure::usage("invalid-answer", format!("{}: {why}", variable.name)).object(variable.name.clone()).into()
}

fn unanswered(variable: &Variable) -> anyhow::Error {
    let name = &variable.name;
    let failure =
        Failure::usage("needs-answer", format!("{name} has no default and nobody can be asked here"));
    let hint = match variable.secret {
        true => format!("give {name} in a file, with --answers FILE"),
        false => format!("answer with --set {name}=…"),
    };
    failure.object(name.clone()).hint(hint).into()
}

fn secret_in_argv(variable: &Variable) -> anyhow::Error {
    let name = &variable.name;
    Failure::usage("secret-in-arguments", format!("{name} is secret, and every user can read a command line"))
        .object(name.clone())
        .hint(format!("give {name} in a file, with --answers FILE"))
        .into()
}

fn refuse_unknown(template: &Template, given: &Given) -> anyhow::Result<()> {
    let known: Vec<&str> = template.variables.iter().map(|v| v.name.as_str()).chain(["registry"]).collect();
    let keys =
        given.set.iter().map(|(key, _)| (key, "--set")).chain(given.file.keys().map(|k| (k, "--answers")));
    for (key, flag) in keys {
        if known.contains(&key.as_str()) {
            continue;
        }
        let message = format!("{flag}: the template {} asks for no {key:?}", template.name);
        let mut failure = Failure::usage("unknown-answer", message).object(key.clone());
        if key == "name" {
            failure = failure.hint("the name is the argument of `msctl new`");
        } else if let Some(near) = did_you_mean(key, known.iter().copied()) {
            failure = failure.hint(format!("did you mean {near:?}?"));
        }
        return Err(failure.hint(format!("it asks for: {}", known.join(", "))).into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scaffold::source::tests::source;

    const QUESTIONS: &str = "variables:
  - {name: database, type: choice, choices: [none, postgres, mysql], default: none}
  - {name: pool, type: int, default: '@{ 4 * 2 }@', when: database != \"none\", pattern: '[1-9][0-9]?'}
  - {name: label, type: string, default: '@{ name }@-@{ database }@'}
  - {name: tags, type: list, choices: [a, b], default: [a]}
  - {name: token, type: string, secret: true, default: ''}
computed:
  - {name: has_database, when: database != \"none\"}
  - {name: url, value: 'https://@{ token }@'}
";

    fn find(set: &[(&str, &str)], file: &[(&str, Value)]) -> anyhow::Result<Answers> {
        let source = source(QUESTIONS, &[]);
        let renderer = Renderer::new(&source)?;
        let given = Given {
            built_in: Map::from_iter([("name".to_owned(), Value::from("orders"))]),
            set: set.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect(),
            file: file.iter().map(|(k, v)| (k.to_string(), v.clone())).collect(),
        };
        Answers::find(&source.template, &renderer, &given, &mut |_, _| Ok(None))
    }

    #[test]
    fn defaults_are_expressions_over_earlier_answers() {
        let answers = find(&[("database", "postgres")], &[]).unwrap();
        assert_eq!(answers.values["label"], "orders-postgres");
        assert_eq!(answers.values["pool"], 8);
        assert_eq!(answers.values["has_database"], true);
        assert_eq!(answers.values["tags"], serde_json::json!(["a"]));
    }

    #[test]
    fn what_is_not_asked_is_empty_and_said() {
        let answers = find(&[("pool", "7")], &[]).unwrap();
        assert_eq!(
            (answers.values["pool"].clone(), answers.values["has_database"].clone()),
            (0.into(), false.into())
        );
        assert_eq!(answers.idle, ["pool"]);
    }

    #[test]
    fn the_command_line_beats_the_file_and_the_last_beats_the_first() {
        let file = [("label", Value::from("file"))];
        assert_eq!(find(&[], &file).unwrap().values["label"], "file");
        assert_eq!(find(&[("label", "a"), ("label", "b")], &file).unwrap().values["label"], "b");
    }

    #[test]
    fn secrets_are_not_kept_and_taint_what_is_made_of_them() {
        let answers = find(&[], &[("token", "hunter2".into())]).unwrap();
        assert_eq!(answers.secret.iter().map(String::as_str).collect::<Vec<_>>(), ["token", "url"]);
        let source = source(QUESTIONS, &[]);
        assert!(!answers.kept(&source.template).contains_key("token"));
        assert!(find(&[("token", "hunter2")], &[]).is_err());
        let error = find(&[], &[("token", 12345.into())]).expect_err("is no text");
        assert!(!format!("{error:#}").contains("12345"));
    }

    #[test]
    fn what_does_not_fit_is_refused_with_the_reason() {
        for (key, value, word) in [
            ("database", "postgre", "did you mean \"postgres\"?"),
            ("tags", "a,c", "not one of a, b"),
            ("datbase", "none", "asks for no"),
            ("name", "x", "asks for no"),
        ] {
            let error = find(&[(key, value)], &[]).expect_err(key).to_string();
            assert!(error.contains(word), "{key}={value}: {error}");
        }
        let pool = find(&[("database", "mysql"), ("pool", "100")], &[]).expect_err("too many").to_string();
        assert!(pool.contains("does not match"), "{pool}");
        let text = find(&[], &[("label", 1.5.into())]).expect_err("is no text").to_string();
        assert!(text.contains("quote it"), "{text}");
    }
}
