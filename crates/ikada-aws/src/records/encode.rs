//! From an entry to a record's bytes.

use std::borrow::Cow;

use ikada_msgpack::{View, str_bytes, write};
use ikada_record::Entry;
use ikada_record::accessor::Accessor;
use ikada_record::json::{JsonStyle, write_record, write_value};

use super::time::TimeFormat;
use crate::gojson::GoJson;

/// What became of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Written {
    /// A line.
    Line,
    /// Nothing to send: an empty record or text.
    Empty,
    /// The record has no `log_key`.
    NoKey,
}

/// What is written of an entry.
#[derive(Debug)]
pub(crate) enum Content {
    /// The whole record as JSON.
    Record,
    /// The record with its time under a key.
    Timed(TimeKey),
    /// The value of one key: text as it is, the rest as JSON.
    Key(Accessor),
    /// What the Go plugins send.
    Go(GoContent),
}

/// What the plugins written in Go make of a record, in this order: keep some keys, add the time, replace dots, take one key.
#[derive(Debug, Default)]
pub(crate) struct GoContent {
    /// Keys that are kept; all if there is no list.
    pub(crate) data_keys: Option<Vec<String>>,
    pub(crate) json: GoJson,
    pub(crate) time: Option<(String, TimeFormat)>,
    /// The only key whose value is sent: text as it is, the rest as JSON.
    pub(crate) log_key: Option<String>,
    /// Ends every record with a newline.
    pub(crate) newline: bool,
    /// Where the time is encoded.
    pub(crate) scratch: Vec<u8>,
}

impl GoContent {
    fn write(&mut self, out: &mut Vec<u8>, entry: &Entry<'_>) -> Written {
        let start = out.len();
        // The time as encoded text, which members can point to.
        self.scratch.clear();
        if let Some((_, format)) = &mut self.time {
            let mut text = Vec::new();
            format.write_plain(&mut text, entry.time());
            write::str(&mut self.scratch, &text);
        }
        let mut members = self.json.split(entry.record(), false);
        if let Some(keep) = &self.data_keys {
            members.retain(|(key, _)| keep.iter().any(|name| name.as_bytes() == &**key));
        }
        if let Some((name, _)) = &self.time {
            members.push((Cow::Borrowed(name.as_bytes()), &self.scratch));
        }
        if let Some(dot) = &self.json.replace_dots {
            for (key, _) in &mut members {
                if key.contains(&b'.') {
                    *key =
                        Cow::Owned(key.split(|byte| *byte == b'.').collect::<Vec<_>>().join(dot.as_bytes()));
                }
            }
        }
        match &self.log_key {
            None => self.json.members(out, members, 0, true),
            Some(name) => {
                let found = members.iter().rev().find(|(key, _)| **key == *name.as_bytes());
                let Some((_, value)) = found else { return Written::NoKey };
                match View::parse(value) {
                    Ok((View::Str(text) | View::Bin(text), _)) => out.extend_from_slice(text),
                    _ => self.json.value(out, value),
                }
            }
        }
        if self.newline {
            out.push(b'\n');
        }
        if out.len() == start { Written::Empty } else { Written::Line }
    }
}

/// A key that the time is added under.
#[derive(Debug)]
pub(crate) struct TimeKey {
    name: Vec<u8>,
    /// `,"name":"`
    lead: Vec<u8>,
    format: TimeFormat,
    scratch: Vec<u8>,
}

impl TimeKey {
    pub(crate) fn new(name: &str, format: TimeFormat) -> Self {
        let mut lead = b",\"".to_vec();
        ikada_record::json::write_str_escaped(&mut lead, name.as_bytes());
        lead.extend_from_slice(b"\":\"");
        Self { name: name.as_bytes().to_vec(), lead, format, scratch: Vec::new() }
    }

