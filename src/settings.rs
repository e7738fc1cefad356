//! Arguments, environment and files become one resolved [`Settings`]; each value knows where it came from.
//! The only room that reads the process's environment and signals.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::ArgMatches;
use clap::parser::ValueSource;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::cli::{Color, Parsed};
use crate::error::{Failure, did_you_mean};
use crate::service::{PlatformKind, Service};
use crate::ui;

/// The environment as it was when the process began.
#[derive(Debug, Clone, Default)]
pub struct Env(BTreeMap<OsString, OsString>);

impl Env {
    #[allow(clippy::disallowed_methods)]
    pub fn of_process() -> Self {
        Env(std::env::vars_os().collect())
    }
    pub fn of(pairs: impl IntoIterator<Item = (&'static str, String)>) -> Self {
        Env(pairs.into_iter().map(|(k, v)| (k.into(), v.into())).collect())
    }
    /// A set and not empty variable, if it is UTF-8.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.os(name).and_then(OsStr::to_str)
    }
    pub fn os(&self, name: &str) -> Option<&OsStr> {
        self.0.get(OsStr::new(name)).map(OsString::as_os_str).filter(|v| !v.is_empty())
    }
    pub fn path(&self, name: &str) -> Option<PathBuf> {
        self.os(name).map(PathBuf::from)
    }
    pub fn home(&self) -> Option<PathBuf> {
        self.path("HOME")
    }
    pub fn iter(&self) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        self.0.iter().map(|(k, v)| (k.as_os_str(), v.as_os_str()))
    }
    /// `CI=true` and its kin.
    pub fn ci(&self) -> bool {
        self.get("CI").is_some_and(|v| v != "false" && v != "0")
    }
}

/// Where a value came from, strongest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "kind", content = "name")]
pub enum Origin {
    Flag,
    Variable(String),
    Environment(String),
    Service(String),
    UserConfig(String),
    Default,
}

/// A value and its origin.
#[derive(Debug, Clone, Serialize)]
pub struct Resolved<T> {
    pub value: T,
    pub origin: Origin,
}

impl<T> Resolved<T> {
    fn new(value: T, origin: Origin) -> Self {
        Resolved { value, origin }
    }
}

/// `$XDG_CONFIG_HOME/msctl/config.yaml`.
#[derive(Debug, Clone, Default, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UserConfig {
    /// Registry that `new` writes into `image.repository`, such as `ghcr.io/shop`.
    pub registry: Option<String>,
    /// Environment used when neither `-e` nor msctl.yaml names one.
    pub default_environment: Option<String>,
    /// Image of msctl that drives in the cluster (`deploy --detach`), where msctl.yaml names none.
    pub driver_image: Option<String>,
    /// `auto`, `always` or `never`.
    pub color: Option<String>,
    /// Environments every service may use.
    #[serde(default)]
    pub environments: BTreeMap<String, crate::service::EnvironmentTarget>,
}

/// How much agreement `--yes` gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Yes {
    No,
    Plain,
    /// `--yes=ENV`: also for the protected environment of that name.
    Environment(String),
}

/// Where a command acts.
#[derive(Debug, Clone, Serialize)]
pub struct Target {
    /// The environment's name; `local` when nothing is configured.
    pub environment: String,
    pub platform: PlatformKind,
    pub context: Option<String>,
    pub namespace: Option<String>,
    pub protected: bool,
}

/// Everything the invocation, the environment and the user's file say.
#[derive(Debug, Clone)]
pub struct Settings {
    pub env: Env,
    pub ui: ui::Options,
    pub directory: PathBuf,
    pub yes: Yes,
    pub environment: Option<Resolved<String>>,
    pub namespace: Option<Resolved<String>>,
    pub context: Option<Resolved<String>>,
    pub kubeconfig: Option<Resolved<String>>,
    pub registry: Resolved<String>,
    pub user: UserConfig,
    pub user_file: PathBuf,
}

fn given<T: Clone + Send + Sync + 'static>(matches: &ArgMatches, id: &str) -> Option<Resolved<T>> {
    let value = matches.get_one::<T>(id)?.clone();
    let variable = format!("MSCTL_{}", id.to_uppercase());
    Some(match matches.value_source(id)? {
        ValueSource::EnvVariable => Resolved::new(value, Origin::Variable(variable)),
        ValueSource::DefaultValue => return None,
        _ => Resolved::new(value, Origin::Flag),
    })
}

