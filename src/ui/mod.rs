//! The one gate to the terminal: events and progress go to stderr (the story), views to stdout (the answer).
//! Nothing else in the house prints. Formats: text, one JSON document, or one JSON event a line.

mod live;
mod progress;
pub mod prompt;

use std::io::{IsTerminal, Write};
use std::sync::{Arc, Mutex};

use serde::Serialize;
use serde_json::{Value, json};

pub use live::{Canvas, Live};
pub use progress::Task;

use crate::context::Clock;
use crate::error;

/// `-o`: how answers (and with ndjson, events) are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum, serde::Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    #[default]
    Text,
    Json,
    Ndjson,
}

/// The answer of a command: one document for scripts, one text for people.
pub trait View: Serialize {
    /// `msctl.dev/COMMAND/v1`.
    fn schema(&self) -> &'static str;
    /// Whole lines, styled only through `paint`.
    fn human(&self, paint: &Paint) -> String;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Shown with `-v` only.
    Detail,
    /// The story; not shown with `-q`.
    Info,
    Warning,
}

/// Something that happened. Rooms define their own event types; ndjson carries `kind` and the serialized fields.
pub trait Event {
    /// Stable, kebab-case.
    fn kind(&self) -> &'static str;
    fn level(&self) -> Level {
        Level::Info
    }
    /// One line for people; None when people need not see it.
    fn line(&self, paint: &Paint) -> Option<String>;
    /// An object; its members stand beside `schema`, `type` and `time`.
    fn data(&self) -> Value;
}

/// A remark without a type of its own.
pub struct Note {
    pub level: Level,
    pub text: String,
}

impl Event for Note {
    fn kind(&self) -> &'static str {
        if self.level == Level::Warning { "warning" } else { "note" }
    }
    fn level(&self) -> Level {
        self.level
    }
    fn line(&self, paint: &Paint) -> Option<String> {
        Some(if self.level == Level::Warning {
            format!("{} {}", paint.yellow("warning:"), self.text)
        } else {
            self.text.clone()
        })
    }
    fn data(&self) -> Value {
        json!({ "message": self.text })
    }
}

/// Colours, or none of them.
#[derive(Debug, Clone, Copy)]
pub struct Paint {
    pub color: bool,
    /// Columns of the terminal.
    pub width: usize,
}

macro_rules! colours {
    ($($name:ident $code:literal),*) => { $(pub fn $name(&self, text: impl std::fmt::Display) -> String {
        if self.color { format!(concat!("\x1b[", $code, "m{}\x1b[0m"), text) } else { text.to_string() }
    })* };
}

impl Paint {
    /// `line` cut to the terminal's width, colours kept whole.
    pub fn fit(&self, line: &str) -> String {
        console::truncate_str(line, self.width, "…").into_owned()
    }

    pub const PLAIN: Paint = Paint { color: false, width: 100 };
    colours!(bold "1", dim "2", red "31", green "32", yellow "33", blue "34", magenta "35", cyan "36");
}

/// What the terminal is and what the user asked of it; resolved by `settings`.
#[derive(Debug, Clone)]
pub struct Options {
    pub format: Format,
    /// Colours on stdout and stderr.
    pub color: bool,
    /// 0 quiet, 1 normal, 2 and more verbose.
    pub verbosity: u8,
    /// stderr is a terminal that may be redrawn.
    pub animate: bool,
    /// Prompts may be asked.
    pub interactive: bool,
    pub width: usize,
}

#[derive(Clone)]
pub struct Ui {
    pub options: Options,
    clock: Arc<dyn Clock>,
    bars: indicatif::MultiProgress,
    out: Arc<Mutex<()>>,
    region: Arc<Mutex<live::Region>>,
}

impl Ui {
    pub fn new(options: Options, clock: Arc<dyn Clock>) -> Self {
        let target = if options.animate {
            indicatif::ProgressDrawTarget::stderr_with_hz(12)
        } else {
            indicatif::ProgressDrawTarget::hidden()
        };
        let region = live::Region::new(Box::new(live::Stderr), options.color);
        Ui {
            options,
            clock,
            bars: indicatif::MultiProgress::with_draw_target(target),
            out: Arc::default(),
            region: Arc::new(Mutex::new(region)),
        }
    }

    pub fn paint(&self) -> Paint {
        Paint { color: self.options.color, width: self.options.width }
    }

    pub fn note(&self, text: impl Into<String>) {
        self.emit(&Note { level: Level::Info, text: text.into() });
    }
    pub fn detail(&self, text: impl Into<String>) {
        self.emit(&Note { level: Level::Detail, text: text.into() });
    }
    pub fn warn(&self, text: impl Into<String>) {
        self.emit(&Note { level: Level::Warning, text: text.into() });
    }

