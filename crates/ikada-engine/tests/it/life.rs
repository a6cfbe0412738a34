//! Bugs of plugins, and ends that come early.

use std::time::Duration;

use ikada_engine::{Engine, Pipeline};
use ikada_plugin::RetryLimit;
use tokio::time::{Instant, sleep};

use crate::fake::{Answer, Heard, Lanes, Script, Seen, Step, Then, input, output};

fn step(tag: &str) -> Step {
    Step { pause: Duration::from_millis(1), tag: tag.into(), entries: 1, watched: true }
}

fn script(steps: Vec<Step>, then: Then) -> Script {
    Script { steps, first: 0, heard: Heard::default(), then }
}

#[tokio::test(start_paused = true)]
async fn a_delivery_that_ends_in_a_bug_leaves_its_lane_open() {
    let seen = Seen::answering([(0, Answer::Panic), (60_000, Answer::Take)]);
    let mut steps = vec![step("t.bug"), step("t.slow")];
    steps.extend((0..10).map(|_| step("t.bug")));
    let pipeline = Pipeline {
        inputs: vec![input("in.0", script(steps, Then::Wait), None)],
        outputs: vec![output("out.0", "*", Lanes::new(1, 2, seen.clone()), RetryLimit::Unlimited)],
        ..Pipeline::default()
    };
    let engine = Engine::start(pipeline).await.unwrap();
    sleep(Duration::from_secs(30)).await;
    assert_eq!(seen.lock().unwrap().taken.len(), 10, "while the slow one is under way");
    let start = Instant::now();
    let report = engine.drain(Duration::from_secs(3600)).await;
    assert!(start.elapsed() < Duration::from_secs(60));
    assert_eq!((report.outputs[0].sent, report.outputs[0].unsent), (11, 1));
}
