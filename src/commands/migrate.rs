//! `migrate contract`: what no revision needs any more is taken out of the database's schema.

use crate::cli;
use crate::context::Ctx;
use crate::deploy::{self, Contracted};
use crate::ui::{Paint, View};

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
    let contracted = ctx.block_on(deploy::contract(ctx, named.service.as_deref()))??;
    ctx.ui.show(&contracted)?;
    Ok(0)
}
