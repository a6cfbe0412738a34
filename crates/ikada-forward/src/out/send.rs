//! One attempt: a frame to the first server that takes it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use ikada_msgpack::write;
use ikada_plugin::{BoxFuture, Delivery, EntrySet, Outcome, SendError};
use ikada_record::DropReason;
use tokio::time::{Instant, timeout};

use super::encode::{OptionMap, Says, Tokens};
use super::node::{Connection, Node, NodeError};
use crate::Compression;
use crate::client::{answer, compress};

/// Levels at which a little more compression begins to cost much more time.
const GZIP_LEVEL: u8 = 2;
const ZSTD_LEVEL: u8 = 1;

/// Where frames go, and how.
#[derive(Debug)]
pub(super) struct Target {
    nodes: Vec<Arc<Node>>,
    /// Whose turn it is.
    next: AtomicUsize,
    pub(super) options: OptionMap,
    pub(super) compression: Option<Compression>,
    /// How long a frame may take to be written.
    pub(super) write_time: Duration,
    /// How long an answer may take.
    pub(super) answer_time: Duration,
}

impl Target {
    pub(super) fn new(
        nodes: Vec<Node>,
        options: OptionMap,
        compression: Option<Compression>,
        write_time: Duration,
        answer_time: Duration,
    ) -> Self {
        let nodes = nodes.into_iter().map(Arc::new).collect();
        Self { nodes, next: AtomicUsize::new(0), options, compression, write_time, answer_time }
    }

    /// Where the servers are, as written.
    pub(super) fn addresses(&self) -> Vec<String> {
        self.nodes.iter().map(|node| node.address.to_string()).collect()
    }

    /// All servers in the order in which they are to be asked: from the one whose turn it is on, those that are down last.
    fn turn(&self) -> Vec<Arc<Node>> {
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        let now = Instant::now();
        let mut nodes: Vec<_> = (0..self.nodes.len())
            .map(|n| self.nodes[(first.wrapping_add(n)) % self.nodes.len()].clone())
            .collect();
        nodes.sort_by_key(|node| node.is_down(now));
        nodes
    }

    /// A connection to the first server that can be reached.
    async fn connection(&self) -> Result<(Arc<Node>, Connection), SendError> {
        let mut troubles = Vec::new();
        for node in self.turn() {
            match node.connection().await {
                Ok(connection) => return Ok((node, connection)),
                Err(error) => {
                    node.mark_down(Instant::now());
                    troubles.push(trouble(&node, &error));
                }
            }
        }
        Err(SendError::new(troubles.join("; ")))
    }
}

fn trouble(node: &Node, error: &NodeError) -> String {
    format!("{}: {error}", node.address)
}

/// Entries of one tag that go as one frame.
pub(super) struct Frame {
    tag: Vec<u8>,
    entries: u32,
    run: Bytes,
    token: Option<String>,
    /// What stands around `run` on the wire, once it is known.
    around: Option<(Vec<u8>, Vec<u8>)>,
}

impl Frame {
    pub(super) fn new(tag: &[u8], entries: u32, run: Bytes, token: Option<String>) -> Self {
        Self { tag: tag.to_vec(), entries, run, token, around: None }
    }

    /// Compresses the entries if need be, and writes what stands before and behind them. Once is enough.
    async fn pack(&mut self, target: &Target) -> io::Result<()> {
        if self.around.is_some() {
            return Ok(());
        }
        if let Some(compression) = target.compression {
            let run = self.run.clone();
            let level = if compression == Compression::Gzip { GZIP_LEVEL } else { ZSTD_LEVEL };
            // Some milliseconds for a megabyte: too long for a thread that serves others.
            let packed = tokio::task::spawn_blocking(move || compress(&run, compression, level)).await;
            self.run = packed.map_err(io::Error::other)??.into();
        }
        self.around = Some(self.head_and_tail(target));
        Ok(())
    }

    fn head_and_tail(&self, target: &Target) -> (Vec<u8>, Vec<u8>) {
        let (mut head, mut tail) = (Vec::new(), Vec::new());
        let has_options = target.options.is_written() || target.compression.is_some();
        write::array_header(&mut head, if has_options { 3 } else { 2 });
        write::str(&mut head, &self.tag);
        match target.compression {
            None => write::array_header(&mut head, self.entries as usize),
            Some(_) => bin_header(&mut head, self.run.len()),
        }
        if has_options {
            let says = Says {
                token: self.token.as_deref(),
                size: Some(u64::from(self.entries)),
                compression: target.compression,
                metadata: None,
            };
            target.options.write(&mut tail, says);
        }
        (head, tail)
    }
}

