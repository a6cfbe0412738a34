//! `checklist`: adds fields to records whose value stands in a list.
//!
//! The list is read once, when the filter is built. An exact lookup is one hash; a partial one is one search in a sorted list, and only
//! entries with `%` or `_` in them are tried one by one.

use std::collections::HashSet;
use std::path::PathBuf;

use ikada_diag::{Diagnostic, Diagnostics, Severity, codes};
use ikada_options::{Choice, Options, PropertyBag, SpaceList, Spanned};
use ikada_plugin::registry::{BuildContext, FilterPlugin, Plugin};
use ikada_plugin::{EntryContext, Filter, Verdict};
use ikada_record::accessor::Accessor;
use ikada_record::{Fields, Piece};

use crate::rule::name_or_accessor;
use crate::text::encoded;

/// Adds fields to records in which the text of a field stands in a list.
#[derive(Debug, Options)]
#[options(filter = "checklist")]
pub struct ChecklistOptions {
    /// The list: one entry a line; empty lines and lines that start with `#` do not count. A path is relative to the working directory.
    #[option(required, example = "/fluent-bit/blocked.txt")]
    pub file: Spanned<PathBuf>,
    /// The field that is looked up: a name or an accessor such as `$client['ip']`. Only texts are found.
    #[option(default = "log", example = "$client['ip']")]
    pub lookup_key: Spanned<String>,
    /// A field that is added where there is a hit: `NAME TEXT`; `true`, `false` and `null` are values of their own. Fields of that name are
    /// replaced.
    #[option(example = "blocked true")]
    pub record: Vec<Spanned<SpaceList>>,
    /// How entries are compared.
    #[option(default = "exact")]
    pub mode: Mode,
    /// Compares without regard to ASCII case.
    #[option(default = "false")]
    pub ignore_case: bool,
    /// Has no effect: a lookup takes less time than the line that would tell of it.
    #[option(no_effect)]
    pub print_query_time: Option<bool>,
}

/// How entries are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Choice)]
pub enum Mode {
    /// The value is an entry.
    Exact,
    /// The value starts with an entry, in which `%` stands for any text and `_` for one character.
    Partial,
}

/// The filter, ready to run.
#[derive(Debug)]
pub struct Checklist {
    key: Accessor,
    list: List,
    ignore_case: bool,
    added: Vec<Added>,
}

#[derive(Debug)]
struct Added {
    name: Box<[u8]>,
    key: Box<[u8]>,
    value: Box<[u8]>,
}

#[derive(Debug)]
enum List {
    Exact(HashSet<Box<[u8]>>),
    Partial {
        /// Sorted, and none is the start of another.
        starts: Vec<Box<[u8]>>,
        patterns: Vec<Box<[u8]>>,
    },
}

impl Checklist {
    /// Checks the options; `text` is the list's content.
    pub fn build(options: &ChecklistOptions, text: &[u8], found: &mut Diagnostics) -> Option<Self> {
        let key = name_or_accessor(&options.lookup_key.value, options.lookup_key.span, found);
        let added: Vec<_> = options.record.iter().map(|words| added(words, found)).collect();
        if added.is_empty() {
            let message = "without `record` a hit changes nothing";
            let finding = Diagnostic::warning(codes::MISSING_OPTION, message).at(options.file.span);
            found.push(finding.help("add a field, such as `record blocked true`"));
        }
        Some(Self {
            key: key?,
            list: List::read(text, options.mode, options.ignore_case),
            ignore_case: options.ignore_case,
            added: added.into_iter().collect::<Option<_>>()?,
        })
    }

    fn is_hit(&self, fields: &mut Fields<'_>) -> bool {
        if !self.ignore_case {
            let value = self.key.lookup(fields);
            return value.and_then(|value| value.as_str()).is_some_and(|text| self.list.holds(text));
        }
        let mut lower = fields.buffer();
        let text = self.key.lookup(fields).and_then(|value| value.as_str());
        let hit = text.is_some_and(|text| {
            lower.extend_from_slice(text);
            lower.make_ascii_lowercase();
            self.list.holds(&lower)
        });
        fields.recycle(lower);
        hit
    }
}

impl Filter for Checklist {
    fn filter<'a>(&'a self, _cx: &mut EntryContext<'_>, fields: &mut Fields<'a>) -> Verdict {
        if !self.added.is_empty() && self.is_hit(fields) {
            fields.retain(|field| !self.added.iter().any(|added| field.name() == Some(&added.name)));
            for added in &self.added {
                fields.push(Piece::Ref(&added.key), Piece::Ref(&added.value));
            }
        }
        Verdict::Keep
    }
}

