//! The lines of real containers, through Docker's own `fluentd` log driver.
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use ikada_localaws::{LocalAws, Service};
use ikada_record::Timestamp;
use ikada_tests::docker::{Arrived, Docker, arrived};
use ikada_tests::{Router, firelens_config, wait_for};
use tempfile::TempDir;

#[path = "../assets/talker.rs"]
mod talker;

const TAG: &str = "app-firelens-8b1f3f5f8a1b4b6e8c5d0e3a9f7c2d4e";

/// The longest line that Docker does not cut (its copier's buffer).
const UNCUT: usize = 16 * 1024;

/// What the agent generates for a container whose lines go to a file named as their tag.
fn to_file() -> String {
    firelens_config("    Name file\n    format msgpack\n    mkdir on\n    path {dir}/out\n")
}

fn file(dir: &Path) -> PathBuf {
    dir.join("out").join(TAG)
}

/// Waits until both of the talker's last lines are in the file.
fn wait_for_the_end(router: &Router) {
    let file = file(router.dir());
    wait_for("the end of both streams", || arrived(&file).iter().filter(|entry| is_end(entry)).count() >= 2);
}

fn is_end(entry: &Arrived) -> bool {
    entry.field("log").starts_with(talker::END.as_bytes())
}

/// The stream that a line came from, as the driver names it.
fn source(is_error: bool) -> &'static str {
    if is_error { "stderr" } else { "stdout" }
}

/// The lines of one stream, as far as they are not parts of long ones.
fn texts<'a>(entries: &'a [Arrived], source: &str) -> Vec<&'a [u8]> {
    let of_stream = entries.iter().filter(|entry| entry.text("source") == source);
    of_stream.map(|entry| entry.field("log")).collect()
}

/// Fails, with the first line that differs, unless both streams of a talker are in `entries` line by line.
fn assert_all_lines(entries: &[Arrived], count: usize) {
    let lines = talker::lines(count, &[]);
    for is_error in [false, true] {
        let of_stream = lines.iter().filter(|line| line.is_error == is_error);
        let written: Vec<_> = of_stream.map(|line| line.text.as_slice()).collect();
        let read = texts(entries, source(is_error));
        let differs = written.iter().zip(&read).position(|(written, read)| written != read);
        assert_eq!(differs, None, "the first line that is lost, doubled or changed");
        assert_eq!(read.len(), written.len());
    }
}

fn now() -> f64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64()
}

#[test]
fn every_line_of_a_container_arrives_once_with_what_docker_says_of_it() {
    const COUNT: usize = 3000;
    let Some(docker) = Docker::start() else { return };
    let aws = LocalAws::start(ikada_localaws::Config::default()).unwrap();
    let mut router = Router::start(&format!(
        "{}\n[OUTPUT]\n    Name cloudwatch_logs\n    Match app-firelens*\n    region ap-northeast-1\n    endpoint {}\n    \
         log_group_name app\n    log_stream_prefix ecs-\n    auto_create_group true\n",
        to_file(),
        aws.http_url()
    ));
    let start = now();
    let options = ["--name", "ecs-web-1-app"];
    let container = docker.container(&router.socket(), TAG, &options, &[&COUNT.to_string()]);
    wait_for_the_end(&router);
    let end = now();
    assert_eq!(router.stop().code(), Some(0), "{}", router.log());

    let entries = arrived(&file(router.dir()));
    assert_all_lines(&entries, COUNT);
    assert_eq!(container.inspect("{{.Id}}"), container.id);
    for entry in &entries {
        assert_eq!(entry.text("container_id"), container.id);
        assert_eq!(entry.text("container_name"), "/ecs-web-1-app");
        assert_eq!(entry.text("ecs_cluster"), "test");
        let keys: Vec<_> = entry.fields.keys().filter(|key| !key.starts_with("ecs_")).collect();
        assert_eq!(keys, ["container_id", "container_name", "log", "source"]);
        assert!((start..=end).contains(&entry.time.as_f64()), "{:?}", entry.time);
    }
    assert_times_are_fine_and_in_order(&entries);

    let report = aws.report();
    for (client, written) in [("out", COUNT - COUNT / 3), ("err", COUNT / 3)] {
        let numbers = report.client(Service::Logs, client).unwrap();
        assert!(numbers.is_exactly_once(written as u64), "{client}: {numbers:?}");
        assert_eq!(numbers.out_of_order, 0, "{client}: {numbers:?}");
    }
    let events = aws.cloudwatch().events("app", &format!("ecs-{TAG}"));
    assert_eq!(events.len(), entries.len());
}

