//! The folder of objects under way: one journal for each, a lock, and the number of the next object.
//!
//! ```text
//!  store_dir/bucket/s3.0/            the output's alias or name
//!    lock                            held by the process that uses the folder
//!    index                           the next `$INDEX`
//!    0000000000000007.journal        an object
//!    0000000000000007.upload         what S3 has of it so far
//!    quarantine/…                    objects that were given up; a start tries them again
//! ```
//!
//! Two outputs never share a folder. Two processes that are given the same one do not either: the second takes `s3.0-2`.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use tokio::sync::watch;
use tracing::{error, warn};

use super::disk::{Disk, Work, index_path};

/// So many processes may be given the same `store_dir`.
const MOST_PROCESSES: usize = 64;
/// Share of the free disk that objects may take where no limit is given.
const FREE_SHARE: (u64, u64) = (4, 5);

/// Why a folder cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot {doing} {}", path.display())]
pub(crate) struct SpoolError {
    doing: &'static str,
    path: PathBuf,
    #[source]
    pub(crate) source: io::Error,
}

impl SpoolError {
    fn new(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self { doing, path, source }
    }
}

/// What the options say of the folder.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SpoolRules {
    /// Bytes that journals may take.
    pub(crate) limit: Option<u64>,
    /// Objects that were given up are kept.
    pub(crate) keeps_exhausted: bool,
    /// Bytes of them that are kept.
    pub(crate) quarantine_limit: Option<u64>,
}

/// The journal of an earlier run.
pub(crate) type Found = Arc<Journal>;

/// The folder.
pub(crate) struct Spool {
    dir: PathBuf,
    rules: SpoolRules,
    limit: u64,
    /// Bytes of journals.
    size: Arc<AtomicU64>,
    quarantined: AtomicU64,
    next_number: AtomicU64,
    next_index: AtomicU64,
    is_draining: AtomicBool,
    disk: Disk,
    _lock: File,
}

/// One journal in the folder.
pub(crate) struct Journal {
    pub(crate) number: u64,
    pub(crate) path: PathBuf,
    spool: Arc<Spool>,
    /// Bytes that are on the disk for good.
    safe: watch::Sender<u64>,
    /// Bytes counted in the folder's size.
    size: AtomicU64,
}

impl Spool {
    /// Opens the folder of one output, and what earlier runs left there, oldest first.
    ///
    /// # Errors
    /// The folder cannot be made, locked, read or written.
    pub(crate) fn open(
        base: &Path,
        name: &str,
        rules: SpoolRules,
    ) -> Result<(Arc<Self>, Vec<Found>), SpoolError> {
        let (dir, lock) = lock_one(base, &file_name(name))?;
        let quarantine = dir.join("quarantine");
        fs::create_dir_all(&quarantine).map_err(SpoolError::new("make", &quarantine))?;
        bring_back(&quarantine, &dir);
        let found = list(&dir).map_err(SpoolError::new("read", &dir))?;
        let size = found.iter().map(|(_, size)| size).sum();
        let next_index = fs::read_to_string(index_path(&dir)).ok().and_then(|text| text.trim().parse().ok());
        let disk = Disk::start(&dir).map_err(SpoolError::new("start a thread for", &dir))?;
        let spool = Arc::new(Self {
            limit: rules.limit.unwrap_or_else(|| free_share(&dir).saturating_add(size)),
            rules,
            size: Arc::new(AtomicU64::new(size)),
            quarantined: AtomicU64::new(0),
            next_number: AtomicU64::new(found.last().map_or(0, |(number, _)| number + 1)),
            next_index: AtomicU64::new(next_index.unwrap_or(0)),
            is_draining: AtomicBool::new(false),
            disk,
            dir,
            _lock: lock,
        });
        let found = found.into_iter().map(|(number, size)| spool.journal(number, size)).collect();
        Ok((spool, found))
    }

    fn journal(self: &Arc<Self>, number: u64, size: u64) -> Arc<Journal> {
        Arc::new(Journal {
            number,
            path: self.dir.join(format!("{number:016}.journal")),
            spool: self.clone(),
            safe: watch::Sender::new(size),
            size: AtomicU64::new(size),
        })
    }

    /// A journal for a new object. Nothing is on the disk yet.
    pub(crate) fn create(self: &Arc<Self>) -> Arc<Journal> {
        let number = self.next_number.fetch_add(1, Relaxed);
        self.journal(number, 0)
    }

    /// The number of the next object, which never comes again once anything of that object is on the disk.
    pub(crate) fn draw_index(&self) -> u64 {
        let index = self.next_index.fetch_add(1, Relaxed);
        self.disk.push(Work::Index(index + 1));
        index
    }

    /// The thread that writes.
    pub(crate) fn disk(&self) -> &Disk {
        &self.disk
    }

    /// Bytes of journals.
    pub(crate) fn size(&self) -> u64 {
        self.size.load(Relaxed)
    }

