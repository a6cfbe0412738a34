//! From the parser's events to a tree whose nodes know their places.
//!
//! The tree is bounded in depth and in nodes. Aliases never grow it: they are findings. A character that may not start
//! a value without quotes, as in `match: *`, is a finding as well, and the file is read again as if it were a letter,
//! so that the rest of the file is looked at too.

use std::borrow::Cow;

use ikada_diag::{Diagnostic, SourceId, Span, codes};
use saphyr_parser::{Event, Parser, ScalarStyle, ScanError};

use super::names::quoted;
use super::positions::Positions;
use super::syntax;

/// How deep lists and mappings may stand in each other. Fluent Bit's deepest, the rules of a route, stand at 11.
const DEEPEST: usize = 64;

/// How many nodes a file may have.
const MOST_NODES: usize = 500_000;

/// How many characters without quotes are read as letters, each with a finding.
const MOST_REPAIRS: usize = 16;

/// Largest file that is read again for them, in bytes.
const LARGEST_REPAIRED: usize = 256 << 10;

/// A part of a file.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) span: Span,
    pub(super) value: Value,
    /// Whether the file could not be read to the end of this part.
    pub(super) cut: bool,
}

/// What a part of a file is.
#[derive(Debug)]
pub(super) enum Value {
    Text {
        text: String,
        plain: bool,
    },
    List(Vec<Node>),
    Map(Vec<Pair>),
    /// An alias, for which there is a finding already.
    Alias,
}

/// A key with its value.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) key: Node,
    pub(super) value: Node,
}

impl Node {
    /// Says whether nothing is written: `key:`.
    pub(super) fn is_nothing(&self) -> bool {
        matches!(&self.value, Value::Text { text, plain: true } if text.is_empty())
    }

    /// Returns the text, if it is one.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text { text, .. } => Some(text),
            _ => None,
        }
    }

    /// Returns the word for what it is.
    pub(super) fn word(&self) -> &'static str {
        match &self.value {
            Value::Text { .. } => "a text",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
            Value::Alias => "an alias",
        }
    }
}

/// Reads a text into one node for each of its documents, with what was found, in the order of the text.
pub(super) fn read(source: SourceId, text: &str) -> (Vec<Node>, Vec<Diagnostic>) {
    let mut repaired = Cow::Borrowed(text);
    let mut repairs = Vec::new();
    loop {
        let mut builder = Builder::new(source, text, &repairs);
        match builder.run(&repaired) {
            Some(Stop::Scan(at, _)) if repairs.len() < MOST_REPAIRS && can_repair(&repaired, at) => {
                repaired.to_mut().replace_range(at..at + 1, "x");
                repairs.push(at);
                repairs.sort_unstable();
            }
            stop => return builder.finish(stop),
        }
    }
}

/// Says whether the parser stopped at a character that quotes would make harmless.
fn can_repair(text: &str, at: usize) -> bool {
    let reserved = text.as_bytes().get(at).is_some_and(|byte| b"*&@`%".contains(byte));
    reserved && text.len() <= LARGEST_REPAIRED
}

/// Why reading ended before the end.
enum Stop {
    /// The text is not YAML at this offset.
    Scan(usize, ScanError),
    /// A limit is reached.
    Limit(Diagnostic),
}

struct Builder<'t> {
    source: SourceId,
    text: &'t str,
    positions: Positions<'t>,
    /// Offsets of characters that were read as letters, in order.
    repairs: &'t [usize],
    reported: usize,
    open: Vec<Open>,
    roots: Vec<Node>,
    found: Vec<Diagnostic>,
    nodes: usize,
}

/// A list or mapping whose end has not been reached.
struct Open {
    start: usize,
    value: Value,
    /// The key that waits for its value.
    key: Option<Node>,
}

impl<'t> Builder<'t> {
    fn new(source: SourceId, text: &'t str, repairs: &'t [usize]) -> Self {
        let positions = Positions::new(text);
        let (open, roots, found) = (Vec::new(), Vec::new(), Vec::new());
        Builder { source, text, positions, repairs, reported: 0, open, roots, found, nodes: 0 }
    }

