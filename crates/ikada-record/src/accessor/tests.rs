use ikada_msgpack::write;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{Piece, Tag, record_at};

fn encode(value: &Value) -> Vec<u8> {
    let mut buf = Vec::new();
    put(&mut buf, value);
    buf
}

fn put(buf: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null => write::nil(buf),
        Value::Bool(b) => write::bool(buf, *b),
        Value::Number(n) if n.is_u64() => write::uint(buf, n.as_u64().unwrap()),
        Value::Number(n) if n.is_i64() => write::int(buf, n.as_i64().unwrap()),
        Value::Number(n) => write::float(buf, n.as_f64().unwrap()),
        Value::String(text) => write::str(buf, text.as_bytes()),
        Value::Array(list) => {
            write::array_header(buf, list.len());
            list.iter().for_each(|value| put(buf, value));
        }
        Value::Object(map) => {
            write::map_header(buf, map.len());
            for (key, value) in map {
                write::str(buf, key.as_bytes());
                put(buf, value);
            }
        }
    }
}

/// The text that an accessor finds, by both ways of looking.
fn find(accessor: &str, record: &Value) -> Option<String> {
    let accessor = Accessor::new(accessor).unwrap();
    let bytes = encode(record);
    let fields = Fields::split(record_at(&bytes));
    let found = accessor.lookup_map_raw(record_at(&bytes));
    assert_eq!(accessor.lookup_raw(&fields), found);
    found.map(|value| {
        let mut out = Vec::new();
        write_text(&mut out, value);
        String::from_utf8(out).unwrap()
    })
}

fn sample() -> Value {
    json!({"a": "x", "a.b": "dotted", "m": {"k": "v", "n": [["p", "q"], {"z": "zz"}], "it's": "quote", "x.y": "dot"},
        "TAG": "tagged", "TAGS": "t", "_x": "under", "A-b/c9": "signs", "1a": "digit", "@t": "at", "t": "plain", "鍵": "key"})
}

#[test]
fn each_recorded_spelling_finds_what_it_found_in_fluent_bit() {
    let cases = [
        ("a", Some("x")),
        ("$a", Some("x")),
        ("a.b", Some("x")),
        ("$a.b", Some("x")),
        ("a,zzz", Some("x")),
        ("a\"q", Some("x")),
        ("a@", Some("x")),
        ("#a", Some("x")),
        ("%a", Some("x")),
        ("@t", Some("plain")),
        ("_x", Some("under")),
        ("A-b/c9", Some("signs")),
        ("m['k']", Some("v")),
        ("$m['k']", Some("v")),
        ("$m['k'].b", Some("v")),
        ("$m['n'][0][1]", Some("q")),
        ("$m['n'][1]['z']", Some("zz")),
        ("$m['n'][9]", None),
        ("$m['n']['z']", None),
        ("$m[0]", None),
        ("$m['it''s']", Some("quote")),
        ("$m['x.y']", Some("dot")),
        ("$m['nope']['k']", None),
        ("nope", None),
        ("TAG", None),
        ("$TAG", None),
        ("TAGS", None),
        ("1a", None),
        ("$1", None),
    ];
    for (accessor, expected) in cases {
        assert_eq!(find(accessor, &sample()).as_deref(), expected, "{accessor}");
    }
}

#[test]
fn any_top_level_key_can_be_reached_in_brackets() {
    let cases = [
        ("$['a.b']", "dotted"),
        ("$['1a']", "digit"),
        ("$['@t']", "at"),
        ("['鍵']", "key"),
        ("$['TAG']", "tagged"),
        ("$['m']['k']", "v"),
        ("$['m']['n'][0][0]", "p"),
    ];
    for (accessor, expected) in cases {
        assert_eq!(find(accessor, &sample()).as_deref(), Some(expected), "{accessor}");
        assert!(Accessor::new(accessor).unwrap().cautions().is_empty(), "{accessor}");
    }
}

#[test]
fn what_is_no_accessor_is_refused_at_its_place() {
    let cases = [
        ("", 0, "a key is missing"),
        ("$", 1, "a key is missing"),
        ("鍵", 3, "a plain name is made of ASCII letters, digits, `_`, `-` and `/`"),
        ("a:b", 2, "`b` cannot follow a reference"),
        ("a@b", 2, "`b` cannot follow a reference"),
        ("$a$m", 2, "`$` cannot follow a reference"),
        ("$$a", 1, "a key cannot start with `$`"),
        ("$m['k']b", 7, "`b` cannot follow a reference"),
        ("$m['k'", 6, "a closing bracket is missing"),
        ("$m['k", 3, "a closing quote is missing"),
        ("$m[k]", 3, "brackets hold a key in single quotes or a position"),
        ("$m[\"k\"]", 3, "brackets hold a key in single quotes or a position"),
        ("$m[99999999999999999999]", 3, "the position is too large"),
        ("$[0]", 4, "a record has keys, not positions: write `$['key']`"),
    ];
    for (text, at, message) in cases {
        assert_eq!(Accessor::new(text), Err(AccessorError { message: message.into(), at }), "{text}");
    }
}

