//! What is on its way: how many batches the engine holds of this output, and how many bytes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use ikada_plugin::{Batch, BoxFuture, Delivery, Outcome};

/// Batches that were handed out and are not done with.
#[derive(Debug, Default)]
pub(crate) struct Load {
    batches: AtomicUsize,
    bytes: AtomicUsize,
}

impl Load {
    /// Number of batches.
    pub(crate) fn batches(&self) -> usize {
        self.batches.load(Relaxed)
    }

    /// Bytes of their bodies in memory.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Relaxed)
    }

    /// Counts a batch that keeps `bytes` bytes in memory, for as long as anybody has it.
    pub(crate) fn watch(self: &Arc<Self>, batch: Batch, bytes: usize) -> Batch {
        self.batches.fetch_add(1, Relaxed);
        self.bytes.fetch_add(bytes, Relaxed);
        let delivery = Watched { inner: Some(batch.delivery), load: self.clone(), bytes };
        Batch { delivery: Box::new(delivery), ..batch }
    }
}

struct Watched {
    inner: Option<Box<dyn Delivery>>,
    load: Arc<Load>,
    bytes: usize,
}

impl Delivery for Watched {
    fn attempt(&mut self) -> BoxFuture<'_, Outcome> {
        match &mut self.inner {
            Some(inner) => inner.attempt(),
            None => Box::pin(std::future::ready(Outcome::Delivered)),
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        // The body goes first: what is counted as gone is gone.
        self.inner = None;
        self.load.batches.fetch_sub(1, Relaxed);
        self.load.bytes.fetch_sub(self.bytes, Relaxed);
    }
}
