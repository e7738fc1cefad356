//! The order of things in a build: hash, look whether it exists, check the push, build, push, verify, tag.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;
use jiff::Timestamp;

use super::builder::{self, Order};
use super::context::{self, Context};
use super::credentials::Credentials;
use super::dockerignore::Ignore;
use super::engine::{self, Engine};
use super::input::{Input, Origin};
use super::push;
use super::reference::Reference;
use super::registry::{Manifest, Registries};
use super::stats::Stats;
use super::tag::{self, Facts};
use super::{BuildOptions, Built, git};
use crate::context::Ctx;
use crate::error::Failure;
use crate::service::{BuiltImage, Image, Service};
use crate::ui::Task;

/// Builds the service's image, and pushes it when asked; does neither when nothing changed.
pub async fn build(
    ctx: &Ctx,
    folder: &Path,
    service: &Service,
    options: &BuildOptions,
) -> anyhow::Result<Built> {
    let begun = Instant::now();
    let plan = plan(ctx, folder, service, options).await?;
    let credentials = Arc::new(Credentials::load(&ctx.settings.env)?);
    let registries = Registries::new(&ctx.settings.env, credentials.clone())?;
    let mut built = plan.built(service, options);
    for warning in &built.warnings {
        ctx.ui.warn(format!("{}: {warning}", service.service));
    }
    if options.push {
        pushed(ctx, &plan, &registries, &credentials, options, &mut built).await?;
    } else {
        local(ctx, &plan, &credentials, options, &mut built).await?;
    }
    plan.remember.save(&plan.stats_folder, &plan.context.root, &plan.known);
    built.seconds = begun.elapsed().as_secs_f64();
    Ok(built)
}

/// `repository@sha256:…` of a reference built elsewhere, as its registry has it now.
pub async fn resolve(ctx: &Ctx, reference: &str) -> anyhow::Result<String> {
    let image = Reference::parse(reference)?;
    if let Some(digest) = &image.digest {
        return Ok(format!("{}@{digest}", image.repository));
    }
    let credentials = Arc::new(Credentials::load(&ctx.settings.env)?);
    let registries = Registries::new(&ctx.settings.env, credentials)?;
    let tag = image.tag.as_deref().unwrap_or("latest");
    match registries.digest(&image, tag).await? {
        Some(digest) => Ok(format!("{}@{digest}", image.repository)),
        None => Err(Failure::failed("image-not-found", format!("{} has no image {image}", image.host()))
            .object(image.to_string())
            .hint("push it first, or check the name and the tag")
            .into()),
    }
}

/// Everything that is known before an engine or a registry is asked.
struct Plan {
    image: Reference,
    context: Arc<Context>,
    known: Stats,
    remember: Stats,
    stats_folder: PathBuf,
    dockerfile: String,
    dockerfile_text: Vec<u8>,
    /// Given by msctl.yaml and flags.
    arguments: BTreeMap<String, String>,
    target: Option<String>,
    facts: Option<Facts>,
    tag: String,
    tags: Vec<String>,
    input: String,
    warnings: Vec<String>,
}

impl Plan {
    fn built(&self, service: &Service, options: &BuildOptions) -> Built {
        Built {
            service: service.service.clone(),
            reference: format!("{}:{}", self.image.repository, self.tag),
            digest: None,
            pinned: None,
            image_id: None,
            tag: self.tag.clone(),
            tags: self.tags.clone(),
            input: self.input.clone(),
            unchanged: false,
            pushed: options.push,
            seconds: 0.0,
            files: self.context.files,
            bytes: self.context.bytes,
            warnings: self.warnings.clone(),
        }
    }

    fn input_tag(&self) -> String {
        format!("in-{}", self.input)
    }

    /// Every tag the image gets, the first is its name.
    fn all_tags(&self) -> impl Iterator<Item = &String> {
        std::iter::once(&self.tag).chain(&self.tags)
    }
}

