//! What a destination says of a batch.

use std::time::Duration;

use ikada_record::DropReason;

/// Why a batch, or a part of it, was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{}{message}", code.as_deref().unwrap_or_default(), if code.is_some() { ": " } else { "" })]
pub struct SendError {
    /// The destination's own name for it, as `ThrottlingException`.
    pub code: Option<String>,
    /// HTTP status, where there was an answer.
    pub status: Option<u16>,
    /// What was said, or what went wrong on the way.
    pub message: String,
}

impl SendError {
    /// An error without a code or status: the network, or our own side.
    #[must_use]
    pub fn new(message: impl Into<String>) -> Self {
        Self { code: None, status: None, message: message.into() }
    }
}

/// Indices of entries within a batch, ascending, counted over what the batch held at this attempt.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EntrySet(Vec<u32>);

impl EntrySet {
    /// No entries.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The indices in ascending order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = u32> + '_ {
        self.0.iter().copied()
    }

    /// Whether the entry is in it.
    #[must_use]
    pub fn contains(&self, entry: u32) -> bool {
        self.0.binary_search(&entry).is_ok()
    }
}

impl FromIterator<u32> for EntrySet {
    fn from_iter<I: IntoIterator<Item = u32>>(indices: I) -> Self {
        let mut list: Vec<u32> = indices.into_iter().collect();
        list.sort_unstable();
        list.dedup();
        Self(list)
    }
}

/// What a destination says of a batch.
#[derive(Debug)]
#[must_use = "an unread outcome is a lost record"]
pub enum Outcome {
    /// Everything was taken.
    Delivered,
    /// Nothing was taken; the same again later.
    Retry {
        /// How long the destination asks to wait, where it says so.
        after: Option<Duration>,
        /// Why.
        cause: SendError,
    },
    /// `retry` is to be sent again, `rejected` will never be taken, all else was taken.
    Partial {
        /// Entries to send again. The delivery has narrowed itself to them.
        retry: EntrySet,
        /// Entries that will never be taken, and why not.
        rejected: EntrySet,
        /// What `rejected` is counted as.
        reason: DropReason,
        /// Why.
        cause: SendError,
    },
    /// Nothing was taken, and the same bytes will never be.
    Rejected {
        /// What it is counted as.
        reason: DropReason,
        /// Why.
        cause: SendError,
    },
}
