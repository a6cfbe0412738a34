//! Amazon Data Firehose: records as lines, by both of its names.
//!
//! `kinesis_firehose` and `firehose` differ in their options and in how they spell JSON ([`options`]); what becomes of records is in
//! `records`, the call in [`sender`].
//!
//! | limit of a call | value | from |
//! |---|---|---|
//! | records | 500 | PutRecordBatch, read 2026-11-22 |
//! | bytes | 4 MiB of records before base64 | same |
//! | record | 1,024,000 bytes before base64; longer ones by the option `oversize` | same |
//!
//! | answer | outcome |
//! |---|---|
//! | 200, no record failed | delivered |
//! | 200, some records failed | those are sent again, in order, and nothing else is: at once if there were too many, else as a retry |
//! | throttling, `ServiceUnavailableException` | the same call at the pace of the stream, for half a minute; then retry |
//! | network, timeout, other 5xx | retry |
//! | expired token | repeated at once with new credentials, then retry |
//! | access denied, no such stream | retry at long intervals, with a message that says what to do |
//! | any other 4xx | the call is halved until the bad record stands alone; that one is dropped as `rejected` |

mod options;
mod sender;

use ikada_options::{Diagnostics, Options, PropertyBag};
use ikada_plugin::Output;
use ikada_plugin::registry::{BuildContext, OutputPlugin};

pub use crate::records::{Compression, GoLineOptions, LineOptions, Oversize};
pub use options::{FirehoseOptions, GoFirehoseOptions};

use sender::Firehose;

/// The outputs as the registry knows them.
pub(crate) fn plugins() -> [OutputPlugin; 2] {
    [
        OutputPlugin { name: "kinesis_firehose", aliases: &[], options: FirehoseOptions::set, build },
        OutputPlugin { name: "firehose", aliases: &[], options: GoFirehoseOptions::set, build: build_go },
    ]
}

fn build(bag: &mut PropertyBag, cx: &BuildContext, diags: &mut Diagnostics) -> Option<Box<dyn Output>> {
    let settled = FirehoseOptions::parse(bag, diags)?.settle(bag, cx, diags)?;
    Some(settled.output::<Firehose>(cx))
}

fn build_go(bag: &mut PropertyBag, cx: &BuildContext, diags: &mut Diagnostics) -> Option<Box<dyn Output>> {
    let settled = GoFirehoseOptions::parse(bag, diags)?.settle(bag, cx, diags)?;
    Some(settled.output::<Firehose>(cx))
}
