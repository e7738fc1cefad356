//! # The house
//!
//! argv → [`cli`] → [`commands`] → [`service`] (msctl.yaml) → [`image`] (build, push → digest)
//! → [`manifest`] (service + digest → objects) → [`rollout`] (plan; observe → step → effects)
//! → [`platform`] (kubernetes | local). Down one way; events come back through one gate, [`ui`].
//!
//! `service`, `manifest` and the deciding half of `rollout` (plan, state, step, replicas, verdict) are pure:
//! no clock, no network, no terminal. [`context::Ctx`] is the only place that constructs adapters;
//! [`settings`] the only one that reads the environment; [`error`] the only one that knows exit codes.

pub mod cli;
mod commands;
pub mod context;
pub mod demo;
pub mod deploy;
pub mod error;
pub mod image;
pub mod manifest;
pub mod platform;
pub mod rehearsal;
pub mod rollout;
pub mod scaffold;
pub mod service;
pub mod settings;
pub mod ui;

use std::ffi::OsString;
use std::sync::Arc;

use context::{Ctx, SystemClock};
use settings::{Env, Settings};

/// Runs msctl with `args` (the program's name first) in the process's environment; returns the exit code.
pub fn run(args: impl IntoIterator<Item = OsString>) -> u8 {
    let env = Env::of_process();
    let args: Vec<OsString> = args.into_iter().collect();
    if let Some(code) = commands::completions::dynamic(&env) {
        return code;
    }
    let clock = Arc::new(SystemClock);
    let parsed = match cli::parse(&args, &env) {
        Ok(parsed) => parsed,
        Err(error) => return cli::report_parse_error(&error, &args, &env, clock),
    };
    let settings = match Settings::resolve(&parsed, env.clone()) {
        Ok(settings) => settings,
        Err(error) => {
            let ui = ui::Ui::new(Settings::fallback_ui(&args, &env), clock);
            ui.error(&error);
            return error::kind(&error).code();
        }
    };
    let ctx = Ctx::new(settings, clock);
    match commands::run(&ctx, parsed.cli.command) {
        Ok(code) => code,
        Err(error) => {
            ctx.ui.error(&error);
            error::kind(&error).code()
        }
    }
}
