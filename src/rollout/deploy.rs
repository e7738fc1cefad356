//! The operation behind `deploy`: nothing when nothing changed, else a rollout driven to where it was asked to go.

use std::sync::Arc;

use serde::Serialize;

use super::{Options, Status};
use crate::context::Ctx;
use crate::error::Failure;
use crate::platform::{Change, Platform, Release, Template};

/// How a deploy ended without failing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ended {
    /// Nothing differed; nothing was written, no Lease taken.
    Unchanged,
    Healthy,
    /// Waits for a person; exit code 6.
    Paused,
    /// What `--until` named came first.
    Reached,
}

/// What a deploy did.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    pub ended: Ended,
    pub revision: u32,
    pub image: String,
    /// Changes outside the slots.
    pub changes: Vec<Change>,
    pub status: Status,
    /// From the first write to the end.
    pub seconds: f64,
}

impl Outcome {
    pub fn code(&self) -> u8 {
        match self.ended {
            Ended::Unchanged | Ended::Healthy | Ended::Reached => 0,
            Ended::Paused => 6,
        }
    }
}

/// Rolls `template` out. A refused version, a held lock, a lost contact are errors with their exit codes.
pub async fn deploy(
    _ctx: &Ctx,
    platform: Arc<dyn Platform>,
    _release: &Release,
    template: &Template,
    _options: &Options,
) -> anyhow::Result<Outcome> {
    let place = platform.place();
    Err(Failure::failed(
        "unavailable",
        format!("{} cannot be rolled out to {place} by this build", template.image),
    )
    .into())
}
