//! Multiline: what makes one record of the lines of a stack trace, or of the parts of a split line.
//!
//! A [`MultilineParser`] knows which lines belong together; a [`Joiner`] holds the lines of one stream, a file or a container, until they
//! do. It knows no file and no clock: lines, their times and the moment come in, finished records go to the caller's hands in
//! order.
//!
//! **How lines are told apart.**
//!
//! | type | a line |
//! |---|---|
//! | `regex` | that a rule for the state reached takes is added; that a start rule takes begins a record; a rule that leads back to a start state ends it |
//! | `endswith`, `equal` | is added, and ends the record if it ends with, or is, the text |
//!
//! A line that belongs to no record ends all records under way in its stream, and is one by itself. Parsers are tried in order, the one that
//! took the last line first; when another one takes a line, what was under way is finished first, so that records keep the order of
//! their lines (in Fluent Bit they may not: case `ml-java,python,go`).
//!
//! **Nothing is lost.** A record that grows over the limit is handed over in parts, each but the last marked, down to the last byte. What waits too
//! long is handed over by [`Joiner::flush`], each record by its own deadline; at the end [`Joiner::finish`] hands over the
//! rest. With every line comes an [`Origin`], what its maker needs to account for it: the record has that of all its lines.
//!
//! ```
//! use std::time::Duration;
//!
//! use ikada_parse::{Parsers, multiline::Joiner};
//! use ikada_record::Timestamp;
//!
//! let parser = Parsers::new().multiline("python").expect("it is built in");
//! let mut joiner = Joiner::new([parser].into(), None);
//! let mut records = Vec::new();
//! let lines = ["Traceback (most recent call last):", "  File \"a.py\", line 1", "    f()", "ValueError: no", "next"];
//! for line in lines {
//!     joiner.push_line(line.as_bytes(), Timestamp::default(), (), Duration::ZERO, &mut |done| {
//!         records.push(done.record.len());
//!     });
//! }
//! assert_eq!(records.len(), 2);
//! ```

mod build;
mod builtin;
mod joiner;
mod options;
mod rules;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use builtin::{Definition, NAMES, OF_A_FILE};
pub use joiner::{DEFAULT_LIMIT, Finished, Joiner, Origin, Pushed};
pub use options::{MultilineOptions, MultilineType};
use rules::Rules;

use crate::Parser;

/// The field of a line that has no other.
pub(crate) const LOG: &[u8] = b"log";

/// Knows which lines belong together.
pub struct MultilineParser {
    name: Box<str>,
    test: Test,
    /// Makes a record of every line first.
    parser: Option<Arc<Parser>>,
    /// The field that is joined.
    key_content: Option<Box<[u8]>>,
    /// The field that is tested instead, for `endswith` and `equal`.
    key_pattern: Option<Box<[u8]>>,
    /// The field whose value parts lines that run side by side.
    key_group: Option<Box<[u8]>>,
    flush_timeout: Duration,
}

/// How lines are told apart.
enum Test {
    Rules(Rules),
    EndsWith { text: Box<[u8]>, negate: bool },
    Equal { text: Box<[u8]>, negate: bool },
}

impl MultilineParser {
    /// The name that plugins call it by.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How long a record may wait for its next line.
    #[must_use]
    pub fn flush_timeout(&self) -> Duration {
        self.flush_timeout
    }
}

impl fmt::Debug for MultilineParser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MultilineParser").field(&self.name).finish()
    }
}
