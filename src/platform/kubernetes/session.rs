//! Who msctl is to the API server: certificates, tokens and plugin answers turned into a ready connection pool.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use base64::Engine as _;
use futures::future::BoxFuture;
use hyper::body::Incoming;
use hyper::http::uri::{Parts, PathAndQuery};
use hyper::http::{HeaderMap, HeaderValue, Uri, header};
use hyper::{Request, Response};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use jiff::{Timestamp, ToSpan};
use kube::client::{Body, ConfigExt};
use kube::config::ExecConfig;
use tokio::sync::Mutex;

use super::exec;
use crate::error::Failure;

const CONNECT: Duration = Duration::from_secs(5);

type Send = dyn Fn(Request<Body>) -> BoxFuture<'static, Answer> + std::marker::Send + Sync;
type Answer = Result<Response<Incoming>, hyper_util::client::legacy::Error>;

/// A pool with its credentials.
pub struct Session {
    pub send: Box<Send>,
    base: Uri,
    headers: HeaderMap,
    token_file: Option<String>,
    expires: Option<Timestamp>,
}

impl Session {
    /// Points the request at the server and signs it.
    pub fn prepare(&self, request: &mut Request<Body>) -> anyhow::Result<()> {
        let path = request.uri().path_and_query().map_or("/", PathAndQuery::as_str);
        let prefix = self.base.path().trim_end_matches('/');
        let mut parts = Parts::default();
        parts.scheme = self.base.scheme().cloned();
        parts.authority = self.base.authority().cloned();
        parts.path_and_query = Some(format!("{prefix}{path}").parse()?);
        *request.uri_mut() = Uri::from_parts(parts)?;
        for (name, value) in &self.headers {
            request.headers_mut().append(name.clone(), value.clone());
        }
        if let Some(file) = &self.token_file {
            let token = std::fs::read_to_string(file).with_context(|| format!("read the token in {file}"))?;
            request.headers_mut().insert(header::AUTHORIZATION, secret_header("Bearer", token.trim())?);
        }
        Ok(())
    }
}

/// Makes sessions when they are first needed, and anew when the server no longer accepts one.
pub struct Sessions {
    config: kube::Config,
    exec: Option<ExecConfig>,
    interactive: bool,
    now: Arc<Mutex<Option<Arc<Session>>>>,
}

impl Sessions {
    pub fn new(config: kube::Config, exec: Option<ExecConfig>, interactive: bool) -> Self {
        Sessions { config, exec, interactive, now: Arc::default() }
    }

    pub fn address(&self) -> String {
        self.config.cluster_url.to_string().trim_end_matches('/').to_owned()
    }

    pub async fn current(&self) -> anyhow::Result<Arc<Session>> {
        let mut now = self.now.lock().await;
        if let Some(session) = now.as_ref() {
            let soon = Timestamp::now().saturating_add(10.seconds()).unwrap_or(Timestamp::MAX);
            if session.expires.is_none_or(|e| e > soon) {
                return Ok(session.clone());
            }
        }
        let session = Arc::new(self.make().await?);
        *now = Some(session.clone());
        Ok(session)
    }

    /// After a 401: whether there is a newer session than `refused` to try.
    pub async fn renew(&self, refused: &Arc<Session>) -> anyhow::Result<bool> {
        if self.exec.is_none() {
            return Ok(false);
        }
        let mut now = self.now.lock().await;
        if now.as_ref().is_some_and(|s| Arc::ptr_eq(s, refused)) {
            *now = Some(Arc::new(self.make().await?));
        }
        Ok(true)
    }

