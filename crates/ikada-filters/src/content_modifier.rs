//! `content_modifier`: one change to one top-level field of a record or of its metadata. In Fluent Bit it is a processor of the YAML
//! format.
//!
//! It looks at the first field of the name, where the record accessors of other filters look at the last. A field that is missing, or a
//! value that cannot be changed so, leaves the record as it is.

use std::sync::{Mutex, PoisonError};

use ikada_diag::{Diagnostic, Diagnostics, Span, codes};
use ikada_msgpack::{View, write};
use ikada_options::{Choice, OptionValue, Options, PropertyBag, Spanned, ValueError};
use ikada_parse::regex::{Regex, Slots};
use ikada_plugin::registry::{BuildContext, FilterPlugin, Plugin};
use ikada_plugin::{EntryContext, Filter, Verdict};
use ikada_record::{Field, Fields, Piece, record_at};
use sha2::{Digest, Sha256};

use crate::rule::regex;
use crate::text::{encoded, leading_float, push_g};

/// Changes one top-level field of a record, or of its metadata.
#[derive(Debug, Options)]
#[options(filter = "content_modifier")]
pub struct ContentModifierOptions {
    /// What to do.
    #[option(required, example = "upsert")]
    pub action: Action,
    /// What is changed: the record itself, as `body`, `message` or `record`, or its metadata, as `metadata` or `attributes`.
    #[option(default = "body")]
    pub context: Context,
    /// Name of the field.
    #[option(required, example = "cluster")]
    pub key: String,
    /// The text to insert, or the new name.
    #[option(example = "prod-1")]
    pub value: Option<String>,
    /// With `extract`: the regular expression whose named groups become fields.
    #[option(example = "^(?<method>[A-Z]+) (?<path>[^ ]+)")]
    pub pattern: Option<Spanned<String>>,
    /// With `convert`: the type of the new value.
    #[option(example = "int")]
    pub converted_type: Option<Type>,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Choice)]
pub enum Action {
    /// Append the field, unless there is one of the name.
    Insert,
    /// Append the field; one of the name is removed first.
    Upsert,
    /// Remove the field.
    Delete,
    /// Give the field another name.
    Rename,
    /// Put the SHA-256 of the value's text in its place, in lower-case hexadecimal.
    Hash,
    /// Append what the named groups of an expression find in the text.
    Extract,
    /// Move the field to the end with its value in another type.
    Convert,
}

/// What is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Context {
    /// The record.
    Body,
    /// The metadata that came with it.
    Metadata,
}

impl OptionValue for Context {
    const KIND: &'static str = "choice";
    const CHOICES: &'static [(&'static str, &'static str)] = &[
        ("body", "The record."),
        ("message", "The same."),
        ("record", "The same."),
        ("metadata", "The metadata that came with the record."),
        ("attributes", "The same."),
    ];

    fn parse_value(text: &str) -> Result<Self, ValueError> {
        let is = |name: &&str| name.eq_ignore_ascii_case(text);
        if ["body", "message", "record"].iter().any(is) {
            return Ok(Self::Body);
        }
        if ["metadata", "attributes"].iter().any(is) {
            return Ok(Self::Metadata);
        }
        if text.to_ascii_lowercase().starts_with("otel_") {
            let help = "only `body` and `metadata` can be changed: remove the option, or the processor";
            return Err(ValueError::new("is about OpenTelemetry, which Ikada does not carry").help(help));
        }
        Err(ValueError::no_choice(text, Self::CHOICES))
    }
}

/// The type of a converted value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Choice)]
pub enum Type {
    /// A text.
    String,
    /// `true` or `false`.
    Boolean,
    /// An integer.
    Int,
    /// A float.
    Double,
}

/// The filter, ready to run.
#[derive(Debug)]
pub struct ContentModifier {
    context: Context,
    name: Box<[u8]>,
    key: Box<[u8]>,
    change: Change,
}

#[derive(Debug)]
enum Change {
    Insert(Box<[u8]>),
    Upsert(Box<[u8]>),
    Delete,
    Rename(Box<[u8]>),
    Hash,
    Extract { regex: Regex, groups: Vec<Group>, slots: Mutex<Slots> },
    Convert(Type),
}

/// A named group.
#[derive(Debug)]
struct Group {
    name: Box<[u8]>,
    key: Box<[u8]>,
    number: usize,
    /// Another group has the same name, and may be the one that took part.
    has_namesake: bool,
}

impl ContentModifier {
    /// Checks that the action has what it needs.
    pub fn build(options: &ContentModifierOptions, section: Span, found: &mut Diagnostics) -> Option<Self> {
        Some(Self {
            context: options.context,
            name: options.key.as_bytes().into(),
            key: encoded(&options.key),
            change: change(options, section, found)?,
        })
    }

