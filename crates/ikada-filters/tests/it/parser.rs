//! The filter `parser`, beside its recorded cases.

use std::sync::Arc;

use ikada_options::{Diagnostics, Property, PropertyBag, Sources, Spanned};
use ikada_parse::Parsers;
use ikada_plugin::{Effects, EntryContext};
use ikada_record::{Fields, Tag, Timestamp, record_at};

use crate::support::{build, build_with, encode, filter, run_json, time};

/// The parsers that a text in the classic format defines.
pub(crate) fn parsers_of(text: &str) -> Arc<Parsers> {
    let mut sources = Sources::default();
    let file = sources.add("parsers.conf", text);
    let mut parsers = Parsers::new();
    let mut found = Diagnostics::new();
    let starts: Vec<usize> = text.match_indices("[PARSER]").map(|(at, _)| at).collect();
    for (number, start) in starts.iter().enumerate() {
        let end = starts.get(number + 1).copied().unwrap_or(text.len());
        let spanned = |part: &str| {
            let at = part.as_ptr() as usize - text.as_ptr() as usize;
            Spanned::new(part.to_owned(), file.span(at, at + part.len()))
        };
        let lines = text[*start..end].lines().skip(1).filter_map(|line| line.trim().split_once(' '));
        let properties = lines.map(|(key, value)| Property::new(spanned(key), spanned(value.trim())));
        let bag = PropertyBag::new("parser", file.span(*start, start + 8), properties.collect());
        parsers.define(bag, &mut found);
    }
    assert!(found.is_empty(), "{:?}", found.lines(&sources).collect::<Vec<_>>());
    Arc::new(parsers)
}

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
