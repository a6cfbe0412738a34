//! What stands between inputs and outputs.

use std::collections::HashMap;
use std::sync::Arc;

use ikada_record::{ChunkBuilder, Entry, Fields, Receipt, Tag, Timestamp};
use tokio::time::Instant;

use crate::{BoxFuture, OnFull, OwnMetrics};

/// What a filter says of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on, changed or not.
    Keep,
    /// It ends here.
    Drop,
    /// The filter would leave it without a single key. If it came in a batch, it ends here if another record of the batch survives this filter;
    /// otherwise it passes this filter unchanged, so the fields must be left as they came (Fluent Bit's `record_modifier`: cases
    /// `rm-remove-all-one`, `multi-rm-some-empty`).
    Empty,
    /// The filter keeps what is in it ([`EntryContext::hold`]) and will emit it later, alone or as part of another record.
    Hold,
}

/// What a filter may know about the record besides its fields, and what it may do besides editing them.
#[derive(Debug)]
pub struct EntryContext<'a> {
    /// The tag.
    pub tag: &'a Tag,
    /// The entry's time.
    pub time: Timestamp,
    /// The encoded metadata map, if there is one.
    pub metadata: Option<&'a [u8]>,
    /// How many records of this chunk have come to this filter before.
    pub position: u32,
    /// What the filter does besides editing the record.
    pub effects: &'a mut Effects,
}

impl EntryContext<'_> {
    /// Gives the entry another time.
    pub fn set_time(&mut self, time: Timestamp) {
        self.time = time;
        self.effects.time = Some(time);
    }

    /// Gives the entry another metadata map, encoded.
    pub fn set_metadata(&mut self, metadata: Vec<u8>) {
        self.effects.metadata = Some(metadata);
    }

    /// Adds an entry under the same tag, before the one looked at. It goes on behind this filter. `record` is one whole encoded map.
    pub fn emit(&mut self, time: Timestamp, record: Vec<u8>) {
        self.effects.emitted.push(Emitted {
            tag: self.tag.clone(),
            time,
            metadata: Vec::new(),
            record,
            held: Vec::new(),
        });
    }

    /// Adds an entry that was made of held ones, before the one looked at. It goes on behind this filter.
    pub fn emit_held(&mut self, emitted: Emitted) {
        self.effects.emitted.push(emitted);
    }

    /// Sends a copy of the record, as it is now, under a new tag: it enters the router anew and passes all filters of that tag but this
    /// one. `false` if it has been re-tagged too often already and nothing was sent: the record must then go on as it is.
    pub fn retag(&mut self, tag: &[u8], fields: &Fields<'_>) -> bool {
        if !self.effects.may_retag {
            self.effects.refused += 1;
            return false;
        }
        let builder = self.effects.retagged.builder(self.effects.filter, tag);
        builder.push_with(self.time, |buf| {
            Entry::write_head(buf, self.time, self.metadata);
            fields.write(buf);
        });
        true
    }

    /// A claim on the entry's chunk, for a filter that answers [`Verdict::Hold`]: whoever waits for the chunk's receipt goes on waiting
    /// until the claim is let go or what is emitted with it is settled.
    #[must_use]
    pub fn hold(&self) -> Held {
        self.effects.origin.clone()
    }
}

/// A claim on the chunk of an entry that a filter holds back.
#[derive(Debug, Clone)]
pub struct Held {
    receipt: Receipt,
    input: usize,
    on_full: OnFull,
}

impl Held {
    /// A claim on a chunk that came from the input with this number, to be handed on under these terms.
    #[must_use]
    pub fn new(receipt: Receipt, input: usize, on_full: OnFull) -> Self {
        Self { receipt, input, on_full }
    }

    /// A claim on nothing, for tests of filters.
    #[must_use]
    pub fn nothing() -> Self {
        Self::new(Receipt::unwatched(), usize::MAX, OnFull::Pace)
    }

    /// The chunk's receipt.
    #[must_use]
    pub fn receipt(&self) -> &Receipt {
        &self.receipt
    }

    /// The number of the input the chunk came from.
    #[must_use]
    pub fn input(&self) -> usize {
        self.input
    }

    /// What is to happen where an output has no room.
    #[must_use]
    pub fn on_full(&self) -> OnFull {
        self.on_full
    }
}

/// An entry that a filter made.
#[derive(Debug, Clone)]
pub struct Emitted {
    /// The tag it goes on under: the one its parts came with.
    pub tag: Tag,
    /// Its time.
    pub time: Timestamp,
    /// Its encoded metadata map; empty for none.
    pub metadata: Vec<u8>,
    /// Its record, one whole encoded map.
    pub record: Vec<u8>,
    /// The claims of the held entries it was made of. Claims on the same chunk may be given once.
    pub held: Vec<Held>,
}

