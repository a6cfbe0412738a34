//! Lines to records, records to calls.

use std::collections::VecDeque;
use std::sync::Arc;

use ikada_plugin::{Batch, Delivery, Output, Part, Routed, add_part};
use ikada_record::{DropReason, Entry, Share, Tag, Timestamp};
use tokio::time::Instant;

use super::arena::Records;
use super::compress::Compressor;
use super::encode::{LineEncoder, Written, cut, split};
use super::keys::Keys;
use super::kpl::{ALONE, Kpl};
use super::options::Oversize;
use super::sender::{PutRecords, Sender};
use crate::calls::Refused;
use crate::seldom::Seldom;

/// Calls with more bytes than this go a few at a time only: they fill the line, and memory, by themselves.
const LARGE: usize = 1024 * 1024;
const LARGE_LANES: u64 = 4;

/// How lines become records.
pub(crate) struct Recipe {
    pub(crate) encoder: LineEncoder,
    pub(crate) compressor: Option<Compressor>,
    pub(crate) joining: Joining,
    pub(crate) keys: Keys,
    pub(crate) oversize: Oversize,
}

/// How several lines become one record.
pub(crate) enum Joining {
    /// They do not.
    Off,
    /// One behind the other, up to the length of a record.
    Lines,
    /// As the Kinesis Producer Library does.
    Kpl(Kpl),
}

/// Turns chunks into calls.
pub(crate) struct Batcher {
    recipe: Recipe,
    sender: Arc<Sender>,
    records: Records,
    parts: Vec<Part>,
    /// Places of the entries in their chunks, where the engine wants to know them.
    origins: Vec<u32>,
    joined: Joined,
    /// The line at hand, its partition key, and its compressed form.
    line: Vec<u8>,
    key: Vec<u8>,
    compressed: Vec<u8>,
    due: Option<Instant>,
    ready: VecDeque<Batch>,
    ready_bytes: usize,
    made: u64,
    said: Said,
}

/// Lines that will be one record, and whose they are.
#[derive(Default)]
struct Joined {
    bytes: Vec<u8>,
    key: Vec<u8>,
    parts: Vec<Part>,
    origins: Vec<u32>,
    entries: u32,
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

/// What is said at most now and then.
#[derive(Default)]
struct Said {
    empty: Seldom,
    no_key: Seldom,
    too_long: Seldom,
}

/// What came of the entries of one chunk.
#[derive(Default)]
struct Counts {
    empty: u32,
    no_key: u32,
    too_long: u32,
}

impl Batcher {
    pub(crate) fn new(recipe: Recipe, sender: Arc<Sender>) -> Self {
        Self {
            recipe,
            records: Records::new(&sender.head, sender.pool.take(0)),
            sender,
            parts: Vec::new(),
            origins: Vec::new(),
            joined: Joined::default(),
            line: Vec::new(),
            key: Vec::new(),
            compressed: Vec::new(),
            due: None,
            ready: VecDeque::new(),
            ready_bytes: 0,
            made: 0,
            said: Said::default(),
        }
    }

    fn add(&mut self, entry: &Entry<'_>, source: Source<'_>, counts: &mut Counts) {
        self.line.clear();
        match self.recipe.encoder.write(&mut self.line, entry) {
            Written::Line => {}
            Written::Empty => return counts.empty += 1,
            Written::NoKey => return counts.no_key += 1,
        }
        self.recipe.keys.write(&mut self.key, entry.record());
        let limit = self.sender.shape.max_record - self.key.len();
        if self.line.len() > limit && self.recipe.compressor.is_none() {
            self.recipe.encoder.shorten(&mut self.line, entry);
        }
        match self.recipe.joining {
            Joining::Off => {
                self.compress_line();
                self.emit(limit, source, counts);
            }
            Joining::Lines => self.join_line(source, counts),
            Joining::Kpl(_) => {
                self.compress_line();
                self.join_kpl(limit, source, counts);
            }
        }
    }

    /// Makes a record of the line at hand.
    #[inline]
    fn emit(&mut self, limit: usize, source: Source<'_>, counts: &mut Counts) {
        if self.finished().len() > limit {
            return self.emit_too_long(limit, source, counts);
        }
        self.make_room(self.finished().len() + self.key.len(), source.routed.due);
        let record = if self.recipe.compressor.is_some() { &self.compressed } else { &self.line };
        self.records.push(record, &self.key, 1);
        add_part(&mut self.parts, &source.routed.share, 1);
        if source.keeps {
            self.origins.push(source.place);
        }
    }

    /// The line at hand as it is sent.
    fn finished(&self) -> &[u8] {
        if self.recipe.compressor.is_some() { &self.compressed } else { &self.line }
    }

    fn compress_line(&mut self) {
        if let Some(compressor) = &mut self.recipe.compressor {
            compress(compressor, &self.line, &mut self.compressed);
        }
    }

