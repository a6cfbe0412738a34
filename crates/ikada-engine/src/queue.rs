//! The queue in front of an output, bounded in bytes.
//!
//! Two bounds. While the output makes progress, a queue that has reached the *pace* bound makes inputs wait: they are slowed to what
//! the destination takes and nothing is lost. An output that has neither taken nor settled anything for the stall limit is not slow
//! but stuck. Inputs that may not block then go on up to the *full* bound, and beyond it the oldest entries make room,
//! each counted. Only what came from such an input makes room; an input with a limit of its own makes room for itself first,
//! never at the others' cost. During a drain everything is taken: what inputs still hold is bounded by themselves.

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
    list: VecDeque<Item>,
    bytes: usize,
    /// Bytes by the number of the input they came from.
    by_source: Vec<usize>,
    /// Tickets of those who wait for the pace bound, first come first: a newcomer must not take the room they wait for.
    line: VecDeque<u64>,
    tickets: u64,
    progress: Instant,
    draining: bool,
    closed: bool,
}

/// Who hands a chunk over, and on which terms.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source {
    /// The input's number.
    pub(crate) number: usize,
    /// Its `Mem_Buf_Limit`: bytes its entries may fill of a queue.
    pub(crate) limit: Option<usize>,
    pub(crate) on_full: OnFull,
}

/// A chunk that waits.
#[derive(Debug)]
struct Item {
    routed: Routed,
    source: usize,
    /// Whether it may make room. Chunks whose maker waits are kept by him: they are not ours to drop.
    yields: bool,
}

impl Queue {
    pub(crate) fn new(pace: usize, full: usize, stall: Duration) -> Self {
        let state = State {
            list: VecDeque::new(),
            bytes: 0,
            by_source: Vec::new(),
            line: VecDeque::new(),
            tickets: 0,
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

    /// Puts a chunk in, waiting for room as its source's terms say. Returns how many entries had to make room. A closed
    /// queue lets the chunk go, which books it as abandoned.
    pub(crate) async fn push(&self, routed: Routed, from: Source) -> Evicted {
        let cost = routed.chunk.cost();
        let limit = from.limit.unwrap_or(usize::MAX);
        let mut place = Place { queue: self, ticket: None };
        loop {
            let room = self.room.notified();
            tokio::pin!(room);
            room.as_mut().enable();
            let stuck_at = {
                let mut state = self.state();
                if state.closed {
                    return 0;
                }
                let over_own = state.of(from.number) >= limit;
                let first = state.is_first(place.ticket);
                // The last one in may reach beyond the bound.
                if state.draining || (!over_own && first && state.bytes < self.pace) {
                    self.leave_line(&mut state, &mut place.ticket);
                    self.insert(&mut state, routed, from);
                    return 0;
                }
                if over_own {
                    // It is in nobody's way.
                    self.leave_line(&mut state, &mut place.ticket);
                } else if place.ticket.is_none() {
                    place.ticket = Some(state.join_line());
                }
                state.progress + self.stall
            };
            if from.on_full == OnFull::Wait {
                room.await;
                continue;
            }
            if timeout_at(stuck_at, room).await.is_ok() {
                continue;
            }
            let mut state = self.state();
            if state.draining || Instant::now() < state.progress + self.stall {
                continue;
            }
            let evicted = state.make_room(cost, self.full, from.number, limit);
            self.insert(&mut state, routed, from);
            return evicted;
        }
    }

    /// Gives a place in the line up, so that the next one looks again.
    fn leave_line(&self, state: &mut State, ticket: &mut Option<u64>) {
        let Some(ticket) = ticket.take() else { return };
        state.line.retain(|other| *other != ticket);
        self.room.notify_waiters();
    }

    fn insert(&self, state: &mut State, routed: Routed, from: Source) {
        if state.list.is_empty() {
            // An empty queue has not been stuck: its time starts with this chunk.
            state.progress = Instant::now();
        }
        let yields = from.on_full == OnFull::Pace && !routed.share.is_watched();
        state.add(Item { routed, source: from.number, yields });
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
        let item = state.remove(0)?;
        state.progress = Instant::now();
        self.room.notify_waiters();
        Some(item.routed)
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

/// A place in the line, given up when it goes.
struct Place<'q> {
    queue: &'q Queue,
    ticket: Option<u64>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if self.ticket.is_some() {
            self.queue.leave_line(&mut self.queue.state(), &mut self.ticket);
        }
    }
}

impl State {
    fn join_line(&mut self) -> u64 {
        self.tickets += 1;
        self.line.push_back(self.tickets);
        self.tickets
    }

    /// Whether nobody has waited longer.
    fn is_first(&self, ticket: Option<u64>) -> bool {
        self.line.front().copied().is_none_or(|first| Some(first) == ticket)
    }

    /// Bytes that wait and came from this input.
    fn of(&self, source: usize) -> usize {
        self.by_source.get(source).copied().unwrap_or(0)
    }

    fn add(&mut self, item: Item) {
        let cost = item.routed.chunk.cost();
        if self.by_source.len() <= item.source {
            self.by_source.resize(item.source + 1, 0);
        }
        self.bytes += cost;
        self.by_source[item.source] += cost;
        self.list.push_back(item);
    }

    fn remove(&mut self, at: usize) -> Option<Item> {
        let item = self.list.remove(at)?;
        let cost = item.routed.chunk.cost();
        self.bytes -= cost;
        self.by_source[item.source] -= cost;
        Some(item)
    }

    /// Lets the oldest chunks go until `cost` more bytes are within the input's limit and the queue's; their entries are
    /// counted on their shares.
    fn make_room(&mut self, cost: usize, full: usize, source: usize, limit: usize) -> Evicted {
        let mut evicted = 0;
        while self.of(source) > limit.saturating_sub(cost) {
            let Some(entries) = self.evict(|item| item.source == source) else { break };
            evicted += entries;
        }
        while self.bytes > full.saturating_sub(cost) {
            let Some(entries) = self.evict(|_| true) else { break };
            evicted += entries;
        }
        evicted
    }

    /// Lets the oldest chunk go that may, of those that `which` picks.
    fn evict(&mut self, which: impl Fn(&Item) -> bool) -> Option<Evicted> {
        let at = self.list.iter().position(|item| item.yields && which(item))?;
        let share = self.remove(at)?.routed.share;
        let left = share.left();
        share.drop_entries(left, DropReason::Overflow);
        Some(u64::from(left))
    }
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

    const PACE: Source = Source { number: 0, limit: None, on_full: OnFull::Pace };
    const WAIT: Source = Source { number: 1, limit: None, on_full: OnFull::Wait };

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
}
