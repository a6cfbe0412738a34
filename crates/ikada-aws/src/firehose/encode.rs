//! From an entry to a record's bytes.

use ikada_msgpack::{View, str_bytes, write};
use ikada_record::Entry;
use ikada_record::accessor::Accessor;
use ikada_record::json::{JsonStyle, write_record, write_value};

use super::time::TimeFormat;

/// What became of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    /// A line.
    Line,
    /// Nothing to send: an empty record or text.
    Empty,
    /// The record has no `log_key`.
    NoKey,
}

/// What is written of an entry.
#[derive(Debug)]
pub(super) enum Content {
    /// The whole record as JSON.
    Record,
    /// The record with its time under a key.
    Timed(TimeKey),
    /// The value of one key: text as it is, the rest as JSON.
    Key(Accessor),
}

/// A key that the time is added under.
#[derive(Debug)]
pub(super) struct TimeKey {
    name: Vec<u8>,
    /// `,"name":"`
    lead: Vec<u8>,
    format: TimeFormat,
    scratch: Vec<u8>,
}

impl TimeKey {
    pub(super) fn new(name: &str, format: TimeFormat) -> Self {
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
pub(super) struct LineEncoder {
    content: Content,
    style: JsonStyle,
}

impl LineEncoder {
    pub(super) fn new(content: Content, style: JsonStyle) -> Self {
        Self { content, style }
    }

    /// Writes the line that begins at `start` anew, for it came out too long: with characters beyond ASCII as they are where they
    /// were written as `\uxxxx`.
    #[cold]
    pub(super) fn shorten(&mut self, out: &mut Vec<u8>, start: usize, entry: &Entry<'_>) {
        if !self.style.escape_unicode {
            return;
        }
        out.truncate(start);
        self.style.escape_unicode = false;
        self.write(out, entry);
        self.style.escape_unicode = true;
    }

    /// Appends a line, its newline included.
    #[inline]
    pub(super) fn write(&mut self, out: &mut Vec<u8>, entry: &Entry<'_>) -> Written {
        match &mut self.content {
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
const CUT_MARK: &[u8] = b"[Truncated...]\n";

/// Cuts a line to at most `limit` bytes, mark and newline included, between characters and not inside a JSON escape.
pub(super) fn cut(line: &mut Vec<u8>, limit: usize) {
    let room = limit.saturating_sub(CUT_MARK.len());
    let mut at = 0;
    while at < line.len() {
        let len = token(&line[at..]);
        if at + len > room {
            break;
        }
        at += len;
    }
    line.truncate(at);
    line.extend_from_slice(CUT_MARK);
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
        let format = TimeFormat::new("%Y-%m-%dT%H:%M:%S.%3N").unwrap();
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
}
