//! How an object with a journal goes up: its bytes are read from the disk, part by part, as often as it takes.
//!
//! ```text
//!  [ part 1 ] [ part 2 ] …     while the object still grows
//!  [ end: PutObject, or the parts that are missing and Complete; then the journal is removed ]
//!  [ left over: an object of an earlier run is ended, and then the same ]
//! ```
//!
//! No entry waits for these batches: they were settled when the journal was synced. Nothing that S3 forgets is lost: an upload
//! it does not know any more is started anew, from the first byte and to the same name. Unfinished uploads that nobody knows of, because
//! their creation was never answered or never noted, are looked for once the object is there, and aborted.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use ikada_plugin::{BoxFuture, Delivery, Outcome, SendError};
use ikada_record::DropReason;
use tracing::{debug, info, warn};

use super::columns;
use super::compress::Method;
use super::journal::{self, Note, Notes, Plain, Range, Replay};
use super::reads::Body;
use super::spool::Journal;
use super::store::outcome_of;
use super::upload::{Uploads, is_refusal};
use crate::client::{Failure, FailureKind};

/// An upload that S3 refuses to complete is started anew so often before the object is given up.
const MOST_STARTS: u32 = 5;

/// An object with a journal, as its batches share it.
pub(crate) struct KeptUpload {
    all: Arc<Uploads>,
    journal: Arc<Journal>,
    key: String,
    state: Mutex<State>,
    /// S3 may hold uploads of this key that nobody has noted.
    may_have_strays: AtomicBool,
    /// A completion was asked for and its answer never came.
    may_be_complete: AtomicBool,
    /// How often S3 refused to complete it.
    refused: AtomicU32,
    /// The object is in the bucket.
    is_there: AtomicBool,
}

#[derive(Default)]
struct State {
    notes: Notes,
    last_error: Option<SendError>,
}

impl KeptUpload {
    /// An object that S3 knows nothing of yet.
    pub(crate) fn new(all: Arc<Uploads>, journal: Arc<Journal>, key: String) -> Arc<Self> {
        Arc::new(Self::with_notes(all, journal, key, Notes::default(), false))
    }

