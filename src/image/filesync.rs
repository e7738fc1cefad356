//! Sends the build context the way BuildKit asks for it: first what there is, then the files it lacks.
//!
//! The engine keeps what it was sent before under the session's shared key and asks only for files whose stat changed.
//! What it asks to leave out is not looked at: [`super::context`] has already applied the same rules.

use std::io::Read;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use bollard::fsutil::types::packet::PacketType;
use bollard::fsutil::types::{Packet, Stat};
use bollard::moby::filesync::packet::file_sync_server::FileSync;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::context::{Context, Entry, Kind, Sha};

const CHUNK: usize = 64 << 10;
// Bits of Go's os.FileMode, which the protocol speaks.
const GO_FOLDER: u32 = 1 << 31;
const GO_LINK: u32 = 1 << 27;

/// What the engine may ask for.
#[derive(Clone)]
pub struct Files {
    pub context: Arc<Context>,
    /// Name and content of the Dockerfile.
    pub dockerfile: (String, Arc<Vec<u8>>),
    /// Why a file could not be sent, for the error that follows.
    pub trouble: Arc<Mutex<Option<anyhow::Error>>>,
}

/// One thing to send, and where its bytes come from.
enum Source {
    Tree(usize),
    Bytes(Arc<Vec<u8>>),
}

type Packets = mpsc::Sender<Result<Packet, Status>>;

