//! The order of things in a build: hash, look whether it exists, check the push, build, push, verify, tag.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;
use jiff::Timestamp;

use super::builder::{self, Order};
use super::credentials::Credentials;
use super::engine::{self, Engine};
use super::input::Origin;
use super::plan::{self, Plan};
use super::push;
use super::reference::Reference;
use super::registry::{Manifest, Registries};
use super::{BuildOptions, Built, Found};
use crate::context::Ctx;
use crate::error::Failure;
use crate::service::Service;

/// Builds the service's image, and pushes it when asked; does neither when nothing changed.
pub async fn build(
    ctx: &Ctx,
    folder: &Path,
    service: &Service,
    options: &BuildOptions,
) -> anyhow::Result<Built> {
    let begun = Instant::now();
    let plan = plan::plan(ctx, folder, service, options).await?;
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
    built.seconds = begun.elapsed().as_secs_f64();
    Ok(built)
}

/// The image as it would be named, and its digest where the registry has it already. Builds nothing.
pub async fn find(ctx: &Ctx, folder: &Path, service: &Service) -> anyhow::Result<Found> {
    let plan = plan::plan(ctx, folder, service, &BuildOptions::default()).await?;
    let credentials = Arc::new(Credentials::load(&ctx.settings.env)?);
    let registries = Registries::new(&ctx.settings.env, credentials)?;
    let digest = registries.digest_if_any(&plan.image, &plan.input_tag()).await?;
    Ok(Found {
        reference: format!("{}:{}", plan.image.repository, plan.tag),
        pinned: digest.map(|digest| format!("{}@{digest}", plan.image.repository)),
    })
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
    let found = match registries.digest(&image, tag).await {
        Err(error) if allows_plain(ctx, &registries, &image, &error).await => {
            registries.digest(&image, tag).await
        }
        found => found,
    };
    match found? {
        Some(digest) => Ok(format!("{}@{digest}", image.repository)),
        None => Err(Failure::failed("image-not-found", format!("{} has no image {image}", image.host()))
            .object(image.to_string())
            .hint("push it first, or check the name and the tag")
            .into()),
    }
}

async fn pushed(
    ctx: &Ctx,
    plan: &Plan,
    registries: &Registries,
    credentials: &Arc<Credentials>,
    options: &BuildOptions,
    built: &mut Built,
) -> anyhow::Result<()> {
    let image = &plan.image;
    let input_tag = plan.input_tag();
    if !options.no_cache {
        let ask = || async {
            futures::try_join!(
                registries.digest_if_any(image, &input_tag),
                registries.digest_if_any(image, &plan.tag)
            )
        };
        let found = match ask().await {
            Err(error) if allows_plain(ctx, registries, image, &error).await => ask().await,
            found => found,
        };
        let (input, current) = found?;
        if let Some(digest) = input {
            if current.as_ref() != Some(&digest) || !plan.tags.is_empty() {
                let manifest =
                    registries.manifest(image, &digest).await?.context("the image has just been there")?;
                built.image_id = manifest.config();
                tag_all(plan, registries, &manifest, plan.all_tags()).await?;
            }
            finish(plan, built, digest);
            built.unchanged = true;
            return Ok(());
        }
    }
    registries.may_push(image).await?;
    let engine = engine::connect(&ctx.settings).await?;
    let mut parts = Vec::new();
    let platforms: Vec<Option<&String>> = match options.platforms.as_slice() {
        [] => vec![None],
        several => several.iter().map(Some).collect(),
    };
    for platform in &platforms {
        // Each platform needs a name of its own until the index joins them.
        let suffix = platform.filter(|_| platforms.len() > 1).map(|p| format!("-{}", p.replace('/', "-")));
        let suffix = suffix.unwrap_or_default();
        let input_tag = format!("{input_tag}{suffix}");
        let tag = format!("{}{suffix}", plan.tag);
        let id = make(ctx, plan, &engine, credentials, options, (*platform, &tag, &input_tag), built).await?;
        let task = ctx.ui.task(format!("push {}:{tag}", image.repository));
        let manifest = push::push(ctx, &engine, registries, image, &tag, &id, &task).await?;
        task.done(manifest.digest.clone());
        built.image_id = Some(id);
        parts.push((platform.cloned().unwrap_or_default(), manifest));
    }
    let manifest = if parts.len() > 1 {
        built.image_id = None;
        let index = Manifest::index(&parts)?;
        registries.tag(image, &index, &plan.tag).await?;
        registries.manifest(image, &plan.tag).await?.context("the index has just been pushed")?
    } else {
        parts.remove(0).1
    };
    tag_all(plan, registries, &manifest, plan.tags.iter().chain(std::iter::once(&input_tag))).await?;
    finish(plan, built, manifest.digest);
    Ok(())
}

