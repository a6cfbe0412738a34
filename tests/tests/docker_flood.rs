//! A container that writes as fast as it can while nothing takes what it writes: it is never kept waiting, and the router stays small.
//!
//! `IKADA_TEST_FLOOD` says for how many seconds. The figures are printed; how long a write took is no matter of an assertion, because a busy
//! machine makes writes slow as well.
#![allow(clippy::unwrap_used, missing_docs)]

use std::time::Duration;

use ikada_localaws::{Config, Down, LocalAws};
use ikada_tests::books::{Books, from_environment, kilobytes};
use ikada_tests::cgroup::Cgroup;
use ikada_tests::docker::Docker;
use ikada_tests::{Router, firelens_config, free_port, get, wait_for};

const TAG: &str = "app-firelens-0123456789abcdef";

/// Bytes a second.
const RATE: u64 = 20_000_000;

/// Bytes of a line: the daemon's cost is by the line, and short ones keep it from the rate.
const LENGTH: u64 = 4_000;

/// The memory of a small sidecar, in bytes: its router takes half of it for what waits. The other half is for code, threads,
/// connections and the allocator's slack.
const MEMORY: u64 = 64 << 20;

/// What the program takes besides what waits, in kB, with the pages of its file, which the group may not count.
const OVERHEAD: u64 = 48_000;

/// Records that the input has read so far.
fn read(port: u16) -> u64 {
    let answer = get(port, "/api/v1/metrics");
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    let metrics: serde_json::Value = serde_json::from_str(body).unwrap();
    metrics["input"]["forward.0"]["records"].as_u64().unwrap()
}

#[test]
fn a_container_that_floods_a_dead_destination_goes_on_and_the_router_stays_within_its_memory() {
    let seconds = from_environment("IKADA_TEST_FLOOD", 10);
    let Some(docker) = Docker::start() else { return };
    let Some(group) = Cgroup::bounded(MEMORY) else { return };
    let aws = LocalAws::start(Config { keep: ikada_localaws::Keep::None, ..Config::default() }).unwrap();
    aws.faults().down(Down::BlackHole);
    let config = firelens_config(&format!(
        "    Name cloudwatch_logs\n    region ap-northeast-1\n    endpoint {}\n    log_group_name app\n    \
         log_stream_prefix s-\n    auto_create_group true\n",
        aws.http_url()
    ));
    let port = free_port();
    let service = format!(
        "[SERVICE]\n    Flush 1\n    Grace 2\n    HTTP_Server On\n    HTTP_Listen 127.0.0.1\n    \
         HTTP_Port {port}\n"
    );
    let mut router = Router::start_bounded(&group, &format!("{service}{config}"));
    let report = router.dir().join("report");
    std::fs::create_dir(&report).unwrap();
    let mount = format!("{}:/report", report.display());
    // Without a buffer of Docker's own before the socket: the container feels at once what the router does.
    let options = ["--volume", mount.as_str(), "--log-opt", "fluentd-async=false"];
    let numbers = [seconds, RATE, LENGTH].map(|number| number.to_string());
    let container =
        docker.container(&router.socket(), TAG, &options, &["flood", &numbers[0], &numbers[1], &numbers[2]]);
    while !report.join("flood").exists() {
        assert_eq!(container.inspect("{{.State.Running}}"), "true");
        assert_eq!(group.killed(), 0, "the router needed more memory than there is: {}", router.log());
        std::thread::sleep(Duration::from_millis(100));
    }
    let said = std::fs::read_to_string(report.join("flood")).unwrap();
    let numbers: Vec<u64> = said.split(' ').map(|number| number.parse().unwrap()).collect();
    let (lines, bytes, longest) = (numbers[0], numbers[1], numbers[2]);
    wait_for("the last line", || read(port) >= lines);
    let peak = kilobytes(&router, "VmHWM");
    router.stop();
    let log = router.log();
    let (input, output) = (Books::of(&log, "forward.0"), Books::of(&log, "cloudwatch_logs.0"));
    let (sent, unsent, dropped) = output.ends();
    eprintln!(
        "{lines} lines, {:.1} MB/s for {seconds} s; longest write {:.1} ms; peak of resident memory {peak} kB, of the group {} kB; dropped {dropped}, unsent {unsent}",
        bytes as f64 / seconds as f64 / 1e6,
        longest as f64 / 1e3,
        group.peak() / 1024,
    );
    assert_eq!(group.killed(), 0, "{log}");
    assert_eq!(sent, 0);
    assert_eq!(input.number("read"), unsent + dropped + input.number("unsent"), "{log}");
    assert_eq!(input.number("read"), lines, "every line the container wrote");
    assert!(dropped > 0, "more was written than fits");
    assert!(peak < MEMORY / 2 / 1024 + OVERHEAD, "{peak} kB");
}
