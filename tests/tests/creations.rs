//! Many tags become many log streams: each is made once, at the pace of the service, in bounded memory, and nothing is lost.
#![allow(clippy::unwrap_used, missing_docs)]

use std::io::Write;
use std::os::unix::net::UnixStream;

use ikada_forward::client::{FrameOption, encode_message};
use ikada_localaws::{Config, Keep, LocalAws, Service};
use ikada_record::Timestamp;
use ikada_tests::{Router, docker_record, firelens_config, wait_for};

/// Writes one numbered message under each tag, round after round.
fn write(router: &Router, tags: u64, rounds: u64) {
    let mut socket = UnixStream::connect(router.socket()).unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let mut buf = Vec::new();
    for number in 0..tags * rounds {
        let tag = format!("app-firelens-{:05}", number % tags);
        let record = docker_record(&format!("seq=a:{number} of {tag}"));
        let time = Timestamp::new(now as i64, 0);
        encode_message(&mut buf, tag.as_bytes(), time, &record, &FrameOption::default());
        if buf.len() > 60_000 {
            socket.write_all(&buf).unwrap();
            buf.clear();
        }
    }
    socket.write_all(&buf).unwrap();
}

fn config(aws: &LocalAws, service: &str) -> String {
    let output = format!(
        "    Name cloudwatch_logs\n    region ap-northeast-1\n    endpoint {}\n    log_group_name plain\n    \
         log_stream_name plain\n    log_group_template /ecs/$source\n    log_stream_template $TAG\n    auto_create_group on\n    \
         Retry_Limit no_retries\n",
        aws.http_url()
    );
    format!("[SERVICE]\n    Flush 1\n{service}{}", firelens_config(&output))
}

/// The most memory that the process has held, in MiB.
fn peak(router: &Router) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", router.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

/// Calls that failed, of all that the output makes.
fn failed(aws: &LocalAws) -> u64 {
    let report = aws.report();
    let of = |name| report.operation(Service::Logs, name);
    ["PutLogEvents", "CreateLogStream", "CreateLogGroup"]
        .map(of)
        .iter()
        .map(|o| o.requests - o.succeeded)
        .sum()
}

#[test]
fn ten_thousand_tags_cost_one_failed_call_each_and_bounded_memory() {
    const TAGS: u64 = 10_000;
    let config_of = Config { create_log_stream_rate: None, keep: Keep::None, ..Config::default() };
    let aws = LocalAws::start(config_of).unwrap();
    let mut router = Router::start(&config(&aws, "    ikada.memory_limit 32M\n    Grace 120\n"));
    write(&router, TAGS, 2);
    let arrived =
        || aws.report().client(Service::Logs, "a").is_some_and(|numbers| numbers.distinct == 2 * TAGS);
    wait_for("all of them", arrived);
    let peak = peak(&router);
    let status = router.stop();
    assert_eq!(status.code(), Some(0), "{}", router.log());
    let report = aws.report();
    let numbers = report.client(Service::Logs, "a").unwrap();
    assert!(numbers.is_exactly_once(2 * TAGS), "{numbers:?}");
    let streams = report.operation(Service::Logs, "CreateLogStream").succeeded;
    let groups = report.operation(Service::Logs, "CreateLogGroup").requests;
    assert_eq!((streams, groups), (TAGS, 1));
    assert!(failed(&aws) <= TAGS + 1, "{}", failed(&aws));
    // Far above the limit of what is queued: code and threads count here, too, and a debug build is no small one.
    assert!(peak < 256, "{peak} MiB");
}

#[test]
fn five_hundred_streams_are_made_at_the_pace_of_the_service_without_a_retry() {
    const TAGS: u64 = 500;
    // What an account may do: 50 a second.
    let aws = LocalAws::start(Config { create_log_stream_rate: Some(50.0), ..Config::default() }).unwrap();
    let mut router = Router::start(&config(&aws, "    Grace 120\n"));
    write(&router, TAGS, 4);
    let status = router.stop();
    assert_eq!(status.code(), Some(0), "{}", router.log());
    let report = aws.report();
    let numbers = report.client(Service::Logs, "a").unwrap();
    assert!(numbers.is_exactly_once(4 * TAGS), "{numbers:?}");
    let creations = report.operation(Service::Logs, "CreateLogStream");
    assert_eq!(creations.succeeded, TAGS);
    assert!(router.log().contains(&format!("sent={}, unsent=0, dropped=0", 4 * TAGS)), "{}", router.log());
}
