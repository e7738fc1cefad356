//! Template and answers → the files of a service: contents, modes, owners, hashes. Pure.

use std::borrow::Cow;
use std::path::Path;

use anyhow::Context as _;
use sha2::{Digest, Sha256};

use super::answers::Answers;
use super::path;
use super::render::{Renderer, SUFFIX, id};
use super::source::Source;
use super::template::Owner;
use crate::error::Failure;
use crate::service;

/// A file to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned<'a> {
    /// Relative to the service's folder, `/` between parts.
    pub path: String,
    pub content: Cow<'a, [u8]>,
    /// Permission bits, before the umask.
    pub mode: u32,
    pub owner: Owner,
    /// A secret answer went into it: not shown, and not kept as a base.
    pub secret: bool,
    /// Of the content, in hexadecimal digits.
    pub sha256: String,
}

impl<'a> Planned<'a> {
    pub fn new(path: impl Into<String>, content: impl Into<Cow<'a, [u8]>>, mode: u32) -> Self {
        let content = content.into();
        let sha256 = hex::encode(Sha256::digest(&content));
        Planned { path: path.into(), content, mode, owner: Owner::Managed, secret: false, sha256 }
    }
}

/// All files of a service, sorted by path.
#[derive(Debug)]
pub struct Plan<'a> {
    pub files: Vec<Planned<'a>>,
}

/// Decides what the service's folder will hold.
///
/// # Errors
/// Exit code 2: an expression fails, a path is unsafe or clashes, or the msctl.yaml made is not valid.
pub fn plan<'a>(source: &'a Source, renderer: &Renderer, answers: &Answers) -> anyhow::Result<Plan<'a>> {
    let context = answers.context();
    let rules = &source.template.files;
    let mut wanted = Vec::new();
    for (index, rule) in rules.iter().enumerate() {
        if !source.files.keys().any(|path| rule.covers(path)) {
            return Err(wrong(
                source,
                format!("files[{index}]: nothing under files/ is named {:?}", rule.src),
            ));
        }
        wanted.push(renderer.holds(&id::wanted(index), &context)?);
    }
    let mut files = Vec::new();
    for (src, content) in &source.files {
        let covering: Vec<usize> = (0..rules.len()).filter(|i| rules[*i].covers(src)).collect();
        if covering.iter().any(|i| !wanted[*i]) {
            continue;
        }
        let dest = destination(src, &covering, source, renderer, &context)?;
        path::check(&dest)
            .map_err(|why| wrong(source, format!("files/{src} would become {dest:?}, which {why}")))?;
        let (content, secret) = if src.ends_with(SUFFIX) {
            let body = id::body(src);
            let secret = renderer.variables(&body).iter().any(|v| answers.secret.contains(*v));
            (Cow::Owned(renderer.render(&body, &context)?.into_bytes()), secret)
        } else {
            (Cow::Borrowed(content.as_ref()), false)
        };
        let last = |of: &dyn Fn(usize) -> Option<u32>| covering.iter().rev().find_map(|i| of(*i));
        let mode = last(&|i| rules[i].bits().ok().flatten()).unwrap_or(if secret { 0o600 } else { 0o644 });
        let owner = covering.iter().rev().find_map(|i| rules[*i].owner).unwrap_or_default();
        files.push(Planned { owner, secret, ..Planned::new(dest, content, mode) });
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    if let Some((one, other)) = path::collision(files.iter().map(|f| f.path.as_str())) {
        return Err(wrong(
            source,
            format!("{one:?} and {other:?} cannot both be on a disk that ignores case"),
        ));
    }
    check_service(&files, source, answers)?;
    Ok(Plan { files })
}

fn destination(
    src: &str,
    covering: &[usize],
    source: &Source,
    renderer: &Renderer,
    context: &tera::Context,
) -> anyhow::Result<String> {
    let rules = &source.template.files;
    let by_rule = covering.iter().rev().find(|i| rules[**i].dest.is_some());
    if let Some(index) = by_rule {
        let dest = renderer.render(&id::dest(*index), context)?;
        let inside = src.strip_prefix(rules[*index].src.trim_end_matches('/')).unwrap_or_default();
        let inside = inside.trim_end_matches(SUFFIX);
        return Ok(if inside.is_empty() { dest } else { format!("{}{inside}", dest.trim_end_matches('/')) });
    }
    let named = id::path(src);
    match renderer.has(&named) {
        true => renderer.render(&named, context),
        false => Ok(src.strip_suffix(SUFFIX).unwrap_or(src).to_owned()),
    }
}

