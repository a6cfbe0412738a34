//! Records, entries, chunks and tags, and the receipts that say how each one ended.
//!
//! Everything above uses these words: inputs build [`Chunk`]s with a [`ChunkBuilder`], the router clones them towards
//! outputs, filters edit single records through [`Fields`], outputs read [`Entry`] after entry and settle a [`Share`].
//!
//! **A chunk's layout.** `data` is a run of entries back to back, each `[time, record]` or `[[time, metadata], record]`
//! exactly as it came over the wire; `ends` holds the offset behind each entry, so that walking a chunk never walks
//! its records. Bytes in a chunk are never changed: a filter that changes a record writes a new chunk.
//!
//! **The receipt's life.** Whoever makes a chunk may ask to be told when it is settled ([`Receipt::new`]). Each route holds a
//! clone inside its [`Share`]; a share counts its entries down as they are delivered or dropped. When the last clone is gone the
//! maker hears [`Settlement::Settled`], or [`Settlement::Abandoned`] if some share went away with entries left.
//!
//! **What it does not know:** sockets, files, clocks, configuration, or who delivers.
//!
//! Reading order: [`Tag`], [`Timestamp`], [`Entry`], [`Chunk`], [`Fields`], [`Receipt`] and [`Share`], [`Ledger`], [`json`].
//!
//! ```
//! use ikada_record::{ChunkBuilder, Receipt, Tag, Timestamp};
//!
//! let mut builder = ChunkBuilder::new(Tag::from("app"));
//! builder.push_record(Timestamp::new(1_700_000_000, 5), b"\x81\xa3log\xa2hi");
//! let chunk = builder.finish(Receipt::unwatched());
//! let entry = chunk.entries().next().unwrap();
//! assert_eq!(entry.time().nanos(), 5);
//! assert_eq!(entry.record().get(b"log").unwrap().as_str(), Some(&b"hi"[..]));
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod accessor;
mod chunk;
mod entry;
mod fields;
pub mod json;
mod ledger;
mod receipt;
mod tag;
mod time;

pub use chunk::{Chunk, ChunkBuilder, Entries};
pub use entry::{Entry, EntryError, record_at};
pub use fields::{Field, Fields, Piece};
pub use ledger::{DropReason, Ledger};
pub use receipt::{Receipt, Settlement, Share, Tally};
pub use tag::Tag;
pub use time::Timestamp;
