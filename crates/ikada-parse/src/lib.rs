//! Makes records of text: Ruby's regular expressions and JSON.
//!
//! Stands on floor 2. Parsers, filters and routing call it with bytes they already hold.
//!
//! **Where Ruby's regular expressions and ours part** is told in [`regex`], construct by construct; what JSON is taken beyond
//! the standard, in [`json`].
//!
//! What it does not know: where text comes from, what time it is, what a record will be used for. It opens
//! nothing, waits for nothing, and holds no state between calls but counters.
//!
//! In reading order: [`Regex`](regex::Regex), [`Captures`](regex::Captures), [`json::transcode_one`].
//!
//! ```
//! use ikada_parse::regex::Regex;
//!
//! let line = Regex::new(r"^(?<level>\w+) (?<message>.*)$")?;
//! let found = line.captures(b"INFO ready").expect("the line has both parts");
//! let fields: Vec<_> = found.named().collect();
//! assert_eq!(fields, [("level", Some(&b"INFO"[..])), ("message", Some(b"ready"))]);
//! # Ok::<(), ikada_parse::regex::RegexError>(())
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod fuzz;
pub mod json;
pub mod regex;
