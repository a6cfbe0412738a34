//! From an entry to the message of a log event, written as the body of a JSON string.

use ikada_msgpack::View;
use ikada_record::Entry;
use ikada_record::accessor::Accessor;
use ikada_record::json::{JsonStyle, write_record_in_string, write_str_escaped};

/// What became of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    /// A message of this many bytes of UTF-8.
    Message(usize),
    /// Nothing to send: an empty record or text.
    Empty,
    /// The record has no `log_key`.
    NoKey,
}

/// Writes messages: the whole record as JSON, or one value of it.
#[derive(Debug)]
pub(super) struct MessageEncoder {
    key: Option<Accessor>,
    style: JsonStyle,
}

impl MessageEncoder {
    /// `log_key` is the exact name of a top-level key.
    pub(super) fn new(log_key: Option<&str>, style: JsonStyle) -> Self {
        Self { key: log_key.map(Accessor::exact), style }
    }

    /// The same with characters beyond ASCII as they are, where this writes them as `\uxxxx`: up to half as long.
    pub(super) fn shorter(&self) -> Option<Self> {
        self.style
            .escape_unicode
            .then(|| Self { key: self.key.clone(), style: JsonStyle { escape_unicode: false } })
    }

    /// Appends the message of an entry as the body of a JSON string.
    #[inline]
    pub(super) fn write(&self, out: &mut Vec<u8>, entry: &Entry<'_>) -> Written {
        let Some(key) = &self.key else {
            let record = entry.record_bytes();
            if is_empty_map(record) {
                return Written::Empty;
            }
            return Written::Message(write_record_in_string(out, record, self.style));
        };
        let Some(value) = key.lookup_map_raw(entry.record()) else { return Written::NoKey };
        match View::parse(value) {
            Ok((View::Str([]) | View::Bin([]), _)) => Written::Empty,
            Ok((View::Str(text) | View::Bin(text), _)) => Written::Message(write_str_escaped(out, text)),
            _ if is_empty_map(value) => Written::Empty,
            _ => Written::Message(write_record_in_string(out, value, self.style)),
        }
    }
}

fn is_empty_map(value: &[u8]) -> bool {
    matches!(value, [0x80] | [0xde, 0, 0] | [0xdf, 0, 0, 0, 0])
}

#[cfg(test)]
mod tests {
    use ikada_record::{ChunkBuilder, Receipt, Tag, Timestamp};

    use super::*;

    fn written(key: Option<&str>, record: &[u8]) -> (Written, String) {
        let mut builder = ChunkBuilder::new(Tag::from("t"));
        builder.push_record(Timestamp::new(1, 0), record);
        let chunk = builder.finish(Receipt::unwatched());
        let mut out = Vec::new();
        let entry = chunk.entries().next().unwrap();
        let result = MessageEncoder::new(key, JsonStyle::default()).write(&mut out, &entry);
        (result, String::from_utf8(out).unwrap())
    }

    /// The message as the service reads it.
    fn message(key: Option<&str>, record: &[u8]) -> String {
        let (result, text) = written(key, record);
        let read: String = serde_json::from_str(&format!("\"{text}\"")).unwrap();
        assert_eq!(result, Written::Message(read.len()));
        read
    }

    #[test]
    fn a_record_is_json_within_json() {
        let record = b"\x82\xa3log\xabhello \"\xe6\x97\xa5\"\xa1n\x01";
        assert_eq!(written(None, record).1, r#"{\"log\":\"hello \\\"\\u65e5\\\"\",\"n\":1}"#);
        assert_eq!(message(None, record), r#"{"log":"hello \"\u65e5\"","n":1}"#);
    }

    #[test]
    fn under_a_key_text_is_raw_and_the_rest_is_json() {
        let record = |value: &[u8]| [b"\x82\xa2lo\xa1x\xa3log", value].concat();
        assert_eq!(message(Some("log"), &record(b"\xa5a\n\xe6\x97\xa5")), "a\n日");
        assert_eq!(message(Some("log"), &record(b"\xa7{\"a\":1}")), r#"{"a":1}"#);
        assert_eq!(message(Some("log"), &record(b"\x81\xa1a\x01")), r#"{"a":1}"#);
        assert_eq!(message(Some("log"), &record(b"\xcd\x30\x39")), "12345");
        assert_eq!(message(Some("log"), &record(b"\xc3")), "true");
        assert_eq!(message(Some("log"), &record(b"\xa3a\xffb")), "a\u{fffd}b");
    }

    #[test]
    fn what_is_not_there_is_told_apart_from_what_is_empty() {
        assert_eq!(written(None, b"\x80").0, Written::Empty);
        assert_eq!(written(Some("log"), b"\x81\xa3log\xa0").0, Written::Empty);
        assert_eq!(written(Some("log"), b"\x81\xa3log\x80").0, Written::Empty);
        assert_eq!(written(Some("log"), b"\x81\xa6logger\xa1x").0, Written::NoKey);
    }
}