    fn with_notes(
        all: Arc<Uploads>,
        journal: Arc<Journal>,
        key: String,
        notes: Notes,
        is_left_over: bool,
    ) -> Self {
        Self {
            all,
            journal,
            key,
            state: Mutex::new(State { notes, last_error: None }),
            may_have_strays: AtomicBool::new(is_left_over),
            may_be_complete: AtomicBool::new(is_left_over),
            refused: AtomicU32::new(0),
            is_there: AtomicBool::new(false),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The delivery of this object, which is `len` bytes of lines in its journal so far.
    pub(crate) fn of_lines(&self, len: u64) -> LeftOver {
        LeftOver { all: self.all.clone(), journal: self.journal.clone(), is_new: true, len, end: None }
    }

    /// Writes down what S3 said. That it could not be written costs work after a crash, nothing else.
    async fn note(self: &Arc<Self>, note: OwnedNote) {
        let path = self.journal.notes();
        let written = blocking(move || match &note {
            OwnedNote::Created(id) => journal::add_note(&path, Note::Created(id)),
            OwnedNote::Taken(part) => journal::add_note(&path, Note::Taken(part)),
            OwnedNote::Forgotten => journal::add_note(&path, Note::Forgotten),
        });
        if let Err(error) = written.await {
            debug!(key = %self.key, "a note on the upload could not be written: {error}");
        }
    }

    /// The object's bytes in a stretch of the journal.
    async fn read(&self, range: Range) -> Result<Body, Failure> {
        self.journal.until_safe(range.end).await;
        let mut room = self.all.reads.room(range.end - range.start).await;
        let path = self.journal.path.clone();
        let body = blocking(move || {
            journal::read_range(&path, range, &mut room.buffer)?;
            Ok(room.freeze())
        });
        let unreadable = |error: std::io::Error| {
            let cause = SendError::new(format!("{} cannot be read: {error}", self.journal.path.display()));
            let kind = match error.kind() {
                // No later try will find other bytes.
                std::io::ErrorKind::InvalidData | std::io::ErrorKind::NotFound => FailureKind::Invalid,
                _ => FailureKind::Transient,
            };
            Failure { kind, cause, ..Failure::transient("") }
        };
        body.await.map_err(unreadable)
    }

    async fn id(self: &Arc<Self>) -> Result<String, Failure> {
        let known = self.state().notes.id.clone();
        if let Some(id) = known {
            return Ok(id);
        }
        match self.all.store.create(&self.key).await {
            Ok(id) => {
                self.state().notes.id = Some(id.clone());
                self.note(OwnedNote::Created(id.clone())).await;
                Ok(id)
            }
            Err(failure) => {
                if !is_refusal(&failure) {
                    self.may_have_strays.store(true, Relaxed);
                }
                Err(failure)
            }
        }
    }

    fn has_taken(&self, number: i32) -> bool {
        self.state().notes.taken.contains_key(&number)
    }

    async fn put_part(self: &Arc<Self>, number: i32, range: Range) -> Result<(), Failure> {
        if self.has_taken(number) {
            return Ok(());
        }
        let body = self.read(range).await?;
        let id = self.id().await?;
        let part = self.all.store.put_part(&self.key, &id, number, body.bytes.clone()).await?;
        drop(body);
        self.state().notes.taken.insert(number, part.clone());
        self.note(OwnedNote::Taken(part)).await;
        Ok(())
    }

    /// Forgets the upload: it is to be started anew.
    async fn forget(self: &Arc<Self>) {
        self.state().notes = Notes::default();
        self.note(OwnedNote::Forgotten).await;
    }

    /// The outcome of a failure, after everything that can be made right has been.
    async fn outcome_of(self: &Arc<Self>, failure: Failure) -> Outcome {
        self.state().last_error = Some(failure.cause.clone());
        let is_unknown = failure.is("NoSuchUpload");
        if is_unknown || failure.is("InvalidPart") || failure.is("EntityTooSmall") {
            let starts = self.refused.fetch_add(1, Relaxed);
            if !is_unknown {
                self.may_have_strays.store(true, Relaxed);
            }
            self.forget().await;
            if starts < MOST_STARTS {
                return Outcome::Retry { after: failure.after, cause: failure.cause };
            }
        }
        // What is on the disk cannot be read: that is no matter of the bucket.
        if failure.kind == FailureKind::Invalid && failure.cause.status.is_none() {
            return Outcome::Rejected { reason: DropReason::Malformed, cause: failure.cause };
        }
        outcome_of(failure)
    }

    async fn put_all(self: &Arc<Self>, parts: &[Range]) -> Result<(), Failure> {
        let has_upload = self.state().notes.id.is_some();
        if let ([whole], false) = (parts, has_upload) {
            let body = self.read(*whole).await?;
            return self.all.store.put(&self.key, body.bytes.clone()).await;
        }
        if self.may_be_complete.load(Relaxed) && self.is_complete(parts).await? {
            return Ok(());
        }
        for (number, range) in (1..).zip(parts) {
            self.put_part(number, *range).await?;
        }
        let id = self.id().await?;
        let taken: Vec<_> = self.state().notes.taken.values().cloned().collect();
        let Err(failure) = self.all.store.complete(&self.key, &id, &taken).await else { return Ok(()) };
        if !is_refusal(&failure) {
            self.may_be_complete.store(true, Relaxed);
        }
        Err(failure)
    }

    /// Whether an upload whose completion was never answered has become the object.
    async fn is_complete(&self, parts: &[Range]) -> Result<bool, Failure> {
        let size: u64 = parts.iter().map(|range| range.bytes).sum();
        match self.all.store.look(&self.key).await {
            Ok(found) => Ok(found.is_some_and(|found| found.size == size)),
            // Who writes objects is often not allowed to look at them; completing or writing them again does no harm.
            Err(failure) if failure.kind == FailureKind::Denied => Ok(false),
            Err(failure) => Err(failure),
        }
    }

    /// Aborts what else S3 holds under this key.
    async fn clear_strays(&self) -> Result<(), Failure> {
        if !self.may_have_strays.load(Relaxed) {
            return Ok(());
        }
        match self.all.abort_strays(&self.key).await {
            Err(failure) if matches!(failure.kind, FailureKind::Transient | FailureKind::Throttled) => {
                return Err(failure);
            }
            Err(failure) => {
                let cause = failure.cause;
                warn!(key = %self.key, "unfinished uploads could not be looked for, leave them to a lifecycle rule: {cause}");
            }
            Ok(()) => {}
        }
        self.may_have_strays.store(false, Relaxed);
        Ok(())
    }

    async fn finish(self: &Arc<Self>, parts: &[Range]) -> Outcome {
        if !self.is_there.load(Relaxed) {
            if let Err(failure) = self.put_all(parts).await {
                return self.outcome_of(failure).await;
            }
            self.is_there.store(true, Relaxed);
        }
        if let Err(failure) = self.clear_strays().await {
            return Outcome::Retry { after: failure.after, cause: failure.cause };
        }
        let journal = self.journal.clone();
        let removed = blocking(move || {
            journal.remove();
            Ok(())
        });
        drop(removed.await);
        let bytes: u64 = parts.iter().map(|range| range.bytes).sum();
        debug!(key = %self.key, bytes, parts = parts.len(), "object uploaded");
        self.all.tidy().await;
        Outcome::Delivered
    }

    /// What becomes of an object that nobody delivers any more.
    fn let_go(&self) {
        if self.journal.is_draining() {
            return;
        }
        if self.is_there.load(Relaxed) || self.state().last_error.is_some() {
            self.journal.give_up();
        }
    }
}

enum OwnedNote {
    Created(String),
    Taken(super::store::TakenPart),
    Forgotten,
}

/// Does what blocks on a thread for that.
async fn blocking<T: Send + 'static>(
    run: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> std::io::Result<T> {
    tokio::task::spawn_blocking(run).await.unwrap_or_else(|error| Err(std::io::Error::other(error)))
}

/// Sends one part ahead of the object's end. That it was given up does no harm: the end sends what is missing.
pub(crate) struct KeptPart {
    upload: Arc<KeptUpload>,
    number: i32,
    range: Range,
}

impl KeptPart {
    /// Part `number`, from 1 on.
    pub(crate) fn new(upload: Arc<KeptUpload>, number: i32, range: Range) -> Self {
        Self { upload, number, range }
    }

    async fn send(&mut self) -> Outcome {
        match self.upload.put_part(self.number, self.range).await {
            Ok(()) => Outcome::Delivered,
            Err(failure) => self.upload.outcome_of(failure).await,
        }
    }
}

impl Delivery for KeptPart {
    fn attempt(&mut self) -> BoxFuture<'_, Outcome> {
        Box::pin(self.send())
    }
}

/// Sends the end of an object, or the whole of it.
pub(crate) struct KeptEnd {
    upload: Arc<KeptUpload>,
    parts: Vec<Range>,
    /// Bytes of the whole journal.
    len: u64,
    is_done: bool,
}

impl KeptEnd {
    /// The end of an object of these parts.
    pub(crate) fn new(upload: Arc<KeptUpload>, parts: Vec<Range>, len: u64) -> Self {
        Self { upload, parts, len, is_done: false }
    }

