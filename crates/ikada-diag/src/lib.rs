//! Findings about a configuration: where they are, what they say, and the stable code they carry.
//!
//! Everything that reads a configuration (the loader, the options of each plugin, the builders of inputs, filters
//! and outputs) pushes [`Diagnostic`]s into a [`Diagnostics`] and goes on; nobody stops at the first finding. The
//! program decides what to do with them.
//!
//! **What it does not know:** terminals, colours and source excerpts (the program renders), files and their
//! reading (the loader does that), and what any finding means.
//!
//! **How a code is born, documented and retired.** A code is a constant in [`codes`], kebab-case, with one doc
//! sentence that is also its documentation for users. It never changes its meaning. A code that is no longer
//! produced stays in the list with the word "retired" in its sentence, so that nobody gives the name a new meaning.
//!
//! In reading order: [`Span`] and [`Spanned`], [`Sources`], [`Diagnostic`], [`Diagnostics`], [`codes`].
//!
//! ```
//! use ikada_diag::{Diagnostic, Diagnostics, Sources, codes};
//!
//! let mut sources = Sources::default();
//! let file = sources.add("extra.conf", "[INPUT]\n    Name tail\n    Parser json\n");
//! let mut found = Diagnostics::default();
//! found.push(
//!     Diagnostic::error(codes::UNKNOWN_PARSER, "no parser is named `json`")
//!         .at(file.span(33, 37))
//!         .help("[SERVICE] `Parsers_File parsers.conf` would define it"),
//! );
//! let lines: Vec<String> = found.lines(&sources).collect();
//! assert_eq!(
//!     lines,
//!     ["extra.conf:3:12: error[unknown-parser]: no parser is named `json` \
//!       (help: [SERVICE] `Parsers_File parsers.conf` would define it)"]
//! );
//! ```
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod codes;
mod diagnostic;
mod source;
mod span;

pub use diagnostic::{Counts, Diagnostic, Diagnostics, Severity};
pub use source::{Location, Sources};
pub use span::{SourceId, Span, Spanned};
