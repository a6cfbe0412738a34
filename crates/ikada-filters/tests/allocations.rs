//! A chain of filters costs no allocation per record.
#![allow(clippy::unwrap_used, missing_docs)]

use allocation_counter::measure;
use ikada_filters::grep::{Grep, GrepOptions};
use ikada_filters::log_to_metrics::{LogToMetrics, LogToMetricsOptions};
use ikada_filters::modify::{Modify, ModifyOptions};
use ikada_filters::nest::{Nest, NestOptions};
use ikada_filters::parser::{Parser, ParserFilterOptions};
use ikada_filters::record_modifier::{RecordModifier, RecordModifierOptions};
use ikada_filters::type_converter::{TypeConverter, TypeConverterOptions};
use ikada_options::{Diagnostics, Options, Property, PropertyBag, SourceId, Sources, Spanned};
use ikada_parse::Parsers;
use ikada_plugin::{Effects, EntryContext, Filter, Verdict};
use ikada_record::{Fields, Tag, Timestamp, record_at};

fn options<O: Options>(file: SourceId, properties: &[(&str, &str)]) -> O {
    let span = file.span(0, 0);
    let spanned = |text: &str| Spanned::new(text.to_owned(), span);
    let properties =
        properties.iter().map(|(key, value)| Property::new(spanned(key), spanned(value))).collect();
    O::parse(&mut PropertyBag::new("filter", span, properties), &mut Diagnostics::new()).unwrap()
}

/// A record as Docker's log driver sends it.
fn record(log: &[u8]) -> Vec<u8> {
    let mut out = vec![0x84];
    let fields: [(&[u8], &[u8]); 4] = [
        (b"log", log),
        (b"source", b"stdout"),
        (b"container_id", &[b'a'; 64]),
        (b"container_name", b"/app-firelens-1"),
    ];
    for (key, value) in fields {
        ikada_msgpack::write::str(&mut out, key);
        ikada_msgpack::write::str(&mut out, value);
    }
    out
}

/// Counts what a chain allocates on 300 records, after as many that make it ready; says how many stay.
fn allocated_by(chain: &[Box<dyn Filter>], records: &[Vec<u8>]) -> (u64, u32) {
    let tag = Tag::from("app");
    let mut fields = Fields::default();
    let mut out = Vec::with_capacity(4096);
    let mut effects = Effects::default();
    let mut kept = 0;
    let mut pass = || {
        for (record, position) in records.iter().cycle().take(300).zip(0..) {
            let mut cx = EntryContext {
                tag: &tag,
                time: Timestamp::new(1, 2),
                metadata: None,
                position,
                effects: &mut effects,
            };
            fields.refill(record_at(record));
            if chain.iter().all(|filter| filter.filter(&mut cx, &mut fields) == Verdict::Keep) {
                out.clear();
                fields.write(&mut out);
                kept += 1;
            }
        }
    };
    pass();
    let counted = measure(pass);
    (counted.count_total, kept / 2)
}

#[test]
fn the_common_chain_allocates_nothing_in_steady_state() {
    let mut sources = Sources::default();
    let file = sources.add("x.conf", "");
    let modify: ModifyOptions = options(
        file,
        &[
            ("Condition", "Key_value_matches log ^(GET|POST|DELETE)"),
            ("Condition", "Key_exists $container_name"),
            ("Rename", "log message"),
            ("Copy", "message log"),
            ("Hard_rename", "container_name name"),
            ("Set", "cluster \"prod 1\""),
            ("Remove_wildcard", "so"),
            ("Move_to_start", "name"),
        ],
    );
    let grep: GrepOptions = options(
        file,
        &[("Exclude", "log health"), ("Exclude", "$name ^/sidecar-[0-9]+$"), ("Regex", "log GET|POST")],
    );
    let modifier: RecordModifierOptions = options(
        file,
        &[
            ("Record", "cluster prod"),
            ("Record", "task \"my task\""),
            ("Remove_key", "container_i*"),
            ("Uuid_key", "id"),
        ],
    );
    let mut found = Diagnostics::new();
    let chain: [Box<dyn Filter>; 3] = [
        Box::new(Modify::build(&modify, &mut found).unwrap()),
        Box::new(Grep::build(&grep, &mut found).unwrap()),
        Box::new(RecordModifier::build(&modifier, &mut found).unwrap()),
    ];
    let records = [record(b"GET /index 200"), record(b"GET /health 200"), record(b"DELETE /x \xff 500")];
    assert_eq!(allocated_by(&chain, &records), (0, 100));
}

