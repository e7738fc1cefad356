//! The proxy as its users meet it: splits, matches, mirrors, refused and slow backends.

use super::*;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{HeaderMap, Request, Response, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::rollout::{Affinity, HeaderMatch, Match, MatchValue, Mirror};

/// A process that answers every request with its name, the request's target and its body.
async fn backend(name: &'static str) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let service = service_fn(move |request: Request<Incoming>| async move {
                let head = format!("{name} {} {}", request.method(), request.uri());
                let forwarded = request.headers().contains_key("x-forwarded-for");
                assert!(forwarded && !request.headers().contains_key("x-hop"));
                let body = request.into_body().collect().await?.to_bytes();
                let text = format!("{head} {}", String::from_utf8_lossy(&body));
                Ok::<_, hyper::Error>(Response::new(Full::new(Bytes::from(text))))
            });
            tokio::spawn(
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
            );
        }
    });
    port
}

/// Closes every connection after `answer`, without waiting for anything.
async fn raw_backend(answer: &'static [u8]) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut head = [0; 1024];
                let _ = stream.read(&mut head).await.unwrap();
                stream.write_all(answer).await.unwrap();
            });
        }
    });
    port
}

fn front(proxy: &Arc<Proxy>) -> Front {
    Front::open(proxy, 0).unwrap()
}

fn green(weight: u8) -> Routing {
    Routing::split(Slot::Green, weight)
}

struct Client(hyper::client::conn::http1::SendRequest<Full<Bytes>>);

impl Client {
    async fn to(port: u16) -> Self {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Client(sender)
    }
    async fn send(
        &mut self,
        method: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> (StatusCode, HeaderMap, String) {
        self.0.ready().await.unwrap();
        let mut request = Request::builder().method(method).uri("/path?q=1").header("host", "shop");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::from(body.to_owned()))).unwrap();
        let response = self.0.send_request(request).await.unwrap();
        let (head, body) = response.into_parts();
        let text = body.collect().await.unwrap().to_bytes();
        (head.status, head.headers, String::from_utf8_lossy(&text).into_owned())
    }
    async fn get(&mut self) -> (StatusCode, String) {
        let (status, _, text) = self.send("GET", &[], "").await;
        (status, text)
    }
}

#[tokio::test]
async fn shares_are_exact_over_one_connection() {
    let (blue, green_port) = (backend("blue").await, backend("green").await);
    let proxy = Proxy::new("shop");
    let endpoints =
        || [vec![Endpoint::new(Slot::Blue, 1, blue)], vec![Endpoint::new(Slot::Green, 2, green_port)]];
    let front = front(&proxy);
    let mut client = Client::to(front.port).await;
    for weight in [10, 50, 90] {
        proxy.set(Some(&green(weight)), endpoints());
        let mut to_green = 0;
        for _ in 0..1000 {
            let (status, text) = client.get().await;
            assert_eq!(status, 200);
            to_green += u32::from(text.starts_with("green GET /path?q=1"));
        }
        assert_eq!(to_green, u32::from(weight) * 10);
    }
    let counted = proxy.counters(Slot::Green).read();
    assert_eq!((counted.requests, counted.errors), (1500, 0));
}

#[tokio::test]
async fn answers_name_slot_and_revision_and_hop_headers_stay() {
    let proxy = Proxy::new("shop");
    proxy.set(Some(&green(100)), [vec![], vec![Endpoint::new(Slot::Green, 7, backend("green").await)]]);
    let front = front(&proxy);
    let mut client = Client::to(front.port).await;
    let headers = [("connection", "keep-alive, x-hop"), ("x-hop", "1")];
    let (status, headers, text) = client.send("POST", &headers, "hello").await;
    assert_eq!((status, text.as_str()), (StatusCode::OK, "green POST /path?q=1 hello"));
    assert_eq!(
        (&headers["x-msctl-slot"], &headers["x-msctl-revision"]),
        (&"green".parse().unwrap(), &"7".parse().unwrap())
    );
}

