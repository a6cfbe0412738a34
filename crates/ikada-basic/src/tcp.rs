//! Takes JSON or lines over TCP. The ECS agent uses it as its health check: one JSON object, no line end, goodbye.

use std::net::SocketAddr;
use std::sync::Arc;

use ikada_diag::Diagnostics;
use ikada_msgpack::{MapView, write};
use ikada_options::{Choice, OptionValue, Options, PropertyBag, ValueError};
use ikada_plugin::registry::BuildContext;
use ikada_plugin::{BoxFuture, Gatherer, Input, InputContext, InputError, OnFull};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{Duration, Instant, sleep, sleep_until};
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::complaints::Complaints;
use crate::hand_over;
use crate::json_lines::{JsonStream, Next};
use crate::lines::Lines;
use crate::unsupported::refuse;

/// Connections at once; more wait in the system's backlog.
const CONNECTIONS: usize = 4096;

/// Bytes that are read at once.
const READ: usize = 16 * 1024;

/// How long a client may be silent, at a stop, until it counts as done.
const QUIET: Duration = Duration::from_millis(50);

/// How long a client that never falls silent is read, at a stop.
const DRAIN: Duration = Duration::from_secs(1);

/// Takes JSON or lines over TCP.
#[derive(Debug, Options)]
#[options(input = "tcp")]
pub struct TcpOptions {
    /// Address to listen on.
    #[option(default = "0.0.0.0")]
    pub listen: String,
    /// Port to listen on.
    #[option(default = "5170")]
    pub port: u16,
    /// What comes over a connection.
    #[option(default = "json")]
    pub format: TcpFormat,
    /// What ends a line in the format `none`; `\n`, `\r` and `\t` are understood.
    #[option(default = "\\n")]
    pub separator: String,
    /// Largest value or line, as a number of KB.
    ///
    /// In Fluent Bit it is the step in which a connection's buffer grows, and the limit as well where `Buffer_Size` is not given.
    #[option(default = "32")]
    pub chunk_size: Kilobytes,
    /// Largest value or line, as a number of KB; the larger of this and `Chunk_Size` counts.
    #[option(example = "64")]
    pub buffer_size: Option<Kilobytes>,
    /// Key under which the client's address is added.
    #[option(example = "source")]
    pub source_address_key: Option<String>,
    /// Has no effect: connections are tasks of their own.
    #[option(no_effect)]
    pub workers: Option<u32>,
}

/// What comes over a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Choice)]
pub enum TcpFormat {
    /// JSON values, one after another.
    Json,
    /// Lines of text, each a record with the key `log`.
    None,
}

/// A size as this input has it: a plain number of KB, each 1024 bytes. A `k` or `kb` behind it changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kilobytes(pub usize);

/// More KB than anybody sends: 1 GB.
const MOST: usize = 1 << 20;

impl OptionValue for Kilobytes {
    const KIND: &'static str = "number of KB";

    fn parse_value(text: &str) -> Result<Self, ValueError> {
        let number = text.trim_end_matches(['b', 'B']).trim_end_matches(['k', 'K']);
        match number.parse() {
            // Fluent Bit cannot work with 0; it is what people write for "the default".
            Ok(0) => Ok(Self(32)),
            Ok(kilobytes) if kilobytes <= MOST => Ok(Self(kilobytes)),
            _ => Err(ValueError::new("is no number of KB").help("type a plain number: `64` is 64 KB")),
        }
    }
}

/// The input.
pub struct Tcp {
    host: String,
    port: u16,
    listener: Option<TcpListener>,
    reader: Arc<Reader>,
}

struct Reader {
    tag: Option<String>,
    format: TcpFormat,
    separator: Vec<u8>,
    limit: usize,
    source_key: Option<String>,
    complaints: Complaints,
}

/// Builds the input.
pub fn build(
    bag: &mut PropertyBag,
    cx: &BuildContext,
    diagnostics: &mut Diagnostics,
) -> Option<Box<dyn Input>> {
    Tcp::build(bag, cx, diagnostics).map(|tcp| Box::new(tcp) as Box<dyn Input>)
}

impl Tcp {
    /// Builds the input.
    pub fn build(bag: &mut PropertyBag, cx: &BuildContext, diagnostics: &mut Diagnostics) -> Option<Self> {
        refuse(bag, &["parser"], "remove it: `format none` gives each line as it is", diagnostics);
        refuse(bag, &["tls"], "remove it, or let a proxy in front take TLS off", diagnostics);
        let options = TcpOptions::parse(bag, diagnostics)?;
        let limit = options.buffer_size.map_or(0, |size| size.0).max(options.chunk_size.0) * 1024;
        let reader = Reader {
            tag: cx.tag.clone(),
            format: options.format,
            separator: unescape(&options.separator),
            limit,
            source_key: options.source_address_key,
            complaints: Complaints::default(),
        };
        let host = options.listen.trim_start_matches('[').trim_end_matches(']').to_owned();
        Some(Self { host, port: options.port, listener: None, reader: Arc::new(reader) })
    }

