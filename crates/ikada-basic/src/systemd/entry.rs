//! From a line of `journalctl --output=json` to a record.
//!
//! A field is a string; where its bytes are no UTF-8 an array of numbers; where it is there several times an array of those. Fields that begin with
//! two underscores are no fields of the entry but its address: the cursor and the time are taken from them.

use ikada_msgpack::{ArrayView, MapView, View, write};
use ikada_parse::json::transcode_one;
use ikada_record::Timestamp;

/// How fields become keys.
#[derive(Debug, Clone, Copy)]
pub(super) struct Naming {
    pub(super) lowercase: bool,
    pub(super) strips: bool,
    pub(super) max_fields: usize,
}

/// One entry of the journal.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct JournalEntry {
    pub(super) cursor: String,
    pub(super) time: Option<Timestamp>,
    /// `_SYSTEMD_UNIT`.
    pub(super) unit: Option<Vec<u8>>,
    /// The encoded record.
    pub(super) record: Vec<u8>,
}

/// The entry of a line; `None` if it is none.
pub(super) fn read(line: &[u8], naming: Naming) -> Option<JournalEntry> {
    let mut value = Vec::new();
    transcode_one(line, &mut value).ok()?;
    let map = View::parse(&value).ok()?.0.as_map()?;
    let text = |key: &[u8]| map.get(key).and_then(|value| value.as_str());
    let cursor = String::from_utf8(text(b"__CURSOR")?.to_vec()).ok()?;
    let time = text(b"__REALTIME_TIMESTAMP").and_then(micros);
    let unit = text(b"_SYSTEMD_UNIT").map(<[u8]>::to_vec);
    Some(JournalEntry { cursor, time, unit, record: record(map, naming) })
}

/// Microseconds since 1970.
fn micros(text: &[u8]) -> Option<Timestamp> {
    let micros: u64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    Some(Timestamp::new(i64::try_from(micros / 1_000_000).ok()?, (micros % 1_000_000) as u32 * 1000))
}

fn record(map: MapView<'_>, naming: Naming) -> Vec<u8> {
    let is_own = |key: &View<'_>| key.as_str().is_some_and(|name| !name.starts_with(b"__"));
    let fields = || map.iter().filter(|(key, _)| is_own(key)).take(naming.max_fields);
    let mut out = Vec::new();
    write::map_header(&mut out, fields().count());
    for (key, value) in fields() {
        write_name(&mut out, key.as_str().unwrap_or_default(), naming);
        write_field(&mut out, &value);
    }
    out
}

fn write_name(out: &mut Vec<u8>, name: &[u8], naming: Naming) {
    let stripped = name.iter().position(|byte| *byte != b'_').map_or(&b""[..], |start| &name[start..]);
    let name = if naming.strips { stripped } else { name };
    if naming.lowercase { write::str(out, &name.to_ascii_lowercase()) } else { write::str(out, name) }
}

fn write_field(out: &mut Vec<u8>, value: &View<'_>) {
    match value {
        View::Array(array) => match bytes(array) {
            Some(bytes) => write::str(out, &bytes),
            None => {
                write::array_header(out, array.len());
                array.iter().for_each(|element| write_field(out, &element));
            }
        },
        View::Str(text) => write::str(out, text),
        // Nothing else is said but nil, for what is too large to be shown.
        _ => write::nil(out),
    }
}

/// The bytes of a field that is no text, given as numbers.
fn bytes(array: &ArrayView<'_>) -> Option<Vec<u8>> {
    let byte = |view: View<'_>| if let View::Uint(n) = view { u8::try_from(n).ok() } else { None };
    array.iter().map(byte).collect::<Option<Vec<u8>>>().filter(|bytes| !bytes.is_empty())
}

#[cfg(test)]
mod tests {
    use ikada_record::json::{JsonStyle, write_record};

    use super::*;

    const LINE: &str = r#"{"__CURSOR":"s=1;i=2","_SYSTEMD_UNIT":"a.service","__REALTIME_TIMESTAMP":"1700000000123456",
        "MESSAGE":[104,105,255],"__MONOTONIC_TIMESTAMP":"5","TAGS":["one",[116,119,111]],"BIG":null}"#;

    fn text(naming: Naming) -> String {
        let entry = read(LINE.as_bytes(), naming).unwrap();
        let mut out = Vec::new();
        write_record(&mut out, &entry.record, JsonStyle { escape_unicode: false });
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn fields_keep_their_names_or_lose_what_is_asked() {
        let naming = Naming { lowercase: false, strips: false, max_fields: 8000 };
        assert_eq!(
            text(naming),
            "{\"_SYSTEMD_UNIT\":\"a.service\",\"MESSAGE\":\"hi\u{fffd}\",\"TAGS\":[\"one\",\"two\"],\"BIG\":null}"
        );
        let naming = Naming { lowercase: true, strips: true, max_fields: 2 };
        assert_eq!(text(naming), "{\"systemd_unit\":\"a.service\",\"message\":\"hi\u{fffd}\"}");
    }

    #[test]
    fn cursor_time_and_unit_are_taken_from_the_entry() {
        let naming = Naming { lowercase: false, strips: false, max_fields: 1 };
        let entry = read(LINE.as_bytes(), naming).unwrap();
        assert_eq!((entry.cursor.as_str(), entry.unit.as_deref()), ("s=1;i=2", Some(&b"a.service"[..])));
        assert_eq!(entry.time, Some(Timestamp::new(1_700_000_000, 123_456_000)));
        assert_eq!(read(b"{\"MESSAGE\":\"x\"}", naming), None);
        assert_eq!(read(b"-- no entries --", naming), None);
    }
}
