//! Text becomes fields, lines become records, on the way from Docker's driver to the output.
#![allow(clippy::unwrap_used, missing_docs)]

use std::sync::Arc;

use ikada_forward::client::{FrameOption, encode_message};
use ikada_record::Timestamp;
use ikada_tests::{Router, Writer, docker_record, wait_for};
use serde_json::Value;
use tempfile::TempDir;

const TAG: &str = "app-firelens-01";

/// A forward input, these filters, and lines of JSON on standard output.
fn config(filters: &str) -> String {
    format!(
        "[SERVICE]\n    Flush 0.1\n    Parsers_File {{dir}}/parsers.conf\n\n[INPUT]\n    Name forward\n    unix_path {{dir}}/fluent.sock\n\n{filters}\n\
         [OUTPUT]\n    Name stdout\n    Match *\n    Format json_lines\n    json_date_key date\n    json_date_format epoch_ms\n"
    )
}

fn start(parsers: &str, filters: &str) -> Router {
    let dir = Arc::new(TempDir::with_prefix("ik").unwrap());
    std::fs::write(dir.path().join("parsers.conf"), parsers).unwrap();
    Router::start_in(dir, &config(filters), &[])
}

fn send(router: &Router, lines: &[&str]) {
    let mut writer = Writer::connect(&router.socket(), TAG, "a");
    for line in lines {
        let time = Timestamp::new(1_700_000_000, 0);
        let record = docker_record(line);
        let mut message = Vec::new();
        encode_message(&mut message, TAG.as_bytes(), time, &record, &FrameOption::default());
        writer.write_raw(&message).unwrap();
    }
}

fn records(router: &Router) -> Vec<Value> {
    router.stdout().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn json_inside_log_becomes_fields_with_its_own_time() {
    let parsers = "[PARSER]\n    Name audit_json\n    Format json\n    Time_Key timestamp\n    Time_Format %Y-%m-%dT%H:%M:%S.%L%z\n    \
                   Time_Keep On\n    Decode_Field_As json record\n";
    let filter = "[FILTER]\n    Name parser\n    Match *\n    Key_Name log\n    Parser audit_json\n    Reserve_Data On\n";
    let mut router = start(parsers, filter);
    let lines = [
        r#"{"timestamp":"2025-09-11T15:46:18.182+09:00","record":"{\"type\":\"AUDIT\",\"id\":42}"}"#,
        r#"{"timestamp":"yesterday","record":{"type":"AUDIT"}}"#,
        "no JSON",
    ];
    send(&router, &lines);
    wait_for("three records", || router.stdout().lines().count() == 3);
    let found = records(&router);
    assert_eq!(found[0]["date"], 1_757_573_178_182_u64);
    assert_eq!(found[0]["record"]["id"], 42);
    assert_eq!(found[0]["timestamp"], "2025-09-11T15:46:18.182+09:00");
    assert_eq!(found[0]["source"], "stdout");
    assert_eq!(found[1]["date"], 1_700_000_000_000_u64, "the time it came with");
    assert_eq!(found[1]["timestamp"], "yesterday");
    assert_eq!(found[2]["log"], "no JSON");
    assert_eq!(router.stop().code(), Some(0));
    assert_eq!(router.log().matches("does not fit").count(), 1, "{}", router.log());
}

#[test]
fn the_lines_of_a_trace_become_one_record_and_the_last_one_is_not_lost() {
    let filter = "[FILTER]\n    Name multiline\n    Match *\n    multiline.parser java, go\n    multiline.key_content log\n    \
                  flush_ms 60000\n[FILTER]\n    Name record_modifier\n    Match *\n    Record behind yes\n";
    let mut router = start("", filter);
    let trace = ["java.lang.IllegalStateException: no", "\tat a.B.c(B.java:1)", "\t... 3 more"];
    send(&router, &["ready", trace[0], trace[1], trace[2], "ready", "panic: at the end"]);
    wait_for("three records", || router.stdout().lines().count() == 3);
    assert_eq!(router.stop().code(), Some(0));
    let found = records(&router);
    let logs: Vec<_> = found.iter().map(|record| record["log"].as_str().unwrap().to_owned()).collect();
    assert_eq!(logs, ["ready", &trace.join("\n"), "ready", "panic: at the end"]);
    assert!(found.iter().all(|record| record["behind"] == "yes" && record["source"] == "stdout"));
}

#[test]
fn a_parser_that_is_not_there_stops_the_start_at_its_place() {
    let dir = Arc::new(TempDir::with_prefix("ik").unwrap());
    std::fs::write(
        dir.path().join("parsers.conf"),
        "[PARSER]\n    Name audit\n    Format json\n    Time_Format %3N\n",
    )
    .unwrap();
    let filter = "[FILTER]\n    Name parser\n    Match *\n    Key_Name log\n    Parser audits\n";
    let mut router = Router::spawn(dir, &config(filter), &[]);
    assert_eq!(router.wait().code(), Some(1));
    let log = router.log();
    assert!(
        log.contains("error[unknown-parser]: no parser is named `audits` (help: did you mean `audit`?)"),
        "{log}"
    );
    assert!(log.contains("parsers.conf:4:17: error[bad-time-format]"), "{log}");
}
