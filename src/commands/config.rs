//! `config show` and `config schema`.

use serde::Serialize;
use serde_json::Value;

use crate::cli;
use crate::context::Ctx;
use crate::service;
use crate::settings::{Origin, Resolved, Target};
use crate::ui::{Paint, View};

#[derive(Serialize)]
struct Shown {
    target: Target,
    settings: Vec<Setting>,
    service: Option<Value>,
    #[serde(skip)]
    origin: bool,
}

#[derive(Serialize)]
struct Setting {
    name: &'static str,
    #[serde(flatten)]
    resolved: Resolved<Value>,
}

impl View for Shown {
    fn schema(&self) -> &'static str {
        "msctl.dev/config/v1"
    }
    fn human(&self, paint: &Paint) -> String {
        let mut text = String::new();
        for Setting { name, resolved } in &self.settings {
            let value = resolved.value.as_str().map_or_else(|| resolved.value.to_string(), str::to_owned);
            text += &format!("{:<14} {value}", paint.bold(name));
            if self.origin {
                text += &format!("  {}", paint.dim(describe(&resolved.origin)));
            }
            text.push('\n');
        }
        if let Some(service) = &self.service {
            text += &serde_yaml::to_string(service).unwrap_or_default();
        }
        text
    }
}

fn describe(origin: &Origin) -> String {
    match origin {
        Origin::Flag => "from the command line".into(),
        Origin::Variable(name) => format!("from {name}"),
        Origin::Environment(name) => format!("from environment {name} of msctl.yaml"),
        Origin::Service(file) | Origin::UserConfig(file) => format!("from {file}"),
        Origin::Default => "by default".into(),
    }
}

pub fn run(ctx: &Ctx, args: &cli::Config) -> anyhow::Result<u8> {
    match args {
        cli::Config::Schema => {
            let schema = serde_json::to_string_pretty(&service::schema())?;
            ctx.ui.raw(format!("{schema}\n").as_bytes());
        }
        cli::Config::Show { named, origin } => ctx.ui.show(&show(ctx, named, *origin)?)?,
    }
    Ok(0)
}

fn show(ctx: &Ctx, named: &cli::Named, origin: bool) -> anyhow::Result<Shown> {
    let settings = &ctx.settings;
    let found = match ctx.project() {
        Ok(project) => Some(project.member(named.service.as_deref())?.clone()),
        Err(_) if named.service.is_none() => None,
        Err(error) => return Err(error),
    };
    let target = settings.target(found.as_ref().map(|m| &m.service))?;
    let file = found.as_ref().map(|m| m.folder.join(service::FILE).display().to_string());
    let environment = settings.environment.as_ref().map(|e| e.origin.clone());
    let mut rows = vec![
        ("environment", target.environment.clone().into(), environment),
        ("registry", settings.registry.value.clone().into(), Some(settings.registry.origin.clone())),
    ];
    let from_environment = file.as_ref().map(|_| Origin::Environment(target.environment.clone()));
    for (name, value, given) in [
        ("namespace", &target.namespace, &settings.namespace),
        ("context", &target.context, &settings.context),
    ] {
        if let Some(value) = value {
            let origin = given.as_ref().map(|g| g.origin.clone()).or(from_environment.clone());
            rows.push((name, value.clone().into(), origin));
        }
    }
    let service = match &found {
        Some(member) => Some(serde_json::to_value(member.service.in_environment(&target.environment)?)?),
        None => None,
    };
    let settings = rows.into_iter().map(|(name, value, origin)| {
        let origin = origin.or_else(|| file.clone().map(Origin::Service)).unwrap_or(Origin::Default);
        Setting { name, resolved: Resolved { value, origin } }
    });
    Ok(Shown { target, settings: settings.collect(), service, origin })
}
