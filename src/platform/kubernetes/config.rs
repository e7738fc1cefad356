//! The kubeconfig: a list of files, first wins per key, missing files skipped. Nothing here talks to a cluster.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use kube::config::{ExecConfig, KubeConfigOptions, Kubeconfig};

use crate::error::{Failure, did_you_mean};
use crate::settings::{Settings, Target};

/// A cluster, who talks to it, and in which namespace.
pub struct Access {
    /// None inside a cluster.
    pub context: Option<String>,
    pub namespace: String,
    pub config: kube::Config,
    /// The credential plugin; run at the first request, never by kube itself (it would run it three times).
    pub exec: Option<ExecConfig>,
}

/// Names of all contexts.
pub fn contexts(settings: &Settings) -> anyhow::Result<Vec<String>> {
    Ok(merged(settings)?.contexts.into_iter().map(|c| c.name).collect())
}

pub fn has_context(settings: &Settings, name: &str) -> anyhow::Result<bool> {
    Ok(contexts(settings)?.iter().any(|c| c == name))
}

/// The cluster and namespace of `target`: flag, then environment, then the context's namespace, then `default`.
pub async fn access(settings: &Settings, target: &Target) -> anyhow::Result<Access> {
    let (kubeconfig, files) = (merged(settings)?, files(settings));
    if kubeconfig.contexts.is_empty() && kubeconfig.clusters.is_empty() {
        if let Some(config) = in_cluster(settings, target)? {
            let namespace = target.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
            return Ok(Access { context: None, namespace, config, exec: None });
        }
        return Err(no_kubeconfig(&files).into());
    }
    let Some(name) = target.context.clone().or_else(|| kubeconfig.current_context.clone()) else {
        return Err(Failure::failed("no-context", "the kubeconfig has no current context")
            .hint("name one with --context, or in msctl.yaml's environment")
            .into());
    };
    let Some(context) = kubeconfig.contexts.iter().find(|c| c.name == name) else {
        return Err(unknown_context(&name, &kubeconfig, &files).into());
    };
    let own_namespace = context.context.as_ref().and_then(|c| c.namespace.clone()).filter(|n| !n.is_empty());
    let options = KubeConfigOptions { context: Some(name.clone()), ..KubeConfigOptions::default() };
    let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(|e| {
        Failure::failed("bad-kubeconfig", format!("context {name:?} of the kubeconfig is not usable"))
            .hint(format!("read were: {}", list(&files)))
            .source(e)
    })?;
    if let Some(provider) = &config.auth_info.auth_provider {
        return Err(Failure::failed(
            "auth-provider",
            format!("context {name:?} signs in with auth-provider {:?}, which msctl cannot", provider.name),
        )
        .hint("kubectl dropped these too: use a credential plugin (`users[].user.exec`)")
        .into());
    }
    let exec = config.auth_info.exec.take();
    let namespace = target.namespace.clone().or(own_namespace).unwrap_or_else(|| "default".into());
    Ok(Access { context: Some(name), namespace, config, exec })
}

fn in_cluster(settings: &Settings, target: &Target) -> anyhow::Result<Option<kube::Config>> {
    if target.context.is_some() || settings.env.get("KUBERNETES_SERVICE_HOST").is_none() {
        return Ok(None);
    }
    Ok(Some(kube::Config::incluster().context("use the pod's own service account")?))
}

/// `--kubeconfig` alone, else the list in KUBECONFIG, else `~/.kube/config`.
fn files(settings: &Settings) -> Vec<PathBuf> {
    if let Some(given) = &settings.kubeconfig {
        return vec![settings.directory.join(&given.value)];
    }
    if let Some(list) = settings.env.os("KUBECONFIG") {
        return std::env::split_paths(list).filter(|p| !p.as_os_str().is_empty()).collect();
    }
    settings.env.home().map(|home| vec![home.join(".kube/config")]).unwrap_or_default()
}

fn merged(settings: &Settings) -> anyhow::Result<Kubeconfig> {
    let mut all = Kubeconfig::default();
    for file in files(settings) {
        match read(&file)? {
            Some(next) => merge(&mut all, next),
            None if settings.kubeconfig.is_some() => {
                return Err(Failure::failed("no-kubeconfig", format!("there is no {}", file.display()))
                    .hint("--kubeconfig names a kubeconfig file")
                    .into());
            }
            None => {}
        }
    }
    Ok(all)
}

fn read(file: &Path) -> anyhow::Result<Option<Kubeconfig>> {
    match std::fs::metadata(file) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e).with_context(|| format!("read the kubeconfig {}", file.display())),
        Ok(found) if found.len() == 0 => return Ok(None),
        Ok(_) => {}
    }
    let parsed = Kubeconfig::read_from(file).map_err(|e| {
        Failure::failed("bad-kubeconfig", format!("{} is not a kubeconfig", file.display())).source(e)
    })?;
    Ok(Some(parsed))
}