    fn write(&mut self, out: &mut Vec<u8>, entry: &Entry<'_>, style: JsonStyle) {
        let start = out.len();
        let record = entry.record();
        match record.raw().any(|(key, _)| str_bytes(key) == Some(&*self.name)) {
            false => write_record(out, entry.record_bytes(), style),
            true => write_record(out, self.without(entry), style),
        };
        out.pop();
        // A record that held nothing but the key has no member to stand behind.
        let lead = if out.len() == start + 1 { &self.lead[1..] } else { &self.lead[..] };
        out.extend_from_slice(lead);
        self.format.write(out, entry.time());
        out.extend_from_slice(b"\"}");
    }

    /// The record without its own field of that name: JSON with two members of one name means something else to everyone.
    fn without(&mut self, entry: &Entry<'_>) -> &[u8] {
        let keep = || entry.record().raw().filter(|(key, _)| str_bytes(key) != Some(&*self.name));
        let mut kept = std::mem::take(&mut self.scratch);
        kept.clear();
        write::map_header(&mut kept, keep().count());
        for (key, value) in keep() {
            kept.extend_from_slice(key);
            kept.extend_from_slice(value);
        }
        self.scratch = kept;
        &self.scratch
    }
}

/// Writes lines.
#[derive(Debug)]
pub(crate) struct LineEncoder {
    content: Content,
    style: JsonStyle,
}

impl LineEncoder {
    pub(crate) fn new(content: Content, style: JsonStyle) -> Self {
        Self { content, style }
    }

    /// Writes a line anew that came out too long: with characters beyond ASCII as they are where they were written as `\uxxxx`.
    #[cold]
    pub(crate) fn shorten(&mut self, out: &mut Vec<u8>, entry: &Entry<'_>) {
        if !self.style.escape_unicode || matches!(self.content, Content::Go(_)) {
            return;
        }
        out.clear();
        self.style.escape_unicode = false;
        self.write(out, entry);
        self.style.escape_unicode = true;
    }

    /// Appends a line, its newline included.
    #[inline]
    pub(crate) fn write(&mut self, out: &mut Vec<u8>, entry: &Entry<'_>) -> Written {
        match &mut self.content {
            Content::Go(content) => return content.write(out, entry),
            _ if is_empty_map(entry.record_bytes()) => return Written::Empty,
            Content::Record => {
                write_record(out, entry.record_bytes(), self.style);
            }
            Content::Timed(key) => key.write(out, entry, self.style),
            Content::Key(key) => {
                let Some(value) = key.lookup_map_raw(entry.record()) else { return Written::NoKey };
                match View::parse(value) {
                    Ok((View::Str([]) | View::Bin([]), _)) => return Written::Empty,
                    Ok((View::Str(text) | View::Bin(text), _)) => out.extend_from_slice(text),
                    _ => {
                        write_value(out, value, self.style);
                    }
                }
            }
        }
        out.push(b'\n');
        Written::Line
    }
}

fn is_empty_map(value: &[u8]) -> bool {
    matches!(value, [0x80] | [0xde, 0, 0] | [0xdf, 0, 0, 0, 0])
}

/// What stands at the end of a line that was cut.
const CUT_MARK: &str = "[Truncated...]\n";

/// Cuts a line to at most `limit` bytes, mark and newline included, between characters and not inside a JSON escape.
pub(crate) fn cut(line: &mut Vec<u8>, limit: usize) {
    let end = fitting(line, limit.saturating_sub(CUT_MARK.len()));
    line.truncate(end);
    line.extend_from_slice(CUT_MARK.as_bytes());
}

/// Room for `[Part 12345/12345]` and a newline.
const PART_MARK: usize = 20;

/// Takes a line apart into pieces of at most `limit` bytes, each with a mark that says which it is and a newline, between characters and
/// not inside a JSON escape.
pub(crate) fn split(line: &[u8], limit: usize) -> Vec<Vec<u8>> {
    let mut rest = line.strip_suffix(b"\n").unwrap_or(line);
    let room = limit.saturating_sub(PART_MARK).max(1);
    let mut pieces = Vec::new();
    while !rest.is_empty() {
        // A limit below the length of one character is nobody's: it must only end.
        let end = fitting(rest, room).max(room.min(rest.len()).min(1));
        pieces.push(rest[..end].to_vec());
        rest = &rest[end..];
    }
    let count = pieces.len();
    for (at, piece) in pieces.iter_mut().enumerate() {
        piece.extend_from_slice(format!("[Part {}/{count}]\n", at + 1).as_bytes());
    }
    pieces
}

