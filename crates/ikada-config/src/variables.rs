//! Variables: `@SET name=value`, the environment, and `${NAME}` in values.

use std::collections::HashMap;
use std::ops::Range;

use ikada_diag::{Diagnostic, Diagnostics, codes};
use ikada_options::{Property, nearest, quoted_list};

use crate::document::Section;
use crate::env::Env;

/// Bytes that all values of a configuration may grow to by replacing variables.
const LARGEST_EXPANSION: usize = 64 << 20;

/// Findings about undefined variables that one value gives at most.
const FINDINGS_PER_VALUE: usize = 8;

/// The variables of a configuration: its own come before those of the environment.
pub struct Variables<'a> {
    own: HashMap<String, String>,
    env: &'a dyn Env,
    room: usize,
    /// What sets the configuration's own, for people.
    set_in: &'static str,
}

/// What one value becomes.
#[derive(Debug, PartialEq, Eq)]
enum Expansion {
    /// It holds no variable.
    Same,
    /// It holds variables, and this is what they give.
    Text(String),
    /// It would become too long.
    TooLong,
}

/// What was found while replacing, with byte ranges in the value.
#[derive(Debug, Default, PartialEq, Eq)]
struct Findings {
    undefined: Vec<(String, Range<usize>)>,
    unreplaced: Option<Range<usize>>,
}

impl<'a> Variables<'a> {
    /// Returns the variables of an environment.
    pub fn new(env: &'a dyn Env) -> Self {
        Variables { own: HashMap::new(), env, room: LARGEST_EXPANSION, set_in: "`@SET`" }
    }

    /// Says what sets the configuration's own variables, for helps.
    pub(crate) fn set_in(&mut self, what: &'static str) {
        self.set_in = what;
    }

