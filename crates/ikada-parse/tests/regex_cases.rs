//! Replays what Fluent Bit was seen to do with regular expressions.
#![allow(clippy::unwrap_used, missing_docs)]

use ikada_parse::regex::Regex;
use serde_json::Value;

const PARSER_CASES: &str = include_str!("cases/parser-cases.jsonl");
const FILTER_CASES: &str = include_str!("cases/filter-cases.jsonl");

fn cases(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Regex parsers without types, times and decoders, which are other modules' work.
fn is_plain_regex(case: &Value) -> bool {
    let parser = &case["parser"];
    let other = ["Types", "Time_Format", "Decode_Field", "Decode_Field_As"];
    parser["Format"] == "regex" && other.iter().all(|key| parser.get(key).is_none())
}

#[test]
fn named_groups_become_the_recorded_fields() {
    let cases = cases(PARSER_CASES);
    let replayed: Vec<&Value> = cases.iter().filter(|case| is_plain_regex(case)).collect();
    let failures: Vec<String> = replayed.iter().filter_map(|case| parser_failure(case)).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(replayed.len() > 35, "only {} cases", replayed.len());
}

fn parser_failure(case: &Value) -> Option<String> {
    let regex = match Regex::new(case["parser"]["Regex"].as_str().unwrap()) {
        Ok(regex) => regex,
        Err(error) => return Some(format!("{error}: {case}")),
    };
    let keeps_empty = case["parser"]["Skip_Empty_Values"] == "Off";
    let line = line_of(case);
    let fields = regex.captures(&line).filter(|_| regex.names().count() > 0).map(|found| {
        let fields = found
            .named()
            .map(|(name, bytes)| (name.to_owned(), bytes.unwrap_or_default().to_vec()))
            .filter(|(_, bytes)| keeps_empty || !bytes.is_empty());
        by_name(fields.collect())
    });
    let expected = (case["parse_failed"] != true).then(|| by_name(fields_of(&case["record"])));
    (fields != expected).then(|| format!("got {fields:?}: {case}"))
}

fn line_of(case: &Value) -> Vec<u8> {
    match case["line"].as_str() {
        Some(line) => line.as_bytes().to_vec(),
        None => from_hex(case["line_hex"].as_str().unwrap()),
    }
}

fn fields_of(record: &Value) -> Vec<(String, Vec<u8>)> {
    let bytes = |value: &Value| match value["__bytes_hex__"].as_str() {
        Some(hex) => from_hex(hex),
        None => value.as_str().unwrap().as_bytes().to_vec(),
    };
    if let Some(pairs) = record["__pairs__"].as_array() {
        return pairs.iter().map(|pair| (pair[0].as_str().unwrap().to_owned(), bytes(&pair[1]))).collect();
    }
    record.as_object().unwrap().iter().map(|(key, value)| (key.clone(), bytes(value))).collect()
}

/// A JSON object read here has no order; among namesakes it is kept.
fn by_name(mut fields: Vec<(String, Vec<u8>)>) -> Vec<(String, Vec<u8>)> {
    fields.sort_by(|a, b| a.0.cmp(&b.0));
    fields
}

fn from_hex(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
}

#[test]
fn every_recorded_filter_expression_compiles() {
    let mut failures = Vec::new();
    let mut compiled = 0;
    for case in cases(FILTER_CASES) {
        for expression in expressions(&case) {
            compiled += 1;
            if let Err(error) = Regex::new(&expression) {
                failures.push(format!("{expression}: {error} in {}", case["id"]));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(compiled > 40, "only {compiled} expressions");
}

/// The expressions of grep rules and of rewrite_tag rules.
fn expressions(case: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for filter in case["filters"].as_array().unwrap() {
        for property in filter["props"].as_array().unwrap() {
            let (key, value) = (property[0].as_str().unwrap(), property[1].as_str().unwrap());
            let is_grep = filter["name"] == "grep" && ["regex", "exclude"].contains(&&*key.to_lowercase());
            let is_rule = filter["name"] == "rewrite_tag" && key.eq_ignore_ascii_case("rule");
            let expression = match value.split_once(' ') {
                Some((_, rest)) if is_grep => Some(rest),
                Some((_, rest)) if is_rule => rest.split(' ').next(),
                _ => None,
            };
            found.extend(expression.map(str::to_owned));
        }
    }
    found
}
