//! Making fields of text costs no allocation per record.
#![allow(clippy::unwrap_used, missing_docs)]

use allocation_counter::measure;
use ikada_filters::parser::{Parser, ParserFilterOptions};
use ikada_msgpack::write;
use ikada_options::{Diagnostics, Options, Property, PropertyBag, Sources, Spanned};
use ikada_parse::Parsers;
use ikada_plugin::{Effects, EntryContext, Filter, Verdict};
use ikada_record::{Fields, Tag, Timestamp, record_at};

fn filter(parser: &str) -> Parser {
    let span = Sources::default().add("x", "x").span(0, 1);
    let text = |text: &str| Spanned::new(text.to_owned(), span);
    let properties = [("key_name", "log"), ("parser", parser), ("reserve_data", "on")];
    let properties = properties.iter().map(|(key, value)| Property::new(text(key), text(value)));
    let mut found = Diagnostics::new();
    let mut bag = PropertyBag::new("filter parser", span, properties.collect());
    let options = ParserFilterOptions::parse(&mut bag, &mut found).unwrap();
    Parser::build(&options, &Parsers::new(), &mut found).unwrap()
}

fn allocations(filter: &Parser, log: &str) -> u64 {
    let mut record = Vec::new();
    write::map_header(&mut record, 3);
    for (key, value) in [("log", log), ("source", "stdout"), ("container_name", "/app-firelens-1")] {
        write::str(&mut record, key.as_bytes());
        write::str(&mut record, value.as_bytes());
    }
    let tag = Tag::from("app");
    let mut fields = Fields::default();
    let mut effects = Effects::default();
    let mut out = Vec::new();
    let mut pass = || {
        for position in 0..100 {
            let time = Timestamp::new(1, 0);
            let mut cx = EntryContext { tag: &tag, time, metadata: None, position, effects: &mut effects };
            fields.refill(record_at(&record));
            assert_eq!(filter.filter(&mut cx, &mut fields), Verdict::Keep);
            assert!(fields.is_changed());
            out.clear();
            fields.write(&mut out);
        }
    };
    pass();
    measure(pass).count_total
}

#[test]
fn text_that_becomes_fields_allocates_nothing_in_steady_state() {
    let json = r#"{"level":"info","message":"ready","code":200,"nested":{"a":[1,2]},"time":"2025-09-11T06:46:18.1Z"}"#;
    assert_eq!(allocations(&filter("json"), json), 0);
    let line = r#"192.0.2.1 - frank [11/Sep/2025:15:46:18 +0900] "GET /a HTTP/1.1" 200 2326 "-" "curl/8.0""#;
    assert_eq!(allocations(&filter("apache"), line), 0);
}