    /// Sets a variable of the configuration's own; a later value replaces a former one.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.own.insert(name.into(), value.into());
    }

    /// Replaces the variables in all values of a section.
    pub fn expand_section(&mut self, section: &mut Section, diags: &mut Diagnostics) {
        for property in &mut section.properties {
            self.expand_property(property, diags);
        }
        for processor in &mut section.processors {
            self.expand_section(processor, diags);
        }
    }

    fn expand_property(&mut self, property: &mut Property, diags: &mut Diagnostics) {
        let mut findings = Findings::default();
        let expansion = self.expand(&property.value.value, &mut findings);
        self.report(property, &findings, diags);
        match expansion {
            Expansion::Same => {}
            Expansion::Text(text) => {
                property.written = Some(std::mem::replace(&mut property.value.value, text));
            }
            Expansion::TooLong => diags.push(
                Diagnostic::error(
                    codes::TOO_MUCH_EXPANSION,
                    format!(
                        "with the variables in `{}`, values take more than {LARGEST_EXPANSION} bytes",
                        property.key.value
                    ),
                )
                .at(property.value.span),
            ),
        }
    }

    /// Replaces every `${NAME}` and `${NAME:-default}` in one pass: what a variable gives is not looked at again. A
    /// `}` that stands before the next `${` ends the replacing, as it does in Fluent Bit.
    fn expand(&mut self, value: &str, findings: &mut Findings) -> Expansion {
        let mut text = String::new();
        let mut at = 0;
        while let Some(found) = value[at..].find("${") {
            let start = at + found;
            let end = value[at..].find('}').map(|end| at + end);
            let Some(end) = end.filter(|end| *end > start) else {
                findings.unreplaced = Some(start..value.len().min(start + 2));
                break;
            };
            text.push_str(&value[at..start]);
            if end == start + 2 {
                findings.unreplaced = Some(start..end + 1);
                text.push_str("${}");
                at = end + 1;
                continue;
            }
            self.replace(&value[start + 2..end], start..end + 1, &mut text, findings);
            at = end + 1;
            if text.len() > self.room {
                self.room = 0;
                return Expansion::TooLong;
            }
        }
        if at == 0 {
            return Expansion::Same;
        }
        text.push_str(&value[at..]);
        self.room = self.room.saturating_sub(text.len());
        Expansion::Text(text)
    }

    fn replace(&self, inner: &str, place: Range<usize>, text: &mut String, findings: &mut Findings) {
        let (name, default) = match inner.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (inner, None),
        };
        if let Some(own) = self.own.get(name) {
            return text.push_str(own);
        }
        if let Some(value) = self.env.var(name) {
            return text.push_str(&value);
        }
        if let Some(default) = default {
            return text.push_str(default);
        }
        if findings.undefined.len() < FINDINGS_PER_VALUE {
            findings.undefined.push((name.to_owned(), place));
        }
    }

    fn report(&self, property: &Property, findings: &Findings, diags: &mut Diagnostics) {
        let key = &property.key.value;
        for (name, place) in &findings.undefined {
            let message = format!("`${{{name}}}` in `{key}` is not set; nothing takes its place");
            diags.push(
                Diagnostic::warning(codes::UNDEFINED_VARIABLE, message)
                    .at(property.value.span.part(place.start, place.end))
                    .help(self.help_for(name)),
            );
        }
        if let Some(place) = &findings.unreplaced {
            let message = format!("a `${{` in `{key}` stays as it is");
            let is_closed = place.len() > 2;
            let help = match is_closed {
                true => "write the name of a variable between the braces",
                false => "a `}` has to close it, and none may stand before it",
            };
            diags.push(
                Diagnostic::warning(codes::UNREPLACED_VARIABLE, message)
                    .at(property.value.span.part(place.start, place.end))
                    .help(help),
            );
        }
    }

    fn help_for(&self, name: &str) -> String {
        let near = nearest(name, self.own.keys().map(String::as_str));
        match near.is_empty() {
            true => format!("set it, or write a default: `${{{name}:-default}}`"),
            false => format!("{} defines {}", self.set_in, quoted_list(&near, "and")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::MapEnv;

    fn expand(value: &str) -> (Expansion, Findings) {
        let env = MapEnv::new().with("A", "1").with("B", "2").with("EMPTY", "").with("NESTED", "${A}");
        let mut variables = Variables::new(&env);
        variables.set("own", "mine");
        variables.set("B", "b");
        variables.set("nothing", "");
        let mut findings = Findings::default();
        (variables.expand(value, &mut findings), findings)
    }

    #[test]
    fn every_row_of_the_reference_gives_what_fluent_bit_gives() {
        let rows = [
            ("a${A}b${own}c", "a1bminec"),
            ("x${UNDEF}y", "xy"),
            ("${UNDEF}", ""),
            ("${UNDEF:-dflt}", "dflt"),
            ("${UNDEF:-}", ""),
            ("${UNDEF:-${G}}", "${G}"),
            ("$${A}", "$1"),
            ("${NESTED}", "${A}"),
            ("${B}", "b"),
            ("${nothing}.", "."),
            ("${EMPTY:-e}", "e"),
            ("${A:-x}", "1"),
            ("${A}}${B}", "1}${B}"),
        ];
        for (value, expected) in rows {
            assert_eq!(expand(value).0, Expansion::Text(expected.to_owned()), "{value}");
        }
        for value in ["plain", "a${A", "$A", "}x${A}", "", "{}"] {
            assert_eq!(expand(value).0, Expansion::Same, "{value}");
        }
    }

    #[test]
    fn only_a_variable_without_value_and_default_is_a_finding() {
        let undefined =
            |value| expand(value).1.undefined.into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        assert_eq!(undefined("x${U}y${A}${V}"), ["U", "V"]);
        assert!(undefined("${U:-}${nothing}${EMPTY:-}").is_empty());
        assert_eq!(undefined("${EMPTY}"), ["EMPTY"]);
        assert_eq!(expand("x${U}y").1.undefined, [("U".to_owned(), 1..5)]);
    }

    #[test]
    fn what_is_not_replaced_is_a_finding() {
        assert_eq!(expand("a${A").1.unreplaced, Some(1..3));
        assert_eq!(expand("}${A}").1.unreplaced, Some(1..3));
        assert_eq!(expand("${A}").1.unreplaced, None);
    }

    #[test]
    fn variables_do_not_grow_without_end() {
        let env = MapEnv::new();
        let mut variables = Variables::new(&env);
        variables.set("X", "x".repeat(1 << 20));
        let mut findings = Findings::default();
        assert_eq!(variables.expand(&"${X}".repeat(1000), &mut findings), Expansion::TooLong);
    }
}
