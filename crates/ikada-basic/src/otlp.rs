//! Records as OpenTelemetry's log records, in OTLP's JSON: one document for the entries of a chunk.
//!
//! ```text
//! {"resourceLogs":[{"resource":{},"scopeLogs":[{"scope":{},"logRecords":[
//!     {"timeUnixNano":"1700000000123456717","attributes":[{"key":"n","value":{"intValue":"1"}}],"body":{"stringValue":"hello"}}
//! ]}]}]}
//! ```
//!
//! The body is the record's `log`, or else its `message`, or else all of it. Other fields are attributes, where Fluent Bit leaves them
//! out. What the entry's metadata says under `otlp` of severity and time of observation stands in its own members.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ikada_msgpack::{MAX_DEPTH, MapView, View, str_bytes};
use ikada_record::Entry;
use ikada_record::json::{JsonStyle, write_str_escaped, write_value};

/// What a document begins with.
const HEAD: &[u8] = b"{\"resourceLogs\":[{\"resource\":{},\"scopeLogs\":[{\"scope\":{},\"logRecords\":[";
const TAIL: &[u8] = b"]}]}]}";

/// Fields that are a record's text, the first of them that is there.
const BODIES: [&[u8]; 2] = [b"log", b"message"];

/// Appends a document of these entries.
pub(crate) fn write_document<'a>(out: &mut Vec<u8>, entries: impl Iterator<Item = Entry<'a>>) {
    out.extend_from_slice(HEAD);
    for (at, entry) in entries.enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write_record(out, &entry);
    }
    out.extend_from_slice(TAIL);
}

/// The same text with a line for each member.
pub(crate) fn pretty(document: &[u8]) -> Vec<u8> {
    let parsed = serde_json::from_slice::<serde_json::Value>(document);
    parsed.and_then(|value| serde_json::to_vec_pretty(&value)).unwrap_or_else(|_| document.to_vec())
}

fn write_record(out: &mut Vec<u8>, entry: &Entry<'_>) {
    let time = entry.time();
    let nanos = i128::from(time.secs()) * 1_000_000_000 + i128::from(time.nanos());
    out.extend_from_slice(format!("{{\"timeUnixNano\":\"{nanos}\"").as_bytes());
    if let Some(View::Map(metadata)) =
        entry.metadata().and_then(|bytes| View::parse(bytes).ok()).map(|(view, _)| view)
        && let Some(View::Map(otlp)) = metadata.get(b"otlp")
    {
        write_metadata(out, otlp);
    }
    let record = entry.record();
    let body = BODIES.into_iter().find(|name| record.get(name).is_some());
    let others = || record.raw().filter(|(key, _)| body.is_some() && str_bytes(key) != body);
    if others().next().is_some() {
        out.extend_from_slice(b",\"attributes\":");
        write_pairs(out, others(), 0);
    }
    out.extend_from_slice(b",\"body\":");
    match body.and_then(|name| record.raw().find(|(key, _)| str_bytes(key) == Some(name))) {
        Some((_, value)) => write_any(out, value, 0),
        None => write_any(out, entry.record_bytes(), 0),
    }
    out.push(b'}');
}

fn write_metadata(out: &mut Vec<u8>, otlp: MapView<'_>) {
    if let Some(View::Uint(nanos)) = otlp.get(b"observed_timestamp") {
        out.extend_from_slice(format!(",\"observedTimeUnixNano\":\"{nanos}\"").as_bytes());
    }
    if let Some(View::Uint(number)) = otlp.get(b"severity_number") {
        out.extend_from_slice(format!(",\"severityNumber\":{number}").as_bytes());
    }
    if let Some(View::Str(text)) = otlp.get(b"severity_text") {
        out.extend_from_slice(b",\"severityText\":");
        write_text(out, text);
    }
}

/// Appends members as an array of keys and values.
fn write_pairs<'a>(out: &mut Vec<u8>, pairs: impl Iterator<Item = (&'a [u8], &'a [u8])>, depth: usize) {
    out.push(b'[');
    for (at, (key, value)) in pairs.enumerate() {
        out.extend_from_slice(if at > 0 { b",{\"key\":" } else { b"{\"key\":" });
        match View::parse(key) {
            Ok((View::Str(text) | View::Bin(text), _)) => write_text(out, text),
            _ => {
                let mut text = Vec::new();
                write_value(&mut text, key, JsonStyle::default());
                write_text(out, &text);
            }
        }
        out.extend_from_slice(b",\"value\":");
        write_any(out, value, depth);
        out.push(b'}');
    }
    out.push(b']');
}

