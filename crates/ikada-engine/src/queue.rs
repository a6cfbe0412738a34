//! The queue in front of an output, bounded in bytes.
//!
//! Two bounds. While the output makes progress, a queue that has reached the *pace* bound makes inputs wait: they are slowed to what
//! the destination takes and nothing is lost. An output that has neither taken nor settled anything for the stall limit is not slow
//! but stuck. Inputs that may not block then go on up to the *full* bound; what comes beyond it is put on disk, if there is one, and in the
//! end the oldest entries make room, each counted. Only what came from such an input makes room; an input with a limit of its own
//! makes room for itself first, never at the others' cost. During a drain everything is taken: what inputs still hold is bounded
//! by themselves.
//!
//! A stuck output may be a healthy one that pauses. Without a disk the memory between the two bounds is therefore let out in measure, so
//! that it lasts for some seconds even if a client writes as fast as it can; none of its writes waits long.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ikada_plugin::{OnFull, Routed};
use ikada_record::{Chunk, DropReason, Share};
use ikada_store::chunks::Stored;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout, timeout_at};

use crate::pipeline::OverflowPolicy;
use crate::report::Waits;
use crate::shelf::Shelf;

/// Entries that had to make room, told to whoever logs it.
pub(crate) type Evicted = u64;

/// How long the memory of a stuck output's queue lasts at least, if chunks are of a usual size.
const LASTS: Duration = Duration::from_secs(8);

/// How long a chunk waits at most to make the memory last.
const METER_MOST: Duration = Duration::from_millis(25);

/// What a chunk on disk costs in memory.
pub(crate) const COST_THERE: usize = 256;

#[derive(Debug)]
pub(crate) struct Queue {
    state: Mutex<State>,
    room: Notify,
    items: Notify,
    pace: usize,
    full: usize,
    /// Bytes that the output itself holds; they count against `full`.
    beyond: AtomicUsize,
    stall: Duration,
    shelf: Option<Arc<Shelf>>,
    /// Times that the oldest had to make room.
    evictions: AtomicU64,
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
    /// When the next chunk may come in without a wait, once the output is stuck.
    meter: Instant,
    /// When the memory was last full and something had to go.
    overflowed: Option<Instant>,
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
    /// Whether its chunks are put on disk as soon as they come.
    pub(crate) durable: bool,
    pub(crate) policy: OverflowPolicy,
}

/// A chunk that waits.
#[derive(Debug)]
struct Item {
    waiting: Waiting,
    /// Bytes of memory.
    cost: usize,
    source: usize,
    /// Whether it may make room. Chunks whose maker waits are kept by him: they are not ours to drop.
    yields: bool,
}

/// A chunk that waited, in memory or on disk.
#[derive(Debug)]
pub(crate) struct Waiting {
    share: Arc<Share>,
    due: Instant,
    body: Body,
}

#[derive(Debug)]
enum Body {
    Here(Chunk),
    There(Stored),
}

