//! Talks to an image registry (OCI distribution API): which digest a tag has, tagging a digest, whether a push may.
//!
//! Authorization is answered as challenged, Basic or Bearer, and kept per registry and scope. Registries on loopback
//! speak plain HTTP; others HTTPS, unless the engine calls them insecure.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hyper::header::{
    ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION, WWW_AUTHENTICATE,
};
use hyper::{Method, StatusCode};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use tokio::sync::Mutex;

use super::credentials::{Credentials, Login};
use super::http::{Answer, Client};
use super::reference::{Reference, is_digest};
use crate::error::Failure;
use crate::settings::Env;

const MANIFESTS: &str = "application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json";
/// A registry that says nothing for so long is not there.
const PATIENCE: Duration = Duration::from_secs(30);

pub const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// A manifest as a registry holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    pub digest: String,
    pub media_type: String,
    pub bytes: Bytes,
}

impl Manifest {
    /// One image of several platforms, `os/arch[/variant]` each.
    pub fn index(parts: &[(String, Manifest)]) -> anyhow::Result<Self> {
        let docker = parts.iter().all(|(_, m)| m.media_type.starts_with("application/vnd.docker."));
        let media_type = if docker { DOCKER_INDEX } else { OCI_INDEX };
        let manifests = parts.iter().map(|(platform, manifest)| {
            let mut words = platform.split('/');
            let mut described = serde_json::json!({ "os": words.next(), "architecture": words.next() });
            if let Some(variant) = words.next() {
                described["variant"] = variant.into();
            }
            serde_json::json!({
                "mediaType": manifest.media_type, "size": manifest.bytes.len(), "digest": manifest.digest,
                "platform": described,
            })
        });
        let manifests: Vec<serde_json::Value> = manifests.collect();
        let document =
            serde_json::json!({ "schemaVersion": 2, "mediaType": media_type, "manifests": manifests });
        let bytes = serde_json::to_vec_pretty(&document)?;
        let digest = format!("sha256:{}", hex::encode(Sha256::digest(&bytes)));
        Ok(Manifest { digest, media_type: media_type.to_owned(), bytes: bytes.into() })
    }

