//! One batch on its way to the destination: attempts, retries, back-off, and the books of how it ended.

use std::collections::HashSet;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use ikada_plugin::{
    Batch, EntrySet, InputMemory, InstanceId, Outcome, OutputMetrics, Part, RetryLimit, Routed, SendError,
    bugs,
};
use ikada_record::DropReason;
use tokio::sync::{Notify, Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use crate::backoff::{Backoff, Failure};
use crate::letters::Letters;
use crate::queue::{Queue, Waiting};

/// A batch that is late by this much is worth a line; shorter delays are the network's daily life.
const LATE: Duration = Duration::from_secs(2);

/// Time between two lines about late batches of one destination.
const LATE_LINE_EVERY: Duration = Duration::from_secs(10);

/// Longest back-off during a drain.
const DRAIN_BACKOFF: Duration = Duration::from_secs(1);

/// Where batches go: what all attempts at one destination share.
pub(crate) struct Destination {
    pub(crate) id: Arc<InstanceId>,
    pub(crate) queue: Arc<Queue>,
    pub(crate) metrics: Arc<OutputMetrics>,
    pub(crate) retry: RetryLimit,
    /// Where what is refused is kept, if it is.
    pub(crate) letters: Option<Letters>,
    /// Whether what its inputs hand over may be dropped where it is in the way.
    pub(crate) may_let_go: bool,
    /// What inputs hold before they hand it over, and this output's part of it: one of so many.
    pub(crate) input_memory: (Arc<InputMemory>, usize),
    /// Bytes of chunks that are kept so that they can be put on disk.
    pub(crate) kept: Arc<AtomicUsize>,
    /// Bytes of batches that may be under way at once; one batch always may.
    pub(crate) most_under_way: usize,
    /// One for each attempt that may be under way. Batches that wait for their time hold none.
    slots: Semaphore,
    state: Mutex<State>,
    draining: AtomicBool,
    wake: Notify,
    /// A lane has failed: its batch only waits, and leaves its place to another one.
    left: Notify,
}

struct State {
    backoff: Backoff,
    late_line: Option<Instant>,
    late_batches: u64,
    /// A line said that batches of this lane are late, and none yet that they go through again.
    told: Option<Option<u64>>,
    /// Lanes whose batch is wanted back.
    recalled: HashSet<u64>,
    yielded: u64,
    yielded_line: Option<Instant>,
}

impl Destination {
    pub(crate) fn new(
        id: Arc<InstanceId>,
        queue: Arc<Queue>,
        metrics: Arc<OutputMetrics>,
        retry: RetryLimit,
        backoff: (Duration, Duration),
    ) -> Self {
        let state = State {
            backoff: Backoff::new(backoff.0, backoff.1, Instant::now()),
            late_line: None,
            late_batches: 0,
            told: None,
            recalled: HashSet::new(),
            yielded: 0,
            yielded_line: None,
        };
        Self {
            id,
            queue,
            metrics,
            retry,
            letters: None,
            may_let_go: true,
            input_memory: (Arc::default(), 1),
            kept: Arc::default(),
            most_under_way: usize::MAX,
            slots: Semaphore::new(0),
            state: Mutex::new(state),
            draining: AtomicBool::new(false),
            wake: Notify::new(),
            left: Notify::new(),
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Brings a chunk that waited into memory; its share keeps the entries where what is refused is kept, or may have to go to disk.
    pub(crate) async fn load(&self, waiting: Waiting) -> Option<Routed> {
        let routed = self.queue.load(waiting).await?;
        if self.letters.is_some() || self.may_go_to_disk(&routed) {
            routed.share.keep_counted_source(routed.chunk.clone(), &self.kept);
        }
        Some(routed)
    }

    /// Whether the entries may be wanted back: when their lane is in trouble, or at a stop. Those on disk already need not be written at a stop.
    fn may_go_to_disk(&self, routed: &Routed) -> bool {
        let share = &routed.share;
        let is_ours = self.queue.shelf().is_some() && !share.is_watched();
        let is_of_use = is_ours && (!share.has_copy() || self.any_fails());
        is_of_use && self.kept.load(Relaxed) < self.most_under_way
    }

    /// The router stops: back-off shrinks, and further attempts do not count against the limit.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Relaxed);
        self.state().backoff.drain(Instant::now() + DRAIN_BACKOFF);
        self.wake.notify_waiters();
    }

    /// Lets so many attempts be under way at once.
    pub(crate) fn allow(&self, attempts: usize) {
        self.slots.add_permits(attempts);
    }

    fn is_draining(&self) -> bool {
        self.draining.load(Relaxed)
    }

    /// Waits until a batch of this lane may be tried, and for its turn; `None` if it is wanted back first.
    async fn gate(&self, lane: Option<u64>) -> Option<SemaphorePermit<'_>> {
        loop {
            if !self.until_open(lane).await {
                return None;
            }
            // It is never closed.
            let slot = self.slots.acquire().await.ok()?;
            // While this one waited for its turn, others may have found the destination dead.
            if Instant::now() >= self.state().backoff.open_at(lane) {
                return Some(slot);
            }
        }
    }

    /// Whether it was waited to the end: `false` if the lane's batch is wanted back.
    async fn until_open(&self, lane: Option<u64>) -> bool {
        loop {
            let wake = self.wake.notified();
            tokio::pin!(wake);
            wake.as_mut().enable();
            let until = {
                let mut state = self.state();
                if lane.is_some_and(|lane| state.recalled.remove(&lane)) {
                    return false;
                }
                state.backoff.open_at(lane)
            };
            if Instant::now() >= until {
                return true;
            }
            tokio::select! {
                () = sleep_until(until) => {}
                () = &mut wake => {}
            }
        }
    }

    /// Asks for the batch of a lane that waits for its time.
    pub(crate) fn recall(&self, lane: u64) {
        self.state().recalled.insert(lane);
        self.wake.notify_waiters();
    }

    /// A lane whose batch was wanted back has none under way any more.
    pub(crate) fn has_ended(&self, lane: u64) {
        self.state().recalled.remove(&lane);
    }

    /// Whether this lane has failed since it last got through.
    pub(crate) fn is_failing(&self, lane: Option<u64>) -> bool {
        lane.is_some_and(|lane| self.state().backoff.is_failing(lane))
    }

    /// When a batch of this lane may be tried.
    pub(crate) fn open_at(&self, lane: u64) -> Instant {
        self.state().backoff.open_at(Some(lane))
    }

    /// Whether any lane has failed since it last got through.
    pub(crate) fn any_fails(&self) -> bool {
        self.state().backoff.any_fails()
    }

    /// Whether the destination as a whole fails, as far as can be told.
    pub(crate) fn is_down(&self) -> bool {
        self.state().backoff.is_down()
    }

    /// Whether several lanes have failed, and nobody has got through since.
    pub(crate) fn all_fail(&self) -> bool {
        self.state().backoff.all_fail()
    }

    /// Whether this lane has been in trouble for so long, while others got through, that what it holds is in their way.
    pub(crate) fn is_in_the_way(&self, lane: Option<u64>, patience: Duration) -> bool {
        self.state().backoff.is_in_the_way(lane, patience, Instant::now())
    }

    /// Drops a batch whose lane is in the others' way: an ERROR line, once in a while, for this is loss.
    pub(crate) fn let_go(&self, batch: &Batch) {
        let entries = u64::from(batch.entries);
        settle(&batch.parts, |part, n| part.share.drop_entries(n, DropReason::Overflow));
        let now = Instant::now();
        let mut state = self.state();
        state.yielded += entries;
        if state.yielded_line.is_some_and(|last| now < last + LATE_LINE_EVERY) {
            return;
        }
        state.yielded_line = Some(now);
        let dropped = std::mem::take(&mut state.yielded);
        drop(state);
        error!(
            instance = %self.id,
            "one stream, file or tag of this output takes nothing and the others do: dropped {dropped} of its oldest records (reason=overflow)"
        );
    }

    fn succeeded(&self, lane: Option<u64>) {
        self.queue.progress();
        let mut state = self.state();
        state.backoff.succeeded(lane, Instant::now());
        let told = state.told.take_if(|told| *told == lane).is_some();
        drop(state);
        self.wake.notify_waiters();
        if told {
            info!(instance = %self.id, "the destination takes data again");
        }
    }

    /// Books an attempt that began at `started` and of which nothing was taken; returns how long the batches of its lane now wait.
    fn failed(
        &self,
        lane: Option<u64>,
        started: Instant,
        after: Option<Duration>,
        refused: bool,
    ) -> Duration {
        let most = if self.is_draining() { DRAIN_BACKOFF } else { Duration::MAX };
        let failure = Failure { lane, started, after, refused, most, jitter: jitter() };
        let delay = self.state().backoff.failed(failure, Instant::now());
        self.left.notify_one();
        delay
    }

    /// Waits until a batch that is under way has left its place to another one. For one who waits.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(crate) async fn place(&self) {
        self.left.notified().await;
    }

    /// Books an attempt of which a part was taken. The destination works: only what it refused waits, and not for long.
    fn progressed(&self, lane: Option<u64>) -> Duration {
        self.queue.progress();
        let mut state = self.state();
        state.backoff.succeeded(lane, Instant::now());
        let base = state.backoff.base();
        drop(state);
        self.wake.notify_waiters();
        base.mul_f64(jitter())
    }

    /// Waits for this long; a drain shortens it.
    async fn pause(&self, delay: Duration) {
        let wake = self.wake.notified();
        tokio::pin!(wake);
        wake.as_mut().enable();
        if !self.is_draining() {
            tokio::select! {
                () = sleep(delay) => return,
                () = wake => {}
            }
        }
        sleep(delay.min(DRAIN_BACKOFF)).await;
    }

    /// Tells, once in a while, that batches wait.
    fn tell_late(&self, batch: &Batch, made: Instant, retries: u32, delay: Duration, cause: &SendError) {
        let now = Instant::now();
        let (entries, bytes) = (batch.entries, batch.bytes);
        debug!(instance = %self.id, retries, entries, bytes, "attempt failed: {cause}");
        if now + delay < made + LATE {
            return;
        }
        let mut state = self.state();
        state.late_batches += 1;
        if state.late_line.is_some_and(|last| now < last + LATE_LINE_EVERY) {
            return;
        }
        state.late_line = Some(now);
        state.told = Some(batch.lane);
        let batches = std::mem::take(&mut state.late_batches);
        drop(state);
        let seconds = delay.as_secs_f64();
        warn!(
            instance = %self.id,
            "[engine] failed to flush chunk, retry in {seconds:.1} seconds: output={}, records={entries}, attempt={}, \
             lines like this stood for={batches}: {cause}",
            self.id.shown(),
            retries + 1,
        );
    }
}

