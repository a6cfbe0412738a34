//! Entries that leave the memory for the disk after they were in a batch.
//!
//! A stream that is forbidden fills the memory of its output with batches that only wait. Where there is a disk, the entries of such
//! batches are written back to it, one file for each tag, and come into memory again when the stream takes data. So do, at the very end,
//! the entries of batches that could not be sent within the grace.
//!
//! That needs the entries as they came. While it may be needed, shares keep them, up to a bound; a batch whose shares do not is left as it is.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use ikada_plugin::{Batch, Part};
use ikada_record::{Chunk, ChunkBuilder, Receipt, Share};

use crate::letters::copy_entries;
use crate::queue::Waiting;
use crate::shelf::Shelf;

/// What was put on disk, by lane, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Aside {
    lanes: HashMap<u64, VecDeque<Waiting>>,
    files: usize,
}

impl Aside {
    /// Files that are put aside.
    pub(crate) fn len(&self) -> usize {
        self.files
    }

    pub(crate) fn add(&mut self, lane: u64, waiting: Waiting) {
        self.files += 1;
        self.lanes.entry(lane).or_default().push_back(waiting);
    }

    /// The lanes of which anything is put aside.
    pub(crate) fn lanes(&self) -> impl Iterator<Item = u64> {
        self.lanes.keys().copied()
    }

    /// The oldest of a lane.
    pub(crate) fn take(&mut self, lane: u64) -> Option<Waiting> {
        let list = self.lanes.get_mut(&lane)?;
        let oldest = list.pop_front()?;
        self.files -= 1;
        if list.is_empty() {
            self.lanes.remove(&lane);
        }
        Some(oldest)
    }
}

/// Whether the entries of a batch can be had again, and are nobody else's to keep.
pub(crate) fn can_be_written(batch: &Batch) -> bool {
    let is_ours = |part: &Part| part.share.source().is_some() && !part.share.is_watched();
    batch.entries > 0 && batch.origins.len() == batch.entries as usize && batch.parts.iter().all(is_ours)
}

/// Writes the entries of a batch to disk, each tag's into a file. `Err` if the disk does not take all of them: nothing has happened then.
pub(crate) async fn put(batch: Batch, shelf: &Arc<Shelf>) -> Result<Vec<Waiting>, Batch> {
    let groups = by_tag(&batch, |_| true);
    if groups.iter().map(|(chunk, _)| chunk.len()).sum::<usize>() != batch.entries as usize {
        return Err(batch);
    }
    let mut written = Vec::new();
    for (chunk, _) in &groups {
        let stored = match shelf.has_room(chunk) {
            true => shelf.write(chunk).await,
            false => None,
        };
        let Some(stored) = stored else {
            written.iter().for_each(|stored| shelf.forget(stored));
            return Err(batch);
        };
        written.push(stored);
    }
    let groups = groups.into_iter().zip(written);
    let waiting = groups.map(|((_, parts), stored)| {
        let share = Arc::new(Share::taken_over(parts.iter().map(|part| (&*part.share, part.entries))));
        shelf.keep(stored.clone(), &share);
        Waiting::on_disk(share, stored)
    });
    Ok(waiting.collect())
}

/// Writes what of a batch is not on disk yet, without anything else going on, at the very end. What the disk does not take stays unsent.
pub(crate) fn put_now(batch: &Batch, shelf: &Arc<Shelf>) {
    let is_ours = |part: &Part| !part.share.is_watched() && !part.share.has_copy();
    for (chunk, parts) in by_tag(batch, is_ours) {
        let entries: u32 = parts.iter().map(|part| part.entries).sum();
        if chunk.len() != entries as usize || !shelf.fits(&chunk) {
            continue;
        }
        if let Some(stored) = shelf.write_now(&chunk) {
            let share = Share::taken_over(parts.iter().map(|part| (&*part.share, part.entries)));
            shelf.keep(stored, &share);
        }
    }
}

/// The entries of those parts of a batch that are wanted, by tag, in the order of the batch.
fn by_tag(batch: &Batch, wanted: impl Fn(&Part) -> bool) -> Vec<(Chunk, Vec<Part>)> {
    let mut groups: Vec<(ChunkBuilder, Vec<Part>)> = Vec::new();
    let mut start = 0;
    for part in &batch.parts {
        let end = start + part.entries;
        if let Some(source) = part.share.source().filter(|_| wanted(part)) {
            let known = groups.iter().position(|(builder, _)| builder.tag() == source.tag());
            let at = known.unwrap_or_else(|| {
                groups.push((ChunkBuilder::new(source.tag().clone()), Vec::new()));
                groups.len() - 1
            });
            let numbers: Vec<_> = (start..end).collect();
            copy_entries(batch, start, part, &numbers, &mut groups[at].0);
            groups[at].1.push(part.clone());
        }
        start = end;
    }
    groups.into_iter().map(|(builder, parts)| (builder.finish(Receipt::unwatched()), parts)).collect()
}
