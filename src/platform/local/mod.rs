//! The local platform: an agent supervises processes behind a weighted proxy. This is its thin client.

pub mod agent;
pub mod api;
mod build;
mod client;
mod place;
pub mod places;
pub mod process;
pub mod proxy;
mod source;
mod story;

use std::sync::Arc;

use super::Platform;
use crate::context::Ctx;
use crate::service::Service;
use crate::settings::Target;

pub use client::Client;

/// Makes no request; the agent is started by the first one.
pub async fn open(ctx: &Ctx, service: &Service, target: &Target) -> anyhow::Result<Arc<dyn Platform>> {
    let name = match &target.namespace {
        Some(namespace) => format!("{}.{namespace}", service.service),
        None => service.service.clone(),
    };
    Ok(Arc::new(place::Local::new(name, Client::new(&ctx.settings)?, ctx.settings.env.clone())))
}