    /// A line longer than a record may be.
    #[cold]
    fn emit_too_long(&mut self, limit: usize, source: Source<'_>, counts: &mut Counts) {
        counts.too_long += 1;
        let plain = self.recipe.compressor.as_ref().map_or(limit, |compressor| compressor.sure(limit));
        match self.recipe.oversize {
            Oversize::Drop => {
                let limit = self.sender.shape.max_record;
                self.alone(None, 0, Box::new(Refused::too_long(limit)), source);
            }
            Oversize::Truncate => {
                cut(&mut self.line, plain);
                self.compress_line();
                self.emit(limit, source, counts);
            }
            Oversize::Split => self.emit_pieces(&split(&self.line, plain), source),
        }
    }

    /// One entry as several records, in a batch of its own.
    fn emit_pieces(&mut self, pieces: &[Vec<u8>], source: Source<'_>) {
        self.close(Some(source.routed.due));
        let mut records = Records::new(&self.sender.head, self.sender.pool.take(0));
        let (mut calls, mut bytes) = (vec![Vec::new()], 0);
        for (at, piece) in pieces.iter().enumerate() {
            self.line.clone_from(piece);
            self.compress_line();
            let len = self.finished().len() + self.key.len();
            if bytes + len > self.sender.shape.max_bytes {
                calls.push(Vec::new());
                bytes = 0;
            }
            bytes += len;
            calls.last_mut().into_iter().for_each(|call| call.push(at as u32));
            records.push(self.finished(), &self.key, 1);
        }
        let bytes = records.body_len();
        let closed = records.close(&self.sender.pool);
        let delivery = PutRecords::one_entry(self.sender.clone(), closed, calls);
        let lane = self.lane(bytes);
        self.alone(lane, bytes, Box::new(delivery), source);
    }

    /// Makes a batch of one entry ready.
    fn alone(&mut self, lane: Option<u64>, bytes: usize, delivery: Box<dyn Delivery>, source: Source<'_>) {
        let part = Part { share: source.routed.share.clone(), entries: 1 };
        let origins = if source.keeps { vec![source.place] } else { Vec::new() };
        self.ready_bytes += bytes;
        self.ready.push_back(Batch::new(lane, vec![part], bytes, delivery).with_origins(origins));
    }

    /// Adds the line at hand to the record under way, or to the next one.
    fn join_line(&mut self, source: Source<'_>, counts: &mut Counts) {
        // A key is known only for the first line: room is left for the longest.
        let limit = self.sender.shape.max_record - if self.sender.shape.has_keys { 256 } else { 0 };
        let longest = self.recipe.compressor.as_ref().map_or(limit, |compressor| compressor.sure(limit));
        if self.joined.bytes.len() + self.line.len() > longest {
            self.emit_joined(Some(source.routed.due));
        }
        if self.line.len() > longest {
            self.compress_line();
            return self.emit(limit, source, counts);
        }
        if self.joined.entries == 0 {
            self.joined.key.clone_from(&self.key);
        }
        self.joined.bytes.extend_from_slice(&self.line);
        self.joined.add(source);
    }

    /// Adds the record at hand to those that are joined, or to the next ones.
    fn join_kpl(&mut self, limit: usize, source: Source<'_>, counts: &mut Counts) {
        let record = if self.recipe.compressor.is_some() { &self.compressed } else { &self.line };
        let Joining::Kpl(kpl) = &mut self.recipe.joining else { return };
        if record.len() >= ALONE {
            self.emit_joined(Some(source.routed.due));
            return self.emit(limit, source, counts);
        }
        // Where any key will do one is enough for all.
        let shares_key = self.recipe.keys.any_will_do() && !kpl.is_empty();
        let key = if shares_key { kpl.key() } else { &self.key };
        if kpl.len_with(record, key) > self.sender.shape.max_record {
            self.emit_joined(Some(source.routed.due));
        } else if shares_key {
            self.key.clear();
            self.key.extend_from_slice(kpl.key());
        }
        let record = if self.recipe.compressor.is_some() { &self.compressed } else { &self.line };
        if let Joining::Kpl(kpl) = &mut self.recipe.joining {
            kpl.add(record, &self.key);
            self.joined.add(source);
        }
    }

    /// Makes a record of what is joined so far. `due` is when those that come after it are due.
    fn emit_joined(&mut self, due: Option<Instant>) {
        if self.joined.entries == 0 {
            return;
        }
        let mut joined = std::mem::take(&mut self.joined);
        match &mut self.recipe.joining {
            Joining::Kpl(kpl) => joined.key = kpl.take(&mut joined.bytes),
            _ => {
                if let Some(compressor) = &mut self.recipe.compressor {
                    let mut compressed = Vec::new();
                    compress(compressor, &joined.bytes, &mut compressed);
                    joined.bytes = compressed;
                }
            }
        }
        if !self.records.fits(self.sender.shape, joined.bytes.len() + joined.key.len()) {
            self.close_records();
            self.due = due.or(self.due);
        }
        self.records.push(&joined.bytes, &joined.key, joined.entries);
        joined.parts.drain(..).for_each(|part| add_part(&mut self.parts, &part.share, part.entries));
        self.origins.append(&mut joined.origins);
        // Its memory serves the next one.
        joined.bytes.clear();
        self.joined = Joined { entries: 0, ..joined };
    }

