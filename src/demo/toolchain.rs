//! Which template this machine can build.

use std::path::PathBuf;

use crate::error::Failure;
use crate::settings::Env;

/// A template and the program that builds it.
pub struct Chosen {
    pub template: String,
    tool: &'static str,
    cold: &'static str,
}

const KNOWN: [(&str, &str, &str); 3] = [
    ("go", "go", "half a minute the first time, for its modules; seconds later"),
    ("python-fastapi", "python3", "half a minute, for its packages"),
    ("rust-axum", "cargo", "three to five minutes the first time"),
];

impl Chosen {
    pub fn announcement(&self) -> String {
        format!(
            "Found {}: the tour uses the template {}. Building takes {}.",
            self.tool, self.template, self.cold
        )
    }
}

/// The asked-for template, or the first whose tool is on PATH.
pub fn choose(env: &Env, asked: Option<&str>) -> anyhow::Result<Chosen> {
    let present = |tool: &str| {
        let path = env.os("PATH").unwrap_or_default();
        std::env::split_paths(path).map(|p: PathBuf| p.join(tool)).any(|p| p.is_file())
    };
    let of = |(template, tool, cold): (&str, &'static str, &'static str)| Chosen {
        template: template.to_owned(),
        tool,
        cold,
    };
    if let Some(asked) = asked {
        let known = KNOWN.into_iter().find(|(template, ..)| *template == asked).ok_or_else(|| {
            Failure::usage("unknown-template", format!("the tour knows no template {asked:?}"))
                .hint("it knows go, python-fastapi and rust-axum")
        })?;
        if !present(known.1) {
            return Err(missing(&format!("the template {asked} needs {} on PATH", known.1)));
        }
        return Ok(of(known));
    }
    KNOWN
        .into_iter()
        .find(|(_, tool, _)| present(tool))
        .map(of)
        .ok_or_else(|| missing("the tour builds a small service, and finds no toolchain on PATH"))
}

fn missing(message: &str) -> anyhow::Error {
    Failure::failed("no-toolchain", message).hint("install Go 1.26, Python 3.11 or Rust 1.95").into()
}
