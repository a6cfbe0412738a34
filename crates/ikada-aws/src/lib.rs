//! Outputs for CloudWatch Logs, Firehose and S3, and the one client they share.
//!
//! The program takes [`outputs`] into its registry; the engine drives what they build.
//!
//! **What it does not know:** queues, retries and back-off (the engine's), where options come from, or any other plugin.
//!
//! Reading order: [`client`] (how a request reaches AWS and what its failure means).
//!
//! ```
//! let names: Vec<&str> = ikada_aws::outputs().iter().map(|plugin| plugin.name).collect();
//! assert!(names.iter().all(|name| !name.is_empty()));
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod calls;
pub mod client;
pub mod cloudwatch;
pub mod firehose;
pub mod s3;
mod seldom;

use ikada_plugin::registry::OutputPlugin;

/// Every output of this crate.
#[must_use]
pub fn outputs() -> Vec<OutputPlugin> {
    vec![cloudwatch::plugin(), firehose::plugin(), s3::plugin()]
}
