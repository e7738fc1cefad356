//! `new`: a service from a template.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;

use crate::cli;
use crate::context::Ctx;
use crate::error::Failure;
use crate::scaffold::{self, Answers, Given, Plan, Planned, Renderer, Source, Stage, State, Variable};
use crate::settings;
use crate::ui::{Paint, View};

/// The template taken when none is named and nobody can be asked.
const DEFAULT_TEMPLATE: &str = "go";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Made {
    name: String,
    folder: String,
    template: MadeOf,
    files: Vec<MadeFile>,
    git: Option<Git>,
    dry_run: bool,
    /// The folder as the user can type it.
    #[serde(skip)]
    shown: String,
}

#[derive(Serialize)]
struct MadeOf {
    name: String,
    version: String,
    digest: String,
}

#[derive(Serialize)]
struct Git {
    commit: String,
}

#[derive(Serialize)]
struct MadeFile {
    path: String,
    mode: String,
    size: usize,
    sha256: String,
    owner: scaffold::Owner,
    /// What to show of a dry run's file.
    #[serde(skip)]
    content: Option<String>,
}

impl View for Made {
    fn schema(&self) -> &'static str {
        "msctl.dev/new/v1"
    }

    fn human(&self, paint: &Paint) -> String {
        let MadeOf { name, version, .. } = &self.template;
        let count = self.files.len();
        if self.dry_run {
            let mut text =
                format!("Would create {} from {name} {version}, {count} files:\n", paint.bold(&self.shown));
            for file in &self.files {
                text += &format!("  {:>7} {} {}\n", file.size, file.mode, file.path);
                for line in file.content.iter().flat_map(|c| c.lines()) {
                    text += &format!("  {} {line}\n", paint.dim("│"));
                }
            }
            return text;
        }
        let mut text = format!("Created {} from {name} {version}, {count} files:\n", paint.bold(&self.shown));
        text += &tree(self.files.iter().map(|f| f.path.as_str()), paint);
        if let Some(git) = &self.git {
            text += &format!("  {}\n", paint.dim(format!("git: first commit {} on main", &git.commit[..12])));
        }
        text + &format!(
            "\nNext:\n  {}\n  {}\n",
            paint.cyan(format!("cd {}", self.shown)),
            paint.cyan("msctl deploy")
        )
    }
}

/// The top of the tree: files by name, folders with the number of files in them.
fn tree<'a>(paths: impl Iterator<Item = &'a str>, paint: &Paint) -> String {
    let mut folders: BTreeMap<&str, usize> = BTreeMap::new();
    let mut files = Vec::new();
    for path in paths {
        match path.split_once('/') {
            Some((folder, _)) => *folders.entry(folder).or_default() += 1,
            None => files.push(path),
        }
    }
    let folders = folders.into_iter().map(|(folder, count)| {
        let plural = if count == 1 { "" } else { "s" };
        format!("{:<18} {}", format!("{folder}/"), paint.dim(format!("{count} file{plural}")))
    });
    let mut lines: Vec<String> = folders.chain(files.into_iter().map(str::to_owned)).collect();
    let last = lines.pop();
    let inner = lines.iter().map(|line| format!("  {} {line}\n", paint.dim("├──")));
    inner.chain(last.map(|line| format!("  {} {line}\n", paint.dim("└──")))).collect()
}

pub fn run(ctx: &Ctx, args: &cli::New) -> anyhow::Result<u8> {
    // On the runtime, so that Ctrl-C is seen and what was staged is taken away again.
    let made = ctx.block_on(async { create(ctx, args) })??;
    ctx.ui.show(&made)?;
    Ok(0)
}

fn create(ctx: &Ctx, args: &cli::New) -> anyhow::Result<Made> {
    scaffold::check_name(&args.name)?;
    let parent = ctx.settings.directory.join(args.into.as_deref().unwrap_or(Path::new("")));
    let target = parent.join(&args.name);
    scaffold::check_target(&target)?;
    let set = args.set.iter().map(|pair| split(pair)).collect::<anyhow::Result<Vec<_>>>()?;
    let source = super::template::open(ctx, &template(ctx, args)?).map_err(|e| stopped(ctx).unwrap_or(e))?;
    scaffold::check_reserved(&source.template, &args.name)?;
    agree(ctx, &source)?;
    let renderer = Renderer::new(&source)?;
    let given = given(ctx, args, &source, set)?;
    let mut ask = |variable: &Variable, default: Option<&Value>| match args.defaults {
        true => Ok(None),
        false => ask(ctx, variable, default),
    };
    let answers = Answers::find(&source.template, &renderer, &given, &mut ask)?;
    for name in &answers.idle {
        ctx.ui.warn(format!("{name} is not asked under these answers; what was given for it has no effect"));
    }
    let plan = scaffold::plan(&source, &renderer, &answers)?;
    let git = if args.dry_run { None } else { write(ctx, args, &source, &answers, &plan, &parent)? };
    if !args.dry_run {
        note_missing_tools(ctx, &source);
    }
    Ok(view(ctx, args, &source, &plan, &target, git))
}

