//! Takes JSON or lines over TCP. The ECS agent uses it as its health check: one JSON object, no line end, goodbye.

use std::sync::Arc;

use ikada_diag::{Diagnostic, Diagnostics, codes};
use ikada_msgpack::write;
use ikada_options::{Choice, Options, PropertyBag, Spanned};
use ikada_plugin::registry::BuildContext;
use ikada_plugin::{BoxFuture, Dispatch, Gatherer, Input, InputContext, InputError, OnFull};
use ikada_record::Receipt;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{Duration, Instant, sleep, sleep_until};
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::json_lines::{JsonStream, Next};

/// Connections at once; more wait in the system's backlog.
const CONNECTIONS: usize = 4096;

/// After a stop, a connection is read until nothing has come for this long.
const QUIET: Duration = Duration::from_millis(50);

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
    /// Largest value or line in KB; 0 is the default of 32.
    ///
    /// Fluent Bit reads in steps of this size.
    #[option(default = "32")]
    pub chunk_size: Spanned<String>,
    /// Largest value or line in KB; the larger of this and `Chunk_Size` counts.
    #[option(example = "64")]
    pub buffer_size: Option<Spanned<String>>,
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

struct Tcp {
    address: String,
    listener: Option<TcpListener>,
    reader: Arc<Reader>,
}

struct Reader {
    tag: Option<String>,
    format: TcpFormat,
    separator: Vec<u8>,
    limit: usize,
    source_key: Option<String>,
}

/// Builds the input.
pub fn build(
    bag: &mut PropertyBag,
    cx: &BuildContext,
    diagnostics: &mut Diagnostics,
) -> Option<Box<dyn Input>> {
    let options = TcpOptions::parse(bag, diagnostics)?;
    let chunk = kilobytes(&options.chunk_size, diagnostics)?;
    let buffer = match &options.buffer_size {
        Some(size) => kilobytes(size, diagnostics)?,
        None => 0,
    };
    let separator = options.separator.replace("\\n", "\n").replace("\\r", "\r").replace("\\t", "\t");
    let reader = Reader {
        tag: cx.tag.clone(),
        format: options.format,
        separator: separator.into_bytes(),
        limit: chunk.max(buffer),
        source_key: options.source_address_key,
    };
    let address = format!("{}:{}", options.listen, options.port);
    Some(Box::new(Tcp { address, listener: None, reader: Arc::new(reader) }))
}

/// `Chunk_Size` and `Buffer_Size` of this input are plain numbers of KB.
fn kilobytes(size: &Spanned<String>, diagnostics: &mut Diagnostics) -> Option<usize> {
    match size.value.parse::<usize>() {
        Ok(0) => Some(32 * 1024),
        Ok(kilobytes) if kilobytes <= 1_000_000 => Some(kilobytes * 1024),
        _ => {
            let message = format!("`{}` is no number of kilobytes", size.value);
            let help = "write a plain number, as `64` for 64 KB";
            diagnostics.push(Diagnostic::error(codes::BAD_VALUE, message).at(size.span).help(help));
            None
        }
    }
}

