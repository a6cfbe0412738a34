//! Takes syslog messages over TCP, UDP and unix sockets.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use ikada_diag::{Diagnostic, Diagnostics, codes};
use ikada_msgpack::write;
use ikada_options::{ByteSize, Choice, Octal, Options, PropertyBag, Spanned, TlsOptions};
use ikada_parse::Parser;
use ikada_plugin::registry::BuildContext;
use ikada_plugin::{BoxFuture, Gatherer, Input, InputContext, InputError};
use ikada_record::Timestamp;
use rustls::ServerConfig;

use crate::complaints::Complaints;
use crate::counted::{Counted, CountedError};
use crate::lines::Lines;
use crate::net::datagram::{self, Socket};
use crate::net::stream::{self, Listener};
use crate::net::{Adder, Protocol, extend_map};
use crate::server_tls;
use crate::tcp::bare;

/// Takes syslog messages, as RFC 5424 and RFC 3164 have them.
#[derive(Debug, Options)]
#[options(input = "syslog")]
pub struct SyslogOptions {
    /// What messages come over.
    #[option(default = "unix_udp")]
    pub mode: Spanned<SyslogMode>,
    /// Address to listen on.
    #[option(default = "0.0.0.0")]
    pub listen: String,
    /// Port to listen on.
    #[option(default = "5140")]
    pub port: u16,
    /// Socket file of the unix modes. A socket left over from an earlier run is replaced.
    #[option(example = "/run/ikada/log.sock")]
    pub path: Option<PathBuf>,
    /// Mode of the socket file, in octal.
    #[option(default = "0644")]
    pub unix_perm: Octal,
    /// Parser that makes a record of each message. A message that it cannot read is kept under `log`.
    ///
    /// When it is not given, a message is read as RFC 5424 has it or as RFC 3164 has it, whichever fits; Fluent Bit takes the first for the network
    /// and the second for the unix modes, and drops what does not fit.
    #[option(example = "syslog-rfc5424")]
    pub parser: Option<Spanned<String>>,
    /// Largest message over a connection.
    #[option(default = "32768")]
    pub buffer_chunk_size: ByteSize,
    /// Largest message over a connection; the larger of this and `buffer_chunk_size` counts.
    #[option(example = "64K")]
    pub buffer_max_size: Option<ByteSize>,
    /// Bytes that the system is asked to hold for a UDP socket.
    #[option(example = "1M")]
    pub receive_buffer_size: Option<ByteSize>,
    /// Key under which the message as it came is added.
    #[option(example = "raw")]
    pub raw_message_key: Option<String>,
    /// Key under which the sender's address is added.
    #[option(example = "source")]
    pub source_address_key: Option<String>,
    /// How messages are told apart on a connection.
    #[option(default = "newline")]
    pub format: Framing,
    /// Asks clients for certificates.
    #[option(name = "tls.verify_client_cert", default = "off")]
    pub tls_verify_client_cert: bool,
    /// How TCP connections are encrypted.
    #[option(flatten)]
    pub tls: TlsOptions,
}

/// What messages come over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Choice)]
pub enum SyslogMode {
    /// Connections on a socket file.
    UnixTcp,
    /// Datagrams on a socket file, as `/dev/log` has them.
    UnixUdp,
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// How messages are told apart on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Choice)]
pub enum Framing {
    /// Each ends with a line (RFC 6587, section 3.4.2).
    Newline,
    /// Each is preceded by its length (RFC 6587, section 3.4.1).
    OctetCounting,
}

/// The parsers that are tried where none is named.
const NETWORK: [&str; 3] = ["syslog-rfc5424", "syslog-rfc3164", "syslog-rfc3164-local"];
const LOCAL: [&str; 3] = ["syslog-rfc3164-local", "syslog-rfc5424", "syslog-rfc3164"];

/// The input.
pub struct Syslog {
    place: Place,
    open: Option<Opened>,
    reader: Arc<MessageReader>,
}

/// Where messages come in.
enum Place {
    Tcp(String, u16, Option<Arc<ServerConfig>>),
    Udp(String, u16, Option<usize>),
    UnixStream(PathBuf, u32),
    UnixDatagram(PathBuf, u32),
}

enum Opened {
    Stream(Listener),
    Datagram(Socket),
}

/// Builds the input.
pub fn build(
    bag: &mut PropertyBag,
    cx: &BuildContext,
    diagnostics: &mut Diagnostics,
) -> Option<Box<dyn Input>> {
    Syslog::build(bag, cx, diagnostics).map(|syslog| Box::new(syslog) as Box<dyn Input>)
}

impl Syslog {
    /// Builds the input.
    pub fn build(bag: &mut PropertyBag, cx: &BuildContext, diagnostics: &mut Diagnostics) -> Option<Self> {
        let options = SyslogOptions::parse(bag, diagnostics)?;
        let place = place(&options, bag, diagnostics);
        let parsers = parsers(&options, cx, diagnostics);
        let limit = options.buffer_max_size.map_or(0, |size| size.0).max(options.buffer_chunk_size.0);
        let reader = MessageReader {
            tag: cx.tag.clone(),
            parsers: parsers?,
            framing: options.format,
            limit: usize::try_from(limit).unwrap_or(usize::MAX),
            raw_key: options.raw_message_key,
            source_key: options.source_address_key,
            complaints: Complaints::default(),
        };
        Some(Self { place: place?, open: None, reader: Arc::new(reader) })
    }

