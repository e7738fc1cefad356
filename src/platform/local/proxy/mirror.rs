//! Copies of requests for a candidate that answers nobody. At most so many are under way; what comes on top is not
//! copied, so that a slow or broken candidate costs the clients nothing.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use hyper::http::request::Parts;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::backend::{Body, Busy, Endpoint};

/// Copies under way at once, of one service.
pub const COPIES: usize = 64;
/// Larger bodies are not kept for a copy.
const LARGEST: usize = 64 * 1024;
const PATIENCE: Duration = Duration::from_secs(10);

/// A copy that may be sent as soon as its body is known.
pub struct Copy {
    head: Parts,
    endpoint: Arc<Endpoint>,
    _permit: OwnedSemaphorePermit,
}

impl Copy {
    /// None where too many are under way.
    pub fn of(head: &Parts, endpoint: &Arc<Endpoint>, room: &Arc<Semaphore>) -> Option<Self> {
        let _permit = room.clone().try_acquire_owned().ok()?;
        Some(Copy { head: head.clone(), endpoint: endpoint.clone(), _permit })
    }

    /// Sends it; nobody waits for the answer.
    pub fn send(self, body: Bytes) {
        tokio::spawn(async move {
            // A copy's fate concerns nobody but the counters of the process itself.
            let _ = tokio::time::timeout(PATIENCE, self.exchange(body)).await;
        });
    }

    async fn exchange(self, body: Bytes) {
        let _busy = Busy::with(&self.endpoint);
        let body: Body = Full::new(body).map_err(|never| match never {}).boxed_unsync();
        let request = Request::from_parts(self.head, body);
        if let Ok((mut sender, _)) = self.endpoint.connection().await
            && let Ok(response) = sender.send_request(request).await
        {
            let mut answer = response.into_body();
            while let Some(Ok(_)) = answer.frame().await {}
            self.endpoint.keep(sender);
        }
    }
}

/// A request's body on its way to the one who answers; when all of it went by, the copy is sent with the same.
pub struct Tee {
    body: Incoming,
    seen: BytesMut,
    copy: Option<Copy>,
}

impl Tee {
    pub fn new(body: Incoming, copy: Copy) -> Self {
        Tee { body, seen: BytesMut::new(), copy: Some(copy) }
    }

    fn over(&mut self) {
        if let Some(copy) = self.copy.take() {
            copy.send(std::mem::take(&mut self.seen).freeze());
        }
    }
}

impl HttpBody for Tee {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        match &frame {
            None => self.over(),
            Some(Err(_)) => self.copy = None,
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    if self.seen.len() + data.len() > LARGEST {
                        self.copy = None;
                    }
                    if self.copy.is_some() {
                        self.seen.extend_from_slice(data);
                    }
                }
                if self.body.is_end_stream() {
                    self.over();
                }
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
