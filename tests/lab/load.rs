//! A bounded load: GETs one URL at a steady rate, each on a new connection, and counts what comes back.
//! It goes to loopback and the lab's own ranges only.
#![allow(dead_code)]

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

use crate::harness::until;

/// The most any load may be: a bug in a test must not become a flood.
const MOST_A_SECOND: u32 = 500;
const MOST_SECONDS: u64 = 300;
const WORKERS: u32 = 4;

pub struct Load {
    at: SocketAddr,
    path: String,
    host: String,
    headers: Vec<(String, String)>,
    rate: u32,
    seconds: u64,
}

#[derive(Debug, Default)]
pub struct Answers {
    /// Answers of the 200s by the version they name (header X-Version, else "").
    pub versions: BTreeMap<String, usize>,
    pub statuses: BTreeMap<u16, usize>,
    /// Connection errors, time-outs and statuses outside the 200s, in order, with the seconds since the start.
    pub failures: Vec<(f64, String)>,
    pub slowest: Duration,
}

impl Answers {
    pub fn good(&self) -> usize {
        self.versions.values().sum()
    }

    pub fn all(&self) -> usize {
        self.good() + self.failures.len()
    }

    /// Share of the good answers that name this version, 0 to 1.
    pub fn share(&self, version: &str) -> f64 {
        *self.versions.get(version).unwrap_or(&0) as f64 / self.good().max(1) as f64
    }

    /// Panics unless there were answers and none failed.
    pub fn none_failed(self) -> Self {
        assert!(self.good() > 0 && self.failures.is_empty(), "{self:?}");
        self
    }
}

pub struct Sending {
    stop: Arc<AtomicBool>,
    answers: Arc<Mutex<Answers>>,
    workers: Vec<JoinHandle<()>>,
}

impl Load {
    /// `http://ADDRESS:PORT/PATH`, 50 a second for 120 s at most.
    pub fn new(url: &str) -> Self {
        let rest = url.strip_prefix("http://").expect("http://ADDRESS:PORT/PATH");
        let (at, path) = rest.split_once('/').unwrap_or((rest, ""));
        let socket: SocketAddr = at.parse().expect("an address and a port, no name");
        assert!(ours(socket.ip()), "{at} is not an address of the lab");
        Self {
            at: socket,
            path: format!("/{path}"),
            host: at.to_owned(),
            headers: vec![],
            rate: 50,
            seconds: 120,
        }
    }

    pub fn host(mut self, host: &str) -> Self {
        self.host = host.to_owned();
        self
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn rate(mut self, a_second: u32) -> Self {
        self.rate = a_second.clamp(1, MOST_A_SECOND);
        self
    }

    pub fn seconds(mut self, seconds: u64) -> Self {
        self.seconds = seconds.min(MOST_SECONDS);
        self
    }

    /// Once the address takes connections: until kube-proxy has the rules of a new Service, some of them hang.
    pub fn start(self) -> Sending {
        let open = || TcpStream::connect_timeout(&self.at, Duration::from_millis(500)).ok();
        until(10, &format!("{} takes connections", self.at), open);
        let (stop, answers) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Answers::default())));
        let (load, sent, begun) = (Arc::new(self), Arc::new(AtomicU32::new(0)), Instant::now());
        let worker = || {
            let (load, sent, stop, answers) = (load.clone(), sent.clone(), stop.clone(), answers.clone());
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) && begun.elapsed().as_secs() < load.seconds {
                    let turn = f64::from(sent.fetch_add(1, Ordering::Relaxed)) / f64::from(load.rate);
                    sleep(Duration::from_secs_f64(turn).saturating_sub(begun.elapsed()));
                    load.once(begun, &answers);
                }
            })
        };
        let workers = (0..WORKERS).map(|_| worker()).collect();
        Sending { stop, answers, workers }
    }

    /// Exactly so many requests, then the answers.
    pub fn count(self, requests: u32) -> Answers {
        let (answers, begun) = (Mutex::new(Answers::default()), Instant::now());
        for i in 0..requests.min(MOST_A_SECOND * 60) {
            sleep(
                Duration::from_secs_f64(f64::from(i) / f64::from(self.rate)).saturating_sub(begun.elapsed()),
            );
            self.once(begun, &answers);
        }
        answers.into_inner().unwrap()
    }

    fn once(&self, begun: Instant, answers: &Mutex<Answers>) {
        let start = Instant::now();
        let got = self.get();
        let mut answers = answers.lock().unwrap();
        answers.slowest = answers.slowest.max(start.elapsed());
        match got {
            Ok((status, version)) => {
                *answers.statuses.entry(status).or_default() += 1;
                if (200..300).contains(&status) {
                    *answers.versions.entry(version).or_default() += 1;
                } else {
                    answers.failures.push((begun.elapsed().as_secs_f64(), format!("status {status}")));
                }
            }
            Err(e) => answers.failures.push((begun.elapsed().as_secs_f64(), e.to_string())),
        }
    }

    fn get(&self) -> std::io::Result<(u16, String)> {
        let wait = Some(Duration::from_secs(5));
        let mut stream = TcpStream::connect_timeout(&self.at, Duration::from_secs(2))?;
        stream.set_read_timeout(wait)?;
        stream.set_write_timeout(wait)?;
        let mut request = format!("GET {} HTTP/1.1\r\nHost: {}\r\n", self.path, self.host);
        for (name, value) in &self.headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        stream.write_all(format!("{request}\r\n").as_bytes())?;
        let (mut bytes, mut chunk) = (vec![], [0; 4096]);
        while !whole(&bytes) && bytes.len() < 1 << 20 {
            match stream.read(&mut chunk)? {
                0 => break,
                n => bytes.extend_from_slice(&chunk[..n]),
            }
        }
        if !whole(&bytes) {
            let text = String::from_utf8_lossy(&bytes);
            return Err(std::io::Error::other(format!("the answer was cut short: {text:?}")));
        }
        let text = String::from_utf8_lossy(&bytes);
        let head = text.split("\r\n\r\n").next().unwrap_or_default();
        let status = head.split(' ').nth(1).and_then(|s| s.parse().ok());
        let status = status.ok_or_else(|| std::io::Error::other(format!("no HTTP answer: {text:?}")))?;
        let version =
            head.lines().filter_map(|l| l.split_once(':')).find(|(n, _)| n.eq_ignore_ascii_case("x-version"));
        Ok((status, version.map_or(String::new(), |(_, v)| v.trim().to_owned())))
    }
}

impl Sending {
    /// Answers so far.
    pub fn good(&self) -> usize {
        self.answers.lock().unwrap().good()
    }

    pub fn stop(self) -> Answers {
        self.stop.store(true, Ordering::Relaxed);
        for worker in self.workers {
            worker.join().expect("a worker does not panic");
        }
        std::mem::take(&mut self.answers.lock().unwrap())
    }
}

/// The answer is there. The client then closes first, as clients do: were it the server that waits in TIME_WAIT, a later
/// connection that the node's masquerade gives the same port would have its SYN refused for its older timestamp.
fn whole(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let head = head.to_ascii_lowercase();
    if head.contains("\r\ntransfer-encoding: chunked") {
        return body.ends_with("0\r\n\r\n");
    }
    let length = head.lines().find_map(|l| l.strip_prefix("content-length:"));
    length.and_then(|l| l.trim().parse().ok()).is_some_and(|l: usize| body.len() >= l)
}

fn ours(ip: IpAddr) -> bool {
    let IpAddr::V4(v4) = ip else { return ip.is_loopback() };
    matches!(v4.octets(), [127, ..] | [10, 77 | 96, ..] | [10, 78, 0, 1])
}