/// One time in a billion has no nanoseconds by chance; a whole run without any has whole seconds or milliseconds for times.
fn assert_times_are_fine_and_in_order(entries: &[Arrived]) {
    let is_fine = |time: Timestamp| !time.nanos().is_multiple_of(1_000_000);
    let fine = entries.iter().filter(|entry| is_fine(entry.time)).count();
    assert!(fine * 100 > entries.len() * 99, "only {fine} of {} times have nanoseconds", entries.len());
    for source in ["stdout", "stderr"] {
        let times: Vec<_> =
            entries.iter().filter(|entry| entry.text("source") == source).map(|entry| entry.time).collect();
        assert!(times.is_sorted(), "{source} is out of order");
    }
}

#[test]
fn long_lines_arrive_in_the_parts_that_docker_cut_with_the_marks_it_gave_them() {
    const LENGTHS: [usize; 8] = [0, 1, UNCUT - 1, UNCUT, UNCUT + 1, 2 * UNCUT, 100_000, 1_000_000];
    let Some(docker) = Docker::start() else { return };
    let config = to_file().replacen("Name forward\n", "Name forward\n    join_partial off\n", 1);
    let mut router = Router::start(&config);
    let lengths = LENGTHS.map(|length| length.to_string());
    let args: Vec<&str> = ["6"].into_iter().chain(lengths.iter().map(String::as_str)).collect();
    docker.container(&router.socket(), TAG, &[], &args);
    wait_for_the_end(&router);
    assert_eq!(router.stop().code(), Some(0), "{}", router.log());

    let entries = arrived(&file(router.dir()));
    let cut = entries.iter().filter(|entry| entry.fields.contains_key("partial_message"));
    let cut_lines: BTreeMap<&str, ()> = cut.map(|entry| (entry.text("partial_id"), ())).collect();
    assert!(cut_lines.len() >= 4, "the lines over {UNCUT} bytes were cut");
    let written = talker::lines(6, &LENGTHS);
    for is_error in [false, true] {
        let of_stream = entries.iter().filter(|entry| entry.text("source") == source(is_error));
        let read = whole_lines(of_stream);
        let wanted: Vec<_> = written.iter().filter(|line| line.is_error == is_error).collect();
        assert_eq!(
            read.iter().map(Vec::len).collect::<Vec<_>>(),
            wanted.iter().map(|line| line.text.len()).collect::<Vec<_>>()
        );
        assert!(
            read.iter().zip(wanted).all(|(read, wanted)| *read == wanted.text),
            "the bytes are those written"
        );
    }
}

/// Puts the parts of one stream together again and checks the marks: parts of a line share an id, count from 1, and the last one says
/// so. A line is cut whenever the buffer is full before its end was seen.
fn whole_lines<'a>(entries: impl Iterator<Item = &'a Arrived>) -> Vec<Vec<u8>> {
    let (mut lines, mut open, mut id, mut parts) = (Vec::new(), Vec::new(), "", 0);
    for entry in entries {
        open.extend_from_slice(entry.field("log"));
        if !entry.fields.contains_key("partial_message") {
            assert_eq!(parts, 0, "a line stands between the parts of another");
            assert!(entry.field("log").len() <= UNCUT);
            assert!(!entry.fields.keys().any(|key| key.starts_with("partial_")));
            lines.push(std::mem::take(&mut open));
            continue;
        }
        parts += 1;
        assert_eq!(entry.text("partial_message"), "true");
        assert_eq!(entry.text("partial_ordinal"), parts.to_string());
        assert_eq!(entry.field("partial_id").len(), 64);
        assert!(parts == 1 || entry.text("partial_id") == id);
        id = entry.text("partial_id");
        match entry.text("partial_last") {
            "true" => {
                parts = 0;
                lines.push(std::mem::take(&mut open));
            }
            other => assert_eq!((other, entry.field("log").len()), ("false", UNCUT)),
        }
    }
    assert_eq!(parts, 0, "a line has no last part");
    lines
}

