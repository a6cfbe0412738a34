//! Ruby's regular expressions, as Fluent Bit's configurations write them.
//!
//! A pattern is read once, when the configuration is: the dialect layer rewrites it from Ruby's syntax (Onigmo, UTF-8) into
//! one that Rust's engines share, and the cheapest engine that can run it is chosen.
//!
//! | the pattern | runs on |
//! |---|---|
//! | is nothing but literal text | a substring search |
//! | is regular (nearly all of them are) | `regex`: time linear in the subject |
//! | looks around, refers back, is possessive, recurses, … | `fancy-regex`: backtracking, up to a limit |
//!
//! **Lines.** Ruby's `^` and `$` stand at line ends, always. A pattern that uses them is built twice: once for subjects
//! without a line feed, where `^` is the start of the text (a search that fails at once when it fails there), and
//! once for the others. `^` does not stand behind a line feed that ends the text, so `^\s*$` does not find an
//! empty line in `"text\n"`.
//!
//! **Bytes.** Subjects need not be UTF-8. A pattern that can only match characters it names is searched for in the bytes
//! as they are. Before any other, the subject is checked, and where it is not UTF-8 a copy is searched in which each
//! stray byte is U+FFFD; captures are still ranges of the subject itself, so bytes pass through unchanged.
//!
//! **Where we part from Ruby.**
//!
//! | construct | Ruby | here |
//! |---|---|---|
//! | `\X`, `\M-x`, `\k<name+level>` | supported | refused |
//! | `/ß/i` against `ss` | one letter may fold to two | letters fold one to one |
//! | a look-behind of variable length | refused | accepted |
//! | group names | letters, digits, `_` | anything up to `>` |
//! | catastrophic backtracking | goes on | ends at [`BACKTRACK_LIMIT`] steps: no match, and counted |
//! | recursion (`\g<name>`) | unbounded | 20 levels |

mod captures;
mod dialect;
mod engine;
mod many;
mod subject;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub use captures::{Captures, Slots};
use dialect::{Carets, Groups, Lines, Source, Translation};
pub use engine::BACKTRACK_LIMIT;
use engine::{Engine, Exhausted, Plain};
pub use many::{Answers, Many};
use subject::Mended;

/// Why a text is not a regular expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} (at byte {position} of the expression)")]
pub struct RegexError {
    /// What is wrong, in lower case and without a full stop.
    pub message: String,
    /// Where, as a byte offset into the text given.
    pub position: usize,
}

/// A compiled regular expression in Ruby's dialect. Clones share the compiled form.
#[derive(Clone)]
pub struct Regex(Arc<Compiled>);

struct Compiled {
    text: Box<str>,
    groups: Groups,
    /// For subjects without a line feed, or for all when the pattern has no line anchors.
    one_line: Engine,
    /// For subjects with a line feed.
    many_lines: Option<Engine>,
    /// The pattern may match characters it does not name, so stray bytes must become characters first.
    needs_text: bool,
    exhausted: AtomicU64,
}

impl Regex {
    /// Compiles an expression: bare, as `/…/`, or as `/…/flags` with flags of `i`, `m`, `x`, `o`.
    ///
    /// # Errors
    ///
    /// When the text is not an expression in Ruby's syntax, or uses one of the few constructs that are refused here.
    pub fn new(text: &str) -> Result<Self, RegexError> {
        let source = Source::of(text);
        let groups = dialect::survey(&source)?;
        let plain = dialect::translate(&source, &groups, Lines::One, false)?;
        if let Some(literal) = &plain.literal {
            return Ok(Self::assemble(text, groups, Engine::literal(literal), None, false));
        }
        if plain.needs_backtracking {
            let one = dialect::translate(&source, &groups, Lines::One, true)?;
            let many = Self::backtracking_many(&source, &groups, &plain)?;
            return Ok(Self::assemble(text, groups, Engine::backtracking(&one.text)?, many, true));
        }
        let many = match plain.carets {
            Carets::Anywhere => Self::backtracking_many(&source, &groups, &plain)?,
            Carets::None if !plain.has_dollar => None,
            carets => {
                let text = dialect::translate(&source, &groups, Lines::Many, false)?.text;
                Some(Engine::Plain(Plain::new(&text, carets == Carets::Leading)?))
            }
        };
        // The rare pattern whose caret stands inside runs on two engines: the second needs text.
        let needs_text = plain.takes_any || matches!(many, Some(Engine::Backtracking(_)));
        let one = Engine::Plain(Plain::new(&plain.text, false)?);
        Ok(Self::assemble(text, groups, one, many, needs_text))
    }

