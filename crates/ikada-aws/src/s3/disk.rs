//! The thread that writes journals: the engine's tasks hand work over and never wait for a disk.
//!
//! It takes all work there is, writes it, syncs each file once, and only then settles the entries that stand behind it: they are on
//! the disk now, whatever becomes of the process or the machine. A disk that fails or is full is tried again until it takes
//! what it is given; the output meanwhile says that it is full.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ikada_plugin::Part;
use tokio::time::Instant;
use tracing::warn;

use super::spool::Journal;
use crate::seldom::Seldom;

/// Bytes of work that are written before the next sync.
const ROUND: usize = 8 * 1024 * 1024;
/// With more files than this, the whole file system is synced at once.
const MANY: usize = 8;
/// Time between two tries of a disk that fails.
const AGAIN: Duration = Duration::from_millis(200);

/// Something to do on the disk.
pub(crate) enum Work {
    /// Adds bytes to a journal, and settles the entries once they are safe.
    Append { journal: Arc<Journal>, bytes: Vec<u8>, parts: Vec<Part> },
    /// Remembers the number of the next object.
    Index(u64),
    /// Takes an object that was given up out of the way.
    Retire(Arc<Journal>),
}

impl Work {
    fn bytes(&self) -> usize {
        match self {
            Self::Append { bytes, .. } => bytes.len(),
            Self::Index(_) | Self::Retire(_) => 0,
        }
    }
}

/// A handle of the thread. It ends, once everything is done, when the handle goes.
pub(crate) struct Disk {
    shared: Arc<Shared>,
}

struct Shared {
    dir: PathBuf,
    state: Mutex<State>,
    wake: Condvar,
    pending: AtomicUsize,
    failures: Seldom,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Work>,
    is_closed: bool,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Disk {
    /// Starts the thread for the journals in a folder.
    ///
    /// # Errors
    /// There can be no further thread.
    pub(crate) fn start(dir: &Path) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            dir: dir.to_owned(),
            state: Mutex::default(),
            wake: Condvar::new(),
            pending: AtomicUsize::new(0),
            failures: Seldom::default(),
        });
        let own = shared.clone();
        std::thread::Builder::new().name("s3-store".into()).spawn(move || own.run())?;
        Ok(Self { shared })
    }

    /// Hands work over. Work on one journal is done in this order.
    pub(crate) fn push(&self, work: Work) {
        self.shared.pending.fetch_add(work.bytes(), Relaxed);
        self.shared.state().queue.push_back(work);
        self.shared.wake.notify_one();
    }

    /// Bytes that are not on the disk yet.
    pub(crate) fn pending(&self) -> usize {
        self.shared.pending.load(Relaxed)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.shared.state().is_closed = true;
        self.shared.wake.notify_one();
    }
}

impl Shared {
    fn run(&self) {
        while let Some(round) = self.next_round() {
            self.work(round);
        }
    }

    /// Waits for work; `None` when there will be no more.
    fn next_round(&self) -> Option<Vec<Work>> {
        let mut state = self.state();
        while state.queue.is_empty() {
            if state.is_closed {
                return None;
            }
            state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let mut round = Vec::new();
        let mut bytes = 0;
        while bytes < ROUND
            && let Some(work) = state.queue.pop_front()
        {
            bytes += work.bytes();
            round.push(work);
        }
        Some(round)
    }

    fn work(&self, round: Vec<Work>) {
        let mut files: BTreeMap<u64, Touched> = BTreeMap::new();
        let (mut safe, mut retired) = (Vec::new(), Vec::new());
        for work in round {
            match work {
                Work::Append { journal, bytes, parts } => {
                    self.until_done("write", || append(&mut files, &journal, &bytes));
                    safe.push((journal, bytes.len(), parts));
                }
                Work::Index(next) => self.until_done("write", || write_index(&self.dir, next)),
                Work::Retire(journal) => retired.push(journal),
            }
        }
        if !files.is_empty() {
            self.until_done("sync", || sync(&self.dir, &files));
        }
        for (journal, bytes, parts) in safe {
            journal.is_safe(bytes as u64);
            for part in parts {
                part.share.deliver(part.entries);
            }
            self.pending.fetch_sub(bytes, Relaxed);
        }
        retired.iter().for_each(|journal| journal.retire());
    }

    fn until_done(&self, doing: &str, mut run: impl FnMut() -> io::Result<()>) {
        while let Err(error) = run() {
            if let Some(count) = self.failures.count(1, Instant::now()) {
                let dir = self.dir.display();
                warn!(count, "`store_dir` {dir}: cannot {doing}, it is tried again until it works: {error}");
            }
            std::thread::sleep(AGAIN);
        }
    }
}

/// A journal that was written to since the last sync.
struct Touched {
    file: File,
    is_new: bool,
    len: u64,
    /// A write failed halfway.
    is_torn: bool,
}

/// Adds bytes to a journal, all or none.
fn append(files: &mut BTreeMap<u64, Touched>, journal: &Journal, bytes: &[u8]) -> io::Result<()> {
    if let std::collections::btree_map::Entry::Vacant(place) = files.entry(journal.number) {
        let file = OpenOptions::new().create(true).append(true).open(&journal.path)?;
        let len = file.metadata()?.len();
        place.insert(Touched { file, is_new: len == 0, len, is_torn: false });
    }
    let Some(touched) = files.get_mut(&journal.number) else { return Ok(()) };
    if std::mem::take(&mut touched.is_torn) {
        // A torn frame must not stand before whole ones.
        touched.file.set_len(touched.len).inspect_err(|_| touched.is_torn = true)?;
    }
    if let Err(error) = touched.file.write_all(bytes) {
        touched.is_torn = true;
        return Err(error);
    }
    touched.len += bytes.len() as u64;
    Ok(())
}

fn sync(dir: &Path, files: &BTreeMap<u64, Touched>) -> io::Result<()> {
    if files.len() > MANY {
        rustix::fs::syncfs(File::open(dir)?)?;
        return Ok(());
    }
    files.values().try_for_each(|touched| touched.file.sync_data())?;
    if files.values().any(|touched| touched.is_new) {
        File::open(dir)?.sync_all()?;
    }
    Ok(())
}

/// Where the number of the next object stands.
pub(super) fn index_path(dir: &Path) -> PathBuf {
    dir.join("index")
}

/// Replaces the number, so that a crash leaves the old one or the new one.
fn write_index(dir: &Path, next: u64) -> io::Result<()> {
    let path = index_path(dir);
    let new = path.with_extension("new");
    let mut file = File::create(&new)?;
    file.write_all(next.to_string().as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&new, &path)?;
    File::open(dir)?.sync_all()
}