#[test]
fn a_line_of_400_kb_beside_another_container_arrives_as_one_record() {
    const LONG: usize = 400_000;
    const OTHER: &str = "app-firelens-00000000000000000000000000000000";
    const COUNT: usize = 2000;
    let Some(docker) = Docker::start() else { return };
    let mut router = Router::start(&to_file());
    let long = LONG.to_string();
    docker.container(&router.socket(), OTHER, &[], &[&COUNT.to_string()]);
    let container = docker.container(&router.socket(), TAG, &[], &["6", &long, "100000", &long]);
    wait_for_the_end(&router);
    let other = router.dir().join("out").join(OTHER);
    wait_for("the other's end", || arrived(&other).iter().filter(|entry| is_end(entry)).count() >= 2);
    assert_eq!(router.stop().code(), Some(0), "{}", router.log());

    assert_all_lines(&arrived(&other), COUNT);
    let entries = arrived(&file(router.dir()));
    assert!(entries.iter().all(|entry| !entry.fields.keys().any(|key| key.starts_with("partial_"))));
    let written = talker::lines(6, &[LONG, 100_000, LONG]);
    for is_error in [false, true] {
        let wanted: Vec<_> = written.iter().filter(|line| line.is_error == is_error).collect();
        let read = texts(&entries, source(is_error));
        assert_eq!(
            read.iter().map(|text| text.len()).collect::<Vec<_>>(),
            wanted.iter().map(|line| line.text.len()).collect::<Vec<_>>()
        );
        assert!(
            read.iter().zip(wanted).all(|(read, wanted)| **read == wanted.text),
            "the bytes are those written"
        );
    }
    assert!(
        entries.iter().filter(|entry| entry.field("log").len() == LONG).all(|entry| {
            entry.text("container_id") == container.id && entry.text("ecs_cluster") == "test"
        })
    );
}

#[test]
fn a_router_that_is_replaced_while_a_container_writes_loses_no_line() {
    const RESTARTS: usize = 3;
    let Some(docker) = Docker::start() else { return };
    let mut router = Router::start(&to_file());
    let dir = router.shared_dir();
    let until = dir.path().join("until");
    std::fs::create_dir(&until).unwrap();
    let mount = format!("{}:/until:ro", until.display());
    docker.container(&router.socket(), TAG, &["--volume", &mount], &["0"]);
    for _ in 0..RESTARTS {
        let before = arrived(&file(dir.path())).len();
        wait_for("lines through this router", || arrived(&file(dir.path())).len() > before);
        assert_eq!(router.stop().code(), Some(0), "{}", router.log());
        router = Router::start_in(dir.clone(), &to_file(), &[]);
    }
    std::fs::write(until.join("now"), "").unwrap();
    wait_for_the_end(&router);
    assert_eq!(router.stop().code(), Some(0), "{}", router.log());

    let mut entries = arrived(&file(dir.path()));
    let doubled = remove_doubled(&mut entries);
    assert!(
        doubled <= RESTARTS,
        "a driver sends at most the line again at which it was cut off, not {doubled}"
    );
    let end = entries.iter().find(|entry| is_end(entry)).unwrap();
    assert_all_lines(&entries, end.text("log")[talker::END.len()..].parse().unwrap());
}

/// Takes out entries that stand there twice, and counts them: the driver stamps a line once, however often it sends it.
fn remove_doubled(entries: &mut Vec<Arrived>) -> usize {
    let before = entries.len();
    entries.dedup_by(|a, b| a.time == b.time && a.fields == b.fields);
    before - entries.len()
}

#[test]
fn lines_written_before_the_router_is_up_arrive_when_it_is() {
    const COUNT: usize = 300;
    let Some(docker) = Docker::start() else { return };
    let dir = Arc::new(TempDir::with_prefix("ik").unwrap());
    docker.container(&dir.path().join("fluent.sock"), TAG, &[], &[&COUNT.to_string()]);
    let mut router = Router::start_in(dir, &to_file(), &[]);
    wait_for_the_end(&router);
    assert_eq!(router.stop().code(), Some(0), "{}", router.log());
    assert_all_lines(&arrived(&file(router.dir())), COUNT);
}
