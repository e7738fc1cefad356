//! `completions`, `man`, and the answer to a shell that asks for candidates.

use anyhow::Context as _;
use clap_complete::Shell;

use crate::cli;
use crate::context::Ctx;
use crate::error::Failure;
use crate::settings::Env;
use crate::ui::Format;

/// Answers a shell's completion request (`COMPLETE=bash msctl -- …`), if this is one.
pub fn dynamic(env: &Env) -> Option<u8> {
    env.get("COMPLETE")?;
    clap_complete::CompleteEnv::with_factory(cli::command).complete();
    None
}

fn text_only(ctx: &Ctx, command: &str) -> anyhow::Result<()> {
    if ctx.ui.options.format == Format::Text {
        return Ok(());
    }
    Err(Failure::usage("text-only", format!("{command} has no JSON form")).hint("leave -o out").into())
}

pub fn run(ctx: &Ctx, args: &cli::Completions) -> anyhow::Result<u8> {
    text_only(ctx, "completions")?;
    ctx.ui.raw(&script(args.shell));
    Ok(0)
}

/// The static completion script of `shell`.
pub fn script(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut shown(), "msctl", &mut script);
    script
}

/// The generators offer hidden commands too: here they are left out.
fn shown() -> clap::Command {
    let whole = cli::command();
    let commands: Vec<_> = whole.get_subcommands().filter(|c| !c.is_hide_set()).cloned().collect();
    clap::Command::new("msctl")
        .version(env!("CARGO_PKG_VERSION"))
        .args(whole.get_arguments().cloned())
        .subcommands(commands)
}

pub fn man(ctx: &Ctx, args: &cli::Man) -> anyhow::Result<u8> {
    text_only(ctx, "man")?;
    std::fs::create_dir_all(&args.folder).with_context(|| format!("create {}", args.folder.display()))?;
    clap_mangen::generate_to(cli::command(), &args.folder)
        .with_context(|| format!("write man pages into {}", args.folder.display()))?;
    Ok(0)
}
