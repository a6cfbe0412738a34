//! What a section's author is told.

use ikada_filters::checklist::ChecklistOptions;
use ikada_filters::content_modifier::ContentModifierOptions;
use ikada_filters::expect::ExpectOptions;
use ikada_filters::grep::GrepOptions;
use ikada_filters::modify::ModifyOptions;
use ikada_filters::nest::NestOptions;
use ikada_filters::record_modifier::RecordModifierOptions;
use ikada_filters::rewrite_tag::RewriteTagOptions;
use ikada_filters::stdout::StdoutOptions;
use ikada_filters::sysinfo::SysinfoOptions;
use ikada_filters::throttle::ThrottleOptions;
use ikada_filters::type_converter::TypeConverterOptions;
use ikada_options::check_set;

use crate::support::build;

fn findings(name: &str, properties: &[(&str, &str)]) -> Vec<String> {
    build(name, properties).findings
}

#[test]
fn the_declared_options_are_sound() {
    check_set::<GrepOptions>();
    check_set::<RecordModifierOptions>();
    check_set::<StdoutOptions>();
    check_set::<ChecklistOptions>();
    check_set::<ContentModifierOptions>();
    check_set::<ExpectOptions>();
    check_set::<ModifyOptions>();
    check_set::<NestOptions>();
    check_set::<RewriteTagOptions>();
    check_set::<SysinfoOptions>();
    check_set::<ThrottleOptions>();
    check_set::<TypeConverterOptions>();
}

#[test]
fn a_rule_of_one_word_is_refused() {
    assert_eq!(
        findings("grep", &[("Regex", "log")]),
        [
            "x.conf:2:11: error[bad-value]: `Regex` needs a field and a regular expression (help: type `Regex log ^error`)"
        ]
    );
}

#[test]
fn an_expression_that_is_none_is_marked_where_it_stands() {
    let found = findings("grep", &[("Exclude", "log (")]);
    assert_eq!(found.len(), 1);
    assert!(
        found[0].starts_with("x.conf:2:17: error[bad-regex]: `(` is no regular expression: "),
        "{}",
        found[0]
    );
}

#[test]
fn a_field_that_is_none_is_marked_where_it_breaks() {
    assert_eq!(
        findings("grep", &[("Regex", "$a['b x")]),
        [
            "x.conf:2:11: error[bad-value]: `Regex` needs a field and a regular expression (help: type `Regex $a['b x ^error`)"
        ]
    );
    assert_eq!(
        findings("grep", &[("Regex", "$a[b] x")]),
        [
            "x.conf:2:14: error[bad-accessor]: `$a[b]` is no field: brackets hold a key in single quotes or a position \
          (help: type `name`, `$name['inner'][0]` or `$['any name']`)"
        ]
    );
}

#[test]
fn a_field_that_means_something_else_is_told() {
    assert_eq!(
        findings("grep", &[("Regex", "@timestamp x")]),
        [
            "x.conf:2:11: warning[adjusted-value]: `@timestamp`: `@` cannot stand in a plain name and is skipped \
          (help: write `$['@timestamp']` for the key of that name)"
        ]
    );
    assert_eq!(
        findings("grep", &[("Exclude", "a.b x")]),
        ["x.conf:2:13: warning[adjusted-value]: `a.b`: only `a` is looked at \
          (help: write `$['a.b']` for the key of that name)"]
    );
}

#[test]
fn every_mistake_of_a_section_is_told_at_once() {
    let found =
        findings("grep", &[("Regex", "log"), ("Exclude", "a ("), ("Logical_Op", "AND"), ("Regexp", "x")]);
    let codes: Vec<_> = found.iter().map(|line| line.split(['[', ']']).nth(1).unwrap().to_owned()).collect();
    assert_eq!(codes, ["conflicting-options", "bad-value", "bad-regex", "unknown-option"]);
}

#[test]
fn rules_of_two_kinds_cannot_be_joined() {
    assert_eq!(
        findings("grep", &[("Logical_Op", "and"), ("Regex", "a x"), ("Exclude", "b y")]),
        [
            "x.conf:4:13: error[conflicting-options]: with `Logical_Op` AND or OR all rules must be `Regex`, or all must be \
          `Exclude` (help: put the rules of the other kind into a second grep filter)"
        ]
    );
}

#[test]
fn a_rule_that_no_record_comes_to_is_told() {
    assert_eq!(
        findings("grep", &[("Regex", "a x"), ("Regex", "b y")]),
        [
            "x.conf:3:11: warning[unreachable-rule]: no record comes to this rule: the `Regex` before it decides on every one \
          (help: add `Logical_Op AND` or `Logical_Op OR`)"
        ]
    );
    assert_eq!(
        findings("grep", &[("Exclude", "a x"), ("Regex", "b y"), ("Exclude", "c z")]),
        [
            "x.conf:4:13: warning[unreachable-rule]: no record comes to this rule: the `Regex` before it decides on every one \
          (help: write it before the `Regex`, or into a second grep filter)"
        ]
    );
    assert!(findings("grep", &[("Exclude", "a x"), ("Exclude", "b x"), ("Regex", "b y")]).is_empty());
    assert!(findings("grep", &[("Logical_Op", "OR"), ("Regex", "a x"), ("Regex", "b y")]).is_empty());
}

#[test]
fn another_logical_op_counts_as_legacy_and_is_told() {
    let built = build("grep", &[("Logical_Op", "adn"), ("Regex", "a x")]);
    assert!(built.filter.is_some());
    assert_eq!(
        built.findings,
        [
            "x.conf:2:16: warning[adjusted-value]: `Logical_Op`: `adn` is not one of the choices, so it counts as `legacy` \
          (help: did you mean `AND`?)"
        ]
    );
}

#[test]
fn an_expression_behind_two_blanks_is_told() {
    assert_eq!(
        findings("grep", &[("Regex", "log  error")]),
        [
            "x.conf:2:15: warning[adjusted-value]: the regular expression starts with a blank, which must match as well \
          (help: put one blank between field and expression)"
        ]
    );
}

#[test]
fn a_record_of_many_words_is_ignored_and_told() {
    let built = build("record_modifier", &[("Record", "env prod east")]);
    assert!(built.filter.is_some());
    assert_eq!(
        built.findings,
        ["x.conf:2:12: warning[adjusted-value]: `Record` takes a name and one word, not 2: it is ignored \
          (help: put the text in double quotes: `Record env \"…\"`)"]
    );
}

#[test]
fn a_record_of_one_word_is_refused() {
    assert_eq!(
        findings("record_modifier", &[("Record", "env")]),
        ["x.conf:2:12: error[bad-value]: `Record` needs a name and a text (help: type `Record name text`)"]
    );
}

#[test]
fn removing_and_allowing_exclude_each_other() {
    assert_eq!(
        findings("record_modifier", &[("Remove_key", "a"), ("Whitelist_key", "b")]),
        [
            "x.conf:3:19: error[conflicting-options]: `Remove_key` and `Allowlist_key` cannot stand in one filter \
          (help: keep one of them, or use a second record_modifier filter)"
        ]
    );
}

#[test]
fn stdout_has_no_options() {
    assert_eq!(
        findings("stdout", &[("Match", "*"), ("Format", "json")]),
        ["x.conf:3:5: error[unknown-option]: `Format` is no option of filter stdout \
          (help: remove it: it takes no options of its own)"]
    );
}
