//! Entries on their way out, and whose content they are.
//!
//! Entries of one tag gather in one chunk, whatever files they come from, so that thousands of small files do not make thousands of chunks. A parcel knows
//! up to where each of its contents is told by it; its receipt settles all of them.

use std::collections::VecDeque;
use std::sync::Arc;

use ikada_plugin::FlushClock;
use ikada_record::{ChunkBuilder, Settlement, Tag};
use tokio::time::Instant;

use crate::commit::Commits;
use crate::generation::Generation;
use crate::identity::Place;

/// Size at which a parcel goes out without waiting for the flush.
pub(crate) const FULL: usize = 256 * 1024;

/// Room of a parcel that is expected to become full: what is read at once can go beyond.
const ROOM: usize = FULL + 64 * 1024;

/// Parcels that are open at most.
const OPEN: usize = 64;

/// Contents that a parcel tells of, each with the number of its piece.
pub(crate) type Pieces = Vec<(Arc<Generation>, u64)>;

/// Entries of one tag, ready to go.
#[derive(Debug)]
pub(crate) struct Parcel {
    pub(crate) builder: ChunkBuilder,
    pub(crate) pieces: Pieces,
    pub(crate) due: Instant,
}

/// Tells the contents of a parcel how it ended.
pub(crate) fn settle(pieces: &[(Arc<Generation>, u64)], settlement: Settlement, commits: &Commits) {
    for (generation, piece) in pieces {
        match settlement {
            Settlement::Settled => {
                if generation.settle(*piece) {
                    commits.list(generation);
                }
            }
            Settlement::Abandoned => generation.abandon(*piece),
        }
    }
}

#[derive(Debug)]
struct Open {
    builder: ChunkBuilder,
    parts: Vec<(Arc<Generation>, Place)>,
}

/// What is gathered and not yet out.
#[derive(Debug)]
pub(crate) struct Parcels {
    flush: FlushClock,
    open: Vec<Open>,
    full: VecDeque<Parcel>,
    /// The tag whose parcel was full last, before the flush: its next one is likely to become full, too.
    busy: Option<Tag>,
    due: Option<Instant>,
}

impl Parcels {
    pub(crate) fn new(flush: FlushClock) -> Self {
        Self { flush, open: Vec::new(), full: VecDeque::new(), busy: None, due: None }
    }

    /// The builder for entries of a tag. Whoever adds to it tells so with [`Parcels::told`].
    pub(crate) fn builder(&mut self, tag: &Tag) -> &mut ChunkBuilder {
        let at = match self.open.iter().position(|open| open.builder.tag() == tag) {
            Some(at) => at,
            None => {
                if self.open.len() >= OPEN {
                    self.close_all();
                }
                let room = if self.busy.as_ref() == Some(tag) { ROOM } else { 0 };
                let mut builder = ChunkBuilder::with_capacity(tag.clone(), room);
                builder.mark_batch();
                self.open.push(Open { builder, parts: Vec::new() });
                self.open.len() - 1
            }
        };
        &mut self.open[at].builder
    }

    /// The content is told up to `end`, in the parcel of this tag if `has_entries`, or in what went before. Returns whether
    /// its mark moved.
    pub(crate) fn told(
        &mut self,
        tag: &Tag,
        generation: &Arc<Generation>,
        end: Place,
        has_entries: bool,
        now: Instant,
    ) -> bool {
        let open = self.open.iter_mut().find(|open| open.builder.tag() == tag);
        if let Some(open) = open {
            let part = open.parts.iter_mut().rev().find(|part| Arc::ptr_eq(&part.0, generation));
            match part {
                Some(part) => part.1 = end,
                None if has_entries => open.parts.push((generation.clone(), end)),
                None => return generation.pass(end),
            }
            if self.due.is_none() && !open.builder.is_empty() {
                self.due = Some(self.flush.next(now));
            }
            return false;
        }
        generation.pass(end)
    }

    /// Closes the parcel of a tag if it is full.
    pub(crate) fn close_full(&mut self, tag: &Tag) {
        let full = |open: &Open| open.builder.tag() == tag && open.builder.size() >= FULL;
        if let Some(at) = self.open.iter().position(full) {
            let due = self.due.unwrap_or_else(Instant::now);
            let open = self.open.swap_remove(at);
            self.busy = Some(tag.clone());
            self.full.push_back(close(open, due));
        }
    }

    /// Closes all parcels.
    pub(crate) fn close_all(&mut self) {
        let due = self.due.take().unwrap_or_else(Instant::now);
        self.busy = None;
        for open in self.open.drain(..).filter(|open| !open.builder.is_empty()) {
            self.full.push_back(close(open, due));
        }
    }

    /// When the open ones are to be closed.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Bytes of what is not handed over.
    pub(crate) fn size(&self) -> usize {
        let builders = self.open.iter().map(|open| &open.builder);
        builders.chain(self.full.iter().map(|parcel| &parcel.builder)).map(ChunkBuilder::size).sum()
    }

    pub(crate) fn pop(&mut self) -> Option<Parcel> {
        self.full.pop_front()
    }

    /// Whether something is ready to go.
    pub(crate) fn has_full(&self) -> bool {
        !self.full.is_empty()
    }
}

fn close(open: Open, due: Instant) -> Parcel {
    let pieces = open.parts.into_iter().map(|(generation, end)| {
        let piece = generation.send(end);
        (generation, piece)
    });
    Parcel { pieces: pieces.collect(), builder: open.builder, due }
}
