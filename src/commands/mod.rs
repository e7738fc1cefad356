//! One file per verb: arguments → one operation → its view. Decisions and effects live in the operations.

mod adopt;
mod agent;
mod build;
pub mod completions;
mod config;
mod delete;
mod demo;
mod deploy;
mod diff;
mod doctor;
mod drive;
mod judge;
mod local;
mod logs;
mod migrate;
mod new;
mod rehearse;
mod report;
mod rollout;
mod scale;
mod status;
mod template;

use crate::cli::Cmd;
use crate::context::Ctx;

/// Runs one command; returns its exit code when it did not fail.
pub fn run(ctx: &Ctx, command: Cmd) -> anyhow::Result<u8> {
    match command {
        Cmd::Adopt(args) => adopt::run(ctx, &args),
        Cmd::Agent(args) => agent::run(ctx, &args),
        Cmd::Relay(args) => rehearse::relay(ctx, &args),
        Cmd::Drive(args) => drive::run(ctx, &args),
        Cmd::Local(command) => local::run(ctx, &command),
        Cmd::Build(args) => build::run(ctx, &args),
        Cmd::Completions(args) => completions::run(ctx, &args),
        Cmd::Man(args) => completions::man(ctx, &args),
        Cmd::Config(args) => config::run(ctx, &args),
        Cmd::New(args) => new::run(ctx, &args),
        Cmd::Template(args) => template::run(ctx, &args),
        Cmd::Deploy(args) => deploy::run(ctx, &args),
        Cmd::Diff(args) => diff::run(ctx, &args),
        Cmd::Migrate(command) => migrate::run(ctx, &command),
        Cmd::Delete(args) => delete::run(ctx, &args),
        Cmd::Demo(args) => demo::run(ctx, &args),
        Cmd::Doctor => doctor::run(ctx),
        Cmd::Rollout(args) => rollout::run(ctx, args),
        Cmd::Status(named) => status::run(ctx, &named),
        Cmd::Scale(args) => scale::run(ctx, &args),
        Cmd::Logs(args) => logs::run(ctx, &args),
    }
}
