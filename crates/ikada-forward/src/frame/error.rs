//! Why bytes on a connection are not a frame.

use ikada_msgpack::ScanError;
use ikada_record::EntryError;

/// Why bytes on a Forward connection are not a frame.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The bytes are no MessagePack value, or one that ends too early.
    #[error("the bytes are no MessagePack")]
    Scan(#[from] ScanError),
    /// A value, but no array of two or more elements.
    #[error("a frame must be an array of a tag and entries")]
    NotAFrame,
    /// The tag is of another type.
    #[error("the tag is not a string")]
    Tag,
    /// The tag is longer than any tag may be.
    #[error("the tag of {len} bytes is over the limit of {limit}")]
    TagTooLong {
        /// Bytes of the tag.
        len: usize,
        /// Bytes a tag may have.
        limit: usize,
    },
    /// The second element starts neither a message nor a run of entries.
    #[error("the time is neither an integer from 0 on nor an EventTime")]
    Time,
    /// A message without a record, or with one that is no map.
    #[error("the record is not a map")]
    Record,
    /// The run of entries breaks off.
    #[error("entry {index} of the frame is damaged")]
    Entry {
        /// Number of good entries before it.
        index: usize,
        /// What is wrong with it.
        #[source]
        source: EntryError,
    },
    /// Others hold all the memory that beginnings of frames may take.
    #[error(
        "the first {held} bytes of a frame are here, and the beginnings of other frames fill the memory (`ikada.memory_limit`)"
    )]
    NoMemory {
        /// Bytes of the frame that are here.
        held: usize,
    },
    /// The option is neither a map nor nil.
    #[error("the option is not a map")]
    Option,
    /// The token to answer with is of another type.
    #[error("the option `chunk` is not a string")]
    Chunk,
    /// The entries are metrics or traces.
    #[error("the option `fluent_signal` says that these are no logs")]
    Signal,
    /// There are no packed entries at all.
    #[error("the packed entries are empty")]
    EmptyPack,
    /// Packed entries that break off.
    #[error("packed entries are damaged after {kept} good ones")]
    Pack {
        /// Number of good entries before the damage.
        kept: usize,
        /// What is wrong behind them.
        #[source]
        source: EntryError,
    },
    /// The option names a compression, the bytes do not show it.
    #[error("the entries are declared as {declared} and are not compressed")]
    NotCompressed {
        /// The name in the option.
        declared: &'static str,
    },
    /// Decompression failed, or a checksum did not fit.
    #[error("compressed entries are damaged")]
    Compressed(#[source] std::io::Error),
    /// The entries would take too much memory once decompressed.
    #[error(
        "compressed entries are larger than Buffer_Max_Size ({limit} bytes); raise it if they are meant to be"
    )]
    Bomb {
        /// Bytes allowed.
        limit: usize,
    },
    /// The frame is longer than the configuration allows.
    #[error(
        "a frame of {len} bytes or more is over Buffer_Max_Size ({limit} bytes); raise it if it is meant to be"
    )]
    TooLong {
        /// Bytes the frame has at least.
        len: usize,
        /// Bytes allowed.
        limit: usize,
    },
}

impl FrameError {
    /// Whether only the frame's content is damaged, so that the next frame can be told.
    #[must_use]
    pub fn leaves_framing_intact(&self) -> bool {
        matches!(self, Self::Pack { .. })
    }
}

/// The error and its causes on one line.
#[must_use]
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
