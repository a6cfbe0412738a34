//! The books: what came, and how each entry ended.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Why an entry was let go. Every drop has one, and a count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DropReason {
    /// A filter's rule said so.
    Filtered,
    /// No output takes its tag.
    Unmatched,
    /// The destination will never take these bytes.
    Rejected,
    /// The configured `Retry_Limit` was used up.
    RetryLimit,
    /// A queue was full and its policy is to drop.
    Overflow,
    /// Larger than the destination allows, and not to be split.
    Oversize,
    /// Older or newer than the destination allows.
    OutOfTime,
    /// Nothing to send: the record is empty or lacks the configured `log_key`.
    Empty,
    /// Bytes that are no entry.
    Malformed,
    /// Their chunk's file on disk was damaged, and is set aside.
    Damaged,
    /// The plugin that handled them ended in a bug, twice.
    Bug,
}

impl DropReason {
    /// All reasons, in the order of their counters.
    pub const ALL: [Self; 11] = [
        Self::Filtered,
        Self::Unmatched,
        Self::Rejected,
        Self::RetryLimit,
        Self::Overflow,
        Self::Oversize,
        Self::OutOfTime,
        Self::Empty,
        Self::Malformed,
        Self::Damaged,
        Self::Bug,
    ];

    /// The word used in metrics and log lines.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Filtered => "filtered",
            Self::Unmatched => "unmatched",
            Self::Rejected => "rejected",
            Self::RetryLimit => "retry_limit",
            Self::Overflow => "overflow",
            Self::Oversize => "oversize",
            Self::OutOfTime => "out_of_time",
            Self::Empty => "empty",
            Self::Malformed => "malformed",
            Self::Damaged => "damaged",
            Self::Bug => "bug",
        }
    }
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The books of one output: entries routed to it, and how they ended.
///
/// `routed = delivered + dropped + abandoned + held` holds at every moment no share is being settled.
#[derive(Debug, Default)]
pub struct Ledger {
    routed: AtomicU64,
    delivered: AtomicU64,
    abandoned: AtomicU64,
    dropped: [AtomicU64; DropReason::ALL.len()],
}

impl Ledger {
    pub(crate) fn add_routed(&self, entries: u64) {
        self.routed.fetch_add(entries, Relaxed);
    }

    pub(crate) fn add_delivered(&self, entries: u64) {
        self.delivered.fetch_add(entries, Relaxed);
    }

    pub(crate) fn add_abandoned(&self, entries: u64) {
        self.abandoned.fetch_add(entries, Relaxed);
    }

    pub(crate) fn add_dropped(&self, reason: DropReason, entries: u64) {
        self.dropped[reason as usize].fetch_add(entries, Relaxed);
    }

    /// Entries that were sent this way.
    pub fn routed(&self) -> u64 {
        self.routed.load(Relaxed)
    }

    /// Entries the destination took.
    pub fn delivered(&self) -> u64 {
        self.delivered.load(Relaxed)
    }

    /// Entries whose share went away unsettled: what a stop left unsent.
    pub fn abandoned(&self) -> u64 {
        self.abandoned.load(Relaxed)
    }

    /// Entries dropped for one reason.
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.dropped[reason as usize].load(Relaxed)
    }

    /// Entries dropped for whatever reason.
    pub fn dropped_total(&self) -> u64 {
        self.dropped.iter().map(|count| count.load(Relaxed)).sum()
    }

    /// Entries on their way: neither delivered, nor dropped, nor abandoned.
    pub fn held(&self) -> u64 {
        self.routed().saturating_sub(self.delivered() + self.dropped_total() + self.abandoned())
    }
}
