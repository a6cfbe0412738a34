//! What a person wrote in one section: properties, and which of them somebody has claimed.

use std::fmt;

use ikada_diag::{Diagnostic, Diagnostics, Severity, Span, Spanned, codes};

use crate::known::{Advice, advice_on_option, known_option};
use crate::nearest::{nearest, quoted_list};
use crate::spec::{OptionSet, PluginKind};

/// One key with its value.
#[derive(Clone, PartialEq, Eq)]
pub struct Property {
    /// The key as it was written.
    pub key: Spanned<String>,
    /// The value, with variables replaced.
    pub value: Spanned<String>,
    /// The value as it was written, when variables were replaced in it.
    pub written: Option<String>,
}

impl Property {
    /// Returns a property whose value holds no variables.
    pub fn new(key: Spanned<String>, value: Spanned<String>) -> Self {
        Property { key, value, written: None }
    }

    /// Returns the key in lower case, as options are matched.
    pub fn name(&self) -> String {
        self.key.value.to_ascii_lowercase()
    }

    /// Says whether the key is `name`, in any case.
    pub fn is_named(&self, name: &str) -> bool {
        self.key.value.eq_ignore_ascii_case(name)
    }

    /// Returns the value as it may be shown: as it was written, so that no variable's content appears, and cut
    /// after 80 characters.
    pub fn shown(&self) -> String {
        let text = self.written.as_deref().unwrap_or(&self.value.value);
        match text.char_indices().nth(80) {
            Some((end, _)) => format!("{}…", &text[..end]),
            None => text.to_owned(),
        }
    }
}

/// Shows the value as it was written: a variable may hold a secret.
impl fmt::Debug for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Property").field(&self.key.value).field(&self.shown()).finish()
    }
}

/// The properties of one section, from which options are taken until nothing known is left.
#[derive(Debug, Clone)]
pub struct PropertyBag {
    section: String,
    header: Span,
    properties: Vec<Property>,
    taken: Vec<bool>,
}

impl PropertyBag {
    /// Returns a bag for a section as people name it (`output s3`), with the place of its header.
    pub fn new(section: impl Into<String>, header: Span, properties: Vec<Property>) -> Self {
        let taken = vec![false; properties.len()];
        PropertyBag { section: section.into(), header, properties, taken }
    }

    /// Returns the section's name for people: `output s3`.
    pub fn section(&self) -> &str {
        &self.section
    }

    /// Returns where the section's header is.
    pub fn header(&self) -> Span {
        self.header
    }

    /// Returns all properties in the order of writing, the taken ones included.
    pub fn properties(&self) -> &[Property] {
        &self.properties
    }

    /// Returns the last property with this name (in any case), taken or not, without taking it.
    pub fn peek(&self, name: &str) -> Option<&Property> {
        self.properties.iter().rev().find(|property| property.is_named(name))
    }

    /// Adds a property behind the others, as if it had been written last.
    pub fn push(&mut self, property: Property) {
        self.properties.push(property);
        self.taken.push(false);
    }

    /// Takes every property that has one of the names, in the order of writing, each with its place in the section.
    pub fn take_all(&mut self, names: &[&str]) -> Vec<(usize, Property)> {
        let named = |property: &Property| names.iter().any(|name| property.is_named(name));
        let mut found = Vec::new();
        for (at, property) in self.properties.iter().enumerate() {
            if !self.taken[at] && named(property) {
                self.taken[at] = true;
                found.push((at, property.clone()));
            }
        }
        found
    }

    /// Returns the properties that nobody took.
    pub fn leftover(&self) -> impl Iterator<Item = &Property> {
        self.properties.iter().zip(&self.taken).filter(|(_, taken)| !**taken).map(|(property, _)| property)
    }

    /// Reports every property that nobody took as an unknown option. `sets` are the sets that were parsed from this
    /// bag, the plugin's own first.
    pub fn finish(&self, sets: &[&OptionSet], diags: &mut Diagnostics) {
        for property in self.leftover() {
            diags.push(self.unknown(property, sets));
        }
    }

