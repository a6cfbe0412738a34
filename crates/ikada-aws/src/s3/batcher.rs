//! The output: which entry goes into which object, and when an object is cut or complete.
//!
//! One object is open per name, time left aside: one for all tags if the key format has no tag in it. An object is complete when it has
//! `total_file_size` bytes as uploaded, when it is `upload_timeout` old, or when the router stops; and early when too
//! many are open or they take too much memory. A large object is cut into parts on the way, so that memory holds one
//! part of it and not the whole.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use ikada_plugin::{Batch, Output, Routed};
use ikada_record::{Chunk, DropReason, Share, Tag, Timestamp};
use rand::distr::{Alphanumeric, SampleString};
use tokio::time::Instant;
use tracing::warn;

use super::compress::Method;
use super::encode::Encoder;
use super::key::{KeyFormat, Mark};
use super::object::Object;
use super::store::ObjectStore;
use super::upload::{Upload, Uploads};
use crate::seldom::Seldom;

/// Lines that are handed to an object at once: enough for a compressor to run, and within the processor's cache.
const RUN: usize = 64 * 1024;

/// The lane of all objects whose names may be equal: the last one written must be the last one made.
const SHARED_LANE: u64 = 0;

/// What the options come to.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    /// Names of objects.
    pub(crate) keys: KeyFormat,
    /// How objects are compressed.
    pub(crate) method: Method,
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
}

/// Gathers entries into objects.
pub(crate) struct S3Output {
    rules: Rules,
    encoder: Encoder,
    uploads: Arc<Uploads>,
    draw_name: fn() -> String,
    /// Open objects by number, so in the order they were opened.
    open: BTreeMap<u64, Object>,
    groups: HashMap<Box<[u8]>, u64>,
    ready: VecDeque<Batch>,
    ready_bytes: usize,
    /// Memory of open objects.
    open_bytes: usize,
    /// Objects opened so far.
    opened: u64,
    lines: Vec<u8>,
    group: Vec<u8>,
    without_field: Seldom,
    short_tags: Seldom,
}

/// Entries whose lines wait in `lines`.
#[derive(Default)]
struct Run {
    first: Timestamp,
    entries: u32,
}

impl S3Output {
    /// An output without objects.
    pub(crate) fn new(rules: Rules, encoder: Encoder, store: Arc<dyn ObjectStore>) -> Self {
        Self {
            rules,
            encoder,
            uploads: Uploads::new(store),
            draw_name,
            open: BTreeMap::new(),
            groups: HashMap::new(),
            ready: VecDeque::new(),
            ready_bytes: 0,
            open_bytes: 0,
            opened: 0,
            lines: Vec::with_capacity(2 * RUN),
            group: Vec::new(),
            without_field: Seldom::default(),
            short_tags: Seldom::default(),
        }
    }

    fn take(&mut self, chunk: &Chunk, share: &Arc<Share>, now: Instant) {
        let tag = chunk.tag();
        self.group.clear();
        self.rules.keys.write_group(tag.as_bytes(), &mut self.group);
        let mut run = Run::default();
        let mut skipped = 0;
        for entry in chunk.entries() {
            if !self.encoder.write(&entry, &mut self.lines) {
                skipped += 1;
                continue;
            }
            if run.entries == 0 {
                run.first = entry.time();
            }
            run.entries += 1;
            if self.lines.len() >= RUN {
                self.put(tag, share, std::mem::take(&mut run), now);
            }
        }
        if run.entries > 0 {
            self.put(tag, share, run, now);
        }
        if skipped > 0 {
            share.drop_entries(skipped, DropReason::Empty);
            self.tell_skipped(tag, skipped, now);
        }
    }

    /// Moves the lines into the group's object.
    fn put(&mut self, tag: &Tag, share: &Arc<Share>, run: Run, now: Instant) {
        let number = self.object_for(tag, run.first, now);
        let Some(object) = self.open.get_mut(&number) else { return };
        let before = object.memory();
        object.add(&self.lines, share, run.entries);
        self.lines.clear();
        // One huge record must not keep its room for ever.
        self.lines.shrink_to(4 * RUN);

        let is_complete = object.size() >= self.rules.total_size || object.is_out_of_parts();
        let part_size = self.rules.part_size.unwrap_or(usize::MAX);
        let part = (!is_complete && object.unsent() >= part_size).then(|| object.cut_part());
        self.open_bytes = self.open_bytes + object.memory() - before;
        if let Some(part) = part {
            self.push_ready(part);
        }
        if is_complete {
            self.close(number);
        }
    }

    /// The number of the group's open object; a new one if there is none.
    fn object_for(&mut self, tag: &Tag, first: Timestamp, now: Instant) -> u64 {
        if let Some(number) = self.groups.get(self.group.as_slice()).copied() {
            let has_failed = self.open.get(&number).is_some_and(|object| object.upload.has_failed());
            if !has_failed {
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
        let unique = (self.draw_name)();
        let mark = Mark { unique: &unique, index: self.opened };
        let key = self.rules.keys.render(tag.as_bytes(), first, mark);
        self.opened += 1;
        let lane = if self.rules.keys.is_static() { SHARED_LANE } else { self.opened };
        let upload = Upload::new(self.uploads.clone(), key);
        let object = Object::new(lane, now, upload, &self.group, self.rules.method);
        self.open_bytes += object.memory();
        self.groups.insert(self.group.as_slice().into(), self.opened);
        self.open.insert(self.opened, object);
        self.opened
    }

    fn close(&mut self, number: u64) {
        let Some(object) = self.open.remove(&number) else { return };
        self.open_bytes -= object.memory();
        self.groups.remove(&object.group);
        let batch = object.finish();
        self.push_ready(batch);
    }

    fn close_oldest(&mut self) {
        if let Some(number) = self.open.keys().next().copied() {
            self.close(number);
        }
    }

    fn push_ready(&mut self, batch: Batch) {
        self.ready_bytes += batch.bytes;
        self.ready.push_back(batch);
    }

    /// Closes the largest objects until the rest is within bounds.
    fn bound_memory(&mut self) {
        while self.open_bytes > self.rules.max_held {
            let largest = self.open.iter().max_by_key(|(_, object)| object.memory());
            let Some((number, _)) = largest else { return };
            self.close(*number);
        }
    }

    fn close_due(&mut self, now: Instant) {
        while self.due().is_some_and(|due| due <= now) {
            self.close_oldest();
        }
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
        self.bound_memory();
    }

    fn pop(&mut self, now: Instant) -> Option<Batch> {
        self.close_due(now);
        let batch = self.ready.pop_front()?;
        self.ready_bytes -= batch.bytes;
        Some(batch)
    }

    /// Objects wait for `upload_timeout`, however soon their entries are due elsewhere: a second is no object.
    fn due(&self) -> Option<Instant> {
        let (_, oldest) = self.open.first_key_value()?;
        Some(oldest.opened + self.rules.timeout)
    }

    fn close_all(&mut self) {
        while !self.open.is_empty() {
            self.close_oldest();
        }
    }

    fn held(&self) -> usize {
        self.open_bytes + self.ready_bytes
    }
}

/// 8 random letters and digits: one of 2 × 10^14.
fn draw_name() -> String {
    Alphanumeric.sample_string(&mut rand::rng(), 8)
}