/// Delivers a batch: tries until every entry is settled. What is not is given back if it is wanted back while it waits, or at `abort`.
///
/// # Cancel safety
/// Dropping it abandons what is not settled; the shares book it.
pub(crate) async fn deliver(
    mut batch: Batch,
    to: Arc<Destination>,
    abort: CancellationToken,
) -> Option<Batch> {
    let made = Instant::now();
    let mut retries = 0;
    let mut bugs = 0;
    loop {
        let Some(Some(slot)) = abort.run_until_cancelled(to.gate(batch.lane)).await else {
            return Some(batch);
        };
        let started = Instant::now();
        let tried = abort.run_until_cancelled(attempt(&mut batch, &to, &mut bugs)).await;
        let Some(outcome) = tried else { return Some(batch) };
        drop(slot);
        let (after, cause, progress) = match outcome {
            Outcome::Delivered => {
                to.metrics.proc_records.add(u64::from(batch.entries));
                to.metrics.proc_bytes.add(batch.bytes as u64);
                settle(&batch.parts, |part, n| part.share.deliver(n));
                to.succeeded(batch.lane);
                return None;
            }
            Outcome::Rejected { reason, cause } => {
                match reason {
                    DropReason::Bug => to.queue.progress(),
                    _ => to.succeeded(batch.lane),
                }
                give_up(&batch, &to, reason, &cause);
                return None;
            }
            Outcome::Retry { after, cause } => (after, cause, false),
            Outcome::Partial { retry, rejected, reason, cause } => {
                let before = batch.entries;
                part(&mut batch, &to, &retry, &rejected, reason, &cause);
                if batch.entries == 0 {
                    to.succeeded(batch.lane);
                    return None;
                }
                (None, cause, batch.entries < before)
            }
        };
        // Each attempt that moved something is progress, not a failed retry; those of a drain are on the house.
        if !progress && !to.is_draining() {
            if let RetryLimit::Times(limit) = to.retry
                && retries >= limit
            {
                to.metrics.retries_failed.add(u64::from(limit > 0));
                give_up(&batch, &to, DropReason::RetryLimit, &cause);
                return None;
            }
            retries += 1;
        }
        to.metrics.retries.add(1);
        to.metrics.retried_records.add(u64::from(batch.entries));
        let delay = match progress {
            true => to.progressed(batch.lane),
            false => to.failed(batch.lane, started, after, is_refusal(after, &cause)),
        };
        to.tell_late(&batch, made, retries, delay, &cause);
        if progress {
            abort.run_until_cancelled(to.pause(delay)).await;
        }
    }
}

