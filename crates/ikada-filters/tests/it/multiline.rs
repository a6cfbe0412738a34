//! The filter `multiline`.

use std::sync::Arc;
use std::time::Duration;

use ikada_msgpack::write;
use ikada_plugin::registry::BuildContext;
use ikada_plugin::{Effects, EntryContext, Filter, InputMemory, Service, Verdict};
use ikada_record::{Fields, Tag, Timestamp, record_at};
use tokio::time::Instant;

use crate::support::{build, build_in, context, decode, encode, filter};

/// Sends JSON records, the first one second old, and returns what comes out, in order; `flush` says whether what waits is taken out.
fn send(filter: &dyn Filter, tag: &str, records: &[&str]) -> Vec<(i64, String)> {
    let tag = Tag::from(tag);
    let mut out = Vec::new();
    for (record, position) in records.iter().zip(0..) {
        let record = encode(record);
        let mut effects = Effects::default();
        let time = Timestamp::new(i64::from(position) + 1, 0);
        let mut cx = EntryContext { tag: &tag, time, metadata: None, position, effects: &mut effects };
        let mut fields = Fields::split(record_at(&record));
        let verdict = filter.filter(&mut cx, &mut fields);
        out.extend(effects.take_emitted().iter().map(|done| (done.time.secs(), decode(&done.record))));
        match verdict {
            Verdict::Hold => {}
            Verdict::Keep => {
                assert!(!fields.is_changed());
                out.push((time.secs(), decode(&record)));
            }
            other => panic!("{other:?}"),
        }
    }
    filter.end_of_chunk();
    out
}

fn rest(filter: &dyn Filter) -> Vec<String> {
    filter.flush(None).iter().map(|done| decode(&done.record)).collect()
}

#[test]
fn the_lines_of_a_trace_become_one_record() {
    let filter =
        filter("multiline", &[("multiline.parser", "java, python"), ("multiline.key_content", "log")]);
    let records = [
        r#"{"log":"ready","source":"stdout"}"#,
        r#"{"log":"Exception in thread main java.lang.RuntimeException: no","source":"stderr"}"#,
        r#"{"log":"\tat a.B.c(B.java:1)","source":"stderr"}"#,
        r#"{"n":1}"#,
        r#"{"log":"ready again","source":"stdout"}"#,
    ];
    let out = send(&*filter, "app", &records);
    let trace = r#"{"log":"Exception in thread main java.lang.RuntimeException: no\n\tat a.B.c(B.java:1)","source":"stderr"}"#;
    let expected = [(1, records[0]), (2, trace), (4, records[3]), (5, records[4])];
    assert_eq!(out, expected.map(|(time, record)| (time, record.to_owned())));
    assert_eq!(filter.due(), None);
}

