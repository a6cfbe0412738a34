//! Positions on their way into the database, in a thread of its own.
//!
//! Whoever moves a mark lists the content here and goes on. The thread stores all that is listed in one transaction, then rests for a moment, so
//! that a busy file costs a few transactions a second.

use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ikada_store::positions::{Change, Checkpoint, Positions, PositionsError};
use tracing::warn;

use crate::generation::{Generation, Task};

/// Rest between two transactions.
const REST: Duration = Duration::from_millis(100);

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
            .spawn(move || Work { db, input, shared: work }.run())?;
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
}

impl Work {
    fn run(mut self) {
        let mut untold = true;
        loop {
            let (listed, is_closed) = self.wait();
            let mut rest = REST;
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
