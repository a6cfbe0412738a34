//! `modify`: sets, adds, removes, renames, copies and moves top-level fields, if all conditions hold.
//!
//! Rules run in file order, each on what the one before left. Conditions look at the record as it came, wherever they stand in the
//! section. Keys and values of rules are plain text, encoded once and lent to every record.

use ikada_diag::{Diagnostic, Diagnostics, Span, codes};
use ikada_msgpack::View;
use ikada_options::{InOrder, Options, PropertyBag, Spanned};
use ikada_parse::regex::Regex;
use ikada_plugin::registry::{BuildContext, FilterPlugin, Plugin};
use ikada_plugin::{EntryContext, Filter, Verdict};
use ikada_record::accessor::Accessor;
use ikada_record::{Field, Fields, Piece};

use crate::rule::{name_or_accessor, regex};
use crate::text::{encoded, quoted_words};

/// Changes top-level fields by rules that run in file order, if all conditions hold.
///
/// Words are parted by blanks; quotes keep blanks inside a word. Keys and values are plain text, which Fluent Bit also compiles as
/// regular expressions, so that it refuses `Set key *`.
#[derive(Debug, Options)]
#[options(filter = "modify")]
pub struct ModifyOptions {
    /// Sets a field to a text, at the end of the record: `NAME TEXT`. A field of that name is removed first.
    #[option(example = "cluster prod-1")]
    pub set: Vec<InOrder<String>>,
    /// Adds a field at the end unless there is one of that name: `NAME TEXT`.
    #[option(example = "level info")]
    pub add: Vec<InOrder<String>>,
    /// Removes the field of this name.
    #[option(example = "password")]
    pub remove: Vec<InOrder<String>>,
    /// Removes all fields whose names start with this text. A `*` in it stands for itself.
    #[option(example = "container_")]
    pub remove_wildcard: Vec<InOrder<String>>,
    /// Removes all fields whose names match this regular expression.
    #[option(example = "^tmp_[0-9]+$")]
    pub remove_regex: Vec<InOrder<String>>,
    /// Renames a field, unless there is one of the new name: `NAME NEW_NAME`.
    #[option(example = "log message")]
    pub rename: Vec<InOrder<String>>,
    /// Renames a field; one of the new name is removed first: `NAME NEW_NAME`.
    #[option(example = "log message")]
    pub hard_rename: Vec<InOrder<String>>,
    /// Copies a field, unless there is one of the new name: `NAME NEW_NAME`. The copy stands behind the field.
    #[option(example = "log original")]
    pub copy: Vec<InOrder<String>>,
    /// Copies a field; one of the new name is removed first: `NAME NEW_NAME`.
    #[option(example = "log original")]
    pub hard_copy: Vec<InOrder<String>>,
    /// Moves all fields whose names start with this text to the start of the record.
    #[option(example = "time")]
    pub move_to_start: Vec<InOrder<String>>,
    /// Moves all fields whose names start with this text to the end of the record.
    #[option(example = "container_")]
    pub move_to_end: Vec<InOrder<String>>,
    /// A condition on the record as it comes; the rules run only if all conditions hold, wherever they stand.
    ///
    /// One of `Key_exists FIELD`, `Key_does_not_exist FIELD`, `A_key_matches REGEX`, `No_key_matches REGEX`,
    /// `Key_value_equals FIELD TEXT`, `Key_value_does_not_equal FIELD TEXT`, `Key_value_matches FIELD REGEX`,
    /// `Key_value_does_not_match FIELD REGEX`, `Matching_keys_have_matching_values REGEX REGEX` and
    /// `Matching_keys_do_not_have_matching_values REGEX REGEX`. A field is a name or an accessor such as `$a['b']`. Only texts
    /// equal a text; only texts, `true` and `false` match an expression.
    #[option(example = "Key_value_matches level ^err")]
    pub condition: Vec<Spanned<String>>,
}

/// The filter, ready to run.
#[derive(Debug)]
pub struct Modify {
    conditions: Vec<Condition>,
    rules: Vec<Rule>,
}

#[derive(Debug)]
enum Rule {
    Set { key: Key, value: Box<[u8]> },
    Add { key: Key, value: Box<[u8]> },
    Remove(Names),
    Rename { from: Key, to: Key, hard: bool },
    Copy { from: Key, to: Key, hard: bool },
    MoveToStart(Names),
    MoveToEnd(Names),
}

/// A key's text and its encoded form.
#[derive(Debug)]
struct Key {
    text: Box<[u8]>,
    encoded: Box<[u8]>,
}

