//! Input and output against real sockets.

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
mod out;
mod out_rig;