#[tokio::test]
async fn a_refused_connection_goes_to_the_next_process_whatever_the_method() {
    let closed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap().local_addr().unwrap().port();
    let proxy = Proxy::new("shop");
    let both =
        vec![Endpoint::new(Slot::Blue, 1, closed), Endpoint::new(Slot::Blue, 1, backend("blue").await)];
    proxy.set(Some(&Routing::all(Slot::Blue)), [both, vec![]]);
    let front = front(&proxy);
    let mut client = Client::to(front.port).await;
    for _ in 0..4 {
        let (status, _, text) = client.send("POST", &[], "body").await;
        assert_eq!((status, text.as_str()), (StatusCode::OK, "blue POST /path?q=1 body"));
    }
}

#[tokio::test]
async fn a_broken_answer_is_repeated_only_where_that_is_harmless() {
    let breaks = raw_backend(b"").await;
    let proxy = Proxy::new("shop");
    let both =
        vec![Endpoint::new(Slot::Blue, 1, breaks), Endpoint::new(Slot::Blue, 1, backend("blue").await)];
    proxy.set(Some(&Routing::all(Slot::Blue)), [both, vec![]]);
    let front = front(&proxy);
    let mut client = Client::to(front.port).await;
    let (status, text) = client.get().await;
    assert_eq!(status, 200, "{text}");
    assert_eq!(client.get().await.0, 200);
    let (status, _, text) = client.send("POST", &[], "pay").await;
    assert_eq!((status, text.contains("broke")), (StatusCode::BAD_GATEWAY, true), "{text}");
}

#[tokio::test]
async fn a_kept_connection_that_closed_costs_no_request() {
    let closes = raw_backend(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    let proxy = Proxy::new("shop");
    proxy.set(Some(&Routing::all(Slot::Blue)), [vec![Endpoint::new(Slot::Blue, 1, closes)], vec![]]);
    let front = front(&proxy);
    let mut client = Client::to(front.port).await;
    for _ in 0..20 {
        assert_eq!(client.get().await, (StatusCode::OK, "ok".to_owned()));
    }
}

#[tokio::test]
async fn nobody_ready_is_said_and_only_a_slot_with_a_share_stands_in() {
    let proxy = Proxy::new("shop");
    let front = front(&proxy);
    let mut client = Client::to(front.port).await;
    let (status, text) = client.get().await;
    assert_eq!(
        (status, text.contains("no process of shop is ready")),
        (StatusCode::SERVICE_UNAVAILABLE, true)
    );
    let blue = backend("blue").await;
    let stands_in = || [vec![Endpoint::new(Slot::Blue, 1, blue)], vec![]];
    proxy.set(Some(&green(100)), stands_in());
    assert_eq!(client.get().await.0, 503);
    proxy.set(Some(&green(50)), stands_in());
    for _ in 0..4 {
        assert_eq!(client.get().await.0, 200);
    }
}

#[tokio::test]
async fn mirrored_requests_are_answered_by_the_other_slot() {
    let proxy = Proxy::new("shop");
    let mirror = Mirror { percent: 20, methods: vec!["GET".into()] };
    let routing = Routing { mirror: Some(mirror), ..green(0) };
    let endpoints = [
        vec![Endpoint::new(Slot::Blue, 1, backend("blue").await)],
        vec![Endpoint::new(Slot::Green, 2, backend("green").await)],
    ];
    proxy.set(Some(&routing), endpoints);
    let front = front(&proxy);
    let mut client = Client::to(front.port).await;
    for _ in 0..50 {
        assert!(client.get().await.1.starts_with("blue"));
    }
    assert_eq!(proxy.counters(Slot::Green).read().mirrored, 10);
    assert_eq!(proxy.counters(Slot::Green).read().requests, 0);
}

/// Reads requests and never answers one.
async fn silent_backend() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let mut open = Vec::new();
        loop {
            open.push(listener.accept().await.unwrap());
        }
    });
    port
}

fn mirror(percent: u8, methods: &[&str]) -> Option<Mirror> {
    Some(Mirror { percent, methods: methods.iter().map(|m| (*m).to_owned()).collect() })
}