    /// The address it listens on, once it is open.
    #[must_use]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        match self.open.as_ref()? {
            Opened::Stream(listener) => listener.local_addr(),
            Opened::Datagram(socket) => socket.local_addr(),
        }
    }
}

fn place(options: &SyslogOptions, bag: &PropertyBag, diagnostics: &mut Diagnostics) -> Option<Place> {
    let (host, port) = (bare(&options.listen), options.port);
    let mode = options.mode.value;
    if let SyslogMode::Tcp = mode {
        let tls = server_tls::settle(&options.tls, options.tls_verify_client_cert, bag, diagnostics)?;
        return Some(Place::Tcp(host, port, tls));
    }
    if options.tls.tls {
        let message = "`tls` is for `mode tcp` only";
        diagnostics.push(Diagnostic::error(codes::CONFLICTING_OPTIONS, message).at(options.mode.span));
        return None;
    }
    if let SyslogMode::Udp = mode {
        let room = options.receive_buffer_size.map(|size| usize::try_from(size.0).unwrap_or(usize::MAX));
        return Some(Place::Udp(host, port, room));
    }
    let Some(path) = options.path.clone() else {
        let message = "the unix modes need a `path`";
        let help = "add a line `path /run/ikada/log.sock`, or type `mode tcp` or `mode udp`";
        diagnostics.push(Diagnostic::error(codes::MISSING_OPTION, message).at(options.mode.span).help(help));
        return None;
    };
    let perm = options.unix_perm.0;
    match mode {
        SyslogMode::UnixTcp => Some(Place::UnixStream(path, perm)),
        _ => Some(Place::UnixDatagram(path, perm)),
    }
}

fn parsers(
    options: &SyslogOptions,
    cx: &BuildContext,
    diagnostics: &mut Diagnostics,
) -> Option<Vec<Arc<Parser>>> {
    if let Some(name) = &options.parser {
        return Some(vec![cx.parsers.find(name, diagnostics)?]);
    }
    let names = match options.mode.value {
        SyslogMode::Tcp | SyslogMode::Udp => NETWORK,
        SyslogMode::UnixTcp | SyslogMode::UnixUdp => LOCAL,
    };
    Some(names.iter().filter_map(|name| cx.parsers.get(name)).collect())
}

impl Input for Syslog {
    fn open<'a>(&'a mut self, cx: &'a InputContext) -> BoxFuture<'a, Result<(), InputError>> {
        Box::pin(async move {
            self.open = Some(match &self.place {
                Place::Tcp(host, port, tls) => {
                    Opened::Stream(Listener::tcp(cx, host, *port, tls.clone()).await?)
                }
                Place::Udp(host, port, room) => Opened::Datagram(Socket::udp(cx, host, *port, *room).await?),
                Place::UnixStream(path, perm) => Opened::Stream(Listener::unix(path, *perm)?),
                Place::UnixDatagram(path, perm) => Opened::Datagram(Socket::unix(path, *perm)?),
            });
            Ok(())
        })
    }

    fn run(mut self: Box<Self>, cx: InputContext) -> BoxFuture<'static, Result<(), InputError>> {
        Box::pin(async move {
            match self.open.take() {
                Some(Opened::Stream(listener)) => stream::run(listener, self.reader, &cx).await,
                Some(Opened::Datagram(socket)) => {
                    datagram::run(socket, Arc::new(Datagrams(self.reader)), &cx).await;
                }
                None => {}
            }
            Ok(())
        })
    }
}

/// Makes records of messages.
struct MessageReader {
    tag: Option<String>,
    parsers: Vec<Arc<Parser>>,
    framing: Framing,
    limit: usize,
    raw_key: Option<String>,
    source_key: Option<String>,
    complaints: Complaints,
}

