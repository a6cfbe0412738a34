//! Amazon Data Firehose: records as lines.
//!
//! An entry becomes a line ([`encode`], with its time by [`time`]); a line, or several joined, is a record, compressed if asked
//! for ([`compress`]), in base64 in the text of a request ([`records`], [`batcher`]). A batch goes out as it lies there
//! ([`sender`]).
//!
//! | limit of a call | value | from |
//! |---|---|---|
//! | records | 500 | PutRecordBatch, read 2026-11-22 |
//! | bytes | 4 MiB, here of the whole request | same |
//! | record | 1,024,000 bytes before base64; longer ones are cut and end in `[Truncated...]` | same |
//!
//! | answer | outcome |
//! |---|---|
//! | 200, no record failed | delivered |
//! | 200, some records failed | those are sent again, in order, and nothing else is |
//! | network, timeout, throttling, 5xx | retry |
//! | expired token | repeated at once with new credentials, then retry |
//! | access denied, no such stream | retry at long intervals, with a message that says what to do |
//! | any other 4xx | the call is halved until the bad record stands alone; that one is dropped as `rejected` |

mod batcher;
mod compress;
mod encode;
mod options;
mod records;
mod sender;
mod time;

use std::sync::Arc;

use ikada_options::{Diagnostics, Options, PropertyBag};
use ikada_plugin::Output;
use ikada_plugin::registry::{BuildContext, OutputPlugin};

use batcher::Batcher;
use encode::LineEncoder;
use sender::Sender;

pub use options::{Compression, FirehoseOptions};

/// The output as the registry knows it.
pub(crate) fn plugin() -> OutputPlugin {
    OutputPlugin { name: "kinesis_firehose", aliases: &[], options: FirehoseOptions::set, build }
}

fn build(bag: &mut PropertyBag, cx: &BuildContext, diags: &mut Diagnostics) -> Option<Box<dyn Output>> {
    let settled = FirehoseOptions::parse(bag, diags)?.settle(bag, cx.net.as_ref(), diags)?;
    let encoder = LineEncoder::new(settled.content, cx.service.json);
    let sender = Arc::new(Sender::new(settled.destination, settled.delivery_stream));
    Some(Box::new(Batcher::new(encoder, settled.compressor, settled.aggregate, sender)))
}
