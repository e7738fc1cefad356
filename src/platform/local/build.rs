//! The local build: a copy of the service's folder in which `run.build` ran once. The same inputs are the same
//! build; a version that runs or is kept is never touched again.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use hmac::{Hmac, Mac};
use rustix::process::Signal;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncBufReadExt, BufReader};

use super::api::{Program, Secrets};
use super::places::{Places, private_folder, remove, write_private};
use super::process::signal_group;
use super::source::Sources;
use crate::context::Ctx;
use crate::error::Failure;
use crate::platform::{Release, Template};
use crate::service::Run;
use crate::ui::Task;

/// Builds if needed, and says what a slot would run.
pub async fn template(ctx: &Ctx, places: &Places, name: &str, release: &Release) -> anyhow::Result<Template> {
    let service = &release.service;
    let Some(run) = &service.run else {
        return Err(Failure::usage("no-run", format!("{} has no `run` in its msctl.yaml", service.service))
            .hint("say how to build and start it: run: {build: make, command: ./bin/server}; it gets PORT")
            .into());
    };
    let build = built(ctx, places, name, &release.folder, run).await?;
    let program = Program {
        build,
        command: run.command.clone(),
        config: service.config.iter().map(|(k, v)| (k.clone(), v.0.clone())).collect(),
        secrets: secrets(places, &release.secrets)?.map(|s| s.digest),
        live: service.health.live.clone(),
        ready: service.health.ready.clone(),
        period: service.health.period,
    };
    let hash = hex::encode(Sha256::digest(serde_json::to_vec(&program)?))[..16].to_owned();
    let image = format!("build-{}", &program.build[..12.min(program.build.len())]);
    Ok(Template { hash, image, body: serde_json::to_value(program)? })
}

/// The values with their keyed digest; None when there are none.
pub fn secrets(places: &Places, values: &BTreeMap<String, String>) -> anyhow::Result<Option<Secrets>> {
    if values.is_empty() {
        return Ok(None);
    }
    let mut mac = Hmac::<Sha256>::new_from_slice(&places.key()?).context("use the local key")?;
    mac.update(&serde_json::to_vec(values)?);
    let digest = hex::encode(mac.finalize().into_bytes())[..16].to_owned();
    Ok(Some(Secrets { digest, values: values.clone() }))
}

/// The build's folder name; what it holds is complete.
async fn built(ctx: &Ctx, places: &Places, service: &str, from: &Path, run: &Run) -> anyhow::Result<String> {
    let command = run.build.clone().unwrap_or_default();
    let (sources, hash) = {
        let (from, command) = (from.to_owned(), command.clone());
        tokio::task::spawn_blocking(move || {
            let sources = Sources::of(&from)?;
            let hash = sources.hash(&command)?;
            anyhow::Ok((sources, hash))
        })
        .await
        .context("read the sources")??
    };
    let folder = places.revision(service, &hash);
    private_folder(&places.state)?;
    private_folder(&folder)?;
    // Two deploys of the same inputs: the second finds the first one's build.
    let lock = folder.join("lock");
    let lock = fs::File::create(&lock).with_context(|| format!("open {}", lock.display()))?;
    tokio::task::spawn_blocking(move || lock.lock().map(|()| lock)).await.context("wait")?.context("lock")?;
    write_private(&folder.join("used"), b"").with_context(|| format!("write into {}", folder.display()))?;
    if folder.join("built").exists() {
        ctx.ui.detail(format!("{service}: nothing to build, {hash} is built already"));
        return Ok(hash);
    }
    let task = ctx.ui.task(format!("build {service}"));
    let tree = folder.join("tree");
    remove(&tree)?;
    fs::create_dir_all(&tree).with_context(|| format!("make {}", tree.display()))?;
    let copied = {
        let (tree, command) = (tree.clone(), command.clone());
        tokio::task::spawn_blocking(move || {
            sources.copy(&tree)?;
            sources.hash(&command)
        })
        .await
        .context("copy the sources")??
    };
    if copied != hash {
        return Err(Failure::failed("sources-changed", "the sources changed while they were copied")
            .hint("run it again")
            .into());
    }
    if !command.is_empty() {
        let cache = Cargo::of(&tree, places.cache(service));
        run_build(ctx, &task, &command, &tree, &folder.join("build.log"), &cache).await?;
        if let Some(cargo) = cache {
            cargo.take(&tree)?;
        }
    }
    write_private(&folder.join("built"), b"").with_context(|| format!("write into {}", folder.display()))?;
    task.done(format!("built {hash}"));
    Ok(hash)
}