fn merge(all: &mut Kubeconfig, next: Kubeconfig) {
    fn add<T>(to: &mut Vec<T>, from: Vec<T>, name: impl Fn(&T) -> &str) {
        for item in from {
            if !to.iter().any(|have| name(have) == name(&item)) {
                to.push(item);
            }
        }
    }
    add(&mut all.clusters, next.clusters, |c| &c.name);
    add(&mut all.auth_infos, next.auth_infos, |u| &u.name);
    add(&mut all.contexts, next.contexts, |c| &c.name);
    all.current_context = all.current_context.take().or(next.current_context).filter(|c| !c.is_empty());
}

fn list(files: &[PathBuf]) -> String {
    files.iter().map(|f| f.display().to_string()).collect::<Vec<_>>().join(", ")
}

fn no_kubeconfig(files: &[PathBuf]) -> Failure {
    let looked = if files.is_empty() { "nowhere: HOME is not set".to_owned() } else { list(files) };
    Failure::failed("no-kubeconfig", "no kubeconfig was found, so there is no cluster to talk to")
        .hint(format!("looked in {looked}"))
        .hint("set KUBECONFIG or --kubeconfig; `-e local` needs no cluster")
}

fn unknown_context(name: &str, kubeconfig: &Kubeconfig, files: &[PathBuf]) -> Failure {
    let known: Vec<&str> = kubeconfig.contexts.iter().map(|c| c.name.as_str()).collect();
    let mut failure =
        Failure::failed("unknown-context", format!("the kubeconfig has no context {name:?}")).object(name);
    if let Some(near) = did_you_mean(name, known.iter().copied()) {
        failure = failure.hint(format!("did you mean {near:?}?"));
    }
    failure.hint(format!("{} has: {}", list(files), known.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli;
    use crate::error;
    use crate::service::PlatformKind;
    use crate::settings::Env;

    const ONE: &str = "
current-context: a
clusters: [{name: c, cluster: {server: 'https://one.test:6443'}}]
users: [{name: u, user: {token: one}}]
contexts: [{name: a, context: {cluster: c, user: u, namespace: shop}}]
";
    const TWO: &str = "
current-context: b
clusters: [{name: c, cluster: {server: 'https://two.test:6443'}}, {name: d, cluster: {server: 'https://d.test'}}]
users: [{name: v, user: {exec: {apiVersion: client.authentication.k8s.io/v1, command: plugin, interactiveMode: Never}}}]
contexts: [{name: a, context: {cluster: d}}, {name: staging, context: {cluster: d, user: v}}]
";

    fn settings(kubeconfig: &str, home: &Path, args: &[&str]) -> Settings {
        let args: Vec<_> = [&["msctl"], args, &["doctor"]].concat().iter().map(Into::into).collect();
        let env = Env::of([("KUBECONFIG", kubeconfig.to_owned()), ("HOME", home.display().to_string())]);
        Settings::resolve(&cli::parse(&args, &env).unwrap(), env).unwrap()
    }

    fn target(context: Option<&str>, namespace: Option<&str>) -> Target {
        Target {
            environment: "test".into(),
            platform: PlatformKind::Kubernetes,
            context: context.map(Into::into),
            namespace: namespace.map(Into::into),
            protected: false,
        }
    }

    fn two_files() -> (tempfile::TempDir, String) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("1"), ONE).unwrap();
        std::fs::write(dir.path().join("2"), TWO).unwrap();
        let path = |n: &str| dir.path().join(n).display().to_string();
        let list = [path("missing"), path("1"), String::new(), path("2")].join(":");
        (dir, list)
    }

    #[tokio::test]
    async fn first_wins_and_missing_is_skipped() {
        let (dir, list) = two_files();
        let settings = settings(&list, dir.path(), &[]);
        assert_eq!(contexts(&settings).unwrap(), ["a", "staging"]);
        for (context, namespace, server, expected) in [
            (None, None, "https://one.test:6443/", "shop"),
            (Some("a"), Some("mine"), "https://one.test:6443/", "mine"),
            (Some("staging"), None, "https://d.test/", "default"),
        ] {
            let access = access(&settings, &target(context, namespace)).await.unwrap();
            assert_eq!(access.config.cluster_url.to_string(), server);
            assert_eq!(access.namespace, expected);
            assert_eq!(access.exec.is_some(), context == Some("staging"));
        }
    }

    #[tokio::test]
    async fn what_is_missing_is_named() {
        let (dir, list) = two_files();
        let nothing = dir.path().join("none").display().to_string();
        for (kubeconfig, args, context, reason, hint) in [
            (list.as_str(), vec![], Some("stagin"), "unknown-context", "did you mean \"staging\"?"),
            (nothing.as_str(), vec![], None, "no-kubeconfig", "looked in"),
            (list.as_str(), vec!["--kubeconfig", "/nonexistent/k"], None, "no-kubeconfig", "--kubeconfig"),
        ] {
            let settings = settings(kubeconfig, dir.path(), &args);
            let Err(error) = access(&settings, &target(context, None)).await else { panic!("{reason}") };
            let failure = error::failure(&error).unwrap();
            assert_eq!((failure.kind.code(), failure.reason), (1, reason));
            assert!(failure.hints.iter().any(|h| h.contains(hint)), "{failure:?}");
        }
    }
}