    /// Takes all events of a text that has the same characters as the builder's, but for the repairs.
    fn run(&mut self, text: &str) -> Option<Stop> {
        for event in Parser::new_from_str(text) {
            let (event, span) = match event {
                Ok(event) => event,
                Err(error) => return Some(Stop::Scan(self.positions.byte_of(error.marker().index()), error)),
            };
            let start = self.positions.byte_of(span.start.index());
            let end = self.positions.byte_of(span.end.index()).max(start);
            if let Err(limit) = self.take(event, start, end) {
                return Some(Stop::Limit(limit));
            }
        }
        None
    }

    fn take(&mut self, event: Event<'_>, start: usize, end: usize) -> Result<(), Diagnostic> {
        match event {
            Event::Scalar(text, style, anchor, _) => {
                self.report_anchor(anchor, start);
                let node = self.scalar(text.into_owned(), style, start, end);
                self.add(node)
            }
            Event::SequenceStart(anchor, _) => self.start(anchor, start, Value::List(Vec::new())),
            Event::MappingStart(anchor, _) => self.start(anchor, start, Value::Map(Vec::new())),
            Event::SequenceEnd | Event::MappingEnd => self.end(start, end),
            Event::Alias(_) => {
                let span = self.source.span(start, end);
                let message =
                    format!("the alias `{}` is not supported", self.text.get(start..end).unwrap_or("*"));
                let help =
                    "write out here what its anchor stands for; a text that starts with `*` needs quotes";
                self.found.push(Diagnostic::error(codes::YAML_ALIAS, message).at(span).help(help));
                self.add(Node { span, value: Value::Alias, cut: false })
            }
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => Ok(()),
        }
    }

    fn scalar(&mut self, mut text: String, style: ScalarStyle, start: usize, end: usize) -> Node {
        let plain = style == ScalarStyle::Plain;
        if plain
            && text.starts_with('x')
            && let Some(at) = self.repair_in(start, end)
        {
            text.replace_range(0..1, &self.text[at..at + 1]);
            self.report_unquoted(at, end, Some(&text));
        }
        let (start, end) = self.place_of(&text, start, end);
        Node { span: self.source.span(start, end), value: Value::Text { text, plain }, cut: false }
    }

    /// Returns the next repair, when it lies in this range.
    fn repair_in(&mut self, start: usize, end: usize) -> Option<usize> {
        let at = *self.repairs.get(self.reported)?;
        if at < start || at >= end {
            return None;
        }
        self.reported += 1;
        Some(at)
    }

    fn report_unquoted(&mut self, start: usize, end: usize, text: Option<&str>) {
        let sign = &self.text[start..start + 1];
        let reason = match sign {
            "*" => "a value that starts with `*` is an alias in YAML".to_owned(),
            "&" => "a value that starts with `&` is an anchor in YAML".to_owned(),
            _ => format!("no value may start with `{sign}` in YAML"),
        };
        let key = self.open.last().and_then(|open| open.key.as_ref()).and_then(Node::text);
        let help = match (key, text) {
            (Some(key), Some(text)) => format!("quote it: `{key}: {}`", quoted(text)),
            (None, Some(text)) => format!("quote it: `{}`", quoted(text)),
            (_, None) => "put the value in quotes".to_owned(),
        };
        let span = self.source.span(start, end);
        self.found.push(Diagnostic::error(codes::UNQUOTED_VALUE, reason).at(span).help(help));
    }

    /// Returns the place of a text: without its quotes when nothing is escaped in it. Where the text is not written
    /// as it is read, the place is cut to the first line and to ASCII, so that each offset in it can be a span's end.
    fn place_of(&self, text: &str, start: usize, end: usize) -> (usize, usize) {
        let raw = self.text.get(start..end).unwrap_or("");
        if raw == text {
            return (start, end);
        }
        if raw.len() == text.len() + 2 && raw.get(1..raw.len() - 1) == Some(text) {
            return (start + 1, end - 1);
        }
        let safe = raw.bytes().take_while(|byte| byte.is_ascii() && !matches!(byte, b'\n' | b'\r')).count();
        (start, start + safe)
    }

