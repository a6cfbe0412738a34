//! `record_modifier`: appends fixed fields, and removes or keeps fields by name.
//!
//! Names are compared without regard to ASCII case, and a `*` at the end stands for any rest. What is appended is encoded once,
//! when the filter is built, and lent to every record.

use ikada_diag::{Diagnostic, Diagnostics, codes};
use ikada_msgpack::write;
use ikada_options::{Options, PropertyBag, SpaceList, Spanned};
use ikada_plugin::registry::{BuildContext, FilterPlugin, Plugin};
use ikada_plugin::{EntryContext, Filter, Verdict};
use ikada_record::{Field, Fields, Piece};

use crate::text::encoded;

/// Appends fields to records, and removes or keeps fields by their names.
#[derive(Debug, Options)]
#[options(filter = "record_modifier")]
pub struct RecordModifierOptions {
    /// Appends a field: `NAME TEXT`.
    ///
    /// Double quotes keep blanks inside a word. A field of that name that is already there stays; whoever reads the record as JSON
    /// sees the new one.
    #[option(example = "cluster prod-1")]
    pub record: Vec<Spanned<SpaceList>>,
    /// Removes the field of this name, in any case; `name*` removes all whose names start so.
    #[option(example = "container_*")]
    pub remove_key: Vec<Spanned<String>>,
    /// Keeps only fields of these names, in any case; `name*` keeps all whose names start so. Fields from `record` and `uuid_key`
    /// are appended all the same.
    #[option(alias = "whitelist_key", example = "log")]
    pub allowlist_key: Vec<Spanned<String>>,
    /// Appends a field of this name with a random UUID.
    #[option(example = "uuid")]
    pub uuid_key: Option<String>,
}

/// The filter, ready to run.
#[derive(Debug)]
pub struct RecordModifier {
    appended: Vec<Pair>,
    select: Select,
    uuid_key: Option<Box<[u8]>>,
}

/// An encoded key with its encoded value.
type Pair = (Box<[u8]>, Box<[u8]>);

#[derive(Debug)]
enum Select {
    All,
    Without(Vec<Name>),
    Only(Vec<Name>),
}

/// A field's name, or how it starts.
#[derive(Debug)]
struct Name {
    text: Box<[u8]>,
    prefix: bool,
}

impl RecordModifier {
    /// Checks the rules and encodes what they append.
    pub fn build(options: &RecordModifierOptions, found: &mut Diagnostics) -> Option<Self> {
        let appended: Vec<_> = options.record.iter().map(|words| appended(words, found)).collect();
        let select = select(options, found);
        Some(Self {
            appended: appended.into_iter().collect::<Option<Vec<_>>>()?.into_iter().flatten().collect(),
            select: select?,
            uuid_key: options.uuid_key.as_deref().map(encoded),
        })
    }

    fn appends_nothing(&self) -> bool {
        self.appended.is_empty() && self.uuid_key.is_none()
    }
}

impl Filter for RecordModifier {
    /// A record that answers [`Verdict::Empty`] is left as it came.
    fn filter<'a>(&'a self, _cx: &mut EntryContext<'_>, fields: &mut Fields<'a>) -> Verdict {
        if self.appends_nothing()
            && !fields.is_empty()
            && !fields.as_slice().iter().any(|field| self.select.keeps(field))
        {
            return Verdict::Empty;
        }
        if !matches!(self.select, Select::All) {
            fields.retain(|field| self.select.keeps(field));
        }
        for (key, value) in &self.appended {
            fields.push(Piece::Ref(key), Piece::Ref(value));
        }
        if let Some(key) = &self.uuid_key {
            let mut value = fields.buffer();
            write_uuid(&mut value);
            fields.push(Piece::Ref(key), Piece::Own(value));
        }
        Verdict::Keep
    }
}

impl Select {
    fn keeps(&self, field: &Field<'_>) -> bool {
        let named =
            |names: &[Name]| field.name().is_some_and(|text| names.iter().any(|name| name.matches(text)));
        match self {
            Self::All => true,
            Self::Without(names) => !named(names),
            Self::Only(names) => named(names),
        }
    }
}

impl Name {
    fn new(text: &str) -> Self {
        let start = text.strip_suffix('*');
        Self { text: start.unwrap_or(text).as_bytes().into(), prefix: start.is_some() }
    }

    fn matches(&self, name: &[u8]) -> bool {
        let len = if self.prefix { self.text.len() } else { name.len() };
        name.get(..len).is_some_and(|start| start.eq_ignore_ascii_case(&self.text))
    }
}

/// How the registry knows it.
pub(crate) fn plugin() -> FilterPlugin {
    Plugin { name: "record_modifier", aliases: &[], options: RecordModifierOptions::set, build }
}

fn build(bag: &mut PropertyBag, _cx: &BuildContext, found: &mut Diagnostics) -> Option<Box<dyn Filter>> {
    let options = RecordModifierOptions::parse(bag, found)?;
    Some(Box::new(RecordModifier::build(&options, found)?))
}

/// The field that a `record` option appends: none if it has too many words, which Fluent Bit ignores as well (recorded case
/// `rm-record-extra-words`), and no filter at all if it has too few (`rm-record-one-word`).
fn appended(words: &Spanned<SpaceList>, found: &mut Diagnostics) -> Option<Option<Pair>> {
    match &*words.value.0 {
        [key, value] => Some(Some((encoded(key), encoded(value)))),
        [key, rest @ ..] if !rest.is_empty() => {
            let message = format!("`Record` takes a name and one word, not {}: it is ignored", rest.len());
            let help = format!("put the text in double quotes: `Record {key} \"…\"`");
            found.push(Diagnostic::warning(codes::ADJUSTED_VALUE, message).at(words.span).help(help));
            Some(None)
        }
        _ => {
            let message = "`Record` needs a name and a text";
            let help = "type `Record name text`";
            found.push(Diagnostic::error(codes::BAD_VALUE, message).at(words.span).help(help));
            None
        }
    }
}

fn select(options: &RecordModifierOptions, found: &mut Diagnostics) -> Option<Select> {
    let names = |list: &[Spanned<String>]| list.iter().map(|name| Name::new(&name.value)).collect();
    match (options.remove_key.first(), options.allowlist_key.first()) {
        (None, None) => Some(Select::All),
        (Some(_), None) => Some(Select::Without(names(&options.remove_key))),
        (None, Some(_)) => Some(Select::Only(names(&options.allowlist_key))),
        (Some(_), Some(allow)) => {
            let message = "`Remove_key` and `Allowlist_key` cannot stand in one filter";
            let help = "keep one of them, or use a second record_modifier filter";
            found.push(Diagnostic::error(codes::CONFLICTING_OPTIONS, message).at(allow.span).help(help));
            None
        }
    }
}

/// Writes an encoded UUID, version 4. The thread's generator is asked, not the system: that would be a call per record.
fn write_uuid(buf: &mut Vec<u8>) {
    let id = uuid::Builder::from_random_bytes(rand::random()).into_uuid();
    let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
    write::str(buf, id.hyphenated().encode_lower(&mut text).as_bytes());
}
