//! Entries as lines. No I/O.

use std::io::Write;

use ikada_msgpack::View;
use ikada_options::Choice;
use ikada_record::json::{self, JsonStyle};
use ikada_record::{Entry, Tag};

use crate::text::write_msgpack;

/// What stands between fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Choice)]
pub enum Delimiter {
    /// A tab.
    #[choice("tab", "\\t")]
    Tab,
    /// A blank.
    #[choice("space")]
    Space,
    /// A comma.
    #[choice("comma", ",")]
    Comma,
}

impl Delimiter {
    /// The byte itself.
    pub(super) fn byte(self) -> u8 {
        match self {
            Delimiter::Tab => b'\t',
            Delimiter::Space => b' ',
            Delimiter::Comma => b',',
        }
    }
}

/// How records are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Choice)]
pub enum FileFormat {
    /// Tag, time and the record as JSON.
    #[choice("out_file")]
    OutFile,
    /// The record as JSON.
    #[choice("plain")]
    Plain,
    /// Time and values, comma separated.
    #[choice("csv")]
    Csv,
    /// Labels and values.
    #[choice("ltsv")]
    Ltsv,
    /// A line of the user's own making.
    #[choice("template")]
    Template,
    /// The entries as they are.
    #[choice("msgpack")]
    Msgpack,
}

/// Writes entries as lines.
pub(super) struct Writer {
    pub(super) format: FileFormat,
    pub(super) delimiter: u8,
    pub(super) label_delimiter: String,
    pub(super) template: Vec<Piece>,
    pub(super) style: JsonStyle,
}

/// A part of a template.
pub(super) enum Piece {
    Text(String),
    Field(String),
}

/// Splits `{time} {message}` into text and fields. A field lies between the nearest braces, so that `{"t":"{time}"}` is JSON; braces without a
/// partner stay text.
pub(super) fn pieces(template: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut rest = template;
    while let Some((before, behind)) = rest.split_once('}') {
        match before.rsplit_once('{') {
            Some((text, name)) => {
                pieces.push(Piece::Text(text.to_owned()));
                pieces.push(Piece::Field(name.to_owned()));
            }
            None => pieces.push(Piece::Text(format!("{before}}}"))),
        }
        rest = behind;
    }
    pieces.push(Piece::Text(rest.to_owned()));
    pieces
}

/// Appends formatted text, without a copy of it in between.
fn put(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a buffer in memory takes everything");
}

impl Writer {
    pub(super) fn write(&self, out: &mut Vec<u8>, tag: &Tag, entry: &Entry<'_>) {
        let time = entry.time();
        match self.format {
            FileFormat::Msgpack => write_msgpack(out, entry),
            FileFormat::Plain => {
                json::write_record(out, entry.record_bytes(), self.style);
                out.push(b'\n');
            }
            FileFormat::OutFile => {
                out.extend_from_slice(tag.as_bytes());
                put(out, format_args!(": [{}.{:09}, ", time.secs(), time.nanos()));
                json::write_record(out, entry.record_bytes(), self.style);
                out.extend_from_slice(b"]\n");
            }
            FileFormat::Csv if entry.record().is_empty() => {}
            FileFormat::Csv => {
                put(out, format_args!("{}.{:09}", time.secs(), time.nanos()));
                for (_, value) in entry.record().raw() {
                    out.push(self.delimiter);
                    csv_value(out, value);
                }
                out.push(b'\n');
            }
            FileFormat::Ltsv if entry.record().is_empty() => {}
            FileFormat::Ltsv => {
                put(out, format_args!("\"time\"{}{:.6}", self.label_delimiter, time.as_f64()));
                for (key, value) in entry.record().raw() {
                    out.push(self.delimiter);
                    json::dump_value(out, key);
                    out.extend_from_slice(self.label_delimiter.as_bytes());
                    json::dump_value(out, value);
                }
                out.push(b'\n');
            }
            FileFormat::Template => {
                self.template.iter().for_each(|piece| template_piece(out, piece, entry));
                out.push(b'\n');
            }
        }
    }
}

impl Writer {
    /// The line with the names of the columns, made of a record: `timestamp`, then its keys.
    pub(super) fn column_names(&self, entry: &Entry<'_>) -> Vec<u8> {
        let mut out = b"timestamp".to_vec();
        for (key, _) in entry.record().raw() {
            out.push(self.delimiter);
            csv_value(&mut out, key);
        }
        out.push(b'\n');
        out
    }
}

