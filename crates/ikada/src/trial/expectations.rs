//! Files of expectations.

use std::ops::Range;

use super::samples::{Entry, lines, of_text};
use crate::tree::{Node, Value, read_yaml};

/// A file of expectations: unit tests of a configuration.
///
/// ```yaml
/// config: extra.conf              # beside this file; `-c` on the command line comes first
/// env: { ECS_CLUSTER: prod }      # variables of the configuration
/// tests:
///   - name: errors reach the pager
///     tag: app-firelens-1         # without it, what FireLens gives the container `app`
///     from: tail.0                # the input the samples come from; a `tail` input reads them as a file
///     input:                      # lines, or records as mappings
///       - '{"level":"error"}'
///       - { log: hello, container_name: app }
///     match: contains             # or `exact`, the default
///     expect:                     # by the output's name or alias; outputs that are not named are not looked at
///       pager:
///         - { level: error }
///       archive: []
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Expectations {
    /// The configuration, relative to the file.
    pub config: Option<String>,
    /// Variables.
    pub env: Vec<(String, String)>,
    /// The tests.
    pub cases: Vec<Case>,
}

/// One test.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Case {
    /// What it proves.
    pub name: String,
    /// The tag of the samples.
    pub tag: Option<String>,
    /// The input they come from.
    pub from: Option<String>,
    /// The samples.
    pub input: Vec<Entry>,
    /// The samples as lines of a file.
    pub text: Vec<u8>,
    /// Whether records may have more fields than are expected.
    pub contains: bool,
    /// What each output is to receive.
    pub expect: Vec<(String, Vec<serde_json::Value>)>,
}

/// What is wrong with a file of expectations.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{line}:{column}: {message}")]
pub struct ExpectationsError {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
}

/// A message and its place.
struct Wrong(Range<usize>, String);

impl Expectations {
    /// Reads a file.
    ///
    /// # Errors
    /// It is no YAML, or has not the shape shown above.
    pub fn parse(text: &str) -> Result<Self, ExpectationsError> {
        let root = read_yaml(text).map_err(|error| at(text, error.at, error.message))?;
        of_root(&root).map_err(|Wrong(place, message)| at(text, place.start, message))
    }

    /// Whether a file is one of expectations: a mapping with `tests`.
    #[must_use]
    pub fn is_one(text: &str) -> bool {
        text.lines().any(|line| line.starts_with("tests:"))
    }
}

fn at(text: &str, at: usize, message: String) -> ExpectationsError {
    let before = &text[..text.floor_char_boundary(at.min(text.len()))];
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    ExpectationsError { line, column, message }
}

fn wrong<T>(node: &Node, message: impl Into<String>) -> Result<T, Wrong> {
    Err(Wrong(node.span.clone(), message.into()))
}

fn known(node: &Node, keys: &[&str]) -> Result<(), Wrong> {
    for (key, _) in node.pairs() {
        let name = key.text().unwrap_or_default();
        if !keys.contains(&name) {
            let near = ikada_options::nearest(name, keys.iter().copied());
            let hint = match near.first() {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("there are {}", ikada_options::quoted_list(keys, "and")),
            };
            return wrong(key, format!("`{name}` is not known here; {hint}"));
        }
    }
    Ok(())
}

fn of_root(root: &Node) -> Result<Expectations, Wrong> {
    known(root, &["config", "env", "tests"])?;
    let Some(tests) = root.get("tests") else { return wrong(root, "a list `tests` is missing") };
    let env = root.get("env").map(Node::pairs).unwrap_or_default();
    let pair = |(key, value): &(Node, Node)| Some((key.text()?.to_owned(), value.text()?.to_owned()));
    Ok(Expectations {
        config: root.get("config").and_then(Node::text).map(str::to_owned),
        env: env.iter().filter_map(pair).collect(),
        cases: tests.items().iter().enumerate().map(|(at, test)| case(test, at)).collect::<Result<_, _>>()?,
    })
}

fn case(test: &Node, number: usize) -> Result<Case, Wrong> {
    known(test, &["name", "tag", "from", "input", "match", "expect"])?;
    let text = |key: &str| test.get(key).and_then(Node::text).map(str::to_owned);
    let contains = match test.get("match") {
        None => false,
        Some(node) => match node.text() {
            Some("exact") => false,
            Some("contains") => true,
            _ => return wrong(node, "`match` is `exact` or `contains`"),
        },
    };
    let Some(input) = test.get("input") else {
        return wrong(test, "an `input` is missing: a list of lines or records");
    };
    let Some(expect) = test.get("expect") else {
        return wrong(test, "`expect` is missing: records by output");
    };
    let (input, lines) = feed(input)?;
    let expect = expect.pairs().iter().map(|(output, records)| {
        let list = match &records.value {
            Value::List(list) => list.iter().map(Node::to_json).collect(),
            Value::Null => Vec::new(),
            _ => return wrong(records, "a list of records belongs here; `[]` is none"),
        };
        Ok((output.text().unwrap_or_default().to_owned(), list))
    });
    Ok(Case {
        name: text("name").unwrap_or_else(|| format!("test {}", number + 1)),
        tag: text("tag"),
        from: text("from"),
        input,
        text: lines,
        contains,
        expect: expect.collect::<Result<_, _>>()?,
    })
}

/// The samples as entries and as lines of a file.
fn feed(input: &Node) -> Result<(Vec<Entry>, Vec<u8>), Wrong> {
    let (mut entries, mut text) = (Vec::new(), Vec::new());
    let mut line = |entries: &mut Vec<Entry>, bytes: &[u8]| {
        entries.push(Entry { tag: None, time: None, record: of_text(bytes) });
        text.extend_from_slice(bytes);
        text.push(b'\n');
    };
    match &input.value {
        // A text is its lines.
        Value::Text(all) => lines(all.as_bytes()).for_each(|bytes| line(&mut entries, bytes)),
        Value::List(items) => {
            for item in items {
                match &item.value {
                    Value::Map(_) => {
                        let json = item.to_json().to_string();
                        line(&mut Vec::new(), json.as_bytes());
                        entries.extend(Entry::of_json(&json));
                    }
                    _ => line(&mut entries, item.text().unwrap_or_default().as_bytes()),
                }
            }
        }
        _ => return wrong(input, "a list of lines or records belongs here"),
    }
    Ok((entries, text))
}
