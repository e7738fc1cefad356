//! From a service's folder to an image a cluster can pull: walk and hash, build, push, verify the digest.
//!
//! `bases`, `dockerignore`, `reference` and `tag` are pure; only this room imports bollard. The way: [`context`] hashes what the
//! image is made of, [`input`] turns that into the tag `in-<16 hex>`; where the registry (or without a push the engine)
//! has it, nothing is built. [`operation`] holds the order of things.

mod bases;
mod builder;
pub mod commits;
mod context;
mod credentials;
pub mod dockerignore;
mod engine;
mod filesync;
mod git;
pub(crate) mod http;
mod input;
mod operation;
mod pin;
mod plan;
mod progress;
mod push;
mod reference;
mod registry;
mod session;
mod stats;
mod tag;

use serde::Serialize;

pub use bases::Base;
pub use operation::{build, find, resolve};

/// What `msctl build`'s flags ask for.
#[derive(Debug, Clone, Default)]
pub struct BuildOptions {
    /// Push, and verify the digest at the registry.
    pub push: bool,
    /// First write the digests of the base images into the Dockerfile.
    pub pin: bool,
    /// Tags in place of the computed one.
    pub tags: Vec<String>,
    /// Such as linux/arm64; the engine's own when empty.
    pub platforms: Vec<String>,
    /// `KEY=VALUE`, or `KEY` for the environment's value.
    pub build_args: Vec<String>,
    pub cache_from: Vec<String>,
    /// Build every step anew, even when nothing changed.
    pub no_cache: bool,
    pub target: Option<String>,
    /// `id=NAME[,src=FILE]` or `id=NAME,env=VARIABLE`, for `RUN --mount=type=secret`.
    pub secrets: Vec<String>,
}

/// A service's image, built now or found to be built already.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Built {
    pub service: String,
    /// `repository:tag`.
    pub reference: String,
    /// `sha256:…` as verified at the registry; None when nothing was pushed.
    pub digest: Option<String>,
    /// `repository@sha256:…`: what to deploy. None when nothing was pushed.
    pub pinned: Option<String>,
    /// The engine's id; None when the registry had the image and the engine was not asked.
    pub image_id: Option<String>,
    pub tag: String,
    /// Further tags given.
    pub tags: Vec<String>,
    /// Hash of everything the image is made from, 16 hex digits.
    pub input: String,
    /// Nothing changed since the image was built, so nothing was built.
    pub unchanged: bool,
    pub pushed: bool,
    pub seconds: f64,
    /// Of the build context.
    pub files: u64,
    pub bytes: u64,
    /// The images that the Dockerfile builds on.
    pub bases: Vec<Base>,
    pub warnings: Vec<String>,
}

/// What is known of an image without building it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// `repository:tag`, as a build would name it.
    pub reference: String,
    /// `repository@sha256:…` of an image made from the same inputs.
    pub pinned: Option<String>,
}

/// The engine that answers, in words: version and builder.
pub async fn engine_summary(settings: &crate::settings::Settings) -> anyhow::Result<String> {
    let engine = engine::connect(settings).await?;
    let builder = if engine.buildkit { "BuildKit" } else { "classic builder" };
    Ok(format!("{} with {builder}", engine.version))
}
