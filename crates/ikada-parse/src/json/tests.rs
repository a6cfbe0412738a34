use proptest::prelude::*;
use serde_json::{Map, Number, Value};

use super::*;

fn transcode(text: &str) -> Result<Vec<u8>, JsonError> {
    let mut out = Vec::new();
    transcode_one(text.as_bytes(), &mut out).map(|_| out)
}

#[track_caller]
fn refused(text: &str, offset: usize, incomplete: bool) {
    let mut out = b"kept".to_vec();
    let error = transcode_one(text.as_bytes(), &mut out).unwrap_err();
    assert_eq!((error.offset, error.incomplete), (offset, incomplete), "{text}: {error}");
    assert_eq!(out, b"kept", "{text}");
}

#[test]
fn headers_take_their_smallest_form() {
    for members in [0, 1, 15, 16, 65_535, 65_536] {
        let array = vec![1_u8; members];
        let text = serde_json::to_string(&array).unwrap();
        assert_eq!(transcode(&text).unwrap(), rmp_serde::to_vec(&Value::from(array)).unwrap(), "{members}");
    }
    let map: Map<String, Value> = (0..70_000).map(|i| (i.to_string(), Value::Null)).collect();
    let text = serde_json::to_string(&map).unwrap();
    assert_eq!(transcode(&text).unwrap(), rmp_serde::to_vec(&Value::Object(map)).unwrap());
}

#[test]
fn strings_of_every_length_take_their_smallest_header() {
    for length in [0, 1, 30, 31, 32, 33, 254, 255, 256, 65_534, 65_535, 65_536] {
        for escape in ["", "\n"] {
            let string = "x".repeat(length) + escape;
            let text = serde_json::to_string(&string).unwrap();
            assert_eq!(transcode(&text).unwrap(), rmp_serde::to_vec(&string).unwrap(), "{length}");
        }
    }
}

#[test]
fn integers_stay_integers_as_far_as_64_bits_go() {
    assert_eq!(transcode("18446744073709551615").unwrap(), rmp_serde::to_vec(&u64::MAX).unwrap());
    assert_eq!(transcode("-9223372036854775808").unwrap(), rmp_serde::to_vec(&i64::MIN).unwrap());
    assert_eq!(
        transcode("18446744073709551616").unwrap(),
        rmp_serde::to_vec(&18446744073709551616_f64).unwrap()
    );
    assert_eq!(
        transcode("-9223372036854775809").unwrap(),
        rmp_serde::to_vec(&-9223372036854775809_f64).unwrap()
    );
    assert_eq!(transcode("-0").unwrap(), [0]);
    assert_eq!(transcode("-0.0").unwrap(), rmp_serde::to_vec(&-0.0_f64).unwrap());
    assert_eq!(transcode("1.0").unwrap(), rmp_serde::to_vec(&1.0_f64).unwrap());
    let long = "1".repeat(300);
    assert_eq!(transcode(&long).unwrap(), rmp_serde::to_vec(&long.parse::<f64>().unwrap()).unwrap());
    refused("[1e400]", 1, false);
    refused(&"1".repeat(400), 0, false);
}

