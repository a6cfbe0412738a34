//! Replays every line that Fluent Bit was seen to parse.
#![allow(clippy::unwrap_used, missing_docs)]

use std::process::Command;
use std::sync::Arc;

use ikada_diag::{Diagnostics, Sources, Spanned};
use ikada_msgpack::write;
use ikada_options::{Property, PropertyBag};
use ikada_parse::{Parser, Parsers};
use ikada_record::Timestamp;
use serde_json::{Value, json};

/// Parsers of all kinds, and those that Fluent Bit's image has in further files.
const CASES: [&str; 2] = [include_str!("cases/parser-cases.jsonl"), include_str!("cases/image-cases.jsonl")];

/// 2026-11-22T12:00:00Z, the day on which the cases were recorded.
const NOW: (i64, u32) = (1_795_348_800, 0);

/// Cases that end otherwise on purpose: the time in seconds with nine digits behind the dot, or nothing, and the record. `docs/compatibility.md`
/// says why.
fn differences() -> Vec<(&'static str, Option<&'static str>, Value)> {
    let time = "2025-09-11T15:46:18.182+09:00";
    let at = |text: &str| json!({"time": text, "m": 1});
    vec![
        // A time that fits up to its zone is no time, rather than one in 1970.
        ("seed-no-zone", None, json!({"timestamp": "2025-09-11T15:46:18.182", "record": {"a": 1}})),
        ("time-z-z", None, at("2025-09-11T15:46:18.182z")),
        ("time-z-h", None, at("2025-09-11T15:46:18.182+9:00")),
        ("time-z-JST", None, at("2025-09-11T15:46:18.182 JST")),
        // Digits beyond the ninth are skipped.
        ("time-L10", Some("1757573178.123456789"), json!({"m": 1})),
        // The zone that a text names counts wherever it stands.
        ("time-z-before-L", Some("1757573178.182000000"), json!({"m": 1})),
        ("time-systz-with-z", Some("1757605578.182000000"), json!({"m": 1})),
        // Epoch times may count milliseconds, and be numbers.
        ("time-epoch-ms", Some("1757573178.182000000"), json!({"m": 1})),
        ("time-epoch-number", Some("1757573178.000000000"), json!({"m": 1})),
        ("time-epoch-float", Some("1757573178.182000000"), json!({"m": 1})),
        // No record is lost for its time.
        ("time-y2-69", None, at("69/01/02")),
        ("time-year-short", None, at("25-09-11")),
        ("time-before-epoch", None, at("1969-12-31T23:59:59Z")),
        ("time-y2106", None, at("2110-01-01T00:00:00Z")),
        ("time-strict-off-bad", None, at("not a time")),
        ("rx-time-bad-strict-off", None, json!({"time": "notatime", "msg": "hello"})),
        // Nor is a field, nor a line.
        ("rx-time-bad", None, json!({"time": "notatime", "msg": "hello"})),
        ("rx-time-badzone", None, json!({"time": "2025-09-11T15:46:18.182", "msg": "hello"})),
        ("ltsv-time-bad", None, json!({"time": "bogus", "a": "1"})),
        // A month is its first day, and a year its first month.
        ("time-noday", Some("1756684800.000000000"), json!({"m": 1})),
        ("time-yearonly", Some("1735689600.000000000"), json!({"m": 1})),
        // All fields that are opened give their keys.
        ("dec-json-extra-two", None, json!({"a": "{\"x\":1}", "b": "{\"y\":2}", "x": 1, "y": 2})),
        // Refused: an error says what to type instead.
        ("time-f", None, at(time)),
        ("time-N", None, at(time)),
        ("time-3N", None, at(time)),
        ("time-zone-iana", None, json!(null)),
        ("time-zone-iana-dst", None, json!(null)),
        ("time-zone-iana-with-z", None, json!(null)),
    ]
}

/// Cases whose parser is refused when the configuration is loaded.
const REFUSED: [&str; 6] =
    ["time-f", "time-N", "time-3N", "time-zone-iana", "time-zone-iana-dst", "time-zone-iana-with-z"];

