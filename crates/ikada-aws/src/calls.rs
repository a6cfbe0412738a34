//! From one batch to one call, or to several: when only some of the entries are taken, or one of them spoils the rest.
//!
//! A batch starts as one call. What the service leaves out of it is sent again in the next attempt, or in the same one if it
//! was only too much at once and the destination has a pace. A call that is refused as a
//! whole, for what is in it, is halved and tried again until the entry to blame stands alone; that one is given up.

use std::time::Duration;

use ikada_plugin::{BoxFuture, Delivery, EntrySet, Outcome, SendError};
use ikada_record::DropReason;
use tokio::time::Instant;

use crate::client::{Failure, FailureKind};

/// Most calls in one attempt while a bad entry is searched for.
const MAX_CALLS: usize = 64;
/// So many single entries from all over the batch refused, and none ever taken: it is the call that is wrong, not an entry.
const HOPELESS: usize = 4;
/// How long an attempt goes on while the destination throttles and its pace is being found.
const PATIENCE: Duration = Duration::from_secs(30);

/// Makes one call.
pub(crate) trait Call: Send + Sync {
    /// Sends these entries, by their number, in this order.
    fn make<'a>(&'a self, entries: &'a [u32]) -> BoxFuture<'a, Result<Taken, Failure>>;

    /// Whether a call that failed like this is made again in the same attempt, because [`Call::make`] waits for its turn.
    fn is_paced(&self, _failure: &Failure) -> bool {
        false
    }
}

/// What a call that went through took. By default everything.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    /// Entries to send again, in the order of the call.
    pub(crate) retry: Vec<u32>,
    /// Entries to send again at once, in the order of the call.
    pub(crate) again: Vec<u32>,
    /// Entries that will never be taken.
    pub(crate) rejected: Vec<u32>,
    /// What those are counted as.
    pub(crate) reason: Option<DropReason>,
    /// Why.
    pub(crate) cause: Option<SendError>,
}

/// The entries of a batch that are still to be sent.
#[derive(Debug)]
pub(crate) struct Calls {
    /// What goes into each call. The last one is made first.
    todo: Vec<Vec<u32>>,
    /// Whether any call has gone through.
    any_taken: bool,
    /// Single entries whose call was refused.
    alone: usize,
}

/// What one attempt has come to so far.
#[derive(Default)]
struct Progress {
    calls: usize,
    rejected: Vec<u32>,
    /// Left out of calls that went through.
    later: Vec<Vec<u32>>,
    reason: Option<DropReason>,
    cause: Option<SendError>,
}

impl Calls {
    /// One call with these entries in this order; their numbers are places in the batch.
    pub(crate) fn new(entries: Vec<u32>) -> Self {
        Self { todo: vec![entries], any_taken: false, alone: 0 }
    }

    /// These calls one after another; their entries' numbers are places in the batch.
    pub(crate) fn each(mut calls: Vec<Vec<u32>>) -> Self {
        calls.reverse();
        Self { todo: calls, any_taken: false, alone: 0 }
    }

    /// The numbers of all entries still to be sent, ascending.
    pub(crate) fn left(&self) -> Vec<u32> {
        let mut left = self.todo.concat();
        left.sort_unstable();
        left
    }

    /// Makes one attempt at all that is left.
    ///
    /// # Cancel safety
    /// A call is struck off the list only after its answer.
    pub(crate) async fn attempt(&mut self, call: &dyn Call) -> Outcome {
        // Places in an outcome are counted among what was left when the attempt began.
        let left = self.left();
        let mut progress = Progress::default();
        let mut stopped = None;
        let until = Instant::now() + PATIENCE;
        while let Some(entries) = self.todo.last() {
            if progress.calls == MAX_CALLS {
                break;
            }
            progress.calls += 1;
            match call.make(entries).await {
                Ok(taken) => self.taken(taken, Instant::now() < until, &mut progress),
                Err(failure) if call.is_paced(&failure) && Instant::now() < until => {
                    // Waiting for its turn bounds how many there are.
                    progress.calls -= 1;
                }
                Err(failure) if failure.kind == FailureKind::Invalid => self.refused(failure, &mut progress),
                Err(failure) => {
                    stopped = Some(failure);
                    break;
                }
            }
        }
        // What was left out goes first next time.
        self.todo.extend(progress.later.drain(..).rev());
        self.outcome(&left, progress, stopped)
    }

