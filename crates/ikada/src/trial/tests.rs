//! Replays and expectations.

use ikada_config::{Loaded, from_text};
use serde_json::json;

use super::*;
use crate::plugins;

const CONFIG: &str = "\
[INPUT]
    Name forward
    unix_path /var/run/fluent.sock
[FILTER]
    Name parser
    Match app*
    Key_Name log
    Parser json
    Reserve_Data on
[FILTER]
    Name grep
    Match *
    Exclude level ^debug$
[OUTPUT]
    Name cloudwatch_logs
    Alias logs
    Match app*
    region eu-west-1
    log_group_name g
    log_stream_name s
[OUTPUT]
    Name null
    Match db*
";

fn config(text: &str) -> Loaded {
    from_text("a.conf", text)
}

fn run_case(text: &str, case: &Case) -> Vec<String> {
    let replay = replay(
        &mut config(text),
        &plugins::registry(),
        case.from.as_deref(),
        case.tag.as_deref(),
        Feed::Entries(case.input.clone()),
    );
    compare(case, &replay.unwrap())
}

fn case(text: &str) -> Case {
    Expectations::parse(text).unwrap().cases.remove(0)
}

#[test]
fn samples_pass_the_real_filters_and_no_network() {
    let entries = samples(b"{\"log\":\"{\\\"level\\\":\\\"info\\\"}\",\"container_name\":\"app\"}\n{\"log\":\"{\\\"level\\\":\\\"debug\\\"}\"}\nplain\n");
    let replay =
        replay(&mut config(CONFIG), &plugins::registry(), None, None, Feed::Entries(entries)).unwrap();
    let names: Vec<_> =
        replay.outputs.iter().map(|(name, received)| (name.as_str(), received.len())).collect();
    assert_eq!(names, [("logs", 2), ("null.1", 0)]);
    let records: Vec<_> = replay.outputs[0].1.iter().map(|received| received.record.clone()).collect();
    assert_eq!(records, [json!({"level": "info", "container_name": "app"}), json!({"log": "plain"})]);
    assert!(replay.outputs[0].1[0].tag.starts_with("app-firelens-"));
    assert_eq!((replay.filtered, replay.unmatched), (1, 0));
}

#[test]
fn what_no_output_takes_is_counted() {
    let entries = samples(b"x\n");
    let replay =
        replay(&mut config(CONFIG), &plugins::registry(), None, Some("other"), Feed::Entries(entries))
            .unwrap();
    assert_eq!(replay.unmatched, 1);
}

#[test]
fn an_input_that_is_not_there_is_named() {
    let error =
        replay(&mut config(CONFIG), &plugins::registry(), Some("tail.0"), None, Feed::Entries(Vec::new()))
            .unwrap_err();
    assert_eq!(error.to_string(), "no input is called `tail.0`; there are forward.0");
}

#[test]
fn a_tail_input_reads_the_samples_as_a_file() {
    let text = "[INPUT]\n    Name tail\n    Path /var/log/none/*.log\n    DB /nowhere/x.db\n    Tag files\n    Parser json\n[OUTPUT]\n    Name null\n    Match *\n";
    let feed = Feed::File(b"{\"a\":1}\ntwo\n".to_vec());
    let replay = replay(&mut config(text), &plugins::registry(), Some("tail.0"), None, feed).unwrap();
    let records: Vec<_> =
        replay.outputs[0].1.iter().map(|received| (received.tag.clone(), received.record.clone())).collect();
    assert_eq!(records, [("files".to_owned(), json!({"a": 1})), ("files".to_owned(), json!({"log": "two"}))]);
}

#[test]
fn captured_forward_bytes_keep_their_tags_and_times() {
    let mut bytes = b"\x93\xa3app\xce\x65\x00\x00\x00\x81\xa3log\xa1x".to_vec();
    bytes.extend_from_slice(b"\x92\xa2db\x91\x92\xce\x65\x00\x00\x01\x81\xa3log\xa1y");
    let entries = samples(&bytes);
    let tags: Vec<_> = entries.iter().map(|entry| entry.tag.clone().unwrap()).collect();
    assert_eq!(tags, [b"app".to_vec(), b"db".to_vec()]);
    assert_eq!(entries[1].time.unwrap().secs(), 0x6500_0001);
}

#[test]
fn expectations_that_are_met_say_nothing() {
    let met = case(
        "tests:\n  - name: info goes on\n    input:\n      - '{\"level\":\"info\",\"n\":1}'\n      - { log: '{\"level\":\"debug\"}' }\n    \
         expect:\n      logs:\n        - { n: 1.0, level: info }\n      null.1: []\n",
    );
    assert_eq!(run_case(CONFIG, &met), [""; 0]);
}

#[test]
fn differences_are_shown_field_by_field() {
    let missed = case(
        "tests:\n  - input:\n      - '{\"level\":\"info\",\"a\":{\"b\":1},\"more\":true}'\n      - two\n    \
         expect:\n      logs:\n        - { level: warn, a: { b: 2 }, gone: x }\n      null.1:\n        - { log: y }\n      nobody: []\n",
    );
    insta::assert_snapshot!(run_case(CONFIG, &missed).join("\n"), @r#"
    logs: 1 records expected, 2 received
    logs, record 1:
      - level: "warn"
      + level: "info"
      - a.b: 2
      + a.b: 1
      - gone: "x"
      + more: true
    logs, record 2: not expected
      + {"log":"two"}
    null.1: 1 records expected, 0 received
    null.1, record 1: missing
      - {"log":"y"}
    no output is called `nobody`; there are logs, null.1
    "#);
}

#[test]
fn records_may_have_more_fields_where_it_says_so() {
    let case = case(
        "tests:\n  - input:\n      - '{\"level\":\"info\",\"more\":true}'\n    match: contains\n    expect:\n      logs:\n        - { level: info }\n",
    );
    assert_eq!(run_case(CONFIG, &case), [""; 0]);
}

#[test]
fn a_file_of_the_wrong_shape_says_where() {
    let said = |text: &str| Expectations::parse(text).unwrap_err().to_string();
    assert_eq!(
        said("tests:\n  - input: []\n    expects: {}\n"),
        "3:5: `expects` is not known here; did you mean `expect`?"
    );
    assert_eq!(said("tests:\n  - expect: {}\n"), "2:5: an `input` is missing: a list of lines or records");
    assert_eq!(
        said("tests:\n  - input: []\n    expect: { a: x }\n"),
        "3:18: a list of records belongs here; `[]` is none"
    );
    assert_eq!(
        said("tests:\n  - input: []\n    match: some\n    expect: {}\n"),
        "3:12: `match` is `exact` or `contains`"
    );
    assert!(Expectations::is_one("config: x\ntests:\n") && !Expectations::is_one("a line\n"));
}

#[test]
fn the_command_line_is_read() {
    let parse = |text: &str| Args::parse(text.split_whitespace().map(str::to_owned));
    let args = parse("-c a.conf a.log --tag x --from=tail.0 - --format json").unwrap();
    assert_eq!(args.files, [std::path::PathBuf::from("-"), "a.log".into()]);
    assert_eq!((args.tag.as_deref(), args.from.as_deref(), args.json), (Some("x"), Some("tail.0"), true));
    assert!(parse("--tag").is_err() && parse("--nope").is_err());
}
