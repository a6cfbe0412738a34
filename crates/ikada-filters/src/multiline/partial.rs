//! Parts of lines that Docker split, put together by id and ordinal.
//!
//! A part has `partial_message`, `partial_id`, `partial_ordinal` and `partial_last` beside its text. The record has the other
//! fields and the time of the first part, and the whole text behind them.

use std::time::Duration;

use ikada_msgpack::{View, write};
use ikada_plugin::{Emitted, EntryContext, Held};
use ikada_record::{Fields, Tag, Timestamp};
use tokio::time::Instant;

use super::{Room, text, text_of};

const MARK: &[u8] = b"partial_message";
const ID: &[u8] = b"partial_id";
const ORDINAL: &[u8] = b"partial_ordinal";
const LAST: &[u8] = b"partial_last";

/// What the marks begin with: none of them stays in the record.
const PREFIX: &[u8] = b"partial_";

/// Lines whose parts wait.
#[derive(Debug)]
pub(super) struct Partial {
    key: Box<[u8]>,
    wait: Duration,
    room: Room,
    held: usize,
    lines: Vec<Line>,
}

/// The parts of one line.
#[derive(Debug)]
struct Line {
    input: usize,
    tag: Tag,
    id: Vec<u8>,
    /// The other fields of the first part, encoded, and how many they are.
    fields: Vec<u8>,
    field_count: usize,
    metadata: Vec<u8>,
    time: Timestamp,
    /// Ordinals and texts, in order of ordinals.
    parts: Vec<(u64, Vec<u8>)>,
    /// The ordinal of the last part, once it is there.
    last: Option<u64>,
    touched: Instant,
    held: Vec<Held>,
}

/// A part on its way in.
struct Part<'p> {
    id: &'p [u8],
    text: &'p [u8],
    ordinal: Option<u64>,
    is_last: bool,
}

impl Partial {
    pub(super) fn new(key: &[u8], wait: Duration, room: Room) -> Self {
        Self { key: key.into(), wait, room, held: 0, lines: Vec::new() }
    }

    /// Takes a part of a line. Whether it was one; a line that is complete joins `done`.
    pub(super) fn push(
        &mut self,
        cx: &EntryContext<'_>,
        fields: &Fields<'_>,
        done: &mut Vec<Emitted>,
    ) -> bool {
        let Some(part) = self.part(fields) else { return false };
        let held = cx.hold();
        let input = held.input();
        let is = |line: &Line| line.input == input && line.tag == *cx.tag && line.id == part.id;
        let at = self.lines.iter().position(is).unwrap_or_else(|| {
            let line = Line::begin(cx, fields, &part, &self.key, input);
            self.held += line.own_size();
            self.lines.push(line);
            self.lines.len() - 1
        });
        let line = &mut self.lines[at];
        line.add(&part, held);
        self.held += part.text.len();
        self.room.book(self.held);
        if line.is_complete() {
            done.push(self.take(at));
        } else if self.room.is_full() {
            done.extend(self.flush(None));
        }
        true
    }

    pub(super) fn due(&self) -> Option<Instant> {
        self.lines.iter().map(|line| line.touched + self.wait).min()
    }

    /// Takes out what has waited too long at `now`, or everything, with the parts that are there.
    pub(super) fn flush(&mut self, now: Option<Instant>) -> Vec<Emitted> {
        let mut done = Vec::new();
        while let Some(at) =
            self.lines.iter().position(|line| now.is_none_or(|now| line.touched + self.wait <= now))
        {
            done.push(self.take(at));
        }
        done
    }

    fn take(&mut self, at: usize) -> Emitted {
        let line = self.lines.remove(at);
        let size: usize = line.parts.iter().map(|(_, text)| text.len()).sum();
        self.held = self.held.saturating_sub(size + line.own_size());
        self.room.book(self.held);
        line.finish(&self.key, size)
    }

    /// The part that a record is, if it is one.
    fn part<'f>(&self, fields: &'f Fields<'_>) -> Option<Part<'f>> {
        if !is_true(fields, MARK) {
            return None;
        }
        Some(Part {
            id: text_of(fields, ID)?,
            text: text_of(fields, &self.key)?,
            ordinal: ordinal(fields),
            is_last: is_true(fields, LAST),
        })
    }
}

impl Line {
    /// Bytes beside its parts.
    fn own_size(&self) -> usize {
        size_of::<Self>() + self.id.len() + self.fields.len() + self.metadata.len()
    }

    fn begin(cx: &EntryContext<'_>, fields: &Fields<'_>, part: &Part<'_>, key: &[u8], input: usize) -> Self {
        let mut others = Vec::new();
        let mut field_count = 0;
        for field in fields.as_slice() {
            let name = field.name();
            if name == Some(key) || name.is_some_and(|name| name.starts_with(PREFIX)) {
                continue;
            }
            others.extend_from_slice(field.key.bytes());
            others.extend_from_slice(field.value.bytes());
            field_count += 1;
        }
        Self {
            input,
            tag: cx.tag.clone(),
            id: part.id.to_vec(),
            fields: others,
            field_count,
            metadata: cx.metadata.unwrap_or_default().to_vec(),
            time: cx.time,
            parts: Vec::new(),
            last: None,
            touched: Instant::now(),
            held: Vec::new(),
        }
    }

    /// Adds a part at its place; one without an ordinal comes behind those that are there.
    fn add(&mut self, part: &Part<'_>, held: Held) {
        let behind = self.parts.last().map_or(1, |(ordinal, _)| ordinal.saturating_add(1));
        let ordinal = part.ordinal.unwrap_or(behind);
        let at = self.parts.partition_point(|(other, _)| *other <= ordinal);
        self.parts.insert(at, (ordinal, part.text.to_vec()));
        if part.is_last {
            self.last = Some(ordinal);
        }
        self.touched = Instant::now();
        self.held.push(held);
    }

    /// Whether the last part and all before it are there.
    fn is_complete(&self) -> bool {
        let first = self.parts.first().map_or(1, |(ordinal, _)| (*ordinal).min(1));
        self.last.is_some_and(|last| self.parts.len() as u64 > last.saturating_sub(first))
    }

    fn finish(self, key: &[u8], size: usize) -> Emitted {
        let mut text = Vec::with_capacity(size);
        for (_, part) in &self.parts {
            text.extend_from_slice(part);
        }
        let mut record = Vec::with_capacity(self.fields.len() + size + key.len() + 16);
        write::map_header(&mut record, self.field_count + 1);
        record.extend_from_slice(&self.fields);
        write::str(&mut record, key);
        write::str(&mut record, &text);
        Emitted { tag: self.tag, time: self.time, metadata: self.metadata, record, held: self.held }
    }
}

/// Whether a mark is set. Docker sets texts; other senders may set booleans, which end Fluent Bit's process.
fn is_true(fields: &Fields<'_>, name: &[u8]) -> bool {
    let mut named = fields.as_slice().iter().filter(|field| field.name() == Some(name));
    named.any(|field| match text(field.value.bytes()) {
        Some(text) => text.get(..4).is_some_and(|start| start.eq_ignore_ascii_case(b"true")),
        None => matches!(View::parse(field.value.bytes()), Ok((View::Bool(true), _))),
    })
}

fn ordinal(fields: &Fields<'_>) -> Option<u64> {
    match fields.get(ORDINAL)? {
        View::Uint(number) => Some(number),
        View::Str(text) | View::Bin(text) => std::str::from_utf8(text).ok()?.trim().parse().ok(),
        _ => None,
    }
}
