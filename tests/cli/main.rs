//! The binary's surface: a real run with the environment cleared; status, stdout and stderr together.

mod run;
mod usage;
