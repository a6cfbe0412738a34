use std::sync::Mutex;

use ikada_plugin::{BoxFuture, Delivery, InstanceId, Kind, OnFull, Outcome};
use ikada_record::{ChunkBuilder, Ledger, Receipt, Share, Tag, Timestamp};
use tokio::sync::Semaphore;

use super::*;
use crate::queue::{Queue, Source};

/// Holds one chunk at most, whose batch ends when it is let go.
struct Small {
    held: Arc<Mutex<Option<Batch>>>,
    under_way: Arc<Mutex<usize>>,
    most: Arc<Mutex<usize>>,
    gate: Arc<Semaphore>,
}

struct Gated(Arc<Semaphore>, Arc<Mutex<usize>>);

impl Delivery for Gated {
    fn attempt(&mut self) -> BoxFuture<'_, Outcome> {
        Box::pin(async {
            self.0.acquire().await.unwrap().forget();
            *self.1.lock().unwrap() -= 1;
            Outcome::Delivered
        })
    }
}

impl Output for Small {
    fn push(&mut self, routed: Routed, _: Instant) {
        let mut under_way = self.under_way.lock().unwrap();
        *under_way += 1;
        let mut most = self.most.lock().unwrap();
        *most = (*most).max(*under_way);
        let parts = vec![ikada_plugin::Part { share: routed.share, entries: 1 }];
        let delivery = Gated(self.gate.clone(), self.under_way.clone());
        *self.held.lock().unwrap() = Some(Batch::new(None, parts, 1, Box::new(delivery)));
    }

    fn pop(&mut self, _: Instant) -> Option<Batch> {
        self.held.lock().unwrap().take()
    }

    fn due(&self) -> Option<Instant> {
        None
    }

    fn close_all(&mut self) {}

    fn held(&self) -> usize {
        0
    }

    fn is_full(&self) -> bool {
        *self.under_way.lock().unwrap() >= 1
    }
}

/// Makes three batches of a chunk.
struct Several {
    ready: VecDeque<Batch>,
    /// How many batches were ready, at most, when another chunk came.
    met: Arc<Mutex<usize>>,
    under_way: Arc<Mutex<usize>>,
    gate: Arc<Semaphore>,
}

impl Output for Several {
    fn push(&mut self, routed: Routed, _: Instant) {
        let mut met = self.met.lock().unwrap();
        *met = (*met).max(self.ready.len());
        for _ in 0..3 {
            *self.under_way.lock().unwrap() += 1;
            let parts = vec![ikada_plugin::Part { share: routed.share.clone(), entries: 1 }];
            let delivery = Gated(self.gate.clone(), self.under_way.clone());
            self.ready.push_back(Batch::new(None, parts, 1, Box::new(delivery)));
        }
    }

    fn pop(&mut self, _: Instant) -> Option<Batch> {
        self.ready.pop_front()
    }

    fn due(&self) -> Option<Instant> {
        None
    }

    fn close_all(&mut self) {}

    fn held(&self) -> usize {
        self.ready.len()
    }
}

/// A destination with so many chunks of so many entries in its queue.
async fn destination(chunks: u32, entries: u32, ledger: &Arc<Ledger>) -> Destination {
    let id = InstanceId { kind: Kind::Output, plugin: "x".into(), name: "x.0".into(), alias: None };
    let queue = Arc::new(Queue::new(1_000_000, 1_000_000, Duration::from_secs(1)));
    let backoff = (Duration::from_millis(100), Duration::from_secs(30));
    for _ in 0..chunks {
        let mut builder = ChunkBuilder::new(Tag::from("t"));
        (0..entries).for_each(|_| builder.push_record(Timestamp::new(1, 0), b"\x80"));
        let chunk = builder.finish(Receipt::unwatched());
        let share = Arc::new(Share::new(Receipt::unwatched(), entries, ledger.clone()));
        let source = Source {
            number: 0,
            limit: None,
            on_full: OnFull::Wait,
            durable: false,
            policy: crate::OverflowPolicy::Spill,
        };
        queue.push(Routed { chunk, share, due: Instant::now() }, source).await;
    }
    Destination::new(id.into(), queue, Arc::default(), RetryLimit::Unlimited, backoff)
}

#[tokio::test(start_paused = true)]
async fn no_chunk_is_taken_in_while_batches_of_one_before_wait_in_the_output() {
    let ledger = Arc::new(Ledger::default());
    let to = destination(20, 3, &ledger).await;
    let (met, gate) = (Arc::default(), Arc::new(Semaphore::new(0)));
    let output = Several {
        ready: VecDeque::new(),
        met: Arc::clone(&met),
        under_way: Arc::default(),
        gate: gate.clone(),
    };
    let driver =
        tokio::spawn(Driver::new(Box::new(output), Arc::new(to), Arc::default()).run(Stop::default()));
    for _ in 0..60 {
        gate.add_permits(1);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!((*met.lock().unwrap(), ledger.delivered()), (0, 60));
    driver.abort();
}

#[tokio::test(start_paused = true)]
async fn an_output_that_is_full_is_given_no_more_until_a_batch_has_ended() {
    let ledger = Arc::new(Ledger::default());
    let to = destination(5, 1, &ledger).await;
    let (most, gate) = (Arc::default(), Arc::new(Semaphore::new(0)));
    let output = Small {
        held: Arc::default(),
        under_way: Arc::default(),
        most: Arc::clone(&most),
        gate: gate.clone(),
    };
    let driver =
        tokio::spawn(Driver::new(Box::new(output), Arc::new(to), Arc::default()).run(Stop::default()));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!((*most.lock().unwrap(), ledger.delivered()), (1, 0));
    gate.add_permits(5);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!((*most.lock().unwrap(), ledger.delivered()), (1, 5));
    driver.abort();
}
