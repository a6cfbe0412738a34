//! Reaching into a record by name: `$key['sub'][0]`, and text with such references in it.
//!
//! [`Accessor`] is one reference; grep, rewrite_tag and many options take one, with or without its `$`. [`Template`] is
//! text with references, tags and captures in it, as rewrite_tag's new tag or a log stream's name are.
//!
//! **The grammar** (`reference/filters.md` §2, each rule recorded from Fluent Bit):
//!
//! * A name starts with a letter or `_` and goes on with letters, digits, `_`, `-` and `/`. A reference ends at `.`, `,`, `"`
//!   or a blank, quotes apart; in an accessor, whatever follows is not looked at.
//! * `['key']` steps into a map, `''` being a quote; `[3]` into an array, counted from 0.
//! * Any other character is skipped, so that `@timestamp` reaches `timestamp`.
//! * A name that starts with a digit or with `TAG` means a capture or the tag, and as an accessor never finds anything.
//! * Of duplicate keys the last one is seen, at every depth.
//!
//! `$['any key']` is Ikada's own: it reaches every top-level key, dots, `@` and all.
//!
//! What is accepted but means something else than it seems to leaves a [`Caution`], for whoever reads the configuration.
//!
//! ```
//! use ikada_record::accessor::Accessor;
//! use ikada_record::record_at;
//!
//! let record = record_at(b"\x81\xa3ecs\x92\xa1a\x81\xa4name\xa3web");
//! let accessor = Accessor::new("$ecs[1]['name']").unwrap();
//! assert_eq!(accessor.lookup_map(record).unwrap().as_str(), Some(&b"web"[..]));
//! ```

mod parse;
mod template;
mod text;

use std::fmt;

use ikada_msgpack::{MapView, View, str_bytes};

use crate::{Field, Fields};

pub use template::{Missing, Part, Template};
pub use text::write_text;

/// Why text is no accessor or no template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct AccessorError {
    /// What is wrong: lower case, no full stop.
    pub message: String,
    /// Offset into the text, in bytes.
    pub at: usize,
}

/// Something that is accepted, as Fluent Bit accepts it, but hardly means what its author thinks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caution {
    /// What it means instead: lower case, no full stop.
    pub message: String,
    /// What to type instead, if there is something.
    pub help: Option<String>,
    /// Offset into the text, in bytes.
    pub at: usize,
}

/// A way into a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accessor {
    text: Box<str>,
    root: Root,
    path: Box<[Step]>,
    cautions: Box<[Caution]>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Root {
    /// A top-level key.
    Key(Box<[u8]>),
    /// Nothing in any record: the tag or a capture where a key should be.
    Nowhere,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Key(Box<[u8]>),
    Index(usize),
}

impl Accessor {
    /// Reads `$key['a'][0]`, `$['any key']`, or a bare name, whose `$` is implied.
    ///
    /// # Errors
    /// The text has no name where one must stand, an unclosed bracket or quote, or something behind the reference.
    pub fn new(text: &str) -> Result<Self, AccessorError> {
        parse::accessor(text)
    }

    /// The accessor of the top-level key that is spelled exactly like this.
    #[must_use]
    pub fn exact(name: &str) -> Self {
        let text = format!("$['{}']", name.replace('\'', "''"));
        Self {
            text: text.into(),
            root: Root::Key(name.as_bytes().into()),
            path: [].into(),
            cautions: [].into(),
        }
    }

    /// The value in a record under edit.
    #[must_use]
    pub fn lookup<'r>(&self, fields: &'r Fields<'_>) -> Option<View<'r>> {
        view(self.lookup_raw(fields)?)
    }

    /// The encoded value in a record under edit.
    #[must_use]
    pub fn lookup_raw<'r>(&self, fields: &'r Fields<'_>) -> Option<&'r [u8]> {
        self.lookup_raw_in(fields.as_slice())
    }

    /// The encoded value in some of a record's fields.
    #[must_use]
    pub fn lookup_raw_in<'r>(&self, fields: &'r [Field<'_>]) -> Option<&'r [u8]> {
        let Root::Key(key) = &self.root else { return None };
        let field = fields.iter().rev().find(|field| field.name() == Some(key))?;
        self.descend(field.value.bytes())
    }

    /// The value in an encoded record.
    #[must_use]
    pub fn lookup_map<'r>(&self, record: MapView<'r>) -> Option<View<'r>> {
        view(self.lookup_map_raw(record)?)
    }

    /// The encoded value in an encoded record.
    #[must_use]
    pub fn lookup_map_raw<'r>(&self, record: MapView<'r>) -> Option<&'r [u8]> {
        let Root::Key(key) = &self.root else { return None };
        self.descend(last_under(record, key)?)
    }

    /// The top-level key this reaches, when it goes no deeper.
    #[must_use]
    pub fn top_level_key(&self) -> Option<&[u8]> {
        match &self.root {
            Root::Key(key) if self.path.is_empty() => Some(key),
            _ => None,
        }
    }

    /// Whether there is no record in which this finds anything.
    #[must_use]
    pub fn finds_nothing(&self) -> bool {
        self.root == Root::Nowhere
    }

    /// What the author should know.
    #[must_use]
    pub fn cautions(&self) -> &[Caution] {
        &self.cautions
    }

    /// The accessor as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    fn descend<'r>(&self, value: &'r [u8]) -> Option<&'r [u8]> {
        self.path.iter().try_fold(value, |value, step| match (step, view(value)?) {
            (Step::Key(key), View::Map(map)) => last_under(map, key),
            (Step::Index(index), View::Array(array)) => array.raw().nth(*index),
            _ => None,
        })
    }
}

impl fmt::Display for Accessor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

fn last_under<'r>(map: MapView<'r>, key: &[u8]) -> Option<&'r [u8]> {
    let mut found = None;
    for (raw_key, value) in map.raw() {
        if str_bytes(raw_key) == Some(key) {
            found = Some(value);
        }
    }
    found
}

fn view(value: &[u8]) -> Option<View<'_>> {
    View::parse(value).ok().map(|(view, _)| view)
}

#[cfg(test)]
mod tests;
