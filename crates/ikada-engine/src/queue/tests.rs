use std::sync::Arc;

use ikada_record::{ChunkBuilder, Ledger, Receipt, Share, Tag, Timestamp};

use super::*;

fn chunk(ledger: &Arc<Ledger>, bytes: usize) -> Routed {
    let mut builder = ChunkBuilder::new(Tag::from("t"));
    let mut record = b"\x81\xa1k\xdb".to_vec();
    record.extend_from_slice(&(bytes as u32).to_be_bytes());
    record.resize(record.len() + bytes, b'x');
    builder.push_record(Timestamp::new(1, 0), &record);
    let chunk = builder.finish(Receipt::unwatched());
    let share = Arc::new(Share::new(Receipt::unwatched(), 1, ledger.clone()));
    Routed { chunk, share, due: Instant::now() }
}

const PACE: Source =
    Source { number: 0, limit: None, on_full: OnFull::Pace, durable: false, policy: OverflowPolicy::Spill };
const WAIT: Source = Source { number: 1, on_full: OnFull::Wait, ..PACE };

#[tokio::test]
async fn what_waits_of_an_input_is_told() {
    let ledger = Arc::new(Ledger::default());
    let queue = Queue::new(25_000, 50_000, Duration::from_secs(1));
    queue.push(chunk(&ledger, 1000), PACE).await;
    queue.push(chunk(&ledger, 1000), WAIT).await;
    queue.push(chunk(&ledger, 1000), WAIT).await;
    let (one, two) = (queue.waits_of(0), queue.waits_of(1));
    assert_eq!((one.here, one.there, two.here, two.there), (1, 0, 2, 0));
    assert_eq!((one.bytes + two.bytes, two.bytes), (queue.bytes(), 2 * one.bytes));
    assert_eq!(queue.waits_of(7), Waits::default());
}

#[tokio::test(start_paused = true)]
async fn the_limit_of_one_input_costs_no_other_input_anything() {
    let (others, own) = (Arc::new(Ledger::default()), Arc::new(Ledger::default()));
    let queue = Queue::new(2500, 20_000, Duration::from_secs(1));
    for _ in 0..10 {
        queue.push(chunk(&others, 1000), PACE).await;
    }
    let limited = Source { number: 2, limit: Some(3000), ..PACE };
    for _ in 0..5 {
        queue.push(chunk(&own, 1000), limited).await;
    }
    assert_eq!((others.dropped_total(), own.dropped(DropReason::Overflow)), (0, 3));
}

#[tokio::test(start_paused = true)]
async fn what_came_from_an_input_that_waits_makes_no_room_for_one_that_does_not() {
    let (waits, paces) = (Arc::new(Ledger::default()), Arc::new(Ledger::default()));
    let queue = Queue::new(2500, 5000, Duration::from_secs(1));
    queue.push(chunk(&waits, 1000), WAIT).await;
    queue.push(chunk(&waits, 1000), WAIT).await;
    for _ in 0..10 {
        queue.push(chunk(&paces, 1000), PACE).await;
    }
    assert_eq!((waits.dropped_total(), paces.dropped(DropReason::Overflow)), (0, 8));
}

#[tokio::test(start_paused = true)]
async fn a_large_chunk_gets_its_turn_among_small_ones() {
    let ledger = Arc::new(Ledger::default());
    let queue = Arc::new(Queue::new(3000, 3000, Duration::from_secs(1)));
    for _ in 0..4 {
        let (queue, ledger) = (queue.clone(), ledger.clone());
        tokio::spawn(async move {
            loop {
                queue.push(chunk(&ledger, 200), WAIT).await;
            }
        });
    }
    let large = tokio::spawn({
        let (queue, ledger) = (queue.clone(), ledger.clone());
        async move { queue.push(chunk(&ledger, 4000), WAIT).await }
    });
    for _ in 0..1000 {
        queue.pop().await.unwrap().share.deliver(1);
        tokio::task::yield_now().await;
    }
    assert!(large.is_finished());
}