async fn plan(ctx: &Ctx, folder: &Path, service: &Service, options: &BuildOptions) -> anyhow::Result<Plan> {
    let image = description(ctx, service)?;
    let repository = Reference::parse(&image.repository)?;
    if repository.tag.is_some() || repository.digest.is_some() {
        let message = format!("image.repository is {:?}: a repository has no tag", image.repository);
        return Err(Failure::usage("bad-repository", message)
            .hint("the tag comes from git; or give --tag")
            .into());
    }
    if let Some(bad) = options.tags.iter().find(|t| !tag::is_legal(t)) {
        let message = format!("--tag {bad:?}: a tag holds up to 128 letters, digits, '_', '.' and '-'");
        return Err(Failure::usage("bad-tag", message).into());
    }
    let root = folder.join(&image.context);
    let root = root.canonicalize().map_err(|e| {
        Failure::usage("no-context", format!("the build context {} cannot be opened", root.display()))
            .source(e)
    })?;
    let (dockerfile, dockerfile_text) = dockerfile(folder, &root, &image.dockerfile)?;
    let ignore = ignore(&root, &dockerfile)?;
    let stats_folder = ctx.settings.state_folder()?.join("build");
    let cap = ctx.settings.env.get("SOURCE_DATE_EPOCH").and_then(|v| v.parse().ok());
    let folder = folder.to_owned();
    let git = tokio::task::spawn_blocking(move || git::facts(&folder));
    let walk = tokio::task::spawn_blocking({
        let stats_folder = stats_folder.clone();
        move || {
            let known = Stats::load(&stats_folder, &root);
            let (context, remember) = context::scan(&root, &ignore, &known, cap)?;
            anyhow::Ok((context, remember, known))
        }
    });
    let (context, remember, known) = walk.await??;
    let mut warnings: Vec<String> =
        context.odd.iter().map(|o| format!("{o} is neither file nor folder: left out")).collect();
    let facts = git.await?.unwrap_or_else(|error| {
        warnings.push(format!("git cannot be asked, so the tag comes from the files: {error:#}"));
        None
    });
    let arguments = arguments(ctx, &image, options)?;
    let target = options.target.clone().or(image.target);
    let input = Input {
        context: &context.hash,
        dockerfile: &dockerfile_text,
        arguments: &arguments,
        target: target.as_deref(),
        platforms: &options.platforms,
    }
    .hash();
    let computed = tag::tag(facts.as_ref(), &hex::encode(context.hash));
    let mut tags = options.tags.clone();
    let tag = if tags.is_empty() {
        warnings.extend(computed.warning);
        computed.name
    } else {
        tags.remove(0)
    };
    Ok(Plan {
        image: repository,
        context: Arc::new(context),
        known,
        remember,
        stats_folder,
        dockerfile,
        dockerfile_text,
        arguments,
        target,
        facts,
        tag,
        tags,
        input,
        warnings,
    })
}

fn description(ctx: &Ctx, service: &Service) -> anyhow::Result<BuiltImage> {
    match &service.image {
        Some(Image::Built(image)) => Ok(image.clone()),
        Some(Image::Reference(reference)) => {
            let message = format!("the image of {} is built elsewhere: {reference}", service.service);
            Err(Failure::usage("built-elsewhere", message)
                .hint("to build it here, write image: {repository: …} in msctl.yaml")
                .into())
        }
        None => {
            let repository = format!("{}/{}", ctx.settings.registry.value, service.service);
            serde_json::from_value(serde_json::json!({ "repository": repository }))
                .context("the default image")
        }
    }
}

/// The Dockerfile's path relative to the context (or its bare name when it lies outside), and its bytes.
fn dockerfile(folder: &Path, root: &Path, name: &str) -> anyhow::Result<(String, Vec<u8>)> {
    let found = [folder.join(name), root.join(name)].into_iter().find(|p| p.is_file());
    let Some(path) = found else {
        let message = format!("there is no {name} in {}", folder.display());
        return Err(Failure::usage("no-dockerfile", message)
            .hint("write one, or name it with image.dockerfile in msctl.yaml")
            .into());
    };
    let text = std::fs::read(&path).with_context(|| format!("read {}", path.display()))?;
    let path = path.canonicalize()?;
    let relative = match path.strip_prefix(root) {
        Ok(relative) => relative.to_str().context("the Dockerfile's path is not UTF-8")?.to_owned(),
        Err(_) => path.file_name().and_then(|n| n.to_str()).unwrap_or("Dockerfile").to_owned(),
    };
    Ok((relative, text))
}

/// `NAME.dockerignore` beside the Dockerfile, else `.dockerignore` of the context.
fn ignore(root: &Path, dockerfile: &str) -> anyhow::Result<Ignore> {
    for name in [format!("{dockerfile}.dockerignore"), ".dockerignore".into()] {
        let path = root.join(name);
        let text = match std::fs::read(&path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
            Err(e) => return Err(e).with_context(|| format!("read {}", path.display())),
        };
        return Ignore::parse(&text).map_err(|bad| {
            let location =
                crate::error::Location { file: path.display().to_string(), line: bad.line as u64, column: 1 };
            Failure::usage("bad-dockerignore", format!("{:?} is not a pattern", bad.pattern))
                .at(location)
                .into()
        });
    }
    Ok(Ignore::default())
}

fn arguments(
    ctx: &Ctx,
    image: &BuiltImage,
    options: &BuildOptions,
) -> anyhow::Result<BTreeMap<String, String>> {
    let mut all: BTreeMap<String, String> =
        image.args.iter().map(|(k, v)| (k.clone(), v.0.clone())).collect();
    for argument in &options.build_args {
        let (name, value) = match argument.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (argument.as_str(), ctx.settings.env.get(argument)),
        };
        if name.is_empty() || name.contains(char::is_whitespace) {
            return Err(Failure::usage(
                "bad-build-arg",
                "--build-arg wants KEY=VALUE, or KEY for the environment's value",
            )
            .into());
        }
        if let Some(value) = value {
            all.insert(name.to_owned(), value.to_owned());
        }
    }
    Ok(all)
}

