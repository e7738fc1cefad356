//! `msctl logs`: the pods' lines on stdout, each behind its pod's name; with ndjson one event a line.

use anyhow::Context as _;
use serde_json::{Value, json};

use crate::cli::Logs;
use crate::context::Ctx;
use crate::error::{Failure, Kind};
use crate::platform::{LogLine, LogQuery};
use crate::rollout::Slot;
use crate::service::Duration;
use crate::settings::interrupted;
use crate::ui::{Event, Format, Paint};

struct Line(LogLine);

impl Event for Line {
    fn kind(&self) -> &'static str {
        "log"
    }
    fn line(&self, paint: &Paint) -> Option<String> {
        let LogLine { pod, slot, line } = &self.0;
        let pod = match slot {
            Some(Slot::Blue) => paint.blue(pod),
            Some(Slot::Green) => paint.green(pod),
            None => paint.cyan(pod),
        };
        Some(format!("{pod} {line}"))
    }
    fn data(&self) -> Value {
        json!({"pod": self.0.pod, "slot": self.0.slot, "line": self.0.line})
    }
}

pub fn run(ctx: &Ctx, args: &Logs) -> anyhow::Result<u8> {
    if ctx.ui.options.format == Format::Json {
        return Err(Failure::usage("no-json", "logs are lines, not one document")
            .hint("use -o ndjson")
            .into());
    }
    let query = query(args)?;
    let (_, service, target) = ctx.service(args.named.service.as_deref())?;
    ctx.block_on(async {
        let platform = ctx.platform(&service, &target).await?;
        let (to, mut lines) = tokio::sync::mpsc::channel(1024);
        let print = async {
            while let Some(line) = lines.recv().await {
                print(ctx, Line(line));
            }
        };
        let read =
            async { platform.logs(&query, to).await.with_context(|| format!("logs of {}", service.service)) };
        tokio::select! {
            (read, ()) = async { tokio::join!(read, print) } => read.map(|()| 0),
            () = ctx.interrupt.cancelled() => Ok(interrupted().code()),
        }
    })?
}

/// In ndjson a line is an event like any other; as text it is the answer, so it goes to stdout.
fn print(ctx: &Ctx, line: Line) {
    if ctx.ui.options.format == Format::Ndjson {
        ctx.ui.emit(&line);
    } else if let Some(mut text) = line.line(&ctx.ui.paint()) {
        text.push('\n');
        ctx.ui.raw(text.as_bytes());
    }
}

fn query(args: &Logs) -> anyhow::Result<LogQuery> {
    let wrong = |flag: &str, why: String| Failure::new(Kind::Usage, "usage", format!("{flag}: {why}"));
    let since = args.since.as_deref().map(str::parse::<Duration>).transpose();
    let slot = args.slot.as_deref().map(|name| {
        let found = Slot::ALL.into_iter().find(|s| s.name() == name);
        found.ok_or_else(|| wrong("--slot", format!("{name:?} is neither blue nor green")))
    });
    if args.tail.is_some_and(|t| t < 0) {
        return Err(wrong("--tail", "a number of lines is not negative".into()).into());
    }
    Ok(LogQuery {
        follow: args.follow,
        tail: args.tail,
        since: since.map_err(|why| wrong("--since", why))?.map(|d| d.0),
        slot: slot.transpose()?,
        previous: args.previous,
        sample: None,
        driver: args.driver,
    })
}
