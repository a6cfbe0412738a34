//! The queue in front of an output, bounded in bytes.
//!
//! Two bounds. While the output makes progress, a queue over the *pace* bound makes inputs wait: they are slowed to what
//! the destination takes and nothing is lost. An output that has neither taken nor settled anything for the stall limit is not slow
//! but stuck. Inputs that may not block then go on up to the *full* bound, and beyond it the oldest entries make room,
//! each counted. During a drain everything is taken: what inputs still hold is bounded by themselves.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ikada_plugin::{OnFull, Routed};
use ikada_record::DropReason;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

/// Entries that had to make room, told to whoever logs it.
pub(crate) type Evicted = u64;

#[derive(Debug)]
pub(crate) struct Queue {
    state: Mutex<State>,
    room: Notify,
    items: Notify,
    pace: usize,
    full: usize,
    stall: Duration,
}

#[derive(Debug)]
struct State {
    list: VecDeque<Routed>,
    bytes: usize,
    progress: Instant,
    draining: bool,
    closed: bool,
}

impl Queue {
    pub(crate) fn new(pace: usize, full: usize, stall: Duration) -> Self {
        let state = State {
            list: VecDeque::new(),
            bytes: 0,
            progress: Instant::now(),
            draining: false,
            closed: false,
        };
        Self {
            state: Mutex::new(state),
            room: Notify::new(),
            items: Notify::new(),
            pace,
            full: full.max(pace),
            stall,
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a chunk in, waiting for room as `on_full` says. `share_of` is the input's `Mem_Buf_Limit`: its entries fill
    /// the queue no further. Returns how many entries had to make room.
    pub(crate) async fn push(&self, routed: Routed, on_full: OnFull, share_of: Option<usize>) -> Evicted {
        let cost = routed.chunk.cost();
        let full = share_of.map_or(self.full, |limit| limit.min(self.full));
        let pace = self.pace.min(full);
        loop {
            let room = self.room.notified();
            tokio::pin!(room);
            room.as_mut().enable();
            let stuck_at = {
                let mut state = self.state();
                if state.draining || state.list.is_empty() || state.bytes + cost <= pace {
                    self.insert(&mut state, routed, cost);
                    return 0;
                }
                state.progress + self.stall
            };
            if on_full == OnFull::Wait {
                room.await;
                continue;
            }
            if timeout_at(stuck_at, room).await.is_ok() {
                continue;
            }
            let mut state = self.state();
            if Instant::now() < state.progress + self.stall {
                continue;
            }
            let evicted = if state.draining { 0 } else { evict(&mut state, full.saturating_sub(cost)) };
            self.insert(&mut state, routed, cost);
            return evicted;
        }
    }

    fn insert(&self, state: &mut State, routed: Routed, cost: usize) {
        if state.list.is_empty() {
            // An empty queue has not been stuck: its time starts with this chunk.
            state.progress = Instant::now();
        }
        state.bytes += cost;
        state.list.push_back(routed);
        self.items.notify_one();
    }

    /// Takes the oldest chunk out; `None` once the queue is closed and empty.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(crate) async fn pop(&self) -> Option<Routed> {
        loop {
            let items = self.items.notified();
            tokio::pin!(items);
            items.as_mut().enable();
            {
                let mut state = self.state();
                if let Some(routed) = self.take(&mut state) {
                    return Some(routed);
                }
                if state.closed {
                    return None;
                }
            }
            items.await;
        }
    }

    /// Takes the oldest chunk out if there is one.
    pub(crate) fn try_pop(&self) -> Option<Routed> {
        self.take(&mut self.state())
    }

    fn take(&self, state: &mut State) -> Option<Routed> {
        let routed = state.list.pop_front()?;
        state.bytes -= routed.chunk.cost();
        state.progress = Instant::now();
        self.room.notify_waiters();
        Some(routed)
    }

    /// The destination has settled something.
    pub(crate) fn progress(&self) {
        self.state().progress = Instant::now();
    }

    /// From now on everything is taken, whatever the bound.
    pub(crate) fn drain(&self) {
        self.state().draining = true;
        self.room.notify_waiters();
    }

    /// Nothing more will come.
    pub(crate) fn close(&self) {
        let mut state = self.state();
        state.draining = true;
        state.closed = true;
        self.items.notify_one();
        self.room.notify_waiters();
    }

    pub(crate) fn is_closed_and_empty(&self) -> bool {
        let state = self.state();
        state.closed && state.list.is_empty()
    }

    /// Bytes that wait.
    #[cfg(test)]
    fn bytes(&self) -> usize {
        self.state().bytes
    }
}

/// Lets the oldest chunks go until at most `keep` bytes are left; their entries are counted on their shares.
fn evict(state: &mut State, keep: usize) -> Evicted {
    let mut evicted = 0;
    while state.bytes > keep {
        // Chunks whose maker waits are kept by him: they are not ours to drop.
        let Some(at) = state.list.iter().position(|routed| !routed.share.is_watched()) else { break };
        let Some(routed) = state.list.remove(at) else { break };
        state.bytes -= routed.chunk.cost();
        let left = routed.share.left();
        routed.share.drop_entries(left, DropReason::Overflow);
        evicted += u64::from(left);
    }
    evicted
}

#[cfg(test)]
mod tests {
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

    #[tokio::test(start_paused = true)]
    async fn a_writer_waits_for_a_slow_output_and_loses_nothing() {
        let ledger = Arc::new(Ledger::default());
        let queue = Arc::new(Queue::new(3000, 3000, Duration::from_secs(1)));
        let (writer, books) = (queue.clone(), ledger.clone());
        let task = tokio::spawn(async move {
            let mut evicted = 0;
            for _ in 0..20 {
                evicted += writer.push(chunk(&books, 1000), OnFull::Pace, None).await;
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
            evicted += queue.push(chunk(&ledger, 1000), OnFull::Pace, None).await;
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
    async fn who_waits_for_acks_waits_as_long_as_it_takes() {
        let ledger = Arc::new(Ledger::default());
        let queue = Queue::new(1500, 1500, Duration::from_secs(1));
        queue.push(chunk(&ledger, 1000), OnFull::Wait, None).await;
        let waits = queue.push(chunk(&ledger, 1000), OnFull::Wait, None);
        assert!(tokio::time::timeout(Duration::from_secs(3600), waits).await.is_err());
        assert_eq!(ledger.dropped_total(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_drain_takes_everything_at_once() {
        let ledger = Arc::new(Ledger::default());
        let queue = Queue::new(1500, 1500, Duration::from_secs(1));
        queue.drain();
        for _ in 0..10 {
            assert_eq!(queue.push(chunk(&ledger, 1000), OnFull::Pace, None).await, 0);
        }
        queue.close();
        let mut taken = 0;
        while let Some(routed) = queue.pop().await {
            routed.share.deliver(1);
            taken += 1;
        }
        assert_eq!(taken, 10);
    }
}