/// Appends a value as OTLP's `AnyValue`; nil, and what is nested too deep, is none.
fn write_any(out: &mut Vec<u8>, value: &[u8], depth: usize) {
    out.push(b'{');
    match View::parse(value).map(|(view, _)| view) {
        Ok(View::Bool(is_so)) => out.extend_from_slice(format!("\"boolValue\":{is_so}").as_bytes()),
        Ok(View::Int(number)) => out.extend_from_slice(format!("\"intValue\":\"{number}\"").as_bytes()),
        Ok(View::Uint(number)) => out.extend_from_slice(format!("\"intValue\":\"{number}\"").as_bytes()),
        Ok(View::Float(number)) => write_double(out, number, value),
        Ok(View::Str(text)) => {
            out.extend_from_slice(b"\"stringValue\":");
            write_text(out, text);
        }
        Ok(View::Bin(bytes) | View::Ext(_, bytes)) => {
            out.extend_from_slice(format!("\"bytesValue\":\"{}\"", STANDARD.encode(bytes)).as_bytes());
        }
        Ok(View::Array(array)) if depth < MAX_DEPTH => {
            out.extend_from_slice(b"\"arrayValue\":{\"values\":[");
            for (at, value) in array.raw().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                write_any(out, value, depth + 1);
            }
            out.extend_from_slice(b"]}");
        }
        Ok(View::Map(map)) if depth < MAX_DEPTH => {
            out.extend_from_slice(b"\"kvlistValue\":{\"values\":");
            write_pairs(out, map.raw(), depth + 1);
            out.push(b'}');
        }
        _ => {}
    }
    out.push(b'}');
}

/// Appends a double; what is no number has a name (OTLP, "JSON Protobuf Encoding").
fn write_double(out: &mut Vec<u8>, number: f64, value: &[u8]) {
    out.extend_from_slice(b"\"doubleValue\":");
    match number {
        number if number.is_nan() => out.extend_from_slice(b"\"NaN\""),
        f64::INFINITY => out.extend_from_slice(b"\"Infinity\""),
        f64::NEG_INFINITY => out.extend_from_slice(b"\"-Infinity\""),
        _ => {
            write_value(out, value, JsonStyle::default());
        }
    }
}

fn write_text(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    write_str_escaped(out, text);
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use ikada_msgpack::write;
    use ikada_record::{ChunkBuilder, Receipt, Tag, Timestamp};

    use super::*;

    fn written(records: &[&[u8]]) -> String {
        let mut builder = ChunkBuilder::new(Tag::from("app"));
        for (at, record) in (0..).zip(records) {
            builder.push_record(Timestamp::new(1_700_000_000 + at, 123_456_717), record);
        }
        let chunk = builder.finish(Receipt::unwatched());
        let mut out = Vec::new();
        write_document(&mut out, chunk.entries());
        let text = String::from_utf8(out).unwrap();
        let inner = text.strip_prefix(std::str::from_utf8(HEAD).unwrap()).unwrap();
        inner.strip_suffix(std::str::from_utf8(TAIL).unwrap()).unwrap().to_owned()
    }

    #[test]
    fn the_text_of_a_record_is_its_body_and_the_rest_its_attributes() {
        let mut record = b"\x83\xa1n\x05\xa3log".to_vec();
        write::str(&mut record, "hello \"日本\"".as_bytes());
        record.extend_from_slice(b"\xa1b\xc3");
        assert_eq!(
            written(&[&record, b"\x81\xa7message\xa3msg"]),
            "{\"timeUnixNano\":\"1700000000123456717\",\"attributes\":[{\"key\":\"n\",\"value\":{\"intValue\":\"5\"}},\
             {\"key\":\"b\",\"value\":{\"boolValue\":true}}],\"body\":{\"stringValue\":\"hello \\\"日本\\\"\"}},\
             {\"timeUnixNano\":\"1700000001123456717\",\"body\":{\"stringValue\":\"msg\"}}"
        );
    }

    #[test]
    fn a_record_without_a_text_is_its_own_body() {
        let body = |record: &[u8]| {
            let text = written(&[record]);
            text.strip_prefix("{\"timeUnixNano\":\"1700000000123456717\",\"body\":").unwrap().to_owned()
        };
        assert_eq!(body(b"\x80"), "{\"kvlistValue\":{\"values\":[]}}}");
        assert_eq!(
            body(b"\x82\xa1f\x92\xcb\x3f\xf8\0\0\0\0\0\0\xcb\x7f\xf8\0\0\0\0\0\0\xa3bin\xc4\x02\0\xff"),
            "{\"kvlistValue\":{\"values\":[{\"key\":\"f\",\"value\":{\"arrayValue\":{\"values\":[{\"doubleValue\":1.5},\
             {\"doubleValue\":\"NaN\"}]}}},{\"key\":\"bin\",\"value\":{\"bytesValue\":\"AP8=\"}}]}}}"
        );
        assert_eq!(body(b"\x81\xa1z\xc0"), "{\"kvlistValue\":{\"values\":[{\"key\":\"z\",\"value\":{}}]}}}");
    }

    #[test]
    fn lines_for_each_member_are_the_same_document() {
        let document = b"{\"a\":[],\"b\":{\"c\":1.5}}";
        let lines = String::from_utf8(pretty(document)).unwrap();
        assert_eq!(lines, "{\n  \"a\": [],\n  \"b\": {\n    \"c\": 1.5\n  }\n}");
    }
}
