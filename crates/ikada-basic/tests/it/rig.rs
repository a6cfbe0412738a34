//! Plugins built from the text of a section, a router that watches, and an engine as small as can be.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ikada_diag::{Diagnostics, Sources, Spanned};
use ikada_options::{OptionSet, Options, OutputCommon, Property, PropertyBag};
use ikada_plugin::registry::{BuildContext, find};
use ikada_plugin::{
    Batch, BoxFuture, Clock, Dispatch, FlushClock, Input, InputContext, InputMetrics, InstanceId, Kind,
    Outcome, Output, Routed, Router, Service,
};
use ikada_record::json::{JsonStyle, write_record};
use ikada_record::{Chunk, ChunkBuilder, Ledger, Receipt, Share, Tag, Tally, Timestamp};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

/// A fact that does not come within this time never comes.
pub(crate) const NEVER: Duration = Duration::from_secs(20);

/// A clock that stands.
#[derive(Debug)]
struct Standing;

impl Clock for Standing {
    fn now(&self) -> Timestamp {
        Timestamp::new(1_700_000_000, 123_456_717)
    }
}

fn service() -> Arc<Service> {
    Arc::new(Service { clock: Arc::new(Standing), ..Service::default() })
}

fn id(kind: Kind, plugin: &str) -> Arc<InstanceId> {
    Arc::new(InstanceId { kind, plugin: plugin.into(), name: format!("{plugin}.0"), alias: None })
}

/// A section of these options, one a line, as the loader makes it; `tag` is taken out, as it is for every input.
pub(crate) struct Section {
    pub(crate) sources: Sources,
    pub(crate) bag: PropertyBag,
    pub(crate) cx: BuildContext,
    pub(crate) found: Diagnostics,
}

impl Section {
    pub(crate) fn new(kind: Kind, plugin: &str, options: &str) -> Self {
        let mut sources = Sources::default();
        let file = sources.add("a.conf", options);
        let mut properties = Vec::new();
        let mut at = 0;
        for line in options.split_inclusive('\n') {
            let (key, value) = line.trim_end().split_once(' ').unwrap();
            let spanned = |start: usize, text: &str| {
                Spanned::new(text.to_owned(), file.span(at + start, at + start + text.len()))
            };
            properties.push(Property::new(spanned(0, key), spanned(key.len() + 1, value)));
            at += line.len();
        }
        let mut bag = PropertyBag::new(format!("{} {plugin}", kind.name()), file.span(0, 0), properties);
        let mut found = Diagnostics::new();
        let common = OutputCommon::parse(&mut bag, &mut found).unwrap();
        let tag = bag.take_all(&["tag"]).pop().map(|(_, property)| property.value.value);
        let cx = BuildContext {
            id: id(kind, plugin),
            service: service(),
            tag,
            mem_buf_limit: None,
            net: Some(common.net),
            parsers: Default::default(),
            dry_run: false,
        };
        Self { sources, bag, cx, found }
    }

    /// Everything that is wrong, a line each.
    pub(crate) fn findings(&mut self, options: &OptionSet) -> Vec<String> {
        self.bag.finish(&[options], &mut self.found);
        self.found.lines(&self.sources).collect()
    }
}

/// The input of these options, and what is said of them.
pub(crate) fn input(plugin: &str, options: &str) -> (Option<Box<dyn Input>>, Vec<String>) {
    let mut section = Section::new(Kind::Input, plugin, options);
    let all = ikada_basic::inputs();
    let plugin = find(&all, plugin).unwrap();
    let built = (plugin.build)(&mut section.bag, &section.cx, &mut section.found);
    (built, section.findings(&(plugin.options)()))
}

/// The output of these options, and what is said of them.
pub(crate) fn output(plugin: &str, options: &str) -> (Option<Box<dyn Output>>, Vec<String>) {
    let mut section = Section::new(Kind::Output, plugin, options);
    let all = ikada_basic::outputs();
    let plugin = find(&all, plugin).unwrap();
    let built = (plugin.build)(&mut section.bag, &section.cx, &mut section.found);
    (built, section.findings(&(plugin.options)()))
}

/// One chunk as the router saw it: its tag and its records as JSON.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) tag: String,
    pub(crate) chunk: Chunk,
    pub(crate) records: Vec<String>,
}

/// Takes everything and remembers it.
#[derive(Default)]
pub(crate) struct Watcher {
    seen: Mutex<Vec<Seen>>,
    changed: Notify,
    /// Entries that came.
    count: AtomicU64,
}

impl Watcher {
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// Lets go of all that was seen, which settles it.
    pub(crate) fn forget(&self) {
        self.seen.lock().unwrap().clear();
    }

    /// All records in the order they came.
    pub(crate) fn records(&self) -> Vec<String> {
        self.seen().into_iter().flat_map(|seen| seen.records).collect()
    }

    /// Waits until a fact is true.
    pub(crate) async fn until(&self, fact: impl Fn(&Self) -> bool) {
        let wait = async {
            loop {
                let changed = self.changed.notified();
                if fact(self) {
                    return;
                }
                changed.await;
            }
        };
        timeout(NEVER, wait).await.unwrap_or_else(|_| panic!("only {:?}", self.records()));
    }
}

