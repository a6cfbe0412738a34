//! What a FireLens task meets: the agent's configuration, its health checks, the image's command line.
#![allow(clippy::unwrap_used, missing_docs)]

use std::io::Write;
use std::net::TcpStream;
use std::process::Command;
use std::sync::Arc;

use ikada_tests::{Router, Writer, binary, free_port, get, wait_for};
use tempfile::TempDir;

#[test]
fn the_agent_s_health_check_goes_nowhere_and_harms_nobody() {
    let (forward, health) = (free_port(), free_port());
    let mut router = Router::start(&format!(
        "\n[INPUT]\n    Name forward\n    Mem_Buf_Limit 50MB\n    unix_path {{dir}}/fluent.sock\n\n\
         [INPUT]\n    Name forward\n    Listen 127.0.0.1\n    Port {forward}\n\n\
         [INPUT]\n    Name tcp\n    Tag firelens-healthcheck\n    Listen 127.0.0.1\n    Port {health}\n\n\
         [FILTER]\n    Name   grep\n    Match app-firelens*\n    Regex  log seq\n\n\
         [FILTER]\n    Name   grep\n    Match app-firelens*\n    Exclude log nothing-like-this\n\n\
         [FILTER]\n    Name record_modifier\n    Match *\n    Record ecs_cluster orders\n\n\
         [OUTPUT]\n    Name null\n    Match firelens-healthcheck\n\n\
         [OUTPUT]\n    Name stdout\n    Match app-firelens*\n    Format json_lines\n"
    ));
    for _ in 0..3 {
        let mut check = TcpStream::connect(("127.0.0.1", health)).unwrap();
        check.write_all(b"{\"health\": \"check\"}").unwrap();
    }
    let mut writer = Writer::connect(&router.socket(), "app-firelens-01", "a");
    writer.write(5);
    drop(writer);
    wait_for("five lines", || router.stdout().lines().count() == 5);
    let stdout = router.stdout();
    assert!(stdout.lines().all(|line| line.contains("\"ecs_cluster\":\"orders\"")), "{stdout}");
    assert!(!stdout.contains("health"), "{stdout}");
    assert_eq!(router.stop().code(), Some(0));
    assert!(router.log().contains("[output:null:null.0] sent=3, unsent=0, dropped=0"), "{}", router.log());
}

#[test]
fn what_the_image_parses_json_with_can_be_included() {
    let mut router = Router::start(
        "[INPUT]\n    Name dummy\n    Samples 1\n    Dummy {\"log\":\"{\\\"a\\\":1}\",\"source\":\"stdout\"}\n\
         @INCLUDE /fluent-bit/configs/parse-json.conf\n\
         [OUTPUT]\n    Name stdout\n    Match *\n    Format json_lines\n",
    );
    wait_for("the record", || router.stdout().contains(",\"a\":1,\"source\":\"stdout\"}"));
    assert_eq!(router.stop().code(), Some(0));
}

#[test]
fn the_http_endpoints_have_fluent_bit_s_shapes() {
    let port = free_port();
    let router = Router::start(&format!(
        "[SERVICE]\n    HTTP_Server On\n    HTTP_Listen 127.0.0.1\n    HTTP_Port {port}\n    Health_Check On\n\
         [INPUT]\n    Name dummy\n    Alias in_app\n    Samples 2\n    Flush_On_Startup on\n    Rate 100\n\
         [FILTER]\n    Name grep\n    Match *\n    Exclude message nope\n\
         [OUTPUT]\n    Name null\n    Match *\n"
    ));
    wait_for("two records", || get(port, "/api/v1/metrics").contains("\"proc_records\":2"));
    let body = |path| get(port, path).split_once("\r\n\r\n").unwrap().1.to_owned();
    let metrics: serde_json::Value = serde_json::from_str(&body("/api/v1/metrics")).unwrap();
    assert_eq!(metrics["input"]["in_app"]["records"], 2);
    assert_eq!(metrics["filter"]["grep.0"]["drop_records"], 0);
    assert_eq!(metrics["output"]["null.0"]["errors"], 0);
    let prometheus = body("/api/v1/metrics/prometheus");
    let line = prometheus.lines().find(|line| line.starts_with("fluentbit_input_records_total{")).unwrap();
    assert!(line.starts_with("fluentbit_input_records_total{name=\"in_app\"} 2 1"), "{line}");
    assert!(body("/api/v1/uptime").starts_with("{\"uptime_sec\":"));
    assert!(body("/api/v1/uptime").contains("Fluent Bit has been running:  0 day, 0 hour, 0 minute and "));
    assert_eq!(body("/api/v1/health"), "ok\n");
    assert!(body("/").starts_with("{\"fluent-bit\":{\"version\":"));
    assert!(body("/api/v1/plugins").contains("\"forward\""));
    assert!(get(port, "/nope").starts_with("HTTP/1.1 404"));
    drop(router);
}

#[test]
fn the_command_line_builds_a_pipeline_of_its_own() {
    let run = |args: &[&str]| Command::new(binary()).args(args).output().unwrap();
    let version = run(&["-V"]);
    assert!(String::from_utf8_lossy(&version.stdout).starts_with("Ikada v"));
    let help = run(&["-o", "s3", "-h"]);
    assert!(String::from_utf8_lossy(&help.stdout).contains("bucket"));
    let unknown = run(&["--nope"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&unknown.stdout).contains("Usage: ikada"));
    let missing = run(&["-c", "/nowhere/at/all.conf"]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("/nowhere/at/all.conf"));
}

#[test]
fn stdin_ends_the_process_when_all_of_it_is_delivered() {
    let mut child = Command::new(binary())
        .args(["-i", "stdin", "-t", "t", "-F", "record_modifier", "-m", "*", "-p", "Record=k v"])
        .args(["-o", "stdout", "-m", "*", "-p", "format=json_lines", "-q"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"{\"a\":1}\n[1700000000.5,{\"b\":2}]").unwrap();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(text.lines().count(), 2);
    assert!(
        text.contains("\"a\":1,\"k\":\"v\"}\n")
            && text.contains("{\"date\":1700000000.5,\"b\":2,\"k\":\"v\"}"),
        "{text}"
    );
}

#[test]
fn a_dry_run_says_yes_or_what_is_wrong() {
    let dir = Arc::new(TempDir::with_prefix("ik").unwrap());
    let good = "[INPUT]\n    Name dummy\n[OUTPUT]\n    Name null\n";
    let mut yes = Router::spawn(dir.clone(), good, &["-D"]);
    assert_eq!(yes.wait().code(), Some(0));
    yes.wait_for_log("configuration test is successful");
    let mut no = Router::spawn(dir, "[INPUT]\n    Name dummy\n[OUTPUT]\n    Name nul\n", &["-D"]);
    assert_eq!(no.wait().code(), Some(1));
    let line = no.wait_for_log("unknown-plugin");
    assert!(line.contains("fluent-bit.conf:4:10: error[unknown-plugin]: no plugin is named `nul` (help: did you mean `null`?)"), "{line}");
}

#[test]
fn a_socket_that_cannot_be_made_ends_the_start() {
    let dir = Arc::new(TempDir::with_prefix("ik").unwrap());
    let config =
        "[INPUT]\n    Name forward\n    unix_path {dir}/missing/fluent.sock\n[OUTPUT]\n    Name null\n";
    let mut router = Router::spawn(dir, config, &[]);
    assert_eq!(router.wait().code(), Some(255));
    router.wait_for_log("could not listen on unix://");
    router.wait_for_log("input initialization failed");
}
