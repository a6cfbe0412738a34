//! The input against real files, with a router that watches.
#![allow(clippy::unwrap_used, missing_docs)]

mod database;
mod options;
mod rig;
mod rotation;
mod run;
