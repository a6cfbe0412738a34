//! Filters in the program: what they count is at its metrics endpoint, what they print is whole, and a check reads scripts.
#![allow(clippy::unwrap_used, missing_docs)]

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use ikada_tests::{Router, Writer, binary, free_port, get, wait_for};
use tempfile::TempDir;

const INPUT: &str = "[INPUT]\n    Name forward\n    unix_path {dir}/fluent.sock\n";

#[test]
fn what_log_to_metrics_counts_is_scraped_from_the_program() {
    let port = free_port();
    let router = Router::start(&format!(
        "[SERVICE]\n    Flush 0.1\n    HTTP_Server On\n    HTTP_Listen 127.0.0.1\n    HTTP_Port {port}\n{INPUT}\
         [FILTER]\n    Name log_to_metrics\n    Match *\n    tag m\n    metric_name lines\n    metric_description Lines\n    \
         label_field source\n    regex log .\n\
         [OUTPUT]\n    Name null\n    Match *\n"
    ));
    let mut writer = Writer::connect(&router.socket(), "app", "a");
    writer.write(100);
    for version in ["v1", "v2"] {
        let path = format!("/api/{version}/metrics/prometheus");
        wait_for("all lines are counted", || {
            get(port, &path).contains("\nlog_metric_counter_lines{source=\"stdout\"} 100\n")
        });
        let text = get(port, &path);
        assert!(
            text.contains("# HELP log_metric_counter_lines Lines\n# TYPE log_metric_counter_lines counter\n")
        );
        assert!(text.contains("ikada_log_to_metrics_uncounted_total{metric=\"log_metric_counter_lines\""));
    }
}

#[test]
fn every_line_of_the_filter_stdout_is_out_when_the_program_ends() {
    let mut router = Router::start(&format!(
        "[SERVICE]\n    Flush 0.1\n{INPUT}[FILTER]\n    Name stdout\n    Match *\n[OUTPUT]\n    Name null\n    Match *\n"
    ));
    let mut writer = Writer::connect(&router.socket(), "app", "a");
    writer.write(20_000);
    drop(writer);
    assert!(router.stop().success());
    let text = router.stdout();
    assert_eq!(text.lines().filter(|line| line.contains("] app: [")).count(), 20_000);
}

#[test]
fn a_check_reads_the_script_of_lua_beside_the_file() {
    let folder = Arc::new(TempDir::with_prefix("ik").unwrap());
    let config = "[INPUT]\n    Name dummy\n[FILTER]\n    Name lua\n    Match *\n    script mask.lua\n    call mask\n\
                  [OUTPUT]\n    Name null\n    Match *\n";
    std::fs::write(folder.path().join("a.conf"), config).unwrap();
    let check = || {
        let path = folder.path().join("a.conf");
        let output = Command::new(binary()).arg("check").arg(path).current_dir("/").output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
        (output.status.success(), text)
    };
    let (is_fine, text) = check();
    assert!(!is_fine && text.contains("missing-path"), "{text}");
    std::fs::write(folder.path().join("mask.lua"), "function mask(tag, ts, r)\n  return 2, ts, r\n").unwrap();
    let (is_fine, text) = check();
    assert!(!is_fine && text.contains("mask.lua:"), "{text}");
    std::fs::write(folder.path().join("mask.lua"), "function mask(tag, ts, r) return 2, ts, r end\n")
        .unwrap();
    let (is_fine, text) = check();
    assert!(is_fine, "{text}");
}

#[test]
fn a_script_that_never_ends_does_not_slow_the_routes_beside_it() {
    let router = Router::start(&format!(
        "[SERVICE]\n    Flush 0.1\n{INPUT}\
         [INPUT]\n    Name forward\n    unix_path {{dir}}/other.sock\n\
         [FILTER]\n    Name lua\n    Match bad*\n    call cb\n    code function cb(tag, ts, r) while true do end end\n\
         [OUTPUT]\n    Name file\n    Match *\n    Path {{dir}}\n    Format plain\n"
    ));
    let lines =
        |tag: &str| std::fs::read_to_string(router.dir().join(tag)).map_or(0, |text| text.lines().count());
    let (socket, is_over) = (router.socket(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        // As many as keep every thread busy.
        let bad = |name| {
            let (socket, is_over) = (&socket, &is_over);
            move || {
                let mut bad = Writer::connect(socket, "bad", name);
                while !is_over.load(Relaxed) && bad.written() < 20_000 {
                    bad.write(10);
                }
                bad.written()
            }
        };
        let bad: Vec<_> = ["a", "b", "c", "d"].map(|name| scope.spawn(bad(name))).into();
        let mut good = Writer::connect(&router.dir().join("other.sock"), "good", "g");
        good.write(5_000);
        wait_for("the good records arrive", || lines("good") == 5_000);
        is_over.store(true, Relaxed);
        let written: u64 = bad.into_iter().map(|writer| writer.join().unwrap()).sum();
        wait_for("the bad records arrive as they came", || lines("bad") as u64 == written);
    });
}

