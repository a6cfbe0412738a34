//! From Ruby's syntax to the one our engines share.
//!
//! One walk over the pattern writes the translation as it reads: [`translator`] keeps groups, options and
//! quantifiers, [`escape`] reads what follows a backslash, [`class`] what stands in brackets, [`charset`] knows which
//! characters a name such as `\w` or `[:alpha:]` means. Both engines read the same text: sets are spelled
//! out, options resolved, names turned into numbers, so that no engine's own idea of `\d`, `(?m)` or `\<` is ever asked.
//!
//! A pattern is walked several times: first to learn its groups (a reference may come before its group, and a
//! named group anywhere makes the unnamed ones stop capturing), then once for each engine it is built for.

mod charset;
mod class;
mod cursor;
mod escape;
mod quantifier;
mod reference;
mod translator;

use super::RegexError;
use translator::Translator;

/// An expression without its delimiters.
#[derive(Debug, Clone, Copy)]
pub(super) struct Source<'p> {
    pub body: &'p str,
    pub flags: Flags,
    /// Where the body begins in what the user wrote.
    offset: usize,
}

/// Options in force at a place in the pattern.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Flags {
    pub ignore_case: bool,
    pub dot_all: bool,
    pub extended: bool,
    pub sets: Sets,
}

/// Which characters names of sets mean.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Sets {
    /// `(?a)`: all of them ASCII.
    Ascii,
    /// `(?d)`, where nothing is said: `\w \d \s \b` ASCII, POSIX brackets Unicode.
    #[default]
    Mixed,
    /// `(?u)`: all of them Unicode.
    Unicode,
}

/// The subjects a translation is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lines {
    /// Without a line feed: line anchors are text anchors.
    One,
    /// With line feeds.
    Many,
}

/// Where a pattern has its `^`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Carets {
    None,
    /// First in every alternative, and nowhere else.
    Leading,
    Anywhere,
}

/// The groups that capture.
#[derive(Debug, Clone, Default)]
pub(super) struct Groups {
    names: Vec<String>,
    unnamed: usize,
}

/// What a walk over the pattern gave.
#[derive(Debug)]
pub(super) struct Translation {
    pub text: String,
    /// The whole pattern, if it is nothing but characters to be found as they are.
    pub literal: Option<String>,
    /// The linear engine cannot run this.
    pub needs_backtracking: bool,
    /// Something in it matches characters it does not name: `.`, `[^…]`, a property.
    pub takes_any: bool,
    pub carets: Carets,
    pub has_dollar: bool,
}

/// Learns the groups of a pattern.
pub(super) fn survey(source: &Source<'_>) -> Result<Groups, RegexError> {
    let translator = Translator::new(source, None, Lines::One, false);
    translator.run().map(|(_, groups)| groups).map_err(|error| source.locate(error))
}

/// Writes a pattern for one of the engines.
pub(super) fn translate(
    source: &Source<'_>,
    groups: &Groups,
    lines: Lines,
    backtracking: bool,
) -> Result<Translation, RegexError> {
    let translator = Translator::new(source, Some(groups), lines, backtracking);
    translator.run().map(|(translation, _)| translation).map_err(|error| source.locate(error))
}

impl<'p> Source<'p> {
    /// Takes off the slashes of `/…/flags`. A text whose last slash is followed by anything but flags, as in
    /// `/var/log`, has no delimiters: it is the expression.
    pub(super) fn of(text: &'p str) -> Self {
        let bare = Self { body: text, flags: Flags::default(), offset: 0 };
        let Some((body, letters)) = text.strip_prefix('/').and_then(|rest| rest.rsplit_once('/')) else {
            return bare;
        };
        let mut flags = Flags::default();
        for letter in letters.chars() {
            match letter {
                'i' => flags.ignore_case = true,
                'm' => flags.dot_all = true,
                'x' => flags.extended = true,
                'o' => {}
                _ => return bare,
            }
        }
        Self { body, flags, offset: 1 }
    }

    fn locate(&self, error: RegexError) -> RegexError {
        RegexError { position: error.position + self.offset, ..error }
    }
}

impl Groups {
    /// How many groups capture: the named ones if there are any, else the unnamed.
    pub(super) fn count(&self) -> usize {
        if self.names.is_empty() { self.unnamed } else { self.names.len() }
    }

    pub(super) fn names(&self) -> impl Iterator<Item = (&str, usize)> {
        self.names.iter().enumerate().map(|(i, name)| (name.as_str(), i + 1))
    }

    fn are_named(&self) -> bool {
        !self.names.is_empty()
    }
}
