//! Positions on their way into the database, in a thread of its own.
//!
//! Whoever moves a mark lists the content here and goes on. The thread stores all that is listed in one transaction, at once unless it has just stored
//! something: then after a short rest, so that a busy file costs at most a hundred transactions a second. What a kill brings again beside what
//! was not settled is thus what was settled within this rest and one transaction. Reading never waits for it.

use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ikada_store::positions::{Change, Checkpoint, Positions, PositionsError};
use tracing::warn;

use crate::generation::{Generation, Task};

/// Rest between two transactions.
const REST: Duration = Duration::from_millis(10);

/// Time between two attempts when the database cannot be written, and between two lines about it.
const TRY_AGAIN: Duration = Duration::from_secs(5);

/// The way to the committer. Without a database it does nothing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Commits(Option<Arc<Shared>>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct State {
    listed: Vec<Arc<Generation>>,
    is_closed: bool,
}

impl Commits {
    /// Has the content's position stored soon.
    pub(crate) fn list(&self, generation: &Arc<Generation>) {
        let Some(shared) = &self.0 else { return };
        if generation.list() {
            shared.state().listed.push(generation.clone());
            shared.wake.notify_one();
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The thread that writes.
#[derive(Debug, Default)]
pub(crate) struct Committer {
    shared: Option<Arc<Shared>>,
    thread: Option<JoinHandle<()>>,
}

impl Committer {
    /// Starts it.
    pub(crate) fn start(db: Positions, input: String) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let work = shared.clone();
        let thread = std::thread::Builder::new()
            .name("tail-positions".to_owned())
            .spawn(move || Work { db, input, shared: work, rest: REST }.run())?;
        Ok(Self { shared: Some(shared), thread: Some(thread) })
    }

    /// The way to it.
    pub(crate) fn commits(&self) -> Commits {
        Commits(self.shared.clone())
    }

    /// Stores what is listed, and ends. Waits for that.
    pub(crate) fn finish(&mut self) {
        let Some(shared) = &self.shared else { return };
        shared.state().is_closed = true;
        shared.wake.notify_one();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("storing positions ended in a bug");
        }
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        self.finish();
    }
}

struct Work {
    db: Positions,
    input: String,
    shared: Arc<Shared>,
    rest: Duration,
}

impl Work {
    fn run(mut self) {
        let mut untold = true;
        loop {
            let (listed, is_closed) = self.wait();
            let mut rest = self.rest;
            if let Err(error) = store(&mut self.db, &self.input, &listed) {
                if mem::take(&mut untold) {
                    let cause = std::error::Error::source(&error).map(ToString::to_string);
                    warn!(instance = %self.input, "{error}: {}; trying again", cause.unwrap_or_default());
                }
                for generation in listed {
                    Commits(Some(self.shared.clone())).list(&generation);
                }
                rest = TRY_AGAIN;
            } else {
                untold = true;
            }
            if is_closed {
                return;
            }
            self.rest(rest);
        }
    }

    fn wait(&self) -> (Vec<Arc<Generation>>, bool) {
        let mut state = self.shared.state();
        while state.listed.is_empty() && !state.is_closed {
            state = self.shared.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        (mem::take(&mut state.listed), state.is_closed)
    }

    fn rest(&self, time: Duration) {
        let state = self.shared.state();
        let closed = self.shared.wake.wait_timeout_while(state, time, |state| !state.is_closed);
        drop(closed);
    }
}

/// Stores the positions of these in one transaction.
pub(crate) fn store(
    db: &mut Positions,
    input: &str,
    listed: &[Arc<Generation>],
) -> Result<(), PositionsError> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64);
    let mut changes = Vec::new();
    let mut done: Vec<(&Arc<Generation>, Option<Checkpoint>)> = Vec::new();
    for generation in listed {
        match generation.task() {
            Task::Nothing => {}
            Task::Forget(id, past) => {
                changes.push(Change::Forget { id, past, input: input.to_owned(), now });
                done.push((generation, None));
            }
            Task::Save(id, checkpoint) => {
                done.push((generation, Some(checkpoint.clone())));
                changes.push(Change::Save { id, checkpoint, input: input.to_owned(), now });
            }
        }
    }
    if changes.is_empty() {
        return Ok(());
    }
    for ((generation, checkpoint), row) in done.into_iter().zip(db.apply(changes)?) {
        generation.stored(row, checkpoint);
    }
    Ok(())
}

#[cfg(test)]
impl Commits {
    /// A way that ends in the test.
    pub(crate) fn for_test() -> Self {
        Self(Some(Arc::default()))
    }

    /// What is listed.
    pub(crate) fn take(&self) -> Vec<Arc<Generation>> {
        self.0.as_ref().map(|shared| mem::take(&mut shared.state().listed)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use ikada_store::positions::Settings;

    use super::*;
    use crate::generation::Label;
    use crate::identity::{FileId, Head, Place};

    fn open(path: &Path) -> Positions {
        Positions::open(path, &Settings::default()).unwrap()
    }

    /// Waits until this is stored.
    fn wait_for(path: &Path, offset: u64) {
        let db = open(path);
        while db.all().unwrap().first().map(|row| row.checkpoint.offset) != Some(offset) {
            std::thread::yield_now();
        }
    }

    #[test]
    fn what_is_settled_after_a_rest_is_stored_at_once_and_what_is_settled_in_it_at_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tail.db");
        let shared = Arc::new(Shared::default());
        let commits = Commits(Some(shared.clone()));
        // A rest that only the end of the work can end.
        let rest = Duration::from_secs(86_400);
        let work = Work { db: open(&path), input: "tail.0".to_owned(), shared: shared.clone(), rest };
        let thread = std::thread::spawn(move || work.run());
        let label = Label {
            name: "/a".into(),
            origin: "/a".into(),
            id: FileId { device: 1, inode: 2 },
            rotated: false,
            head: Head::new(b"one\n").print(),
            mtime: 5,
            is_packed: false,
            packed_end: None,
        };
        let generation = Generation::new(Place::default(), label, None);
        let settle = |text: &str| {
            let piece = generation.send(Place::new(text.len() as u64, text.as_bytes()));
            assert!(generation.settle(piece));
            commits.list(&generation);
        };
        settle("one\n");
        wait_for(&path, 4);
        settle("one\ntwo\n");
        settle("one\ntwo\nthree\n");
        assert_eq!(open(&path).all().unwrap()[0].checkpoint.offset, 4);
        shared.state().is_closed = true;
        shared.wake.notify_one();
        thread.join().unwrap();
        assert_eq!(open(&path).all().unwrap()[0].checkpoint.offset, 14);
    }
}
