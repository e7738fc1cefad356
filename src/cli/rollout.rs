//! The arguments of what ships a version and steers it: deploy, diff, adopt, rollout, migrate.

use std::path::PathBuf;

use clap::{Args, Subcommand};

// The ways to move traffic to a new version.
#[derive(Debug, Args, Clone, Default)]
#[group(multiple = false)]
pub struct StrategyFlags {
    /// Update in place
    #[arg(long)]
    pub rolling: bool,
    /// Move traffic in steps
    #[arg(long)]
    pub canary: bool,
    /// Switch at once, after a preview
    #[arg(long)]
    pub blue_green: bool,
    /// Send a cohort to the new version until promoted (rollout.ab)
    #[arg(long)]
    pub ab: bool,
    /// Send copies of requests to the new version until promoted (rollout.mirror)
    #[arg(long)]
    pub mirror: bool,
}

#[derive(Debug, Args, Clone, Default)]
pub struct Deploy {
    /// Services of the workspace; all when none is named
    pub service: Vec<String>,
    #[command(flatten)]
    pub strategy: StrategyFlags,
    /// Deploy this image in place of building one
    #[arg(long, value_name = "REF")]
    pub image: Option<String>,
    /// Canary weights in percent, such as 10,25,50
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub steps: Vec<u8>,
    /// Pause after every weight below 100, such as 2m
    #[arg(long, value_name = "DURATION")]
    pub pause: Option<String>,
    /// Return at healthy (default), paused, available, step=N or weight=N
    #[arg(long, value_name = "STATE")]
    pub until: Option<String>,
    /// Give up after this long, such as 10m
    #[arg(long, value_name = "DURATION")]
    pub timeout: Option<String>,
    /// How long a rollback may take
    #[arg(long, value_name = "DURATION")]
    pub rollback_timeout: Option<String>,
    /// Leave a failed version in place
    #[arg(long)]
    pub no_rollback: bool,
    /// Roll out although the live version is broken
    #[arg(long)]
    pub proceed: bool,
    /// Wait this long for another deploy to finish
    #[arg(long, value_name = "DURATION")]
    pub lock_wait: Option<String>,
    /// All services wait for each other before they take over, and go back together when one is refused
    #[arg(long, conflicts_with_all = ["detach", "until", "rolling"])]
    pub train: bool,
    /// Deploy to these environments in place of one; with --train together
    #[arg(long, value_name = "ENV", value_delimiter = ',')]
    pub envs: Vec<String>,
    /// Stay and drive, where a protected environment asks for --detach
    #[arg(long, conflicts_with = "detach")]
    pub attended: bool,
    /// Print the plan, write nothing
    #[arg(long)]
    pub plan: bool,
    #[command(flatten)]
    pub handoff: Handoff,
}

// A driver in the cluster, in place of this machine.
#[derive(Debug, Args, Clone, Default)]
pub struct Handoff {
    /// Leave the driving to a Job in the cluster, and return
    #[arg(long)]
    pub detach: bool,
    /// Image of msctl for that Job, in place of `driverImage` of msctl.yaml or the user config
    #[arg(long, value_name = "REF")]
    pub driver_image: Option<String>,
}

#[derive(Debug, Args)]
pub struct Adopt {
    /// Name of the Deployment
    pub deployment: String,
    /// Service of the workspace that it becomes
    #[arg(long, value_name = "SERVICE")]
    pub service: Option<String>,
    /// Say what matches its pods and what it would mean, write nothing
    #[arg(long)]
    pub plan: bool,
}

#[derive(Debug, Args)]
pub struct Diff {
    /// Services of the workspace; all when none is named
    pub service: Vec<String>,
    /// Compare with this image in place of the built one
    #[arg(long, value_name = "REF")]
    pub image: Option<String>,
    /// List the fields that rollouts set, for tools that apply the same objects
    #[arg(long)]
    pub owned: bool,
}

// One service, where the folder holds several.
#[derive(Debug, Args, Clone, Default)]
pub struct Named {
    /// Service of the workspace
    pub service: Option<String>,
}

#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub enum Rollout {
    /// Show the rollout's state
    Status(Named),
    /// Follow the rollout until it ends or waits
    Watch(Named),
    /// End the pause, or skip a step; `--full` skips all steps and analysis
    Promote {
        #[command(flatten)]
        named: Named,
        /// Skip all remaining steps and analysis
        #[arg(long)]
        full: bool,
    },
    /// Hold the rollout where it is
    Pause(Named),
    /// Go on after `pause`
    Resume(Named),
    /// Take the traffic back from the candidate
    Abort(Named),
    /// Start an aborted rollout again
    Retry(Named),
    /// Return to the last revision that was live, or to `--to N`
    Undo {
        #[command(flatten)]
        named: Named,
        /// Revision to return to
        #[arg(long, value_name = "N")]
        to: Option<u32>,
    },
    /// List the deploys and their revisions
    History(Named),
    /// Try the rollout on this machine, with a version that goes wrong: do the gates see it?
    Rehearse(Rehearse),
    /// Judge past deploys again, by other thresholds
    Judge {
        /// `[SERVICE] [DEPLOY]`: a deploy's number, else all whose measurements are kept
        #[arg(num_args = 0..=2, value_names = ["SERVICE", "DEPLOY"])]
        target: Vec<String>,
        /// Threshold in place of msctl.yaml's, such as errors:max=2%,minSamples=100 (may repeat)
        #[arg(long, value_name = "NAME:KEY=VALUE")]
        metric: Vec<String>,
    },
    /// Write a deploy's report: one HTML file that needs nothing else
    Report {
        /// `[SERVICE] [DEPLOY]`: a deploy's number, else the last one's
        #[arg(num_args = 0..=2, value_names = ["SERVICE", "DEPLOY"])]
        target: Vec<String>,
        /// File to write, `-` for stdout; SERVICE-deploy-N.html when not given
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Replace the live pods one by one, with the same version
    Restart(Named),
    /// Drive a rollout whose driver is gone
    Attach {
        #[command(flatten)]
        named: Named,
        /// Do what is due, then return
        #[arg(long, conflicts_with = "detach")]
        once: bool,
        #[command(flatten)]
        handoff: Handoff,
    },
    /// Print the account and rights that a driver in the cluster needs, for `kubectl apply -f -`
    Rbac(Named),
}

#[derive(Debug, Args)]
pub struct Rehearse {
    #[command(flatten)]
    pub named: Named,
    /// What goes wrong: errors=5%, latency=1s, crash=2s (after the first request) or unready (may repeat); the first
    /// three when none is named
    #[arg(long, value_name = "FAULT")]
    pub fault: Vec<String>,
    /// Requests a second
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub rate: u32,
    /// Path of the requests
    #[arg(long, value_name = "PATH", default_value = "/")]
    pub path: String,
    /// Header of the requests (may repeat); `${NAME}` in it is a variable of the environment
    #[arg(long, value_name = "NAME:VALUE")]
    pub header: Vec<String>,
    #[command(flatten)]
    pub strategy: StrategyFlags,
    /// Canary weights in percent, such as 10,25,50
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub steps: Vec<u8>,
    /// Pause after every weight below 100, such as 20s
    #[arg(long, value_name = "DURATION")]
    pub pause: Option<String>,
}

#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub enum Migrate {
    /// Take away what only revisions before the live one need: none of them can come back
    Contract(Named),
}
