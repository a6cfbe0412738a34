//! Counters of one instance. Names and meanings are Fluent Bit's (reference, "Metric names").

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Relaxed);
    }

    /// The number now.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Counters of an input.
#[derive(Debug, Default)]
pub struct InputMetrics {
    /// Entries read, before filters.
    pub records: Counter,
    /// Bytes of those entries as MessagePack.
    pub bytes: Counter,
    /// Frames, messages or lines that were refused, each with a log line or a part in one.
    pub malformed: Counter,
    /// Connections closed because of what came over them.
    pub closed_connections: Counter,
    /// Bugs of Ikada that ended a part of the input's work.
    pub bugs: Counter,
    /// Times that the input, or a part of it, was begun anew after a bug.
    pub restarts: Counter,
    /// What only an input that follows files counts; empty in others.
    pub files: OnceLock<FileMetrics>,
}

/// Counters of an input that follows files.
#[derive(Debug, Default)]
pub struct FileMetrics {
    /// Files opened, also those that were closed while they were quiet.
    pub opened: Counter,
    /// Files closed.
    pub closed: Counter,
    /// Files that lost the name under which they were found.
    pub rotated: Counter,
    /// Records of several lines that were cut at their limit.
    pub cut_records: Counter,
    /// Lines that were cut at their limit.
    pub cut_lines: Counter,
    /// Lines that were left out because they were longer.
    pub skipped_lines: Counter,
}

/// Counters of a filter.
#[derive(Debug, Default)]
pub struct FilterMetrics {
    /// Records that came to the filter.
    pub records: Counter,
    /// Bytes of those records.
    pub bytes: Counter,
    /// Records the filter added.
    pub add_records: Counter,
    /// Records the filter dropped.
    pub drop_records: Counter,
    /// Bytes of the records it dropped.
    pub drop_bytes: Counter,
    /// Times that the filter went on after a bug.
    pub restarts: Counter,
}

/// Counters of an output.
#[derive(Debug, Default)]
pub struct OutputMetrics {
    /// Entries delivered.
    pub proc_records: Counter,
    /// Bytes delivered, as sent.
    pub proc_bytes: Counter,
    /// Batches given up at once.
    pub errors: Counter,
    /// Attempts after the first.
    pub retries: Counter,
    /// Batches given up after retries.
    pub retries_failed: Counter,
    /// Entries that were sent again, counted at each retry.
    pub retried_records: Counter,
    /// Entries given up.
    pub dropped_records: Counter,
    /// Bugs of Ikada that ended a delivery.
    pub bugs: Counter,
    /// Times that the output, or a delivery, was begun anew after a bug.
    pub restarts: Counter,
}