    /// Where it listens, once it is open.
    #[must_use]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.listener.as_ref()?.local_addr().ok()
    }
}

/// The separator with `\n`, `\r`, `\t`, `\0` and `\\` for what they stand for.
fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let escaped = if byte == b'\\' { bytes.next() } else { None };
        match escaped {
            None => out.push(byte),
            Some(b'n') => out.push(b'\n'),
            Some(b'r') => out.push(b'\r'),
            Some(b't') => out.push(b'\t'),
            Some(b'0') => out.push(0),
            Some(b'\\') => out.push(b'\\'),
            Some(other) => out.extend([b'\\', other]),
        }
    }
    out
}

impl Input for Tcp {
    fn open<'a>(&'a mut self, cx: &'a InputContext) -> BoxFuture<'a, Result<(), InputError>> {
        Box::pin(async move {
            let bound = TcpListener::bind((self.host.as_str(), self.port)).await;
            let listener = bound.map_err(|source| InputError::Listen {
                address: format!("{}:{}", self.host, self.port),
                source,
            })?;
            if let Ok(address) = listener.local_addr() {
                info!(instance = %cx.id, "listening on {address}");
            }
            self.listener = Some(listener);
            Ok(())
        })
    }

    fn run(mut self: Box<Self>, cx: InputContext) -> BoxFuture<'static, Result<(), InputError>> {
        Box::pin(async move {
            let Some(listener) = self.listener.take() else { return Ok(()) };
            let room = Arc::new(Semaphore::new(CONNECTIONS));
            let connections = TaskTracker::new();
            loop {
                let Some(Ok(permit)) = cx.stop.run_until_cancelled(room.clone().acquire_owned()).await else {
                    break;
                };
                match cx.stop.run_until_cancelled(listener.accept()).await {
                    None => break,
                    Some(Ok((stream, peer))) => {
                        let (reader, cx) = (self.reader.clone(), cx.clone());
                        connections.spawn(async move {
                            reader.serve(stream, format!("tcp://{peer}"), &cx).await;
                            drop(permit);
                        });
                    }
                    Some(Err(error)) => {
                        // Out of descriptors, most likely: those that end make room.
                        warn!(instance = %cx.id, "a connection could not be accepted: {error}");
                        sleep(Duration::from_millis(100)).await;
                    }
                }
            }
            drop(listener);
            connections.close();
            connections.wait().await;
            Ok(())
        })
    }
}

/// A connection's bytes on their way to records.
enum Stream {
    Json(JsonStream),
    Lines(Lines),
}

