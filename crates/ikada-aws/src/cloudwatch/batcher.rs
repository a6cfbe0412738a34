//! One open batch per stream, cut where the service's limits are.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use ikada_plugin::{Batch, Delivery, Output, Part, Routed, add_part};
use ikada_record::{DropReason, Entry, Share, Tag, Timestamp, record_at};
use tokio::time::Instant;

use super::entity::{without_fields, write_entity};
use super::events::{Events, MAX_MESSAGE, Mark};
use super::message::{MessageEncoder, Written};
use super::names::Names;
use super::options::Oversize;
use super::sender::{PutEvents, Sender, Stream};
use crate::calls::Refused;
use crate::seldom::Seldom;

/// Streams with an open batch at once; beyond it the batch that is due first goes early.
const MAX_OPEN: usize = 1_000;

/// Room for a call that is filled to its limit, rendered: what most of them come to.
const FULL: usize = 1_250_000;

/// Turns chunks into calls of PutLogEvents.
pub(super) struct Batcher {
    encoder: MessageEncoder,
    names: Names,
    oversize: Oversize,
    /// Whether calls say what their logs are of.
    add_entity: bool,
    sender: Arc<Sender>,
    open: HashMap<Box<[u8]>, Open>,
    ready: VecDeque<Batch>,
    open_bytes: usize,
    ready_bytes: usize,
    /// No open batch is due before.
    earliest: Option<Instant>,
    /// Group and stream of the entry at hand, and before them what it is of, with a NUL behind each but the last.
    key: Vec<u8>,
    /// The entry at hand without what tells its entity.
    scratch: Vec<u8>,
    lines: Lines,
}

/// What is said at most now and then.
#[derive(Default)]
struct Lines {
    empty: Seldom,
    no_key: Seldom,
    too_long: Seldom,
    no_name: Seldom,
}

/// What came of the entries of one chunk.
#[derive(Default)]
struct Counts {
    empty: u32,
    no_key: u32,
    too_long: u32,
}

/// The open batch of a stream.
struct Open {
    stream: Arc<Stream>,
    events: Events,
    parts: Vec<Part>,
    /// Places of the entries in their chunks, where the engine wants to know them.
    origins: Vec<u32>,
    /// Entries of the chunk at hand that are not in `parts` yet.
    run: u32,
    due: Instant,
}

/// What the entry at hand is of.
#[derive(Clone, Copy)]
struct Source<'a> {
    routed: &'a Routed,
    /// Its place in the chunk.
    place: u32,
    /// Whether places are of use.
    keeps: bool,
}

impl Open {
    fn new(key: &[u8], is_pending: bool, due: Instant) -> Self {
        // JSON and a group's name hold no NUL; a stream's may.
        let mut names = key.splitn(3, |byte| *byte == 0);
        let mut name = || String::from_utf8_lossy(names.next().unwrap_or_default()).into_owned();
        let (entity, group, stream) = (name(), name(), name());
        let lane = lane(&key[entity.len()..]);
        let stream = Arc::new(Stream::new(group, stream, entity, lane, is_pending));
        let events = Events::new(&stream.head, 0);
        Self { events, stream, parts: Vec::new(), origins: Vec::new(), run: 0, due }
    }

    /// Books the entries of the chunk at hand.
    fn end_run(&mut self, share: &Arc<Share>) {
        add_part(&mut self.parts, share, std::mem::take(&mut self.run));
    }

    /// The batch of what is here, which is empty afterwards.
    fn close(&mut self, next: Events, sender: &Arc<Sender>) -> Batch {
        let events = std::mem::replace(&mut self.events, next);
        let bytes = events.body_len();
        let delivery = PutEvents::new(sender.clone(), self.stream.clone(), events.close());
        Batch::new(Some(self.stream.lane), std::mem::take(&mut self.parts), bytes, Box::new(delivery))
            .with_origins(std::mem::take(&mut self.origins))
    }
}

impl Batcher {
    pub(super) fn new(
        encoder: MessageEncoder,
        names: Names,
        oversize: Oversize,
        add_entity: bool,
        sender: Arc<Sender>,
    ) -> Self {
        Self {
            encoder,
            names,
            oversize,
            add_entity,
            sender,
            open: HashMap::new(),
            ready: VecDeque::new(),
            open_bytes: 0,
            ready_bytes: 0,
            earliest: None,
            key: Vec::new(),
            scratch: Vec::new(),
            lines: Lines::default(),
        }
    }

    /// The open batch for the names in `self.key`, taken out of the others while it is worked at.
    fn take(&mut self, due: Instant) -> (Box<[u8]>, Open) {
        if let Some((key, mut open)) = self.open.remove_entry(self.key.as_slice()) {
            self.open_bytes -= open.events.cost();
            open.due = open.due.min(due);
            return (key, open);
        }
        if self.open.len() >= MAX_OPEN {
            self.close_first();
        }
        (self.key.as_slice().into(), Open::new(&self.key, self.names.ask_ecs(), due))
    }

