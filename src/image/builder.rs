//! Has the engine build: BuildKit, or the classic builder where there is no BuildKit. Errors name the failing step.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bollard::models::BuildInfoAux;
use bollard::query_parameters::BuildImageOptions;
use bytes::Bytes;
use futures::StreamExt;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use super::context::Context;
use super::credentials::{Credentials, HUB};
use super::engine::{CLIENT_SESSION, Engine};
use super::filesync::Files;
use super::progress::Progress;
use super::session::{self, SecretValues};
use crate::context::Ctx;
use crate::error::Failure;
use crate::ui::Task;

/// What is to be built, resolved.
pub struct Order {
    pub service: String,
    pub context: Arc<Context>,
    /// Relative to the context's root; when it is not in the context it is sent along.
    pub dockerfile: String,
    pub dockerfile_text: Vec<u8>,
    /// The content of `.dockerignore`, where there is one.
    pub ignore_text: Option<Vec<u8>>,
    /// `repository:tag`.
    pub name: String,
    pub arguments: BTreeMap<String, String>,
    pub labels: BTreeMap<String, String>,
    pub target: Option<String>,
    pub platform: Option<String>,
    pub cache_from: Vec<String>,
    pub no_cache: bool,
    pub secrets: Arc<SecretValues>,
}

/// How long a builder may say nothing before its first word.
const FIRST_WORD: Duration = Duration::from_secs(60);

enum Trouble {
    /// The engine said nothing at all: worth a second try.
    Silent,
    /// It has no BuildKit.
    NoBuildKit,
    Failed(anyhow::Error),
}

/// Builds; returns the image's id.
pub async fn build(
    ctx: &Ctx,
    engine: &Engine,
    credentials: &Arc<Credentials>,
    order: &Order,
    task: &Task,
    warnings: &mut Vec<String>,
) -> anyhow::Result<String> {
    if engine.buildkit {
        for attempt in 1..=2 {
            match run(ctx, engine, credentials, order, task, true).await {
                Ok(id) => return Ok(id),
                Err(Trouble::Failed(error)) => return Err(error),
                Err(Trouble::NoBuildKit) => break,
                Err(Trouble::Silent) if attempt == 1 => {
                    ctx.ui.detail("the engine said nothing: trying once more")
                }
                Err(Trouble::Silent) => return Err(silent()),
            }
        }
    }
    let why = if ctx.settings.env.get("DOCKER_BUILDKIT") == Some("0") { " (DOCKER_BUILDKIT=0)" } else { "" };
    let warning = format!(
        "Docker {} builds with its classic builder{why}: slower, and RUN --mount does not work",
        engine.version
    );
    ctx.ui.warn(warning.clone());
    warnings.push(warning);
    match run(ctx, engine, credentials, order, task, false).await {
        Ok(id) => Ok(id),
        Err(Trouble::Failed(error)) => Err(error),
        Err(Trouble::Silent | Trouble::NoBuildKit) => Err(silent()),
    }
}

fn silent() -> anyhow::Error {
    let message = format!("the engine accepted the build, then said nothing for {} s", FIRST_WORD.as_secs());
    Failure::failed("engine-silent", message).hint("look at the engine's log; restart it if it hangs").into()
}

