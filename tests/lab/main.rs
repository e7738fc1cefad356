//! What only a real cluster can say. `tests/run node` brings the lab up and runs these; without it each is ignored.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::print_stderr)]

mod adoption;
mod analysis;
mod autoscaler;
mod budget;
mod build;
mod deploy;
mod failures;
mod handoff;
mod harness;
mod judged;
mod kubernetes;
mod load;
mod main_job;
mod migrations;
mod restart;
mod rollout;
mod router;
mod templates;
mod the_lab;
mod train;
mod wire;
