//! The command line as clap types, and nothing else: help, completions and man pages all come from here.

mod rollout;

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use clap::builder::BoolishValueParser;
use clap::error::{ContextKind, ErrorKind};
use clap::{
    ArgAction, ArgMatches, Args, Command, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum,
};

use crate::context::Clock;
use crate::error::Failure;
use crate::settings::{Env, Settings};
use crate::ui::{Format, Ui};
pub use rollout::*;

/// Take a microservice from nothing to production from the terminal
#[derive(Debug, Parser)]
#[command(name = "msctl", version, propagate_version = true, max_term_width = 100)]
#[command(after_help = "Start with `msctl demo`: a minute's tour, with no Docker and no cluster.")]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Cmd,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// Environment of msctl.yaml, of the user config, or a kubeconfig context
    #[arg(short, long, global = true, value_name = "ENV")]
    pub env: Option<String>,
    /// Kubernetes namespace
    #[arg(short, long, global = true, value_name = "NS")]
    pub namespace: Option<String>,
    /// Kubeconfig context
    #[arg(long, global = true, value_name = "NAME")]
    pub context: Option<String>,
    /// Kubeconfig file, in place of KUBECONFIG and ~/.kube/config
    #[arg(long, global = true, value_name = "FILE")]
    pub kubeconfig: Option<String>,
    /// Work as if started in this folder
    #[arg(short = 'C', long, global = true, value_name = "DIR")]
    pub directory: Option<PathBuf>,
    /// Format of the answer
    #[arg(short, long, global = true, value_name = "FORMAT")]
    pub output: Option<Format>,
    /// When to use colours
    #[arg(long, global = true, value_name = "WHEN")]
    pub color: Option<Color>,
    /// Say more; twice and thrice for more still
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,
    /// Say nothing but the answer and errors
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Agree to every question; `--yes=ENV` also to a protected environment
    #[arg(short, long, global = true, num_args = 0..=1, require_equals = true, value_name = "ENV")]
    pub yes: Option<Option<String>>,
    /// Never prompt: fail and name the flag that answers
    #[arg(long, global = true)]
    pub no_input: bool,
}

// What is deferred is told last: a doc comment on a struct of flags would be the text of the command that has them.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub enum Cmd {
    /// Create a service from a template
    New(New),
    /// Look at the templates a service can be created from
    #[command(subcommand)]
    Template(Template),
    /// Build the service's image, and push it
    Build(Build),
    /// Ship the service: build what changed, apply, roll out, wait
    Deploy(Box<Deploy>),
    /// Show what a deploy would change; exit 1 when there are differences
    Diff(Diff),
    /// Steer and follow a rollout
    #[command(subcommand)]
    Rollout(Rollout),
    /// Show how the service is
    Status(Named),
    /// Print the pods' logs
    Logs(Logs),
    /// Set the number of replicas until the next deploy
    Scale(Scale),
    /// Migrate the service's database beside a deploy
    #[command(subcommand)]
    Migrate(Migrate),
    /// Remove the service and everything msctl made for it
    Delete(Delete),
    /// The local platform: processes behind a weighted proxy
    #[command(subcommand)]
    Local(Local),
    /// Take an existing Deployment over as the live version, with no restart
    Adopt(Adopt),
    /// A guided tour: create, run, canary, and a bad release refused
    Demo(Demo),
    /// Check what msctl needs on this machine
    Doctor,
    /// Look at the configuration
    #[command(subcommand)]
    Config(Config),
    /// Print the completion script of a shell
    Completions(Completions),
    /// Write the man pages into a folder
    Man(Man),
    /// The driver in the cluster; started by `--detach`
    #[command(hide = true)]
    Drive(Drive),
    /// The agent of the local platform; started by msctl itself
    #[command(hide = true)]
    Agent(Agent),
    /// A version under rehearsal; started by `rollout rehearse`
    #[command(hide = true)]
    Relay(Relay),
}