impl Settings {
    pub fn resolve(parsed: &Parsed, env: Env) -> anyhow::Result<Self> {
        let global = &parsed.cli.global;
        let matches = &parsed.leaf;
        let user_file = config_folder(&env).join("config.yaml");
        let user: UserConfig = match std::fs::read_to_string(&user_file) {
            Ok(text) => crate::service::parse_yaml(&text, &user_file)?,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => UserConfig::default(),
            Err(e) => return Err(e).with_context(|| format!("read {}", user_file.display())),
        };
        let from_user = || Origin::UserConfig(user_file.display().to_string());
        let registry = if let Some(registry) = env.get("MSCTL_REGISTRY") {
            Resolved::new(registry.to_owned(), Origin::Variable("MSCTL_REGISTRY".into()))
        } else if let Some(registry) = &user.registry {
            Resolved::new(registry.clone(), from_user())
        } else {
            Resolved::new("localhost:5000".into(), Origin::Default)
        };
        let color = match (global.color, user.color.as_deref()) {
            (Some(color), _) => color,
            (None, Some("always")) => Color::Always,
            (None, Some("never")) => Color::Never,
            (None, _) => Color::Auto,
        };
        let ui = ui_options(&env, global.output, color, global.verbose, global.quiet, global.no_input);
        Ok(Settings {
            ui,
            directory: directory(global.directory.as_deref())?,
            yes: match &global.yes {
                None => Yes::No,
                Some(None) => Yes::Plain,
                Some(Some(name)) if matches!(name.as_str(), "true" | "1") => Yes::Plain,
                Some(Some(name)) => Yes::Environment(name.clone()),
            },
            environment: given(matches, "env"),
            namespace: given(matches, "namespace"),
            context: given(matches, "context"),
            kubeconfig: given(matches, "kubeconfig"),
            registry,
            user,
            user_file,
            env,
        })
    }

    /// As if `-e NAME` were given.
    pub fn for_environment(&self, name: &str) -> Settings {
        Settings { environment: Some(Resolved::new(name.to_owned(), Origin::Flag)), ..self.clone() }
    }

    /// How to print when the settings themselves could not be resolved.
    pub fn fallback_ui(args: &[OsString], env: &Env) -> ui::Options {
        let value = |long: &str, short: &str| {
            let mut args = args.iter().filter_map(|a| a.to_str());
            while let Some(arg) = args.next() {
                if arg == long || arg == short {
                    return args.next().map(str::to_owned);
                }
                if let Some(v) = arg.strip_prefix(long).and_then(|v| v.strip_prefix('=')) {
                    return Some(v.to_owned());
                }
                if let Some(v) = arg.strip_prefix(short).filter(|v| !arg.starts_with("--") && !v.is_empty()) {
                    return Some(v.trim_start_matches('=').to_owned());
                }
            }
            None
        };
        let format = match value("--output", "-o").as_deref().or(env.get("MSCTL_OUTPUT")) {
            Some("json") => ui::Format::Json,
            Some("ndjson") => ui::Format::Ndjson,
            _ => ui::Format::Text,
        };
        let color = match value("--color", "--color").as_deref() {
            Some("always") => Color::Always,
            Some("never") => Color::Never,
            _ => Color::Auto,
        };
        ui_options(env, Some(format), color, 0, false, true)
    }

    /// The environment a command acts on: `-e`, then what msctl.yaml says, then the user's, then local.
    pub fn target(&self, service: Option<&Service>) -> anyhow::Result<Target> {
        let known = service.map(|s| s.environments.keys().cloned().collect::<Vec<_>>()).unwrap_or_default();
        let name = match (&self.environment, service) {
            (Some(given), _) => given.value.clone(),
            (None, Some(s)) if s.default_environment.is_some() => {
                s.default_environment.clone().unwrap_or_default()
            }
            (None, Some(_)) if known.len() == 1 => known[0].clone(),
            _ => self.user.default_environment.clone().unwrap_or_else(|| "local".into()),
        };
        let found = service
            .and_then(|s| s.environments.get(&name))
            .map(|e| e.target.clone())
            .or_else(|| self.user.environments.get(&name).cloned());
        let mut target = match found {
            Some(t) => Target {
                platform: t.kind(),
                context: t.context,
                namespace: t.namespace,
                protected: t.protected,
                environment: name,
            },
            None if name == "local" => Target {
                environment: name,
                platform: PlatformKind::Local,
                context: None,
                namespace: None,
                protected: false,
            },
            None if crate::platform::kubernetes::config::has_context(self, &name)? => Target {
                context: Some(name.clone()),
                environment: name,
                platform: PlatformKind::Kubernetes,
                namespace: None,
                protected: false,
            },
            None => return Err(self.unknown_environment(&name, known)),
        };
        if let Some(context) = &self.context {
            target.context = Some(context.value.clone());
        }
        if let Some(namespace) = &self.namespace {
            target.namespace = Some(namespace.value.clone());
        }
        Ok(target)
    }

