//! Connections: accepting, reading, ending.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Poll, ready};

use ikada_plugin::{Gatherer, InputContext, InputError, OnFull, bugs};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::{Duration, Instant, sleep, sleep_until, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use super::Protocol;
use super::unix_file::SocketFile;
use crate::hand_over;

/// Connections at once; more wait in the system's backlog.
const CONNECTIONS: usize = 4096;

/// Bytes that are read at once.
const READ: usize = 16 * 1024;

/// Time without accepting after the system refused a connection, or after a bug.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Bytes that are read at once while the memory of all inputs is full.
const LITTLE: usize = 4 * 1024;

/// How long a client may be silent, at a stop, until it counts as done.
const QUIET: Duration = Duration::from_millis(50);

/// How long a client that never falls silent is read, at a stop.
const DRAIN: Duration = Duration::from_secs(1);

/// How long a client may take for the handshake of TLS.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Where connections come from.
pub(crate) enum Listener {
    Tcp(TcpListener, Option<TlsAcceptor>),
    /// The file goes when the listener does.
    Unix(UnixListener, SocketFile),
}

impl Listener {
    /// Listens on a TCP address; with `tls`, connections are encrypted.
    pub(crate) async fn tcp(
        cx: &InputContext,
        host: &str,
        port: u16,
        tls: Option<Arc<ServerConfig>>,
    ) -> Result<Self, InputError> {
        let listener = TcpListener::bind((host, port)).await;
        let listener = listener.map_err(|source| listen_error(format!("{host}:{port}"), source))?;
        if let Ok(address) = listener.local_addr() {
            info!(instance = %cx.id, "listening on {address}");
        }
        Ok(Self::Tcp(listener, tls.map(TlsAcceptor::from)))
    }

    /// The TCP address it listens on.
    pub(crate) fn local_addr(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(listener, _) => listener.local_addr().ok(),
            Self::Unix(..) => None,
        }
    }

    async fn accept(&self) -> io::Result<(Connection, String)> {
        match self {
            Self::Tcp(listener, tls) => {
                let (stream, peer) = listener.accept().await?;
                let connection = match tls {
                    None => Connection::Plain(stream),
                    Some(tls) => Connection::Encrypted(stream, tls.clone()),
                };
                Ok((connection, format!("tcp://{peer}")))
            }
            Self::Unix(listener, file) => {
                Ok((Connection::Unix(listener.accept().await?.0), file.name.clone()))
            }
        }
    }
}

pub(crate) fn listen_error(address: String, source: io::Error) -> InputError {
    InputError::Listen { address, source }
}

/// A connection that was accepted. The handshake of TLS is still to come.
pub(crate) enum Connection {
    Plain(TcpStream),
    Encrypted(TcpStream, TlsAcceptor),
    Unix(UnixStream),
}

/// Serves connections until the input stops, and waits until the last one has ended. What `serve` is given is one connection's whole life.
pub(crate) async fn accept<F>(listener: Listener, cx: &InputContext, serve: impl Fn(Connection, String) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let crowd = Crowd { room: Arc::new(Semaphore::new(CONNECTIONS)), connections: TaskTracker::new() };
    let accepting = || accept_all(&listener, &crowd, cx, &serve);
    bugs::kept_going(cx, "accepting connections", ACCEPT_PAUSE, accepting).await;
    drop(listener);
    crowd.connections.close();
    crowd.connections.wait().await;
}

/// Connections that are served, and how many more may be.
struct Crowd {
    room: Arc<Semaphore>,
    connections: TaskTracker,
}

