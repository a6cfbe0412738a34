//! JSON values or lines of text, as `tcp` and `udp` take them.

use std::sync::Arc;

use ikada_diag::Diagnostics;
use ikada_msgpack::{MapView, write};
use ikada_options::{Choice, OptionValue, Options, Spanned, ValueError};
use ikada_parse::Parser;
use ikada_plugin::registry::BuildContext;
use ikada_plugin::{Gatherer, InputContext};
use ikada_record::Timestamp;

use crate::complaints::Complaints;
use crate::json_lines::{JsonStream, Next};
use crate::lines::Lines;
use crate::net::{Adder, Protocol, extend_map};

/// What comes, and what becomes of it.
#[derive(Debug, Options)]
#[options(common = "text values")]
pub struct TextOptions {
    /// What comes.
    #[option(default = "json")]
    pub format: TextFormat,
    /// What ends a line in the format `none`; `\a`, `\b`, `\f`, `\n`, `\r`, `\t`, `\v`, `\0`, `\\` and bytes as `\x1e` are understood.
    #[option(default = "\\n")]
    pub separator: String,
    /// Parser that makes a record of each line; it stands for `Format none`. A line that it cannot read is kept under `log`.
    #[option(example = "syslog-rfc5424")]
    pub parser: Option<Spanned<String>>,
    /// Largest value or line, as a number of KB.
    ///
    /// In Fluent Bit it is the step in which a connection's buffer grows, and the limit as well where `Buffer_Size` is not given.
    #[option(default = "32")]
    pub chunk_size: Kilobytes,
    /// Largest value or line, as a number of KB; the larger of this and `Chunk_Size` counts.
    #[option(example = "64")]
    pub buffer_size: Option<Kilobytes>,
    /// Key under which the client's address is added.
    #[option(example = "source")]
    pub source_address_key: Option<String>,
    /// Has no effect: connections are tasks of their own.
    #[option(no_effect)]
    pub workers: Option<u32>,
}

/// What comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Choice)]
pub enum TextFormat {
    /// JSON values, one after another.
    Json,
    /// Lines of text, each a record with the key `log`.
    None,
}

/// A size as this input has it: a plain number of KB, each 1024 bytes. A `k` or `kb` behind it changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kilobytes(pub usize);

/// More KB than anybody sends: 1 GB.
const MOST: usize = 1 << 20;

impl OptionValue for Kilobytes {
    const KIND: &'static str = "number of KB";

    fn parse_value(text: &str) -> Result<Self, ValueError> {
        let number = text.trim_end_matches(['b', 'B']).trim_end_matches(['k', 'K']);
        match number.parse() {
            // Fluent Bit cannot work with 0; it is what people write for "the default".
            Ok(0) => Ok(Self(32)),
            Ok(kilobytes) if kilobytes <= MOST => Ok(Self(kilobytes)),
            _ => Err(ValueError::new("is no number of KB").help("type a plain number: `64` is 64 KB")),
        }
    }
}

/// Makes records of values or lines.
pub(crate) struct TextReader {
    tag: Option<String>,
    format: TextFormat,
    parser: Option<Arc<Parser>>,
    separator: Vec<u8>,
    limit: usize,
    source_key: Option<String>,
    complaints: Complaints,
}

/// A connection's bytes on their way to records.
pub(crate) enum Stream {
    /// Values.
    Json(JsonStream),
    /// Lines.
    Lines(Lines),
}

impl TextOptions {
    /// What the options come to.
    pub(crate) fn reader(self, cx: &BuildContext, diagnostics: &mut Diagnostics) -> Option<TextReader> {
        let parser = match &self.parser {
            None => None,
            Some(name) => Some(cx.parsers.find(name, diagnostics)?),
        };
        Some(TextReader {
            tag: cx.tag.clone(),
            format: if parser.is_some() { TextFormat::None } else { self.format },
            parser,
            separator: unescape(&self.separator),
            limit: self.buffer_size.map_or(0, |size| size.0).max(self.chunk_size.0) * 1024,
            source_key: self.source_address_key,
            complaints: Complaints::default(),
        })
    }
}

impl Protocol for TextReader {
    type Stream = Stream;

    fn begin(&self) -> Stream {
        match self.format {
            TextFormat::Json => Stream::Json(JsonStream::new(self.limit)),
            TextFormat::None => Stream::Lines(Lines::new(self.separator.clone(), self.limit)),
        }
    }

    fn tidy(&self, stream: &mut Stream) -> usize {
        match stream {
            Stream::Json(stream) => stream.tidy(),
            Stream::Lines(lines) => lines.tidy(),
        }
    }

    fn take(
        &self,
        cx: &InputContext,
        peer: &str,
        stream: &mut Stream,
        bytes: &[u8],
        gatherer: &mut Gatherer,
    ) -> bool {
        let mut adder = Adder::new(cx, gatherer);
        match stream {
            Stream::Json(stream) => self.take_json(cx, peer, stream, bytes, &mut adder),
            Stream::Lines(lines) => self.take_lines(cx, peer, lines, bytes, &mut adder),
        }
    }
}

impl TextReader {
    fn tag<'a>(&'a self, cx: &'a InputContext) -> &'a [u8] {
        self.tag.as_deref().unwrap_or(&cx.id.name).as_bytes()
    }