    pub fn emit(&self, event: &dyn Event) {
        if self.options.format == Format::Ndjson {
            let mut line = json!({
                "schema": "msctl.dev/event/v1", "type": event.kind(), "time": self.clock.now().to_string(),
            });
            if let (Value::Object(line), Value::Object(data)) = (&mut line, event.data()) {
                line.extend(data);
            }
            return self.stdout(&format!("{line}\n"));
        }
        let wanted = match event.level() {
            Level::Detail => self.options.verbosity >= 2,
            Level::Info => self.options.verbosity >= 1,
            Level::Warning => true,
        };
        if wanted && let Some(line) = event.line(&self.paint()) {
            self.stderr(&line);
        }
    }

    /// Prints a command's answer, in the asked format.
    pub fn show(&self, view: &impl View) -> anyhow::Result<()> {
        let mut document = serde_json::Map::new();
        document.insert("schema".into(), view.schema().into());
        match serde_json::to_value(view)? {
            Value::Object(members) => document.extend(members),
            other => {
                document.insert("result".into(), other);
            }
        }
        match self.options.format {
            Format::Text => {
                let text = view.human(&self.paint());
                if !text.is_empty() {
                    self.stdout(&format!("{}\n", text.trim_end_matches('\n')));
                }
            }
            Format::Json => self.stdout(&format!("{}\n", serde_json::to_string_pretty(&document)?)),
            Format::Ndjson => self.last("result", Value::Object(document)),
        }
        Ok(())
    }

    fn last(&self, kind: &str, value: Value) {
        let line = json!({
            "schema": "msctl.dev/event/v1", "type": kind, "time": self.clock.now().to_string(), kind: value,
        });
        self.stdout(&format!("{line}\n"));
    }

    /// Text or bytes that are the answer as they are: completions, logs, a remote command's output.
    pub fn raw(&self, bytes: &[u8]) {
        self.above(|| {
            let mut out = std::io::stdout().lock();
            // A closed pipe is the reader's choice, not an error.
            let _ = out.write_all(bytes).and_then(|()| out.flush());
        });
    }

    fn stdout(&self, text: &str) {
        self.raw(text.as_bytes());
    }

    /// Text for stderr as it is: what clap already rendered.
    pub fn raw_stderr(&self, text: &str) {
        self.stderr(text.trim_end_matches('\n'));
    }

    fn stderr(&self, line: &str) {
        self.above(|| {
            let _ = writeln!(std::io::stderr().lock(), "{line}");
        });
    }

    /// Writes above all that is redrawn.
    fn above(&self, write: impl FnOnce()) {
        let _guard = self.out.lock();
        live::lock(&self.region).above(|| self.bars.suspend(write));
    }

    /// Renders an error: the document on stdout for scripts, text on stderr for people.
    pub fn error(&self, error: &anyhow::Error) {
        let report = error::report(error);
        match self.options.format {
            Format::Json => {
                let document = json!({ "schema": "msctl.dev/error/v1", "error": report });
                self.stdout(&format!("{}\n", serde_json::to_string_pretty(&document).unwrap_or_default()));
            }
            Format::Ndjson => self.last("error", serde_json::to_value(&report).unwrap_or_default()),
            Format::Text => {
                let paint = self.paint();
                let mut text = format!("{} {}", paint.red("error:"), report.message);
                for cause in &report.causes {
                    text += &format!("\n  {} {}", paint.dim("because:"), cause.replace('\n', "\n    "));
                }
                for hint in &report.hints {
                    text += &format!("\n  {} {}", paint.cyan("hint:"), hint.replace('\n', "\n    "));
                }
                self.stderr(&text);
            }
        }
    }

    /// Progress on long work: a bar or spinner on a terminal, a line at start and end elsewhere.
    pub fn task(&self, label: impl Into<String>) -> Task {
        Task::start(self.clone(), label.into())
    }

    /// A region redrawn in place (the live rollout view); None where the terminal cannot.
    pub fn live(&self) -> Option<Live> {
        (self.options.animate && self.options.format == Format::Text).then(|| Live::new(self.region.clone()))
    }

    pub(super) fn bars(&self) -> &indicatif::MultiProgress {
        &self.bars
    }
}

/// Whether stdin and stderr are terminals: what prompting needs.
pub fn on_terminal() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// Whether stderr is a terminal, and its width.
pub fn stderr_terminal() -> (bool, usize) {
    let term = console::Term::stderr();
    (term.is_term(), usize::from(term.size().1).clamp(40, 240))
}
