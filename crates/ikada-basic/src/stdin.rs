//! Reads JSON from standard input; at its end the program stops.

use std::sync::Arc;

use ikada_diag::Diagnostics;
use ikada_msgpack::{View, write};
use ikada_options::{ByteSize, Options, PropertyBag, Spanned};
use ikada_parse::Parser;
use ikada_plugin::registry::BuildContext;
use ikada_plugin::{BoxFuture, Gatherer, Input, InputContext, InputError, OnFull};
use ikada_record::Entry;
use tokio::io::AsyncReadExt;
use tokio::time::{Instant, sleep_until};
use tracing::warn;

use crate::complaints::Complaints;
use crate::hand_over;
use crate::json_lines::{JsonStream, Next};
use crate::lines::Lines;
use crate::net::Adder;

/// Reads JSON from standard input: objects, `[time, object]` or `[[time, metadata], object]`, one after another. At the end of
/// the input the program delivers what it has and stops.
#[derive(Debug, Options)]
#[options(input = "stdin")]
pub struct StdinOptions {
    /// Largest value or line that is read.
    #[option(default = "16M")]
    pub buffer_size: ByteSize,
    /// Parser that makes a record of each line. A line that it cannot read is kept under `log`.
    #[option(example = "json")]
    pub parser: Option<Spanned<String>>,
}

struct Stdin {
    tag: Option<String>,
    limit: usize,
    parser: Option<Arc<Parser>>,
    complaints: Complaints,
}

/// Builds the input.
pub fn build(
    bag: &mut PropertyBag,
    cx: &BuildContext,
    diagnostics: &mut Diagnostics,
) -> Option<Box<dyn Input>> {
    let options = StdinOptions::parse(bag, diagnostics)?;
    let limit = usize::try_from(options.buffer_size.0).unwrap_or(usize::MAX);
    let parser = match &options.parser {
        None => None,
        Some(name) => Some(cx.parsers.find(name, diagnostics)?),
    };
    Some(Box::new(Stdin { tag: cx.tag.clone(), limit, parser, complaints: Complaints::default() }))
}

impl Input for Stdin {
    fn open<'a>(&'a mut self, _: &'a InputContext) -> BoxFuture<'a, Result<(), InputError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn run(self: Box<Self>, cx: InputContext) -> BoxFuture<'static, Result<(), InputError>> {
        Box::pin(async move {
            let ended = self.read(&cx).await;
            if ended {
                cx.quit.cancel();
            }
            Ok(())
        })
    }
}

impl Stdin {
    /// Reads until the end (`true`) or until it is told to stop.
    async fn read(&self, cx: &InputContext) -> bool {
        let tag = self.tag.as_deref().unwrap_or(&cx.id.name).as_bytes();
        let mut stdin = tokio::io::stdin();
        let mut stream = JsonStream::new(self.limit);
        let mut lines = Lines::new(b"\n".to_vec(), self.limit);
        let mut gatherer = Gatherer::new(cx.flush);
        let mut buf = vec![0; 64 * 1024];
        loop {
            let due = gatherer.due();
            let len = tokio::select! {
                biased;
                () = cx.stop.cancelled() => break,
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    hand_over::all(cx, &mut gatherer, OnFull::Wait).await;
                    continue;
                }
                read = stdin.read(&mut buf) => read_len(cx, read),
            };
            match &self.parser {
                None => {
                    stream.feed(&buf[..len]);
                    self.take_values(cx, tag, &mut stream, &mut gatherer, len == 0);
                }
                Some(parser) => {
                    lines.feed(&buf[..len]);
                    self.take_lines(cx, tag, parser, &mut lines, &mut gatherer, len == 0);
                }
            }
            hand_over::full(cx, &mut gatherer, OnFull::Wait).await;
            if len == 0 {
                hand_over::all(cx, &mut gatherer, OnFull::Wait).await;
                return true;
            }
        }
        hand_over::all(cx, &mut gatherer, OnFull::Wait).await;
        false
    }

    /// Takes the lines that have come whole; `ended` says that no more bytes will come.
    fn take_lines(
        &self,
        cx: &InputContext,
        tag: &[u8],
        parser: &Parser,
        lines: &mut Lines,
        gatherer: &mut Gatherer,
        ended: bool,
    ) {
        let mut adder = Adder::new(cx, gatherer);
        let mut record = Vec::new();
        while let Some(line) = lines.next(ended) {
            record.clear();
            let time = match parser.parse(line, adder.clock, &mut record) {
                Ok(time) => time.unwrap_or(adder.clock),
                Err(_) => {
                    write::map_header(&mut record, 1);
                    write::str(&mut record, b"log");
                    write::str(&mut record, line);
                    adder.clock
                }
            };
            adder.add(tag, time, &record);
        }
        if lines.is_too_long() {
            self.skipped(cx, "longer than Buffer_Size");
            *lines = Lines::new(b"\n".to_vec(), self.limit);
        }
    }

    /// Takes the values that have come whole; `ended` says that no more bytes will come.
    fn take_values(
        &self,
        cx: &InputContext,
        tag: &[u8],
        stream: &mut JsonStream,
        gatherer: &mut Gatherer,
        ended: bool,
    ) {
        let (now, clock) = (Instant::now(), cx.service.clock.now());
        let mut value = Vec::new();
        let (mut records, mut bytes) = (0, 0);
        loop {
            value.clear();
            match stream.next(&mut value, ended) {
                Next::Value => {
                    let builder = gatherer.builder(tag, now);
                    let before = builder.size();
                    if matches!(value.first(), Some(0x80..=0x8f | 0xde | 0xdf)) {
                        builder.push_record(clock, &value);
                    } else if let Some(entry) = entry_of(&value) {
                        builder.push_entry(&entry);
                    } else {
                        self.skipped(cx, "neither an object nor [time, object]");
                        continue;
                    }
                    records += 1;
                    bytes += (builder.size() - before) as u64;
                }
                Next::Malformed(error) => self.skipped(cx, &error),
                Next::TooLong => self.skipped(cx, "longer than Buffer_Size"),
                Next::Wait => break,
            }
        }
        cx.metrics.records.add(records);
        cx.metrics.bytes.add(bytes);
    }

    fn skipped(&self, cx: &InputContext, why: &str) {
        self.complaints.say(cx, "standard input", &format!("a value was skipped: {why}"));
    }
}

/// An input that cannot be read any more has ended.
fn read_len(cx: &InputContext, read: std::io::Result<usize>) -> usize {
    read.unwrap_or_else(|error| {
        warn!(instance = %cx.id, "standard input cannot be read any more: {error}");
        0
    })
}

/// The entry, if the value is `[time, object]` or `[[time, metadata], object]`.
fn entry_of(value: &[u8]) -> Option<Entry<'_>> {
    // JSON's array header is always one byte here: two elements.
    let (entry, len) = Entry::scan(value).ok()?;
    (len == value.len() && matches!(View::parse(entry.record_bytes()), Ok((View::Map(_), _))))
        .then_some(entry)
}