async fn run(
    ctx: &Ctx,
    engine: &Engine,
    credentials: &Arc<Credentials>,
    order: &Order,
    task: &Task,
    buildkit: bool,
) -> Result<String, Trouble> {
    let mut options = options(order);
    let trouble = Arc::new(Mutex::new(None));
    let body = if buildkit {
        let id = format!("msctl-{}-{:016x}", std::process::id(), rand::random::<u64>());
        let files = Files {
            context: order.context.clone(),
            dockerfile: (base_name(&order.dockerfile).to_owned(), Arc::new(order.dockerfile_text.clone())),
            trouble: trouble.clone(),
        };
        let key = shared_key(&order.context.root);
        session::open(&engine.address, &id, &key, files, credentials.clone(), order.secrets.clone())
            .await
            .map_err(Trouble::Failed)?;
        options.dockerfile = base_name(&order.dockerfile).to_owned();
        options.session = Some(id);
        options.remote = Some(CLIENT_SESSION.into());
        bollard::body_full(Bytes::new())
    } else {
        bollard::body_try_stream(tar_stream(order, trouble.clone()))
    };
    // The session has the logins for BuildKit, one at a time as it asks.
    let logins = if buildkit { HashMap::new() } else { logins(credentials).await };
    let mut answers = engine.docker.build_image(options, Some(logins), Some(body));
    let mut progress = Progress::new(&ctx.ui, task, &order.service);
    let mut id = None;
    let mut first = true;
    let failed = loop {
        let next = async {
            if first && buildkit {
                tokio::time::timeout(FIRST_WORD, answers.next()).await.map_err(|_| ())
            } else {
                Ok(answers.next().await)
            }
        };
        let answer = tokio::select! {
            answer = next => answer.map_err(|()| Trouble::Silent)?,
            () = ctx.interrupt.cancelled() => return Err(Trouble::Failed(interrupted(order))),
        };
        first = false;
        let info = match answer {
            None => break None,
            Some(Err(error)) => break Some(error.to_string()),
            Some(Ok(info)) => info,
        };
        match info.aux {
            Some(BuildInfoAux::BuildKit(status)) => progress.status(&status),
            Some(BuildInfoAux::Default(image)) => id = image.id.or(id),
            None => {}
        }
        if let Some(text) = &info.stream {
            progress.stream(text);
        }
    };
    drop(answers);
    // What went wrong on this side is the cause of whatever the engine says about it.
    if let Some(error) = trouble.lock().unwrap_or_else(|e| e.into_inner()).take() {
        return Err(Trouble::Failed(error));
    }
    match (failed, id) {
        (None, Some(id)) => Ok(id),
        (None, None) => {
            Err(Trouble::Failed(anyhow::anyhow!("the engine ended the build without naming an image")))
        }
        (Some(text), _) if buildkit && lacks_buildkit(&text) => Err(Trouble::NoBuildKit),
        (Some(text), _) => Err(Trouble::Failed(explain(order, &text, progress.failure()))),
    }
}

fn options(order: &Order) -> BuildImageOptions {
    BuildImageOptions {
        dockerfile: order.dockerfile.clone(),
        t: Some(order.name.clone()),
        buildargs: Some(order.arguments.clone().into_iter().collect()),
        labels: Some(order.labels.clone().into_iter().collect()),
        cachefrom: (!order.cache_from.is_empty()).then(|| order.cache_from.clone()),
        nocache: order.no_cache,
        platform: order.platform.clone().unwrap_or_default(),
        target: order.target.clone().unwrap_or_default(),
        rm: true,
        forcerm: true,
        ..Default::default()
    }
}

fn base_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// Under which the engine keeps the files it was sent: the same for every build of a folder.
fn shared_key(root: &Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    format!("msctl-{}", hex::encode(&Sha256::digest(root.as_os_str().as_bytes())[..16]))
}

/// Writes into a channel, a quarter of a megabyte at a time.
struct Chunks {
    sender: mpsc::Sender<io::Result<Bytes>>,
    buffer: Vec<u8>,
}

impl Chunks {
    fn send(&mut self) -> io::Result<()> {
        let chunk = Bytes::from(std::mem::take(&mut self.buffer));
        self.sender.blocking_send(Ok(chunk)).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

impl io::Write for Chunks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= 256 << 10 {
            self.send()?;
        }
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() { Ok(()) } else { self.send() }
    }
}

/// The context as a tar stream, made by a thread of its own.
fn tar_stream(
    order: &Order,
    trouble: Arc<Mutex<Option<anyhow::Error>>>,
) -> impl futures::Stream<Item = io::Result<Bytes>> + Send + 'static {
    let (sender, receiver) = mpsc::channel(8);
    let context = order.context.clone();
    // Both are sent even when they are left out: the engine reads them, then removes what they say.
    let ignore = order.ignore_text.clone().map(|text| (".dockerignore".to_owned(), text));
    let dockerfile = (order.dockerfile.clone(), order.dockerfile_text.clone());
    let missing = |(path, _): &(String, Vec<u8>)| !context.entries.iter().any(|e| e.path == *path);
    let extra: Vec<(String, Vec<u8>)> = [dockerfile].into_iter().chain(ignore).filter(missing).collect();
    tokio::task::spawn_blocking(move || {
        let mut chunks = Chunks { sender: sender.clone(), buffer: Vec::new() };
        let written =
            context.write_tar(&mut chunks, &extra).and_then(|()| Ok(io::Write::flush(&mut chunks)?));
        let Err(error) = written else { return };
        // An engine that stops reading has its own reason, which it tells.
        if crate::error::failure(&error).is_some() {
            trouble.lock().unwrap_or_else(|e| e.into_inner()).get_or_insert(error);
        }
        // Ends the request, so that the engine does not take half a context for a whole one.
        let _ = sender.blocking_send(Err(io::Error::other("the build context could not be read")));
    });
    tokio_stream::wrappers::ReceiverStream::new(receiver)
}

