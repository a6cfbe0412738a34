//! Names of objects: `s3_key_format`, parsed once, filled in once per object.
//!
//! `/logs/$TAG[1]/%Y/%m/%d/$UUID.gz` is parted into text, references and time items when the output is built. Time
//! items come from the format alone: a `%` inside a tag stays what it is. A reference is filled in once: what a
//! tag brings along is not looked at again.
//!
//! A name without `$UUID` gets a part that nothing else has, before its extension, so that no object ever overwrites
//! another: `x.log.gz` becomes `x-object7Zvrk7Y6.log.gz`. With `static_file_path` overwriting is what was asked for, and an
//! `$INDEX` that survives restarts keeps names apart by itself.
//!
//! Where a name has a date or an hour, an object holds entries of that day or hour alone ([`Period`]).

use std::borrow::Cow;
use std::fmt::Write as _;

use chrono::DateTime;
use chrono::format::{Item, StrftimeItems};
use ikada_record::Timestamp;

use super::zone::{Period, Step, Zone};

/// Longest key in bytes of UTF-8 (Amazon S3, "Naming Amazon S3 objects").
const MAX_KEY: usize = 1024;

/// Letters that C's `strftime` knows. Those that only chrono knows stay text.
const TIME_LETTERS: &[u8] = b"aAbBcCdDeFgGhHIjklmMnpPrRsStTuUVwWxXyYzZ";

/// Extensions that stand behind another one: `x.log.gz`.
const OUTER_EXTENSIONS: [&str; 7] = [".gz", ".gzip", ".zst", ".zstd", ".sz", ".snappy", ".bz2"];

/// Why a text is no key format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum KeyFormatError {
    /// Fluent Bit refuses it as well.
    #[error("does not start with `/`")]
    NoSlash,
    /// Nothing would be left of it.
    #[error("names no object")]
    NoName,
}

/// A parsed `s3_key_format`.
#[derive(Debug, Clone)]
pub(crate) struct KeyFormat {
    segments: Vec<Segment>,
    /// Text at the end that reads as a file name's extension; it is not among the segments.
    extension: String,
    delimiters: Vec<u8>,
    naming: Naming,
    zone: Zone,
    step: Step,
}

/// How a format is read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KeyRules<'a> {
    /// Each of its characters parts a tag.
    pub(crate) delimiters: &'a str,
    /// `static_file_path`.
    pub(crate) is_static: bool,
    /// No number that stands for `$INDEX` ever comes again.
    pub(crate) keeps_index: bool,
    /// Whose hours and days the name shows.
    pub(crate) zone: Zone,
}

impl Default for KeyRules<'_> {
    fn default() -> Self {
        Self { delimiters: ".", is_static: false, keeps_index: false, zone: Zone::Utc }
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Segment {
    Text(String),
    Time(Vec<Item<'static>>),
    Tag,
    /// The n-th part of the tag, 0 to 9.
    TagPart(usize),
    Uuid,
    Index,
}

/// What keeps names apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Naming {
    /// The format itself: `$UUID`, or an `$INDEX` that never comes again.
    Format,
    /// A part that is put before the extension.
    Suffix,
    /// Nothing: `static_file_path`.
    Same,
}

/// What differs from object to object besides tag and time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark<'a> {
    /// 8 random letters and digits.
    pub(crate) unique: &'a str,
    /// How many objects came before.
    pub(crate) index: u64,
}

impl KeyFormat {
    /// Parts a format.
    pub(crate) fn parse(format: &str, rules: KeyRules<'_>) -> Result<Self, KeyFormatError> {
        let format = format.strip_prefix('/').ok_or(KeyFormatError::NoSlash)?;
        if format.is_empty() {
            return Err(KeyFormatError::NoName);
        }
        let (mut segments, step) = split(format, rules.zone);
        let extension = take_extension(&mut segments);
        let tells_apart =
            segments.contains(&Segment::Uuid) || rules.keeps_index && segments.contains(&Segment::Index);
        let naming = match (rules.is_static, tells_apart) {
            (true, _) => Naming::Same,
            (false, true) => Naming::Format,
            (false, false) => Naming::Suffix,
        };
        let delimiters = rules.delimiters.as_bytes().to_vec();
        Ok(Self { segments, extension, delimiters, naming, zone: rules.zone, step })
    }

    /// The time around `time` that all entries of an object share.
    pub(crate) fn period(&self, time: Timestamp) -> Period {
        self.zone.period(self.step, time)
    }

