//! Bars and spinners; all share one draw target, so that lines never garble them.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::{Event, Level, Paint, Ui};

/// A piece of long work. Dropped without [`Task::done`] it leaves no trace but its start.
pub struct Task {
    ui: Ui,
    label: String,
    bar: ProgressBar,
    started: Instant,
}

impl Task {
    pub(super) fn start(ui: Ui, label: String) -> Self {
        let bar = ui.bars().add(ProgressBar::new_spinner());
        bar.set_style(style("{spinner:.cyan} {prefix} {wide_msg:.dim} {elapsed:.dim}"));
        bar.set_prefix(label.clone());
        if ui.options.animate {
            bar.enable_steady_tick(Duration::from_millis(120));
        } else {
            ui.emit(&Progress {
                kind: "task-started",
                label: &label,
                text: format!("{label} …"),
                seconds: 0.0,
            });
        }
        Task { ui, label, bar, started: Instant::now() }
    }

    /// What the work is at now; seen on a terminal, and with `-v` elsewhere.
    pub fn message(&self, text: impl Into<String>) {
        let text = text.into();
        if !self.ui.options.animate {
            self.ui.detail(format!("{}: {text}", self.label));
        }
        self.bar.set_message(text);
    }

    /// A step of the work that people wait for: a line where there is no spinner.
    pub fn say(&self, text: impl Into<String>) {
        let text = text.into();
        if !self.ui.options.animate {
            let seconds = self.started.elapsed().as_secs_f64();
            let line = format!("{}: {text}", self.label);
            self.ui.emit(&Progress { kind: "task-progress", label: &self.label, text: line, seconds });
        }
        self.bar.set_message(text);
    }

    /// Progress in bytes; turns the spinner into a bar when the total is known.
    pub fn bytes(&self, done: u64, total: Option<u64>) {
        if let Some(total) = total
            && self.bar.length() != Some(total)
        {
            self.bar.set_style(style(
                "{spinner:.cyan} {prefix} {bar:24.cyan/dim} {bytes}/{total_bytes} {wide_msg:.dim} {elapsed:.dim}",
            ));
            self.bar.set_length(total);
        }
        self.bar.set_position(done);
    }

    /// Ends with one line: the label, the outcome, the time it took.
    pub fn done(self, outcome: impl Into<String>) {
        self.bar.finish_and_clear();
        let seconds = self.started.elapsed().as_secs_f64();
        let outcome = outcome.into();
        let text = format!("{} {outcome} ({seconds:.1} s)", self.label);
        self.ui.emit(&Progress { kind: "task-done", label: &self.label, text, seconds });
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

struct Progress<'a> {
    kind: &'static str,
    label: &'a str,
    text: String,
    seconds: f64,
}

impl Event for Progress<'_> {
    fn kind(&self) -> &'static str {
        self.kind
    }
    fn level(&self) -> Level {
        Level::Info
    }
    fn line(&self, paint: &Paint) -> Option<String> {
        Some(if self.kind == "task-done" {
            format!("{} {}", paint.green("✓"), self.text)
        } else {
            self.text.clone()
        })
    }
    fn data(&self) -> Value {
        json!({ "task": self.label, "message": self.text, "seconds": self.seconds })
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}
