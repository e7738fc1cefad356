//! Finds the Docker engine the docker CLI would use: `DOCKER_HOST`, `DOCKER_CONTEXT`, the current context, a socket.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use bollard::query_parameters::TagImageOptions;
use bollard::{API_DEFAULT_VERSION, BollardRequest, Docker};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::error::{Failure, did_you_mean};
use crate::settings::{Env, Settings};

/// Builds and pushes take as long as they take; only the answer's first byte is waited for this long.
const PATIENCE: u64 = 24 * 3600;
/// How long an engine may take to say hello.
const HELLO: Duration = Duration::from_secs(10);

/// Where an engine listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    Unix(PathBuf),
    Tcp { host: String, tls: Option<Tls> },
}

/// Folder of `ca.pem`, `cert.pem` and `key.pem`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    pub folder: PathBuf,
}

/// An address and why it is tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    pub address: Address,
    pub origin: String,
}

/// A reachable engine.
#[derive(Debug)]
pub struct Engine {
    pub docker: Docker,
    pub address: Address,
    /// Such as 20.10.24.
    pub version: String,
    /// Whether it can build with BuildKit.
    pub buildkit: bool,
}

/// The part of Docker's `config.json` that says which engine to use.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct CurrentContext {
    current_context: Option<String>,
}

/// `~/.docker`, or `DOCKER_CONFIG`.
pub fn config_folder(env: &Env) -> Option<PathBuf> {
    env.path("DOCKER_CONFIG").or_else(|| env.home().map(|h| h.join(".docker")))
}

/// The engines to try, best first.
pub fn candidates(env: &Env) -> anyhow::Result<Vec<Candidate>> {
    let from = |address, origin: String| vec![Candidate { address, origin }];
    if let Some(host) = env.get("DOCKER_HOST") {
        return Ok(from(address(host, tls_of(env), "DOCKER_HOST")?, format!("DOCKER_HOST={host}")));
    }
    let folder = config_folder(env);
    if let Some((name, origin)) = context_name(env, folder.as_deref())? {
        let folder = folder.context("a context needs a Docker configuration folder")?;
        let address = context(&folder, &name, &origin)?;
        return Ok(from(address, format!("context {name} ({origin})")));
    }
    let mut sockets = vec![PathBuf::from("/var/run/docker.sock")];
    let runtime = env.path("XDG_RUNTIME_DIR");
    sockets.extend(runtime.as_ref().map(|r| r.join("docker.sock")));
    sockets.extend(env.home().map(|h| h.join(".docker/run/docker.sock")));
    sockets.extend(runtime.map(|r| r.join("podman/podman.sock")));
    let candidate =
        |path: PathBuf| Candidate { origin: path.display().to_string(), address: Address::Unix(path) };
    Ok(sockets.into_iter().map(candidate).collect())
}

fn tls_of(env: &Env) -> Option<Tls> {
    env.get("DOCKER_TLS_VERIFY")?;
    let folder = env.path("DOCKER_CERT_PATH").or_else(|| config_folder(env))?;
    Some(Tls { folder })
}

fn address(host: &str, tls: Option<Tls>, origin: &str) -> anyhow::Result<Address> {
    let bad = |why: &str| {
        Failure::usage("bad-docker-host", format!("{origin}: {host:?} {why}"))
            .hint("such as unix:///var/run/docker.sock or tcp://10.0.0.5:2376")
    };
    match host.split_once("://") {
        Some(("unix", path)) if path.starts_with('/') => Ok(Address::Unix(path.into())),
        Some(("tcp" | "http" | "https", rest)) if !rest.is_empty() => {
            let rest = rest.trim_end_matches('/');
            let port = if tls.is_some() { 2376 } else { 2375 };
            let has_port = rest.rsplit_once(':').is_some_and(|(_, p)| p.parse::<u16>().is_ok());
            let host = if has_port { rest.to_owned() } else { format!("{rest}:{port}") };
            Ok(Address::Tcp { host, tls })
        }
        Some(("ssh", target)) => {
            let target = target.trim_end_matches('/');
            Err(bad("is reached by ssh, which msctl does not do")
                .hint(format!(
                    "forward the socket: ssh -nNT -L /tmp/docker.sock:/var/run/docker.sock {target}"
                ))
                .into())
        }
        _ => Err(bad("is not an address").into()),
    }
}