#[test]
fn a_spelling_that_means_something_else_leaves_a_caution() {
    let said = |text: &str| {
        let accessor = Accessor::new(text).unwrap();
        let list: Vec<_> = accessor
            .cautions()
            .iter()
            .map(|c| format!("{}: {} ({})", c.at, c.message, c.help.as_deref().unwrap_or_default()))
            .collect();
        list.join("; ")
    };
    assert_eq!(said("$log"), "");
    assert_eq!(
        said("@timestamp"),
        "0: `@` cannot stand in a plain name and is skipped (write `$['@timestamp']` for the key of that name)"
    );
    assert_eq!(said("a.b.c"), "1: only `a` is looked at (write `$['a.b.c']` for the key of that name)");
    assert_eq!(
        said("1a"),
        "0: a name that starts with a digit means a capture, so this never finds a value \
         (write `$['1a']` for the key of that name)"
    );
    assert!(said("$TAG[0]").contains("means the tag"));
    assert!(Accessor::new("TAG").unwrap().finds_nothing());
}

#[test]
fn of_duplicates_the_last_is_seen_at_every_depth() {
    let inner = b"\x82\xa1k\xa3one\xa1k\xa3two";
    let record = [&b"\x82\xa1m\x80\xa1m"[..], inner].concat();
    let accessor = Accessor::new("$m['k']").unwrap();
    assert_eq!(accessor.lookup_map(record_at(&record)), Some(View::Str(b"two")));
    let mut fields = Fields::split(record_at(&record));
    assert_eq!(accessor.lookup(&fields), Some(View::Str(b"two")));
    fields.push(Piece::Ref(b"\xa1m"), Piece::Ref(b"\x81\xa1k\x07"));
    assert_eq!(accessor.lookup(&fields), Some(View::Uint(7)));
}

#[test]
fn an_exact_accessor_takes_its_name_literally() {
    for name in ["a.b", "it's", "", "$x", "鍵"] {
        let accessor = Accessor::exact(name);
        let record = encode(&json!({ name: 1 }));
        assert_eq!(accessor.lookup_map(record_at(&record)), Some(View::Uint(1)), "{name}");
        assert_eq!(Accessor::new(accessor.as_str()).unwrap(), accessor);
    }
}

/// Renders with the captures `e`, as of `^(e)` on `e`; a missing reference is marked with its name.
fn render(template: &str, tag: &str, record: &Value) -> String {
    let template = Template::new(template).unwrap();
    let record = encode(record);
    let mut out = Vec::new();
    let capture = |n| (n < 2).then_some(&b"e"[..]);
    let missing = template.render_with(&mut out, &Tag::from(tag), record_at(&record), capture);
    let mut out = String::from_utf8(out).unwrap();
    if let Err(missing) = missing {
        out.push_str(" !");
        out.push_str(missing.reference.as_str());
    }
    out
}

