//! Replays the routing cases recorded from Fluent Bit.
#![allow(clippy::unwrap_used, missing_docs)]

use ikada_route::Pattern;
use serde_json::Value;

const CASES: &str = include_str!("cases/match-cases.jsonl");

#[test]
fn tags_are_taken_as_recorded() {
    let cases: Vec<Value> = CASES.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let failures: Vec<String> = cases.iter().filter_map(failure).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(cases.len() > 700, "the case file is cut short");
}

fn failure(case: &Value) -> Option<String> {
    let text = |key: &str| case[key].as_str().unwrap_or_else(|| panic!("{case}"));
    if text("kind") != "match" {
        return None;
    }
    let got = Pattern::new(text("pattern")).matches(text("tag").as_bytes());
    (got != case["matches"].as_bool().unwrap()).then(|| format!("got {got}: {case}"))
}
