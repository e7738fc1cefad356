//! Questions to a person. Without a terminal each fails and names the flag that answers.

use dialoguer::theme::{ColorfulTheme, SimpleTheme, Theme};

use super::Ui;
use crate::error::Failure;

/// Why a question could not be asked, as the error of exit code 2.
fn unasked(question: &str, flag: &str) -> anyhow::Error {
    Failure::usage("needs-answer", format!("{question}: needs an answer, and nobody can be asked here"))
        .hint(format!("answer with {flag}"))
        .into()
}

/// An answer; Ctrl-C at a question ends msctl as it does elsewhere, with the cursor back.
fn answered<T>(result: dialoguer::Result<T>) -> anyhow::Result<T> {
    result.map_err(|error| {
        let dialoguer::Error::IO(error) = error;
        if error.kind() != std::io::ErrorKind::Interrupted {
            return anyhow::Error::new(error).context("ask on the terminal");
        }
        let term = console::Term::stderr();
        let _ = term.show_cursor().and_then(|()| term.write_line(""));
        Failure::new(crate::error::Kind::Interrupted, "interrupted", "interrupted at the question").into()
    })
}

impl Ui {
    fn theme(&self) -> Box<dyn Theme> {
        if self.options.color { Box::new(ColorfulTheme::default()) } else { Box::new(SimpleTheme) }
    }

    /// A line of text, `check`ed before it is accepted.
    pub fn ask_text(
        &self,
        question: &str,
        default: Option<&str>,
        flag: &str,
        check: impl Fn(&str) -> Result<(), String>,
    ) -> anyhow::Result<String> {
        if !self.options.interactive {
            return Err(unasked(question, flag));
        }
        let theme = self.theme();
        let mut input = dialoguer::Input::<String>::with_theme(theme.as_ref()).with_prompt(question);
        if let Some(default) = default {
            input = input.default(default.to_owned());
        }
        answered(input.validate_with(|s: &String| check(s)).interact_text())
    }

    /// A text that is not echoed; `optional` lets it be empty.
    pub fn ask_secret(&self, question: &str, optional: bool, flag: &str) -> anyhow::Result<String> {
        if !self.options.interactive {
            return Err(unasked(question, flag));
        }
        let theme = self.theme();
        let password = dialoguer::Password::with_theme(theme.as_ref()).with_prompt(question);
        answered(password.allow_empty_password(optional).interact())
    }

    /// One of `choices`, by index.
    pub fn ask_choice(
        &self,
        question: &str,
        choices: &[String],
        default: usize,
        flag: &str,
    ) -> anyhow::Result<usize> {
        if !self.options.interactive {
            return Err(unasked(question, flag));
        }
        answered(
            dialoguer::Select::with_theme(self.theme().as_ref())
                .with_prompt(question)
                .items(choices)
                .default(default)
                .interact(),
        )
    }

    /// Yes or no.
    pub fn ask_yes(&self, question: &str, default: bool, flag: &str) -> anyhow::Result<bool> {
        if !self.options.interactive {
            return Err(unasked(question, flag));
        }
        answered(
            dialoguer::Confirm::with_theme(self.theme().as_ref())
                .with_prompt(question)
                .default(default)
                .interact(),
        )
    }
}
