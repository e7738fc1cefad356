//! What a build says while it runs: steps as events, the current one on the task's line, the tail of each step's log.

use std::collections::{BTreeMap, VecDeque};

use bollard::moby::buildkit::v1::{StatusResponse, Vertex};
use serde_json::{Value, json};

use crate::ui::{Event, Level, Paint, Task, Ui};

/// Lines of a failed step that are shown.
const TAIL: usize = 20;

/// A step of a Dockerfile that ended.
struct Step<'a> {
    service: &'a str,
    name: &'a str,
    outcome: &'static str,
    seconds: f64,
}

impl Event for Step<'_> {
    fn kind(&self) -> &'static str {
        "build-step"
    }
    fn line(&self, paint: &Paint) -> Option<String> {
        let how = match self.outcome {
            "done" => format!("{:.1} s", self.seconds),
            other => other.to_owned(),
        };
        Some(format!("  {} {}", self.name, paint.dim(how)))
    }
    fn data(&self) -> Value {
        json!({ "service": self.service, "step": self.name, "outcome": self.outcome, "seconds": self.seconds })
    }
}

/// A line that a step printed.
struct Log<'a> {
    service: &'a str,
    step: &'a str,
    text: &'a str,
}

impl Event for Log<'_> {
    fn kind(&self) -> &'static str {
        "build-log"
    }
    fn level(&self) -> Level {
        Level::Detail
    }
    fn line(&self, paint: &Paint) -> Option<String> {
        Some(format!("    {}", paint.dim(self.text)))
    }
    fn data(&self) -> Value {
        json!({ "service": self.service, "step": self.step, "message": self.text })
    }
}

#[derive(Default)]
struct Seen {
    name: String,
    started: Option<f64>,
    ended: bool,
    tail: VecDeque<String>,
    partial: Vec<u8>,
}

/// Follows one build.
pub struct Progress<'a> {
    ui: &'a Ui,
    task: &'a Task,
    service: &'a str,
    steps: BTreeMap<String, Seen>,
    /// The failed step's name, error and last lines.
    failed: Option<(String, String, Vec<String>)>,
    /// Lines of the classic builder, which has no steps of its own.
    classic: VecDeque<String>,
    current: String,
}

impl<'a> Progress<'a> {
    pub fn new(ui: &'a Ui, task: &'a Task, service: &'a str) -> Self {
        Progress {
            ui,
            task,
            service,
            steps: BTreeMap::new(),
            failed: None,
            classic: VecDeque::new(),
            current: String::new(),
        }
    }

    /// BuildKit's account of what happened since the last one.
    pub fn status(&mut self, status: &StatusResponse) {
        for log in &status.logs {
            self.log(&log.vertex, &log.msg);
        }
        for vertex in &status.vertexes {
            self.vertex(vertex);
        }
        for moved in &status.statuses {
            let step = self.steps.get(&moved.vertex);
            if let Some(step) = step.filter(|s| s.started.is_some() && !s.ended && moved.total > 0) {
                self.task.message(format!(
                    "{} {}/{}",
                    step.name,
                    megabytes(moved.current),
                    megabytes(moved.total)
                ));
            }
        }
    }

    fn vertex(&mut self, vertex: &Vertex) {
        let step = self.steps.entry(vertex.digest.clone()).or_default();
        step.name = one_line(&vertex.name);
        if step.ended {
            return;
        }
        let internal = vertex.name.starts_with("[internal]");
        if let Some(started) = &vertex.started {
            step.started = Some(started.seconds as f64 + f64::from(started.nanos) / 1e9);
            self.task.message(step.name.clone());
        }
        if !vertex.error.is_empty() {
            step.ended = true;
            // When one step fails the others are cancelled; only the first is the cause.
            if self.failed.is_none() && !vertex.error.contains("context canceled") {
                let lines = step.tail.iter().cloned().collect();
                self.failed = Some((step.name.clone(), vertex.error.clone(), lines));
            }
            return;
        }
        let Some(ended) = &vertex.completed else { return };
        step.ended = true;
        let ended = ended.seconds as f64 + f64::from(ended.nanos) / 1e9;
        let seconds = step.started.map_or(0.0, |s| (ended - s).max(0.0));
        if !internal && !self.ui.options.animate {
            let outcome = if vertex.cached { "cached" } else { "done" };
            self.ui.emit(&Step { service: self.service, name: &step.name, outcome, seconds });
        }
    }

    fn log(&mut self, vertex: &str, bytes: &[u8]) {
        let step = self.steps.entry(vertex.to_owned()).or_default();
        step.partial.extend_from_slice(bytes);
        while let Some(end) = step.partial.iter().position(|b| *b == b'\n') {
            let line: Vec<u8> = step.partial.drain(..=end).collect();
            let text = printable(&line);
            if text.is_empty() {
                continue;
            }
            self.ui.emit(&Log { service: self.service, step: &step.name, text: &text });
            if step.tail.len() == TAIL {
                step.tail.pop_front();
            }
            step.tail.push_back(text);
        }
    }

    /// Text of the classic builder: `Step 3/7 : RUN …`, then that step's output.
    pub fn stream(&mut self, text: &str) {
        for line in text.lines().map(|l| printable(l.as_bytes())).filter(|l| !l.is_empty()) {
            if line.starts_with("Step ") {
                self.task.message(line.clone());
                self.current.clone_from(&line);
                self.classic.clear();
                if !self.ui.options.animate {
                    self.ui.emit(&Step {
                        service: self.service,
                        name: &line,
                        outcome: "started",
                        seconds: 0.0,
                    });
                }
                continue;
            }
            self.ui.emit(&Log { service: self.service, step: &self.current, text: &line });
            if self.classic.len() == TAIL {
                self.classic.pop_front();
            }
            self.classic.push_back(line);
        }
    }

    /// The step that failed, its error and its last lines.
    pub fn failure(self) -> Option<(String, String, Vec<String>)> {
        self.failed.or_else(|| {
            (!self.current.is_empty())
                .then(|| (self.current, String::new(), self.classic.into_iter().collect()))
        })
    }
}

fn megabytes(bytes: i64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

/// A step's name without line breaks and runs of blanks.
fn one_line(name: &str) -> String {
    printable(name.replace(['\n', '\r'], " ").as_bytes()).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A log line without carriage returns and escape sequences: only what would stay on a screen.
fn printable(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    let text = text.trim_end_matches(['\n', '\r']);
    let text = text.rsplit('\r').next().unwrap_or(text);
    console::strip_ansi_codes(text)
        .chars()
        .filter(|c| !c.is_control() || *c == '\t')
        .collect::<String>()
        .trim_end()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_would_stay_on_a_screen_is_shown() {
        assert_eq!(printable(b"10%\r50%\r\x1b[32mdone\x1b[0m\r\n"), "done");
        assert_eq!(printable(b"a\tb\x07  \n"), "a\tb");
        assert_eq!(printable(b"\xff\n"), "\u{fffd}");
        assert_eq!(one_line("[2/3] RUN a     &&\n    b"), "[2/3] RUN a && b");
    }
}
