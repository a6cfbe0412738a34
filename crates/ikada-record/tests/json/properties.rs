//! What holds for any value.

use ikada_record::json::{
    DateFormat, DateKey, dump_value, write_record, write_record_in_string, write_str_escaped, write_value,
};
use proptest::prelude::*;

use crate::model::{Value, values};
use crate::{OFF, ON, bytes, entry_text, map, s, text};

#[test]
fn every_byte_is_escaped_at_every_place_of_a_word() {
    for byte in 0..=255u8 {
        for len in [1, 3, 8, 9, 16, 31, 32, 33, 64, 70] {
            for at in 0..len {
                let mut input = vec![b'x'; len];
                input[at] = byte;
                for style in [ON, OFF] {
                    let value = s(&input);
                    assert_eq!(bytes(&value, style), value.json(style.escape_unicode));
                }
            }
        }
    }
}

#[test]
fn text_of_every_length_is_looked_at_to_its_end() {
    for len in 0..=100 {
        for byte in [0, 0x1f, 0x20, 0x21, 0x22, 0x5b, 0x5c, 0x7e, 0x7f, 0x80, 0xe3, 0xff] {
            for at in 0..=len {
                let mut input: Vec<u8> = (0..len as u8).map(|n| b'0' + n % 10).collect();
                input.insert(at, byte);
                for style in [ON, OFF] {
                    let value = s(&input);
                    assert_eq!(bytes(&value, style), value.json(style.escape_unicode));
                }
            }
        }
    }
}

#[test]
fn a_huge_string_comes_out_whole() {
    let mut input = "0123456789 plain text, \"quoted\" and 日本語\n".repeat(100_000).into_bytes();
    input.push(0xff);
    let value = s(&input);
    for style in [ON, OFF] {
        assert_eq!(bytes(&value, style), value.json(style.escape_unicode));
    }
}

#[test]
fn of_a_hundred_thousand_repeated_keys_the_last_ones_stay() {
    let count = 100_000;
    let pairs = |round| (0..count).map(move |n: u64| (s(n.to_string().as_bytes()), Value::Uint(n + round)));
    let record = Value::Map(pairs(0).chain(pairs(1)).collect());
    let expected: Vec<String> = (0..count).map(|n| format!("\"{n}\":{}", n + 1)).collect();
    assert_eq!(text(&record, ON), format!("{{{}}}", expected.join(",")));
}

#[test]
fn repeated_keys_at_every_level_cost_no_more_than_a_few_walks() {
    let mut value = s(&[b'x'; 100_000]);
    for _ in 0..60 {
        value = map(&[("k", value), ("k2", Value::Nil), ("k2", Value::Uint(1))]);
    }
    assert_eq!(bytes(&value, ON), value.json(true));
}

#[test]
fn keys_inside_keys_do_not_double_their_quotes() {
    let mut value = s(b"\"");
    for _ in 0..30 {
        value = Value::Map(vec![(value, Value::Nil)]);
    }
    let encoded = Value::Map(vec![(value, Value::Nil)]).encoded();
    let mut out = Vec::new();
    write_record(&mut out, &encoded, ON);
    assert!(out.len() < 1000);
    assert!(serde_json::from_slice::<serde_json::Value>(&out).is_ok());
}

#[test]
fn bytes_that_end_early_are_still_json() {
    let value = map(&[("log", s(b"hello")), ("list", Value::Array(vec![Value::Float(0.5), map(&[])]))]);
    let encoded = value.encoded();
    for end in 0..encoded.len() {
        let mut out = Vec::new();
        assert!(write_value(&mut out, &encoded[..end], ON) <= end);
        assert!(serde_json::from_slice::<serde_json::Value>(&out).is_ok(), "{out:?}");
        dump_value(&mut out, &encoded[..end]);
    }
}

