//! The processes' logs: files that the processes write themselves, so that they outlive the agent.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::Agent;
use crate::platform::local::places::Places;
use crate::rollout::Slot;

/// A log is cut at this size; one such piece is kept beside it.
const LIMIT: u64 = 16 * 1024 * 1024;
/// Logs of ended processes kept per service.
const KEPT: usize = 10;

/// What the client asks for.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Query {
    pub follow: bool,
    pub tail: Option<i64>,
    pub since_ms: Option<u64>,
    pub slot: Option<Slot>,
    pub previous: bool,
}

/// One line on the wire.
#[derive(Debug, Serialize, Deserialize)]
pub struct Line {
    pub pod: String,
    pub slot: Option<Slot>,
    pub line: String,
}

/// Where the log of a replica's previous run is.
pub fn previous(log: &Path) -> PathBuf {
    log.with_extension("previous.log")
}

/// The last `n` lines, of at most 64 KiB.
pub fn last_lines(log: &Path, n: usize) -> Vec<String> {
    let Ok(mut file) = File::open(log) else { return Vec::new() };
    let size = file.metadata().map(|m| m.len()).unwrap_or(0);
    let mut bytes = Vec::new();
    let start = size.saturating_sub(64 * 1024);
    if file.seek(SeekFrom::Start(start)).and_then(|_| file.read_to_end(&mut bytes)).is_err() {
        return Vec::new();
    }
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().filter(|l| !l.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(n)..].iter().map(|l| (*l).to_owned()).collect()
}

/// Cuts a log that grew too long. Processes append, so they go on at the new end.
pub fn limit(log: &Path) {
    if fs::metadata(log).is_ok_and(|m| m.len() > LIMIT)
        && fs::copy(log, previous(log)).is_ok()
        && let Ok(file) = fs::OpenOptions::new().write(true).open(log)
    {
        // What cannot be cut now is cut the next time.
        let _ = file.set_len(0);
    }
}

/// Removes the oldest logs of processes that are gone.
pub fn tidy(places: &Places, service: &str) {
    let mut files: Vec<(SystemTime, PathBuf)> = fs::read_dir(places.logs(service))
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|e| Some((e.metadata().ok()?.modified().ok()?, e.path())))
        .collect();
    files.sort();
    let surplus = files.len().saturating_sub(KEPT * 4);
    for (_, path) in files.into_iter().take(surplus) {
        // A log that stays is no harm.
        let _ = fs::remove_file(path);
    }
}

/// Sends lines of every replica that fits the query, following new ones, until the reader hangs up.
pub async fn stream(agent: Arc<Agent>, service: String, query: Query, lines: mpsc::Sender<Line>) {
    let mut tails: Vec<Tail> = Vec::new();
    let mut first = true;
    loop {
        for (name, slot) in replicas(&agent, &service, query.slot) {
            if tails.iter().all(|t| t.pod != name) {
                let log = agent.places.log(&service, &name);
                let log = if query.previous { previous(&log) } else { log };
                tails.push(Tail { pod: name, slot, log, at: 0, rest: Vec::new(), fresh: first });
            }
        }
        for tail in &mut tails {
            for line in tail.read(&query) {
                let line = Line { pod: tail.pod.clone(), slot: Some(tail.slot), line };
                if lines.send(line).await.is_err() {
                    return;
                }
            }
        }
        if !query.follow || lines.is_closed() {
            return;
        }
        first = false;
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
}

fn replicas(agent: &Agent, service: &str, slot: Option<Slot>) -> Vec<(String, Slot)> {
    let services = agent.lock();
    let Some(entry) = services.get(service) else { return Vec::new() };
    let wanted = entry.record.replicas.iter().filter(|r| slot.is_none_or(|s| s == r.slot));
    wanted.map(|r| (r.name.clone(), r.slot)).collect()
}

struct Tail {
    pod: String,
    slot: Slot,
    log: PathBuf,
    at: u64,
    rest: Vec<u8>,
    /// Was there when the reader came: `tail` and `since` apply.
    fresh: bool,
}

impl Tail {
    fn read(&mut self, query: &Query) -> Vec<String> {
        let Ok(mut file) = File::open(&self.log) else { return Vec::new() };
        let Ok(meta) = file.metadata() else { return Vec::new() };
        if meta.len() < self.at {
            (self.at, self.rest) = (0, Vec::new());
        }
        let mut bytes = std::mem::take(&mut self.rest);
        let read = file.seek(SeekFrom::Start(self.at)).and_then(|_| file.read_to_end(&mut bytes));
        self.at += read.unwrap_or(0) as u64;
        let whole = match bytes.iter().rposition(|b| *b == b'\n') {
            Some(end) => end + 1,
            None if query.follow => 0,
            None => bytes.len(),
        };
        self.rest = bytes.split_off(whole);
        let text = String::from_utf8_lossy(&bytes);
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        if std::mem::take(&mut self.fresh) {
            // Lines carry no time of their own; a log not written to since then has nothing younger.
            let age = meta.modified().ok().and_then(|t| t.elapsed().ok()).unwrap_or_default();
            if query.since_ms.is_some_and(|since| age > Duration::from_millis(since)) {
                lines.clear();
            }
            if let Some(tail) = query.tail.and_then(|n| usize::try_from(n).ok()) {
                lines.drain(..lines.len().saturating_sub(tail));
            }
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_tail_gives_whole_lines_once() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("a.log");
        fs::write(&log, "one\ntwo\nthr").unwrap();
        let query = Query { follow: true, tail: Some(1), ..Query::default() };
        let mut tail =
            Tail { pod: "a".into(), slot: Slot::Blue, log: log.clone(), at: 0, rest: vec![], fresh: true };
        assert_eq!(tail.read(&query), ["two"]);
        let mut file = fs::OpenOptions::new().append(true).open(&log).unwrap();
        file.write_all(b"ee\nfour\n").unwrap();
        assert_eq!(tail.read(&query), ["three", "four"]);
        fs::write(&log, "new\n").unwrap();
        assert_eq!(tail.read(&query), ["new"]);
    }

    #[test]
    fn last_lines_skip_empty_ones() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("a.log");
        fs::write(&log, "one\n\ntwo\n\n").unwrap();
        assert_eq!(last_lines(&log, 1), ["two"]);
        assert_eq!(last_lines(&log, 9), ["one", "two"]);
        assert!(last_lines(&dir.path().join("none"), 9).is_empty());
    }
}
