//! Entries into frames: the batcher, without I/O.

use std::collections::{BTreeMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use ikada_msgpack::write;
use ikada_plugin::{Batch, Output, Part, Routed, add_part};
use ikada_record::accessor::Template;
use ikada_record::{Entry, Tag, Timestamp, record_at};
use tokio::time::Instant;

use super::encode::{Says, Shape, Tokens};
use super::options::Settled;
use super::send::{Frame, Messages, Send, Target};
use crate::frame::MAX_TAG;

/// Bytes of entries in a frame. Receivers take 6 MB (Fluent Bit's `Buffer_Max_Size`) and more; an entry that is longer goes by itself.
const FULL: usize = 1_000_000;

/// Batches under way at once where answers are waited for.
const ANSWERED: usize = 8;

/// The tag that entries go under.
#[derive(Debug)]
pub(super) enum NewTag {
    /// The one they came under.
    Same,
    /// Always this one.
    Fixed(Vec<u8>),
    /// Made of the one they came under.
    FromTag(Template),
    /// One for each entry, made of its record.
    FromRecord(Template),
}

/// Gathers entries into frames.
pub(super) struct ForwardOut {
    tag: NewTag,
    shape: Shape,
    target: Arc<Target>,
    /// Frames that still grow, by the tag that entries came under.
    open: BTreeMap<Tag, Body>,
    ready: VecDeque<Batch>,
    ready_bytes: usize,
}

/// The entries of a frame, or a run of messages, that still grows.
struct Body {
    bytes: Vec<u8>,
    /// Where each message ends; nothing for entries that share a frame.
    ends: Vec<usize>,
    tokens: Tokens,
    parts: Vec<Part>,
    entries: u32,
    due: Instant,
}

impl Body {
    fn new(due: Instant) -> Self {
        Self {
            bytes: Vec::new(),
            ends: Vec::new(),
            tokens: Tokens::new(),
            parts: Vec::new(),
            entries: 0,
            due,
        }
    }
}

impl ForwardOut {
    pub(super) fn new(settled: Settled) -> Self {
        let Settled { tag, shape, target } = settled;
        let (ready, open) = (VecDeque::new(), BTreeMap::new());
        Self { tag, shape, target: Arc::new(target), open, ready, ready_bytes: 0 }
    }

    fn add(&self, body: &mut Body, tag: &Tag, entry: &Entry<'_>) {
        match &self.tag {
            NewTag::FromRecord(template) => {
                self.add_message(body, template, tag, entry);
                body.ends.push(body.bytes.len());
            }
            NewTag::Same | NewTag::Fixed(_) | NewTag::FromTag(_) => self.shape.write(&mut body.bytes, entry),
        }
        body.entries += 1;
    }

    /// Writes `[tag, time, record, option]`. Where the record lacks what the tag is made of, its own tag stays.
    fn add_message(&self, body: &mut Body, template: &Template, tag: &Tag, entry: &Entry<'_>) {
        let mut new = Vec::new();
        let named = template.render(&mut new, tag, entry.record()).is_ok() && !new.is_empty();
        let new = if named { &new[..new.len().min(MAX_TAG)] } else { tag.as_bytes() };
        let out = &mut body.bytes;
        write::array_header(out, 4);
        write::str(out, new);
        match self.shape {
            Shape::Seconds => write::uint(out, u64::try_from(entry.time().secs()).unwrap_or(0)),
            Shape::Plain | Shape::WithMetadata => entry.time().write(out),
        }
        out.extend_from_slice(entry.record_bytes());
        let token = self.target.options.asks.then(|| body.tokens.get(body.entries));
        let metadata = entry
            .metadata()
            .filter(|metadata| self.shape == Shape::WithMetadata && !matches!(metadata, [0x80]));
        self.target.options.write(out, Says { token: token.as_deref(), metadata, ..Says::default() });
    }

    fn close(&mut self, tag: &Tag, body: Body) {
        let bytes = body.bytes.len();
        // Answers tell which frame has arrived; without them order is kept by sending one after another.
        let lane = (!self.target.options.asks).then(|| lane(tag));
        let target = self.target.clone();
        let token = target.options.asks.then(|| body.tokens.get(0));
        let mut made = Vec::new();
        let new = match &self.tag {
            NewTag::Same => Some(tag.as_bytes()),
            NewTag::Fixed(fixed) => Some(&fixed[..]),
            NewTag::FromTag(template) => {
                let named = template.render(&mut made, tag, record_at(&[0x80])).is_ok() && !made.is_empty();
                Some(if named { &made[..made.len().min(MAX_TAG)] } else { tag.as_bytes() })
            }
            NewTag::FromRecord(_) => None,
        };
        let delivery = match new {
            Some(tag) => Send::frame(target, Frame::new(tag, body.entries, body.bytes.into(), token)),
            None => Send::messages(target, Messages::new(body.bytes.into(), body.ends, body.tokens)),
        };
        self.ready.push_back(Batch::new(lane, body.parts, bytes, Box::new(delivery)));
        self.ready_bytes += bytes;
    }
}

impl Output for ForwardOut {
    fn names(&self, _: &Tag, _: Timestamp) -> Vec<(&'static str, String)> {
        vec![("address", self.target.addresses().join(", "))]
    }

    fn push(&mut self, routed: Routed, _: Instant) {
        let tag = routed.chunk.tag();
        let mut body = self.open.remove(tag).unwrap_or_else(|| Body::new(routed.due));
        body.due = body.due.min(routed.due);
        for entry in routed.chunk.entries() {
            if !body.parts.is_empty() && body.bytes.len() + entry.as_bytes().len() > FULL {
                self.close(tag, std::mem::replace(&mut body, Body::new(routed.due)));
            }
            self.add(&mut body, tag, &entry);
            add_part(&mut body.parts, &routed.share, 1);
        }
        if !body.parts.is_empty() {
            self.open.insert(tag.clone(), body);
        }
    }

    fn pop(&mut self, now: Instant) -> Option<Batch> {
        if self.ready.is_empty() {
            let is_ready = |body: &Body| body.due <= now || body.bytes.len() >= FULL;
            let ready: Vec<_> = self.open.extract_if(.., |_, body| is_ready(body)).collect();
            ready.into_iter().for_each(|(tag, body)| self.close(&tag, body));
        }
        let batch = self.ready.pop_front()?;
        self.ready_bytes -= batch.bytes;
        Some(batch)
    }

    fn due(&self) -> Option<Instant> {
        self.open.values().map(|body| body.due).min()
    }

    fn close_all(&mut self) {
        for (tag, body) in std::mem::take(&mut self.open) {
            self.close(&tag, body);
        }
    }

    fn held(&self) -> usize {
        self.ready_bytes + self.open.values().map(|body| body.bytes.len()).sum::<usize>()
    }

    fn in_flight(&self) -> usize {
        if self.target.options.asks { ANSWERED } else { 4 }
    }
}

/// One lane a tag.
fn lane(tag: &Tag) -> u64 {
    let mut hasher = DefaultHasher::new();
    tag.hash(&mut hasher);
    hasher.finish()
}
