//! Outages, kills and dead letters: the books balance, and nobody who may not wait is kept waiting.
#![allow(clippy::unwrap_used, missing_docs)]

use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ikada_localaws::{Config, Down, Fault, FaultKind, LocalAws, Service, When};
use ikada_tests::{Router, Writer, binary, firelens_config, wait_for};
use tempfile::TempDir;

const TAG: &str = "app-firelens-0123456789abcdef";

/// A part of memory in which 20,000 records do not fit.
const SMALL: &str = "    ikada.memory_limit 1M\n";

fn cloudwatch(aws: &LocalAws, service: &str, input: &str) -> String {
    let config = firelens_config(&format!(
        "    Name cloudwatch_logs\n    region ap-northeast-1\n    endpoint {}\n    log_group_name app\n    \
         log_stream_prefix s-\n    auto_create_group true\n",
        aws.http_url()
    ));
    let config = config.replace("    Mem_Buf_Limit 50MB\n", input);
    format!("[SERVICE]\n    Flush 1\n    Grace 20\n{service}{config}")
}

fn local() -> LocalAws {
    LocalAws::start(Config { keep: ikada_localaws::Keep::None, ..Config::default() }).unwrap()
}

/// Writes messages of about 400 bytes one by one and says how long the longest write took.
fn write_timed(writer: &mut Writer, count: u64) -> Duration {
    let mut longest = Duration::ZERO;
    for _ in 0..count {
        let start = Instant::now();
        writer.write(1);
        longest = longest.max(start.elapsed());
    }
    longest
}

/// The numbers behind `sent=`, `unsent=` and `dropped=` of an output's last line.
fn books(log: &str) -> (u64, u64, u64) {
    let line = log.lines().rev().find(|line| line.contains("sent=") && line.contains("dropped=")).unwrap();
    let number = |key: &str| {
        let rest = &line[line.find(key).unwrap() + key.len()..];
        rest.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap()
    };
    (number(" sent="), number("unsent="), number("dropped="))
}

#[test]
fn with_a_disk_an_outage_loses_nothing_however_small_the_memory() {
    let aws = local();
    aws.faults().down(Down::Refuse);
    let service = format!("{SMALL}    storage.path {{dir}}/store\n    ikada.stall_limit 0.1\n");
    let mut router = Router::start(&cloudwatch(&aws, &service, ""));
    let mut writer = Writer::connect(&router.socket(), TAG, "a");
    writer.write(20_000);
    drop(writer);
    aws.faults().up();
    wait_for("all of them", || aws.report().client(Service::Logs, "a").is_some_and(|n| n.distinct == 20_000));
    let status = router.stop();
    let report = aws.report();
    let numbers = report.client(Service::Logs, "a").unwrap();
    assert_eq!((numbers.lost(20_000), numbers.duplicated), (0, 0), "{numbers:?}");
    assert_eq!(status.code(), Some(0), "{}", router.log());
    assert_eq!(books(&router.log()), (20_000, 0, 0));
}

#[test]
fn without_a_disk_what_is_lost_is_counted_to_the_record() {
    let aws = local();
    aws.faults().down(Down::Refuse);
    let mut router = Router::start(&cloudwatch(&aws, &format!("{SMALL}    ikada.stall_limit 0.1\n"), ""));
    let mut writer = Writer::connect(&router.socket(), TAG, "a");
    let longest = write_timed(&mut writer, 20_000);
    drop(writer);
    eprintln!("the longest write took {:.1} ms; the stall limit is 100 ms", longest.as_secs_f64() * 1e3);
    // Far above the limit on purpose: a busy machine is no stall. The exact figure comes from the benchmark harness.
    assert!(longest < Duration::from_secs(5), "{longest:?}");
    router.wait_for_log("reason=overflow");
    aws.faults().up();
    let status = router.stop();
    let arrived = aws.report().client(Service::Logs, "a").map_or(0, |numbers| numbers.distinct);
    let (sent, unsent, dropped) = books(&router.log());
    assert_eq!((sent, unsent, sent + dropped), (arrived, 0, 20_000), "{}", router.log());
    assert!(dropped > 0);
    assert_eq!(status.code(), Some(0));
}

#[test]
fn a_slow_destination_slows_the_writer_and_loses_nothing() {
    let aws = local();
    let slow = FaultKind::latency(Duration::from_millis(150));
    aws.faults().add(Fault::new(slow).on(Service::Logs, "PutLogEvents"));
    let mut router = Router::start(&cloudwatch(&aws, SMALL, ""));
    let mut writer = Writer::connect(&router.socket(), TAG, "a");
    writer.write(50_000);
    drop(writer);
    router.stop();
    assert_eq!(books(&router.log()), (50_000, 0, 0), "{}", router.log());
}

