//! Everything at once, at random: a client with acks, a driver without, a file that grows; a destination that throttles, fails, cuts
//! connections, forbids a stream or is away; kills and stops. The books of every run that could say its last word balance to the
//! record, and nothing that was acknowledged, written to the file, or read before a stop is lost.
//!
//! `IKADA_TEST_STORMS` says how many runs (8), `IKADA_TEST_SEED` repeats an earlier sequence.
#![allow(clippy::unwrap_used, missing_docs)]

use std::fs::OpenOptions;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{SystemTime, UNIX_EPOCH};

use ikada_localaws::{Config, CutPoint, Fault, FaultKind, Keep, LocalAws, Service, When};
use ikada_tests::books::{Books, from_environment, on_disk};
use ikada_tests::careful::{Careful, Dice};
use ikada_tests::{Router, Writer, firelens_config, wait_for};
use rustix::process::Signal;
use tempfile::TempDir;

const APP: &str = "app-firelens-0123456789abcdef";
const PLAIN: &str = "app-firelens-fedcba9876543210";

/// Lines that the file grows by in each run.
const LINES: u64 = 1_000;

fn config(aws: &LocalAws) -> String {
    let url = aws.http_url();
    let forward = firelens_config(&format!(
        "    Name cloudwatch_logs\n    Alias logs\n    region ap-northeast-1\n    endpoint {url}\n    log_group_name app\n    \
         log_stream_prefix s-\n    auto_create_group true\n    net.io_timeout 2\n"
    ));
    let forward = forward.replace("    Mem_Buf_Limit 50MB\n", "    storage.type filesystem\n");
    format!(
        "[SERVICE]\n    Flush 0.1\n    Grace 5\n    storage.path {{dir}}/store\n    scheduler.base 0.05\n    scheduler.cap 1\n    \
         ikada.memory_limit 4M\n    ikada.stall_limit 0.5\n{forward}\
         [INPUT]\n    Name tail\n    Tag file\n    Path {{dir}}/app.log\n    DB {{dir}}/tail.db\n    Read_from_Head On\n\
         [OUTPUT]\n    Name kinesis_firehose\n    Alias hose\n    Match file\n    region eu-central-1\n    delivery_stream lines\n    \
         endpoint {url}\n    net.io_timeout 2\n"
    )
}

/// The weather of one run.
fn brew(aws: &LocalAws, dice: &mut Dice) -> Vec<&'static str> {
    let kinds = [
        ("throttling", FaultKind::Throttle),
        ("unavailable", FaultKind::Unavailable),
        ("internal errors", FaultKind::InternalError),
        ("expired tokens", FaultKind::ExpiredToken),
        ("slow calls", FaultKind::Latency { min_ms: 0, max_ms: 300 }),
        ("late answers", FaultKind::LateAnswer { min_ms: 1500, max_ms: 2500 }),
        ("cuts before the body", FaultKind::Cut { at: CutPoint::BeforeBody }),
        ("cuts after the body", FaultKind::Cut { at: CutPoint::AfterBody }),
        ("cuts after the data was taken", FaultKind::Cut { at: CutPoint::AfterTaking }),
        ("cuts in the answer", FaultKind::Cut { at: CutPoint::MidAnswer }),
        ("halves", FaultKind::Partial { fraction: 0.3, code: Default::default() }),
    ];
    let mut told = Vec::new();
    for (name, kind) in kinds {
        if dice.below(3) > 0 {
            continue;
        }
        for service in [Service::Logs, Service::Firehose] {
            if matches!(kind, FaultKind::Partial { .. }) && service == Service::Logs {
                continue;
            }
            let often = 0.05 + dice.below(30) as f64 / 100.0;
            aws.faults().add(Fault::new(kind.clone()).service(service).when(When::Probability(often)));
        }
        told.push(name);
    }
    match dice.below(6) {
        0 => {
            aws.faults().add(Fault::new(FaultKind::Unavailable).service(Service::Logs));
            told.push("an outage of one service");
        }
        1 => {
            aws.faults().add(Fault::new(FaultKind::Unavailable));
            told.push("an outage");
        }
        2 => {
            let forbidden = Fault::new(FaultKind::AccessDenied).on(Service::Logs, "PutLogEvents");
            aws.faults().add(forbidden.resource(&format!("app:s-{PLAIN}")));
            told.push("a forbidden stream");
        }
        _ => {}
    }
    told
}

