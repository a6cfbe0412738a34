//! Replays what Fluent Bit was seen to make of JSON lines.
#![allow(clippy::unwrap_used, missing_docs)]

use ikada_msgpack::{View, write};
use ikada_parse::json::transcode_one;
use serde_json::{Value, json};

const CASES: &str = include_str!("cases/parser-cases.jsonl");

#[test]
fn lines_become_the_recorded_records() {
    let cases: Vec<Value> = CASES.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    // Times and decoders are other modules' work.
    let replayed: Vec<&Value> =
        cases.iter().filter(|case| case["parser"] == json!({"Format": "json"})).collect();
    let failures: Vec<String> = replayed.iter().filter_map(|case| failure(case)).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(replayed.len() > 60, "only {} cases", replayed.len());
}

fn failure(case: &Value) -> Option<String> {
    let line = match case["line_hex"].as_str() {
        Some(hex) => from_hex(hex),
        None => case["line"].as_str().unwrap().as_bytes().to_vec(),
    };
    let got = record(&line);
    let as_recorded = match &got {
        Some(record) if case["parse_failed"] != true => is(record, &case["record"]),
        got => got.is_none() && case["parse_failed"] == true,
    };
    (!as_recorded).then(|| format!("got {got:02x?}: {case}"))
}

/// The rule of the JSON parser: one object, then anything but another whole value.
fn record(line: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let taken = transcode_one(line, &mut out).ok()?;
    let is_object = matches!(View::parse(&out), Ok((View::Map(_), _)));
    let alone = transcode_one(&line[taken..], &mut Vec::new()).is_err();
    (is_object && alone).then_some(out)
}

fn is(record: &[u8], expected: &Value) -> bool {
    if expected.to_string().contains("\"__") {
        let mut out = Vec::new();
        encode(expected, &mut out);
        return record == out;
    }
    alike(&rmp_serde::from_slice(record).unwrap(), expected)
}

/// Equal, but for the last bit of floats, which the reader of the case file does not promise.
fn alike(got: &Value, expected: &Value) -> bool {
    match (got, expected) {
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, value)| b.get(key).is_some_and(|b| alike(value, b)))
        }
        (Value::Number(a), Value::Number(b)) if a.is_f64() && b.is_f64() => {
            let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
            (a - b).abs() <= a.abs() * 1e-15
        }
        (a, b) => a == b,
    }
}

/// Writes a recorded value with its stand-ins for what JSON cannot say.
fn encode(value: &Value, out: &mut Vec<u8>) {
    if let Some(hex) = value["__bytes_hex__"].as_str() {
        return write::str(out, &from_hex(hex));
    }
    if let Some(pairs) = value["__pairs__"].as_array() {
        write::map_header(out, pairs.len());
        for pair in pairs {
            write::str(out, pair[0].as_str().unwrap().as_bytes());
            encode(&pair[1], out);
        }
        return;
    }
    let Some(map) = value.as_object() else {
        out.extend(rmp_serde::to_vec(value).unwrap());
        return;
    };
    write::map_header(out, map.len());
    for (key, value) in map {
        write::str(out, key.as_bytes());
        encode(value, out);
    }
}

fn from_hex(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
}