    fn backtracking_many(
        source: &Source<'_>,
        groups: &Groups,
        facts: &Translation,
    ) -> Result<Option<Engine>, RegexError> {
        if facts.carets == Carets::None && !facts.has_dollar {
            return Ok(None);
        }
        let many = dialect::translate(source, groups, Lines::Many, true)?;
        Engine::backtracking(&many.text).map(Some)
    }

    fn assemble(
        text: &str,
        groups: Groups,
        one_line: Engine,
        many_lines: Option<Engine>,
        needs_text: bool,
    ) -> Self {
        let exhausted = AtomicU64::new(0);
        Self(Arc::new(Compiled { text: text.into(), groups, one_line, many_lines, needs_text, exhausted }))
    }

    /// Returns whether the expression matches anywhere in the subject.
    pub fn is_match(&self, subject: &[u8]) -> bool {
        self.ask(subject, |engine, bytes, _| engine.is_match(bytes)).unwrap_or(false)
    }

    /// Returns the end of the match that begins at the subject's first byte, if there is one. It may be zero.
    pub fn match_at_start(&self, subject: &[u8]) -> Option<usize> {
        self.ask(subject, |engine, bytes, mended| {
            let end = engine.match_at_start(bytes)?;
            Ok(end.map(|end| mended.map_or(end, |mended| mended.origin(end))))
        })
        .flatten()
    }

    /// Returns where the groups of the first match lie.
    ///
    /// Allocates room for the ranges; a caller with many subjects keeps [`Slots`] and calls
    /// [`captures_into`](Self::captures_into).
    pub fn captures<'r, 's>(&'r self, subject: &'s [u8]) -> Option<Captures<'r, 's>> {
        let mut slots = Slots::default();
        self.captures_into(subject, &mut slots).then(|| Captures::new(self, subject, slots))
    }

    /// Fills `slots` with the ranges of the first match's groups and returns whether there is a match.
    ///
    /// `slots` keep their room from call to call. They may serve several expressions, at the price of that room.
    pub fn captures_into(&self, subject: &[u8], slots: &mut Slots) -> bool {
        slots.clear();
        self.ask(subject, |engine, bytes, mended| {
            let found = engine.captures(bytes, slots)?;
            if let Some(mended) = mended {
                slots.map(|at| mended.origin(at));
            }
            Ok(found)
        })
        .unwrap_or(false)
    }

    /// The named groups in order of appearance, each with its number. A name may come more than once.
    pub fn names(&self) -> impl Iterator<Item = (&str, usize)> {
        self.0.groups.names()
    }

    /// The number of groups that capture, not counting the whole match.
    pub fn group_count(&self) -> usize {
        self.0.groups.count()
    }

    /// How often a search was given up at [`BACKTRACK_LIMIT`] since this expression was compiled.
    ///
    /// Such a search reports no match. Patterns that need no backtracking never give up.
    pub fn limit_hits(&self) -> u64 {
        self.0.exhausted.load(Ordering::Relaxed)
    }

    /// The expression as it was written.
    pub fn as_str(&self) -> &str {
        &self.0.text
    }

    /// Hands the subject, as text where that matters, to the engine for it. `None` when the engine gave up.
    fn ask<T>(
        &self,
        subject: &[u8],
        question: impl FnOnce(&Engine, &[u8], Option<&Mended>) -> Result<T, Exhausted>,
    ) -> Option<T> {
        let engine = self.engine_for(subject);
        let answer = if self.0.needs_text && std::str::from_utf8(subject).is_err() {
            let mended = Mended::new(subject);
            question(engine, mended.as_bytes(), Some(&mended))
        } else {
            question(engine, subject, None)
        };
        answer
            .inspect_err(|Exhausted| {
                self.0.exhausted.fetch_add(1, Ordering::Relaxed);
            })
            .ok()
    }

    fn engine_for(&self, subject: &[u8]) -> &Engine {
        match &self.0.many_lines {
            Some(many) if memchr::memchr(b'\n', subject).is_some() => many,
            _ => &self.0.one_line,
        }
    }
}

impl FromStr for Regex {
    type Err = RegexError;

    fn from_str(text: &str) -> Result<Self, RegexError> {
        Self::new(text)
    }
}

impl fmt::Debug for Regex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Regex").field(&self.0.text).finish()
    }
}

impl fmt::Display for Regex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.text)
    }
}

#[cfg(test)]
mod tests;