async fn accept_all<F>(
    listener: &Listener,
    crowd: &Crowd,
    cx: &InputContext,
    serve: &impl Fn(Connection, String) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    loop {
        let Some(Ok(permit)) = cx.stop.run_until_cancelled(crowd.room.clone().acquire_owned()).await else {
            return;
        };
        match cx.stop.run_until_cancelled(listener.accept()).await {
            None => return,
            Some(Ok((connection, peer))) => {
                let (what, cx) = (format!("the connection of {peer}"), cx.clone());
                let serving = serve(connection, peer);
                crowd.connections.spawn(async move {
                    bugs::caught(&cx, &what, serving).await;
                    drop(permit);
                });
            }
            Some(Err(error)) => {
                // Out of descriptors, most likely: those that end make room.
                warn!(instance = %cx.id, "a connection could not be accepted: {error}");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Speaks a protocol over all connections of a listener until the input stops.
pub(crate) async fn run<P: Protocol>(listener: Listener, protocol: Arc<P>, cx: &InputContext) {
    accept(listener, cx, |connection, peer| {
        let (protocol, cx) = (protocol.clone(), cx.clone());
        async move {
            match connection {
                Connection::Plain(stream) => serve(&*protocol, stream, &peer, &cx).await,
                Connection::Unix(stream) => serve(&*protocol, stream, &peer, &cx).await,
                Connection::Encrypted(stream, tls) => {
                    if let Some(stream) = shake_hands(stream, tls, &peer, &cx).await {
                        serve(&*protocol, stream, &peer, &cx).await;
                    }
                }
            }
        }
    })
    .await;
}

/// The encrypted stream; `None`, with a line in the log, if the client cannot or will not.
pub(crate) async fn shake_hands(
    stream: TcpStream,
    tls: TlsAcceptor,
    peer: &str,
    cx: &InputContext,
) -> Option<tokio_rustls::server::TlsStream<TcpStream>> {
    let shaken = cx.stop.run_until_cancelled(timeout(HANDSHAKE, tls.accept(stream))).await?;
    let error = match shaken {
        Ok(Ok(stream)) => return Some(stream),
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("not within {} s", HANDSHAKE.as_secs()),
    };
    cx.metrics.closed_connections.add(1);
    warn!(instance = %cx.id, "{peer}: the TLS handshake failed: {error}");
    None
}

thread_local! {
    /// What is read goes through here: a connection that waits holds no buffer.
    static ROOM: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Reads once, and gives what was read to the protocol; no bytes are the end. Whether the connection is to go on.
///
/// # Cancel safety
/// Cancel safe: what was read has been taken.
async fn read_once<P: Protocol>(
    protocol: &P,
    socket: &mut (impl AsyncRead + Unpin),
    most: usize,
    mut take: impl FnMut(&P, &[u8]) -> bool,
) -> bool {
    poll_fn(|task| {
        ROOM.with_borrow_mut(|room| {
            room.resize(READ, 0);
            let mut buf = ReadBuf::new(&mut room[..most]);
            // A connection that breaks has ended: what came over it counts.
            match ready!(Pin::new(&mut *socket).poll_read(task, &mut buf)) {
                Ok(()) => {}
                Err(_) => buf.clear(),
            }
            let is_end = buf.filled().is_empty();
            Poll::Ready(take(protocol, buf.filled()) && !is_end)
        })
    })
    .await
}

async fn serve<P: Protocol>(protocol: &P, mut socket: impl AsyncRead + Unpin, peer: &str, cx: &InputContext) {
    let mut gatherer = Gatherer::new(cx.flush);
    let mut stream = protocol.begin();
    let (mut memory, mut went_on) = (cx.service.input_memory.share(), Instant::now());
    // When reading ends at the latest, once the input stops.
    let mut latest: Option<Instant> = None;
    loop {
        let due = gatherer.due();
        let quiet = latest.map(|latest| latest.min(Instant::now() + QUIET));
        let holds_much = memory.holds_much();
        let given_up = (holds_much && memory.is_pressed()).then(|| went_on + memory.patience());
        let most = if memory.is_full() { LITTLE } else { READ };
        let take = |protocol: &P, bytes: &[u8]| protocol.take(cx, peer, &mut stream, bytes, &mut gatherer);
        let goes_on = tokio::select! {
            biased;
            () = cx.stop.cancelled(), if latest.is_none() => {
                latest = Some(Instant::now() + DRAIN);
                continue;
            }
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                hand_over::all(cx, &mut gatherer, OnFull::Pace).await;
                memory.set(protocol.tidy(&mut stream), 0);
                continue;
            }
            goes_on = read_once(protocol, &mut socket, most, take) => goes_on,
            () = sleep_until(quiet.unwrap_or_else(Instant::now)), if quiet.is_some() => {
                protocol.take(cx, peer, &mut stream, &[], &mut gatherer);
                false
            }
            () = sleep_until(given_up.unwrap_or_else(Instant::now)), if given_up.is_some() => {
                no_memory(cx, peer);
                protocol.take(cx, peer, &mut stream, &[], &mut gatherer);
                break;
            }
            () = memory.wanted(), if holds_much && given_up.is_none() => continue,
        };
        went_on = Instant::now();
        memory.set(protocol.tidy(&mut stream), gatherer.size());
        match memory.is_full() {
            true => hand_over::all(cx, &mut gatherer, OnFull::Pace).await,
            false => hand_over::full(cx, &mut gatherer, OnFull::Pace).await,
        }
        memory.set(memory.held(), gatherer.size());
        if !goes_on || latest.is_some_and(|latest| Instant::now() >= latest) {
            break;
        }
        if memory.holds_much() && !memory.room().await {
            no_memory(cx, peer);
            protocol.take(cx, peer, &mut stream, &[], &mut gatherer);
            break;
        }
    }
    hand_over::all(cx, &mut gatherer, OnFull::Pace).await;
}

/// Tells of a connection that ends because the memory for beginnings is full.
fn no_memory(cx: &InputContext, peer: &str) {
    cx.metrics.closed_connections.add(1);
    warn!(
        instance = %cx.id,
        "{peer}: closed the connection: what it began last did not go on, and the beginnings of others fill the memory (`ikada.memory_limit`)"
    );
}