fn append(path: &Path, written: &mut u64) {
    let mut file = BufWriter::new(OpenOptions::new().append(true).create(true).open(path).unwrap());
    for number in *written..*written + LINES {
        writeln!(file, "seq=file:{number} a line of the application, long enough to be one").unwrap();
    }
    file.flush().unwrap();
    *written += LINES;
}

/// Records that a run found on disk for an output at its start.
fn found(log: &str, output: &str) -> u64 {
    let line = log
        .lines()
        .find(|line| line.contains(&format!(":{output}]")) && line.contains("since an earlier run"));
    let words = line.and_then(|line| line.rsplit_once("] ")?.1.split(' ').next()?.parse().ok());
    words.unwrap_or(0)
}

/// What went into an output came out of it, or is told to wait or to be gone.
fn balanced(log: &str, input: &str, output: &str) {
    let (from, to) = (Books::of(log, input), Books::of(log, output));
    let came = from.number("read") + from.number("added");
    let left = from.number("unsent") + from.number("filtered") + from.number("unmatched");
    let (sent, unsent, dropped) = to.ends();
    let ended = sent + unsent + dropped + to.number("on_disk");
    assert_eq!(came - left + found(log, output), ended, "{input} to {output}:\n{log}");
    assert_eq!(dropped, 0, "there is a disk:\n{log}");
}

#[test]
fn whatever_comes_together_the_books_balance_and_nothing_is_lost() {
    let runs = from_environment("IKADA_TEST_STORMS", 8);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
    let seed = from_environment("IKADA_TEST_SEED", now);
    eprintln!("IKADA_TEST_SEED={seed}");
    let mut dice = Dice(seed);
    let aws = LocalAws::start(Config { keep: Keep::None, ..Config::default() }).unwrap();
    let dir = Arc::new(TempDir::with_prefix("ik").unwrap());
    let (config, lines, store) = (config(&aws), dir.path().join("app.log"), dir.path().join("store"));
    let (mut careful, mut written) = (Careful::default(), 0);
    // Names of drivers whose router was stopped, with what it had taken from them.
    let mut stopped: Vec<(String, u64)> = Vec::new();
    for run in 0..runs {
        aws.faults().clear();
        let told = brew(&aws, &mut dice);
        append(&lines, &mut written);
        let mut router = Router::start_in(dir.clone(), &config, &[]);
        let (socket, is_over, seen) = (router.socket(), AtomicBool::new(false), AtomicU64::new(0));
        let (messages, spins, is_kill) = (dice.below(4000), dice.below(400_000), dice.below(3) > 0);
        let name = format!("plain{run}");
        let asking = Writer::connect_from(&socket, APP, "careful", careful.acked);
        let taken = std::thread::scope(|scope| {
            scope.spawn(|| careful.talk(asking, &seen));
            let plain = scope.spawn(|| {
                let mut writer = Writer::connect(&socket, PLAIN, &name);
                writer.write(messages);
                is_over.store(true, Relaxed);
                writer.write_until_closed();
                writer.written()
            });
            // A moment under load that depends on the dice.
            wait_for("messages", || is_over.load(Relaxed));
            for _ in 0..spins {
                std::hint::spin_loop();
            }
            let (signal, end) = if is_kill { (Signal::KILL, "killed") } else { (Signal::TERM, "stopped") };
            eprintln!("run {run}: {} then {end}", told.join(", "));
            router.signal(signal);
            router.wait();
            plain.join().unwrap()
        });
        if is_kill {
            continue;
        }
        let log = router.log();
        balanced(&log, "forward.0", "logs");
        balanced(&log, "tail.1", "hose");
        assert!(!log.contains("bug"), "{log}");
        if Books::of(&log, "logs").number("unsent") + Books::of(&log, "forward.0").number("unsent") == 0 {
            stopped.push((name, taken));
        }
    }
    aws.faults().clear();
    let mut router = Router::start_in(dir, &config, &[]);
    let arrived = |service, client: &str| aws.report().client(service, client).cloned();
    wait_for("an empty store", || on_disk(&store) == 0);
    wait_for("the file", || arrived(Service::Firehose, "file").is_some_and(|file| file.distinct == written));
    assert_eq!(router.stop().code(), Some(0), "{}", router.log());
    let of_careful = arrived(Service::Logs, "careful").map_or(0, |numbers| numbers.lost(careful.acked));
    assert_eq!(of_careful, 0, "{} were acknowledged", careful.acked);
    for (name, taken) in stopped {
        let numbers = arrived(Service::Logs, &name).unwrap_or_else(|| panic!("nothing of {name}"));
        assert_eq!(numbers.lost(taken), 0, "{name}: {numbers:?}");
    }
}