    fn taken(&mut self, taken: Taken, at_once: bool, progress: &mut Progress) {
        self.todo.pop();
        self.any_taken = true;
        progress.rejected.extend(taken.rejected);
        progress.reason = progress.reason.or(taken.reason);
        progress.cause = taken.cause.or(progress.cause.take());
        if !taken.retry.is_empty() {
            progress.later.push(taken.retry);
        }
        match taken.again.is_empty() {
            true => {}
            false if at_once => self.todo.push(taken.again),
            false => progress.later.push(taken.again),
        }
    }

    fn refused(&mut self, failure: Failure, progress: &mut Progress) {
        let Some(mut entries) = self.todo.pop() else { return };
        progress.cause = Some(failure.cause);
        if entries.len() > 1 {
            let second = entries.split_off(entries.len() / 2);
            self.todo.push(second);
            self.todo.push(entries);
            return;
        }
        self.alone += 1;
        progress.reason = Some(DropReason::Rejected);
        progress.rejected.append(&mut entries);
        if self.any_taken {
            return;
        }
        if self.alone >= HOPELESS {
            progress.rejected.extend(self.todo.drain(..).flatten());
            return;
        }
        // Bad entries keep together: look elsewhere first, where the most are left.
        if let Some((largest, _)) = self.todo.iter().enumerate().max_by_key(|(_, entries)| entries.len()) {
            let last = self.todo.len() - 1;
            self.todo.swap(largest, last);
        }
    }

    fn outcome(&self, left: &[u32], progress: Progress, stopped: Option<Failure>) -> Outcome {
        let Progress { rejected, reason, cause, .. } = progress;
        let retry: usize = self.todo.iter().map(Vec::len).sum();
        if retry == 0 && rejected.is_empty() {
            return Outcome::Delivered;
        }
        if retry == left.len() {
            let unsaid = || Failure::transient("a bad entry is still being searched for");
            return match stopped {
                Some(failure) => failure.outcome(),
                None => Outcome::Retry { after: None, cause: cause.unwrap_or_else(|| unsaid().cause) },
            };
        }
        let cause = stopped.map(|failure| failure.cause).or(cause);
        let cause = cause.unwrap_or_else(|| SendError::new("some entries were not taken"));
        let reason = reason.unwrap_or(DropReason::Rejected);
        if rejected.len() == left.len() {
            return Outcome::Rejected { reason, cause };
        }
        Outcome::Partial {
            retry: places(left, self.todo.iter().flatten().copied()),
            rejected: places(left, rejected.into_iter()),
            reason,
            cause,
        }
    }
}

/// Where entries stand among those that were left.
fn places(left: &[u32], entries: impl Iterator<Item = u32>) -> EntrySet {
    entries.filter_map(|entry| left.binary_search(&entry).ok()).map(|place| place as u32).collect()
}

/// What is refused before a call is made.
#[derive(Debug)]
pub(crate) struct Refused {
    limit: usize,
}

impl Refused {
    /// Nothing longer than this is taken.
    pub(crate) fn too_long(limit: usize) -> Self {
        Self { limit }
    }
}

impl Delivery for Refused {
    fn attempt(&mut self) -> BoxFuture<'_, Outcome> {
        let cause = SendError::new(format!("longer than {} bytes", self.limit));
        Box::pin(async { Outcome::Rejected { reason: DropReason::Oversize, cause } })
    }
}

