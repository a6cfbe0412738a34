//! The input against real sockets, with a router that only watches.

#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

mod acks;
mod drain;
mod frames;
mod harness;
mod hostile;
mod join;
mod listen;
mod log;
mod login;
