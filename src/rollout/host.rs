//! What the driver needs of the machine it runs on: clocks, sleep, interrupts, a name, and where to tell.
//! A trait, so that the same driver runs in the simulation.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;

use super::story::{Commit, Commits};
use super::{Event, Frame, view};
use crate::context::Ctx;
use crate::image::http::Client;
use crate::ui::{self, Level, Live};

#[async_trait]
pub trait Host: Send + Sync {
    /// A clock that never goes back.
    fn elapsed(&self) -> Duration;
    /// Wall clock in seconds; it moves while a laptop sleeps, the other may not.
    fn wall(&self) -> f64;
    async fn sleep(&self, duration: Duration);
    /// Ready once the driver was asked to stop.
    async fn interrupted(&self);
    /// `user@host:pid:random`.
    fn holder(&self) -> String;
    /// That driver ran on this machine and is gone.
    fn gone(&self, holder: &str) -> bool;
    /// A person watches and can be waited for.
    fn attended(&self) -> bool;
    /// A train's conductor lets it go from the barrier.
    fn conducted(&self) -> bool {
        false
    }
    fn emit(&self, event: &Event);
    fn frame(&self, frame: &Frame);
    /// What git says lies between two commits; None where it does not know.
    fn commits(&self, _folder: &Path, _from: &str, _to: &str) -> Option<Commits> {
        None
    }
    /// A variable of the environment, for what a measurement must send and nobody may store.
    fn variable(&self, _name: &str) -> Option<String> {
        None
    }
    /// For what is measured outside the slots; None where there is no network.
    fn client(&self) -> Option<Arc<Client>> {
        None
    }
}

/// The command's own process.
pub struct Process<'a> {
    ctx: &'a Ctx,
    started: Instant,
    holder: String,
    live: Mutex<Option<Live>>,
    /// The newest picture of each service: a train has several.
    pictures: Mutex<BTreeMap<String, Frame>>,
    /// Waits at pauses although nobody watches: whoever promotes does it from elsewhere.
    patient: bool,
}

impl<'a> Process<'a> {
    pub fn new(ctx: &'a Ctx) -> Self {
        let live = Mutex::new(ctx.ui.live());
        Process {
            ctx,
            started: Instant::now(),
            holder: holder(ctx),
            live,
            pictures: Mutex::default(),
            patient: false,
        }
    }

    /// Of a driver in the cluster.
    pub fn patient(ctx: &'a Ctx) -> Self {
        Process { patient: true, ..Process::new(ctx) }
    }

    /// Leaves the last picture on the screen.
    pub fn finish(&self) {
        if let Ok(mut live) = self.live.lock()
            && let Some(live) = live.take()
        {
            live.keep();
        }
    }
}

#[async_trait]
impl Host for Process<'_> {
    fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }
    fn wall(&self) -> f64 {
        self.ctx.clock.now().as_millisecond() as f64 / 1000.0
    }
    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
    async fn interrupted(&self) {
        self.ctx.interrupt.cancelled().await;
    }
    fn holder(&self) -> String {
        self.holder.clone()
    }
    fn gone(&self, holder: &str) -> bool {
        gone(holder)
    }
    fn attended(&self) -> bool {
        self.patient || self.ctx.ui.options.interactive
    }
    fn emit(&self, event: &Event) {
        // The live view tells the story itself; what must outlast it is still printed above it.
        let viewed = self.live.lock().is_ok_and(|live| live.is_some());
        if !viewed || ui::Event::level(event) > Level::Info {
            self.ctx.ui.emit(event);
        }
    }
    fn client(&self) -> Option<Arc<Client>> {
        Client::new(&self.ctx.settings.env, Duration::from_secs(10)).ok().map(Arc::new)
    }
    fn commits(&self, folder: &Path, from: &str, to: &str) -> Option<Commits> {
        commits(folder, from, to)
    }
    fn variable(&self, name: &str) -> Option<String> {
        self.ctx.settings.env.get(name).map(str::to_owned)
    }
    fn frame(&self, frame: &Frame) {
        if let Ok(live) = self.live.lock()
            && let Some(live) = live.as_ref()
            && let Ok(mut pictures) = self.pictures.lock()
        {
            let frame = frame.clone();
            pictures.insert(format!("{} {}", frame.status.service, frame.place), frame);
            let frames: Vec<Frame> = pictures.values().cloned().collect();
            live.show(Box::new(move |canvas, passed| {
                let rows = (canvas.rows / frames.len()).saturating_sub(1).max(3);
                let rows = if frames.len() == 1 { canvas.rows } else { rows };
                let drawn = frames.iter().map(|f| view::draw(&f.after(passed), &canvas.paint, rows));
                drawn.map(|text| text.trim_end().to_owned()).collect::<Vec<_>>().join(
                    "

",
                )
            }));
        }
    }
}

/// As git tells them, or nothing: a story is no reason to fail.
pub fn commits(folder: &Path, from: &str, to: &str) -> Option<Commits> {
    let found = crate::image::commits::between(folder, from, to)?;
    let commit = |c: crate::image::commits::Commit| Commit {
        id: c.id,
        at: c.at,
        author: c.author,
        subject: c.subject,
    };
    Some(Commits {
        from: from.to_owned(),
        to: to.to_owned(),
        back: found.back,
        more: found.more,
        list: found.list.into_iter().map(commit).collect(),
    })
}

/// Who asks, as intents and the history name them: `user@host`.
pub fn person(ctx: &Ctx) -> String {
    let env = &ctx.settings.env;
    let user = env.get("USER").or_else(|| env.get("LOGNAME")).unwrap_or("someone");
    format!("{}@{}", clean(user), hostname())
}

fn holder(ctx: &Ctx) -> String {
    let pid = std::process::id();
    let born = born(pid).unwrap_or(0);
    let random: u32 = rand::random();
    format!("{}:{pid}:{born:x}-{random:08x}", person(ctx))
}

fn clean(text: &str) -> String {
    text.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')).collect()
}

fn hostname() -> String {
    let read = |path: &str| std::fs::read_to_string(path).ok();
    let name = read("/proc/sys/kernel/hostname").or_else(|| read("/etc/hostname")).unwrap_or_default();
    let name = clean(name.trim());
    if name.is_empty() { "localhost".into() } else { name }
}

/// When the process started, in the kernel's ticks; tells a process from a later one with its number.
fn born(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The command's name is in parentheses and may hold anything.
    let mut fields = stat.rsplit(')').next()?.split_whitespace();
    if fields.next()? == "Z" {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

pub fn gone(holder: &str) -> bool {
    let parse = || {
        let (place, rest) = holder.split_once(':')?;
        let (pid, random) = rest.split_once(':')?;
        let (born, _) = random.split_once('-')?;
        let host = place.rsplit('@').next()?;
        Some((host.to_owned(), pid.parse::<u32>().ok()?, u64::from_str_radix(born, 16).ok()?))
    };
    match parse() {
        Some((host, pid, was_born)) if host == hostname() && was_born != 0 => born(pid) != Some(was_born),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_process_of_this_host_is_gone() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let name = |pid: u32, born: u64| format!("me@{}:{pid}:{born:x}-0badcafe", hostname());
        let started = born(child.id()).unwrap();
        let holder = name(child.id(), started);
        assert!(!gone(&holder), "{holder} runs");
        assert!(gone(&name(child.id(), started + 1)), "another process has the number now");
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(gone(&holder), "{holder} is dead");
    }

    #[test]
    fn a_process_elsewhere_is_never_known_to_be_gone() {
        assert!(!gone("me@elsewhere:1:1-00000000"));
        assert!(!gone("nonsense"));
    }
}
