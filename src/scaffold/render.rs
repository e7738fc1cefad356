//! One Tera instance per template: its files, names and expressions, parsed together and rendered by id. Pure.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashSet};

use tera::{Context, ErrorKind, Tera};

use super::template::{Delimiters, Template};
use super::{filters, source::Source};
use crate::error::{Failure, Location};

/// Suffix of the files that are rendered; all others are copied byte for byte.
pub const SUFFIX: &str = ".tera";

/// How pieces of a template are called: also what an error in one of them points at.
pub mod id {
    pub fn default(variable: &str) -> String {
        format!("template.yaml: default of {variable}")
    }
    pub fn asked(variable: &str) -> String {
        format!("template.yaml: when of {variable}")
    }
    pub fn computed(name: &str) -> String {
        format!("template.yaml: computed {name}")
    }
    pub fn wanted(rule: usize) -> String {
        format!("template.yaml: when of files[{rule}]")
    }
    pub fn dest(rule: usize) -> String {
        format!("template.yaml: dest of files[{rule}]")
    }
    pub fn body(path: &str) -> String {
        format!("files/{path}")
    }
    pub fn path(path: &str) -> String {
        format!("the name of files/{path}")
    }
}

/// Renders the pieces of one template.
pub struct Renderer {
    tera: Tera,
    ids: BTreeSet<String>,
    label: String,
}

impl Renderer {
    /// Parses everything in `source` that holds expressions.
    ///
    /// # Errors
    /// Exit code 2 with file, line and column of the first mistake.
    pub fn new(source: &Source) -> anyhow::Result<Self> {
        let template = &source.template;
        let delimiters = template.delimiters.clone().unwrap_or_default();
        let mut pieces: Vec<(String, Cow<'_, str>)> = expressions(template, &delimiters);
        for (path, content) in &source.files {
            if path.contains(&delimiters.variable[0]) {
                pieces.push((id::path(path), path.trim_end_matches(SUFFIX).into()));
            }
            if path.ends_with(SUFFIX) {
                let text = std::str::from_utf8(content).map_err(|e| {
                    Failure::usage(
                        "invalid-template",
                        format!("{}: files/{path} is not UTF-8: {e}", source.label()),
                    )
                    .hint(format!("take {SUFFIX} off its name, so that it is copied as it is"))
                })?;
                pieces.push((id::body(path), text.into()));
            }
        }
        let mut tera = Tera::new();
        let [variable, block, comment] = [&delimiters.variable, &delimiters.block, &delimiters.comment];
        let own = |text: &String| Cow::Owned(text.clone());
        let set = tera.set_delimiters(tera::Delimiters {
            variable_start: own(&variable[0]),
            variable_end: own(&variable[1]),
            block_start: own(&block[0]),
            block_end: own(&block[1]),
            comment_start: own(&comment[0]),
            comment_end: own(&comment[1]),
        });
        let label = source.label();
        set.map_err(|e| {
            Failure::usage("invalid-template", format!("{label}: template.yaml: delimiters: {e}"))
        })?;
        tera.autoescape_on(Vec::<&'static str>::new());
        filters::register(&mut tera);
        let ids = pieces.iter().map(|(id, _)| id.clone()).collect();
        let parsed = tera.add_raw_templates(pieces);
        parsed.map_err(|e| explain(&label, "", &e))?;
        Ok(Renderer { tera, ids, label })
    }

    /// Whether there is a piece called `id`.
    pub fn has(&self, id: &str) -> bool {
        self.ids.contains(id)
    }

    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.ids.iter().map(String::as_str)
    }

    pub fn render(&self, id: &str, context: &Context) -> anyhow::Result<String> {
        self.tera.render(id, context).map_err(|e| explain(&self.label, id, &e).into())
    }

    /// Whether the condition `id` holds; a condition that is not there does.
    pub fn holds(&self, id: &str, context: &Context) -> anyhow::Result<bool> {
        Ok(!self.has(id) || !self.render(id, context)?.is_empty())
    }

    /// The variables that the piece `id` takes from outside.
    pub fn variables(&self, id: &str) -> HashSet<&str> {
        self.tera.get_template_variables(id).unwrap_or_default()
    }
}

fn expressions<'a>(template: &'a Template, delimiters: &Delimiters) -> Vec<(String, Cow<'a, str>)> {
    let [open, close] = &delimiters.block;
    let truth = |when: &str| Cow::Owned(format!("{open} if {when} {close}1{open} endif {close}"));
    let mut pieces = Vec::new();
    for variable in &template.variables {
        if let Some(when) = &variable.when {
            pieces.push((id::asked(&variable.name), truth(when)));
        }
        if let Some(default) = variable.default.as_ref().and_then(|d| d.as_str())
            && (default.contains(&delimiters.variable[0]) || default.contains(open))
        {
            pieces.push((id::default(&variable.name), default.into()));
        }
    }
    for computed in &template.computed {
        if let Some(when) = &computed.when {
            pieces.push((id::computed(&computed.name), truth(when)));
        } else if let Some(value) = &computed.value {
            pieces.push((id::computed(&computed.name), value.into()));
        }
    }
    for (index, rule) in template.files.iter().enumerate() {
        if let Some(when) = &rule.when {
            pieces.push((id::wanted(index), truth(when)));
        }
        if let Some(dest) = &rule.dest {
            pieces.push((id::dest(index), dest.into()));
        }
    }
    pieces
}

