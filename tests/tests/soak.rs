//! A short soak: under an even load and with a destination that is not always well, memory does not grow and the books balance.
//!
//! `IKADA_TEST_SOAK` says for how many rounds of 20,000 records (30 take some seconds).
#![allow(clippy::unwrap_used, missing_docs)]

use std::time::Duration;

use ikada_localaws::{Config, Fault, FaultKind, LocalAws, Service, When};
use ikada_tests::books::{Books, from_environment, kilobytes};
use ikada_tests::{Router, Writer, firelens_config, wait_for};

const TAG: &str = "app-firelens-0123456789abcdef";

/// Records of one round.
const ROUND: u64 = 20_000;

#[test]
fn memory_does_not_grow_with_what_was_sent_and_the_books_balance() {
    let rounds = from_environment("IKADA_TEST_SOAK", 30).max(8);
    let aws = LocalAws::start(Config { keep: ikada_localaws::Keep::None, ..Config::default() }).unwrap();
    for (kind, often) in
        [(FaultKind::Unavailable, 0.05), (FaultKind::latency(Duration::from_millis(50)), 0.05)]
    {
        aws.faults().add(Fault::new(kind).on(Service::Logs, "PutLogEvents").when(When::Probability(often)));
    }
    let config = firelens_config(&format!(
        "    Name cloudwatch_logs\n    region ap-northeast-1\n    endpoint {}\n    log_group_name app\n    \
         log_stream_prefix s-\n    auto_create_group true\n",
        aws.http_url()
    ));
    let mut router = Router::start(&format!("[SERVICE]\n    Flush 0.2\n    Grace 20\n{config}"));
    let mut writer = Writer::connect(&router.socket(), TAG, "a");
    let mut sizes = Vec::new();
    for round in 1..=rounds {
        writer.write(ROUND);
        let arrived = || aws.report().client(Service::Logs, "a").map_or(0, |numbers| numbers.distinct);
        wait_for("the round", || arrived() == round * ROUND);
        sizes.push(kilobytes(&router, "VmRSS"));
    }
    drop(writer);
    let status = router.stop();
    let total = rounds * ROUND;
    assert_eq!(Books::of(&router.log(), "cloudwatch_logs.0").ends(), (total, 0, 0), "{}", router.log());
    assert_eq!(status.code(), Some(0));
    let report = aws.report();
    assert_eq!(report.client(Service::Logs, "a").unwrap().lost(total), 0);

    // The first quarter warms up. The line through the rest, by least squares, in kB a round.
    let rest = &sizes[sizes.len() / 4..];
    let slope = slope(rest);
    let grown = slope * rest.len() as f64;
    eprintln!("resident memory after each round, kB: {sizes:?}; slope {slope:.1} kB a round");
    assert!(grown < 8_000.0, "it grew by {grown:.0} kB over {} rounds: {sizes:?}", rest.len());
}

/// The slope of the line through points one apart.
fn slope(points: &[u64]) -> f64 {
    let count = points.len() as f64;
    let (middle, mean) = ((count - 1.0) / 2.0, points.iter().sum::<u64>() as f64 / count);
    let (mut over, mut under) = (0.0, 0.0);
    for (at, point) in points.iter().enumerate() {
        let x = at as f64 - middle;
        over += x * (*point as f64 - mean);
        under += x * x;
    }
    over / under
}
