//! `template list`, `show`, `lint` and `schema`.

use serde::Serialize;
use serde_json::Value;

use crate::cli;
use crate::context::Ctx;
use crate::scaffold::{self, Lint, Origin, Renderer, Source};
use crate::ui::{Paint, View};

pub fn run(ctx: &Ctx, args: &cli::Template) -> anyhow::Result<u8> {
    match args {
        cli::Template::List => {
            let templates = scaffold::embedded()?.iter().map(Row::of).collect();
            ctx.ui.show(&List { templates })?;
            Ok(0)
        }
        cli::Template::Show { template } => {
            let source = open(ctx, template)?;
            ctx.ui.show(&Shown::of(&source))?;
            Ok(0)
        }
        cli::Template::Schema => {
            let schema = serde_json::to_string_pretty(&scaffold::schema())?;
            ctx.ui.raw(format!("{schema}\n").as_bytes());
            Ok(0)
        }
        cli::Template::Lint { template } => {
            let source = open(ctx, template)?;
            let renderer = Renderer::new(&source)?;
            let linted = Linted { template: Row::of(&source), lint: scaffold::lint(&source, &renderer) };
            ctx.ui.show(&linted)?;
            Ok(u8::from(!linted.lint.passed()))
        }
    }
}

/// Opens what names a template, and says so where that takes a while.
pub fn open(ctx: &Ctx, name: &str) -> anyhow::Result<Source> {
    let here = &ctx.settings.directory;
    if !scaffold::is_remote(name, here) {
        return scaffold::open(name, here);
    }
    let task = ctx.ui.task("Fetch the template");
    let source = scaffold::open(name, here)?;
    task.done(format!("{} {}", source.template.name, source.template.version));
    Ok(source)
}

#[derive(Serialize)]
struct Row {
    name: String,
    version: String,
    description: String,
    digest: String,
    tools: Vec<String>,
    eol: Option<String>,
}

impl Row {
    fn of(source: &Source) -> Self {
        let template = &source.template;
        Row {
            name: template.name.clone(),
            version: template.version.clone(),
            description: template.description.clone(),
            digest: source.digest.clone(),
            tools: template.requires.tools.clone(),
            eol: template.eol.clone(),
        }
    }
}

#[derive(Serialize)]
struct List {
    templates: Vec<Row>,
}

impl View for List {
    fn schema(&self) -> &'static str {
        "msctl.dev/template-list/v1"
    }
    fn human(&self, paint: &Paint) -> String {
        let wide = self.templates.iter().map(|t| t.name.len()).max().unwrap_or(0);
        let rows = self.templates.iter().map(|t| {
            let name = paint.bold(format!("{:<wide$}", t.name));
            let ended = t
                .eol
                .as_ref()
                .map(|why| format!(" {}", paint.yellow(format!("({why})"))))
                .unwrap_or_default();
            format!("{name}  {:<8} {}{ended}\n", t.version, t.description)
        });
        rows.collect()
    }
}

#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    row: Row,
    source: String,
    licenses: Vec<String>,
    variables: Vec<Asked>,
    files: Vec<String>,
    provides: Option<scaffold::Provides>,
}

#[derive(Serialize)]
struct Asked {
    name: String,
    #[serde(rename = "type")]
    kind: scaffold::Kind,
    prompt: Option<String>,
    default: Option<Value>,
    choices: Vec<String>,
    pattern: Option<String>,
    when: Option<String>,
    secret: bool,
}

impl Shown {
    fn of(source: &Source) -> Self {
        let template = &source.template;
        Shown {
            row: Row::of(source),
            source: match &source.origin {
                Origin::Embedded => "embedded".into(),
                Origin::Folder(folder) => folder.display().to_string(),
                Origin::Git { place, commit } => format!("{place} at {commit}"),
            },
            licenses: template.licenses.iter().map(|l| l.spdx.clone()).collect(),
            variables: template.variables.iter().cloned().map(Asked::of).collect(),
            files: source.files.keys().cloned().collect(),
            provides: template.provides.clone(),
        }
    }
}

impl Asked {
    fn of(v: scaffold::Variable) -> Self {
        Asked {
            name: v.name,
            kind: v.kind,
            prompt: v.prompt,
            default: v.default,
            choices: v.choices,
            pattern: v.pattern,
            when: v.when,
            secret: v.secret,
        }
    }
}

impl View for Shown {
    fn schema(&self) -> &'static str {
        "msctl.dev/template-show/v1"
    }
    fn human(&self, paint: &Paint) -> String {
        let Row { name, version, description, digest, tools, eol } = &self.row;
        let mut text = format!("{} {version}: {description}\n", paint.bold(name));
        if let Some(eol) = eol {
            text += &format!("{}\n", paint.yellow(eol));
        }
        text += &paint.dim(format!("{}, {digest}", self.source));
        text += &format!("\nlicence {}, needs {}\n\nQuestions\n", self.licenses.join(", "), tools.join(", "));
        for v in &self.variables {
            let default = match &v.default {
                None => "no default".to_owned(),
                Some(Value::String(default)) => format!("default {default:?}"),
                Some(default) => format!("default {default}"),
            };
            let choices = if v.choices.is_empty() {
                String::new()
            } else {
                format!(", one of {}", v.choices.join(", "))
            };
            let when = v.when.as_ref().map(|w| format!(", when {w}")).unwrap_or_default();
            let prompt = v.prompt.as_deref().unwrap_or_default();
            text += &format!(
                "  {:<14} {prompt} {}\n",
                paint.bold(&v.name),
                paint.dim(format!("({default}{choices}{when})"))
            );
        }
        text += "\nFiles\n";
        for file in &self.files {
            text += &format!("  {file}\n");
        }
        text
    }
}

#[derive(Serialize)]
struct Linted {
    template: Row,
    #[serde(flatten)]
    lint: Lint,
}

impl View for Linted {
    fn schema(&self) -> &'static str {
        "msctl.dev/template-lint/v1"
    }
    fn human(&self, paint: &Paint) -> String {
        let mut text = String::new();
        for finding in &self.lint.findings {
            let word = if finding.warning { paint.yellow("warning:") } else { paint.red("error:") };
            let place = finding.location.as_ref().map(|l| format!("{}:{}:{}: ", l.file, l.line, l.column));
            text += &format!("{word} {}{}\n", place.unwrap_or_default(), finding.message);
        }
        let (name, count) = (&self.template.name, self.lint.combinations);
        let errors = self.lint.findings.iter().filter(|f| !f.warning).count();
        match errors {
            0 => text + &format!("{} {name}: rendered with {count} sets of answers\n", paint.green("✓")),
            _ => text + &format!("{} {name}: {errors} mistakes, {count} sets of answers\n", paint.red("✗")),
        }
    }
}
