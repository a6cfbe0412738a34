//! `type_converter`: appends fields with the values of others as another type.
//!
//! Rules run kind by kind: texts, integers, unsigned integers, floats. All of them look at the record as it came; a value that cannot be
//! converted adds nothing.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use ikada_diag::{Diagnostic, Diagnostics, Span, codes};
use ikada_msgpack::{View, write};
use ikada_options::{Options, PropertyBag, SpaceList, Spanned};
use ikada_plugin::registry::{BuildContext, FilterPlugin, Plugin};
use ikada_plugin::{EntryContext, Filter, Verdict};
use ikada_record::accessor::Accessor;
use ikada_record::{Fields, Piece};

use crate::rule::name_or_accessor;
use crate::text::{encoded, leading_float, leading_hex, leading_int, leading_uint, push_g};

/// Appends fields whose values are those of other fields in another type.
///
/// The field that is read stays. A value of another type than the option says, or a text that is no number, is left alone, with one
/// line in the log.
#[derive(Debug, Options)]
#[options(filter = "type_converter")]
pub struct TypeConverterOptions {
    /// Reads a text: `FIELD NEW_NAME TYPE`, the type being `int`, `uint`, `float`, `hex` or `bool`.
    ///
    /// Numbers are read as far as they go: `42 ms` is 42.
    #[option(example = "status status int")]
    pub str_key: Vec<Spanned<SpaceList>>,
    /// Reads an integer: `FIELD NEW_NAME TYPE`, the type being `string`, `float` or `uint`.
    #[option(example = "id id string")]
    pub int_key: Vec<Spanned<SpaceList>>,
    /// Reads an integer as an unsigned one: `FIELD NEW_NAME TYPE`, the type being `string`, `float` or `int`.
    #[option(example = "id id string")]
    pub uint_key: Vec<Spanned<SpaceList>>,
    /// Reads a float: `FIELD NEW_NAME TYPE`, the type being `string`, `int` or `uint`.
    #[option(example = "seconds seconds int")]
    pub float_key: Vec<Spanned<SpaceList>>,
}

/// The filter, ready to run.
#[derive(Debug)]
pub struct TypeConverter {
    rules: Vec<Rule>,
}

#[derive(Debug)]
struct Rule {
    key: Accessor,
    new_key: Box<[u8]>,
    from: Type,
    to: Type,
    /// Whether a failure was told.
    told: AtomicBool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Type {
    Int,
    Uint,
    Float,
    Hex,
    Str,
    Bool,
}

/// The types by name, in the order in which the start of a name finds them.
const TYPES: [(&str, Type); 6] = [
    ("int", Type::Int),
    ("uint", Type::Uint),
    ("float", Type::Float),
    ("hex", Type::Hex),
    ("string", Type::Str),
    ("bool", Type::Bool),
];

impl TypeConverter {
    /// Checks the rules.
    pub fn build(options: &TypeConverterOptions, section: Span, found: &mut Diagnostics) -> Option<Self> {
        let kinds = [
            ("str_key", Type::Str, &options.str_key),
            ("int_key", Type::Int, &options.int_key),
            ("uint_key", Type::Uint, &options.uint_key),
            ("float_key", Type::Float, &options.float_key),
        ];
        let rules: Vec<_> = kinds
            .into_iter()
            .flat_map(|(option, from, list)| list.iter().map(move |words| (option, from, words)))
            .map(|(option, from, words)| rule(option, from, words, found))
            .collect();
        if rules.is_empty() {
            let message = "type_converter has no rule";
            let help = "add one, such as `str_key status status int`";
            found.push(Diagnostic::error(codes::MISSING_OPTION, message).at(section).help(help));
            return None;
        }
        Some(Self { rules: rules.into_iter().collect::<Option<_>>()? })
    }
}

impl Filter for TypeConverter {
    fn filter<'a>(&'a self, _cx: &mut EntryContext<'_>, fields: &mut Fields<'a>) -> Verdict {
        let came = fields.len();
        for rule in &self.rules {
            let mut made = fields.buffer();
            let converted = match rule.key.lookup_raw_in(&fields.as_slice()[..came]).map(View::parse) {
                Some(Ok((value, _))) => rule.convert(&value, &mut made).is_some() || rule.failed(),
                _ => false,
            };
            match converted {
                true => fields.push(Piece::Ref(&rule.new_key), Piece::Own(made)),
                false => fields.recycle(made),
            }
        }
        Verdict::Keep
    }
}

impl Rule {
    /// Writes the value as the other type; `None` if it cannot be converted.
    fn convert(&self, value: &View<'_>, out: &mut Vec<u8>) -> Option<()> {
        match (self.from, *value) {
            (Type::Str, View::Str(text)) => self.convert_text(text, out),
            (Type::Int, View::Int(n)) => self.convert_int(n, out),
            (Type::Int, View::Uint(n)) => self.convert_int(n as i64, out),
            (Type::Uint, View::Int(n)) => self.convert_uint(n as u64, out),
            (Type::Uint, View::Uint(n)) => self.convert_uint(n, out),
            (Type::Float, View::Float(n)) => self.convert_float(n, out),
            _ => None,
        }
    }

