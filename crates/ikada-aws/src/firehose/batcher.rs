//! Lines to records, records to calls.

use std::collections::VecDeque;
use std::sync::Arc;

use ikada_plugin::{Batch, Output, Part, Routed, add_part};
use ikada_record::{DropReason, Share};
use tokio::time::Instant;

use super::compress::Compressor;
use super::encode::{LineEncoder, Written, cut};
use super::records::{MAX_RECORD, Records};
use super::sender::{PutRecords, Sender};
use crate::seldom::Seldom;

/// Longest record before it is compressed that surely fits afterwards.
pub(super) const MAX_PLAIN: usize = 1_016_000;

/// Calls with more bytes than this go a few at a time only: they fill the line, and memory, by themselves.
const LARGE: usize = 1024 * 1024;
const LARGE_LANES: u64 = 4;

/// Turns chunks into calls of PutRecordBatch.
pub(super) struct Batcher {
    encoder: LineEncoder,
    compressor: Option<Compressor>,
    /// Joins lines into records as long as the service takes.
    aggregate: bool,
    sender: Arc<Sender>,
    records: Records,
    parts: Vec<Part>,
    /// The record under construction.
    pending: Pending,
    compressed: Vec<u8>,
    due: Option<Instant>,
    ready: VecDeque<Batch>,
    ready_bytes: usize,
    made: u64,
    said: Said,
}

/// Lines that will be one record, and whose they are.
#[derive(Default)]
struct Pending {
    bytes: Vec<u8>,
    parts: Vec<Part>,
    entries: u32,
}

/// What is said at most now and then.
#[derive(Default)]
struct Said {
    empty: Seldom,
    no_key: Seldom,
    cut: Seldom,
}

/// What came of the entries of one chunk.
#[derive(Default)]
struct Counts {
    empty: u32,
    no_key: u32,
    cut: u32,
}

impl Batcher {
    pub(super) fn new(
        encoder: LineEncoder,
        compressor: Option<Compressor>,
        aggregate: bool,
        sender: Arc<Sender>,
    ) -> Self {
        Self {
            encoder,
            compressor,
            aggregate,
            records: Records::new(sender.head(), 0),
            sender,
            parts: Vec::new(),
            pending: Pending::default(),
            compressed: Vec::new(),
            due: None,
            ready: VecDeque::new(),
            ready_bytes: 0,
            made: 0,
            said: Said::default(),
        }
    }

    /// Adds the entries of a chunk. `run` entries of it are in records that `parts` does not list yet.
    fn add_all(&mut self, routed: &Routed) -> Counts {
        let mut counts = Counts::default();
        let mut run = 0;
        for entry in routed.chunk.entries() {
            let start = self.pending.bytes.len();
            match self.encoder.write(&mut self.pending.bytes, &entry) {
                Written::Line => {}
                Written::Empty => {
                    counts.empty += 1;
                    continue;
                }
                Written::NoKey => {
                    counts.no_key += 1;
                    continue;
                }
            }
            if self.pending.bytes.len() - start > MAX_RECORD && self.compressor.is_none() {
                self.encoder.shorten(&mut self.pending.bytes, start, &entry);
            }
            match self.aggregate {
                true => self.join(start, routed, &mut counts),
                false => {
                    self.emit(1, &mut run, routed, &mut counts);
                    run += 1;
                }
            }
        }
        add_part(&mut self.parts, &routed.share, run);
        counts
    }

    /// Makes a record of what is pending; of how many entries, and how many of the chunk at hand went before it.
    #[inline]
    fn emit(&mut self, entries: u32, run: &mut u32, routed: &Routed, counts: &mut Counts) {
        if self.compressor.is_none() && self.pending.bytes.len() > MAX_RECORD {
            cut(&mut self.pending.bytes, MAX_RECORD);
            counts.cut += 1;
        }
        self.compress(counts);
        let record = if self.compressor.is_some() { &self.compressed } else { &self.pending.bytes };
        if !self.records.fits(record.len()) {
            add_part(&mut self.parts, &routed.share, std::mem::take(run));
            close(
                &mut self.records,
                &mut self.parts,
                &self.sender,
                &mut self.made,
                &mut self.ready,
                &mut self.ready_bytes,
            );
            // Only entries of the chunk at hand will be in what follows.
            self.due = Some(routed.due);
        }
        self.records.push(record, entries);
        self.pending.bytes.clear();
    }

    fn compress(&mut self, counts: &mut Counts) {
        let Some(compressor) = &mut self.compressor else { return };
        let mut result = compressor.compress(&self.pending.bytes, &mut self.compressed);
        if result.is_ok() && self.compressed.len() > MAX_RECORD {
            cut(&mut self.pending.bytes, MAX_PLAIN);
            counts.cut += 1;
            result = compressor.compress(&self.pending.bytes, &mut self.compressed);
        }
        if let Err(error) = result {
            // Data that is not compressed is better than none.
            tracing::error!(%error, "a record could not be compressed and is sent as it is");
            self.compressed.clone_from(&self.pending.bytes);
        }
    }

