//! Replays the routing cases recorded from Fluent Bit.
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeSet;

use ikada_route::{Matcher, Pattern, TagRegex};
use serde_json::Value;

const CASES: &str = include_str!("cases/match-cases.jsonl");

fn cases() -> Vec<Value> {
    CASES.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn tags_are_taken_as_recorded() {
    let cases = cases();
    let failures: Vec<String> = cases.iter().filter_map(failure).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(cases.len() > 700, "the case file is cut short");
}

#[test]
fn invalid_expressions_are_reported_and_no_others() {
    let cases = cases();
    let keys = ["pattern", "match_regex"];
    let written = cases
        .iter()
        .filter(|case| case["kind"] != "match")
        .filter_map(|case| keys.iter().find_map(|key| case[*key].as_str()));
    let reported: BTreeSet<&str> = written.filter(|text| TagRegex::new(text).is_err()).collect();
    assert_eq!(reported, BTreeSet::from(["(", "*"]));
}

fn failure(case: &Value) -> Option<String> {
    let text = |key: &str| case[key].as_str().unwrap_or_else(|| panic!("{case}"));
    // An invalid expression leaves its instance without one.
    let matcher = match text("kind") {
        "match" => Matcher::from(Pattern::new(text("pattern"))),
        "match_regex" => Matcher { pattern: None, regex: TagRegex::new(text("pattern")).ok() },
        _ => Matcher {
            pattern: Some(Pattern::new(text("match"))),
            regex: TagRegex::new(text("match_regex")).ok(),
        },
    };
    let got = matcher.matches(text("tag").as_bytes());
    (got != case["matches"].as_bool().unwrap()).then(|| format!("got {got}: {case}"))
}
