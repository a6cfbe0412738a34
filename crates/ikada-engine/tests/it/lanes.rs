//! One stream, file or tag of an output that takes nothing, beside others that do.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ikada_engine::{Engine, Limits, Pipeline, Storage};
use ikada_plugin::{Batch, BoxFuture, Delivery, Outcome, Output, RetryLimit, Routed, SendError, add_part};
use ikada_record::DropReason;
use tokio::time::{Instant, sleep};

use crate::fake::{Heard, Lanes, Script, Seen, Step, Then, input, output};

/// One batch for each chunk, one lane for each tag; tags that start with `no.` are forbidden until the gate opens.
struct Streams {
    ready: std::collections::VecDeque<Batch>,
    open: Arc<Mutex<bool>>,
    taken: Arc<Mutex<HashMap<String, u64>>>,
}

struct Put {
    tag: String,
    entries: u64,
    open: Arc<Mutex<bool>>,
    taken: Arc<Mutex<HashMap<String, u64>>>,
}

impl Delivery for Put {
    fn attempt(&mut self) -> BoxFuture<'_, Outcome> {
        Box::pin(async move {
            sleep(Duration::from_millis(2)).await;
            if self.tag.starts_with("no.") && !*self.open.lock().unwrap() {
                let cause = SendError { status: Some(403), ..SendError::new("forbidden") };
                let after = Some(Duration::from_secs(30));
                return Outcome::Retry { after, cause };
            }
            *self.taken.lock().unwrap().entry(self.tag.clone()).or_default() += self.entries;
            Outcome::Delivered
        })
    }
}

impl Output for Streams {
    fn push(&mut self, routed: Routed, _: Instant) {
        let tag = routed.chunk.tag().to_string();
        let lane = tag.bytes().fold(7, |hash, byte| hash * 31 + u64::from(byte));
        let entries = routed.chunk.len() as u32;
        let mut parts = Vec::new();
        add_part(&mut parts, &routed.share, entries);
        let delivery =
            Put { tag, entries: entries.into(), open: self.open.clone(), taken: self.taken.clone() };
        let origins = if routed.share.source().is_some() { (0..entries).collect() } else { Vec::new() };
        let batch = Batch::new(Some(lane), parts, routed.chunk.size(), Box::new(delivery));
        self.ready.push_back(batch.with_origins(origins));
    }
    fn pop(&mut self, _: Instant) -> Option<Batch> {
        self.ready.pop_front()
    }
    fn due(&self) -> Option<Instant> {
        None
    }
    fn close_all(&mut self) {}
    fn held(&self) -> usize {
        self.ready.iter().map(|batch| batch.bytes).sum()
    }
}

struct Run {
    taken: HashMap<String, u64>,
    report: ikada_engine::Report,
    /// When the last healthy entry was taken, after the start.
    healthy_after: Duration,
}

/// A client that writes to each of these tags in turn, a chunk of ten entries a millisecond.
async fn run(tags: &[&str], rounds: usize, watched: bool, storage: Option<Storage>) -> Run {
    let open: Arc<Mutex<bool>> = Arc::default();
    let taken: Arc<Mutex<HashMap<String, u64>>> = Arc::default();
    let of =
        |tag: &&str| Step { pause: Duration::from_millis(1), tag: (*tag).to_owned(), entries: 10, watched };
    let steps: Vec<_> = (0..rounds).flat_map(|_| tags.iter().map(of)).collect();
    let script = Script { steps, first: 0, heard: Heard::default(), then: Then::Wait };
    let mut slot = output("out.0", "*", Lanes::new(1, 1, Seen::answering([])), RetryLimit::Unlimited);
    slot.output = Box::new(Streams { ready: Default::default(), open: open.clone(), taken: taken.clone() });
    // Room for some batches of each tag.
    let pace = 20_000.max(2_000 * tags.len());
    let pipeline = Pipeline {
        limits: Limits { queue_pace: pace, queue_full: 3 * pace, ..Limits::default() },
        storage,
        inputs: vec![input("in.0", script, None)],
        outputs: vec![slot],
        ..Pipeline::default()
    };
    let engine = Engine::start(pipeline).await.unwrap();
    let start = Instant::now();
    let healthy = 10 * rounds as u64;
    while taken.lock().unwrap().get("ok").copied().unwrap_or(0) < healthy
        && start.elapsed() < Duration::from_secs(1000)
    {
        sleep(Duration::from_millis(10)).await;
    }
    let healthy_after = start.elapsed();
    *open.lock().unwrap() = true;
    sleep(Duration::from_secs(600)).await;
    let report = engine.drain(Duration::from_secs(600)).await;
    Run { taken: std::mem::take(&mut taken.lock().unwrap()), report, healthy_after }
}

