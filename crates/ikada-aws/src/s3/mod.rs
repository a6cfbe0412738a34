//! Amazon S3: objects of lines.
//!
//! An entry becomes a line ([`encode`]); lines go through a compressor into an object under construction ([`object`]),
//! one per name ([`key`]) with the time left aside; what is full or due becomes batches ([`batcher`]), which share what S3 knows of their
//! object ([`upload`]) and reach it through [`store`] and the SDK ([`sdk`]).
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
mod compress;
mod encode;
#[cfg(test)]
mod fake;
mod key;
mod object;
mod options;
mod sdk;
mod seldom;
mod store;
#[cfg(test)]
mod tests;
mod upload;

use ikada_options::{Diagnostics, Options, PropertyBag};
use ikada_plugin::Output;
use ikada_plugin::registry::{BuildContext, OutputPlugin};

pub use compress::{Method, Stream};
pub use encode::Encoder;
pub use options::{Compression, Format, S3Options};

/// The output as the registry knows it.
pub(crate) fn plugin() -> OutputPlugin {
    OutputPlugin { name: "s3", aliases: &[], options: S3Options::set, build }
}

fn build(bag: &mut PropertyBag, cx: &BuildContext, diags: &mut Diagnostics) -> Option<Box<dyn Output>> {
    let options = S3Options::parse(bag, diags)?;
    Some(Box::new(options.build(bag, cx, diags)?))
}
