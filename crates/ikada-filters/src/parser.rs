//! `parser`: makes fields of the text in a field, as JSON inside `log`.
//!
//! What a parser finds stands first in the record; the other fields follow only if `Reserve_Data` says so. A record whose text no parser
//! takes passes as it came.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ikada_diag::{Diagnostic, Diagnostics, Severity, codes};
use ikada_msgpack::{MapView, View};
use ikada_options::{Options, PropertyBag, Spanned};
use ikada_parse::{Parser as TextParser, Parsers};
use ikada_plugin::registry::{BuildContext, FilterPlugin, Plugin};
use ikada_plugin::{EntryContext, Filter, Verdict};
use ikada_record::accessor::Accessor;
use ikada_record::{Fields, Piece, Timestamp};

use crate::rule::name_or_accessor;

/// Makes fields of the text in a field by parsers.
#[derive(Debug, Options)]
#[options(filter = "parser")]
pub struct ParserFilterOptions {
    /// Field that holds the text; with a `$`, a record accessor.
    ///
    /// A field that an accessor names stays where it is, as in Fluent Bit.
    #[option(required, example = "log")]
    pub key_name: Spanned<String>,
    /// Parser of the text. Several are tried in order; the first that takes the text wins.
    #[option(example = "json")]
    pub parser: Vec<Spanned<String>>,
    /// Keeps the other fields of the record, behind those of the text. Where both have a name, the record's field counts.
    #[option(default = "off")]
    pub reserve_data: bool,
    /// Keeps the field that held the text.
    #[option(default = "off")]
    pub preserve_key: bool,
    /// Has no effect: parsers take the text as it is; `Decode_Field_As escaped` in a parser opens escapes.
    #[option(no_effect)]
    pub unescape_key: Option<bool>,
}

/// The filter, ready to run.
#[derive(Debug)]
pub struct Parser {
    source: Source,
    parsers: Vec<Arc<TextParser>>,
    reserve_data: bool,
    preserve_key: bool,
    /// It was said that fields are left out.
    told: AtomicBool,
}

/// Where the text is.
#[derive(Debug)]
enum Source {
    Field(Box<[u8]>),
    Accessor(Accessor),
}

impl Parser {
    /// Finds the parsers.
    pub fn build(options: &ParserFilterOptions, parsers: &Parsers, found: &mut Diagnostics) -> Option<Self> {
        let name = &options.key_name;
        let source = match name.value.starts_with('$') {
            true => name_or_accessor(&name.value, name.span, found).map(Source::Accessor),
            false => Some(Source::Field(name.value.as_bytes().into())),
        };
        let parsers = find_all(options, parsers, found);
        Some(Self {
            source: source?,
            parsers: parsers?,
            reserve_data: options.reserve_data,
            preserve_key: options.preserve_key,
            told: AtomicBool::new(false),
        })
    }

    /// Parses the text, and says with the time where it stood: the number of the field, if it was one.
    fn parse(
        &self,
        fields: &Fields<'_>,
        now: Timestamp,
        out: &mut Vec<u8>,
    ) -> Option<(Option<usize>, Option<Timestamp>)> {
        match &self.source {
            Source::Accessor(accessor) => {
                let time = self.parse_value(accessor.lookup_raw(fields)?, now, out)?;
                Some((None, time))
            }
            Source::Field(name) => {
                let named = fields.as_slice().iter().enumerate();
                let mut named = named.filter(|(_, field)| field.name() == Some(name));
                named.find_map(|(at, field)| {
                    let time = self.parse_value(field.value.bytes(), now, out)?;
                    Some((Some(at), time))
                })
            }
        }
    }

    fn parse_value(&self, value: &[u8], now: Timestamp, out: &mut Vec<u8>) -> Option<Option<Timestamp>> {
        let Ok((View::Str(text) | View::Bin(text), _)) = View::parse(value) else { return None };
        self.parsers.iter().find_map(|parser| parser.parse(text, now, out).ok())
    }

    /// Says once that the fields beside the text are left out, as the configuration has it.
    fn tell_of_losses(&self, fields: &Fields<'_>, source: Option<usize>) {
        if self.told.load(Ordering::Relaxed) || self.told.swap(true, Ordering::Relaxed) {
            return;
        }
        let others = fields.as_slice().iter().enumerate().filter(|(at, _)| Some(*at) != source);
        let names: Vec<_> = others.filter_map(|(_, field)| field.name()).take(8).collect();
        let names = names.iter().map(|name| String::from_utf8_lossy(name)).collect::<Vec<_>>().join(", ");
        tracing::info!(
            fields = names,
            "the filter parser leaves out the fields beside the text; `Reserve_Data On` keeps them"
        );
    }

    /// Whether the field at `at` stays beside those of the text, which came from the field at `source`.
    fn keeps(&self, at: usize, source: Option<usize>) -> bool {
        match source == Some(at) {
            true => self.preserve_key,
            false => self.reserve_data,
        }
    }
}

impl Filter for Parser {
    fn filter<'a>(&'a self, cx: &mut EntryContext<'_>, fields: &mut Fields<'a>) -> Verdict {
        let mut record = fields.buffer();
        if let Some((source, time)) = self.parse(fields, cx.time, &mut record) {
            if !self.reserve_data && fields.len() > 1 {
                self.tell_of_losses(fields, source);
            }
            let mut at = 0..;
            fields.retain(|_| at.next().is_some_and(|at| self.keeps(at, source)));
            put_first(fields, MapView::known(&record));
            if let Some(time) = time {
                cx.set_time(time);
            }
        }
        fields.recycle(record);
        Verdict::Keep
    }
}

/// Puts a record's pairs before the fields there are.
fn put_first(fields: &mut Fields<'_>, record: MapView<'_>) {
    let before = fields.len();
    for (key, value) in record.raw() {
        let (mut own_key, mut own_value) = (fields.buffer(), fields.buffer());
        own_key.extend_from_slice(key);
        own_value.extend_from_slice(value);
        fields.push(Piece::Own(own_key), Piece::Own(own_value));
    }
    fields.edit().rotate_left(before);
}

/// How the registry knows it.
pub(crate) fn plugin() -> FilterPlugin {
    Plugin { name: "parser", aliases: &[], options: ParserFilterOptions::set, build }
}

fn build(bag: &mut PropertyBag, cx: &BuildContext, found: &mut Diagnostics) -> Option<Box<dyn Filter>> {
    let options = ParserFilterOptions::parse(bag, found)?;
    if options.parser.is_empty() {
        let message = format!("{} needs the option `parser`", bag.section());
        let help = "add a line `Parser json`";
        found.push(Diagnostic::error(codes::MISSING_OPTION, message).at(bag.header()).help(help));
        return None;
    }
    Some(Box::new(Parser::build(&options, &cx.parsers, found)?))
}

/// The parsers that are named. One that does not exist is an error, unless there is another: Fluent Bit goes on with that
/// (case `parser-unknown-plus-known`).
fn find_all(
    options: &ParserFilterOptions,
    parsers: &Parsers,
    found: &mut Diagnostics,
) -> Option<Vec<Arc<TextParser>>> {
    let mut unknown = Diagnostics::new();
    let known: Vec<_> = options.parser.iter().filter_map(|name| parsers.find(name, &mut unknown)).collect();
    for finding in unknown.iter() {
        let mut finding = finding.clone();
        if !known.is_empty() {
            finding.severity = Severity::Warning;
        }
        found.push(finding);
    }
    (!known.is_empty()).then_some(known)
}