#[tokio::test(start_paused = true)]
async fn a_forbidden_stream_slows_no_other_and_its_books_balance() {
    let alone = run(&["ok"], 10_000, false, None).await;
    let beside = run(&["no.a", "ok"], 10_000, false, None).await;
    assert_eq!(beside.taken["ok"], 100_000);
    // The client writes twice as much; the healthy half of it takes no longer than that.
    assert!(
        beside.healthy_after < 3 * alone.healthy_after,
        "{:?}",
        (beside.healthy_after, alone.healthy_after)
    );
    let books = &beside.report.outputs[0];
    let dropped: u64 = books.dropped.iter().map(|(_, count)| count).sum();
    assert_eq!((books.sent, books.unsent), (100_000 + beside.taken["no.a"], 0));
    assert_eq!(books.sent + dropped, 200_000);
    assert!(dropped > 0 && books.dropped.iter().all(|(reason, _)| *reason == DropReason::Overflow));
    assert!(beside.taken["no.a"] > 0, "the newest of them are delivered once they may be");
}

#[tokio::test(start_paused = true)]
async fn a_forbidden_stream_whose_lines_are_few_loses_nothing_and_slows_no_other() {
    let beside = run(&["no.a", "no.b", "no.c", "ok"], 10, false, None).await;
    assert!(beside.healthy_after < Duration::from_secs(2), "{:?}", beside.healthy_after);
    assert_eq!((beside.report.outputs[0].sent, beside.report.unsent()), (400, 0));
    assert!(beside.report.is_clean());
}

#[tokio::test(start_paused = true)]
async fn what_its_maker_keeps_is_never_dropped_for_a_neighbour() {
    let beside = run(&["no.a", "ok"], 2000, true, None).await;
    assert_eq!((beside.report.outputs[0].sent, beside.report.unsent()), (40_000, 0));
}

#[tokio::test(start_paused = true)]
async fn with_a_disk_nothing_of_a_forbidden_stream_is_dropped() {
    let place = tempfile::tempdir().unwrap();
    let storage = Storage { path: place.path().to_owned(), sync: Default::default() };
    let beside = run(&["no.a", "ok"], 2000, false, Some(storage)).await;
    assert_eq!((beside.report.outputs[0].sent, beside.report.unsent()), (40_000, 0));
}

/// Files of the output on disk.
fn files(place: &std::path::Path) -> usize {
    std::fs::read_dir(place.join("outputs/out.0")).map_or(0, Iterator::count)
}

#[tokio::test(start_paused = true)]
async fn with_a_disk_a_forbidden_stream_waits_there_and_slows_no_other() {
    let place = tempfile::tempdir().unwrap();
    let storage = Storage { path: place.path().to_owned(), sync: Default::default() };
    let alone = run(&["ok"], 5000, false, None).await;
    let beside = run(&["no.a", "ok"], 5000, false, Some(storage)).await;
    assert!(
        beside.healthy_after < 3 * alone.healthy_after,
        "{:?}",
        (beside.healthy_after, alone.healthy_after)
    );
    assert_eq!((beside.taken["ok"], beside.taken["no.a"]), (50_000, 50_000));
    let books = &beside.report.outputs[0];
    assert_eq!((books.sent, books.unsent, books.kept, &books.dropped[..]), (100_000, 0, 0, &[][..]));
    assert!(beside.report.is_clean());
    // They are deleted in a thread of their own.
    while files(place.path()) > 0 {
        std::thread::yield_now();
    }
}

