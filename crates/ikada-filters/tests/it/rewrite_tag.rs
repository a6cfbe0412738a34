//! `rewrite_tag` beyond its recorded cases.

use ikada_plugin::{Effects, EntryContext, Held, Verdict};
use ikada_record::{Fields, Tag, record_at};
use ikada_route::Pattern;

use crate::pipeline::{Link, Record, pass};
use crate::support::{build, decode, encode, filter, time};

fn link(pattern: &str, rules: &[&str]) -> Link {
    let mut properties = vec![("Match", pattern)];
    properties.extend(rules.iter().map(|rule| ("Rule", *rule)));
    let filter = build("rewrite_tag", &properties).filter.unwrap();
    Link { pattern: Pattern::new(pattern), filter }
}

/// The tags a record comes out under.
fn tags(chain: &[Link], tag: &str, record: &str) -> Vec<String> {
    let records = vec![Record { time: time(), metadata: Some(encode(r#"{"k":1}"#)), body: encode(record) }];
    let out = pass(chain, &Tag::from(tag), records.clone());
    assert!(out.iter().all(|(_, record)| *record == records[0]), "time, metadata and body stay");
    out.into_iter().map(|(tag, _)| tag.to_string()).collect()
}

#[test]
fn the_first_rule_that_matches_decides() {
    let chain = [link("app.*", &["level ^w one false", "level . two true", "level . three false"])];
    assert_eq!(tags(&chain, "app.x", r#"{"level":"warn"}"#), ["one"]);
    assert_eq!(tags(&chain, "app.x", r#"{"level":"error"}"#), ["app.x", "two"]);
    assert_eq!(tags(&chain, "app.x", r#"{"log":"error"}"#), ["app.x"]);
    assert_eq!(tags(&chain, "web", r#"{"level":"warn"}"#), ["web"]);
}

#[test]
fn integers_and_booleans_match_and_are_captured() {
    let chain = [link(
        "a",
        &["$code ^([45])[0-9]{2}$ http.$1xx false", "$ok ^(false)$ bad.$1 false", "f . float false"],
    )];
    assert_eq!(tags(&chain, "a", r#"{"code":503}"#), ["http.5xx"]);
    assert_eq!(tags(&chain, "a", r#"{"code":-503,"ok":false}"#), ["bad.false"]);
    assert_eq!(tags(&chain, "a", r#"{"f":1.5}"#), ["a"]);
}

#[test]
fn a_new_tag_is_made_of_tag_fields_and_captures() {
    let chain = [link("a.*", &[r#"$log "^(\w+) (?:\S+)" $1.$TAG[1].$n.$b.$m['x'].$l[0].$nope.$TAG false"#])];
    let record = r#"{"log":"GET /x","n":7,"b":true,"m":{"x":null},"l":["é"]}"#;
    assert_eq!(tags(&chain, "a.b", record), ["GET.b.7.true.null.é..a.b"]);
}

#[test]
fn a_key_without_a_dollar_sign_is_the_name_of_a_field() {
    let record = r#"{"mdc.uri":"v1","@timestamp":"v2","timestamp":"no","a:b":"v3","k['x']":"v4","ключ":"v5","9k":"v6","mdc":{"uri":"no"},"k":{"x":"no"}}"#;
    let keys = ["mdc.uri", "@timestamp", "a:b", "k['x']", "ключ", "9k"];
    for (key, tag) in keys.iter().zip(["v1", "v2", "v3", "v4", "v5", "v6"]) {
        let rule = format!("{key} ^(.*)$ $1 false");
        assert_eq!(build("rewrite_tag", &[("Rule", &rule)]).findings, [""; 0]);
        assert_eq!(tags(&[link("a", &[&rule])], "a", record), [tag], "{key}");
    }
}

#[test]
fn a_new_tag_ends_at_a_nul() {
    let chain = [link("a", &["f . n.$f.c false"])];
    assert_eq!(tags(&chain, "a", r#"{"f":"a\u0000b"}"#), ["n.a"]);
}

#[test]
fn a_filter_does_not_see_what_it_sent() {
    let chain = [link("*", &["level . $TAG.x false"])];
    assert_eq!(tags(&chain, "a", r#"{"level":"e"}"#), ["a.x"]);
}

#[test]
fn two_that_feed_each_other_end() {
    let chain = [link("a", &["level . b false"]), link("b", &["level . a false"])];
    assert_eq!(tags(&chain, "a", r#"{"level":"e"}"#).len(), 1);
}

#[test]
fn a_record_that_may_not_be_sent_goes_on_as_it_is() {
    let filter = filter("rewrite_tag", &[("Rule", "level . new false")]);
    let (tag, record) = (Tag::from("a"), encode(r#"{"level":"e"}"#));
    let mut effects = Effects::new(Held::nothing(), false);
    let mut cx = EntryContext { tag: &tag, time: time(), metadata: None, position: 0, effects: &mut effects };
    let mut fields = Fields::split(record_at(&record));
    assert_eq!(filter.filter(&mut cx, &mut fields), Verdict::Keep);
    assert_eq!((effects.refused(), effects.take_retagged().len()), (1, 0));
}

#[test]
fn what_filters_before_it_changed_is_sent() {
    let modify = filter("modify", &[("Set", "level error"), ("Remove", "secret")]);
    let chain = [Link { pattern: Pattern::new("*"), filter: modify }, link("a", &["level ^error$ b false"])];
    let records = vec![Record { time: time(), metadata: None, body: encode(r#"{"secret":1}"#) }];
    let out = pass(&chain, &Tag::from("a"), records);
    assert_eq!(
        (out[0].0.to_string(), decode(&out[0].1.body)),
        ("b".to_owned(), r#"{"level":"error"}"#.to_owned())
    );
}

#[test]
fn a_million_new_tags_are_a_million_records() {
    let filter = filter("rewrite_tag", &[("Rule", "id ^(.*)$ t.$1 false")]);
    let tag = Tag::from("a");
    let mut sent = 0;
    for chunk in 0..100 {
        let mut effects = Effects::new(Held::nothing(), true);
        for n in 0..10_000 {
            let record = encode(&format!(r#"{{"id":{}}}"#, chunk * 10_000 + n));
            let mut cx =
                EntryContext { tag: &tag, time: time(), metadata: None, position: n, effects: &mut effects };
            assert_eq!(filter.filter(&mut cx, &mut Fields::split(record_at(&record))), Verdict::Drop);
        }
        sent += effects.take_retagged().iter().map(|(_, builder)| builder.len()).sum::<usize>();
    }
    assert_eq!(sent, 1_000_000);
}

#[test]
fn rules_are_checked_word_by_word() {
    let findings = |rule| build("rewrite_tag", &[("Rule", rule)]).findings.join("\n");
    assert!(findings("$a . b").contains("`Rule` needs four words, not 3"));
    assert!(findings("$a ( b false").contains("error[bad-regex]"));
    assert!(findings("$a . $ false").contains("error[bad-template]"));
    assert!(findings("$[ . b false").contains("error[bad-accessor]"));
    assert!(findings("$a . b perhaps").contains("`perhaps` is no boolean"));
    assert!(findings("$a ^x b.$1 false").contains("has no group"));
    assert!(
        findings("$a GET /x b true").contains("`b` is no boolean")
            || findings("$a GET /x b true c").contains("four words")
    );
    let all = build("rewrite_tag", &[("Match", "*"), ("Rule", "a . b false")]).findings.join("\n");
    assert!(all.starts_with("x.conf:2:11: warning[retag-every-tag]"), "{all}");
}
