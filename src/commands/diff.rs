//! `diff`: 0 nothing differs, 1 something does, more is an error (as kubectl diff).

use serde::Serialize;

use crate::cli;
use crate::context::Ctx;
use crate::deploy::{self, Differs, OwnedBy, Request};
use crate::error::{self, Failure, Kind};
use crate::ui::{Paint, View};

#[derive(Serialize)]
struct Differences {
    services: Vec<Differs>,
}

#[derive(Serialize)]
struct Fields {
    services: Vec<OwnedBy>,
}

pub fn run(ctx: &Ctx, args: &cli::Diff) -> anyhow::Result<u8> {
    let request = Request { services: args.service.clone(), image: args.image.clone(), ..Request::default() };
    if args.owned {
        let services = ctx.block_on(deploy::owned(ctx, &request)).and_then(|r| r).map_err(above_one)?;
        ctx.ui.show(&Fields { services })?;
        return Ok(0);
    }
    let services = ctx.block_on(deploy::diff(ctx, &request)).and_then(|r| r).map_err(above_one)?;
    let same = services.iter().all(|s| s.changes.is_empty());
    ctx.ui.show(&Differences { services })?;
    Ok(u8::from(!same))
}

/// Exit code 1 is taken: an error of that code becomes 2.
fn above_one(error: anyhow::Error) -> anyhow::Error {
    if error::kind(&error).code() > 1 {
        return error;
    }
    let report = error::report(&error);
    let mut failure = Failure::new(Kind::Code(2), "failed", report.message);
    if let Some(inner) = error::failure(&error) {
        failure.reason = inner.reason;
        failure.object = inner.object.clone();
        failure.hints = inner.hints.clone();
    }
    failure.source(error).into()
}

impl View for Fields {
    fn schema(&self) -> &'static str {
        "msctl.dev/owned/v1"
    }
    fn human(&self, paint: &Paint) -> String {
        let mut text = String::new();
        for object in self.services.iter().flat_map(|s| &s.objects) {
            text += &format!("{}\n", paint.bold(format!("{}/{}", object.kind, object.name)));
            text += &object.paths.iter().map(|path| format!("  {path}\n")).collect::<String>();
        }
        if text.is_empty() { "nothing here is applied by other tools\n".into() } else { text }
    }
}

impl View for Differences {
    fn schema(&self) -> &'static str {
        "msctl.dev/diff/v1"
    }
    fn human(&self, paint: &Paint) -> String {
        let mut text = String::new();
        for service in &self.services {
            if service.changes.is_empty() {
                text += &format!("{}: nothing differs in {}\n", paint.bold(&service.service), service.place);
                continue;
            }
            if service.builds {
                let image = service.image.as_deref().unwrap_or_default();
                text += &format!("{}: {image} is not built yet; its digest will differ\n", service.service);
            }
            for change in &service.changes {
                let sign = super::deploy::sign(change.action, paint);
                text += &format!("{sign} {}\n", paint.bold(&change.object));
                text += &change.diff.lines().map(|line| coloured(line, paint) + "\n").collect::<String>();
            }
        }
        text
    }
}

fn coloured(line: &str, paint: &Paint) -> String {
    match line.as_bytes().first() {
        _ if line.starts_with("+++") || line.starts_with("---") => paint.bold(line),
        Some(b'+') => paint.green(line),
        Some(b'-') => paint.red(line),
        Some(b'@') => paint.cyan(line),
        _ => line.to_owned(),
    }
}
