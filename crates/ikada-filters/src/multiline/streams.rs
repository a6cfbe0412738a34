//! Streams of lines, each with its joiner.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::RandomState;
use ikada_msgpack::write;
use ikada_parse::multiline::{Finished, Joiner, MultilineParser, Origin, Pushed};
use ikada_plugin::{Emitted, EntryContext, Held};
use ikada_record::{Fields, Tag};
use tokio::time::Instant;

use super::{Room, text_of};

/// Multiline parsers in the order they are tried.
pub(super) type Named = Arc<[Arc<MultilineParser>]>;

/// The field that tells containers apart that share a tag.
const CONTAINER: &[u8] = b"container_id";

/// From this number on, streams in which nothing waits are forgotten.
const MANY: usize = 4096;

/// All streams of one filter.
#[derive(Debug)]
pub(super) struct Streams {
    parsers: Named,
    key_content: Option<Arc<[u8]>>,
    wait: Duration,
    room: Room,
    held: usize,
    start: Instant,
    /// When the last chunk began to pass: the clock is asked once for each.
    now: Instant,
    /// No record is due before.
    due: Option<Instant>,
    /// Streams by the hash of what tells them apart.
    streams: HashMap<u64, Vec<Stream>, RandomState>,
    count: usize,
}

#[derive(Debug)]
struct Stream {
    input: usize,
    tag: Tag,
    container: Vec<u8>,
    joiner: Joiner<Claims>,
}

/// What holds the chunks of a record's lines, and the metadata of the first.
#[derive(Debug)]
struct Claims {
    held: Vec<Held>,
    metadata: Vec<u8>,
}

impl Origin for Claims {
    fn join(&mut self, later: Self) {
        self.held.extend(later.held);
    }
}

impl Streams {
    pub(super) fn new(parsers: Named, key_content: Option<Arc<[u8]>>, wait: Duration, room: Room) -> Self {
        let now = Instant::now();
        Self {
            parsers,
            key_content,
            wait,
            room,
            held: 0,
            start: now,
            now,
            due: None,
            streams: HashMap::default(),
            count: 0,
        }
    }

    /// Offers a record to its stream. Whether it was taken; what is complete joins `done`.
    pub(super) fn push(
        &mut self,
        cx: &EntryContext<'_>,
        fields: &Fields<'_>,
        done: &mut Vec<Emitted>,
    ) -> bool {
        if cx.position == 0 {
            self.now = Instant::now();
        }
        let now = self.now;
        let moment = now - self.start;
        let wait = self.wait;
        let stream = self.stream(cx, fields);
        let before = stream.joiner.held();
        let tag = stream.tag.clone();
        let claims = || Claims { held: vec![cx.hold()], metadata: cx.metadata.unwrap_or_default().to_vec() };
        let mut hand = |finished: Finished<'_, Claims>| done.push(emitted(&tag, finished));
        let pushed = stream.joiner.push_record(fields, cx.time, claims, moment, &mut hand);
        let after = stream.joiner.held();
        self.held = (self.held + after).saturating_sub(before);
        match self.held {
            0 => self.due = None,
            _ if self.due.is_none() => self.due = Some(now + wait),
            _ => {}
        }
        self.room.book(self.held);
        if self.room.is_full() {
            done.extend(self.flush(None));
        }
        pushed == Pushed::Taken
    }

    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Takes out what has waited too long at `now`, or everything.
    pub(super) fn flush(&mut self, now: Option<Instant>) -> Vec<Emitted> {
        let mut done = Vec::new();
        let start = self.start;
        let mut due: Option<Duration> = None;
        self.held = 0;
        for stream in self.streams.values_mut().flatten() {
            let tag = stream.tag.clone();
            let mut hand = |finished: Finished<'_, Claims>| done.push(emitted(&tag, finished));
            match now {
                Some(now) => stream.joiner.flush(now - start, &mut hand),
                None => stream.joiner.finish(&mut hand),
            }
            self.held += stream.joiner.held();
            due = due.into_iter().chain(stream.joiner.due()).min();
        }
        self.room.book(self.held);
        self.due = due.map(|due| start + due);
        self.forget();
        done
    }

    fn stream(&mut self, cx: &EntryContext<'_>, fields: &Fields<'_>) -> &mut Stream {
        if self.count >= MANY {
            self.forget();
        }
        let input = cx.hold().input();
        let container = text_of(fields, CONTAINER).unwrap_or_default();
        let mut hasher = self.streams.hasher().build_hasher();
        hasher.write_usize(input);
        hasher.write(cx.tag.as_bytes());
        hasher.write(container);
        let same = self.streams.entry(hasher.finish()).or_default();
        let is =
            |stream: &Stream| stream.input == input && stream.tag == *cx.tag && stream.container == container;
        let at = same.iter().position(is).unwrap_or_else(|| {
            let joiner = Joiner::new(self.parsers.clone(), self.key_content.clone());
            let joiner = joiner.with_wait(self.wait);
            same.push(Stream { input, tag: cx.tag.clone(), container: container.to_vec(), joiner });
            self.count += 1;
            same.len() - 1
        });
        &mut same[at]
    }

    /// Forgets streams in which nothing waits.
    fn forget(&mut self) {
        self.streams.retain(|_, same| {
            same.retain(|stream| !stream.joiner.is_empty());
            !same.is_empty()
        });
        self.count = self.streams.values().map(Vec::len).sum();
    }
}

fn emitted(tag: &Tag, finished: Finished<'_, Claims>) -> Emitted {
    let Claims { held, metadata } = finished.origin;
    let metadata = if finished.is_cut { cut_mark() } else { metadata };
    Emitted { tag: tag.clone(), time: finished.time, metadata, record: finished.record.to_vec(), held }
}

/// Metadata of a record of which more follows: that of Fluent Bit.
fn cut_mark() -> Vec<u8> {
    let mut mark = Vec::new();
    write::map_header(&mut mark, 1);
    write::str(&mut mark, b"multiline_truncated");
    write::bool(&mut mark, true);
    mark
}
