//! `KEY REGEX`: the rule that several filters share, with the findings it can give.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

use ikada_diag::{Diagnostic, Diagnostics, Span, codes};
use ikada_msgpack::View;
use ikada_parse::regex::{Answers, Many, Regex};
use ikada_record::Fields;
use ikada_record::accessor::Accessor;

/// A key whose text must match an expression.
#[derive(Debug)]
pub(crate) struct KeyRegex {
    key: Accessor,
    regex: Regex,
    /// Values that were there and no text.
    not_text: AtomicU32,
}

/// Values that are no text until the log says so, once for a rule: a few happen, many are a rule for the wrong field.
const TELL_AFTER: u32 = 100;

impl KeyRegex {
    /// Reads `KEY REGEX`: everything behind the first blank is the expression, further blanks and quotes included. Blanks
    /// inside `['…']` belong to the key.
    pub(crate) fn build(option: &str, text: &str, span: Span, found: &mut Diagnostics) -> Option<Self> {
        let Some((key, pattern)) = split(text) else {
            let finding = Diagnostic::error(
                codes::BAD_VALUE,
                format!("`{option}` needs a field and a regular expression"),
            );
            found.push(finding.at(span).help(format!("type `{option} {} ^error`", text.trim_end())));
            return None;
        };
        let pattern_at = key.len() + 1;
        let key = accessor(key, part(span, text, 0, key.len()), found);
        let regex = regex(pattern, part(span, text, pattern_at, text.len()), found);
        Some(Self { key: key?, regex: regex?, not_text: AtomicU32::new(0) })
    }

    /// The key's value.
    pub(crate) fn lookup<'r>(&self, fields: &'r Fields<'_>) -> Option<View<'r>> {
        self.key.lookup(fields)
    }

    /// The expression.
    pub(crate) fn regex(&self) -> &Regex {
        &self.regex
    }

    /// Whether the key's value is text that matches. A key that is not there does not match, nor does a value that is no
    /// text: recorded cases `grep-missing-key-*`, `grep-nonstring-*`.
    pub(crate) fn matches_value(&self, value: Option<View<'_>>) -> bool {
        match value {
            Some(View::Str(text)) => self.regex.is_match(text),
            Some(_) => {
                self.saw_no_text();
                false
            }
            None => false,
        }
    }

    /// Whether both look at the same place, so that it is looked up once.
    pub(crate) fn has_key_of(&self, other: &Self) -> bool {
        self.key.as_str() == other.key.as_str()
    }

    #[cold]
    fn saw_no_text(&self) {
        if self.not_text.load(Relaxed) < TELL_AFTER && self.not_text.fetch_add(1, Relaxed) + 1 == TELL_AFTER {
            tracing::warn!(
                key = %self.key,
                values = TELL_AFTER,
                "a rule's key often holds a number, a boolean or a map, which never match"
            );
        }
    }
}

/// The expressions of rules that look at one key, asked in one pass over its text.
///
/// Asking together is worth its price from [`WORTH_IT`] expressions on.
#[derive(Debug)]
pub(crate) struct Together {
    many: Many,
    room: Mutex<Answers>,
}

/// From this many expressions on, one pass for all is shorter than one for each.
pub(crate) const WORTH_IT: usize = 4;

/// What the expressions say of a text.
pub(crate) struct Said<'t> {
    many: &'t Many,
    text: &'t [u8],
    answers: MutexGuard<'t, Answers>,
}

impl Together {
    /// `None` where the expressions are to be asked one by one.
    pub(crate) fn of<'r>(regexes: impl ExactSizeIterator<Item = &'r Regex>) -> Option<Self> {
        if regexes.len() < WORTH_IT {
            return None;
        }
        let many = Many::new(&regexes.cloned().collect::<Vec<_>>())?;
        let room = Mutex::new(many.room());
        Some(Self { many, room })
    }

    /// Asks all expressions about a text.
    pub(crate) fn ask<'t>(&'t self, text: &'t [u8]) -> Said<'t> {
        let mut answers = self.room.lock().unwrap_or_else(PoisonError::into_inner);
        self.many.ask(text, &mut answers);
        Said { many: &self.many, text, answers }
    }
}

impl Said<'_> {
    /// Whether the expression with this number matches.
    pub(crate) fn matches(&self, number: usize) -> bool {
        self.many.is_match(number, self.text, &self.answers)
    }
}

/// Reads an accessor; what is wrong or strange about it becomes findings.
pub(crate) fn accessor(text: &str, span: Span, found: &mut Diagnostics) -> Option<Accessor> {
    match Accessor::new(text) {
        Ok(accessor) => {
            for caution in accessor.cautions() {
                let finding =
                    Diagnostic::warning(codes::ADJUSTED_VALUE, format!("`{text}`: {}", caution.message));
                found.push(Diagnostic { help: caution.help.clone(), ..finding.at(span) });
            }
            Some(accessor)
        }
        Err(error) => {
            let place = part(span, text, error.at, text.len());
            let finding =
                Diagnostic::error(codes::BAD_ACCESSOR, format!("`{text}` is no field: {error}")).at(place);
            found.push(finding.help("type `name`, `$name['inner'][0]` or `$['any name']`"));
            None
        }
    }
}

/// Reads an accessor where it starts with `$`, or else the name of a top-level key, whatever characters are in it.
pub(crate) fn name_or_accessor(text: &str, span: Span, found: &mut Diagnostics) -> Option<Accessor> {
    if text.starts_with('$') { accessor(text, span, found) } else { Some(Accessor::exact(text)) }
}

/// Reads a regular expression.
pub(crate) fn regex(pattern: &str, span: Span, found: &mut Diagnostics) -> Option<Regex> {
    if pattern.starts_with(' ') {
        let message = "the regular expression starts with a blank, which must match as well";
        let finding = Diagnostic::warning(codes::ADJUSTED_VALUE, message).at(span);
        found.push(finding.help("put one blank between field and expression"));
    }
    Regex::new(pattern)
        .map_err(|error| {
            let message = format!("`{pattern}` is no regular expression: {}", error.message);
            let place = part(span, pattern, error.position, pattern.len());
            found.push(Diagnostic::error(codes::BAD_REGEX, message).at(place).help(regex_help(pattern)));
        })
        .ok()
}

/// `*failure*` is how files are named; it is what people write who have not met regular expressions.
fn regex_help(pattern: &str) -> String {
    let bare = pattern.trim_matches('*');
    match bare.len() < pattern.len()
        && bare.bytes().all(|byte| byte.is_ascii_alphanumeric())
        && !bare.is_empty()
    {
        true => format!("an expression matches anywhere in the text: type `{bare}`"),
        false => "put a backslash before a sign that stands for itself: `\\*`".to_owned(),
    }
}

/// The two words, `None` if there is only one.
fn split(text: &str) -> Option<(&str, &str)> {
    let mut quoted = false;
    let bracketed = text.contains("['");
    let blank = text.bytes().position(|byte| {
        quoted ^= bracketed && byte == b'\'';
        byte == b' ' && !quoted
    })?;
    let (key, rest) = text.split_at(blank);
    (rest.len() > 1).then(|| (key, &rest[1..]))
}

/// The place of a part of an option's text; the whole place where variables were replaced in it.
pub(crate) fn part(span: Span, text: &str, start: usize, end: usize) -> Span {
    if span.len() == text.len() { span.part(start, end) } else { span }
}
