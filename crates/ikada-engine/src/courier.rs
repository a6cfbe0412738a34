//! Who brings dead letters to a place far away: a disk may die with its task.
//!
//! ```text
//!  letters ──► file on disk, if there is a directory ──┐
//!         └──► memory, if there is none ───────────────┴──► list ──► one task: note, then chunk ──► far away
//! ```
//!
//! The objects are what the files are, under the same names: whoever copies them into a directory can look at them and send them anew as
//! any dead letters. A file is deleted when its object is written; one that a kill leaves is brought by the next run, under the same name.
//! The task has its own back-off, and nobody waits for it but the end of a stop, within the grace.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use ikada_plugin::{LetterStore, SendError};
use ikada_store::chunks::{ChunkDir, Stored, note_path};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout_at};
use tracing::{info, warn};

/// First wait after a failure; it doubles.
const BASE: Duration = Duration::from_millis(500);

/// Longest wait, and time between two lines about failures.
const CAP: Duration = Duration::from_secs(60);

/// Longest wait during a drain.
const DRAIN_CAP: Duration = Duration::from_millis(500);

/// Letters of outputs without a directory take at most this much memory.
const MEMORY: usize = 8 << 20;

/// Files that are known to wait; those beyond it are found at the next start.
const FILES: usize = 100_000;

/// A chunk of dead letters on its way.
#[derive(Debug, Clone)]
struct Parcel {
    /// `outputs/NAME/FILE`.
    name: String,
    records: u32,
    content: Content,
}

#[derive(Debug, Clone)]
enum Content {
    /// In the directory of an output, whose letters know what is in it.
    File(Arc<ChunkDir>, Stored, Files),
    Memory {
        chunk: Bytes,
        note: Bytes,
    },
}

/// The files of an output, oldest first.
pub(crate) type Files = Arc<Mutex<VecDeque<Stored>>>;

/// Brings dead letters away.
pub(crate) struct Courier {
    store: Arc<dyn LetterStore>,
    list: Mutex<VecDeque<Parcel>>,
    /// Letters that are being written.
    pending: AtomicUsize,
    news: Notify,
    is_draining: AtomicBool,
    /// The last attempt failed.
    is_stuck: AtomicBool,
}

impl Courier {
    pub(crate) fn new(store: Arc<dyn LetterStore>) -> Self {
        Self {
            store,
            list: Mutex::default(),
            pending: AtomicUsize::new(0),
            news: Notify::new(),
            is_draining: AtomicBool::new(false),
            is_stuck: AtomicBool::new(false),
        }
    }

    fn list(&self) -> std::sync::MutexGuard<'_, VecDeque<Parcel>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A letter is about to be written; [`written`](Self::written) follows.
    pub(crate) fn announce(&self) {
        self.pending.fetch_add(1, Relaxed);
    }

    /// A letter that was announced has been handed over, or lost.
    pub(crate) fn written(&self) {
        self.pending.fetch_sub(1, Relaxed);
        self.news.notify_waiters();
    }

    /// Takes a file over.
    pub(crate) fn add_file(&self, output: &str, dir: &Arc<ChunkDir>, stored: Stored, files: &Files) {
        let mut list = self.list();
        if list.len() < FILES {
            let (name, records) = (name_of(output, &stored), stored.entries());
            list.push_back(Parcel {
                name,
                records,
                content: Content::File(dir.clone(), stored, files.clone()),
            });
        }
        drop(list);
        self.news.notify_waiters();
    }

    /// Takes letters over that are on no disk. Where they are too many the oldest go.
    pub(crate) fn add_memory(&self, output: &str, stored: &Stored, chunk: Bytes, note: String) {
        let mut list = self.list();
        let content = Content::Memory { chunk, note: note.into() };
        list.push_back(Parcel { name: name_of(output, stored), records: stored.entries(), content });
        let mut bytes: usize = list.iter().map(Parcel::memory).sum();
        let mut lost = 0;
        while bytes > MEMORY {
            let Some(at) = list.iter().position(|parcel| parcel.memory() > 0) else { break };
            let Some(gone) = list.remove(at) else { break };
            bytes -= gone.memory();
            lost += gone.records;
        }
        drop(list);
        if lost > 0 {
            warn!(
                "the dead letters for {} have filled their memory: {lost} older records are gone",
                self.store.place()
            );
        }
        self.news.notify_waiters();
    }