/// A candidate that hangs: clients are answered as fast as ever, and what cannot be copied is not.
#[tokio::test]
async fn a_mirror_that_hangs_slows_nobody() {
    let proxy = Proxy::new("shop");
    let routing = Routing { mirror: mirror(100, &["GET"]), ..Routing::all(Slot::Blue) };
    let endpoints = [
        vec![Endpoint::new(Slot::Blue, 1, backend("blue").await)],
        vec![Endpoint::new(Slot::Green, 2, silent_backend().await)],
    ];
    proxy.set(Some(&Routing { candidate: Slot::Green, ..routing }), endpoints);
    let front = front(&proxy);
    let mut client = Client::to(front.port).await;
    let began = Instant::now();
    for _ in 0..500 {
        assert!(client.get().await.1.starts_with("blue"));
    }
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert_eq!(proxy.counters(Slot::Green).read().mirrored, mirror::COPIES as u64, "no more at once");
}

/// A body reaches both; the client gets the answer of the one that serves.
#[tokio::test]
async fn a_body_is_copied_where_its_method_is_meant() {
    let (seen, mut copies) = tokio::sync::mpsc::unbounded_channel();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let seen = seen.clone();
            let service = service_fn(move |request: Request<Incoming>| {
                let seen = seen.clone();
                async move {
                    let body = request.into_body().collect().await?.to_bytes();
                    seen.send(body).unwrap();
                    Ok::<_, hyper::Error>(Response::new(Full::new(Bytes::from("copy"))))
                }
            });
            tokio::spawn(
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
            );
        }
    });
    let proxy = Proxy::new("shop");
    let routing = Routing { mirror: mirror(100, &["POST"]), ..Routing::split(Slot::Green, 0) };
    let endpoints = [
        vec![Endpoint::new(Slot::Blue, 1, backend("blue").await)],
        vec![Endpoint::new(Slot::Green, 2, port)],
    ];
    proxy.set(Some(&routing), endpoints);
    let front = front(&proxy);
    let mut client = Client::to(front.port).await;
    assert!(client.get().await.1.starts_with("blue"), "another method");
    let (_, _, text) = client.send("POST", &[], "an order").await;
    assert!(text.starts_with("blue") && text.ends_with("an order"), "{text}");
    let copy = tokio::time::timeout(Duration::from_secs(5), copies.recv()).await.unwrap().unwrap();
    assert_eq!(copy, "an order");
    assert_eq!(proxy.counters(Slot::Green).read().mirrored, 1);
}

#[tokio::test]
async fn a_match_goes_to_the_candidate_and_takes_no_share() {
    let proxy = Proxy::new("shop");
    let exact = |name: &str, cookie: bool, value: &str| {
        let value = MatchValue::Exact(value.into());
        Match { headers: vec![HeaderMatch { name: name.into(), cookie, value }], ..Match::default() }
    };
    let matches = vec![exact("x-user", false, "beta"), exact("group", true, "b")];
    let routing = Routing { matches, ..green(20) };
    let endpoints = [
        vec![Endpoint::new(Slot::Blue, 1, backend("blue").await)],
        vec![Endpoint::new(Slot::Green, 2, backend("green").await)],
    ];
    proxy.set(Some(&routing), endpoints);
    let front = front(&proxy);
    let mut client = Client::to(front.port).await;
    let mut others = 0;
    for _ in 0..500 {
        for header in [("x-user", "beta"), ("cookie", "a=1; group=b")] {
            let (_, _, text) = client.send("GET", &[header], "").await;
            assert!(text.starts_with("green"), "{header:?}");
        }
        others += u32::from(client.get().await.1.starts_with("green"));
    }
    assert_eq!(others, 100);
}

/// 10 000 requests over several connections at once: the shares are within three standard deviations.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_requests_split_within_the_binomial_bound() {
    let proxy = Proxy::new("shop");
    let endpoints = [
        vec![Endpoint::new(Slot::Blue, 1, backend("blue").await)],
        vec![Endpoint::new(Slot::Green, 2, backend("green").await)],
    ];
    let front = front(&proxy);
    for weight in [10u8, 50, 90] {
        proxy.set(Some(&green(weight)), endpoints.clone());
        let port = front.port;
        let clients = (0..8).map(|_| {
            tokio::spawn(async move {
                let mut client = Client::to(port).await;
                let mut hits = 0;
                for _ in 0..1250 {
                    let (status, _, text) = client.send("GET", &[], "").await;
                    assert_eq!(status, 200);
                    hits += u32::from(text.starts_with("green"));
                }
                hits
            })
        });
        let mut hits = 0;
        for client in clients.collect::<Vec<_>>() {
            hits += client.await.unwrap();
        }
        let (share, n) = (f64::from(weight) / 100.0, 10_000.0);
        let bound = 3.0 * (n * share * (1.0 - share)).sqrt();
        assert!((f64::from(hits) - n * share).abs() <= bound, "{hits} of 10000 at weight {weight}");
    }
}