#[derive(Debug, Args)]
pub struct New {
    /// The service's name: a DNS label such as `orders`
    pub name: String,
    /// Embedded template, folder, or git-url[//subfolder][@ref]
    #[arg(short, long, value_name = "TEMPLATE")]
    pub template: Option<String>,
    /// Answer a question of the template (may repeat)
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// YAML file of answers
    #[arg(long, value_name = "FILE")]
    pub answers: Option<PathBuf>,
    /// Take the default of everything not answered
    #[arg(long)]
    pub defaults: bool,
    /// Show what would be written, write nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Folder to create the service's folder in
    #[arg(long, value_name = "DIR")]
    pub into: Option<PathBuf>,
    /// Do not make a git repository
    #[arg(long)]
    pub no_git: bool,
}

#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub enum Template {
    /// List the embedded templates
    List,
    /// Show a template's questions and files
    Show { template: String },
    /// Check a template for mistakes
    Lint { template: String },
    /// Print the JSON Schema of template.yaml
    Schema,
}

#[derive(Debug, Args, Clone, Default)]
pub struct Build {
    /// Services of the workspace; all when none is named
    pub service: Vec<String>,
    /// Push the image and verify its digest at the registry
    #[arg(long)]
    pub push: bool,
    /// First write the digests that the base images have now into the Dockerfile
    #[arg(long)]
    pub pin: bool,
    /// Tag in place of the one computed from git (may repeat)
    #[arg(long, value_name = "TAG")]
    pub tag: Vec<String>,
    /// Platform such as linux/arm64
    #[arg(long, value_name = "PLATFORM")]
    pub platform: Vec<String>,
    /// Build argument (may repeat)
    #[arg(long, value_name = "KEY=VALUE")]
    pub build_arg: Vec<String>,
    /// Images to take cached layers from
    #[arg(long, value_name = "REF")]
    pub cache_from: Vec<String>,
    /// Build every step anew
    #[arg(long)]
    pub no_cache: bool,
    /// Stage of the Dockerfile to build
    #[arg(long, value_name = "STAGE")]
    pub target: Option<String>,
    /// For RUN --mount=type=secret: id=NAME,src=FILE or id=NAME,env=VARIABLE (may repeat)
    #[arg(long, value_name = "SECRET")]
    pub secret: Vec<String>,
}

#[derive(Debug, Args)]
pub struct Logs {
    #[command(flatten)]
    pub named: Named,
    /// Go on printing
    #[arg(short, long)]
    pub follow: bool,
    /// Lines from the end of each pod's log
    #[arg(long, value_name = "N")]
    pub tail: Option<i64>,
    /// Only what is younger, such as 10m
    #[arg(long, value_name = "DURATION")]
    pub since: Option<String>,
    /// The log of the driver in the cluster (`deploy --detach`)
    #[arg(long, conflicts_with = "slot")]
    pub driver: bool,
    /// Only this slot: blue or green
    #[arg(long, value_name = "SLOT")]
    pub slot: Option<String>,
    /// The log of the container's previous run
    #[arg(long)]
    pub previous: bool,
}

#[derive(Debug, Args)]
pub struct Scale {
    /// `[SERVICE] N`
    #[arg(required = true, num_args = 1..=2, value_names = ["SERVICE", "N"])]
    pub target: Vec<String>,
}

#[derive(Debug, Args)]
pub struct Delete {
    #[command(flatten)]
    pub named: Named,
}

#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub enum Local {
    /// Show the agent and the services it runs
    Status,
    /// Stop every local service and the agent, and leave nothing behind
    Down,
}

#[derive(Debug, Args)]
pub struct Demo {
    /// Leave the demo service running and its folder in place
    #[arg(long)]
    pub keep: bool,
    /// Template to tour with; the first whose toolchain is present otherwise
    #[arg(short, long, value_name = "TEMPLATE")]
    pub template: Option<String>,
}

