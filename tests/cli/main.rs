//! The binary's surface: a real run with the environment cleared; status, stdout and stderr together.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, clippy::print_stderr)]

mod build;
mod cluster;
mod demo;
mod deploy;
mod doctor;
mod generated;
mod install;
mod local;
mod migrations;
mod new;
mod new_broken;
mod no_prompt;
mod rehearse;
mod rollout;
mod run;
mod strategies;
mod structure;
mod template;
mod templates;
mod train;
mod usage;
