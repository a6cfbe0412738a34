//! A place in the pattern.

use super::RegexError;

#[derive(Debug, Clone)]
pub(super) struct Cursor<'p> {
    text: &'p str,
    at: usize,
}

impl<'p> Cursor<'p> {
    pub(super) fn new(text: &'p str) -> Self {
        Self { text, at: 0 }
    }

    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn rest(&self) -> &'p str {
        &self.text[self.at..]
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    pub(super) fn next(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.at += next.len_utf8();
        Some(next)
    }

    /// Takes `text` if it comes next.
    pub(super) fn eat(&mut self, text: &str) -> bool {
        let here = self.rest().starts_with(text);
        if here {
            self.at += text.len();
        }
        here
    }

    /// Takes what stands before `end`, and `end` itself.
    pub(super) fn until(&mut self, end: char) -> Option<&'p str> {
        let (taken, _) = self.rest().split_once(end)?;
        self.at += taken.len() + end.len_utf8();
        Some(taken)
    }

    /// Takes up to `most` digits of a base.
    pub(super) fn digits(&mut self, base: u32, most: usize) -> &'p str {
        let rest = self.rest();
        let length = rest.chars().take(most).take_while(|c| c.is_digit(base)).count();
        self.at += length;
        &rest[..length]
    }

    pub(super) fn go_back_to(&mut self, at: usize) {
        self.at = at;
    }

    pub(super) fn error(&self, message: impl Into<String>) -> RegexError {
        error_at(self.at, message)
    }
}

pub(super) fn error_at(position: usize, message: impl Into<String>) -> RegexError {
    RegexError { message: message.into(), position }
}