#[tonic::async_trait]
impl FileSync for Files {
    type DiffCopyStream = ReceiverStream<Result<Packet, Status>>;
    async fn diff_copy(
        &self,
        request: Request<Streaming<Packet>>,
    ) -> Result<Response<Self::DiffCopyStream>, Status> {
        let values = |key: &str| -> Vec<String> {
            request
                .metadata()
                .get_all(key)
                .iter()
                .filter_map(|v| v.to_str().ok())
                .map(str::to_owned)
                .collect()
        };
        let asked = Asked {
            folder: values("dir-name").pop().unwrap_or_default(),
            include: values("include-patterns"),
            follow: values("followpaths"),
        };
        let (sender, receiver) = mpsc::channel(64);
        let stats = self.clone().select(&asked);
        let files = self.clone();
        tokio::spawn(async move {
            let sources: Vec<Option<Source>> =
                stats.iter().map(|(_, source)| source.as_ref().map(Source::again)).collect();
            let told = tokio::spawn(tell(stats, sender.clone()));
            files.serve(request.into_inner(), sources, sender).await;
            told.abort();
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    type TarStreamStream = ReceiverStream<Result<Packet, Status>>;
    async fn tar_stream(
        &self,
        _: Request<Streaming<Packet>>,
    ) -> Result<Response<Self::TarStreamStream>, Status> {
        Err(Status::unimplemented("tar streams"))
    }
}

impl Source {
    fn again(&self) -> Self {
        match self {
            Source::Tree(index) => Source::Tree(*index),
            Source::Bytes(bytes) => Source::Bytes(bytes.clone()),
        }
    }
}

struct Asked {
    folder: String,
    include: Vec<String>,
    follow: Vec<String>,
}

impl Asked {
    /// Whether a `COPY` needs the path. In doubt it does: sending more than is needed costs time only.
    fn wants(&self, path: &str) -> bool {
        let below = |a: &str, b: &str| a == b || a.strip_prefix(b).is_some_and(|rest| rest.starts_with('/'));
        self.follow.is_empty()
            || self.follow.iter().map(|f| f.trim_matches('/')).any(|f| {
                f.is_empty()
                    || f == "."
                    || f.contains(['*', '?', '[', '\\'])
                    || below(path, f)
                    || below(f, path)
            })
    }
}

impl Files {
    fn select(self, asked: &Asked) -> Vec<(Stat, Option<Source>)> {
        if asked.folder == "dockerfile" {
            let (name, bytes) = &self.dockerfile;
            return vec![(dockerfile(name, bytes), Some(Source::Bytes(bytes.clone())))];
        }
        let only_ignore = |patterns: &[String]| {
            !patterns.is_empty() && patterns.iter().all(|p| p.ends_with(".dockerignore"))
        };
        if only_ignore(&asked.include) || only_ignore(&asked.follow) {
            // The engine would read the patterns only to hand them back; they are applied.
            return Vec::new();
        }
        // A link may lead from a wanted path to one that is not named.
        let links = self.context.entries.iter().any(|e| matches!(e.kind, Kind::Link(_)));
        let wanted = |entry: &Entry| links || asked.wants(&entry.path);
        let entries = self.context.entries.iter().enumerate().filter(|(_, e)| wanted(e));
        entries.map(|(i, e)| (stat(e), matches!(e.kind, Kind::File(_)).then_some(Source::Tree(i)))).collect()
    }

    /// Answers the engine's requests until it has all it wants.
    async fn serve(self, mut requests: Streaming<Packet>, sources: Vec<Option<Source>>, sender: Packets) {
        while let Ok(Some(packet)) = requests.message().await {
            let sent = match packet.r#type() {
                PacketType::PacketReq => {
                    let source = usize::try_from(packet.id).ok().and_then(|id| sources.get(id)?.as_ref());
                    match source {
                        Some(source) => self.send(source.again(), packet.id, &sender).await,
                        None => Err(anyhow::anyhow!("the engine asked for a file it was not told of")),
                    }
                }
                PacketType::PacketFin => {
                    let _ = sender
                        .send(Ok(Packet { r#type: PacketType::PacketFin.into(), ..Packet::default() }))
                        .await;
                    return;
                }
                PacketType::PacketErr => return,
                _ => Ok(()),
            };
            if let Err(error) = sent {
                let status = Status::aborted(error.to_string());
                self.trouble.lock().unwrap_or_else(|e| e.into_inner()).get_or_insert(error);
                let _ = sender.send(Err(status)).await;
                return;
            }
        }
    }

    async fn send(&self, source: Source, id: u32, sender: &Packets) -> anyhow::Result<()> {
        let context = self.context.clone();
        let sender = sender.clone();
        let data =
            move |data: Vec<u8>| Packet { r#type: PacketType::PacketData.into(), id, data, stat: None };
        tokio::task::spawn_blocking(move || {
            let (mut reader, path): (Box<dyn Read>, PathBuf) = match &source {
                Source::Bytes(bytes) => (Box::new(bytes.as_slice()), PathBuf::new()),
                Source::Tree(index) => {
                    let entry = &context.entries[*index];
                    (context.open(entry)?, context.root.join(&entry.path))
                }
            };
            loop {
                let mut chunk = Vec::with_capacity(CHUNK);
                let read = (&mut reader).take(CHUNK as u64).read_to_end(&mut chunk);
                read.map_err(|e| super::context::unsendable(&path, e))?;
                let end = chunk.is_empty();
                // The receiver is gone when the build has ended: its error is the one that counts.
                if sender.blocking_send(Ok(data(chunk))).is_err() || end {
                    return Ok(());
                }
            }
        })
        .await?
    }
}

/// Sends what there is, in order, and the mark that there is no more.
async fn tell(stats: Vec<(Stat, Option<Source>)>, sender: Packets) {
    let packet = |stat| Packet { r#type: PacketType::PacketStat.into(), stat, ..Packet::default() };
    for (stat, _) in stats {
        if sender.send(Ok(packet(Some(stat)))).await.is_err() {
            return;
        }
    }
    let _ = sender.send(Ok(packet(None))).await;
}

/// It has no time of its own: its content gives one, or an edit that keeps its length (another version, another digest)
/// would build from the one before.
fn dockerfile(name: &str, bytes: &[u8]) -> Stat {
    let sha = Sha256::digest(bytes);
    let mod_time = i64::from(u32::from_le_bytes([sha[0], sha[1], sha[2], sha[3]]));
    Stat { path: name.to_owned(), mode: 0o644, size: bytes.len() as i64, mod_time, ..Stat::default() }
}

fn stat(entry: &Entry) -> Stat {
    let special = [(0o4000, 1 << 23), (0o2000, 1 << 22), (0o1000, 1 << 20)];
    let special = special.iter().filter(|(bit, _)| entry.mode & bit != 0).map(|(_, go)| go).sum::<u32>();
    let (kind, linkname) = match &entry.kind {
        Kind::Folder => (GO_FOLDER, String::new()),
        Kind::File(_) => (0, String::new()),
        Kind::Link(to) => (GO_LINK, to.to_string_lossy().into_owned()),
    };
    Stat {
        path: entry.path.clone(),
        mode: entry.mode & 0o777 | special | kind,
        size: i64::try_from(entry.size).unwrap_or(i64::MAX),
        mod_time: match entry.kind {
            Kind::File(sha) => marked(entry.time, &sha),
            _ => entry.time,
        },
        linkname,
        ..Stat::default()
    }
}

/// The time with its digits below a millisecond taken from the content. The engine decides by size and time what it
/// lacks: a rewrite that keeps both (`cp -p`, a file system of whole seconds, `SOURCE_DATE_EPOCH`) would not be sent.
fn marked(time: i64, sha: &Sha) -> i64 {
    const MILLISECOND: i64 = 1_000_000;
    let mark = i64::from(u32::from_le_bytes([sha[0], sha[1], sha[2], sha[3]])) % MILLISECOND;
    time - time.rem_euclid(MILLISECOND) + mark
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(follow: &[&str]) -> Asked {
        Asked {
            folder: "context".into(),
            include: vec![],
            follow: follow.iter().map(|f| f.to_string()).collect(),
        }
    }

    #[test]
    fn what_a_copy_names_is_wanted_with_what_is_around_it() {
        let some = asked(&["cmd", "/internal/api"]);
        for path in ["cmd", "cmd/orders/main.go", "internal", "internal/api", "internal/api/x"] {
            assert!(some.wants(path), "{path}");
        }
        for path in ["cmdx", "internal/db", "README.md"] {
            assert!(!some.wants(path), "{path}");
        }
        for all in [asked(&[]), asked(&["."]), asked(&["/"]), asked(&["*.go"])] {
            assert!(all.wants("README.md"));
        }
    }

    #[test]
    fn another_content_is_another_time() {
        let (one, two) = (marked(5_000_000_123, &[1; 32]), marked(5_000_000_123, &[2; 32]));
        assert_ne!(one, two);
        assert!([one, two].iter().all(|t| t / 1_000_000 == 5_000), "{one} {two}");
        assert_eq!(marked(-1, &[0; 32]), -1_000_000);
        let file = |text: &str| dockerfile("Dockerfile", text.as_bytes());
        assert_eq!(file("FROM a:1").size, file("FROM a:2").size);
        assert_ne!(file("FROM a:1").mod_time, file("FROM a:2").mod_time);
    }

    #[test]
    fn modes_are_gos() {
        let entry = |mode, kind| Entry { path: "a".into(), kind, mode, size: 0, time: 0 };
        assert_eq!(stat(&entry(0o755, Kind::Folder)).mode, 0x8000_01ed);
        assert_eq!(stat(&entry(0o4755, Kind::File([0; 32]))).mode, 0x0080_01ed);
        assert_eq!(stat(&entry(0o777, Kind::Link("b".into()))).mode, 0x0800_01ff);
        assert_eq!(stat(&entry(0o777, Kind::Link("b".into()))).linkname, "b");
    }
}
