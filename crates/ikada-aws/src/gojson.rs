//! Records as the AWS plugins written in Go spell them: what Go's `encoding/json` makes of a map.
//!
//! Keys are sorted by their bytes, `<`, `>` and `&` are escaped as for HTML, characters beyond ASCII stand as they are except for
//! U+2028 and U+2029, a byte that is not UTF-8 is `\ufffd`, and a float has the fewest digits that tell it apart, with an exponent
//! below 1e-6 and from 1e21 on. Binary counts as text.
//!
//! What has no JSON in Go, and had its whole record thrown away there, is written as everywhere else in Ikada: NaN and infinity as
//! `null`, a key that is no text as its JSON in quotes, an extension as the hex of its data.

use std::borrow::Cow;
use std::io::Write as _;

use ikada_msgpack::{MAX_DEPTH, MapView, View};
use ikada_record::json::{JsonStyle, write_value};
use smallvec::SmallVec;

/// A member of a map: its key's text and its encoded value.
pub(crate) type Member<'a> = (Cow<'a, [u8]>, &'a [u8]);
/// The members of a map. Records of everyday fit without allocating.
pub(crate) type Members<'a> = SmallVec<[Member<'a>; 24]>;

/// Writes values.
#[derive(Debug, Clone, Default)]
pub(crate) struct GoJson {
    /// Stands for each dot in a key, in maps within maps too, but not in maps within arrays.
    pub(crate) replace_dots: Option<String>,
}

impl GoJson {
    /// Appends one encoded value.
    pub(crate) fn value(&self, out: &mut Vec<u8>, value: &[u8]) {
        self.write(out, value, 0, true);
    }

    /// The members of a map as they are to be written, not yet in order. `dots`: those in keys may be replaced.
    pub(crate) fn split<'a>(&self, map: MapView<'a>, dots: bool) -> Members<'a> {
        map.raw().map(|(key, value)| (self.key(key, dots), value)).collect()
    }

    /// Appends a map of these members, in order. Of several under one key the last one counts.
    pub(crate) fn members(&self, out: &mut Vec<u8>, mut members: Members<'_>, depth: usize, dots: bool) {
        // Stable: the last of equal keys is the one that came last.
        members.sort_by(|(a, _), (b, _)| a.cmp(b));
        out.push(b'{');
        let mut first = true;
        for (at, (key, value)) in members.iter().enumerate() {
            if members.get(at + 1).is_some_and(|(next, _)| next == key) {
                continue;
            }
            if !first {
                out.push(b',');
            }
            first = false;
            text(out, key);
            out.push(b':');
            self.write(out, value, depth + 1, dots);
        }
        out.push(b'}');
    }

    fn write(&self, out: &mut Vec<u8>, value: &[u8], depth: usize, dots: bool) {
        match View::parse(value).map(|(view, _)| view) {
            Ok(View::Str(bytes) | View::Bin(bytes)) => text(out, bytes),
            Ok(View::Float(number)) => float(out, number),
            Ok(View::Array(_) | View::Map(_)) if depth >= MAX_DEPTH => out.extend_from_slice(b"null"),
            Ok(View::Map(map)) => self.members(out, self.split(map, dots), depth, dots),
            Ok(View::Array(array)) => {
                out.push(b'[');
                for (at, value) in array.raw().enumerate() {
                    if at > 0 {
                        out.push(b',');
                    }
                    self.write(out, value, depth + 1, false);
                }
                out.push(b']');
            }
            _ => {
                write_value(out, value, JsonStyle::default());
            }
        }
    }

    fn key<'a>(&self, key: &'a [u8], dots: bool) -> Cow<'a, [u8]> {
        let name = match View::parse(key) {
            Ok((View::Str(text) | View::Bin(text), _)) => Cow::Borrowed(text),
            _ => {
                let mut text = Vec::new();
                write_value(&mut text, key, JsonStyle::default());
                Cow::Owned(text)
            }
        };
        match &self.replace_dots {
            Some(dot) if dots && memchr::memchr(b'.', &name).is_some() => {
                Cow::Owned(name.split(|byte| *byte == b'.').collect::<Vec<_>>().join(dot.as_bytes()))
            }
            _ => name,
        }
    }
}

/// Appends text in quotes.
fn text(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    for chunk in bytes.utf8_chunks() {
        valid(out, chunk.valid().as_bytes());
        for _ in chunk.invalid() {
            out.extend_from_slice(b"\\ufffd");
        }
    }
    out.push(b'"');
}

