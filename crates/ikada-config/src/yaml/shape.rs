//! The top of a file: which keys there are, and what stands below each.

use ikada_diag::{Diagnostic, Diagnostics, Severity, Span, Spanned, codes};
use ikada_options::{Property, nearest, quoted_list};

use super::Item;
use super::names::{self, STAGES, TOP, Top};
use super::tree::{Node, Pair, Value};
use crate::document::{Format, Section, SectionKind};

/// How an entry starts that has a name.
const NAMED: &str = "- name: …";

/// Reads the documents of a file. Several are read as one after another.
pub(super) fn items_of(text: &str, documents: &[Node], diags: &mut Diagnostics) -> Vec<Item> {
    let mut reader = Reader { text, items: Vec::new(), diags };
    for document in documents {
        reader.document(document);
    }
    reader.items
}

pub(super) struct Reader<'t> {
    pub(super) text: &'t str,
    items: Vec<Item>,
    diags: &'t mut Diagnostics,
}

impl Reader<'_> {
    pub(super) fn push(&mut self, diagnostic: Diagnostic) {
        self.diags.push(diagnostic);
    }

    pub(super) fn error(
        &mut self,
        code: &'static str,
        span: Span,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.push(Diagnostic::error(code, message).at(span).help(help));
    }

    fn document(&mut self, document: &Node) {
        match &document.value {
            Value::Map(pairs) => pairs.iter().for_each(|pair| self.top_pair(pair)),
            Value::Alias => {}
            _ if document.is_nothing() => {}
            _ => {
                let message = format!("a configuration starts with keys, and this is {}", document.word());
                let help = "start with `pipeline:`, and put `inputs:`, `filters:` and `outputs:` below it";
                self.error(codes::YAML_SHAPE, document.span, message, help);
            }
        }
    }

    fn top_pair(&mut self, pair: &Pair) {
        let (key, value) = (&pair.key, &pair.value);
        let Some(name) = self.key_of(key) else { return };
        match names::top(name) {
            Some(Top::Service) => self.service(key, value),
            Some(Top::Env) => self.env(key, value),
            Some(Top::Includes) => self.includes(key, value),
            Some(Top::Pipeline) => self.pipeline(key, value),
            Some(Top::Customs) => self.plugins_of(SectionKind::Custom, key, value),
            Some(Top::Parsers) => self.named(SectionKind::Parser, key, value),
            Some(Top::MultilineParsers) => self.named(SectionKind::MultilineParser, key, value),
            Some(Top::StreamProcessor) => self.named(SectionKind::StreamTask, key, value),
            Some(Top::Plugins) => self.shared_objects(key, value),
            Some(Top::UpstreamServers) => self.named(SectionKind::Upstream, key, value),
            Some(Top::Extensions) => {
                let message = format!("`{name}` is ignored: there are no extensions");
                self.push(
                    Diagnostic::warning(codes::UNSUPPORTED_SECTION, message).at(key.span).help("remove it"),
                );
            }
            None => self.unknown_top(name, key, value),
        }
    }

    /// Returns a key's text; a merge key and a key that is no text are findings.
    pub(super) fn key_of<'n>(&mut self, key: &'n Node) -> Option<&'n str> {
        match key.text() {
            Some("<<") => {
                let help = "write the keys out that it would bring";
                self.error(codes::YAML_ALIAS, key.span, "the merge key `<<` is not supported", help);
                None
            }
            Some(name) => Some(name),
            None if matches!(key.value, Value::Alias) => None,
            None => {
                let message = format!("a key is a text, and this is {}", key.word());
                let help = "write a name and a `:`; braces that a value starts with need quotes around it";
                self.error(codes::YAML_SHAPE, key.span, message, help);
                None
            }
        }
    }

    /// Fluent Bit ignores such a key, unless a list stands below it.
    fn unknown_top(&mut self, name: &str, key: &Node, value: &Node) {
        let of_pipeline = STAGES.iter().find(|stage| !nearest(name, [**stage]).is_empty());
        let near = nearest(name, TOP.iter().map(|(name, _)| *name));
        let help = match (near.is_empty(), of_pipeline) {
            (false, _) => format!("did you mean {}?", quoted_list(&near, "or")),
            (true, Some(stage)) => format!("put it below `pipeline:`, as `{stage}:`"),
            (true, None) => "remove it".to_owned(),
        };
        let severity = if holds_list(value) { Severity::Error } else { Severity::Warning };
        let message = format!("no part of a configuration is named `{name}`; it is ignored");
        self.push(Diagnostic::new(severity, codes::UNKNOWN_SECTION, message).at(key.span).help(help));
    }

    fn service(&mut self, key: &Node, value: &Node) {
        let Some(pairs) = self.mapping(key, value, "flush: 1") else { return };
        let properties = self.properties(SectionKind::Service, pairs, &[]);
        self.section(SectionKind::Service, key, key.span, properties);
    }

    fn pipeline(&mut self, key: &Node, value: &Node) {
        let Some(pairs) = self.mapping(key, value, "inputs: …") else { return };
        for pair in pairs {
            let Some(name) = self.key_of(&pair.key) else { continue };
            let kind = match name.to_ascii_lowercase().as_str() {
                "inputs" => SectionKind::Input,
                "filters" => SectionKind::Filter,
                "outputs" => SectionKind::Output,
                _ => {
                    let near = nearest(name, STAGES.iter().copied());
                    let help = match (near.first(), names::top(name)) {
                        (Some(near), _) => format!("did you mean `{near}`?"),
                        (None, Some(_)) => format!("start `{name}:` in the first column"),
                        (None, None) => {
                            "it holds `inputs`, `filters` and `outputs`: remove the rest".to_owned()
                        }
                    };
                    let message = format!("`{name}` is no part of a pipeline");
                    self.error(codes::UNKNOWN_SECTION, pair.key.span, message, help);
                    continue;
                }
            };
            self.plugins_of(kind, &pair.key, &pair.value);
        }
    }

    /// Takes a list of plugins. One without a name gets its finding when instances are made.
    fn plugins_of(&mut self, kind: SectionKind, key: &Node, value: &Node) {
        for item in self.entries(key, value, NAMED) {
            let Some(pairs) = self.entry(key, item, NAMED) else { continue };
            let is_named = pairs.iter().any(|pair| is_named(pair, "name"));
            if !is_named && (item.cut || self.report_name_as_key(item, pairs)) {
                continue;
            }
            let properties = self.properties(kind, pairs, &[]);
            let mut section = self.new_section(kind, key, header_of(item, pairs), properties);
            if matches!(kind, SectionKind::Input | SectionKind::Output) {
                section.processors = self.processors(pairs);
            }
            self.items.push(Item::Section(section));
        }
    }

    /// `- tail: {path: …}` is how other programs write it.
    fn report_name_as_key(&mut self, item: &Node, pairs: &[Pair]) -> bool {
        let [Pair { key, value: Node { value: Value::Map(_), .. } }] = pairs else { return false };
        let Some(name) = key.text() else { return false };
        if ["processors", "routes", "telemetry", "<<"].contains(&name) {
            return false;
        }
        let message = format!("`{name}` stands as a key with options below it");
        let help = format!("write `- name: {name}`, and the options in the column of `name`");
        self.error(codes::NESTED_VALUE, key.span.to(item.span.part(0, 0)), message, help);
        true
    }

    /// Takes a list of things that have a name of their own: parsers, tasks, groups of servers.
    fn named(&mut self, kind: SectionKind, key: &Node, value: &Node) {
        for item in self.entries(key, value, NAMED) {
            let Some(pairs) = self.entry(key, item, NAMED) else { continue };
            let header = header_of(item, pairs);
            self.require_name(kind, item, pairs, header);
            let apart: &[&str] = match kind {
                SectionKind::MultilineParser => &["rules"],
                SectionKind::Upstream => &["nodes"],
                _ => &[],
            };
            let mut properties = self.properties(kind, pairs, apart);
            let mut nodes = Vec::new();
            for pair in pairs.iter().filter(|pair| apart.iter().any(|name| is_named(pair, name))) {
                match kind {
                    SectionKind::Upstream => nodes.push(pair),
                    _ => self.rules(pair, &mut properties),
                }
            }
            self.section(kind, key, header, properties);
            nodes.into_iter().for_each(|pair| self.named(SectionKind::Node, &pair.key, &pair.value));
        }
    }

    fn require_name(&mut self, kind: SectionKind, item: &Node, pairs: &[Pair], header: Span) {
        if item.cut || pairs.iter().any(|pair| is_named(pair, "name")) {
            return;
        }
        let message = format!("this {} has no `name`", kind.word());
        self.error(codes::MISSING_NAME, header, message, "give it one: `name: …`");
    }

    /// Makes of each rule what the classic format has: `"state" "/pattern/" "next state"`.
    fn rules(&mut self, pair: &Pair, properties: &mut Vec<Property>) {
        let example = "- { state: start_state, regex: '/^x/', next_state: cont }";
        for item in self.entries(&pair.key, &pair.value, example) {
            let Some(parts) = self.entry(&pair.key, item, example) else { continue };
            let given = self.properties(SectionKind::MultilineParser, parts, &[]);
            let names = ["state", "regex", "next_state"];
            for other in given.iter().filter(|property| !names.iter().any(|name| property.is_named(name))) {
                let message = format!("`{}` is no part of a rule", other.key.value);
                let help = "a rule has `state`, `regex` and `next_state`";
                self.error(codes::UNKNOWN_OPTION, other.key.span, message, help);
            }
            let part = |name: &str| given.iter().rfind(|property| property.is_named(name));
            match names.map(part) {
                [Some(state), Some(regex), Some(next)] => {
                    let value = [state, regex, next].map(|part| in_rule(&part.value.value)).join(" ");
                    let key = Spanned::new("rule".to_owned(), pair.key.span);
                    properties.push(Property::new(key, Spanned::new(value, regex.value.span)));
                }
                _ if item.cut => {}
                found => {
                    let missing = names.iter().zip(&found).filter(|(_, part)| part.is_none());
                    let missing: Vec<&str> = missing.map(|(name, _)| *name).collect();
                    let message = format!("the rule has no {}", quoted_list(&missing, "and no"));
                    let help = format!("write `{example}`");
                    self.error(codes::MISSING_OPTION, header_of(item, parts), message, help);
                }
            }
        }
    }

    /// Takes paths of shared objects as one section.
    fn shared_objects(&mut self, key: &Node, value: &Node) {
        let mut properties = Vec::new();
        for item in self.entries(key, value, "- /path/to/plugin.so") {
            if let Some(path) = self.path(key, item) {
                properties.push(Property::new(Spanned::new("path".to_owned(), key.span), path));
            }
        }
        self.section(SectionKind::Plugins, key, key.span, properties);
    }

    fn includes(&mut self, key: &Node, value: &Node) {
        for item in self.entries(key, value, "- path/to/file.yaml") {
            if let Some(path) = self.path(key, item) {
                self.items.push(Item::Include(path));
            }
        }
    }

    fn path(&mut self, key: &Node, item: &Node) -> Option<Spanned<String>> {
        match item.text() {
            Some("") => {
                let message = format!("an entry of `{}` names no file", key.text().unwrap_or_default());
                self.error(
                    codes::MISSING_VALUE,
                    self.visible(item.span, key),
                    message,
                    "write a path, or remove it",
                );
                None
            }
            Some(path) => Some(Spanned::new(path.to_owned(), item.span)),
            None if matches!(item.value, Value::Alias) => None,
            None => {
                let message = format!("an entry of `{}` is {}", key.text().unwrap_or_default(), item.word());
                self.error(codes::YAML_SHAPE, item.span, message, "write each path as a text of its own");
                None
            }
        }
    }

    /// Takes `{A: x}`, `[{A: x}]` and `[{name: A, value: x}]`.
    fn env(&mut self, key: &Node, value: &Node) {
        if let Value::Map(pairs) = &value.value {
            return pairs.iter().for_each(|pair| self.variable(pair));
        }
        if value.text().is_some() && !value.is_nothing() {
            let help = "put each on a line below it: `NAME: value`";
            return self.error(
                codes::YAML_SHAPE,
                key.span,
                "`env` holds variables, and this is a text",
                help,
            );
        }
        for item in self.entries(key, value, NAMED) {
            let Some(pairs) = self.entry(key, item, NAMED) else { continue };
            match pairs.iter().find(|pair| is_named(pair, "name")) {
                Some(name) => self.described_variable(name, item, pairs),
                None => pairs.iter().for_each(|pair| self.variable(pair)),
            }
        }
    }

    fn variable(&mut self, pair: &Pair) {
        let Some(name) = self.key_of(&pair.key) else { return };
        self.set(name, pair);
    }

    fn set(&mut self, name: &str, pair: &Pair) {
        match (&pair.value.value, pair.value.text()) {
            (_, Some(value)) => {
                let name = Spanned::new(name.to_owned(), pair.key.span);
                self.items.push(Item::Setting(name, value.to_owned()));
            }
            (Value::Alias, _) => {}
            _ => {
                let message = format!("the variable `{name}` is {}", pair.value.word());
                let help = format!("give it a text: `{name}: value`");
                self.error(codes::NESTED_VALUE, pair.key.span, message, help);
            }
        }
    }

    fn described_variable(&mut self, name: &Pair, item: &Node, pairs: &[Pair]) {
        let Some(variable) = name.value.text().filter(|name| !name.is_empty()) else {
            let help = "write `- { name: NAME, value: … }`";
            return self.error(codes::MISSING_VALUE, name.key.span, "a variable's `name` is a text", help);
        };
        let mut is_set = item.cut;
        for pair in pairs.iter().filter(|pair| !is_named(pair, "name")) {
            let Some(key) = self.key_of(&pair.key) else { continue };
            match key.to_ascii_lowercase().as_str() {
                "value" => self.set(variable, pair),
                "uri" => self.set_from_uri(variable, pair),
                "refresh_interval" => {
                    let message = "`refresh_interval` has no effect: a variable is read once";
                    let diagnostic = Diagnostic::warning(codes::NO_EFFECT, message).at(pair.key.span);
                    self.push(diagnostic.help("remove it"));
                    continue;
                }
                _ => {
                    let message = format!("`{key}` is no part of a variable");
                    let help = "it has `name`, and `value` or `uri`";
                    self.error(codes::UNKNOWN_OPTION, pair.key.span, message, help);
                    continue;
                }
            }
            is_set = true;
        }
        if !is_set {
            let message = format!("the variable `{variable}` has neither `value` nor `uri`");
            let help = format!("write `- {{ name: {variable}, value: … }}`");
            self.error(codes::MISSING_OPTION, header_of(item, pairs), message, help);
        }
    }

    fn set_from_uri(&mut self, variable: &str, pair: &Pair) {
        let uri = pair.value.text().unwrap_or_default();
        if uri.starts_with("file://") {
            return self.set(variable, pair);
        }
        let message = format!("the `uri` of the variable `{variable}` names no file");
        let help = "write `uri: file:///path/to/file`";
        self.error(codes::BAD_VALUE, pair.key.span, message, help);
    }

    // What stands below a key.

    /// Returns the pairs below a key that holds a mapping.
    pub(super) fn mapping<'n>(&mut self, key: &Node, value: &'n Node, example: &str) -> Option<&'n [Pair]> {
        match &value.value {
            Value::Map(pairs) => Some(pairs),
            Value::Alias => None,
            _ if value.is_nothing() => None,
            _ => {
                let name = key.text().unwrap_or_default();
                let message = format!("`{name}` holds keys, and this is {}", value.word());
                let help = format!(
                    "put its keys on lines below it, without `-` and with a blank behind the `:`: `{example}`"
                );
                self.error(codes::YAML_SHAPE, key.span, message, help);
                None
            }
        }
    }

    /// Returns the entries below a key that holds a list. What stands there alone is looked at as its only entry.
    pub(super) fn entries<'n>(&mut self, key: &Node, value: &'n Node, example: &str) -> &'n [Node] {
        match &value.value {
            Value::List(items) => return items,
            Value::Alias => return &[],
            _ if value.is_nothing() => return &[],
            _ => {}
        }
        let name = key.text().unwrap_or_default();
        let message = format!("`{name}` is a list, and this is {}", value.word());
        let help = format!("start each of its entries with `-`: `{example}`");
        self.error(codes::YAML_SHAPE, key.span, message, help);
        match (&value.value, example.contains(": ")) {
            (Value::Text { .. }, true) | (Value::Map(_), false) => &[],
            _ => std::slice::from_ref(value),
        }
    }

    /// Returns the pairs of an entry that is a mapping.
    pub(super) fn entry<'n>(&mut self, key: &Node, item: &'n Node, example: &str) -> Option<&'n [Pair]> {
        match &item.value {
            Value::Map(pairs) if !pairs.is_empty() => Some(pairs),
            Value::Alias => None,
            _ if item.cut => None,
            _ => {
                let name = key.text().unwrap_or_default();
                let (message, help) = match item.text().filter(|text| !text.is_empty()) {
                    Some(text) => {
                        let written = match example == NAMED {
                            true => format!("- name: {text}"),
                            false => example.to_owned(),
                        };
                        (
                            format!("an entry of `{name}` is a text"),
                            format!("write keys and values: `{written}`"),
                        )
                    }
                    None if matches!(item.value, Value::List(_)) => {
                        (format!("an entry of `{name}` is a list"), "remove one `-`".to_owned())
                    }
                    None => (format!("an entry of `{name}` is empty"), "remove the `-`".to_owned()),
                };
                let span = self.visible(item.span, key);
                self.error(codes::YAML_SHAPE, span, message, help);
                None
            }
        }
    }

    /// Returns a span that covers something: that of the key where nothing is written.
    pub(super) fn visible(&self, span: Span, key: &Node) -> Span {
        if span.is_empty() { key.span } else { span }
    }

    fn section(&mut self, kind: SectionKind, key: &Node, header: Span, properties: Vec<Property>) {
        let section = self.new_section(kind, key, header, properties);
        self.items.push(Item::Section(section));
    }

    fn new_section(&self, kind: SectionKind, key: &Node, header: Span, properties: Vec<Property>) -> Section {
        let name = Spanned::new(key.text().unwrap_or_default().to_owned(), key.span);
        Section::new(kind, Format::Yaml, name, header).with(properties)
    }
}

/// Says whether a pair has this key, in any case.
pub(super) fn is_named(pair: &Pair, name: &str) -> bool {
    pair.key.text().is_some_and(|key| key.eq_ignore_ascii_case(name))
}

/// Returns the place that stands for a whole entry: its name, or else its first key.
pub(super) fn header_of(item: &Node, pairs: &[Pair]) -> Span {
    match (pairs.iter().find(|pair| is_named(pair, "name")), pairs.first()) {
        (Some(named), _) => named.key.span.to(named.value.span),
        (None, Some(first)) => first.key.span,
        (None, None) => item.span,
    }
}

/// Writes a part of a rule in quotes, with a `\` before each quote in it.
fn in_rule(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\\\""))
}

fn holds_list(node: &Node) -> bool {
    match &node.value {
        Value::List(_) => true,
        Value::Map(pairs) => pairs.iter().any(|pair| holds_list(&pair.value)),
        _ => false,
    }
}