/// Which keys a rule is about.
#[derive(Debug)]
enum Names {
    Exact(Box<[u8]>),
    Prefix(Box<[u8]>),
    Matching(Regex),
}

#[derive(Debug)]
enum Condition {
    Exists { key: Accessor, holds: bool },
    AnyKeyMatches { keys: Regex, holds: bool },
    Equals { key: Accessor, text: Box<[u8]>, holds: bool },
    Matches { key: Accessor, regex: Regex, holds: bool },
    MatchingValues { keys: Regex, values: Regex, holds: bool },
}

impl Modify {
    /// Checks every rule and condition.
    pub fn build(options: &ModifyOptions, found: &mut Diagnostics) -> Option<Self> {
        let rules: Vec<_> = in_file_order(options).into_iter().map(|rule| rule.build(found)).collect();
        let conditions: Vec<_> =
            options.condition.iter().map(|text| condition(&text.value, text.span, found)).collect();
        Some(Self {
            conditions: conditions.into_iter().collect::<Option<_>>()?,
            rules: rules.into_iter().collect::<Option<_>>()?,
        })
    }
}

impl Filter for Modify {
    fn filter<'a>(&'a self, _cx: &mut EntryContext<'_>, fields: &mut Fields<'a>) -> Verdict {
        if self.conditions.iter().all(|condition| condition.holds(fields)) {
            self.rules.iter().for_each(|rule| rule.apply(fields));
        }
        Verdict::Keep
    }
}

impl Rule {
    fn apply<'a>(&'a self, fields: &mut Fields<'a>) {
        match self {
            Self::Set { key, value } => {
                fields.retain(|field| !key.is_of(field));
                fields.push(Piece::Ref(&key.encoded), Piece::Ref(value));
            }
            Self::Add { key, value } => {
                if key.count(fields) == 0 {
                    fields.push(Piece::Ref(&key.encoded), Piece::Ref(value));
                }
            }
            Self::Remove(names) => fields.retain(|field| !names.hold(field)),
            Self::Rename { from, to, hard } => rename(fields, from, to, *hard),
            Self::Copy { from, to, hard } => copy(fields, from, to, *hard),
            Self::MoveToStart(names) => order(fields, |field| !names.hold(field)),
            Self::MoveToEnd(names) => order(fields, |field| names.hold(field)),
        }
    }
}

fn rename<'a>(fields: &mut Fields<'a>, from: &'a Key, to: &'a Key, hard: bool) {
    if from.count(fields) == 0 || (!hard && to.count(fields) > 0) {
        return;
    }
    fields.retain(|field| !to.is_of(field));
    for at in 0..fields.len() {
        if from.is_of(&fields.as_slice()[at]) {
            let old = std::mem::replace(&mut fields.edit()[at].key, Piece::Ref(&to.encoded));
            // Room that is let go here would be asked for again with every record.
            if let Piece::Own(made) = old {
                fields.recycle(made);
            }
        }
    }
}

/// A field that is there twice is not copied, nor is a target that is there twice replaced.
fn copy<'a>(fields: &mut Fields<'a>, from: &'a Key, to: &'a Key, hard: bool) {
    if from.text == to.text || from.count(fields) != 1 || to.count(fields) > usize::from(hard) {
        return;
    }
    fields.retain(|field| !to.is_of(field));
    let Some(at) = fields.as_slice().iter().position(|field| from.is_of(field)) else { return };
    let mut room = fields.buffer();
    let value = match &fields.as_slice()[at].value {
        Piece::Own(made) => {
            room.extend_from_slice(made);
            Piece::Own(room)
        }
        lent => {
            let lent = lent.clone();
            fields.recycle(room);
            lent
        }
    };
    fields.edit().insert(at + 1, Field { key: Piece::Ref(&to.encoded), value });
}

/// Sorts fields for which `later` is false before the others; both groups keep their order.
fn order(fields: &mut Fields<'_>, later: impl Fn(&Field<'_>) -> bool) {
    if !fields.as_slice().is_sorted_by_key(&later) {
        fields.edit().sort_by_key(later);
    }
}

impl Key {
    fn new(text: &str) -> Self {
        Self { text: text.as_bytes().into(), encoded: encoded(text) }
    }

    fn is_of(&self, field: &Field<'_>) -> bool {
        field.name() == Some(&self.text)
    }

    fn count(&self, fields: &Fields<'_>) -> usize {
        fields.as_slice().iter().filter(|field| self.is_of(field)).count()
    }
}

