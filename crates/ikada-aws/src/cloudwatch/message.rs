//! From an entry to the message of a log event, written as the body of a JSON string.

use ikada_msgpack::View;
use ikada_record::Entry;
use ikada_record::accessor::Accessor;
use ikada_record::json::{JsonStyle, write_record_in_string, write_str_escaped, write_value};

use super::emf::Emf;
use crate::gojson::GoJson;

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
    form: Form,
    scratch: Vec<u8>,
}

/// How JSON is spelled.
#[derive(Debug)]
enum Form {
    /// As the C plugin does, with metrics made of records if asked for.
    C(JsonStyle, Option<Emf>),
    /// As the Go plugin does; white space at both ends of a message is taken away.
    Go(GoJson),
}

impl MessageEncoder {
    /// `log_key` is the exact name of a top-level key.
    pub(super) fn new(log_key: Option<&str>, style: JsonStyle, emf: Option<Emf>) -> Self {
        Self { key: log_key.map(Accessor::exact), form: Form::C(style, emf), scratch: Vec::new() }
    }

    /// Messages as of the plugin `cloudwatch`.
    pub(super) fn go(log_key: Option<&str>) -> Self {
        let form = Form::Go(GoJson::default());
        Self { key: log_key.map(Accessor::exact), form, scratch: Vec::new() }
    }

    /// Appends the message of an entry with characters beyond ASCII as they are, where they are otherwise written as `\uxxxx`: up to
    /// half as long. `None` where that changes nothing.
    pub(super) fn write_shorter(&mut self, out: &mut Vec<u8>, entry: &Entry<'_>) -> Option<Written> {
        match &mut self.form {
            Form::C(style, _) if style.escape_unicode => style.escape_unicode = false,
            _ => return None,
        }
        let written = self.write(out, entry);
        if let Form::C(style, _) = &mut self.form {
            style.escape_unicode = true;
        }
        Some(written)
    }

    /// Appends the message of an entry as the body of a JSON string.
    #[inline]
    pub(super) fn write(&mut self, out: &mut Vec<u8>, entry: &Entry<'_>) -> Written {
        let value = match &self.key {
            None => None,
            Some(key) => match key.lookup_map_raw(entry.record()) {
                None => return Written::NoKey,
                found => found,
            },
        };
        match &self.form {
            Form::C(style, emf) => match (value, emf) {
                (None, Some(emf)) if emf.write(cleared(&mut self.scratch), entry, *style) => {
                    Written::Message(write_str_escaped(out, &self.scratch))
                }
                // A record is known to be a whole map: it is not walked to find its end.
                (None, _) if is_empty_map(entry.record_bytes()) => Written::Empty,
                (None, _) => Written::Message(write_record_in_string(out, entry.record_bytes(), *style)),
                (Some(value), _) => write_c(out, value, *style),
            },
            Form::Go(json) => {
                let text = match value.map(View::parse) {
                    Some(Ok((View::Str(text) | View::Bin(text), _))) => text,
                    _ => {
                        json.value(cleared(&mut self.scratch), value.unwrap_or(entry.record_bytes()));
                        &self.scratch
                    }
                };
                let text = trimmed(text);
                if text.is_empty() { Written::Empty } else { Written::Message(write_str_escaped(out, text)) }
            }
        }
    }
}

#[inline]
fn write_c(out: &mut Vec<u8>, value: &[u8], style: JsonStyle) -> Written {
    match View::parse(value) {
        Ok((View::Str([]) | View::Bin([]), _)) => Written::Empty,
        Ok((View::Str(text) | View::Bin(text), _)) => {
            let mended = mended(value, text, style);
            Written::Message(write_str_escaped(out, mended.as_deref().map_or(text, str::as_bytes)))
        }
        _ if is_empty_map(value) => Written::Empty,
        _ => Written::Message(write_record_in_string(out, value, style)),
    }
}

/// A text with bytes that are not UTF-8 as it stands in a whole record: whoever reads that record's JSON gets this.
fn mended(value: &[u8], text: &[u8], style: JsonStyle) -> Option<String> {
    if std::str::from_utf8(text).is_ok() {
        return None;
    }
    let mut json = Vec::new();
    write_value(&mut json, value, style);
    serde_json::from_slice(&json).ok()
}

fn cleared(scratch: &mut Vec<u8>) -> &mut Vec<u8> {
    scratch.clear();
    scratch
}

/// A text without the white space at its ends, that of Unicode too.
fn trimmed(text: &[u8]) -> &[u8] {
    match std::str::from_utf8(text) {
        Ok(text) => text.trim().as_bytes(),
        Err(_) => text.trim_ascii(),
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
        let result = MessageEncoder::new(key, JsonStyle::default(), None).write(&mut out, &entry);
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
    }

    #[test]
    fn bytes_that_are_not_utf_8_are_the_same_under_a_key_and_in_a_record() {
        // What the end of a text cuts off is lost in both.
        let record = b"\x81\xa3log\xa6a\xe9 bc\xff";
        assert_eq!(message(None, record), "{\"log\":\"a\u{e0e9} bc\"}");
        assert_eq!(message(Some("log"), record), "a\u{e0e9} bc");
        let mut out = Vec::new();
        write_c(&mut out, &record[5..], JsonStyle { escape_unicode: false });
        assert_eq!(out, "a\u{fffd} bc\u{fffd}".as_bytes());
    }

    #[test]
    fn what_is_not_there_is_told_apart_from_what_is_empty() {
        assert_eq!(written(None, b"\x80").0, Written::Empty);
        assert_eq!(written(Some("log"), b"\x81\xa3log\xa0").0, Written::Empty);
        assert_eq!(written(Some("log"), b"\x81\xa3log\x80").0, Written::Empty);
        assert_eq!(written(Some("log"), b"\x81\xa6logger\xa1x").0, Written::NoKey);
    }

    #[test]
    fn the_go_form_sorts_keys_and_trims_text() {
        let go = |key: Option<&str>, record: &serde_json::Value| {
            let mut builder = ChunkBuilder::new(Tag::from("t"));
            builder.push_record(Timestamp::new(1, 0), &rmp_serde::to_vec(record).unwrap());
            let chunk = builder.finish(Receipt::unwatched());
            let mut out = Vec::new();
            match MessageEncoder::go(key).write(&mut out, &chunk.entries().next().unwrap()) {
                Written::Message(len) => {
                    let read: String =
                        serde_json::from_str(&format!("\"{}\"", String::from_utf8(out).unwrap())).unwrap();
                    assert_eq!(read.len(), len);
                    Ok(read)
                }
                other => Err(other),
            }
        };
        let record = serde_json::json!({"log": " <日> \n", "a": 1.0, "m": {"y": 1, "x": 2}});
        assert_eq!(
            go(None, &record).unwrap(),
            "{\"a\":1,\"log\":\" \\u003c日\\u003e \\n\",\"m\":{\"x\":2,\"y\":1}}"
        );
        assert_eq!(go(Some("log"), &record).unwrap(), "<日>");
        assert_eq!(go(Some("m"), &record).unwrap(), "{\"x\":2,\"y\":1}");
        assert_eq!(go(Some("lo"), &record), Err(Written::NoKey));
        assert_eq!(go(Some("log"), &serde_json::json!({"log": " \u{3000}\n"})), Err(Written::Empty));
    }
}