async fn pushed(
    ctx: &Ctx,
    plan: &Plan,
    registries: &Registries,
    credentials: &Credentials,
    options: &BuildOptions,
    built: &mut Built,
) -> anyhow::Result<()> {
    let image = &plan.image;
    let input_tag = plan.input_tag();
    if !options.no_cache {
        let (input, current) =
            futures::try_join!(registries.digest(image, &input_tag), registries.digest(image, &plan.tag))?;
        if let Some(digest) = input {
            if current.as_ref() != Some(&digest) || !plan.tags.is_empty() {
                let manifest =
                    registries.manifest(image, &digest).await?.context("the image has just been there")?;
                built.image_id = manifest.config();
                tag_all(plan, registries, &manifest, plan.all_tags()).await?;
            }
            return finish(plan, built, digest, true);
        }
    }
    registries.may_push(image).await?;
    let task = ctx.ui.task(format!("build {}", built.service));
    let engine = engine::connect(&ctx.settings).await?;
    let id = make(ctx, plan, &engine, credentials, options, &task, built).await?;
    task.done(short(&id));
    let task = ctx.ui.task(format!("push {}", built.reference));
    let manifest = push::push(ctx, &engine, registries, image, &plan.tag, &id, &task).await?;
    engine.tag(&id, &image.repository, &input_tag).await?;
    let more = plan.tags.iter().chain(std::iter::once(&input_tag));
    tag_all(plan, registries, &manifest, more).await?;
    task.done(manifest.digest.clone());
    built.image_id = Some(id);
    finish(plan, built, manifest.digest, false)
}

async fn tag_all(
    plan: &Plan,
    registries: &Registries,
    manifest: &Manifest,
    tags: impl Iterator<Item = &String>,
) -> anyhow::Result<()> {
    for tag in tags {
        registries.tag(&plan.image, manifest, tag).await?;
    }
    Ok(())
}

fn finish(plan: &Plan, built: &mut Built, digest: String, unchanged: bool) -> anyhow::Result<()> {
    built.pinned = Some(format!("{}@{digest}", plan.image.repository));
    built.digest = Some(digest);
    built.unchanged = unchanged;
    Ok(())
}

async fn local(
    ctx: &Ctx,
    plan: &Plan,
    credentials: &Credentials,
    options: &BuildOptions,
    built: &mut Built,
) -> anyhow::Result<()> {
    let engine = engine::connect(&ctx.settings).await?;
    let name = format!("{}:{}", plan.image.repository, plan.input_tag());
    let known = if options.no_cache { None } else { engine.image_id(&name).await? };
    built.unchanged = known.is_some();
    let id = match known {
        Some(id) => id,
        None => {
            let task = ctx.ui.task(format!("build {}", built.service));
            let id = make(ctx, plan, &engine, credentials, options, &task, built).await?;
            task.done(short(&id));
            id
        }
    };
    for tag in plan.all_tags() {
        engine.tag(&id, &plan.image.repository, tag).await?;
    }
    engine.tag(&id, &plan.image.repository, &plan.input_tag()).await?;
    built.image_id = Some(id);
    Ok(())
}

async fn make(
    ctx: &Ctx,
    plan: &Plan,
    engine: &Engine,
    credentials: &Credentials,
    options: &BuildOptions,
    task: &Task,
    built: &mut Built,
) -> anyhow::Result<String> {
    let newest = || Timestamp::from_second(plan.context.newest()).unwrap_or(Timestamp::UNIX_EPOCH);
    let time = plan.facts.as_ref().map_or_else(newest, |f| f.time);
    let origin = Origin { service: &built.service, tag: &plan.tag, facts: plan.facts.as_ref(), time };
    let mut arguments = origin.arguments(&String::from_utf8_lossy(&plan.dockerfile_text));
    arguments.extend(plan.arguments.clone());
    let order = Order {
        service: built.service.clone(),
        context: plan.context.clone(),
        dockerfile: plan.dockerfile.clone(),
        dockerfile_text: plan.dockerfile_text.clone(),
        name: built.reference.clone(),
        arguments,
        labels: origin.labels(),
        target: plan.target.clone(),
        platform: options.platforms.first().cloned(),
        cache_from: options.cache_from.clone(),
        no_cache: options.no_cache,
    };
    builder::build(ctx, engine, credentials, &order, task, &mut built.warnings).await
}

fn short(id: &str) -> String {
    let hex = id.strip_prefix("sha256:").unwrap_or(id);
    format!("image {}", &hex[..hex.len().min(12)])
}
