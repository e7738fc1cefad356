//! The session a BuildKit build calls back on: the engine asks for the files it lacks, for registry logins and secrets.
//!
//! Bollard has sessions, but none that serves files, so its builds upload the whole context each time, and a Dockerfile
//! that `.dockerignore` leaves out would be in the image. This is what the docker CLI does: HTTP/2 and gRPC with the
//! roles turned round, over a connection taken from `POST /session`; the messages are Bollard's.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Task, Poll};

use anyhow::Context as _;
use bollard::health::health_check_response::ServingStatus;
use bollard::health::health_server::{Health, HealthServer};
use bollard::health::{HealthCheckRequest, HealthCheckResponse, HealthListRequest, HealthListResponse};
use bollard::moby::buildkit::secrets::v1::secrets_server::{Secrets, SecretsServer};
use bollard::moby::buildkit::secrets::v1::{GetSecretRequest, GetSecretResponse};
use bollard::moby::filesync::packet::file_sync_server::FileSyncServer;
use bollard::moby::filesync::v1 as auth;
use bollard::moby::filesync::v1::auth_server::{Auth, AuthServer};
use bytes::Bytes;
use http_body_util::Empty;
use hyper::upgrade::Upgraded;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tonic::transport::server::Connected;
use tonic::{Response, Status};

use super::credentials::Credentials;
use super::engine::{Address, Tls};
use super::filesync::Files;

const METHODS: [&str; 4] = [
    "/grpc.health.v1.Health/Check",
    "/moby.filesync.v1.FileSync/DiffCopy",
    "/moby.filesync.v1.Auth/Credentials",
    "/moby.buildkit.secrets.v1.Secrets/GetSecret",
];

/// Build secrets by their id.
pub type SecretValues = BTreeMap<String, Vec<u8>>;

/// Opens the session `id` at the engine and serves it until the engine ends it.
pub async fn open(
    address: &Address,
    id: &str,
    shared_key: &str,
    files: Files,
    credentials: Arc<Credentials>,
    secrets: Arc<SecretValues>,
) -> anyhow::Result<()> {
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(connect(address).await?)).await?;
    tokio::spawn(connection.with_upgrades());
    let mut request = Request::post("/session")
        .header("Host", "docker")
        .header("Connection", "Upgrade")
        .header("Upgrade", "h2c")
        .header("X-Docker-Expose-Session-Uuid", id)
        .header("X-Docker-Expose-Session-Name", "msctl")
        .header("X-Docker-Expose-Session-Sharedkey", shared_key);
    for method in METHODS {
        request = request.header("X-Docker-Expose-Session-Grpc-Method", method);
    }
    let response =
        sender.send_request(request.body(Empty::<Bytes>::new())?).await.context("open a build session")?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        anyhow::bail!("the engine has no build sessions: it answered {}", response.status());
    }
    let upgraded =
        Connection(TokioIo::new(hyper::upgrade::on(response).await.context("open a build session")?));
    // The engine asks for each file in a frame of its own, thousands at once; h2 takes many small unread frames for an
    // attack, by a measure that grows with this window.
    let router = tonic::transport::Server::builder()
        .initial_connection_window_size(Some(i32::MAX.unsigned_abs()))
        .add_service(HealthServer::new(Alive))
        .add_service(FileSyncServer::new(files))
        .add_service(AuthServer::new(Logins(credentials)))
        .add_service(SecretsServer::new(Vault(secrets)));
    // The engine sees a broken session and fails the build with the reason: nothing to add here.
    tokio::spawn(router.serve_with_incoming(futures::stream::iter([Ok::<_, std::io::Error>(upgraded)])));
    Ok(())
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

async fn connect(address: &Address) -> anyhow::Result<Box<dyn Stream>> {
    Ok(match address {
        Address::Unix(path) => Box::new(tokio::net::UnixStream::connect(path).await?),
        Address::Tcp { host, tls: None } => Box::new(tokio::net::TcpStream::connect(host.as_str()).await?),
        Address::Tcp { host, tls: Some(tls) } => {
            let name = host.rsplit_once(':').map_or(host.as_str(), |(name, _)| name).trim_matches(['[', ']']);
            let name = ServerName::try_from(name.to_owned())?;
            let tcp = tokio::net::TcpStream::connect(host.as_str()).await?;
            Box::new(tokio_rustls::TlsConnector::from(Arc::new(config(tls)?)).connect(name, tcp).await?)
        }
    })
}

