//! Amazon S3: objects of lines.
//!
//! An entry becomes a line (`encode`); lines go through a compressor into an object under construction (`object`),
//! one per name (`key`, `zone`); what is full or due becomes batches (`batcher`), which reach S3 through `store` and the SDK
//! (`sdk`). From there on there are two ways:
//!
//! | | without `store_dir` | with it |
//! |---|---|---|
//! | bytes until S3 has them | in memory | in the object's journal on disk (`journal`, `spool`), written by a thread (`disk`) |
//! | entries are settled | when their object is complete | when the journal is synced, some milliseconds after they came |
//! | after a crash | a client that asks for acks sends again: at least once | a later run completes the object under its name: exactly once |
//! | an outage | holds inputs back when two parts wait | fills the disk, up to its share |
//! | sends | `upload` | `kept` |
//!
//! Where `store_dir` is not given or cannot be written (a read-only root), the first way is taken. An object's name is drawn once
//! (`names`) and kept, so whatever is repeated writes the same bytes to the same place. A whole object in memory is named after its entries, and
//! takes no other one's place (`whole`).
//!
//! Parquet (`columns`) is made of an object's lines when it is complete; until then they wait as lines do, in memory or in the journal.
//!
//! **Levels of compression.** `examples/s3_speed.rs` on Docker's records around access log lines, encoding included:
//!
//! | method | CPU-s per GB | size | |
//! |---|---|---|---|
//! | none | 0.8 | 100 % | |
//! | gzip 1 | 2.3 | 20.4 % | |
//! | gzip 2 | 3.6 | 14.5 % | what `gzip` means here |
//! | gzip 3 | 4.4 | 14.0 % | |
//! | gzip 6 | 6.7 | 13.2 % | what it means elsewhere |
//! | zstd 1 | 1.8 | 12.9 % | what `zstd` means here |
//! | zstd 3 | 3.3 | 13.8 % | |
//!
//! **Memory** holds, for each open object, its compressor and what no part or journal has taken along yet: at most 64 MiB, or two
//! parts if they are larger; the largest object is completed early when it would be more. At most 1,000 objects are open. Parts
//! that wait for S3 are two at a time, in buffers that are used again (`pool`, `load`); with journals lines are in memory until there is a
//! megabyte of them or they are due, and parts only while they are sent, two at a time (`reads`).
//!
//! **What S3 keeps of an object that was given up** is aborted as soon as S3 answers again; uploads whose creation was never answered are looked
//! for (`s3:ListBucketMultipartUploads`) and aborted too. One that was open when the grace period ended stays if there is no journal: a bucket should
//! have a lifecycle rule for incomplete uploads.
//!
//! | limit | value | from |
//! |---|---|---|
//! | part | 5 MiB to 5 GiB, the last one from 1 byte | S3 "Multipart upload limits", read 2026-11-22 |
//! | parts of an object | 10,000 | same |
//! | object in one PutObject | 5 GB | same |
//! | key | 1,024 bytes of UTF-8 | S3 "Naming Amazon S3 objects", read 2026-11-22 |
//!
//! | answer | outcome |
//! |---|---|
//! | 2xx | delivered; 200 with an `<Error>` is an error |
//! | network, timeout, 5xx, `SlowDown`, damaged on the way | retry |
//! | expired token | repeated at once with new credentials, then retry |
//! | 403, 404, 3xx, other 4xx: a person is needed | retry at long intervals, with a message that says what to do |
//! | `EntityTooLarge`, `KeyTooLongError`, `InvalidPart…`, `NoSuchUpload` | rejected |

mod batcher;
mod build;
mod columns;
mod compress;
mod disk;
mod encode;
#[cfg(test)]
mod fake;
mod journal;
mod kept;
mod key;
mod load;
mod names;
mod object;
mod options;
mod pool;
mod reads;
mod sdk;
mod spool;
mod store;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_kept;
#[cfg(test)]
mod tests_names;
mod upload;
mod whole;
mod zone;

use ikada_options::{Diagnostics, Options, PropertyBag};
use ikada_plugin::Output;
use ikada_plugin::registry::{BuildContext, OutputPlugin};

pub use compress::{Method, Stream};
pub use encode::Encoder;
pub use options::{Checksum, Compression, Encryption, Exhausted, Format, ObjectHeaders, S3Options};
pub(crate) use sdk::{ObjectHead, S3Bucket};
pub(crate) use store::ObjectStore;

/// The output as the registry knows it.
pub(crate) fn plugin() -> OutputPlugin {
    OutputPlugin { name: "s3", aliases: &[], options: S3Options::set, build }
}

fn build(bag: &mut PropertyBag, cx: &BuildContext, diags: &mut Diagnostics) -> Option<Box<dyn Output>> {
    let options = S3Options::parse(bag, diags)?;
    Some(Box::new(options.build(bag, cx, diags)?))
}
