//! The keys of one section: texts become properties, lists become repeated ones, everything else is a finding.

use ikada_diag::{Diagnostic, Severity, Spanned, codes};
use ikada_options::Property;

use super::names::{option_of, quoted, starts_dotted_names};
use super::shape::{Reader, is_named};
use super::tree::{Node, Pair, Value};
use crate::document::SectionKind;

/// Longest value that a help repeats, in characters.
const LONGEST_SHOWN: usize = 80;

impl Reader<'_> {
    /// Makes properties of pairs, but for those named in `apart`, which the caller looks at.
    pub(super) fn properties(&mut self, kind: SectionKind, pairs: &[Pair], apart: &[&str]) -> Vec<Property> {
        let mut properties = Vec::with_capacity(pairs.len());
        for pair in pairs.iter().filter(|pair| !apart.iter().any(|name| is_named(pair, name))) {
            self.option(kind, pair, &mut properties);
        }
        properties
    }

    fn option(&mut self, kind: SectionKind, pair: &Pair, properties: &mut Vec<Property>) {
        let Some(written) = self.key_of(&pair.key) else { return };
        let key = Spanned::new(option_of(written), pair.key.span);
        if self.set_aside(kind, &key.value, &pair.key) {
            return;
        }
        match &pair.value.value {
            Value::Text { text, .. } => {
                // A plugin without a name gets its finding when instances are made.
                let is_name = kind.plugin().is_some() && key.value.eq_ignore_ascii_case("name");
                if pair.value.is_nothing() && !is_name {
                    self.report_empty(&key);
                }
                let span = self.visible(pair.value.span, &pair.key);
                // As Fluent Bit: a block of text ends in a line end that nobody means.
                let text = text.trim_matches(|c: char| c.is_ascii_whitespace() || c == '\x0b');
                properties.push(Property::new(key, Spanned::new(text.to_owned(), span)));
            }
            Value::List(items) => self.repeated(kind, &key, pair, items, properties),
            Value::Map(_) => self.report_nested(&key, &pair.value),
            Value::Alias => {}
        }
    }

    /// Takes a list as one property for each of its texts.
    fn repeated(
        &mut self,
        kind: SectionKind,
        key: &Spanned<String>,
        pair: &Pair,
        items: &[Node],
        properties: &mut Vec<Property>,
    ) {
        if items.is_empty() {
            self.report_empty(key);
        }
        if kind == SectionKind::Service {
            self.report_list_in_service(key);
        }
        for item in items {
            match &item.value {
                Value::Text { text, .. } => {
                    let span = self.visible(item.span, &pair.key);
                    properties.push(Property::new(key.clone(), Spanned::new(text.clone(), span)));
                }
                Value::Alias => {}
                _ => self.report_nested(key, item),
            }
        }
    }

    /// Fluent Bit takes one text for each key of the service. Several files with parsers are understood here.
    fn report_list_in_service(&mut self, key: &Spanned<String>) {
        let name = &key.value;
        let is_files = ["parsers_file", "plugins_file"].iter().any(|files| name.eq_ignore_ascii_case(files));
        let severity = if is_files { Severity::Warning } else { Severity::Error };
        let message = match is_files {
            true => format!("`{name}` is a list, which Fluent Bit refuses"),
            false => format!("`{name}` of the service takes one text, and this is a list"),
        };
        let help = match is_files {
            true => "name the files in `includes`: parsers may stand in any file",
            false => "write one value behind the `:`",
        };
        self.push(Diagnostic::new(severity, codes::YAML_SHAPE, message).at(key.span).help(help));
    }

    fn report_empty(&mut self, key: &Spanned<String>) {
        let message = format!("`{}` has no value, which makes it an empty text", key.value);
        let help = "remove the line or give it a value; `\"\"` says that it is meant to be empty";
        self.push(Diagnostic::warning(codes::EMPTY_VALUE, message).at(key.span).help(help));
    }

    /// What Fluent Bit has in YAML alone, and Ikada does not have.
    fn set_aside(&mut self, kind: SectionKind, name: &str, key: &Node) -> bool {
        let (severity, message, help) = match (name.to_ascii_lowercase().as_str(), kind) {
            // They are read apart.
            ("processors", SectionKind::Input | SectionKind::Output) => return true,
            ("processors", SectionKind::Filter) => {
                (Severity::Warning, "a filter has no processors; they are ignored", "remove them")
            }
            ("routes", SectionKind::Input) => (
                Severity::Error,
                "conditional routes are not supported, so records would go elsewhere",
                "route by tag: give the input a `tag` and each output a `match`",
            ),
            ("telemetry", SectionKind::Input | SectionKind::Service) => {
                (Severity::Warning, "`telemetry` is ignored: it is not supported", "remove it")
            }
            ("routes" | "telemetry", SectionKind::Filter | SectionKind::Output) => {
                (Severity::Error, "`routes` and `telemetry` belong to inputs", "remove it")
            }
            _ => return false,
        };
        self.push(Diagnostic::new(severity, codes::UNSUPPORTED_OPTION, message).at(key.span).help(help));
        true
    }

    fn report_nested(&mut self, key: &Spanned<String>, value: &Node) {
        let name = &key.value;
        let message = format!("`{name}` takes text, and this is {}", value.word());
        let start = value.span.start as usize;
        let raw = self.text.get(start..value.span.end as usize).unwrap_or_default();
        let in_brackets = raw.starts_with(['{', '[']);
        let help = match &value.value {
            Value::Map(pairs) if starts_dotted_names(name) => {
                let first = pairs.first().and_then(|pair| pair.key.text()).unwrap_or("…");
                format!("options are flat: write `{name}.{}: …`", option_of(first))
            }
            _ if in_brackets && !raw.contains('\n') && raw.chars().count() <= LONGEST_SHOWN => {
                format!("quote it: `{name}: {}`", quoted(raw))
            }
            _ if in_brackets => "put the whole value in single quotes".to_owned(),
            Value::Map(_) => {
                format!("write each pair as a text: `{name}: key value`, or a list of such texts")
            }
            _ => "write a list of texts, each behind its own `-`".to_owned(),
        };
        let span = if in_brackets { value.span } else { key.span };
        self.error(codes::NESTED_VALUE, span, message, help);
    }
}
