//! A running input, a router that watches, and a client.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ikada_forward::client::{self, FrameOption, encode_message};
use ikada_forward::{Forward, Settings, UnixPath};
use ikada_plugin::{
    BoxFuture, Dispatch, FlushClock, Input, InputContext, InputError, InputMetrics, InstanceId, Kind, OnFull,
    Router, Service,
};
use ikada_record::{Chunk, Ledger, Share, Tally, Timestamp};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

/// A fact that does not come within this time never comes.
const NEVER: Duration = Duration::from_secs(20);

/// One entry as the router saw it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seen {
    pub tag: Vec<u8>,
    pub time: Timestamp,
    pub metadata: Option<Vec<u8>>,
    pub record: Vec<u8>,
}

/// Takes everything; settles at once, or holds until told.
#[derive(Default)]
pub struct Watcher {
    seen: Mutex<Vec<Seen>>,
    how: Mutex<Vec<OnFull>>,
    changed: Notify,
    hold: Mutex<bool>,
    held: Mutex<Vec<Share>>,
    closed: watch::Sender<bool>,
    ledger: Arc<Ledger>,
}

impl Watcher {
    /// From now on shares are kept, not settled.
    pub fn hold(&self) {
        *self.hold.lock().unwrap() = true;
    }

    /// From now on chunks are not even taken.
    pub fn close(&self) {
        self.closed.send_replace(true);
    }

    /// Takes chunks again.
    pub fn open(&self) {
        self.closed.send_replace(false);
    }

    /// Settles `n` held shares, the oldest first.
    pub fn settle(&self, n: usize) {
        let shares: Vec<_> = self.held.lock().unwrap().drain(..n).collect();
        shares.iter().for_each(|share| share.deliver(share.left()));
    }

    /// Lets `n` held shares go unsettled.
    pub fn abandon(&self, n: usize) {
        self.held.lock().unwrap().drain(..n);
    }

    pub fn held(&self) -> usize {
        self.held.lock().unwrap().len()
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub fn how(&self) -> Vec<OnFull> {
        self.how.lock().unwrap().clone()
    }

    /// Waits until a fact is true.
    pub async fn until(&self, what: &str, fact: impl Fn(&Self) -> bool) {
        let wait = async {
            loop {
                let changed = self.changed.notified();
                if fact(self) {
                    return;
                }
                changed.await;
            }
        };
        timeout(NEVER, wait).await.unwrap_or_else(|_| panic!("{what}: {} entries", self.seen().len()));
    }

    pub async fn until_seen(&self, entries: usize) {
        self.until(&format!("{entries} entries"), |w| w.seen.lock().unwrap().len() >= entries).await;
    }
}

impl Router for Watcher {
    fn dispatch(&self, _input: &InstanceId, chunk: Chunk, how: Dispatch) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let mut closed = self.closed.subscribe();
            closed.wait_for(|closed| !closed).await.unwrap();
            self.how.lock().unwrap().push(how.on_full);
            if *self.hold.lock().unwrap() {
                let share = Share::new(chunk.receipt().clone(), chunk.len() as u32, self.ledger.clone());
                self.held.lock().unwrap().push(share);
            }
            self.seen.lock().unwrap().extend(chunk.entries().map(|entry| Seen {
                tag: chunk.tag().as_bytes().to_vec(),
                time: entry.time(),
                metadata: entry.metadata().map(<[u8]>::to_vec),
                record: entry.record_bytes().to_vec(),
            }));
            drop(chunk);
            self.changed.notify_waiters();
        })
    }
}

/// An input that runs.
pub struct Running {
    pub router: Arc<Watcher>,
    pub metrics: Arc<InputMetrics>,
    pub tally: Arc<Tally>,
    pub stop: CancellationToken,
    pub path: PathBuf,
    pub address: Option<std::net::SocketAddr>,
    task: JoinHandle<Result<(), InputError>>,
    dir: tempfile::TempDir,
}

