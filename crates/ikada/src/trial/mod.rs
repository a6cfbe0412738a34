//! `ikada test FILE…`: samples through the real pipeline, without network.
//!
//! The configuration is loaded and assembled as at a start, and the engine runs it with its real filters. Only the ends are others: one
//! input is fed with the samples, and every output hands over what reaches it instead of sending it. A sample may also be lines
//! for a `tail` input, which then reads them as a file, parsers and multiline included.
//!
//! A file of expectations (YAML) makes a unit test of it: see [`Expectations`]. Everything else is samples: lines, JSON lines, or what
//! a client sent in the Forward protocol.
//!
//! **What it does not know:** any plugin but `tail`, whose file it makes.
//!
//! In reading order: [`Args`] and [`run`], [`samples`], [`replay`], [`Expectations`], [`compare`].

mod args;
mod command;
mod compare;
mod expectations;
mod replay;
mod samples;
#[cfg(test)]
mod tests;

pub use args::Args;
pub use command::run;
pub use compare::compare;
pub use expectations::{Case, Expectations, ExpectationsError};
pub use replay::{Feed, Received, Replay, ReplayError, replay};
pub use samples::{Entry, samples};
