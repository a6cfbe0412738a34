//! The one task of an output: chunks in, batches out, a bounded number of them under way.

use std::collections::{HashMap, HashSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use ikada_plugin::{Batch, Output};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::error;

use crate::deliver::{Destination, deliver, said};

/// A batch that is due waits this much longer: what other inputs hand over at the same tick goes with it.
const LINGER: Duration = Duration::from_millis(2);

/// Chunks taken in before the task looks at anything else.
const BURST: usize = 16;

/// An output with more bugs than this is beyond help.
const MOST_BUGS: u32 = 100;

/// How long a draining output with an empty queue waits for the inputs to end before it closes its batches.
/// Clients that wait for acks are waiting for just that.
const DRAIN_LINGER: Duration = Duration::from_millis(250);

pub(crate) struct Driver {
    output: Box<dyn Output>,
    to: Arc<Destination>,
    under_way: JoinSet<()>,
    /// What each task under way delivers.
    loads: HashMap<Id, Load>,
    busy_lanes: HashSet<u64>,
    waiting: VecDeque<Batch>,
    in_flight: usize,
    bytes_under_way: usize,
    /// Bugs of all inputs and outputs.
    bugs: Arc<AtomicU64>,
    own_bugs: u32,
}

/// What a delivery task was given.
struct Load {
    lane: Option<u64>,
    entries: u32,
    bytes: usize,
}

/// The tokens that end a driver.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stop {
    /// The inputs stop: deliver what is there.
    pub(crate) drain: CancellationToken,
    /// The grace is over: let go.
    pub(crate) abort: CancellationToken,
}

impl Driver {
    pub(crate) fn new(output: Box<dyn Output>, to: Arc<Destination>, bugs: Arc<AtomicU64>) -> Self {
        let in_flight = output.in_flight().max(1);
        Self {
            output,
            to,
            under_way: JoinSet::new(),
            loads: HashMap::new(),
            busy_lanes: HashSet::new(),
            waiting: VecDeque::new(),
            in_flight,
            bytes_under_way: 0,
            bugs,
            own_bugs: 0,
        }
    }

    /// Works until the queue is closed and everything is settled, or `stop.abort` fires.
    pub(crate) async fn run(mut self, stop: Stop) {
        let mut draining = false;
        let mut close_at: Option<Instant> = None;
        loop {
            self.advance();
            if draining && self.to.queue.is_closed_and_empty() {
                self.guarded((), |output| output.close_all());
                self.advance();
                if self.is_done() {
                    return;
                }
            }
            let can_pop = self.has_place();
            let room = can_pop && (draining || !self.output.is_full());
            let due = self.output.due().filter(|_| can_pop).map(|due| due + LINGER);
            let wake = [due, close_at].into_iter().flatten().min();
            tokio::select! {
                biased;
                () = stop.abort.cancelled() => {
                    // Dropping the batches abandons their shares, which books them as unsent.
                    self.under_way.shutdown().await;
                    return;
                }
                Some(ended) = self.under_way.join_next_with_id() => self.ended(ended),
                () = stop.drain.cancelled(), if !draining => {
                    draining = true;
                    close_at = Some(Instant::now() + DRAIN_LINGER);
                }
                routed = self.to.queue.pop(), if room && !self.to.queue.is_closed_and_empty() => {
                    let Some(routed) = routed else { continue };
                    let Some(routed) = self.to.load(routed).await else { continue };
                    let now = Instant::now();
                    self.guarded((), |output| output.push(routed, now));
                    self.take_more(now).await;
                }
                () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {
                    if close_at.is_some_and(|at| Instant::now() >= at) {
                        close_at = Some(Instant::now() + DRAIN_LINGER);
                        self.guarded((), |output| output.close_all());
                    }
                }
            }
        }
    }

    /// Takes in more of what waits. Encoding and compressing a chunk may take a millisecond, so other tasks get their turn after
    /// each.
    async fn take_more(&mut self, now: Instant) {
        for _ in 0..BURST {
            self.advance();
            tokio::task::yield_now().await;
            if !self.has_place() || self.output.is_full() {
                return;
            }
            let Some(waiting) = self.to.queue.try_pop() else { return };
            let Some(routed) = self.to.load(waiting).await else { continue };
            self.guarded((), |output| output.push(routed, now));
        }
    }

