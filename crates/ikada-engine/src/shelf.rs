//! Where an output's chunks wait on disk.
//!
//! A disk may be full, slow or gone. Nobody waits for it longer than the stall limit: what cannot be written in time stays in memory, one line
//! says so, and after a while the disk is tried again.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ikada_plugin::InstanceId;
use ikada_record::{Chunk, Receipt, Settlement, Share};
use ikada_store::chunks::{ChunkDir, ReadError, Stored};
use tokio::time::{Instant, timeout};
use tracing::{error, info, warn};

/// After a write that failed or took too long, the disk is left alone for this long.
const REST: Duration = Duration::from_secs(5);

/// Files that wait to be deleted; beyond it whoever settles a chunk deletes its file himself.
const TO_DELETE: usize = 10_000;

/// The chunks of one output on disk.
#[derive(Debug)]
pub(crate) struct Shelf {
    id: Arc<InstanceId>,
    dir: Arc<ChunkDir>,
    limit: u64,
    patience: Duration,
    bytes: AtomicU64,
    entries: AtomicU64,
    files: AtomicU64,
    trouble: Mutex<Option<Instant>>,
    janitor: SyncSender<Stored>,
}

/// How a write under way stands, between the task that waits and the thread that writes.
const WRITING: u8 = 0;
const WRITTEN: u8 = 1;
const GIVEN_UP: u8 = 2;

impl Shelf {
    /// A shelf of at most `limit` bytes. `patience` is how long a write may take.
    pub(crate) fn new(id: Arc<InstanceId>, dir: ChunkDir, limit: Option<u64>, patience: Duration) -> Self {
        let dir = Arc::new(dir);
        let (janitor, to_delete) = sync_channel::<Stored>(TO_DELETE);
        let place = dir.clone();
        let started = std::thread::Builder::new().name("ikada-store".into()).spawn(move || {
            for stored in to_delete {
                delete(&place, &stored);
            }
        });
        if let Err(failed) = started {
            // Then every chunk's file is deleted by whoever settles the chunk.
            warn!(instance = %id, "no thread for deleting chunk files: {failed}");
        }
        Self {
            id,
            dir,
            limit: limit.unwrap_or(u64::MAX),
            patience,
            bytes: AtomicU64::new(0),
            entries: AtomicU64::new(0),
            files: AtomicU64::new(0),
            trouble: Mutex::new(None),
            janitor,
        }
    }

    /// Entries, files and bytes that are not settled.
    pub(crate) fn holds(&self) -> (u64, u64, u64) {
        (self.entries.load(Ordering::Relaxed), self.files.load(Ordering::Relaxed), self.bytes())
    }

    fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Whether a chunk could be written now: there is room, and the disk has not just failed.
    pub(crate) fn has_room(&self, chunk: &Chunk) -> bool {
        let rests = self.trouble().is_some_and(|until| Instant::now() < until);
        !rests && self.fits(chunk)
    }

    /// Whether a chunk is within the limit.
    pub(crate) fn fits(&self, chunk: &Chunk) -> bool {
        self.bytes() + ChunkDir::size_of(chunk) <= self.limit
    }

