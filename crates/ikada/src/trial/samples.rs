//! Samples: lines, JSON lines, or the bytes of a Forward client.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use ikada_forward::{Acks, Decoder, TagRule};
use ikada_msgpack::write;
use ikada_parse::json::transcode_one;
use ikada_plugin::FlushClock;
use ikada_record::Timestamp;
use tokio::time::Instant;

/// Largest frame of a captured connection, in bytes.
const LARGEST_FRAME: usize = 64 << 20;

/// One entry of a sample.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its tag; `None` for that of the whole sample.
    pub tag: Option<Vec<u8>>,
    /// Its time; `None` for now.
    pub time: Option<Timestamp>,
    /// Its record, one whole encoded map.
    pub record: Vec<u8>,
}

impl Entry {
    /// A line as FireLens would hand it over: `{"log": line}`; a line that is a JSON object is the record itself.
    #[must_use]
    pub fn of_line(line: &[u8]) -> Self {
        let mut record = Vec::new();
        let text = line.trim_ascii();
        let is_object =
            text.starts_with(b"{") && transcode_one(text, &mut record).is_ok_and(|taken| taken == text.len());
        if !is_object {
            record = of_text(line);
        }
        Self { tag: None, time: None, record }
    }

    /// A record out of JSON text.
    #[must_use]
    pub fn of_json(text: &str) -> Option<Self> {
        let mut record = Vec::new();
        transcode_one(text.as_bytes(), &mut record).ok()?;
        let is_map = record.first().is_some_and(|byte| matches!(byte, 0x80..=0x8f | 0xde | 0xdf));
        is_map.then_some(Self { tag: None, time: None, record })
    }
}

/// `{"log": text}`.
pub(super) fn of_text(text: &[u8]) -> Vec<u8> {
    let mut record = Vec::new();
    write::map_header(&mut record, 1);
    write::str(&mut record, b"log");
    write::str(&mut record, text);
    record
}

/// The entries of a sample file.
#[must_use]
pub fn samples(bytes: &[u8]) -> Vec<Entry> {
    match bytes.first() {
        // An array of MessagePack, which no line of text starts with: frames of the Forward protocol.
        Some(0x90..=0x9f | 0xdc | 0xdd) if std::str::from_utf8(bytes).is_err() => of_forward(bytes),
        _ => lines(bytes).map(Entry::of_line).collect(),
    }
}

/// The lines of a text, empty ones left out.
pub(super) fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let lines = bytes.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    lines.filter(|line| !line.is_empty())
}

fn of_forward(bytes: &[u8]) -> Vec<Entry> {
    let now = Instant::now();
    let flush = FlushClock::new(now, Duration::from_secs(1));
    let mut decoder =
        Decoder::new(Arc::new(TagRule::default()), LARGEST_FRAME, flush, Arc::new(Acks::default()));
    let mut buffer = BytesMut::from(bytes);
    let mut entries = Vec::new();
    decoder.feed(&mut buffer, now);
    decoder.finish(now);
    decoder.flush();
    for ready in decoder.take_ready() {
        for entry in ready.chunk.entries() {
            entries.push(Entry {
                tag: Some(ready.chunk.tag().as_bytes().to_vec()),
                time: Some(entry.time()),
                record: entry.record_bytes().to_vec(),
            });
        }
    }
    entries
}