    /// Whether names count objects.
    pub(crate) fn has_index(&self) -> bool {
        self.segments.contains(&Segment::Index)
    }

    /// The end of every name that tells readers how it is compressed, if any.
    pub(crate) fn extension(&self) -> &str {
        &self.extension
    }

    /// Whether every object may get the name of another.
    pub(crate) fn is_static(&self) -> bool {
        self.naming == Naming::Same
    }

    /// Whether the format asks for a part that this tag does not have.
    pub(crate) fn misses(&self, tag: &[u8]) -> bool {
        self.segments.iter().any(|segment| match segment {
            Segment::TagPart(n) => self.tag_part(tag, *n).is_none(),
            _ => false,
        })
    }

    /// Writes what tells this tag's objects from those of other tags; equal for all tags that share their objects.
    pub(crate) fn write_group(&self, tag: &[u8], out: &mut Vec<u8>) {
        for segment in &self.segments {
            match segment {
                Segment::Tag => out.extend_from_slice(tag),
                Segment::TagPart(n) => match self.tag_part(tag, *n) {
                    Some(part) => out.extend_from_slice(part),
                    None => out.extend_from_slice(tag),
                },
                Segment::Text(text) => out.extend_from_slice(text.as_bytes()),
                Segment::Time(_) | Segment::Uuid | Segment::Index => out.push(0),
            }
        }
    }

    /// The name of an object, without the leading slash.
    pub(crate) fn render(&self, tag: &[u8], first: Timestamp, mark: Mark<'_>) -> String {
        let mut name = String::with_capacity(128);
        for segment in &self.segments {
            self.write_segment(segment, tag, first, mark, &mut name);
        }
        self.close(name, mark.unique)
    }

    fn write_segment(
        &self,
        segment: &Segment,
        tag: &[u8],
        first: Timestamp,
        mark: Mark<'_>,
        name: &mut String,
    ) {
        match segment {
            Segment::Text(text) => name.push_str(text),
            Segment::Time(items) => write_time(items, self.zone, first, name),
            Segment::Tag => name.push_str(&text_of(tag)),
            Segment::TagPart(n) => match self.tag_part(tag, *n) {
                Some(part) => name.push_str(&text_of(part)),
                // As in Fluent Bit: the reference without its index is filled in.
                None => push_all(name, &[&text_of(tag), "[", &n.to_string(), "]"]),
            },
            Segment::Uuid => name.push_str(mark.unique),
            Segment::Index => push_all(name, &[&mark.index.to_string()]),
        }
    }

    /// Adds what keeps the name apart and the extension, within the length that S3 takes.
    fn close(&self, mut name: String, unique: &str) -> String {
        let fits = |suffix: usize, name: &str| name.len() + suffix + self.extension.len() <= MAX_KEY;
        let suffix_len = "-object".len() + unique.len();
        // Cut names lose what would have kept them apart.
        let wanted = match self.naming {
            Naming::Same => false,
            Naming::Suffix => true,
            Naming::Format => !fits(0, &name),
        };
        let suffix = if wanted { suffix_len } else { 0 };
        if !fits(suffix, &name) {
            let room = MAX_KEY.saturating_sub(suffix + self.extension.len());
            name.truncate(name.floor_char_boundary(room));
        }
        if wanted {
            push_all(&mut name, &["-object", unique]);
        }
        name.push_str(&self.extension);
        name
    }

    /// The n-th part of a tag. Runs of delimiters count as one, and those at the ends do not count.
    fn tag_part<'t>(&self, tag: &'t [u8], n: usize) -> Option<&'t [u8]> {
        tag.split(|byte| self.delimiters.contains(byte)).filter(|part| !part.is_empty()).nth(n)
    }
}

/// The segments, and how long one name stays the same.
fn split(format: &str, zone: Zone) -> (Vec<Segment>, Step) {
    let mut segments = Vec::new();
    let mut step = Step::Ever;
    let mut text = String::new();
    let mut rest = format;
    while let Some(at) = rest.find(['$', '%']) {
        text.push_str(&rest[..at]);
        rest = &rest[at..];
        let (segment, len) = match rest.as_bytes()[0] {
            b'$' => reference(rest),
            _ => time_item(rest, zone),
        };
        if let Some(Segment::Time(_)) = segment {
            step = step.max(Step::of(rest.as_bytes()[len - 1]));
        }
        match segment {
            Some(Segment::Text(more)) => text.push_str(&more),
            Some(segment) => {
                push_text(&mut segments, &mut text);
                push_segment(&mut segments, segment);
            }
            None => text.push_str(&rest[..len]),
        }
        rest = &rest[len..];
    }
    text.push_str(rest);
    push_text(&mut segments, &mut text);
    (segments, step)
}