    fn trouble(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a chunk, and lets its share delete the file once it is settled. `None` if that cannot be done in time.
    pub(crate) async fn put(self: &Arc<Self>, chunk: &Chunk, share: &Share) -> Option<Stored> {
        let state = Arc::new(AtomicU8::new(WRITING));
        let (dir, writing, copy) = (self.dir.clone(), state.clone(), chunk.clone());
        let number = self.dir.number();
        let job = tokio::task::spawn_blocking(move || {
            let stored = dir.write(number, &copy)?;
            if writing.compare_exchange(WRITING, WRITTEN, Ordering::AcqRel, Ordering::Acquire).is_err() {
                // Nobody waits any more; the chunk goes on in memory.
                dir.remove(&stored)?;
            }
            Ok::<_, std::io::Error>(stored)
        });
        let failed = match timeout(self.patience, job).await {
            Ok(Ok(Ok(stored))) => {
                self.works_again();
                self.keep(stored.clone(), share);
                return Some(stored);
            }
            Ok(Ok(Err(failed))) => failed.to_string(),
            Ok(Err(failed)) => failed.to_string(),
            Err(_) => {
                if state.compare_exchange(WRITING, GIVEN_UP, Ordering::AcqRel, Ordering::Acquire).is_err() {
                    // Just in time after all.
                    let stored = ChunkDir::stored(number, chunk);
                    self.keep(stored.clone(), share);
                    return Some(stored);
                }
                format!("it took longer than {:?}", self.patience)
            }
        };
        self.failed(&failed);
        None
    }

    /// Writes a chunk without anything else going on, at the very end.
    pub(crate) fn put_now(self: &Arc<Self>, chunk: &Chunk, share: &Share) -> bool {
        match self.dir.write(self.dir.number(), chunk) {
            Ok(stored) => {
                self.keep(stored, share);
                true
            }
            Err(failed) => {
                self.failed(&failed.to_string());
                false
            }
        }
    }

    /// Puts a file on the books and lets the share delete it once it is settled.
    pub(crate) fn keep(self: &Arc<Self>, stored: Stored, share: &Share) {
        self.bytes.fetch_add(stored.size(), Ordering::Relaxed);
        self.entries.fetch_add(u64::from(stored.entries()), Ordering::Relaxed);
        self.files.fetch_add(1, Ordering::Relaxed);
        let shelf = self.clone();
        share.copied(Receipt::new(None, move |how| {
            if how == Settlement::Settled {
                shelf.settled(stored);
            }
        }));
    }

    fn settled(&self, stored: Stored) {
        self.bytes.fetch_sub(stored.size(), Ordering::Relaxed);
        self.entries.fetch_sub(u64::from(stored.entries()), Ordering::Relaxed);
        self.files.fetch_sub(1, Ordering::Relaxed);
        if let Err(full) = self.janitor.try_send(stored) {
            let (std::sync::mpsc::TrySendError::Full(stored)
            | std::sync::mpsc::TrySendError::Disconnected(stored)) = full;
            delete(&self.dir, &stored);
        }
    }

    /// Reads a chunk back. `None` if it is damaged; its file is set aside then.
    pub(crate) async fn take(&self, stored: &Stored) -> Option<Chunk> {
        let (dir, what) = (self.dir.clone(), stored.clone());
        let read = tokio::task::spawn_blocking(move || {
            dir.read(&what).map_err(|failed: ReadError| (failed.to_string(), dir.set_aside(&what)))
        });
        let (failed, aside) = match read.await {
            Ok(Ok(chunk)) => return Some(chunk),
            Ok(Err((failed, aside))) => (failed, aside.ok()),
            Err(failed) => (failed.to_string(), None),
        };
        let aside = aside.map_or_else(String::new, |path| format!("; it is kept as {}", path.display()));
        error!(
            instance = %self.id,
            "a chunk file of {} records cannot be used: {failed}{aside} (reason=damaged)",
            stored.entries()
        );
        None
    }

    fn failed(&self, why: &str) {
        let before = self.trouble().replace(Instant::now() + REST);
        if before.is_none() {
            let path = self.dir.path().display();
            warn!(instance = %self.id, "could not write to {path}: {why}; records wait in memory until it works again");
        }
    }

    fn works_again(&self) {
        if self.trouble().take().is_some() {
            info!(instance = %self.id, "{} can be written again", self.dir.path().display());
        }
    }
}

fn delete(dir: &ChunkDir, stored: &Stored) {
    if let Err(failed) = dir.remove(stored) {
        warn!(
            "could not delete a delivered chunk file in {}: {failed}; its records will be sent again after a restart",
            dir.path().display()
        );
    }
}
