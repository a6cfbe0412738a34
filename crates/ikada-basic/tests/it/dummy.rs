//! `dummy` in paused time.

use crate::rig::{Running, context, input, run};
use ikada_record::Timestamp;

/// The input of these options, running; the flush comes every second.
async fn start(options: &str) -> Running {
    let (built, findings) = input("dummy", options);
    assert_eq!(findings, Vec::<String>::new());
    let (cx, router) = context("dummy", 1000);
    let mut built = built.unwrap();
    built.open(&cx).await.unwrap();
    run(built, cx, router)
}

#[tokio::test(start_paused = true)]
async fn one_flush_is_one_chunk() {
    let router = start("rate 10\nsamples 25").await.ended().await;
    let sizes: Vec<_> = router.seen().iter().map(|seen| seen.records.len()).collect();
    // 2.5 seconds see three flushes.
    assert_eq!((sizes.len(), sizes.iter().sum::<usize>()), (3, 25), "{sizes:?}");
    assert!(router.records().iter().all(|record| record == "{\"message\":\"dummy\"}"));
    assert_eq!(router.seen()[0].tag, "dummy.0");
}

#[tokio::test(start_paused = true)]
async fn a_high_rate_is_kept() {
    let begin = tokio::time::Instant::now();
    let router = start("rate 100000\nsamples 200000\ntag app.load").await.ended().await;
    let seconds = begin.elapsed().as_secs_f64();
    assert!((2.0..=3.1).contains(&seconds), "{seconds}");
    assert_eq!(router.records().len(), 200_000);
    assert!(router.seen().iter().all(|seen| seen.tag == "app.load" && seen.chunk.size() < 300 * 1024));
}

#[tokio::test(start_paused = true)]
async fn every_record_comes_as_often_as_copies_say() {
    let router = start("dummy {\"n\":1}\nsamples 2\ncopies 3").await.ended().await;
    assert_eq!(router.records(), ["{\"n\":1}"; 6]);
}

#[tokio::test(start_paused = true)]
async fn several_objects_in_a_row_are_as_many_records() {
    let router = start("dummy {\"a\":1} {\"b\":2}{\"c\":3}\nsamples 2\ncopies 2").await.ended().await;
    assert_eq!(router.records(), ["{\"a\":1}", "{\"b\":2}", "{\"c\":3}"].repeat(4));
}

#[tokio::test(start_paused = true)]
async fn times_count_up_from_the_start_or_stand_still() {
    let times = async |options: &str| {
        let router = start(options).await.ended().await;
        let times = router.seen().into_iter().flat_map(|seen| {
            seen.chunk.entries().map(|entry| (entry.time().secs(), entry.time().nanos())).collect::<Vec<_>>()
        });
        times.collect::<Vec<_>>()
    };
    let start = "samples 3\ninterval_nsec 500000000\nstart_time_sec 100\nstart_time_nsec 600000000";
    assert_eq!(times(start).await, [(100, 600_000_000), (101, 100_000_000), (101, 600_000_000)]);
    assert_eq!(times(&format!("{start}\nfixed_timestamp on")).await, [(100, 600_000_000); 3]);
    assert_eq!(times("samples 1").await, [(1_700_000_000, 123_456_717)]);
}

#[tokio::test(start_paused = true)]
async fn metadata_stands_beside_the_record() {
    let router = start("metadata {\"a\":1}\nsamples 1").await.ended().await;
    let seen = router.seen();
    let entry = seen[0].chunk.entries().next().unwrap();
    assert_eq!(entry.metadata(), Some(&b"\x81\xa1a\x01"[..]));
    assert_eq!(entry.time(), Timestamp::new(1_700_000_000, 123_456_717));
}

#[tokio::test(start_paused = true)]
async fn the_first_record_comes_after_one_interval_or_at_once() {
    let first = async |options: &str| {
        let begin = tokio::time::Instant::now();
        start(options).await.ended().await;
        begin.elapsed().as_secs()
    };
    assert_eq!(first("interval_sec 5\nsamples 1").await, 6);
    assert_eq!(first("interval_sec 5\nsamples 1\nflush_on_startup on").await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_stop_hands_over_what_has_been_made() {
    let running = start("rate 1000\ndummy {\"n\":1}").await;
    running.router.until(|router| router.records().len() > 500).await;
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    let before = running.router.records().len();
    let router = running.finish().await;
    assert!(router.records().len() > before, "nothing came after {before}");
}
