//! What is kept on disk.
//!
//! The engine calls [`chunks`], the input `tail` calls [`positions`], each from a thread of its own: nothing here is quick enough for an async task.
//!
//! **What survives `kill -9` at any instruction.** Every set of changes is one SQLite transaction: after a crash it is there as a whole or not at
//! all. With `synchronous normal` in WAL mode, a loss of power may undo the last transactions, never a part of one; a position that
//! is too old means that lines are sent twice, never that one is missing.
//!
//! A chunk file is whole or not there: it is renamed when all of it is written.
//!
//! **What it does not know:** files that are tailed, their content, outputs, configuration.
//!
//! Reading order: [`chunks::ChunkDir`], [`positions::Positions`], [`positions::Checkpoint`].
//!
//! ```
//! use ikada_store::positions::{Change, Checkpoint, Positions, Settings};
//!
//! let dir = tempfile::tempdir().unwrap();
//! let mut positions = Positions::open(&dir.path().join("tail.db"), &Settings::default()).unwrap();
//! let checkpoint = Checkpoint { name: b"/var/log/app.log".to_vec(), offset: 42, inode: 7, ..Checkpoint::default() };
//! let ids = positions.apply(vec![Change::Save { id: None, checkpoint, input: "tail.0".into(), now: 1_700_000_000 }]).unwrap();
//! assert_eq!(ids, [Some(1)]);
//! assert_eq!(positions.all().unwrap()[0].checkpoint.offset, 42);
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod chunks;
pub mod positions;
