//! The small inputs and outputs: dummy, stdin, tcp, stdout, null, file, http.
//!
//! Each is an example of the plugin traits, short enough to be read in one go: [`null`] is an output that settles at once,
//! [`stdout`] one that gathers and writes, [`http`] one with batches and answers; [`dummy`] is an input that makes its own
//! entries, [`tcp`] one with connections. The program lists them through [`inputs`] and [`outputs`].
//!
//! **What it does not know:** the engine, AWS, other plugins.
//!
//! ```
//! let names: Vec<_> = ikada_basic::outputs().iter().map(|plugin| plugin.name).collect();
//! assert!(names.contains(&"stdout"));
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod complaints;
pub mod dummy;
pub mod file;
mod hand_over;
pub mod http;
mod json_lines;
mod lines;
pub mod null;
pub mod stdin;
pub mod stdout;
pub mod tcp;
mod text;
mod unsupported;

use ikada_options::Options;
use ikada_plugin::registry::{InputPlugin, OutputPlugin};

/// The inputs of this crate.
#[must_use]
pub fn inputs() -> Vec<InputPlugin> {
    vec![
        InputPlugin { name: "dummy", aliases: &[], options: dummy::DummyOptions::set, build: dummy::build },
        InputPlugin { name: "stdin", aliases: &[], options: stdin::StdinOptions::set, build: stdin::build },
        InputPlugin { name: "tcp", aliases: &[], options: tcp::TcpOptions::set, build: tcp::build },
    ]
}

/// The outputs of this crate.
#[must_use]
pub fn outputs() -> Vec<OutputPlugin> {
    vec![
        OutputPlugin { name: "file", aliases: &[], options: file::FileOptions::set, build: file::build },
        OutputPlugin { name: "http", aliases: &[], options: http::HttpOptions::set, build: http::build },
        OutputPlugin { name: "null", aliases: &[], options: null::NullOptions::set, build: null::build },
        OutputPlugin {
            name: "stdout",
            aliases: &[],
            options: stdout::StdoutOptions::set,
            build: stdout::build,
        },
    ]
}