    fn convert_text(&self, text: &[u8], out: &mut Vec<u8>) -> Option<()> {
        let starts = |word: &str| {
            text.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word.as_bytes()))
        };
        match self.to {
            Type::Int => write::int(out, leading_int(text)?),
            Type::Uint => write::uint(out, leading_uint(text)?),
            Type::Hex => write::uint(out, leading_hex(text)?),
            Type::Float => write::float(out, leading_float(text)?),
            Type::Bool if starts("true") => write::bool(out, true),
            Type::Bool if starts("false") => write::bool(out, false),
            Type::Bool | Type::Str => return None,
        }
        Some(())
    }

    fn convert_int(&self, n: i64, out: &mut Vec<u8>) -> Option<()> {
        match self.to {
            Type::Str => write::str(out, itoa::Buffer::new().format(n).as_bytes()),
            Type::Float => write::float(out, n as f64),
            Type::Uint => write::uint(out, n as u64),
            _ => return None,
        }
        Some(())
    }

    fn convert_uint(&self, n: u64, out: &mut Vec<u8>) -> Option<()> {
        match self.to {
            Type::Str => write::str(out, itoa::Buffer::new().format(n).as_bytes()),
            Type::Float => write::float(out, n as f64),
            Type::Int => write::int(out, n as i64),
            _ => return None,
        }
        Some(())
    }

    /// A float without a fraction has one decimal as text, any other up to 16 significant digits.
    fn convert_float(&self, n: f64, out: &mut Vec<u8>) -> Option<()> {
        match self.to {
            Type::Str => {
                let mut text = String::new();
                match n == n as i64 as f64 {
                    true => text = format!("{n:.1}"),
                    false => push_g(&mut text, n, 16),
                }
                write::str(out, text.as_bytes());
            }
            Type::Int if n.abs() < 2f64.powi(63) => write::int(out, n as i64),
            Type::Uint if (0.0..2f64.powi(64)).contains(&n) => write::uint(out, n as u64),
            _ => return None,
        }
        Some(())
    }

    fn failed(&self) -> bool {
        if !self.told.swap(true, Relaxed) {
            tracing::warn!(
                key = %self.key,
                from = name(self.from),
                to = name(self.to),
                "filter type_converter met a value that it cannot convert; the record passes without the new field"
            );
        }
        false
    }
}

fn name(kind: Type) -> &'static str {
    TYPES.iter().find(|(_, known)| *known == kind).map_or("", |(name, _)| name)
}

/// How the registry knows it.
pub(crate) fn plugin() -> FilterPlugin {
    Plugin { name: "type_converter", aliases: &[], options: TypeConverterOptions::set, build }
}

fn build(bag: &mut PropertyBag, _cx: &BuildContext, found: &mut Diagnostics) -> Option<Box<dyn Filter>> {
    let section = bag.header();
    let options = TypeConverterOptions::parse(bag, found)?;
    Some(Box::new(TypeConverter::build(&options, section, found)?))
}

fn rule(option: &str, from: Type, words: &Spanned<SpaceList>, found: &mut Diagnostics) -> Option<Rule> {
    let span = words.span;
    let [key, new_key, to] = &*words.value.0 else {
        let message = format!("`{option}` needs three words, not {}", words.value.0.len());
        let help = format!("type `{option} field new_name string`");
        found.push(Diagnostic::error(codes::BAD_VALUE, message).at(span).help(help));
        return None;
    };
    let lower = to.to_ascii_lowercase();
    let known = TYPES.iter().find(|(name, _)| !lower.is_empty() && name.starts_with(&lower));
    let allowed = targets(from);
    let to_type = known.map(|(_, to)| *to).filter(|to| allowed.contains(to));
    let Some(to_type) = to_type else {
        let message = format!("`{option}` cannot make `{to}` of a {}", name(from));
        let names: Vec<_> = allowed.iter().map(|to| name(*to)).collect();
        let help = format!("the type is {}", ikada_options::quoted_list(&names, "or"));
        found.push(Diagnostic::error(codes::BAD_VALUE, message).at(span).help(help));
        return None;
    };
    let key = name_or_accessor(key, span, found)?;
    Some(Rule { key, new_key: encoded(new_key), from, to: to_type, told: AtomicBool::new(false) })
}

/// What each type can become.
fn targets(from: Type) -> &'static [Type] {
    match from {
        Type::Str => &[Type::Int, Type::Uint, Type::Float, Type::Hex, Type::Bool],
        Type::Int => &[Type::Str, Type::Float, Type::Uint],
        Type::Uint => &[Type::Str, Type::Float, Type::Int],
        _ => &[Type::Str, Type::Int, Type::Uint],
    }
}
