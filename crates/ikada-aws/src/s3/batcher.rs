//! The output: which entry goes into which object, and when an object is cut or complete.
//!
//! One object is open per name, the time of day left aside: one for all tags if the key format has no tag in it, one for each day or hour
//! if it has a date or an hour. An object is complete when it has `total_file_size` bytes as uploaded, when it is
//! `upload_timeout` old, or when the router stops; and early when too many are open, or they take too much memory or disk. A
//! large object is cut into parts on the way, so that memory holds one part of it and not the whole.
//!
//! With a `store_dir` memory holds no parts at all: what comes is written to the object's journal within milliseconds, where
//! uploads read it. An outage of S3 then fills the disk, not the memory, and holds up nobody until the disk's share is full.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::{DefaultHasher, Hasher};
use std::sync::Arc;
use std::time::Duration;

use ikada_plugin::{Batch, Output, Routed};
use ikada_record::{Chunk, DropReason, Share, Tag, Timestamp};
use tokio::time::Instant;
use tracing::warn;

use super::columns;
use super::compress::Method;
use super::encode::Encoder;
use super::journal::Head;
use super::kept::{KeptUpload, LeftOver};
use super::key::{KeyFormat, Mark};
use super::load::Load;
use super::names::{Name, Names, push_time};
use super::object::{InMemory, Lines, Object, OnDisk, Place};
use super::pool::Pool;
use super::reads::Reads;
use super::spool::{Found, Spool};
use super::store::ObjectStore;
use super::upload::Uploads;
use super::zone::Period;
use crate::seldom::Seldom;

/// Lines that are handed to an object at once: enough for a compressor to run, and within the processor's cache.
const RUN: usize = 64 * 1024;

/// The lane of all objects whose names may be equal: the last one written must be the last one made.
const SHARED_LANE: u64 = 0;

/// Batches under way at once. Most are small, and a stop has seconds for hundreds of them.
const IN_FLIGHT: usize = 8;

/// The least of what may be ready or on its way before no more chunks are taken, in bytes.
const FULL: usize = 12 * 1024 * 1024;

/// Bytes on their way to the disk from which on no more chunks are taken.
const DISK_FULL: usize = 8 * 1024 * 1024;

/// Bytes of lines that are written to the disk at once, whenever their entries are due.
const WORTH_A_WRITE: usize = 1024 * 1024;

/// The least that bodies may take in memory which are read from the disk for being sent, in bytes.
const READS: usize = 12 * 1024 * 1024;

/// How long the first entry waits for others before it is written to the disk.
const GATHER: Duration = Duration::from_millis(5);

/// What the options come to.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    /// What tells this router and output from others, in every run.
    pub(crate) source: u64,
    /// Where objects go.
    pub(crate) bucket: String,
    /// Names of objects.
    pub(crate) keys: KeyFormat,
    /// How objects are compressed.
    pub(crate) method: Method,
    /// What objects of columns are like.
    pub(crate) columns: columns::Shape,
    /// Bytes, as uploaded, at which an object is complete.
    pub(crate) total_size: u64,
    /// Bytes, as uploaded, at which a part is; `None` where objects go up whole.
    pub(crate) part_size: Option<usize>,
    /// Age at which an object is complete.
    pub(crate) timeout: Duration,
    /// Most objects that are open at once.
    pub(crate) max_open: usize,
    /// Most bytes that open objects take.
    pub(crate) max_held: usize,
    /// Objects of one group are uploaded one after another.
    pub(crate) in_order: bool,
}

impl Rules {
    /// Bytes of bodies, ready or on their way, from which on no more chunks are taken. Where objects go up whole, the next one
    /// may grow while one is on its way.
    fn full(&self) -> usize {
        let two = self.part_size.map_or(self.total_size as usize / 2 * 3, |size| 2 * size);
        FULL.max(two)
    }

    /// Bytes of a buffer that most parts fit in. A part in a journal may be a whole write larger than the size at which it is full.
    fn buffer(&self, is_on_disk: bool) -> usize {
        let beyond = if is_on_disk { WORTH_A_WRITE + WORTH_A_WRITE / 2 } else { 4 * RUN };
        self.part_size.map_or(2 * RUN, |size| size + beyond)
    }
}

