//! Reads JSON from standard input; at its end the program stops.

use ikada_diag::Diagnostics;
use ikada_msgpack::View;
use ikada_options::{ByteSize, Options, PropertyBag};
use ikada_plugin::registry::BuildContext;
use ikada_plugin::{BoxFuture, Gatherer, Input, InputContext, InputError, OnFull};
use ikada_record::Entry;
use tokio::io::AsyncReadExt;
use tokio::time::{Instant, sleep_until};
use tracing::warn;

use crate::complaints::Complaints;
use crate::hand_over;
use crate::json_lines::{JsonStream, Next};
use crate::unsupported::refuse;

/// Reads JSON from standard input: objects, `[time, object]` or `[[time, metadata], object]`, one after another. At the end of
/// the input the program delivers what it has and stops.
#[derive(Debug, Options)]
#[options(input = "stdin")]
pub struct StdinOptions {
    /// Largest value that is read.
    #[option(default = "16M")]
    pub buffer_size: ByteSize,
}

struct Stdin {
    tag: Option<String>,
    limit: usize,
    complaints: Complaints,
}

/// Builds the input.
pub fn build(
    bag: &mut PropertyBag,
    cx: &BuildContext,
    diagnostics: &mut Diagnostics,
) -> Option<Box<dyn Input>> {
    refuse(bag, &["parser"], "remove it: standard input is read as JSON", diagnostics);
    let options = StdinOptions::parse(bag, diagnostics)?;
    let limit = usize::try_from(options.buffer_size.0).unwrap_or(usize::MAX);
    Some(Box::new(Stdin { tag: cx.tag.clone(), limit, complaints: Complaints::default() }))
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
            stream.feed(&buf[..len]);
            self.take_values(cx, tag, &mut stream, &mut gatherer, len == 0);
            hand_over::full(cx, &mut gatherer, OnFull::Wait).await;
            if len == 0 {
                hand_over::all(cx, &mut gatherer, OnFull::Wait).await;
                return true;
            }
        }
        hand_over::all(cx, &mut gatherer, OnFull::Wait).await;
        false
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