#[test]
fn a_destination_that_pauses_for_seconds_costs_nothing() {
    let aws = local();
    let mut router = Router::start(&cloudwatch(&aws, "", ""));
    let mut writer = Writer::connect(&router.socket(), TAG, "a");
    writer.write(20_000);
    aws.faults().down(Down::BlackHole);
    let writing = std::thread::spawn(move || {
        for _ in 0..300 {
            writer.write(1000);
        }
    });
    // Longer than the stall limit: from then on the socket is read beyond what the output takes.
    let start = Instant::now();
    wait_for("the pause", || start.elapsed() > Duration::from_millis(2500));
    aws.faults().up();
    writing.join().unwrap();
    router.stop();
    let (sent, unsent, dropped) = books(&router.log());
    assert_eq!((sent, unsent, dropped), (320_000, 0, 0), "{}", router.log());
}

#[test]
fn a_dead_output_keeps_nothing_from_the_others() {
    let (aws, dead) = (local(), local());
    dead.faults().down(Down::BlackHole);
    let output = |name: &str, aws: &LocalAws| {
        format!(
            "\n[OUTPUT]\n    Name kinesis_firehose\n    Alias {name}\n    Match *\n    region ap-northeast-1\n    endpoint {}\n    \
             delivery_stream {name}\n",
            aws.http_url()
        )
    };
    let config = format!(
        "[SERVICE]\n    Grace 3\n    ikada.memory_limit 6M\n[INPUT]\n    Name forward\n    unix_path {{dir}}/fluent.sock\n{}{}{}",
        output("dead", &dead),
        output("one", &aws),
        output("two", &aws)
    );
    let mut router = Router::start(&config);
    let mut writer = Writer::connect(&router.socket(), TAG, "a");
    writer.write(50_000);
    let arrived = |name: &str| {
        let report = aws.report();
        report.sequence(Service::Firehose, name, "a").map_or(0, |numbers| numbers.distinct)
    };
    wait_for("both others", || arrived("one") == 50_000 && arrived("two") == 50_000);
    drop(writer);
    let status = router.stop();
    let log = router.log();
    assert_ne!(status.code(), Some(0));
    let of = |name: &str| {
        books(
            log.lines()
                .filter(|line| line.contains(&format!(":{name}]")))
                .collect::<Vec<_>>()
                .join("\n")
                .as_str(),
        )
    };
    assert_eq!((of("one"), of("two")), ((50_000, 0, 0), (50_000, 0, 0)), "{log}");
    let (sent, unsent, dropped) = of("dead");
    assert_eq!((sent, unsent + dropped), (0, 50_000));
}

#[test]
fn a_forbidden_stream_delays_and_costs_its_neighbours_nothing() {
    let aws = local();
    let denied = Fault::new(FaultKind::AccessDenied).on(Service::Logs, "PutLogEvents");
    aws.faults().add(denied.resource("app:s-app-firelens-forbidden"));
    let mut router = Router::start(&cloudwatch(&aws, "    ikada.memory_limit 6M\n", ""));
    let mut forbidden = Writer::connect(&router.socket(), "app-firelens-forbidden", "forbidden");
    let mut allowed = Writer::connect(&router.socket(), "app-firelens-allowed", "allowed");
    // More than the memory holds of either of them.
    for _ in 0..20 {
        forbidden.write(2000);
        allowed.write(2000);
    }
    let of = |name: &str| aws.report().client(Service::Logs, name).map_or(0, |numbers| numbers.distinct);
    wait_for("all that is allowed", || of("allowed") == 40_000);
    assert_eq!(of("forbidden"), 0);
    aws.faults().clear();
    drop((forbidden, allowed));
    router.stop();
    let (sent, unsent, dropped) = books(&router.log());
    let arrived = of("allowed") + of("forbidden");
    assert_eq!((sent, unsent, sent + dropped), (arrived, 0, 80_000), "{}", router.log());
    assert!(of("forbidden") > 0 && dropped > 0, "{}", router.log());
}

#[test]
fn kills_lose_nothing_that_was_acknowledged_and_nothing_that_was_on_disk() {
    let kills = 8;
    let aws = local();
    let flaky =
        Fault::new(FaultKind::Unavailable).on(Service::Logs, "PutLogEvents").when(When::Probability(0.2));
    aws.faults().add(flaky);
    let dir = Arc::new(TempDir::with_prefix("ik").unwrap());
    let config = cloudwatch(&aws, "    storage.path {dir}/store\n", "    storage.type filesystem\n");
    let (mut asked, mut acked) = (0u64, Vec::new());
    for round in 0..kills {
        let mut router = Router::start_in(dir.clone(), &config, &[]);
        let client = format!("k{round}");
        let mut writer = Writer::connect(&router.socket(), TAG, &client);
        let mut reader = writer.reader();
        for _ in 0..200 {
            writer.write_asking();
        }
        asked += 200;
        // The moment depends on what has arrived, and on nothing else.
        for _ in 0..(round * 37) % 150 {
            acked.extend(reader.read_ack().map(|number| (client.clone(), number)));
        }
        router.signal(rustix::process::Signal::KILL);
        router.wait();
    }
    let mut router = Router::start_in(dir.clone(), &config, &[]);
    let status = router.stop();
    assert_eq!(status.code(), Some(0), "{}", router.log());
    let report = aws.report();
    for (client, number) in &acked {
        let numbers = report.client(Service::Logs, client).expect("what was acknowledged has arrived");
        assert!(numbers.has(*number), "{client}:{number} was acknowledged and is not there");
    }
    assert!(asked > 0 && !acked.is_empty());
    let left = std::fs::read_dir(dir.path().join("store/outputs")).unwrap().flat_map(|output| {
        std::fs::read_dir(output.unwrap().path()).unwrap().map(|file| file.unwrap().file_name())
    });
    assert_eq!(left.count(), 0, "nothing is left on disk");
}