/// Gathers entries into objects.
pub(crate) struct S3Output {
    rules: Rules,
    keys: Arc<KeyFormat>,
    encoder: Encoder,
    uploads: Arc<Uploads>,
    spool: Option<Arc<Spool>>,
    names: Names,
    pool: Arc<Pool>,
    load: Arc<Load>,
    /// Open objects by number, so in the order they were opened.
    open: BTreeMap<u64, Object>,
    groups: HashMap<Box<[u8]>, u64>,
    ready: VecDeque<Batch>,
    ready_bytes: usize,
    /// Memory of open objects.
    open_bytes: usize,
    /// Objects opened so far.
    opened: u64,
    /// Objects with entries that the disk has not been given, and when it is to be.
    unwritten: Vec<u64>,
    /// Bytes of their lines.
    unwritten_bytes: usize,
    write_at: Option<Instant>,
    /// When to look at the disk again.
    look_at: Option<Instant>,
    lines: Vec<u8>,
    /// The times of their entries.
    times: Vec<u8>,
    group: Vec<u8>,
    /// Bytes of `group` that stand for the tag.
    tag_len: usize,
    without_field: Seldom,
    short_tags: Seldom,
}

/// Entries whose lines wait in `lines`.
#[derive(Clone, Copy)]
struct Run {
    first: Timestamp,
    entries: u32,
    period: Period,
}

impl S3Output {
    /// An output without objects, except for what an earlier run left on the disk.
    pub(crate) fn new(
        rules: Rules,
        encoder: Encoder,
        store: Arc<dyn ObjectStore>,
        spool: Option<(Arc<Spool>, Vec<Found>)>,
    ) -> Self {
        let pool = Pool::new(rules.buffer(spool.is_some()));
        let reads = Reads::new(READS.max(2 * pool.capacity()) as u64, pool.clone());
        let uploads = Uploads::new(store, reads, rules.columns.clone());
        let (spool, found) = match spool {
            Some((spool, found)) => (Some(spool), found),
            None => (None, Vec::new()),
        };
        let lane = rules.keys.is_static().then_some(SHARED_LANE);
        let left_over = |journal| {
            let delivery = LeftOver::new(uploads.clone(), journal);
            Batch::new(lane, Vec::new(), 0, Box::new(delivery))
        };
        let ready = found.into_iter().map(left_over).collect();
        Self {
            names: Names::new(rules.source),
            keys: Arc::new(rules.keys.clone()),
            rules,
            encoder,
            uploads,
            spool,
            pool,
            load: Arc::default(),
            open: BTreeMap::new(),
            groups: HashMap::new(),
            ready,
            ready_bytes: 0,
            open_bytes: 0,
            opened: 0,
            unwritten: Vec::new(),
            unwritten_bytes: 0,
            write_at: None,
            look_at: None,
            lines: Vec::with_capacity(2 * RUN),
            times: Vec::new(),
            group: Vec::new(),
            tag_len: 0,
            without_field: Seldom::default(),
            short_tags: Seldom::default(),
        }
    }

    fn take(&mut self, chunk: &Chunk, share: &Arc<Share>, now: Instant) {
        let tag = chunk.tag();
        self.group.clear();
        self.rules.keys.write_group(tag.as_bytes(), &mut self.group);
        self.tag_len = self.group.len();
        let mut run: Option<Run> = None;
        let mut skipped = 0;
        for entry in chunk.entries() {
            let time = entry.time();
            if let Some(ended) = run.take_if(|run| !run.period.contains(time)) {
                self.put(tag, share, ended, now);
            }
            if !self.encoder.write(&entry, &mut self.lines) {
                skipped += 1;
                continue;
            }
            let current = run.get_or_insert_with(|| Run {
                first: time,
                entries: 0,
                period: self.rules.keys.period(time),
            });
            current.entries += 1;
            push_time(time, &mut self.times);
            if self.lines.len() >= RUN
                && let Some(full) = run.take()
            {
                self.put(tag, share, full, now);
            }
        }
        if let Some(rest) = run {
            self.put(tag, share, rest, now);
        }
        if skipped > 0 {
            share.drop_entries(skipped, DropReason::Empty);
            self.tell_skipped(tag, skipped, now);
        }
    }

