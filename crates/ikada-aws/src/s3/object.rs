//! An object under construction: lines in, parts out, or a journal that parts are read from.

use std::sync::Arc;

use bytes::Bytes;
use ikada_plugin::{Batch, Delivery, Part, add_part};
use ikada_record::{Share, Tag};
use tokio::time::Instant;

use super::compress::{Method, Stream};
use super::disk::Work;
use super::journal::{self, Head, Plain, Ranges};
use super::kept::{KeptEnd, KeptPart, KeptUpload, pack};
use super::names::{Beginning, Fingerprint, Name, Names};
use super::pool::Pool;
use super::spool::Journal;
use super::upload::{LastDelivery, PartDelivery, Upload, Uploads};
use super::whole::WholeDelivery;

/// Bytes of lines that wait uncompressed until a compressor is worth its memory. Among a thousand tags most objects
/// never get that far before they are due.
const WORTH_A_STREAM: usize = 256 * 1024;

/// Bytes of a body that are worth a buffer for a whole part.
const WORTH_A_BUFFER: usize = 512 * 1024;

/// Most parts of an object (Amazon S3, "Multipart upload limits"); the last one is kept for the end.
const MAX_PARTS: usize = 9_999;

/// Lines of one tag that stand for entries of one share.
#[derive(Clone, Copy)]
pub(crate) struct Lines<'a> {
    pub(crate) tag: &'a Tag,
    pub(crate) bytes: &'a [u8],
    /// The entries' times, as names are made of them.
    pub(crate) times: &'a [u8],
    pub(crate) entries: u32,
    pub(crate) share: &'a Arc<Share>,
}

/// An object under construction.
pub(crate) struct Object {
    /// Batches of an object go one after another in this lane.
    lane: u64,
    /// When its first line came.
    pub(crate) opened: Instant,
    /// The key of the group it belongs to.
    pub(crate) group: Box<[u8]>,
    content: Content,
    /// Entries that nobody has been told of.
    shares: Vec<Part>,
    place: Place,
}

/// Lines on their way to bytes.
struct Content {
    method: Method,
    /// Lines that wait for the stream to be started.
    waiting: Vec<u8>,
    stream: Option<Stream>,
    /// Bytes that no part or journal has taken along yet.
    body: Vec<u8>,
}

/// Where the bytes are until S3 has them.
pub(crate) enum Place {
    /// In memory.
    Memory(InMemory),
    /// On the disk.
    Disk(OnDisk),
}

/// An object whose bytes are in memory until S3 has them.
pub(crate) struct InMemory {
    all: Arc<Uploads>,
    name: Name,
    /// What the name of a whole object is made of.
    entries: Box<Fingerprint>,
    /// What the name of one in parts is made of.
    beginning: Box<Beginning>,
    /// Once a part has gone ahead of the rest.
    upload: Option<Arc<Upload>>,
    pool: Arc<Pool>,
    /// Bytes in parts.
    in_parts: u64,
    parts: usize,
}

/// An object whose bytes are in a journal until S3 has them.
pub(crate) struct OnDisk {
    upload: Arc<KeptUpload>,
    journal: Arc<Journal>,
    ranges: Ranges,
    /// What the journal starts with, until it has been written.
    head: Vec<u8>,
    plain: Plain,
    /// Bytes of waiting lines that are in the journal.
    written: usize,
    /// Bytes of lines that are in the journal and no longer in memory.
    lines: u64,
    /// Entries since the last frame.
    new_entries: u32,
    entries: u32,
}

impl InMemory {
    /// An object without bytes.
    pub(crate) fn new(all: Arc<Uploads>, name: Name, pool: Arc<Pool>) -> Self {
        let entries = Box::new(Fingerprint::new());
        let beginning = Box::new(Beginning::new());
        Self { all, name, entries, beginning, upload: None, pool, in_parts: 0, parts: 0 }
    }

    fn add(&mut self, lines: Lines<'_>) {
        if self.upload.is_none() && !self.name.overwrites() {
            self.entries.add(lines.tag, lines.times, lines.bytes);
            self.beginning.add(lines.tag, lines.times, lines.bytes);
        }
    }

    /// The upload in parts, which there is from the first one on.
    fn upload(&mut self, names: &mut Names) -> Arc<Upload> {
        let make = || {
            let (unique, spare) = (names.of_beginning(&self.beginning), names.draw());
            Upload::new(self.all.clone(), self.name.clone(), unique, spare)
        };
        self.upload.get_or_insert_with(make).clone()
    }
}

impl OnDisk {
    /// An object without bytes.
    pub(crate) fn new(upload: Arc<KeptUpload>, journal: Arc<Journal>, head: &Head) -> Self {
        let mut start = Vec::new();
        journal::write_head(head, &mut start);
        let ranges = Ranges::new(head.part_size, start.len() as u64);
        let plain = Plain::default();
        Self { upload, journal, ranges, head: start, plain, written: 0, lines: 0, new_entries: 0, entries: 0 }
    }
}

