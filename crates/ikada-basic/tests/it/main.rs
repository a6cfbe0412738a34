//! Each plugin against a real socket, file or server.
#![allow(clippy::unwrap_used, missing_docs)]

mod dummy;
mod http;
mod options;
mod outputs;
mod rig;
mod server;
mod tcp;
