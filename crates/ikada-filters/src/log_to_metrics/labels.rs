//! Labels: names that the format allows, and values out of a record.

use std::borrow::Cow;
use std::fmt::Write as _;

use ikada_diag::{Diagnostic, Diagnostics, Span, codes};
use ikada_msgpack::View;
use ikada_options::InOrder;
use ikada_record::Fields;
use ikada_record::accessor::Accessor;

use super::LogToMetricsOptions;
use crate::rule::{accessor, part};

/// Bytes of a label's value that count, as in Fluent Bit.
const LONGEST_VALUE: usize = 251;

/// Labels that a metric may have, as in Fluent Bit.
const MOST: usize = 128;

/// The labels of a metric, in the order in which they were written.
pub(super) struct Labels(Vec<Label>);

struct Label {
    name: String,
    field: Accessor,
}

impl Labels {
    pub(super) fn build(options: &LogToMetricsOptions, found: &mut Diagnostics) -> Option<Self> {
        let fields = options.label_field.iter().map(|label| (true, label));
        let mut written: Vec<_> =
            fields.chain(options.add_label.iter().map(|label| (false, label))).collect();
        written.sort_by_key(|(_, label)| label.order);
        if let Some((_, label)) = written.get(MOST) {
            let message = format!("a metric has at most {MOST} labels");
            found.push(Diagnostic::error(codes::BAD_VALUE, message).at(label.span));
            return None;
        }
        let labels: Vec<_> = written
            .into_iter()
            .map(|(is_field, label)| if is_field { of_field(label, found) } else { of_pair(label, found) })
            .collect();
        let labels = labels.into_iter().collect::<Option<Vec<_>>>()?;
        for (at, (label, span)) in labels.iter().enumerate() {
            let is_taken =
                label.name == "le" || labels[..at].iter().any(|(other, _)| other.name == label.name);
            if is_taken {
                let message = format!("there can be only one label `{}`", label.name);
                let finding = Diagnostic::error(codes::CONFLICTING_OPTIONS, message).at(*span);
                found.push(finding.help("give it another name: `add_label other_name $field`"));
                return None;
            }
        }
        Some(Self(labels.into_iter().map(|(label, _)| label).collect()))
    }

    /// Writes `name="value"` for each label, parted by commas. A field that is not there, or is no plain value, is an empty text.
    pub(super) fn write(&self, out: &mut String, fields: &Fields<'_>) {
        for (at, label) in self.0.iter().enumerate() {
            out.push_str(if at > 0 { "," } else { "" });
            out.push_str(&label.name);
            out.push_str("=\"");
            if let Some(value) = label.field.lookup(fields) {
                write_value(out, &value);
            }
            out.push('"');
        }
    }
}

fn of_field(option: &InOrder<String>, found: &mut Diagnostics) -> Option<(Label, Span)> {
    let field = accessor(&option.value, option.span, found)?;
    let bare = option.value.trim_start_matches('$');
    let name = label_name(bare);
    if name != bare {
        let message = format!("`{}` is no name of a label, so it is called `{name}`", option.value);
        let help = format!("give it one: `add_label {name} {}`", option.value);
        found.push(Diagnostic::warning(codes::ADJUSTED_VALUE, message).at(option.span).help(help));
    }
    Some((Label { name: name.into_owned(), field }, option.span))
}

fn of_pair(option: &InOrder<String>, found: &mut Diagnostics) -> Option<(Label, Span)> {
    let Some((name, field)) = option.value.split_once(' ').filter(|(_, field)| !field.trim().is_empty())
    else {
        let finding =
            Diagnostic::error(codes::BAD_VALUE, "`add_label` needs a name and a field").at(option.span);
        found.push(finding.help(format!("type `add_label {} $field`", option.value.trim())));
        return None;
    };
    let start = option.value.len() - field.trim_start().len();
    let place = part(option.span, &option.value, start, option.value.trim_end().len());
    let field = accessor(field.trim(), place, found)?;
    let clean = label_name(name);
    if clean != name {
        let message = format!("`{name}` is no name of a label, so it is called `{clean}`");
        let place = part(option.span, &option.value, 0, name.len());
        let finding = Diagnostic::warning(codes::ADJUSTED_VALUE, message).at(place);
        found.push(finding.help("names are made of letters, digits and `_`"));
    }
    Some((Label { name: clean.into_owned(), field }, option.span))
}

