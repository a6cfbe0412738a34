//! What is expected against what was received, for people.

use serde_json::{Map, Value};

use super::expectations::Case;
use super::replay::{Received, Replay};

/// The differences, a line each; none if everything is as expected.
#[must_use]
pub fn compare(case: &Case, replay: &Replay) -> Vec<String> {
    let mut lines = Vec::new();
    for (name, expected) in &case.expect {
        match replay.outputs.iter().find(|(output, _)| output == name) {
            Some((_, received)) => output(name, expected, received, case.contains, &mut lines),
            None => {
                let names: Vec<&str> = replay.outputs.iter().map(|(name, _)| name.as_str()).collect();
                lines.push(format!("no output is called `{name}`; there are {}", names.join(", ")));
            }
        }
    }
    if !lines.is_empty() && replay.unmatched + replay.filtered > 0 {
        lines.push(format!(
            "({} records matched no output, filters dropped {})",
            replay.unmatched, replay.filtered
        ));
    }
    lines
}

fn output(name: &str, expected: &[Value], received: &[Received], contains: bool, lines: &mut Vec<String>) {
    if expected.len() != received.len() {
        lines.push(format!("{name}: {} records expected, {} received", expected.len(), received.len()));
    }
    for number in 0..expected.len().max(received.len()) {
        let place = format!("{name}, record {}", number + 1);
        match (expected.get(number), received.get(number)) {
            (Some(expected), Some(received)) => record(&place, expected, &received.record, contains, lines),
            (Some(expected), None) => lines.push(format!("{place}: missing\n  - {expected}")),
            (None, Some(received)) => lines.push(format!("{place}: not expected\n  + {}", received.record)),
            (None, None) => {}
        }
    }
}

fn record(place: &str, expected: &Value, received: &Value, contains: bool, lines: &mut Vec<String>) {
    let mut differences = Vec::new();
    differs("", expected, received, contains, &mut differences);
    if !differences.is_empty() {
        lines.push(format!("{place}:\n  {}", differences.join("\n  ")));
    }
}

/// Numbers are equal by their value; the order of keys does not matter.
fn differs(path: &str, expected: &Value, received: &Value, contains: bool, lines: &mut Vec<String>) {
    match (expected, received) {
        (Value::Object(expected), Value::Object(received)) => {
            fields(path, expected, received, contains, lines)
        }
        (Value::Number(a), Value::Number(b)) if a.as_f64() == b.as_f64() => {}
        (a, b) if a == b => {}
        (a, b) => lines.push(format!("- {}: {a}\n  + {}: {b}", shown(path), shown(path))),
    }
}

fn fields(
    path: &str,
    expected: &Map<String, Value>,
    received: &Map<String, Value>,
    contains: bool,
    lines: &mut Vec<String>,
) {
    let inner = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    for (key, value) in expected {
        match received.get(key) {
            Some(own) => differs(&inner(key), value, own, contains, lines),
            None => lines.push(format!("- {}: {value}", inner(key))),
        }
    }
    if !contains {
        let more = received.iter().filter(|(key, _)| !expected.contains_key(*key));
        lines.extend(more.map(|(key, value)| format!("+ {}: {value}", inner(key))));
    }
}

fn shown(path: &str) -> &str {
    if path.is_empty() { "record" } else { path }
}
