//! Each plugin against a real socket, file or server.
#![allow(clippy::unwrap_used, missing_docs)]

mod dummy;
mod exec;
mod http;
mod http_in;
mod options;
mod outputs;
mod rig;
mod server;
mod syslog;
mod systemd;
mod tcp;
mod udp;
mod watchers;
