//! What a build starts from: the folder read and hashed, git asked, flags and msctl.yaml joined. No engine, no registry.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;

use super::bases;
use super::context::{self, Context};
use super::dockerignore::Ignore;
use super::input::Input;
use super::reference::Reference;
use super::session::SecretValues;
use super::stats::Stats;
use super::tag::{self, Facts};
use super::{BuildOptions, Built, git, pin};
use crate::context::Ctx;
use crate::error::Failure;
use crate::service::{BuiltImage, Image, Service};

/// Everything that is known before an engine or a registry is asked.
pub struct Plan {
    pub image: Reference,
    pub context: Arc<Context>,
    pub dockerfile: String,
    pub dockerfile_text: Vec<u8>,
    pub ignore_text: Option<Vec<u8>>,
    /// Given by msctl.yaml and flags.
    pub arguments: BTreeMap<String, String>,
    pub target: Option<String>,
    pub facts: Option<Facts>,
    pub tag: String,
    pub tags: Vec<String>,
    pub input: String,
    pub warnings: Vec<String>,
}

impl Plan {
    pub fn built(&self, service: &Service, options: &BuildOptions) -> Built {
        Built {
            service: service.service.clone(),
            reference: format!("{}:{}", self.image.repository, self.tag),
            digest: None,
            pinned: None,
            image_id: None,
            tag: self.tag.clone(),
            tags: self.tags.clone(),
            input: self.input.clone(),
            unchanged: false,
            pushed: options.push,
            seconds: 0.0,
            files: self.context.files,
            bytes: self.context.bytes,
            bases: bases::bases(&String::from_utf8_lossy(&self.dockerfile_text), &self.arguments),
            warnings: self.warnings.clone(),
        }
    }

    pub fn input_tag(&self) -> String {
        format!("in-{}", self.input)
    }

    /// Every tag the image gets, the first is its name.
    pub fn all_tags(&self) -> impl Iterator<Item = &String> {
        std::iter::once(&self.tag).chain(&self.tags)
    }
}

pub async fn plan(
    ctx: &Ctx,
    folder: &Path,
    service: &Service,
    options: &BuildOptions,
) -> anyhow::Result<Plan> {
    let image = description(ctx, service)?;
    let repository = Reference::parse(&image.repository)?;
    if repository.tag.is_some() || repository.digest.is_some() {
        let message = format!("image.repository is {:?}: a repository has no tag", image.repository);
        return Err(Failure::usage("bad-repository", message)
            .hint("the tag comes from git; or give --tag")
            .into());
    }
    if let Some(bad) = options.tags.iter().find(|t| !tag::is_legal(t)) {
        let message = format!("--tag {bad:?}: a tag holds up to 128 letters, digits, '_', '.' and '-'");
        return Err(Failure::usage("bad-tag", message).into());
    }
    let root = folder.join(&image.context);
    let root = root.canonicalize().map_err(|e| {
        Failure::usage("no-context", format!("the build context {} cannot be opened", root.display()))
            .source(e)
    })?;
    let arguments = arguments(ctx, &image, options)?;
    if options.pin {
        pin::pin(ctx, &dockerfile_path(folder, &root, &image.dockerfile)?, &arguments).await?;
    }
    let (dockerfile, dockerfile_text) = dockerfile(folder, &root, &image.dockerfile)?;
    let (ignore, ignore_text) = ignore(&root, &dockerfile)?;
    let stats_folder = ctx.settings.state_folder()?.join("build");
    let cap = ctx.settings.env.get("SOURCE_DATE_EPOCH").and_then(|v| v.parse().ok());
    let folder = folder.to_owned();
    let git = tokio::task::spawn_blocking(move || git::facts(&folder));
    let walk = tokio::task::spawn_blocking({
        move || {
            let known = Stats::load(&stats_folder, &root);
            let (context, remember) = context::scan(&root, &ignore, &known, cap)?;
            remember.save(&stats_folder, &root, &known);
            anyhow::Ok(context)
        }
    });
    let context = walk.await??;
    ctx.ui.detail(format!("{} files, {} bytes; {} files read", context.files, context.bytes, context.read));
    let mut warnings: Vec<String> =
        context.odd.iter().map(|o| format!("{o} is neither file nor folder: left out")).collect();
    if context.entries.iter().any(|e| e.path == ".git") {
        let warning = ".git is in the build context, so each commit is a change: add it to .dockerignore";
        warnings.push(warning.to_owned());
    }
    let facts = git.await?.unwrap_or_else(|error| {
        warnings.push(format!("git cannot be asked, so the tag comes from the files: {error:#}"));
        None
    });
    let target = options.target.clone().or(image.target);
    let input = Input {
        context: &context.hash,
        dockerfile: &dockerfile_text,
        arguments: &arguments,
        target: target.as_deref(),
        platforms: &options.platforms,
    }
    .hash();
    let computed = tag::tag(facts.as_ref(), &hex::encode(context.hash));
    let mut tags = options.tags.clone();
    let tag = if tags.is_empty() {
        warnings.extend(computed.warning);
        computed.name
    } else {
        tags.remove(0)
    };
    Ok(Plan {
        image: repository,
        context: Arc::new(context),
        dockerfile,
        dockerfile_text,
        ignore_text,
        arguments,
        target,
        facts,
        tag,
        tags,
        input,
        warnings,
    })
}