    async fn send(&mut self) -> Outcome {
        // Nobody writes to the journal any more once it is removed.
        self.upload.journal.until_safe(self.len).await;
        let outcome = self.upload.finish(&self.parts).await;
        self.is_done = matches!(outcome, Outcome::Delivered);
        outcome
    }
}

impl Delivery for KeptEnd {
    fn attempt(&mut self) -> BoxFuture<'_, Outcome> {
        Box::pin(self.send())
    }
}

impl Drop for KeptEnd {
    fn drop(&mut self) {
        if !self.is_done {
            self.upload.let_go();
        }
    }
}

/// Ends an object of an earlier run, or one that columns are made of, and sends it.
pub(crate) struct LeftOver {
    all: Arc<Uploads>,
    journal: Arc<Journal>,
    /// It is an object of this run.
    is_new: bool,
    /// Bytes of the journal that must be on the disk before.
    len: u64,
    /// Once the journal has been read.
    end: Option<KeptEnd>,
}

impl LeftOver {
    /// The object of a journal that was found.
    pub(crate) fn new(all: Arc<Uploads>, journal: Arc<Journal>) -> Self {
        Self { all, journal, is_new: false, len: 0, end: None }
    }

    async fn send(&mut self) -> Outcome {
        if self.end.is_none() {
            self.journal.until_safe(self.len).await;
            let room = self.all.reads.room(self.journal.size()).await;
            let journal = self.journal.clone();
            let all = self.all.clone();
            let read = blocking(move || mend(&journal, &all.columns)).await;
            drop(room);
            match read {
                Ok(Some((replay, notes))) => self.end = Some(self.end_of(replay, notes)),
                // It held nothing that anybody was told is safe.
                Ok(None) => return Outcome::Delivered,
                Err(error) => {
                    let path = self.journal.path.display();
                    let cause = SendError::new(format!("{path} cannot be read: {error}"));
                    return Outcome::Retry { after: None, cause };
                }
            }
        }
        match &mut self.end {
            Some(end) => end.send().await,
            None => Outcome::Delivered,
        }
    }