    fn position(&self, fields: &Fields<'_>) -> Option<usize> {
        fields.as_slice().iter().position(|field| field.name() == Some(&self.name))
    }
}

impl ContentModifier {
    fn apply<'f>(&'f self, fields: &mut Fields<'f>) {
        let at = self.position(fields);
        match (&self.change, at) {
            (Change::Insert(value), None) | (Change::Upsert(value), None) => {
                fields.push(Piece::Ref(&self.key), Piece::Ref(value));
            }
            (Change::Upsert(value), Some(at)) => {
                fields.edit().remove(at);
                fields.push(Piece::Ref(&self.key), Piece::Ref(value));
            }
            (Change::Delete, Some(at)) => {
                fields.edit().remove(at);
            }
            (Change::Rename(to), Some(at)) => fields.edit()[at].key = Piece::Ref(to),
            (Change::Hash, Some(at)) => hash(fields, at),
            (Change::Extract { regex, groups, slots }, Some(at)) => extract(fields, at, regex, groups, slots),
            (Change::Convert(to), Some(at)) => convert(fields, at, *to, &self.key),
            (_, _) => {}
        }
    }

    /// Metadata is a map as the record is one; most entries have none.
    fn apply_to_metadata(&self, cx: &mut EntryContext<'_>) {
        let mut fields = Fields::split(record_at(cx.metadata.unwrap_or(NO_METADATA)));
        self.apply(&mut fields);
        if fields.is_changed() {
            let mut metadata = Vec::new();
            fields.write(&mut metadata);
            cx.set_metadata(metadata);
        }
    }
}

/// An empty map.
const NO_METADATA: &[u8] = &[0x80];

impl Filter for ContentModifier {
    fn filter<'a>(&'a self, cx: &mut EntryContext<'_>, fields: &mut Fields<'a>) -> Verdict {
        match self.context {
            Context::Body => self.apply(fields),
            Context::Metadata => self.apply_to_metadata(cx),
        }
        Verdict::Keep
    }
}

/// An empty text has no hash, nor have arrays and maps.
fn hash(fields: &mut Fields<'_>, at: usize) {
    let mut made = fields.buffer();
    let Some(text) = value_at(fields, at).and_then(|value| text_of(&value)) else {
        return fields.recycle(made);
    };
    if text.is_empty() {
        return fields.recycle(made);
    }
    let mut hex = [0; 64];
    for (pair, byte) in hex.chunks_exact_mut(2).zip(Sha256::digest(&*text)) {
        pair[0] = HEX[usize::from(byte >> 4)];
        pair[1] = HEX[usize::from(byte & 15)];
    }
    drop(text);
    write::str(&mut made, &hex);
    fields.edit()[at].value = Piece::Own(made);
}

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Only a text is looked at. What a group found takes the place of a field of its name, at the end; a group that took no part found an empty text.
fn extract<'a>(fields: &mut Fields<'a>, at: usize, regex: &Regex, groups: &'a [Group], slots: &Mutex<Slots>) {
    let mut subject = fields.buffer();
    let Some(View::Str(text)) = value_at(fields, at) else {
        return fields.recycle(subject);
    };
    subject.extend_from_slice(text);
    let mut slots = slots.lock().unwrap_or_else(PoisonError::into_inner);
    if regex.captures_into(&subject, &mut slots) {
        for group in groups {
            let text = slots.get(group.number).and_then(|range| subject.get(range));
            if text.is_none() && group.has_namesake {
                continue;
            }
            let text = text.unwrap_or_default();
            let mut made = fields.buffer();
            write::str(&mut made, text);
            fields.retain(|field| field.name() != Some(&group.name));
            fields.push(Piece::Ref(&group.key), Piece::Own(made));
        }
    }
    fields.recycle(subject);
}

fn convert<'a>(fields: &mut Fields<'a>, at: usize, to: Type, key: &'a [u8]) {
    let mut made = fields.buffer();
    let converted = value_at(fields, at).and_then(|value| write_as(&value, to, &mut made));
    if converted.is_none() {
        return fields.recycle(made);
    }
    fields.edit().remove(at);
    fields.push(Piece::Ref(key), Piece::Own(made));
}

