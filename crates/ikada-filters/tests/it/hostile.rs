//! Whatever a record holds, every filter leaves a whole record behind.

use ikada_msgpack::{View, write};
use ikada_plugin::{Effects, EntryContext};
use ikada_record::{Fields, Tag, record_at};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::support::{build, time};

/// One encoded value of any kind, up to three levels deep.
fn value() -> BoxedStrategy<Vec<u8>> {
    let made = |write: fn(&mut Vec<u8>, &[u8])| {
        vec(any::<u8>(), 0..40).prop_map(move |bytes| {
            let mut out = Vec::new();
            write(&mut out, &bytes);
            out
        })
    };
    let names = proptest::sample::select(vec!["a", "b", "log", "m", "pre", "pre_x", "level", ""]);
    let leaf = prop_oneof![
        4 => names.prop_map(|name| { let mut out = Vec::new(); write::str(&mut out, name.as_bytes()); out }),
        2 => made(write::str),
        1 => made(write::bin),
        1 => any::<i64>().prop_map(|n| { let mut out = Vec::new(); write::int(&mut out, n); out }),
        1 => any::<u64>().prop_map(|n| { let mut out = Vec::new(); write::uint(&mut out, n); out }),
        1 => any::<f64>().prop_map(|n| { let mut out = Vec::new(); write::float(&mut out, n); out }),
        1 => proptest::sample::select(vec![vec![0xc0], vec![0xc2], vec![0xc3], vec![0xd4, 5, 1]]),
    ];
    leaf.prop_recursive(3, 24, 5, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(|items| {
                let mut out = Vec::new();
                write::array_header(&mut out, items.len());
                out.extend(items.concat());
                out
            }),
            map(inner),
        ]
    })
    .boxed()
}

fn map(inner: BoxedStrategy<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    vec((inner.clone(), inner), 0..6).prop_map(|pairs| {
        let mut out = Vec::new();
        write::map_header(&mut out, pairs.len());
        pairs.into_iter().for_each(|(key, value)| out.extend([key, value].concat()));
        out
    })
}

/// A section of each filter that has much to say.
const SECTIONS: [(&str, &[(&str, &str)]); 14] = [
    ("grep", &[("Exclude", "$m['log'][0] x{3}"), ("Exclude", "a ^$")]),
    (
        "modify",
        &[
            ("Condition", "No_key_matches zz"),
            ("Hard_rename", "a b"),
            ("Hard_copy", "log a"),
            ("Move_to_start", "p"),
            ("Set", "z 1"),
        ],
    ),
    (
        "modify",
        &[
            ("Condition", "Matching_keys_have_matching_values ^a ."),
            ("Remove_regex", "^l"),
            ("Move_to_end", ""),
        ],
    ),
    ("record_modifier", &[("Record", "a b"), ("Remove_key", "PRE*"), ("Uuid_key", "u")]),
    ("nest", &[("Operation", "nest"), ("Wildcard", "*"), ("Nest_under", "m"), ("Add_prefix", "p")]),
    ("nest", &[("Operation", "lift"), ("Nested_under", "m"), ("Remove_prefix", "pre")]),
    ("nest", &[("Operation", "lift"), ("Nested_under", "m"), ("Add_prefix", "pre")]),
    ("rewrite_tag", &[("Rule", "$a (.) $1.$m['a'][0].$b.$TAG[1] true"), ("Rule", "$m['log'] .* $m false")]),
    (
        "type_converter",
        &[
            ("str_key", "a a int"),
            ("str_key", "log b float"),
            ("str_key", "b h hex"),
            ("int_key", "a s string"),
            ("float_key", "a f int"),
        ],
    ),
    ("expect", &[("action", "result_key"), ("key_val_eq", "$m['a'] x")]),
    ("content_modifier", &[("action", "hash"), ("key", "a")]),
    ("content_modifier", &[("action", "convert"), ("key", "a"), ("converted_type", "string")]),
    ("content_modifier", &[("action", "convert"), ("key", "a"), ("converted_type", "int")]),
    ("content_modifier", &[("action", "extract"), ("key", "log"), ("pattern", "(?<a>.)(?<log>.*)?")]),
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn every_filter_leaves_a_whole_record_behind(records in vec(map(value()), 1..4)) {
        let tag = Tag::from("a.b");
        for (name, properties) in SECTIONS {
            let filter = build(name, properties).filter.unwrap();
            let mut effects = Effects::default();
            let mut fields = Fields::default();
            for (record, position) in records.iter().zip(0..) {
                let mut cx = EntryContext { tag: &tag, time: time(), metadata: None, position, effects: &mut effects };
                fields.refill(record_at(record));
                filter.filter(&mut cx, &mut fields);
                let mut out = Vec::new();
                fields.write(&mut out);
                let (view, len) = View::parse(&out).unwrap();
                prop_assert!(len == out.len() && view.as_map().is_some(), "{name}");
            }
            filter.end_of_chunk();
        }
    }
}
