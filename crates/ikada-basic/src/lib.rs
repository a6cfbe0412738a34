//! The small inputs and outputs: files, sockets, HTTP, commands, and what a machine says of itself.
//!
//! Each is an example of the plugin traits, short enough to be read in one go: [`null`] is an output that settles at once,
//! [`stdout`] one that gathers and writes, [`http`] one with batches and answers; [`dummy`] is an input that makes its own
//! entries, [`cpu`] one that looks at something again and again, [`tcp`] one with connections, [`udp`] one with datagrams, [`http_in`] one that
//! answers, [`systemd`] one that remembers how far it came. The program lists them through [`inputs`] and [`outputs`].
//!
//! **What it does not know:** the engine, AWS, other plugins.
//!
//! ```
//! let names: Vec<_> = ikada_basic::outputs().iter().map(|plugin| plugin.name).collect();
//! assert!(names.contains(&"stdout"));
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod complaints;
mod counted;
pub mod counter;
pub mod cpu;
pub mod dummy;
pub mod exec;
pub mod file;
mod hand_over;
pub mod head;
pub mod http;
pub mod http_in;
mod json_lines;
mod lines;
pub mod mem;
mod net;
pub mod null;
mod otlp;
mod server_tls;
pub mod stdin;
pub mod stdout;
pub mod syslog;
pub mod systemd;
pub mod tcp;
mod text;
pub mod text_values;
pub mod ticker;
pub mod udp;
mod unsupported;

use ikada_options::Options;
use ikada_plugin::registry::{InputPlugin, OutputPlugin};

/// The inputs of this crate.
#[must_use]
pub fn inputs() -> Vec<InputPlugin> {
    vec![
        InputPlugin { name: "cpu", aliases: &[], options: cpu::CpuOptions::set, build: cpu::build },
        InputPlugin { name: "dummy", aliases: &[], options: dummy::DummyOptions::set, build: dummy::build },
        InputPlugin { name: "exec", aliases: &[], options: exec::ExecOptions::set, build: exec::build },
        InputPlugin { name: "head", aliases: &[], options: head::HeadOptions::set, build: head::build },
        InputPlugin {
            name: "http",
            aliases: &[],
            options: http_in::HttpInOptions::set,
            build: http_in::build,
        },
        InputPlugin { name: "mem", aliases: &[], options: mem::MemOptions::set, build: mem::build },
        InputPlugin { name: "stdin", aliases: &[], options: stdin::StdinOptions::set, build: stdin::build },
        InputPlugin {
            name: "syslog",
            aliases: &[],
            options: syslog::SyslogOptions::set,
            build: syslog::build,
        },
        InputPlugin {
            name: "systemd",
            aliases: &[],
            options: systemd::SystemdOptions::set,
            build: systemd::build,
        },
        InputPlugin { name: "tcp", aliases: &[], options: tcp::TcpOptions::set, build: tcp::build },
        InputPlugin { name: "udp", aliases: &[], options: udp::UdpOptions::set, build: udp::build },
    ]
}

/// The outputs of this crate.
#[must_use]
pub fn outputs() -> Vec<OutputPlugin> {
    vec![
        OutputPlugin {
            name: "counter",
            aliases: &[],
            options: counter::CounterOptions::set,
            build: counter::build,
        },
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
