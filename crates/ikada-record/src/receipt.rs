//! How a chunk's maker hears that all routes settled.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use crate::{Chunk, DropReason, Ledger};

/// How a chunk ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settlement {
    /// Every entry was delivered or dropped with a reason, on every route.
    Settled,
    /// Some route went away with entries it had not settled: the router stopped first. Nobody may take
    /// this for a delivery.
    Abandoned,
}

type Watcher = Box<dyn FnOnce(Settlement) + Send + Sync>;

/// Counts receipts made and ended; at exit both are equal, or a receipt was lost in a bug.
#[derive(Debug, Default)]
pub struct Tally {
    made: AtomicU64,
    ended: AtomicU64,
}

impl Tally {
    /// Receipts made so far.
    pub fn made(&self) -> u64 {
        self.made.load(Ordering::Relaxed)
    }

    /// Receipts that have told their maker.
    pub fn ended(&self) -> u64 {
        self.ended.load(Ordering::Relaxed)
    }
}

/// A claim on hearing how a chunk ended. Cheap to clone; the maker hears when the last clone is gone.
#[derive(Clone)]
pub struct Receipt {
    inner: Option<Arc<Inner>>,
}

struct Inner {
    abandoned: AtomicBool,
    watcher: Option<Watcher>,
    tally: Option<Arc<Tally>>,
}

impl Receipt {
    /// A receipt nobody waits for.
    #[must_use]
    pub fn unwatched() -> Self {
        Self { inner: None }
    }

    /// A receipt whose end is told to `watcher`, once, from whichever task lets the last clone go.
    ///
    /// The watcher must be quick and must not block.
    pub fn new(tally: Option<Arc<Tally>>, watcher: impl FnOnce(Settlement) + Send + Sync + 'static) -> Self {
        if let Some(tally) = &tally {
            tally.made.fetch_add(1, Ordering::Relaxed);
        }
        let inner = Inner { abandoned: AtomicBool::new(false), watcher: Some(Box::new(watcher)), tally };
        Self { inner: Some(Arc::new(inner)) }
    }

    /// One receipt in the place of several: whoever waits for any of them hears when the last clone of this one is gone.
    #[must_use]
    pub fn joined(receipts: impl IntoIterator<Item = Self>) -> Self {
        let mut parts: Vec<Self> = Vec::new();
        for receipt in receipts {
            let known = |part: &Self| match (&part.inner, &receipt.inner) {
                (Some(a), Some(b)) => Arc::ptr_eq(a, b),
                _ => false,
            };
            if receipt.is_watched() && !parts.iter().any(known) {
                parts.push(receipt);
            }
        }
        if parts.len() <= 1 {
            return parts.pop().unwrap_or_else(Self::unwatched);
        }
        Self::new(None, move |settlement| {
            if settlement == Settlement::Abandoned {
                parts.iter().for_each(Self::abandon);
            }
        })
    }

    /// Whether somebody waits for this receipt, so that delivering soon is worth more than a full batch.
    #[must_use]
    pub fn is_watched(&self) -> bool {
        self.inner.is_some()
    }

