//! Writes records to standard output, to be looked at.

use std::io::Write;

use ikada_diag::{Diagnostic, Diagnostics, codes};
use ikada_options::{Choice, Options, PropertyBag, Spanned};
use ikada_plugin::registry::BuildContext;
use ikada_plugin::{Batch, BoxFuture, Delivery, Outcome, Output, Routed, SendError};
use ikada_record::json::{self, DateFormat, DateKey, JsonStyle};
use tokio::time::Instant;

use crate::text::TextBatch;

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
}

/// The date key of the JSON formats, as its two options say; a finding if the format is unknown.
pub(crate) fn date_key(
    key: &str,
    format: &Spanned<String>,
    diagnostics: &mut Diagnostics,
) -> Option<DateKey> {
    let format = match format.value.parse::<DateFormat>() {
        Ok(format) => format,
        Err(error) => {
            let help = "write `double`, `iso8601`, `java_sql_timestamp`, `epoch` or `epoch_ms`";
            diagnostics
                .push(Diagnostic::error(codes::BAD_VALUE, error.to_string()).at(format.span).help(help));
            return None;
        }
    };
    let off = ["false", "off", "no"].iter().any(|off| key.eq_ignore_ascii_case(off));
    (!off).then(|| DateKey::new(key, format))
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
        for (index, entry) in routed.chunk.entries().enumerate() {
            match self.format {
                StdoutFormat::Dump => json::dump_entry(text, index, routed.chunk.tag(), &entry),
                StdoutFormat::Json => {
                    text.push(if index == 0 { b'[' } else { b',' });
                    json::write_entry(text, &entry, date, self.style);
                }
                StdoutFormat::JsonLines => {
                    json::write_entry(text, &entry, date, self.style);
                    text.push(b'\n');
                }
                StdoutFormat::JsonStream => json::write_entry(text, &entry, date, self.style),
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

struct Print {
    text: Vec<u8>,
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
