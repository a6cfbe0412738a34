//! `grep` beyond its recorded cases.

use proptest::prelude::*;

use crate::support::{filter, run_json};

fn keeps(properties: &[(&str, &str)], record: &str) -> bool {
    !run_json(&*filter("grep", properties), &[record]).is_empty()
}

#[test]
fn without_rules_everything_stays() {
    assert!(keeps(&[], r#"{"a":1}"#));
    assert!(keeps(&[("Logical_Op", "AND")], r#"{"a":1}"#));
    assert!(keeps(&[("Logical_Op", "OR")], "{}"));
}

#[test]
fn a_record_without_keys_has_nothing_to_match() {
    assert!(!keeps(&[("Regex", "a .*")], "{}"));
    assert!(keeps(&[("Exclude", "a .*")], "{}"));
}

#[test]
fn an_exclude_before_a_regex_is_asked_first() {
    let rules = [("Exclude", "level debug"), ("Regex", "log x")];
    assert!(!keeps(&rules, r#"{"level":"debug","log":"x"}"#));
    assert!(keeps(&rules, r#"{"level":"info","log":"x"}"#));
    assert!(!keeps(&rules, r#"{"level":"info","log":"y"}"#));
}

#[test]
fn a_field_in_quotes_may_hold_blanks() {
    let rules = [("Regex", "$m['a key'] ^v 1$")];
    assert!(keeps(&rules, r#"{"m":{"a key":"v 1"}}"#));
    assert!(keeps(&[("Regex", "$['any key'] v")], r#"{"any key":"v"}"#));
    assert!(keeps(&[("Regex", "log it's ['here']")], r#"{"log":"it's h"}"#));
}

#[test]
fn quotes_in_an_expression_are_letters() {
    assert!(keeps(&[("Regex", "q \"x y\"")], r#"{"q":"\"x y\""}"#));
    assert!(!keeps(&[("Regex", "q \"x y\"")], r#"{"q":"x y"}"#));
}

#[test]
fn a_record_that_stays_is_not_changed() {
    let out = run_json(&*filter("grep", &[("Regex", "a x")]), &[r#"{"z":1,"a":"x","m":{"k":[1,null]}}"#]);
    assert_eq!(out, [r#"{"z":1,"a":"x","m":{"k":[1,null]}}"#]);
}

#[derive(Debug, Clone)]
struct Model {
    op: &'static str,
    rules: Vec<(bool, char, char)>,
}

impl Model {
    /// What the reference says, word for word.
    fn keeps(&self, record: &[(char, String)]) -> bool {
        let matches = |(_, key, letter): &(bool, char, char)| {
            let value = record.iter().rev().find(|(name, _)| name == key);
            value.is_some_and(|(_, text)| text.contains(*letter))
        };
        if self.rules.is_empty() {
            return true;
        }
        if self.op == "legacy" {
            for rule in &self.rules {
                if rule.0 {
                    return matches(rule);
                }
                if matches(rule) {
                    return false;
                }
            }
            return true;
        }
        let hits = self.rules.iter().filter(|rule| matches(rule)).count();
        let hit = if self.op == "AND" { hits == self.rules.len() } else { hits > 0 };
        if self.rules[0].0 { hit } else { !hit }
    }

    fn properties(&self) -> Vec<(String, String)> {
        let rules = self.rules.iter().map(|(keeps, key, letter)| {
            let option = if *keeps { "Regex" } else { "Exclude" };
            (option.to_owned(), format!("{key} {letter}"))
        });
        rules.chain([("Logical_Op".to_owned(), self.op.to_owned())]).collect()
    }
}

fn models() -> impl Strategy<Value = Model> {
    let letter = || prop::sample::select(vec!['a', 'b', 'c']);
    let rules = prop::collection::vec((any::<bool>(), letter(), letter()), 0..5);
    (prop::sample::select(vec!["legacy", "AND", "OR"]), rules).prop_map(|(op, mut rules)| {
        if op != "legacy" {
            let kind = rules.first().is_some_and(|rule| rule.0);
            rules.iter_mut().for_each(|rule| rule.0 = kind);
        }
        Model { op, rules }
    })
}

proptest! {
    #[test]
    fn it_decides_as_the_reference_says(
        model in models(),
        record in prop::collection::vec((prop::sample::select(vec!['a', 'b', 'c', 'd']), "[abc]{0,3}"), 0..5),
    ) {
        let properties = model.properties();
        let properties: Vec<_> = properties.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        let built = crate::support::build("grep", &properties);
        let pairs: Vec<_> = record.iter().map(|(key, value)| format!("\"{key}\":\"{value}\"")).collect();
        let json = format!("{{{}}}", pairs.join(","));
        let kept = !run_json(&*built.filter.unwrap(), &[&json]).is_empty();
        prop_assert_eq!(kept, model.keeps(&record));
    }
}
