//! The JSON Schema: it takes what the loader takes, and refuses what the loader refuses.
//!
//! The part of JSON Schema that it uses is small; what checks it here is just that part.

use ikada::plugins::registry;
use ikada::schema::schema;
use ikada_config::from_text;
use saphyr_parser::{Event, Parser, ScalarStyle};
use serde_json::{Map, Number, Value};

use super::findings_of;

#[path = "../../../ikada-config/tests/it/yaml_mistakes/table.rs"]
mod mistakes;

/// A configuration that uses every part of the format.
const WHOLE: &str = r#"
service: { flush: 1, grace: 30, log_level: info }
env: { STAGE: test }
parsers:
  - { name: mine, format: json, time_key: ts }
multiline_parsers:
  - name: trace
    type: regex
    rules:
      - { state: start_state, regex: "/^a/", next_state: cont }
      - { state: cont, regex: "/^ /", next_state: cont }
pipeline:
  inputs:
    - name: forward
      unix_path: /var/run/fluent.sock
      memBufLimit: 10MB
      processors:
        logs:
          - name: grep
            regex: log x
            condition: { op: and, rules: [ { field: "$level", op: eq, value: error } ] }
    - Name: dummy
      Tag: ${STAGE}
  filters:
    - { name: grep, match: "*", exclude: [ "log a", "log b" ] }
  outputs:
    - { name: s3, match: "*", bucket: logs, region: eu-west-1, totalFileSize: 10M }
    - name: cloudwatch_logs
      match: "*"
      logGroupName: group
      log_stream_prefix: app-
      region: eu-west-1
      tls: on
      net.keepalive: off
"#;

/// Each is refused by both.
const REFUSED: &[&str] = &[
    "pipeline: { input: [ { name: dummy } ] }",
    "pipeline: { inputs: { name: dummy } }",
    "pipeline: { inputs: [ { name: forwrad } ] }",
    "pipeline: { inputs: [ { tag: x } ] }",
    "pipeline: { inputs: [ { tail: { path: x } } ] }",
    "pipeline: { inputs: [ { name: dummy, storage: { type: memory } } ] }",
    "pipeline: { inputs: [ { name: dummy, routable: maybe } ] }",
    "pipeline: { inputs: [ { name: dummy, mem_buf_limit: 10MiB } ] }",
    "pipeline: { inputs: [ { name: dummy, processors: { log: [] } } ] }",
    "pipeline: { inputs: [ { name: dummy, processors: { logs: [ { name: grep, condition: { op: xor, rules: [] } } ] } } ] }",
    "pipeline: { outputs: [ { name: s3, region: x } ] }",
    "pipeline: { outputs: [ { name: s3, region: x, bucket: b, regoin: x } ] }",
    "pipeline: { filters: [ stdout ] }",
    "service: [ flush ]",
    "includes: a.yaml",
    "multiline_parsers: [ { name: m, rules: [ { state: a, regex: b } ] } ]",
    "upstream_servers: [ { name: u, nodes: [ { host: h } ] } ]",
    "inputs: [ { name: dummy } ]",
];

#[test]
fn the_schema_takes_every_part_of_the_format() {
    let problems = problems(&schema(&registry()), WHOLE);
    assert_eq!(problems, Vec::<String>::new());
    let errors: Vec<String> = findings_of(from_text("a.yaml", WHOLE))
        .into_iter()
        .filter(|line| line.contains(": error["))
        .collect();
    assert_eq!(errors, Vec::<String>::new());
}

#[test]
fn the_schema_refuses_what_the_loader_refuses() {
    let schema = schema(&registry());
    for text in REFUSED {
        assert!(!problems(&schema, text).is_empty(), "{text}");
        assert!(
            findings_of(from_text("a.yaml", *text)).iter().any(|line| line.contains(": error[")),
            "{text}"
        );
    }
}

#[test]
fn shipped_examples_in_yaml_are_valid() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config");
    let schema = schema(&registry());
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            seen += 1;
            let text = std::fs::read_to_string(&path).unwrap();
            assert_eq!(problems(&schema, &text), Vec::<String>::new(), "{}", path.display());
            assert_eq!(findings_of(from_text("a.yaml", text)), Vec::<String>::new(), "{}", path.display());
        }
    }
    assert!(seen > 0);
}

/// What no schema can see: names that refer to another place, and what YAML itself resolves before a schema is asked.
const BEYOND_A_SCHEMA: &[&str] = &["missing-include", "yaml-alias"];

