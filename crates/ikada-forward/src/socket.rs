//! Connections and listeners of both kinds, as one.

use std::cell::RefCell;
use std::fmt;
use std::io::{self, Read};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream as StdTcpStream};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::sync::Arc;

use bytes::BytesMut;
use futures_util::FutureExt;
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream, tcp, unix};

/// Who is at the other end, for log lines.
#[derive(Debug, Clone)]
pub(crate) enum Peer {
    /// Whoever opened the socket file: they cannot be told apart.
    Unix(Arc<str>),
    /// Address and port.
    Tcp(SocketAddr),
}

/// What a peer's log lines are counted under.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum PeerKey {
    /// All who come through a socket file.
    Unix,
    /// All who come from an address.
    Tcp(IpAddr),
}

impl Peer {
    pub(crate) fn key(&self) -> PeerKey {
        match self {
            Self::Unix(_) => PeerKey::Unix,
            Self::Tcp(address) => PeerKey::Tcp(address.ip()),
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => f.write_str(path),
            Self::Tcp(address) => address.fmt(f),
        }
    }
}

/// A listening socket.
#[derive(Debug)]
pub(crate) enum Listener {
    Unix(UnixListener, Arc<str>),
    Tcp(TcpListener),
}

impl Listener {
    /// Waits for the next connection.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(crate) async fn accept(&self) -> io::Result<(Connection, Peer)> {
        match self {
            Self::Unix(listener, path) => {
                let (stream, _) = listener.accept().await?;
                Ok((Connection::Unix(stream), Peer::Unix(path.clone())))
            }
            Self::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                Ok((Connection::tcp(stream), Peer::Tcp(address)))
            }
        }
    }

    /// Closes the listener and returns the connections that were waiting in it: their peers believe to be connected and may
    /// have written already.
    pub(crate) fn close(self) -> Vec<(Connection, Peer)> {
        let mut waiting = Vec::new();
        match self {
            Self::Unix(listener, path) => {
                let Ok(listener) = listener.into_std() else { return waiting };
                while let Ok((stream, _)) = listener.accept() {
                    let stream = stream.set_nonblocking(true).and_then(|()| UnixStream::from_std(stream));
                    waiting.extend(stream.ok().map(|s| (Connection::Unix(s), Peer::Unix(path.clone()))));
                }
            }
            Self::Tcp(listener) => {
                let Ok(listener) = listener.into_std() else { return waiting };
                while let Ok((stream, address)) = listener.accept() {
                    let stream = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream));
                    waiting.extend(stream.ok().map(|s| (Connection::tcp(s), Peer::Tcp(address))));
                }
            }
        }
        waiting
    }
}

/// One connection, as the runtime watches it.
#[derive(Debug)]
pub(crate) enum Connection {
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl Connection {
    /// Answers are small and awaited, so they are not held back; a peer that vanished without a word is noticed some day.
    fn tcp(stream: TcpStream) -> Self {
        // Neither is vital: a connection without them works.
        stream.set_nodelay(true).ok();
        SockRef::from(&stream).set_keepalive(true).ok();
        Self::Tcp(stream)
    }
}

/// What one look into the socket brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Looked {
    /// So many bytes.
    Bytes(usize),
    /// Nothing is there now.
    Empty,
    /// The peer will write no more.
    End,
}

/// The socket of a connection that is being read.
///
/// The runtime is woken by every write of a peer, whether a task waits for it or not. A reader that rests must therefore take its
/// socket out of the runtime's sight: it *steps aside*, looks into the socket when the rest is over, and comes back when
/// resting is not worth it any more.
#[derive(Debug)]
pub(crate) struct Socket(State);

#[derive(Debug)]
enum State {
    /// Watched by the runtime, in both directions.
    Whole(Connection),
    /// Watched by the runtime; somebody else writes.
    UnixHalf(unix::OwnedReadHalf),
    TcpHalf(tcp::OwnedReadHalf),
    /// Watched by nobody.
    UnixAside(StdUnixStream),
    TcpAside(StdTcpStream),
    /// Could not be watched again.
    Lost,
}

/// Bytes that are read at once from a socket that stepped aside. What gathers in a rest is less.
const ASIDE: usize = 64 * 1024;