    fn put_back(&mut self, key: Box<[u8]>, open: Open) {
        if open.events.len() == 0 {
            return;
        }
        self.earliest = Some(self.earliest.map_or(open.due, |earliest| earliest.min(open.due)));
        self.open_bytes += open.events.cost();
        self.open.insert(key, open);
    }

    /// All entries go to the stream their tag names.
    fn push_by_tag(&mut self, routed: &Routed, counts: &mut Counts) {
        self.key.clear();
        self.key.push(0);
        self.names.write(&mut self.key, routed.chunk.tag(), record_at(&[]));
        let (key, mut open) = self.take(routed.due);
        let keeps = routed.share.source().is_some();
        for (place, entry) in (0..).zip(routed.chunk.entries()) {
            self.add(&mut open, &entry, Source { routed, place, keeps }, counts);
        }
        open.end_run(&routed.share);
        self.put_back(key, open);
    }

    /// Each entry goes to the stream its record names.
    fn push_by_record(&mut self, routed: &Routed, counts: &mut Counts, now: Instant) {
        let mut at_hand: Option<(Box<[u8]>, Open)> = None;
        let keeps = routed.share.source().is_some();
        let mut scratch = std::mem::take(&mut self.scratch);
        for (place, entry) in (0..).zip(routed.chunk.entries()) {
            self.name(routed.chunk.tag(), &entry, now);
            let (key, mut open) = match at_hand.take() {
                Some((key, open)) if *key == *self.key => (key, open),
                other => {
                    if let Some((key, mut open)) = other {
                        open.end_run(&routed.share);
                        self.put_back(key, open);
                    }
                    self.take(routed.due)
                }
            };
            let bare = if self.add_entity { without_fields(&entry, &mut scratch) } else { None };
            self.add(&mut open, bare.as_ref().unwrap_or(&entry), Source { routed, place, keeps }, counts);
            at_hand = Some((key, open));
        }
        if let Some((key, mut open)) = at_hand {
            open.end_run(&routed.share);
            self.put_back(key, open);
        }
        self.scratch = scratch;
    }

    /// Leaves the entry's names in `self.key`.
    fn name(&mut self, tag: &Tag, entry: &Entry<'_>, now: Instant) {
        self.key.clear();
        if self.add_entity {
            write_entity(&mut self.key, entry.record());
        }
        self.key.push(0);
        let Some(reference) = self.names.write(&mut self.key, tag, entry.record()) else { return };
        if let Some(times) = self.lines.no_name.count(1, now) {
            tracing::warn!(%reference, times, "a template's reference is not in the record; the name that the options give for that stands in");
        }
    }

    #[inline]
    fn add(&mut self, open: &mut Open, entry: &Entry<'_>, source: Source<'_>, counts: &mut Counts) {
        let time = entry.time().millis();
        if !open.events.takes(time) {
            self.close_full(open, None, source.routed);
        }
        let mark = open.events.begin(time);
        let mut len = match self.encoder.write(open.events.arena(), entry) {
            Written::Message(len) => len,
            Written::Empty => {
                counts.empty += 1;
                return open.events.abort(mark);
            }
            Written::NoKey => {
                counts.no_key += 1;
                return open.events.abort(mark);
            }
        };
        if len > MAX_MESSAGE {
            match self.shorten(open, mark, entry, source, counts) {
                Some(shorter) => len = shorter,
                None => return,
            }
        }
        if open.events.fits(len) {
            open.events.end(time, len);
        } else {
            let mut next = Events::new(&open.stream.head, FULL);
            open.events.move_last(mark, &mut next, time, len);
            self.close_full(open, Some(next), source.routed);
        }
        open.run += 1;
        if source.keeps {
            open.origins.push(source.place);
        }
    }

    /// Makes the message begun at `mark` as short as it must be: with text beyond ASCII as it is, or else as `oversize` says. `None`
    /// where it is dealt with.
    #[cold]
    fn shorten(
        &mut self,
        open: &mut Open,
        mark: Mark,
        entry: &Entry<'_>,
        source: Source<'_>,
        counts: &mut Counts,
    ) -> Option<usize> {
        let written = open.events.arena().len();
        if let Some(Written::Message(len)) = self.encoder.write_shorter(open.events.arena(), entry) {
            open.events.keep_from(mark, written);
            if len <= MAX_MESSAGE {
                return Some(len);
            }
        }
        counts.too_long += 1;
        let time = entry.time().millis();
        match self.oversize {
            Oversize::Truncate => return Some(open.events.cut(mark)),
            Oversize::Split => {
                let pieces = open.events.take_apart(mark);
                self.close_if_any(open, source.routed);
                let mut events = Events::new(&open.stream.head, 0);
                pieces.iter().for_each(|(piece, len)| events.push(time, piece, *len));
                let bytes = events.body_len();
                let delivery = PutEvents::one_entry(self.sender.clone(), open.stream.clone(), events.close());
                self.make_ready(alone(Some(open.stream.lane), bytes, Box::new(delivery), source));
            }
            Oversize::Drop => {
                open.events.abort(mark);
                let delivery = Box::new(Refused::too_long(MAX_MESSAGE));
                self.make_ready(alone(None, 0, delivery, source));
            }
        }
        None
    }

