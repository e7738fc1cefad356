//! From a template and answers to a folder: source → template → answers → plan (pure) → write, in one rename.
//! Only this room and `image/tag` import git2; nothing here prints or asks: commands do.

mod answers;
mod filters;
mod git;
mod language;
mod lint;
mod path;
mod plan;
mod render;
mod source;
mod state;
mod template;
mod write;

pub use answers::{Answers, Ask, Given, check, coerce};
pub use filters::sh;
pub use git::commit_all;
pub use lint::{Finding, Lint, lint};
pub use plan::{Plan, Planned, plan};
pub use render::Renderer;
pub use source::{Origin, Source, embedded, is_remote, open};
pub use state::State;
pub use template::{Kind, Owner, Provides, Template, Variable};
pub use write::{Stage, check_target};

/// What every template may use beside its own variables.
pub const BUILT_IN: [&str; 5] = ["name", "registry", "msctl_version", "year", "template_digest"];

/// The JSON Schema of template.yaml.
pub fn schema() -> serde_json::Value {
    let mut schema = schemars::schema_for!(Template).to_value();
    if let Some(object) = schema.as_object_mut() {
        object.insert("$id".into(), "https://msctl.dev/schema/v1/template.json".into());
        object.insert("title".into(), "template.yaml".into());
    }
    schema
}

/// Refuses a service's name that is no DNS label, or that the template's language reserves.
pub fn check_name(name: &str) -> anyhow::Result<()> {
    crate::service::check_name(name).map_err(|why| {
        let failure = crate::error::Failure::usage("invalid-name", why).object(name.to_owned());
        let near = filters::dns_label(name);
        match crate::service::check_name(&near) {
            Ok(()) => failure.hint(format!("{near:?} would do")),
            Err(_) => failure,
        }
        .into()
    })
}

/// Refuses a name that is a reserved word of one of the template's languages.
pub fn check_reserved(template: &Template, name: &str) -> anyhow::Result<()> {
    let word = filters::snake(name);
    match language::reserving(&template.requires.tools, &word) {
        None => Ok(()),
        Some(language) => Err(crate::error::Failure::usage(
            "reserved-name",
            format!(
                "{name:?} is a reserved word of {language}, which the template {} is written in",
                template.name
            ),
        )
        .object(name.to_owned())
        .hint(format!("{name}-service would do"))
        .into()),
    }
}
