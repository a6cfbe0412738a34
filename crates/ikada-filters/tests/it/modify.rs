//! `modify` beyond its recorded cases.

use crate::support::{build, filter, run_json};

/// What becomes of a record.
fn changed(properties: &[(&str, &str)], record: &str) -> String {
    let out = run_json(&*filter("modify", properties), &[record]);
    assert_eq!(out.len(), 1, "modify drops nothing");
    out.into_iter().next().unwrap()
}

#[test]
fn rules_do_what_the_reference_says() {
    let cases = [
        (("Set", "a x"), r#"{"a":1,"b":2}"#, r#"{"b":2,"a":"x"}"#),
        (("Add", "a x"), r#"{"a":1}"#, r#"{"a":1}"#),
        (("Add", "c \"\""), r#"{"a":1}"#, r#"{"a":1,"c":""}"#),
        (("Remove", "a"), r#"{"a":1,"ab":2}"#, r#"{"ab":2}"#),
        (("Remove_wildcard", "a"), r#"{"a":1,"ab":2,"b":3}"#, r#"{"b":3}"#),
        (("Remove_regex", "b$"), r#"{"a":1,"ab":2,"b":3}"#, r#"{"a":1}"#),
        (("Rename", "a b"), r#"{"x":0,"a":1,"y":2}"#, r#"{"x":0,"b":1,"y":2}"#),
        (("Rename", "a y"), r#"{"x":0,"a":1,"y":2}"#, r#"{"x":0,"a":1,"y":2}"#),
        (("Hard_rename", "a y"), r#"{"y":2,"a":1,"z":3}"#, r#"{"y":1,"z":3}"#),
        (("Hard_rename", "nope y"), r#"{"y":2}"#, r#"{"y":2}"#),
        (("Copy", "a c"), r#"{"a":{"n":1},"b":2}"#, r#"{"a":{"n":1},"c":{"n":1},"b":2}"#),
        (("Copy", "a b"), r#"{"a":1,"b":2}"#, r#"{"a":1,"b":2}"#),
        (("Hard_copy", "a b"), r#"{"b":2,"a":1,"c":3}"#, r#"{"a":1,"b":1,"c":3}"#),
        (("Hard_copy", "a a"), r#"{"a":1}"#, r#"{"a":1}"#),
        (("Move_to_start", "t"), r#"{"a":1,"t2":2,"b":3,"t1":4}"#, r#"{"t2":2,"t1":4,"a":1,"b":3}"#),
        (("Move_to_end", "a"), r#"{"a":1,"b":2,"ab":3}"#, r#"{"b":2,"a":1,"ab":3}"#),
    ];
    for (rule, record, expected) in cases {
        assert_eq!(changed(&[rule], record), expected, "{rule:?}");
    }
}

#[test]
fn a_record_may_lose_all_its_fields() {
    assert_eq!(changed(&[("Remove_regex", ".")], r#"{"a":1}"#), "{}");
}

#[test]
fn conditions_look_at_the_record_as_it_came() {
    let properties = [
        ("Remove", "a"),
        ("Set", "b x"),
        ("Condition", "Key_exists a"),
        ("Condition", "Key_does_not_exist b"),
    ];
    assert_eq!(changed(&properties, r#"{"a":1}"#), r#"{"b":"x"}"#);
    assert_eq!(changed(&properties, r#"{"a":1,"b":2}"#), r#"{"a":1,"b":2}"#);
}

#[test]
fn conditions_hold_as_the_reference_says() {
    let record = r#"{"s":"error","n":3,"t":true,"z":null,"m":{"s":"deep"},"l":["e0","e1"],"a.b":"dot"}"#;
    let cases = [
        ("Key_exists z", true),
        ("Key_exists a.b", true),
        ("Key_exists $l[1]", true),
        ("Key_exists $l[2]", false),
        ("key_does_not_exist $m['x']", true),
        ("A_key_matches ^a", true),
        ("No_key_matches ^(s|n)$", false),
        ("Key_value_equals $m['s'] deep", true),
        ("Key_value_equals n 3", false),
        ("Key_value_equals nope x", false),
        ("Key_value_does_not_equal n 3", true),
        ("Key_value_does_not_equal nope x", false),
        ("Key_value_matches t ^tr", true),
        ("Key_value_matches n 3", false),
        ("Key_value_does_not_match n 3", true),
        ("Key_value_does_not_match nope 3", false),
        ("Matching_keys_have_matching_values ^[st]$ r", true),
        ("Matching_keys_have_matching_values ^[sn]$ .", false),
        ("Matching_keys_do_not_have_matching_values ^x .", false),
    ];
    for (condition, holds) in cases {
        let out = changed(&[("Condition", condition), ("Set", "hit yes")], record);
        assert_eq!(out.contains("hit"), holds, "{condition}");
    }
}

#[test]
fn rules_of_another_number_of_words_are_refused_with_the_line_to_type() {
    let findings = |rule| build("modify", &[rule]).findings.join("\n");
    assert_eq!(
        findings(("Set", "k1 v w")),
        "x.conf:2:9: error[bad-value]: `Set` takes a name and one word, not 3 words (help: put the text in double quotes: \
         `Set k1 \"v w\"`)"
    );
    assert_eq!(
        findings(("Rename", "k1")),
        "x.conf:2:12: error[bad-value]: `Rename` takes two names, not one word (help: type `Rename name new_name`)"
    );
    assert!(findings(("Set", "k1 \"v")).contains("a quote in `Set` is never closed"));
    assert!(findings(("Remove_wildcard", "pre.*")).contains("warning[adjusted-value]"));
    assert!(findings(("Remove_regex", "(")).contains("error[bad-regex]"));
}

#[test]
fn a_condition_that_is_none_is_met_with_its_neighbours() {
    let findings = |text| build("modify", &[("Condition", text)]).findings.join("\n");
    assert!(findings("Key_exist a").contains("it is one of `Key_exists`"), "{}", findings("Key_exist a"));
    assert!(findings("Key_value_equals a").contains("takes 2 words, not 1"));
    assert!(findings("Key_exists a b").contains("takes one word, not 2"));
    assert!(findings("Key_value_matches a (").contains("error[bad-regex]"));
}
