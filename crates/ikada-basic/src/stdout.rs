//! Writes records to standard output, to be looked at.

use std::io::Write;

use ikada_diag::Diagnostics;
use ikada_options::{Choice, Options, PropertyBag, Spanned};
use ikada_plugin::registry::BuildContext;
use ikada_plugin::{Batch, BoxFuture, Delivery, Outcome, Output, Routed, SendError};
use ikada_record::json::{self, DateKey, JsonStyle};
use tokio::time::Instant;

use crate::otlp;
use crate::text::{TextBatch, date_key};

/// Writes records to standard output, to be looked at. Log lines of the router itself go to standard error.
#[derive(Debug, Options)]
#[options(output = "stdout")]
pub struct StdoutOptions {
    /// How records are written.
    #[option(default = "msgpack")]
    pub format: StdoutFormat,
    /// Key under which the time stands in the JSON formats; `false` leaves the time out.
    #[option(default = "date")]
    pub json_date_key: String,
    /// How the time is written in the JSON formats: `double`, `iso8601`, `java_sql_timestamp`, `epoch` or `epoch_ms`.
    #[option(default = "double")]
    pub json_date_format: Spanned<String>,
}

/// How records are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Choice)]
pub enum StdoutFormat {
    /// A readable dump of time, metadata and record.
    #[choice("msgpack")]
    Dump,
    /// One JSON array for each chunk.
    #[choice("json")]
    Json,
    /// A JSON object a line.
    #[choice("json_lines")]
    JsonLines,
    /// JSON objects back to back.
    #[choice("json_stream")]
    JsonStream,
    /// A document of OpenTelemetry's log records for each chunk. The body is a record's `log` or `message`; other fields are attributes, where
    /// Fluent Bit leaves them out.
    #[choice("otlp_json")]
    OtlpJson,
    /// The same with a line for each member.
    #[choice("otlp_json_pretty")]
    OtlpJsonPretty,
}

struct Stdout {
    format: StdoutFormat,
    date: Option<DateKey>,
    style: JsonStyle,
    batch: TextBatch,
}

/// Builds the output.
pub fn build(
    bag: &mut PropertyBag,
    cx: &BuildContext,
    diagnostics: &mut Diagnostics,
) -> Option<Box<dyn Output>> {
    let options = StdoutOptions::parse(bag, diagnostics)?;
    let date = date_key(&options.json_date_key, &options.json_date_format, diagnostics);
    let style = cx.service.json;
    Some(Box::new(Stdout { format: options.format, date, style, batch: TextBatch::default() }))
}

impl Output for Stdout {
    fn push(&mut self, routed: Routed, _: Instant) {
        let text = &mut self.batch.text;
        let date = self.date.as_ref();
        if matches!(self.format, StdoutFormat::OtlpJson | StdoutFormat::OtlpJsonPretty) {
            write_otlp(text, &routed, self.format == StdoutFormat::OtlpJsonPretty);
            return self.batch.add(&routed);
        }
        for (index, entry) in routed.chunk.entries().enumerate() {
            match self.format {
                StdoutFormat::Dump => {
                    json::dump_entry(text, index, routed.chunk.tag(), &entry);
                    text.push(b'\n');
                }
                StdoutFormat::Json => {
                    text.push(if index == 0 { b'[' } else { b',' });
                    json::write_entry(text, &entry, date, self.style);
                }
                StdoutFormat::JsonLines => {
                    json::write_entry(text, &entry, date, self.style);
                    text.push(b'\n');
                }
                StdoutFormat::JsonStream => json::write_entry(text, &entry, date, self.style),
                StdoutFormat::OtlpJson | StdoutFormat::OtlpJsonPretty => {}
            }
        }
        if self.format == StdoutFormat::Json {
            text.extend_from_slice(b"]\n");
        }
        self.batch.add(&routed);
    }

    fn pop(&mut self, now: Instant) -> Option<Batch> {
        // One lane: what is written first is read first.
        self.batch.take(now, Some(0), |text| Box::new(Print { text }))
    }

    fn due(&self) -> Option<Instant> {
        self.batch.due()
    }

    fn close_all(&mut self) {
        self.batch.close();
    }

