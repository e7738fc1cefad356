//! `build`: services → images.

use serde::Serialize;

use crate::cli;
use crate::context::Ctx;
use crate::error::Failure;
use crate::image::{self, BuildOptions, Built};
use crate::service::{Image, Member};
use crate::ui::{Paint, View};

#[derive(Serialize)]
struct Images {
    images: Vec<Built>,
}

impl View for Images {
    fn schema(&self) -> &'static str {
        "msctl.dev/build/v1"
    }
    fn human(&self, paint: &Paint) -> String {
        self.images.iter().map(|image| line(image, paint)).collect()
    }
}

fn line(image: &Built, paint: &Paint) -> String {
    let how = if image.unchanged { "unchanged" } else { "built" };
    let files = format!("{} files, {:.1} s", image.files, image.seconds);
    let place = image.pinned.as_ref().or(image.image_id.as_ref()).cloned().unwrap_or_default();
    let more: String = image.tags.iter().map(|t| format!(", {t}")).collect();
    format!("{}{more}  {how}  {}\n  {place}\n", paint.bold(&image.reference), paint.dim(files))
}

pub fn run(ctx: &Ctx, args: &cli::Build) -> anyhow::Result<u8> {
    let project = ctx.project()?;
    let members: Vec<&Member> = if args.service.is_empty() {
        let here = |m: &&Member| !matches!(m.service.image, Some(Image::Reference(_)));
        let all: Vec<&Member> = project.members.iter().filter(here).collect();
        if all.is_empty() { project.members.iter().collect() } else { all }
    } else {
        args.service.iter().map(|name| project.member(Some(name))).collect::<anyhow::Result<_>>()?
    };
    let options = BuildOptions {
        push: args.push,
        pin: args.pin,
        tags: args.tag.clone(),
        platforms: args.platform.clone(),
        build_args: args.build_arg.clone(),
        cache_from: args.cache_from.clone(),
        no_cache: args.no_cache,
        target: args.target.clone(),
        secrets: args.secret.clone(),
    };
    let mut images = Vec::new();
    for member in members {
        let target = ctx.settings.target(Some(&member.service))?;
        let service = member.service.in_environment(&target.environment)?;
        let built = ctx.block_on(image::build(ctx, &member.folder, &service, &options))?;
        images.push(built.map_err(|error| after(error, &images))?);
    }
    ctx.ui.show(&Images { images })?;
    Ok(0)
}

/// What was done before the failure, said with it.
fn after(error: anyhow::Error, images: &[Built]) -> anyhow::Error {
    if images.is_empty() {
        return error;
    }
    let done: Vec<&str> = images.iter().map(|i| i.reference.as_str()).collect();
    let kind = crate::error::kind(&error);
    let report = crate::error::report(&error);
    let mut failure =
        Failure::new(kind, "build-failed", format!("{}; built before: {}", report.message, done.join(", ")));
    if let Some(inner) = crate::error::failure(&error) {
        failure.reason = inner.reason;
        failure.object = inner.object.clone();
        failure.hints = inner.hints.clone();
    }
    failure.source(error).into()
}
