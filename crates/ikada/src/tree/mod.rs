//! JSON and YAML as a tree whose parts know their places, for files that are not configurations: task definitions and
//! expectations.
//!
//! **What it does not know:** what the files mean. Aliases and tags of YAML are not taken.

mod json;
mod yaml;

use std::ops::Range;

pub use json::read_json;
pub use yaml::read_yaml;

/// How deep lists and mappings may stand in each other.
const DEEPEST: usize = 64;

/// A part of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Where it stands, in bytes; a text without its quotes.
    pub span: Range<usize>,
    /// What it is.
    pub value: Value,
}

/// What a part of a file is.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `null`, or nothing.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number as it is written.
    Number(String),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A mapping, in the order of writing.
    Map(Vec<(Node, Node)>),
}

/// Why a text could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TreeError {
    /// Where, in bytes.
    pub at: usize,
    /// Why.
    pub message: String,
}

impl Node {
    /// The value of a key of a mapping, whatever the case of its letters: CloudFormation writes `ContainerDefinitions`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Node> {
        let found = self.pairs().iter().find(|(known, _)| known.is_text(key));
        found.map(|(_, value)| value).filter(|value| value.value != Value::Null)
    }

    /// The pairs of a mapping; nothing for anything else.
    #[must_use]
    pub fn pairs(&self) -> &[(Node, Node)] {
        match &self.value {
            Value::Map(pairs) => pairs,
            _ => &[],
        }
    }

    /// The parts of a list; nothing for anything else.
    #[must_use]
    pub fn items(&self) -> &[Node] {
        match &self.value {
            Value::List(items) => items,
            _ => &[],
        }
    }

    fn is_text(&self, text: &str) -> bool {
        self.text().is_some_and(|own| own.eq_ignore_ascii_case(text))
    }

    /// The text of a text, number or truth value.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) | Value::Number(text) => Some(text),
            Value::Bool(true) => Some("true"),
            Value::Bool(false) => Some("false"),
            _ => None,
        }
    }

    /// The truth value, also of a text that spells one.
    #[must_use]
    pub fn bool(&self) -> Option<bool> {
        match self.text()? {
            text if text.eq_ignore_ascii_case("true") => Some(true),
            text if text.eq_ignore_ascii_case("false") => Some(false),
            _ => None,
        }
    }

    /// The whole number, also of a text that spells one.
    #[must_use]
    pub fn integer(&self) -> Option<i64> {
        self.text()?.trim().parse().ok()
    }

    /// The same without places.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        use serde_json::Value as Json;
        match &self.value {
            Value::Null => Json::Null,
            Value::Bool(value) => Json::Bool(*value),
            Value::Number(text) => serde_json::from_str(text).unwrap_or_else(|_| Json::String(text.clone())),
            Value::Text(text) => Json::String(text.clone()),
            Value::List(items) => items.iter().map(Node::to_json).collect(),
            Value::Map(pairs) => pairs
                .iter()
                .map(|(key, value)| (key.text().unwrap_or_default().to_owned(), value.to_json()))
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_formats_give_the_same_tree() {
        let json =
            r#"{"a": [1, "two", true, null, -1.5e3], "b": {"c": "ü\n\ud83d\ude00\/"}, "e": {}, "l": []}"#;
        let yaml = "a: [1, two, true, null, -1.5e3]\nb:\n  c: \"ü\\n😀/\"\ne: {}\nl: []\n";
        let (json, yaml) = (read_json(json).unwrap(), read_yaml(yaml).unwrap());
        assert_eq!(json.to_json(), yaml.to_json());
        assert_eq!(json.get("B").unwrap().get("c").unwrap().text(), Some("ü\n😀/"));
        assert_eq!(json.get("a").unwrap().items()[0].integer(), Some(1));
    }

    #[test]
    fn parts_know_their_places() {
        let text = "{\n\t\"é\": \"value\",\n\t\"n\": 12\n}";
        let tree = read_json(text).unwrap();
        let (key, value) = &tree.pairs()[0];
        assert_eq!((&text[key.span.clone()], &text[value.span.clone()]), ("é", "value"));
        assert_eq!(&text[tree.get("n").unwrap().span.clone()], "12");
        let text = "é: value\nlist:\n  - \"quoted\"\n";
        let tree = read_yaml(text).unwrap();
        assert_eq!(&text[tree.get("é").unwrap().span.clone()], "value");
        assert_eq!(&text[tree.get("list").unwrap().items()[0].span.clone()], "quoted");
    }

    #[test]
    fn what_is_broken_says_where() {
        for text in
            ["", "{", "{\"a\" 1}", "[1,]", "{\"a\":1} x", "\"a", "tru", "[\"\\x\"]", "{1:2}", "[01]", "-"]
        {
            let error = read_json(text).unwrap_err();
            assert!(error.at <= text.len(), "{text}");
        }
        assert_eq!(read_json("{\"a\" 1}").unwrap_err().at, 5);
        assert!(read_json(&"[".repeat(1000)).is_err());
        assert!(read_yaml(&"[".repeat(1000)).is_err());
        assert!(read_yaml("a: *b").is_err());
        assert!(read_yaml("a: [").is_err());
    }
}