#[tokio::test(start_paused = true)]
async fn a_closed_queue_books_what_comes_too_late_as_abandoned() {
    let ledger = Arc::new(Ledger::default());
    let queue = Queue::new(2500, 5000, Duration::from_secs(1));
    queue.close();
    queue.push(chunk(&ledger, 1000), PACE).await;
    assert_eq!((ledger.abandoned(), ledger.held()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_writer_waits_for_a_slow_output_and_loses_nothing() {
    let ledger = Arc::new(Ledger::default());
    let queue = Arc::new(Queue::new(2000, 2000, Duration::from_secs(1)));
    let (writer, books) = (queue.clone(), ledger.clone());
    let task = tokio::spawn(async move {
        let mut evicted = 0;
        for _ in 0..20 {
            evicted += writer.push(chunk(&books, 1000), PACE).await;
        }
        evicted
    });
    let mut taken = 0;
    while taken < 20 {
        tokio::time::sleep(Duration::from_millis(700)).await;
        let routed = queue.pop().await.unwrap();
        routed.share.deliver(1);
        taken += 1;
        assert!(queue.bytes() <= 3000);
    }
    assert_eq!(task.await.unwrap(), 0);
    assert_eq!((ledger.delivered(), ledger.held()), (20, 0));
}

#[tokio::test(start_paused = true)]
async fn a_stuck_output_costs_one_stall_and_then_the_oldest() {
    let ledger = Arc::new(Ledger::default());
    let queue = Queue::new(2500, 5000, Duration::from_secs(1));
    let start = Instant::now();
    let mut evicted = 0;
    for _ in 0..10 {
        evicted += queue.push(chunk(&ledger, 1000), PACE).await;
    }
    assert!(evicted > 0);
    assert_eq!(ledger.dropped(DropReason::Overflow), evicted);
    assert_eq!(ledger.held() + evicted, 10);
    assert!(
        start.elapsed() <= Duration::from_millis(1100),
        "one stall, however many come: {:?}",
        start.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn a_flood_does_not_fill_the_memory_at_once_and_no_chunk_waits_long() {
    let ledger = Arc::new(Ledger::default());
    let queue = Queue::new(80_000, 2_560_000, Duration::from_secs(1));
    let (mut longest, mut evicted) = (Duration::ZERO, 0);
    while queue.bytes() < 80_000 {
        queue.push(chunk(&ledger, 2500), PACE).await;
    }
    let start = Instant::now();
    while evicted == 0 {
        let before = Instant::now();
        evicted += queue.push(chunk(&ledger, 2500), PACE).await;
        longest = longest.max(before.elapsed());
    }
    assert!(start.elapsed() > Duration::from_secs(7), "{:?}", start.elapsed());
    assert!(longest <= Duration::from_millis(1001), "the stall: {longest:?}");
    let before = Instant::now();
    for cost in [2500, 1500, 2000, 1000, 2500, 500, 500, 2500] {
        queue.push(chunk(&ledger, cost), PACE).await;
    }
    assert_eq!(before.elapsed(), Duration::ZERO, "it has been full: who writes is not slowed any more");
    tokio::time::advance(Duration::from_millis(1)).await;
    for _ in 0..10 {
        queue.pop().await.unwrap().share.deliver(1);
    }
    tokio::time::advance(Duration::from_secs(1)).await;
    let before = Instant::now();
    for _ in 0..3 {
        queue.push(chunk(&ledger, 2500), PACE).await;
    }
    assert!(!before.elapsed().is_zero(), "the output has gone on in between");
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_acks_waits_as_long_as_it_takes() {
    let ledger = Arc::new(Ledger::default());
    let queue = Queue::new(1000, 1000, Duration::from_secs(1));
    queue.push(chunk(&ledger, 1000), WAIT).await;
    let waits = queue.push(chunk(&ledger, 1000), WAIT);
    assert!(tokio::time::timeout(Duration::from_secs(3600), waits).await.is_err());
    assert_eq!(ledger.dropped_total(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_drain_takes_everything_at_once() {
    let ledger = Arc::new(Ledger::default());
    let queue = Queue::new(1500, 1500, Duration::from_secs(1));
    queue.drain();
    for _ in 0..10 {
        assert_eq!(queue.push(chunk(&ledger, 1000), PACE).await, 0);
    }
    queue.close();
    let mut taken = 0;
    while let Some(routed) = queue.pop().await {
        routed.share.deliver(1);
        taken += 1;
    }
    assert_eq!(taken, 10);
}
