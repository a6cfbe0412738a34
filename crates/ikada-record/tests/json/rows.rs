//! Rows recorded from Fluent Bit, and rows where Ikada writes something better.

use ikada_msgpack::write;
use ikada_record::json::{DateFormat, DateKey, dump_entry, dump_entry_flat, dump_value, write_record};
use ikada_record::{Entry, Tag};

use crate::model::Value;
use crate::{OFF, ON, entry_text, map, s, text, time};

#[test]
fn values_are_written_as_fluent_bit_writes_them() {
    let cases: Vec<(Value, &str)> = vec![
        (map(&[("b", Value::Uint(1)), ("a", Value::Nil)]), r#"{"b":1,"a":null}"#),
        (map(&[("k", Value::Uint(1)), ("x", Value::Uint(2)), ("k", Value::Uint(3))]), r#"{"x":2,"k":3}"#),
        (map(&[("o", map(&[("k", Value::Uint(1)), ("k", Value::Uint(2))]))]), r#"{"o":{"k":2}}"#),
        (Value::Array(vec![Value::Bool(true), Value::Bool(false)]), "[true,false]"),
        (Value::Uint(u64::MAX), "18446744073709551615"),
        (Value::Int(i64::MIN), "-9223372036854775808"),
        (Value::Float(-0.0), "-0.0"),
        (Value::Float(100.0), "100.0"),
        (Value::Float(0.1), "0.1"),
        (Value::Float(1.5e300), "1.5e+300"),
        (Value::Float(1e-7), "1e-07"),
        (Value::Bin(b"a\"b".to_vec()), r#""a\"b""#),
        (Value::Array(vec![Value::Uint(1), s(b"a"), Value::Nil]), r#"[1,"a",null]"#),
        (map(&[]), "{}"),
        (Value::Array(vec![]), "[]"),
        (s(b""), r#""""#),
        (s(b"\"\\/<>&"), r#""\"\\/<>&""#),
        (s(b"\x08\x0c\n\r\t\x01\x1f\x7f"), r#""\b\f\n\r\t\u0001\u001f\u007f""#),
        (s("é日😀\u{80}\u{ffff}".as_bytes()), r#""\u00e9\u65e5\ud83d\ude00\u0080\uffff""#),
        (
            map(&[
                ("s", s(b"plain \"q\" \\ / \x08\x0c\n\r\t \x01 \x7f end")),
                ("u", s("日本語 é 😀".as_bytes())),
            ]),
            r#"{"s":"plain \"q\" \\ / \b\f\n\r\t \u0001 \u007f end","u":"\u65e5\u672c\u8a9e \u00e9 \ud83d\ude00"}"#,
        ),
    ];
    for (value, expected) in cases {
        assert_eq!(text(&value, ON), expected);
    }
}

#[test]
fn what_fluent_bit_writes_as_broken_json_is_json() {
    let cases: Vec<(Value, &str)> = vec![
        (Value::Float(f64::NAN), "null"),
        (Value::Float(f64::NEG_INFINITY), "null"),
        (Value::Ext(5, vec![0x01, 0x7f, 0xff, 0x80]), r#""017fff80""#),
        (Value::Map(vec![(Value::Uint(5), s(b"x"))]), r#"{"5":"x"}"#),
        (Value::Map(vec![(Value::Nil, s(b"x"))]), r#"{"null":"x"}"#),
        (Value::Map(vec![(Value::Float(1.0), s(b"x"))]), r#"{"1.0":"x"}"#),
        (Value::Map(vec![(Value::Float(f64::NAN), s(b"x"))]), r#"{"null":"x"}"#),
        (Value::Map(vec![(Value::Ext(1, vec![0xab]), Value::Nil)]), r#"{"ab":null}"#),
        (
            Value::Map(vec![(Value::Array(vec![Value::Uint(1), s(b"a")]), Value::Nil)]),
            r#"{"[1,\"a\"]":null}"#,
        ),
        (
            Value::Map(vec![(Value::Map(vec![(Value::Array(vec![]), Value::Nil)]), Value::Nil)]),
            r#"{"{\"90\":null}":null}"#,
        ),
    ];
    for (value, expected) in cases {
        assert_eq!(text(&value, ON), expected);
        assert!(serde_json::from_str::<serde_json::Value>(expected).is_ok());
    }
}

#[test]
fn bytes_that_are_not_utf8_stay_visible() {
    // What is written with escaping and without it.
    let cases: [(&[u8], &str, &str); 12] = [
        (b"a\xffbcdefgh", "a\u{e0ff}bcdefgh", "a\u{fffd}bcdefgh"),
        (b"a\x80b", "a\u{e080}b", "a\u{fffd}b"),
        (b"\xe3\x81", "\u{e081}", "\u{fffd}\u{fffd}"),
        (b"\xe3a", "a", "\u{fffd}a"),
        (b"\xe3ab", "\u{e0e3}ab", "\u{fffd}ab"),
        (b"\xff", "", "\u{fffd}"),
        (b"end\xc3", "end", "end\u{fffd}"),
        (b"\xed\xa0\x80", "\u{e0ed}\u{e0a0}\u{e080}", "\u{fffd}\u{fffd}\u{fffd}"),
        (b"\xc0\x80", "\\u0000", "\u{fffd}\u{fffd}"),
        (b"\xc1\xa2", "\\u0062", "\u{fffd}\u{fffd}"),
        (b"\xf4\x90\x80\x80", "\u{e0f4}\u{e090}\u{e080}\u{e080}", "\u{fffd}\u{fffd}\u{fffd}\u{fffd}"),
        (b"\xc3\xa9\xc3(\xc3\xa9", "\\u00e9\u{e0c3}(\\u00e9", "é\u{fffd}(é"),
    ];
    for (input, escaped, plain) in cases {
        assert_eq!(text(&s(input), ON), format!("\"{escaped}\""), "{input:x?}");
        assert_eq!(text(&s(input), OFF), format!("\"{plain}\""), "{input:x?}");
    }
}

#[test]
fn the_date_comes_first_and_a_field_of_its_name_wins() {
    let date = DateKey::new("date", DateFormat::Double);
    let one = map(&[("a", Value::Uint(1))]);
    assert_eq!(entry_text(&one, None, Some(&date), ON), r#"{"date":1700000000.123457,"a":1}"#);
    assert_eq!(entry_text(&one, None, None, ON), r#"{"a":1}"#);
    assert_eq!(entry_text(&map(&[]), None, Some(&date), ON), r#"{"date":1700000000.123457}"#);
    let own = map(&[("a", Value::Uint(1)), ("date", s(b"mine"))]);
    assert_eq!(entry_text(&own, None, Some(&date), ON), r#"{"a":1,"date":"mine"}"#);
    let key = DateKey::new("日\"", DateFormat::Iso8601);
    assert_eq!(entry_text(&one, None, Some(&key), ON), r#"{"\u65e5\"":"2023-11-14T22:13:20.123456Z","a":1}"#);
    assert_eq!(entry_text(&one, None, Some(&key), OFF), r#"{"日\"":"2023-11-14T22:13:20.123456Z","a":1}"#);
}

#[test]
fn metadata_follows_the_date() {
    let date = DateKey::new("date", DateFormat::Epoch);
    let (one, meta) = (map(&[("a", Value::Uint(1))]), map(&[("k", s(b"v"))]));
    assert_eq!(
        entry_text(&one, Some(&meta), Some(&date), ON),
        r#"{"date":1700000000,"__internal__":{"log_metadata":{"k":"v"}},"a":1}"#
    );
    assert_eq!(
        entry_text(&one, Some(&meta), None, ON),
        r#"{"__internal__":{"log_metadata":{"k":"v"}},"a":1}"#
    );
    assert_eq!(entry_text(&one, Some(&map(&[])), None, ON), r#"{"a":1}"#);
    let own = map(&[("__internal__", Value::Nil)]);
    assert_eq!(entry_text(&own, Some(&meta), Some(&date), ON), r#"{"date":1700000000,"__internal__":null}"#);
    let named = DateKey::new("__internal__", DateFormat::Epoch);
    assert_eq!(
        entry_text(&map(&[]), Some(&meta), Some(&named), ON),
        r#"{"__internal__":{"log_metadata":{"k":"v"}}}"#
    );
}

#[test]
fn the_dump_shows_values_as_they_are() {
    let record = map(&[
        ("i", Value::Uint(1)),
        ("neg", Value::Int(-5)),
        ("t", Value::Bool(true)),
        ("n", Value::Nil),
        ("f", Value::Float(1.5)),
    ]);
    let mut bytes = vec![0x92];
    time().write(&mut bytes);
    bytes.extend(record.encoded());
    let (entry, _) = Entry::scan(&bytes).unwrap();
    let mut out = Vec::new();
    dump_entry(&mut out, 0, &Tag::from("app.fmt"), &entry);
    assert_eq!(
        String::from_utf8(out).unwrap(),
        r#"[0] app.fmt: [[1700000000.123456717, {}], {"i"=>1, "neg"=>-5, "t"=>true, "n"=>nil, "f"=>1.500000}]"#
    );
    let mut out = Vec::new();
    dump_entry_flat(&mut out, 7, &Tag::from("t"), &entry);
    assert_eq!(
        String::from_utf8(out).unwrap(),
        r#"[7] t: [1700000000.123456717, {}, {"i"=>1, "neg"=>-5, "t"=>true, "n"=>nil, "f"=>1.500000}]"#
    );
    let cases: Vec<(Value, &[u8])> = vec![
        (s(b"a\"b\n\xff"), b"\"a\"b\n\xff\""),
        (Value::Bin(b"a\"\\\n\xff".to_vec()), br#""a\"\\x0a\xff""#),
        (Value::Ext(-3, b"\x01z".to_vec()), br#"(ext: -3)"\x01z""#),
        (Value::Array(vec![Value::Uint(1), Value::Array(vec![])]), b"[1, []]"),
        (Value::Float(f64::NEG_INFINITY), b"-inf"),
        (Value::Float(1e20), b"100000000000000000000.000000"),
        (map(&[("k", Value::Uint(1)), ("k", Value::Uint(2))]), br#"{"k"=>1, "k"=>2}"#),
    ];
    for (value, expected) in cases {
        let mut out = Vec::new();
        let encoded = value.encoded();
        assert_eq!(dump_value(&mut out, &encoded), encoded.len());
        assert_eq!(out, expected);
    }
}

#[test]
fn short_and_long_forms_of_one_value_look_the_same() {
    let mut long =
        vec![0xdf, 0, 0, 0, 1, 0xdb, 0, 0, 0, 1, b'k', 0xdd, 0, 0, 0, 1, 0xd3, 0, 0, 0, 0, 0, 0, 0, 5];
    let mut short = Vec::new();
    write::map_header(&mut short, 1);
    write::str(&mut short, b"k");
    write::array_header(&mut short, 1);
    write::uint(&mut short, 5);
    for buf in [&mut long, &mut short] {
        let mut out = Vec::new();
        assert_eq!(write_record(&mut out, buf, ON), buf.len());
        assert_eq!(out, br#"{"k":[5]}"#);
    }
}
