//! `nest`: moves fields into a map of their own, or the fields of a map up to the top level.
//!
//! Values are copied as they are encoded; only the map that a rule names is split.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use ikada_diag::{Diagnostic, Diagnostics, Span, codes};
use ikada_msgpack::{MapView, View, str_bytes, write};
use ikada_options::{OptionValue, Options, PropertyBag, Spanned, ValueError};
use ikada_plugin::registry::{BuildContext, FilterPlugin, Plugin};
use ikada_plugin::{EntryContext, Filter, Verdict};
use ikada_record::{Field, Fields, Piece};

use crate::text::{encoded, str_header};

/// Moves fields into a map, or the fields of a map up to the top level.
#[derive(Debug, Options)]
#[options(filter = "nest")]
pub struct NestOptions {
    /// What to do: `nest` or `lift`.
    #[option(default = "nest")]
    pub operation: Operation,
    /// With `nest`: the fields that move, by name; `name*` takes all whose names start so.
    #[option(example = "container_*")]
    pub wildcard: Vec<String>,
    /// With `nest`: the name of the map they move into, which is appended. With `lift`: the map whose fields are appended to the record.
    ///
    /// It has to be given. `nest_under` and `nested_under` are one option.
    #[option(alias = "nested_under", example = "container")]
    pub nest_under: Option<String>,
    /// Puts this text before the names of the fields that move.
    #[option(example = "app_")]
    pub add_prefix: Option<Spanned<String>>,
    /// Takes this text from the start of the names of the fields that move.
    #[option(example = "container_")]
    pub remove_prefix: Option<Spanned<String>>,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Fields move into a map.
    Nest,
    /// A map's fields move up.
    Lift,
}

impl Operation {
    /// What the option that names the map is known as.
    fn map_option(self) -> &'static str {
        match self {
            Self::Nest => "nest_under",
            Self::Lift => "nested_under",
        }
    }
}

impl OptionValue for Operation {
    const KIND: &'static str = "choice";
    const CHOICES: &'static [(&'static str, &'static str)] =
        &[("nest", "Fields move into a map."), ("lift", "A map's fields move up.")];

    fn parse_value(text: &str) -> Result<Self, ValueError> {
        match text.to_ascii_lowercase().as_str() {
            "nest" => Ok(Self::Nest),
            "lift" => Ok(Self::Lift),
            _ => Err(ValueError::no_choice(text, Self::CHOICES)),
        }
    }

    /// Fluent Bit looks at the first four letters only.
    fn parse_with_warnings(text: &str, warnings: &mut Vec<ValueError>) -> Result<Self, ValueError> {
        Self::parse_value(text).or_else(|error| {
            let start = text.get(..4).filter(|start| ["nest", "lift"].contains(start)).ok_or(error)?;
            warnings.push(ValueError::new(format!("counts as `{start}`")).help(format!("type `{start}`")));
            Self::parse_value(start)
        })
    }
}

/// The filter, ready to run.
#[derive(Debug)]
pub struct Nest {
    operation: Operation,
    moved: Vec<Moved>,
    map: Box<str>,
    map_key: Box<[u8]>,
    prefix: Prefix,
    /// Whether it was told that the value under the key is no map.
    told: AtomicBool,
}

/// A name, or how it starts.
#[derive(Debug)]
struct Moved {
    text: Box<[u8]>,
    is_prefix: bool,
}

#[derive(Debug)]
enum Prefix {
    Same,
    Add(Box<[u8]>),
    Remove(Box<[u8]>),
}

impl Nest {
    /// Checks what the options mean together.
    pub fn build(options: &NestOptions, section: Span, found: &mut Diagnostics) -> Option<Self> {
        let prefix = match (&options.add_prefix, &options.remove_prefix) {
            (Some(_), Some(remove)) => {
                let message = "`Add_prefix` and `Remove_prefix` cannot stand in one filter";
                let help = "keep one of them, or rename in a `modify` filter";
                found.push(Diagnostic::error(codes::CONFLICTING_OPTIONS, message).at(remove.span).help(help));
                return None;
            }
            (Some(add), None) => Prefix::Add(add.value.as_bytes().into()),
            (None, Some(remove)) => Prefix::Remove(remove.value.as_bytes().into()),
            (None, None) => Prefix::Same,
        };
        let Some(map) = &options.nest_under else {
            let name = options.operation.map_option();
            let message = format!("filter nest needs the option `{name}`");
            let help = format!("add a line `{name} container`");
            found.push(Diagnostic::error(codes::MISSING_OPTION, message).at(section).help(help));
            return None;
        };
        if options.operation == Operation::Nest && options.wildcard.is_empty() {
            let finding = Diagnostic::warning(codes::MISSING_OPTION, "without `Wildcard` no field moves");
            found.push(finding.at(section).help("add one, such as `Wildcard container_*`"));
        }
        Some(Self {
            operation: options.operation,
            moved: options.wildcard.iter().map(|text| Moved::new(text)).collect(),
            map: map.as_str().into(),
            map_key: encoded(map),
            prefix,
            told: AtomicBool::new(false),
        })
    }