/// The figures that the last lines of the log give of this instance.
fn figures(log: &str, instance: &str, first: &str) -> String {
    let line = log.lines().rfind(|line| line.contains(instance) && line.contains(first)).unwrap();
    line[line.find(first).unwrap()..].to_owned()
}

/// The most memory that a process has held, in KiB.
fn peak_memory(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_million_new_tags_are_booked_to_the_record_within_bounded_memory() {
    const RECORDS: u64 = 1_000_000;
    let mut router = Router::start(&format!(
        "[SERVICE]\n    Flush 0.2\n{INPUT}\
         [FILTER]\n    Name rewrite_tag\n    Match app\n    Rule $log seq=([a-z]:[0-9]+) new.$1 false\n\
         [OUTPUT]\n    Name null\n    Match new.*\n"
    ));
    let mut writer = Writer::connect(&router.socket(), "app", "a");
    writer.write(RECORDS);
    drop(writer);
    let most = peak_memory(router.pid());
    assert!(router.stop().success());
    let log = router.log();
    let read = figures(&log, "forward.0", "read=");
    assert!(
        read.starts_with(&format!(
            "read={RECORDS}, unsent=0, filtered={RECORDS}, unmatched=0, added={RECORDS}"
        )),
        "{read}"
    );
    let sent = figures(&log, "null.0", "sent=");
    assert!(sent.starts_with(&format!("sent={RECORDS}, unsent=0, dropped=0")), "{sent}");
    assert!(most < 400 * 1024, "{most} KiB");
}

#[test]
fn filters_that_feed_each_other_and_themselves_end_with_every_record_booked() {
    let mut router = Router::start(&format!(
        "[SERVICE]\n    Flush 0.1\n{INPUT}\
         [FILTER]\n    Name rewrite_tag\n    Match *\n    Rule $log seq b false\n\
         [FILTER]\n    Name rewrite_tag\n    Match *\n    Rule $log seq a.$TAG true\n\
         [OUTPUT]\n    Name null\n    Match *\n"
    ));
    let mut writer = Writer::connect(&router.socket(), "app", "a");
    writer.write(1_000);
    drop(writer);
    assert!(router.stop().success());
    let log = router.log();
    let number = |text: &str, name: &str| -> u64 {
        let rest = text.split(name).nth(1).unwrap();
        rest.split(|letter: char| !letter.is_ascii_digit()).next().unwrap().parse().unwrap()
    };
    let (read, sent) = (figures(&log, "forward.0", "read="), figures(&log, "null.0", "sent="));
    assert_eq!(number(&read, "read="), 1_000, "{read}");
    let passed = 1_000 + number(&read, "added=") - number(&read, "filtered=");
    assert_eq!(number(&sent, "sent="), passed, "{read} / {sent}");
    assert!(passed >= 1_000 && sent.contains("unsent=0, dropped=0"), "{sent}");
}

#[test]
fn processors_that_are_about_metrics_are_known_by_name() {
    let folder = TempDir::with_prefix("ik").unwrap();
    let path = folder.path().join("a.yaml");
    for (name, advice) in [
        ("labels", "Ikada carries logs"),
        ("metrics_selector", "Ikada carries logs"),
        ("cumulative_to_delta", "Ikada carries logs"),
        ("opentelemetry_envelope", "records go out as they are"),
        ("sampling", "`throttle`"),
        ("sql", "`grep` picks records"),
    ] {
        let config = format!(
            "pipeline:\n  inputs:\n    - name: dummy\n      processors:\n        logs:\n          - name: {name}\n  \
             outputs:\n    - name: \"null\"\n      match: '*'\n"
        );
        std::fs::write(&path, config).unwrap();
        let output = Command::new(binary()).arg("check").arg(&path).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
        assert!(text.contains("unsupported-plugin") && text.contains(advice), "{name}: {text}");
    }
}