/// A connection's bytes on their way to messages.
enum Messages {
    Lines(Lines),
    Counted(Counted),
}

impl MessageReader {
    fn tag<'a>(&'a self, cx: &'a InputContext) -> &'a [u8] {
        self.tag.as_deref().unwrap_or(&cx.id.name).as_bytes()
    }

    /// Adds the record of one message.
    fn add(&self, cx: &InputContext, adder: &mut Adder<'_>, peer: &str, message: &[u8]) {
        let (raw, message) = (message, trimmed(message));
        if message.is_empty() {
            return;
        }
        let (mut parsed, mut record) = (Vec::new(), Vec::new());
        let time = self.parse(message, adder.clock, &mut parsed);
        if time.is_none() {
            write::map_header(&mut parsed, 1);
            write::str(&mut parsed, b"log");
            write::str(&mut parsed, message);
            self.complaints.say(cx, peer, "a message does not fit the parser; its text is kept under `log`");
        }
        let more = usize::from(self.raw_key.is_some()) + usize::from(self.source_key.is_some());
        extend_map(&mut record, &parsed, more, |record| {
            if let Some(key) = &self.raw_key {
                write::str(record, key.as_bytes());
                // Of binary type, as Fluent Bit has it (reference, inputs §4.5).
                write::bin(record, raw);
            }
            if let Some(key) = &self.source_key {
                write::str(record, key.as_bytes());
                write::str(record, peer.as_bytes());
            }
        });
        adder.add(self.tag(cx), time.flatten().unwrap_or(adder.clock), &record);
    }

    /// The record of the first parser that fits, and its time if it has one.
    fn parse(&self, message: &[u8], clock: Timestamp, out: &mut Vec<u8>) -> Option<Option<Timestamp>> {
        self.parsers.iter().find_map(|parser| parser.parse(message, clock, out).ok())
    }

    fn close(&self, cx: &InputContext, peer: &str, why: &str) {
        cx.metrics.closed_connections.add(1);
        self.complaints.say(cx, peer, &format!("closed: {why}"));
    }
}

/// Without the line end, and the NUL that some senders put there.
fn trimmed(message: &[u8]) -> &[u8] {
    let end = message.iter().rposition(|byte| !matches!(byte, b'\n' | b'\r' | 0)).map_or(0, |last| last + 1);
    &message[..end]
}

impl Protocol for MessageReader {
    type Stream = Messages;

    fn begin(&self) -> Messages {
        match self.framing {
            Framing::Newline => Messages::Lines(Lines::new(b"\n".to_vec(), self.limit)),
            Framing::OctetCounting => Messages::Counted(Counted::new(self.limit)),
        }
    }

    fn tidy(&self, stream: &mut Messages) -> usize {
        match stream {
            Messages::Lines(lines) => lines.tidy(),
            Messages::Counted(counted) => counted.tidy(),
        }
    }

    fn take(
        &self,
        cx: &InputContext,
        peer: &str,
        stream: &mut Messages,
        bytes: &[u8],
        gatherer: &mut Gatherer,
    ) -> bool {
        let mut adder = Adder::new(cx, gatherer);
        match stream {
            Messages::Lines(lines) => {
                lines.feed(bytes);
                while let Some(line) = lines.next(bytes.is_empty()) {
                    self.add(cx, &mut adder, peer, line);
                }
                if lines.is_too_long() {
                    self.close(cx, peer, &format!("a message is longer than {} bytes", self.limit));
                    return false;
                }
            }
            Messages::Counted(counted) => {
                counted.feed(bytes);
                loop {
                    match counted.next(bytes.is_empty()) {
                        Ok(Some(message)) => self.add(cx, &mut adder, peer, message),
                        Ok(None) => break,
                        Err(error @ (CountedError::NoLength | CountedError::TooLong)) => {
                            self.close(cx, peer, &error.to_string());
                            return false;
                        }
                    }
                }
            }
        }
        true
    }
}

/// One message in each datagram, whatever lines it has.
struct Datagrams(Arc<MessageReader>);

impl Protocol for Datagrams {
    type Stream = ();

    fn begin(&self) {}

    fn tidy(&self, (): &mut ()) -> usize {
        0
    }

    fn take(
        &self,
        cx: &InputContext,
        peer: &str,
        (): &mut (),
        bytes: &[u8],
        gatherer: &mut Gatherer,
    ) -> bool {
        if !bytes.is_empty() {
            self.0.add(cx, &mut Adder::new(cx, gatherer), peer, bytes);
        }
        true
    }
}