    /// An anchor alone changes nothing; its aliases have findings of their own.
    fn report_anchor(&mut self, anchor: usize, start: usize) {
        if anchor == 0 {
            return;
        }
        let from = self.text.floor_char_boundary(start.saturating_sub(1024));
        let to = self.text.ceil_char_boundary(start + 1);
        let at = self.text[from..to].rfind('&').map_or(start, |at| from + at);
        let name = self.text[at..].split(|c: char| c.is_whitespace() || ",[]{}".contains(c)).next();
        let name = name.unwrap_or("&");
        let message = format!("the anchor `{name}` has no effect");
        let diagnostic =
            Diagnostic::warning(codes::YAML_ALIAS, message).at(self.source.span(at, at + name.len()));
        self.found.push(
            diagnostic.help("remove it: aliases are not supported; a text that starts with `&` needs quotes"),
        );
    }

    fn start(&mut self, anchor: usize, start: usize, value: Value) -> Result<(), Diagnostic> {
        self.report_anchor(anchor, start);
        if self.open.len() >= DEEPEST {
            let message = format!("more than {DEEPEST} lists and mappings stand in each other");
            let diagnostic =
                Diagnostic::error(codes::NESTED_VALUE, message).at(self.source.span(start, start));
            return Err(diagnostic.help("write it flatter: no option is that deep"));
        }
        self.open.push(Open { start, value, key: None });
        Ok(())
    }

    fn end(&mut self, start: usize, end: usize) -> Result<(), Diagnostic> {
        match self.close(start, end, false) {
            Some(node) => self.add(node),
            None => Ok(()),
        }
    }

    /// Closes the innermost list or mapping. One in brackets ends with them, another with what stands in it.
    fn close(&mut self, start: usize, end: usize, cut: bool) -> Option<Node> {
        let open = self.open.pop()?;
        let last = match &open.value {
            Value::List(items) => items.last().map(|item| item.span),
            Value::Map(pairs) => pairs.last().map(|pair| pair.key.span.to(pair.value.span)),
            _ => None,
        };
        let end = match last {
            _ if end > start => end,
            Some(last) => last.end as usize,
            None => open.start,
        };
        Some(Node { span: self.source.span(open.start, end), value: open.value, cut })
    }

    fn add(&mut self, node: Node) -> Result<(), Diagnostic> {
        self.nodes += 1;
        if self.nodes > MOST_NODES {
            let message = format!("the file has more than {MOST_NODES} keys and values");
            let diagnostic = Diagnostic::error(codes::FILE_TOO_LARGE, message).at(node.span);
            return Err(diagnostic.help("split it, or remove what is no configuration"));
        }
        let Some(open) = self.open.last_mut() else {
            self.roots.push(node);
            return Ok(());
        };
        match (&mut open.value, open.key.take()) {
            (Value::Map(pairs), Some(key)) => pairs.push(Pair { key, value: node }),
            (Value::Map(_), None) => open.key = Some(node),
            (Value::List(items), _) => items.push(node),
            _ => {}
        }
        Ok(())
    }

    /// Returns where the innermost `[` or `{` stands that is not closed.
    fn innermost_bracket(&self) -> Option<usize> {
        let start = self.open.last()?.start;
        self.text[start..].starts_with(['[', '{']).then_some(start)
    }

    /// Where a value goes on with a `:`, what was taken for the whole value is only its first half.
    fn forget_half_value(&mut self, said: &str) {
        if !said.contains("mapping values are not allowed") {
            return;
        }
        if let Some(Open { value: Value::Map(pairs), key: None, .. }) = self.open.last_mut() {
            pairs.pop_if(|pair| matches!(pair.value.value, Value::Text { plain: true, .. }));
        }
    }

    fn finish(mut self, stop: Option<Stop>) -> (Vec<Node>, Vec<Diagnostic>) {
        let cut = stop.is_some();
        let found = match stop {
            Some(Stop::Scan(at, error)) => {
                self.forget_half_value(error.info());
                Some(syntax::finding(self.source, self.text, at, error.info(), self.innermost_bracket()))
            }
            Some(Stop::Limit(diagnostic)) => Some(diagnostic),
            None => None,
        };
        while let Some(node) = self.close(0, 0, cut) {
            // A limit that is reached once more changes nothing: everything is closed here.
            if self.add(node).is_err() {
                break;
            }
        }
        for at in self.repairs.iter().skip(self.reported).copied().collect::<Vec<_>>() {
            self.report_unquoted(at, at + 1, None);
        }
        self.found.extend(found);
        self.found.sort_by_key(|diagnostic| diagnostic.span.map(|span| span.start));
        (self.roots, self.found)
    }
}
