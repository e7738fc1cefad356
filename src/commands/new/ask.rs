//! The questions of `new`: which template, and the template's own.

use serde_json::Value;

use crate::cli;
use crate::context::Ctx;
use crate::error::Failure;
use crate::scaffold::{self, Source, Variable};
use crate::settings;

/// The template taken when none is named and nobody can be asked.
const DEFAULT_TEMPLATE: &str = "go";

pub fn template(ctx: &Ctx, args: &cli::New) -> anyhow::Result<String> {
    if let Some(name) = &args.template {
        return Ok(name.clone());
    }
    if args.defaults || !ctx.ui.options.interactive {
        return Ok(DEFAULT_TEMPLATE.into());
    }
    let sources = scaffold::embedded()?;
    let rows: Vec<String> =
        sources.iter().map(|s| format!("{:<16} {}", s.template.name, s.template.description)).collect();
    let default = sources.iter().position(|s| s.template.name == DEFAULT_TEMPLATE).unwrap_or(0);
    let chosen = ctx.ui.ask_choice("Template", &rows, default, "--template")?;
    Ok(sources[chosen].template.name.clone())
}

/// Says what has ended, and has licences accepted that ask for it.
pub fn agree(ctx: &Ctx, source: &Source) -> anyhow::Result<()> {
    if let Some(eol) = &source.template.eol {
        ctx.ui.warn(format!("{}: {eol}", source.template.name));
    }
    for license in source.template.licenses.iter().filter(|l| l.accept) {
        let question = format!("{} is under {}; do you accept it?", source.template.name, license.spdx);
        if ctx.settings.yes == settings::Yes::No && !ctx.ui.ask_yes(&question, false, "--yes")? {
            return Err(Failure::failed("declined", format!("{} was not accepted", license.spdx)).into());
        }
    }
    Ok(())
}
/// Asks for a variable on a terminal; None where the default is to be taken unasked.
pub fn variable(ctx: &Ctx, variable: &Variable, default: Option<&Value>) -> anyhow::Result<Option<Value>> {
    if !ctx.ui.options.interactive || (variable.prompt.is_none() && default.is_some()) {
        return Ok(None);
    }
    let question = variable.prompt.as_deref().unwrap_or(&variable.name);
    let flag = format!("--set {}=…", variable.name);
    let fits = |text: &str| {
        let value = scaffold::coerce(variable, text)?;
        scaffold::check(variable, &value).map(|()| value)
    };
    let value = match variable.kind {
        _ if variable.secret => match ctx.ui.ask_secret(question, default.is_some(), "--answers FILE")? {
            empty if empty.is_empty() && default.is_some() => return Ok(None),
            secret => Value::String(secret),
        },
        scaffold::Kind::Bool => {
            ctx.ui.ask_yes(question, default.and_then(Value::as_bool).unwrap_or_default(), &flag)?.into()
        }
        scaffold::Kind::Choice => {
            let preset = default.and_then(|d| variable.choices.iter().position(|c| d == c.as_str()));
            let chosen = ctx.ui.ask_choice(question, &variable.choices, preset.unwrap_or(0), &flag)?;
            variable.choices[chosen].clone().into()
        }
        _ => {
            let preset = default.map(shown);
            let text = ctx.ui.ask_text(question, preset.as_deref(), &flag, |text| fits(text).map(|_| ()))?;
            fits(&text)
                .map_err(|why| Failure::usage("invalid-answer", format!("{}: {why}", variable.name)))?
        }
    };
    Ok(Some(value))
}

/// A value as it is typed.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(shown).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}
