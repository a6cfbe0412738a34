//! Replays what Fluent Bit was seen to make of files with multiline parsers.
#![allow(clippy::unwrap_used, missing_docs)]

use std::sync::Arc;
use std::time::Duration;

use ikada_diag::{Diagnostics, Sources, Spanned};
use ikada_options::{Property, PropertyBag};
use ikada_parse::Parsers;
use ikada_parse::multiline::{Finished, Joiner, MultilineParser, Origin};
use ikada_record::Timestamp;
use serde_json::{Value, json};

const CASES: &str = include_str!("cases/multiline-cases.jsonl");

/// Cases of other parts: the old ways of tail, and the fields it adds.
const ELSEWHERE: [&str; 3] = ["ml-old-multiline", "ml-docker-mode", "ml-cri-pathkey"];

/// Cases that end otherwise on purpose. `docs/compatibility.md` says why.
fn differences() -> Vec<(&'static str, Value)> {
    vec![
        // What waits when the process stops is not lost.
        (
            "ml-docker-pending-exit",
            json!([{"log": "never ends", "stream": "stdout", "time": "2025-09-11T06:46:18.123456789Z"}]),
        ),
        // Records keep the order of their lines.
        (
            "ml-java,python,go",
            json!([
                {"log": "2025-09-11 INFO start\n"},
                {"log": "Exception in thread \"main\" java.lang.RuntimeException: boom\n    at a.B.c(B.java:1)\n    ... 3 more\n"},
                {"log": "Traceback (most recent call last):\n  File \"a.py\", line 1, in <module>\n    f()\nValueError: boom\n"},
                {"log": "x\n"},
            ]),
        ),
    ]
}

/// The time of lines that do not tell theirs.
/// The time of lines that do not tell theirs, in seconds since 1970.
const READ: i64 = 1_700_000_000;

#[test]
fn lines_become_the_recorded_records() {
    let cases: Vec<Value> = CASES.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let here = cases.iter().filter(|case| !ELSEWHERE.contains(&case["id"].as_str().unwrap()));
    let failures: Vec<String> = here.filter_map(failure).collect();
    assert!(failures.is_empty(), "{} cases differ:\n{}", failures.len(), failures.join("\n"));
    assert!(cases.len() > 20, "only {} cases", cases.len());
}

fn failure(case: &Value) -> Option<String> {
    let id = case["id"].as_str().unwrap();
    let (parsers, findings) = parsers(case);
    let refused = case["note"] == "start refused";
    let Some(parsers) = parsers else {
        return (!refused).then(|| format!("{id}: refused: {findings:?}"));
    };
    if refused {
        return Some(format!("{id}: not refused"));
    }
    let found = Value::Array(replay(&parsers, case["lines"].as_array().unwrap()));
    let difference = differences().into_iter().find(|(other, _)| *other == id);
    let expected = match difference {
        Some((_, records)) => records,
        None => case["records"].as_array().unwrap().iter().map(|entry| entry["record"].clone()).collect(),
    };
    (found != expected).then(|| format!("{id}: got {found}, expected {expected}"))
}

/// The numbers of the lines that a record is made of.
struct Numbers(Vec<usize>);

impl Origin for Numbers {
    fn join(&mut self, later: Self) {
        self.0.extend(later.0);
    }
}

/// Sends the content of a file through a joiner, with its pauses, and stops.
fn replay(parsers: &Named, parts: &[Value]) -> Vec<Value> {
    let mut joiner = Joiner::new(parsers.clone(), None);
    let mut records = Vec::new();
    let mut now = Duration::ZERO;
    let mut pushed = Vec::new();
    let mut seen = Vec::new();
    let pauses = parts.iter().any(Value::is_number);
    let mut hand = |done: Finished<'_, Numbers>| {
        records.push(rmp_serde::from_slice(done.record).unwrap());
        seen.extend(done.origin.0);
    };
    for part in parts {
        if let Some(pause) = part.as_f64() {
            now += Duration::from_secs_f64(pause);
            joiner.flush(now, &mut hand);
            continue;
        }
        // With pauses, a part is content; without, it is a line.
        let text = part.as_str().unwrap();
        let text = if pauses { text.strip_suffix('\n').unwrap() } else { text };
        for line in text.split('\n') {
            let line = line.strip_suffix('\r').unwrap_or(line);
            let number = pushed.len();
            pushed.push(line);
            joiner.push_line(line.as_bytes(), Timestamp::new(READ, 0), Numbers(vec![number]), now, &mut hand);
        }
    }
    joiner.finish(&mut hand);
    assert!(joiner.is_empty());
    let once = |number: &usize| seen.iter().filter(|other| *other == number).count() == 1;
    let lines = (0..pushed.len()).filter(|number| !pushed[*number].is_empty());
    assert!(lines.into_iter().all(|number| once(&number)), "every line is part of one record: {seen:?}");
    records
}

type Named = Arc<[Arc<MultilineParser>]>;

/// The multiline parsers of a case, `None` if one is refused.
fn parsers(case: &Value) -> (Option<Named>, Vec<String>) {
    let mut parsers = Parsers::new();
    let mut sources = Sources::default();
    let mut found = Diagnostics::new();
    let section = |pairs: Vec<(String, String)>, sources: &mut Sources| {
        let file = sources.add("x.conf", "x");
        let text = |text: String| Spanned::new(text, file.span(0, 1));
        let properties = pairs.into_iter().map(|(key, value)| Property::new(text(key), text(value)));
        PropertyBag::new("parser", file.span(0, 1), properties.collect())
    };
    for text in case["config"]["parsers"].as_str().unwrap_or_default().split("[PARSER]").skip(1) {
        let lines = text.lines().filter_map(|line| line.trim().split_once(' '));
        let pairs = lines.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        parsers.define(section(pairs, &mut sources), &mut found);
    }
    if let Some(own) = case["config"]["multiline"].as_array() {
        let mut pairs = vec![("name".to_owned(), "x".to_owned())];
        pairs.extend(own.iter().map(|pair| (text(&pair[0]), text(&pair[1]))));
        parsers.define_multiline(section(pairs, &mut sources), &mut found);
    }
    let names = text(&case["config"]["tail"]["multiline.parser"]);
    let place = sources.add("tail.conf", "x").span(0, 1);
    let mut find =
        |name: &str| parsers.find_multiline_of_file(&Spanned::new(name.to_owned(), place), &mut found);
    let named: Option<Vec<_>> = names.split(", ").map(&mut find).collect();
    (named.map(Into::into), found.lines(&sources).collect())
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}
