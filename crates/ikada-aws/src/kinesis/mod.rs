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

use std::sync::Arc;

use ikada_options::{Diagnostics, Options, PropertyBag};
use ikada_plugin::Output;
use ikada_plugin::registry::{BuildContext, OutputPlugin};

use options::Settled;
use sender::Kinesis;

use crate::records::{Batcher, Sender, Shape, head};

pub use crate::records::{Compression, Oversize};
pub use options::{GoCompression, GoKinesisOptions, KinesisOptions};

static SHAPE: Shape =
    Shape { name: "Kinesis", max_bytes: 10 * 1024 * 1024, max_record: 1024 * 1024, has_keys: true };

/// The outputs as the registry knows them.
pub(crate) fn plugins() -> [OutputPlugin; 2] {
    [
        OutputPlugin { name: "kinesis_streams", aliases: &[], options: KinesisOptions::set, build },
        OutputPlugin { name: "kinesis", aliases: &[], options: GoKinesisOptions::set, build: build_go },
    ]
}

fn build(bag: &mut PropertyBag, cx: &BuildContext, diags: &mut Diagnostics) -> Option<Box<dyn Output>> {
    let options = KinesisOptions::parse(bag, diags)?;
    Some(make(options.settle(bag, cx.net.as_ref(), cx.service.json, diags)?, cx))
}

fn build_go(bag: &mut PropertyBag, cx: &BuildContext, diags: &mut Diagnostics) -> Option<Box<dyn Output>> {
    Some(make(GoKinesisOptions::parse(bag, diags)?.settle(bag, cx.net.as_ref(), diags)?, cx))
}

fn make(settled: Settled, cx: &BuildContext) -> Box<dyn Output> {
    let Settled { stream, recipe, destination } = settled;
    destination.announce(cx);
    let head = head("StreamName", &stream);
    let place = destination.place();
    let put = Box::new(Kinesis::new(destination, stream.clone()));
    let sender = Sender::new(put, &SHAPE, head, stream, &place);
    Box::new(Batcher::new(recipe, Arc::new(sender)))
}
