//! The one task of an output: chunks in, batches out, a bounded number of them under way.

use std::collections::{HashMap, HashSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use ikada_plugin::{Batch, Output, RetryLimit, Routed, SendError, bugs};
use ikada_record::{Chunk, DropReason, Share};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::error;

use crate::aside::{self, Aside};
use crate::deliver::{Destination, deliver};
use crate::queue::COST_THERE;
use crate::shelf::Shelf;

/// A batch that is due waits this much longer: what other inputs hand over at the same tick goes with it.
const LINGER: Duration = Duration::from_millis(2);

/// Chunks taken in before the task looks at anything else.
const BURST: usize = 16;

/// An output that ended in a bug is not asked for batches for this long: it would do it again at once.
const REST: Duration = Duration::from_secs(1);

/// Time between two lines about bugs of the same output.
const BUG_LINE_EVERY: Duration = Duration::from_secs(10);

/// Batches of lanes in trouble that are held beside those that go through.
const PARKED: usize = 64;

/// Lanes in trouble that each have a batch under way where there is no disk for it: behind them there may be one that gets through.
const TROUBLED: usize = 512;

/// How long a draining output with an empty queue waits for the inputs to end before it closes its batches.
/// Clients that wait for acks are waiting for just that.
const DRAIN_LINGER: Duration = Duration::from_millis(250);

pub(crate) struct Driver {
    output: Box<dyn Output>,
    to: Arc<Destination>,
    /// Each gives its batch back if it is to end before all is settled.
    under_way: JoinSet<Option<Batch>>,
    /// What each task under way delivers.
    loads: HashMap<Id, Load>,
    busy_lanes: HashSet<u64>,
    waiting: VecDeque<Batch>,
    in_flight: usize,
    bytes_under_way: usize,
    /// Bugs of all inputs and outputs.
    bugs: Arc<AtomicU64>,
    /// Bugs of this output that no line has told yet, and the last line.
    untold: (u64, Option<Instant>),
    /// Chunks whose taking in ended in a bug when a part of them was in batches already.
    broken: Vec<(Chunk, Arc<Share>)>,
    rests_until: Option<Instant>,
    /// When to look again whether a lane in trouble is in the others' way.
    look_again: Option<Instant>,
    /// Batches that were wanted back, and are to be put on disk.
    recalled: Vec<Batch>,
    /// What of lanes in trouble was put on disk.
    aside: Aside,
    /// Lanes that still fail are not brought back from there before.
    probe_after: Instant,
    /// The disk did not take what was to be put there.
    disk_refuses: bool,
    /// Evictions of the queue that were seen.
    evictions: u64,
    /// Ends deliveries when the grace is over.
    abort: CancellationToken,
}

/// What a delivery task was given.
struct Load {
    lane: Option<u64>,
    entries: u32,
    bytes: usize,
    /// Whether its batch may be asked for, to be put on disk.
    can_be_written: bool,
}

impl Load {
    fn of(batch: &Batch) -> Self {
        let can_be_written = aside::can_be_written(batch);
        Self { lane: batch.lane, entries: batch.entries, bytes: batch.bytes, can_be_written }
    }
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
        to.allow(in_flight);
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
            untold: (0, None),
            broken: Vec::new(),
            rests_until: None,
            look_again: None,
            recalled: Vec::new(),
            aside: Aside::default(),
            probe_after: Instant::now(),
            disk_refuses: false,
            evictions: 0,
            abort: CancellationToken::new(),
        }
    }

    /// Works until the queue is closed and everything is settled, or `stop.abort` fires.
    pub(crate) async fn run(mut self, stop: Stop) {
        let mut draining = false;
        let mut close_at: Option<Instant> = None;
        self.abort = stop.abort.clone();
        loop {
            if stop.abort.is_cancelled() {
                return self.let_all_go().await;
            }
            self.advance();
            self.clear_broken();
            if self.make_way().await || self.bring_back(draining).await {
                tokio::task::yield_now().await;
                continue;
            }
            self.tell_what_is_held();
            if draining && self.to.queue.is_closed_and_empty() {
                self.guarded((), |output| output.close_all());
                self.advance();
                if self.is_done() {
                    return;
                }
            }
            let can_pop = self.has_place();
            let room = can_pop && (draining || !self.is_full());
            let rest = self.rests_until.filter(|_| can_pop);
            let due = self.guarded(None, |output| output.due()).filter(|_| can_pop).map(|due| due + LINGER);
            let due = due.map(|due| rest.map_or(due, |rest| due.max(rest)));
            let look_again = self.look_again.take().filter(|_| !can_pop);
            let probe = self.next_probe().filter(|_| room);
            let to = self.to.clone();
            let wake = [due.or(rest), close_at, look_again, probe].into_iter().flatten().min();
            tokio::select! {
                biased;
                () = stop.abort.cancelled() => {}
                Some(ended) = self.under_way.join_next_with_id() => self.ended(ended),
                () = to.place(), if !can_pop => {}
                () = stop.drain.cancelled(), if !draining => {
                    draining = true;
                    close_at = Some(Instant::now() + DRAIN_LINGER);
                }
                routed = self.to.queue.pop(), if room && !self.to.queue.is_closed_and_empty() => {
                    let Some(routed) = routed else { continue };
                    let Some(routed) = self.to.load(routed).await else { continue };
                    let now = Instant::now();
                    self.take_in(routed, now);
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
            if !self.has_place() || self.is_full() {
                return;
            }
            let Some(waiting) = self.to.queue.try_pop() else { return };
            let Some(routed) = self.to.load(waiting).await else { continue };
            self.take_in(routed, now);
        }
    }

    /// Whether a further batch may be taken: few enough are under way, and their bytes are within the output's share of the memory. Batches of
    /// lanes in trouble are counted by themselves: they only wait, and must not keep the others from going.
    fn has_place(&mut self) -> bool {
        if !self.to.any_fails() {
            let waiting: usize = self.waiting.iter().map(|batch| batch.bytes).sum();
            let is_idle = self.under_way.is_empty() && self.waiting.is_empty();
            let fits = self.bytes_under_way + waiting < self.to.most_under_way;
            return self.waiting.len() < self.in_flight && (is_idle || fits);
        }
        let mut parked = self.parked();
        while self.is_crowded(&parked) {
            if !self.let_one_go() {
                self.look_again = Some(Instant::now() + self.to.queue.stall() / 4);
                return false;
            }
            parked = self.parked();
        }
        let waiting: usize = self.waiting.iter().map(|batch| batch.bytes).sum();
        let healthy = (self.bytes_under_way + waiting).saturating_sub(parked.bytes);
        let is_idle = self.active(&parked) == 0 && self.waiting.len() == parked.waiting;
        let fits = healthy < self.to.most_under_way / 2;
        self.waiting.len() - parked.waiting < self.in_flight && (is_idle || fits)
    }

    /// What is held of lanes in trouble.
    fn parked(&self) -> Parked {
        let mut parked = Parked::default();
        if !self.to.any_fails() {
            return parked;
        }
        for load in self.loads.values().filter(|load| self.to.is_failing(load.lane)) {
            parked.under_way += 1;
            parked.bytes += load.bytes;
        }
        for batch in self.waiting.iter().filter(|batch| self.to.is_failing(batch.lane)) {
            parked.waiting += 1;
            parked.bytes += batch.bytes;
        }
        parked
    }

    /// Whether lanes in trouble hold as much as they may.
    fn is_crowded(&self, parked: &Parked) -> bool {
        let most = if self.to.queue.shelf().is_some() { PARKED } else { TROUBLED };
        parked.is_full(self.most_parked(), most)
    }

    /// Bytes that lanes in trouble may hold. As long as the destination itself seems to fail it is all that may be under way: among what comes there may be
    /// a lane that gets through.
    fn most_parked(&self) -> usize {
        match self.to.is_down() {
            true => self.to.most_under_way,
            false => self.to.most_under_way / 2,
        }
    }

    /// Tasks under way that do not just wait for their lane.
    fn active(&self, parked: &Parked) -> usize {
        self.under_way.len().saturating_sub(parked.under_way)
    }

    /// Puts batches of lanes in trouble on disk as long as they fill their part of the memory, the newest first: those that are left go before them.
    /// Whether anything has moved.
    async fn make_way(&mut self) -> bool {
        let Some(shelf) = self.to.queue.shelf().cloned() else { return false };
        let mut has_moved = false;
        for batch in std::mem::take(&mut self.recalled) {
            has_moved |= self.put_aside(batch, &shelf).await;
        }
        while self.is_crowded(&self.parked()) {
            let is_parked = |batch: &Batch| self.to.is_failing(batch.lane) && aside::can_be_written(batch);
            let newest = self.waiting.iter().rposition(is_parked);
            let Some(batch) = newest.and_then(|at| self.waiting.remove(at)) else {
                self.recall_one();
                break;
            };
            if !self.put_aside(batch, &shelf).await {
                break;
            }
            has_moved = true;
        }
        has_moved
    }

    /// Puts a batch on disk, or back among those that wait.
    async fn put_aside(&mut self, batch: Batch, shelf: &Arc<Shelf>) -> bool {
        let lane = batch.lane;
        let (true, Some(lane)) = (aside::can_be_written(&batch), lane) else {
            self.waiting.push_front(batch);
            return false;
        };
        match aside::put(batch, shelf).await {
            Ok(files) => {
                self.disk_refuses = false;
                self.probe_after = Instant::now() + self.to.queue.stall() / 4;
                files.into_iter().for_each(|waiting| self.aside.add(lane, waiting));
                true
            }
            Err(batch) => {
                self.disk_refuses = true;
                self.waiting.push_front(batch);
                false
            }
        }
    }

    /// Asks for the largest batch under way that only waits for its lane. One that may be tried a number of times only ends by itself.
    fn recall_one(&mut self) {
        if self.to.retry != RetryLimit::Unlimited || self.disk_refuses {
            return;
        }
        let waits = |load: &&mut Load| load.can_be_written && self.to.is_failing(load.lane);
        let largest = self.loads.values_mut().filter(waits).max_by_key(|load| load.bytes);
        if let Some(load) = largest
            && let Some(lane) = load.lane
        {
            load.can_be_written = false;
            self.to.recall(lane);
        }
    }

    /// Brings one file of a lane that takes data again, or has nothing else to be tried with, into memory. Whether there was one.
    async fn bring_back(&mut self, draining: bool) -> bool {
        if self.aside.len() == 0 || !self.has_place() || (!draining && self.is_full()) {
            return false;
        }
        let now = Instant::now();
        let may_come = |lane: &u64| {
            !self.to.is_failing(Some(*lane)) || (self.is_idle(*lane) && self.probe_at(*lane) <= now)
        };
        let Some(lane) = self.aside.lanes().find(may_come) else { return false };
        let Some(waiting) = self.aside.take(lane) else { return false };
        if let Some(routed) = self.to.load(waiting).await {
            self.take_in(routed, now);
        }
        true
    }

    /// When the next lane of which everything is on disk may be tried.
    fn next_probe(&self) -> Option<Instant> {
        self.aside.lanes().filter(|lane| self.is_idle(*lane)).map(|lane| self.probe_at(lane)).min()
    }

    /// When a lane of which everything is on disk may be tried.
    fn probe_at(&self, lane: u64) -> Instant {
        match self.to.is_failing(Some(lane)) {
            true => self.to.open_at(lane).max(self.probe_after),
            false => Instant::now(),
        }
    }

    /// Whether nothing of a lane is under way or waits to be.
    fn is_idle(&self, lane: u64) -> bool {
        !self.busy_lanes.contains(&lane) && !self.waiting.iter().any(|batch| batch.lane == Some(lane))
    }

    /// Ends with what is not delivered: it is put on disk, if there is one, or booked as unsent.
    async fn let_all_go(mut self) {
        let mut left = std::mem::take(&mut self.recalled);
        while let Some(ended) = self.under_way.join_next().await {
            left.extend(ended.ok().flatten());
        }
        left.extend(self.waiting.drain(..));
        let Some(shelf) = self.to.queue.shelf().cloned() else { return };
        let now = Instant::now();
        while let Some(batch) = self.guarded(None, |output| output.pop(now)) {
            left.push(batch);
        }
        left.iter().for_each(|batch| aside::put_now(batch, &shelf));
    }

    /// Drops the oldest batch of a lane that takes nothing while the others do. Where there is a disk that takes it nothing is dropped. What its maker
    /// keeps until it is settled is not ours to drop either.
    fn let_one_go(&mut self) -> bool {
        if (self.to.queue.shelf().is_some() && !self.disk_refuses) || !self.to.may_let_go {
            return false;
        }
        // Before the queue takes the whole output for stuck and lets go of the others' records.
        let patience = self.to.queue.stall() / 2;
        // Where all seem to fail and the queue lets its oldest go, it is the turn of those that are older still: behind them there may be a lane that
        // gets through.
        let is_turn = self.to.all_fail() && self.to.queue.evictions() > self.evictions;
        self.evictions = self.to.queue.evictions();
        let yields = |batch: &Batch| {
            // A batch without parts is a piece of something larger, which would be lost with it.
            let is_ours = batch.parts.iter().all(|part| !part.share.is_watched()) && !batch.parts.is_empty();
            let is_in_the_way = || self.to.is_in_the_way(batch.lane, patience);
            is_ours && (is_in_the_way() || (is_turn && self.to.is_failing(batch.lane)))
        };
        let Some(at) = self.waiting.iter().position(yields) else { return false };
        let Some(batch) = self.waiting.remove(at) else { return false };
        self.to.let_go(&batch);
        true
    }

    /// What the output holds, open or on its way, and its part of what inputs hold, counts against its share of the memory as what waits in its queue does.
    fn tell_what_is_held(&mut self) {
        let waiting: usize = self.waiting.iter().map(|batch| batch.bytes).sum();
        let held = self.guarded(0, |output| output.held());
        let aside = self.aside.len() * COST_THERE;
        let kept = self.to.kept.load(Relaxed);
        let (inputs, outputs) = &self.to.input_memory;
        let read = inputs.used() / outputs;
        self.to.queue.counts_too(held + waiting + self.bytes_under_way + kept + aside + read);
    }

    fn is_full(&mut self) -> bool {
        self.guarded(false, |output| output.is_full())
    }

    /// Calls the output. One that ends in a bug is called again; after a rest, where it would do the same at once.
    fn guarded<T>(&mut self, otherwise: T, call: impl FnOnce(&mut dyn Output) -> T) -> T {
        match catch_unwind(AssertUnwindSafe(|| call(&mut *self.output))) {
            Ok(done) => done,
            Err(panic) => {
                self.rests_until = Some(Instant::now() + REST);
                self.count_bug(&panic);
                otherwise
            }
        }
    }

    fn count_bug(&mut self, panic: &bugs::Panic) {
        self.to.metrics.errors.add(1);
        self.to.metrics.restarts.add(1);
        self.bugs.fetch_add(1, Relaxed);
        self.untold.0 += 1;
        let (said, now) = (bugs::said(&**panic), Instant::now());
        if self.untold.1.is_some_and(|last| now < last + BUG_LINE_EVERY) {
            return;
        }
        let times = std::mem::take(&mut self.untold.0);
        self.untold.1 = Some(now);
        error!(instance = %self.to.id, "the output ended in a bug of Ikada and goes on, {times} times since the last such line: {said}");
    }

    /// Gives the output a chunk. One that leads to a bug is given once more; then it is dropped, and kept among the dead letters.
    fn take_in(&mut self, routed: Routed, now: Instant) {
        let (chunk, share, due) = (routed.chunk.clone(), routed.share.clone(), routed.due);
        if self.push(routed, now) {
            return;
        }
        // Where a part of it is in batches already, nobody can tell which: only the rest is dropped, once those are settled.
        let is_whole = Arc::strong_count(&share) == 1;
        if is_whole && self.push(Routed { chunk: chunk.clone(), share: share.clone(), due }, now) {
            return;
        }
        self.broken.push((chunk, share));
        self.clear_broken();
    }

    /// Whether the output took it in.
    fn push(&mut self, routed: Routed, now: Instant) -> bool {
        match catch_unwind(AssertUnwindSafe(|| self.output.push(routed, now))) {
            Ok(()) => true,
            Err(panic) => {
                self.count_bug(&panic);
                false
            }
        }
    }

    /// Drops what no batch holds of chunks that led to a bug.
    fn clear_broken(&mut self) {
        for (chunk, share) in std::mem::take(&mut self.broken) {
            if Arc::strong_count(&share) > 1 {
                self.broken.push((chunk, share));
                continue;
            }
            let left = share.left();
            if left == 0 {
                continue;
            }
            let cause = SendError::new("taking it in ended in a bug of Ikada");
            if let Some(letters) = &self.to.letters {
                letters.keep_chunk(chunk, DropReason::Bug, &cause);
            }
            self.to.metrics.dropped_records.add(u64::from(left));
            share.drop_entries(left, DropReason::Bug);
            error!(instance = %self.to.id, "dropped {left} records of a chunk that ended in a bug of Ikada twice (reason=bug)");
        }
    }

    /// Takes ready batches from the output and starts those whose lane is free.
    fn advance(&mut self) {
        let now = Instant::now();
        if self.rests_until.is_some_and(|until| now < until) {
            return self.start_ready();
        }
        self.rests_until = None;
        // First those that wait: the room they leave is for what the output has ready, before another chunk is taken in.
        self.start_ready();
        while self.has_place() {
            let Some(batch) = self.guarded(None, |output| output.pop(now)) else { break };
            self.waiting.push_back(batch);
            self.start_ready();
        }
    }

    fn start_ready(&mut self) {
        while self.active(&self.parked()) < self.in_flight {
            let free = |batch: &Batch| batch.lane.is_none_or(|lane| !self.busy_lanes.contains(&lane));
            let Some(at) = self.waiting.iter().position(free) else { return };
            let Some(batch) = self.waiting.remove(at) else { return };
            let load = Load::of(&batch);
            self.bytes_under_way += load.bytes;
            self.busy_lanes.extend(load.lane);
            let task = self.under_way.spawn(deliver(batch, self.to.clone(), self.abort.clone()));
            self.loads.insert(task.id(), load);
        }
    }

    /// Opens the lane of a delivery that ended, well or in a bug.
    fn ended(&mut self, ended: Result<(Id, Option<Batch>), JoinError>) {
        let id = match &ended {
            Ok((id, _)) => *id,
            Err(error) => error.id(),
        };
        let Some(load) = self.loads.remove(&id) else { return };
        self.bytes_under_way -= load.bytes;
        if let Some(lane) = load.lane {
            self.busy_lanes.remove(&lane);
            self.to.has_ended(lane);
        }
        match ended {
            Ok((_, batch)) => self.recalled.extend(batch),
            Err(error) => {
                // The shares went with the task and are booked as abandoned.
                self.to.metrics.errors.add(1);
                let entries = load.entries;
                error!(instance = %self.to.id, "a delivery ended in a bug, up to {entries} records are left unsent: {error}");
            }
        }
    }

    fn is_done(&mut self) -> bool {
        self.under_way.is_empty() && self.waiting.is_empty() && self.guarded(1, |output| output.held()) == 0
    }
}

/// What is held of lanes in trouble.
#[derive(Default)]
struct Parked {
    under_way: usize,
    waiting: usize,
    bytes: usize,
}

impl Parked {
    fn is_full(&self, bytes: usize, most: usize) -> bool {
        let count = self.under_way + self.waiting;
        // One for each lane is under way.
        self.under_way >= most || self.waiting >= PARKED || (count > 1 && self.bytes >= bytes)
    }
}

#[cfg(test)]
mod tests;