fn write_as(value: &View<'_>, to: Type, out: &mut Vec<u8>) -> Option<()> {
    match (to, *value) {
        (Type::String, value) => write::str(out, &text_of(&value)?),
        (Type::Boolean, View::Str(text)) => write::bool(out, text.eq_ignore_ascii_case(b"true")),
        (Type::Boolean, View::Int(n)) => write::bool(out, n != 0),
        (Type::Boolean, View::Uint(n)) => write::bool(out, n != 0),
        (Type::Boolean, View::Float(n)) => write::bool(out, n != 0.0),
        (Type::Boolean, View::Bool(is)) => write::bool(out, is),
        (Type::Boolean, View::Nil) => write::bool(out, false),
        (Type::Int, View::Str(text)) => write_int(text, out)?,
        (Type::Int, View::Int(n)) => write::int(out, n),
        (Type::Int, View::Uint(n)) => write::uint(out, n),
        (Type::Int, View::Float(n)) => write::int(out, n.round() as i64),
        (Type::Int, View::Bool(is)) => write::int(out, is.into()),
        (Type::Int, View::Nil) => write::int(out, 0),
        (Type::Double, View::Str(text)) => write::float(out, leading_float(text)?),
        (Type::Double, View::Int(n)) => write::float(out, n as f64),
        (Type::Double, View::Uint(n)) => write::float(out, n as f64),
        (Type::Double, View::Float(n)) => write::float(out, n),
        (Type::Double, View::Bool(is)) => write::float(out, if is { 1.0 } else { 0.0 }),
        (Type::Double, View::Nil) => write::float(out, 0.0),
        _ => return None,
    }
    Some(())
}

/// A text that is an integer from end to end.
fn write_int(text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let text = std::str::from_utf8(text).ok()?.trim_ascii_start();
    match text.parse::<u64>() {
        Ok(n) => write::uint(out, n),
        Err(_) => write::int(out, text.parse().ok()?),
    }
    Some(())
}

fn value_at<'r>(fields: &'r Fields<'_>, at: usize) -> Option<View<'r>> {
    let field: &Field<'_> = fields.as_slice().get(at)?;
    View::parse(field.value.bytes()).ok().map(|(value, _)| value)
}

/// The text of a value, floats with 17 significant digits; `None` for arrays, maps and extension values.
fn text_of<'r>(value: &View<'r>) -> Option<std::borrow::Cow<'r, [u8]>> {
    Some(match *value {
        View::Str(text) | View::Bin(text) => text.into(),
        View::Int(n) => n.to_string().into_bytes().into(),
        View::Uint(n) => n.to_string().into_bytes().into(),
        View::Float(n) => {
            let mut text = String::new();
            push_g(&mut text, n, 17);
            text.into_bytes().into()
        }
        View::Bool(true) => b"true"[..].into(),
        View::Bool(false) => b"false"[..].into(),
        View::Nil => b"null"[..].into(),
        _ => return None,
    })
}

fn change(options: &ContentModifierOptions, section: Span, found: &mut Diagnostics) -> Option<Change> {
    let mut missing = |option: &str, example: &str| {
        let message = format!("this action needs `{option}`");
        let help = format!("add it, such as `{option}: {example}`");
        found.push(Diagnostic::error(codes::MISSING_OPTION, message).at(section).help(help));
    };
    match options.action {
        Action::Delete => return Some(Change::Delete),
        Action::Hash => return Some(Change::Hash),
        Action::Convert => {
            let to = options.converted_type.map(Change::Convert);
            return to.or_else(|| {
                missing("converted_type", "int");
                None
            });
        }
        Action::Extract => {
            let Some(pattern) = &options.pattern else {
                missing("pattern", "^(?<level>[A-Z]+)");
                return None;
            };
            return extraction(pattern, found);
        }
        Action::Insert | Action::Upsert | Action::Rename => {}
    }
    let Some(value) = &options.value else {
        missing("value", "prod-1");
        return None;
    };
    Some(match options.action {
        Action::Insert => Change::Insert(encoded(value)),
        Action::Upsert => Change::Upsert(encoded(value)),
        _ => Change::Rename(encoded(value)),
    })
}

fn extraction(pattern: &Spanned<String>, found: &mut Diagnostics) -> Option<Change> {
    let regex = regex(&pattern.value, pattern.span, found)?;
    let groups: Vec<_> = regex
        .names()
        .map(|(name, number)| Group {
            name: name.as_bytes().into(),
            key: encoded(name),
            number,
            has_namesake: regex.names().filter(|(other, _)| *other == name).count() > 1,
        })
        .collect();
    if groups.is_empty() {
        let message = "the expression has no named group, so nothing is extracted";
        let help = "name what is to become a field: `(?<name>…)`";
        found.push(Diagnostic::warning(codes::ADJUSTED_VALUE, message).at(pattern.span).help(help));
    }
    Some(Change::Extract { regex, groups, slots: Mutex::default() })
}

/// How the registry knows it.
pub(crate) fn plugin() -> FilterPlugin {
    Plugin { name: "content_modifier", aliases: &[], options: ContentModifierOptions::set, build }
}

fn build(bag: &mut PropertyBag, _cx: &BuildContext, found: &mut Diagnostics) -> Option<Box<dyn Filter>> {
    let section = bag.header();
    let options = ContentModifierOptions::parse(bag, found)?;
    Some(Box::new(ContentModifier::build(&options, section, found)?))
}
