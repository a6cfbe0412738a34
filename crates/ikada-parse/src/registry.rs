//! Parsers by name: those of the configuration, then those that need no file.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use ikada_diag::codes;
use ikada_options::{Diagnostic, Diagnostics, Options, PropertyBag, Span, Spanned, nearest, quoted_list};

use crate::builtin::DEFINITIONS;
use crate::multiline::{self, MultilineOptions, MultilineParser};
use crate::parser::{Parser, ParserOptions};

/// All parsers that a configuration may name.
///
/// A parser of the configuration stands before a built-in one of the same name. Built-in ones are built when they are first asked
/// for.
#[derive(Debug)]
pub struct Parsers {
    own: HashMap<String, Own<Parser>>,
    built_in: Vec<OnceLock<Option<Arc<Parser>>>>,
    /// By names in lower case.
    own_multiline: HashMap<String, Own<MultilineParser>>,
    built_in_multiline: [OnceLock<Option<Arc<MultilineParser>>>; multiline::NAMES.len()],
}

/// A parser of the configuration, and what was written of it.
#[derive(Debug)]
struct Own<P> {
    /// `None` when it could not be built: the name is known, and what is wrong was said.
    parser: Option<Arc<P>>,
    written: Vec<(String, String)>,
    span: Span,
}

impl Default for Parsers {
    fn default() -> Self {
        Self {
            own: HashMap::new(),
            built_in: DEFINITIONS.iter().map(|_| OnceLock::new()).collect(),
            own_multiline: HashMap::new(),
            built_in_multiline: Default::default(),
        }
    }
}

impl Parsers {
    /// The built-in parsers only.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the parser of a `[PARSER]` section. What is wrong with it is reported.
    ///
    /// The same section may come twice, as when several files bring the usual parsers; another one of the same name is an error.
    pub fn define(&mut self, mut bag: PropertyBag, found: &mut Diagnostics) {
        let options = ParserOptions::parse(&mut bag, found);
        bag.finish(&[&ParserOptions::set()], found);
        let Some(name) = name_of(&bag) else { return };
        let written = written(&bag);
        if let Some(other) = self.own.get(&name.value) {
            if other.written != written {
                duplicate("parser", &name, other.span, found);
            }
            return;
        }
        let parser = options.and_then(|options| Parser::build(&options, found)).map(Arc::new);
        self.own.insert(name.value, Own { parser, written, span: name.span });
    }

    /// Adds the multiline parser of a `[MULTILINE_PARSER]` section, whose own parser must have been added before. What is wrong with
    /// it is reported.
    ///
    /// One that is named like a built-in one takes its place; Fluent Bit would go on with the built-in one.
    pub fn define_multiline(&mut self, mut bag: PropertyBag, found: &mut Diagnostics) {
        let options = MultilineOptions::parse(&mut bag, found);
        bag.finish(&[&MultilineOptions::set()], found);
        let Some(name) = name_of(&bag) else { return };
        let written = written(&bag);
        let key = name.value.to_ascii_lowercase();
        if let Some(other) = self.own_multiline.get(&key) {
            if other.written != written {
                duplicate("multiline parser", &name, other.span, found);
            }
            return;
        }
        if multiline::NAMES.contains(&key.as_str()) {
            let message = format!("`{}` takes the place of the built-in multiline parser", name.value);
            let help = "Fluent Bit goes on with the built-in one; give this one another name";
            found.push(Diagnostic::warning(codes::DUPLICATE_PARSER, message).at(name.span).help(help));
        }
        let parser = options.and_then(|options| self.build_multiline(&options, found)).map(Arc::new);
        self.own_multiline.insert(key, Own { parser, written, span: name.span });
    }

    fn build_multiline(
        &self,
        options: &MultilineOptions,
        found: &mut Diagnostics,
    ) -> Option<MultilineParser> {
        let parser = match &options.parser {
            Some(name) => Some(self.find(name, found)?),
            None => None,
        };
        MultilineParser::build(options, parser, found)
    }