thread_local! {
    /// Zeroed once, where a buffer per read would be zeroed every time.
    static ROOM: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

impl Socket {
    pub(crate) fn new(connection: Connection) -> Self {
        Self(State::Whole(connection))
    }

    /// Waits until there is something to read, without a buffer in hand. A socket that stepped aside is looked into at once.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        match &self.0 {
            State::Whole(Connection::Unix(stream)) => stream.readable().await,
            State::Whole(Connection::Tcp(stream)) => stream.readable().await,
            State::UnixHalf(half) => half.readable().await,
            State::TcpHalf(half) => half.readable().await,
            State::UnixAside(_) | State::TcpAside(_) => Ok(()),
            State::Lost => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Reads what fits into the room that `buf` has, without waiting.
    pub(crate) fn look(&mut self, buf: &mut BytesMut) -> io::Result<Looked> {
        // Through `AsyncRead`, because tokio then knows from a short read that the socket is empty, and saves the read that says so.
        let read = match &mut self.0 {
            State::Whole(Connection::Unix(stream)) => stream.read_buf(buf).now_or_never(),
            State::Whole(Connection::Tcp(stream)) => stream.read_buf(buf).now_or_never(),
            State::UnixHalf(half) => half.read_buf(buf).now_or_never(),
            State::TcpHalf(half) => half.read_buf(buf).now_or_never(),
            State::UnixAside(stream) => Some(look_aside(stream, buf)),
            State::TcpAside(stream) => Some(look_aside(stream, buf)),
            State::Lost => Some(Err(io::ErrorKind::NotConnected.into())),
        };
        match read {
            None => Ok(Looked::Empty),
            Some(Ok(0)) => Ok(Looked::End),
            Some(Ok(len)) => Ok(Looked::Bytes(len)),
            Some(Err(error)) => match error.kind() {
                io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock => Ok(Looked::Empty),
                _ => Err(error),
            },
        }
    }

    /// Takes the socket out of the runtime's sight, if nobody else uses it.
    pub(crate) fn step_aside(&mut self) {
        self.0 = match std::mem::replace(&mut self.0, State::Lost) {
            State::Whole(Connection::Unix(stream)) => stream.into_std().map_or(State::Lost, State::UnixAside),
            State::Whole(Connection::Tcp(stream)) => stream.into_std().map_or(State::Lost, State::TcpAside),
            other => other,
        };
    }

    /// Lets the runtime watch the socket again, if it stepped aside.
    pub(crate) fn come_back(&mut self) {
        self.0 = match std::mem::replace(&mut self.0, State::Lost) {
            State::UnixAside(stream) => UnixStream::from_std(stream)
                .map_or(State::Lost, |stream| State::Whole(Connection::Unix(stream))),
            State::TcpAside(stream) => TcpStream::from_std(stream)
                .map_or(State::Lost, |stream| State::Whole(Connection::Tcp(stream))),
            other => other,
        };
    }

    /// Gives the writing side away. `None` when it was given away before.
    pub(crate) fn split_off(&mut self) -> Option<WriteHalf> {
        self.come_back();
        let (state, half) = match std::mem::replace(&mut self.0, State::Lost) {
            State::Whole(Connection::Unix(stream)) => {
                let (read, write) = stream.into_split();
                (State::UnixHalf(read), Some(WriteHalf::Unix(write)))
            }
            State::Whole(Connection::Tcp(stream)) => {
                let (read, write) = stream.into_split();
                (State::TcpHalf(read), Some(WriteHalf::Tcp(write)))
            }
            other => (other, None),
        };
        self.0 = state;
        half
    }

    /// Writes all of it, waiting for the peer to take it. Only before the writing side is given away.
    pub(crate) async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.0 {
            State::Whole(Connection::Unix(stream)) => stream.write_all(bytes).await,
            State::Whole(Connection::Tcp(stream)) => stream.write_all(bytes).await,
            _ => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Tells the peer, where the kernel can, that nothing more will be read; what it has written already stays readable.
    ///
    /// A unix socket's peer gets EPIPE with its next write, so nothing is written into the void. TCP has no such word; there the
    /// answer is `false`.
    pub(crate) fn refuse_more(&mut self) -> bool {
        self.come_back();
        let stream: &UnixStream = match &self.0 {
            State::Whole(Connection::Unix(stream)) => stream,
            State::UnixHalf(half) => half.as_ref(),
            _ => return false,
        };
        SockRef::from(stream).shutdown(Shutdown::Read).is_ok()
    }
}

fn look_aside(stream: &mut impl Read, buf: &mut BytesMut) -> io::Result<usize> {
    ROOM.with_borrow_mut(|room| {
        room.resize(ASIDE, 0);
        let free = (buf.capacity() - buf.len()).min(ASIDE);
        let len = stream.read(&mut room[..free])?;
        buf.extend_from_slice(&room[..len]);
        Ok(len)
    })
}

/// The side that is written.
#[derive(Debug)]
pub(crate) enum WriteHalf {
    Unix(unix::OwnedWriteHalf),
    Tcp(tcp::OwnedWriteHalf),
}

impl WriteHalf {
    /// Writes all of it, waiting for the peer to take it.
    pub(crate) async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Unix(half) => half.write_all(bytes).await,
            Self::Tcp(half) => half.write_all(bytes).await,
        }
    }

    /// Ends the connection in both directions, whatever the other half does.
    pub(crate) fn hang_up(&self) {
        let shut = match self {
            Self::Unix(half) => SockRef::from(half.as_ref()).shutdown(Shutdown::Both),
            Self::Tcp(half) => SockRef::from(half.as_ref()).shutdown(Shutdown::Both),
        };
        // A connection that is gone already cannot be ended again.
        shut.ok();
    }
}
