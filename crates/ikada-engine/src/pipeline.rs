//! What the engine runs.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ikada_plugin::{
    Filter, FilterMetrics, Input, InputMetrics, InstanceId, LetterStore, Output, OutputMetrics, RetryLimit,
    Service,
};
use ikada_record::Ledger;
use ikada_route::Matcher;
use ikada_store::chunks;

/// Makes an input once more after it ended in a bug.
pub type Again = Box<dyn Fn() -> Option<Box<dyn Input>> + Send + Sync>;

/// An input and its place in the books.
pub struct InputSlot {
    /// Its name.
    pub id: Arc<InstanceId>,
    /// The plugin.
    pub input: Box<dyn Input>,
    /// How to make it once more after a bug; without it a bug of the input stops the router.
    pub again: Option<Again>,
    /// Its counters.
    pub metrics: Arc<InputMetrics>,
    /// `Mem_Buf_Limit`: bytes that entries of this input may fill of a queue whose output makes no progress.
    pub mem_buf_limit: Option<usize>,
    /// Whether its chunks are put on disk as soon as they come, if there is one: `storage.type filesystem`.
    pub durable: bool,
    /// What happens to its entries when an output is stuck and the memory is full: `ikada.overflow`.
    pub overflow: OverflowPolicy,
    /// Filters that only this input's entries pass, before all others.
    pub processors: Vec<FilterSlot>,
}

/// What happens to an input's entries when an output makes no progress and the memory is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OverflowPolicy {
    /// They are put on disk; without one, or when it is full, the oldest are dropped.
    #[default]
    Spill,
    /// The oldest are dropped.
    DropOldest,
    /// The newest are dropped.
    DropNewest,
    /// The input waits, however long.
    Block,
}

/// Where chunks are kept on disk.
#[derive(Debug, Clone)]
pub struct Storage {
    /// `storage.path`.
    pub path: PathBuf,
    /// `storage.sync`.
    pub sync: chunks::Sync,
}

/// A filter and the tags it takes.
pub struct FilterSlot {
    /// Its name.
    pub id: Arc<InstanceId>,
    /// Which tags it takes.
    pub matcher: Matcher,
    /// The plugin.
    pub filter: Box<dyn Filter>,
    /// Its counters.
    pub metrics: Arc<FilterMetrics>,
}

/// An output, the tags it takes, and its place in the books.
pub struct OutputSlot {
    /// Its name.
    pub id: Arc<InstanceId>,
    /// Which tags it takes.
    pub matcher: Matcher,
    /// The plugin.
    pub output: Box<dyn Output>,
    /// Its counters.
    pub metrics: Arc<OutputMetrics>,
    /// Its books.
    pub ledger: Arc<Ledger>,
    /// How often a batch is tried again.
    pub retry: RetryLimit,
    /// Bytes its chunks may take on disk: `storage.total_limit_size`.
    pub disk_limit: Option<u64>,
    /// Filters that only what this output takes passes, after all others.
    pub processors: Vec<FilterSlot>,
}

/// Bounds and times of a pipeline.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Bytes an output's queue holds while the output makes progress. Beyond it inputs wait.
    pub queue_pace: usize,
    /// Bytes an output's queue holds at most, once the output makes none.
    pub queue_full: usize,
    /// How long an input that may not block waits for an output without progress.
    pub stall: Duration,
    /// First back-off of a destination; it doubles with each failure.
    pub backoff_base: Duration,
    /// Longest back-off.
    pub backoff_cap: Duration,
    /// Tags whose plans are kept.
    pub plans: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            queue_pace: 8 << 20,
            queue_full: 64 << 20,
            stall: Duration::from_secs(1),
            backoff_base: Duration::from_millis(25),
            backoff_cap: Duration::from_secs(30),
            plans: 10_000,
        }
    }
}

/// Inputs, filters and outputs, and the bounds they run in. Filters stand in the order they run in.
#[derive(Default)]
pub struct Pipeline {
    /// What `[SERVICE]` says.
    pub service: Arc<Service>,
    /// Bounds and times.
    pub limits: Limits,
    /// Where chunks are kept on disk, if they are.
    pub storage: Option<Storage>,
    /// Where what an output refuses or gives up is kept, if it is, and how many bytes of it for each output.
    pub dead_letters: Option<(PathBuf, u64)>,
    /// Where dead letters are brought, if they are. Their files are only on the way then.
    pub far_letters: Option<Arc<dyn LetterStore>>,
    /// The inputs.
    pub inputs: Vec<InputSlot>,
    /// The filters, in order.
    pub filters: Vec<FilterSlot>,
    /// The outputs.
    pub outputs: Vec<OutputSlot>,
}