impl Input for Tcp {
    fn open<'a>(&'a mut self, cx: &'a InputContext) -> BoxFuture<'a, Result<(), InputError>> {
        Box::pin(async move {
            let bound = TcpListener::bind(&self.address).await;
            let listener =
                bound.map_err(|source| InputError::Listen { address: self.address.clone(), source })?;
            let address = listener.local_addr().map_or_else(|_| self.address.clone(), |a| a.to_string());
            info!(instance = %cx.id, "listening on {address}");
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
                            reader.serve(stream, peer.to_string(), &cx).await;
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
    Lines(Vec<u8>),
}

impl Reader {
    async fn serve(&self, mut socket: TcpStream, peer: String, cx: &InputContext) {
        let mut gatherer = Gatherer::new(cx.flush);
        let mut stream = match self.format {
            TcpFormat::Json => Stream::Json(JsonStream::new(self.limit)),
            TcpFormat::None => Stream::Lines(Vec::new()),
        };
        let mut buf = vec![0; 16 * 1024];
        let mut stopping = false;
        loop {
            let due = gatherer.due();
            let len = tokio::select! {
                biased;
                () = cx.stop.cancelled(), if !stopping => {
                    stopping = true;
                    continue;
                }
                read = socket.read(&mut buf) => read.unwrap_or(0),
                () = sleep(QUIET), if stopping => 0,
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    hand_over(cx, &mut gatherer).await;
                    continue;
                }
            };
            let sound = self.take(cx, &peer, &mut stream, &buf[..len], &mut gatherer);
            while let Some(full) = gatherer.pop_full() {
                dispatch(cx, full.finish(Receipt::unwatched())).await;
            }
            if len == 0 || !sound {
                break;
            }
        }
        hand_over(cx, &mut gatherer).await;
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
        let (mut records, mut size) = (0, 0);
        let mut add = |record: &[u8]| {
            let builder = gatherer.builder(tag, Instant::now());
            let before = builder.size();
            builder.push_record(cx.service.clock.now(), record);
            records += 1;
            size += (builder.size() - before) as u64;
        };
        let sound = match stream {
            Stream::Json(stream) => self.take_json(cx, peer, stream, bytes, &mut add),
            Stream::Lines(rest) => self.take_lines(cx, peer, rest, bytes, &mut add),
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
        let mut value = Vec::new();
        loop {
            value.clear();
            match stream.next(&mut value, bytes.is_empty()) {
                Next::Value => match self.record(&value, peer) {
                    Some(record) => add(&record),
                    None => malformed(cx, peer, "a value is neither an object nor an array"),
                },
                Next::Malformed(error) => malformed(cx, peer, &error),
                Next::Wait => return true,
                Next::TooLong => {
                    malformed(cx, peer, "a value is longer than Chunk_Size and Buffer_Size allow: closed");
                    cx.metrics.closed_connections.add(1);
                    return false;
                }
            }
        }
    }

    /// A record of a JSON value: an object as it is, an array under `msg`.
    fn record(&self, value: &[u8], peer: &str) -> Option<Vec<u8>> {
        let map = ikada_msgpack::MapView::known(value);
        let is_map = matches!(value.first()?, 0x80..=0x8f | 0xde | 0xdf);
        let is_array = matches!(value.first()?, 0x90..=0x9f | 0xdc | 0xdd);
        if !is_map && !is_array {
            return None;
        }
        let mut record = Vec::with_capacity(value.len() + 64);
        let own = if is_map { map.len() } else { 1 };
        write::map_header(&mut record, own + usize::from(self.source_key.is_some()));
        if is_map {
            record.extend_from_slice(map.body());
        } else {
            write::str(&mut record, b"msg");
            record.extend_from_slice(value);
        }
        if let Some(key) = &self.source_key {
            write::str(&mut record, key.as_bytes());
            write::str(&mut record, format!("tcp://{peer}").as_bytes());
        }
        Some(record)
    }

    fn take_lines(
        &self,
        cx: &InputContext,
        peer: &str,
        rest: &mut Vec<u8>,
        bytes: &[u8],
        add: &mut impl FnMut(&[u8]),
    ) -> bool {
        rest.extend_from_slice(bytes);
        let mut at = 0;
        while let Some(len) = find(&rest[at..], &self.separator) {
            self.line(&rest[at..at + len], peer, add);
            at += len + self.separator.len();
        }
        rest.drain(..at);
        if bytes.is_empty() && !rest.is_empty() {
            // The last line of a client that closed, which Fluent Bit loses.
            let last = std::mem::take(rest);
            self.line(&last, peer, add);
        }
        if rest.len() > self.limit {
            malformed(cx, peer, "a line is longer than Chunk_Size and Buffer_Size allow: closed");
            cx.metrics.closed_connections.add(1);
            return false;
        }
        true
    }

    fn line(&self, line: &[u8], peer: &str, add: &mut impl FnMut(&[u8])) {
        if line.is_empty() {
            return;
        }
        let mut record = Vec::with_capacity(line.len() + 64);
        write::map_header(&mut record, 1 + usize::from(self.source_key.is_some()));
        write::str(&mut record, b"log");
        write::str(&mut record, line);
        if let Some(key) = &self.source_key {
            write::str(&mut record, key.as_bytes());
            write::str(&mut record, format!("tcp://{peer}").as_bytes());
        }
        add(&record);
    }
}

/// Where `separator` starts in `bytes`.
fn find(bytes: &[u8], separator: &[u8]) -> Option<usize> {
    if separator.is_empty() {
        return None;
    }
    bytes.windows(separator.len()).position(|window| window == separator)
}

fn malformed(cx: &InputContext, peer: &str, error: &str) {
    cx.metrics.malformed.add(1);
    warn!(instance = %cx.id, peer, "something was skipped: {error}");
}

async fn hand_over(cx: &InputContext, gatherer: &mut Gatherer) {
    for builder in gatherer.take_all() {
        dispatch(cx, builder.finish(Receipt::unwatched())).await;
    }
}

async fn dispatch(cx: &InputContext, chunk: ikada_record::Chunk) {
    let how = Dispatch { due: Instant::now(), on_full: OnFull::Pace };
    cx.router.dispatch(&cx.id, chunk, how).await;
}
