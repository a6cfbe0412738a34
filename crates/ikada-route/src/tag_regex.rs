//! `Match_Regex` expressions.

use ikada_parse::regex::{Regex, RegexError};

/// A `Match_Regex`: a Ruby expression that must match at the tag's start, and may end before the tag does.
///
/// A match of no bytes does not count: `x*` takes no tag without a leading `x`. `/…/` and `/…/imx` are understood.
#[derive(Debug, Clone)]
pub struct TagRegex(Regex);

impl TagRegex {
    /// Compiles an expression.
    ///
    /// # Errors
    ///
    /// When it is not one. Fluent Bit drops such an expression without a word; a configuration should be told.
    pub fn new(text: &str) -> Result<Self, RegexError> {
        Regex::new(text).map(Self)
    }

    /// Returns whether the expression takes `tag`.
    pub fn matches(&self, tag: &[u8]) -> bool {
        self.0.match_at_start(tag).is_some_and(|end| end > 0)
    }

    /// The expression as it was written.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}