    /// Brings what comes, for ever.
    pub(crate) async fn run(self: Arc<Self>) {
        let mut failures = 0u32;
        let mut told: Option<Instant> = None;
        loop {
            let news = self.news.notified();
            tokio::pin!(news);
            news.as_mut().enable();
            let Some(parcel) = self.list().front().cloned() else {
                self.is_stuck.store(false, Relaxed);
                news.await;
                continue;
            };
            let Err(cause) = self.bring(&parcel).await else {
                if told.take().is_some() {
                    info!("dead letters can be brought to {} again", self.store.place());
                }
                failures = 0;
                self.is_stuck.store(false, Relaxed);
                self.list().pop_front_if(|front| front.name == parcel.name);
                self.news.notify_waiters();
                continue;
            };
            self.is_stuck.store(true, Relaxed);
            failures += 1;
            if told.is_none_or(|told| told.elapsed() >= CAP) {
                told = Some(Instant::now());
                let waiting = self.list().len();
                warn!(
                    "could not bring dead letters to {}, {waiting} chunks wait: {cause}",
                    self.store.place()
                );
            }
            self.news.notify_waiters();
            self.rest(
                BASE.saturating_mul(1 << failures.min(10)).min(CAP).mul_f64(rand::random_range(0.5..=1.0)),
            )
            .await;
        }
    }

    /// Waits for this long; a drain shortens it.
    async fn rest(&self, delay: Duration) {
        let until = Instant::now() + delay;
        while Instant::now() < until && !self.is_draining.load(Relaxed) {
            if timeout_at(until, self.news.notified()).await.is_err() {
                return;
            }
        }
        let left = until.saturating_duration_since(Instant::now());
        sleep(left.min(DRAIN_CAP)).await;
    }

    /// One attempt: the note first, so that there is never a chunk without one.
    async fn bring(&self, parcel: &Parcel) -> Result<(), SendError> {
        let Some((chunk, note)) = parcel.content.read().await? else { return Ok(()) };
        if !note.is_empty() {
            self.store.put(&format!("{}.json", parcel.name), note).await?;
        }
        self.store.put(&parcel.name, chunk).await?;
        parcel.content.forget().await;
        Ok(())
    }

    /// Waits until all is brought, at most until `deadline`. While attempts fail, what is on disk is left to the next run.
    pub(crate) async fn finish(&self, deadline: Instant) {
        self.is_draining.store(true, Relaxed);
        self.is_stuck.store(false, Relaxed);
        self.news.notify_waiters();
        let done = async {
            loop {
                let news = self.news.notified();
                tokio::pin!(news);
                news.as_mut().enable();
                if self.pending.load(Relaxed) == 0 && self.may_leave() {
                    return;
                }
                news.await;
            }
        };
        timeout_at(deadline, done).await.ok();
        let lost: u32 =
            self.list().iter().filter(|parcel| parcel.memory() > 0).map(|parcel| parcel.records).sum();
        if lost > 0 {
            warn!("{lost} refused records could not be brought to {}: they are gone", self.store.place());
        }
    }

    /// Whether nothing is left to do, or nothing that another run could not do.
    fn may_leave(&self) -> bool {
        let is_left_to_others =
            self.list().iter().all(|parcel| parcel.memory() == 0) && self.is_stuck.load(Relaxed);
        is_left_to_others || self.list().is_empty()
    }
}

impl Parcel {
    fn memory(&self) -> usize {
        match &self.content {
            Content::File(..) => 0,
            Content::Memory { chunk, note } => chunk.len() + note.len(),
        }
    }
}

impl Content {
    /// The chunk and its note; `None` if the file has made room for others.
    async fn read(&self) -> Result<Option<(Bytes, Bytes)>, SendError> {
        let (dir, stored) = match self {
            Self::Memory { chunk, note } => return Ok(Some((chunk.clone(), note.clone()))),
            Self::File(dir, stored, _) => (dir.clone(), stored.clone()),
        };
        let read = move || {
            let note = std::fs::read(note_path(dir.path(), &stored)).unwrap_or_default();
            match std::fs::read(dir.path().join(stored.name())) {
                Ok(chunk) => Ok(Some((chunk.into(), note.into()))),
                Err(failed) if failed.kind() == std::io::ErrorKind::NotFound => Ok(None),
                Err(failed) => Err(SendError::new(format!("could not read {}: {failed}", stored.name()))),
            }
        };
        let failed = |failed: tokio::task::JoinError| SendError::new(failed.to_string());
        tokio::task::spawn_blocking(read).await.map_err(failed)?
    }

    /// Deletes the file.
    async fn forget(&self) {
        let Self::File(dir, stored, files) = self else { return };
        let (dir, stored, files) = (dir.clone(), stored.clone(), files.clone());
        let delete = move || {
            // Under the same lock as whoever makes room.
            let mut files = files.lock().unwrap_or_else(PoisonError::into_inner);
            files.retain(|file| *file != stored);
            if let Err(failed) = dir.remove(&stored) {
                warn!("could not delete {}, which is brought away: {failed}", stored.name());
                return;
            }
            std::fs::remove_file(note_path(dir.path(), &stored)).ok();
        };
        tokio::task::spawn_blocking(delete).await.ok();
    }
}