    /// Says that this chunk will not be settled.
    pub fn abandon(&self) {
        if let Some(inner) = &self.inner {
            inner.abandoned.store(true, Ordering::Release);
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let settlement = if *self.abandoned.get_mut() { Settlement::Abandoned } else { Settlement::Settled };
        if let Some(watcher) = self.watcher.take() {
            watcher(settlement);
        }
        if let Some(tally) = &self.tally {
            tally.ended.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receipt").field("watched", &self.is_watched()).finish()
    }
}

/// One route's part in a chunk: how many of its entries are still to be settled there.
///
/// A share that is let go with entries left counts them as abandoned; nothing vanishes from the books.
#[derive(Debug)]
pub struct Share {
    receipt: Receipt,
    /// Of whoever keeps a copy of this route's entries until they are settled.
    copy: OnceLock<Receipt>,
    /// The entries themselves, where they are kept until it is known that none is refused.
    source: OnceLock<Source>,
    left: AtomicU32,
    ledger: Arc<Ledger>,
}

/// Entries that a share keeps.
#[derive(Debug)]
struct Source {
    chunk: Chunk,
    /// Who counts the bytes of what is kept.
    counted: Option<Arc<AtomicUsize>>,
}

impl Drop for Source {
    fn drop(&mut self) {
        if let Some(counted) = &self.counted {
            counted.fetch_sub(self.chunk.size(), Ordering::Relaxed);
        }
    }
}

impl Share {
    /// A share in `entries` entries, booked as routed.
    #[must_use]
    pub fn new(receipt: Receipt, entries: u32, ledger: Arc<Ledger>) -> Self {
        ledger.add_routed(u64::from(entries));
        Self {
            receipt,
            copy: OnceLock::new(),
            source: OnceLock::new(),
            left: AtomicU32::new(entries),
            ledger,
        }
    }

    /// Keeps the entries it is a share of until it is gone, so that those which are refused can be set aside.
    pub fn keep_source(&self, source: Chunk) {
        // Only the first one counts: they are the same entries.
        drop(self.source.set(Source { chunk: source, counted: None }));
    }

    /// The same; as long as they are kept, their bytes are part of `counted`.
    pub fn keep_counted_source(&self, source: Chunk, counted: &Arc<AtomicUsize>) {
        counted.fetch_add(source.size(), Ordering::Relaxed);
        drop(self.source.set(Source { chunk: source, counted: Some(counted.clone()) }));
    }

    /// One share in the place of parts of several ones of the same output: these entries are no concern of the others any more. Nothing is
    /// booked.
    ///
    /// # Panics
    /// There is no part.
    #[must_use]
    pub fn taken_over<'s>(parts: impl IntoIterator<Item = (&'s Self, u32)>) -> Self {
        let (mut left, mut receipts, mut ledger) = (0, Vec::new(), None);
        for (share, entries) in parts {
            left += share.take(entries);
            receipts.push(share.receipt.clone());
            ledger = Some(share.ledger.clone());
        }
        Self {
            receipt: Receipt::joined(receipts),
            copy: OnceLock::new(),
            source: OnceLock::new(),
            left: AtomicU32::new(left),
            ledger: ledger.expect("there is a part at least"),
        }
    }

    /// The entries it is a share of, if they are kept.
    #[must_use]
    pub fn source(&self) -> Option<&Chunk> {
        self.source.get().map(|source| &source.chunk)
    }

    /// Lets the keeper of a copy of these entries hear how this route ended, as a chunk file that is deleted then. Only the first one hears.
    pub fn copied(&self, receipt: Receipt) {
        if let Err(second) = self.copy.set(receipt) {
            second.abandon();
        }
    }

    /// Books `entries` entries as delivered.
    pub fn deliver(&self, entries: u32) {
        self.ledger.add_delivered(u64::from(self.take(entries)));
    }

    /// Books `entries` entries as dropped.
    pub fn drop_entries(&self, entries: u32, reason: DropReason) {
        self.ledger.add_dropped(reason, u64::from(self.take(entries)));
    }

    /// Whether somebody keeps a copy of these entries until they are settled.
    #[must_use]
    pub fn has_copy(&self) -> bool {
        self.copy.get().is_some()
    }

    /// Entries not yet settled.
    #[must_use]
    pub fn left(&self) -> u32 {
        self.left.load(Ordering::Relaxed)
    }

    /// Whether somebody waits for the chunk's receipt.
    #[must_use]
    pub fn is_watched(&self) -> bool {
        self.receipt.is_watched()
    }

