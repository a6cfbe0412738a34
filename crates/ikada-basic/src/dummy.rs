//! Makes records of its own, for a first look at a pipeline.

use std::time::Duration;

use ikada_diag::{Diagnostic, Diagnostics, codes};
use ikada_options::{Options, PropertyBag, Spanned};
use ikada_plugin::registry::BuildContext;
use ikada_plugin::{BoxFuture, Dispatch, Input, InputContext, InputError, OnFull};
use ikada_record::{ChunkBuilder, Receipt, Tag, Timestamp};
use tokio::time::{Instant, MissedTickBehavior};

/// Makes records of its own, for a first look at a pipeline.
#[derive(Debug, Options)]
#[options(input = "dummy")]
pub struct DummyOptions {
    /// The record, as a JSON object.
    #[option(default = "{\"message\":\"dummy\"}")]
    pub dummy: Spanned<String>,
    /// Metadata of each entry, as a JSON object.
    #[option(default = "{}")]
    pub metadata: Spanned<String>,
    /// Records per second.
    #[option(default = "1")]
    pub rate: u32,
    /// Seconds between two records; wins over `Rate`.
    #[option(default = "0")]
    pub interval_sec: u32,
    /// Nanoseconds between two records, added to `Interval_Sec`.
    #[option(default = "0")]
    pub interval_nsec: u32,
    /// Number of records after which it stops; 0 goes on.
    #[option(default = "0")]
    pub samples: u64,
    /// Times each record is repeated.
    #[option(default = "1")]
    pub copies: u32,
    /// Seconds of the time that records count up from, instead of now.
    #[option(default = "-1")]
    pub start_time_sec: i64,
    /// Nanoseconds of that time.
    #[option(default = "-1")]
    pub start_time_nsec: i64,
    /// Gives every record the start time.
    #[option(default = "off")]
    pub fixed_timestamp: bool,
    /// Makes the first record at once.
    #[option(default = "off")]
    pub flush_on_startup: bool,
}

struct Dummy {
    tag: Option<String>,
    record: Vec<u8>,
    metadata: Vec<u8>,
    every: Duration,
    samples: u64,
    copies: u32,
    start: Option<Timestamp>,
    fixed: bool,
    at_once: bool,
}

/// Builds the input.
pub fn build(
    bag: &mut PropertyBag,
    cx: &BuildContext,
    diagnostics: &mut Diagnostics,
) -> Option<Box<dyn Input>> {
    let options = DummyOptions::parse(bag, diagnostics)?;
    let record = object(&options.dummy, "{\"message\":\"dummy\"}", diagnostics);
    let metadata = object(&options.metadata, "{}", diagnostics);
    let interval = Duration::new(u64::from(options.interval_sec), options.interval_nsec);
    let every = if interval.is_zero() { Duration::from_secs(1) / options.rate.max(1) } else { interval };
    let start = (options.start_time_sec >= 0 || options.start_time_nsec >= 0)
        .then(|| Timestamp::new(options.start_time_sec.max(0), options.start_time_nsec.max(0) as u32));
    Some(Box::new(Dummy {
        tag: cx.tag.clone(),
        record,
        metadata,
        every,
        samples: options.samples,
        copies: options.copies.max(1),
        start,
        fixed: options.fixed_timestamp,
        at_once: options.flush_on_startup,
    }))
}

/// The JSON object as MessagePack. What is none is told, and `instead` is used, as Fluent Bit does.
fn object(text: &Spanned<String>, instead: &str, diagnostics: &mut Diagnostics) -> Vec<u8> {
    let mut out = Vec::new();
    let whole = |out: &mut Vec<u8>, text: &str| {
        ikada_parse::json::transcode_one(text.as_bytes(), out)
            .is_ok_and(|used| text[used..].trim().is_empty() && matches!(out[0], 0x80..=0x8f | 0xde | 0xdf))
    };
    if whole(&mut out, &text.value) {
        return out;
    }
    let help = format!("`{instead}` is used instead");
    diagnostics.push(Diagnostic::warning(codes::BAD_VALUE, "not a JSON object").at(text.span).help(help));
    out.clear();
    whole(&mut out, instead);
    out
}

impl Input for Dummy {
    fn open<'a>(&'a mut self, _: &'a InputContext) -> BoxFuture<'a, Result<(), InputError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn run(self: Box<Self>, cx: InputContext) -> BoxFuture<'static, Result<(), InputError>> {
        Box::pin(async move {
            self.work(&cx).await;
            Ok(())
        })
    }
}

/// Records made for one chunk at most, however fast they are asked for.
const PER_CHUNK: u64 = 1000;

impl Dummy {
    async fn work(&self, cx: &InputContext) {
        let tag = Tag::from(self.tag.as_deref().unwrap_or(&cx.id.name));
        let begin = Instant::now() + if self.at_once { Duration::ZERO } else { self.every };
        // Timers tick in milliseconds: what is asked for more often comes in bunches.
        let mut ticks = tokio::time::interval_at(begin, self.every.max(Duration::from_millis(1)));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut made = 0u64;
        while cx.stop.run_until_cancelled(ticks.tick()).await.is_some() {
            let passed = begin.elapsed() + self.every;
            let owed = (passed.as_nanos() / self.every.as_nanos().max(1)) as u64;
            let last = if self.samples == 0 { owed } else { owed.min(self.samples) };
            while made < last && !cx.stop.is_cancelled() {
                let count = (last - made).min(PER_CHUNK);
                self.send(cx, &tag, made, count).await;
                made += count;
            }
            if self.samples > 0 && made >= self.samples {
                return;
            }
        }
    }

    async fn send(&self, cx: &InputContext, tag: &Tag, first: u64, count: u64) {
        let mut builder = ChunkBuilder::new(tag.clone());
        for n in first..first + count {
            let time = match self.start {
                None => cx.service.clock.now(),
                Some(start) if self.fixed => start,
                Some(start) => {
                    let add = self.every * u32::try_from(n).unwrap_or(u32::MAX);
                    Timestamp::new(start.secs() + add.as_secs() as i64, start.nanos() + add.subsec_nanos())
                }
            };
            for _ in 0..self.copies {
                if self.metadata == [0x80] {
                    builder.push_record(time, &self.record);
                } else {
                    builder.push_with_metadata(time, &self.metadata, &self.record);
                }
            }
        }
        cx.metrics.records.add(builder.len() as u64);
        cx.metrics.bytes.add(builder.size() as u64);
        let due = cx.flush.next(Instant::now());
        let chunk = builder.finish(Receipt::unwatched());
        cx.router.dispatch(&cx.id, chunk, Dispatch { due, on_full: OnFull::Wait }).await;
    }
}
