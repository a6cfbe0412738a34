//! From single entries to chunks: what an input that reads entry by entry keeps per connection.

use ikada_record::{ChunkBuilder, Tag};
use tokio::time::Instant;

use crate::FlushClock;

/// Size at which a chunk is handed over without waiting for the flush: small enough for a processor's cache and for an even
/// flow, large enough that what is done per chunk does not count.
const FULL: usize = 256 * 1024;

/// Chunks that one gatherer keeps open at most. A connection that uses more tags at once gets smaller chunks.
const OPEN: usize = 64;

/// Room of a chunk that is expected to become full: an entry of a usual size more than that. Growing by doubling would copy all of it once, and
/// leave half of the room unused in the end.
const ROOM: usize = FULL + 16 * 1024;

/// Gathers entries by tag until a chunk is full or the flush comes.
#[derive(Debug)]
pub struct Gatherer {
    open: Vec<ChunkBuilder>,
    /// The builder used last: mostly the next one, too.
    last: usize,
    full: Vec<ChunkBuilder>,
    /// The tag whose chunk was full last, before the flush.
    busy: Option<Tag>,
    flush: FlushClock,
    due: Option<Instant>,
}

impl Gatherer {
    /// A gatherer without entries.
    #[must_use]
    pub fn new(flush: FlushClock) -> Self {
        Self { open: Vec::new(), last: 0, full: Vec::new(), busy: None, flush, due: None }
    }

    /// The builder for a tag. `now` counts from when on an entry waits.
    #[inline]
    pub fn builder(&mut self, tag: &[u8], now: Instant) -> &mut ChunkBuilder {
        let hit = self
            .open
            .get(self.last)
            .is_some_and(|builder| builder.size() < FULL && builder.tag().as_bytes() == tag);
        if !hit {
            self.find(tag, now);
        }
        &mut self.open[self.last]
    }

    fn find(&mut self, tag: &[u8], now: Instant) {
        if self.open.get(self.last).is_some_and(|builder| builder.size() >= FULL) {
            let full = self.open.swap_remove(self.last);
            self.busy = Some(full.tag().clone());
            self.full.push(full);
        }
        if let Some(at) = self.open.iter().position(|builder| builder.tag().as_bytes() == tag) {
            self.last = at;
            return;
        }
        if self.open.len() >= OPEN {
            self.full.append(&mut self.open);
        }
        if self.due.is_none() {
            self.due = Some(self.flush.next(now));
        }
        self.last = self.open.len();
        self.open.push(match &self.busy {
            Some(busy) if busy.as_bytes() == tag => ChunkBuilder::with_capacity(busy.clone(), ROOM),
            _ => ChunkBuilder::new(Tag::new(tag)),
        });
    }

    /// A chunk that is full.
    pub fn pop_full(&mut self) -> Option<ChunkBuilder> {
        if !self.full.is_empty() {
            return Some(self.full.remove(0));
        }
        if self.open.get(self.last)?.size() < FULL {
            return None;
        }
        let full = self.open.swap_remove(self.last);
        self.busy = Some(full.tag().clone());
        self.last = 0;
        Some(full)
    }

    /// When what is open is to be handed over.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Everything, full or not.
    pub fn take_all(&mut self) -> Vec<ChunkBuilder> {
        self.due = None;
        self.busy = None;
        self.last = 0;
        let mut all = std::mem::take(&mut self.full);
        all.append(&mut self.open);
        all.retain(|builder| !builder.is_empty());
        all
    }

    /// Bytes of entries held.
    #[must_use]
    pub fn size(&self) -> usize {
        self.open.iter().chain(&self.full).map(ChunkBuilder::size).sum()
    }

    /// Whether nothing is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.open.is_empty() && self.full.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ikada_record::Timestamp;

    use super::*;

    fn gatherer() -> (Gatherer, Instant) {
        let now = Instant::now();
        (Gatherer::new(FlushClock::new(now, Duration::from_secs(1))), now)
    }

    #[test]
    fn entries_of_one_tag_share_a_chunk() {
        let (mut gatherer, now) = gatherer();
        for tag in ["a", "b", "a"] {
            gatherer.builder(tag.as_bytes(), now).push_record(Timestamp::new(1, 0), b"\x80");
        }
        assert_eq!(gatherer.due(), Some(now + Duration::from_secs(1)));
        assert!(gatherer.pop_full().is_none());
        let all = gatherer.take_all();
        assert_eq!(all.iter().map(ChunkBuilder::len).collect::<Vec<_>>(), [2, 1]);
        assert!(gatherer.is_empty() && gatherer.due().is_none());
    }

    #[test]
    fn no_entry_is_left_behind_whatever_the_tags() {
        let (mut gatherer, now) = gatherer();
        let mut record = Vec::new();
        ikada_record_map(&mut record, 40_000);
        let mut out = 0;
        for n in 0..500 {
            let tag = format!("t{}", n * 7 % 90);
            gatherer.builder(tag.as_bytes(), now).push_record(Timestamp::new(1, 0), &record);
            while let Some(full) = gatherer.pop_full() {
                out += full.len();
            }
        }
        out += gatherer.take_all().iter().map(ChunkBuilder::len).sum::<usize>();
        assert_eq!(out, 500);
    }

    fn ikada_record_map(out: &mut Vec<u8>, len: u16) {
        out.extend_from_slice(b"\x81\xa1k\xda");
        out.extend_from_slice(&len.to_be_bytes());
        out.resize(out.len() + usize::from(len), b'x');
    }
}
