//! What Firehose and Kinesis Data Streams have in common: records in calls of up to 500.
//!
//! An entry becomes a line ([`encode`], with its time by [`time`]); a line, or several joined (as Kinesis libraries do: [`kpl`]), is a
//! record, compressed if asked for ([`compress`]), under a partition key ([`keys`]), in base64 in the text of a request ([`arena`],
//! [`batcher`]). A batch goes out as it lies there, at the pace of its stream ([`sender`]).

mod arena;
mod batcher;
mod compress;
mod encode;
mod keys;
mod kpl;
mod options;
mod sender;
mod time;

pub(crate) use arena::{Shape, head};
pub(crate) use batcher::{Batcher, Joining, Recipe};
pub(crate) use encode::{Content, LineEncoder};
pub(crate) use keys::{Dice, Keys};
pub(crate) use kpl::Kpl;
pub use options::{Compression, Oversize};
pub(crate) use options::{GoFormat, check_stream_name, content, go_content};
pub(crate) use sender::{Answer, Put, Sender, shortened};
