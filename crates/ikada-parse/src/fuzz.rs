//! Bodies of fuzz targets: what must hold for any bytes.
//!
//! A target is one call of these; `cargo test` replays a corpus through them.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use ikada_msgpack::{MapView, View};
use ikada_record::Timestamp;

use crate::multiline::{Finished, Joiner, MultilineParser, NAMES, Origin};
use crate::regex::{Regex, Slots};
use crate::time::{TimeFormat, TimeRules, Zone, suggest};
use crate::{Parser, Parsers, json};

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

/// Compiles what stands before the first NUL as a time format and reads what stands behind it.
///
/// # Panics
///
/// When a time lies outside what an entry can say, or a suggested format does not fit.
pub fn fuzz_time(data: &[u8]) {
    let mut parts = data.splitn(2, |&byte| byte == 0);
    let (format, text) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let now = Timestamp::new(1_795_348_800, 0);
    let check = |time: Option<Timestamp>| {
        let sound = |time: Timestamp| (0..=i64::from(u32::MAX)).contains(&time.secs());
        assert!(time.is_none_or(sound), "a time that an entry can say");
    };
    if let Ok(Ok(format)) = std::str::from_utf8(format).map(TimeFormat::new) {
        for strict in [true, false] {
            check(TimeRules::new(format.clone(), Zone::UTC, strict).time_of(text, now));
        }
    }
    let suggested = suggest(text).and_then(|format| TimeFormat::new(format).ok());
    if let Some(format) = suggested {
        check(TimeRules::new(format, Zone::Fixed(-3600), true).time_of(text, now));
    }
}

/// Every parser that needs no file.
static PARSERS: LazyLock<Vec<Arc<Parser>>> = LazyLock::new(|| {
    let parsers = Parsers::new();
    parsers.names().filter_map(|name| parsers.get(name)).collect()
});

static MULTILINE: LazyLock<Arc<[Arc<MultilineParser>]>> = LazyLock::new(|| {
    let parsers = Parsers::new();
    NAMES.iter().filter_map(|name| parsers.multiline(name)).collect()
});

/// Hands bytes to every parser that needs no file.
///
/// # Panics
///
/// When one writes anything but one map, or leaves something behind where it found nothing.
pub fn fuzz_parsers(data: &[u8]) {
    for parser in PARSERS.iter() {
        let mut out = vec![0xc0];
        match parser.parse(data, Timestamp::new(1, 0), &mut out) {
            Ok(time) => {
                assert!(time != Some(Timestamp::default()), "no time is none");
                check_map(&out[1..]);
            }
            Err(_) => assert_eq!(out, [0xc0], "{}: without a match nothing is left behind", parser.name()),
        }
    }
}

fn check_map(encoded: &[u8]) {
    match View::parse(encoded) {
        Ok((View::Map(map), length)) => {
            assert_eq!(length, encoded.len(), "exactly one map was written");
            assert_eq!(map.raw().count(), map.len(), "every pair is there");
        }
        Ok(_) => panic!("a record is a map"),
        Err(error) => assert!(matches!(error, ikada_msgpack::ScanError::TooDeep), "{error}"),
    }
}

/// The numbers of lines.
struct Numbers(Vec<usize>);

impl Origin for Numbers {
    fn join(&mut self, later: Self) {
        self.0.extend(later.0);
    }
}

/// Joins lines by every multiline parser that needs no file; the first byte says how much one record may hold.
///
/// # Panics
///
/// When a line is lost or comes twice, or a record is no map.
pub fn fuzz_multiline(data: &[u8]) {
    let limit = data.first().map_or(1, |byte| usize::from(*byte) + 1);
    let mut joiner = Joiner::new(MULTILINE.clone(), None).with_limit(limit);
    let mut seen = Vec::new();
    let mut hand = |done: Finished<'_, Numbers>| {
        check_map(done.record);
        assert!(!MapView::known(done.record).is_empty(), "a record has its text");
        seen.extend(done.origin.0);
    };
    let lines: Vec<&[u8]> = data.split(|byte| *byte == b'\n').collect();
    for (number, line) in lines.iter().enumerate() {
        let now = Duration::from_millis(number as u64 * 700);
        joiner.push_line(line, Timestamp::new(1, 0), Numbers(vec![number]), now, &mut hand);
        joiner.flush(now, &mut hand);
    }
    joiner.finish(&mut hand);
    seen.sort_unstable();
    assert!(seen.windows(2).all(|pair| pair[0] < pair[1]), "no line comes twice");
    let lost = (0..lines.len()).filter(|number| seen.binary_search(number).is_err());
    assert!(lost.into_iter().all(|number| lines[number].is_empty()), "no line is lost but empty ones");
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

    const TIME: &[&[u8]] = &[
        b"%Y-%m-%dT%H:%M:%S.%L%z\x002025-09-11T15:46:18.182+09:00",
        b"%s%L%p%j %C %y\x0099999999999999999999",
        b"%r %U%E%O%%\x0012:60:60 PM",
        b"\x00Sep  1 15:46:18",
        b"\x0099999999999999999999.5",
    ];
    const TEXTS: &[&[u8]] = &[
        b"{\"time\":1757573178.5,\"time\":\"11/Sep/2025:15:46:18 +0900\"} {",
        b"<34>1 2025-09-11T15:46:18.003+09:00 host su 123 ID47 [ex@1 a=\"b\"] text",
        b"192.0.2.1 - frank [11/Sep/2025:15:46:18 +0900] \"GET / HTTP/1.1\" 200 2326 \"-\" \"-\"",
        b"a=\"\\u30\\ud83d\\ude00\\x\\777\\\" b= =\"",
        b"2025-09-11T06:46:18.182123456+09:00 stdout F \xff",
    ];
    const LINES: &[&[u8]] = &[
        b"\nx.Error: y\n\n\tat z\nnested exception is: \nplain\n",
        b"2025-09-11T06:46:18.1Z stdout P a\n2025-09-11T06:46:18.1Z stderr P b\n2025-09-11T06:46:18.1Z stdout F \n{\"log\":5}\n{}",
        b"\xffpanic: \xff\n\ngoroutine 1 [x]:\nf(\n\t\nTraceback (most recent call last):\n File \n",
    ];

    #[test]
    fn the_corpus_of_times_parsers_and_lines_holds() {
        TIME.iter().for_each(|data| fuzz_time(data));
        TEXTS.iter().for_each(|data| fuzz_parsers(data));
        LINES.iter().for_each(|data| fuzz_multiline(data));
    }

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
            fuzz_time(&data);
            fuzz_parsers(&data);
            fuzz_multiline(&data);
        }

        #[test]
        fn mutilated_texts_hold(text in proptest::sample::select(TEXTS), cut in 0_usize..100, byte: u8) {
            let mut data = text.to_vec();
            let at = cut % data.len();
            data[at] = byte;
            fuzz_parsers(&data);
            fuzz_parsers(&data[at..]);
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