    fn held(&self) -> usize {
        self.batch.held()
    }
}

/// Writes the entries of a chunk as a document and a line.
fn write_otlp(text: &mut Vec<u8>, routed: &Routed, is_pretty: bool) {
    let mut document = Vec::new();
    otlp::write_document(&mut document, routed.chunk.entries());
    text.extend_from_slice(&if is_pretty { otlp::pretty(&document) } else { document });
    text.push(b'\n');
}

/// Writes text to standard output.
pub(crate) struct Print {
    pub(crate) text: Vec<u8>,
}

impl Delivery for Print {
    fn attempt(&mut self) -> BoxFuture<'_, Outcome> {
        let text = std::mem::take(&mut self.text);
        Box::pin(async move {
            // A terminal or pipe that is not read blocks the writer: not our threads' business.
            let written = tokio::task::spawn_blocking(move || print(text)).await;
            match written {
                Ok(Ok(())) => Outcome::Delivered,
                Ok(Err((rest, error))) => {
                    self.text = rest;
                    Outcome::Retry { after: None, cause: SendError::new(format!("standard output: {error}")) }
                }
                Err(error) => Outcome::Rejected {
                    reason: ikada_record::DropReason::Rejected,
                    cause: SendError::new(error.to_string()),
                },
            }
        })
    }
}

/// Writes the text; what could not be written comes back with the error.
fn print(text: Vec<u8>) -> Result<(), (Vec<u8>, std::io::Error)> {
    let mut out = std::io::stdout().lock();
    let mut at = 0;
    while at < text.len() {
        match out.write(&text[at..]) {
            Ok(0) => return Err((text[at..].to_vec(), std::io::ErrorKind::WriteZero.into())),
            Ok(n) => at += n,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err((text[at..].to_vec(), error)),
        }
    }
    out.flush().map_err(|error| (Vec::new(), error))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ikada_record::json::DateFormat;
    use ikada_record::{ChunkBuilder, Receipt, Share, Tag, Timestamp};

    use super::*;

    /// What two chunks of two records and one come to.
    fn written(format: StdoutFormat) -> String {
        let date = Some(DateKey::new("date", DateFormat::Double));
        let mut stdout = Stdout { format, date, style: JsonStyle::default(), batch: TextBatch::default() };
        let now = Instant::now();
        for records in [&[1u8, 2][..], &[3]] {
            let mut builder = ChunkBuilder::new(Tag::from("app"));
            for n in records {
                builder.push_record(Timestamp::new(1_700_000_000, 123_456_717), &[0x81, 0xa1, b'n', *n]);
            }
            let chunk = builder.finish(Receipt::unwatched());
            let share = Arc::new(Share::new(Receipt::unwatched(), chunk.len() as u32, Arc::default()));
            stdout.push(Routed { chunk, share: share.clone(), due: now }, now);
            share.deliver(share.left());
        }
        String::from_utf8(stdout.batch.text).unwrap()
    }

    #[test]
    fn the_dump_counts_anew_in_each_chunk() {
        let head = "app: [[1700000000.123456717, {}], {\"n\"=>";
        assert_eq!(written(StdoutFormat::Dump), format!("[0] {head}1}}]\n[1] {head}2}}]\n[0] {head}3}}]\n"));
    }

    #[test]
    fn the_json_formats_are_as_recorded() {
        let object = |n: u8| format!("{{\"date\":1700000000.123457,\"n\":{n}}}");
        let [one, two, three] = [1, 2, 3].map(object);
        assert_eq!(written(StdoutFormat::Json), format!("[{one},{two}]\n[{three}]\n"));
        assert_eq!(written(StdoutFormat::JsonLines), format!("{one}\n{two}\n{three}\n"));
        assert_eq!(written(StdoutFormat::JsonStream), format!("{one}{two}{three}"));
        let documents = written(StdoutFormat::OtlpJson);
        assert_eq!(documents.lines().filter(|line| line.starts_with("{\"resourceLogs\":")).count(), 2);
        assert!(written(StdoutFormat::OtlpJsonPretty).starts_with("{\n  \"resourceLogs\": [\n"));
    }
}
