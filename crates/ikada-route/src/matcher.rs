//! What an instance says of the tags it takes.

use crate::{Pattern, TagRegex};

/// An instance's `Match` and `Match_Regex`. It takes a tag when either does, and none when it has neither.
#[derive(Debug, Clone, Default)]
pub struct Matcher {
    /// `Match`, if written.
    pub pattern: Option<Pattern>,
    /// `Match_Regex`, if written and valid.
    pub regex: Option<TagRegex>,
}

impl Matcher {
    /// Returns a matcher that takes every tag, as `Match *` does.
    pub fn everything() -> Self {
        Self::from(Pattern::new("*"))
    }

    /// Returns whether either of the two takes `tag`.
    pub fn matches(&self, tag: &[u8]) -> bool {
        self.pattern.as_ref().is_some_and(|pattern| pattern.matches(tag))
            || self.regex.as_ref().is_some_and(|regex| regex.matches(tag))
    }
}

impl From<Pattern> for Matcher {
    fn from(pattern: Pattern) -> Self {
        Self { pattern: Some(pattern), regex: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_takes_nothing_and_either_is_enough() {
        let regex = TagRegex::new("web").ok();
        assert!(!Matcher::default().matches(b"app"));
        assert!(Matcher::everything().matches(b"app"));
        let both = Matcher { pattern: Some(Pattern::new("app*")), regex };
        assert!(both.matches(b"app.log") && both.matches(b"web.log") && !both.matches(b"db"));
    }
}