#[test]
fn what_waits_is_due_and_goes_out_at_the_stop() {
    let filter = filter(
        "multiline",
        &[("multiline.parser", "go"), ("multiline.key_content", "log"), ("flush_ms", "600")],
    );
    let before = Instant::now();
    assert_eq!(send(&*filter, "app", &[r#"{"log":"panic: no"}"#]), []);
    let due = filter.due().unwrap();
    assert!(due >= before + Duration::from_millis(600));
    assert!(filter.flush(Some(before)).is_empty());
    let done = filter.flush(Some(due));
    assert_eq!(done.len(), 1);
    assert_eq!(done[0].held.len(), 1);
    assert_eq!(filter.due(), None);
    send(&*filter, "app", &[r#"{"log":"panic: again"}"#]);
    assert_eq!(rest(&*filter), [r#"{"log":"panic: again"}"#]);
}

#[test]
fn containers_with_one_tag_are_told_apart() {
    let filter = filter("multiline", &[("multiline.parser", "go"), ("multiline.key_content", "log")]);
    let records = [
        r#"{"log":"panic: a","container_id":"a"}"#,
        r#"{"log":"panic: b","container_id":"b"}"#,
        r#"{"log":"","container_id":"a"}"#,
        r#"{"log":"goroutine 1 [running]:","container_id":"a"}"#,
    ];
    assert_eq!(send(&*filter, "app", &records), []);
    let mut rest = rest(&*filter);
    rest.sort();
    let expected = [
        r#"{"log":"panic: a\n\ngoroutine 1 [running]:","container_id":"a"}"#,
        r#"{"log":"panic: b","container_id":"b"}"#,
    ];
    assert_eq!(rest, expected);
}

#[test]
fn parts_of_a_line_are_joined_by_their_ordinals() {
    let filter = filter("multiline", &[("mode", "partial_message"), ("multiline.key_content", "log")]);
    let part = |text: &str, ordinal: u32, last: bool| {
        format!(
            r#"{{"log":"{text}","source":"stdout","partial_message":"true","partial_id":"x","partial_ordinal":"{ordinal}","partial_last":"{last}"}}"#
        )
    };
    let records = [
        part("one-", 1, false),
        part("three", 3, true),
        r#"{"log":"other"}"#.to_owned(),
        part("two-", 2, false),
    ];
    let out = send(&*filter, "app", &records.each_ref().map(String::as_str));
    let expected = [(3, r#"{"log":"other"}"#), (1, r#"{"source":"stdout","log":"one-two-three"}"#)];
    assert_eq!(out, expected.map(|(time, record)| (time, record.to_owned())));
}

#[test]
fn parts_that_never_end_go_out_as_they_are() {
    let filter = filter("multiline", &[("mode", "partial_message"), ("multiline.key_content", "log")]);
    let records = [
        r#"{"log":"a","partial_message":true,"partial_id":"x","partial_ordinal":1}"#,
        r#"{"log":"b","partial_message":"true","partial_id":"y"}"#,
        r#"{"log":"c","partial_message":"true"}"#,
        r#"{"partial_message":"true","partial_id":"z"}"#,
    ];
    let out = send(&*filter, "app", &records);
    assert_eq!(out.len(), 2, "without an id or a text it is no part: {out:?}");
    assert!(filter.due().is_some());
    assert_eq!(rest(&*filter), [r#"{"log":"a"}"#, r#"{"log":"b"}"#]);
    assert_eq!(filter.due(), None);
}

#[test]
fn too_much_that_waits_goes_out() {
    let properties =
        [("multiline.parser", "go"), ("multiline.key_content", "log"), ("emitter_mem_buf_limit", "100")];
    let filter = filter("multiline", &properties);
    let long = format!(r#"{{"log":"panic: {}"}}"#, "x".repeat(100));
    assert_eq!(send(&*filter, "app", &[&long]), [(1, long)]);
    assert_eq!(filter.due(), None);
}

#[test]
fn what_waits_is_part_of_the_memory_of_all_inputs() {
    let memory = Arc::new(InputMemory::new(5_000, Duration::ZERO));
    let service = Arc::new(Service { input_memory: memory.clone(), ..Service::default() });
    let cx = BuildContext { service, ..context("multiline") };
    let (part, line) = ("x".repeat(3_000), "y".repeat(3_000));
    let parts = [("mode", "partial_message"), ("multiline.key_content", "log")];
    let lines = [("multiline.parser", "go"), ("multiline.key_content", "log")];
    let parts = build_in("multiline", &parts, &cx).filter.unwrap();
    let lines = build_in("multiline", &lines, &cx).filter.unwrap();
    let part = format!(r#"{{"log":"{part}","partial_message":"true","partial_id":"x"}}"#);
    assert_eq!(send(&*parts, "app", &[&part]), []);
    assert!((3_000..5_000).contains(&memory.used()), "{}", memory.used());
    let line = format!(r#"{{"log":"panic: {line}"}}"#);
    assert_eq!(send(&*lines, "app", &[&line]).len(), 1, "together they are too much");
    assert!((3_000..5_000).contains(&memory.used()), "{}", memory.used());
    assert_eq!(rest(&*parts).len(), 1);
    assert_eq!(memory.used(), 0);
}

#[test]
fn metadata_is_that_of_the_first_line() {
    let filter = filter("multiline", &[("multiline.parser", "go"), ("multiline.key_content", "log")]);
    let mut metadata = Vec::new();
    write::map_header(&mut metadata, 1);
    write::str(&mut metadata, b"m");
    write::uint(&mut metadata, 1);
    let record = encode(r#"{"log":"panic: a"}"#);
    let mut effects = Effects::default();
    let (tag, time) = (Tag::from("t"), Timestamp::new(1, 0));
    let mut cx =
        EntryContext { tag: &tag, time, metadata: Some(&metadata), position: 0, effects: &mut effects };
    filter.filter(&mut cx, &mut Fields::split(record_at(&record)));
    assert_eq!(filter.flush(None)[0].metadata, metadata);
}

#[test]
fn mistakes_are_refused() {
    let finding = |properties: &[(&str, &str)]| build("multiline", properties).findings.join("\n");
    assert!(finding(&[]).contains("error[missing-option]"));
    assert!(finding(&[("multiline.parser", "jav")]).contains("did you mean `java`?"));
    assert!(finding(&[("multiline.parser", "java"), ("flush_ms", "100")]).contains("500 or more"));
    assert!(finding(&[("mode", "partial_message")]).contains("multiline.key_content"));
    let both = [("mode", "partial_message"), ("multiline.parser", "go"), ("multiline.key_content", "log")];
    assert!(finding(&both).contains("error[conflicting-options]"));
}
