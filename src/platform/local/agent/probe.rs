//! Asks a process over HTTP how it is, as a kubelet does: 200 to 399 is well.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::Request;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

const TIMEOUT: Duration = Duration::from_secs(1);

/// Why a probe failed.
#[derive(Debug, PartialEq, Eq)]
pub struct Complaint {
    pub text: String,
    /// Nobody listens: certain at the first try.
    pub refused: bool,
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

pub async fn probe(port: u16, path: &str) -> Result<(), Complaint> {
    let complain = |what: String, refused| Complaint { text: format!("GET {path} {what}"), refused };
    match tokio::time::timeout(TIMEOUT, get(port, path, 4096)).await {
        Err(_) => Err(complain(format!("was not answered within {} s", TIMEOUT.as_secs()), false)),
        Ok(Err(e)) => {
            let refused = e
                .downcast_ref::<std::io::Error>()
                .is_some_and(|e| e.kind() == std::io::ErrorKind::ConnectionRefused);
            Err(complain(format!("on port {port}: {e}"), refused))
        }
        Ok(Ok((200..400, _))) => Ok(()),
        Ok(Ok((status, body))) => {
            let line = body.lines().next().unwrap_or_default().chars().take(200).collect::<String>();
            Err(complain(format!("answered {status} {line}").trim_end().to_owned(), false))
        }
    }
}

pub(super) async fn get(port: u16, path: &str, largest: usize) -> anyhow::Result<(u16, String)> {
    let stream = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let request = Request::get(path)
        .header("host", format!("127.0.0.1:{port}"))
        .header("user-agent", "msctl-probe")
        .header("connection", "close")
        .body(Empty::<Bytes>::new())?;
    let response = sender.send_request(request).await?;
    let status = response.status().as_u16();
    let body =
        Limited::new(response.into_body(), largest).collect().await.map(|b| b.to_bytes()).unwrap_or_default();
    connection.abort();
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}
