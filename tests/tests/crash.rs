//! Kills at random moments under load: nothing that was acknowledged is lost, nothing that was on disk either, and what comes twice was not
//! settled yet.
//!
//! `IKADA_TEST_KILLS` says how often (300 take some minutes), `IKADA_TEST_SEED` repeats the moments of an earlier run.
#![allow(clippy::unwrap_used, missing_docs)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{SystemTime, UNIX_EPOCH};

use ikada_localaws::{Config, Fault, FaultKind, LocalAws, Service, When};
use ikada_tests::books::{from_environment, on_disk};
use ikada_tests::careful::{Careful, Dice};
use ikada_tests::{Router, Writer, firelens_config, wait_for};
use tempfile::TempDir;

const TAG: &str = "app-firelens-0123456789abcdef";

fn config(aws: &LocalAws) -> String {
    let config = firelens_config(&format!(
        "    Name cloudwatch_logs\n    region ap-northeast-1\n    endpoint {}\n    log_group_name app\n    \
         log_stream_prefix s-\n    auto_create_group true\n",
        aws.http_url()
    ));
    let config = config.replace("    Mem_Buf_Limit 50MB\n", "    storage.type filesystem\n");
    format!("[SERVICE]\n    Flush 0.1\n    Grace 20\n    storage.path {{dir}}/store\n{config}")
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
    let mut careful = Careful::default();
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
            kept += on_disk(&dir.path().join("store"));
            written += plain.join().unwrap();
        });
    }
    let mut router = Router::start_in(dir.clone(), &config, &[]);
    wait_for("an empty store", || on_disk(&dir.path().join("store")) == 0);
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