/// Whether the registry could not be reached by TLS because the engine was told that it has none; remembered if so.
async fn allows_plain(ctx: &Ctx, registries: &Registries, image: &Reference, error: &anyhow::Error) -> bool {
    if crate::error::failure(error).is_none_or(|f| f.reason != "registry-unreachable") {
        return false;
    }
    let Ok(engine) = engine::connect(&ctx.settings).await else { return false };
    let insecure = engine.calls_insecure(image.host()).await.unwrap_or(false);
    if insecure {
        registries.set_insecure(vec![image.host().to_owned()]);
    }
    insecure
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

fn finish(plan: &Plan, built: &mut Built, digest: String) {
    built.pinned = Some(format!("{}@{digest}", plan.image.repository));
    built.digest = Some(digest);
}

async fn local(
    ctx: &Ctx,
    plan: &Plan,
    credentials: &Arc<Credentials>,
    options: &BuildOptions,
    built: &mut Built,
) -> anyhow::Result<()> {
    if options.platforms.len() > 1 {
        let message = "an engine holds an image for one platform only";
        return Err(Failure::usage("several-platforms", message)
            .hint("add --push: the registry can hold them together")
            .into());
    }
    let engine = engine::connect(&ctx.settings).await?;
    let (input_tag, platform) = (plan.input_tag(), options.platforms.first());
    let id = make(ctx, plan, &engine, credentials, options, (platform, &plan.tag, &input_tag), built).await?;
    for tag in &plan.tags {
        engine.tag(&id, &plan.image.repository, tag).await?;
    }
    built.image_id = Some(id);
    Ok(())
}

/// The image in the engine under `tag` and `input_tag`: found there, or built now.
async fn make(
    ctx: &Ctx,
    plan: &Plan,
    engine: &Engine,
    credentials: &Arc<Credentials>,
    options: &BuildOptions,
    (platform, tag, input_tag): (Option<&String>, &str, &str),
    built: &mut Built,
) -> anyhow::Result<String> {
    let repository = &plan.image.repository;
    if !options.no_cache
        && let Some(id) = engine.image_id(&format!("{repository}:{input_tag}")).await?
    {
        engine.tag(&id, repository, tag).await?;
        built.unchanged = !options.push;
        return Ok(id);
    }
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
        ignore_text: plan.ignore_text.clone(),
        name: format!("{repository}:{tag}"),
        arguments,
        labels: origin.labels(),
        target: plan.target.clone(),
        platform: platform.cloned(),
        cache_from: options.cache_from.clone(),
        no_cache: options.no_cache,
        secrets: Arc::new(plan::secrets(ctx, options)?),
    };
    let of = platform.map(|p| format!(" for {p}")).unwrap_or_default();
    let task = ctx.ui.task(format!("build {}{of}", built.service));
    let id = builder::build(ctx, engine, credentials, &order, &task, &mut built.warnings).await?;
    engine.tag(&id, repository, input_tag).await?;
    task.done(short(&id));
    Ok(id)
}

fn short(id: &str) -> String {
    let hex = id.strip_prefix("sha256:").unwrap_or(id);
    format!("image {}", &hex[..hex.len().min(12)])
}
