//! Entries as JSON, and as the text that people look at.
//!
//! Outputs call this once per entry: it reads encoded values and writes text straight into the output's buffer, without a tree
//! and, for the records of everyday, without allocating. Keys keep the order they arrived in; there are no spaces.
//!
//! **What comes out is always JSON**, whatever applications log. Where a MessagePack value has no counterpart, or where Fluent
//! Bit's own text would be no JSON, this is what is written:
//!
//! | value | text |
//! |---|---|
//! | NaN, infinity | `null` |
//! | a float equal to a 64-bit integer | one decimal: `1.0`; every other float has 16 significant digits (`%.16g`) |
//! | binary | as a string; its bytes need not be UTF-8 (below) |
//! | extension type | a string of its data in lower-case hex: `"017fff"` |
//! | a key that is a number, a boolean, nil or an extension | its JSON text in quotes: `"5":`, `"null":` |
//! | a key that is an array or a map | its JSON text as a string: `"[1,\"a\"]":`; a container inside it that is a key again is the hex of its MessagePack |
//! | a string key that comes again in the same map | only the last member is written, at its own place |
//! | nesting deeper than [`MAX_DEPTH`](ikada_msgpack::MAX_DEPTH), bytes that are cut short | `null` |
//!
//! **Text.** `"`, `\` and bytes below 0x20 are escaped, in short form where JSON has one, else as `\u00xx`; so is 0x7f.
//! With [`JsonStyle::escape_unicode`] everything beyond ASCII is `\uxxxx`, in surrogate pairs from U+10000 on. Bytes that are
//! not UTF-8 are kept apart from text: 0xNN becomes U+E0NN, a private-use character, itself unescaped; a lead byte that announces
//! more bytes than the value has left is dropped; overlong sequences count as what they spell. Without it
//! text is copied as it is and each byte that is not UTF-8 becomes U+FFFD.
//!
//! **JSON inside JSON.** Some services want a record's JSON as a string inside their request's JSON. [`write_record_in_string`]
//! writes that in one pass.
//!
//! Reading order: [`write_record`], [`write_entry`] with [`DateKey`], [`write_record_in_string`], [`write_str_escaped`],
//! [`dump_entry`].
//!
//! ```
//! use ikada_record::json::{JsonStyle, write_record};
//!
//! let mut out = Vec::new();
//! write_record(&mut out, b"\x82\xa3log\xa9say \"hi\"\n\xa1n\xcb\x3f\xf0\0\0\0\0\0\0", JsonStyle::default());
//! assert_eq!(out, br#"{"log":"say \"hi\"\n","n":1.0}"#);
//! ```

mod date;
mod dump;
mod escape;
mod keys;
mod number;
mod token;
mod value;

pub use date::{DateFormat, DateKey, UnknownDateFormat};
pub use dump::{dump_entry, dump_entry_flat, dump_value};

use value::Writer;

use crate::Entry;

/// How JSON text looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct JsonStyle {
    /// Whether characters beyond ASCII are written as `\uxxxx` (service option `json.escape_unicode`, on by default).
    ///
    /// Turned off, Japanese text is readable in the destination and less than half as long.
    pub escape_unicode: bool,
}

impl Default for JsonStyle {
    fn default() -> Self {
        Self { escape_unicode: true }
    }
}

/// Writes the encoded value at the start of `value` and returns how many bytes of it were used.
///
/// The bytes have been scanned before; for others the text is still JSON, but says `null` where they end.
#[inline]
pub fn write_value(out: &mut Vec<u8>, value: &[u8], style: JsonStyle) -> usize {
    if style.escape_unicode {
        Writer::<true, false>::write_value(out, value).0
    } else {
        Writer::<false, false>::write_value(out, value).0
    }
}

/// Writes an encoded record and returns how many bytes of `record` were used.
#[inline]
pub fn write_record(out: &mut Vec<u8>, record: &[u8], style: JsonStyle) -> usize {
    write_value(out, record, style)
}

/// Writes an entry's record with its date as the first member.
///
/// A field of the record that has the date's name wins: the date is not written. Metadata that is not empty follows the date as
/// `"__internal__":{"log_metadata":{…}}`, unless the record has a field of that name; metadata is never written otherwise.
#[inline]
pub fn write_entry(out: &mut Vec<u8>, entry: &Entry<'_>, date: Option<&DateKey>, style: JsonStyle) {
    if style.escape_unicode {
        Writer::<true, false>::write_entry(out, entry, date);
    } else {
        Writer::<false, false>::write_entry(out, entry, date);
    }
}

/// Writes an encoded record (or any other value) as JSON that is already escaped for standing inside a JSON string, without
/// quotes around it: `{\"log\":\"…\"}`.
///
/// Returns the length in bytes of the JSON text itself, which is what a service counts once it has read the string. Equal to
/// [`write_record`] and then [`write_str_escaped`], in one pass.
#[inline]
pub fn write_record_in_string(out: &mut Vec<u8>, record: &[u8], style: JsonStyle) -> usize {
    if style.escape_unicode {
        Writer::<true, true>::write_value(out, record).1
    } else {
        Writer::<false, true>::write_value(out, record).1
    }
}

/// Writes text as the body of a JSON string, without quotes around it: `"`, `\`, bytes below 0x20 and 0x7f are escaped,
/// other text is copied, and each byte that is not UTF-8 becomes U+FFFD.
///
/// Returns the length in bytes of the text that a reader of the string gets.
pub fn write_str_escaped(out: &mut Vec<u8>, text: &[u8]) -> usize {
    let start = out.len();
    escape::text::<false, false>(out, text);
    // Whatever is changed gets longer.
    if out.len() - start == text.len() || text.is_ascii() {
        return text.len();
    }
    text.utf8_chunks().map(|chunk| chunk.valid().len() + '\u{fffd}'.len_utf8() * chunk.invalid().len()).sum()
}