/// Runs of letters that a label's name may not have become one `_`; none stands at the end.
fn label_name(text: &str) -> Cow<'_, str> {
    if !text.is_empty() && clean(text, true, |_| false) == text {
        return text.into();
    }
    let mut name = String::new();
    for letter in clean(text, true, |_| false).chars() {
        if letter != '_' || !name.ends_with('_') {
            name.push(letter);
        }
    }
    match name.trim_end_matches('_') {
        "" => "label".into(),
        name => name.to_owned().into(),
    }
}

/// A name with `_` for everything but letters, digits, `_` and what `also` allows; a digit does not stand first.
pub(super) fn clean(text: &str, is_start: bool, also: impl Fn(char) -> bool) -> String {
    let mut name = String::with_capacity(text.len() + 1);
    if is_start && text.starts_with(|first: char| first.is_ascii_digit()) {
        name.push('_');
    }
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || also(letter);
    name.extend(text.chars().map(|letter| if allowed(letter) { letter } else { '_' }));
    name
}

fn write_value(out: &mut String, value: &View<'_>) {
    match *value {
        View::Str(text) => write_text(out, text),
        View::Int(n) => out.push_str(itoa::Buffer::new().format(n)),
        View::Uint(n) => out.push_str(itoa::Buffer::new().format(n)),
        View::Float(n) => write!(out, "{n:.6}").expect("writing into a String does not fail"),
        View::Bool(true) => out.push_str("true"),
        View::Bool(false) => out.push_str("false"),
        _ => {}
    }
}

/// Bytes that are no UTF-8 become U+FFFD: the format is text.
fn write_text(out: &mut String, text: &[u8]) {
    if let Some(plain) = plain(text) {
        return out.push_str(plain);
    }
    let mut left = LONGEST_VALUE;
    for chunk in text.utf8_chunks() {
        let odd = if chunk.invalid().is_empty() { "" } else { "\u{fffd}" };
        for letter in chunk.valid().chars().chain(odd.chars()) {
            let Some(rest) = left.checked_sub(letter.len_utf8()) else { return };
            left = rest;
            match letter {
                '\\' => out.push_str("\\\\"),
                '"' => out.push_str("\\\""),
                '\n' => out.push_str("\\n"),
                letter => out.push(letter),
            }
        }
    }
}

/// A short text in which nothing is to be escaped, as nearly all are.
fn plain(text: &[u8]) -> Option<&str> {
    let is_plain = text.len() <= LONGEST_VALUE && memchr::memchr3(b'\\', b'"', b'\n', text).is_none();
    is_plain.then(|| std::str::from_utf8(text).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: &[u8]) -> String {
        let mut out = String::new();
        write_value(&mut out, &View::Str(value));
        out
    }

    #[test]
    fn names_are_made_of_what_the_format_allows() {
        let names = [
            ("status", "status"),
            ("x-y", "x_y"),
            ("m['x'][0]", "m_x_0"),
            ("1st", "_1st"),
            ("___", "___"),
            ("é", "label"),
            ("", "label"),
        ];
        for (written, name) in names {
            assert_eq!(label_name(written), name, "{written}");
        }
    }

    #[test]
    fn values_are_escaped_and_bounded() {
        assert_eq!(text(b"a\"b\\c\nd"), "a\\\"b\\\\c\\nd");
        assert_eq!(text(b"a\xffb"), "a\u{fffd}b");
        assert_eq!(text(&[b'x'; 1000]).len(), 251);
        assert_eq!(text("é".repeat(500).as_bytes()).len(), 250);
    }
}
