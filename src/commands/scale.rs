//! `scale [SERVICE] N`.

use crate::cli;
use crate::context::Ctx;
use crate::error::Failure;
use crate::rollout::Verb;

pub fn run(ctx: &Ctx, args: &cli::Scale) -> anyhow::Result<u8> {
    let (service, number) = match args.target.as_slice() {
        [service, number] => (Some(service.clone()), number),
        [number] => (None, number),
        _ => return Err(Failure::usage("scale", "scale takes [SERVICE] N").into()),
    };
    let replicas: u32 = number.parse().ok().filter(|n| *n <= 10_000).ok_or_else(|| {
        Failure::usage("scale", format!("{number:?} is not a number of pods from 0 to 10000"))
            .hint("write `msctl scale 3`, or `msctl scale orders 3` in a workspace")
    })?;
    super::rollout::verb(ctx, &cli::Named { service }, Verb::Scale(replicas))
}