impl Names {
    fn hold(&self, field: &Field<'_>) -> bool {
        field.name().is_some_and(|name| match self {
            Self::Exact(text) => *name == **text,
            Self::Prefix(text) => name.starts_with(text),
            Self::Matching(regex) => regex.is_match(name),
        })
    }
}

impl Condition {
    fn holds(&self, fields: &Fields<'_>) -> bool {
        match self {
            Self::Exists { key, holds } => key.lookup_raw(fields).is_some() == *holds,
            Self::AnyKeyMatches { keys, holds } => {
                fields.as_slice().iter().any(|field| key_matches(keys, field)) == *holds
            }
            Self::Equals { key, text, holds } => {
                key.lookup(fields).is_some_and(|value| (value == View::Str(text)) == *holds)
            }
            Self::Matches { key, regex, holds } => {
                key.lookup(fields).is_some_and(|value| value_matches(regex, &value) == *holds)
            }
            Self::MatchingValues { keys, values, holds } => {
                let all = fields.as_slice().iter().filter(|field| key_matches(keys, field)).all(|field| {
                    View::parse(field.value.bytes()).is_ok_and(|(value, _)| value_matches(values, &value))
                });
                all == *holds
            }
        }
    }
}

fn key_matches(regex: &Regex, field: &Field<'_>) -> bool {
    field.name().is_some_and(|name| regex.is_match(name))
}

/// Booleans match by their names, numbers never: recorded case `modify-cond-key-value-matches-int`.
fn value_matches(regex: &Regex, value: &View<'_>) -> bool {
    match value {
        View::Str(text) => regex.is_match(text),
        View::Bool(true) => regex.is_match(b"true"),
        View::Bool(false) => regex.is_match(b"false"),
        _ => false,
    }
}

/// How the registry knows it.
pub(crate) fn plugin() -> FilterPlugin {
    Plugin { name: "modify", aliases: &[], options: ModifyOptions::set, build }
}

fn build(bag: &mut PropertyBag, _cx: &BuildContext, found: &mut Diagnostics) -> Option<Box<dyn Filter>> {
    let options = ModifyOptions::parse(bag, found)?;
    Some(Box::new(Modify::build(&options, found)?))
}

/// A rule as it was written.
struct Written<'o> {
    option: &'static str,
    text: &'o InOrder<String>,
}

fn in_file_order(options: &ModifyOptions) -> Vec<Written<'_>> {
    let kinds = [
        ("Set", &options.set),
        ("Add", &options.add),
        ("Remove", &options.remove),
        ("Remove_wildcard", &options.remove_wildcard),
        ("Remove_regex", &options.remove_regex),
        ("Rename", &options.rename),
        ("Hard_rename", &options.hard_rename),
        ("Copy", &options.copy),
        ("Hard_copy", &options.hard_copy),
        ("Move_to_start", &options.move_to_start),
        ("Move_to_end", &options.move_to_end),
    ];
    let mut rules: Vec<_> = kinds
        .into_iter()
        .flat_map(|(option, texts)| texts.iter().map(move |text| Written { option, text }))
        .collect();
    rules.sort_by_key(|rule| rule.text.order);
    rules
}

