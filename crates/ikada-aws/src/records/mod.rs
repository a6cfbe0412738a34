//! What Firehose and Kinesis Data Streams have in common: records in calls of up to 500.
//!
//! An entry becomes a line ([`encode`], with its time by [`time`]); a line, or several joined (as Kinesis libraries do: [`kpl`]), is a
//! record, compressed if asked for ([`compress`]), under a partition key ([`keys`]), in base64 in the text of a request ([`arena`],
//! [`batcher`]). A batch goes out as it lies there, at the pace of its stream ([`sender`]). What a service is called and takes is told by a
//! [`RecordService`] ([`stream`]); the options of all four outputs are nearly the same ([`options`]).

mod arena;
mod batcher;
mod compress;
mod encode;
mod keys;
mod kpl;
mod options;
mod sender;
mod stream;
mod time;

pub(crate) use arena::Shape;
pub(crate) use batcher::Joining;
pub(crate) use keys::{Dice, Keys};
pub(crate) use kpl::Kpl;
pub use options::{Compression, GoLineOptions, LineOptions, Oversize};
pub(crate) use options::{GoManner, check_stream_name, joined_lines};
pub(crate) use stream::{RecordService, Settled};