fn cases() -> Vec<Value> {
    CASES.iter().flat_map(|text| text.lines()).map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn every_line_becomes_the_recorded_record() {
    // Lines without a parser are those of the input that read them.
    let cases: Vec<Value> = cases().into_iter().filter(|case| !case["parser"].is_null()).collect();
    let here: Vec<&Value> = cases.iter().filter(|case| case["env"].is_null()).collect();
    let failures: Vec<String> = here.iter().filter_map(|case| failure(case)).collect();
    assert!(failures.is_empty(), "{} cases differ:\n{}", failures.len(), failures.join("\n"));
    assert!(here.len() > 350, "only {} cases", here.len());
    let unknown: Vec<_> =
        differences().into_iter().filter(|(id, ..)| cases.iter().all(|case| case["id"] != *id)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

/// Cases with a time zone of the process run in a process that has it.
#[test]
fn lines_in_the_time_zone_of_the_process_become_the_recorded_record() {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "in_a_time_zone", "--ignored", "--nocapture"])
        // As Asia/Tokyo, but known without a zone database.
        .env("TZ", "JST-9")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"));
}

#[test]
#[ignore = "needs a time zone: another test runs it in one"]
fn in_a_time_zone() {
    let cases = cases();
    let here: Vec<&Value> = cases.iter().filter(|case| case["env"]["TZ"] == "Asia/Tokyo").collect();
    let failures: Vec<String> = here.iter().filter_map(|case| failure(case)).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(here.len() >= 2);
}

fn failure(case: &Value) -> Option<String> {
    let id = case["id"].as_str().unwrap();
    let (parser, findings) = parser(&case["parser"]);
    let Some(parser) = parser else {
        return (!REFUSED.contains(&id)).then(|| format!("{id}: refused: {findings:?}"));
    };
    if REFUSED.contains(&id) {
        return Some(format!("{id}: not refused"));
    }
    let mut out = vec![0xc0];
    let line = line_of(case);
    let parsed = parser.parse(&line, Timestamp::new(NOW.0, NOW.1), &mut out);
    let time = parsed.ok().flatten().map(|time| format!("{}.{:09}", time.secs(), time.nanos()));
    let record = parsed.is_ok().then(|| out[1..].to_vec());
    if parsed.is_err() && out != [0xc0] {
        return Some(format!("{id}: something is left behind"));
    }
    let (expected_time, expected) = expected(case, id);
    let same = match (&record, &expected) {
        (Some(record), Some(expected)) => is(record, expected),
        (None, None) => true,
        _ => false,
    };
    let shown =
        record.map(|record| rmp_serde::from_slice::<Value>(&record).unwrap_or(Value::Null).to_string());
    (!same || time != expected_time).then(|| {
        format!("{id}: got {time:?} {}, expected {expected_time:?} {expected:?}", shown.unwrap_or_default())
    })
}

/// The time and the record that a case ends with; no record if the parser does not take the line.
fn expected(case: &Value, id: &str) -> (Option<String>, Option<Value>) {
    if let Some((_, time, record)) = differences().into_iter().find(|(other, ..)| *other == id) {
        return (time.map(str::to_owned), Some(record));
    }
    if case["parse_failed"] == true {
        return (None, None);
    }
    let time = case["sec"].as_u64().map(|secs| format!("{secs}.{:09}", case["nsec"].as_u64().unwrap()));
    (time, Some(case["record"].clone()))
}

fn line_of(case: &Value) -> Vec<u8> {
    match case["line_hex"].as_str() {
        Some(hex) => from_hex(hex),
        None => case["line"].as_str().unwrap().as_bytes().to_vec(),
    }
}

/// Builds a parser as a configuration would, and returns it with what was found.
fn parser(definition: &Value) -> (Option<Arc<Parser>>, Vec<String>) {
    if let Some(name) = definition["Builtin"].as_str() {
        return (Parsers::new().get(name), Vec::new());
    }
    let mut text = String::from("[PARSER]\n");
    let mut places = Vec::new();
    let mut write = |key: &str, value: &str| {
        // The configuration's reader trims values.
        let value = value.trim();
        let key_at = text.len() + 4;
        let value_at = key_at + key.len() + 1;
        text.push_str(&format!("    {key} {value}\n"));
        places.push(((key_at, key_at + key.len()), (value_at, value_at + value.len())));
    };
    write("Name", "x");
    for (key, value) in definition.as_object().unwrap() {
        match value {
            Value::Array(values) => values.iter().for_each(|value| write(key, value.as_str().unwrap())),
            value => write(key, value.as_str().unwrap()),
        }
    }
    let mut sources = Sources::default();
    let file = sources.add("parsers.conf", text);
    let spanned = |(start, end): (usize, usize)| {
        let span = file.span(start, end);
        Spanned::new(sources.slice(span).to_owned(), span)
    };
    let properties = places.iter().map(|(key, value)| Property::new(spanned(*key), spanned(*value)));
    let bag = PropertyBag::new("parser x", file.span(0, 8), properties.collect());
    let mut found = Diagnostics::new();
    let mut parsers = Parsers::new();
    parsers.define(bag, &mut found);
    (parsers.get("x"), found.lines(&sources).collect())
}

fn is(record: &[u8], expected: &Value) -> bool {
    if expected.to_string().contains("\"__") {
        let mut out = Vec::new();
        encode(expected, &mut out);
        return record == out;
    }
    alike(&rmp_serde::from_slice(record).unwrap(), expected)
}

/// Equal, fields in order, but for the last bit of floats, which the reader of the case file does not promise.
fn alike(got: &Value, expected: &Value) -> bool {
    match (got, expected) {
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.0 == b.0 && alike(a.1, b.1))
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| alike(a, b)),
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
