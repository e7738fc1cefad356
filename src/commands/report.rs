//! `rollout report`: a deploy's story as one HTML file.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::Serialize;

use crate::context::Ctx;
use crate::error::Failure;
use crate::rollout::{self, DeployResult};
use crate::ui::{Format, Paint, View};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Reported {
    service: String,
    deploy: u32,
    revision: u32,
    result: DeployResult,
    file: PathBuf,
    bytes: usize,
    measurements: usize,
}

impl View for Reported {
    fn schema(&self) -> &'static str {
        "msctl.dev/rollout-report/v1"
    }
    fn human(&self, paint: &Paint) -> String {
        format!("{}: deploy {} is told in {}", paint.bold(&self.service), self.deploy, self.file.display())
    }
}

pub fn run(ctx: &Ctx, target: &[String], out: Option<&Path>) -> anyhow::Result<u8> {
    let (named, number) = super::rollout::deploy_of(target)?;
    let stdout = out == Some(Path::new("-"));
    if stdout && ctx.ui.options.format != Format::Text {
        return Err(Failure::usage("format", "with `--out -` stdout is the report itself")
            .hint("name a file, or leave -o out")
            .into());
    }
    let (folder, service, target) = ctx.service(named.service.as_deref())?;
    let story = ctx.block_on(async {
        let platform = ctx.platform(&service, &target).await?;
        rollout::story(platform.as_ref(), &service.service, &folder, number).await
    })??;
    let html = rollout::report::html(&story, ctx.clock.now());
    if stdout {
        ctx.ui.raw(html.as_bytes());
        return Ok(0);
    }
    let name = format!("{}-deploy-{}.html", story.service, story.deploy);
    let file = ctx.settings.directory.join(out.map_or(PathBuf::from(name), Path::to_path_buf));
    std::fs::write(&file, &html).with_context(|| format!("write {}", file.display())).map_err(|error| {
        Failure::failed("not-written", format!("the report cannot be written to {}", file.display()))
            .source(error)
            .hint("name another place with --out FILE, or `--out -` for stdout")
    })?;
    ctx.ui.show(&Reported {
        service: story.service,
        deploy: story.deploy,
        revision: story.revision,
        result: story.result,
        file,
        bytes: html.len(),
        measurements: story.measurements.len(),
    })?;
    Ok(0)
}