fn split(pair: &str) -> anyhow::Result<(String, String)> {
    let (key, value) = pair.split_once('=').ok_or_else(|| {
        Failure::usage("invalid-answer", format!("--set {pair}: there is no = in it"))
            .hint("write --set KEY=VALUE")
    })?;
    Ok((key.trim().to_owned(), value.to_owned()))
}

fn template(ctx: &Ctx, args: &cli::New) -> anyhow::Result<String> {
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
fn agree(ctx: &Ctx, source: &Source) -> anyhow::Result<()> {
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

fn given(ctx: &Ctx, args: &cli::New, source: &Source, set: Vec<(String, String)>) -> anyhow::Result<Given> {
    let mut given = Given { set, ..Given::default() };
    if let Some(file) = &args.answers {
        let file = ctx.settings.directory.join(file);
        let text = std::fs::read_to_string(&file).map_err(|e| {
            Failure::usage("no-answers", format!("cannot read the answers in {}", file.display())).source(e)
        })?;
        // An empty file is no answers, though to YAML it is null and not a map.
        let answers: Option<BTreeMap<String, Value>> = crate::service::parse_yaml(&text, &file)?;
        given.file = answers.unwrap_or_default();
    }
    let from_set = given.set.iter().rev().find(|(key, _)| key == "registry").map(|(_, value)| value.clone());
    let from_file = || given.file.get("registry").and_then(Value::as_str).map(str::to_owned);
    let registry = from_set.or_else(from_file).unwrap_or_else(|| ctx.settings.registry.value.clone());
    check_registry(&registry)?;
    let values = [
        ("name", args.name.clone()),
        ("registry", registry.trim_end_matches('/').to_owned()),
        ("msctl_version", env!("CARGO_PKG_VERSION").into()),
        ("template_digest", source.digest.clone()),
    ];
    given.built_in.extend(values.map(|(key, value)| (key.to_owned(), Value::String(value))));
    let year = ctx.clock.now().to_zoned(jiff::tz::TimeZone::UTC).year();
    given.built_in.insert("year".into(), year.into());
    Ok(given)
}

fn check_registry(registry: &str) -> anyhow::Result<()> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "._-:/[]".contains(c);
    if !registry.is_empty() && registry.chars().all(fits) && !registry.starts_with('/') {
        return Ok(());
    }
    Err(Failure::usage("invalid-answer", format!("{registry:?} is no registry"))
        .hint("write HOST[:PORT][/PATH], such as ghcr.io/shop")
        .into())
}

fn ask(ctx: &Ctx, variable: &Variable, default: Option<&Value>) -> anyhow::Result<Option<Value>> {
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

/// Ctrl-C or SIGTERM, if it came.
fn stopped(ctx: &Ctx) -> Option<anyhow::Error> {
    let told =
        || Failure::new(settings::interrupted(), "interrupted", "interrupted; nothing was left behind");
    ctx.interrupt.is_cancelled().then(|| told().into())
}

fn write(
    ctx: &Ctx,
    args: &cli::New,
    source: &Source,
    answers: &Answers,
    plan: &Plan,
    parent: &Path,
) -> anyhow::Result<Option<Git>> {
    let stop = || stopped(ctx).map_or(Ok(()), Err);
    let stage = Stage::create(parent)?;
    stage.write(&plan.files, &stop)?;
    stage.write(&State::new(source, answers, plan).files(plan)?, &stop)?;
    let commit = match args.no_git {
        true => None,
        false => {
            let message =
                format!("{}: create from {} {}", args.name, source.template.name, source.template.version);
            scaffold::commit_all(stage.folder(), parent, &message)?
        }
    };
    stop()?;
    stage.commit(&parent.join(&args.name))?;
    Ok(commit.map(|commit| Git { commit }))
}

fn note_missing_tools(ctx: &Ctx, source: &Source) {
    let path = ctx.settings.env.os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(path).collect();
    for tool in &source.template.requires.tools {
        if !folders.iter().any(|folder| folder.join(tool).is_file()) {
            ctx.ui.warn(format!("{tool} is not on PATH; running the service on this machine needs it"));
        }
    }
}

/// `target` as the user's shell takes it, from where the user is.
fn typed(target: &Path) -> String {
    let here = std::env::current_dir().ok();
    let near = here.and_then(|here| target.strip_prefix(here).ok());
    scaffold::sh(&near.unwrap_or(target).display().to_string())
}

fn view(ctx: &Ctx, args: &cli::New, source: &Source, plan: &Plan, target: &Path, git: Option<Git>) -> Made {
    let verbose = ctx.ui.options.verbosity >= 2;
    let file = |file: &Planned| MadeFile {
        path: file.path.clone(),
        mode: format!("{:04o}", file.mode),
        size: file.content.len(),
        sha256: file.sha256.clone(),
        owner: file.owner,
        content: match (verbose && args.dry_run, file.secret) {
            (false, _) => None,
            (true, true) => Some("(holds a secret)".into()),
            (true, false) => Some(String::from_utf8_lossy(&file.content).into_owned()),
        },
    };
    Made {
        name: args.name.clone(),
        folder: target.display().to_string(),
        template: MadeOf {
            name: source.template.name.clone(),
            version: source.template.version.clone(),
            digest: source.digest.clone(),
        },
        files: plan.files.iter().map(file).collect(),
        git,
        dry_run: args.dry_run,
        shown: typed(target),
    }
}
