//! The guided tour: create a service, run it, roll out a second version as a canary, and see a broken third
//! one refused, while requests keep flowing. Every step is a command the reader could type.

mod toolchain;

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::Serialize;
use tokio::process::Command;

use crate::context::Ctx;
use crate::error::{Failure, Kind};
use crate::rehearsal::load::{self, Counts, Load};
use crate::settings;
use crate::ui::{Format, Paint, View};

/// What the tour saw.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Tour {
    template: String,
    folder: PathBuf,
    url: String,
    requests: u64,
    failed: u64,
    /// Answers by revision.
    revisions: std::collections::BTreeMap<String, u64>,
    /// The broken version was refused with this exit code.
    refused: i32,
    kept: bool,
}

impl View for Tour {
    fn schema(&self) -> &'static str {
        "msctl.dev/demo/v1"
    }
    fn human(&self, paint: &Paint) -> String {
        let shares: Vec<String> =
            self.revisions.iter().map(|(revision, n)| format!("{n} by revision {revision}")).collect();
        let mut text = format!(
            "\n{} {} requests were answered during the tour ({}); {} failed.\n",
            paint.green("✓"),
            paint.bold(self.requests),
            shares.join(", "),
            paint.bold(self.failed),
        );
        text += &if self.kept {
            format!(
                "The service still runs at {}; its folder is {}.\nTry: cd {} && msctl rollout history. Stop it all with: msctl local down\n",
                self.url,
                self.folder.display(),
                self.folder.display()
            )
        } else {
            "Everything was stopped and removed. Your turn: msctl new NAME\n".to_owned()
        };
        text
    }
}

/// What the tour needs to know of its surroundings.
struct Stage<'a> {
    ctx: &'a Ctx,
    program: PathBuf,
    /// Where the service's folder is made.
    into: PathBuf,
    /// Variables that keep the tour's agent apart from the user's own.
    apart: Vec<(&'static str, PathBuf)>,
}

const NAME: &str = "demo";
/// Requests a second during the tour.
const RATE: u32 = 50;

/// Runs the tour. `keep` leaves the service running on the user's own local platform.
pub async fn tour(ctx: &Ctx, template: Option<&str>, keep: bool) -> anyhow::Result<Tour> {
    let chosen = toolchain::choose(&ctx.settings.env, template)?;
    let scratch =
        tempfile::Builder::new().prefix("msctl-demo-").tempdir().context("make a folder for the tour")?;
    let (into, apart) = if keep {
        (ctx.settings.directory.clone(), Vec::new())
    } else {
        let apart = ["XDG_STATE_HOME", "XDG_RUNTIME_DIR"];
        (scratch.path().to_owned(), apart.map(|name| (name, scratch.path().join("state"))).to_vec())
    };
    if into.join(NAME).exists() {
        return Err(Failure::failed("exists", format!("{} is there already", into.join(NAME).display()))
            .hint("remove it, or go elsewhere with -C DIR")
            .into());
    }
    let program = std::env::current_exe().context("find this program's own file")?;
    let stage = Stage { ctx, program, into, apart };
    ctx.ui.note(chosen.announcement());
    let toured = stage.run(&chosen.template, keep).await;
    if !keep {
        stage
            .command(&["local", "down"], stage.into.as_path())
            .output()
            .await
            .context("stop the tour's agent")?;
    }
    toured
}

