//! Kills at random moments under load: nothing that was acknowledged is lost, nothing that was on disk either, and what comes twice was not
//! settled yet.
//!
//! `IKADA_TEST_KILLS` says how often (300 take some minutes), `IKADA_TEST_SEED` repeats the moments of an earlier run.
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{SystemTime, UNIX_EPOCH};

use ikada_localaws::{Config, Fault, FaultKind, LocalAws, Service, When};
use ikada_tests::books::from_environment;
use ikada_tests::{Router, Writer, firelens_config, wait_for};
use tempfile::TempDir;

const TAG: &str = "app-firelens-0123456789abcdef";

/// Messages that the client with acks may have unanswered.
const WINDOW: u64 = 50;

/// Numbers that follow from a seed (Knuth's constants for a linear congruence modulo 2^64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

fn config(aws: &LocalAws) -> String {
    let config = firelens_config(&format!(
        "    Name cloudwatch_logs\n    region ap-northeast-1\n    endpoint {}\n    log_group_name app\n    \
         log_stream_prefix s-\n    auto_create_group true\n",
        aws.http_url()
    ));
    let config = config.replace("    Mem_Buf_Limit 50MB\n", "    storage.type filesystem\n");
    format!("[SERVICE]\n    Flush 0.1\n    Grace 20\n    storage.path {{dir}}/store\n{config}")
}

/// Entries in the chunk files of the store.
fn on_disk(dir: &Path) -> u64 {
    let outputs = std::fs::read_dir(dir.join("store/outputs")).into_iter().flatten().flatten();
    let files = outputs.flat_map(|output| std::fs::read_dir(output.path()).into_iter().flatten().flatten());
    let whole = |name: &String| !name.starts_with('.');
    let entries = |name: String| {
        Some(name).filter(whole)?.strip_suffix(".chunk")?.split_once('-')?.1.parse::<u64>().ok()
    };
    files.filter_map(|file| entries(file.file_name().into_string().ok()?)).sum()
}

/// A client that asks for acks and, as such clients do, begins again behind the last number that was acknowledged in order.
struct Careful {
    acked: u64,
    /// The most that may come twice: what had no answer when the router died.
    unsettled: u64,
}

impl Careful {
    /// Writes and reads until the router is gone. `seen` counts the answers, for whoever kills it.
    fn talk(&mut self, mut writer: Writer, seen: &AtomicU64) {
        let mut reader = writer.reader();
        let mut answered: BTreeMap<u64, ()> = BTreeMap::new();
        let mut is_open = true;
        while is_open {
            while is_open && writer.written() < self.acked + WINDOW {
                is_open = writer.try_write_asking().is_ok();
            }
            match reader.read_ack() {
                Some(number) => {
                    answered.insert(number, ());
                    seen.fetch_add(1, Relaxed);
                }
                None => is_open = false,
            }
            while answered.remove(&self.acked).is_some() {
                self.acked += 1;
            }
        }
        self.unsettled += writer.written() - self.acked;
    }
}

#[test]
fn random_kills_lose_nothing_that_was_acknowledged_or_on_disk_and_double_only_what_was_not_settled() {
    let kills = from_environment("IKADA_TEST_KILLS", 15);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
    let seed = from_environment("IKADA_TEST_SEED", now);
    eprintln!("IKADA_TEST_SEED={seed}");
    let mut dice = Dice(seed);
    let aws = LocalAws::start(Config { keep: ikada_localaws::Keep::None, ..Config::default() }).unwrap();
    let flaky =
        Fault::new(FaultKind::Unavailable).on(Service::Logs, "PutLogEvents").when(When::Probability(0.2));
    aws.faults().add(flaky);
    let dir = Arc::new(TempDir::with_prefix("ik").unwrap());
    let config = config(&aws);
    let mut careful = Careful { acked: 0, unsettled: 0 };
    let (mut kept, mut written) = (0, 0);
    for round in 0..kills {
        let mut router = Router::start_in(dir.clone(), &config, &[]);
        let seen = AtomicU64::new(0);
        // Connected before the dice fall: they may say that no answer is waited for.
        let asking = Writer::connect_from(&router.socket(), TAG, "careful", careful.acked);
        let mut writer = Writer::connect(&router.socket(), TAG, &format!("plain{round}"));
        let (answers, spins) = (dice.below(400), dice.below(200_000));
        std::thread::scope(|scope| {
            scope.spawn(|| careful.talk(asking, &seen));
            let plain = scope.spawn(move || {
                writer.write_until_closed();
                writer.written()
            });
            // A moment under load that depends on the dice: so many answers, and a little more.
            wait_for("answers", || seen.load(Relaxed) >= answers);
            for _ in 0..spins {
                std::hint::spin_loop();
            }
            router.signal(rustix::process::Signal::KILL);
            router.wait();
            kept += on_disk(dir.path());
            written += plain.join().unwrap();
        });
    }
    let mut router = Router::start_in(dir.clone(), &config, &[]);
    wait_for("an empty store", || on_disk(dir.path()) == 0);
    let status = router.stop();
    assert_eq!(status.code(), Some(0), "{}", router.log());
    assert!(written > 0 && kept > 0, "{written} written, {kept} on disk at the kills");

    let report = aws.report();
    let numbers = report.client(Service::Logs, "careful").unwrap();
    assert_eq!(numbers.lost(careful.acked), 0, "{numbers:?}");
    assert!(
        numbers.duplicated <= careful.unsettled,
        "{} > {}: {numbers:?}",
        numbers.duplicated,
        careful.unsettled
    );
    let doubled: u64 = (0..kills)
        .filter_map(|round| report.client(Service::Logs, &format!("plain{round}")))
        .map(|numbers| numbers.duplicated)
        .sum();
    assert!(doubled <= kept, "{doubled} came twice, and {kept} were on disk at the kills");
    eprintln!(
        "{kills} kills: {} acknowledged, {} of {} unsettled came twice; {doubled} of {kept} on disk did",
        careful.acked, numbers.duplicated, careful.unsettled
    );
}