fn push_text(segments: &mut Vec<Segment>, text: &mut String) {
    if !text.is_empty() {
        segments.push(Segment::Text(std::mem::take(text)));
    }
}

/// Time items in a row become one segment.
fn push_segment(segments: &mut Vec<Segment>, segment: Segment) {
    match (segments.last_mut(), segment) {
        (Some(Segment::Time(items)), Segment::Time(more)) => items.extend(more),
        (_, segment) => segments.push(segment),
    }
}

/// The reference at the start of a text, and its length; a `$` that is none is text.
fn reference(text: &str) -> (Option<Segment>, usize) {
    if let Some(rest) = text.strip_prefix("$TAG") {
        return match rest.as_bytes() {
            [b'[', digit @ b'0'..=b'9', b']', ..] => (Some(Segment::TagPart(usize::from(digit - b'0'))), 7),
            _ => (Some(Segment::Tag), 4),
        };
    }
    if text.starts_with("$UUID") {
        return (Some(Segment::Uuid), 5);
    }
    if text.starts_with("$INDEX") {
        return (Some(Segment::Index), 6);
    }
    (None, 1)
}

/// The time item at the start of a text, and its length; a `%` that starts none is text.
fn time_item(text: &str, zone: Zone) -> (Option<Segment>, usize) {
    let bytes = text.as_bytes();
    if bytes.get(1) == Some(&b'%') {
        return (Some(Segment::Text("%".to_owned())), 2);
    }
    // A padding flag, then C's alternative forms, which are the plain ones in the C locale.
    let flag = usize::from(matches!(bytes.get(1), Some(b'-' | b'_' | b'0')));
    let form = usize::from(matches!(bytes.get(1 + flag), Some(b'E' | b'O')));
    let at = 1 + flag + form;
    let Some(letter) = bytes.get(at).filter(|letter| TIME_LETTERS.contains(letter)) else {
        return (None, 1);
    };
    let spec = match letter {
        // What C says of a time in UTC.
        b'Z' if zone == Zone::Utc => return (Some(Segment::Text("GMT".to_owned())), at + 1),
        letter => format!("{}{}", &text[..=flag], char::from(*letter)),
    };
    match StrftimeItems::new(&spec).parse_to_owned() {
        Ok(items) => (Some(Segment::Time(items)), at + 1),
        Err(_) => (None, 1),
    }
}

/// Takes an extension off the end: one that outer ones may stand behind, all of plain letters and digits.
fn take_extension(segments: &mut Vec<Segment>) -> String {
    let Some(Segment::Text(text)) = segments.last_mut() else { return String::new() };
    let mut at = extension_start(text).unwrap_or(text.len());
    if OUTER_EXTENSIONS.contains(&&text[at..]) {
        at = extension_start(&text[..at]).unwrap_or(at);
    }
    let extension = text.split_off(at);
    if text.is_empty() {
        segments.pop();
    }
    extension
}

/// Where the extension at the end of a text starts. It has a letter, so that `1.5` ends in none.
fn extension_start(text: &str) -> Option<usize> {
    let dot = text.rfind('.')?;
    let word = &text[dot + 1..];
    let is_plain = word.len() <= 8 && word.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let has_letter = word.bytes().any(|byte| byte.is_ascii_alphabetic());
    (is_plain && has_letter).then_some(dot)
}

