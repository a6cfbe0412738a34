//! A chain of filters costs no allocation per record.
#![allow(clippy::unwrap_used, missing_docs)]

use allocation_counter::measure;
use ikada_filters::grep::{Grep, GrepOptions};
use ikada_filters::record_modifier::{RecordModifier, RecordModifierOptions};
use ikada_options::{Diagnostics, Options, Property, PropertyBag, SourceId, Sources, Spanned};
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

#[test]
fn grep_and_record_modifier_allocate_nothing_in_steady_state() {
    let mut sources = Sources::default();
    let file = sources.add("x.conf", "");
    let grep: GrepOptions = options(
        file,
        &[
            ("Exclude", "log health"),
            ("Exclude", "$container_name ^/sidecar-[0-9]+$"),
            ("Regex", "log GET|POST"),
        ],
    );
    let modifier: RecordModifierOptions = options(
        file,
        &[("Record", "cluster prod"), ("Record", "task \"my task\""), ("Remove_key", "container_i*")],
    );
    let mut found = Diagnostics::new();
    let chain: [Box<dyn Filter>; 2] = [
        Box::new(Grep::build(&grep, &mut found).unwrap()),
        Box::new(RecordModifier::build(&modifier, &mut found).unwrap()),
    ];
    let records = [record(b"GET /index 200"), record(b"GET /health 200"), record(b"DELETE /x \xff 500")];
    let tag = Tag::from("app");
    let mut fields = Fields::default();
    let mut out = Vec::with_capacity(4096);
    let mut effects = Effects::default();
    let mut pass = || {
        let mut kept = 0;
        for (position, record) in records.iter().cycle().take(300).zip(0..).map(|(record, n)| (n, record)) {
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
        assert_eq!(kept, 100);
    };
    pass();
    let counted = measure(pass);
    assert_eq!(counted.count_total, 0, "{counted:?}");
}