impl Reader {
    async fn serve(&self, mut socket: TcpStream, peer: String, cx: &InputContext) {
        let mut gatherer = Gatherer::new(cx.flush);
        let mut stream = match self.format {
            TcpFormat::Json => Stream::Json(JsonStream::new(self.limit)),
            TcpFormat::None => Stream::Lines(Lines::new(self.separator.clone(), self.limit)),
        };
        let mut buf = vec![0; READ];
        // When reading ends at the latest, once the input stops.
        let mut latest: Option<Instant> = None;
        loop {
            let due = gatherer.due();
            let quiet = latest.map(|latest| latest.min(Instant::now() + QUIET));
            let len = tokio::select! {
                biased;
                () = cx.stop.cancelled(), if latest.is_none() => {
                    latest = Some(Instant::now() + DRAIN);
                    continue;
                }
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    hand_over::all(cx, &mut gatherer, OnFull::Pace).await;
                    continue;
                }
                // A connection that breaks has ended: what came over it counts.
                read = socket.read(&mut buf) => read.unwrap_or(0),
                () = sleep_until(quiet.unwrap_or_else(Instant::now)), if quiet.is_some() => 0,
            };
            let sound = self.take(cx, &peer, &mut stream, &buf[..len], &mut gatherer);
            hand_over::full(cx, &mut gatherer, OnFull::Pace).await;
            if len == 0 || !sound || latest.is_some_and(|latest| Instant::now() >= latest) {
                break;
            }
        }
        hand_over::all(cx, &mut gatherer, OnFull::Pace).await;
    }

    /// Takes what the bytes complete; no bytes are the end. `false` when the connection has to be closed.
    fn take(
        &self,
        cx: &InputContext,
        peer: &str,
        stream: &mut Stream,
        bytes: &[u8],
        gatherer: &mut Gatherer,
    ) -> bool {
        let tag = self.tag.as_deref().unwrap_or(&cx.id.name).as_bytes();
        let (now, clock) = (Instant::now(), cx.service.clock.now());
        let (mut records, mut size) = (0, 0);
        let mut add = |record: &[u8]| {
            let builder = gatherer.builder(tag, now);
            let before = builder.size();
            builder.push_record(clock, record);
            records += 1;
            size += (builder.size() - before) as u64;
        };
        let sound = match stream {
            Stream::Json(stream) => self.take_json(cx, peer, stream, bytes, &mut add),
            Stream::Lines(lines) => self.take_lines(cx, peer, lines, bytes, &mut add),
        };
        cx.metrics.records.add(records);
        cx.metrics.bytes.add(size);
        sound
    }

    fn take_json(
        &self,
        cx: &InputContext,
        peer: &str,
        stream: &mut JsonStream,
        bytes: &[u8],
        add: &mut impl FnMut(&[u8]),
    ) -> bool {
        stream.feed(bytes);
        let (mut value, mut record) = (Vec::new(), Vec::new());
        loop {
            value.clear();
            record.clear();
            match stream.next(&mut value, bytes.is_empty()) {
                Next::Value => match self.write_record(&mut record, &value, peer) {
                    true => add(&record),
                    false => self.skipped(cx, peer, "neither an object nor an array"),
                },
                Next::Malformed(error) => self.skipped(cx, peer, &error),
                Next::Wait => return true,
                Next::TooLong => {
                    self.close(cx, peer, "value");
                    return false;
                }
            }
        }
    }

    /// Writes the record of a JSON value: an object as it is, an array under `msg`. `false` if the value makes none.
    fn write_record(&self, record: &mut Vec<u8>, value: &[u8], peer: &str) -> bool {
        match value.first() {
            Some(0x80..=0x8f | 0xde | 0xdf) => {
                let map = MapView::known(value);
                write::map_header(record, map.len() + usize::from(self.source_key.is_some()));
                record.extend_from_slice(map.body());
            }
            Some(0x90..=0x9f | 0xdc | 0xdd) => {
                write::map_header(record, 1 + usize::from(self.source_key.is_some()));
                write::str(record, b"msg");
                record.extend_from_slice(value);
            }
            _ => return false,
        }
        self.write_source(record, peer);
        true
    }

    fn take_lines(
        &self,
        cx: &InputContext,
        peer: &str,
        lines: &mut Lines,
        bytes: &[u8],
        add: &mut impl FnMut(&[u8]),
    ) -> bool {
        lines.feed(bytes);
        let mut record = Vec::new();
        while let Some(line) = lines.next(bytes.is_empty()) {
            if line.is_empty() {
                continue;
            }
            record.clear();
            write::map_header(&mut record, 1 + usize::from(self.source_key.is_some()));
            write::str(&mut record, b"log");
            write::str(&mut record, line);
            self.write_source(&mut record, peer);
            add(&record);
        }
        let sound = !lines.is_too_long();
        if !sound {
            self.close(cx, peer, "line");
        }
        sound
    }

    /// Writes the client's address, where it is asked for. Fluent Bit leaves it out of lines.
    fn write_source(&self, record: &mut Vec<u8>, peer: &str) {
        let Some(key) = &self.source_key else { return };
        write::str(record, key.as_bytes());
        write::str(record, peer.as_bytes());
    }

    fn skipped(&self, cx: &InputContext, peer: &str, why: &str) {
        self.complaints.say(cx, peer, &format!("a value was skipped: {why}"));
    }

    /// Says that a connection is closed because something came over it that is too long.
    fn close(&self, cx: &InputContext, peer: &str, what: &str) {
        cx.metrics.closed_connections.add(1);
        let limit = self.limit / 1024;
        let line = format!("closed: a {what} is longer than the {limit} KB of Chunk_Size and Buffer_Size");
        self.complaints.say(cx, peer, &line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_a_number_of_kilobytes() {
        let size = |text| Kilobytes::parse_value(text).ok().map(|size| size.0);
        assert_eq!(
            (size("64"), size("64k"), size("64KB"), size("0")),
            (Some(64), Some(64), Some(64), Some(32))
        );
        assert_eq!((size("1M"), size("much"), size("99999999"), size("")), (None, None, None, None));
    }

    #[test]
    fn escapes_in_a_separator_are_understood() {
        assert_eq!(unescape("\\r\\n"), b"\r\n");
        assert_eq!(unescape("|\\0\\\\n\\x\\"), b"|\0\\n\\x\\");
    }
}