    /// The digest of the image's configuration: what engines call its id.
    pub fn config(&self) -> Option<String> {
        let value: serde_json::Value = serde_json::from_slice(&self.bytes).ok()?;
        value["config"]["digest"].as_str().map(str::to_owned)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Access {
    Pull,
    Push,
}

pub struct Registries {
    client: Client,
    credentials: Arc<Credentials>,
    insecure: std::sync::RwLock<Vec<String>>,
    logins: Mutex<HashMap<String, Login>>,
    tokens: Mutex<HashMap<String, HeaderValue>>,
}

impl Registries {
    pub fn new(env: &Env, credentials: Arc<Credentials>) -> anyhow::Result<Self> {
        Ok(Registries {
            client: Client::new(env, PATIENCE)?,
            credentials,
            insecure: std::sync::RwLock::default(),
            logins: Mutex::default(),
            tokens: Mutex::default(),
        })
    }

    /// Registries that the engine was told to reach without TLS.
    pub fn set_insecure(&self, hosts: Vec<String>) {
        *self.insecure.write().unwrap_or_else(|e| e.into_inner()) = hosts;
    }

    /// The login for `host`, asked for once.
    pub async fn login(&self, host: &str) -> Login {
        let mut logins = self.logins.lock().await;
        if let Some(login) = logins.get(host) {
            return login.clone();
        }
        let login = self.credentials.login(host).await;
        logins.insert(host.to_owned(), login.clone());
        login
    }

    /// The digest that `tag` (or a digest) has at the registry; None when there is no such image.
    pub async fn digest(&self, image: &Reference, tag: &str) -> anyhow::Result<Option<String>> {
        let answer = self.send(image, Access::Pull, Method::HEAD, &format!("manifests/{tag}"), None).await?;
        match answer.status {
            StatusCode::OK => match digest_of(&answer.headers) {
                Some(digest) => Ok(Some(digest)),
                None => Ok(self.manifest(image, tag).await?.map(|m| m.digest)),
            },
            StatusCode::NOT_FOUND => Ok(None),
            _ => Err(self.refusal(image, &answer, "look up").await),
        }
    }

    /// [`Registries::digest`] before a push: a registry that hides what does not exist refuses where it should say no.
    pub async fn digest_if_any(&self, image: &Reference, tag: &str) -> anyhow::Result<Option<String>> {
        let hidden = |reason: &str| matches!(reason, "login-needed" | "registry-denied");
        match self.digest(image, tag).await {
            Err(error) if crate::error::failure(&error).is_some_and(|f| hidden(f.reason)) => Ok(None),
            found => found,
        }
    }

    /// The manifest of `tag`, its digest computed from what was received and compared with what the registry says.
    pub async fn manifest(&self, image: &Reference, tag: &str) -> anyhow::Result<Option<Manifest>> {
        let answer = self.send(image, Access::Pull, Method::GET, &format!("manifests/{tag}"), None).await?;
        match answer.status {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok(None),
            _ => return Err(self.refusal(image, &answer, "read").await),
        }
        let digest = format!("sha256:{}", hex::encode(Sha256::digest(&answer.body)));
        let wrong = digest_of(&answer.headers).filter(|said| *said != digest);
        if let Some(said) = wrong.or_else(|| (is_digest(tag) && tag != digest).then(|| tag.to_owned())) {
            let message = format!("{image}: the registry says {said}, but what it sent is {digest}");
            return Err(Failure::failed("digest-mismatch", message).into());
        }
        let media_type = answer.headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
        Ok(Some(Manifest { digest, media_type: media_type.to_owned(), bytes: answer.body }))
    }

    /// Gives a manifest the registry has one more tag.
    pub async fn tag(&self, image: &Reference, manifest: &Manifest, tag: &str) -> anyhow::Result<()> {
        let body = Some((manifest.media_type.clone(), manifest.bytes.clone()));
        let answer = self.send(image, Access::Push, Method::PUT, &format!("manifests/{tag}"), body).await?;
        if answer.status.is_success() { Ok(()) } else { Err(self.refusal(image, &answer, "tag").await) }
    }

    /// Fails when a push to the image's repository would be refused: begins an upload and cancels it.
    pub async fn may_push(&self, image: &Reference) -> anyhow::Result<()> {
        let answer = self.send(image, Access::Push, Method::POST, "blobs/uploads/", None).await?;
        match answer.status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                Err(self.refusal(image, &answer, "push to").await)
            }
            StatusCode::NOT_FOUND => {
                let message = format!("push to {}: the registry has no such repository", image.repository);
                Err(Failure::failed("no-repository", message)
                    .object(image.to_string())
                    .hint("create it there first, or correct image.repository in msctl.yaml")
                    .into())
            }
            status if status.is_success() => {
                if let Some(upload) = answer.headers.get(LOCATION).and_then(|l| l.to_str().ok()) {
                    // An upload left open is collected by the registry; cancelling is only tidy.
                    let _ = self
                        .raw(image, Access::Push, Method::DELETE, &self.absolute(image, upload), None)
                        .await;
                }
                Ok(())
            }
            // A registry may have its own ideas of uploads; the push will tell.
            _ => Ok(()),
        }
    }

    fn base(&self, image: &Reference) -> String {
        let host = image.host();
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
        let loopback = name == "localhost" || name.starts_with("127.") || name == "[::1]";
        let insecure = self.insecure.read().unwrap_or_else(|e| e.into_inner()).iter().any(|h| h == host);
        let scheme = if loopback || insecure { "http" } else { "https" };
        format!("{scheme}://{}", if host == "docker.io" { "registry-1.docker.io" } else { host })
    }

    fn absolute(&self, image: &Reference, location: &str) -> String {
        if location.starts_with('/') { self.base(image) + location } else { location.to_owned() }
    }

    async fn send(
        &self,
        image: &Reference,
        access: Access,
        method: Method,
        path: &str,
        body: Option<(String, Bytes)>,
    ) -> anyhow::Result<Answer> {
        let url = format!("{}/v2/{}/{path}", self.base(image), image.split().1);
        self.raw(image, access, method, &url, body).await
    }

