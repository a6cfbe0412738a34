//! YAML with places.

use saphyr_parser::{Event, Parser, ScalarStyle};

use super::{DEEPEST, Node, TreeError, Value};

/// Reads the first document of a YAML text.
///
/// # Errors
/// The text is no YAML, or uses an alias.
pub fn read_yaml(text: &str) -> Result<Node, TreeError> {
    let places: Vec<usize> = match text.is_ascii() {
        true => Vec::new(),
        false => text.char_indices().map(|(at, _)| at).collect(),
    };
    // The parser counts in characters.
    let place = |character: usize| match places.is_empty() {
        true => character.min(text.len()),
        false => places.get(character).copied().unwrap_or(text.len()),
    };
    let mut builder = Builder { text, open: Vec::new(), root: None };
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| TreeError {
            at: place(error.marker().index()),
            message: format!("this is not YAML: {}", error.info()),
        })?;
        let start = place(span.start.index());
        if matches!(event, Event::DocumentEnd) {
            break;
        }
        builder.take(event, start, place(span.end.index()).max(start))?;
    }
    Ok(builder.root.unwrap_or(Node { span: 0..0, value: Value::Null }))
}

struct Builder<'t> {
    text: &'t str,
    /// Lists and mappings whose end has not come, each with the key that waits for its value.
    open: Vec<(Node, Option<Node>)>,
    root: Option<Node>,
}

impl Builder<'_> {
    fn take(&mut self, event: Event<'_>, start: usize, end: usize) -> Result<(), TreeError> {
        match event {
            Event::Scalar(text, style, ..) => {
                let span = self.place_of(&text, start, end);
                let value = scalar(&text, style == ScalarStyle::Plain);
                self.add(Node { span, value });
                Ok(())
            }
            Event::SequenceStart(..) => self.start(start, end, Value::List(Vec::new())),
            Event::MappingStart(..) => self.start(start, end, Value::Map(Vec::new())),
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some((mut node, _)) = self.open.pop() {
                    node.span.end = end.max(node.span.end);
                    self.add(node);
                }
                Ok(())
            }
            Event::Alias(_) => {
                let message =
                    "aliases are not supported; a text that starts with `*` needs quotes".to_owned();
                Err(TreeError { at: start, message })
            }
            _ => Ok(()),
        }
    }

    /// The place of a text, without its quotes where nothing is escaped.
    fn place_of(&self, text: &str, start: usize, end: usize) -> std::ops::Range<usize> {
        let raw = self.text.get(start..end).unwrap_or_default();
        let is_quoted = raw.len() == text.len() + 2 && raw.get(1..raw.len() - 1) == Some(text);
        if is_quoted { start + 1..end - 1 } else { start..end }
    }

    fn start(&mut self, start: usize, end: usize, value: Value) -> Result<(), TreeError> {
        if self.open.len() == DEEPEST {
            let message = "too many lists and mappings stand in each other".to_owned();
            return Err(TreeError { at: start, message });
        }
        self.open.push((Node { span: start..end, value }, None));
        Ok(())
    }

    fn add(&mut self, node: Node) {
        let Some((parent, key)) = self.open.last_mut() else {
            self.root = Some(node);
            return;
        };
        match (&mut parent.value, key.take()) {
            (Value::Map(pairs), Some(key)) => pairs.push((key, node)),
            (Value::Map(_), None) => *key = Some(node),
            (Value::List(items), _) => items.push(node),
            _ => {}
        }
    }
}

/// What a text is: the core schema of YAML 1.2.
fn scalar(text: &str, plain: bool) -> Value {
    match text {
        _ if !plain => Value::Text(text.to_owned()),
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ if serde_json::from_str::<serde_json::Number>(text).is_ok() => Value::Number(text.to_owned()),
        _ => Value::Text(text.to_owned()),
    }
}