fn description(ctx: &Ctx, service: &Service) -> anyhow::Result<BuiltImage> {
    match &service.image {
        Some(Image::Built(image)) => Ok(image.clone()),
        Some(Image::Reference(reference)) => {
            let message = format!("the image of {} is built elsewhere: {reference}", service.service);
            Err(Failure::usage("built-elsewhere", message)
                .hint("to build it here, write image: {repository: …} in msctl.yaml")
                .into())
        }
        None => {
            let repository = format!("{}/{}", ctx.settings.registry.value, service.service);
            serde_json::from_value(serde_json::json!({ "repository": repository }))
                .context("the default image")
        }
    }
}

fn dockerfile_path(folder: &Path, root: &Path, name: &str) -> anyhow::Result<PathBuf> {
    let found = [folder.join(name), root.join(name)].into_iter().find(|p| p.is_file());
    found.ok_or_else(|| {
        let message = format!("there is no {name} in {}", folder.display());
        Failure::usage("no-dockerfile", message)
            .hint("write one, or name it with image.dockerfile in msctl.yaml")
            .into()
    })
}

/// The Dockerfile's path relative to the context (or its bare name when it lies outside), and its bytes.
fn dockerfile(folder: &Path, root: &Path, name: &str) -> anyhow::Result<(String, Vec<u8>)> {
    let path = dockerfile_path(folder, root, name)?;
    let text = std::fs::read(&path).with_context(|| format!("read {}", path.display()))?;
    let path = path.canonicalize()?;
    let relative = match path.strip_prefix(root) {
        Ok(relative) => relative.to_str().context("the Dockerfile's path is not UTF-8")?.to_owned(),
        Err(_) => path.file_name().and_then(|n| n.to_str()).unwrap_or("Dockerfile").to_owned(),
    };
    Ok((relative, text))
}

/// `NAME.dockerignore` beside the Dockerfile, else `.dockerignore` of the context; and the latter's content.
fn ignore(root: &Path, dockerfile: &str) -> anyhow::Result<(Ignore, Option<Vec<u8>>)> {
    for name in [format!("{dockerfile}.dockerignore"), ".dockerignore".into()] {
        let path = root.join(&name);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
            Err(e) => return Err(e).with_context(|| format!("read {}", path.display())),
        };
        let ignore = Ignore::parse(&String::from_utf8_lossy(&bytes)).map_err(|bad| {
            let file = path.display().to_string();
            let location = crate::error::Location { file, line: bad.line as u64, column: 1 };
            Failure::usage("bad-dockerignore", format!("{:?} is not a pattern", bad.pattern)).at(location)
        })?;
        return Ok((ignore, (name == ".dockerignore").then_some(bytes)));
    }
    Ok((Ignore::default(), None))
}

fn arguments(
    ctx: &Ctx,
    image: &BuiltImage,
    options: &BuildOptions,
) -> anyhow::Result<BTreeMap<String, String>> {
    let mut all: BTreeMap<String, String> =
        image.args.iter().map(|(k, v)| (k.clone(), v.0.clone())).collect();
    for argument in &options.build_args {
        let (name, value) = match argument.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (argument.as_str(), ctx.settings.env.get(argument)),
        };
        if name.is_empty() || name.contains(char::is_whitespace) {
            return Err(Failure::usage(
                "bad-build-arg",
                "--build-arg wants KEY=VALUE, or KEY for the environment's value",
            )
            .into());
        }
        if let Some(value) = value {
            all.insert(name.to_owned(), value.to_owned());
        }
    }
    Ok(all)
}

/// `id=NAME[,src=FILE]` or `id=NAME,env=VARIABLE`; without either the variable NAME, then the file NAME, as docker does.
pub fn secrets(ctx: &Ctx, options: &BuildOptions) -> anyhow::Result<SecretValues> {
    let mut secrets = SecretValues::new();
    for given in &options.secrets {
        let fields: BTreeMap<&str, &str> = given.split(',').filter_map(|f| f.split_once('=')).collect();
        let field = |names: [&str; 2]| names.iter().find_map(|n| fields.get(n).copied());
        let Some(id) = field(["id", "id"]).filter(|id| !id.is_empty()) else {
            let message = "--secret wants id=NAME,src=FILE or id=NAME,env=VARIABLE";
            return Err(Failure::usage("bad-secret", message).into());
        };
        let env = |name: &str| ctx.settings.env.get(name).map(|v| v.as_bytes().to_vec());
        let file = |path: &str| std::fs::read(ctx.settings.directory.join(path));
        let value = match (field(["env", "env"]), field(["src", "source"])) {
            (Some(name), _) => {
                env(name).ok_or_else(|| missing_secret(id, &format!("the variable {name} is not set")))?
            }
            (None, Some(path)) => file(path).map_err(|e| missing_secret(id, &format!("{path}: {e}")))?,
            (None, None) => match env(id) {
                Some(value) => value,
                None => file(id).map_err(|_| missing_secret(id, "no variable and no file has that name"))?,
            },
        };
        secrets.insert(id.to_owned(), value);
    }
    Ok(secrets)
}

fn missing_secret(id: &str, why: &str) -> Failure {
    Failure::usage("no-secret", format!("--secret id={id}: {why}"))
}