fn context_name(env: &Env, folder: Option<&Path>) -> anyhow::Result<Option<(String, String)>> {
    let named = match env.get("DOCKER_CONTEXT") {
        Some(name) => Some((name.to_owned(), "DOCKER_CONTEXT".to_owned())),
        None => {
            let Some(file) = folder.map(|f| f.join("config.json")) else { return Ok(None) };
            let config: CurrentContext = match std::fs::read(&file) {
                Ok(bytes) => serde_json::from_slice(&bytes).map_err(|e| bad_config(&file, e))?,
                Err(_) => CurrentContext::default(),
            };
            config.current_context.map(|name| (name, format!("currentContext of {}", file.display())))
        }
    };
    Ok(named.filter(|(name, _)| !name.is_empty() && name != "default"))
}

/// A configuration file of Docker's that is not JSON. The parser's message is left out: it may quote a secret.
pub fn bad_config(file: &Path, error: serde_json::Error) -> anyhow::Error {
    let place = format!("line {}, column {}", error.line(), error.column());
    Failure::usage("bad-docker-config", format!("{} is not valid JSON: {place}", file.display())).into()
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Meta {
    #[serde(default)]
    name: String,
    #[serde(default)]
    endpoints: std::collections::BTreeMap<String, Endpoint>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Endpoint {
    host: Option<String>,
}

fn context(folder: &Path, name: &str, origin: &str) -> anyhow::Result<Address> {
    let id = hex::encode(Sha256::digest(name.as_bytes()));
    let file = folder.join("contexts/meta").join(&id).join("meta.json");
    let Ok(bytes) = std::fs::read(&file) else {
        let known = contexts(folder);
        let message = format!("{origin} names the Docker context {name:?}, which does not exist");
        let mut failure = Failure::usage("unknown-docker-context", message);
        if let Some(near) = did_you_mean(name, known.iter().map(String::as_str)) {
            failure = failure.hint(format!("did you mean {near:?}?"));
        }
        return Err(failure
            .hint(format!("known are: default{}", known.iter().map(|k| format!(", {k}")).collect::<String>()))
            .into());
    };
    let meta: Meta = serde_json::from_slice(&bytes).map_err(|e| bad_config(&file, e))?;
    let host = meta
        .endpoints
        .get("docker")
        .and_then(|e| e.host.as_deref())
        .with_context(|| format!("the Docker context {name} has no endpoint ({})", file.display()))?;
    let tls = folder.join("contexts/tls").join(&id).join("docker");
    let tls = tls.join("ca.pem").is_file().then_some(Tls { folder: tls });
    address(host, tls, &format!("Docker context {name}"))
}

fn contexts(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder.join("contexts/meta")) else { return Vec::new() };
    let read = |e: std::fs::DirEntry| {
        let meta: Meta = serde_json::from_slice(&std::fs::read(e.path().join("meta.json")).ok()?).ok()?;
        (!meta.name.is_empty()).then_some(meta.name)
    };
    entries.flatten().filter_map(read).collect()
}

/// The first engine that answers.
pub async fn connect(settings: &Settings) -> anyhow::Result<Engine> {
    let mut tried = Vec::new();
    let mut denied = None;
    for candidate in candidates(&settings.env)? {
        match reach(&candidate, &settings.env).await {
            Ok(engine) => return Ok(engine),
            Err(error) => {
                let denial = error.chain().any(|e| {
                    e.downcast_ref::<std::io::Error>()
                        .is_some_and(|e| e.kind() == std::io::ErrorKind::PermissionDenied)
                });
                if denial {
                    denied = Some(candidate.origin.clone());
                }
                tried.push(format!("{}: {error:#}", candidate.origin));
            }
        }
    }
    let tried = anyhow::anyhow!("tried {}", tried.join("\ntried "));
    if let Some(socket) = denied {
        return Err(Failure::failed("docker-denied", "no permission to use the Docker engine")
            .object(socket)
            .hint("join the group that owns the socket (`sudo usermod -aG docker $USER`, then log in again), or run a rootless engine")
            .source(tried)
            .into());
    }
    Err(Failure::failed("no-docker", "no Docker engine answers")
        .hint(
            "start one (`sudo systemctl start docker`, Docker Desktop, podman), or name one with DOCKER_HOST",
        )
        .hint("without Docker the local platform still works: msctl deploy -e local")
        .source(tried)
        .into())
}

async fn reach(candidate: &Candidate, env: &Env) -> anyhow::Result<Engine> {
    let docker = match &candidate.address {
        Address::Unix(path) => {
            // Bollard hides why a socket cannot be opened; this says it.
            tokio::net::UnixStream::connect(path).await?;
            let path = path.to_str().context("the socket's path is not UTF-8")?;
            Docker::connect_with_unix(path, PATIENCE, API_DEFAULT_VERSION)?
        }
        Address::Tcp { host, tls } => {
            let connecting = tokio::net::TcpStream::connect(host.as_str());
            tokio::time::timeout(HELLO, connecting).await.context("no answer")??;
            match tls {
                None => Docker::connect_with_http(host, PATIENCE, API_DEFAULT_VERSION)?,
                Some(Tls { folder }) => {
                    let file = |name: &str| folder.join(name);
                    let (key, cert, ca) = (file("key.pem"), file("cert.pem"), file("ca.pem"));
                    Docker::connect_with_ssl(host, &key, &cert, &ca, PATIENCE, API_DEFAULT_VERSION)?
                }
            }
        }
    };
    let docker = docker.with_request_modifier(|request| with_buildkit(url_safe(request)));
    let version =
        tokio::time::timeout(HELLO, docker.version()).await.context("connected, but no answer")??;
    let podman = version.components.iter().flatten().any(|c| c.name.contains("Podman"));
    let api = version.api_version.as_deref().unwrap_or_default();
    let minor: u32 = api.strip_prefix("1.").and_then(|m| m.parse().ok()).unwrap_or(0);
    let wanted = env.get("DOCKER_BUILDKIT") != Some("0");
    Ok(Engine {
        buildkit: wanted && !podman && minor >= 39 && version.os.as_deref() == Some("linux"),
        version: version.version.unwrap_or_else(|| "unknown".into()),
        address: candidate.address.clone(),
        docker,
    })
}

impl Engine {
    /// Whether the engine was told to reach this registry without TLS.
    pub async fn calls_insecure(&self, host: &str) -> anyhow::Result<bool> {
        let Some(config) = self.docker.info().await?.registry_config else { return Ok(false) };
        let named =
            config.index_configs.unwrap_or_default().get(host).is_some_and(|i| i.secure == Some(false));
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
        let ranges = config.insecure_registry_cidrs.unwrap_or_default();
        Ok(named || ranges.iter().any(|range| within(name, range)))
    }

    /// The id of the image that has this name; None when there is none.
    pub async fn image_id(&self, name: &str) -> anyhow::Result<Option<String>> {
        match self.docker.inspect_image(name).await {
            Ok(image) => Ok(image.id),
            Err(bollard::errors::Error::DockerResponseServerError { status_code: 404, .. }) => Ok(None),
            Err(error) => Err(error).with_context(|| format!("look for the image {name}")),
        }
    }

    pub async fn tag(&self, id: &str, repository: &str, tag: &str) -> anyhow::Result<()> {
        let options = TagImageOptions { repo: Some(repository.to_owned()), tag: Some(tag.to_owned()) };
        self.docker
            .tag_image(id, Some(options))
            .await
            .with_context(|| format!("tag the image {repository}:{tag}"))
    }
}

/// Whether an IPv4 address is in a range such as 10.0.0.0/8.
fn within(address: &str, range: &str) -> bool {
    let number = |text: &str| text.parse::<std::net::Ipv4Addr>().ok().map(u32::from);
    let parsed =
        range.split_once('/').and_then(|(net, bits)| Some((number(net)?, bits.parse::<u32>().ok()?)));
    match (number(address), parsed) {
        (Some(address), Some((net, bits @ 1..=32))) => (address ^ net) >> (32 - bits) == 0,
        _ => false,
    }
}

/// Bollard writes registry credentials in base64's standard alphabet, the engine reads the URL-safe one: a password
/// with `~`, `>` or `?` at the wrong place would be refused.
fn url_safe(mut request: BollardRequest) -> BollardRequest {
    for name in ["X-Registry-Auth", "X-Registry-Config"] {
        let Some(value) = request.headers().get(name) else { continue };
        let Some(value) = STANDARD.decode(value).ok().and_then(|v| URL_SAFE.encode(v).parse().ok()) else {
            continue;
        };
        request.headers_mut().insert(name, value);
    }
    request
}

/// The `remote` of a build whose files come by a session.
pub const CLIENT_SESSION: &str = "client-session";

/// Bollard asks for BuildKit only together with a session of its own making, so builds with ours leave it as the
/// classic builder's: here they become BuildKit's.
fn with_buildkit(mut request: BollardRequest) -> BollardRequest {
    let query = request.uri().query().unwrap_or_default();
    if !request.uri().path().ends_with("/build") || !query.split('&').any(|p| p == "remote=client-session") {
        return request;
    }
    let query: Vec<&str> = query.split('&').map(|p| if p == "version=1" { "version=2" } else { p }).collect();
    let path = format!("{}?{}", request.uri().path(), query.join("&"));
    let mut parts = request.uri().clone().into_parts();
    parts.path_and_query = path.parse().ok();
    if let Ok(uri) = hyper::Uri::from_parts(parts) {
        *request.uri_mut() = uri;
    }
    request
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(home: &Path, pairs: &[(&'static str, &str)]) -> Env {
        let home = [("HOME", home.display().to_string())];
        Env::of(home.into_iter().chain(pairs.iter().map(|(k, v)| (*k, v.to_string()))))
    }

    fn context_file(home: &Path, name: &str, host: &str, tls: bool) {
        let id = hex::encode(Sha256::digest(name.as_bytes()));
        let meta = home.join(".docker/contexts/meta").join(&id);
        std::fs::create_dir_all(&meta).unwrap();
        let text = format!(
            r#"{{"Name":"{name}","Metadata":{{}},"Endpoints":{{"docker":{{"Host":"{host}","SkipTLSVerify":false}}}}}}"#
        );
        std::fs::write(meta.join("meta.json"), text).unwrap();
        if tls {
            let folder = home.join(".docker/contexts/tls").join(&id).join("docker");
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join("ca.pem"), "").unwrap();
        }
    }

    #[test]
    fn docker_host_beats_context_beats_current_context_beats_sockets() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path();
        context_file(home, "remote", "tcp://10.0.0.5:2376", true);
        context_file(home, "desktop", "unix:///desk.sock", false);
        std::fs::write(home.join(".docker/config.json"), r#"{"currentContext":"desktop","auths":{}}"#)
            .unwrap();
        let first = |pairs: &[(&'static str, &str)]| candidates(&env(home, pairs)).unwrap().remove(0).address;

        let host = ("DOCKER_HOST", "unix:///h.sock");
        assert_eq!(first(&[host, ("DOCKER_CONTEXT", "remote")]), Address::Unix("/h.sock".into()));
        let Address::Tcp { host, tls: Some(tls) } = first(&[("DOCKER_CONTEXT", "remote")]) else { panic!() };
        assert_eq!(host, "10.0.0.5:2376");
        assert!(tls.folder.join("ca.pem").is_file());
        assert_eq!(first(&[]), Address::Unix("/desk.sock".into()));
        assert_eq!(first(&[("DOCKER_CONTEXT", "default")]), Address::Unix("/var/run/docker.sock".into()));
        let rootless =
            candidates(&env(home, &[("DOCKER_CONTEXT", "default"), ("XDG_RUNTIME_DIR", "/run/user/7")]))
                .unwrap();
        assert!(rootless.iter().any(|c| c.address == Address::Unix("/run/user/7/docker.sock".into())));
    }

    #[test]
    fn tls_comes_from_the_environment() {
        let dir = tempfile::tempdir().unwrap();
        let pairs = [("DOCKER_HOST", "tcp://h"), ("DOCKER_TLS_VERIFY", "1"), ("DOCKER_CERT_PATH", "/certs")];
        let found = candidates(&env(dir.path(), &pairs)).unwrap().remove(0).address;
        assert_eq!(found, Address::Tcp { host: "h:2376".into(), tls: Some(Tls { folder: "/certs".into() }) });
        let plain = candidates(&env(dir.path(), &pairs[..1])).unwrap().remove(0).address;
        assert_eq!(plain, Address::Tcp { host: "h:2375".into(), tls: None });
    }

    #[test]
    fn ranges_hold_addresses() {
        assert!(within("10.2.3.4", "10.0.0.0/8") && within("1.2.3.4", "1.2.3.4/32"));
        assert!(
            !within("11.2.3.4", "10.0.0.0/8")
                && !within("example.com", "10.0.0.0/8")
                && !within("10.0.0.1", "x")
        );
    }

    #[test]
    fn buildkit_is_asked_for_only_with_a_session_of_ours() {
        let asked = |uri: &str| {
            let request =
                hyper::Request::builder().uri(uri).body(bollard::body_full(Default::default())).unwrap();
            with_buildkit(request).uri().to_string()
        };
        let ours = "unix://2f76/build?t=a%26version%3D1&remote=client-session&version=1&session=s";
        assert_eq!(asked(ours), ours.replace("version=1&", "version=2&"));
        let classic = "unix://2f76/build?t=a&version=1";
        assert_eq!(asked(classic), classic);
    }

    #[test]
    fn credentials_are_sent_url_safe() {
        let value = STANDARD.encode(br#"{"password":"~~~>>>???"}"#);
        assert!(value.contains(['+', '/']));
        let request = hyper::Request::builder()
            .header("X-Registry-Auth", &value)
            .body(bollard::body_full(Default::default()));
        let sent = url_safe(request.unwrap()).headers()["X-Registry-Auth"].to_str().unwrap().to_owned();
        assert!(!sent.contains(['+', '/']));
        assert_eq!(URL_SAFE.decode(sent).unwrap(), STANDARD.decode(value).unwrap());
    }

    #[test]
    fn what_is_wrong_is_named() {
        let dir = tempfile::tempdir().unwrap();
        context_file(dir.path(), "staging", "unix:///s.sock", false);
        let error = candidates(&env(dir.path(), &[("DOCKER_CONTEXT", "stagin")])).unwrap_err();
        let report = crate::error::report(&error);
        assert_eq!((report.code, report.reason.as_str()), (2, "unknown-docker-context"));
        assert_eq!(report.hints[0], "did you mean \"staging\"?");
        let error = candidates(&env(dir.path(), &[("DOCKER_HOST", "ssh://me@box")])).unwrap_err();
        assert!(crate::error::report(&error).hints[1].contains("me@box"));
        std::fs::write(dir.path().join(".docker/config.json"), "{\"auths\": {\"x\": {\"auth\": sEcReT}}}")
            .unwrap();
        let text = format!("{:#}", candidates(&env(dir.path(), &[])).unwrap_err());
        assert!(text.contains("line 1") && !text.contains("sEcReT"), "{text}");
    }
}
