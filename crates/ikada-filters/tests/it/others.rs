//! The smaller filters beyond their recorded cases.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use ikada_filters::expect::{Expect, ExpectOptions};
use ikada_options::Diagnostics;
use ikada_record::Tag;
use ikada_route::Pattern;

use crate::pipeline::{Link, Record, pass};
use crate::support::{build, decode, encode, filter, options, run, run_json, time};

fn changed(name: &str, properties: &[(&str, &str)], record: &str) -> String {
    run_json(&*filter(name, properties), &[record]).join("\n")
}

#[test]
fn numbers_are_converted_as_far_as_they_are_numbers() {
    let cases = [
        ("str_key", "int", r#""42 ms""#, "42"),
        ("str_key", "int", r#""0""#, "0"),
        ("str_key", "int", r#"" -7""#, "-7"),
        ("str_key", "uint", r#""18446744073709551615""#, "18446744073709551615"),
        ("str_key", "hex", r#""0xff""#, "255"),
        ("str_key", "float", r#""1.5e3s""#, "1500.0"),
        ("str_key", "bool", r#""FALSE""#, "false"),
        ("int_key", "string", "-3", r#""-3""#),
        ("int_key", "float", "7", "7.0"),
        ("uint_key", "string", "7", r#""7""#),
        ("float_key", "string", "2.0", r#""2.0""#),
        ("float_key", "str", "0.1", r#""0.1""#),
        ("float_key", "int", "-2.75", "-2"),
    ];
    for (option, to, from, made) in cases {
        let out = changed("type_converter", &[(option, &format!("a b {to}"))], &format!(r#"{{"a":{from}}}"#));
        assert_eq!(out, format!(r#"{{"a":{from},"b":{made}}}"#), "{option} {to}");
    }
}

#[test]
fn what_is_no_number_adds_nothing() {
    let cases = [
        ("str_key", "int", r#""x7""#),
        ("str_key", "int", r#""0x1f""#),
        ("str_key", "uint", r#""-7""#),
        ("str_key", "float", r#""abc""#),
        ("str_key", "bool", r#""yes""#),
        ("str_key", "int", "7"),
        ("int_key", "string", "7.0"),
        ("float_key", "int", "1e20"),
        ("float_key", "string", r#""7""#),
    ];
    for (option, to, from) in cases {
        let record = format!(r#"{{"a":{from}}}"#);
        let out = changed("type_converter", &[(option, &format!("a b {to}"))], &record);
        assert_eq!(out, run_json(&*filter("grep", &[]), &[&record]).join("\n"), "{option} {to} {from}");
    }
}

#[test]
fn conversions_read_the_record_as_it_came_and_reach_into_it() {
    let properties = [("str_key", "$m['n'] n int"), ("int_key", "n s string")];
    assert_eq!(
        changed("type_converter", &properties, r#"{"m":{"n":"7"},"n":5}"#),
        r#"{"m":{"n":"7"},"n":7,"s":"5"}"#
    );
}

#[test]
fn a_conversion_that_is_none_is_refused() {
    let findings = |rule| build("type_converter", &[rule]).findings.join("\n");
    assert!(
        findings(("str_key", "a b string")).contains("the type is `int`, `uint`, `float`, `hex` or `bool`")
    );
    assert!(findings(("int_key", "a b")).contains("needs three words, not 2"));
    assert!(build("type_converter", &[]).findings[0].contains("has no rule"));
}

#[test]
fn a_throttle_says_what_counts_as_something_else() {
    let built = build("throttle", &[("Rate", "0"), ("Window", "1")]);
    assert_eq!(built.findings.len(), 2, "{:?}", built.findings);
    let records: Vec<_> = (0..9).map(|n| encode(&format!(r#"{{"n":{n}}}"#))).collect();
    assert_eq!(run(&*built.filter.unwrap(), &Tag::from("t"), &records).len(), 5, "one a slot, five slots");
    assert!(build("throttle", &[("Interval", "0s")]).filter.is_none());
}

#[test]
fn expectations_are_marked_in_the_record() {
    let cases: [(&[(&str, &str)], bool); 11] = [
        (&[("key_exists", "$m['x']")], true),
        (&[("key_exists", "$m['y']")], false),
        (&[("key_not_exists", "a")], false),
        (&[("key_val_is_null", "z")], true),
        (&[("key_val_is_null", "nope")], false),
        (&[("key_val_is_not_null", "z")], false),
        (&[("key_val_eq", "a x y")], true),
        (&[("key_val_eq", "a z")], false),
        (&[("key_val_eq", "m z"), ("key_exists", "a")], true),
        (&[("key_val_eq", "l x")], false),
        (&[("key_val_eq", "nope x")], false),
    ];
    for (rules, holds) in cases {
        let mut properties = vec![("action", "result_key"), ("result_key", "ok")];
        properties.extend_from_slice(rules);
        let out = changed("expect", &properties, r#"{"a":"x y","z":null,"m":{"x":1},"l":["x"]}"#);
        let expected = format!(r#"{{"ok":{holds},"a":"x y","z":null,"m":{{"x":1}},"l":["x"]}}"#);
        assert_eq!(out, expected, "{rules:?}");
    }
}

#[test]
fn a_broken_expectation_stops_the_router_once() {
    let options: ExpectOptions = options("expect", &[("action", "exit"), ("key_exists", "a")]);
    let stops = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&stops);
    let stop = Box::new(move || {
        count.fetch_add(1, Relaxed);
    });
    let filter = Expect::build(&options, stop, &mut Diagnostics::new()).unwrap();
    assert_eq!(run_json(&filter, &[r#"{"a":1}"#]).len(), 1);
    assert_eq!(stops.load(Relaxed), 0);
    assert_eq!(run_json(&filter, &[r#"{"b":1}"#, r#"{"c":1}"#]).len(), 2, "records pass");
    assert_eq!(stops.load(Relaxed), 1);
}

#[test]
fn a_list_is_looked_up_exactly_by_start_and_without_case() {
    let files = tempfile::tempdir().unwrap();
    let path = files.path().join("list.txt");
    std::fs::write(&path, "# no\nError\r\nGET %/admin\n10.0._.1\n").unwrap();
    let hit = |mode: &str, ignore: &str, text: &str| {
        let properties = [
            ("file", path.to_str().unwrap()),
            ("lookup_key", "$c['v']"),
            ("mode", mode),
            ("ignore_case", ignore),
            ("record", "hit true"),
        ];
        changed("checklist", &properties, &format!(r#"{{"c":{{"v":"{text}"}}}}"#)).contains("hit")
    };
    assert!(hit("exact", "off", "Error") && !hit("exact", "off", "error") && !hit("exact", "off", "Errors"));
    assert!(hit("exact", "on", "eRROR") && !hit("exact", "off", "# no"));
    assert!(
        hit("partial", "off", "Errors")
            && hit("partial", "off", "GET /x/admin/y")
            && hit("partial", "on", "get /ADMIN")
    );
    assert!(hit("partial", "off", "10.0.5.17") && !hit("partial", "off", "10.0.55.1"));
}

#[test]
fn a_processor_changes_one_field() {
    let record = r#"{"s":"42","n":3,"f":2.5,"b":true,"z":null,"m":{"x":1},"e":"","log":"GET /x 500"}"#;
    let cases: [(&[(&str, &str)], &str); 16] = [
        (&[("action", "insert"), ("key", "n"), ("value", "x")], r#""n":3"#),
        (&[("action", "insert"), ("key", "new"), ("value", "x")], r#","new":"x"}"#),
        (&[("action", "upsert"), ("key", "n"), ("value", "x")], r#","n":"x"}"#),
        (&[("action", "rename"), ("key", "n"), ("value", "x")], r#","x":3,"#),
        (
            &[("action", "hash"), ("key", "s")],
            r#""s":"73475cb40a568e8da8a045ced110137e159f890ac4da883b6b17dc651b3a8049","#,
        ),
        (
            &[("action", "hash"), ("key", "b")],
            r#""b":"b5bea41b6c623f7c09f1bf24dcae58ebab3c0cdd90ad966bc43a45b44867e12b""#,
        ),
        (&[("action", "hash"), ("key", "e")], r#""e":"""#),
        (&[("action", "hash"), ("key", "m")], r#""m":{"x":1}"#),
        (
            &[("action", "extract"), ("key", "log"), ("pattern", "^(?<n>[A-Z]+) (?<path>\\S+)(?<q>x)?")],
            r#","n":"GET","path":"/x","q":""}"#,
        ),
        (&[("action", "convert"), ("key", "s"), ("converted_type", "int")], r#","s":42}"#),
        (&[("action", "convert"), ("key", "s"), ("converted_type", "double")], r#","s":42.0}"#),
        (&[("action", "convert"), ("key", "log"), ("converted_type", "int")], r#""log":"GET /x 500""#),
        (&[("action", "convert"), ("key", "f"), ("converted_type", "int")], r#","f":3}"#),
        (&[("action", "convert"), ("key", "f"), ("converted_type", "string")], r#","f":"2.5"}"#),
        (&[("action", "convert"), ("key", "z"), ("converted_type", "boolean")], r#","z":false}"#),
        (
            &[("action", "convert"), ("key", "b"), ("converted_type", "double"), ("context", "message")],
            r#","b":1.0}"#,
        ),
    ];
    for (properties, part) in cases {
        let out = changed("content_modifier", properties, record);
        assert!(out.contains(part), "{properties:?}: {out}");
    }
    let deleted = changed("content_modifier", &[("action", "delete"), ("key", "n")], r#"{"n":3,"m":4}"#);
    assert_eq!(deleted, r#"{"m":4}"#);
    let extract = [("action", "extract"), ("key", "n"), ("pattern", "^(?<a>.)?")];
    assert_eq!(changed("content_modifier", &extract, r#"{"n":3,"m":4}"#), r#"{"n":3,"m":4}"#, "no text");
}

#[test]
fn a_processor_changes_the_metadata_of_a_record_as_it_does_the_record() {
    let chain: Vec<_> = [
        [("context", "metadata"), ("action", "insert"), ("key", "new"), ("value", "val")].as_slice(),
        &[("context", "attributes"), ("action", "upsert"), ("key", "k"), ("value", "val2")],
        &[("context", "attributes"), ("action", "hash"), ("key", "num")],
        &[("context", "metadata"), ("action", "rename"), ("key", "m"), ("value", "mm")],
        &[("context", "metadata"), ("action", "extract"), ("key", "new"), ("pattern", "^(?<first>.)")],
        &[("context", "metadata"), ("action", "delete"), ("key", "new")],
    ]
    .into_iter()
    .map(|properties| Link { pattern: Pattern::new("*"), filter: filter("content_modifier", properties) })
    .collect();
    let metadata = |metadata: Option<&str>| {
        let record = Record { time: time(), metadata: metadata.map(encode), body: encode(r#"{"k":1}"#) };
        let (_, out) = pass(&chain, &Tag::from("a"), vec![record]).remove(0);
        assert_eq!(decode(&out.body), r#"{"k":1}"#);
        decode(&out.metadata.unwrap())
    };
    assert_eq!(
        metadata(Some(r#"{"k":"v","num":7,"m":{"a":1}}"#)),
        r#"{"num":"7902699be42c8a8e46fbbb4501726517e86b22c56a189f7625a6da49081b2451","mm":{"a":1},"k":"val2","first":"v"}"#
    );
    assert_eq!(metadata(None), r#"{"k":"val2","first":"v"}"#);
}

#[test]
fn a_processor_without_what_its_action_needs_is_refused() {
    let findings = |properties: &[(&str, &str)]| build("content_modifier", properties).findings.join("\n");
    assert!(findings(&[("action", "upsert"), ("key", "a")]).contains("this action needs `value`"));
    assert!(findings(&[("action", "extract"), ("key", "a")]).contains("this action needs `pattern`"));
    assert!(findings(&[("action", "convert"), ("key", "a")]).contains("this action needs `converted_type`"));
    let of_otel = findings(&[("action", "delete"), ("key", "a"), ("context", "otel_resource_attributes")]);
    assert!(of_otel.contains("OpenTelemetry"), "{of_otel}");
    assert!(findings(&[("action", "delete")]).contains("error[missing-option]"));
}

#[test]
fn the_system_is_asked_for_its_names() {
    let properties = [
        ("os_name_key", "os"),
        ("hostname_key", "host"),
        ("kernel_version_key", "kernel"),
        ("os_version_key", "v"),
    ];
    let out = changed("sysinfo", &properties, "{}");
    let keys: Vec<_> = out.split('"').skip(1).step_by(4).collect();
    assert_eq!(keys, ["os", "host", "v", "kernel"], "{out}");
}
