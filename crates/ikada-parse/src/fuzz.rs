//! Bodies of fuzz targets: what must hold for any bytes.
//!
//! A target is one call of these; `cargo test` replays a corpus through them.

use crate::json;
use crate::regex::{Regex, Slots};

/// Reads bytes as JSON, value after value.
///
/// # Panics
///
/// When a rule is broken: what was written is one MessagePack value of the same kind, a whole text stays whole
/// with bytes behind it, a beginning of it is never an error for good.
pub fn fuzz_json(data: &[u8]) {
    let mut rest = data;
    let mut out = Vec::new();
    while !rest.is_empty() {
        out.clear();
        match json::transcode_one(rest, &mut out) {
            Ok(taken) => {
                check_value(&rest[..taken], &out);
                rest = &rest[taken..];
            }
            Err(error) => {
                assert!(out.is_empty(), "an error leaves nothing behind");
                assert!(error.offset <= rest.len(), "an error stands within the text");
                assert!(!error.incomplete || error.offset == rest.len(), "a text is cut short at its end");
                return;
            }
        }
    }
}

fn check_value(text: &[u8], encoded: &[u8]) {
    // Views stop at their own depth, which is less than what is read here.
    match ikada_msgpack::skip(encoded) {
        Ok(length) => assert_eq!(length, encoded.len(), "exactly one value was written"),
        Err(error) => assert!(matches!(error, ikada_msgpack::ScanError::TooDeep), "{error}"),
    }
    if !matches!(text.last(), Some(b'}' | b']' | b'"')) {
        return;
    }
    let mut out = Vec::new();
    let cut = json::transcode_one(&text[..text.len() - 1], &mut out);
    assert!(cut.is_err_and(|error| error.incomplete), "without its last byte it is incomplete");
}

/// Compiles what stands before the first NUL and searches what stands behind it.
///
/// # Panics
///
/// When the ways of asking disagree, or a range lies outside the subject.
pub fn fuzz_regex(data: &[u8]) {
    let mut parts = data.splitn(2, |&byte| byte == 0);
    let (pattern, subject) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let Ok(pattern) = std::str::from_utf8(pattern) else {
        return;
    };
    let regex = match Regex::new(pattern) {
        Ok(regex) => regex,
        Err(error) => {
            assert!(error.position <= pattern.len(), "a mistake stands within the expression");
            return;
        }
    };
    let mut slots = Slots::default();
    let found = regex.captures_into(subject, &mut slots);
    let matched = regex.is_match(subject);
    let at_start = regex.match_at_start(subject);
    for group in 0..=regex.group_count() {
        let range = slots.get(group);
        assert!(range.is_none_or(|range| subject.get(range).is_some()), "a group lies within the subject");
    }
    if regex.limit_hits() == 0 {
        assert_eq!(found, matched, "captures and is_match agree");
        assert!(matched || at_start.is_none(), "a match at the start is a match");
        assert!(at_start.is_none_or(|end| end <= subject.len()), "a match ends within the subject");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const JSON: &[&[u8]] = &[
        br#"{"a":[1,-2.5e3,true,null,"x\u00e9\ud83d"]} [] 5"#,
        b"\"\\u30\"\"\xff\0\"",
        b"[[[[[[[[",
        b"{\"a\":1e400}",
    ];
    const REGEX: &[&[u8]] = &[
        b"^(?<a>\\w+) (?<b>.*)$\0x y\n",
        b"(?<x>a|b\\g<x>c)\0bac",
        b"(a+)+\\1(?!x)$\0aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab",
        b"[[:alpha:]&&[^\\p{Han}]]\\K(?~x)\0\xe7\x9b\xa3\xff",
        b"(?<=a{,3}|b)\\b?\\Z\0aa\n",
    ];

    #[test]
    fn the_corpus_holds() {
        JSON.iter().for_each(|data| fuzz_json(data));
        REGEX.iter().for_each(|data| fuzz_regex(data));
    }

    proptest! {
        #[test]
        fn any_bytes_hold(data in proptest::collection::vec(any::<u8>(), 0..64)) {
            fuzz_json(&data);
            fuzz_regex(&data);
        }

        #[test]
        fn nearly_json_holds(data in proptest::collection::vec(
            proptest::sample::select(&b"{}[]:,\"\\u0189aebnltrfs.-+ \n\xff"[..]), 0..40)) {
            fuzz_json(&data);
        }

        #[test]
        fn nearly_expressions_hold(
            pattern in r"([ab.^$|?*+{}()\[\]\\kgZKRBbwpP<>:=!~1&'imx-]|\(\?|\(\?<x>|\\k<x>|\[\^|\{2\}|\(\?<=){0,16}",
            subject in proptest::collection::vec(proptest::sample::select(&b"ab \n\xff"[..]), 0..12),
        ) {
            fuzz_regex(&[pattern.as_bytes(), b"\0", &subject].concat());
        }
    }
}