/// What a chunk does next on its way in.
enum Step {
    Enter,
    /// Gone: the newest is what the input lets go.
    Refuse,
    /// Nothing but room helps.
    ForRoom,
    /// Room, or the end of the stall limit.
    UntilStuck(Instant),
    /// Room, or this long, to make the memory last.
    Metered(Duration),
    /// It is to be put on disk.
    Spill,
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
            meter: Instant::now(),
            overflowed: None,
            draining: false,
            closed: false,
        };
        Self {
            state: Mutex::new(state),
            room: Notify::new(),
            items: Notify::new(),
            pace,
            full: full.max(pace),
            beyond: AtomicUsize::new(0),
            stall,
            shelf: None,
            evictions: AtomicU64::new(0),
        }
    }

    /// With a disk, and what waits there since an earlier run, oldest first. It counts as the input's with this number.
    pub(crate) fn with_shelf(
        mut self,
        shelf: Arc<Shelf>,
        backlog: Vec<(Stored, Arc<Share>)>,
        number: usize,
    ) -> Self {
        {
            let mut state = self.state();
            for (stored, share) in backlog {
                shelf.keep(stored.clone(), &share);
                let waiting = Waiting { share, due: Instant::now(), body: Body::There(stored) };
                state.add(Item { waiting, cost: COST_THERE, source: number, yields: true });
            }
        }
        self.shelf = Some(shelf);
        self
    }

    /// So many bytes wait behind the queue, in the output.
    pub(crate) fn counts_too(&self, bytes: usize) {
        self.beyond.store(bytes, Relaxed);
    }

    /// The full bound, less what the output holds. The pace bound is the queue's own, whatever that is.
    fn full(&self) -> usize {
        self.full.saturating_sub(self.beyond.load(Relaxed)).max(self.pace)
    }

    /// Times so far that the oldest had to make room.
    pub(crate) fn evictions(&self) -> u64 {
        self.evictions.load(Relaxed)
    }

    /// How long an output may make no progress before it is stuck.
    pub(crate) fn stall(&self) -> Duration {
        self.stall
    }

    /// The disk, if there is one.
    pub(crate) fn shelf(&self) -> Option<&Arc<Shelf>> {
        self.shelf.as_ref()
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a chunk in, waiting for room as its source's terms say. Returns how many entries had to make room. A closed
    /// queue lets the chunk go, which books it as abandoned.
    pub(crate) async fn push(&self, routed: Routed, from: Source) -> Evicted {
        let Routed { chunk, share, due } = routed;
        let mut item = Item {
            cost: chunk.cost(),
            yields: from.on_full == OnFull::Pace && !share.is_watched(),
            waiting: Waiting { share, due, body: Body::Here(chunk) },
            source: from.number,
        };
        let mut stored = None;
        if from.durable && item.yields {
            stored = self.shelve(&item).await;
        }
        let mut place = Place { queue: self, ticket: None };
        let mut evicted = 0;
        let mut has_waited = false;
        loop {
            let room = self.room.notified();
            tokio::pin!(room);
            room.as_mut().enable();
            let step = {
                let mut state = self.state();
                if state.closed {
                    return evicted;
                }
                let step =
                    self.step(&mut state, &item, from, &mut place, &mut evicted, (&mut stored, has_waited));
                if matches!(step, Step::Enter) {
                    if let Some(stored) = stored.take_if(|_| state.bytes >= self.pace) {
                        (item.waiting.body, item.cost) = (Body::There(stored), COST_THERE);
                    }
                    self.insert(&mut state, item);
                    return evicted;
                }
                step
            };
            match step {
                Step::Enter => {}
                Step::Refuse => return evicted + item.let_go(),
                Step::ForRoom => room.await,
                Step::UntilStuck(at) => {
                    has_waited = true;
                    timeout_at(at, room).await.ok();
                }
                Step::Metered(delay) => {
                    has_waited = true;
                    timeout(delay, room).await.ok();
                }
                Step::Spill => stored = self.shelve(&item).await,
            }
        }
    }

    fn step(
        &self,
        state: &mut State,
        item: &Item,
        from: Source,
        place: &mut Place<'_>,
        evicted: &mut Evicted,
        (stored, has_waited): (&mut Option<Stored>, bool),
    ) -> Step {
        let limit = from.limit.unwrap_or(usize::MAX);
        let over_own = state.of(from.number) >= limit;
        // The last one in may reach beyond the bound.
        if state.draining || (!over_own && state.is_first(place.ticket) && state.bytes < self.pace) {
            self.leave_line(state, &mut place.ticket);
            return Step::Enter;
        }
        if over_own {
            // It is in nobody's way.
            self.leave_line(state, &mut place.ticket);
        } else if place.ticket.is_none() {
            place.ticket = Some(state.join_line());
        }
        if from.on_full == OnFull::Wait {
            return Step::ForRoom;
        }
        let stuck_at = state.progress + self.stall;
        if Instant::now() < stuck_at {
            return Step::UntilStuck(stuck_at);
        }
        if stored.is_some() {
            return Step::Enter;
        }
        let in_memory = |state: &State| {
            state.of(from.number) <= limit.saturating_sub(item.cost)
                && state.bytes <= self.full().saturating_sub(item.cost)
        };
        if in_memory(state) {
            return match self.meter(state, item.cost).filter(|_| !has_waited && self.shelf.is_none()) {
                Some(delay) => Step::Metered(delay),
                None => Step::Enter,
            };
        }
        if from.policy == OverflowPolicy::DropNewest {
            return Step::Refuse;
        }
        let shelf = self.shelf.as_ref().filter(|_| item.yields && from.policy == OverflowPolicy::Spill);
        let chunk = item.waiting.chunk();
        loop {
            match (shelf, chunk) {
                (Some(shelf), Some(chunk)) if shelf.has_room(chunk) => return Step::Spill,
                _ if in_memory(state) => return Step::Enter,
                _ => {}
            }
            let own = state.of(from.number) > limit.saturating_sub(item.cost);
            match state.evict(|other| !own || other.source == from.number) {
                Some(entries) => {
                    *evicted += entries;
                    self.evictions.fetch_add(1, Relaxed);
                }
                // Nothing may go but what is not ours to drop: the bound is passed.
                None => return Step::Enter,
            }
        }
    }

    /// How long a chunk waits to make the memory last, if it does. Once the memory has been full there is nothing to be won: what writes is not
    /// slowed for an output that stays stuck.
    fn meter(&self, state: &mut State, cost: usize) -> Option<Duration> {
        if state.overflowed.is_some_and(|at| at >= state.progress) {
            return None;
        }
        let now = Instant::now();
        let turn = LASTS.mul_f64(cost as f64 / (self.full() - self.pace).max(1) as f64);
        let delay = state.meter.saturating_duration_since(now);
        state.meter = (state.meter.max(now) + turn).min(now + METER_MOST);
        (!delay.is_zero()).then_some(delay)
    }

    /// Puts a chunk on disk, if there is one that takes it.
    async fn shelve(&self, item: &Item) -> Option<Stored> {
        let (Some(shelf), Some(chunk)) = (&self.shelf, item.waiting.chunk()) else { return None };
        match shelf.has_room(chunk) {
            true => shelf.put(chunk, &item.waiting.share).await,
            false => None,
        }
    }

    /// Gives a place in the line up, so that the next one looks again.
    fn leave_line(&self, state: &mut State, ticket: &mut Option<u64>) {
        let Some(ticket) = ticket.take() else { return };
        state.line.retain(|other| *other != ticket);
        self.room.notify_waiters();
    }

    fn insert(&self, state: &mut State, item: Item) {
        if state.list.is_empty() {
            // An empty queue has not been stuck: its time starts with this chunk.
            state.progress = Instant::now();
        }
        state.add(item);
        self.items.notify_one();
    }

    /// Takes the oldest chunk out; `None` once the queue is closed and empty.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(crate) async fn pop(&self) -> Option<Waiting> {
        loop {
            let items = self.items.notified();
            tokio::pin!(items);
            items.as_mut().enable();
            {
                let mut state = self.state();
                if let Some(waiting) = self.take(&mut state) {
                    return Some(waiting);
                }
                if state.closed {
                    return None;
                }
            }
            items.await;
        }
    }

    /// Takes the oldest chunk out if there is one.
    pub(crate) fn try_pop(&self) -> Option<Waiting> {
        self.take(&mut self.state())
    }

    fn take(&self, state: &mut State) -> Option<Waiting> {
        let item = state.remove(0)?;
        state.progress = Instant::now();
        self.room.notify_waiters();
        Some(item.waiting)
    }

    /// Brings a chunk that waited into memory. `None` if its file is damaged, which is booked.
    pub(crate) async fn load(&self, waiting: Waiting) -> Option<Routed> {
        let Waiting { share, due, body } = waiting;
        let stored = match body {
            Body::Here(chunk) => return Some(Routed { chunk, share, due }),
            Body::There(stored) => stored,
        };
        let read = match &self.shelf {
            Some(shelf) => shelf.take(&stored).await,
            None => None,
        };
        if read.is_none() {
            share.drop_entries(share.left(), DropReason::Damaged);
        }
        read.map(|chunk| Routed { chunk, share, due })
    }

    /// Lets go of all that waits, at the very end. What is in memory and its maker does not keep is put on disk first, if there is one.
    pub(crate) fn let_go(&self) {
        while let Some(waiting) = self.try_pop() {
            if let (Some(shelf), Some(chunk)) = (&self.shelf, waiting.chunk())
                && !waiting.share.is_watched()
                && !waiting.share.has_copy()
                && shelf.fits(chunk)
                && let Some(stored) = shelf.write_now(chunk)
            {
                shelf.keep(stored, &waiting.share);
            }
        }
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

    /// Bytes of memory that wait.
    pub(crate) fn bytes(&self) -> usize {
        self.state().bytes
    }

    /// What waits and came from the input with this number.
    pub(crate) fn waits_of(&self, source: usize) -> Waits {
        let state = self.state();
        let mut waits = Waits { bytes: state.of(source), ..Waits::default() };
        for item in state.list.iter().filter(|item| item.source == source) {
            match item.waiting.body {
                Body::Here(_) => waits.here += 1,
                Body::There(_) => waits.there += 1,
            }
        }
        waits
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

impl Waiting {
    /// A chunk on disk.
    pub(crate) fn on_disk(share: Arc<Share>, stored: Stored) -> Self {
        Self { share, due: Instant::now(), body: Body::There(stored) }
    }

    /// The chunk, if it is in memory.
    fn chunk(&self) -> Option<&Chunk> {
        match &self.body {
            Body::Here(chunk) => Some(chunk),
            Body::There(_) => None,
        }
    }
}

impl Item {
    /// Drops what is left of it, and says how much that was.
    fn let_go(self) -> Evicted {
        let share = self.waiting.share;
        let left = share.left();
        share.drop_entries(left, DropReason::Overflow);
        u64::from(left)
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
        if self.by_source.len() <= item.source {
            self.by_source.resize(item.source + 1, 0);
        }
        self.bytes += item.cost;
        self.by_source[item.source] += item.cost;
        self.list.push_back(item);
    }

    fn remove(&mut self, at: usize) -> Option<Item> {
        let item = self.list.remove(at)?;
        self.bytes -= item.cost;
        self.by_source[item.source] -= item.cost;
        Some(item)
    }

    /// Lets the oldest chunk go that may, of those that `which` picks; its entries are counted on its share.
    fn evict(&mut self, which: impl Fn(&Item) -> bool) -> Option<Evicted> {
        let at = self.list.iter().position(|item| item.yields && which(item))?;
        self.overflowed = Some(Instant::now());
        Some(self.remove(at)?.let_go())
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

    const PACE: Source = Source {
        number: 0,
        limit: None,
        on_full: OnFull::Pace,
        durable: false,
        policy: OverflowPolicy::Spill,
    };
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
}
