//! The outputs for CloudWatch Logs, Firehose and Kinesis against a local AWS: what is on the wire, and what is left after trouble.

#![allow(clippy::unwrap_used, missing_docs)]

mod cloudwatch;
mod credentials;
mod differential;
mod fetch;
mod firehose;
mod go;
mod kinesis;
mod options;
mod rig;
mod signature;
