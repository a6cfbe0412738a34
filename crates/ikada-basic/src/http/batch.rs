//! Entries into bodies: the encoder and the batcher, without I/O.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};
use ikada_msgpack::{MapView, View};
use ikada_plugin::{Batch, Output, Part, Routed, add_part};
use ikada_record::json::{self, DateKey, JsonStyle};
use ikada_record::{DropReason, Entry, Tag, Timestamp};
use tokio::time::Instant;

use super::gelf::{self, GelfKeys};
use super::options::{Each, HttpFormat, OURS, Settled};
use super::send::{Post, Target};
use crate::text::write_msgpack;

/// Longest body in bytes, before compression: what servers that say nothing else take (nginx: 1 MiB). An entry that is longer
/// goes by itself.
const FULL: usize = 1_000_000;

/// Gathers entries into bodies.
pub(super) struct Http {
    encoder: Encoder,
    /// How each record is a request of its own, if it is.
    each: Option<Each>,
    target: Arc<Target>,
    /// Bodies that still grow; under the tag where requests carry it, else one for all.
    open: BTreeMap<Option<Tag>, Body>,
    ready: VecDeque<Batch>,
    ready_bytes: usize,
}

/// A body that still grows.
#[derive(Debug)]
struct Body {
    text: Vec<u8>,
    parts: Vec<Part>,
    due: Instant,
}

impl Http {
    pub(super) fn new(settled: Settled, style: JsonStyle) -> Self {
        let Settled { format, gelf, each, date, target } = settled;
        let encoder = Encoder { format, gelf, date, style };
        Self { encoder, each, target, open: BTreeMap::new(), ready: VecDeque::new(), ready_bytes: 0 }
    }

    fn close(&mut self, tag: Option<&Tag>, mut body: Body) {
        self.encoder.end(&mut body.text);
        let bytes = body.text.len();
        let post = Post::new(self.target.clone(), tag.map(header_value), HeaderMap::new(), body.text);
        self.ready.push_back(Batch::new(None, body.parts, bytes, Box::new(post)));
        self.ready_bytes += bytes;
    }

    /// Makes a request of each record. One without a body has nothing to send.
    fn push_each(&mut self, each: &Each, routed: &Routed) {
        let tag = self.target.tag_header.is_some().then(|| header_value(routed.chunk.tag()));
        for entry in routed.chunk.entries() {
            let record = entry.record();
            let body = match each.body.lookup_map(record) {
                Some(View::Str(body) | View::Bin(body)) => body.to_vec(),
                _ => {
                    routed.share.drop_entries(1, DropReason::Empty);
                    continue;
                }
            };
            let own = each.headers.as_ref().and_then(|headers| headers.lookup_map(record)?.as_map());
            let (bytes, mut parts) = (body.len().max(1), Vec::new());
            add_part(&mut parts, &routed.share, 1);
            let post =
                Post::new(self.target.clone(), tag.clone(), own.map_or_else(HeaderMap::new, headers), body);
            self.ready.push_back(Batch::new(None, parts, bytes, Box::new(post)));
            self.ready_bytes += bytes;
        }
    }
}

/// The pairs of text in a map, as headers; what can be none, or is set by the router itself, is left out.
fn headers(map: MapView<'_>) -> HeaderMap {
    let header = |(key, value): (View<'_>, View<'_>)| {
        let name = HeaderName::from_bytes(key.as_str()?).ok().filter(|name| !OURS.contains(name))?;
        Some((name, HeaderValue::from_bytes(value.as_str()?).ok()?))
    };
    map.iter().filter_map(header).collect()
}

impl Output for Http {
    fn names(&self, _: &Tag, _: Timestamp) -> Vec<(&'static str, String)> {
        vec![("address", self.target.url.to_string())]
    }

    fn push(&mut self, routed: Routed, _: Instant) {
        if let Some(each) = self.each.take() {
            self.push_each(&each, &routed);
            self.each = Some(each);
            return;
        }
        let tag = self.target.tag_header.is_some().then(|| routed.chunk.tag().clone());
        let new = |text| Body { text, parts: Vec::new(), due: routed.due };
        let mut body = self.open.remove(&tag).unwrap_or_else(|| new(Vec::new()));
        body.due = body.due.min(routed.due);
        for entry in routed.chunk.entries() {
            let start = body.text.len();
            self.encoder.add(&mut body.text, &entry);
            if body.text.len() >= FULL && start > 0 {
                let next = new(self.encoder.split(&mut body.text, start));
                self.close(tag.as_ref(), std::mem::replace(&mut body, next));
            }
            add_part(&mut body.parts, &routed.share, 1);
        }
        if !body.parts.is_empty() {
            self.open.insert(tag, body);
        }
    }

    fn pop(&mut self, now: Instant) -> Option<Batch> {
        if self.ready.is_empty() {
            let is_ready = |body: &Body| body.due <= now || body.text.len() >= FULL;
            let ready: Vec<_> = self.open.extract_if(.., |_, body| is_ready(body)).collect();
            ready.into_iter().for_each(|(tag, body)| self.close(tag.as_ref(), body));
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
            self.close(tag.as_ref(), body);
        }
    }

    fn held(&self) -> usize {
        self.ready_bytes + self.open.values().map(|body| body.text.len()).sum::<usize>()
    }
}

/// A tag as a header's value; bytes that no header may have become `_`.
fn header_value(tag: &Tag) -> HeaderValue {
    HeaderValue::from_bytes(tag.as_bytes()).unwrap_or_else(|_| {
        let text: String = tag
            .as_bytes()
            .iter()
            .map(|byte| if byte.is_ascii_graphic() { char::from(*byte) } else { '_' })
            .collect();
        HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("_"))
    })
}

/// Writes entries one behind another.
struct Encoder {
    format: HttpFormat,
    gelf: GelfKeys,
    date: Option<DateKey>,
    style: JsonStyle,
}

impl Encoder {
    fn add(&self, text: &mut Vec<u8>, entry: &Entry<'_>) {
        match self.format {
            HttpFormat::Json => {
                text.push(if text.is_empty() { b'[' } else { b',' });
                json::write_entry(text, entry, self.date.as_ref(), self.style);
            }
            HttpFormat::JsonLines => {
                json::write_entry(text, entry, self.date.as_ref(), self.style);
                text.push(b'\n');
            }
            HttpFormat::JsonStream => json::write_entry(text, entry, self.date.as_ref(), self.style),
            HttpFormat::Gelf => gelf::write(text, entry, &self.gelf, self.style),
            HttpFormat::Msgpack => write_msgpack(text, entry),
        }
    }

    /// Takes what stands behind `at` as the beginning of another body.
    fn split(&self, text: &mut Vec<u8>, at: usize) -> Vec<u8> {
        let mut next = text.split_off(at);
        if self.format == HttpFormat::Json {
            next[0] = b'[';
        }
        next
    }

    fn end(&self, text: &mut Vec<u8>) {
        if self.format == HttpFormat::Json {
            text.push(b']');
        }
    }
}
