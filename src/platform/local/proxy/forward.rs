//! Takes one request to a process and its answer back. A request that never reached a process goes to the
//! next one; one that may have is sent again only if repeating it is harmless.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::{Body as _, Incoming};
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode, Version};
use hyper_util::rt::TokioIo;

use super::Proxy;
use super::backend::{Body, Busy, Endpoint};
use super::mirror::{Copy, Tee};
use crate::rollout::Slot;

const SLOT: HeaderName = HeaderName::from_static("x-msctl-slot");
const REVISION: HeaderName = HeaderName::from_static("x-msctl-revision");

/// Headers that speak of one connection only (RFC 9110, section 7.6.1).
const HOP: [HeaderName; 7] = [
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

pub async fn forward(proxy: Arc<Proxy>, peer: SocketAddr, request: Request<Incoming>) -> Response<Body> {
    let began = Instant::now();
    let table = proxy.table();
    let mut out = Outgoing::of(request, peer);
    let slot = table.rules.as_ref().map_or(Slot::Blue, |rules| rules.slot(&out.head));
    if let Some(rules) = &table.rules
        && out.upgrade.is_none()
        && slot != rules.routing.candidate
        && rules.copied(&out.head.method)
        && let Some(endpoint) = table.of_turn(rules.routing.candidate)
        && let Some(copy) = Copy::of(&out.head, endpoint, &proxy.room)
    {
        proxy.counters(rules.routing.candidate).mirrored();
        out.copy(copy);
    }
    let held = out.head.headers.get_all(header::COOKIE).iter().cloned().collect::<Vec<_>>();
    let answer = out.reach_one_of(&table.candidates(slot)).await;
    let (response, served) = match answer {
        Answer::Of(endpoint, mut response) => {
            let told = table.rules.as_ref().and_then(|rules| rules.remember(endpoint.slot, &held));
            if let Some(cookie) = told {
                response.headers_mut().append(header::SET_COOKIE, cookie);
            }
            (*response, endpoint.slot)
        }
        Answer::Lost(endpoint) => (
            sorry(StatusCode::BAD_GATEWAY, "the process broke the connection before it answered"),
            endpoint.slot,
        ),
        Answer::Nobody => {
            let text = format!("no process of {} is ready; msctl status says why", proxy.name);
            (sorry(StatusCode::SERVICE_UNAVAILABLE, &text), slot)
        }
    };
    proxy.counters(served).request(response.status().is_server_error(), began.elapsed());
    response
}

enum Answer {
    Of(Arc<Endpoint>, Box<Response<Body>>),
    /// Sent, and then the connection ended.
    Lost(Arc<Endpoint>),
    Nobody,
}

/// A request ready to be sent on.
struct Outgoing {
    head: Parts,
    body: Option<Incoming>,
    /// Sent when the body is known.
    copy: Option<Copy>,
    upgrade: Option<hyper::upgrade::OnUpgrade>,
}

impl Outgoing {
    fn of(mut request: Request<Incoming>, peer: SocketAddr) -> Self {
        let upgrade = wants_upgrade(request.headers()).then(|| hyper::upgrade::on(&mut request));
        let (mut head, body) = request.into_parts();
        let protocol = head.headers.get(header::UPGRADE).cloned().filter(|_| upgrade.is_some());
        strip(&mut head.headers);
        if let Some(protocol) = protocol {
            head.headers.insert(header::UPGRADE, protocol);
            head.headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        }
        // HTTP/1.1 wants a Host; whatever the client spoke, the process is spoken to in 1.1.
        head.version = Version::HTTP_11;
        if !head.headers.contains_key(header::HOST) {
            head.headers.insert(header::HOST, HeaderValue::from_static("localhost"));
        }
        let first = |name: &'static str, value: Option<HeaderValue>, headers: &mut HeaderMap| {
            if let Some(value) = value.filter(|_| !headers.contains_key(name)) {
                headers.insert(name, value);
            }
        };
        let host = head.headers.get(header::HOST).cloned();
        first("x-forwarded-for", peer.ip().to_string().parse().ok(), &mut head.headers);
        first("x-forwarded-proto", Some(HeaderValue::from_static("http")), &mut head.headers);
        first("x-forwarded-host", host, &mut head.headers);
        let body = (!body.is_end_stream()).then_some(body);
        Outgoing { head, body, copy: None, upgrade }
    }

    /// Sending it twice does no more than sending it once, and nothing of it is consumed by sending.
    fn repeatable(&self) -> bool {
        let safe = [Method::GET, Method::HEAD, Method::OPTIONS, Method::TRACE];
        self.body.is_none() && self.upgrade.is_none() && safe.contains(&self.head.method)
    }

    fn copy(&mut self, copy: Copy) {
        match self.body {
            None => copy.send(Bytes::new()),
            Some(_) => self.copy = Some(copy),
        }
    }

    fn again(&self) -> Request<Body> {
        let empty = Empty::<Bytes>::new().map_err(|never| match never {}).boxed_unsync();
        Request::from_parts(self.head.clone(), empty)
    }

    async fn reach_one_of(mut self, endpoints: &[Arc<Endpoint>]) -> Answer {
        let repeatable = self.repeatable();
        let mut request = self.again();
        if let Some(body) = self.body.take() {
            *request.body_mut() = match self.copy.take() {
                Some(copy) => Tee::new(body, copy).boxed_unsync(),
                None => body.boxed_unsync(),
            };
        }
        let mut lost = None;
        let mut tries = endpoints.iter();
        let mut next = tries.next();
        while let Some(endpoint) = next {
            let busy = Busy::with(endpoint);
            let Ok((mut sender, kept)) = endpoint.connection().await else {
                endpoint.suspect.notify_one();
                next = tries.next();
                continue;
            };
            match sender.try_send_request(request).await {
                Ok(response) => {
                    endpoint.keep(sender);
                    let response = self.answered(response, endpoint, busy);
                    return Answer::Of(endpoint.clone(), Box::new(response));
                }
                Err(mut error) => match error.take_message() {
                    Some(unsent) => request = unsent,
                    None if repeatable => {
                        lost = Some(endpoint.clone());
                        request = self.again();
                    }
                    None => return Answer::Lost(endpoint.clone()),
                },
            }
            // A kept connection may just have been closed; the process itself gets a second chance.
            if !kept {
                endpoint.suspect.notify_one();
                next = tries.next();
            }
        }
        lost.map_or(Answer::Nobody, Answer::Lost)
    }

    fn answered(
        &mut self,
        mut response: Response<Incoming>,
        endpoint: &Arc<Endpoint>,
        busy: Busy,
    ) -> Response<Body> {
        let switched = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        if let Some(client) = self.upgrade.take().filter(|_| switched) {
            let process = hyper::upgrade::on(&mut response);
            let busy = Busy::with(endpoint);
            tokio::spawn(async move {
                if let (Ok(client), Ok(process)) = (client.await, process.await) {
                    let (mut client, mut process) = (TokioIo::new(client), TokioIo::new(process));
                    // Either side may end the conversation as it likes.
                    let _ = tokio::io::copy_bidirectional(&mut client, &mut process).await;
                }
                drop(busy);
            });
        } else {
            strip(response.headers_mut());
        }
        let (mut head, body) = response.into_parts();
        head.version = Version::HTTP_11;
        head.headers.insert(SLOT, HeaderValue::from_static(endpoint.slot.name()));
        head.headers.insert(REVISION, endpoint.revision.clone());
        let body = body.map_frame(move |frame| {
            // Busy until the last of the body is through.
            let _ = &busy;
            frame
        });
        Response::from_parts(head, body.boxed_unsync())
    }
}

fn wants_upgrade(headers: &HeaderMap) -> bool {
    let tokens = headers.get_all(header::CONNECTION).iter().filter_map(|v| v.to_str().ok());
    let asked = tokens.flat_map(|v| v.split(',')).any(|t| t.trim().eq_ignore_ascii_case("upgrade"));
    asked && headers.contains_key(header::UPGRADE)
}

/// Removes what concerns one connection only, and what `Connection` names as such.
fn strip(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(','))
        .filter_map(|t| t.trim().parse().ok())
        .collect();
    for name in named.iter().chain(&HOP) {
        headers.remove(name);
    }
    headers.remove("keep-alive");
    headers.remove("proxy-connection");
}

fn sorry(status: StatusCode, text: &str) -> Response<Body> {
    let body = Full::new(Bytes::from(format!("{text}\n"))).map_err(|never| match never {}).boxed_unsync();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}
