//! One run of content: what is known of it beyond the file it lies in at the moment.
//!
//! Content outlives its file. Renamed, it keeps its inode; copied away before the file is cut (`copytruncate`), or compressed, it goes on in another
//! one. What is under way to the outputs belongs to the content, so the watermark does too.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ikada_store::positions::{Checkpoint, More, Past};

use crate::identity::{FileId, Place, Print};
use crate::known::Known;
use crate::watermark::Watermark;

/// Where content lies at the moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Label {
    /// The file's name now.
    pub(crate) name: PathBuf,
    /// The name under which the content was found at first.
    pub(crate) origin: PathBuf,
    pub(crate) id: FileId,
    pub(crate) rotated: bool,
    pub(crate) head: Print,
    pub(crate) mtime: i64,
    pub(crate) is_packed: bool,
    /// For compressed files: their own size, once their text has been read to its end.
    pub(crate) packed_end: Option<u64>,
}

/// One run of content.
#[derive(Debug)]
pub(crate) struct Generation {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    mark: Watermark,
    label: Label,
    /// Its row in the database.
    row: Option<i64>,
    /// What was stored last.
    stored: Option<Checkpoint>,
    /// The content is gone: its row is to be removed once nothing is under way.
    is_gone: bool,
    /// By what it is recognised should it come back in another file.
    past: Option<Past>,
    /// Whether the committer knows that there is something to store.
    is_listed: bool,
}

/// What the committer has to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Task {
    Save(Option<i64>, Checkpoint),
    Forget(Option<i64>, Option<Past>),
    Nothing,
}

