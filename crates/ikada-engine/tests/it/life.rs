//! Bugs of plugins, and ends that come early.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use ikada_engine::{Again, Engine, Pipeline};
use ikada_plugin::{Batch, BoxFuture, Input, InputContext, InputError, Output, RetryLimit, Routed};
use ikada_record::{DropReason, Settlement};
use tokio::time::{Instant, sleep};

use crate::fake::{Answer, Heard, Lanes, Script, Seen, Step, Then, input, output};

fn step(tag: &str) -> Step {
    Step { pause: Duration::from_millis(1), tag: tag.into(), entries: 1, watched: true }
}

fn script(steps: Vec<Step>, then: Then) -> Script {
    Script { steps, first: 0, heard: Heard::default(), then }
}

#[tokio::test(start_paused = true)]
async fn a_delivery_that_ends_in_a_bug_is_made_once_more() {
    let seen = Seen::answering([(0, Answer::Panic)]);
    let mut steps = vec![step("t.bug"), step("t.other")];
    steps.extend((0..10).map(|_| step("t.bug")));
    let pipeline = Pipeline {
        inputs: vec![input("in.0", script(steps, Then::Wait), None)],
        outputs: vec![output("out.0", "*", Lanes::new(1, 2, seen.clone()), RetryLimit::Unlimited)],
        ..Pipeline::default()
    };
    let engine = Engine::start(pipeline).await.unwrap();
    sleep(Duration::from_secs(30)).await;
    let report = engine.drain(Duration::from_secs(60)).await;
    assert_eq!((report.outputs[0].sent, report.outputs[0].unsent), (12, 0));
    assert!(!seen.lock().unwrap().overtaken);
}

#[tokio::test(start_paused = true)]
async fn an_input_that_ends_in_a_bug_is_started_anew_with_its_queue_and_receipts() {
    // The destination takes its time: what the first life read is still waiting when it ends.
    let seen = Seen::answering([(20_000, Answer::Take)]);
    let first = script(vec![step("t.a"), step("t.a")], Then::Panic);
    let heard = first.heard.clone();
    let ears = heard.clone();
    let lives = Arc::new(AtomicU64::new(0));
    let count = lives.clone();
    let again: Again = Box::new(move || {
        let life = count.fetch_add(1, Relaxed) + 1;
        let then = if life < 3 { Then::Panic } else { Then::Wait };
        let steps = vec![step("t.a")];
        Some(Box::new(Script { steps, first: 100 * life, heard: ears.clone(), then }))
    });
    let mut slot = input("in.0", first, None);
    slot.again = Some(again);
    let pipeline = Pipeline {
        inputs: vec![slot],
        outputs: vec![output("out.0", "*", Lanes::new(1, 1, seen.clone()), RetryLimit::Unlimited)],
        ..Pipeline::default()
    };
    let engine = Engine::start(pipeline).await.unwrap();
    sleep(Duration::from_secs(60)).await;
    assert!(!engine.quit().is_cancelled());
    let report = engine.drain(Duration::from_secs(60)).await;
    assert_eq!((report.bugs, report.unsent(), report.receipts_lost), (3, 0, 0));
    assert_eq!((report.outputs[0].sent, lives.load(Relaxed)), (5, 3));
    let heard = heard.lock().unwrap();
    assert_eq!(heard.iter().filter(|(how, ..)| *how == Settlement::Settled).count(), 5);
    let numbers: Vec<_> = seen.lock().unwrap().taken.iter().map(|(number, ..)| *number).collect();
    assert_eq!(numbers, [0, 1, 100, 200, 300]);
}

#[tokio::test(start_paused = true)]
async fn a_router_that_stops_while_an_input_rests_does_not_wait_for_it() {
    let mut slot = input("in.0", script(Vec::new(), Then::Panic), None);
    slot.again = Some(Box::new(|| Some(Box::new(script(Vec::new(), Then::Panic)))));
    let engine = Engine::start(Pipeline { inputs: vec![slot], ..Pipeline::default() }).await.unwrap();
    sleep(Duration::from_secs(100)).await;
    let start = Instant::now();
    let report = engine.drain(Duration::from_secs(3600)).await;
    assert!(start.elapsed() < Duration::from_secs(1));
    // It rests for 1, 2, 4, 8, 16, 30, 30 seconds, and is at rest.
    assert_eq!(report.bugs, 8);
}

#[tokio::test(start_paused = true)]
async fn an_input_that_cannot_be_made_again_stops_the_router_and_what_it_read_is_delivered() {
    let seen = Seen::answering([]);
    let pipeline = Pipeline {
        inputs: vec![input("in.0", script(vec![step("t.a")], Then::Panic), None)],
        outputs: vec![output("out.0", "*", Lanes::new(1, 2, seen.clone()), RetryLimit::Unlimited)],
        ..Pipeline::default()
    };
    let engine = Engine::start(pipeline).await.unwrap();
    engine.quit().cancelled().await;
    let report = engine.drain(Duration::from_secs(3600)).await;
    assert_eq!((report.bugs, report.unsent(), report.outputs[0].sent), (1, 0, 1));
    assert!(!report.is_clean());
}

struct Broken;
impl Output for Broken {
    fn push(&mut self, _: Routed, _: Instant) {
        panic!("the script says so");
    }
    fn pop(&mut self, _: Instant) -> Option<Batch> {
        None
    }
    fn due(&self) -> Option<Instant> {
        None
    }
    fn close_all(&mut self) {}
    fn held(&self) -> usize {
        0
    }
}

