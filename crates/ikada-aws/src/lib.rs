//! Outputs for CloudWatch Logs, Firehose, Kinesis Data Streams and S3, and the one client they share.
//!
//! The program takes [`outputs`] into its registry; the engine drives what they build. Each output is an encoder and a batcher that
//! render the body of a request as they go, and a sender that hands this body to the SDK for endpoint, signature, transport and answer.
//! Each service's limits, and which answer means what, stand at the top of its module.
//!
//! **What it does not know:** queues, retries and back-off (the engine's), where options come from, or any other plugin.
//!
//! Reading order: [`client`] (how a request reaches AWS and what its failure means), [`cloudwatch`], [`firehose`], [`kinesis`], [`s3`]; `calls`
//! (one batch in one call or, when it must be, in several), `pace` (how many of them in a second); [`letters`] (dead letters in S3).
//!
//! ```
//! let names: Vec<&str> = ikada_aws::outputs().iter().map(|plugin| plugin.name).collect();
//! assert!(names.iter().all(|name| !name.is_empty()));
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod calls;
pub mod client;
pub mod cloudwatch;
pub mod fetch;
pub mod firehose;
mod gojson;
pub mod kinesis;
pub mod letters;
mod pace;
mod records;
pub mod s3;
mod seldom;

use ikada_plugin::registry::OutputPlugin;

/// Every output of this crate.
#[must_use]
pub fn outputs() -> Vec<OutputPlugin> {
    let mut all = vec![s3::plugin()];
    all.extend(cloudwatch::plugins());
    all.extend(firehose::plugins());
    all.extend(kinesis::plugins());
    all
}