/// One attempt. One that ends in a bug is made once more; then the batch is given up.
async fn attempt(batch: &mut Batch, to: &Destination, bugs: &mut u32) -> Outcome {
    match AssertUnwindSafe(batch.delivery.attempt()).catch_unwind().await {
        Ok(outcome) => outcome,
        Err(panic) => {
            *bugs += 1;
            to.metrics.bugs.add(1);
            to.metrics.restarts.add(u64::from(*bugs == 1));
            let (times, said) = (*bugs, bugs::said(&*panic));
            error!(instance = %to.id, "a delivery of {} records ended in a bug of Ikada ({times} times): {said}", batch.entries);
            let cause = SendError::new("the delivery ended in a bug of Ikada");
            match times {
                1 => Outcome::Retry { after: None, cause },
                _ => Outcome::Rejected { reason: DropReason::Bug, cause },
            }
        }
    }
}

/// Whether the destination answered that it takes nothing from this lane until a person helps: it asks for time, and not because it is busy.
fn is_refusal(after: Option<Duration>, cause: &SendError) -> bool {
    after.is_some()
        && cause.status.is_some_and(|status| matches!(status, 400..=499) && status != 408 && status != 429)
}

/// Half of the time to all of it, at random: batches that failed together do not come back together.
fn jitter() -> f64 {
    rand::random_range(0.5..=1.0)
}

