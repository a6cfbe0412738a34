//! The three machines a pattern may run on.

use std::borrow::Cow;
use std::sync::atomic::{AtomicU64, Ordering};

use fancy_regex::{Error as FancyError, RegexInput};
use memchr::memmem::Finder;

use super::RegexError;
use super::captures::Slots;

/// Steps a backtracking search may take before it is given up.
///
/// About a tenth of a second at worst; a search that ends at all rarely takes a thousandth of it.
pub const BACKTRACK_LIMIT: usize = 1_000_000;

/// Instructions a backtracking program may have: recursion is unrolled, and a short pattern can ask for millions.
const PROGRAM_LIMIT: usize = 100_000;

/// A search was given up at a limit.
#[derive(Debug)]
pub(super) struct Exhausted;

/// What a translated pattern runs on.
pub(super) enum Engine {
    Literal(Box<Finder<'static>>),
    Plain(Plain),
    Backtracking(Box<fancy_regex::Regex>),
}

/// The linear engine.
pub(super) struct Plain {
    /// Tells whose scratch a reused set of slots holds.
    id: u64,
    regex: regex::bytes::Regex,
    /// Every alternative begins with `^`. Ruby's caret does not stand behind a line feed that ends the
    /// subject; the engine's does, and a match is only there if it is nowhere before.
    caret_leads: bool,
}

impl Engine {
    pub(super) fn literal(text: &str) -> Self {
        Self::Literal(Box::new(Finder::new(text).into_owned()))
    }

    pub(super) fn backtracking(text: &str) -> Result<Self, RegexError> {
        let mut builder = fancy_regex::RegexBuilder::new(text);
        builder.oniguruma_mode(true).backtrack_limit(BACKTRACK_LIMIT).max_prog_size(PROGRAM_LIMIT);
        let regex = builder.build().map_err(fancy_error)?;
        Ok(Self::Backtracking(Box::new(regex)))
    }

    /// The pattern as the linear engine reads it, and whether its caret needs a second look; `None` for one that backtracks.
    pub(super) fn linear(&self) -> Option<(Cow<'_, str>, bool)> {
        match self {
            Self::Literal(finder) => {
                let text = std::str::from_utf8(finder.needle()).ok()?;
                Some((regex::escape(text).into(), false))
            }
            Self::Plain(plain) => Some((plain.regex.as_str().into(), plain.caret_leads)),
            Self::Backtracking(_) => None,
        }
    }

    pub(super) fn is_match(&self, subject: &[u8]) -> Result<bool, Exhausted> {
        match self {
            Self::Literal(finder) => Ok(finder.find(subject).is_some()),
            Self::Plain(plain) => Ok(plain.is_match(subject)),
            Self::Backtracking(regex) => regex.is_match(text_of(subject)).map_err(gave_up),
        }
    }

    pub(super) fn match_at_start(&self, subject: &[u8]) -> Result<Option<usize>, Exhausted> {
        match self {
            Self::Literal(finder) => {
                let needle = finder.needle();
                Ok(subject.starts_with(needle).then_some(needle.len()))
            }
            Self::Plain(plain) => Ok(plain.match_at_start(subject)),
            Self::Backtracking(regex) => {
                let input = RegexInput::new(text_of(subject)).anchored(true);
                let found = regex.find_input(input).map_err(gave_up)?;
                Ok(found.map(|found| found.end()))
            }
        }
    }

    /// Pushes the range of every group, the whole match first, and returns whether there is a match.
    pub(super) fn captures(&self, subject: &[u8], slots: &mut Slots) -> Result<bool, Exhausted> {
        match self {
            Self::Literal(finder) => {
                let found = finder.find(subject);
                if let Some(start) = found {
                    slots.push(Some(start..start + finder.needle().len()));
                }
                Ok(found.is_some())
            }
            Self::Plain(plain) => Ok(plain.captures(subject, slots)),
            Self::Backtracking(regex) => {
                let Some(found) = regex.captures(text_of(subject)).map_err(gave_up)? else {
                    return Ok(false);
                };
                found.iter().for_each(|group| slots.push(group.map(|group| group.range())));
                Ok(true)
            }
        }
    }
}

impl Plain {
    pub(super) fn new(text: &str, caret_leads: bool) -> Result<Self, RegexError> {
        let regex = regex::bytes::Regex::new(text).map_err(|error| engine_error(&error.to_string()))?;
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        Ok(Self { id, regex, caret_leads })
    }

    fn is_match(&self, subject: &[u8]) -> bool {
        if self.caret_may_err(subject) {
            return self.regex.find(subject).is_some_and(|found| found.start() < subject.len());
        }
        self.regex.is_match(subject)
    }

    /// A search finds the leftmost match, so one that starts at 0 is found if there is any.
    fn match_at_start(&self, subject: &[u8]) -> Option<usize> {
        let found = self.regex.find(subject)?;
        (found.start() == 0).then_some(found.end())
    }

    fn captures(&self, subject: &[u8], slots: &mut Slots) -> bool {
        let mut locations = match slots.scratch.take() {
            Some((owner, locations)) if owner == self.id => locations,
            _ => self.regex.capture_locations(),
        };
        let found = self.regex.captures_read(&mut locations, subject);
        let counts = found.is_some_and(|found| !self.caret_may_err(subject) || found.start() < subject.len());
        if counts {
            for group in 0..locations.len() {
                slots.push(locations.get(group).map(|(start, end)| start..end));
            }
        }
        slots.scratch = Some((self.id, locations));
        counts
    }

    fn caret_may_err(&self, subject: &[u8]) -> bool {
        self.caret_leads && subject.last() == Some(&b'\n')
    }
}

/// The backtracking engine is only ever asked about subjects that were checked or mended.
fn text_of(subject: &[u8]) -> &str {
    std::str::from_utf8(subject).unwrap_or_default()
}

fn gave_up(_: FancyError) -> Exhausted {
    Exhausted
}

fn fancy_error(error: FancyError) -> RegexError {
    match error {
        FancyError::ParseError(_, error) => engine_error(&error.to_string()),
        FancyError::CompileError(error) => engine_error(&error.to_string()),
        other => engine_error(&other.to_string()),
    }
}

/// Engines speak of the translated text, in which the reader's positions mean nothing, and over several lines.
fn engine_error(text: &str) -> RegexError {
    let last = text.lines().last().unwrap_or_default().trim();
    let plain = last.trim_start_matches("error: ").trim_end_matches('.');
    let mut letters = plain.chars();
    let message = match letters.next() {
        Some(first) => first.to_lowercase().chain(letters).collect(),
        None => "the expression cannot be compiled".to_owned(),
    };
    RegexError { message, position: 0 }
}
