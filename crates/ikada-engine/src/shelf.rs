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
        let stored = self.write(chunk).await?;
        self.keep(stored.clone(), share);
        Some(stored)
    }

    /// Writes a chunk that is to be kept for a share then. `None` if that cannot be done in time.
    pub(crate) async fn write(&self, chunk: &Chunk) -> Option<Stored> {
        self.make_ready().await?;
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
                return Some(stored);
            }
            Ok(Ok(Err(failed))) => failed.to_string(),
            Ok(Err(failed)) => failed.to_string(),
            Err(_) => {
                if state.compare_exchange(WRITING, GIVEN_UP, Ordering::AcqRel, Ordering::Acquire).is_err() {
                    // Just in time after all.
                    return Some(ChunkDir::stored(number, chunk));
                }
                format!("it took longer than {:?}", self.patience)
            }
        };
        self.failed(&failed);
        None
    }

    /// Makes a directory that could not be used, or was removed. What waits in it since an earlier run goes at the next start.
    async fn make_ready(&self) -> Option<()> {
        if self.dir.is_ready() {
            return Some(());
        }
        let dir = self.dir.clone();
        let failed = match timeout(self.patience, tokio::task::spawn_blocking(move || dir.make_ready())).await
        {
            Ok(Ok(Ok(_))) => return Some(()),
            Ok(Ok(Err(failed))) => failed.to_string(),
            Ok(Err(failed)) => failed.to_string(),
            Err(_) => format!("it took longer than {:?}", self.patience),
        };
        self.failed(&failed);
        None
    }

    /// Writes a chunk without anything else going on, at the very end. It is to be kept for a share then.
    pub(crate) fn write_now(&self, chunk: &Chunk) -> Option<Stored> {
        let ready = if self.dir.is_ready() { Ok(()) } else { self.dir.make_ready().map(drop) };
        let written = ready.and_then(|()| self.dir.write(self.dir.number(), chunk));
        written.inspect_err(|failed| self.failed(&failed.to_string())).ok()
    }

    /// Deletes a file that is on nobody's books.
    pub(crate) fn forget(&self, stored: &Stored) {
        self.delete_later(stored.clone());
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
        self.delete_later(stored);
    }

    fn delete_later(&self, stored: Stored) {
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

    /// Says, once until it works again, that the disk cannot be used, and leaves it alone for a while.
    pub(crate) fn failed(&self, why: &str) {
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

#[cfg(test)]
mod tests {
    use ikada_plugin::Kind;
    use ikada_record::{ChunkBuilder, Ledger, Tag, Timestamp};
    use ikada_store::chunks::Sync;

    use super::*;

    fn shelf(path: &std::path::Path) -> Arc<Shelf> {
        let id = InstanceId { kind: Kind::Output, plugin: "x".into(), name: "x.0".into(), alias: None };
        let (dir, _) = ChunkDir::open(path, Sync::Normal).unwrap();
        Arc::new(Shelf::new(id.into(), dir, None, Duration::from_millis(20)))
    }

    fn chunk() -> (Chunk, Share) {
        let mut builder = ChunkBuilder::new(Tag::from("t"));
        builder.push_record(Timestamp::new(1, 0), b"\x80");
        let share = Share::new(Receipt::unwatched(), 1, Arc::new(Ledger::default()));
        (builder.finish(Receipt::unwatched()), share)
    }

    fn files(path: &std::path::Path) -> usize {
        std::fs::read_dir(path).map_or(0, Iterator::count)
    }

    /// Writes until it is quick enough: the machine may be busy.
    async fn put(shelf: &Arc<Shelf>, chunk: &Chunk, share: &Share) {
        while shelf.put(chunk, share).await.is_none() {}
    }

    /// The one thread that writes is held up, as by a disk that does not answer.
    #[test]
    fn nobody_waits_for_a_slow_disk_longer_than_the_stall_limit_and_nothing_is_kept_twice() {
        let place = tempfile::tempdir().unwrap();
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().max_blocking_threads(1).build();
        let (release, held) = std::sync::mpsc::sync_channel::<()>(0);
        runtime.unwrap().block_on(async {
            let shelf = shelf(place.path());
            let holding = tokio::task::spawn_blocking(move || held.recv().is_ok());
            let (chunk, share) = chunk();
            assert_eq!(shelf.put(&chunk, &share).await, None);
            assert!(!shelf.has_room(&chunk), "it is left alone for a while");
            drop(release);
            holding.await.unwrap();
            put(&shelf, &chunk, &share).await;
            assert!(shelf.has_room(&chunk), "it works again");
            assert_eq!((shelf.holds().0, files(place.path())), (1, 1), "the late file of the first is gone");
            share.deliver(1);
        });
    }

    #[tokio::test]
    async fn a_directory_that_was_removed_is_made_again() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("chunks");
        let shelf = shelf(&path);
        let (chunk, share) = chunk();
        std::fs::remove_dir(&path).unwrap();
        assert_eq!(shelf.put(&chunk, &share).await, None);
        put(&shelf, &chunk, &share).await;
        assert_eq!(files(&path), 1);
        share.deliver(1);
    }
}