impl Router for Watcher {
    fn dispatch(&self, _: &InstanceId, chunk: Chunk, _: Dispatch) -> BoxFuture<'_, ()> {
        let json = |record: &[u8]| {
            let mut text = Vec::new();
            write_record(&mut text, record, JsonStyle { escape_unicode: false });
            String::from_utf8(text).unwrap()
        };
        self.count.fetch_add(chunk.len() as u64, Relaxed);
        let records = chunk.entries().map(|entry| json(entry.record_bytes())).collect();
        self.seen.lock().unwrap().push(Seen { tag: chunk.tag().to_string(), chunk, records });
        self.changed.notify_waiters();
        Box::pin(std::future::ready(()))
    }
}

/// An input that runs.
pub(crate) struct Running {
    pub(crate) router: Arc<Watcher>,
    pub(crate) metrics: Arc<InputMetrics>,
    pub(crate) stop: CancellationToken,
    task: JoinHandle<()>,
}

/// What an input is given; the flush comes every `flush` milliseconds.
pub(crate) fn context(plugin: &str, flush: u64) -> (InputContext, Arc<Watcher>) {
    let router = Arc::new(Watcher::default());
    let cx = InputContext {
        id: id(Kind::Input, plugin),
        router: router.clone(),
        stop: CancellationToken::new(),
        quit: CancellationToken::new(),
        metrics: Arc::new(InputMetrics::default()),
        flush: FlushClock::new(Instant::now(), Duration::from_millis(flush)),
        tally: Arc::new(Tally::default()),
        service: service(),
    };
    (cx, router)
}

/// Runs an input that is open.
pub(crate) fn run(input: Box<dyn Input>, cx: InputContext, router: Arc<Watcher>) -> Running {
    let (metrics, stop) = (cx.metrics.clone(), cx.stop.clone());
    let task = tokio::spawn(async move { input.run(cx).await.unwrap() });
    Running { router, metrics, stop, task }
}

impl Running {
    /// Waits until the input ends by itself.
    pub(crate) async fn ended(self) -> Arc<Watcher> {
        timeout(Duration::from_secs(3600), self.task).await.expect("the input ends").unwrap();
        let entries = self.router.count.load(Relaxed);
        assert_eq!(self.metrics.records.get(), entries);
        self.router
    }

    /// Asks it to stop, and waits until it has.
    pub(crate) async fn finish(self) -> Arc<Watcher> {
        self.stop.cancel();
        self.ended().await
    }
}

/// An output, the books, and every attempt's outcome.
pub(crate) struct Rig {
    pub(crate) output: Box<dyn Output>,
    pub(crate) ledger: Arc<Ledger>,
}

impl Rig {
    pub(crate) fn new(plugin: &str, options: &str) -> Self {
        let (output, findings) = output(plugin, options);
        assert_eq!(findings, Vec::<String>::new());
        Self { output: output.unwrap(), ledger: Arc::default() }
    }

    /// Hands over one chunk of records given as JSON, due now.
    pub(crate) fn push(&mut self, tag: &str, records: &[&str]) {
        let mut builder = ChunkBuilder::new(Tag::from(tag));
        for record in records {
            let mut bytes = Vec::new();
            ikada_parse::json::transcode_one(record.as_bytes(), &mut bytes).unwrap();
            builder.push_record(Timestamp::new(1_700_000_000, 123_456_717), &bytes);
        }
        let chunk = builder.finish(Receipt::unwatched());
        let share = Share::new(Receipt::unwatched(), chunk.len() as u32, self.ledger.clone());
        let now = Instant::now();
        self.output.push(Routed { chunk, share: Arc::new(share), due: now }, now);
    }

    /// All batches.
    pub(crate) fn close(&mut self) -> Vec<Batch> {
        self.output.close_all();
        let batches: Vec<_> = std::iter::from_fn(|| self.output.pop(Instant::now())).collect();
        assert_eq!(self.output.held(), 0);
        batches
    }

    /// Delivers everything, one batch after another, and says in words how each attempt went.
    pub(crate) async fn finish(&mut self) -> Vec<String> {
        let mut words = Vec::new();
        for mut batch in self.close() {
            loop {
                let outcome = timeout(NEVER, batch.delivery.attempt()).await.expect("an outcome");
                let (word, settled) = said(&outcome);
                words.push(word);
                assert!(words.len() < 50, "{words:?}");
                if settled {
                    settle(&batch, &outcome);
                    break;
                }
            }
        }
        assert_eq!((self.ledger.held(), self.ledger.abandoned()), (0, 0));
        words
    }
}

fn said(outcome: &Outcome) -> (String, bool) {
    match outcome {
        Outcome::Delivered => ("delivered".into(), true),
        Outcome::Retry { after: None, cause } => (format!("again: {cause}"), false),
        Outcome::Retry { after: Some(after), cause } => (format!("again after {after:?}: {cause}"), false),
        Outcome::Rejected { reason, cause } => (format!("{reason}: {cause}"), true),
        Outcome::Partial { .. } => panic!("{outcome:?}"),
    }
}

fn settle(batch: &Batch, outcome: &Outcome) {
    for part in &batch.parts {
        match outcome {
            Outcome::Rejected { reason, .. } => part.share.drop_entries(part.entries, *reason),
            _ => part.share.deliver(part.entries),
        }
    }
}