    /// Whether a further batch may be taken: few enough are under way, and their bytes are within the output's share of the memory.
    fn has_place(&self) -> bool {
        let waiting: usize = self.waiting.iter().map(|batch| batch.bytes).sum();
        let is_idle = self.under_way.is_empty() && self.waiting.is_empty();
        let fits = self.bytes_under_way + waiting < self.to.most_under_way;
        self.waiting.len() < self.in_flight && (is_idle || fits)
    }

    /// Calls the output. One that ends in a bug is called again with the next chunk; what it was given may be left unsent, which
    /// its shares book. After too many bugs the task ends, and the process with it.
    fn guarded<T>(&mut self, otherwise: T, call: impl FnOnce(&mut dyn Output) -> T) -> T {
        match catch_unwind(AssertUnwindSafe(|| call(&mut *self.output))) {
            Ok(done) => done,
            Err(panic) => {
                self.to.metrics.errors.add(1);
                self.bugs.fetch_add(1, Relaxed);
                self.own_bugs += 1;
                error!(instance = %self.to.id, "the output ended in a bug of Ikada and goes on: {}", said(&*panic));
                if self.own_bugs > MOST_BUGS {
                    resume_unwind(panic);
                }
                otherwise
            }
        }
    }

    /// Takes ready batches from the output and starts those whose lane is free.
    fn advance(&mut self) {
        let now = Instant::now();
        while self.has_place() {
            let Some(batch) = self.guarded(None, |output| output.pop(now)) else { break };
            self.waiting.push_back(batch);
            self.start_ready();
        }
        self.start_ready();
    }

    fn start_ready(&mut self) {
        while self.under_way.len() < self.in_flight {
            let free = |batch: &Batch| batch.lane.is_none_or(|lane| !self.busy_lanes.contains(&lane));
            let Some(at) = self.waiting.iter().position(free) else { return };
            let Some(batch) = self.waiting.remove(at) else { return };
            let load = Load { lane: batch.lane, entries: batch.entries, bytes: batch.bytes };
            self.bytes_under_way += load.bytes;
            self.busy_lanes.extend(load.lane);
            let task = self.under_way.spawn(deliver(batch, self.to.clone()));
            self.loads.insert(task.id(), load);
        }
    }

    /// Opens the lane of a delivery that ended, well or in a bug.
    fn ended(&mut self, ended: Result<(Id, ()), JoinError>) {
        let id = match &ended {
            Ok((id, ())) => *id,
            Err(error) => error.id(),
        };
        let Some(load) = self.loads.remove(&id) else { return };
        self.bytes_under_way -= load.bytes;
        if let Some(lane) = load.lane {
            self.busy_lanes.remove(&lane);
        }
        if let Err(error) = ended {
            // The shares went with the task and are booked as abandoned.
            self.to.metrics.errors.add(1);
            let entries = load.entries;
            error!(instance = %self.to.id, "a delivery ended in a bug, up to {entries} records are left unsent: {error}");
        }
    }

    fn is_done(&self) -> bool {
        self.under_way.is_empty() && self.waiting.is_empty() && self.output.held() == 0
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use ikada_plugin::{BoxFuture, Delivery, InstanceId, Kind, OnFull, Outcome, RetryLimit, Routed};
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

    #[tokio::test(start_paused = true)]
    async fn an_output_that_is_full_is_given_no_more_until_a_batch_has_ended() {
        let id = InstanceId { kind: Kind::Output, plugin: "x".into(), name: "x.0".into(), alias: None };
        let queue = Arc::new(Queue::new(1_000_000, 1_000_000, Duration::from_secs(1)));
        let backoff = (Duration::from_millis(100), Duration::from_secs(30));
        let to = Destination::new(id.into(), queue.clone(), Arc::default(), RetryLimit::Unlimited, backoff);
        let ledger = Arc::new(Ledger::default());
        for _ in 0..5 {
            let mut builder = ChunkBuilder::new(Tag::from("t"));
            builder.push_record(Timestamp::new(1, 0), b"\x80");
            let chunk = builder.finish(Receipt::unwatched());
            let share = Arc::new(Share::new(Receipt::unwatched(), 1, ledger.clone()));
            let source = Source {
                number: 0,
                limit: None,
                on_full: OnFull::Wait,
                durable: false,
                policy: crate::OverflowPolicy::Spill,
            };
            queue.push(Routed { chunk, share, due: Instant::now() }, source).await;
        }
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
}