impl Written<'_> {
    fn build(&self, found: &mut Diagnostics) -> Option<Rule> {
        let words = words(self.option, &self.text.value, self.text.span, found)?;
        match (self.option, &*words) {
            ("Set", [key, value]) => Some(Rule::Set { key: Key::new(key), value: encoded(value) }),
            ("Add", [key, value]) => Some(Rule::Add { key: Key::new(key), value: encoded(value) }),
            ("Rename" | "Hard_rename", [from, to]) => Some(Rule::Rename {
                from: Key::new(from),
                to: Key::new(to),
                hard: self.option == "Hard_rename",
            }),
            ("Copy" | "Hard_copy", [from, to]) => {
                Some(Rule::Copy { from: Key::new(from), to: Key::new(to), hard: self.option == "Hard_copy" })
            }
            ("Remove", [key]) => Some(Rule::Remove(Names::Exact(key.as_bytes().into()))),
            ("Remove_regex", [pattern]) => {
                regex(pattern, self.text.span, found).map(|regex| Rule::Remove(Names::Matching(regex)))
            }
            ("Remove_wildcard", [start]) => Some(Rule::Remove(self.prefix(start, found))),
            ("Move_to_start", [start]) => Some(Rule::MoveToStart(self.prefix(start, found))),
            ("Move_to_end", [start]) => Some(Rule::MoveToEnd(self.prefix(start, found))),
            (_, words) => {
                found.push(self.wrong_count(words));
                None
            }
        }
    }

    fn prefix(&self, start: &str, found: &mut Diagnostics) -> Names {
        if let Some(bare) = start.strip_suffix('*') {
            let message = format!("`{}` takes the start of a name; the `*` stands for itself", self.option);
            let help = format!("type `{} {bare}`", self.option);
            found.push(Diagnostic::warning(codes::ADJUSTED_VALUE, message).at(self.text.span).help(help));
        }
        Names::Prefix(start.as_bytes().into())
    }

    fn wrong_count(&self, words: &[String]) -> Diagnostic {
        let option = self.option;
        let (needs, example) = match option {
            "Set" | "Add" => ("a name and one word", "name text"),
            "Rename" | "Hard_rename" | "Copy" | "Hard_copy" => ("two names", "name new_name"),
            "Remove_regex" => ("one regular expression", "^name"),
            _ => ("one name", "name"),
        };
        let help = match (option, words) {
            ("Set" | "Add", [key, rest @ ..]) if rest.len() > 1 => {
                format!("put the text in double quotes: `{option} {key} \"{}\"`", rest.join(" "))
            }
            _ => format!("type `{option} {example}`"),
        };
        let message = format!("`{option}` takes {needs}, not {}", count(words.len()));
        Diagnostic::error(codes::BAD_VALUE, message).at(self.text.span).help(help)
    }
}

fn count(words: usize) -> String {
    if words == 1 { "one word".to_owned() } else { format!("{words} words") }
}

fn words(option: &str, text: &str, span: Span, found: &mut Diagnostics) -> Option<Vec<String>> {
    let words = quoted_words(text);
    if words.is_none() {
        let message = format!("a quote in `{option}` is never closed");
        let help = "put a quote that stands for itself inside quotes of the other kind";
        found.push(Diagnostic::error(codes::BAD_VALUE, message).at(span).help(help));
    }
    words
}

/// The conditions by name.
const CONDITIONS: [&str; 10] = [
    "Key_exists",
    "Key_does_not_exist",
    "A_key_matches",
    "No_key_matches",
    "Key_value_equals",
    "Key_value_does_not_equal",
    "Key_value_matches",
    "Key_value_does_not_match",
    "Matching_keys_have_matching_values",
    "Matching_keys_do_not_have_matching_values",
];

fn condition(text: &str, span: Span, found: &mut Diagnostics) -> Option<Condition> {
    let words = words("Condition", text, span, found)?;
    let (name, words) = words.split_first()?;
    let Some(kind) = CONDITIONS.iter().position(|known| known.eq_ignore_ascii_case(name)) else {
        let near = ikada_options::nearest(name, CONDITIONS);
        let names = if near.is_empty() { &CONDITIONS[..] } else { &near };
        let help = format!("it is one of {}", ikada_options::quoted_list(names, "or"));
        let message = format!("`{name}` is no condition");
        found.push(Diagnostic::error(codes::BAD_VALUE, message).at(span).help(help));
        return None;
    };
    let arguments = if kind < 4 { 1 } else { 2 };
    if words.len() != arguments {
        let message = format!("`{}` takes {}, not {}", CONDITIONS[kind], count(arguments), words.len());
        let help = "quotes keep blanks inside a word: `Key_value_equals level \"not ok\"`";
        found.push(Diagnostic::error(codes::BAD_VALUE, message).at(span).help(help));
        return None;
    }
    let holds = kind % 2 == 0;
    match (kind, words) {
        (0 | 1, [key]) => Some(Condition::Exists { key: name_or_accessor(key, span, found)?, holds }),
        (2 | 3, [keys]) => Some(Condition::AnyKeyMatches { keys: regex(keys, span, found)?, holds }),
        (4 | 5, [key, text]) => {
            let key = name_or_accessor(key, span, found)?;
            Some(Condition::Equals { key, text: text.as_bytes().into(), holds })
        }
        (6 | 7, [key, pattern]) => {
            let key = name_or_accessor(key, span, found)?;
            Some(Condition::Matches { key, regex: regex(pattern, span, found)?, holds })
        }
        (_, [keys, values]) => {
            let keys = regex(keys, span, found)?;
            Some(Condition::MatchingValues { keys, values: regex(values, span, found)?, holds })
        }
        _ => None,
    }
}
