//! `drive`: what runs in the Job that `--detach` makes.

use crate::cli;
use crate::context::Ctx;
use crate::rollout::{self, Obeyed, Options};

pub fn run(ctx: &Ctx, args: &cli::Drive) -> anyhow::Result<u8> {
    let timeout = Options::time("timeout", args.timeout.as_deref())?;
    ctx.block_on(async {
        let named = cli::Named { service: Some(args.service.clone()) };
        let (service, platform) = super::rollout::open(ctx, &named).await?;
        let outcome = rollout::drive_here(ctx, platform.as_ref(), &service.service, timeout).await?;
        super::rollout::show(ctx, &service.service, Obeyed::Driven(outcome))
    })?
}
