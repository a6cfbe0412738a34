//! Parsers by name: those of the configuration, then those that need no file.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ikada_diag::codes;
use ikada_options::{Diagnostic, Diagnostics, Options, PropertyBag, Span, Spanned, nearest, quoted_list};

use crate::builtin::definitions;
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
            built_in: definitions().map(|_| OnceLock::new()).collect(),
            own_multiline: HashMap::new(),
            built_in_multiline: Default::default(),
        }
    }
}

/// The least that lines of a file wait for the next.
const SHORTEST_WAIT: Duration = Duration::from_millis(500);

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
        bag.finish_lenient(&[&ParserOptions::set()], found);
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
        bag.finish_lenient(&[&MultilineOptions::set()], found);
        let Some(name) = name_of(&bag) else { return };
        let written = written(&bag);
        let key = name.value.to_ascii_lowercase();
        if let Some(other) = self.own_multiline.get(&key) {
            if other.written != written {
                duplicate("multiline parser", &name, other.span, found);
            }
            return;
        }
        if multiline::NAMES.contains(&key.as_str()) && key != multiline::OF_A_FILE {
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

    /// The same for lines of a file, which wait as long as the parser says: a wait below 500 ms is reported, because it would part what
    /// belongs together. Fluent Bit refuses it too, and only there (case `ml-custom-timeout-low`).
    pub fn find_multiline_of_file(
        &self,
        name: &Spanned<String>,
        found: &mut Diagnostics,
    ) -> Option<Arc<MultilineParser>> {
        let parser = self.find_multiline(name, found)?;
        let wait = parser.flush_timeout();
        if wait >= SHORTEST_WAIT {
            return Some(parser);
        }
        let message =
            format!("the parser's `flush_timeout`, {} ms, is too short to wait for a line", wait.as_millis());
        let help = format!("type `flush_timeout {}` or more in its section", SHORTEST_WAIT.as_millis());
        found.push(Diagnostic::error(codes::BAD_VALUE, message).at(name.span).help(help));
        None
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
        let (at, definition) = definitions().enumerate().find(|(_, definition)| definition.name == name)?;
        self.built_in[at].get_or_init(|| definition.build().map(Arc::new)).clone()
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
        own.chain(definitions().map(|definition| definition.name))
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

#[cfg(test)]
mod tests {
    use ikada_msgpack::{MapView, str_bytes};
    use ikada_options::{Property, Sources, check_set};
    use ikada_record::Timestamp;
    use ikada_record::json::{JsonStyle, write_value};

    use super::*;

    /// Defines parsers of sections in which keys and values stand in pairs, and returns what is found.
    fn defined(sections: &[&[(&str, &str)]]) -> (Parsers, Vec<String>) {
        let mut sources = Sources::default();
        let mut parsers = Parsers::new();
        let mut found = Diagnostics::new();
        for (number, section) in sections.iter().enumerate() {
            let span = sources.add(format!("{number}.conf"), "x").span(0, 1);
            let text = |text: &str| Spanned::new(text.to_owned(), span);
            let properties = section.iter().map(|(key, value)| Property::new(text(key), text(value)));
            let bag = PropertyBag::new("parser", span, properties.collect());
            match section.iter().any(|(key, _)| *key == "type") {
                true => parsers.define_multiline(bag, &mut found),
                false => parsers.define(bag, &mut found),
            }
        }
        (parsers, found.lines(&sources).collect())
    }

    #[test]
    fn the_declarations_are_sound() {
        check_set::<ParserOptions>();
        check_set::<MultilineOptions>();
    }

    #[test]
    fn a_parser_of_the_configuration_stands_before_a_built_in_one() {
        let (parsers, found) = defined(&[&[("Name", "json"), ("Format", "logfmt")]]);
        assert!(found.is_empty(), "{found:?}");
        let mut out = Vec::new();
        parsers.get("json").unwrap().parse(b"a=1", Timestamp::default(), &mut out).unwrap();
        assert_eq!(out, b"\x81\xa1a\xa11");
    }

    #[test]
    fn the_same_parser_may_come_twice_and_another_of_its_name_is_refused_with_both_places() {
        let json: &[(&str, &str)] = &[("Name", "x"), ("Format", "json")];
        let (_, found) = defined(&[json, &[("name", "x"), ("format", "json")]]);
        assert!(found.is_empty(), "{found:?}");
        let (_, found) = defined(&[json, &[("Name", "x"), ("Format", "ltsv")]]);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("1.conf:1:1: error[duplicate-parser]"), "{found:?}");
        assert!(found[1].starts_with("0.conf:1:1: note[duplicate-parser]"), "{found:?}");
    }

    #[test]
    fn keys_that_no_parser_knows_are_passed_over_with_a_warning() {
        let (parsers, found) = defined(&[&[("Name", "x"), ("Format", "json"), ("Tag", "x")]]);
        let said = "0.conf:1:1: warning[unknown-option]: `Tag` is no option of parser; it is ignored (help: it knows";
        assert!(found.len() == 1 && found[0].starts_with(said), "{found:?}");
        assert!(parsers.get("x").is_some());
    }

    #[test]
    fn a_short_wait_is_refused_for_a_file_and_only_there() {
        let mut parsers = Parsers::new();
        let mut found = Diagnostics::new();
        let place = Sources::default().add("x", "x").span(0, 1);
        let text = |text: &str| Spanned::new(text.to_owned(), place);
        let properties =
            [("name", "x"), ("type", "endswith"), ("match_string", "."), ("flush_timeout", "100")]
                .map(|(key, value)| Property::new(text(key), text(value)));
        parsers
            .define_multiline(PropertyBag::new("multiline parser", place, properties.to_vec()), &mut found);
        assert!(parsers.find_multiline(&text("x"), &mut found).is_some());
        assert!(found.is_empty());
        assert!(parsers.find_multiline_of_file(&text("x"), &mut found).is_none());
        assert!(found.has_errors());
    }

    #[test]
    fn mistakes_are_found_at_once_and_the_name_stays_known() {
        let section: &[(&str, &str)] = &[
            ("Name", "x"),
            ("Format", "regex"),
            ("Regex", "(?P<a>.)"),
            ("Time_Format", "%f"),
            ("Time_Kep", "on"),
            ("Time_Offset", "JST"),
        ];
        let (parsers, found) = defined(&[section]);
        for what in
            ["error[bad-regex]", "error[bad-time-format]", "warning[unknown-option]", "error[bad-value]"]
        {
            assert!(found.iter().any(|line| line.contains(what)), "{what}: {found:#?}");
        }
        let mut more = Diagnostics::new();
        let place = Sources::default().add("x", "x").span(0, 1);
        assert!(parsers.find(&Spanned::new("x".to_owned(), place), &mut more).is_none());
        assert!(more.is_empty(), "it was said where it is defined");
    }

    #[test]
    fn a_multiline_parser_needs_its_own_parser() {
        let section: &[(&str, &str)] =
            &[("name", "m"), ("type", "endswith"), ("match_string", "x"), ("parser", "dokcer")];
        let (parsers, found) = defined(&[section]);
        assert!(found[0].contains("error[unknown-parser]") && found[0].contains("`docker`"), "{found:?}");
        assert!(parsers.multiline("M").is_none());
        assert!(parsers.multiline("JAVA").is_some(), "case does not matter");
    }

    #[test]
    fn a_multiline_parser_of_the_image_s_files_may_be_brought_along() {
        let rule = r#""start_state" "/^x/" "start_state""#;
        let with = |name| defined(&[&[("name", name), ("type", "regex"), ("rule", rule)]]).1;
        assert_eq!(with("exception_test"), Vec::<String>::new());
        let found = with("Java");
        assert!(found.len() == 1 && found[0].contains("warning[duplicate-parser]"), "{found:?}");
        assert_eq!(Parsers::new().multiline("exception_test").unwrap().flush_timeout().as_millis(), 1000);
    }

    /// What a parser makes of a line; nothing if the line does not fit.
    fn record(options: &[(&str, &str)], line: &str) -> Option<Vec<u8>> {
        let name: &[(&str, &str)] = &[("name", "p")];
        let (parsers, found) = defined(&[&[name, options].concat()]);
        assert!(found.is_empty(), "{found:?}");
        let mut out = Vec::new();
        parsers.get("p").unwrap().parse(line.as_bytes(), Timestamp::default(), &mut out).ok()?;
        Some(out)
    }

    /// The same as JSON.
    fn parsed(options: &[(&str, &str)], line: &str) -> Option<String> {
        let mut text = Vec::new();
        write_value(&mut text, &record(options, line)?, JsonStyle::default());
        Some(String::from_utf8(text).unwrap())
    }

    #[test]
    fn a_match_without_a_field_is_none() {
        let level = [("format", "regex"), ("regex", r"^(?:\[(?<level>\w*)\])?")];
        assert_eq!(parsed(&level, "hello"), None);
        assert_eq!(parsed(&level, "[] hello").as_deref(), Some("{}"), "an empty field is one");
        assert_eq!(parsed(&level, "[x] hello").as_deref(), Some(r#"{"level":"x"}"#));
    }

    #[test]
    fn groups_of_one_name_stand_together() {
        let twice = [("format", "regex"), ("regex", "(?<b>1)(?<a>2)(?<b>3)")];
        let record = record(&twice, "123").unwrap();
        let fields = MapView::known(&record).raw().map(|(key, value)| [key, value].map(str_bytes));
        let expected =
            [["b", "1"], ["b", "3"], ["a", "2"]].map(|field| field.map(|text| Some(text.as_bytes())));
        assert_eq!(fields.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn with_types_the_values_of_logfmt_stay_as_they_are_written() {
        let line = r#"level=info n b=true msg="a\nb" key= bare"#;
        let typed = [("format", "logfmt"), ("types", "n:integer b:bool")];
        let expected = r#"{"level":"info","n":0,"b":true,"msg":"a\\nb","key":"","bare":""}"#;
        assert_eq!(parsed(&typed, line).as_deref(), Some(expected));
        let expected = r#"{"level":"info","n":true,"b":"true","msg":"a\nb","key":true,"bare":true}"#;
        assert_eq!(parsed(&[("format", "logfmt")], line).as_deref(), Some(expected));
    }

    #[test]
    fn the_parser_json_takes_no_duration_for_a_time() {
        let json = Parsers::new().get("json").unwrap();
        let time = |line: &str| {
            let mut out = Vec::new();
            let time = json.parse(line.as_bytes(), Timestamp::default(), &mut out).unwrap();
            assert_eq!(MapView::known(&out).len(), 1, "the field stays");
            time.map(|time| time.secs())
        };
        assert_eq!(time(r#"{"time":0.25}"#), None);
        assert_eq!(time(r#"{"time":"12.5"}"#), None);
        assert_eq!(time(r#"{"time":12}"#), None);
        assert_eq!(time(r#"{"time":1757573178}"#), Some(1_757_573_178));
        assert_eq!(time(r#"{"time":"2025-09-11T06:46:18Z"}"#), Some(1_757_573_178));
    }
}