/// A value as CSV: quotes inside a text are doubled (RFC 4180, section 2.7), which Fluent Bit does not do.
fn csv_value(out: &mut Vec<u8>, value: &[u8]) {
    let Some(text) = ikada_msgpack::str_bytes(value) else {
        json::dump_value(out, value);
        return;
    };
    out.push(b'"');
    for byte in text {
        if *byte == b'"' {
            out.push(b'"');
        }
        out.push(*byte);
    }
    out.push(b'"');
}

fn template_piece(out: &mut Vec<u8>, piece: &Piece, entry: &Entry<'_>) {
    match piece {
        Piece::Text(text) => out.extend_from_slice(text.as_bytes()),
        Piece::Field(name) if name == "time" => put(out, format_args!("{:.6}", entry.time().as_f64())),
        Piece::Field(name) => {
            let record = entry.record();
            let found = record
                .raw()
                .find(|(key, _)| ikada_msgpack::str_bytes(key) == Some(name.as_bytes()))
                .map(|(_, value)| value);
            match found.map(|raw| (raw, View::parse(raw))) {
                Some((_, Ok((View::Str(text), _)))) => out.extend_from_slice(text),
                Some((raw, _)) => {
                    json::dump_value(out, raw);
                }
                None => put(out, format_args!("{{{name}}}")),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use ikada_record::{ChunkBuilder, Receipt, Timestamp};

    use super::*;

    fn writer(format: FileFormat) -> Writer {
        Writer {
            format,
            delimiter: if format == FileFormat::Ltsv { b'\t' } else { b',' },
            label_delimiter: ":".into(),
            template: pieces("{time} {log} {nope} {"),
            style: JsonStyle::default(),
        }
    }

    fn line(format: FileFormat) -> String {
        let mut builder = ChunkBuilder::new(Tag::from("app.fmt"));
        builder.push_record(Timestamp::new(1_700_000_000, 123_456_717), b"\x82\xa1i\x01\xa3log\xa3a\"b");
        let chunk = builder.finish(Receipt::unwatched());
        let mut out = Vec::new();
        writer(format).write(&mut out, chunk.tag(), &chunk.entries().next().unwrap());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn each_format_writes_the_line_that_is_documented() {
        assert_eq!(
            line(FileFormat::OutFile),
            "app.fmt: [1700000000.123456717, {\"i\":1,\"log\":\"a\\\"b\"}]\n"
        );
        assert_eq!(line(FileFormat::Plain), "{\"i\":1,\"log\":\"a\\\"b\"}\n");
        assert_eq!(line(FileFormat::Csv), "1700000000.123456717,1,\"a\"\"b\"\n");
        assert_eq!(line(FileFormat::Ltsv), "\"time\":1700000000.123457\t\"i\":1\t\"log\":\"a\"b\"\n");
        assert_eq!(line(FileFormat::Template), "1700000000.123457 a\"b {nope} {\n");
    }

    /// As Fluent Bit 5.1.1 writes them.
    #[test]
    fn a_field_of_a_template_lies_between_the_nearest_braces() {
        let of = |template: &str, record: &[u8]| {
            let mut builder = ChunkBuilder::new(Tag::from("t"));
            builder.push_record(Timestamp::new(1_700_000_000, 0), record);
            let chunk = builder.finish(Receipt::unwatched());
            let writer = Writer { template: pieces(template), ..writer(FileFormat::Template) };
            let mut out = Vec::new();
            writer.write(&mut out, chunk.tag(), &chunk.entries().next().unwrap());
            String::from_utf8(out).unwrap()
        };
        let record = b"\x82\xa1k\x01\xa3log\xa1x";
        assert_eq!(
            of(r#"{"t":"{time}","m":"{log}","k":{k}}"#, record),
            "{\"t\":\"1700000000.000000\",\"m\":\"x\",\"k\":1}\n"
        );
        assert_eq!(of("{{log}} {a{log}", record), "{x} {ax\n");
        assert_eq!(of("{time} {log}", b"\x82\xa4time\xa4mine\xa3log\xa1x"), "1700000000.000000 x\n");
        assert_eq!(of("{log}", b"\x82\xa3log\xa1x\xa3log\xa1y"), "x\n");
    }

    #[test]
    fn columns_are_named_after_the_first_record() {
        let mut builder = ChunkBuilder::new(Tag::from("t"));
        builder.push_record(Timestamp::new(1, 0), b"\x82\xa1s\xa1x\xa3a\"b\x01");
        let chunk = builder.finish(Receipt::unwatched());
        let names = writer(FileFormat::Csv).column_names(&chunk.entries().next().unwrap());
        assert_eq!(names, b"timestamp,\"s\",\"a\"\"b\"\n");
    }
}
