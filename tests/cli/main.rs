//! The binary's surface: a real run with the environment cleared; status, stdout and stderr together.

mod generated;
mod install;
mod run;
mod structure;
mod usage;