#[test]
fn records_on_disk_outlive_a_kill_and_are_delivered_at_the_next_start() {
    let aws = local();
    aws.faults().down(Down::Refuse);
    let dir = Arc::new(TempDir::with_prefix("ik").unwrap());
    let config = cloudwatch(&aws, "    storage.path {dir}/store\n", "    storage.type filesystem\n");
    let mut router = Router::start_in(dir.clone(), &config, &[]);
    let mut writer = Writer::connect(&router.socket(), TAG, "a");
    writer.write(5000);
    let store = dir.path().join("store/outputs");
    let entries = || -> u64 {
        let outputs = std::fs::read_dir(&store).into_iter().flatten();
        let files = outputs.flat_map(|output| std::fs::read_dir(output.unwrap().path()).unwrap());
        // A name with a dot in front is of a file that is still being written.
        let whole = |name: &String| !name.starts_with('.');
        let entries = |name: String| name.strip_suffix(".chunk")?.split_once('-')?.1.parse::<u64>().ok();
        let count = |name: String| Some(name).filter(whole).and_then(entries);
        files.filter_map(|file| count(file.unwrap().file_name().into_string().unwrap())).sum()
    };
    wait_for("all on disk", || entries() == 5000);
    router.signal(rustix::process::Signal::KILL);
    router.wait();
    aws.faults().up();
    let mut router = Router::start_in(dir, &config, &[]);
    router.wait_for_log("5000 records in");
    let status = router.stop();
    let report = aws.report();
    let numbers = report.client(Service::Logs, "a").unwrap();
    assert_eq!((numbers.lost(5000), numbers.duplicated), (0, 0), "{numbers:?}");
    assert_eq!(status.code(), Some(0), "{}", router.log());
    wait_for("an empty store", || entries() == 0);
}

#[test]
fn a_refused_batch_becomes_dead_letters_that_can_be_listed_shown_and_replayed() {
    let aws = local();
    aws.faults().add(Fault::new(FaultKind::AccessDenied).on(Service::Logs, "PutLogEvents"));
    let service = "    storage.path {dir}/store\n    storage.keep.rejected On\n";
    let config = cloudwatch(&aws, service, "")
        .replace("auto_create_group true\n", "auto_create_group true\n    Retry_Limit no_retries\n");
    let mut router = Router::start(&config);
    let mut writer = Writer::connect(&router.socket(), TAG, "a");
    writer.write(100);
    router.wait_for_log("dropped 100 records");
    drop(writer);
    let dir = router.shared_dir();
    router.stop();
    let conf = dir.path().join("fluent-bit.conf");
    let dlq = |words: &[&str]| {
        let mut command = Command::new(binary());
        command.arg("dlq").args(words).args(["-c".as_ref(), conf.as_os_str()]);
        let command = command.env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE").env("AWS_SECRET_ACCESS_KEY", "secret");
        let output = command.env("AWS_EC2_METADATA_DISABLED", "true").output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        (output.status.code(), text, String::from_utf8(output.stderr).unwrap())
    };
    let (code, list, errors) = dlq(&["list"]);
    assert_eq!(code, Some(0), "{errors}");
    assert!(list.contains("100 records") && list.contains("\"reason\":\"retry_limit\""), "{list}");
    let (_, shown, _) = dlq(&["show"]);
    assert_eq!(shown.lines().count(), 100);
    let first: serde_json::Value = serde_json::from_str(shown.lines().next().unwrap()).unwrap();
    assert_eq!((first["tag"].as_str(), first["record"]["source"].as_str()), (Some(TAG), Some("stdout")));
    let (code, said, _) = dlq(&["replay"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("100 records: 0 sent, 100 refused again, 0 not sent"), "{said}");
    aws.faults().clear();
    let (code, said, errors) = dlq(&["replay"]);
    assert_eq!(code, Some(0), "{said}{errors}");
    assert!(said.contains("100 records: 100 sent, 0 refused again, 0 not sent"), "{said}");
    let report = aws.report();
    assert_eq!(report.client(Service::Logs, "a").unwrap().distinct, 100);
    assert_eq!(dlq(&["list"]).1, "");
}