    async fn raw(
        &self,
        image: &Reference,
        access: Access,
        method: Method,
        url: &str,
        body: Option<(String, Bytes)>,
    ) -> anyhow::Result<Answer> {
        let host = image.host();
        let key = format!("{host} {} {access:?}", image.split().1);
        let known = self.tokens.lock().await.get(&key).cloned();
        let had_one = known.is_some();
        let answer = self.once(&method, url, known, body.clone()).await.map_err(|e| unreachable(host, e))?;
        if answer.status != StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
        let challenges: Vec<String> = answer
            .headers
            .get_all(WWW_AUTHENTICATE)
            .iter()
            .filter_map(|v| v.to_str().ok())
            .map(str::to_owned)
            .collect();
        let login = self.login(host).await;
        let Some(authorization) = self.authorize(image, access, &challenges, &login).await? else {
            return Ok(answer);
        };
        let again = self
            .once(&method, url, Some(authorization.clone()), body)
            .await
            .map_err(|e| unreachable(host, e))?;
        if again.status != StatusCode::UNAUTHORIZED {
            self.tokens.lock().await.insert(key, authorization);
        } else if had_one {
            self.tokens.lock().await.remove(&key);
        }
        Ok(again)
    }

    async fn once(
        &self,
        method: &Method,
        url: &str,
        authorization: Option<HeaderValue>,
        body: Option<(String, Bytes)>,
    ) -> anyhow::Result<Answer> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static(MANIFESTS));
        if let Some(authorization) = authorization {
            headers.insert(AUTHORIZATION, authorization);
        }
        let (kind, bytes) = body.unwrap_or_default();
        if !kind.is_empty() {
            headers.insert(CONTENT_TYPE, kind.parse().context("the manifest's media type")?);
        }
        self.client.send(method.clone(), url, headers, bytes).await
    }

    /// Answers a challenge; None when nothing could be said that was not said already.
    async fn authorize(
        &self,
        image: &Reference,
        access: Access,
        challenges: &[String],
        login: &Login,
    ) -> anyhow::Result<Option<HeaderValue>> {
        for challenge in challenges.iter().filter_map(|c| Challenge::parse(c)) {
            if challenge.scheme == "basic"
                && let Login::Password { user, password } = login
            {
                return secret(&basic(user, password)).map(Some);
            }
            if challenge.scheme == "bearer" {
                let token = self.token(image, access, &challenge, login).await?;
                return token.map(|t| secret(&format!("Bearer {t}"))).transpose();
            }
        }
        Ok(None)
    }

    async fn token(
        &self,
        image: &Reference,
        access: Access,
        challenge: &Challenge,
        login: &Login,
    ) -> anyhow::Result<Option<String>> {
        #[derive(Deserialize)]
        struct Token {
            token: Option<String>,
            access_token: Option<String>,
        }
        let Some(realm) = challenge.parameters.get("realm") else { return Ok(None) };
        let service = challenge.parameters.get("service").cloned().unwrap_or_default();
        let actions = if access == Access::Push { "pull,push" } else { "pull" };
        let scope = format!("repository:{}:{actions}", image.split().1);
        let mut headers = HeaderMap::new();
        let plain = realm.starts_with("http://");
        // A secret leaves unencrypted only towards a registry that is itself spoken to in plain.
        if plain && self.base(image).starts_with("https://") && !matches!(login, Login::Anonymous(_)) {
            let message = format!("{} wants the login sent to {realm}, which is not encrypted", image.host());
            return Err(Failure::failed("insecure-token-service", message)
                .object(image.host().to_owned())
                .into());
        }
        let send = async {
            if let Login::Identity(refresh) = login {
                let form = form(&[
                    ("grant_type", "refresh_token"),
                    ("service", &service),
                    ("client_id", "msctl"),
                    ("scope", &scope),
                    ("refresh_token", refresh),
                ]);
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
                return self.client.send(Method::POST, realm, headers, form.into()).await;
            }
            if let Login::Password { user, password } = login {
                headers.insert(AUTHORIZATION, secret(&basic(user, password))?);
            }
            let separator = if realm.contains('?') { '&' } else { '?' };
            let query = form(&[("service", &service), ("scope", &scope)]);
            self.client.send(Method::GET, &format!("{realm}{separator}{query}"), headers, Bytes::new()).await
        };
        let answer = send.await.map_err(|e| unreachable(image.host(), e))?;
        if !answer.status.is_success() {
            return Ok(None);
        }
        let token: Token = serde_json::from_slice(&answer.body)
            .map_err(|_| anyhow::anyhow!("{realm} did not answer with a token"))?;
        Ok(token.token.or(token.access_token).filter(|t| !t.is_empty()))
    }

    /// The registry's answer as an error, with what to do about it.
    async fn refusal(&self, image: &Reference, answer: &Answer, verb: &str) -> anyhow::Error {
        let host = image.host();
        let said = said(&answer.body);
        let status = answer.status;
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                denied(image, verb, &self.login(host).await, said.unwrap_or_else(|| status.to_string()))
            }
            StatusCode::TOO_MANY_REQUESTS => {
                Failure::failed("registry-throttles", format!("{host} allows no more requests for now"))
                    .object(image.to_string())
                    .hint(format!("log in for a higher limit: docker login {host}"))
                    .into()
            }
            _ => {
                let said = said.map(|s| format!(": {s}")).unwrap_or_default();
                let message = format!("{verb} {}: the registry answered {status}{said}", image.repository);
                Failure::failed("registry-error", message).object(image.to_string()).into()
            }
        }
    }
}

