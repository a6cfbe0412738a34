//! Appends records to files.
//!
//! A file that cannot be opened or written is a destination that is down: the text waits and is tried again, where
//! Fluent Bit drops the chunk (reference, outputs §7.3). A write that was cut short goes on where it stopped.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use ikada_diag::Diagnostics;
use ikada_msgpack::View;
use ikada_options::{Choice, Options, PropertyBag};
use ikada_plugin::registry::BuildContext;
use ikada_plugin::{Batch, BoxFuture, Delivery, Outcome, Output, Routed, SendError};
use ikada_record::json::{self, JsonStyle};
use ikada_record::{DropReason, Entry, Tag};
use tokio::time::Instant;

use crate::text::{TextBatch, write_msgpack};
use crate::unsupported::refuse;

/// Appends records to files.
#[derive(Debug, Options)]
#[options(output = "file")]
pub struct FileOptions {
    /// Directory of the files; the working directory when it is not given.
    #[option(example = "/var/log/ikada")]
    pub path: Option<PathBuf>,
    /// Name of the file; the tag when it is not given.
    #[option(example = "app.log")]
    pub file: Option<String>,
    /// Makes directories that do not exist.
    #[option(default = "off")]
    pub mkdir: bool,
    /// How records are written.
    #[option(default = "out_file")]
    pub format: FileFormat,
    /// What stands between fields in csv and ltsv.
    #[option(example = "tab")]
    pub delimiter: Option<Delimiter>,
    /// What stands between label and value in ltsv.
    #[option(example = ":")]
    pub label_delimiter: Option<String>,
    /// Text of a line in the format `template`; `{key}` stands for a field, `{time}` for the time.
    #[option(default = "{time} {message}")]
    pub template: String,
}

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

struct FileOutput {
    directory: PathBuf,
    file: Option<String>,
    mkdir: bool,
    writer: Writer,
    open: BTreeMap<PathBuf, TextBatch>,
}

struct Writer {
    format: FileFormat,
    delimiter: u8,
    label_delimiter: String,
    template: Vec<Piece>,
    style: JsonStyle,
}

enum Piece {
    Text(String),
    Field(String),
}

/// Builds the output.
pub fn build(
    bag: &mut PropertyBag,
    cx: &BuildContext,
    diagnostics: &mut Diagnostics,
) -> Option<Box<dyn Output>> {
    refuse_unsupported(bag, diagnostics);
    let options = FileOptions::parse(bag, diagnostics)?;
    let delimiter = match options.delimiter {
        Some(Delimiter::Tab) => b'\t',
        Some(Delimiter::Space) => b' ',
        Some(Delimiter::Comma) => b',',
        None if options.format == FileFormat::Ltsv => b'\t',
        None => b',',
    };
    let writer = Writer {
        format: options.format,
        delimiter,
        label_delimiter: options.label_delimiter.unwrap_or_else(|| ":".to_owned()),
        template: pieces(&options.template),
        style: cx.service.json,
    };
    let directory = options.path.unwrap_or_default();
    let output =
        FileOutput { directory, file: options.file, mkdir: options.mkdir, writer, open: BTreeMap::new() };
    Some(Box::new(output))
}

/// Refuses what Fluent Bit's `file` has and this one has not.
fn refuse_unsupported(bag: &mut PropertyBag, diagnostics: &mut Diagnostics) {
    const ROTATION: [&str; 4] = ["rotate", "rotate_max_size", "rotate_max_files", "rotate_gzip"];
    const NAMES: [&str; 6] = [
        "enable_strftime",
        "max_dynamic_files",
        "on_missing_field",
        "on_limit_reached",
        "fallback_path",
        "fallback_file",
    ];
    refuse(
        bag,
        &ROTATION,
        "remove it: files are opened anew for each write, so that others can rotate them",
        diagnostics,
    );
    refuse(bag, &NAMES, "remove it: the name of a file is fixed, or the tag", diagnostics);
    refuse(bag, &["csv_column_names"], "remove it: a file starts with its first record", diagnostics);
}

/// Splits `{time} {message}` into text and fields. Braces without a partner stay text.
fn pieces(template: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let Some((name, behind)) = after.split_once('}') else { break };
        pieces.push(Piece::Text(before.to_owned()));
        pieces.push(Piece::Field(name.to_owned()));
        rest = behind;
    }
    pieces.push(Piece::Text(rest.to_owned()));
    pieces
}

impl Output for FileOutput {
    fn push(&mut self, routed: Routed, _: Instant) {
        let name = match &self.file {
            Some(file) => PathBuf::from(file),
            None => safe_name(routed.chunk.tag()),
        };
        let batch = self.open.entry(self.directory.join(name)).or_default();
        for entry in routed.chunk.entries() {
            self.writer.write(&mut batch.text, routed.chunk.tag(), &entry);
        }
        batch.add(&routed);
    }

