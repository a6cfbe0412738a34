//! `Match` globs.
//!
//! A pattern is cut at its stars when it is built. What is left are literals that must appear in order: the first at
//! the tag's start, the last at its end, those between wherever they come first. Taking the leftmost place for each of
//! them is enough (a later place only leaves less room for the rest), so one walk over the tag answers.

use std::fmt;

use memchr::memmem::Finder;

/// A `Match` glob: which tags an instance takes.
///
/// `*` stands for any run of bytes, none and dots included. Everything else is literal: there is no `?`, no set, no
/// list, no escape. Matching looks at the whole tag, at bytes, with case, and does not allocate.
#[derive(Clone)]
pub struct Pattern {
    text: Box<str>,
    shape: Shape,
}

#[derive(Clone)]
enum Shape {
    /// `*`, `**`, …
    Any,
    /// No star at all.
    Exact,
    /// `app*`: one literal, then anything. What FireLens writes for a container.
    Prefix(Box<[u8]>),
    /// `*.log`: anything, then one literal.
    Suffix(Box<[u8]>),
    /// Everything else.
    Glob(Box<Pieces>),
}

#[derive(Clone)]
struct Pieces {
    head: Box<[u8]>,
    /// Literals between stars, none of them empty.
    middle: Box<[Finder<'static>]>,
    tail: Box<[u8]>,
}

impl Pattern {
    /// Compiles a glob. Every text is one.
    pub fn new(text: &str) -> Self {
        Self { text: text.into(), shape: Shape::of(text.as_bytes()) }
    }

    /// Returns whether the pattern takes `tag`.
    pub fn matches(&self, tag: &[u8]) -> bool {
        match &self.shape {
            Shape::Any => true,
            Shape::Exact => tag == self.text.as_bytes(),
            Shape::Prefix(head) => tag.starts_with(head),
            Shape::Suffix(tail) => tag.ends_with(tail),
            Shape::Glob(pieces) => pieces.matches(tag),
        }
    }

    /// Returns whether the pattern takes every tag there can be.
    pub fn matches_everything(&self) -> bool {
        matches!(self.shape, Shape::Any)
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl Shape {
    fn of(text: &[u8]) -> Self {
        let mut pieces: Vec<&[u8]> = text.split(|&byte| byte == b'*').collect();
        let Some(tail) = pieces.pop() else {
            return Self::Exact;
        };
        if pieces.is_empty() {
            return Self::Exact;
        }
        let head = pieces.remove(0);
        pieces.retain(|piece| !piece.is_empty());
        match (head, pieces.as_slice(), tail) {
            ([], [], []) => Self::Any,
            (head, [], []) => Self::Prefix(head.into()),
            ([], [], tail) => Self::Suffix(tail.into()),
            (head, middle, tail) => Self::Glob(Box::new(Pieces {
                head: head.into(),
                middle: middle.iter().map(|piece| Finder::new(piece).into_owned()).collect(),
                tail: tail.into(),
            })),
        }
    }
}

impl Pieces {
    fn matches(&self, tag: &[u8]) -> bool {
        let Some(rest) = tag.strip_prefix(&*self.head) else {
            return false;
        };
        let Some(mut rest) = rest.strip_suffix(&*self.tail) else {
            return false;
        };
        for literal in &self.middle {
            let Some(at) = literal.find(rest) else {
                return false;
            };
            rest = &rest[at + literal.needle().len()..];
        }
        true
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pattern").field(&self.text).finish()
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Pattern {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The rule as one would say it: a star takes nothing, or one byte and is asked again.
    fn obviously_matches(pattern: &[u8], tag: &[u8]) -> bool {
        match (pattern, tag) {
            ([], []) => true,
            ([b'*', rest @ ..], []) => obviously_matches(rest, tag),
            ([b'*', rest @ ..], [_, later @ ..]) => {
                obviously_matches(rest, tag) || obviously_matches(pattern, later)
            }
            ([p, rest @ ..], [t, later @ ..]) if p == t => obviously_matches(rest, later),
            _ => false,
        }
    }

    #[test]
    fn a_star_takes_nothing_dots_and_everything() {
        assert!(Pattern::new("app-firelens*").matches(b"app-firelens"));
        assert!(Pattern::new("app*").matches(b"app.log.x"));
        assert!(Pattern::new("*").matches(b""));
        assert!(Pattern::new("a*b").matches(b"ab"));
    }

    #[test]
    fn everything_but_the_star_is_literal() {
        assert!(!Pattern::new("a?p").matches(b"app"));
        assert!(!Pattern::new("[ab]").matches(b"a"));
        assert!(!Pattern::new("{a,b}").matches(b"a"));
        assert!(Pattern::new(r"a\*b").matches(br"a\xb"));
        assert!(!Pattern::new(r"a\*b").matches(b"a*b"));
        assert!(!Pattern::new("APP*").matches(b"app"));
    }

    #[test]
    fn an_empty_pattern_takes_only_the_empty_tag() {
        assert!(Pattern::new("").matches(b""));
        assert!(!Pattern::new("").matches(b"a"));
    }

    #[test]
    fn head_and_tail_may_not_share_bytes() {
        assert!(!Pattern::new("ab*ba").matches(b"aba"));
        assert!(Pattern::new("ab*ba").matches(b"abba"));
    }

    #[test]
    fn tags_need_not_be_text() {
        assert!(Pattern::new("app.*").matches(b"app.\xff\xfe"));
        assert!(Pattern::new("*.log").matches(b"\x00\x80.log"));
    }

    #[test]
    fn many_stars_over_a_long_tag_stay_linear() {
        let tag = [b'a'].repeat(100_000);
        assert!(!Pattern::new("*a*a*a*a*a*a*a*a*b*").matches(&tag));
        assert!(Pattern::new("*a*a*a*a*a*a*a*a*").matches(&tag));
    }

    proptest! {
        #[test]
        fn a_pattern_agrees_with_the_obvious_rule(pattern in "[ab.*]{0,8}", tag in "[ab.]{0,10}") {
            prop_assert_eq!(
                Pattern::new(&pattern).matches(tag.as_bytes()),
                obviously_matches(pattern.as_bytes(), tag.as_bytes())
            );
        }

        #[test]
        fn a_pattern_agrees_with_the_obvious_rule_on_any_bytes(
            pattern in r"(\PC|\*){0,5}",
            tag in proptest::collection::vec(any::<u8>(), 0..8),
        ) {
            prop_assert_eq!(
                Pattern::new(&pattern).matches(&tag),
                obviously_matches(pattern.as_bytes(), &tag)
            );
        }
    }
}