/// One entry that fills several places of a batch: what became of it, by what became of them.
#[derive(Debug, Default)]
pub(crate) struct OneEntry {
    /// Why a part of it will never be taken.
    spoilt: Option<(DropReason, SendError)>,
}

impl OneEntry {
    /// The outcome for the entry, of an attempt at the places that were left of it.
    pub(crate) fn outcome(&mut self, places: Outcome) -> Outcome {
        let (retry, spoilt) = match places {
            Outcome::Delivered => (None, None),
            Outcome::Rejected { reason, cause } => (None, Some((reason, cause))),
            Outcome::Retry { after, cause } => (Some((after, cause)), None),
            Outcome::Partial { retry, rejected, reason, cause } => (
                (!retry.is_empty()).then(|| (None, cause.clone())),
                (!rejected.is_empty()).then_some((reason, cause)),
            ),
        };
        self.spoilt = self.spoilt.take().or(spoilt);
        match (retry, self.spoilt.take()) {
            (Some((after, cause)), spoilt) => {
                self.spoilt = spoilt;
                Outcome::Retry { after, cause }
            }
            (None, Some((reason, cause))) => Outcome::Rejected { reason, cause },
            (None, None) => Outcome::Delivered,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use proptest::prelude::*;

    use super::*;

    /// A service that has something against some entries, and is down after so many calls.
    #[derive(Default)]
    struct Picky {
        bad: Vec<u32>,
        late: Vec<u32>,
        busy: Mutex<Vec<u32>>,
        calls_until_down: Mutex<usize>,
        got: Mutex<Vec<u32>>,
        calls: Mutex<usize>,
    }

    impl Picky {
        fn up() -> Self {
            Self { calls_until_down: Mutex::new(usize::MAX), ..Self::default() }
        }

        fn answer(&self, entries: &[u32]) -> Result<Taken, Failure> {
            *self.calls.lock().unwrap() += 1;
            let mut until = self.calls_until_down.lock().unwrap();
            if *until == 0 {
                *until = usize::MAX;
                return Err(Failure::transient("down"));
            }
            *until -= 1;
            if entries.iter().any(|entry| self.bad.contains(entry)) {
                return Err(Failure { kind: FailureKind::Invalid, ..Failure::transient("bad") });
            }
            let mut taken = Taken::default();
            for &entry in entries {
                if self.late.contains(&entry) {
                    taken.rejected.push(entry);
                    taken.reason = Some(DropReason::OutOfTime);
                    continue;
                }
                let mut busy = self.busy.lock().unwrap();
                match busy.iter().position(|busy| *busy == entry) {
                    Some(at) => {
                        busy.remove(at);
                        taken.retry.push(entry);
                    }
                    None => self.got.lock().unwrap().push(entry),
                }
            }
            Ok(taken)
        }
    }

    impl Call for Picky {
        fn make<'a>(&'a self, entries: &'a [u32]) -> BoxFuture<'a, Result<Taken, Failure>> {
            let answer = self.answer(entries);
            Box::pin(async move { answer })
        }
    }

    fn block<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }

    /// Attempts until all is settled, with the books an engine keeps: who was taken and who was rejected.
    fn settle(picky: &Picky, len: u32) -> (Vec<u32>, Vec<u32>, usize) {
        let mut calls = Calls::new((0..len).collect());
        let mut left: Vec<u32> = (0..len).collect();
        let (mut delivered, mut dropped, mut attempts) = (Vec::new(), Vec::new(), 0);
        while !left.is_empty() {
            attempts += 1;
            assert!(attempts < 1_000);
            match block(calls.attempt(picky)) {
                Outcome::Delivered => delivered.append(&mut left),
                Outcome::Retry { .. } => {}
                Outcome::Rejected { .. } => dropped.append(&mut left),
                Outcome::Partial { retry, rejected, .. } => {
                    let mut next = Vec::new();
                    for (place, entry) in left.iter().enumerate() {
                        match (retry.contains(place as u32), rejected.contains(place as u32)) {
                            (true, false) => next.push(*entry),
                            (false, true) => dropped.push(*entry),
                            (false, false) => delivered.push(*entry),
                            (true, true) => panic!("both"),
                        }
                    }
                    left = next;
                }
            }
        }
        delivered.sort_unstable();
        dropped.sort_unstable();
        (delivered, dropped, attempts)
    }

    #[test]
    fn one_bad_entry_is_found_and_the_rest_is_taken_in_one_attempt() {
        let picky = Picky { bad: vec![700], ..Picky::up() };
        let (delivered, dropped, attempts) = settle(&picky, 1_000);
        assert_eq!((delivered.len(), dropped, attempts), (999, vec![700], 1));
        assert!(*picky.calls.lock().unwrap() <= 21);
    }

    #[test]
    fn bad_entries_that_stand_together_spoil_no_others() {
        let picky = Picky { bad: (0..50).collect(), ..Picky::up() };
        let (delivered, dropped, _) = settle(&picky, 1_000);
        assert_eq!((delivered.len(), dropped.len()), (950, 50));
    }

    #[test]
    fn a_call_that_is_wrong_whatever_is_in_it_is_given_up_soon() {
        let picky = Picky { bad: (0..10_000).collect(), ..Picky::up() };
        let (delivered, dropped, _) = settle(&picky, 10_000);
        assert_eq!((delivered.len(), dropped.len()), (0, 10_000));
        assert!(*picky.calls.lock().unwrap() < 64);
    }

    #[test]
    fn what_was_left_out_is_sent_again_in_order_and_nothing_else() {
        let picky = Picky { busy: Mutex::new(vec![3, 1]), ..Picky::up() };
        let (delivered, _, attempts) = settle(&picky, 5);
        assert_eq!((delivered.len(), attempts), (5, 2));
        assert_eq!(*picky.got.lock().unwrap(), [0, 2, 4, 1, 3]);
    }

    #[test]
    fn an_entry_of_several_places_is_delivered_when_all_of_them_are() {
        let cause = || SendError::new("x");
        let partial = |retry: &[u32], rejected: &[u32]| Outcome::Partial {
            retry: retry.iter().copied().collect(),
            rejected: rejected.iter().copied().collect(),
            reason: DropReason::Rejected,
            cause: cause(),
        };
        let mut whole = OneEntry::default();
        assert!(matches!(whole.outcome(partial(&[1], &[])), Outcome::Retry { .. }));
        assert!(matches!(whole.outcome(Outcome::Delivered), Outcome::Delivered));
        let mut spoilt = OneEntry::default();
        assert!(matches!(spoilt.outcome(partial(&[1], &[0])), Outcome::Retry { .. }));
        assert!(matches!(spoilt.outcome(Outcome::Delivered), Outcome::Rejected { .. }));
    }

    proptest! {
        #[test]
        fn every_entry_ends_in_exactly_one_place(
            len in 1u32..300,
            bad in proptest::collection::vec(0u32..300, 0..8),
            late in proptest::collection::vec(0u32..300, 0..20),
            busy in proptest::collection::vec(0u32..300, 0..40),
            down in 0usize..20,
        ) {
            let picky = Picky {
                bad: bad.clone(), late: late.clone(), busy: Mutex::new(busy),
                calls_until_down: Mutex::new(down), ..Picky::default()
            };
            let (delivered, dropped, _) = settle(&picky, len);
            let mut got = picky.got.into_inner().unwrap();
            got.sort_unstable();
            prop_assert_eq!(&delivered, &got, "what is booked as delivered is what the service has, once");
            prop_assert_eq!(delivered.len() + dropped.len(), len as usize);
            let is_bad = |entry: &u32| bad.contains(entry) || late.contains(entry);
            prop_assert!(dropped.iter().all(is_bad) || (delivered.is_empty() && bad.len() >= HOPELESS));
        }
    }
}
