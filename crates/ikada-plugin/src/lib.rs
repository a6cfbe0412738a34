//! The traits of inputs, filters and outputs, and the registry that knows them by name.
//!
//! Plugins implement these traits, the engine calls them, and neither knows the other.
//!
//! **Who calls what, in which order, from which task.**
//!
//! | when | call | from |
//! |---|---|---|
//! | start | [`Input::open`]: bind, open; a failure stops the start | the starting task, one after another |
//! | running | [`Input::run`] | a task of its own until it returns; it hands chunks to its [`Router`] |
//! | per chunk | [`Filter::filter`] per entry, then [`Filter::end_of_chunk`] | the input's task, inside [`Router::dispatch`] |
//! | when held entries are due | [`Filter::flush`] | the filters' own task |
//! | per chunk | [`Output::push`], then [`Output::pop`] until `None` | the output's one task |
//! | per batch | [`Delivery::attempt`] until it is settled | a task per batch in flight |
//! | drain | the input's `stop` token fires, `run` returns; then [`Output::close_all`], [`Output::pop`] | as above |
//!
//! **What is cancel safe.** `run` is never cancelled, only asked to stop. [`Delivery::attempt`] may be dropped at any await when the grace
//! period ends; its entries are then booked as unsent.
//!
//! **What it does not know:** any plugin, tokio tasks, or configuration text.
//!
//! Reading order: [`Input`] and [`Router`], [`Filter`], [`Output`], [`Batch`] and [`Delivery`], [`Outcome`], [`Gatherer`], [`registry`].
//!
//! ```
//! use ikada_plugin::{Batch, Output, Routed};
//! use tokio::time::Instant;
//!
//! /// Takes everything and keeps nothing.
//! struct Hole;
//!
//! impl Output for Hole {
//!     fn push(&mut self, routed: Routed, _now: Instant) {
//!         routed.share.deliver(routed.chunk.len() as u32);
//!     }
//!     fn pop(&mut self, _now: Instant) -> Option<Batch> {
//!         None
//!     }
//!     fn due(&self) -> Option<Instant> {
//!         None
//!     }
//!     fn close_all(&mut self) {}
//!     fn held(&self) -> usize {
//!         0
//!     }
//! }
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used))]

use std::pin::Pin;

pub mod bugs;
mod context;
mod exposition;
mod filter;
mod gather;
mod input;
mod memory;
mod metrics;
mod outcome;
mod output;
pub mod registry;

pub use context::{
    Clock, FlushClock, GroupServer, InstanceId, Kind, ServerGroups, Service, SystemClock, Variables,
};
pub use exposition::{Families, Family, MetricType, OwnMetrics};
pub use filter::{Effects, Emitted, EntryContext, Filter, Held, Verdict};
pub use gather::Gatherer;
pub use input::{Dispatch, Input, InputContext, InputError, OnFull, Router};
pub use memory::{ALWAYS, InputMemory, MemoryShare};
pub use metrics::{Counter, FileMetrics, FilterMetrics, InputMetrics, OutputMetrics};
pub use outcome::{EntrySet, Outcome, SendError};
pub use output::{Batch, Delivery, LetterStore, Output, Part, RetryLimit, Routed, add_part};

/// A future that is owned, boxed and may move between threads.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
