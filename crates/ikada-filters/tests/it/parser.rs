//! The filter `parser`, beside its recorded cases.

use ikada_plugin::{Effects, EntryContext};
use ikada_record::{Fields, Tag, Timestamp, record_at};

use crate::support::{build, build_with, encode, filter, parsers_of, run_json, time};

#[test]
fn parsers_that_need_no_file_are_known() {
    let filter = filter("parser", &[("Key_Name", "log"), ("Parser", "json"), ("Reserve_Data", "on")]);
    let records = run_json(
        &*filter,
        &[r#"{"log":"{\"level\":\"info\"}","container_name":"web"}"#, r#"{"log":"plain"}"#],
    );
    assert_eq!(records, [r#"{"level":"info","container_name":"web"}"#, r#"{"log":"plain"}"#]);
}

#[test]
fn the_built_in_json_parser_understands_rfc_3339_and_leaves_the_field() {
    let filter = filter("parser", &[("Key_Name", "log"), ("Parser", "json")]);
    let record = encode(r#"{"log":"{\"time\":\"2025-09-11T06:46:18.5Z\"}"}"#);
    let mut effects = Effects::default();
    let tag = Tag::from("t");
    let mut cx = EntryContext { tag: &tag, time: time(), metadata: None, position: 0, effects: &mut effects };
    let mut fields = Fields::split(record_at(&record));
    filter.filter(&mut cx, &mut fields);
    assert_eq!(effects.take_time(), Some(Timestamp::new(1_757_573_178, 500_000_000)));
    assert!(fields.get(b"time").is_some());
}

#[test]
fn a_parser_that_does_not_exist_is_refused_with_the_near_ones() {
    let findings = build("parser", &[("Key_Name", "log"), ("Parser", "jason")]).findings;
    assert_eq!(
        findings,
        ["x.conf:3:12: error[unknown-parser]: no parser is named `jason` (help: did you mean `json`?)"]
    );
    let findings = build("parser", &[("Key_Name", "log"), ("Parser", "app_events")]).findings;
    assert!(findings[0].contains("Parsers_File"), "{findings:?}");
}

#[test]
fn a_filter_without_a_parser_is_refused() {
    let findings = build("parser", &[("Key_Name", "log")]).findings;
    assert!(findings[0].contains("error[missing-option]"), "{findings:?}");
}

#[test]
fn a_second_field_of_the_name_is_tried_when_the_first_is_no_text() {
    let parsers = parsers_of("[PARSER]\n    Name kv\n    Format logfmt\n");
    let built =
        build_with("parser", &[("Key_Name", "log"), ("Parser", "kv"), ("Reserve_Data", "on")], parsers);
    let records = run_json(&*built.filter.unwrap(), &[r#"{"log":5,"log":"a=1","x":true}"#]);
    assert_eq!(records, [r#"{"a":"1","log":5,"x":true}"#]);
}
