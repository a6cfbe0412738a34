//! Amazon Kinesis Data Streams: records as lines or as plain JSON, by both of its names.
//!
//! `kinesis_streams` and `kinesis` differ in their options and in how they spell JSON ([`options`]); what becomes of records is in
//! `records`, the call in [`sender`].
//!
//! | limit of a call | value | from |
//! |---|---|---|
//! | records | 500 | PutRecords, read 2026-11-22 |
//! | bytes | 10 MiB of records and keys before base64 | same |
//! | record | 1 MiB with its key, as every stream takes; longer ones by the option `oversize` | same |
//! | key | 256 bytes; longer ones are cut | same |
//!
//! The service keeps no order among the records of a call, so none is kept among calls either. Answers mean what they mean for
//! Firehose, except that `ProvisionedThroughputExceededException` is what says that there is too much at once.

mod options;
mod sender;

use ikada_options::{Diagnostics, Options, PropertyBag};
use ikada_plugin::Output;
use ikada_plugin::registry::{BuildContext, OutputPlugin};

pub use crate::records::{Compression, GoLineOptions, LineOptions, Oversize};
pub use options::{GoCompression, GoKinesisOptions, KinesisOptions};

use sender::Kinesis;

/// The outputs as the registry knows them.
pub(crate) fn plugins() -> [OutputPlugin; 2] {
    [
        OutputPlugin { name: "kinesis_streams", aliases: &[], options: KinesisOptions::set, build },
        OutputPlugin { name: "kinesis", aliases: &[], options: GoKinesisOptions::set, build: build_go },
    ]
}

fn build(bag: &mut PropertyBag, cx: &BuildContext, diags: &mut Diagnostics) -> Option<Box<dyn Output>> {
    let settled = KinesisOptions::parse(bag, diags)?.settle(bag, cx, diags)?;
    Some(settled.output::<Kinesis>(cx))
}

fn build_go(bag: &mut PropertyBag, cx: &BuildContext, diags: &mut Diagnostics) -> Option<Box<dyn Output>> {
    let settled = GoKinesisOptions::parse(bag, diags)?.settle(bag, cx, diags)?;
    Some(settled.output::<Kinesis>(cx))
}