    fn end_of(&self, replay: Replay, notes: Notes) -> KeptEnd {
        let key = replay.head.key;
        let uploads_parts = replay.head.part_size.is_some() && !replay.ranges.full.is_empty();
        if !self.is_new {
            info!(key, records = replay.entries, "an object of an earlier run is completed");
        }
        let is_left_over = uploads_parts || notes.id.is_some();
        let upload = KeptUpload::with_notes(self.all.clone(), self.journal.clone(), key, notes, is_left_over);
        KeptEnd::new(Arc::new(upload), replay.ranges.all(), 0)
    }
}

impl Delivery for LeftOver {
    fn attempt(&mut self) -> BoxFuture<'_, Outcome> {
        Box::pin(self.send())
    }
}

/// Reads a journal and ends its object if nobody has; one that holds nothing is removed. Blocks.
fn mend(journal: &Journal, shape: &columns::Shape) -> std::io::Result<Option<(Replay, Notes)>> {
    let replay = journal::replay(&journal.path)?;
    let len = std::fs::metadata(&journal.path)?.len();
    if let Some(cut) = replay.as_ref().map(|replay| len - replay.valid).filter(|cut| *cut > 0) {
        // Mostly what was being written when the process ended, and nobody was told of.
        warn!("{}: the last {cut} bytes are torn and do not count", journal.path.display());
    }
    let Some(mut replay) = replay.filter(|replay| replay.entries > 0) else {
        journal.remove();
        return Ok(None);
    };
    let notes = journal::read_notes(&journal.notes())?;
    if replay.is_ended {
        return Ok(Some((replay, notes)));
    }
    let mut missing = Vec::new();
    let mut add = |plain: Plain, body: &[u8]| {
        let before = missing.len();
        journal::write_body(0, plain, body, &mut missing);
        replay.ranges.add((missing.len() - before) as u64, body.len() as u64);
    };
    if replay.lines.is_empty() {
        let mut body = Vec::new();
        replay.head.method.write_end(replay.plain.crc, replay.plain.len, &mut body);
        if !body.is_empty() {
            add(replay.plain, &body);
        }
    } else if replay.head.method.is_columnar() {
        let lines = std::mem::take(&mut replay.lines);
        let plain = Plain::default().and(&lines);
        let body = columns::write(&Bytes::from(lines), shape)?;
        add(plain, &body);
    } else {
        let (plain, body) = pack(replay.head.method, &replay.lines);
        add(plain, &body);
    }
    journal::write_end(&mut missing);
    journal.repair(replay.valid, &missing)?;
    Ok(Some((replay, notes)))
}

/// An object of lines that no compressor has seen: the same bytes in every run.
pub(crate) fn pack(method: Method, lines: &[u8]) -> (Plain, Vec<u8>) {
    let plain = Plain::default().and(lines);
    let mut body = Vec::new();
    match method.start() {
        None => body.extend_from_slice(lines),
        Some(mut stream) => {
            stream.write(lines, &mut body);
            stream.flush(&mut body);
            method.write_end(plain.crc, plain.len, &mut body);
        }
    }
    (plain, body)
}
