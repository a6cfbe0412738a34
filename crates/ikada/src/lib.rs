//! The program: loads a configuration in Fluent Bit's format and runs it.
//!
//! **Exit codes**: 0 when everything was delivered (or dropped with a reason), 1 for a configuration or command line that is wrong, 2 when
//! records were left unsent at the stop, 255 when an input, the HTTP server or the working directory failed at start.
//!
//! **What goes where**: standard output belongs to the output `stdout`, the filter `stdout`, and to `-h` and `-V`. Everything the
//! program says of itself goes to standard error, in the shape of [`log`].
//!
//! **A finding** in a configuration is drawn with its source line on a terminal, and is one line off it ([`render`]).
//!
//! **What it does not know**: how any plugin works.
//!
//! Reading order: [`cli`], [`init`], [`run`], [`assemble`], [`plugins`], [`log`], [`render`], [`http`]; beside a run, [`taskdef`],
//! [`explain`] and [`trial`].
//!
//! ```
//! use ikada::cli::{Command, parse};
//!
//! let words = ["-c", "/fluent-bit/etc/fluent-bit.conf"].map(str::to_owned);
//! let Ok(Command::Run(run)) = parse(words) else { panic!("the image's own command line") };
//! assert!(run.config.is_some());
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod assemble;
mod banner;
pub mod check;
mod checks;
pub mod cli;
mod conditional;
pub mod dlq;
pub mod explain;
mod grace;
pub mod help;
mod holding;
pub mod http;
mod idle;
pub mod init;
mod lenient;
pub mod load;
pub mod log;
mod memory;
mod parsers;
pub mod plugins;
pub mod render;
pub mod run;
pub mod schema;
mod stream_task;
pub mod taskdef;
pub mod tree;
pub mod trial;
mod unknown;
