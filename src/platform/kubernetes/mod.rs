//! Kubernetes: slots are Deployments, state is a ConfigMap, the driver's lock a Lease.

pub mod config;
pub mod release;

use std::sync::Arc;

use super::Platform;
use crate::context::Ctx;
use crate::service::Service;
use crate::settings::Target;

pub async fn open(_ctx: &Ctx, service: &Service, target: &Target) -> anyhow::Result<Arc<dyn Platform>> {
    anyhow::bail!("{}: no adapter for {:?}", service.service, target.platform)
}
