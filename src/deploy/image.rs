//! The image of a deploy, by digest: given, built elsewhere, or built and pushed now while the cluster is asked whether
//! it would take it.

use std::time::Duration;

use super::{Job, Request};
use crate::context::Ctx;
use crate::error::Failure;
use crate::image::{self, BuildOptions};
use crate::platform::{Platform, Release};
use crate::service::{Image, PlatformKind};

/// A build that takes longer has something to build; then it is worth asking the cluster meanwhile.
const QUICK: Duration = Duration::from_millis(200);

/// `repository@sha256:…`; None on the local platform, which builds from the folder.
pub async fn pinned(
    ctx: &Ctx,
    request: &Request,
    job: &Job,
    platform: &dyn Platform,
    release: &Release,
) -> anyhow::Result<Option<String>> {
    if job.target.platform == PlatformKind::Local {
        return local(request);
    }
    if let Some(reference) = reference(request, job) {
        return image::resolve(ctx, reference).await.map(Some);
    }
    let options = BuildOptions { push: true, ..BuildOptions::default() };
    let build = image::build(ctx, &job.folder, &job.service, &options);
    let early = async {
        tokio::time::sleep(QUICK).await;
        platform.preflight(release).await
    };
    tokio::pin!(build);
    let built = tokio::select! {
        built = &mut build => built?,
        checked = early => {
            checked?;
            build.await?
        }
    };
    let pinned = built.pinned.ok_or_else(|| {
        Failure::failed("no-digest", format!("{} was pushed, but its digest is not known", built.reference))
    })?;
    Ok(Some(pinned))
}

/// The image as far as it is known without building, and whether a deploy would build it.
pub async fn known(ctx: &Ctx, request: &Request, job: &Job) -> anyhow::Result<(Option<String>, bool)> {
    if job.target.platform == PlatformKind::Local {
        return local(request).map(|none| (none, false));
    }
    if let Some(reference) = reference(request, job) {
        return Ok((Some(image::resolve(ctx, reference).await?), false));
    }
    let found = image::find(ctx, &job.folder, &job.service).await?;
    Ok(match found.pinned {
        Some(pinned) => (Some(pinned), false),
        None => (Some(found.reference), true),
    })
}

fn local(request: &Request) -> anyhow::Result<Option<String>> {
    match &request.image {
        None => Ok(None),
        Some(_) => Err(Failure::usage("no-images", "--image: the local platform runs processes, not images")
            .hint("name an environment that has a cluster: -e ENV")
            .into()),
    }
}

/// The image that is given, not built here.
pub fn reference<'a>(request: &'a Request, job: &'a Job) -> Option<&'a str> {
    match (&request.image, &job.service.image) {
        (Some(given), _) => Some(given),
        (None, Some(Image::Reference(reference))) => Some(reference),
        (None, _) => None,
    }
}