/// Appends text that is UTF-8.
fn valid(out: &mut Vec<u8>, bytes: &[u8]) {
    let mut done = 0;
    for (at, byte) in bytes.iter().enumerate() {
        let escape: &[u8] = match byte {
            b'"' => b"\\\"",
            b'\\' => b"\\\\",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            b'\t' => b"\\t",
            b'<' => b"\\u003c",
            b'>' => b"\\u003e",
            b'&' => b"\\u0026",
            0xe2 if bytes[at..].starts_with("\u{2028}".as_bytes()) => b"\\u2028",
            0xe2 if bytes[at..].starts_with("\u{2029}".as_bytes()) => b"\\u2029",
            0x20.. => continue,
            _ => {
                out.extend_from_slice(&bytes[done..at]);
                // Writing to a vector cannot fail.
                let _written = write!(out, "\\u{byte:04x}");
                done = at + 1;
                continue;
            }
        };
        out.extend_from_slice(&bytes[done..at]);
        out.extend_from_slice(escape);
        done = at + if *byte == 0xe2 { 3 } else { 1 };
    }
    out.extend_from_slice(&bytes[done..]);
}

fn float(out: &mut Vec<u8>, number: f64) {
    if !number.is_finite() {
        return out.extend_from_slice(b"null");
    }
    let size = number.abs();
    if size == 0.0 || (1e-6..1e21).contains(&size) {
        let _written = write!(out, "{number}");
        return;
    }
    let start = out.len();
    let _written = write!(out, "{number:e}");
    // Go writes the sign of a positive exponent.
    if size >= 1.0
        && let Some(at) = memchr::memchr(b'e', &out[start..])
    {
        out.insert(start + at + 1, b'+');
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn written(json: &GoJson, record: &serde_json::Value) -> String {
        let mut out = Vec::new();
        json.value(&mut out, &rmp_serde::to_vec(record).unwrap());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn keys_are_sorted_at_every_level_and_text_is_escaped_for_html() {
        let record = json!({"z": {"b": 1, "a": "<a href=\"x\">&\u{2028}\u{7f}\u{1}\u{8}日本"}, "A": [true, null], "a": {}});
        assert_eq!(
            written(&GoJson::default(), &record),
            "{\"A\":[true,null],\"a\":{},\"z\":{\"a\":\"\\u003ca href=\\\"x\\\"\\u003e\\u0026\\u2028\u{7f}\\u0001\\u0008日本\",\"b\":1}}"
        );
    }

    #[test]
    fn floats_have_the_fewest_digits() {
        let cases = [
            (1.0, "1"),
            (0.1, "0.1"),
            (1.0 / 3.0, "0.3333333333333333"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (-2.5e22, "-2.5e+22"),
            (1e-6, "0.000001"),
            (1e-7, "1e-7"),
            (1.5e-12, "1.5e-12"),
            (-0.0, "-0"),
            (f64::NAN, "null"),
        ];
        for (number, text) in cases {
            let mut out = Vec::new();
            float(&mut out, number);
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
    }

    #[test]
    fn what_go_throws_away_is_written() {
        let mut out = Vec::new();
        GoJson::default().value(
            &mut out,
            b"\x85\x05\xa1x\xc4\x01b\xc4\x01c\xa1e\xd4\x07\x0f\xa1s\xa2a\xff\xa1n\xcb\x7f\xf8\0\0\0\0\0\0",
        );
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "{\"5\":\"x\",\"b\":\"c\",\"e\":\"0f\",\"n\":null,\"s\":\"a\\ufffd\"}"
        );
    }

    #[test]
    fn the_last_of_several_members_counts() {
        let mut out = Vec::new();
        GoJson::default().value(&mut out, b"\x83\xa1a\x01\xa1b\x02\xa1a\x03");
        assert_eq!(out, br#"{"a":3,"b":2}"#);
    }

    #[test]
    fn dots_are_replaced_in_maps_but_not_in_arrays() {
        let json = GoJson { replace_dots: Some("-".to_owned()) };
        let record = json!({"a.b.c": {"d.e": 1}, "l": [{"x.y": 2}], "k": "v.w"});
        assert_eq!(written(&json, &record), r#"{"a-b-c":{"d-e":1},"k":"v.w","l":[{"x.y":2}]}"#);
    }

    proptest! {
        #[test]
        fn whatever_bytes_come_what_goes_is_json(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut out = Vec::new();
            GoJson::default().value(&mut out, &bytes);
            prop_assert!(serde_json::from_slice::<serde_json::Value>(&out).is_ok(), "{}", String::from_utf8_lossy(&out));
        }

        #[test]
        fn text_comes_back(text in any::<String>()) {
            let record = json!({"k": text});
            let read: serde_json::Value = serde_json::from_str(&written(&GoJson::default(), &record)).unwrap();
            prop_assert_eq!(read, record);
        }
    }
}