    /// Moves the lines into the group's object.
    fn put(&mut self, tag: &Tag, share: &Arc<Share>, run: Run, now: Instant) {
        self.group.truncate(self.tag_len);
        self.group.extend_from_slice(&run.period.start().to_be_bytes());
        let number = self.object_for(tag, run.first, now);
        let Some(object) = self.open.get_mut(&number) else { return };
        let before = object.memory();
        let (bytes, times) = (&*self.lines, &*self.times);
        object.add(Lines { tag, bytes, times, entries: run.entries, share });
        let added = self.lines.len();
        self.lines.clear();
        self.times.clear();
        // One huge record must not keep its room for ever.
        self.lines.shrink_to(4 * RUN);
        if self.spool.is_some() {
            self.open_bytes = self.open_bytes + object.memory() - before;
            if !self.unwritten.contains(&number) {
                self.unwritten.push(number);
            }
            self.unwritten_bytes += added;
            if self.unwritten_bytes >= WORTH_A_WRITE {
                self.write_all();
            }
            return;
        }
        let is_complete = object.size() >= self.rules.total_size || object.is_out_of_parts();
        let part_size = self.rules.part_size.filter(|_| !is_complete);
        let cut = || object.cut_part(part_size?, &mut self.names);
        let parts: Vec<Batch> = std::iter::from_fn(cut).collect();
        self.open_bytes = self.open_bytes + object.memory() - before;
        parts.into_iter().for_each(|part| self.push_ready(part));
        if is_complete {
            self.close(number);
        }
    }

    /// Hands everything new to the disk, and completes what is full with it.
    fn write_all(&mut self) {
        self.write_at = None;
        self.unwritten_bytes = 0;
        for number in std::mem::take(&mut self.unwritten) {
            let Some(object) = self.open.get_mut(&number) else { continue };
            let before = object.memory();
            let written = object.write();
            self.open_bytes = self.open_bytes + object.memory() - before;
            let is_complete = object.size() >= self.rules.total_size || object.is_out_of_parts();
            if let (Some(spool), Some((work, part))) = (&self.spool, written) {
                spool.disk().push(work);
                // The end takes the last part along.
                if let Some(part) = part.filter(|_| !is_complete) {
                    self.push_ready(part);
                }
            }
            if is_complete {
                self.close(number);
            }
        }
    }

    /// The number of the group's open object; a new one if there is none.
    fn object_for(&mut self, tag: &Tag, first: Timestamp, now: Instant) -> u64 {
        if let Some(number) = self.groups.get(self.group.as_slice()).copied() {
            if !self.open.get(&number).is_some_and(Object::has_failed) {
                return number;
            }
            // Its last batch says what becomes of the entries; nothing is added to what cannot be completed.
            self.close(number);
        }
        while self.open.len() >= self.rules.max_open.max(1) {
            self.close_oldest();
        }
        self.open(tag, first, now)
    }

    fn open(&mut self, tag: &Tag, first: Timestamp, now: Instant) -> u64 {
        if self.rules.keys.misses(tag.as_bytes())
            && let Some(count) = self.short_tags.count(1, now)
        {
            warn!(%tag, count, "the tag has fewer parts than `s3_key_format` asks for");
        }
        let index = match &self.spool {
            Some(spool) if self.rules.keys.has_index() => spool.draw_index(),
            _ => self.opened,
        };
        let name = Name { keys: self.keys.clone(), tag: tag.clone(), first, index };
        self.opened += 1;
        let place = self.place(name);
        let object = Object::new(self.lane(), now, &self.group, self.rules.method, place);
        self.open_bytes += object.memory();
        self.groups.insert(self.group.as_slice().into(), self.opened);
        self.open.insert(self.opened, object);
        self.opened
    }

    fn place(&mut self, name: Name) -> Place {
        let uploads = self.uploads.clone();
        let Some(spool) = &self.spool else {
            return Place::Memory(InMemory::new(uploads, name, self.pool.clone()));
        };
        let key = name.with(self.names.draw());
        let part_size = self.rules.part_size.map(|size| size as u64);
        let head = Head { key: key.clone(), method: self.rules.method, part_size };
        let journal = spool.create();
        Place::Disk(OnDisk::new(KeptUpload::new(uploads, journal.clone(), key), journal, &head))
    }

    /// The lane of a new object of the group.
    fn lane(&self) -> u64 {
        if self.rules.keys.is_static() {
            return SHARED_LANE;
        }
        if !self.rules.in_order {
            return self.opened;
        }
        let mut hasher = DefaultHasher::new();
        hasher.write(&self.group[..self.tag_len]);
        // Two groups in one lane wait for each other; that is all.
        hasher.finish().max(1)
    }

    fn close(&mut self, number: u64) {
        let Some(object) = self.open.remove(&number) else { return };
        self.open_bytes -= object.memory();
        self.groups.remove(&object.group);
        let (works, batch) = object.finish(&mut self.names);
        if let Some(spool) = &self.spool {
            works.into_iter().for_each(|work| spool.disk().push(work));
        }
        self.push_ready(batch);
    }

