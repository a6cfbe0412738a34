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
mod tests;
