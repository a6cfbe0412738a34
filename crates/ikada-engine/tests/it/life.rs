//! Bugs of plugins, and ends that come early.

use std::time::Duration;

use ikada_engine::{Engine, Pipeline};
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
async fn an_input_that_ends_in_a_bug_stops_the_router_and_what_it_read_is_delivered() {
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
async fn an_output_that_ends_in_a_bug_goes_on_and_acknowledges_nothing_of_what_it_was_given() {
    let script = script((0..5).map(|_| step("t.a")).collect(), Then::Wait);
    let heard = script.heard.clone();
    let mut slot = output("out.0", "*", Lanes::new(1, 2, Seen::answering([])), RetryLimit::Unlimited);
    slot.output = Box::new(Broken);
    let pipeline =
        Pipeline { inputs: vec![input("in.0", script, None)], outputs: vec![slot], ..Pipeline::default() };
    let engine = Engine::start(pipeline).await.unwrap();
    sleep(Duration::from_secs(10)).await;
    assert!(!engine.quit().is_cancelled());
    let start = Instant::now();
    let report = engine.drain(Duration::from_secs(3600)).await;
    assert!(start.elapsed() < Duration::from_secs(1));
    assert_eq!((report.bugs, report.unsent(), report.receipts_lost), (5, 5, 0));
    assert!(!report.is_clean());
    let heard = heard.lock().unwrap();
    assert_eq!(heard.len(), 5);
    assert!(heard.iter().all(|(how, ..)| *how == Settlement::Abandoned));
}

#[tokio::test(start_paused = true)]
async fn an_output_with_nothing_but_bugs_ends_the_router() {
    let script = script((0..200).map(|_| step("t.a")).collect(), Then::Wait);
    let mut slot = output("out.0", "*", Lanes::new(1, 2, Seen::answering([])), RetryLimit::Unlimited);
    slot.output = Box::new(Broken);
    let pipeline =
        Pipeline { inputs: vec![input("in.0", script, None)], outputs: vec![slot], ..Pipeline::default() };
    let engine = Engine::start(pipeline).await.unwrap();
    engine.quit().cancelled().await;
    let report = engine.drain(Duration::from_secs(1)).await;
    assert!(!report.is_clean() && report.outputs[0].sent == 0);
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