#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub enum Config {
    /// Print the resolved configuration
    Show {
        #[command(flatten)]
        named: Named,
        /// Name where each value came from
        #[arg(long)]
        origin: bool,
    },
    /// Print the JSON Schema of msctl.yaml
    Schema,
}

#[derive(Debug, Args)]
pub struct Completions {
    /// bash, zsh, fish, elvish or powershell
    pub shell: clap_complete::Shell,
}

#[derive(Debug, Args)]
pub struct Man {
    /// Folder to write the pages into
    pub folder: PathBuf,
}

#[derive(Debug, Args)]
pub struct Drive {
    /// The service to drive
    pub service: String,
    /// Give up after this long
    #[arg(long, value_name = "DURATION")]
    pub timeout: Option<String>,
}

#[derive(Debug, Args)]
pub struct Relay {
    pub part: String,
    pub command: String,
}

#[derive(Debug, Args)]
pub struct Agent {
    /// The agent's own folder
    pub folder: PathBuf,
}

/// The typed arguments, and the matches of the deepest subcommand: they know flag from variable.
pub struct Parsed {
    pub cli: Cli,
    pub leaf: ArgMatches,
}

/// The command tree; each command's flags are made when it is built, which takes longer than all the rest of a start.
pub fn command() -> Command {
    Cli::command()
}

/// Every long flag `--x-y` also reads `MSCTL_X_Y`.
fn with_variables(command: Command) -> Command {
    let command = command.mut_args(|arg| {
        let Some(long) = arg.get_long().map(|l| l.to_uppercase().replace('-', "_")) else { return arg };
        if matches!(long.as_str(), "HELP" | "VERSION") {
            return arg;
        }
        let arg = match arg.get_action() {
            ArgAction::SetTrue => arg.value_parser(BoolishValueParser::new()),
            _ => arg,
        };
        arg.env(format!("MSCTL_{long}")).hide_env(true)
    });
    command.mut_subcommands(with_variables)
}

/// Parses `args`, the program's name first, and the variables of `env` that stand for flags.
pub fn parse(args: &[OsString], env: &Env) -> Result<Parsed, clap::Error> {
    let mut command = command();
    if env.iter().any(|(name, _)| name.as_encoded_bytes().starts_with(b"MSCTL_")) {
        command.build();
        command = with_variables(command);
    }
    let matches = command.try_get_matches_from(args)?;
    let cli = Cli::from_arg_matches(&matches)?;
    let mut leaf = &matches;
    while let Some((_, deeper)) = leaf.subcommand() {
        leaf = deeper;
    }
    Ok(Parsed { cli, leaf: leaf.clone() })
}

/// Prints what clap says: help and version to stdout with 0, errors like every other error with 2.
pub fn report_parse_error(error: &clap::Error, args: &[OsString], env: &Env, clock: Arc<dyn Clock>) -> u8 {
    let options = Settings::fallback_ui(args, env);
    let color = options.color;
    let text = |error: &clap::Error| {
        if color { error.render().ansi().to_string() } else { error.render().to_string() }
    };
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            Ui::new(crate::ui::Options { format: Format::Text, ..options }, clock)
                .raw(text(error).as_bytes());
            0
        }
        _ if options.format == Format::Text => {
            let ui = Ui::new(options, clock);
            ui.raw_stderr(&text(error));
            2
        }
        kind => {
            let rendered = error.render().to_string();
            let message =
                rendered.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
            let reason = if kind == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
                "no-command"
            } else {
                "usage"
            };
            let mut failure = Failure::usage(reason, message);
            for kind in [ContextKind::SuggestedSubcommand, ContextKind::SuggestedArg] {
                if let Some(near) = error.get(kind) {
                    failure = failure.hint(format!("did you mean {near}?"));
                }
            }
            Ui::new(options, clock).error(&failure.hint("msctl --help lists what there is").into());
            2
        }
    }
}
