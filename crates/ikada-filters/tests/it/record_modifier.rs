//! `record_modifier` beyond its recorded cases.

use std::collections::HashSet;

use ikada_plugin::{Effects, EntryContext, Verdict};
use ikada_record::{Fields, Tag, record_at};
use proptest::prelude::*;

use crate::support::{encode, filter, run, run_json, time};

const SAMPLE: &str = r#"{"a":"x","m":{"k":1},"pre.a":"1","Pre*":3,"x y":"sp"}"#;

fn one(properties: &[(&str, &str)], record: &str) -> String {
    run_json(&*filter("record_modifier", properties), &[record]).remove(0)
}

#[test]
fn a_star_at_the_end_stands_for_any_rest_and_nowhere_else() {
    assert_eq!(one(&[("Remove_key", "PRE*")], SAMPLE), r#"{"a":"x","m":{"k":1},"x y":"sp"}"#);
    assert_eq!(one(&[("Remove_key", "pre**")], SAMPLE), r#"{"a":"x","m":{"k":1},"pre.a":"1","x y":"sp"}"#);
    assert_eq!(one(&[("Remove_key", "p*a")], SAMPLE), SAMPLE);
    assert_eq!(one(&[("Allowlist_key", "*")], SAMPLE), SAMPLE);
}

#[test]
fn a_name_may_hold_blanks_and_quotes_are_letters() {
    assert_eq!(one(&[("Remove_key", "x y")], r#"{"x y":1,"b":2}"#), r#"{"b":2}"#);
    assert_eq!(one(&[("Remove_key", "\"x y\"")], r#"{"x y":1,"b":2}"#), r#"{"x y":1,"b":2}"#);
}

#[test]
fn words_of_a_record_may_be_quoted_and_empty() {
    assert_eq!(one(&[("Record", r#""k k" v"#)], "{}"), r#"{"k k":"v"}"#);
    assert_eq!(one(&[("Record", r#"k """#)], "{}"), r#"{"k":""}"#);
    assert_eq!(one(&[("Record", r#"k "x \"y\" z""#)], "{}"), r#"{"k":"x \"y\" z"}"#);
    assert_eq!(one(&[("Record", r"k a\tb")], "{}"), r#"{"k":"a\\tb"}"#);
    assert_eq!(one(&[("Record", "k  v")], "{}"), r#"{"k":"v"}"#);
}

#[test]
fn what_is_appended_stands_behind_everything_in_file_order() {
    let properties = [("Uuid_key", "id"), ("Record", "z 1"), ("Remove_key", "a"), ("Record", "a new")];
    let out = one(&properties, r#"{"a":"x","b":2}"#);
    assert!(out.starts_with(r#"{"b":2,"z":"1","a":"new","id":""#), "{out}");
}

#[test]
fn names_are_encoded_in_any_width() {
    let filter = filter("record_modifier", &[("Remove_key", "gone")]);
    let record = b"\x82\xd9\x04gone\x01\xda\x00\x04kept\x02".to_vec();
    assert_eq!(run(&*filter, &Tag::from("t"), &[record]), [b"\x81\xda\x00\x04kept\x02"]);
}

#[test]
fn keys_that_are_no_text_have_no_name() {
    let record = b"\x82\x01\x01\xa1a\x02".to_vec();
    let remove = filter("record_modifier", &[("Remove_key", "*")]);
    assert_eq!(run(&*remove, &Tag::from("t"), std::slice::from_ref(&record)), [b"\x81\x01\x01"]);
    let allow = filter("record_modifier", &[("Allowlist_key", "*")]);
    assert_eq!(run(&*allow, &Tag::from("t"), &[record]), [b"\x81\xa1a\x02"]);
}

#[test]
fn a_record_that_would_lose_all_keys_is_left_as_it_came() {
    let filter = filter("record_modifier", &[("Remove_key", "*")]);
    let record = encode(SAMPLE);
    let tag = Tag::from("t");
    let mut effects = Effects::default();
    let mut cx = EntryContext { tag: &tag, time: time(), metadata: None, position: 0, effects: &mut effects };
    let mut fields = Fields::split(record_at(&record));
    assert_eq!(filter.filter(&mut cx, &mut fields), Verdict::Empty);
    assert!(!fields.is_changed());
    assert_eq!(one(&[("Remove_key", "*")], SAMPLE), SAMPLE);
    assert_eq!(one(&[("Remove_key", "*")], "{}"), "{}");
    assert_eq!(one(&[("Remove_key", "*"), ("Record", "k v")], SAMPLE), r#"{"k":"v"}"#);
}

#[test]
fn every_uuid_is_one_of_version_4_and_new() {
    let filter = filter("record_modifier", &[("Uuid_key", "id")]);
    let out = run_json(&*filter, &["{}"; 1000]);
    let ids: HashSet<_> = out.iter().map(|record| &record[7..43]).collect();
    assert_eq!(ids.len(), 1000);
    for id in ids {
        let dashes: Vec<_> = id.match_indices('-').map(|(at, _)| at).collect();
        assert_eq!((dashes.as_slice(), &id[14..15]), (&[8, 13, 18, 23][..], "4"), "{id}");
        assert!(matches!(id.as_bytes()[19], b'8' | b'9' | b'a' | b'b'), "{id}");
    }
}

#[test]
fn a_record_it_has_nothing_to_say_about_is_not_changed() {
    let filter = filter("record_modifier", &[("Remove_key", "nope")]);
    let record = encode(SAMPLE);
    let tag = Tag::from("t");
    let mut effects = Effects::default();
    let mut cx = EntryContext { tag: &tag, time: time(), metadata: None, position: 0, effects: &mut effects };
    let mut fields = Fields::split(record_at(&record));
    assert_eq!(filter.filter(&mut cx, &mut fields), Verdict::Keep);
    assert!(!fields.is_changed());
}

fn names() -> impl Strategy<Value = String> {
    "[abAB]{1,3}[*]?"
}

fn named(rules: &[String], key: &str) -> bool {
    let key = key.to_lowercase();
    rules.iter().any(|rule| match rule.to_lowercase().strip_suffix('*') {
        Some(start) => key.starts_with(start),
        None => key == rule.to_lowercase(),
    })
}

proptest! {
    #[test]
    fn it_keeps_and_appends_as_the_reference_says(
        keys in prop::collection::hash_set("[abAB*]{1,4}", 0..6),
        rules in prop::collection::vec(names(), 1..4),
        allow in any::<bool>(),
        added in prop::collection::vec("[x-z]{1,3}", 0..3),
    ) {
        let option = if allow { "Allowlist_key" } else { "Remove_key" };
        let records: Vec<_> = added.iter().map(|key| format!("{key} new")).collect();
        let mut properties: Vec<_> = rules.iter().map(|rule| (option, rule.as_str())).collect();
        properties.extend(records.iter().map(|record| ("Record", record.as_str())));
        let keys: Vec<_> = keys.into_iter().collect();
        let pair = |key: &String, value: &str| format!("\"{key}\":{value}");
        let json = |pairs: Vec<String>| format!("{{{}}}", pairs.join(","));

        let mut left: Vec<_> =
            keys.iter().filter(|key| named(&rules, key) == allow).map(|key| pair(key, "1")).collect();
        for (at, key) in added.iter().enumerate() {
            if !added[at + 1..].contains(key) {
                left.push(pair(key, "\"new\""));
            }
        }
        let record = json(keys.iter().map(|key| pair(key, "1")).collect());
        let expected = if left.is_empty() { record.clone() } else { json(left) };
        let out = run_json(&*filter("record_modifier", &properties), &[&record]);
        prop_assert_eq!(out, [expected]);
    }
}