#[test]
fn a_parser_many_rules_and_a_metric_in_the_chain_allocate_nothing_either() {
    let mut sources = Sources::default();
    let file = sources.add("x.conf", "");
    let parser: ParserFilterOptions =
        options(file, &[("Key_Name", "log"), ("Parser", "json"), ("Reserve_Data", "on")]);
    let modify: ModifyOptions = options(file, &[("Rename", "msg message"), ("Set", "cluster prod")]);
    let excludes = ["health", "^GET /ping", "[0-9]{5}", "bot$", "zz+"].map(|one| format!("message {one}"));
    let excludes: Vec<_> = excludes.iter().map(|rule| ("Exclude", &**rule)).collect();
    let grep: GrepOptions = options(file, &excludes);
    let modifier: RecordModifierOptions =
        options(file, &[("Record", "task \"my task\""), ("Remove_key", "container_i*")]);
    let metric: LogToMetricsOptions = options(
        file,
        &[
            ("metric_mode", "histogram"),
            ("metric_description", "d"),
            ("value_field", "ms"),
            ("label_field", "level"),
            ("add_label", "from $source"),
        ],
    );
    let (mut found, section) = (Diagnostics::new(), file.span(0, 0));
    let chain: [Box<dyn Filter>; 5] = [
        Box::new(Parser::build(&parser, &Parsers::new(), &mut found).unwrap()),
        Box::new(Modify::build(&modify, &mut found).unwrap()),
        Box::new(Grep::build(&grep, &mut found).unwrap()),
        Box::new(RecordModifier::build(&modifier, &mut found).unwrap()),
        Box::new(LogToMetrics::build(&metric, section, &mut found).unwrap()),
    ];
    let records = [
        record(br#"{"level":"info","msg":"GET /cart","ms":12.5}"#),
        record(br#"{"level":"warn","msg":"GET /health","ms":1}"#),
        record(br#"{"level":"info","msg":"a \"quoted\" word","ms":"7 ms"}"#),
    ];
    assert_eq!(allocated_by(&chain, &records), (0, 200));
}

#[test]
fn made_values_use_the_room_of_earlier_ones() {
    let mut sources = Sources::default();
    let file = sources.add("x.conf", "");
    let nest: NestOptions = options(
        file,
        &[
            ("Operation", "nest"),
            ("Wildcard", "container_*"),
            ("Nest_under", "container"),
            ("Remove_prefix", "container_"),
        ],
    );
    let lift: NestOptions =
        options(file, &[("Operation", "lift"), ("Nested_under", "container"), ("Add_prefix", "c.")]);
    let convert: TypeConverterOptions =
        options(file, &[("str_key", "log n int"), ("str_key", "log f float")]);
    let mut found = Diagnostics::new();
    let chain: [Box<dyn Filter>; 3] = [
        Box::new(Nest::build(&nest, file.span(0, 0), &mut found).unwrap()),
        Box::new(Nest::build(&lift, file.span(0, 0), &mut found).unwrap()),
        Box::new(TypeConverter::build(&convert, file.span(0, 0), &mut found).unwrap()),
    ];
    let records = [record(b"200 ok"), record(b"-5.25e1")];
    assert_eq!(allocated_by(&chain, &records), (0, 300));
}