impl Object {
    /// An object without lines.
    pub(crate) fn new(lane: u64, opened: Instant, group: &[u8], method: Method, place: Place) -> Self {
        let content = Content { method, waiting: Vec::new(), stream: None, body: Vec::new() };
        Self { lane, opened, group: group.into(), content, shares: Vec::new(), place }
    }

    /// Adds lines.
    pub(crate) fn add(&mut self, lines: Lines<'_>) {
        add_part(&mut self.shares, lines.share, lines.entries);
        let pool = match &mut self.place {
            Place::Memory(place) => {
                place.add(lines);
                Some(&*place.pool)
            }
            Place::Disk(place) => {
                place.plain = place.plain.and(lines.bytes);
                place.new_entries += lines.entries;
                place.entries = place.entries.saturating_add(lines.entries);
                None
            }
        };
        self.content.add(lines.bytes, pool);
    }

    /// Whether S3 will never take the object.
    pub(crate) fn has_failed(&self) -> bool {
        match &self.place {
            Place::Memory(place) => place.upload.as_ref().is_some_and(|upload| upload.has_failed()),
            Place::Disk(_) => false,
        }
    }

    /// Bytes to upload so far, or of lines where columns are made of them. What the compressor still holds back is not among them.
    pub(crate) fn size(&self) -> u64 {
        let before = match &self.place {
            Place::Memory(place) => place.in_parts,
            Place::Disk(place) => place.ranges.bytes() + place.lines,
        };
        let lines = if self.content.method.is_columnar() { self.content.waiting.len() } else { 0 };
        before + (self.content.body.len() + lines) as u64
    }

    /// Whether no further part may be cut off before the last one.
    pub(crate) fn is_out_of_parts(&self) -> bool {
        match &self.place {
            Place::Memory(place) => place.parts >= MAX_PARTS,
            Place::Disk(place) => place.ranges.full.len() >= MAX_PARTS,
        }
    }

    /// Memory in bytes that the object takes.
    pub(crate) fn memory(&self) -> usize {
        self.content.memory() + self.shares.capacity() * size_of::<Part>() + size_of::<Self>()
    }

    /// Cuts a part off that is not the last, if there is enough for one: in memory only.
    pub(crate) fn cut_part(&mut self, part_size: usize, names: &mut Names) -> Option<Batch> {
        let Place::Memory(place) = &mut self.place else { return None };
        if self.content.body.len() < part_size || place.parts >= MAX_PARTS {
            return None;
        }
        // All parts but the last are of one size: the same bytes are the same parts then, whatever they came in.
        let rest = self.content.body.split_off(part_size);
        let body = place.pool.freeze(std::mem::replace(&mut self.content.body, rest));
        place.parts += 1;
        place.in_parts += body.len() as u64;
        let bytes = body.len();
        let delivery = PartDelivery::new(place.upload(names), place.parts as i32, body);
        Some(Batch::new(Some(self.lane), Vec::new(), bytes, Box::new(delivery)))
    }

    /// Brings what came since the last time into the journal: what to write, and the part that is full with it.
    pub(crate) fn write(&mut self) -> Option<(Work, Option<Batch>)> {
        let Place::Disk(place) = &mut self.place else { return None };
        if place.new_entries == 0 {
            return None;
        }
        let mut frame = std::mem::take(&mut place.head);
        let start = frame.len() as u64;
        let body_len = self.content.write(place, &mut frame);
        let full = place.ranges.add(frame.len() as u64 - start, body_len);
        let part = full.map(|range| {
            let number = place.ranges.full.len() as i32;
            let delivery = KeptPart::new(place.upload.clone(), number, range);
            let mut batch = Batch::new(Some(self.lane), Vec::new(), 0, Box::new(delivery));
            batch.bytes = range.bytes as usize;
            batch
        });
        let parts = std::mem::take(&mut self.shares);
        let work = Work::Append { journal: place.journal.clone(), bytes: frame, parts };
        Some((work, part))
    }

    /// Ends the object: its last part, or the whole of it, and what is to be written before.
    pub(crate) fn finish(self, names: &mut Names) -> (Vec<Work>, Batch) {
        let lane = Some(self.lane);
        match self.place {
            Place::Memory(place) => (Vec::new(), place.finish(self.content, lane, self.shares, names)),
            Place::Disk(place) => place.finish(self.content, lane, self.shares),
        }
    }
}

impl InMemory {
    fn finish(self, content: Content, lane: Option<u64>, shares: Vec<Part>, names: &mut Names) -> Batch {
        if content.method.is_columnar() {
            let lines = Bytes::from(content.waiting);
            let (bytes, unique) = (lines.len(), names.of(&self.entries));
            let delivery = WholeDelivery::of_lines(self.all, self.name, unique, lines);
            return Batch::new(lane, shares, bytes, Box::new(delivery));
        }
        let body = content.finish();
        let body = if body.len() < WORTH_A_BUFFER { Bytes::from(body) } else { self.pool.freeze(body) };
        let bytes = body.len();
        let delivery: Box<dyn Delivery> = match self.upload {
            Some(upload) => {
                let size = self.in_parts + bytes as u64;
                Box::new(LastDelivery::new(upload, body, size, self.parts as i32))
            }
            None => {
                let unique = names.of(&self.entries);
                Box::new(WholeDelivery::new(self.all, self.name, unique, body))
            }
        };
        Batch::new(lane, shares, bytes, delivery)
    }
}

