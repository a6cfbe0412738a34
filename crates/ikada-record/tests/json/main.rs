//! Records as JSON and as a text dump: recorded rows of Fluent Bit, random values against an obvious model, and against the
//! program itself where there is one.
#![allow(clippy::unwrap_used, missing_docs)]

mod beside_fluent_bit;
mod model;
mod properties;
mod rows;

use ikada_record::json::{DateKey, JsonStyle, write_entry, write_value};
use ikada_record::{ChunkBuilder, Receipt, Tag, Timestamp};
use model::Value;

const ON: JsonStyle = JsonStyle { escape_unicode: true };
const OFF: JsonStyle = JsonStyle { escape_unicode: false };

fn time() -> Timestamp {
    Timestamp::new(1_700_000_000, 123_456_717)
}

fn s(text: &[u8]) -> Value {
    Value::Str(text.to_vec())
}

fn map(pairs: &[(&str, Value)]) -> Value {
    Value::Map(pairs.iter().map(|(key, value)| (s(key.as_bytes()), value.clone())).collect())
}

fn bytes(value: &Value, style: JsonStyle) -> Vec<u8> {
    let encoded = value.encoded();
    let mut out = Vec::new();
    assert_eq!(write_value(&mut out, &encoded, style), encoded.len());
    out
}

fn text(value: &Value, style: JsonStyle) -> String {
    String::from_utf8(bytes(value, style)).unwrap()
}

fn entry_text(record: &Value, metadata: Option<&Value>, date: Option<&DateKey>, style: JsonStyle) -> String {
    let mut builder = ChunkBuilder::new(Tag::from("t"));
    match metadata {
        Some(metadata) => builder.push_with_metadata(time(), &metadata.encoded(), &record.encoded()),
        None => builder.push_record(time(), &record.encoded()),
    }
    let chunk = builder.finish(Receipt::unwatched());
    let mut out = Vec::new();
    write_entry(&mut out, &chunk.entries().next().unwrap(), date, style);
    String::from_utf8(out).unwrap()
}