/// What a chain's filters do besides editing records. The engine keeps one per pass over a chunk.
#[derive(Debug)]
pub struct Effects {
    filter: usize,
    may_retag: bool,
    origin: Held,
    time: Option<Timestamp>,
    metadata: Option<Vec<u8>>,
    emitted: Vec<Emitted>,
    retagged: Retagged,
    refused: u32,
}

impl Default for Effects {
    fn default() -> Self {
        Self::new(Held::nothing(), true)
    }
}

impl Effects {
    /// For a pass over a chunk with this claim. `may_retag` is false for a chunk that has been re-tagged too often.
    #[must_use]
    pub fn new(origin: Held, may_retag: bool) -> Self {
        Self {
            filter: 0,
            may_retag,
            origin,
            time: None,
            metadata: None,
            emitted: Vec::new(),
            retagged: Retagged::default(),
            refused: 0,
        }
    }

    /// Says whose turn it is: the filter's number.
    #[inline]
    pub fn turn_of(&mut self, filter: usize) {
        self.filter = filter;
    }

    /// The time the last filter gave the entry, if it did.
    #[inline]
    pub fn take_time(&mut self) -> Option<Timestamp> {
        self.time.take()
    }

    /// The metadata map the last filter gave the entry, if it did.
    #[inline]
    pub fn take_metadata(&mut self) -> Option<Vec<u8>> {
        self.metadata.take()
    }

    /// Whether the last filter emitted something.
    #[inline]
    #[must_use]
    pub fn has_emitted(&self) -> bool {
        !self.emitted.is_empty()
    }

    /// What the last filter emitted.
    #[must_use]
    pub fn take_emitted(&mut self) -> Vec<Emitted> {
        std::mem::take(&mut self.emitted)
    }

    /// What goes on under new tags, each with the number of the filter that re-tagged it, in order of their first entries.
    #[must_use]
    pub fn take_retagged(&mut self) -> Vec<(usize, ChunkBuilder)> {
        std::mem::take(&mut self.retagged).list
    }

    /// How many records were not re-tagged because they had been too often.
    #[must_use]
    pub fn refused(&self) -> u32 {
        self.refused
    }
}

/// Entries under new tags, by filter and tag.
#[derive(Debug, Default)]
struct Retagged {
    list: Vec<(usize, ChunkBuilder)>,
    last: usize,
    /// Where each is in the list, once there are more than a few.
    index: HashMap<(usize, Tag), usize, foldhash::fast::RandomState>,
}

/// Up to this many builders are found by looking at all.
const FEW: usize = 8;

impl Retagged {
    fn builder(&mut self, filter: usize, tag: &[u8]) -> &mut ChunkBuilder {
        let is = |(by, builder): &(usize, ChunkBuilder)| *by == filter && builder.tag().as_bytes() == tag;
        if !self.list.get(self.last).is_some_and(is) {
            self.last = self.find(filter, tag, is);
        }
        &mut self.list[self.last].1
    }

    fn find(&mut self, filter: usize, tag: &[u8], is: impl Fn(&(usize, ChunkBuilder)) -> bool) -> usize {
        let tag = Tag::new(tag);
        let found = match self.list.len() <= FEW {
            true => self.list.iter().position(is),
            false => self.index.get(&(filter, tag.clone())).copied(),
        };
        found.unwrap_or_else(|| {
            let at = self.list.len();
            self.index.insert((filter, tag.clone()), at);
            self.list.push((filter, ChunkBuilder::new(tag)));
            at
        })
    }
}

/// Changes or drops records, one by one.
///
/// A chain of filters is fused: the record is split once into [`Fields`], every filter of the chain edits those, and
/// only a changed record is written again. One filter serves all inputs at once, so its state is shared.
pub trait Filter: Send + Sync {
    /// Looks at one record and edits it. No record is shown twice.
    fn filter<'a>(&'a self, cx: &mut EntryContext<'_>, fields: &mut Fields<'a>) -> Verdict;

    /// Called when all records of a chunk have passed.
    fn end_of_chunk(&self) {}

    /// For a filter that holds entries back: when [`Filter::flush`] is to be called, if it holds any. Asked after every chunk.
    fn due(&self) -> Option<Instant> {
        None
    }

    /// Emits what has been held too long at `now`, or everything if `now` is `None`: the router stops. It goes on behind this filter.
    fn flush(&self, _now: Option<Instant>) -> Vec<Emitted> {
        Vec::new()
    }

    /// Work of its own beside the records, as fetching metadata. Started once, dropped when the router ends.
    fn background(&self) -> Option<BoxFuture<'static, ()>> {
        None
    }

    /// Metrics that the filter makes of the records. Asked for once, at start; shown whenever someone scrapes.
    fn metrics(&self) -> Option<Arc<dyn OwnMetrics>> {
        None
    }
}
