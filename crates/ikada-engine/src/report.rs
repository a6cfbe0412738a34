//! The last word: what came in and how it ended.

use std::sync::Arc;

use ikada_plugin::InstanceId;
use ikada_record::DropReason;

/// The books of one input at the end.
#[derive(Debug, Clone)]
pub struct InputReport {
    /// Its name.
    pub id: Arc<InstanceId>,
    /// Entries read.
    pub records: u64,
    /// Entries read that never reached the outputs' queues.
    pub unsent: u64,
    /// Entries that filters dropped or put into others.
    pub filtered: u64,
    /// Entries that filters made of others, or copied under another tag.
    pub added: u64,
    /// Entries no output takes.
    pub unmatched: u64,
    /// What of it waits in the queue that holds the most of it.
    pub waiting: Waits,
    /// Its `Mem_Buf_Limit`: bytes that it may fill of a queue.
    pub mem_buf_limit: Option<usize>,
}

/// What of one input waits in a queue.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Waits {
    /// Bytes of memory.
    pub bytes: usize,
    /// Chunks in memory.
    pub here: u64,
    /// Chunks on disk.
    pub there: u64,
}

/// The books of one output at the end.
#[derive(Debug, Clone)]
pub struct OutputReport {
    /// Its name.
    pub id: Arc<InstanceId>,
    /// Entries routed here.
    pub routed: u64,
    /// Entries delivered.
    pub sent: u64,
    /// Entries neither delivered nor dropped, nor on disk: the grace was too short for them.
    pub unsent: u64,
    /// Entries on disk: at the end, for the next start.
    pub kept: u64,
    /// Files they are in.
    pub chunks_kept: u64,
    /// Bytes of those files.
    pub bytes_kept: u64,
    /// Bytes of memory that wait in the output's queue.
    pub bytes_waiting: u64,
    /// Entries dropped, by reason; reasons without any are left out.
    pub dropped: Vec<(DropReason, u64)>,
}

/// What came in and how it ended.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Per input, in file order.
    pub inputs: Vec<InputReport>,
    /// Per output, in file order.
    pub outputs: Vec<OutputReport>,
    /// Receipts made and never ended: always 0, or there is a bug.
    pub receipts_lost: u64,
    /// Inputs and outputs that ended in a bug.
    pub bugs: u64,
}

impl Report {
    /// Entries left unsent, each counted once per output it should have reached.
    #[must_use]
    pub fn unsent(&self) -> u64 {
        let inputs: u64 = self.inputs.iter().map(|input| input.unsent).sum();
        let outputs: u64 = self.outputs.iter().map(|output| output.unsent).sum();
        inputs + outputs
    }

    /// Whether nothing was left unsent, and nothing ended in a bug.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.unsent() == 0 && self.receipts_lost == 0 && self.bugs == 0
    }
}