    /// Takes up to `entries` off what is left; settling more than there is would be a bug and must not spoil the books.
    fn take(&self, entries: u32) -> u32 {
        let before = self
            .left
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, |left| Some(left.saturating_sub(entries)))
            .unwrap_or(0);
        debug_assert!(before >= entries, "settled {entries} entries of a share with {before} left");
        entries.min(before)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let left = *self.left.get_mut();
        if left > 0 {
            self.ledger.add_abandoned(u64::from(left));
            self.receipt.abandon();
            if let Some(copy) = self.copy.get() {
                copy.abandon();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    fn watched() -> (Receipt, Arc<Mutex<Vec<Settlement>>>, Arc<Tally>) {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let tally = Arc::new(Tally::default());
        let ears = heard.clone();
        let receipt = Receipt::new(Some(tally.clone()), move |s| ears.lock().unwrap().push(s));
        (receipt, heard, tally)
    }

    #[test]
    fn what_is_taken_over_is_settled_elsewhere_and_booked_once() {
        let (receipt, heard, _) = watched();
        let ledger = Arc::new(Ledger::default());
        let counted = Arc::new(AtomicUsize::new(0));
        let shares = [3, 2].map(|entries| Share::new(receipt.clone(), entries, ledger.clone()));
        drop(receipt);
        let mut source = crate::ChunkBuilder::new(crate::Tag::from("t"));
        source.push_record(crate::Timestamp::new(1, 0), b"\x80");
        let source = source.finish(Receipt::unwatched());
        shares[0].keep_counted_source(source.clone(), &counted);
        assert_eq!(counted.load(Ordering::Relaxed), source.size());
        let one = Share::taken_over([(&shares[0], 2), (&shares[1], 2)]);
        shares[0].deliver(1);
        drop(shares);
        assert_eq!((ledger.routed(), ledger.delivered(), ledger.abandoned()), (5, 1, 0));
        assert_eq!((one.left(), heard.lock().unwrap().len(), counted.load(Ordering::Relaxed)), (4, 0, 0));
        one.drop_entries(4, DropReason::Rejected);
        drop(one);
        assert_eq!((*heard.lock().unwrap()).as_slice(), [Settlement::Settled]);
        assert_eq!((ledger.dropped_total(), ledger.held()), (4, 0));
    }

    #[test]
    fn the_maker_hears_once_after_the_last_route_settled() {
        let (receipt, heard, tally) = watched();
        let ledger = Arc::new(Ledger::default());
        let one = Share::new(receipt.clone(), 2, ledger.clone());
        let two = Share::new(receipt, 2, ledger.clone());
        one.deliver(2);
        drop(one);
        assert!(heard.lock().unwrap().is_empty());
        two.deliver(1);
        two.drop_entries(1, DropReason::Rejected);
        drop(two);
        assert_eq!(*heard.lock().unwrap(), [Settlement::Settled]);
        assert_eq!((tally.made(), tally.ended()), (1, 1));
        assert_eq!((ledger.routed(), ledger.delivered(), ledger.dropped(DropReason::Rejected)), (4, 3, 1));
        assert_eq!(ledger.held(), 0);
    }

    #[test]
    fn everyone_hears_of_a_joined_receipt() {
        let ((one, first, _), (two, second, _)) = (watched(), watched());
        let joined = Receipt::joined([one.clone(), two, one.clone(), Receipt::unwatched()]);
        drop(one);
        assert!(first.lock().unwrap().is_empty());
        drop(joined);
        assert_eq!(
            (&*first.lock().unwrap(), &*second.lock().unwrap()),
            (&vec![Settlement::Settled], &vec![Settlement::Settled])
        );
        let ((one, first, _), (two, second, _)) = (watched(), watched());
        Receipt::joined([one, two]).abandon();
        assert_eq!(
            (&*first.lock().unwrap(), &*second.lock().unwrap()),
            (&vec![Settlement::Abandoned], &vec![Settlement::Abandoned])
        );
        assert!(!Receipt::joined([Receipt::unwatched()]).is_watched());
    }

    #[test]
    fn a_share_that_goes_away_early_is_abandoned_and_booked() {
        let (receipt, heard, _) = watched();
        let ledger = Arc::new(Ledger::default());
        let share = Share::new(receipt, 5, ledger.clone());
        share.deliver(2);
        assert_eq!(ledger.held(), 3);
        drop(share);
        assert_eq!(*heard.lock().unwrap(), [Settlement::Abandoned]);
        assert_eq!((ledger.abandoned(), ledger.held()), (3, 0));
    }
}
