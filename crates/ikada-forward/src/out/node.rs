//! A server, and the connections to it.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::mem::MaybeUninit;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::BytesMut;
use futures_util::FutureExt;
use ikada_msgpack::{ScanError, Scanner, View};
use ikada_options::Secret;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::client::Login;

/// How long a server that could not be reached is left alone, while there are others.
const DOWN: Duration = Duration::from_secs(10);

/// How long an idle connection is kept.
const IDLE: Duration = Duration::from_secs(30);

/// Idle connections that are kept.
const KEPT: usize = 8;

/// Bytes an answer may have.
const ANSWER: usize = 64 * 1024;

/// Why a server did not take a frame.
#[derive(Debug, thiserror::Error)]
pub(super) enum NodeError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("no connection within {} s", .0.as_secs_f32())]
    Slow(Duration),
    #[error("`{0}` is no name for a certificate")]
    Name(String),
    #[error("it asks for no handshake, though a `shared_key` is given")]
    NoHelo,
    #[error("it refused the handshake: {0}")]
    Refused(String),
    #[error("it does not know the key itself")]
    Impostor,
    #[error("it closed the connection")]
    Closed,
    #[error("it says what is no answer")]
    Nonsense,
}

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Address {
    /// Name or address, and port.
    Tcp(String, u16),
    /// Socket file.
    Unix(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(host, port) => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
        }
    }
}

/// What this side knows, for a server that asks.
#[derive(Debug, Clone)]
pub(super) struct Identity {
    pub(super) hostname: String,
    /// `None` for an empty one.
    pub(super) key: Option<Secret>,
    pub(super) user: String,
    pub(super) password: Option<Secret>,
}

/// How a connection is encrypted.
#[derive(Clone)]
pub(super) struct Encryption {
    pub(super) config: Arc<ClientConfig>,
    /// The name the server has to prove, where it is not the host's.
    pub(super) name: Option<ServerName<'static>>,
}

/// A server.
pub(super) struct Node {
    pub(super) address: Address,
    pub(super) encryption: Option<Encryption>,
    pub(super) identity: Option<Identity>,
    /// How long a connection may take to stand, its handshakes included.
    pub(super) connect_timeout: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    idle: VecDeque<(Connection, Instant)>,
    down_until: Option<Instant>,
}

impl Node {
    pub(super) fn new(
        address: Address,
        encryption: Option<Encryption>,
        identity: Option<Identity>,
        connect_timeout: Duration,
    ) -> Self {
        Self { address, encryption, identity, connect_timeout, state: Mutex::default() }
    }

    /// Whether it could not be reached a short while ago.
    pub(super) fn is_down(&self, now: Instant) -> bool {
        self.state().down_until.is_some_and(|until| now < until)
    }

    /// Leaves the server alone for a while; what is open to it is not to be trusted.
    pub(super) fn mark_down(&self, now: Instant) {
        let mut state = self.state();
        state.down_until = Some(now + DOWN);
        state.idle.clear();
    }

    /// A connection that stands: one that was kept, or a new one.
    pub(super) async fn connection(&self) -> Result<Connection, NodeError> {
        if let Some(kept) = self.take_idle() {
            return Ok(kept);
        }
        match timeout(self.connect_timeout, self.connect()).await {
            Ok(connected) => {
                let connection = connected?;
                self.state().down_until = None;
                Ok(connection)
            }
            Err(_) => Err(NodeError::Slow(self.connect_timeout)),
        }
    }

    /// Keeps a connection for the next frame.
    pub(super) fn keep(&self, connection: Connection) {
        if !connection.may_stay {
            return;
        }
        let mut state = self.state();
        if state.idle.len() >= KEPT {
            state.idle.pop_front();
        }
        state.idle.push_back((connection, Instant::now()));
    }

    /// The connection used last, if its peer has not hung up meanwhile.
    fn take_idle(&self) -> Option<Connection> {
        let mut state = self.state();
        let now = Instant::now();
        while let Some((mut connection, since)) = state.idle.pop_back() {
            if now < since + IDLE && connection.is_silent() {
                return Some(connection);
            }
        }
        None
    }

    async fn connect(&self) -> Result<Connection, NodeError> {
        let stream: Box<dyn Stream> = match &self.address {
            Address::Unix(path) => Box::new(UnixStream::connect(path).await?),
            Address::Tcp(host, port) => {
                let stream = TcpStream::connect((host.as_str(), *port)).await?;
                stream.set_nodelay(true)?;
                match &self.encryption {
                    None => Box::new(stream),
                    Some(encryption) => Box::new(encrypt(stream, encryption, host).await?),
                }
            }
        };
        let mut connection = Connection { stream, read: BytesMut::new(), may_stay: true };
        if let Some(identity) = &self.identity {
            connection.shake_hands(identity).await?;
        }
        Ok(connection)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere while the lock was held leaves nothing half done here.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("address", &self.address).finish_non_exhaustive()
    }
}