    fn close_if_any(&mut self, open: &mut Open, routed: &Routed) {
        if open.events.len() > 0 {
            self.close_full(open, None, routed);
        }
    }

    /// Makes what is in an open batch ready; `next` takes its place.
    #[cold]
    fn close_full(&mut self, open: &mut Open, next: Option<Events>, routed: &Routed) {
        open.end_run(&routed.share);
        let next = next.unwrap_or_else(|| Events::new(&open.stream.head, 0));
        let batch = open.close(next, &self.sender);
        // Only entries of the chunk at hand will be in it.
        open.due = routed.due;
        self.make_ready(batch);
    }

    fn make_ready(&mut self, batch: Batch) {
        self.ready_bytes += batch.bytes;
        self.ready.push_back(batch);
    }

    /// Makes the open batches ready that `which` picks.
    fn close_where(&mut self, which: impl Fn(&Open) -> bool) {
        let mut closed = Vec::new();
        self.earliest = None;
        self.open.retain(|_, open| {
            if !which(open) {
                self.earliest = Some(self.earliest.map_or(open.due, |earliest| earliest.min(open.due)));
                return true;
            }
            self.open_bytes -= open.events.cost();
            closed.push((open.due, open.close(Events::new(&[], 0), &self.sender)));
            false
        });
        // In the order they became due, whatever the map's order is.
        closed.sort_by_key(|(due, _)| *due);
        closed.into_iter().for_each(|(_, batch)| self.make_ready(batch));
    }

    fn close_first(&mut self) {
        let Some(first) = self.open.values().map(|open| open.due).min() else { return };
        self.close_where(|open| open.due <= first);
    }

    fn settle_drops(&self, counts: &Counts, share: &Share, now: Instant) {
        let dropped = counts.empty + counts.no_key;
        if dropped > 0 {
            share.drop_entries(dropped, DropReason::Empty);
        }
        if let Some(entries) = self.lines.no_key.count(u64::from(counts.no_key), now) {
            tracing::error!(entries, "entries were dropped: their record has no `log_key`");
        }
        if let Some(entries) = self.lines.empty.count(u64::from(counts.empty), now) {
            tracing::debug!(entries, "entries were dropped: CloudWatch Logs takes no empty messages");
        }
        let Some(entries) = self.lines.too_long.count(u64::from(counts.too_long), now) else { return };
        let limit = MAX_MESSAGE;
        match self.oversize {
            Oversize::Truncate => {
                tracing::warn!(entries, limit, "messages longer than CloudWatch Logs takes were cut");
            }
            Oversize::Split => {
                tracing::info!(entries, limit, "messages longer than CloudWatch Logs takes were taken apart");
            }
            Oversize::Drop => {
                tracing::error!(entries, limit, "messages longer than CloudWatch Logs takes were dropped");
            }
        }
    }
}

impl Output for Batcher {
    fn push(&mut self, routed: Routed, now: Instant) {
        let mut counts = Counts::default();
        match self.names.differ_by_record() || self.add_entity {
            true => self.push_by_record(&routed, &mut counts, now),
            false => self.push_by_tag(&routed, &mut counts),
        }
        self.settle_drops(&counts, &routed.share, now);
    }

    fn pop(&mut self, now: Instant) -> Option<Batch> {
        if self.ready.is_empty() && self.earliest.is_some_and(|earliest| now >= earliest) {
            self.close_where(|open| open.due <= now);
        }
        let batch = self.ready.pop_front()?;
        self.ready_bytes -= batch.bytes;
        Some(batch)
    }

    fn due(&self) -> Option<Instant> {
        self.earliest
    }

    fn close_all(&mut self) {
        self.close_where(|_| true);
    }

    fn held(&self) -> usize {
        self.open_bytes + self.ready_bytes
    }

    fn names(&self, tag: &Tag, _: Timestamp) -> Vec<(&'static str, String)> {
        let (group, stream) = self.names.shown(tag);
        vec![("log group", group), ("log stream", stream)]
    }

    fn in_flight(&self) -> usize {
        // A stream has one call at a time; so many streams are served at once.
        8
    }
}

/// A batch of one entry.
fn alone(lane: Option<u64>, bytes: usize, delivery: Box<dyn Delivery>, source: Source<'_>) -> Batch {
    let part = Part { share: source.routed.share.clone(), entries: 1 };
    let origins = if source.keeps { vec![source.place] } else { Vec::new() };
    Batch::new(lane, vec![part], bytes, delivery).with_origins(origins)
}

/// The lane of a stream. Two streams that share one by chance are sent one after the other, no more.
fn lane(key: &[u8]) -> u64 {
    // FNV-1a.
    key.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
