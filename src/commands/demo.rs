//! `demo`.

use crate::cli;
use crate::context::Ctx;
use crate::demo;

pub fn run(ctx: &Ctx, args: &cli::Demo) -> anyhow::Result<u8> {
    let tour = ctx.block_on(demo::tour(ctx, args.template.as_deref(), args.keep))??;
    ctx.ui.show(&tour)?;
    Ok(0)
}
