//! Text with references in it.

use std::fmt;

use ikada_msgpack::MapView;

use super::{Accessor, AccessorError, Caution, parse, write_text};
use crate::{Fields, Tag};

/// Text with references: `logs-$TAG[1].$level`.
///
/// `$TAG` is the tag and `$TAG[n]` its `n`-th part between dots, counted from 0; `$0` to `$9` are what a rule's regular expression
/// captured; everything else behind a `$` is an [`Accessor`], which only `.`, `,`, `"`, a blank or the end of the text can
/// follow. Text may follow the others directly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    parts: Box<[Part]>,
}

/// One part of a [`Template`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Part {
    /// Text that stays as it is.
    Text(Box<str>),
    /// `$TAG`.
    Tag,
    /// `$TAG[n]`.
    TagPart(usize),
    /// `$1`. Of `$11` the capture is 11, and its second digit is text as well: recorded case `rt-capture-two-digits`.
    Capture(usize),
    /// `$key['a'][0]`.
    Field(Accessor),
}

/// A reference found no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the record has no value for `{reference}`")]
pub struct Missing<'t> {
    /// The reference.
    pub reference: &'t Accessor,
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// A `$` that stands alone, a reference that is none, or text that cannot follow one.
    pub fn new(text: &str) -> Result<Self, AccessorError> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut at = 0;
        while let Some(len) = text[at..].find('$') {
            literal.push_str(&text[at..at + len]);
            let (part, end) = special(text, at + len + 1)?;
            push_text(&mut parts, &mut literal);
            parts.push(part);
            at = end;
        }
        literal.push_str(&text[at..]);
        push_text(&mut parts, &mut literal);
        Ok(Self { parts: parts.into() })
    }

    /// Appends the text for one entry; captures are empty.
    ///
    /// A part that the tag does not have, an array and an extension value are empty text. A reference without a value is empty
    /// as well, and reported once everything else is written, so that the caller can keep the text or fall back.
    ///
    /// # Errors
    /// The first reference without a value.
    pub fn render(&self, out: &mut Vec<u8>, tag: &Tag, record: MapView<'_>) -> Result<(), Missing<'_>> {
        self.render_with(out, tag, record, |_| None)
    }

    /// As [`Template::render`], with what a regular expression captured by number; 0 is the whole match.
    ///
    /// # Errors
    /// The first reference without a value.
    pub fn render_with<'c>(
        &self,
        out: &mut Vec<u8>,
        tag: &Tag,
        record: MapView<'_>,
        capture: impl Fn(usize) -> Option<&'c [u8]>,
    ) -> Result<(), Missing<'_>> {
        self.render_parts(out, tag, |accessor| accessor.lookup_map_raw(record), capture)
    }

    /// As [`Template::render_with`], for a record under edit.
    ///
    /// # Errors
    /// The first reference without a value.
    pub fn render_fields<'c>(
        &self,
        out: &mut Vec<u8>,
        tag: &Tag,
        fields: &Fields<'_>,
        capture: impl Fn(usize) -> Option<&'c [u8]>,
    ) -> Result<(), Missing<'_>> {
        self.render_parts(out, tag, |accessor| accessor.lookup_raw(fields), capture)
    }

    fn render_parts<'r, 'c>(
        &self,
        out: &mut Vec<u8>,
        tag: &Tag,
        lookup: impl Fn(&Accessor) -> Option<&'r [u8]>,
        capture: impl Fn(usize) -> Option<&'c [u8]>,
    ) -> Result<(), Missing<'_>> {
        let mut missing = None;
        for part in &self.parts {
            match part {
                Part::Text(text) => out.extend_from_slice(text.as_bytes()),
                Part::Tag => out.extend_from_slice(tag.as_bytes()),
                Part::TagPart(n) => out.extend_from_slice(tag.part(*n).unwrap_or_default()),
                Part::Capture(n) => out.extend_from_slice(capture(*n).unwrap_or_default()),
                Part::Field(accessor) => match lookup(accessor) {
                    Some(value) => write_text(out, value),
                    None => missing = missing.or(Some(Missing { reference: accessor })),
                },
            }
        }
        missing.map_or(Ok(()), Err)
    }

    /// The parts in order.
    #[must_use]
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// The text, if there is no reference in it.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match &*self.parts {
            [] => Some(""),
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// Whether it is made of the tag and of text alone.
    #[must_use]
    pub fn is_of_tag(&self) -> bool {
        self.parts.iter().all(|part| matches!(part, Part::Text(_) | Part::Tag | Part::TagPart(_)))
    }

    /// What the author should know.
    pub fn cautions(&self) -> impl Iterator<Item = &Caution> {
        self.parts.iter().flat_map(|part| match part {
            Part::Field(accessor) => accessor.cautions(),
            _ => &[],
        })
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parts.iter().try_for_each(|part| match part {
            Part::Text(text) => f.write_str(text),
            Part::Tag => f.write_str("$TAG"),
            Part::TagPart(n) => write!(f, "$TAG[{n}]"),
            Part::Capture(n) => write!(f, "${}", n.to_string().get(..1).unwrap_or_default()),
            Part::Field(accessor) => f.write_str(accessor.as_str()),
        })
    }
}

fn push_text(parts: &mut Vec<Part>, literal: &mut String) {
    if !literal.is_empty() {
        parts.push(Part::Text(std::mem::take(literal).into()));
    }
}

/// What the `$` right before `at` stands for, and where the text goes on.
fn special(text: &str, at: usize) -> Result<(Part, usize), AccessorError> {
    let rest = &text[at..];
    if let Some(rest) = rest.strip_prefix("TAG") {
        return tag(rest, at + 3);
    }
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    if digits > 0 {
        return Ok((Part::Capture(rest[..digits].parse().unwrap_or(usize::MAX)), at + 1));
    }
    if rest.is_empty() || rest.starts_with(['.', ',', '"', ' ', '\t']) {
        return Err(AccessorError { message: "a `$` stands alone".into(), at: at - 1 });
    }
    let (accessor, end) = parse::reference(text, at)?;
    Ok((Part::Field(accessor), end))
}

fn tag(rest: &str, at: usize) -> Result<(Part, usize), AccessorError> {
    let Some((number, _)) = rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) else {
        return Ok((Part::Tag, at));
    };
    match number.parse() {
        Ok(n) if number.bytes().all(|b| b.is_ascii_digit()) => Ok((Part::TagPart(n), at + number.len() + 2)),
        _ => Err(AccessorError { message: "`$TAG[n]` needs a number for `n`".into(), at: at + 1 }),
    }
}
