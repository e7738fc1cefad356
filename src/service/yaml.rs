//! YAML into a type, with the place and a suggestion when it does not fit.

use std::path::Path;

use serde::de::DeserializeOwned;

use crate::error::{Failure, Location, did_you_mean};

/// Parses `text` of `file`. CRLF and a byte order mark are accepted.
///
/// # Errors
/// Exit code 2 with line, column and, for an unknown key, the key that was probably meant.
pub fn parse<T: DeserializeOwned>(text: &str, file: &Path) -> anyhow::Result<T> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    // `on`, `yes` and `y` are texts here, as in YAML 1.2: a variable LOG: on must not become "true".
    let options = serde_yaml::options! { strict_booleans: true };
    serde_yaml::from_str_with_options(text, options).map_err(|error| explain(&error, file).into())
}

fn explain(error: &serde_yaml::Error, file: &Path) -> Failure {
    let place = error.location();
    let plain = error.without_snippet().to_string();
    let mut failure = Failure::usage("invalid-file", strip_place(&plain));
    if let Some((word, known)) = unknown_key(&plain)
        && let Some(near) = did_you_mean(&word, known.iter().map(String::as_str))
    {
        failure = failure.hint(format!("did you mean {near:?}?"));
    }
    if let Some(place) = place {
        failure = failure.at(Location {
            file: file.display().to_string(),
            line: place.line(),
            column: place.column(),
        });
    } else {
        failure = failure.object(file.display().to_string());
        failure.message = format!("{}: {}", file.display(), failure.message);
    }
    failure
}

/// The parser's text without the line and column, which stand in front of ours.
fn strip_place(text: &str) -> String {
    let text = text.lines().next().unwrap_or(text);
    let text = text.strip_prefix("error: ").unwrap_or(text);
    match text.strip_prefix("line ").and_then(|t| t.split_once(": ")) {
        Some((_, rest)) => rest.to_owned(),
        None => text.split(" at line ").next().unwrap_or(text).to_owned(),
    }
}

/// The word and the known words of "unknown field `x`, expected one of a, `b`".
fn unknown_key(text: &str) -> Option<(String, Vec<String>)> {
    let rest = text.split_once("unknown field ").or_else(|| text.split_once("unknown variant "))?.1;
    let (word, known) = rest.split_once(", expected ").unwrap_or((rest, ""));
    let known = known.lines().next().unwrap_or_default().split(" at line ").next().unwrap_or_default();
    let bare =
        |w: &str| w.trim().trim_start_matches("one of ").trim_matches(|c| "`\"'".contains(c)).to_owned();
    Some((bare(word), known.split([',']).flat_map(|w| w.split(" or ")).map(bare).collect()))
}