impl Generation {
    pub(crate) fn new(start: Place, label: Label, row: Option<i64>) -> Arc<Self> {
        let mark = Watermark::new(start);
        let state = State { mark, label, row, stored: None, is_gone: false, past: None, is_listed: false };
        Arc::new(Self { state: Mutex::new(state) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn send(&self, end: Place) -> u64 {
        self.state().mark.send(end)
    }

    /// Returns whether there is something new to store.
    pub(crate) fn pass(&self, end: Place) -> bool {
        self.state().mark.pass(end)
    }

    pub(crate) fn settle(&self, piece: u64) -> bool {
        let mut state = self.state();
        let moved = state.mark.settle(piece);
        moved || (state.is_gone && state.mark.is_idle())
    }

    pub(crate) fn abandon(&self, piece: u64) {
        self.state().mark.abandon(piece);
    }

    pub(crate) fn origin(&self) -> PathBuf {
        self.state().label.origin.clone()
    }

    /// The name under which it was found at first, and when it was changed last as far as it was read.
    pub(crate) fn origin_and_mtime(&self) -> (PathBuf, i64) {
        let state = self.state();
        (state.label.origin.clone(), state.label.mtime)
    }

    /// Changes what is known of where it lies. Returns whether that is something new.
    pub(crate) fn relabel(&self, change: impl FnOnce(&mut Label)) -> bool {
        let mut state = self.state();
        let before = state.label.clone();
        change(&mut state.label);
        before != state.label
    }

    /// The content is gone, and of no use.
    pub(crate) fn forget(&self) {
        self.state().is_gone = true;
    }

    /// The content is gone; in another file it would be recognised by what is known of it.
    pub(crate) fn end(&self, known: &Known) {
        let mut state = self.state();
        state.is_gone = true;
        state.past = Some(Past {
            origin: bytes(&state.label.origin),
            head: known.print.hash,
            head_size: known.print.size,
            offset: known.offset,
            marker: known.marker,
            marker_size: known.marker_size,
            mtime: known.mtime,
        });
    }

    /// The place is known better than before: with the bytes that stand before it.
    pub(crate) fn refine(&self, place: Place) {
        let mut state = self.state();
        if state.mark.is_idle() && state.mark.mark().offset == place.offset {
            state.mark.pass(place);
        }
    }

    /// Lists it for the committer. Returns whether it was not listed before.
    pub(crate) fn list(&self) -> bool {
        !std::mem::replace(&mut self.state().is_listed, true)
    }

    /// What there is to store now.
    pub(crate) fn task(&self) -> Task {
        let mut state = self.state();
        state.is_listed = false;
        if state.is_gone {
            if !state.mark.is_idle() {
                return Task::Nothing;
            }
            let past = state.past.clone();
            let is_nothing = state.row.is_none() && past.is_none();
            return if is_nothing { Task::Nothing } else { Task::Forget(state.row, past) };
        }
        let checkpoint = state.checkpoint();
        if state.row.is_some() && state.stored.as_ref() == Some(&checkpoint) {
            return Task::Nothing;
        }
        Task::Save(state.row, checkpoint)
    }

    /// The task is done.
    pub(crate) fn stored(&self, row: Option<i64>, checkpoint: Option<Checkpoint>) {
        let mut state = self.state();
        state.row = row;
        if state.is_gone && checkpoint.is_none() {
            state.past = None;
        }
        state.stored = checkpoint;
    }
}

impl State {
    fn checkpoint(&self) -> Checkpoint {
        let mark = self.mark.mark();
        let label = &self.label;
        let (hash, size) = mark.marker();
        // Fluent Bit counts the bytes of the compressed file.
        let is_read = label.is_packed && self.mark.is_idle();
        let (offset, marker, marker_size, unpacked) = match label.is_packed {
            false => (mark.offset, hash, size, None),
            true => (label.packed_end.filter(|_| is_read).unwrap_or(0), 0, 0, Some(mark.offset)),
        };
        let more = More {
            input: String::new(),
            device: label.id.device,
            head: label.head.hash,
            head_size: label.head.size,
            origin: bytes(&label.origin),
            mtime: label.mtime,
            unpacked,
            seen: 0,
            text_marker: if label.is_packed { hash } else { 0 },
            text_marker_size: if label.is_packed { size } else { 0 },
        };
        Checkpoint {
            name: bytes(&label.name),
            offset,
            inode: label.id.inode,
            rotated: label.rotated,
            marker,
            marker_size,
            more: Some(more),
        }
    }
}

fn bytes(path: &Path) -> Vec<u8> {
    path.as_os_str().as_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Head;

    fn label() -> Label {
        Label {
            name: "/a".into(),
            origin: "/a".into(),
            id: FileId { device: 1, inode: 2 },
            rotated: false,
            head: Head::new(b"one\n").print(),
            mtime: 5,
            is_packed: false,
            packed_end: None,
        }
    }

    #[test]
    fn only_what_is_settled_is_stored_and_only_once() {
        let generation = Generation::new(Place::default(), label(), None);
        let Task::Save(None, first) = generation.task() else { panic!("a new file is stored at once") };
        generation.stored(Some(9), Some(first));
        let piece = generation.send(Place::new(4, b"one\n"));
        assert_eq!(generation.task(), Task::Nothing);
        assert!(generation.settle(piece));
        let Task::Save(Some(9), checkpoint) = generation.task() else { panic!("a settled piece is stored") };
        assert_eq!((checkpoint.offset, checkpoint.marker_size), (4, 4));
    }

    #[test]
    fn a_row_is_removed_only_when_nothing_is_under_way() {
        let generation = Generation::new(Place::default(), label(), Some(3));
        let piece = generation.send(Place::new(4, b"one\n"));
        generation.forget();
        assert_eq!(generation.task(), Task::Nothing);
        assert!(generation.settle(piece));
        assert_eq!(generation.task(), Task::Forget(Some(3), None));
    }

    #[test]
    fn a_compressed_file_is_done_for_fluent_bit_only_at_its_end() {
        let packed = Label { is_packed: true, ..label() };
        let generation = Generation::new(Place::default(), packed, Some(3));
        let piece = generation.send(Place::new(400, b"x"));
        generation.relabel(|label| label.packed_end = Some(77));
        let Task::Save(_, checkpoint) = generation.task() else { panic!("it has changed") };
        assert_eq!((checkpoint.offset, checkpoint.more.unwrap().unpacked), (0, Some(0)));
        generation.settle(piece);
        let Task::Save(_, checkpoint) = generation.task() else { panic!("it is settled") };
        assert_eq!((checkpoint.offset, checkpoint.more.unwrap().unpacked), (77, Some(400)));
    }
}
