//! Options that every input, filter or output has.

use crate::{ByteSize, Choice, LogLevel, NetOptions, Options, RetryLimit, Seconds, SizeLimit, Spanned};

/// Options of every input.
#[derive(Debug, Clone, Options)]
#[options(common = "input")]
pub struct InputCommon {
    /// Tag of the records, which outputs and filters match; the instance's name (`tail.0`) when it is not given.
    #[option(example = "app.web")]
    pub tag: Option<Spanned<String>>,
    /// Name of the instance in logs and metrics.
    #[option(example = "web_logs")]
    pub alias: Option<Spanned<String>>,
    /// Log level of this input, where it is not that of the service.
    #[option(example = "debug")]
    pub log_level: Option<LogLevel>,
    /// Memory that this input's records may take before they are set aside on disk or the input waits.
    #[option(example = "50MB")]
    pub mem_buf_limit: Option<Spanned<ByteSize>>,
    /// Where records wait for their outputs; `filesystem` needs `storage.path` in `[SERVICE]`.
    ///
    /// `filesystem` puts each chunk on disk as it comes, so that it outlives the process. Chunks of clients that wait for acks are not: the
    /// client keeps them.
    #[option(name = "storage.type", example = "memory")]
    pub storage_type: Option<Spanned<StorageType>>,
    /// What happens to this input's records when an output makes no progress and the memory is full: `spill` puts them on disk, if there is a
    /// `storage.path`, and drops the oldest otherwise; `drop_oldest` and `drop_newest` drop; `block` waits.
    ///
    /// An input that its source can wait for (a file, a client that wants acks) always waits.
    #[option(name = "ikada.overflow", example = "block")]
    pub overflow: Option<Overflow>,
    /// Has no effect: memory is bounded in bytes, by `mem_buf_limit`.
    #[option(name = "storage.pause_on_chunks_overlimit", no_effect)]
    pub storage_pause_on_chunks_overlimit: Option<bool>,
    /// Has no effect: what happens again and again is logged once in a while by itself.
    #[option(no_effect)]
    pub log_suppress_interval: Option<Seconds>,
    /// Hands the records to outputs. `off` is not supported yet.
    #[option(default = "on")]
    pub routable: Spanned<bool>,
    /// Has no effect: every input runs as a task of its own.
    #[option(no_effect)]
    pub threaded: Option<bool>,
    /// Has no effect: every input runs as a task of its own.
    #[option(name = "thread.ring_buffer.capacity", no_effect)]
    pub thread_ring_buffer_capacity: Option<u64>,
    /// Has no effect: every input runs as a task of its own.
    #[option(name = "thread.ring_buffer.window", no_effect)]
    pub thread_ring_buffer_window: Option<u64>,
    /// How connections are made.
    #[option(flatten)]
    pub net: NetOptions,
}

/// Where records wait for their outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Choice)]
pub enum StorageType {
    /// In memory.
    Memory,
    /// In memory and on disk, so that they outlive the process; needs `storage.path` in `[SERVICE]`.
    Filesystem,
    /// In memory; the oldest are dropped at `Mem_Buf_Limit`.
    #[choice("memrb")]
    MemoryRing,
}

/// What happens to an input's records when an output makes no progress and the memory is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Choice)]
pub enum Overflow {
    /// They are put on disk; without one, or when it is full, the oldest are dropped.
    Spill,
    /// The oldest are dropped.
    #[choice("drop_oldest")]
    DropOldest,
    /// The newest are dropped.
    #[choice("drop_newest")]
    DropNewest,
    /// The input waits, however long. An application behind the socket may then be blocked.
    Block,
}

/// Options of every filter.
#[derive(Debug, Clone, Options)]
#[options(common = "filter")]
pub struct FilterCommon {
    /// Tags whose records are filtered; `*` stands for any text.
    #[option(name = "match", example = "app.*")]
    pub match_pattern: Option<Spanned<String>>,
    /// Tags whose records are filtered, as a regular expression that is anchored at the start.
    #[option(example = "^app[.](web|api)")]
    pub match_regex: Option<Spanned<String>>,
    /// Name of the instance in logs and metrics.
    #[option(example = "no_debug")]
    pub alias: Option<Spanned<String>>,
    /// Log level of this filter, where it is not that of the service.
    #[option(example = "debug")]
    pub log_level: Option<LogLevel>,
    /// Has no effect: what happens again and again is logged once in a while by itself.
    #[option(no_effect)]
    pub log_suppress_interval: Option<Seconds>,
    /// Leaves the filter out when it is `false` or `0`.
    #[option(default = "true")]
    pub active: Active,
}

/// Whether a filter takes part: only `false` and `0` leave it out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Active(pub bool);

impl crate::OptionValue for Active {
    const KIND: &'static str = "boolean";

    fn parse_value(text: &str) -> Result<Self, crate::ValueError> {
        match text {
            "0" => Ok(Active(false)),
            "1" => Ok(Active(true)),
            other => bool::parse_value(other).map(Active),
        }
    }
}

/// Options of every output.
#[derive(Debug, Clone, Options)]
#[options(common = "output")]
pub struct OutputCommon {
    /// Tags whose records are delivered; `*` stands for any text.
    ///
    /// With one input and one output in the whole configuration it may be left out and means `*`.
    #[option(name = "match", example = "app.*")]
    pub match_pattern: Option<Spanned<String>>,
    /// Tags whose records are delivered, as a regular expression that is anchored at the start.
    #[option(example = "^app[.](web|api)")]
    pub match_regex: Option<Spanned<String>>,
    /// Name of the instance in logs and metrics.
    #[option(example = "audit")]
    pub alias: Option<Spanned<String>>,
    /// Log level of this output, where it is not that of the service.
    #[option(example = "debug")]
    pub log_level: Option<LogLevel>,
    /// How often a delivery that failed is tried again: a number, `no_limits` or `no_retries`.
    ///
    /// Fluent Bit retries once when it is not given; here it is retried until it succeeds, within the memory allowed.
    #[option(example = "no_limits")]
    pub retry_limit: Option<Spanned<RetryLimit>>,
    /// Has no effect: an output sends as much at once as its destination takes.
    #[option(no_effect)]
    pub workers: Option<u32>,
    /// Bytes that this output's chunks may take on disk; the oldest make room, and are counted.
    #[option(name = "storage.total_limit_size", example = "5G")]
    pub storage_total_limit_size: Option<Spanned<SizeLimit>>,
    /// Has no effect: what happens again and again is logged once in a while by itself.
    #[option(no_effect)]
    pub log_suppress_interval: Option<Seconds>,
    /// How connections are made.
    #[option(flatten)]
    pub net: NetOptions,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{OptionValue, check_set};

    #[test]
    fn the_sets_are_sound() {
        check_set::<InputCommon>();
        check_set::<FilterCommon>();
        check_set::<OutputCommon>();
    }

    #[test]
    fn only_false_and_zero_leave_a_filter_out() {
        let active = |text| Active::parse_value(text).ok().map(|active| active.0);
        assert_eq!(active("0"), Some(false));
        assert_eq!(active("False"), Some(false));
        assert_eq!(active("1"), Some(true));
        assert_eq!(active("on"), Some(true));
        assert_eq!(active("perhaps"), None);
    }
}
