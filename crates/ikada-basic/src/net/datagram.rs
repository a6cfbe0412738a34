//! Datagrams: each one is whole by itself.

use std::fmt::Write;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use ikada_plugin::{Gatherer, InputContext, InputError, OnFull};
use socket2::SockRef;
use tokio::net::{UdpSocket, UnixDatagram};
use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};

use super::Protocol;
use super::stream::listen_error;
use super::unix_file::SocketFile;
use crate::hand_over;

/// Bytes a datagram may have: all that UDP can carry, and more than senders to `/dev/log` use.
const LONGEST: usize = 256 * 1024;

/// Datagrams that are read before anything else is looked at.
const BURST: usize = 256;

/// Bursts that are read at a stop, from senders that never fall silent.
const BURSTS_AT_STOP: usize = 1000;

/// Where datagrams come from.
pub(crate) enum Socket {
    Udp(UdpSocket),
    /// The file goes when the socket does.
    Unix(UnixDatagram, SocketFile),
}

/// Who sent a datagram.
#[derive(Clone, Copy, PartialEq, Eq)]
enum From {
    Somebody,
    Address(SocketAddr),
}

impl Socket {
    /// Listens on a UDP address; `room` is what the kernel is asked to hold, in bytes.
    pub(crate) async fn udp(
        cx: &InputContext,
        host: &str,
        port: u16,
        room: Option<usize>,
    ) -> Result<Self, InputError> {
        let bind = async {
            let socket = UdpSocket::bind((host, port)).await?;
            if let Some(room) = room {
                SockRef::from(&socket).set_recv_buffer_size(room)?;
            }
            Ok(socket)
        };
        let socket = bind.await.map_err(|source| listen_error(format!("udp://{host}:{port}"), source))?;
        if let Ok(address) = socket.local_addr() {
            info!(instance = %cx.id, "listening on udp://{address}");
        }
        Ok(Self::Udp(socket))
    }

    /// The UDP address it listens on.
    pub(crate) fn local_addr(&self) -> Option<SocketAddr> {
        match self {
            Self::Udp(socket) => socket.local_addr().ok(),
            Self::Unix(..) => None,
        }
    }

    async fn readable(&self) -> io::Result<()> {
        match self {
            Self::Udp(socket) => socket.readable().await,
            Self::Unix(socket, _) => socket.readable().await,
        }
    }

    fn try_read(&self, buf: &mut [u8]) -> io::Result<(usize, From)> {
        match self {
            Self::Udp(socket) => socket.try_recv_from(buf).map(|(len, from)| (len, From::Address(from))),
            Self::Unix(socket, _) => socket.try_recv(buf).map(|len| (len, From::Somebody)),
        }
    }

    /// The socket out of the runtime's sight, which may not have heard yet of what lies in it. A socket file is taken away.
    fn into_rest(self) -> io::Result<Rest> {
        match self {
            Self::Udp(socket) => socket.into_std().map(Rest::Udp),
            Self::Unix(socket, _) => socket.into_std().map(Rest::Unix),
        }
    }
}

/// A socket that is only read empty.
enum Rest {
    Udp(std::net::UdpSocket),
    Unix(std::os::unix::net::UnixDatagram),
}

impl Rest {
    fn try_read(&self, buf: &mut [u8]) -> io::Result<(usize, From)> {
        match self {
            Self::Udp(socket) => socket.recv_from(buf).map(|(len, from)| (len, From::Address(from))),
            Self::Unix(socket) => socket.recv(buf).map(|len| (len, From::Somebody)),
        }
    }
}

/// Speaks a protocol with every datagram until the input stops; what lies in the socket then is still read.
pub(crate) async fn run<P: Protocol>(socket: Socket, protocol: Arc<P>, cx: &InputContext) {
    let mut gatherer = Gatherer::new(cx.flush);
    let mut reader = Reader::new(&socket);
    loop {
        let due = gatherer.due();
        tokio::select! {
            biased;
            () = cx.stop.cancelled() => break,
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                hand_over::all(cx, &mut gatherer, OnFull::Pace).await;
                continue;
            }
            readable = socket.readable() => if let Err(error) = readable {
                warn!(instance = %cx.id, "the socket cannot be read any more: {error}");
                break;
            },
        }
        reader.read(|buf| socket.try_read(buf), &*protocol, cx, &mut gatherer);
        hand_over::full(cx, &mut gatherer, OnFull::Pace).await;
    }
    if let Ok(rest) = socket.into_rest() {
        for _ in 0..BURSTS_AT_STOP {
            let is_empty = reader.read(|buf| rest.try_read(buf), &*protocol, cx, &mut gatherer);
            hand_over::full(cx, &mut gatherer, OnFull::Pace).await;
            if is_empty {
                break;
            }
        }
    }
    hand_over::all(cx, &mut gatherer, OnFull::Pace).await;
}

struct Reader {
    buf: Vec<u8>,
    /// Who sent the last datagram, and how that is written.
    last: From,
    peer: String,
}

impl Reader {
    fn new(socket: &Socket) -> Self {
        let peer = match socket {
            Socket::Udp(_) => String::new(),
            Socket::Unix(_, file) => file.name.clone(),
        };
        Self { buf: vec![0; LONGEST], last: From::Somebody, peer }
    }

    /// Reads what is there; `true` if that was all.
    fn read<P: Protocol>(
        &mut self,
        read: impl Fn(&mut [u8]) -> io::Result<(usize, From)>,
        protocol: &P,
        cx: &InputContext,
        gatherer: &mut Gatherer,
    ) -> bool {
        for _ in 0..BURST {
            let (len, from) = match read(&mut self.buf) {
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
                // What went wrong with one datagram (an ICMP message, for one) says nothing of the next.
                Err(_) => continue,
            };
            if let From::Address(address) = from
                && self.last != from
            {
                self.peer.clear();
                write!(self.peer, "udp://{address}").ok();
                self.last = from;
            }
            let mut stream = protocol.begin();
            if len > 0 && protocol.take(cx, &self.peer, &mut stream, &self.buf[..len], gatherer) {
                protocol.take(cx, &self.peer, &mut stream, &[], gatherer);
            }
        }
        false
    }
}