#[tokio::test(start_paused = true)]
async fn a_chunk_that_ends_an_output_in_a_bug_twice_is_dropped_and_kept_among_the_dead_letters() {
    let place = tempfile::tempdir().unwrap();
    let script = script((0..200).map(|_| step("t.a")).collect(), Then::Wait);
    let heard = script.heard.clone();
    let mut slot = output("out.0", "*", Lanes::new(1, 2, Seen::answering([])), RetryLimit::Unlimited);
    slot.output = Box::new(Broken);
    let pipeline = Pipeline {
        inputs: vec![input("in.0", script, None)],
        outputs: vec![slot],
        dead_letters: Some((place.path().to_owned(), u64::MAX)),
        ..Pipeline::default()
    };
    let engine = Engine::start(pipeline).await.unwrap();
    sleep(Duration::from_secs(10)).await;
    assert!(!engine.quit().is_cancelled(), "however many bugs there are");
    let start = Instant::now();
    let report = engine.drain(Duration::from_secs(3600)).await;
    assert!(start.elapsed() < Duration::from_secs(1));
    assert_eq!((report.bugs, report.unsent(), report.receipts_lost), (400, 0, 0));
    assert_eq!(report.outputs[0].dropped, [(DropReason::Bug, 200)]);
    assert!(!report.is_clean());
    let heard = heard.lock().unwrap();
    assert_eq!(heard.iter().filter(|(how, ..)| *how == Settlement::Settled).count(), 200);
    let letters = place.path().join("outputs/out.0");
    let count = || std::fs::read_dir(&letters).unwrap().count();
    // Each with its note.
    while count() < 400 {
        std::thread::yield_now();
    }
}

/// Panics at the first sight of a chunk, at places of its choice.
struct Clumsy {
    inner: Lanes,
    /// Whether the chunk is in a batch already when it panics.
    after: bool,
    pushes: u32,
    pops: u32,
}

impl Output for Clumsy {
    fn push(&mut self, routed: Routed, now: Instant) {
        self.pushes += 1;
        let is_first = self.pushes == 1;
        assert!(!is_first || self.after, "the script says so");
        self.inner.push(routed, now);
        assert!(!is_first, "the script says so");
    }
    fn pop(&mut self, now: Instant) -> Option<Batch> {
        self.pops += 1;
        assert!(self.pops != 3, "the script says so");
        self.inner.pop(now)
    }
    fn due(&self) -> Option<Instant> {
        self.inner.due()
    }
    fn close_all(&mut self) {
        self.inner.close_all();
    }
    fn held(&self) -> usize {
        self.inner.held()
    }
}

#[tokio::test(start_paused = true)]
async fn a_chunk_that_leads_to_a_bug_once_is_delivered_once() {
    for after in [false, true] {
        let seen = Seen::answering([]);
        let script = script((0..5).map(|_| step("t.a")).collect(), Then::Wait);
        let mut slot = output("out.0", "*", Lanes::new(1, 2, seen.clone()), RetryLimit::Unlimited);
        let inner = Lanes::new(1, 2, seen.clone());
        slot.output = Box::new(Clumsy { inner, after, pushes: 0, pops: 0 });
        let pipeline = Pipeline {
            inputs: vec![input("in.0", script, None)],
            outputs: vec![slot],
            ..Pipeline::default()
        };
        let engine = Engine::start(pipeline).await.unwrap();
        sleep(Duration::from_secs(10)).await;
        let report = engine.drain(Duration::from_secs(60)).await;
        assert_eq!((report.bugs, report.unsent(), report.outputs[0].sent), (2, 0, 5), "after: {after}");
        let mut numbers: Vec<_> = seen.lock().unwrap().taken.iter().map(|(number, ..)| *number).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, [0, 1, 2, 3, 4]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_leads_to_a_bug_twice_is_given_up() {
    let seen = Seen::answering([(0, Answer::Panic), (0, Answer::Panic)]);
    let pipeline = Pipeline {
        inputs: vec![input("in.0", script(vec![step("t.a"), step("t.a")], Then::Wait), None)],
        outputs: vec![output("out.0", "*", Lanes::new(1, 1, seen.clone()), RetryLimit::Unlimited)],
        ..Pipeline::default()
    };
    let engine = Engine::start(pipeline).await.unwrap();
    sleep(Duration::from_secs(30)).await;
    let report = engine.drain(Duration::from_secs(60)).await;
    assert_eq!((report.outputs[0].sent, &report.outputs[0].dropped[..]), (1, &[(DropReason::Bug, 1)][..]));
}

/// Blocks its thread until the other end of the channel is gone.
struct Blocks(std::sync::mpsc::Receiver<()>);
impl Input for Blocks {
    fn open<'a>(&'a mut self, _: &'a InputContext) -> BoxFuture<'a, Result<(), InputError>> {
        Box::pin(async { Ok(()) })
    }
    fn run(self: Box<Self>, cx: InputContext) -> BoxFuture<'static, Result<(), InputError>> {
        Box::pin(async move {
            cx.quit.cancel();
            self.0.recv().ok();
            Ok(())
        })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_input_that_blocks_its_thread_does_not_hold_the_end_up() {
    let (release, blocked) = std::sync::mpsc::sync_channel(0);
    let mut slot = input("in.0", script(Vec::new(), Then::Wait), None);
    slot.input = Box::new(Blocks(blocked));
    let engine = Engine::start(Pipeline { inputs: vec![slot], ..Pipeline::default() }).await.unwrap();
    engine.quit().cancelled().await;
    let report = engine.drain(Duration::from_millis(10)).await;
    assert_eq!(report.unsent(), 0);
    drop(release);
}