/// Where a file of an output lies below the place far away.
fn name_of(output: &str, stored: &Stored) -> String {
    format!("outputs/{output}/{}", stored.name())
}

#[cfg(test)]
mod tests {
    use ikada_plugin::BoxFuture;
    use ikada_record::{Chunk, ChunkBuilder, Receipt, Tag, Timestamp};

    use super::*;

    /// Takes objects, once it has failed this often.
    struct Far {
        failures: AtomicUsize,
        taken: Mutex<Vec<(String, Bytes)>>,
    }

    impl LetterStore for Far {
        fn put<'a>(&'a self, name: &'a str, body: Bytes) -> BoxFuture<'a, Result<(), SendError>> {
            Box::pin(async move {
                let fails = |left: usize| left.checked_sub(1);
                if self.failures.fetch_update(Relaxed, Relaxed, fails).is_ok() {
                    return Err(SendError::new("no"));
                }
                self.taken.lock().unwrap().push((name.to_owned(), body));
                Ok(())
            })
        }

        fn place(&self) -> &str {
            "far away"
        }
    }

    fn far(failures: usize) -> (Arc<Far>, Arc<Courier>) {
        let far = Arc::new(Far { failures: AtomicUsize::new(failures), taken: Mutex::default() });
        (far.clone(), Arc::new(Courier::new(far)))
    }

    fn names(far: &Far) -> Vec<String> {
        far.taken.lock().unwrap().iter().map(|(name, _)| name.clone()).collect()
    }

    fn chunk(bytes: usize) -> Chunk {
        let mut builder = ChunkBuilder::new(Tag::from("t"));
        let mut record = b"\x81\xa1k\xdb".to_vec();
        record.extend_from_slice(&(bytes as u32).to_be_bytes());
        record.resize(record.len() + bytes, b'x');
        builder.push_record(Timestamp::new(1, 0), &record);
        builder.finish(Receipt::unwatched())
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(3600)
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_is_brought_with_its_note_and_deleted_whatever_fails_at_first() {
        let place = tempfile::tempdir().unwrap();
        let (dir, _) = ChunkDir::open(place.path(), Default::default()).unwrap();
        let stored = dir.write(7, &chunk(10)).unwrap();
        dir.note(&stored, "{}\n").unwrap();
        let (dir, files) = (Arc::new(dir), Files::default());
        files.lock().unwrap().push_back(stored.clone());
        let (far, courier) = far(3);
        courier.add_file("out.0", &dir, stored.clone(), &files);
        let bytes = std::fs::read(place.path().join(stored.name())).unwrap();
        let work = tokio::spawn(courier.clone().run());
        while !courier.list().is_empty() {
            sleep(Duration::from_millis(100)).await;
        }
        let name = format!("outputs/out.0/{}", stored.name());
        assert_eq!(names(&far), [format!("{name}.json"), name]);
        assert_eq!(far.taken.lock().unwrap()[1].1, bytes);
        assert_eq!((std::fs::read_dir(place.path()).unwrap().count(), files.lock().unwrap().len()), (0, 0));
        work.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn at_a_stop_what_is_on_no_disk_is_tried_to_the_end_and_what_is_on_disk_is_left_to_the_next_run() {
        let (far_away, courier) = far(5);
        let work = tokio::spawn(courier.clone().run());
        let stored = ChunkDir::stored(1, &chunk(10));
        courier.add_memory("out.0", &stored, Bytes::from_static(b"x"), "{}".to_owned());
        courier.finish(soon()).await;
        assert_eq!(names(&far_away).len(), 2);
        work.abort();

        let place = tempfile::tempdir().unwrap();
        let (dir, _) = ChunkDir::open(place.path(), Default::default()).unwrap();
        let stored = dir.write(7, &chunk(10)).unwrap();
        let (far_away, courier) = far(usize::MAX);
        let work = tokio::spawn(courier.clone().run());
        courier.add_file("out.0", &Arc::new(dir), stored, &Files::default());
        let start = Instant::now();
        courier.finish(soon()).await;
        assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
        assert_eq!((names(&far_away).len(), std::fs::read_dir(place.path()).unwrap().count()), (0, 1));
        work.abort();
    }

    #[tokio::test]
    async fn memory_is_bounded_and_the_oldest_make_room() {
        let (_, courier) = far(usize::MAX);
        for number in 0..20 {
            let stored = ChunkDir::stored(number, &chunk(10));
            courier.add_memory("out.0", &stored, vec![0; 1 << 20].into(), String::new());
        }
        let list = courier.list();
        assert_eq!((list.len(), list[0].name.contains("c-1.chunk")), (8, true), "{}", list[0].name);
    }
}
