//! Makes records of its own, for a first look at a pipeline.

use std::time::Duration;

use ikada_diag::{Diagnostic, Diagnostics, codes};
use ikada_options::{Options, PropertyBag, Spanned};
use ikada_plugin::registry::BuildContext;
use ikada_plugin::{BoxFuture, Gatherer, Input, InputContext, InputError, OnFull};
use ikada_record::Timestamp;
use tokio::task::yield_now;
use tokio::time::{Instant, MissedTickBehavior, sleep_until};

use crate::hand_over;

/// Makes records of its own, for a first look at a pipeline.
#[derive(Debug, Options)]
#[options(input = "dummy")]
pub struct DummyOptions {
    /// The record, as a JSON object. Several objects in a row are as many records.
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
    /// They are made together, at least one.
    records: Vec<Vec<u8>>,
    /// Where there is any.
    metadata: Option<Vec<u8>>,
    /// Time between two records, never zero.
    every: Duration,
    /// Records after which it stops.
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
    let records = records(&options.dummy, diagnostics);
    let metadata = metadata(&options.metadata, diagnostics);
    let interval = Duration::new(u64::from(options.interval_sec), options.interval_nsec);
    let every = if interval.is_zero() { Duration::from_secs(1) / options.rate.max(1) } else { interval };
    let nanos = options.start_time_nsec.clamp(0, 999_999_999) as u32;
    let start = (options.start_time_sec >= 0 || options.start_time_nsec >= 0)
        .then(|| Timestamp::new(options.start_time_sec.max(0), nanos));
    Some(Box::new(Dummy {
        tag: cx.tag.clone(),
        records,
        metadata: (metadata != [0x80]).then_some(metadata),
        every: every.max(Duration::from_nanos(1)),
        samples: if options.samples == 0 { u64::MAX } else { options.samples },
        copies: options.copies.max(1),
        start,
        fixed: options.fixed_timestamp,
        at_once: options.flush_on_startup,
    }))
}

/// What is made of a `Dummy` without objects, as in Fluent Bit.
const USUAL: &str = "{\"message\":\"dummy\"}";

/// The JSON objects as MessagePack. What is none is told.
fn records(text: &Spanned<String>, diagnostics: &mut Diagnostics) -> Vec<Vec<u8>> {
    let (records, is_all) = objects(&text.value);
    if records.is_empty() {
        tell(text, "not a JSON object", &format!("`{USUAL}` is used instead"), diagnostics);
        return objects(USUAL).0;
    }
    if !is_all {
        tell(text, "not only JSON objects", "the rest is left out", diagnostics);
    }
    records
}

/// The one object as MessagePack, or an empty one.
fn metadata(text: &Spanned<String>, diagnostics: &mut Diagnostics) -> Vec<u8> {
    let (mut objects, is_all) = objects(&text.value);
    if let (1, true) = (objects.len(), is_all) {
        return objects.remove(0);
    }
    tell(text, "not a JSON object", "`{}` is used instead", diagnostics);
    vec![0x80]
}

fn tell(text: &Spanned<String>, what: &str, help: &str, diagnostics: &mut Diagnostics) {
    diagnostics.push(Diagnostic::warning(codes::BAD_VALUE, what).at(text.span).help(help));
}

/// The objects of a row of JSON values, and whether there is nothing else.
fn objects(text: &str) -> (Vec<Vec<u8>>, bool) {
    let mut objects = Vec::new();
    let mut is_all = true;
    let mut rest = text.trim();
    while !rest.is_empty() {
        let mut value = Vec::new();
        let Ok(used) = ikada_parse::json::transcode_one(rest.as_bytes(), &mut value) else {
            return (objects, false);
        };
        match value.first() {
            Some(0x80..=0x8f | 0xde | 0xdf) => objects.push(value),
            _ => is_all = false,
        }
        rest = rest[used..].trim_start();
    }
    (objects, is_all)
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

/// Records made before anything else is looked at, however fast they are asked for.
const BURST: u64 = 1000;

/// Timers tick in milliseconds: what is asked for more often comes in bunches.
const TICK: Duration = Duration::from_millis(1);

impl Dummy {
    async fn work(&self, cx: &InputContext) {
        let tag = self.tag.as_deref().unwrap_or(&cx.id.name).as_bytes();
        let begin = Instant::now() + if self.at_once { Duration::ZERO } else { self.every };
        let mut ticks = tokio::time::interval_at(begin, self.every.max(TICK));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut gatherer = Gatherer::new(cx.flush);
        let (mut made, mut owed) = (0, 0);
        while made < self.samples || gatherer.due().is_some() {
            let due = gatherer.due();
            tokio::select! {
                biased;
                () = cx.stop.cancelled() => break,
                () = sleep_until(due.unwrap_or(begin)), if due.is_some() => {
                    hand_over::all(cx, &mut gatherer, OnFull::Wait).await;
                }
                () = yield_now(), if made < owed => {
                    let count = (owed - made).min(BURST);
                    self.make(cx, &mut gatherer, tag, made, count);
                    made += count;
                    hand_over::full(cx, &mut gatherer, OnFull::Wait).await;
                }
                _ = ticks.tick(), if made < self.samples => owed = self.owed(begin),
            }
        }
        hand_over::all(cx, &mut gatherer, OnFull::Wait).await;
    }

    /// Records that ought to have been made by now, the first at `begin`.
    fn owed(&self, begin: Instant) -> u64 {
        let ticks = begin.elapsed().as_nanos() / self.every.as_nanos();
        u64::try_from(ticks).unwrap_or(u64::MAX).saturating_add(1).min(self.samples)
    }

    /// Makes `count` records, the `first`-th and those after it.
    fn make(&self, cx: &InputContext, gatherer: &mut Gatherer, tag: &[u8], first: u64, count: u64) {
        let (now, clock) = (Instant::now(), cx.service.clock.now());
        let (mut records, mut bytes) = (0, 0);
        for n in first..first + count {
            let time = self.time(n, clock);
            let copies = (0..self.copies).flat_map(|_| &self.records);
            for record in copies {
                let builder = gatherer.builder(tag, now);
                let before = builder.size();
                match &self.metadata {
                    None => builder.push_record(time, record),
                    Some(metadata) => builder.push_with_metadata(time, metadata, record),
                }
                records += 1;
                bytes += (builder.size() - before) as u64;
            }
        }
        cx.metrics.records.add(records);
        cx.metrics.bytes.add(bytes);
    }

    /// The time of the `n`-th record.
    fn time(&self, n: u64, clock: Timestamp) -> Timestamp {
        let Some(start) = self.start else { return clock };
        if self.fixed {
            return start;
        }
        let passed = self.every.as_nanos().saturating_mul(u128::from(n)) + u128::from(start.nanos());
        let seconds = i64::try_from(passed / 1_000_000_000).unwrap_or(i64::MAX);
        Timestamp::new(start.secs().saturating_add(seconds), (passed % 1_000_000_000) as u32)
    }
}
