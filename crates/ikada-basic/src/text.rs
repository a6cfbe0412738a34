//! What outputs that write text have in common: a buffer that fills until it is full or due, the date of the JSON formats, and
//! entries as MessagePack.

use std::error::Error;

use ikada_diag::{Diagnostic, Diagnostics, codes};
use ikada_msgpack::write;
use ikada_options::Spanned;
use ikada_plugin::{Batch, Delivery, Part, Routed, add_part};
use ikada_record::Entry;
use ikada_record::json::{DateFormat, DateKey};
use tokio::time::Instant;

/// Text that is written at once without waiting for the flush.
const FULL: usize = 256 * 1024;

/// Text on its way out, and whose entries it stands for.
#[derive(Debug, Default)]
pub(crate) struct TextBatch {
    pub(crate) text: Vec<u8>,
    parts: Vec<Part>,
    due: Option<Instant>,
    closed: bool,
}

impl TextBatch {
    /// Books a chunk whose entries have been written into `text`.
    pub(crate) fn add(&mut self, routed: &Routed) {
        self.add_entries(routed, routed.share.left());
    }

    /// Books some entries of a chunk, which have been written into `text`.
    pub(crate) fn add_entries(&mut self, routed: &Routed, entries: u32) {
        add_part(&mut self.parts, &routed.share, entries);
        self.due = Some(self.due.map_or(routed.due, |due| due.min(routed.due)));
    }

    /// The batch, if it is full, due or closed.
    pub(crate) fn take(
        &mut self,
        now: Instant,
        lane: Option<u64>,
        delivery: impl FnOnce(Vec<u8>) -> Box<dyn Delivery>,
    ) -> Option<Batch> {
        let due = self.due?;
        if now < due && self.text.len() < FULL && !self.closed {
            return None;
        }
        let this = std::mem::take(self);
        let bytes = this.text.len();
        Some(Batch::new(lane, this.parts, bytes, delivery(this.text)))
    }

    pub(crate) fn due(&self) -> Option<Instant> {
        self.due
    }

    pub(crate) fn close(&mut self) {
        self.closed = self.due.is_some();
    }

    /// Bytes held; at least one while entries wait, even if they were written as nothing.
    pub(crate) fn held(&self) -> usize {
        if self.due.is_some() { self.text.len().max(1) } else { 0 }
    }
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

/// Writes an entry as Fluent Bit does, in whatever form it came: `[[EventTime, metadata], record]`.
pub(crate) fn write_msgpack(out: &mut Vec<u8>, entry: &Entry<'_>) {
    write::array_header(out, 2);
    write::array_header(out, 2);
    entry.time().write(out);
    out.extend_from_slice(entry.metadata().unwrap_or(b"\x80"));
    out.extend_from_slice(entry.record_bytes());
}

/// An error with all its causes on one line. What a cause only repeats is left out.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let said = cause.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        next = cause.source();
    }
    text
}
