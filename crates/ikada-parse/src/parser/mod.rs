//! Parsers: what makes a record of a text.
//!
//! A parser is built once from its [`ParserOptions`] and shared. [`Parser::parse`] writes one MessagePack map and says which
//! time the text gives.
//!
//! | format | steps |
//! |---|---|
//! | `json` | one object → decoders → time (in decoded keys too) |
//! | `regex` | match → per group: time, type → decoders |
//! | `ltsv`, `logfmt` | per field: time, type → decoders |
//!
//! **A time that does not fit changes nothing**: the field stays, the record keeps the time it came with. The parser says so once, with what
//! the format should have been, and counts from then on.
//!
//! **Room.** A parser keeps the buffers that its work needs and lends one set to each call, so that a record costs no allocation.

mod build;
mod decode;
mod escape;
mod fields;
mod logfmt;
mod ltsv;
mod map;
mod options;
mod spare;
mod time_field;
mod types;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use ikada_msgpack::View;
use ikada_record::Timestamp;

use crate::json;
use crate::regex::{Regex, Slots};
use decode::Decoders;
use fields::{Building, Role, Value};
use map::MapWriter;
pub use options::{Format, ParserOptions};
use spare::Spare;
use time_field::TimeField;
use types::Types;

/// The text is not what the parser reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the text does not fit the parser")]
pub struct NoMatch;

/// Makes records of texts.
pub struct Parser {
    name: Box<str>,
    reader: Reader,
    time: Option<TimeField>,
    types: Types,
    decoders: Decoders,
    spare: Spare<Scratch>,
    unmatched: AtomicU64,
}

/// What reads the text.
enum Reader {
    Json,
    Regex { regex: Regex, groups: Box<[Group]>, skip_empty: bool },
    Ltsv,
    Logfmt { no_bare_keys: bool },
}

/// A named group.
struct Group {
    number: usize,
    /// The name, encoded.
    key: Box<[u8]>,
    role: Role,
}

/// Buffers that have grown larger are let go: one long line must not hold its room for ever.
const KEPT_ROOM: usize = 256 * 1024;

/// Buffers of one call.
#[derive(Default)]
struct Scratch {
    slots: Slots,
    /// The record before its decoders.
    map: Vec<u8>,
    /// What is only read to see that it is there.
    probe: Vec<u8>,
    decode: decode::Scratch,
}

impl Scratch {
    fn room(&self) -> usize {
        self.map.capacity() + self.probe.capacity() + self.decode.room()
    }
}

impl Parser {
    /// The name that plugins call it by.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Appends the record that a text holds to `out`, and returns the time it gives, if it gives one.
    ///
    /// `now` fills in the date where the text has none. Without a match `out` is as it was.
    ///
    /// # Errors
    ///
    /// When the text is not of the parser's format.
    pub fn parse(
        &self,
        text: &[u8],
        now: Timestamp,
        out: &mut Vec<u8>,
    ) -> Result<Option<Timestamp>, NoMatch> {
        let start = out.len();
        let mut scratch = self.spare.take();
        let result = self.parse_with(&mut scratch, text, now, out);
        if scratch.room() <= KEPT_ROOM {
            self.spare.put(scratch);
        }
        if result.is_err() {
            out.truncate(start);
            self.unmatched.fetch_add(1, Ordering::Relaxed);
        }
        result
    }

    /// How many texts did not match since the parser was built.
    #[must_use]
    pub fn unmatched(&self) -> u64 {
        self.unmatched.load(Ordering::Relaxed)
    }

    /// How many times did not fit their format since the parser was built.
    #[must_use]
    pub fn bad_times(&self) -> u64 {
        self.time.as_ref().map_or(0, TimeField::misses)
    }