    /// Adds the line that begins at `start` of what is pending to the record, or to the next one.
    fn join(&mut self, start: usize, routed: &Routed, counts: &mut Counts) {
        let longest = if self.compressor.is_some() { MAX_PLAIN } else { MAX_RECORD };
        if self.pending.bytes.len() > longest && start > 0 {
            let line = self.pending.bytes.split_off(start);
            self.emit_joined(Some(routed.due), counts);
            self.pending.bytes.extend_from_slice(&line);
        }
        self.pending.entries += 1;
        add_part(&mut self.pending.parts, &routed.share, 1);
        if self.pending.bytes.len() > longest {
            cut(&mut self.pending.bytes, longest);
            counts.cut += 1;
        }
    }

    /// Makes a record of the lines joined so far. `due` is when those that come after it are due.
    fn emit_joined(&mut self, due: Option<Instant>, counts: &mut Counts) {
        if self.pending.entries == 0 {
            return;
        }
        self.compress(counts);
        let record = if self.compressor.is_some() { &self.compressed } else { &self.pending.bytes };
        if !self.records.fits(record.len()) {
            close(
                &mut self.records,
                &mut self.parts,
                &self.sender,
                &mut self.made,
                &mut self.ready,
                &mut self.ready_bytes,
            );
            self.due = due.or(self.due);
        }
        self.records.push(record, std::mem::take(&mut self.pending.entries));
        for part in self.pending.parts.drain(..) {
            add_part(&mut self.parts, &part.share, part.entries);
        }
        self.pending.bytes.clear();
    }

    fn close_open(&mut self) {
        let mut counts = Counts::default();
        self.emit_joined(None, &mut counts);
        close(
            &mut self.records,
            &mut self.parts,
            &self.sender,
            &mut self.made,
            &mut self.ready,
            &mut self.ready_bytes,
        );
        self.due = None;
    }

    fn settle(&self, counts: &Counts, share: &Share, now: Instant) {
        let dropped = counts.empty + counts.no_key;
        if dropped > 0 {
            share.drop_entries(dropped, DropReason::Empty);
        }
        if let Some(entries) = self.said.no_key.count(u64::from(counts.no_key), now) {
            tracing::error!(entries, "entries were dropped: their record has no `log_key`");
        }
        if let Some(entries) = self.said.empty.count(u64::from(counts.empty), now) {
            tracing::debug!(entries, "entries were dropped: there is nothing in them to send");
        }
        if let Some(entries) = self.said.cut.count(u64::from(counts.cut), now) {
            tracing::warn!(entries, limit = MAX_RECORD, "records longer than Firehose takes were cut");
        }
    }
}

/// Makes what is in the records ready and starts anew.
fn close(
    records: &mut Records,
    parts: &mut Vec<Part>,
    sender: &Arc<Sender>,
    made: &mut u64,
    ready: &mut VecDeque<Batch>,
    ready_bytes: &mut usize,
) {
    if records.len() == 0 {
        return;
    }
    let bytes = records.body_len();
    let next = Records::new(sender.head(), bytes + bytes / 8);
    let closed = std::mem::replace(records, next).close();
    *made += 1;
    let lane = (bytes > LARGE).then_some(*made % LARGE_LANES);
    let delivery = PutRecords::new(sender.clone(), closed);
    *ready_bytes += bytes;
    ready.push_back(Batch::new(lane, std::mem::take(parts), bytes, Box::new(delivery)));
}

impl Output for Batcher {
    fn push(&mut self, routed: Routed, now: Instant) {
        self.due = Some(self.due.map_or(routed.due, |due| due.min(routed.due)));
        let counts = self.add_all(&routed);
        self.settle(&counts, &routed.share, now);
        if self.records.len() == 0 && self.pending.entries == 0 {
            self.due = None;
        }
    }

    fn pop(&mut self, now: Instant) -> Option<Batch> {
        if self.ready.is_empty() && self.due.is_some_and(|due| now >= due) {
            self.close_open();
        }
        let batch = self.ready.pop_front()?;
        self.ready_bytes -= batch.bytes;
        Some(batch)
    }

    fn due(&self) -> Option<Instant> {
        self.due
    }

    fn close_all(&mut self) {
        self.close_open();
    }

    fn held(&self) -> usize {
        let open = if self.records.len() == 0 { 0 } else { self.records.cost() };
        open + self.pending.bytes.len() + self.ready_bytes
    }

    fn in_flight(&self) -> usize {
        // 500 lines are a small call: what counts is how many of them fit into the time of one answer.
        16
    }
}
