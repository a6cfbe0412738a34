//! What delivers entries: an encoder, a batcher and a sender.
//!
//! An output is written as three small parts. The *encoder* turns entries into bytes; the *batcher* gathers them within
//! the destination's limits. Both are the [`Output`]: a pure state machine over chunks and a clock, without I/O. The *sender*
//! is the [`Delivery`] inside each [`Batch`]: it makes one attempt at a time and says how it went. Queues, retries,
//! back-off, order and the books are the engine's.

use std::sync::Arc;

use bytes::Bytes;
use ikada_record::{Chunk, DropReason, Share, Tag, Timestamp};
use tokio::time::Instant;

use crate::{BoxFuture, Outcome, SendError};

/// A chunk on its way to one output.
#[derive(Debug)]
pub struct Routed {
    /// The entries.
    pub chunk: Chunk,
    /// This output's part in settling them.
    pub share: Arc<Share>,
    /// When they are to be sent, full batch or not.
    pub due: Instant,
}

/// Gathers entries into batches within the destination's limits. No I/O, no clock of its own.
pub trait Output: Send {
    /// Takes a chunk in. Every entry of it ends up in a batch, or is settled as dropped on its share at once.
    fn push(&mut self, routed: Routed, now: Instant);

    /// The next batch that is full, or due at `now`.
    fn pop(&mut self, now: Instant) -> Option<Batch>;

    /// When the next batch that is still open is due.
    fn due(&self) -> Option<Instant>;

    /// Makes every open batch ready: the router stops.
    fn close_all(&mut self);

    /// Bytes held in open and ready batches.
    fn held(&self) -> usize;

    /// Whether no further chunk is to be pushed for now, because what is held has reached its bound. Asked again when a batch has
    /// ended and at [`due`](Self::due). A drain pushes all the same: what inputs still hold is bounded by themselves.
    fn is_full(&self) -> bool {
        false
    }

    /// What it would call at its destination what it takes under a tag at this time: pairs of a word and a name, as `log group` and
    /// `/ecs/shop`. For people, without I/O; a name that depends on a record is shown as it is written.
    fn names(&self, _tag: &Tag, _now: Timestamp) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    /// How many batches may be under way at once. Batches of one lane are still sent one after another.
    fn in_flight(&self) -> usize {
        4
    }
}

/// A number of consecutive entries of a batch that belong to one share.
#[derive(Debug, Clone)]
pub struct Part {
    /// Whom to tell.
    pub share: Arc<Share>,
    /// How many entries.
    pub entries: u32,
}

/// What one request or object carries.
pub struct Batch {
    /// Batches of the same lane are delivered in the order they were made; `None` goes beside everything.
    pub lane: Option<u64>,
    /// Whose entries these are, in the order of the batch.
    pub parts: Vec<Part>,
    /// Number of entries: the sum over `parts`.
    pub entries: u32,
    /// Bytes that go over the wire, roughly.
    pub bytes: usize,
    /// How to send it.
    pub delivery: Box<dyn Delivery>,
    /// For each entry its place in its share's chunk, or nothing if the output does not say: what dead letters need.
    pub origins: Vec<u32>,
}

impl Batch {
    /// A batch of these parts.
    #[must_use]
    pub fn new(lane: Option<u64>, parts: Vec<Part>, bytes: usize, delivery: Box<dyn Delivery>) -> Self {
        let entries = parts.iter().map(|part| part.entries).sum();
        Self { lane, parts, entries, bytes, delivery, origins: Vec::new() }
    }

    /// The batch, with the place of each entry in its share's chunk.
    #[must_use]
    pub fn with_origins(mut self, origins: Vec<u32>) -> Self {
        self.origins = origins;
        self
    }
}

impl std::fmt::Debug for Batch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Batch")
            .field("lane", &self.lane)
            .field("entries", &self.entries)
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

/// Adds `entries` entries of a share to the parts of a batch under way.
pub fn add_part(parts: &mut Vec<Part>, share: &Arc<Share>, entries: u32) {
    if entries == 0 {
        return;
    }
    match parts.last_mut() {
        Some(last) if Arc::ptr_eq(&last.share, share) => last.entries += entries,
        _ => parts.push(Part { share: share.clone(), entries }),
    }
}

/// Sends one batch, an attempt at a time.
pub trait Delivery: Send {
    /// Makes one attempt. After [`Outcome::Partial`] the delivery stands for the entries to retry only, numbered anew.
    ///
    /// # Cancel safety
    /// May be dropped at any await; whether the destination took the batch is then unknown.
    fn attempt(&mut self) -> BoxFuture<'_, Outcome>;

    /// Whether entries that are dropped for this reason are set aside, where dead letters are kept.
    fn keeps(&self, _reason: DropReason) -> bool {
        true
    }
}

/// How often a batch is tried again after its first attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RetryLimit {
    /// Until it succeeds: the default.
    #[default]
    Unlimited,
    /// As often as the configuration says; 0 is `no_retries`.
    Times(u32),
}

/// A place far away for what outputs refuse, as a prefix in a bucket.
pub trait LetterStore: Send + Sync {
    /// Makes one attempt to write an object under this name; the same name again overwrites it.
    ///
    /// # Cancel safety
    /// May be dropped at any await; whether it was written is then unknown.
    fn put<'a>(&'a self, name: &'a str, body: Bytes) -> BoxFuture<'a, Result<(), SendError>>;

    /// What people call the place.
    fn place(&self) -> &str;
}