impl Stage<'_> {
    async fn run(&self, template: &str, keep: bool) -> anyhow::Result<Tour> {
        let port = load::free_port().context("find a free port")?;
        let folder = self.into.join(NAME);
        self.say("1. A service from a template, ready for production");
        let set = format!("port={port}");
        let into = self.into.display().to_string();
        let new =
            ["new", NAME, "--template", template, "--defaults", "--set", &set, "--into", &into, "--no-git"];
        self.expect(0, &new, &self.into).await?;
        shorten_delays(&folder)?;

        self.say("2. Its first version, on this machine: three processes behind a weighted proxy");
        self.expect(0, &["deploy"], &folder).await?;
        let url = format!("http://127.0.0.1:{port}/");
        self.ctx.ui.note(format!("From here on {RATE} requests a second go to {url}"));
        let load = Load::start(&url, RATE, &Default::default())?;

        self.say("3. A second version as a canary: 20 %, 50 %, then everything");
        set_config(&folder, "GREETING", "Bonjour")?;
        let canary = ["deploy", "--canary", "--steps", "20,50", "--pause", "4s"];
        self.expect(0, &canary, &folder).await?;
        self.tell(&load.counts());

        self.say("4. A third version with a typo in its configuration: it must never serve");
        set_config(&folder, "FAIL_RATE", "lots")?;
        let refused = self.expect(5, &canary, &folder).await?;
        self.ctx.ui.note("Exit code 5: the new version was refused, and the old one serves.");
        self.expect(0, &["rollout", "history"], &folder).await?;
        let counts = load.stop().await;
        Ok(Tour {
            template: template.to_owned(),
            folder,
            url,
            requests: counts.answered,
            failed: counts.failed,
            revisions: counts.revisions,
            refused,
            kept: keep,
        })
    }

    fn say(&self, title: &str) {
        self.ctx.ui.note(format!("\n{}", self.ctx.ui.paint().bold(title)));
    }

    fn tell(&self, counts: &Counts) {
        self.ctx.ui.note(format!("{} requests so far, {} failed.", counts.answered, counts.failed));
    }

    fn command(&self, args: &[&str], folder: &Path) -> Command {
        let mut command = Command::new(&self.program);
        let env = &self.ctx.settings.env;
        command.args(args).current_dir(folder).env_clear().envs(env.iter()).env("MSCTL_ENV", "local");
        command.envs(self.apart.iter().map(|(name, folder)| (name, folder)));
        if self.ctx.ui.options.format != Format::Text {
            command.arg("--quiet").stdout(std::process::Stdio::null());
        }
        command
    }

    /// Shows and runs a command; any exit code but the wanted one ends the tour.
    async fn expect(&self, wanted: i32, args: &[&str], folder: &Path) -> anyhow::Result<i32> {
        let shown = args.join(" ").replace(&format!(" --into {} --no-git", self.into.display()), "");
        self.ctx.ui.note(self.ctx.ui.paint().cyan(format!("$ msctl {shown}")));
        let mut child = self.command(args, folder).spawn().with_context(|| format!("run msctl {shown}"))?;
        // Ctrl-C reaches the child as well, which saves its state and ends.
        let status = child.wait().await.with_context(|| format!("wait for msctl {shown}"))?;
        if self.ctx.interrupt.is_cancelled() {
            return Err(
                Failure::new(settings::interrupted(), "interrupted", "the tour was interrupted").into()
            );
        }
        match status.code() {
            Some(code) if code == wanted => Ok(code),
            code => Err(Failure::new(
                Kind::Failed,
                "demo-failed",
                format!("msctl {shown} should exit {wanted}, but gave {code:?}"),
            )
            .hint("msctl doctor checks this machine; the lines above say what went wrong")
            .into()),
        }
    }
}

/// A tour does not wait the half minute that an old version is usually kept at hand.
fn shorten_delays(folder: &Path) -> anyhow::Result<()> {
    use std::io::Write as _;
    let file = folder.join(crate::service::FILE);
    std::fs::OpenOptions::new()
        .append(true)
        .open(&file)
        .and_then(|mut open| open.write_all(b"rollout: {scaleDownDelay: 5s, abortDelay: 5s}\n"))
        .with_context(|| format!("write {}", file.display()))
}

/// Sets one variable in the `config:` line of the demo's msctl.yaml, as a person would with an editor.
fn set_config(folder: &Path, name: &str, value: &str) -> anyhow::Result<()> {
    let file = folder.join(crate::service::FILE);
    let text = std::fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
    let edited: Vec<String> = text.lines().map(|line| edit_config_line(line, name, value)).collect();
    std::fs::write(&file, edited.join("\n") + "\n").with_context(|| format!("write {}", file.display()))
}

fn edit_config_line(line: &str, name: &str, value: &str) -> String {
    let Some((inner, rest)) = line.strip_prefix("config: {").and_then(|l| l.split_once('}')) else {
        return line.to_owned();
    };
    let kept = inner.split(", ").filter(|pair| !pair.trim_start().starts_with(&format!("{name}:")));
    let pairs: Vec<String> = kept.map(str::to_owned).chain([format!("{name}: {value}")]).collect();
    format!("config: {{{}}}{rest}", pairs.join(", "))
}

#[cfg(test)]
mod tests {
    use super::edit_config_line;

    #[test]
    fn a_variable_is_replaced_or_added() {
        let line = "config: {LOG_LEVEL: info, GREETING: Hello} # more";
        let edited = edit_config_line(line, "GREETING", "Bonjour");
        assert_eq!(edited, "config: {LOG_LEVEL: info, GREETING: Bonjour} # more");
        assert!(edit_config_line(line, "FAIL_RATE", "lots").contains("GREETING: Hello, FAIL_RATE: lots}"));
        assert_eq!(edit_config_line("port: 8080", "X", "1"), "port: 8080");
    }
}