/// A template must not hand out a msctl.yaml that the next command refuses.
fn check_service(files: &[Planned], source: &Source, answers: &Answers) -> anyhow::Result<()> {
    let Some(file) = files.iter().find(|f| f.path == service::FILE) else { return Ok(()) };
    let why =
        || format!("the template {} makes a wrong {} of these answers", source.template.name, service::FILE);
    let text = std::str::from_utf8(&file.content).with_context(why)?;
    let parsed: service::Service = service::parse_yaml(text, Path::new(service::FILE)).with_context(why)?;
    service::validate(&parsed, Path::new(service::FILE)).with_context(why)?;
    if answers.values.get("name").is_some_and(|name| *name != parsed.service) {
        return Err(wrong(source, format!("{} calls the service {:?}", service::FILE, parsed.service)));
    }
    if let Some(origin) = &parsed.template {
        let own = [&source.template.name, &source.template.version];
        if [&origin.name, &origin.version] != own {
            let why = format!("{} says it comes from {} {}", service::FILE, origin.name, origin.version);
            return Err(wrong(source, format!("{why}, and this is {} {}", own[0], own[1])));
        }
    }
    Ok(())
}

fn wrong(source: &Source, why: String) -> anyhow::Error {
    Failure::usage("invalid-template", format!("{}: {why}", source.label())).object(source.label()).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scaffold::answers::Given;
    use crate::scaffold::source::tests::source;

    fn planned(
        yaml: &str,
        files: &[(&str, &str)],
        set: &[(&str, &str)],
    ) -> anyhow::Result<Vec<(String, String, u32)>> {
        let source = source(yaml, files);
        let renderer = Renderer::new(&source)?;
        let mut given = Given::default();
        given.built_in.insert("name".into(), "orders".into());
        given.set = set.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        let answers = Answers::find(&source.template, &renderer, &given, &mut |_, _| Ok(None))?;
        let plan = plan(&source, &renderer, &answers)?;
        let text = |f: &Planned| String::from_utf8_lossy(&f.content).into_owned();
        Ok(plan.files.iter().map(|f| (f.path.clone(), text(f), f.mode)).collect())
    }

    fn row(path: &str, content: &str, mode: u32) -> (String, String, u32) {
        (path.into(), content.into(), mode)
    }

    #[test]
    fn only_tera_files_are_rendered_and_names_may_hold_variables() {
        let files = [("cmd/@{ name }@/main.go.tera", "package @{ name }@"), ("raw.txt", "@{ name }@\r\n")];
        let wanted =
            [row("cmd/orders/main.go", "package orders", 0o644), row("raw.txt", "@{ name }@\r\n", 0o644)];
        assert_eq!(planned("", &files, &[]).unwrap(), wanted);
    }

    #[test]
    fn rules_choose_move_and_mark() {
        let yaml =
            "variables: [{name: ci, type: bool, default: false}, {name: dir, type: string, default: src}]
files:
  - {src: ci, when: ci, mode: '0755'}
  - {src: ci/readme.tera, mode: '0644', dest: CI.md}
  - {src: lib/, dest: '@{ dir }@'}
";
        let files = [("ci/run", "x"), ("ci/readme.tera", "@{ dir }@"), ("lib/a/b.tera", "1"), ("lib/c", "2")];
        let moved = [row("src/a/b", "1", 0o644), row("src/c", "2", 0o644)];
        assert_eq!(planned(yaml, &files, &[]).unwrap(), moved);
        let all = planned(yaml, &files, &[("ci", "yes"), ("dir", "x")]).unwrap();
        let wanted = [
            row("CI.md", "x", 0o644),
            row("ci/run", "x", 0o755),
            row("x/a/b", "1", 0o644),
            row("x/c", "2", 0o644),
        ];
        assert_eq!(all, wanted);
    }

    #[test]
    fn unsafe_and_clashing_paths_are_refused() {
        let yaml =
            "variables: [{name: dir, type: string, default: a}]\nfiles: [{src: f, dest: '@{ dir }@'}]\n";
        for bad in ["../x", "/etc/x", "a/../../x", ".git/hooks/post-commit", "nul", "", ".msctl/service.yaml"]
        {
            let error = planned(yaml, &[("f", "")], &[("dir", bad)]).expect_err(bad).to_string();
            assert!(error.contains("would become"), "{bad}: {error}");
        }
        for pair in [[("A", ""), ("a", "")], [("a", ""), ("a.tera", "")]] {
            assert!(planned("", &pair, &[]).expect_err("clash").to_string().contains("ignores case"));
        }
        let nothing = planned("files: [{src: nope}]\n", &[("f", "")], &[]).expect_err("no such file");
        assert!(nothing.to_string().contains("nope"));
    }

    #[test]
    fn a_wrong_msctl_yaml_is_not_handed_out() {
        let good = "apiVersion: msctl.dev/v1\nservice: orders\nport: 8080\nimage: {repository: r/orders}\n";
        planned("", &[("msctl.yaml", good)], &[]).unwrap();
        let of_template =
            |t: &str| planned("", &[("msctl.yaml", &format!("{good}template: {{{t}}}\n"))], &[]);
        of_template("name: t, version: 1.0.0, digest: d").unwrap();
        assert!(of_template("name: t, version: 1.1.0, digest: d").is_err());
        for (from, to) in [("8080", "99999"), ("orders\n", "other\n"), ("port", "prot")] {
            let bad = good.replacen(from, to, 1);
            assert!(planned("", &[("msctl.yaml", &bad)], &[]).is_err(), "{bad}");
        }
    }
}