fn write_time(items: &[Item<'static>], zone: Zone, time: Timestamp, name: &mut String) {
    let time = DateTime::from_timestamp(time.secs(), time.nanos()).unwrap_or_default();
    let time = time.with_timezone(&zone.offset(time));
    // Writing into a string fails only if an item cannot be shown, and all of them can.
    let before = name.len();
    if write!(name, "{}", time.format_with_items(items.iter())).is_err() {
        name.truncate(before);
    }
}

fn text_of(tag: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(tag)
}

fn push_all(name: &mut String, parts: &[&str]) {
    for part in parts {
        name.push_str(part);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(format: &str, tag: &str) -> String {
        key_with(format, tag, ".", false)
    }

    fn key_with(format: &str, tag: &str, delimiters: &str, same: bool) -> String {
        let rules = KeyRules { delimiters, is_static: same, ..KeyRules::default() };
        let format = KeyFormat::parse(format, rules).unwrap();
        format.render(tag.as_bytes(), first(), Mark { unique: "7Zvrk7Y6", index: 3 })
    }

    fn parse(format: &str) -> Result<KeyFormat, KeyFormatError> {
        KeyFormat::parse(format, KeyRules::default())
    }

    #[test]
    fn names_show_the_time_of_the_zone_they_are_told() {
        let name = |zone: &str, format: &str| {
            let rules = KeyRules { zone: zone.parse().unwrap(), ..KeyRules::default() };
            let format = KeyFormat::parse(format, rules).unwrap();
            format.render(b"t", first(), Mark { unique: "u", index: 0 })
        };
        assert_eq!(name("UTC", "/$UUID/%F/%H%Z"), "u/2023-11-14/22GMT");
        assert_eq!(name("+09:00", "/$UUID/%F/%H%z"), "u/2023-11-15/07+0900");
        assert_eq!(name("-0330", "/$UUID/%F/%H%z%Z"), "u/2023-11-14/18-0330-03:30");
    }

    #[test]
    fn an_index_that_never_comes_again_needs_nothing_beside_it() {
        let rules = KeyRules { keeps_index: true, ..KeyRules::default() };
        let format = KeyFormat::parse("/$TAG/$INDEX.gz", rules).unwrap();
        assert_eq!(format.render(b"t", first(), Mark { unique: "u", index: 3 }), "t/3.gz");
    }

    #[test]
    fn an_object_stays_within_the_finest_date_or_hour_of_its_name() {
        let hours = |format: &str| {
            let period = parse(format).unwrap().period(first());
            (period.end() - period.start()) / 3600
        };
        for (format, expected) in [
            ("/%Y/%m/%d/%H", 1),
            ("/%Y/%m/%d/%H/%M/%S", 1),
            ("/%F", 24),
            ("/%T", 1),
            ("/%Y", 24),
            ("/%-d", 24),
        ] {
            assert_eq!(hours(format), expected, "{format}");
        }
        for format in ["/$TAG", "/%s", "/%M", "/%%H"] {
            assert!(hours(format) > 1 << 40, "{format}");
        }
    }

    /// 2023-11-14T22:13:20Z.
    fn first() -> Timestamp {
        Timestamp::new(1_700_000_000, 123_456_717)
    }

    #[test]
    fn the_default_format_names_tag_and_second() {
        assert_eq!(
            key("/fluent-bit-logs/$TAG/%Y/%m/%d/%H/%M/%S", "app.big"),
            "fluent-bit-logs/app.big/2023/11/14/22/13/20-object7Zvrk7Y6"
        );
    }

    #[test]
    fn the_captured_key_comes_out_the_same() {
        assert_eq!(
            key("/p/$TAG[0]/$TAG[1]/$TAG[2]/$TAG[3]/y=%Y/m=%m/d=%d/%H%M%S-$UUID.log.gz", "app.web.prod.c1"),
            "p/app/web/prod/c1/y=2023/m=11/d=14/221320-7Zvrk7Y6.log.gz"
        );
    }

    #[test]
    fn the_part_that_keeps_names_apart_stands_before_the_extension() {
        let cases = [
            ("/x.gz", "x-object7Zvrk7Y6.gz"),
            ("/x.log.gz", "x-object7Zvrk7Y6.log.gz"),
            ("/x.tar.log", "x.tar-object7Zvrk7Y6.log"),
            ("/v1.2.gz", "v1.2-object7Zvrk7Y6.gz"),
            ("/$TAG.json.zst", "a.b-object7Zvrk7Y6.json.zst"),
            ("/$TAG", "a.b-object7Zvrk7Y6"),
            ("/logs.d/$TAG", "logs.d/a.b-object7Zvrk7Y6"),
            ("/logs.d/today", "logs.d/today-object7Zvrk7Y6"),
            ("/%H.%M", "22.13-object7Zvrk7Y6"),
            ("/$INDEX.gz", "3-object7Zvrk7Y6.gz"),
            ("/$UUID.gz", "7Zvrk7Y6.gz"),
            ("/$UUID/$UUID", "7Zvrk7Y6/7Zvrk7Y6"),
        ];
        for (format, expected) in cases {
            assert_eq!(key(format, "a.b"), expected, "{format}");
        }
        assert_eq!(key_with("/x.gz", "a", ".", true), "x.gz", "a static path overwrites as it was told to");
    }

    #[test]
    fn parts_of_a_tag_are_what_stands_between_delimiters() {
        let cases = [
            ("..x..y.", ".", "$TAG[0]-$TAG[1]", "x-y"),
            ("app-web.prod", ".-", "$TAG[2]", "prod"),
            ("nodots", ".", "$TAG[1]", "nodots[1]"),
            ("a.b", ".", "$TAG[12]", "a.b[12]"),
            ("a.b", ".", "$TAGS $TA", "a.bS $TA"),
        ];
        for (tag, delimiters, format, expected) in cases {
            let format = format!("/{format}/$UUID");
            assert_eq!(key_with(&format, tag, delimiters, false), format!("{expected}/7Zvrk7Y6"), "{tag}");
        }
        let format = parse("/$TAG[1]").unwrap();
        assert!(format.misses(b"one") && !format.misses(b"one.two"));
    }

    #[test]
    fn time_items_are_those_of_c_and_come_from_the_format_alone() {
        assert_eq!(
            key("/$UUID %j %y %e %k %I%p %s %-d %Ey %OH", "t"),
            "7Zvrk7Y6 318 23 14 22 10PM 1700000000 14 23 22"
        );
        assert_eq!(
            key("/$UUID %% %3N %L %f %q %Z%z %F %", "t"),
            "7Zvrk7Y6 % %3N %L %f %q GMT+0000 2023-11-14 %"
        );
        assert_eq!(key("/$UUID/$TAG", "p%Yq$UUID$INDEX"), "7Zvrk7Y6/p%Yq$UUID$INDEX");
    }

    #[test]
    fn tags_share_objects_exactly_when_their_names_are_the_same_but_for_time() {
        let group = |format: &str, tag: &str| {
            let mut out = Vec::new();
            parse(format).unwrap().write_group(tag.as_bytes(), &mut out);
            out
        };
        assert_eq!(group("/all/%Y/$UUID", "a"), group("/all/%Y/$UUID", "b"));
        assert_ne!(group("/$TAG/%Y", "a"), group("/$TAG/%Y", "b"));
        assert_eq!(group("/$TAG[1]/%Y", "a.x"), group("/$TAG[1]/%Y", "b.x"));
        assert_ne!(group("/$TAG[1]/%Y", "a.x"), group("/$TAG[1]/%Y", "a.y"));
    }

    #[test]
    fn a_format_must_name_something_below_the_bucket() {
        assert_eq!(parse("logs/$TAG").unwrap_err(), KeyFormatError::NoSlash);
        assert_eq!(parse("/").unwrap_err(), KeyFormatError::NoName);
        assert_eq!(key("//a/$UUID", "t"), "/a/7Zvrk7Y6");
    }

    #[test]
    fn blanks_and_japanese_stay_what_they_are() {
        assert_eq!(key("/logs/$TAG/$UUID", "アプリ 1"), "logs/アプリ 1/7Zvrk7Y6");
        let format = parse("/$TAG/$UUID").unwrap();
        assert_eq!(format.render(b"a\xffb", first(), Mark { unique: "u", index: 0 }), "a\u{fffd}b/u");
    }

    #[test]
    fn a_name_that_is_too_long_is_cut_and_still_like_no_other() {
        for format in ["/$TAG/x.log.gz", "/$TAG/$UUID.log.gz"] {
            let name = key(format, &"日本".repeat(300));
            assert!(name.len() <= MAX_KEY && name.len() > MAX_KEY - 4, "{}", name.len());
            assert!(name.ends_with("-object7Zvrk7Y6.log.gz"), "{name}");
        }
        assert_eq!(key("/$TAG", &"x".repeat(1009)).len(), MAX_KEY);
        assert_eq!(key_with("/$TAG.gz", &"x".repeat(2000), ".", true).len(), MAX_KEY);
    }

    proptest! {
        #[test]
        fn any_format_and_tag_make_a_name(format in "/[$%a-zA-Z0-9.\\[\\]/ -]{1,40}", tag in prop::collection::vec(any::<u8>(), 0..40), secs in any::<i64>()) {
            if let Ok(format) = parse(&format) {
                let name = format.render(&tag, Timestamp::new(secs, 0), Mark { unique: "7Zvrk7Y6", index: 0 });
                prop_assert!(name.len() <= MAX_KEY && name.contains("7Zvrk7Y6"));
            }
        }
    }
}
