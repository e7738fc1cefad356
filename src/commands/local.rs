//! `local status` and `local down`.

use serde::Serialize;

use crate::cli;
use crate::context::Ctx;
use crate::platform::local::Client;
use crate::platform::local::api::{AgentStatus, ServiceStatus, SlotStatus};
use crate::ui::{Paint, View};

pub fn run(ctx: &Ctx, command: &cli::Local) -> anyhow::Result<u8> {
    let client = Client::new(&ctx.settings)?;
    match command {
        cli::Local::Status => ctx.ui.show(&ctx.block_on(status(&client))??)?,
        cli::Local::Down => ctx.ui.show(&ctx.block_on(down(ctx, &client))??)?,
    }
    Ok(0)
}

/// Looks without starting anything, unless an agent died and left services to go on with.
async fn status(client: &Client) -> anyhow::Result<Status> {
    let running = client.running().await.is_some() || client.places.in_use();
    let status: Option<AgentStatus> = if running { Some(client.get("/status").await?) } else { None };
    Ok(Status { running, status })
}

async fn down(ctx: &Ctx, client: &Client) -> anyhow::Result<Down> {
    let mut stopped = Vec::new();
    if client.running().await.is_some() || client.places.in_use() {
        let status: AgentStatus = client.get("/status").await?;
        let task = ctx.ui.task("stop the local platform");
        client.post("/down").await?;
        client.gone(status.agent.pid).await;
        stopped = status.services.into_iter().map(|s| s.service).collect();
        task.done(format!("stopped {} service(s) and the agent", stopped.len()));
    }
    client.places.remove_all()?;
    Ok(Down { stopped })
}

#[derive(Debug, Serialize)]
struct Status {
    running: bool,
    #[serde(flatten)]
    status: Option<AgentStatus>,
}

impl View for Status {
    fn schema(&self) -> &'static str {
        "msctl.dev/local-status/v1"
    }
    fn human(&self, paint: &Paint) -> String {
        let Some(status) = &self.status else {
            return "The local platform does not run; the first deploy starts it.".into();
        };
        let mut text = format!("agent: pid {}, version {}\n", status.agent.pid, status.agent.version);
        if status.services.is_empty() {
            text += "No service is deployed here.\n";
        }
        for service in &status.services {
            text += &describe(service, paint);
        }
        text
    }
}

fn describe(service: &ServiceStatus, paint: &Paint) -> String {
    let at = match (&service.port_problem, service.port) {
        (Some(problem), _) => paint.red(problem),
        (None, Some(port)) => format!("http://127.0.0.1:{port}"),
        (None, None) => "not installed".into(),
    };
    let mut text = format!("\n{}  {at}\n", paint.bold(&service.service));
    for (slot, status) in &service.slots {
        text += &format!("  {:<6}{}\n", slot.name(), slot_line(status));
        for process in &status.processes {
            let phase = match process.phase.as_str() {
                "ready" => paint.green("ready"),
                other => paint.yellow(other),
            };
            let number = |n: Option<u32>| n.map_or("-".to_owned(), |n| n.to_string());
            text += &format!(
                "    {}  {phase}  pid {}  port {}",
                process.name,
                number(process.pid),
                number(process.port.map(u32::from))
            );
            if process.restarts > 0 {
                text += &format!("  restarts {}", process.restarts);
            }
            if let Some(problem) = &process.problem {
                text += &format!("  {}", paint.red(problem));
            }
            text.push('\n');
        }
    }
    text
}

fn slot_line(slot: &SlotStatus) -> String {
    let traffic = &slot.traffic;
    let mut line = format!(
        "revision {}  {}/{} ready  weight {} %  {} requests",
        slot.revision, slot.ready, slot.desired, slot.weight, traffic.requests
    );
    if traffic.errors > 0 {
        line += &format!(", {} errors", traffic.errors);
    }
    if let (Some(p50), Some(p99)) = (traffic.p50_ms, traffic.p99_ms) {
        line += &format!("  p50 ≤ {p50} ms, p99 ≤ {p99} ms");
    }
    line
}

#[derive(Debug, Serialize)]
struct Down {
    stopped: Vec<String>,
}

impl View for Down {
    fn schema(&self) -> &'static str {
        "msctl.dev/local-down/v1"
    }
    fn human(&self, _paint: &Paint) -> String {
        match self.stopped.as_slice() {
            [] => "Nothing was running.".into(),
            stopped => format!("Stopped: {}. Nothing is left behind.", stopped.join(", ")),
        }
    }
}
