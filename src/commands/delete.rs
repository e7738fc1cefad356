//! `delete`: removes a service and all that msctl made for it.

use crate::cli;
use crate::context::Ctx;
use crate::deploy::{self, Removed};
use crate::ui::{Paint, View};

pub fn run(ctx: &Ctx, args: &cli::Delete) -> anyhow::Result<u8> {
    let removed = ctx.block_on(deploy::delete(ctx, args.named.service.as_deref()))??;
    ctx.ui.show(&removed)?;
    Ok(0)
}

impl View for Removed {
    fn schema(&self) -> &'static str {
        "msctl.dev/delete/v1"
    }
    fn human(&self, paint: &Paint) -> String {
        if self.changes.is_empty() {
            return format!("{}: there was nothing of it in {}\n", paint.bold(&self.service), self.place);
        }
        let mut text: String =
            self.changes.iter().map(|c| format!("{} {}\n", paint.red("-"), c.object)).collect();
        text += &format!("{}: removed from {}\n", paint.bold(&self.service), self.place);
        text
    }
}
