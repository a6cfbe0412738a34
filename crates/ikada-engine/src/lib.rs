//! Runs a pipeline: tasks, queues, flush, retry, drain.
//!
//! The program builds a [`Pipeline`] out of plugins and calls [`Engine::start`]; nothing else does.
//!
//! **Tasks and channels.**
//!
//! ```text
//!  input task ──dispatch──► filters ──► queue (bytes) ──► output task ──► batch task ──► AWS
//!  (one each)               inline      one per output    push, pop       attempt,       │
//!      ▲                                                  one owner       retry          │
//!      └──────────────────── receipt: all shares settled ◄───────────────────────────────┘
//! ```
//!
//! An input's task runs the filters itself and waits where a queue has no room: that wait is the backpressure. Each output
//! has one task that owns its batches under construction, and one task per batch in flight; they share the destination's back-off, in
//! which a lane that fails alone waits alone.
//!
//! **Bugs.** A panic ends no process: an input is made and opened anew, a filter is shown the records one by one, an output is given the
//! chunk once more, a delivery is attempted once more. What leads to a bug twice is dropped as `bug`, counted, and kept among the dead letters if there are any.
//!
//! **Order of start**: outputs, then every input opens, then every input runs. **Order of drain**: inputs are asked to
//! stop and hand over what they have read (queues take it whatever their bound); when the last input has returned the queues close,
//! outputs close their batches, back-off shrinks to a second; when all is delivered, or the grace is over, [`Report`] says
//! for each output what was sent, unsent and dropped.
//!
//! **What it does not know:** any plugin by name, configuration text, signals, HTTP.
//!
//! Reading order: [`Pipeline`], [`Engine`], then `inputs`, `router`, `chain`, `queue`, `driver`, `deliver`, `backoff`, and [`Report`].
//!
//! ```
//! use std::time::Duration;
//! use ikada_engine::{Engine, Pipeline};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
//! let engine = Engine::start(Pipeline::default()).await.unwrap();
//! let report = engine.drain(Duration::from_secs(1)).await;
//! assert!(report.is_clean());
//! # });
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod aside;
mod backoff;
mod chain;
mod courier;
mod deliver;
mod driver;
mod engine;
mod inputs;
mod letters;
mod pipeline;
mod queue;
mod report;
mod router;
mod shelf;

pub use ikada_plugin::bugs::watch_for_bugs;

pub use engine::{Engine, EngineError, View};
pub use letters::directory_of;
pub use pipeline::{Again, FilterSlot, InputSlot, Limits, OutputSlot, OverflowPolicy, Pipeline, Storage};
pub use report::{InputReport, OutputReport, Report, Waits};