    /// The same for a section whose unknown options Fluent Bit passes over: they are warnings, and what they would say is not done here
    /// either.
    pub fn finish_lenient(&self, sets: &[&OptionSet], diags: &mut Diagnostics) {
        for property in self.leftover() {
            let mut found = self.unknown(property, sets);
            if found.code == codes::UNKNOWN_OPTION {
                found.severity = Severity::Warning;
                found.message.push_str("; it is ignored");
            }
            diags.push(found);
        }
    }

    fn unknown(&self, property: &Property, sets: &[&OptionSet]) -> Diagnostic {
        if let Some(diagnostic) = self.of_fluent_bit(property, sets) {
            return diagnostic;
        }
        let help = of_docker(&property.name(), sets).unwrap_or_else(|| {
            let names = sets.iter().flat_map(|set| &set.specs).filter(|spec| !spec.no_effect);
            let near = nearest(&property.key.value, names.flat_map(|spec| spec.names()));
            match near.is_empty() {
                false => format!("did you mean {}?", quoted_list(&near, "or")),
                true => allowed(sets),
            }
        });
        let message = format!("`{}` is no option of {}", property.key.value, self.section);
        Diagnostic::error(codes::UNKNOWN_OPTION, message).at(property.key.span).help(help)
    }
}

impl PropertyBag {
    /// Answers for an option that Fluent Bit's plugin has and Ikada's has not.
    fn of_fluent_bit(&self, property: &Property, sets: &[&OptionSet]) -> Option<Diagnostic> {
        let own = sets.iter().find(|set| set.kind != PluginKind::Common)?;
        let option = property.name();
        known_option(own.kind, own.name, &option)?;
        let (key, span) = (&property.key.value, property.key.span);
        Some(match advice_on_option(own.kind, own.name, &option) {
            Some(Advice::Idle(why)) => {
                Diagnostic::warning(codes::NO_EFFECT, format!("`{key}` has no effect here"))
                    .at(span)
                    .help(why)
            }
            advice => {
                let help = match advice {
                    Some(Advice::Instead(what)) => what.to_owned(),
                    _ => format!("remove it; {}", allowed(sets)),
                };
                let message = format!("Fluent Bit has `{key}` for {}, Ikada does not have it", self.section);
                Diagnostic::error(codes::UNSUPPORTED_OPTION, message).at(span).help(help)
            }
        })
    }
}

/// Says what to type instead of an option of Docker's log drivers, which often stand in a task definition where an output's
/// options belong.
fn of_docker(name: &str, sets: &[&OptionSet]) -> Option<String> {
    let meant = match name {
        "awslogs-group" => "log_group_name",
        "awslogs-stream" => "log_stream_name",
        "awslogs-stream-prefix" => "log_stream_prefix",
        "awslogs-region" => "region",
        "awslogs-create-group" => "auto_create_group",
        "awslogs-endpoint" => "endpoint",
        "awslogs-format" => "log_format",
        "mode" | "max-buffer-size" => {
            let help = "remove it: it is an option of Docker's; in a task definition `log-driver-buffer-limit` bounds the driver";
            return Some(help.to_owned());
        }
        _ => return None,
    };
    let is_known = sets.iter().any(|set| set.find(meant).is_some());
    is_known.then(|| format!("`{name}` is an option of Docker's; type `{meant}`"))
}

/// Names what a plugin knows, under every name that it goes by, without the options that every plugin has.
fn allowed(sets: &[&OptionSet]) -> String {
    let own: Vec<&str> = sets
        .iter()
        .filter(|set| set.kind != PluginKind::Common)
        .flat_map(|set| &set.specs)
        .filter(|spec| !spec.no_effect)
        .flat_map(|spec| spec.names())
        .collect();
    match own.is_empty() {
        true => "remove it: it takes no options of its own".to_owned(),
        false => format!("it knows {}", quoted_list(&own, "and")),
    }
}
