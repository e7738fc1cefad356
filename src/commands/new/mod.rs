//! `new`: a service from a template.

mod ask;
mod made;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::cli;
use crate::context::Ctx;
use crate::error::Failure;
use crate::scaffold::{self, Answers, Given, Plan, Renderer, Source, Stage, State, Variable};
use crate::settings;
use made::{Git, Made};

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
    let source =
        super::template::open(ctx, &ask::template(ctx, args)?).map_err(|e| stopped(ctx).unwrap_or(e))?;
    scaffold::check_reserved(&source.template, &args.name)?;
    ask::agree(ctx, &source)?;
    let renderer = Renderer::new(&source)?;
    let given = given(ctx, args, &source, set)?;
    let mut ask = |variable: &Variable, default: Option<&Value>| match args.defaults {
        true => Ok(None),
        false => ask::variable(ctx, variable, default),
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
    Ok(made::view(ctx, args, &source, &plan, &target, git))
}

fn split(pair: &str) -> anyhow::Result<(String, String)> {
    let (key, value) = pair.split_once('=').ok_or_else(|| {
        Failure::usage("invalid-answer", format!("--set {pair}: there is no = in it"))
            .hint("write --set KEY=VALUE")
    })?;
    Ok((key.trim().to_owned(), value.to_owned()))
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