#[test]
fn nesting_beyond_the_bound_ends_in_null() {
    for nested in [&b"\x91"[..], b"\x81\xa0"] {
        let (mut out, bytes) = (Vec::new(), nested.repeat(100_000));
        write_value(&mut out, &bytes, ON);
        assert!(out.len() < 1000);
        assert!(serde_json::from_slice::<serde_json::Value>(&out).is_ok());
        dump_value(&mut out, &bytes);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn any_value_is_the_json_that_the_model_says(value in values()) {
        for style in [ON, OFF] {
            let out = bytes(&value, style);
            let expected = value.json(style.escape_unicode);
            prop_assert_eq!(String::from_utf8_lossy(&out), String::from_utf8_lossy(&expected));
            let parsed = serde_json::from_slice::<serde_json::Value>(&out);
            prop_assert!(parsed.is_ok(), "{:?}", parsed);
        }
    }

    #[test]
    fn a_record_in_a_string_equals_its_json_escaped(value in values()) {
        let encoded = value.encoded();
        for style in [ON, OFF] {
            let (mut inner, mut expected, mut out) = (Vec::new(), Vec::new(), vec![b'!']);
            write_value(&mut inner, &encoded, style);
            prop_assert_eq!(write_str_escaped(&mut expected, &inner), inner.len());
            let len = write_record_in_string(&mut out, &encoded, style);
            prop_assert_eq!(String::from_utf8_lossy(&out[1..]), String::from_utf8_lossy(&expected));
            prop_assert_eq!(len, inner.len());
            let quoted = [b"\"", &out[1..], b"\""].concat();
            let read: String = serde_json::from_slice(&quoted).unwrap();
            prop_assert_eq!(read.as_bytes(), &inner[..]);
        }
    }

    #[test]
    fn text_in_a_string_reads_back_as_the_text(text in "\\PC{0,80}|[\\x00-\\xff]{0,80}") {
        let mut out = vec![b'"'];
        write_str_escaped(&mut out, text.as_bytes());
        out.push(b'"');
        prop_assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
    }

    #[test]
    fn bytes_in_a_string_read_back_as_text(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
        let mut out = vec![b'"'];
        let len = write_str_escaped(&mut out, &bytes);
        out.push(b'"');
        let read: String = serde_json::from_slice(&out).unwrap();
        prop_assert_eq!(len, read.len());
        if let Ok(text) = std::str::from_utf8(&bytes) {
            prop_assert_eq!(text, read);
        }
    }

    #[test]
    fn any_bytes_become_json(bytes in proptest::collection::vec(any::<u8>(), 0..200), map_first: bool) {
        let mut bytes = bytes;
        if map_first {
            bytes.insert(0, 0x8f);
        }
        let mut out = Vec::new();
        prop_assert!(write_value(&mut out, &bytes, ON) <= bytes.len());
        prop_assert!(serde_json::from_slice::<serde_json::Value>(&out).is_ok());
        dump_value(&mut out, &bytes);
    }

    #[test]
    fn a_date_does_not_change_the_rest(
        value in values(),
        name in prop_oneof![Just("a"), Just("b"), Just("date"), Just("__internal__")],
        metadata in proptest::option::of(values()),
    ) {
        let record = Value::Map(match value { Value::Map(pairs) => pairs, other => vec![(s(b"v"), other)] });
        let metadata = metadata.filter(|value| matches!(value, Value::Map(_)));
        let mut whole = vec![(s(name.as_bytes()), Value::Uint(1_700_000_000))];
        if let Some(Value::Map(pairs)) = &metadata && !pairs.is_empty() {
            let inner = vec![(s(b"log_metadata"), Value::Map(pairs.clone()))];
            whole.push((s(b"__internal__"), Value::Map(inner)));
        }
        let Value::Map(pairs) = &record else { unreachable!() };
        whole.extend(pairs.iter().cloned());
        let expected = String::from_utf8(Value::Map(whole).json(true)).unwrap();
        let date = DateKey::new(name, DateFormat::Epoch);
        prop_assert_eq!(entry_text(&record, metadata.as_ref(), Some(&date), ON), expected);
    }
}