/// The length of the longest beginning of a text that has at most `room` bytes and parts nothing.
fn fitting(text: &[u8], room: usize) -> usize {
    let mut at = 0;
    while at < text.len() {
        let len = token(&text[at..]);
        if at + len > room {
            break;
        }
        at += len;
    }
    at
}

/// The length of what must not be parted at the start of a text.
fn token(text: &[u8]) -> usize {
    let len = match text {
        [b'\\', b'u', b'd' | b'D', b'8' | b'9' | b'a' | b'b' | b'A' | b'B', _, _, b'\\', b'u', ..] => 12,
        [b'\\', b'u', ..] => 6,
        [b'\\', ..] => 2,
        [0xf0..=0xff, ..] => 4,
        [0xe0..=0xef, ..] => 3,
        [0xc0..=0xdf, ..] => 2,
        _ => 1,
    };
    len.min(text.len())
}

#[cfg(test)]
mod tests {
    use ikada_record::{ChunkBuilder, Receipt, Tag, Timestamp};

    use super::super::time::Dialect;
    use super::*;

    fn line(content: Content, record: &[u8]) -> Result<String, Written> {
        let mut builder = ChunkBuilder::new(Tag::from("t"));
        builder.push_record(Timestamp::new(1_700_000_000, 123_456_789), record);
        let chunk = builder.finish(Receipt::unwatched());
        let mut out = Vec::new();
        let entry = chunk.entries().next().unwrap();
        match LineEncoder::new(content, JsonStyle::default()).write(&mut out, &entry) {
            Written::Line => Ok(String::from_utf8(out).unwrap()),
            other => Err(other),
        }
    }

    fn timed(record: &[u8]) -> String {
        let format = TimeFormat::new("%Y-%m-%dT%H:%M:%S.%3N", Dialect::C).unwrap();
        line(Content::Timed(TimeKey::new("ti\"me", format)), record).unwrap()
    }

    #[test]
    fn a_record_is_a_line_of_json() {
        let record = b"\x83\xa3log\xa6second\xa1f\xcb\x3f\xb9\x99\x99\x99\x99\x99\x9a\xa3nil\xc0";
        assert_eq!(line(Content::Record, record).unwrap(), "{\"log\":\"second\",\"f\":0.1,\"nil\":null}\n");
        assert_eq!(line(Content::Record, b"\x80"), Err(Written::Empty));
    }

    #[test]
    fn under_a_key_text_is_raw_and_the_rest_is_json() {
        let of = |value: &[u8]| {
            line(Content::Key(Accessor::exact("log")), &[b"\x82\xa2lo\xa1x\xa3log", value].concat())
        };
        assert_eq!(of(b"\xa9hi \"\xe6\x97\xa5\"\n").unwrap(), "hi \"日\"\n\n");
        assert_eq!(of(b"\xa7{\"a\":1}").unwrap(), "{\"a\":1}\n");
        assert_eq!(of(b"\x82\xa1a\x01\xa1b\x02").unwrap(), "{\"a\":1,\"b\":2}\n");
        assert_eq!(of(b"\xcd\x30\x39").unwrap(), "12345\n");
        assert_eq!(of(b"\xc3").unwrap(), "true\n");
        assert_eq!(of(b"\xa0"), Err(Written::Empty));
        assert_eq!(line(Content::Key(Accessor::exact("log")), b"\x81\xa2lo\xa1x"), Err(Written::NoKey));
    }

