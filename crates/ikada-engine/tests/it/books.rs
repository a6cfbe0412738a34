//! Whatever happens on the way, the books balance, receipts end, and no lane is overtaken.

use std::time::Duration;

use ikada_engine::{Engine, Limits, Pipeline};
use ikada_plugin::RetryLimit;
use ikada_record::{DropReason, Settlement};
use proptest::collection::vec;
use proptest::prelude::*;
use tokio::time::sleep;

use crate::fake::{Answer, Heard, Lanes, Script, Seen, Step, Then, input, output};

type Takes = fn(&str) -> bool;

/// What the outputs match, written twice: for the engine, and for the check.
const PATTERNS: [(&str, Takes); 3] = [
    ("a.*", |tag| tag.starts_with("a.")),
    ("b.*", |tag| tag.starts_with("b.")),
    ("*.1", |tag| tag.ends_with(".1")),
];

/// A destination's answers, entries in a batch, batches under way.
type Place = (Vec<(u64, Answer)>, usize, usize);

#[derive(Debug, Clone)]
struct Case {
    inputs: Vec<(Vec<Step>, Option<usize>)>,
    outputs: Vec<Place>,
    pace: usize,
    limit: Option<u32>,
    drain_at: Duration,
    grace: Duration,
}

fn millis(most: u64) -> impl Strategy<Value = Duration> {
    (0..=most).prop_map(Duration::from_millis)
}

fn step() -> impl Strategy<Value = Step> {
    (millis(400), 0..5u8, 1..40u32, any::<bool>()).prop_map(|(pause, tag, entries, watched)| {
        // Nobody takes what begins with `x`.
        let tag =
            if tag == 4 { "x.lost".into() } else { format!("{}.{tag}", ["a", "b"][usize::from(tag % 2)]) };
        Step { pause, tag, entries, watched }
    })
}

fn answer() -> impl Strategy<Value = (u64, Answer)> {
    let answer = prop_oneof![
        4 => Just(Answer::Take),
        3 => proptest::option::of(millis(3000)).prop_map(Answer::Later),
        3 => vec(0..3u8, 1..7).prop_map(Answer::Part),
        1 => Just(Answer::Refuse),
    ];
    (0..2500u64, answer)
}

fn case() -> impl Strategy<Value = Case> {
    let inputs = vec((vec(step(), 0..40), proptest::option::of(500..4000usize)), 1..4);
    let outputs = vec((vec(answer(), 0..30), 1..50usize, 1..5usize), 1..4);
    let limit = proptest::option::of(0..4u32);
    (
        inputs,
        outputs,
        300..6000usize,
        limit,
        millis(20_000),
        prop_oneof![millis(3000), Just(Duration::from_secs(10_000))],
    )
        .prop_map(|(inputs, outputs, pace, limit, drain_at, grace)| Case {
            inputs,
            outputs,
            pace,
            limit,
            drain_at,
            grace,
        })
}

async fn check(case: Case) -> Result<(), TestCaseError> {
    let heard = Heard::default();
    let limits = Limits { queue_pace: case.pace, queue_full: case.pace * 2, ..Limits::default() };
    let mut pipeline = Pipeline { limits, ..Pipeline::default() };
    for (at, (steps, limit)) in case.inputs.into_iter().enumerate() {
        let script = Script { steps, first: at as u64 * 1_000_000, heard: heard.clone(), then: Then::Wait };
        pipeline.inputs.push(input(&format!("in.{at}"), script, limit));
    }
    let retry = case.limit.map_or(RetryLimit::Unlimited, RetryLimit::Times);
    let mut seen = Vec::new();
    for (at, (answers, most, in_flight)) in case.outputs.into_iter().enumerate() {
        let book = Seen::answering(answers);
        let lanes = Lanes::new(most, in_flight, book.clone());
        pipeline.outputs.push(output(&format!("out.{at}"), PATTERNS[at].0, lanes, retry));
        seen.push(book);
    }
    let engine = Engine::start(pipeline).await.unwrap();
    let view = engine.view();
    sleep(case.drain_at).await;
    let report = engine.drain(case.grace).await;

    prop_assert_eq!(report.receipts_lost, 0);
    for ((_, metrics, ledger), seen) in view.outputs.iter().zip(&seen) {
        let seen = seen.lock().unwrap();
        prop_assert_eq!(ledger.held(), 0);
        let ends = ledger.delivered() + ledger.dropped_total() + ledger.abandoned();
        prop_assert_eq!(ledger.routed(), ends);
        prop_assert_eq!(ledger.delivered(), seen.taken.len() as u64);
        prop_assert_eq!(metrics.proc_records.get(), ledger.delivered());
        prop_assert_eq!(ledger.dropped(DropReason::Rejected), seen.refused.len() as u64);
        prop_assert_eq!(
            metrics.dropped_records.get() + ledger.dropped(DropReason::Overflow),
            ledger.dropped_total()
        );
        prop_assert!(!seen.overtaken, "two batches of a lane under way at once");
        let mut last = std::collections::HashMap::new();
        for (number, lane, batch) in &seen.taken {
            let before = last.insert(*lane, *batch).unwrap_or(0);
            prop_assert!(before <= *batch, "entry {} of lane {} overtook another", number, lane);
        }
    }
    for input in &report.inputs {
        prop_assert_eq!(input.unsent, 0);
    }
    for (how, tag, numbers) in heard.lock().unwrap().iter() {
        if *how == Settlement::Abandoned {
            prop_assert!(report.unsent() > 0);
            continue;
        }
        if case.limit.is_some() {
            continue;
        }
        for (book, _) in seen.iter().zip(PATTERNS).filter(|(_, pattern)| pattern.1(tag)) {
            let book = book.lock().unwrap();
            let settled = |number| {
                book.refused.contains(number) || book.taken.iter().any(|(taken, ..)| taken == number)
            };
            prop_assert!(numbers.iter().all(settled), "told as settled: {:?} of {}", numbers, tag);
        }
    }
    if case.grace > Duration::from_secs(5000) {
        prop_assert!(report.is_clean(), "{:?}", report);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_books_balance_whatever_happens_on_the_way(case in case()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(check(case))?;
    }
}
