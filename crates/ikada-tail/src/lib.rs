//! The input `tail`: follows files, and remembers how far every output has taken them.
//!
//! The program lists it through [`inputs`]; the engine runs it. A thread of its own owns all files of an instance, looks for new ones, reads, and makes chunks; a task
//! dispatches them; a second thread stores positions.
//!
//! **A file's life.**
//!
//! ```text
//!            found ──► known by (device, inode), its first bytes, the bytes before its position
//!              │
//!              ▼
//!   ┌──────► named ◄─────────────────────────────── renamed, and a pattern finds the new name
//!   │          │ cut, or written anew                    ▲
//!   │          ├──────────► content moves to a copy ─┐   │
//!   │ (a new generation    (`copytruncate`, gzip)    ▼   │
//!   └─ starts in the file)                         rotated ──► at its end and quiet: closed
//!              │ renamed or removed                  ▲            │ removed, and all of it settled
//!              └─────────────────────────────────────┘            ▼
//!                                                              forgotten
//! ```
//!
//! **Why an offset never runs ahead.** Every chunk carries a receipt; it knows up to where each file is told by the chunk. The receipts of
//! a file may come back in any order; its watermark moves only to the end of the first ones that are all settled, and only
//! the watermark is stored. A line without an end has not been read. A chunk that the router gives up holds the mark for good.
//!
//! **What it does not know:** the engine, outputs, other inputs.
//!
//! ```
//! let names: Vec<_> = ikada_tail::inputs().iter().map(|plugin| plugin.name).collect();
//! assert_eq!(names, ["tail"]);
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod commit;
mod copies;
mod disk;
mod followed;
mod generation;
mod identity;
mod input;
mod join;
mod known;
mod lines;
#[cfg(test)]
mod model;
mod options;
mod owner;
mod parcels;
mod pattern;
mod record;
mod restore;
mod rotate;
#[cfg(test)]
mod scenes;
mod settings;
mod tag;
mod tailer;
mod unicode;
mod watch;
mod watermark;
#[cfg(test)]
mod world;

use ikada_options::Options;
use ikada_plugin::registry::InputPlugin;

pub use input::build;
pub use options::{Charset, JournalMode, Sync, TailOptions, UnicodeEncoding};

/// The inputs of this crate.
#[must_use]
pub fn inputs() -> Vec<InputPlugin> {
    vec![InputPlugin { name: "tail", aliases: &[], options: TailOptions::set, build }]
}