fn config(tls: &Tls) -> anyhow::Result<rustls::ClientConfig> {
    let file = |name: &str| tls.folder.join(name);
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file("ca.pem")).context("read the engine's ca.pem")? {
        roots.add(certificate?)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config =
        rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let config = config.with_root_certificates(roots);
    if !file("cert.pem").is_file() {
        return Ok(config.with_no_client_auth());
    }
    let chain = CertificateDer::pem_file_iter(file("cert.pem"))?.collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_file(file("key.pem")).context("read the engine's key.pem")?;
    Ok(config.with_client_auth_cert(chain, key)?)
}

/// The taken-over connection, as tonic wants it.
struct Connection(TokioIo<Upgraded>);

impl Connected for Connection {
    type ConnectInfo = ();
    fn connect_info(&self) {}
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Task<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Task<'_>, buf: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Task<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Task<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// The engine asks every few seconds whether the session lives.
struct Alive;

#[tonic::async_trait]
impl Health for Alive {
    async fn check(
        &self,
        _: tonic::Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        Ok(Response::new(HealthCheckResponse { status: ServingStatus::Serving.into() }))
    }
    async fn list(
        &self,
        _: tonic::Request<HealthListRequest>,
    ) -> Result<Response<HealthListResponse>, Status> {
        Err(Status::unimplemented("list"))
    }
    type WatchStream = futures::stream::Empty<Result<HealthCheckResponse, Status>>;
    async fn watch(
        &self,
        _: tonic::Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        Err(Status::unimplemented("watch"))
    }
}

/// Logins for the base images' registries.
struct Logins(Arc<Credentials>);

#[tonic::async_trait]
impl Auth for Logins {
    async fn credentials(
        &self,
        request: tonic::Request<auth::CredentialsRequest>,
    ) -> Result<Response<auth::CredentialsResponse>, Status> {
        use super::credentials::Login;
        let host = request.into_inner().host;
        let host = if host == "registry-1.docker.io" { "docker.io" } else { host.as_str() };
        let (username, secret) = match self.0.login(host).await {
            Login::Anonymous(_) => Default::default(),
            Login::Password { user, password } => (user, password),
            Login::Identity(token) => (String::new(), token),
        };
        Ok(Response::new(auth::CredentialsResponse { username, secret }))
    }
    async fn fetch_token(
        &self,
        _: tonic::Request<auth::FetchTokenRequest>,
    ) -> Result<Response<auth::FetchTokenResponse>, Status> {
        Err(Status::unimplemented("the engine fetches tokens itself"))
    }
    async fn get_token_authority(
        &self,
        _: tonic::Request<auth::GetTokenAuthorityRequest>,
    ) -> Result<Response<auth::GetTokenAuthorityResponse>, Status> {
        Err(Status::unimplemented("the engine fetches tokens itself"))
    }
    async fn verify_token_authority(
        &self,
        _: tonic::Request<auth::VerifyTokenAuthorityRequest>,
    ) -> Result<Response<auth::VerifyTokenAuthorityResponse>, Status> {
        Err(Status::unimplemented("the engine fetches tokens itself"))
    }
}

/// `RUN --mount=type=secret`.
struct Vault(Arc<SecretValues>);

#[tonic::async_trait]
impl Secrets for Vault {
    async fn get_secret(
        &self,
        request: tonic::Request<GetSecretRequest>,
    ) -> Result<Response<GetSecretResponse>, Status> {
        let id = request.into_inner().id;
        match self.0.get(&id) {
            Some(value) => Ok(Response::new(GetSecretResponse { data: value.clone() })),
            None => Err(Status::not_found(format!("no --secret id={id} was given"))),
        }
    }
}
