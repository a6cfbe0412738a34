//! Parsing a line allocates nothing, once its buffers have grown.
#![allow(clippy::unwrap_used, missing_docs)]

use std::sync::Arc;
use std::time::Duration;

use ikada_diag::{Diagnostics, Sources, Spanned};
use ikada_options::{Property, PropertyBag};
use ikada_parse::multiline::Joiner;
use ikada_parse::{Parser, Parsers};
use ikada_record::Timestamp;

fn parser(options: &[(&str, &str)]) -> Arc<Parser> {
    let mut sources = Sources::default();
    let span = sources.add("x", "x").span(0, 1);
    let text = |text: &str| Spanned::new(text.to_owned(), span);
    let mut properties = vec![Property::new(text("name"), text("x"))];
    properties.extend(options.iter().map(|(key, value)| Property::new(text(key), text(value))));
    let mut parsers = Parsers::new();
    parsers.define(PropertyBag::new("parser", span, properties), &mut Diagnostics::new());
    parsers.get("x").unwrap()
}

fn allocations(parser: &Parser, line: &[u8]) -> u64 {
    let mut out = Vec::new();
    let mut pass = || {
        for _ in 0..100 {
            out.clear();
            parser.parse(line, Timestamp::new(1, 0), &mut out).unwrap();
        }
    };
    pass();
    allocation_counter::measure(pass).count_total
}

#[test]
fn a_parsed_line_allocates_nothing_in_steady_state() {
    let iso = "%Y-%m-%dT%H:%M:%S.%L%z";
    let json = parser(&[
        ("format", "json"),
        ("time_key", "timestamp"),
        ("time_format", iso),
        ("decode_field_as", "escaped log do_next"),
        ("decode_field_as", "json log"),
    ]);
    let line =
        br#"{"timestamp":"2025-09-11T15:46:18.182+09:00","log":"{\"a\":[1,2,3]}","n":1,"text":"a\nb"}"#;
    assert_eq!(allocations(&json, line), 0, "json");
    let regex = parser(&[
        ("format", "regex"),
        ("regex", r"^(?<time>[^ ]+) (?<level>\w+) (?<code>\d+) (?<message>.*)$"),
        ("time_format", iso),
        ("types", "code:integer"),
    ]);
    assert_eq!(allocations(&regex, b"2025-09-11T15:46:18.182+09:00 INFO 200 ready and well"), 0, "regex");
    let logfmt = parser(&[("format", "logfmt")]);
    assert_eq!(allocations(&logfmt, br#"level=info msg="a \"b\" c" ok"#), 0, "logfmt");
    assert_eq!(allocations(&parser(&[("format", "ltsv")]), b"a:1\tb:2"), 0, "ltsv");
}

#[test]
fn a_joined_line_allocates_nothing_in_steady_state() {
    let parsers = Parsers::new();
    let parsers: Arc<[_]> = [parsers.multiline("cri").unwrap(), parsers.multiline("java").unwrap()].into();
    let mut joiner = Joiner::new(parsers, None);
    let lines = [
        "2025-09-11T06:46:18.123456789+09:00 stdout P part",
        "2025-09-11T06:46:18.123456789+09:00 stdout F whole",
        "plain",
        "java.lang.Error: no",
        "\tat x",
    ];
    let mut bytes = 0;
    let mut pass = || {
        for line in lines.iter().cycle().take(100) {
            let mut hand = |done: ikada_parse::multiline::Finished<'_, ()>| bytes += done.record.len();
            joiner.push_line(line.as_bytes(), Timestamp::new(1, 0), (), Duration::ZERO, &mut hand);
        }
    };
    pass();
    assert_eq!(allocation_counter::measure(pass).count_total, 0);
    assert!(bytes > 0);
}
