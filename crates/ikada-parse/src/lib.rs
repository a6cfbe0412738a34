//! Makes records of text: parsers with their times and decoders, Ruby's regular expressions, JSON.
//!
//! Stands on floor 2. Parsers, filters and routing call it with bytes they already hold.
//!
//! **Where Ruby's regular expressions and ours part** is told in [`regex`], construct by construct; where C's `strptime` and ours do, in
//! [`time`]; what JSON is taken beyond the standard, in [`json`].
//!
//! What it does not know: where text comes from, what time it is, what a record will be used for. It opens
//! nothing, waits for nothing, and holds no state between calls but counters and empty buffers. Two things reach further: the machine's time
//! zone is asked for where `Time_System_Timezone` says so, and a time that does not fit its format is said in the log.
//!
//! In reading order: [`Parsers`], [`Parser`] and its [`ParserOptions`](parser::ParserOptions), [`TimeFormat`](time::TimeFormat),
//! [`MultilineParser`](multiline::MultilineParser) and [`Joiner`](multiline::Joiner), [`Regex`](regex::Regex), [`Captures`](regex::Captures), [`json::transcode_one`].
//!
//! ```
//! use ikada_parse::Parsers;
//! use ikada_record::Timestamp;
//!
//! let parser = Parsers::new().get("logfmt").expect("it is built in");
//! let mut record = Vec::new();
//! let time = parser.parse(b"level=info ready", Timestamp::default(), &mut record)?;
//! assert_eq!(time, None);
//! assert_eq!(record, b"\x82\xa5level\xa4info\xa5ready\xc3");
//! # Ok::<(), ikada_parse::NoMatch>(())
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod builtin;
pub mod fuzz;
pub mod json;
pub mod multiline;
pub mod parser;
pub mod regex;
mod registry;
pub mod time;

pub use parser::{NoMatch, Parser};
pub use registry::Parsers;
