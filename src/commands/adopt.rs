//! `adopt`: an existing Deployment becomes the live version.

use crate::cli;
use crate::context::Ctx;
use crate::deploy;
use crate::rollout::Taken;
use crate::ui::{Paint, View};

pub fn run(ctx: &Ctx, args: &cli::Adopt) -> anyhow::Result<u8> {
    let taken = ctx.block_on(deploy::adopt(ctx, args.service.as_deref(), &args.deployment, args.plan))??;
    ctx.ui.show(&taken)?;
    Ok(0)
}

impl View for Taken {
    fn schema(&self) -> &'static str {
        "msctl.dev/adopt/v1"
    }
    fn human(&self, paint: &Paint) -> String {
        let Taken { service, deployment, revision, replicas, image, place, .. } = self;
        let verb = if self.written { "is" } else { "would be" };
        let name = paint.bold(service);
        let mut text =
            format!("{name}: Deployment {deployment} {verb} revision {revision}, live ({place})\n");
        text += &format!("  {replicas} pods of {image}; none is restarted, no field is changed\n");
        for note in &self.notes {
            text += &format!("  {}  {note}\n", paint.yellow("note"));
        }
        if self.written {
            text += "  go on with `msctl deploy --blue-green` (or --rolling, or a canary by a router)\n";
        }
        text
    }
}