async fn logins(credentials: &Credentials) -> HashMap<String, bollard::auth::DockerCredentials> {
    let mut logins = HashMap::new();
    for host in credentials.hosts() {
        let login = credentials.login(&host).await;
        let name = if host == "index.docker.io" { HUB.to_owned() } else { host.clone() };
        logins.insert(name, login.for_engine(&host));
    }
    logins
}

fn interrupted(order: &Order) -> anyhow::Error {
    let message = format!("build {}: interrupted; nothing was pushed", order.service);
    Failure::new(crate::settings::interrupted(), "interrupted", message).into()
}

fn lacks_buildkit(text: &str) -> bool {
    let text = text.to_lowercase();
    text.contains("buildkit")
        && ["not supported", "not enabled", "unsupported", "disabled"].iter().any(|w| text.contains(w))
}

/// Turns the engine's words into the failing step, its last lines, and a next move.
pub fn explain(order: &Order, text: &str, step: Option<(String, String, Vec<String>)>) -> anyhow::Error {
    let text = text.strip_prefix("Docker stream error: ").unwrap_or(text);
    let (name, error, lines) = step.unwrap_or_default();
    let cause = if error.is_empty() { text } else { error.as_str() };
    let cause = cause.strip_prefix("failed to solve: ").unwrap_or(cause).trim();
    let all = format!("{text}\n{error}\n{}", lines.join("\n")).to_lowercase();
    let tail = if lines.is_empty() { String::new() } else { format!("\n{}", lines.join("\n")) };
    let failure = classify(order, &name, &all);
    failure.object(order.name.clone()).source(anyhow::anyhow!("{cause}{tail}")).into()
}

/// What kind of failure the engine's words (in lower case) stand for.
fn classify(order: &Order, step: &str, words: &str) -> Failure {
    let any = |of: &[&str]| of.iter().any(|w| words.contains(w));
    let (service, dockerfile) = (&order.service, &order.dockerfile);
    let what = if step.is_empty() { format!("build {service}") } else { format!("build {service}: {step}") };
    let metadata = step.contains("load metadata for ");
    if any(&["dockerfile parse error"]) || step.is_empty() && any(&["unknown instruction", "no build stage"])
    {
        return Failure::usage("bad-dockerfile", format!("build {service}: {dockerfile} is not valid"));
    }
    if any(&["requires buildkit", "failed to parse platform : \"\""]) {
        return Failure::failed("needs-buildkit", format!("{what}: this Dockerfile needs BuildKit")).hint(
            "unset DOCKER_BUILDKIT if it is 0, or use an engine that has BuildKit (Docker 20.10 or newer)",
        );
    }
    if any(&["no space left on device"]) {
        return Failure::failed("disk-full", format!("{what}: the engine's disk is full"))
            .hint("docker system df shows what fills it; docker system prune frees what is unused");
    }
    if any(&[
        "no match for platform",
        "does not match the specified platform",
        "does not provide the specified",
    ]) {
        let platform = order.platform.as_deref().unwrap_or("the engine's platform");
        return Failure::failed("platform-unavailable", format!("{what}: no variant for {platform}"))
            .hint("use a base image that has one, or leave out --platform");
    }
    if any(&["exec format error"]) {
        let message = format!("{what}: the engine cannot run programs of this platform");
        return Failure::failed("platform-unavailable", message)
            .hint("cross-compile in a stage with FROM --platform=$BUILDPLATFORM")
            .hint("or install an emulator: docker run --privileged tonistiigi/binfmt --install all");
    }
    if let Some(target) = order.target.as_deref().filter(|_| any(&["target stage", "reach build target"])) {
        let message = format!("build {service}: {dockerfile} has no stage {target:?}");
        return Failure::usage("unknown-stage", message);
    }
    if metadata && any(&["failed to do request", "no such host", "dial tcp", "i/o timeout"]) {
        return Failure::failed(
            "registry-unreachable",
            format!("{what}: the engine cannot reach its registry"),
        )
        .hint("the engine pulls, not msctl: check its network and its proxy settings");
    }
    if metadata || any(&["pull access denied", "manifest unknown", "repository does not exist"]) {
        return Failure::failed("base-image", format!("{what}: a base image cannot be had"))
            .hint("check the FROM lines; for a private registry: docker login REGISTRY");
    }
    Failure::failed("build-failed", what)
}

#[cfg(test)]
#[path = "builder_tests.rs"]
mod tests;