#[test]
fn the_schema_refuses_the_mistakes_and_takes_what_their_helps_say() {
    let schema = schema(&registry());
    let mut failures = Vec::new();
    let mut refused = 0;
    for (mistake, findings, followed) in mistakes::MISTAKES {
        let is_beyond = |line: &&&str| BEYOND_A_SCHEMA.iter().any(|code| line.contains(&format!("[{code}]")));
        if !findings.iter().all(|line| is_beyond(&line)) {
            refused += 1;
            if problems(&schema, mistake).is_empty() {
                failures.push(format!("taken, with {findings:?}:\n{mistake}"));
            }
        }
        let problems = problems(&schema, followed);
        if !problems.is_empty() {
            failures.push(format!("refused, with {problems:?}:\n{followed}"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
    assert!(refused > 60, "{refused}");
}

fn problems(schema: &Value, text: &str) -> Vec<String> {
    let mut problems = Vec::new();
    match value_of(text) {
        Ok(value) => Checker { root: schema }.check(schema, &value, "", &mut problems),
        Err(error) => problems.push(error),
    }
    problems
}

/// Reads YAML as JSON, with the types that YAML gives words without quotes.
fn value_of(text: &str) -> Result<Value, String> {
    let mut open: Vec<Value> = vec![Value::Array(Vec::new())];
    let mut keys: Vec<Option<String>> = vec![None];
    for event in Parser::new_from_str(text) {
        let done = match event.map_err(|error| error.to_string())?.0 {
            Event::Scalar(text, ScalarStyle::Plain, ..) => plain(&text),
            Event::Scalar(text, ..) => Value::String(text.into_owned()),
            Event::SequenceStart(..) => {
                open.push(Value::Array(Vec::new()));
                keys.push(None);
                continue;
            }
            Event::MappingStart(..) => {
                open.push(Value::Object(Map::new()));
                keys.push(None);
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                keys.pop();
                open.pop().unwrap()
            }
            Event::Alias(_) => Value::Null,
            _ => continue,
        };
        match (open.last_mut().unwrap(), keys.last_mut().unwrap()) {
            (Value::Array(list), _) => list.push(done),
            (Value::Object(map), key) => match key.take() {
                Some(key) => {
                    if map.insert(key.clone(), done).is_some() {
                        return Err(format!("`{key}` stands twice"));
                    }
                }
                None => *key = Some(done.as_str().map_or_else(|| done.to_string(), str::to_owned)),
            },
            _ => unreachable!("only lists and maps are open"),
        }
    }
    Ok(open[0].get(0).cloned().unwrap_or(Value::Null))
}

fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" => Value::Null,
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        _ => match (text.parse::<i64>(), text.parse::<f64>()) {
            (Ok(number), _) => number.into(),
            (_, Ok(number)) => Number::from_f64(number).map_or(Value::Null, Value::Number),
            _ => Value::String(text.to_owned()),
        },
    }
}

struct Checker<'s> {
    root: &'s Value,
}

impl Checker<'_> {
    fn is_valid(&self, schema: &Value, value: &Value) -> bool {
        let mut problems = Vec::new();
        self.check(schema, value, "", &mut problems);
        problems.is_empty()
    }

    fn check(&self, schema: &Value, value: &Value, at: &str, problems: &mut Vec<String>) {
        for (word, rule) in schema.as_object().unwrap() {
            let holds = match word.as_str() {
                "$ref" => {
                    let path = rule.as_str().unwrap().trim_start_matches('#');
                    self.check(self.root.pointer(path).unwrap(), value, at, problems);
                    true
                }
                "type" => match rule {
                    Value::Array(types) => types.iter().any(|name| is_of(value, name.as_str().unwrap())),
                    name => is_of(value, name.as_str().unwrap()),
                },
                "enum" => rule.as_array().unwrap().contains(value),
                "pattern" => value.as_str().is_none_or(|text| matches(rule.as_str().unwrap(), text)),
                "minLength" => value.as_str().is_none_or(|text| !text.is_empty()),
                "minItems" => value.as_array().is_none_or(|list| !list.is_empty()),
                "required" => value.as_object().is_none_or(|map| {
                    rule.as_array().unwrap().iter().all(|key| map.contains_key(key.as_str().unwrap()))
                }),
                "anyOf" => rule.as_array().unwrap().iter().any(|rule| self.is_valid(rule, value)),
                "allOf" => {
                    rule.as_array().unwrap().iter().for_each(|rule| self.check(rule, value, at, problems));
                    true
                }
                "if" => {
                    if self.is_valid(rule, value) {
                        self.check(&schema["then"], value, at, problems);
                    }
                    true
                }
                "items" => {
                    for (number, item) in value.as_array().into_iter().flatten().enumerate() {
                        self.check(rule, item, &format!("{at}/{number}"), problems);
                    }
                    true
                }
                "properties" | "additionalProperties" | "patternProperties" => true,
                "then" | "title" | "description" | "default" | "examples" | "$schema" | "$defs" => true,
                other => panic!("`{other}` is not checked here"),
            };
            if !holds {
                problems.push(format!("{at}: {word} {rule}"));
            }
        }
        for (key, value) in value.as_object().into_iter().flatten() {
            self.check_property(schema, key, value, &format!("{at}/{key}"), problems);
        }
    }

    fn check_property(&self, schema: &Value, key: &str, value: &Value, at: &str, problems: &mut Vec<String>) {
        let named = schema.get("properties").and_then(|properties| properties.get(key));
        let patterns = schema.get("patternProperties").and_then(Value::as_object).into_iter().flatten();
        let by_pattern: Vec<&Value> =
            patterns.filter(|(pattern, _)| matches(pattern, key)).map(|(_, rule)| rule).collect();
        for rule in named.into_iter().chain(by_pattern.iter().copied()) {
            self.check(rule, value, at, problems);
        }
        if named.is_some() || !by_pattern.is_empty() {
            return;
        }
        match schema.get("additionalProperties") {
            Some(Value::Bool(false)) => problems.push(format!("{at}: unknown")),
            Some(rule @ Value::Object(_)) => self.check(rule, value, at, problems),
            _ => {}
        }
    }
}

fn is_of(value: &Value, name: &str) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        other => panic!("`{other}` is no type"),
    }
}

fn matches(pattern: &str, text: &str) -> bool {
    ikada_parse::regex::Regex::new(pattern).unwrap().is_match(text.as_bytes())
}