    fn pop(&mut self, now: Instant) -> Option<Batch> {
        let mkdir = self.mkdir;
        let (path, batch) = self.open.iter_mut().find_map(|(path, batch)| {
            let target = path.clone();
            let made = batch.take(now, Some(lane(path)), move |text| {
                Box::new(Append { path: target, mkdir, text, at: 0 })
            })?;
            Some((path.clone(), made))
        })?;
        self.open.remove(&path);
        Some(batch)
    }

    fn due(&self) -> Option<Instant> {
        self.open.values().filter_map(TextBatch::due).min()
    }

    fn close_all(&mut self) {
        self.open.values_mut().for_each(TextBatch::close);
    }

    fn held(&self) -> usize {
        self.open.values().map(TextBatch::held).sum()
    }
}

/// One lane a file: appends must not overtake each other.
fn lane(path: &Path) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    path.hash(&mut hasher);
    hasher.finish()
}

/// The tag as a relative path that stays below the directory: `.` and `..` parts and odd characters become `_`.
fn safe_name(tag: &Tag) -> PathBuf {
    let text = String::from_utf8_lossy(tag.as_bytes());
    let part = |part: &str| match part {
        "" | "." | ".." => "_".to_owned(),
        part => part
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '_' })
            .collect(),
    };
    let name: PathBuf = text.split('/').filter(|part| !part.is_empty()).map(part).collect();
    if name.as_os_str().is_empty() { PathBuf::from("_") } else { name }
}

/// Appends formatted text, without a copy of it in between.
fn put(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a buffer in memory takes everything");
}

impl Writer {
    fn write(&self, out: &mut Vec<u8>, tag: &Tag, entry: &Entry<'_>) {
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
        Piece::Field(name) => {
            let record = entry.record();
            let found = record
                .raw()
                .filter(|(key, _)| ikada_msgpack::str_bytes(key) == Some(name.as_bytes()))
                .map(|(_, value)| value)
                .last();
            match found.map(|raw| (raw, View::parse(raw))) {
                Some((_, Ok((View::Str(text), _)))) => out.extend_from_slice(text),
                Some((raw, _)) => {
                    json::dump_value(out, raw);
                }
                None if name == "time" => {
                    put(out, format_args!("{:.6}", entry.time().as_f64()));
                }
                None => put(out, format_args!("{{{name}}}")),
            }
        }
    }
}

struct Append {
    path: PathBuf,
    mkdir: bool,
    text: Vec<u8>,
    at: usize,
}

impl Delivery for Append {
    fn attempt(&mut self) -> BoxFuture<'_, Outcome> {
        let (path, mkdir, at) = (self.path.clone(), self.mkdir, self.at);
        let text = std::mem::take(&mut self.text);
        Box::pin(async move {
            let done = tokio::task::spawn_blocking(move || {
                let mut at = at;
                let result = append(&path, mkdir, &text, &mut at);
                (text, at, result.map_err(|error| format!("{}: {error}", path.display())))
            })
            .await;
            match done {
                Ok((_, _, Ok(()))) => Outcome::Delivered,
                Ok((text, at, Err(error))) => {
                    (self.text, self.at) = (text, at);
                    Outcome::Retry { after: None, cause: SendError::new(error) }
                }
                Err(error) => Outcome::Rejected {
                    reason: DropReason::Rejected,
                    cause: SendError::new(error.to_string()),
                },
            }
        })
    }
}

/// Appends `text` from `at` on, moving `at` with what is written.
fn append(path: &Path, mkdir: bool, text: &[u8], at: &mut usize) -> std::io::Result<()> {
    if mkdir && let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    let mut file = std::fs::File::options().create(true).append(true).open(path)?;
    while *at < text.len() {
        match file.write(&text[*at..]) {
            Ok(0) => return Err(std::io::ErrorKind::WriteZero.into()),
            Ok(n) => *at += n,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
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

    #[test]
    fn a_tag_cannot_climb_out_of_the_directory() {
        assert_eq!(safe_name(&Tag::from("../../etc/pass wd")), PathBuf::from("_/_/etc/pass_wd"));
        assert_eq!(safe_name(&Tag::from("/abs")), PathBuf::from("abs"));
        assert_eq!(safe_name(&Tag::from("")), PathBuf::from("_"));
    }

    #[test]
    fn an_append_goes_on_where_it_stopped() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b.log");
        let mut at = 0;
        assert!(append(&path, false, b"text", &mut at).is_err());
        append(&path, true, b"text", &mut at).unwrap();
        let mut at = 2;
        append(&path, true, b"text", &mut at).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"textxt");
    }
}