    #[test]
    fn the_time_comes_last_and_only_once() {
        assert_eq!(timed(b"\x81\xa1a\x01"), "{\"a\":1,\"ti\\\"me\":\"2023-11-14T22:13:20.123\"}\n");
        assert_eq!(
            timed(b"\x82\xa5ti\"me\x07\xa1a\x01"),
            "{\"a\":1,\"ti\\\"me\":\"2023-11-14T22:13:20.123\"}\n"
        );
        assert_eq!(timed(b"\x81\xa5ti\"me\x07"), "{\"ti\\\"me\":\"2023-11-14T22:13:20.123\"}\n");
    }

    #[test]
    fn a_line_is_cut_between_characters_and_escapes() {
        let cut_to = |text: &str, room: usize| {
            let mut line = text.as_bytes().to_vec();
            cut(&mut line, room + CUT_MARK.len());
            String::from_utf8(line).unwrap()
        };
        assert_eq!(cut_to("abcdef\n", 3), "abc[Truncated...]\n");
        assert_eq!(cut_to("日本\n", 5), "日[Truncated...]\n");
        assert_eq!(cut_to(r"a\u65e5\u672c", 12), r"a\u65e5".to_owned() + "[Truncated...]\n");
        assert_eq!(cut_to(r"a\ud83d\ude00", 12), "a[Truncated...]\n");
        assert_eq!(cut_to(r#"ab\"c"#, 3), "ab[Truncated...]\n");
    }

    #[test]
    fn a_line_is_taken_apart_into_pieces_that_say_which_they_are() {
        let pieces = split("日本語!\n".as_bytes(), PART_MARK + 7);
        assert_eq!(pieces, ["日本[Part 1/2]\n".as_bytes(), "語![Part 2/2]\n".as_bytes()]);
        let long = "a\\u65e5".repeat(500);
        let pieces = split(long.as_bytes(), 100);
        assert!(pieces.iter().all(|piece| piece.len() <= 100));
        let joined: String = pieces
            .iter()
            .map(|piece| std::str::from_utf8(piece).unwrap().rsplit_once("[Part").unwrap().0)
            .collect();
        assert_eq!(joined, long);
    }

    fn go(content: GoContent, record: &serde_json::Value) -> Result<String, Written> {
        line(Content::Go(content), &rmp_serde::to_vec(record).unwrap())
    }

    #[test]
    fn go_keeps_keys_adds_the_time_and_replaces_dots() {
        let record = serde_json::json!({"b.c": 1, "a": "<", "time": "own", "x": 2});
        let content = GoContent {
            data_keys: Some(vec!["b.c".to_owned(), "a".to_owned()]),
            time: Some(("time".to_owned(), TimeFormat::new("%L \"", Dialect::Go).unwrap())),
            json: GoJson { replace_dots: Some("_".to_owned()) },
            newline: true,
            ..GoContent::default()
        };
        assert_eq!(go(content, &record).unwrap(), "{\"a\":\"\\u003c\",\"b_c\":1,\"time\":\"123 \\\"\"}\n");
    }

    #[test]
    fn go_takes_one_key_as_it_is() {
        let of = |value: serde_json::Value, newline| {
            let content = GoContent { log_key: Some("log".to_owned()), newline, ..GoContent::default() };
            go(content, &serde_json::json!({"lo": 1, "log": value}))
        };
        assert_eq!(of("hi <\"日\">".into(), true).unwrap(), "hi <\"日\">\n");
        assert_eq!(of(12345.into(), false).unwrap(), "12345");
        assert_eq!(
            of(serde_json::json!({"b": true, "a": "<"}), false).unwrap(),
            "{\"a\":\"\\u003c\",\"b\":true}"
        );
        assert_eq!(of("".into(), true).unwrap(), "\n");
        assert_eq!(of("".into(), false), Err(Written::Empty));
        let content = GoContent { log_key: Some("log".to_owned()), ..GoContent::default() };
        assert_eq!(go(content, &serde_json::json!({"lo": 1})), Err(Written::NoKey));
    }
}
