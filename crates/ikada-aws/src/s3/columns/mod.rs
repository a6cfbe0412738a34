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
//! Columns stand in the order in which their names came. Names beyond the first [`MOST_COLUMNS`] share a column `_rest`, a JSON object for each
//! record. Pages are compressed with Snappy, which every reader knows (Apache Parquet, "Compression").

#[cfg(feature = "parquet")]
mod infer;
#[cfg(feature = "parquet")]
mod split;
#[cfg(feature = "parquet")]
mod write;

use std::io;

use bytes::Bytes;

/// Columns of their own.
#[cfg(feature = "parquet")]
const MOST_COLUMNS: usize = 1_000;

/// Whether this build can write columns.
pub(crate) const IS_BUILT_IN: bool = cfg!(feature = "parquet");

/// Makes a Parquet file of JSON lines. Takes a second for some hundred megabytes.
///
/// # Errors
/// This build cannot.
#[cfg(feature = "parquet")]
pub(crate) fn write(lines: &Bytes) -> io::Result<Vec<u8>> {
    write::write(lines).map_err(io::Error::other)
}

/// Makes a Parquet file of JSON lines.
///
/// # Errors
/// This build cannot.
#[cfg(not(feature = "parquet"))]
pub(crate) fn write(_lines: &Bytes) -> io::Result<Vec<u8>> {
    let message = "this build writes no Parquet (feature `parquet`)";
    Err(io::Error::new(io::ErrorKind::Unsupported, message))
}
