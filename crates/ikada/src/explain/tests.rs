//! Maps of small configurations.

use chrono::DateTime;
use ikada_config::from_text;

use super::command::{Args, Format};
use super::draw;
use super::map::Map;
use crate::assemble::assemble;
use crate::plugins::registry;

const FIRELENS: &str = "\
[INPUT]
    Name forward
    unix_path /var/run/fluent.sock
[INPUT]
    Name tcp
    Tag firelens-healthcheck
    Port 8877
[FILTER]
    Name record_modifier
    Match *
    Record ecs_cluster c
[FILTER]
    Name parser
    Match app-*
    Key_Name log
    Parser audit_json
[FILTER]
    Name rewrite_tag
    Match app-*
    Rule $level ^error$ errors.$TAG false
[FILTER]
    Name grep
    Match db-*
    Regex log x
[OUTPUT]
    Name null
    Match firelens-healthcheck
[OUTPUT]
    Name cloudwatch_logs
    Alias pager
    Match errors.*
    log_group_name /errors
    log_stream_name all
[OUTPUT]
    Name s3
    Match app-firelens*
    bucket archive
    s3_key_format /$TAG/%Y
";

fn map(text: &str, subject: Option<&str>) -> Map {
    let loaded = from_text("a.conf", text);
    let built = assemble(&mut loaded.clone(), &registry(), true).pipeline.outputs;
    Map::of(&loaded, &built, subject, DateTime::from_timestamp(1_700_000_000, 0).unwrap())
}

#[test]
fn a_container_s_way_is_told_with_its_names_and_new_tags() {
    insta::assert_snapshot!(draw::text(&map(FIRELENS, Some("app"))), @r"
    app-firelens-0123456789abcdef0123456789abcdef
      from   forward.0  /var/run/fluent.sock  [a.conf:1]
      filter record_modifier.0  Match *, Record ecs_cluster c  [a.conf:8]
      filter parser.1  Match app-*, Key_Name log, Parser audit_json  [a.conf:12]
      filter rewrite_tag.2  Match app-*, Rule $level ^error$ errors.$TAG false  [a.conf:17]
      output s3.2  Match app-firelens*, bucket archive, key app-firelens-0123456789abcdef0123456789abcdef/2023-objectABCDEFGH  [a.conf:34]

    errors.app-firelens-0123456789abcdef0123456789abcdef (given by rewrite_tag.2)
      filter record_modifier.0  Match *, Record ecs_cluster c  [a.conf:8]
      output pager (cloudwatch_logs)  Match errors.*, log group /errors, log stream all  [a.conf:28]
    ");
}

#[test]
fn all_tags_are_those_of_inputs_and_patterns() {
    let all = map(FIRELENS, None);
    let tags: Vec<_> = all.ways.iter().map(|way| way.tag.as_str()).collect();
    let task = "0123456789abcdef0123456789abcdef";
    let app = format!("app-firelens-{task}");
    assert_eq!(tags[0], "firelens-healthcheck");
    assert!(tags.contains(&app.as_str()) && tags.contains(&"errors.x"), "{tags:?}");
    assert!(tags.contains(&"db-x"), "a pattern alone names a tag");
    assert!(all.idle.is_empty());
}

#[test]
fn what_matches_nothing_is_said() {
    let text = "[INPUT]\n    Name dummy\n    Tag a\n[FILTER]\n    Name grep\n    Match b\n    Regex log x\n[OUTPUT]\n    Name null\n    Match c\n";
    insta::assert_snapshot!(draw::text(&map(text, None)), @r"
    a
      from   dummy.0  [a.conf:1]
      filter no filter
      output no output takes it: its records are dropped

    take none of these tags
             grep.0  Match b, Regex log x  [a.conf:4]
             null.0  Match c  [a.conf:8]
    ");
}

#[test]
fn the_map_is_a_graph() {
    let text = "[INPUT]\n    Name dummy\n    Tag a\n[FILTER]\n    Name grep\n    Match a\n    Regex log \"x\"\n[OUTPUT]\n    Name null\n    Match *\n";
    insta::assert_snapshot!(draw::dot(&map(text, None)), @r#"
    digraph ikada {
      rankdir=LR;
      node [fontname="sans-serif"];
      "dummy.0" [label="dummy.0", shape=cds];
      "a" [label="a", shape=plaintext];
      "grep.0" [label="grep.0\nMatch a\nRegex log \"x\"", shape=box];
      "null.0" [label="null.0\nMatch *", shape=folder];
      "dummy.0" -> "a";
      "a" -> "grep.0";
      "grep.0" -> "null.0";
    }
    "#);
    insta::assert_snapshot!(draw::mermaid(&map(text, None)), @r#"
    flowchart LR
      n0(["dummy.0"])
      n1>"a"]
      n2["grep.0<br>Match a<br>Regex log #quot;x#quot;"]
      n3[("null.0<br>Match *")]
      n0 --> n1
      n1 --> n2
      n2 --> n3
    "#);
}

#[test]
fn the_command_line_is_read() {
    let parse = |text: &str| Args::parse(text.split_whitespace().map(str::to_owned));
    let args = parse("-c a.conf app --format dot").unwrap();
    assert_eq!((args.subject.as_deref(), args.format), (Some("app"), Format::Dot));
    assert_eq!(args.run.config, Some("a.conf".into()));
    assert!(
        parse("-c a.conf app db").is_err() && parse("--format svg").is_err() && parse("--format").is_err()
    );
}