/// Runs the command with the user's own environment; its output goes to `log`.
async fn run_build(
    ctx: &Ctx,
    task: &Task,
    command: &str,
    tree: &Path,
    log: &Path,
    cargo: &Option<Cargo>,
) -> anyhow::Result<()> {
    let mut shell = tokio::process::Command::new("/bin/sh");
    shell.arg("-c").arg(format!("exec 2>&1\n{command}")).current_dir(tree).process_group(0);
    shell.env_clear().envs(ctx.settings.env.iter());
    if let Some(cargo) = cargo {
        shell.env("CARGO_TARGET_DIR", &cargo.target);
    }
    shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = shell.spawn().with_context(|| format!("run {command:?}"))?;
    let group = child.id().unwrap_or(0);
    let out = child.stdout.take().context("the build has an output")?;
    let mut log_file = fs::File::create(log).with_context(|| format!("open {}", log.display()))?;
    let mut lines = BufReader::new(out).split(b'\n');
    let mut last = std::collections::VecDeque::new();
    let mut ended: Option<ExitStatus> = None;
    loop {
        // A daemon the build left behind may hold the output open for ever.
        let patience = Duration::from_millis(if ended.is_some() { 300 } else { u64::MAX >> 12 });
        tokio::select! {
            () = ctx.interrupt.cancelled() => {
                signal_group(group, Signal::TERM);
                let kind = crate::settings::interrupted();
                return Err(Failure::new(kind, "interrupted", "the build was interrupted").into());
            }
            status = child.wait(), if ended.is_none() => ended = Some(status.context("wait for the build")?),
            () = tokio::time::sleep(patience) => break,
            line = lines.next_segment() => match line.context("read the build's output")? {
                None => break,
                Some(line) => {
                    let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                    writeln!(log_file, "{text}").with_context(|| format!("write {}", log.display()))?;
                    task.message(text.clone());
                    last.push_back(text);
                    if last.len() > 20 {
                        last.pop_front();
                    }
                }
            },
        }
    }
    let status = match ended {
        Some(status) => status,
        None => child.wait().await.context("wait for the build")?,
    };
    if status.success() {
        return Ok(());
    }
    let how = status.code().map_or("was killed".to_owned(), |code| format!("failed with exit code {code}"));
    let output = last.into_iter().collect::<Vec<_>>().join("\n");
    Err(Failure::failed("build-failed", format!("run.build {how}: {command}"))
        .source(anyhow::anyhow!(if output.is_empty() { "it printed nothing".to_owned() } else { output }))
        .hint(format!("its whole output is in {}", log.display()))
        .into())
}

/// Cargo keeps its dependencies' objects in one target folder per service; each version takes its programs.
struct Cargo {
    target: PathBuf,
}

impl Cargo {
    fn of(tree: &Path, cache: PathBuf) -> Option<Self> {
        tree.join("Cargo.toml").exists().then(|| Cargo { target: cache.join("target") })
    }

    /// Copies what the build made into `tree/target`, where `run.command` looks for it.
    fn take(&self, tree: &Path) -> anyhow::Result<()> {
        for profile in profiles(&self.target) {
            let inner = profile.strip_prefix(&self.target).unwrap_or(Path::new("release"));
            let to = tree.join("target").join(inner);
            for entry in fs::read_dir(&profile).into_iter().flatten().flatten() {
                let made = entry.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o100 != 0);
                if made {
                    let to_file = to.join(entry.file_name());
                    fs::create_dir_all(&to).and_then(|()| fs::copy(entry.path(), &to_file)).with_context(
                        || format!("copy {} to {}", entry.path().display(), to_file.display()),
                    )?;
                }
            }
        }
        Ok(())
    }
}

/// Folders of a target folder that hold programs: `release`, or `TRIPLE/release`.
fn profiles(target: &Path) -> Vec<PathBuf> {
    let folders = |folder: &Path| -> Vec<PathBuf> {
        fs::read_dir(folder)
            .into_iter()
            .flatten()
            .flatten()
            .map(|e| e.path())
            .filter(|p| p.is_dir())
            .collect()
    };
    let first = folders(target);
    let second =
        first.iter().filter(|p| !p.join("deps").exists()).flat_map(|p| folders(p)).collect::<Vec<_>>();
    first.into_iter().chain(second).filter(|p| p.join("deps").exists()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Env;

    #[test]
    fn digests_of_secrets_depend_on_the_key() {
        let values = BTreeMap::from([("TOKEN".to_owned(), "s3cret".to_owned())]);
        let digest = || {
            let dir = tempfile::tempdir().unwrap();
            let places = Places::at(dir.path().join("s"), &Env::default()).unwrap();
            let first = secrets(&places, &values).unwrap().unwrap().digest;
            assert_eq!(secrets(&places, &values).unwrap().unwrap().digest, first);
            first
        };
        assert_ne!(digest(), digest());
    }

    #[test]
    fn a_version_takes_cargos_programs_and_leaves_its_objects() {
        let dir = tempfile::tempdir().unwrap();
        let (target, tree) = (dir.path().join("cache/target"), dir.path().join("tree"));
        for file in
            ["release/deps/x.o", "release/orders", "x86/debug/deps/y", "x86/debug/tool", "release/orders.d"]
        {
            let path = target.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, file).unwrap();
            let mode = if file.ends_with(".d") { 0o644 } else { 0o755 };
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        }
        Cargo { target }.take(&tree).unwrap();
        assert!(tree.join("target/release/orders").exists() && tree.join("target/x86/debug/tool").exists());
        assert!(!tree.join("target/release/deps").exists() && !tree.join("target/release/orders.d").exists());
    }
}