    /// Whether journals take, or will soon take, what they may.
    pub(crate) fn is_full(&self) -> bool {
        self.size() + self.disk.pending() as u64 >= self.limit
    }

    /// The router stops: what is let go from now on is not given up, but left to the next start.
    pub(crate) fn drain(&self) {
        self.is_draining.store(true, Relaxed);
    }

    /// Whether the router stops.
    pub(crate) fn is_draining(&self) -> bool {
        self.is_draining.load(Relaxed)
    }
}

impl Journal {
    /// Where the notes on its upload are.
    pub(crate) fn notes(&self) -> PathBuf {
        self.path.with_extension("upload")
    }

    /// So many more bytes are on the disk for good.
    pub(super) fn is_safe(&self, bytes: u64) {
        self.size.fetch_add(bytes, Relaxed);
        self.spool.size.fetch_add(bytes, Relaxed);
        self.safe.send_modify(|safe| *safe += bytes);
    }

    /// Waits until the first `len` bytes are on the disk for good.
    pub(crate) async fn until_safe(&self, len: u64) {
        let mut safe = self.safe.subscribe();
        // The sender lives as long as this journal.
        drop(safe.wait_for(|safe| *safe >= len).await);
    }

    /// Cuts off what does not count, and adds what was missing. Blocks.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn repair(&self, valid: u64, missing: &[u8]) -> io::Result<()> {
        let mut file = OpenOptions::new().append(true).open(&self.path)?;
        file.set_len(valid)?;
        io::Write::write_all(&mut file, missing)?;
        file.sync_all()?;
        let len = valid + missing.len() as u64;
        let before = self.size.swap(len, Relaxed);
        self.spool.size.fetch_add(len, Relaxed);
        self.spool.size.fetch_sub(before, Relaxed);
        self.safe.send_replace(len);
        Ok(())
    }

    /// Bytes of the journal on the disk.
    pub(crate) fn size(&self) -> u64 {
        self.size.load(Relaxed)
    }

    /// Removes the object from the disk. Blocks.
    pub(crate) fn remove(&self) {
        for path in [&self.path, &self.notes()] {
            if let Err(error) = fs::remove_file(path)
                && error.kind() != io::ErrorKind::NotFound
            {
                warn!("{} cannot be removed, a later start will upload it again: {error}", path.display());
            }
        }
        self.leave();
    }

    /// Its bytes count no more.
    fn leave(&self) {
        self.spool.size.fetch_sub(self.size.swap(0, Relaxed), Relaxed);
    }

    /// Leaves it to the disk's thread to take the object out of the way: it was given up.
    pub(crate) fn give_up(self: &Arc<Self>) {
        self.spool.disk.push(Work::Retire(self.clone()));
    }

    /// Whether the router stops.
    pub(crate) fn is_draining(&self) -> bool {
        self.spool.is_draining()
    }

    /// Takes the object out of the way. Blocks.
    pub(super) fn retire(&self) {
        let size = self.size.load(Relaxed);
        let spool = &self.spool;
        let kept = spool.quarantined.load(Relaxed) + size;
        let has_room = spool.rules.quarantine_limit.is_none_or(|limit| kept <= limit);
        if !spool.rules.keeps_exhausted || !has_room {
            error!("an object that was given up is deleted: {}", self.path.display());
            self.remove();
            return;
        }
        let quarantine = spool.dir.join("quarantine");
        for path in [self.path.clone(), self.notes()] {
            let Some(name) = path.file_name() else { continue };
            if let Err(error) = fs::rename(&path, quarantine.join(name))
                && error.kind() != io::ErrorKind::NotFound
            {
                warn!("{} cannot be moved: {error}", path.display());
            }
        }
        spool.quarantined.fetch_add(size, Relaxed);
        self.leave();
        warn!("an object that was given up is kept for the next start in {}", quarantine.display());
    }
}

/// The first folder of this name that no other process uses.
fn lock_one(base: &Path, name: &str) -> Result<(PathBuf, File), SpoolError> {
    let mut number = 1;
    loop {
        let dir = match number {
            1 => base.join(name),
            _ => base.join(format!("{name}-{number}")),
        };
        fs::create_dir_all(&dir).map_err(SpoolError::new("make", &dir))?;
        let path = dir.join("lock");
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let file = file.map_err(SpoolError::new("write", &path))?;
        match file.try_lock() {
            Ok(()) => return Ok((dir, file)),
            Err(TryLockError::WouldBlock) if number < MOST_PROCESSES => number += 1,
            Err(TryLockError::WouldBlock) => {
                let source = io::Error::new(io::ErrorKind::ResourceBusy, "used by another process");
                return Err(SpoolError { doing: "lock", path, source });
            }
            Err(TryLockError::Error(error)) => return Err(SpoolError::new("lock", &path)(error)),
        }
    }
}

/// A name that is one folder, whatever the alias.
fn file_name(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || ".-_".contains(c) { c } else { '_' };
    let name: String = name.chars().map(plain).collect();
    match name.trim_start_matches('.') {
        "" => "_".to_owned(),
        name => name.to_owned(),
    }
}

