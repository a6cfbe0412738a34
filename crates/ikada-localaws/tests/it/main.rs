//! The services as a client meets them: over sockets, with requests written by hand.
#![allow(clippy::unwrap_used, missing_docs)]

mod client;
mod cloudwatch;
mod faults;
mod records;
mod s3;
mod server;
