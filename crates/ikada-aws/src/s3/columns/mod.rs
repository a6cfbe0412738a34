//! Objects of columns: Parquet, made of an object's lines once it is complete.
//!
//! Until then an object is its JSON lines, in memory or in its journal, and no compressor has seen them. What is made of them is a pure
//! function of the lines, so a later run makes the same bytes. That takes longer than a task may be held up: it is done on a thread for
//! what blocks, when the object is sent.
//!
//! ```text
//!  {"date":"2023-11-14T22:13:20.1Z","log":"a","n":1}     date: text   log: text   n: integer   (all optional)
//!  {"date":"2023-11-14T22:13:21.2Z","log":{"a":1}}   →   2023-…20.1Z  a           1
//!                                                        2023-…21.2Z  {"a":1}     –
//! ```
//!
//! | values under one name, over the whole object | column |
//! |---|---|
//! | `true`, `false` | BOOLEAN |
//! | numbers without a fraction, within 64 bits and a sign | INT64 |
//! | other numbers, or both | DOUBLE |
//! | anything else, or several of these | BYTE_ARRAY of UTF-8: strings as they are, all other values as JSON |
//!
//! Columns stand in the order in which their names came. Names beyond the first thousand share a column `_rest`, a JSON object for each
//! record. Pages are compressed with Snappy, which every reader knows (Apache Parquet, "Compression"), where `compression` does not say otherwise.
//!
//! A configuration may give the columns ([`Schema`]), so that every object has the same ones. Then what has no column, or is not of its column's
//! type, is in `_rest`.

#![cfg_attr(not(feature = "parquet"), allow(dead_code))]

#[cfg(feature = "parquet")]
mod infer;
mod schema;
#[cfg(feature = "parquet")]
mod split;
#[cfg(feature = "parquet")]
mod write;

use std::io;
use std::sync::Arc;

use bytes::Bytes;

pub(crate) use schema::Schema;

/// The name of the column for whatever has none of its own.
const REST: &str = "_rest";

/// What files are like, besides what is in them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Shape {
    /// How pages are compressed.
    pub(crate) pages: Pages,
    /// The columns; those of the lines without it.
    pub(crate) schema: Option<Arc<Schema>>,
}

/// How pages are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Pages {
    #[default]
    Snappy,
    Gzip,
    Zstd,
}

/// Whether this build can write columns.
pub(crate) const IS_BUILT_IN: bool = cfg!(feature = "parquet");

/// Makes a Parquet file of JSON lines. Takes a second for some hundred megabytes.
///
/// # Errors
/// This build cannot.
#[cfg(feature = "parquet")]
pub(crate) fn write(lines: &Bytes, shape: &Shape) -> io::Result<Vec<u8>> {
    write::write(lines, shape).map_err(io::Error::other)
}

/// Makes a Parquet file of JSON lines.
///
/// # Errors
/// This build cannot.
#[cfg(not(feature = "parquet"))]
pub(crate) fn write(_lines: &Bytes, _shape: &Shape) -> io::Result<Vec<u8>> {
    let message = "this build writes no Parquet (feature `parquet`)";
    Err(io::Error::new(io::ErrorKind::Unsupported, message))
}