impl OnDisk {
    fn finish(mut self, content: Content, lane: Option<u64>, parts: Vec<Part>) -> (Vec<Work>, Batch) {
        if content.method.is_columnar() {
            return self.finish_lines(&content.waiting, lane, parts);
        }
        let mut frame = std::mem::take(&mut self.head);
        let start = frame.len();
        let (plain, body) = content.finish_on_disk(self.plain);
        if !body.is_empty() {
            journal::write_body(self.new_entries, plain, &body, &mut frame);
            self.ranges.add((frame.len() - start) as u64, body.len() as u64);
        }
        let body_end = frame.len();
        journal::write_end(&mut frame);
        let len = self.ranges.open.end + (frame.len() - body_end) as u64;
        let work = Work::Append { journal: self.journal, bytes: frame, parts };
        let ranges = self.ranges.all();
        let bytes = ranges.last().map_or(0, |range| range.bytes as usize);
        let mut batch = Batch::new(lane, Vec::new(), bytes, Box::new(KeptEnd::new(self.upload, ranges, len)));
        // They are settled with the journal; this is for the counters of what was delivered.
        batch.entries = self.entries;
        (vec![work], batch)
    }

    /// Ends an object that columns are made of: whoever sends it does that, from the journal.
    fn finish_lines(mut self, lines: &[u8], lane: Option<u64>, parts: Vec<Part>) -> (Vec<Work>, Batch) {
        let mut frame = std::mem::take(&mut self.head);
        let start = frame.len();
        if self.new_entries > 0 {
            journal::write_lines(self.new_entries, lines, &mut frame);
        }
        self.ranges.add((frame.len() - start) as u64, 0);
        let bytes = self.lines as usize + lines.len();
        let delivery = self.upload.of_lines(self.ranges.open.end);
        let work = Work::Append { journal: self.journal, bytes: frame, parts };
        let mut batch = Batch::new(lane, Vec::new(), bytes, Box::new(delivery));
        batch.entries = self.entries;
        (vec![work], batch)
    }
}

impl Content {
    fn add(&mut self, lines: &[u8], pool: Option<&Pool>) {
        if self.method == Method::None {
            self.body.extend_from_slice(lines);
        } else if let Some(stream) = &mut self.stream {
            stream.write(lines, &mut self.body);
        } else {
            self.waiting.extend_from_slice(lines);
            if self.waiting.len() >= WORTH_A_STREAM && !self.method.is_columnar() {
                self.start_stream();
            }
        }
        if let Some(pool) = pool {
            self.widen(pool);
        }
    }

    /// A body that grows gets the room of a whole part at once.
    fn widen(&mut self, pool: &Pool) {
        if self.body.len() < WORTH_A_BUFFER || self.body.capacity() >= pool.capacity() {
            return;
        }
        let mut wide = pool.get();
        wide.extend_from_slice(&self.body);
        self.body = wide;
    }

    fn start_stream(&mut self) {
        let waiting = std::mem::take(&mut self.waiting);
        let Some(mut stream) = self.method.start() else { return };
        stream.write(&waiting, &mut self.body);
        self.stream = Some(stream);
    }

    fn memory(&self) -> usize {
        let stream = if self.stream.is_some() { self.method.memory() } else { 0 };
        self.waiting.capacity() + self.body.capacity() + stream
    }

    /// All bytes that are left.
    fn finish(mut self) -> Vec<u8> {
        if self.stream.is_none() && self.method != Method::None {
            self.start_stream();
        }
        if let Some(stream) = self.stream.take() {
            stream.finish(&mut self.body);
        }
        self.body
    }

    /// Writes the next frame; the bytes of the object in it.
    fn write(&mut self, place: &mut OnDisk, frame: &mut Vec<u8>) -> u64 {
        let entries = std::mem::take(&mut place.new_entries);
        if self.stream.is_none() && self.method != Method::None {
            journal::write_lines(entries, &self.waiting[place.written..], frame);
            place.written = self.waiting.len();
            if self.method.is_columnar() {
                place.lines += std::mem::take(&mut place.written) as u64;
                self.waiting.clear();
                self.waiting.shrink_to(WORTH_A_STREAM);
            }
            return 0;
        }
        if let Some(stream) = &mut self.stream {
            stream.flush(&mut self.body);
        }
        journal::write_body(entries, place.plain, &self.body, frame);
        let len = self.body.len() as u64;
        self.body.clear();
        // One burst must not keep its room for ever.
        self.body.shrink_to(WORTH_A_STREAM);
        len
    }

    /// The bytes that the journal lacks. The same come out when a later run ends the object.
    fn finish_on_disk(mut self, plain: Plain) -> (Plain, Vec<u8>) {
        if self.method != Method::None && self.stream.is_none() {
            return pack(self.method, &self.waiting);
        }
        if let Some(stream) = &mut self.stream {
            stream.flush(&mut self.body);
            self.method.write_end(plain.crc, plain.len, &mut self.body);
        }
        (plain, self.body)
    }
}