    fn parse_with(
        &self,
        scratch: &mut Scratch,
        text: &[u8],
        now: Timestamp,
        out: &mut Vec<u8>,
    ) -> Result<Option<Timestamp>, NoMatch> {
        let start = out.len();
        if self.decoders.is_empty() {
            let time = self.read(scratch, text, now, out)?;
            return Ok(self.late_time(start, now, out).or(time));
        }
        let mut map = std::mem::take(&mut scratch.map);
        map.clear();
        let read = self.read(scratch, text, now, &mut map);
        if read.is_ok() {
            self.decoders.apply(&map, &mut scratch.decode, out);
        }
        scratch.map = map;
        let time = read?;
        Ok(self.late_time(start, now, out).or(time))
    }

    /// Writes the map that the text holds, before its decoders.
    fn read(
        &self,
        scratch: &mut Scratch,
        text: &[u8],
        now: Timestamp,
        out: &mut Vec<u8>,
    ) -> Result<Option<Timestamp>, NoMatch> {
        match &self.reader {
            Reader::Json => json_object(text, &mut scratch.probe, out).map(|()| None),
            Reader::Regex { regex, groups, skip_empty } => {
                if !regex.captures_into(text, &mut scratch.slots) {
                    return Err(NoMatch);
                }
                // A match that holds no field is none, as in Fluent Bit; an empty field is one.
                if groups.iter().all(|group| scratch.slots.get(group.number).is_none()) {
                    return Err(NoMatch);
                }
                let mut building = self.building(now, out);
                for group in groups {
                    let bytes = scratch.slots.get(group.number).map_or(&[][..], |range| &text[range]);
                    if !bytes.is_empty() || !skip_empty {
                        building.put_encoded(&group.key, group.role, Value::Text(bytes));
                    }
                }
                Ok(building.finish())
            }
            Reader::Ltsv => {
                let mut building = self.building(now, out);
                ltsv::fields(text, |label, value| {
                    building.put(label, self.role(label), Value::Text(value));
                });
                building.finish_some()
            }
            Reader::Logfmt { no_bare_keys } => {
                let mut building = self.building(now, out);
                let values = match self.types.is_empty() {
                    true => logfmt::Values::Free(&mut scratch.probe),
                    false => logfmt::Values::Typed,
                };
                logfmt::fields(text, *no_bare_keys, values, |key, value| {
                    building.put(key, self.role(key), value);
                })?;
                building.finish_some()
            }
        }
    }

    fn building<'b>(&'b self, now: Timestamp, out: &'b mut Vec<u8>) -> Building<'b> {
        Building::new(self.time.as_ref(), now, MapWriter::start(out), out)
    }

    /// What a field of this name is beside text.
    fn role(&self, name: &[u8]) -> Role {
        let is_time = self.time.as_ref().is_some_and(|time| time.is_named(name));
        Role { is_time, kind: self.types.of(name) }
    }

    /// Looks for the time in the finished record, which only JSON does.
    fn late_time(&self, start: usize, now: Timestamp, out: &mut Vec<u8>) -> Option<Timestamp> {
        match (&self.reader, &self.time) {
            (Reader::Json, Some(time)) => time.take_from_map(start, now, out),
            _ => None,
        }
    }
}

impl fmt::Debug for Parser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Parser").field(&self.name).finish()
    }
}

/// Reads one object. What follows it may be anything but another whole value (cases `json-trailing-garbage`,
/// `json-object-then-number`).
fn json_object(text: &[u8], probe: &mut Vec<u8>, out: &mut Vec<u8>) -> Result<(), NoMatch> {
    let start = out.len();
    let taken = json::transcode_one(text, out).map_err(|_| NoMatch)?;
    if !is_map(out.get(start).copied()) {
        return Err(NoMatch);
    }
    let rest = text[taken..].trim_ascii();
    probe.clear();
    if !rest.is_empty() && json::transcode_one(rest, probe).is_ok() {
        return Err(NoMatch);
    }
    Ok(())
}

fn is_map(marker: Option<u8>) -> bool {
    matches!(marker, Some(0x80..=0x8f | 0xde | 0xdf))
}

/// The string or number in an encoded value.
fn view_of(raw: &[u8]) -> View<'_> {
    View::parse(raw).map_or(View::Nil, |(view, _)| view)
}