/// A registry that wants a login, or another one.
pub fn denied(image: &Reference, verb: &str, login: &Login, said: String) -> anyhow::Error {
    let host = image.host();
    let (reason, message) = match login {
        Login::Anonymous(_) => ("login-needed", format!("{verb} {}: {host} wants a login", image.repository)),
        _ => ("registry-denied", format!("{verb} {}: {host} refuses this login", image.repository)),
    };
    let mut failure = Failure::failed(reason, message).object(image.to_string());
    if let Login::Anonymous(Some(why)) = login {
        failure = failure.hint(format!("{why}; install it, or take the entry out"));
    }
    failure.hint(format!("docker login {host}")).source(anyhow::anyhow!("the registry said: {said}")).into()
}

fn unreachable(host: &str, error: anyhow::Error) -> anyhow::Error {
    if crate::error::failure(&error).is_some() {
        return error;
    }
    Failure::failed("registry-unreachable", format!("the registry {host} cannot be reached"))
        .object(host.to_owned())
        .hint("check the name in image.repository, the network, and HTTPS_PROXY")
        .source(error)
        .into()
}

/// The text of the first error of a registry's error document.
fn said(body: &[u8]) -> Option<String> {
    let value: serde_json::Value = serde_json::from_slice(body).ok()?;
    let first = value.get("errors")?.get(0)?;
    let text = first["message"].as_str().filter(|m| !m.is_empty()).or_else(|| first["code"].as_str())?;
    Some(text.to_owned())
}

fn digest_of(headers: &HeaderMap) -> Option<String> {
    let value = headers.get("docker-content-digest")?.to_str().ok()?;
    is_digest(value).then(|| value.to_owned())
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

fn secret(value: &str) -> anyhow::Result<HeaderValue> {
    let mut value =
        HeaderValue::from_str(value).map_err(|_| anyhow::anyhow!("the token cannot be sent in a header"))?;
    value.set_sensitive(true);
    Ok(value)
}

fn form(pairs: &[(&str, &str)]) -> String {
    let encode =
        |v: &str| percent_encoding::utf8_percent_encode(v, percent_encoding::NON_ALPHANUMERIC).to_string();
    pairs.iter().map(|(k, v)| format!("{k}={}", encode(v))).collect::<Vec<_>>().join("&")
}

/// One `WWW-Authenticate` value.
#[derive(Debug, PartialEq, Eq)]
struct Challenge {
    scheme: String,
    parameters: HashMap<String, String>,
}

impl Challenge {
    fn parse(text: &str) -> Option<Self> {
        let (scheme, mut rest) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
        let mut parameters = HashMap::new();
        while let Some((name, after)) = rest.split_once('=') {
            let name = name.trim_matches([',', ' ']).to_lowercase();
            let after = after.trim_start();
            let (value, remainder) = match after.strip_prefix('"') {
                Some(quoted) => quoted.split_once('"')?,
                None => after.split_once(',').unwrap_or((after, "")),
            };
            parameters.insert(name, value.trim().to_owned());
            rest = remainder;
        }
        Some(Challenge { scheme: scheme.to_lowercase(), parameters })
    }
}

#[cfg(test)]
#[path = "registry_tests.rs"]
mod tests;
