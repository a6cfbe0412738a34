//! The input built from the text of a section, and a router that watches.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use ikada_diag::{Diagnostics, Sources, Spanned};
use ikada_options::{Property, PropertyBag};
use ikada_plugin::registry::BuildContext;
use ikada_plugin::{
    BoxFuture, Dispatch, FlushClock, Input, InputContext, InputMemory, InputMetrics, InstanceId, Kind,
    Router, Service,
};
use ikada_record::json::{JsonStyle, write_record};
use ikada_record::{Chunk, Tally};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

/// A fact that does not come within this time never comes.
const NEVER: Duration = Duration::from_secs(60);

fn id() -> Arc<InstanceId> {
    Arc::new(InstanceId { kind: Kind::Input, plugin: "tail".into(), name: "tail.0".into(), alias: None })
}

/// The input of these options, one a line, and what is said of them.
pub(crate) fn input(options: &str) -> (Option<Box<dyn Input>>, Vec<String>) {
    let mut sources = Sources::default();
    let file = sources.add("a.conf", options);
    let mut properties = Vec::new();
    let mut at = 0;
    for line in options.split_inclusive('\n') {
        let text = line.trim_end();
        if let Some((key, value)) = text.split_once(' ') {
            let spanned = |start: usize, text: &str| {
                Spanned::new(text.to_owned(), file.span(at + start, at + start + text.len()))
            };
            properties.push(Property::new(spanned(0, key), spanned(key.len() + 1, value)));
        }
        at += line.len();
    }
    let mut bag = PropertyBag::new("input tail", file.span(0, 0), properties);
    let mut found = Diagnostics::new();
    let tag = bag.take_all(&["tag"]).pop().map(|(_, property)| property.value.value);
    let cx = BuildContext {
        id: id(),
        service: Arc::new(Service::default()),
        tag,
        mem_buf_limit: None,
        net: None,
        parsers: Default::default(),
        dry_run: false,
    };
    let plugin = &ikada_tail::inputs()[0];
    let built = (plugin.build)(&mut bag, &cx, &mut found);
    bag.finish(&[&(plugin.options)()], &mut found);
    (built, found.lines(&sources).collect())
}

/// Takes everything; keeps the chunks, and so their receipts, until it is told to let go.
#[derive(Default)]
pub(crate) struct Watcher {
    seen: Mutex<Vec<(String, String)>>,
    held: Mutex<Option<Vec<Chunk>>>,
    changed: Notify,
}

impl Watcher {
    /// Tags and records, as JSON, in the order they came.
    pub(crate) fn records(&self) -> Vec<(String, String)> {
        self.seen.lock().unwrap().clone()
    }

    /// Waits until so many records have come, and returns them.
    pub(crate) async fn wait_for(&self, count: usize) -> Vec<String> {
        let wait = async {
            loop {
                let changed = self.changed.notified();
                if self.seen.lock().unwrap().len() >= count {
                    return;
                }
                changed.await;
            }
        };
        timeout(NEVER, wait).await.unwrap_or_else(|_| panic!("only {:?}", self.records()));
        self.records().into_iter().map(|(_, record)| record).collect()
    }

    /// From now on receipts do not come back.
    pub(crate) fn hold(&self) {
        *self.held.lock().unwrap() = Some(Vec::new());
    }

    /// Held receipts end: nobody delivers what they stand for.
    pub(crate) fn abandon(&self) {
        for chunk in self.held.lock().unwrap().take().unwrap_or_default() {
            chunk.receipt().abandon();
        }
    }
}

impl Router for Watcher {
    fn dispatch<'a>(&'a self, _: &'a InstanceId, chunk: Chunk, _: Dispatch) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let tag = chunk.tag().to_string();
            let records = chunk.entries().map(|entry| {
                let mut out = Vec::new();
                write_record(&mut out, entry.record_bytes(), JsonStyle::default());
                (tag.clone(), String::from_utf8(out).unwrap())
            });
            self.seen.lock().unwrap().extend(records);
            if let Some(held) = &mut *self.held.lock().unwrap() {
                held.push(chunk);
            }
            self.changed.notify_one();
        })
    }
}

/// A running input.
pub(crate) struct Running {
    pub(crate) watcher: Arc<Watcher>,
    stop: CancellationToken,
    pub(crate) quit: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    pub(crate) async fn start(options: &str) -> Self {
        Self::start_in(options, InputMemory::default()).await
    }

    /// The input with so much memory.
    pub(crate) async fn start_in(options: &str, memory: InputMemory) -> Self {
        let (built, found) = input(options);
        let mut input = built.unwrap_or_else(|| panic!("{found:?}"));
        let watcher = Arc::new(Watcher::default());
        let cx = InputContext {
            id: id(),
            router: watcher.clone(),
            stop: CancellationToken::new(),
            quit: CancellationToken::new(),
            metrics: Arc::new(InputMetrics::default()),
            flush: FlushClock::new(Instant::now(), Duration::from_millis(50)),
            tally: Arc::new(Tally::default()),
            service: Arc::new(Service { input_memory: Arc::new(memory), ..Service::default() }),
        };
        let (stop, quit) = (cx.stop.clone(), cx.quit.clone());
        input.open(&cx).await.unwrap();
        let task = tokio::spawn(async move { input.run(cx).await.unwrap() });
        Self { watcher, stop, quit, task }
    }

    /// Stops it and waits for its end.
    pub(crate) async fn stop(self) -> Arc<Watcher> {
        self.stop.cancel();
        timeout(NEVER, self.task).await.unwrap().unwrap();
        self.watcher
    }
}
