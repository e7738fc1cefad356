//! Reads both slots' newest log lines, and says which only the candidate wrote.

use super::{Diverging, diverging};
use crate::platform::{LogLine, LogQuery, Platform};
use crate::rollout::Slot;

/// Pods of a slot, and lines of each.
const PODS: usize = 5;
const LINES: i64 = 400;

/// None where the candidate's log cannot be read.
pub async fn compare(platform: &dyn Platform, candidate: Slot) -> Option<Diverging> {
    let (new, old) = tokio::join!(read(platform, candidate), read(platform, candidate.other()));
    Some(diverging(&new?, &old.unwrap_or_default()))
}

async fn read(platform: &dyn Platform, slot: Slot) -> Option<Vec<String>> {
    let query = LogQuery { tail: Some(LINES), slot: Some(slot), sample: Some(PODS), ..LogQuery::default() };
    let (to, mut from) = tokio::sync::mpsc::channel::<LogLine>(256);
    let mut lines = Vec::new();
    let taken = async {
        while let Some(line) = from.recv().await {
            // A sender that does not keep to the sample is not waited for.
            if lines.len() >= PODS * LINES as usize {
                break;
            }
            lines.push(line.line);
        }
    };
    // How long it may take is the keeper's to say.
    match tokio::join!(platform.logs(&query, to), taken).0 {
        Ok(()) => Some(lines),
        Err(_) => (!lines.is_empty()).then_some(lines),
    }
}