fn explain(label: &str, id: &str, error: &tera::Error) -> Failure {
    let place = |file: &str, line, column| Location { file: format!("{label}/{file}"), line, column };
    if let ErrorKind::SyntaxError(report) | ErrorKind::RenderingError(report) = error.kind() {
        let span = report.span();
        return Failure::usage("invalid-template", report.message()).at(place(
            report.filename(),
            span.start_line as u64,
            span.start_col as u64 + 1,
        ));
    }
    let text = error.to_string();
    if let Some((message, file, line, column)) = from_report(&text) {
        return Failure::usage("invalid-template", message).at(place(file, line, column));
    }
    let piece = if id.is_empty() { label.to_owned() } else { format!("{label}/{id}") };
    Failure::usage("invalid-template", format!("{piece}: {text}"))
}

/// Tera gives unknown filters, tests and functions as text only: "error: MESSAGE\n --> FILE:LINE:COLUMN\n…".
fn from_report(text: &str) -> Option<(&str, &str, u64, u64)> {
    let mut lines = text.lines();
    let message = lines.next()?.strip_prefix("error: ")?;
    let place = lines.next()?.trim_start().strip_prefix("--> ")?;
    let mut parts = place.rsplitn(3, ':');
    let column = parts.next()?.parse().ok()?;
    let line = parts.next()?.parse().ok()?;
    Some((message, parts.next()?, line, column))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::failure;
    use crate::scaffold::source::tests::source;

    fn render(body: &str, pairs: &[(&str, &str)]) -> anyhow::Result<String> {
        let renderer = Renderer::new(&source("", &[("a.txt.tera", body)]))?;
        let mut context = Context::new();
        for (key, value) in pairs {
            context.insert(key.to_string(), value);
        }
        renderer.render(&id::body("a.txt.tera"), &context)
    }

    #[test]
    fn others_delimiters_pass_untouched() {
        let body = "${{ github.sha }} {{ $labels.x }} {% raw %} {# c #} <a b={{c: 1}}/> @{ name }@ & <b>";
        let wanted = body.replace("@{ name }@", "o<&>");
        assert_eq!(render(body, &[("name", "o<&>")]).unwrap(), wanted);
    }

    #[test]
    fn statements_comments_and_raw() {
        let body =
            "@% if name == \"o\" -%@\nyes@% else %@no@% endif %@@# gone #@@% raw %@@{ name }@@% endraw %@";
        assert_eq!(render(body, &[("name", "o")]).unwrap(), "yes@{ name }@");
    }

    #[test]
    fn mistakes_have_a_place() {
        for (body, line, column) in [
            ("a\n  @{ nope }@\n", 2, 6),
            ("a\n@% if %@\n", 2, 7),
            ("@{ name | nope }@", 1, 11),
            ("a\n\n@{ name | snake", 3, 16),
        ] {
            let error = render(body, &[("name", "o")]).expect_err(body);
            let place =
                failure(&error).and_then(|f| f.location.clone()).unwrap_or_else(|| panic!("{error:#}"));
            assert!(place.file.ends_with("files/a.txt.tera"), "{place:?}");
            assert_eq!((place.line, place.column), (line, column), "{body:?}: {error:#}");
        }
    }
}
