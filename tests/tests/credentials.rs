//! Credentials that end soon, from a place that is out of reach now and then.
#![allow(clippy::unwrap_used, missing_docs)]

use std::time::{Duration, Instant};

use ikada_localaws::{Config, Fault, FaultKind, LocalAws, Service};
use ikada_tests::{Router, Writer, firelens_config, wait_for};

const TAG: &str = "app-firelens-0123456789abcdef";

/// How often credentials are given out.
const ROTATIONS: usize = 30;

#[test]
fn thirty_rotations_with_an_outage_among_them_lose_nothing_and_block_nobody() {
    let lifetime = Duration::from_millis(800);
    let aws = LocalAws::start(Config { credentials_lifetime: lifetime, ..Config::default() }).unwrap();
    let url = aws.http_url();
    let mut router = Router::start(&format!(
        "[SERVICE]\n    Flush 0.1\n{}",
        firelens_config(&format!(
            "    Name kinesis_firehose\n    region ap-northeast-1\n    endpoint {url}\n    delivery_stream app\n    \
             role_arn arn:aws:iam::123456789012:role/logs\n    sts_endpoint {url}\n    Retry_Limit no_limits\n"
        ))
    ));
    let mut writer = Writer::connect(&router.socket(), TAG, "a");
    let mut longest = Duration::ZERO;
    let mut outage = None;
    while aws.credentials().issued() <= ROTATIONS {
        let start = Instant::now();
        writer.write(20);
        longest = longest.max(start.elapsed());
        let written = writer.written();
        match (aws.credentials().issued(), outage) {
            (10.., None) => {
                outage = Some(aws.faults().add(Fault::new(FaultKind::Unavailable).service(Service::Sts)));
            }
            // Several attempts in vain: the last credentials have ended, and what is written waits.
            (_, Some(fault)) => {
                if aws.faults().report().iter().any(|report| report.struck >= 6) {
                    aws.faults().remove(fault);
                }
            }
            _ => wait_for("some of them", || {
                aws.report()
                    .client(Service::Firehose, "a")
                    .is_some_and(|numbers| numbers.distinct + 200 > written)
            }),
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let written = writer.written();
    drop(writer);
    let status = router.stop();
    let report = aws.report();
    let numbers = report.client(Service::Firehose, "a").unwrap();
    assert!(numbers.is_exactly_once(written), "{numbers:?} of {written}\n{}", router.log());
    assert_eq!(status.code(), Some(0), "{}", router.log());
    assert!(router.log().contains(&format!("sent={written}, unsent=0, dropped=0")), "{}", router.log());
    // Far above the limit on purpose: a busy machine is no stall.
    assert!(longest < Duration::from_secs(5), "{longest:?}");
}
