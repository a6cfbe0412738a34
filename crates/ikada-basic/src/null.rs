//! Takes everything and keeps nothing.

use ikada_diag::Diagnostics;
use ikada_options::{Options, PropertyBag};
use ikada_plugin::registry::BuildContext;
use ikada_plugin::{Batch, BoxFuture, Delivery, Outcome, Output, Part, Routed};
use tokio::time::Instant;

/// Takes everything and keeps nothing.
#[derive(Debug, Options)]
#[options(output = "null")]
pub struct NullOptions {
    /// Has no effect: nothing is encoded.
    #[option(no_effect)]
    pub format: Option<String>,
    /// Has no effect: nothing is encoded.
    #[option(no_effect)]
    pub json_date_key: Option<String>,
    /// Has no effect: nothing is encoded.
    #[option(no_effect)]
    pub json_date_format: Option<String>,
}

struct Null {
    taken: Vec<Part>,
    bytes: usize,
}

/// Builds the output.
pub fn build(
    bag: &mut PropertyBag,
    _: &BuildContext,
    diagnostics: &mut Diagnostics,
) -> Option<Box<dyn Output>> {
    NullOptions::parse(bag, diagnostics)?;
    Some(Box::new(Null { taken: Vec::new(), bytes: 0 }))
}

impl Output for Null {
    fn push(&mut self, routed: Routed, _: Instant) {
        self.bytes += routed.chunk.size();
        self.taken.push(Part { entries: routed.share.left(), share: routed.share });
    }

    fn pop(&mut self, _: Instant) -> Option<Batch> {
        if self.taken.is_empty() {
            return None;
        }
        let (parts, bytes) = (std::mem::take(&mut self.taken), std::mem::take(&mut self.bytes));
        Some(Batch::new(None, parts, bytes, Box::new(Nowhere)))
    }

    fn due(&self) -> Option<Instant> {
        None
    }

    fn close_all(&mut self) {}

    fn held(&self) -> usize {
        self.bytes
    }
}

struct Nowhere;

impl Delivery for Nowhere {
    fn attempt(&mut self) -> BoxFuture<'_, Outcome> {
        Box::pin(std::future::ready(Outcome::Delivered))
    }
}