    fn unknown_environment(&self, name: &str, mut known: Vec<String>) -> anyhow::Error {
        known.extend(self.user.environments.keys().cloned());
        known.extend(crate::platform::kubernetes::config::contexts(self).unwrap_or_default());
        known.push("local".into());
        known.dedup();
        let mut failure = Failure::usage("unknown-environment", format!("no environment is named {name:?}"));
        if let Some(near) = did_you_mean(name, known.iter().map(String::as_str)) {
            failure = failure.hint(format!("did you mean {near:?}?"));
        }
        failure
            .hint(format!("known are: {} (msctl.yaml, user config, kubeconfig contexts)", known.join(", ")))
            .into()
    }

    /// `$XDG_STATE_HOME/msctl`, else `~/.local/state/msctl`.
    pub fn state_folder(&self) -> anyhow::Result<PathBuf> {
        let base = self.env.path("XDG_STATE_HOME").filter(|p| p.is_absolute());
        base.or_else(|| self.env.home().map(|h| h.join(".local/state"))).map(|p| p.join("msctl")).ok_or_else(
            || {
                Failure::failed("no-home", "neither XDG_STATE_HOME nor HOME is set, so state has no place")
                    .hint("set HOME, or XDG_STATE_HOME to an absolute folder")
                    .into()
            },
        )
    }
}

fn config_folder(env: &Env) -> PathBuf {
    let base = env.path("XDG_CONFIG_HOME").filter(|p| p.is_absolute());
    base.or_else(|| env.home().map(|h| h.join(".config"))).unwrap_or_default().join("msctl")
}

fn directory(given: Option<&Path>) -> anyhow::Result<PathBuf> {
    let here = std::env::current_dir().context("find the working folder")?;
    let Some(given) = given else { return Ok(here) };
    let folder = here.join(given);
    if !folder.is_dir() {
        return Err(
            Failure::usage("no-folder", format!("-C {}: there is no such folder", given.display())).into()
        );
    }
    Ok(folder)
}

fn ui_options(
    env: &Env,
    output: Option<ui::Format>,
    color: Color,
    verbose: u8,
    quiet: bool,
    no_input: bool,
) -> ui::Options {
    let (terminal, width) = ui::stderr_terminal();
    let dumb = env.get("TERM") == Some("dumb");
    let format = output.unwrap_or_default();
    ui::Options {
        format,
        color: match color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => terminal && !dumb && env.get("NO_COLOR").is_none(),
        },
        verbosity: if quiet { 0 } else { 1 + verbose },
        animate: terminal && !dumb && !quiet && !env.ci() && format == ui::Format::Text,
        interactive: ui::on_terminal() && !no_input && !env.ci() && format == ui::Format::Text,
        width: env.get("COLUMNS").and_then(|c| c.parse().ok()).unwrap_or(width),
    }
}

/// First SIGINT or SIGTERM cancels `token`; the second ends the process at once. Needs a running runtime.
pub fn watch_signals(token: CancellationToken) {
    use tokio::signal::unix::{SignalKind, signal};
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let (Ok(mut int), Ok(mut term)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
        else {
            return;
        };
        tokio::spawn(async move {
            let first = tokio::select! { _ = int.recv() => 130, _ = term.recv() => 143 };
            SIGNAL.store(first, std::sync::atomic::Ordering::Relaxed);
            token.cancel();
            let second = tokio::select! { _ = int.recv() => 130, _ = term.recv() => 143 };
            #[allow(clippy::exit)]
            std::process::exit(second);
        });
    });
}

static SIGNAL: std::sync::atomic::AtomicI32 = std::sync::atomic::AtomicI32::new(0);

/// How the process was interrupted, as an error kind; Interrupted when it was not by SIGTERM.
pub fn interrupted() -> crate::error::Kind {
    match SIGNAL.load(std::sync::atomic::Ordering::Relaxed) {
        143 => crate::error::Kind::Terminated,
        _ => crate::error::Kind::Interrupted,
    }
}