    fn moves(&self, field: &Field<'_>) -> bool {
        field.name().is_some_and(|name| self.moved.iter().any(|moved| moved.matches(name)))
    }

    fn nest<'a>(&'a self, fields: &mut Fields<'a>) {
        let count = fields.as_slice().iter().filter(|field| self.moves(field)).count();
        if count == 0 {
            return;
        }
        let mut map = fields.buffer();
        write::map_header(&mut map, count);
        for field in fields.as_slice().iter().filter(|field| self.moves(field)) {
            self.prefix.write_key(&mut map, field.key.bytes());
            map.extend_from_slice(field.value.bytes());
        }
        fields.retain(|field| !self.moves(field));
        fields.push(Piece::Ref(&self.map_key), Piece::Own(map));
    }

    /// The fields of the map, one level only; a value that is no map stays.
    fn lift<'a>(&'a self, fields: &mut Fields<'a>) {
        let mut end = fields.len();
        while let Some(at) = fields.as_slice()[..end].iter().position(|field| self.lifts(field)) {
            end -= 1;
            let lifted = fields.edit().remove(at).value;
            match &lifted {
                Piece::Ref(bytes) => {
                    for (key, value) in MapView::known(bytes).raw() {
                        let key = self.key(fields, key).unwrap_or(Piece::Ref(key));
                        fields.push(key, Piece::Ref(value));
                    }
                }
                Piece::Own(bytes) => {
                    for (key, value) in MapView::known(bytes).raw() {
                        let key = self.key(fields, key).unwrap_or_else(|| own(fields, key));
                        let value = own(fields, value);
                        fields.push(key, value);
                    }
                }
            }
            if let Piece::Own(bytes) = lifted {
                fields.recycle(bytes);
            }
        }
    }

    fn lifts(&self, field: &Field<'_>) -> bool {
        if field.name() != Some(self.map.as_bytes()) {
            return false;
        }
        let is_map = matches!(View::parse(field.value.bytes()), Ok((View::Map(_), _)));
        if !is_map && !self.told.swap(true, Relaxed) {
            tracing::warn!(key = %self.map, "filter nest meets a value that is no map; it stays as it is");
        }
        is_map
    }

    /// The key with its prefix changed, `None` if it stays.
    fn key<'a>(&self, fields: &mut Fields<'a>, key: &[u8]) -> Option<Piece<'a>> {
        if matches!(self.prefix, Prefix::Same) {
            return None;
        }
        let mut changed = fields.buffer();
        self.prefix.write_key(&mut changed, key);
        Some(Piece::Own(changed))
    }
}

fn own<'a>(fields: &mut Fields<'a>, bytes: &[u8]) -> Piece<'a> {
    let mut made = fields.buffer();
    made.extend_from_slice(bytes);
    Piece::Own(made)
}

impl Filter for Nest {
    fn filter<'a>(&'a self, _cx: &mut EntryContext<'_>, fields: &mut Fields<'a>) -> Verdict {
        match self.operation {
            Operation::Nest => self.nest(fields),
            Operation::Lift => self.lift(fields),
        }
        Verdict::Keep
    }
}

impl Moved {
    fn new(text: &str) -> Self {
        let start = text.strip_suffix('*');
        Self { text: start.unwrap_or(text).as_bytes().into(), is_prefix: start.is_some() }
    }

    fn matches(&self, name: &[u8]) -> bool {
        if self.is_prefix { name.starts_with(&self.text) } else { *name == *self.text }
    }
}

impl Prefix {
    /// Writes a key; one that is no text stays as it is.
    fn write_key(&self, out: &mut Vec<u8>, key: &[u8]) {
        match (self, str_bytes(key)) {
            (Self::Add(prefix), Some(name)) => {
                str_header(out, prefix.len() + name.len());
                out.extend_from_slice(prefix);
                out.extend_from_slice(name);
            }
            (Self::Remove(prefix), Some(name)) => match name.strip_prefix(&**prefix) {
                Some(rest) => write::str(out, rest),
                None => out.extend_from_slice(key),
            },
            _ => out.extend_from_slice(key),
        }
    }
}

/// How the registry knows it.
pub(crate) fn plugin() -> FilterPlugin {
    Plugin { name: "nest", aliases: &[], options: NestOptions::set, build }
}

fn build(bag: &mut PropertyBag, _cx: &BuildContext, found: &mut Diagnostics) -> Option<Box<dyn Filter>> {
    let section = bag.header();
    let options = NestOptions::parse(bag, found)?;
    Some(Box::new(Nest::build(&options, section, found)?))
}