    fn take_json(
        &self,
        cx: &InputContext,
        peer: &str,
        stream: &mut JsonStream,
        bytes: &[u8],
        adder: &mut Adder<'_>,
    ) -> bool {
        stream.feed(bytes);
        let (mut value, mut record) = (Vec::new(), Vec::new());
        loop {
            value.clear();
            record.clear();
            match stream.next(&mut value, bytes.is_empty()) {
                Next::Value => match self.write_record(&mut record, &value, peer) {
                    true => adder.add(self.tag(cx), adder.clock, &record),
                    false => self.skipped(cx, peer, "neither an object nor an array"),
                },
                Next::Malformed(error) => self.skipped(cx, peer, &error),
                Next::Wait => return true,
                Next::TooLong => {
                    self.close(cx, peer, "value");
                    return false;
                }
            }
        }
    }

    /// Writes the record of a JSON value: an object as it is, an array under `msg`. `false` if the value makes none.
    fn write_record(&self, record: &mut Vec<u8>, value: &[u8], peer: &str) -> bool {
        match value.first() {
            Some(0x80..=0x8f | 0xde | 0xdf) => {
                let map = MapView::known(value);
                write::map_header(record, map.len() + usize::from(self.source_key.is_some()));
                record.extend_from_slice(map.body());
            }
            Some(0x90..=0x9f | 0xdc | 0xdd) => {
                write::map_header(record, 1 + usize::from(self.source_key.is_some()));
                write::str(record, b"msg");
                record.extend_from_slice(value);
            }
            _ => return false,
        }
        self.write_source(record, peer);
        true
    }

    fn take_lines(
        &self,
        cx: &InputContext,
        peer: &str,
        lines: &mut Lines,
        bytes: &[u8],
        adder: &mut Adder<'_>,
    ) -> bool {
        lines.feed(bytes);
        let (mut record, mut parsed) = (Vec::new(), Vec::new());
        while let Some(line) = lines.next(bytes.is_empty()) {
            if line.is_empty() {
                continue;
            }
            record.clear();
            let time = self.write_line(&mut record, &mut parsed, line, adder.clock, peer);
            adder.add(self.tag(cx), time, &record);
        }
        let sound = !lines.is_too_long();
        if !sound {
            self.close(cx, peer, "line");
        }
        sound
    }

    /// Writes the record of a line and returns its time.
    fn write_line(
        &self,
        record: &mut Vec<u8>,
        parsed: &mut Vec<u8>,
        line: &[u8],
        clock: Timestamp,
        peer: &str,
    ) -> Timestamp {
        parsed.clear();
        let more = usize::from(self.source_key.is_some());
        if let Some(Ok(time)) = self.parser.as_ref().map(|parser| parser.parse(line, clock, parsed)) {
            extend_map(record, parsed, more, |record| self.write_source(record, peer));
            return time.unwrap_or(clock);
        }
        write::map_header(record, 1 + more);
        write::str(record, b"log");
        write::str(record, line);
        self.write_source(record, peer);
        clock
    }

    /// Writes the client's address, where it is asked for. Fluent Bit leaves it out of lines.
    fn write_source(&self, record: &mut Vec<u8>, peer: &str) {
        let Some(key) = &self.source_key else { return };
        write::str(record, key.as_bytes());
        write::str(record, peer.as_bytes());
    }

    fn skipped(&self, cx: &InputContext, peer: &str, why: &str) {
        self.complaints.say(cx, peer, &format!("a value was skipped: {why}"));
    }

    /// Says that a connection is closed because something came over it that is too long.
    fn close(&self, cx: &InputContext, peer: &str, what: &str) {
        cx.metrics.closed_connections.add(1);
        let limit = self.limit / 1024;
        let line = format!("closed: a {what} is longer than the {limit} KB of Chunk_Size and Buffer_Size");
        self.complaints.say(cx, peer, &line);
    }
}

/// The separator with what its escapes stand for; a backslash before anything else is left out.
fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, mut behind)) = rest.split_first() {
        let mut plain = byte;
        if let (b'\\', Some((&escaped, after))) = (byte, behind.split_first()) {
            behind = after;
            plain = match escaped {
                b'a' => 0x07,
                b'b' => 0x08,
                b'f' => 0x0c,
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                b'v' => 0x0b,
                b'0' => 0,
                b'x' => hex(&mut behind).unwrap_or(b'x'),
                other => other,
            };
        }
        out.push(plain);
        rest = behind;
    }
    out
}

/// Takes a byte in one or two hexadecimal digits off the front.
fn hex(text: &mut &[u8]) -> Option<u8> {
    let digit = |at: usize| text.get(at).and_then(|byte| char::from(*byte).to_digit(16));
    let high = digit(0)?;
    let (value, len) = digit(1).map_or((high, 1), |low| (high * 16 + low, 2));
    *text = &text[len..];
    u8::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_a_number_of_kilobytes() {
        let size = |text| Kilobytes::parse_value(text).ok().map(|size| size.0);
        assert_eq!(
            (size("64"), size("64k"), size("64KB"), size("0")),
            (Some(64), Some(64), Some(64), Some(32))
        );
        assert_eq!((size("1M"), size("much"), size("99999999"), size("")), (None, None, None, None));
    }

    #[test]
    fn escapes_in_a_separator_are_understood() {
        assert_eq!(unescape("\\r\\n"), b"\r\n");
        assert_eq!(unescape("\\a\\b\\v\\f\\t"), b"\x07\x08\x0b\x0c\t");
        assert_eq!(unescape("\\x1e\\xE9a\\x7\\x00"), b"\x1e\xe9a\x07\0");
        // What is none stands for itself, and so does a backslash at the end.
        assert_eq!(unescape("|\\0\\\\n\\;\\xyz\\é\\"), "|\0\\n;xyzé\\".as_bytes());
    }
}