    async fn make(&self) -> anyhow::Result<Session> {
        let mut config = self.config.clone();
        let mut auth = serde_json::to_value(&config.auth_info)?;
        let mut expires = None;
        if let Some(plugin) = &self.exec {
            let credential = exec::run(plugin, self.interactive).await?;
            expires = credential.expiration_timestamp;
            if let Some(token) = credential.token {
                auth["token"] = token.into();
            }
            if let (Some(certificate), Some(key)) =
                (credential.client_certificate_data, credential.client_key_data)
            {
                let base64 = |text: String| base64::engine::general_purpose::STANDARD.encode(text);
                auth["client-certificate-data"] = base64(certificate).into();
                auth["client-key-data"] = base64(key).into();
                config.auth_info = serde_json::from_value(auth.clone())?;
            }
        }
        let text = |key: &str| auth.get(key).and_then(|v| v.as_str()).filter(|t| !t.is_empty());
        let mut headers = impersonation(&config.auth_info)?;
        headers.insert(
            header::USER_AGENT,
            HeaderValue::from_static(concat!("msctl/", env!("CARGO_PKG_VERSION"))),
        );
        if let Some(token) = text("token") {
            headers.insert(header::AUTHORIZATION, secret_header("Bearer", token)?);
        } else if let Some(user) = text("username") {
            let pair = format!("{user}:{}", text("password").unwrap_or_default());
            let pair = base64::engine::general_purpose::STANDARD.encode(pair);
            headers.insert(header::AUTHORIZATION, secret_header("Basic", &pair)?);
        }
        let token_file = config.auth_info.token_file.clone().filter(|_| text("token").is_none());
        let send = pool(&config)?;
        Ok(Session { send, base: config.cluster_url.clone(), headers, token_file, expires })
    }
}

fn secret_header(scheme: &str, secret: &str) -> anyhow::Result<HeaderValue> {
    let mut value = HeaderValue::from_str(&format!("{scheme} {secret}"))
        .map_err(|_| Failure::failed("bad-token", "the token has characters that no header can carry"))?;
    value.set_sensitive(true);
    Ok(value)
}

fn impersonation(auth: &kube::config::AuthInfo) -> anyhow::Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    let mut add = |name: &'static str, value: &str| -> anyhow::Result<()> {
        headers.append(name, HeaderValue::from_str(value).with_context(|| format!("the header {name}"))?);
        Ok(())
    };
    if let Some(user) = &auth.impersonate {
        add("impersonate-user", user)?;
    }
    if let Some(uid) = &auth.impersonate_uid {
        add("impersonate-uid", uid)?;
    }
    for group in auth.impersonate_groups.iter().flatten() {
        add("impersonate-group", group)?;
    }
    Ok(headers)
}

fn pool(config: &kube::Config) -> anyhow::Result<Box<Send>> {
    // The only provider linked; a second installation is refused, and that is fine.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(CONNECT));
    connector.set_keepalive(Some(Duration::from_secs(15)));
    connector.set_keepalive_interval(Some(Duration::from_secs(5)));
    connector.set_keepalive_retries(Some(3));
    let mut builder = hyper_util::client::legacy::Builder::new(TokioExecutor::new());
    builder.pool_timer(TokioTimer::new()).timer(TokioTimer::new());
    let Some(proxy) = &config.proxy_url else {
        let client = builder.build(config.rustls_https_connector_with_connector(connector)?);
        return Ok(Box::new(move |request| Box::pin(client.request(request))));
    };
    let authority = proxy.authority().map_or("", |a| a.as_str());
    let user = authority.rsplit_once('@').map(|(user, _)| user);
    let basic = user.map(|user| {
        let plain = percent_encoding::percent_decode_str(user).collect::<Vec<u8>>();
        secret_header("Basic", &base64::engine::general_purpose::STANDARD.encode(plain))
    });
    let basic = basic.transpose()?;
    match proxy.scheme_str() {
        Some("http") => {
            let mut tunnel = Tunnel::new(proxy.clone(), connector);
            if let Some(basic) = basic {
                tunnel = tunnel.with_auth(basic);
            }
            let client = builder.build(config.rustls_https_connector_with_connector(tunnel)?);
            Ok(Box::new(move |request| Box::pin(client.request(request))))
        }
        Some("https") => {
            let secure = config.rustls_https_connector_with_connector(connector)?;
            let mut tunnel = Tunnel::new(proxy.clone(), secure);
            if let Some(basic) = basic {
                tunnel = tunnel.with_auth(basic);
            }
            let client = builder.build(config.rustls_https_connector_with_connector(tunnel)?);
            Ok(Box::new(move |request| Box::pin(client.request(request))))
        }
        _ => Err(Failure::failed(
            "proxy",
            format!("proxies of the kind {:?} are not supported", proxy.scheme_str()),
        )
        .hint("use an http or https proxy, or set NO_PROXY for the cluster")
        .into()),
    }
}