fn settle(parts: &[Part], mut with: impl FnMut(&Part, u32)) {
    for part in parts {
        with(part, part.entries);
    }
}

/// Drops a whole batch: an ERROR line, for this is loss.
fn give_up(batch: &Batch, to: &Destination, reason: DropReason, cause: &SendError) {
    to.metrics.errors.add(u64::from(reason != DropReason::RetryLimit));
    to.metrics.dropped_records.add(u64::from(batch.entries));
    if let Some(letters) = to.letters.as_ref().filter(|_| batch.delivery.keeps(reason)) {
        letters.keep(batch, &(0..batch.entries).collect::<Vec<_>>(), reason, cause);
    }
    settle(&batch.parts, |part, n| part.share.drop_entries(n, reason));
    if batch.entries == 0 {
        // A part of something larger, whose last batch says what became of the entries.
        debug!(instance = %to.id, "gave up a part (reason={reason}): {cause}");
        return;
    }
    error!(
        instance = %to.id,
        "[engine] chunk cannot be retried: output={}, dropped {} records (reason={reason}): {cause}",
        to.id.shown(),
        batch.entries,
    );
}

/// Settles what a partial answer settled and leaves in `batch` what is to be sent again.
fn part(
    batch: &mut Batch,
    to: &Destination,
    retry: &EntrySet,
    rejected: &EntrySet,
    reason: DropReason,
    cause: &SendError,
) {
    if let Some(letters) = &to.letters
        && !rejected.is_empty()
        && batch.delivery.keeps(reason)
    {
        letters.keep(batch, &rejected.iter().collect::<Vec<_>>(), reason, cause);
    }
    if !batch.origins.is_empty() {
        batch.origins =
            retry.iter().filter_map(|number| batch.origins.get(number as usize).copied()).collect();
    }
    let (mut retry, mut rejected) = (retry.iter().peekable(), rejected.iter().peekable());
    let (mut delivered, mut dropped) = (0u64, 0u64);
    let mut start = 0;
    for part in &mut batch.parts {
        let end = start + part.entries;
        let again = count_below(&mut retry, end);
        let refused = count_below(&mut rejected, end).min(part.entries - again.min(part.entries));
        let taken = part.entries.saturating_sub(again + refused);
        part.share.deliver(taken);
        part.share.drop_entries(refused, reason);
        delivered += u64::from(taken);
        dropped += u64::from(refused);
        part.entries -= taken + refused;
        start = end;
    }
    // Bytes are known for the whole batch only: each entry stands for its share of them.
    let bytes_of =
        |entries: u64| (batch.bytes as u64 * entries).checked_div(u64::from(batch.entries)).unwrap_or(0);
    let (sent, gone) = (bytes_of(delivered), bytes_of(delivered + dropped));
    to.metrics.proc_bytes.add(sent);
    batch.bytes -= gone as usize;
    batch.parts.retain(|part| part.entries > 0);
    batch.entries = batch.parts.iter().map(|part| part.entries).sum();
    to.metrics.proc_records.add(delivered);
    to.metrics.dropped_records.add(dropped);
    if dropped > 0 {
        to.metrics.errors.add(1);
        error!(
            instance = %to.id,
            "the destination refused {dropped} of {start} records for good: dropped them (reason={reason}): {cause}"
        );
    }
}

