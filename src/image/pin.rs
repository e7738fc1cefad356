//! `build --pin`: asks the registries which digests the base images have now, and writes them into the Dockerfile.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::bases::{self, Base};
use super::operation;
use crate::context::Ctx;
use crate::error::Failure;

/// Pins the bases of the Dockerfile at `path`. All are asked for before the file is written.
pub async fn pin(ctx: &Ctx, path: &Path, arguments: &BTreeMap<String, String>) -> anyhow::Result<()> {
    // What a link leads to is written, not the link.
    let path = &path.canonicalize().with_context(|| format!("find {}", path.display()))?;
    let text = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    let bases = bases::bases(&text, arguments);
    let images: BTreeSet<&String> = bases.iter().filter(|b| b.written.is_some()).map(|b| &b.image).collect();
    let asked = images.into_iter().map(|image| async move {
        let pinned = operation::resolve(ctx, image).await.map_err(|error| unknown(path, image, error))?;
        let digest = pinned.split_once('@').context("a pinned image has a digest")?.1.to_owned();
        anyhow::Ok((image.clone(), digest))
    });
    let digests: BTreeMap<String, String> = futures::future::try_join_all(asked).await?.into_iter().collect();
    for base in &bases {
        tell(ctx, path, base, digests.get(&base.image));
    }
    let pinned = bases::pinned(&text, &bases, &digests);
    if pinned != text {
        replace(path, &pinned).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(())
}

fn tell(ctx: &Ctx, path: &Path, base: &Base, digest: Option<&String>) {
    match (&base.written, digest) {
        (Some(_), Some(digest)) if base.digest.as_ref() != Some(digest) => {
            ctx.ui.note(format!("{} is pinned to {digest} in {}", base.image, path.display()));
        }
        (None, _) if base.digest.is_none() => ctx.ui.warn(format!(
            "{} is not pinned: it comes from build arguments; write its digest where they are given",
            base.image
        )),
        _ => {}
    }
}

fn unknown(path: &Path, image: &str, error: anyhow::Error) -> anyhow::Error {
    let failure = Failure::failed("base-image", format!("the digest of the base image {image} is not known"))
        .object(path.display().to_string())
        .hint("nothing was written; without --pin the image is built with what the engine has or finds");
    failure.source(error).into()
}

/// Whole or not at all.
fn replace(path: &Path, text: &str) -> anyhow::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let temporary: PathBuf = folder.join(format!(".Dockerfile.{}", std::process::id()));
    let written = fs::write(&temporary, text)
        .and_then(|()| fs::set_permissions(&temporary, fs::metadata(path)?.permissions()))
        .and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    Ok(written?)
}
