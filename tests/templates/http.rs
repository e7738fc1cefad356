//! As little HTTP as the tests need, over plain sockets.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Status 0: nobody answered.
#[derive(Debug, Default)]
pub struct Answer {
    pub status: u16,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }
}

pub fn get(address: &str, path: &str) -> Answer {
    get_with(address, path, "accept: */*")
}

pub fn get_with(address: &str, path: &str, header: &str) -> Answer {
    fetch(address, path, header).unwrap_or_default()
}

fn fetch(address: &str, path: &str, header: &str) -> std::io::Result<Answer> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(stream, "GET {path} HTTP/1.0\r\nhost: test\r\n{header}\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
    Ok(Answer { status, body: body.to_owned() })
}

/// Answers everything with `{"stock":7}` after a while, and keeps what was asked.
pub struct Upstream {
    pub url: String,
    delay: Arc<AtomicU64>,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Upstream {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let (milliseconds, heads) = (Arc::new(AtomicU64::new(0)), Arc::<Mutex<Vec<String>>>::default());
        let upstream = Upstream { url, delay: milliseconds.clone(), heads: heads.clone() };
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (milliseconds, heads) = (milliseconds.clone(), heads.clone());
                std::thread::spawn(move || stream.and_then(|s| serve(s, &milliseconds, &heads)));
            }
        });
        upstream
    }

    /// From now on; readiness checks of the service are slow then too, and fail after their second.
    pub fn slow_down(&self, delay: Duration) {
        self.delay.store(u64::try_from(delay.as_millis()).unwrap(), Ordering::SeqCst);
    }

    /// Whether a request's head held `text`, in small letters.
    pub fn saw(&self, text: &str) -> bool {
        self.heads.lock().unwrap().iter().any(|head| head.contains(text))
    }

    /// Waits until a call that is slow has come.
    pub fn await_slow_call(&self) {
        let deadline = Instant::now() + Duration::from_secs(5);
        while !self.saw(SLOW) {
            assert!(Instant::now() < deadline, "nobody calls");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

const SLOW: &str = "(slow)";

fn serve(stream: TcpStream, delay: &AtomicU64, heads: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let (mut head, mut line) = (String::new(), String::new());
    let mut length = 0;
    while reader.read_line(&mut line)? > 2 {
        line.make_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
        head.push_str(&std::mem::take(&mut line));
    }
    std::io::copy(&mut reader.take(length), &mut std::io::sink())?;
    let delay = Duration::from_millis(delay.load(Ordering::SeqCst));
    if !delay.is_zero() {
        head.push_str(SLOW);
    }
    heads.lock().unwrap().push(head);
    std::thread::sleep(delay);
    let mut stream = stream;
    write!(stream, "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 11\r\n\r\n{{\"stock\":7}}")
}