    /// Makes what is open ready if a record of so many bytes no longer fits.
    #[inline]
    fn make_room(&mut self, record: usize, due: Instant) {
        if !self.records.fits(self.sender.shape, record) {
            self.close_records();
            // Only entries of the chunk at hand will be in what follows.
            self.due = Some(due);
        }
    }

    /// Makes all that is open ready. `due` is when those that come after it are due.
    fn close(&mut self, due: Option<Instant>) {
        self.emit_joined(None);
        self.close_records();
        self.due = due;
    }

    fn close_records(&mut self) {
        if self.records.len() == 0 {
            return;
        }
        let bytes = self.records.body_len();
        let next = Records::new(&self.sender.head, self.sender.pool.take(bytes + bytes / 8));
        let closed = std::mem::replace(&mut self.records, next).close(&self.sender.pool);
        let lane = self.lane(bytes);
        let delivery = PutRecords::new(self.sender.clone(), closed);
        self.ready_bytes += bytes;
        let parts = std::mem::take(&mut self.parts);
        let batch = Batch::new(lane, parts, bytes, Box::new(delivery));
        self.ready.push_back(batch.with_origins(std::mem::take(&mut self.origins)));
    }

    fn lane(&mut self, bytes: usize) -> Option<u64> {
        self.made += 1;
        (bytes > LARGE).then_some(self.made % LARGE_LANES)
    }

    fn settle(&self, counts: &Counts, share: &Share, now: Instant) {
        if counts.empty + counts.no_key > 0 {
            share.drop_entries(counts.empty + counts.no_key, DropReason::Empty);
        }
        if let Some(entries) = self.said.no_key.count(u64::from(counts.no_key), now) {
            tracing::error!(entries, "entries were dropped: their record has no `log_key`");
        }
        if let Some(entries) = self.said.empty.count(u64::from(counts.empty), now) {
            tracing::debug!(entries, "entries were dropped: there is nothing in them to send");
        }
        let Some(entries) = self.said.too_long.count(u64::from(counts.too_long), now) else { return };
        let (service, limit) = (self.sender.shape.name, self.sender.shape.max_record);
        match self.recipe.oversize {
            Oversize::Drop => {
                tracing::error!(
                    entries,
                    service,
                    limit,
                    "records longer than the service takes were dropped"
                );
            }
            Oversize::Truncate => {
                tracing::warn!(entries, service, limit, "records longer than the service takes were cut");
            }
            Oversize::Split => {
                tracing::info!(
                    entries,
                    service,
                    limit,
                    "records longer than the service takes were taken apart"
                );
            }
        }
    }
}

impl Joined {
    fn add(&mut self, source: Source<'_>) {
        self.entries += 1;
        add_part(&mut self.parts, &source.routed.share, 1);
        if source.keeps {
            self.origins.push(source.place);
        }
    }
}

fn compress(compressor: &mut Compressor, plain: &[u8], out: &mut Vec<u8>) {
    if let Err(error) = compressor.compress(plain, out) {
        // Data that is not compressed is better than none.
        tracing::error!(%error, "a record could not be compressed and is sent as it is");
        out.clear();
        out.extend_from_slice(plain);
    }
}

impl Output for Batcher {
    fn push(&mut self, routed: Routed, now: Instant) {
        self.due = Some(self.due.map_or(routed.due, |due| due.min(routed.due)));
        let mut counts = Counts::default();
        let keeps = routed.share.source().is_some();
        for (place, entry) in (0..).zip(routed.chunk.entries()) {
            self.add(&entry, Source { routed: &routed, place, keeps }, &mut counts);
        }
        self.settle(&counts, &routed.share, now);
        if self.records.len() == 0 && self.joined.entries == 0 {
            self.due = None;
        }
    }

    fn pop(&mut self, now: Instant) -> Option<Batch> {
        if self.ready.is_empty() && self.due.is_some_and(|due| now >= due) {
            self.close(None);
        }
        let batch = self.ready.pop_front()?;
        self.ready_bytes -= batch.bytes;
        Some(batch)
    }

    fn due(&self) -> Option<Instant> {
        self.due
    }

    fn close_all(&mut self) {
        self.close(None);
    }

    fn held(&self) -> usize {
        let open = if self.records.len() == 0 { 0 } else { self.records.cost() };
        let joined = match &self.recipe.joining {
            Joining::Kpl(kpl) => kpl.cost(),
            _ => self.joined.bytes.len(),
        };
        open + joined + self.ready_bytes
    }

    fn names(&self, _: &Tag, _: Timestamp) -> Vec<(&'static str, String)> {
        vec![self.sender.name()]
    }

    fn in_flight(&self) -> usize {
        // 500 lines are a small call: what counts is how many of them fit into the time of one answer.
        16
    }
}
