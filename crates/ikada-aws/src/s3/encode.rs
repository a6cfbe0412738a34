//! From an entry to a line of an object.

use ikada_msgpack::{View, str_bytes};
use ikada_record::Entry;
use ikada_record::json::{DateKey, JsonStyle, write_entry, write_value};

/// Turns entries into lines: JSON with a date key, or the value under `log_key`.
#[derive(Debug)]
pub struct Encoder {
    date: Option<DateKey>,
    log_key: Option<Vec<u8>>,
    style: JsonStyle,
}

impl Encoder {
    /// An encoder; with `log_key` only that field is written.
    #[must_use]
    pub fn new(date: Option<DateKey>, log_key: Option<&str>, style: JsonStyle) -> Self {
        Self { date, log_key: log_key.map(|key| key.as_bytes().to_vec()), style }
    }

    /// Writes the entry's line. `false`, and nothing written, when it has no field `log_key`.
    #[inline]
    pub fn write(&self, entry: &Entry<'_>, out: &mut Vec<u8>) -> bool {
        match &self.log_key {
            None => write_entry(out, entry, self.date.as_ref(), self.style),
            Some(key) => match raw_value(entry, key) {
                None => return false,
                Some(value) => self.write_bare(value, out),
            },
        }
        out.push(b'\n');
        true
    }

    /// Text and binary data as they are, everything else as JSON (reference, S3 "Record formatting").
    fn write_bare(&self, value: &[u8], out: &mut Vec<u8>) {
        match View::parse(value) {
            Ok((View::Str(text) | View::Bin(text), _)) => out.extend_from_slice(text),
            _ => {
                write_value(out, value, self.style);
            }
        }
    }
}

/// The encoded value under a key of exactly this name; of several, the last.
fn raw_value<'a>(entry: &Entry<'a>, key: &[u8]) -> Option<&'a [u8]> {
    let fields = entry.record().raw();
    fields.filter(|(name, _)| str_bytes(name) == Some(key)).last().map(|(_, value)| value)
}
