//! `nest` beyond its recorded cases.

use ikada_record::Tag;

use crate::support::{build, decode, encode, filter, run, run_json};

fn changed(properties: &[(&str, &str)], record: &str) -> String {
    run_json(&*filter("nest", properties), &[record]).join("\n")
}

#[test]
fn fields_move_into_a_map_and_back() {
    let nest = [("Operation", "nest"), ("Wildcard", "a*"), ("Wildcard", "c"), ("Nest_under", "m")];
    assert_eq!(changed(&nest, r#"{"a1":1,"b":[2],"c":{"x":3}}"#), r#"{"b":[2],"m":{"a1":1,"c":{"x":3}}}"#);
    let lift = [("Operation", "lift"), ("Nested_under", "m")];
    assert_eq!(changed(&lift, r#"{"m":{"a1":1,"c":{"x":3}},"b":[2]}"#), r#"{"b":[2],"a1":1,"c":{"x":3}}"#);
}

#[test]
fn without_an_operation_fields_move_into_a_map() {
    let nest = [("Wildcard", "a*"), ("Nest_under", "m")];
    assert_eq!(changed(&nest, r#"{"a1":1,"b":2}"#), r#"{"b":2,"m":{"a1":1}}"#);
}

#[test]
fn names_get_and_lose_their_prefix() {
    let nest = [("Operation", "nest"), ("Wildcard", "*"), ("Nest_under", "m")];
    let with = |prefix: (&'static str, &'static str)| {
        let mut properties = nest.to_vec();
        properties.push(prefix);
        changed(&properties, r#"{"pre.a":1,"b":2,"pre.":3}"#)
    };
    assert_eq!(with(("Add_prefix", "x_")), r#"{"m":{"x_pre.a":1,"x_b":2,"x_pre.":3}}"#);
    assert_eq!(with(("Remove_prefix", "pre.")), r#"{"m":{"a":1,"b":2,"":3}}"#);
}

#[test]
fn one_level_is_lifted_even_if_the_next_has_the_same_name() {
    let lift = [("Operation", "lift"), ("Nested_under", "m")];
    assert_eq!(changed(&lift, r#"{"m":{"m":{"x":1}}}"#), r#"{"m":{"x":1}}"#);
}

#[test]
fn a_map_that_was_made_on_the_way_is_lifted_as_well() {
    let tag = Tag::from("t");
    let nest = filter("nest", &[("Operation", "nest"), ("Wildcard", "a"), ("Nest_under", "m")]);
    let lift = filter("nest", &[("Operation", "lift"), ("Nested_under", "m"), ("Add_prefix", "m.")]);
    let out = run(&*lift, &tag, &run(&*nest, &tag, &[encode(r#"{"a":1,"b":2}"#)]));
    assert_eq!(decode(&out[0]), r#"{"b":2,"m.a":1}"#);
}

#[test]
fn what_does_not_fit_together_is_refused() {
    let findings = |properties: &[(&str, &str)]| build("nest", properties).findings.join("\n");
    let both = findings(&[
        ("Operation", "lift"),
        ("Nested_under", "m"),
        ("Add_prefix", "a"),
        ("Remove_prefix", "b"),
    ]);
    assert!(both.contains("error[conflicting-options]"), "{both}");
    let nothing = findings(&[("Operation", "nest"), ("Nest_under", "m")]);
    assert!(nothing.contains("warning[missing-option]: without `Wildcard` no field moves"), "{nothing}");
    assert!(
        findings(&[("Wildcard", "a")])
            .contains("error[missing-option]: filter nest needs the option `nest_under`")
    );
    assert!(
        findings(&[("Operation", "lift")])
            .contains("error[missing-option]: filter nest needs the option `nested_under`")
    );
    assert!(findings(&[("Operation", "flatten"), ("Nest_under", "m")]).contains("error[bad-value]"));
    assert!(findings(&[("Operation", "lifting"), ("Nest_under", "m")]).contains("counts as `lift`"));
}