fn count_below(indices: &mut std::iter::Peekable<impl Iterator<Item = u32>>, end: u32) -> u32 {
    let mut count = 0;
    while indices.next_if(|index| *index < end).is_some() {
        count += 1;
    }
    count
}

#[cfg(test)]
mod tests {
    use ikada_plugin::{BoxFuture, Delivery, Kind, add_part};
    use ikada_record::{Ledger, Receipt, Share};

    use super::*;

    struct Script(Vec<Outcome>);
    impl Delivery for Script {
        fn attempt(&mut self) -> BoxFuture<'_, Outcome> {
            let next = self.0.remove(0);
            Box::pin(async move { next })
        }
    }

    fn destination(retry: RetryLimit) -> Arc<Destination> {
        let id = InstanceId { kind: Kind::Output, plugin: "x".into(), name: "x.0".into(), alias: None };
        let queue = Arc::new(Queue::new(1000, 1000, Duration::from_secs(1)));
        let backoff = (Duration::from_millis(100), Duration::from_secs(30));
        let to = Destination::new(id.into(), queue, Arc::default(), retry, backoff);
        to.allow(4);
        Arc::new(to)
    }

    fn batch(ledger: &Arc<Ledger>, shares: &[u32], script: Vec<Outcome>) -> Batch {
        let mut parts = Vec::new();
        for entries in shares {
            let share = Arc::new(Share::new(Receipt::unwatched(), *entries, ledger.clone()));
            add_part(&mut parts, &share, *entries);
        }
        Batch::new(None, parts, 100, Box::new(Script(script)))
    }

    fn never() -> CancellationToken {
        CancellationToken::new()
    }

    fn retry() -> Outcome {
        Outcome::Retry { after: None, cause: SendError::new("no") }
    }

    fn set(indices: &[u32]) -> EntrySet {
        indices.iter().copied().collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_partial_answer_settles_each_entry_with_the_share_it_came_from() {
        let ledger = Arc::new(Ledger::default());
        let to = destination(RetryLimit::Unlimited);
        let partial = Outcome::Partial {
            retry: set(&[0, 4, 5]),
            rejected: set(&[3]),
            reason: DropReason::OutOfTime,
            cause: SendError::new("some"),
        };
        let last = Outcome::Partial {
            retry: set(&[1]),
            rejected: set(&[]),
            reason: DropReason::Rejected,
            cause: SendError::new(""),
        };
        deliver(batch(&ledger, &[2, 3, 1], vec![partial, last, Outcome::Delivered]), to.clone(), never())
            .await;
        assert_eq!((ledger.delivered(), ledger.dropped(DropReason::OutOfTime)), (5, 1));
        assert_eq!((ledger.abandoned(), ledger.held()), (0, 0));
        assert_eq!(to.metrics.proc_records.get(), 5);
        // 2 of 6 entries of 100 bytes, then 1 of the 3 that are left of half of them, then the rest.
        assert_eq!(to.metrics.proc_bytes.get(), 33 + 16 + 34);
    }

    #[tokio::test(start_paused = true)]
    async fn a_drain_shortens_the_wait_after_a_partial_answer() {
        let ledger = Arc::new(Ledger::default());
        let to = destination(RetryLimit::Unlimited);
        let long = Duration::from_secs(600);
        to.state().backoff = Backoff::new(long, long, Instant::now());
        let partial = Outcome::Partial {
            retry: set(&[0]),
            rejected: set(&[]),
            reason: DropReason::Rejected,
            cause: SendError::new(""),
        };
        let task = tokio::spawn(deliver(
            batch(&ledger, &[2], vec![partial, Outcome::Delivered]),
            to.clone(),
            never(),
        ));
        tokio::time::sleep(Duration::from_secs(1)).await;
        to.drain();
        let start = Instant::now();
        task.await.unwrap();
        assert!(start.elapsed() <= DRAIN_BACKOFF);
    }

    #[tokio::test(start_paused = true)]
    async fn a_written_retry_limit_is_obeyed_literally() {
        let ledger = Arc::new(Ledger::default());
        let to = destination(RetryLimit::Times(2));
        deliver(
            batch(&ledger, &[7], vec![retry(), retry(), retry(), Outcome::Delivered]),
            to.clone(),
            never(),
        )
        .await;
        assert_eq!(ledger.dropped(DropReason::RetryLimit), 7);
        assert_eq!((to.metrics.retries.get(), to.metrics.retries_failed.get()), (2, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_limit_it_goes_on_until_it_succeeds() {
        let ledger = Arc::new(Ledger::default());
        let mut script: Vec<_> = (0..40).map(|_| retry()).collect();
        script.push(Outcome::Delivered);
        let to = destination(RetryLimit::Unlimited);
        deliver(batch(&ledger, &[7], script), to, never()).await;
        assert_eq!(ledger.delivered(), 7);
    }

    #[tokio::test(start_paused = true)]
    async fn the_back_off_grows_with_failures_and_ends_with_a_success() {
        let to = destination(RetryLimit::Unlimited);
        let mut last = Duration::ZERO;
        for _ in 0..20 {
            last = to.failed(None, Instant::now(), None, false);
            tokio::time::advance(last).await;
        }
        assert!(last >= Duration::from_secs(15) && last <= Duration::from_secs(30), "{last:?}");
        to.succeeded(None);
        assert!(to.failed(None, Instant::now(), None, false) <= Duration::from_millis(100));
    }

    /// Takes what is not forbidden, at once.
    struct Forbids(bool);
    impl Delivery for Forbids {
        fn attempt(&mut self) -> BoxFuture<'_, Outcome> {
            let forbidden = self.0;
            Box::pin(async move {
                match forbidden {
                    true => {
                        let (after, cause) = (Some(Duration::from_secs(60)), SendError::new("forbidden"));
                        Outcome::Retry { after, cause }
                    }
                    false => Outcome::Delivered,
                }
            })
        }
    }

    #[tokio::test(start_paused = true)]
    async fn forbidden_lanes_take_neither_time_nor_places_from_the_others() {
        let ledger = Arc::new(Ledger::default());
        let to = destination(RetryLimit::Unlimited);
        let batch = |lane, forbidden| {
            let mut batch = batch(&ledger, &[1], Vec::new());
            (batch.lane, batch.delivery) = (Some(lane), Box::new(Forbids(forbidden)));
            batch
        };
        // More of them than attempts that may be under way at once.
        let forbidden: Vec<_> =
            (0..10).map(|lane| tokio::spawn(deliver(batch(lane, true), to.clone(), never()))).collect();
        sleep(Duration::from_secs(5)).await;
        let start = Instant::now();
        for _ in 0..1000 {
            deliver(batch(99, false), to.clone(), never()).await;
        }
        // Ten lanes come back once a minute; after several of them in a row the destination itself is in doubt for a moment.
        assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
        assert_eq!((ledger.delivered(), to.any_fails()), (1000, true));
        forbidden.iter().for_each(tokio::task::JoinHandle::abort);
    }
}