/// Moves what was given up back, for one more try.
fn bring_back(quarantine: &Path, dir: &Path) {
    let Ok(entries) = fs::read_dir(quarantine) else { return };
    for entry in entries.flatten() {
        let to = dir.join(entry.file_name());
        if !to.exists()
            && let Err(error) = fs::rename(entry.path(), &to)
        {
            warn!("{} cannot be moved: {error}", entry.path().display());
        }
    }
}

/// Numbers and sizes of the journals, oldest first. Notes without a journal are what a crash left of an object that was done.
fn list(dir: &Path) -> io::Result<Vec<(u64, u64)>> {
    let mut found = Vec::new();
    let mut notes = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some((number, kind)) = name.to_str().and_then(|name| name.split_once('.')) else { continue };
        let Ok(number) = number.parse::<u64>() else { continue };
        match kind {
            "journal" => found.push((number, entry.metadata()?.len())),
            "upload" => notes.push((number, entry.path())),
            _ => {}
        }
    }
    found.sort_unstable();
    for (number, path) in notes {
        if found.binary_search_by_key(&number, |(number, _)| *number).is_err() {
            fs::remove_file(path)?;
        }
    }
    Ok(found)
}

/// What journals may take where nobody says so.
fn free_share(dir: &Path) -> u64 {
    match rustix::fs::statvfs(dir) {
        Ok(disk) => disk.f_bavail.saturating_mul(disk.f_frsize) / FREE_SHARE.1 * FREE_SHARE.0,
        Err(_) => u64::MAX / 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: SpoolRules = SpoolRules { limit: None, keeps_exhausted: true, quarantine_limit: Some(10) };

    fn open(dir: &Path) -> (Arc<Spool>, Vec<Found>) {
        Spool::open(dir, "s3.0", RULES).unwrap()
    }

    fn append(journal: &Arc<Journal>, bytes: &[u8]) {
        let work = Work::Append { journal: journal.clone(), bytes: bytes.to_vec(), parts: Vec::new() };
        journal.spool.disk.push(work);
    }

    fn numbers(found: &[Found]) -> Vec<u64> {
        found.iter().map(|journal| journal.number).collect()
    }

    /// The thread may hold the folder for a moment longer.
    async fn reopen(dir: &Path) -> (Arc<Spool>, Vec<Found>) {
        loop {
            let (spool, found) = open(dir);
            if spool.dir.ends_with("s3.0") {
                return (spool, found);
            }
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn journals_are_found_again_and_numbers_go_on() {
        let dir = tempfile::tempdir().unwrap();
        let (spool, found) = open(dir.path());
        assert!(found.is_empty());
        assert_eq!((spool.draw_index(), spool.draw_index()), (0, 1));
        let journals = [spool.create(), spool.create(), spool.create()];
        for journal in &journals {
            append(journal, b"bytes");
            append(journal, b" more");
            journal.until_safe(10).await;
        }
        assert_eq!(spool.size.load(Relaxed), 30);
        journals[1].remove();
        assert_eq!(spool.size.load(Relaxed), 20);
        fs::write(dir.path().join("s3.0/0000000000000001.upload"), b"").unwrap();
        drop((spool, journals));

        let (spool, found) = reopen(dir.path()).await;
        assert_eq!(numbers(&found), [0, 2]);
        assert_eq!(fs::read(&found[1].path).unwrap(), b"bytes more");
        assert!(!dir.path().join("s3.0/0000000000000001.upload").exists());
        assert_eq!((spool.create().number, spool.draw_index(), spool.size.load(Relaxed)), (3, 2, 20));
    }

    #[tokio::test]
    async fn what_was_given_up_comes_back_at_the_next_start_within_its_bound() {
        let dir = tempfile::tempdir().unwrap();
        let (spool, _) = open(dir.path());
        let journals = [spool.create(), spool.create()];
        for journal in &journals {
            append(journal, b"123456789");
            journal.give_up();
        }
        drop((spool, journals));
        let (spool, found) = reopen(dir.path()).await;
        assert_eq!(numbers(&found), [0], "there was no room for the second");
        assert_eq!(spool.size.load(Relaxed), 9);
    }

    #[test]
    fn no_two_processes_or_outputs_share_a_folder() {
        let dir = tempfile::tempdir().unwrap();
        let (first, _) = open(dir.path());
        let (second, _) = open(dir.path());
        let (other, _) = Spool::open(dir.path(), "../a b", RULES).unwrap();
        let names = [&first, &second, &other].map(|spool| spool.dir.file_name().unwrap().to_owned());
        assert_eq!(names, ["s3.0", "s3.0-2", "_a_b"]);
    }

    #[test]
    fn a_folder_that_cannot_be_is_said_to_be() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let failed = Spool::open(file.path(), "s3.0", RULES).err().unwrap();
        assert!(failed.to_string().starts_with("cannot make "), "{failed}");
    }
}