/// The header of binary data of this length (MessagePack, "bin format family").
fn bin_header(out: &mut Vec<u8>, len: usize) {
    match (u8::try_from(len), u16::try_from(len)) {
        (Ok(len), _) => out.extend_from_slice(&[0xc4, len]),
        (_, Ok(len)) => {
            out.push(0xc5);
            out.extend_from_slice(&len.to_be_bytes());
        }
        _ => {
            out.push(0xc6);
            out.extend_from_slice(&u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes());
        }
    }
}

/// Entries that go as a message each, because each may have a tag of its own.
pub(super) struct Messages {
    bytes: Bytes,
    ends: Vec<usize>,
    tokens: Tokens,
    /// Messages that were answered before.
    done: usize,
}

impl Messages {
    pub(super) fn new(bytes: Bytes, ends: Vec<usize>, tokens: Tokens) -> Self {
        Self { bytes, ends, tokens, done: 0 }
    }

    /// The messages that were not answered yet.
    fn rest(&self) -> &[u8] {
        let start = self.done.checked_sub(1).map_or(0, |last| self.ends[last]);
        &self.bytes[start..]
    }
}

enum What {
    Frame(Frame),
    Messages(Messages),
}

/// Sends one batch.
pub(super) struct Send {
    target: Arc<Target>,
    what: What,
}

impl Send {
    pub(super) fn frame(target: Arc<Target>, frame: Frame) -> Self {
        Self { target, what: What::Frame(frame) }
    }

    pub(super) fn messages(target: Arc<Target>, messages: Messages) -> Self {
        Self { target, what: What::Messages(messages) }
    }

    async fn try_once(&mut self) -> Outcome {
        if let What::Frame(frame) = &mut self.what
            && let Err(error) = frame.pack(&self.target).await
        {
            return again(format!("compression: {error}"));
        }
        let (node, mut connection) = match self.target.connection().await {
            Ok(connected) => connected,
            Err(cause) => return Outcome::Retry { after: None, cause },
        };
        let done_before = self.done();
        match self.exchange(&mut connection).await {
            Ok(()) => {
                node.keep(connection);
                Outcome::Delivered
            }
            Err(error) => {
                node.mark_down(Instant::now());
                self.unfinished(done_before, trouble(&node, &error))
            }
        }
    }

    fn done(&self) -> usize {
        if let What::Messages(messages) = &self.what { messages.done } else { 0 }
    }

    /// Messages that were answered before the trouble came are not sent again.
    fn unfinished(&self, done_before: usize, message: String) -> Outcome {
        let What::Messages(messages) = &self.what else { return again(message) };
        let (taken, all) = (messages.done - done_before, messages.ends.len() - done_before);
        if taken == 0 {
            return again(message);
        }
        Outcome::Partial {
            retry: (taken as u32..all as u32).collect(),
            rejected: EntrySet::new(),
            reason: DropReason::Rejected,
            cause: SendError::new(message),
        }
    }

    /// Writes, and waits for the answers that were asked for.
    async fn exchange(&mut self, connection: &mut Connection) -> Result<(), NodeError> {
        let parts = match &self.what {
            What::Messages(messages) => [messages.rest(), &[], &[]],
            What::Frame(frame) => match &frame.around {
                Some((head, tail)) => [&head[..], &frame.run, tail],
                None => [&[][..]; 3],
            },
        };
        within(self.target.write_time, "the frame could not be written", connection.write(parts)).await?;
        if !self.target.options.asks {
            return Ok(());
        }
        let limit = self.target.answer_time;
        match &mut self.what {
            What::Frame(frame) => {
                let token = frame.token.as_deref().unwrap_or_default();
                within(limit, "no answer came", hear(connection, token)).await
            }
            What::Messages(messages) => {
                while messages.done < messages.ends.len() {
                    let token = messages.tokens.get(messages.done as u32);
                    within(limit, "no answer came", hear(connection, &token)).await?;
                    messages.done += 1;
                }
                Ok(())
            }
        }
    }
}

/// Waits for the answer with this token.
async fn hear(connection: &mut Connection, token: &str) -> Result<(), NodeError> {
    let value = connection.value().await?;
    let said = answer(&value).ok().flatten().and_then(|answer| answer.token);
    if said == Some(token.as_bytes()) { Ok(()) } else { Err(NodeError::Nonsense) }
}

async fn within<F>(limit: Duration, what: &str, work: F) -> Result<(), NodeError>
where
    F: Future<Output = Result<(), NodeError>>,
{
    timeout(limit, work).await.unwrap_or_else(|_| {
        let message = format!("{what} within {} s", limit.as_secs_f32());
        Err(NodeError::Io(io::Error::new(io::ErrorKind::TimedOut, message)))
    })
}

fn again(message: String) -> Outcome {
    Outcome::Retry { after: None, cause: SendError::new(message) }
}

impl Delivery for Send {
    fn attempt(&mut self) -> BoxFuture<'_, Outcome> {
        Box::pin(self.try_once())
    }
}
