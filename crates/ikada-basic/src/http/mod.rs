//! Sends records to an HTTP endpoint.
//!
//! Entries are written as text as they come and gathered into bodies of at most 1 MB; with `header_tag` each tag has bodies of its
//! own. A body is compressed once, before its first attempt, and every attempt is one request. What the answer means:
//!
//! | answer | outcome |
//! |---|---|
//! | 200 to 205 | delivered |
//! | 408, 429 | again, after `Retry-After` |
//! | any other 4xx | rejected: the same bytes will never be taken (Fluent Bit drops them, too; reference, outputs §7.5) |
//! | everything else, no answer | again, after `Retry-After` where there is one |
//!
//! With `body_key` each record is a request of its own, and its headers are the record's, too.
//!
//! In reading order: `options` (what is written, and what it comes to), `batch` (the encoder and batcher), `gelf` (one of its formats), `send` (one request and
//! its answer), `sign` (for AWS), `client` (how connections are made).

mod batch;
mod client;
mod gelf;
mod options;
mod proxy;
mod send;
mod sign;

use ikada_diag::Diagnostics;
use ikada_options::{Options, PropertyBag};
use ikada_plugin::Output;
use ikada_plugin::registry::BuildContext;

pub use gelf::GelfKeys;
pub use options::{Compression, Header, HttpFormat, HttpOptions, Method};

/// Builds the output.
pub fn build(
    bag: &mut PropertyBag,
    cx: &BuildContext,
    diagnostics: &mut Diagnostics,
) -> Option<Box<dyn Output>> {
    options::refuse_unsupported(bag, diagnostics);
    let settled = HttpOptions::parse(bag, diagnostics)?.settle(bag, cx, diagnostics)?;
    Some(Box::new(batch::Http::new(settled, cx.service.json)))
}