    /// The multiline parser of this name; case does not matter.
    #[must_use]
    pub fn multiline(&self, name: &str) -> Option<Arc<MultilineParser>> {
        let name = name.to_ascii_lowercase();
        if let Some(own) = self.own_multiline.get(&name) {
            return own.parser.clone();
        }
        let at = multiline::NAMES.iter().position(|known| *known == name)?;
        self.built_in_multiline[at].get_or_init(|| multiline::Definition::build(&name).map(Arc::new)).clone()
    }

    /// The multiline parser that an option names; if there is none, that is reported.
    pub fn find_multiline(
        &self,
        name: &Spanned<String>,
        found: &mut Diagnostics,
    ) -> Option<Arc<MultilineParser>> {
        let parser = self.multiline(&name.value);
        if parser.is_none() && !self.own_multiline.contains_key(&name.value.to_ascii_lowercase()) {
            let near = nearest(&name.value, self.multiline_names());
            let help = match near.is_empty() {
                true => format!(
                    "there are {}; others are defined in a `[MULTILINE_PARSER]`",
                    quoted_list(&multiline::NAMES, "and")
                ),
                false => format!("did you mean {}?", quoted_list(&near, "or")),
            };
            let message = format!("no multiline parser is named `{}`", name.value);
            found.push(Diagnostic::error(codes::UNKNOWN_PARSER, message).at(name.span).help(help));
        }
        parser
    }

    /// The names of all multiline parsers, those of the configuration first, in lower case.
    pub fn multiline_names(&self) -> impl Iterator<Item = &str> {
        self.own_multiline.keys().map(String::as_str).chain(multiline::NAMES)
    }

    /// The parser of this name; case matters.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Arc<Parser>> {
        if let Some(own) = self.own.get(name) {
            return own.parser.clone();
        }
        let at = DEFINITIONS.iter().position(|definition| definition.name == name)?;
        self.built_in[at].get_or_init(|| DEFINITIONS[at].build().map(Arc::new)).clone()
    }

    /// The parser that an option names; if there is none, that is reported.
    pub fn find(&self, name: &Spanned<String>, found: &mut Diagnostics) -> Option<Arc<Parser>> {
        let parser = self.get(&name.value);
        // One that could not be built was reported where it is defined.
        if parser.is_none() && !self.own.contains_key(&name.value) {
            found.push(self.unknown(name));
        }
        parser
    }

    /// The finding that no parser has this name.
    #[must_use]
    pub fn unknown(&self, name: &Spanned<String>) -> Diagnostic {
        let near = nearest(&name.value, self.names());
        let help = match near.is_empty() {
            true => format!(
                "a `[PARSER]` with `Name {}` in a file that `Parsers_File` in [SERVICE] names would define it",
                name.value
            ),
            false => format!("did you mean {}?", quoted_list(&near, "or")),
        };
        Diagnostic::error(codes::UNKNOWN_PARSER, format!("no parser is named `{}`", name.value))
            .at(name.span)
            .help(help)
    }

    /// The names of all parsers, those of the configuration first.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let own = self.own.keys().map(String::as_str);
        own.chain(DEFINITIONS.iter().map(|definition| definition.name))
    }
}

/// The section's own name, whatever else is wrong with it.
fn name_of(bag: &PropertyBag) -> Option<Spanned<String>> {
    bag.peek("name").map(|name| name.value.clone()).filter(|name| !name.value.is_empty())
}

/// What stands in a section, without regard to the case of keys.
fn written(bag: &PropertyBag) -> Vec<(String, String)> {
    bag.properties().iter().map(|property| (property.name(), property.value.value.clone())).collect()
}

fn duplicate(word: &str, name: &Spanned<String>, first: Span, found: &mut Diagnostics) {
    let message = format!("another {word} is named `{}`, and it says something else", name.value);
    let help = "rename one of them, or remove it; the next finding shows the first";
    found.push(Diagnostic::error(codes::DUPLICATE_PARSER, message).at(name.span).help(help));
    let message = format!("The first {word} named `{}` is this one", name.value);
    found.push(Diagnostic::note(codes::DUPLICATE_PARSER, message).at(first));
}