pub fn context(router: Arc<dyn Router>) -> InputContext {
    let id = InstanceId {
        kind: Kind::Input,
        plugin: "forward".to_owned(),
        name: "forward.0".to_owned(),
        alias: None,
    };
    InputContext {
        id: Arc::new(id),
        router,
        stop: CancellationToken::new(),
        quit: CancellationToken::new(),
        metrics: Arc::new(InputMetrics::default()),
        flush: FlushClock::new(Instant::now(), Duration::from_millis(20)),
        tally: Arc::new(Tally::default()),
        service: Arc::new(Service::default()),
    }
}

/// Starts an input on a socket file and, if `tcp`, on a port of its own as well.
pub async fn start(settings: Settings, tcp: bool) -> Running {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("fluent.sock");
    let settings = Settings {
        unix: Some(UnixPath { path: path.clone(), mode: None }),
        tcp: tcp.then(|| ("127.0.0.1".to_owned(), 0)),
        ..settings
    };
    let router = Arc::new(Watcher::default());
    let cx = context(router.clone());
    let mut input = Box::new(Forward::new(settings));
    input.open(&cx).await.unwrap();
    let address = input.local_addr();
    let (metrics, tally, stop) = (cx.metrics.clone(), cx.tally.clone(), cx.stop.clone());
    Running { router, metrics, tally, stop, path, address, task: tokio::spawn(input.run(cx)), dir }
}

impl Running {
    pub async fn client(&self) -> Client<UnixStream> {
        Client::new(UnixStream::connect(&self.path).await.unwrap())
    }

    pub async fn tcp_client(&self) -> Client<TcpStream> {
        Client::new(TcpStream::connect(self.address.unwrap()).await.unwrap())
    }

    /// Waits for the run to end after a stop, and checks the books.
    pub async fn ended(self) {
        timeout(NEVER, self.task).await.expect("the run ends").unwrap().unwrap();
        assert_eq!(self.tally.made(), self.tally.ended(), "every receipt ended");
        drop(self.dir);
    }

    pub async fn finish(self) {
        self.stop.cancel();
        self.ended().await;
    }
}

/// A client that writes bytes and reads answers.
pub struct Client<S> {
    pub stream: S,
    buf: Vec<u8>,
}

impl<S: AsyncReadExt + AsyncWriteExt + Unpin> Client<S> {
    fn new(stream: S) -> Self {
        Self { stream, buf: Vec::new() }
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// The next value the server says, `None` once it has closed the connection.
    pub async fn value(&mut self) -> Option<Vec<u8>> {
        timeout(NEVER, async {
            loop {
                if let Some(answer) = client::answer(&self.buf).unwrap() {
                    let len = answer.len;
                    return Some(self.buf.drain(..len).collect());
                }
                match self.stream.read_buf(&mut self.buf).await {
                    Ok(0) | Err(_) => return None,
                    Ok(_) => {}
                }
            }
        })
        .await
        .expect("an answer or an end")
    }

    /// The token of the next answer, `None` once the server has closed the connection.
    pub async fn answer(&mut self) -> Option<String> {
        let value = self.value().await?;
        let token = client::answer(&value).unwrap().unwrap().token.expect("an answer");
        Some(String::from_utf8(token.to_vec()).unwrap())
    }
}

/// A message with the record `{"log": log}`.
pub fn message(tag: &str, log: &str, chunk: Option<&str>) -> Vec<u8> {
    let mut out = Vec::new();
    let option = FrameOption { chunk: chunk.map(str::as_bytes), ..FrameOption::default() };
    encode_message(&mut out, tag.as_bytes(), Timestamp::new(5, 0), &record(log), &option);
    out
}

pub fn record(log: &str) -> Vec<u8> {
    let mut out = Vec::new();
    ikada_msgpack::write::map_header(&mut out, 1);
    ikada_msgpack::write::str(&mut out, b"log");
    ikada_msgpack::write::str(&mut out, log.as_bytes());
    out
}

/// Entries with the records `{"log": "0"}`, `{"log": "1"}`, …
pub fn run_of(entries: usize) -> Vec<u8> {
    let mut run = Vec::new();
    for n in 0..entries {
        client::push_entry(&mut run, Timestamp::new(5, n as u32), &record(&n.to_string()));
    }
    run
}

pub fn logs(router: &Watcher) -> Vec<String> {
    let text = |seen: Seen| String::from_utf8(seen.record[6..].to_vec()).unwrap();
    router.seen().into_iter().map(text).collect()
}
