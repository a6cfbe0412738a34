//! Black-box tests of the program, run as its users run it: a process, a configuration, sockets, signals.
//!
//! [`Router`] is the program under test, [`Writer`] a client on its unix socket that writes numbered Docker-style messages,
//! and `ikada_localaws::LocalAws` the other end, which spots numbers that are lost, doubled or out of order.
#![allow(clippy::unwrap_used)]

pub mod books;
pub mod careful;
pub mod cgroup;
pub mod disk;
pub mod docker;
pub mod moto;
mod require;
mod router;
mod writer;

pub use router::{Router, binary, free_port, get, wait_for};
pub use writer::{Writer, docker_record, firelens_config};
