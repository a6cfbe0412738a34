//! What outputs that write text have in common: a buffer that fills until it is full or due.

use ikada_plugin::{Batch, Delivery, Part, Routed, add_part};
use tokio::time::Instant;

/// Text that is written at once without waiting for the flush.
const FULL: usize = 256 * 1024;

/// Text on its way out, and whose entries it stands for.
#[derive(Debug, Default)]
pub(crate) struct TextBatch {
    pub(crate) text: Vec<u8>,
    parts: Vec<Part>,
    due: Option<Instant>,
    closed: bool,
}

impl TextBatch {
    /// Books a chunk whose entries have been written into `text`.
    pub(crate) fn add(&mut self, routed: &Routed) {
        add_part(&mut self.parts, &routed.share, routed.share.left());
        self.due = Some(self.due.map_or(routed.due, |due| due.min(routed.due)));
    }

    /// The batch, if it is full, due or closed.
    pub(crate) fn take(
        &mut self,
        now: Instant,
        lane: Option<u64>,
        delivery: impl FnOnce(Vec<u8>) -> Box<dyn Delivery>,
    ) -> Option<Batch> {
        let due = self.due?;
        if now < due && self.text.len() < FULL && !self.closed {
            return None;
        }
        let this = std::mem::take(self);
        let bytes = this.text.len();
        Some(Batch::new(lane, this.parts, bytes, delivery(this.text)))
    }

    pub(crate) fn due(&self) -> Option<Instant> {
        self.due
    }

    pub(crate) fn close(&mut self) {
        self.closed = self.due.is_some();
    }

    /// Bytes held; at least one while entries wait, even if they were written as nothing.
    pub(crate) fn held(&self) -> usize {
        if self.due.is_some() { self.text.len().max(1) } else { 0 }
    }
}
