//! Many rules of one key are asked in one pass, and say what each says alone.

use ikada_msgpack::write;
use ikada_plugin::Filter;
use ikada_record::Tag;
use ikada_route::Pattern;
use proptest::prelude::*;
use proptest::sample::select;

use crate::pipeline::{Link, Record, pass};
use crate::support::{build, encode, filter, run, run_json, time};

/// Literal, regular, with anchors, with look-around, and such that need text.
const EXPRESSIONS: [&str; 20] = [
    "error",
    "^a",
    "b$",
    "^$",
    "(?<!a)b",
    "a.c",
    "(a)\\1",
    ".",
    "^a|^b",
    "x*",
    "/ERROR/i",
    "\\berr",
    "^.b",
    "[^a]$",
    "\\n",
    "\\z",
    "[0-9]{2}",
    "é",
    "\\w+=\\w+",
    "^b\\n?$",
];

const PIECES: [&[u8]; 12] =
    [b"a", b"b", b"c", b"error", b"\n", b" ", b"=", "é".as_bytes(), b"\xff", b"42", b"x", b"ERROR"];

fn texts() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(select(&PIECES[..]), 0..6).prop_map(|pieces| pieces.concat())
}

fn record(text: &[u8]) -> Vec<u8> {
    let mut record = vec![0x81];
    write::str(&mut record, b"log");
    write::str(&mut record, text);
    record
}

fn grep(op: &str, kind: &str, expressions: &[&str]) -> Box<dyn Filter> {
    let rules: Vec<_> = expressions.iter().map(|expression| format!("log {expression}")).collect();
    let mut properties = vec![("Logical_Op", op)];
    properties.extend(rules.iter().map(|rule| (kind, &**rule)));
    filter("grep", &properties)
}

fn keeps(filter: &dyn Filter, text: &[u8]) -> bool {
    !run(filter, &Tag::from("a"), &[record(text)]).is_empty()
}

fn rewrite_tag(rules: &[String]) -> Link {
    let properties: Vec<_> = rules.iter().map(|rule| ("Rule", &**rule)).collect();
    let filter = build("rewrite_tag", &properties).filter.unwrap();
    Link { pattern: Pattern::new("a"), filter }
}

/// The tag that a record ends under.
fn tag(chain: &[Link], text: &[u8]) -> String {
    let records = vec![Record { time: time(), metadata: None, body: record(text) }];
    pass(chain, &Tag::from("a"), records)[0].0.to_string()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn grep_keeps_what_it_keeps_rule_by_rule(
        expressions in proptest::collection::vec(select(&EXPRESSIONS[..]), 4..10),
        texts in proptest::collection::vec(texts(), 1..8),
    ) {
        let alone: Vec<_> = expressions.iter().map(|one| grep("legacy", "Regex", &[one])).collect();
        let any = grep("OR", "Regex", &expressions);
        let none = grep("OR", "Exclude", &expressions);
        let first = grep("legacy", "Exclude", &expressions);
        let not_all = grep("AND", "Exclude", &expressions);
        for text in &texts {
            let matched: Vec<_> = alone.iter().map(|one| keeps(&**one, text)).collect();
            let some = matched.contains(&true);
            prop_assert_eq!(keeps(&*any, text), some);
            prop_assert_eq!(keeps(&*none, text), !some);
            prop_assert_eq!(keeps(&*first, text), !some);
            prop_assert_eq!(keeps(&*not_all, text), matched.contains(&false));
        }
    }

    #[test]
    fn rewrite_tag_takes_the_first_rule_that_matches(
        expressions in proptest::collection::vec(select(&EXPRESSIONS[..]), 4..10),
        texts in proptest::collection::vec(texts(), 1..8),
    ) {
        let rule = |number: usize, expression: &str| format!("$log \"{expression}\" r{number} false").replace("\\", "\\\\");
        let rules: Vec<_> = expressions.iter().enumerate().map(|(number, one)| rule(number, one)).collect();
        let all = [rewrite_tag(&rules)];
        let alone: Vec<_> = rules.iter().map(|rule| [rewrite_tag(std::slice::from_ref(rule))]).collect();
        for text in &texts {
            let first = alone.iter().map(|one| tag(one, text)).find(|tag| tag != "a");
            prop_assert_eq!(tag(&all, text), first.unwrap_or_else(|| "a".into()));
        }
    }
}

#[test]
fn rules_of_several_keys_are_asked_key_by_key() {
    let rules: Vec<_> =
        (0..12).map(|n| ("Exclude", format!("{} ^{n}$", if n < 6 { "a" } else { "b" }))).collect();
    let rules: Vec<_> = rules.iter().map(|(kind, rule)| (*kind, &**rule)).collect();
    let grep = filter("grep", &rules);
    let kept =
        run_json(&*grep, &[r#"{"a":"5","b":"1"}"#, r#"{"a":"6","b":"5"}"#, r#"{"b":"11"}"#, r#"{"a":3}"#]);
    assert_eq!(kept, [r#"{"a":"6","b":"5"}"#, r#"{"a":3}"#]);
}

#[test]
fn numbers_are_matched_by_many_rules_of_rewrite_tag_as_well() {
    let rules: Vec<_> = (1..=5).map(|n| format!("status ^{n}[0-9]{{2}}$ s{n} false")).collect();
    let chain = [rewrite_tag(&rules)];
    let tag = |status: &str| {
        let body = encode(&format!(r#"{{"status":{status}}}"#));
        pass(&chain, &Tag::from("a"), vec![Record { time: time(), metadata: None, body }])[0].0.to_string()
    };
    assert_eq!((tag("503"), tag("\"204\""), tag("99")), ("s5".into(), "s2".into(), "a".into()));
}