#[tokio::test(start_paused = true)]
async fn with_a_disk_several_forbidden_streams_whose_batches_fill_the_memory_slow_no_other() {
    let place = tempfile::tempdir().unwrap();
    let storage = Storage { path: place.path().to_owned(), sync: Default::default() };
    let tags = ["no.a", "no.b", "no.c", "ok"];
    let beside = run(&tags, 2000, false, Some(storage)).await;
    assert!(beside.healthy_after < Duration::from_secs(100), "{:?}", beside.healthy_after);
    assert_eq!((beside.report.outputs[0].sent, beside.report.unsent()), (80_000, 0));
}

#[tokio::test(start_paused = true)]
async fn what_a_stop_cuts_off_on_its_way_is_on_disk_for_the_next_run() {
    let place = tempfile::tempdir().unwrap();
    let storage = || Storage { path: place.path().to_owned(), sync: Default::default() };
    let step = Step { pause: Duration::ZERO, tag: "no.a".to_owned(), entries: 10, watched: false };
    let pipeline = |steps: Vec<Step>, open: bool| {
        let script = Script { steps, first: 0, heard: Heard::default(), then: Then::Wait };
        let mut slot = output("out.0", "*", Lanes::new(1, 1, Seen::answering([])), RetryLimit::Unlimited);
        let open = Arc::new(Mutex::new(open));
        slot.output = Box::new(Streams { ready: Default::default(), open, taken: Arc::default() });
        let (inputs, outputs) = (vec![input("in.0", script, None)], vec![slot]);
        Pipeline { storage: Some(storage()), inputs, outputs, ..Pipeline::default() }
    };
    let engine = Engine::start(pipeline(vec![step; 5], false)).await.unwrap();
    sleep(Duration::from_secs(5)).await;
    assert_eq!(files(place.path()), 0, "there is room for them in memory");
    let report = engine.drain(Duration::from_secs(1)).await;
    assert_eq!((report.outputs[0].sent, report.outputs[0].unsent, report.outputs[0].kept), (0, 0, 50));
    assert!(report.is_clean(), "{report:?}");
    let engine = Engine::start(pipeline(Vec::new(), true)).await.unwrap();
    sleep(Duration::from_secs(5)).await;
    let report = engine.drain(Duration::from_secs(1)).await;
    assert_eq!((report.outputs[0].sent, report.outputs[0].unsent, report.outputs[0].kept), (50, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn without_a_disk_several_forbidden_streams_whose_lines_are_many_never_shut_the_others_out() {
    let beside = run(&["no.a", "no.b", "no.c", "ok"], 2000, false, None).await;
    assert!(beside.taken["ok"] >= 10_000, "{:?}", beside.taken);
    let books = &beside.report.outputs[0];
    let dropped: u64 = books.dropped.iter().map(|(_, count)| count).sum();
    assert_eq!((books.sent + dropped, books.unsent), (80_000, 0));
}

/// More streams than an output has attempts under way: forbidden ones must not take all places for themselves.
#[tokio::test(start_paused = true)]
async fn hundreds_of_forbidden_streams_leave_their_neighbour_its_place() {
    let names: Vec<String> =
        (0..300).map(|n| format!("no.{n}")).chain(std::iter::once("ok".to_owned())).collect();
    let tags: Vec<&str> = names.iter().map(String::as_str).collect();
    let place = tempfile::tempdir().unwrap();
    let storage = Storage { path: place.path().to_owned(), sync: Default::default() };
    let beside = run(&tags, 20, false, Some(storage)).await;
    assert_eq!((beside.taken["ok"], beside.report.outputs[0].sent, beside.report.unsent()), (200, 60_200, 0));
    assert!(beside.healthy_after < Duration::from_secs(120), "{:?}", beside.healthy_after);
    let beside = run(&tags, 20, false, None).await;
    let books = &beside.report.outputs[0];
    let dropped: u64 = books.dropped.iter().map(|(_, count)| count).sum();
    assert_eq!((books.sent + dropped, books.unsent), (60_200, 0));
    assert!(beside.taken["ok"] >= 100, "{:?}", beside.taken.get("ok"));
}
