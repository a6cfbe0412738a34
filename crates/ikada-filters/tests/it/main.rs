//! The filters as the engine meets them: built from sections, fed with records.
#![allow(clippy::unwrap_used, missing_docs)]

mod aws_metadata;
mod ecs;
mod endpoint;
mod findings;
mod grep;
mod guide;
mod hostile;
mod log_to_metrics;
#[cfg(feature = "lua")]
mod lua;
mod modify;
mod multiline;
mod nest;
mod others;
mod parser;
mod pipeline;
mod record_modifier;
mod replay;
mod rewrite_tag;
mod stdout;
mod support;
mod together;