    fn close_oldest(&mut self) {
        if let Some(number) = self.open.keys().next().copied() {
            self.close(number);
        }
    }

    fn push_ready(&mut self, batch: Batch) {
        self.ready_bytes += self.memory_of(&batch);
        self.ready.push_back(batch);
    }

    /// Bytes that a batch keeps in memory.
    fn memory_of(&self, batch: &Batch) -> usize {
        if self.spool.is_some() { 0 } else { batch.bytes }
    }

    /// Closes the largest objects until the rest is within bounds.
    fn bound_memory(&mut self) {
        while self.open_bytes > self.rules.max_held {
            let largest = self.open.iter().max_by_key(|(_, object)| object.memory());
            let Some((number, _)) = largest else { return };
            self.close(*number);
        }
    }

    /// A disk that is full gets room by uploading what is on it.
    fn bound_disk(&mut self) {
        if self.spool.as_ref().is_some_and(|spool| spool.is_full()) {
            self.close_open();
        }
    }

    fn close_due(&mut self, now: Instant) {
        while self.oldest_due().is_some_and(|due| due <= now) {
            self.close_oldest();
        }
    }

    fn oldest_due(&self) -> Option<Instant> {
        let (_, oldest) = self.open.first_key_value()?;
        Some(oldest.opened + self.rules.timeout)
    }

    fn close_open(&mut self) {
        while !self.open.is_empty() {
            self.close_oldest();
        }
        self.unwritten.clear();
        self.unwritten_bytes = 0;
        self.write_at = None;
    }

    /// Bytes that the disk has yet to write.
    fn pending(&self) -> usize {
        self.spool.as_ref().map_or(0, |spool| spool.disk().pending())
    }

    fn tell_skipped(&mut self, tag: &Tag, skipped: u32, now: Instant) {
        if let Some(count) = self.without_field.count(u64::from(skipped), now) {
            warn!(%tag, count, "records without the field that `log_key` names were dropped");
        }
    }
}

impl Output for S3Output {
    fn push(&mut self, routed: Routed, now: Instant) {
        self.take(&routed.chunk, &routed.share, now);
        if self.write_at.is_none() && !self.unwritten.is_empty() {
            self.write_at = Some(routed.due.max(now) + GATHER);
        }
        self.bound_memory();
        self.bound_disk();
    }

    fn pop(&mut self, now: Instant) -> Option<Batch> {
        if self.write_at.is_some_and(|at| at <= now) {
            self.write_all();
        }
        self.close_due(now);
        self.look_at = (self.pending() > 0).then_some(now + GATHER);
        // With journals nothing is gained by handing out more than can be under way, and the engine would wait with new chunks.
        if self.spool.is_some() && self.load.batches() >= IN_FLIGHT {
            return None;
        }
        let batch = self.ready.pop_front()?;
        let bytes = self.memory_of(&batch);
        self.ready_bytes -= bytes;
        Some(self.load.watch(batch, bytes))
    }

    /// Objects wait for `upload_timeout`, however soon their entries are due elsewhere: a second is no object.
    fn due(&self) -> Option<Instant> {
        [self.oldest_due(), self.write_at, self.look_at].into_iter().flatten().min()
    }

    fn close_all(&mut self) {
        if let Some(spool) = &self.spool {
            spool.drain();
        }
        self.close_open();
    }

    fn held(&self) -> usize {
        self.open_bytes + self.ready_bytes + self.pending() + self.ready.len()
    }

    fn is_full(&self) -> bool {
        match &self.spool {
            None => self.load.bytes() + self.ready_bytes >= self.rules.full(),
            Some(spool) if spool.disk().pending() >= DISK_FULL => true,
            // Only what is being uploaded makes room.
            Some(spool) => spool.is_full() && (self.load.batches() > 0 || !self.ready.is_empty()),
        }
    }

    fn in_flight(&self) -> usize {
        IN_FLIGHT
    }

    fn names(&self, tag: &Tag, now: Timestamp) -> Vec<(&'static str, String)> {
        let key = self.rules.keys.render(tag.as_bytes(), now, Mark { unique: "ABCDEFGH", index: 0 });
        vec![("bucket", self.rules.bucket.clone()), ("key", key)]
    }
}

/// What is left on the disk is said.
impl Drop for S3Output {
    fn drop(&mut self) {
        let Some(spool) = &self.spool else { return };
        let bytes = spool.size() + spool.disk().pending() as u64;
        if bytes > 0 {
            warn!(bytes, "objects that are not uploaded yet wait in `store_dir` for the next start");
        }
    }
}
