//! Connections and listeners of both kinds, as one.

use std::fmt;
use std::io;
use std::net::{IpAddr, Shutdown, SocketAddr};
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

/// One connection.
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

    pub(crate) fn split(self) -> (ReadHalf, WriteHalf) {
        match self {
            Self::Unix(stream) => {
                let (read, write) = stream.into_split();
                (ReadHalf::Unix(read), WriteHalf::Unix(write))
            }
            Self::Tcp(stream) => {
                let (read, write) = stream.into_split();
                (ReadHalf::Tcp(read), WriteHalf::Tcp(write))
            }
        }
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

/// The side that is read.
#[derive(Debug)]
pub(crate) enum ReadHalf {
    Unix(unix::OwnedReadHalf),
    Tcp(tcp::OwnedReadHalf),
}

impl ReadHalf {
    /// Waits until there is something to read, without a buffer in hand.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        match self {
            Self::Unix(half) => half.readable().await,
            Self::Tcp(half) => half.readable().await,
        }
    }

    /// Reads what fits into the room that `buf` has, without waiting.
    pub(crate) fn look(&mut self, buf: &mut BytesMut) -> io::Result<Looked> {
        // Through `AsyncRead`, because tokio then knows from a short read that the socket is empty, and saves the read that says so.
        let read = match self {
            Self::Unix(half) => half.read_buf(buf).now_or_never(),
            Self::Tcp(half) => half.read_buf(buf).now_or_never(),
        };
        match read {
            None => Ok(Looked::Empty),
            Some(Ok(0)) => Ok(Looked::End),
            Some(Ok(len)) => Ok(Looked::Bytes(len)),
            Some(Err(error)) if error.kind() == io::ErrorKind::Interrupted => Ok(Looked::Empty),
            Some(Err(error)) => Err(error),
        }
    }

    /// Tells the peer, where the kernel can, that nothing more will be read; what it has written already stays readable.
    ///
    /// A unix socket's peer gets EPIPE with its next write, so nothing is written into the void. TCP has no such word; there the
    /// answer is `false`.
    pub(crate) fn refuse_more(&self) -> bool {
        match self {
            Self::Unix(half) => SockRef::from(half.as_ref()).shutdown(Shutdown::Read).is_ok(),
            Self::Tcp(_) => false,
        }
    }
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