#[test]
fn keys_keep_their_order_and_their_doubles() {
    assert_eq!(transcode(r#"{"b":1,"a":2,"b":3}"#).unwrap(), b"\x83\xa1b\x01\xa1a\x02\xa1b\x03");
}

#[test]
fn bytes_in_strings_pass_as_they_are() {
    let mut out = Vec::new();
    assert_eq!(transcode_one(b"\"a\xff\t\0\xe3\x81\"", &mut out), Ok(8));
    assert_eq!(out, b"\xa6a\xff\t\0\xe3\x81");
}

#[test]
fn escapes_that_spell_no_character_are_kept_or_replaced() {
    let string = |text: &str| rmp_serde::to_vec(text).unwrap();
    assert_eq!(transcode(r#""\u30""#).unwrap(), string(r"\u30"));
    assert_eq!(transcode(r#""\u30\n\uzzzz""#).unwrap(), string("\\u30\n\\uzzzz"));
    assert_eq!(transcode(r#""\uD83D\uDE00\u00e9""#).unwrap(), string("😀é"));
    assert_eq!(transcode(r#""x\ud83dy""#).unwrap(), string("x\u{fffd}y"));
    assert_eq!(transcode(r#""\ude00\ud83d\ud83d""#).unwrap(), string("\u{fffd}"));
    assert_eq!(transcode(r#""\ud83d\ud83d\ude00\ud83d""#).unwrap(), string("\u{fffd}😀\u{fffd}"));
    assert_eq!(transcode(r#""\ud83d\u0041\ud83d\n""#).unwrap(), string("\u{fffd}A\u{fffd}\n"));
    refused(r#"["\x41"]"#, 2, false);
}

#[test]
fn only_the_first_value_is_taken() {
    let mut out = Vec::new();
    let text = b" \r\n{\"a\":1}{\"b\":2} 5";
    let first = transcode_one(text, &mut out).unwrap();
    assert_eq!(first, 10);
    let second = transcode_one(&text[first..], &mut out).unwrap();
    assert_eq!(second, 7);
    assert_eq!(transcode_one(&text[first + second..], &mut out), Ok(2));
    assert_eq!(out, b"\x81\xa1a\x01\x81\xa1b\x02\x05");
}

#[test]
fn what_is_no_json_is_refused_where_it_stops_being_json() {
    refused("\u{feff}{}", 0, false);
    refused("'a'", 0, false);
    refused("{a:1}", 1, false);
    refused(r#"{"a":1,}"#, 7, false);
    refused("[1,]", 3, false);
    refused("[1 2]", 3, false);
    refused(r#"{"a" 1}"#, 5, false);
    refused("[01]", 2, false);
    refused("[.5]", 1, false);
    refused("[5.]", 3, false);
    refused("[1e]", 3, false);
    refused("[-]", 2, false);
    refused("[+1]", 1, false);
    refused("[0x10]", 2, false);
    refused("[NaN]", 1, false);
    refused("[nul]", 1, false);
    refused("[True]", 1, false);
    refused(r#"{"a":1 /* c */}"#, 7, false);
    refused("}", 0, false);
}

#[test]
fn a_text_that_ends_too_soon_says_so() {
    for text in [
        "",
        "  ",
        "{",
        r#"{"a"#,
        r#"{"a""#,
        r#"{"a":"#,
        r#"{"a":1"#,
        r#"{"a":1,"#,
        "[",
        "[1,",
        "-",
        "1.",
        "1e",
        "1e+",
    ] {
        refused(text, text.len(), true);
    }
    for text in ["t", "fals", "nul", "\"", "\"\\", "\"\\u", "\"\\u00", "\"\\ud83d\\u"] {
        refused(text, text.len(), true);
    }
}

#[test]
fn depth_has_a_limit() {
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    assert!(transcode(&nested(MAX_DEPTH)).is_ok());
    refused(&nested(MAX_DEPTH + 1), MAX_DEPTH, false);
    refused(&"{\"a\":".repeat(1_000_000), MAX_DEPTH * 5, false);
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<i8>().prop_map(Value::from),
        any::<f64>().prop_map(|float| Number::from_f64(float).map_or(Value::Null, Value::Number)),
        ".{0,40}".prop_map(Value::from),
        r#"(\PC|["\\/\n\t]){0,300}"#.prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 100, 20, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..20).prop_map(Value::from),
            proptest::collection::vec((".{0,12}", inner), 0..20)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

/// The same tree, but for what the strict reader does to numbers: it rounds some floats wrongly in the last place, and
/// makes a float of `-0`. Members that came twice it drops, as a tree must.
fn alike(ours: &Value, strict: &Value) -> bool {
    match (ours, strict) {
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| alike(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.0 == b.0 && alike(a.1, b.1))
        }
        (Value::Number(a), Value::Number(b)) if a.is_f64() || b.is_f64() => {
            let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
            (a - b).abs() <= a.abs() * 1e-14
        }
        (a, b) => a == b,
    }
}

proptest! {
    #[test]
    fn every_value_becomes_what_a_tree_would_become(value in values()) {
        let expected = rmp_serde::to_vec(&value).unwrap();
        let compact = serde_json::to_string(&value).unwrap();
        let pretty = serde_json::to_string_pretty(&value).unwrap();
        prop_assert_eq!(&transcode(&compact).unwrap(), &expected);
        prop_assert_eq!(&transcode(&pretty).unwrap(), &expected);
    }

    #[test]
    fn the_beginning_of_a_container_is_always_incomplete(value in values(), cut in any::<prop::sample::Index>()) {
        let text = serde_json::to_vec(&Value::from(vec![value])).unwrap();
        let error = transcode_one(&text[..cut.index(text.len())], &mut Vec::new()).unwrap_err();
        prop_assert!(error.incomplete);
    }

    #[test]
    fn what_a_strict_reader_takes_is_taken_alike(
        value in values(),
        place in any::<prop::sample::Index>(),
        byte in proptest::sample::select(&b"{}[]\",:\\u0-.e n1 x"[..]),
    ) {
        let mut text = serde_json::to_vec(&Value::from(vec![value])).unwrap();
        let place = place.index(text.len());
        text[place] = byte;
        let mut out = Vec::new();
        let taken = transcode_one(&text, &mut out);
        let strict = serde_json::Deserializer::from_slice(&text).into_iter::<Value>().next();
        if let Some(Ok(tree)) = strict {
            prop_assert!(taken.is_ok(), "{taken:?}");
            let again = rmp_serde::from_slice::<Value>(&out).unwrap();
            prop_assert!(alike(&again, &tree), "{again} is not {tree}");
        }
    }
}