#[test]
fn each_recorded_template_renders_as_in_fluent_bit() {
    let record = json!({"a": "x", "b": "y", "svc": "web", "svc_b": "und", "m": {"k": "v", "n": [1, {"z": 2}], "u": "日"},
        "i": 5, "neg": -7, "big": u64::MAX, "f": 1.5, "f2": 1e20, "t": true, "z": null, "s": "a b/c\"d", "e": "", "u": "日本"});
    let cases = [
        ("", ""),
        ("x", "x"),
        ("$i", "5"),
        ("$neg", "-7"),
        ("$f", "1.500000"),
        ("$f2", "100000000000000000000.000000"),
        ("$t.$z", "true.null"),
        ("$m", r#"{"k":"v","n":[1,{"z":2}],"u":"\u65e5"}"#),
        ("<$m['n']", "<"),
        ("$m['k']", "v"),
        ("$m['n'][0]", "1"),
        ("$m['n'][1]", r#"{"z":2}"#),
        ("$s", "a b/c\"d"),
        ("$u", "日本"),
        ("$e.q", ".q"),
        ("x-$svc-", "x- !$svc-"),
        ("$svc/x", " !$svc/x"),
        ("$svc_b", "und"),
        ("$svc.$a", "web.x"),
        ("$svc!", "web"),
        ("$svc)", "web"),
        ("($svc,", "(web,"),
        ("$a $b\"$a", "x y\"x"),
        ("$svc[0]", " !$svc[0]"),
        ("$svc['q'].z", ".z !$svc['q']"),
        ("$nope.$gone", ". !$nope"),
        ("$TAG", "in.sub"),
        ("$TAG[0]x", "inx"),
        ("$TAG[1].x", "sub.x"),
        ("$TAG[12]", ""),
        ("$TAG[0]-$a", "in-x"),
        ("$TAG-x", "in.sub-x"),
        ("$TAG/x", "in.sub/x"),
        ("$TAGS", "in.subS"),
        ("$TAG[", "in.sub["),
        ("$TAG.$TAG[1].$TAG[0]", "in.sub.sub.in"),
        ("$tag", " !$tag"),
        ("$0", "e"),
        ("$1x$a", "exx"),
        ("$1$1", "ee"),
        ("$9.", "."),
        ("$11", "1"),
        ("日本.$svc", "日本.web"),
        ("x:$svc", "x:web"),
        ("a'b$b", "a'by"),
        ("$['svc']", "web"),
        ("$big", "18446744073709551615"),
        ("$TAG$a", "in.subx"),
    ];
    for (template, expected) in cases {
        assert_eq!(render(template, "in.sub", &record), expected, "{template}");
    }
    assert_eq!(render("x.$TAG[0].$TAG[1]", "nodots", &record), "x.nodots.");
}

#[test]
fn what_is_no_template_is_refused_at_its_place() {
    let cases = [
        ("x$", 1),
        ("$.a", 0),
        ("$svc:x", 5),
        ("$svc$a", 4),
        ("x-$svc-$TAG", 7),
        ("$m['k']x", 7),
        ("$m['k']$a", 7),
        ("[$svc]", 5),
        ("a.$svc=1", 7),
        ("$$svc", 1),
        ("$m['k'", 6),
        ("$m[k]", 3),
        ("$TAG[x]", 5),
        ("$TAG[+1]", 5),
        ("$a,$b;c", 5),
    ];
    for (text, at) in cases {
        assert_eq!(Template::new(text).map_err(|error| error.at), Err(at), "{text}");
    }
}

#[test]
fn values_json_cannot_say_have_a_text_form() {
    let text = |value: &[u8]| {
        let mut out = Vec::new();
        write_text(&mut out, value);
        String::from_utf8(out).unwrap()
    };
    assert_eq!(text(b"\xc4\x03\x00\xab\xff"), "00abff");
    assert_eq!(text(b"\xd4\x05\x01"), "");
    assert_eq!(text(b"\xcb\x7f\xf8\0\0\0\0\0\0"), "nan");
    assert_eq!(text(b"\xcb\xff\xf0\0\0\0\0\0\0"), "-inf");
    assert_eq!(text(b"\xcb\x80\0\0\0\0\0\0\0"), "-0.000000");
    assert_eq!(text(b"\xd3\x80\0\0\0\0\0\0\0"), "-9223372036854775808");
}

#[test]
fn a_template_tells_its_parts() {
    let template = Template::new("a-$TAG[1].$1.$k").unwrap();
    assert!(matches!(template.parts()[1], Part::TagPart(1)));
    assert_eq!(template.to_string(), "a-$TAG[1].$1.$k");
    assert_eq!(template.as_text(), None);
    assert_eq!(Template::new("plain").unwrap().as_text(), Some("plain"));
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused_inside_itself(text in "[$\\[\\]'a-cTAG0-2.,\" @é-]{0,12}|.{0,12}") {
        match Accessor::new(&text) {
            Ok(accessor) => prop_assert_eq!(accessor.as_str(), text.as_str()),
            Err(error) => prop_assert!(error.at <= text.len()),
        }
        match Template::new(&text) {
            Ok(template) => prop_assert!(template.cautions().all(|caution| caution.at <= text.len())),
            Err(error) => prop_assert!(error.at <= text.len()),
        }
    }

    #[test]
    fn any_key_is_reached_by_its_exact_name(key in ".{0,20}", other in ".{0,20}") {
        let record = encode(&json!({ &key: 1, &other: 2 }));
        let expected = if key == other { 2 } else { 1 };
        let accessor = Accessor::new(Accessor::exact(&key).as_str()).unwrap();
        prop_assert_eq!(accessor.lookup_map(record_at(&record)), Some(View::Uint(expected)));
    }

    #[test]
    fn text_without_a_dollar_stays_as_it_is(text in "[^$]{0,30}") {
        let template = Template::new(&text).unwrap();
        prop_assert_eq!(template.as_text(), Some(text.as_str()));
    }
}
