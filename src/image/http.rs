//! A small HTTP client for registries: HTTPS by the system's certificates, proxies as the environment says, no redirects
//! with credentials. TLS is set up with the first HTTPS request, since plain registries need none.

use std::sync::OnceLock;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::header::{AUTHORIZATION, HeaderMap, LOCATION, USER_AGENT};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::TokioExecutor;

use crate::settings::Env;

/// No manifest, token or error is larger.
const LIMIT: usize = 8 << 20;

pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

pub struct Client {
    plain: Pool<HttpConnector, Full<Bytes>>,
    secure: OnceLock<Pool<HttpsConnector<HttpConnector>, Full<Bytes>>>,
    proxies: Matcher,
    patience: Duration,
}

impl Client {
    pub fn new(env: &Env, patience: Duration) -> anyhow::Result<Self> {
        let var =
            |upper: &str| env.get(&upper.to_lowercase()).or(env.get(upper)).unwrap_or_default().to_owned();
        let proxies =
            Matcher::builder().https(var("HTTPS_PROXY")).all(var("ALL_PROXY")).no(var("NO_PROXY")).build();
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(Duration::from_secs(10)));
        Ok(Client {
            plain: Pool::builder(TokioExecutor::new()).build(connector),
            secure: OnceLock::new(),
            proxies,
            patience,
        })
    }

    pub async fn send(
        &self,
        method: Method,
        url: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> anyhow::Result<Answer> {
        let mut url: Uri = url.parse().with_context(|| format!("{url} is not an address"))?;
        let mut headers = headers;
        for _ in 0..4 {
            let answer = tokio::time::timeout(self.patience, self.once(&method, &url, &headers, &body))
                .await
                .map_err(|_| anyhow::anyhow!("no answer in {} s", self.patience.as_secs()))??;
            let moved = answer.status.is_redirection() && matches!(method, Method::GET | Method::HEAD);
            let Some(to) = answer.headers.get(LOCATION).filter(|_| moved).and_then(|l| l.to_str().ok())
            else {
                return Ok(answer);
            };
            let next: Uri = if to.starts_with('/') {
                let base = format!(
                    "{}://{}",
                    url.scheme_str().unwrap_or("https"),
                    url.authority().map_or("", |a| a.as_str())
                );
                (base + to).parse()?
            } else {
                to.parse()?
            };
            if next.authority() != url.authority() {
                headers.remove(AUTHORIZATION);
                let secret = headers.iter().filter(|(_, value)| value.is_sensitive());
                let secret: Vec<_> = secret.map(|(name, _)| name.clone()).collect();
                secret.into_iter().for_each(|name| {
                    headers.remove(name);
                });
            }
            url = next;
        }
        anyhow::bail!("redirected too often")
    }

    async fn once(
        &self,
        method: &Method,
        url: &Uri,
        headers: &HeaderMap,
        body: &Bytes,
    ) -> anyhow::Result<Answer> {
        let mut request = Request::builder().method(method.clone()).uri(url.clone());
        if let Some(all) = request.headers_mut() {
            all.extend(headers.clone());
            all.insert(
                USER_AGENT,
                hyper::header::HeaderValue::from_static(concat!("msctl/", env!("CARGO_PKG_VERSION"))),
            );
        }
        let request = request.body(Full::new(body.clone()))?;
        let response = match (url.scheme_str(), self.proxies.intercept(url)) {
            (Some("http"), _) => self.plain.request(request).await?,
            (_, None) => self.secure()?.request(request).await?,
            (_, Some(proxy)) => {
                let mut tunnel = Tunnel::new(proxy.uri().clone(), HttpConnector::new());
                if let Some(auth) = proxy.basic_auth() {
                    tunnel = tunnel.with_auth(auth.clone());
                }
                let connector = tls()?.https_or_http().enable_http1().wrap_connector(tunnel);
                Pool::builder(TokioExecutor::new()).build(connector).request(request).await?
            }
        };
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, LIMIT).collect().await.map_err(|e| anyhow::anyhow!(e))?.to_bytes();
        Ok(Answer { status: parts.status, headers: parts.headers, body })
    }

    fn secure(&self) -> anyhow::Result<&Pool<HttpsConnector<HttpConnector>, Full<Bytes>>> {
        if let Some(pool) = self.secure.get() {
            return Ok(pool);
        }
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_connect_timeout(Some(Duration::from_secs(10)));
        let pool = Pool::builder(TokioExecutor::new())
            .build(tls()?.https_or_http().enable_http1().wrap_connector(connector));
        Ok(self.secure.get_or_init(|| pool))
    }
}

fn tls() -> anyhow::Result<HttpsConnectorBuilder<hyper_rustls::builderstates::WantsSchemes>> {
    let provider = rustls::crypto::ring::default_provider();
    HttpsConnectorBuilder::new()
        .with_provider_and_native_roots(provider)
        .context("read the system's certificates")
}