async fn encrypt(
    stream: TcpStream,
    encryption: &Encryption,
    host: &str,
) -> Result<TlsStream<TcpStream>, NodeError> {
    let name = match &encryption.name {
        Some(name) => name.clone(),
        None => ServerName::try_from(host.to_owned()).map_err(|_| NodeError::Name(host.to_owned()))?,
    };
    Ok(TlsConnector::from(encryption.config.clone()).connect(name, stream).await?)
}

/// Whatever bytes go through.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {
    /// The socket under it.
    fn socket(&self) -> SockRef<'_>;
}

impl Stream for TcpStream {
    fn socket(&self) -> SockRef<'_> {
        SockRef::from(self)
    }
}

impl Stream for UnixStream {
    fn socket(&self) -> SockRef<'_> {
        SockRef::from(self)
    }
}

impl Stream for TlsStream<TcpStream> {
    fn socket(&self) -> SockRef<'_> {
        SockRef::from(self.get_ref().0)
    }
}

/// A connection that stands.
pub(super) struct Connection {
    stream: Box<dyn Stream>,
    read: BytesMut,
    /// Whether the server lets it be used again.
    may_stay: bool,
}

impl Connection {
    /// Writes all of these, one behind another.
    pub(super) async fn write(&mut self, parts: [&[u8]; 3]) -> Result<(), NodeError> {
        for part in parts {
            self.stream.write_all(part).await?;
        }
        self.stream.flush().await?;
        Ok(())
    }

    /// The next value the server says.
    pub(super) async fn value(&mut self) -> Result<BytesMut, NodeError> {
        let mut scanner = Scanner::new();
        loop {
            match scanner.advance(&self.read) {
                Ok(Some(len)) => return Ok(self.read.split_to(len)),
                Ok(None) | Err(ScanError::Truncated) => {}
                Err(_) => return Err(NodeError::Nonsense),
            }
            if self.read.len().max(scanner.needed()) > ANSWER {
                return Err(NodeError::Nonsense);
            }
            if self.stream.read_buf(&mut self.read).await? == 0 {
                return Err(NodeError::Closed);
            }
        }
    }

    /// Whether the server has neither hung up nor said anything that nobody asked for.
    ///
    /// The kernel is asked, because the runtime may not have heard yet. What lies there may be TLS's own, which reading it shows.
    fn is_silent(&mut self) -> bool {
        let mut room = [MaybeUninit::uninit(); 1];
        let looked = self.stream.socket().peek(&mut room);
        match looked {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.read.is_empty(),
            Ok(1..) => self.read.is_empty() && self.stream.read_buf(&mut self.read).now_or_never().is_none(),
            _ => false,
        }
    }

    /// Proves who this side is, and has the server prove it too.
    async fn shake_hands(&mut self, identity: &Identity) -> Result<(), NodeError> {
        let login = Login {
            hostname: &identity.hostname,
            key: identity.key.as_ref().map_or("", |key| key.reveal()),
            user: &identity.user,
            password: identity.password.as_ref().map_or("", |password| password.reveal()),
        };
        let helo = self.value().await?;
        let salt = salt();
        let ping = login.ping(&helo, salt.as_bytes()).ok_or(NodeError::NoHelo)?;
        self.may_stay = keeps_alive(&helo);
        self.write([&ping, &[], &[]]).await?;
        let pong = self.value().await?;
        if login.accepts(&helo, salt.as_bytes(), &pong) {
            return Ok(());
        }
        match refusal(&pong) {
            Some(reason) => Err(NodeError::Refused(reason)),
            None => Err(NodeError::Impostor),
        }
    }
}

/// 16 random bytes as text: some servers take a salt of string type only, and those that check strings for UTF-8 must not stumble.
fn salt() -> String {
    rand::random::<[u8; 16]>().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `keepalive` of the greeting; a server that says nothing keeps connections.
fn keeps_alive(helo: &[u8]) -> bool {
    let said = || View::parse(helo).ok()?.0.as_array()?.get(1)?.as_map()?.get(b"keepalive");
    said() != Some(View::Bool(false))
}

/// Why a server does not let this side in; `None` if it does.
fn refusal(pong: &[u8]) -> Option<String> {
    let array = View::parse(pong).ok()?.0.as_array()?;
    if array.get(1)? == View::Bool(true) {
        return None;
    }
    let reason = array.get(2).and_then(|reason| reason.as_str()).unwrap_or_default();
    Some(String::from_utf8_lossy(reason).chars().filter(|c| !c.is_control()).take(200).collect())
}
