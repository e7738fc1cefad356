//! `migrate contract`: what no revision needs any more is taken out of the database's schema.

use serde::Serialize;

use crate::cli;
use crate::context::Ctx;
use crate::rollout::{self, Status};
use crate::ui::{Paint, View};

/// Whose contracts were run.
#[derive(Serialize)]
struct Contracted {
    service: String,
    revisions: Vec<u32>,
    status: Status,
}

impl View for Contracted {
    fn schema(&self) -> &'static str {
        "msctl.dev/migrate/v1"
    }
    fn human(&self, paint: &Paint) -> String {
        let last = self.revisions.last().copied().unwrap_or_default();
        format!("{}: contracted; no revision before {last} can come back\n", paint.bold(&self.service))
    }
}

pub fn run(ctx: &Ctx, command: &cli::Migrate) -> anyhow::Result<u8> {
    let cli::Migrate::Contract(named) = command;
    ctx.block_on(async {
        let (service, platform) = super::rollout::open(ctx, named).await?;
        let (revisions, status) = rollout::contract(ctx, platform.as_ref(), &service).await?;
        ctx.ui.show(&Contracted { service: service.service, revisions, status })?;
        Ok(0)
    })?
}
