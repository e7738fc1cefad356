//! `agent`: what `msctl` starts for itself in the background.

use crate::cli;
use crate::context::Ctx;
use crate::platform::local::agent;
use crate::platform::local::places::Places;

pub fn run(ctx: &Ctx, args: &cli::Agent) -> anyhow::Result<u8> {
    let places = Places::at(args.folder.clone(), &ctx.settings.env)?;
    ctx.block_on(agent::run(places, ctx.ui.clone(), ctx.interrupt.clone()))??;
    Ok(0)
}