impl List {
    fn read(text: &[u8], mode: Mode, ignore_case: bool) -> Self {
        let lines = text.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        let entries = lines.filter(|line| !line.is_empty() && line[0] != b'#').map(|line| {
            let mut entry: Box<[u8]> = line.into();
            if ignore_case {
                entry.make_ascii_lowercase();
            }
            entry
        });
        if mode == Mode::Exact {
            return Self::Exact(entries.collect());
        }
        let (patterns, mut starts): (Vec<_>, Vec<_>) =
            entries.partition(|entry| entry.iter().any(|byte| b"%_".contains(byte)));
        starts.sort_unstable();
        // The entries that one entry is the start of follow it.
        starts.dedup_by(|entry, before| entry.starts_with(before));
        Self::Partial { starts, patterns }
    }

    fn holds(&self, text: &[u8]) -> bool {
        match self {
            Self::Exact(entries) => entries.contains(text),
            Self::Partial { starts, patterns } => {
                // As none is the start of another, only the last one that is not above the text can be the text's start.
                let at = starts.partition_point(|start| **start <= *text);
                at.checked_sub(1).is_some_and(|at| text.starts_with(&starts[at]))
                    || patterns.iter().any(|pattern| is_start(pattern, text))
            }
        }
    }
}

/// Whether a text starts with what a pattern stands for: `%` any run, `_` one character.
fn is_start(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut seen) = (0, 0);
    let mut again: Option<(usize, usize)> = None;
    while let Some(&sign) = pattern.get(at) {
        let step = match sign {
            b'%' => {
                again = Some((at + 1, seen));
                at += 1;
                continue;
            }
            b'_' => character(&text[seen..]),
            sign => usize::from(text.get(seen) == Some(&sign)),
        };
        match (step, again) {
            (1.., _) => (at, seen) = (at + 1, seen + step),
            (0, Some((behind, from))) if from < text.len() => {
                again = Some((behind, from + 1));
                (at, seen) = (behind, from + 1);
            }
            _ => return false,
        }
    }
    true
}

/// Bytes of the first character; a stray byte counts as one.
fn character(text: &[u8]) -> usize {
    let Some((_, rest)) = text.split_first() else { return 0 };
    1 + if text[0] < 0xc0 { 0 } else { rest.iter().take(3).take_while(|byte| **byte & 0xc0 == 0x80).count() }
}

fn added(words: &Spanned<SpaceList>, found: &mut Diagnostics) -> Option<Added> {
    let [key, value] = &*words.value.0 else {
        let message = format!("`record` needs a name and one word, not {} words", words.value.0.len());
        let help = "type `record name \"some text\"`";
        found.push(Diagnostic::error(codes::BAD_VALUE, message).at(words.span).help(help));
        return None;
    };
    let typed: Box<[u8]> = match value.to_ascii_lowercase().as_str() {
        "true" => [0xc3].into(),
        "false" => [0xc2].into(),
        "null" => [0xc0].into(),
        _ => encoded(value),
    };
    Some(Added { name: key.as_bytes().into(), key: encoded(key), value: typed })
}

/// How the registry knows it.
pub(crate) fn plugin() -> FilterPlugin {
    Plugin { name: "checklist", aliases: &[], options: ChecklistOptions::set, build }
}

fn build(bag: &mut PropertyBag, cx: &BuildContext, found: &mut Diagnostics) -> Option<Box<dyn Filter>> {
    let options = ChecklistOptions::parse(bag, found)?;
    // A check may run where the file is not.
    let text = if cx.dry_run { Ok(Vec::new()) } else { std::fs::read(&options.file.value) };
    let text = text
        .map_err(|error| {
            let is_told = |finding: &Diagnostic| {
                finding.severity == Severity::Error && finding.span == Some(options.file.span)
            };
            if found.iter().any(is_told) {
                return;
            }
            let message = format!("`{}` cannot be read: {error}", options.file.value.display());
            let finding = Diagnostic::error(codes::UNREADABLE_FILE, message).at(options.file.span);
            found.push(finding.help("a path is relative to the working directory"));
        })
        .ok();
    let built = Checklist::build(&options, text.as_deref().unwrap_or_default(), found);
    text.and(built).map(|filter| Box::new(filter) as Box<dyn Filter>)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_the_start_of_a_text() {
        let hit = |pattern: &str, text: &str| is_start(pattern.as_bytes(), text.as_bytes());
        assert!(hit("a%b", "axb tail") && hit("a%b", "ab") && !hit("a%b", "ax"));
        assert!(hit("p_q", "p9q") && !hit("p_q", "pq") && hit("p_q", "pßq") && !hit("p_q", "p"));
        assert!(hit("%aab", "aaab") && hit("%", "") && hit("a%%c_", "abbcx") && !hit("a%c_", "abbc"));
    }

    #[test]
    fn the_shortest_of_nested_entries_decides() {
        let list = List::read(b"bad\nbadger\nba\r\n# no\n\nzoo", Mode::Partial, false);
        for (text, hit) in
            [("bad today", true), ("ba", true), ("b", false), ("zo", false), ("zoom", true), ("# no", false)]
        {
            assert_eq!(list.holds(text.as_bytes()), hit, "{text}");
        }
    }
}