/// The cookie of the first answer decides all later ones, on either side.
#[tokio::test]
async fn a_cohort_stays_where_it_began() {
    let proxy = Proxy::new("shop");
    let affinity = Affinity {
        cookie: "slot".into(),
        max_age: Some(3600),
        candidate: "2".into(),
        stable: Some("1".into()),
    };
    let endpoints = [
        vec![Endpoint::new(Slot::Blue, 1, backend("blue").await)],
        vec![Endpoint::new(Slot::Green, 2, backend("green").await)],
    ];
    proxy.set(Some(&Routing { affinity: Some(affinity), ..green(25) }), endpoints.clone());
    let front = front(&proxy);
    let mut client = Client::to(front.port).await;
    let mut candidates = 0;
    let mut held = String::new();
    for _ in 0..40 {
        let (_, headers, text) = client.send("GET", &[], "").await;
        let cookie = headers[hyper::header::SET_COOKIE].to_str().unwrap();
        let pair = cookie.split(';').next().unwrap().to_owned();
        let green = text.starts_with("green");
        assert_eq!(pair, if green { "slot=2" } else { "slot=1" });
        candidates += u32::from(green);
        for _ in 0..8 {
            let (_, headers, text) = client.send("GET", &[("cookie", pair.as_str())], "").await;
            assert_eq!(text.starts_with("green"), green, "{pair}");
            assert!(!headers.contains_key(hyper::header::SET_COOKIE), "it knows");
        }
        held = pair;
    }
    assert_eq!(candidates, 10, "a quarter of the clients");
    proxy.set(Some(&Routing::all(Slot::Blue)), endpoints);
    for cookie in [held.as_str(), "slot=2"] {
        assert!(
            client.send("GET", &[("cookie", cookie)], "").await.2.starts_with("blue"),
            "weight 0 ends it"
        );
    }
}

#[tokio::test]
async fn an_upgraded_connection_carries_bytes_both_ways() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = vec![0; 2048];
        let n = stream.read(&mut head).await.unwrap();
        let head = String::from_utf8_lossy(&head[..n]).to_lowercase();
        assert!(head.contains("upgrade: websocket") && head.contains("connection: upgrade"), "{head}");
        let answer = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
        stream.write_all(answer).await.unwrap();
        let mut ping = [0; 4];
        stream.read_exact(&mut ping).await.unwrap();
        stream.write_all(&ping).await.unwrap();
    });
    let proxy = Proxy::new("shop");
    let endpoint = Endpoint::new(Slot::Blue, 1, port);
    proxy.set(Some(&Routing::all(Slot::Blue)), [vec![endpoint.clone()], vec![]]);
    let front = front(&proxy);
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, front.port)).await.unwrap();
    let ask = b"GET /ws HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n";
    stream.write_all(ask).await.unwrap();
    let mut answer = vec![0; 1024];
    let n = stream.read(&mut answer).await.unwrap();
    assert!(String::from_utf8_lossy(&answer[..n]).starts_with("HTTP/1.1 101"));
    assert_eq!(endpoint.busy(), 1, "an open conversation counts");
    stream.write_all(b"ping").await.unwrap();
    let mut echo = [0; 4];
    stream.read_exact(&mut echo).await.unwrap();
    assert_eq!(&echo, b"ping");
    drop(stream);
    let began = Instant::now();
    while endpoint.busy() > 0 {
        assert!(began.elapsed() < Duration::from_secs(5));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_taken_port_is_refused() {
    let proxy = Proxy::new("shop");
    let first = front(&proxy);
    let second = Front::open(&proxy, first.port).err().map(|e| e.kind());
    assert_eq!(second, Some(std::io::ErrorKind::AddrInUse));
}
