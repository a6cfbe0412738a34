//! Every record that was written arrives, whatever the destination does.
#![allow(clippy::unwrap_used, missing_docs)]

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ikada_localaws::{Config, Down, Fault, FaultKind, LocalAws, Service, When};
use ikada_tests::{Router, Writer, firelens_config, wait_for};

/// Records of the large runs. The whole million everywhere takes minutes in a debug build, so it is asked for once per output.
const MANY: u64 = 1_000_000;
const SOME: u64 = 100_000;

fn cloudwatch(aws: &LocalAws) -> String {
    firelens_config(&format!(
        "    Name cloudwatch_logs\n    region ap-northeast-1\n    endpoint {}\n    log_group_name app\n    \
         log_stream_prefix s-\n    auto_create_group true\n",
        aws.http_url()
    ))
}

fn firehose(aws: &LocalAws) -> String {
    firelens_config(&format!(
        "    Name kinesis_firehose\n    region ap-northeast-1\n    endpoint {}\n    delivery_stream app\n",
        aws.http_url()
    ))
}

fn s3(aws: &LocalAws) -> String {
    firelens_config(&format!(
        "    Name s3\n    region ap-northeast-1\n    endpoint {}\n    bucket app\n    compression gzip\n    \
         total_file_size 50M\n    upload_timeout 10m\n    s3_key_format /logs/$TAG/%Y/%m/%d/$UUID.gz\n",
        aws.http_url()
    ))
}

fn local() -> LocalAws {
    LocalAws::start(Config { keep: ikada_localaws::Keep::None, ..Config::default() }).unwrap()
}

const TAG: &str = "app-firelens-0123456789abcdef";

/// Writes `count` messages as fast as the socket takes them, stops the router, and asks the other end.
fn all_arrive_once(aws: &LocalAws, service: Service, config: &str, count: u64) {
    let mut router = Router::start(config);
    let mut writer = Writer::connect(&router.socket(), TAG, "a");
    writer.write(count);
    drop(writer);
    let status = router.stop();
    let report = aws.report();
    let numbers = report.client(service, "a").expect("something arrived");
    assert_eq!(numbers.lost(count), 0, "{numbers:?}\n{}", router.log());
    assert_eq!(numbers.duplicated, 0, "{numbers:?}");
    assert_eq!(status.code(), Some(0), "{}", router.log());
    assert!(router.log().contains(&format!("sent={count}, unsent=0, dropped=0")), "{}", router.log());
}

#[test]
fn a_million_messages_reach_cloudwatch_each_once_and_in_order() {
    let aws = local();
    all_arrive_once(&aws, Service::Logs, &cloudwatch(&aws), MANY);
    assert_eq!(aws.report().client(Service::Logs, "a").unwrap().out_of_order, 0);
}

#[test]
fn a_million_messages_reach_firehose_each_once() {
    let aws = local();
    all_arrive_once(&aws, Service::Firehose, &firehose(&aws), MANY);
}

#[test]
fn a_million_messages_reach_s3_each_once() {
    let aws = local();
    all_arrive_once(&aws, Service::S3, &s3(&aws), MANY);
}

/// Half of all calls are throttled, and of what is taken 30 % of the records are refused.
fn trouble(aws: &LocalAws, service: Service, operation: &str) {
    aws.faults().add(Fault::new(FaultKind::Throttle).on(service, operation).when(When::Probability(0.5)));
    if service == Service::Firehose {
        let partial = FaultKind::Partial { fraction: 0.3, code: Default::default() };
        aws.faults().add(Fault::new(partial).on(service, operation));
    }
}

#[test]
fn throttling_loses_nothing_on_the_way_to_cloudwatch() {
    let aws = local();
    trouble(&aws, Service::Logs, "PutLogEvents");
    all_arrive_once(&aws, Service::Logs, &cloudwatch(&aws), SOME);
}

#[test]
fn throttling_and_refused_records_lose_and_double_nothing_on_the_way_to_firehose() {
    let aws = local();
    trouble(&aws, Service::Firehose, "PutRecordBatch");
    all_arrive_once(&aws, Service::Firehose, &firehose(&aws), SOME);
}

#[test]
fn throttling_loses_nothing_on_the_way_to_s3() {
    let aws = local();
    for operation in ["PutObject", "CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload"] {
        trouble(&aws, Service::S3, operation);
    }
    all_arrive_once(&aws, Service::S3, &s3(&aws), SOME);
}

#[test]
fn no_ack_is_sent_before_delivery_and_what_was_acked_has_arrived() {
    let aws = local();
    let router = Router::start(&cloudwatch(&aws));
    let acked = Arc::new(Mutex::new(Vec::new()));
    let sent = Arc::new(AtomicU64::new(0));
    let mut writer = Writer::connect(&router.socket(), TAG, "a");
    let mut reader = writer.reader();
    let reading = std::thread::spawn({
        let acked = acked.clone();
        move || {
            while let Some(number) = reader.read_ack() {
                acked.lock().unwrap().push(number);
                if acked.lock().unwrap().len() == 3000 {
                    return;
                }
            }
        }
    });
    let count = || acked.lock().unwrap().len();
    for _ in 0..1000 {
        writer.write_asking();
    }
    wait_for("acks while the destination is up", || count() == 1000);

    aws.faults().down(Down::Refuse);
    let writing = std::thread::spawn({
        let sent = sent.clone();
        move || {
            for _ in 0..2000 {
                writer.write_asking();
                sent.fetch_add(1, Ordering::Relaxed);
            }
            writer
        }
    });
    wait_for("the client has written into the outage", || sent.load(Ordering::Relaxed) == 2000);
    router.wait_for_log("failed to flush chunk");
    let arrived = aws.report().client(Service::Logs, "a").map_or(0, |numbers| numbers.distinct);
    assert!(count() as u64 <= arrived, "an ack came before its delivery");
    assert_eq!(count(), 1000, "nothing is delivered while the destination is down");

    aws.faults().up();
    reading.join().unwrap();
    let report = aws.report();
    let numbers = report.client(Service::Logs, "a").unwrap();
    assert_eq!((numbers.lost(3000), numbers.duplicated), (0, 0), "{numbers:?}");
    let mut acked = acked.lock().unwrap().clone();
    acked.sort_unstable();
    assert_eq!(acked, (0..3000).collect::<Vec<_>>());
    drop(writing.join().unwrap());
}

#[test]
fn a_stop_under_load_delivers_everything_within_the_grace() {
    for (service, operation) in
        [(Service::Logs, "PutLogEvents"), (Service::Firehose, "PutRecordBatch"), (Service::S3, "PutObject")]
    {
        let aws = local();
        aws.faults().add(Fault::new(FaultKind::latency(Duration::from_millis(200))).on(service, operation));
        let config = match service {
            Service::Logs => cloudwatch(&aws),
            Service::Firehose => firehose(&aws),
            _ => s3(&aws),
        };
        let mut router = Router::start(&format!("[SERVICE]\n    Grace 30\n{config}"));
        let mut writer = Writer::connect(&router.socket(), TAG, "a");
        let written = Arc::new(AtomicU64::new(0));
        let writing = std::thread::spawn({
            let written = written.clone();
            move || {
                for _ in 0..20 {
                    writer.write(1000);
                    written.store(writer.written(), Ordering::Relaxed);
                }
                writer.write_until_closed();
                writer.written()
            }
        });
        wait_for("load", || written.load(Ordering::Relaxed) >= 20_000);
        let status = router.stop();
        let count = writing.join().unwrap();
        let report = aws.report();
        let numbers = report.client(service, "a").expect("something arrived");
        assert_eq!((numbers.lost(count), numbers.duplicated), (0, 0), "{numbers:?}\n{}", router.log());
        assert_eq!(status.code(), Some(0), "{}", router.log());
    }
}

#[test]
fn a_stop_with_a_dead_destination_tells_exactly_what_was_left() {
    let aws = local();
    aws.faults().down(Down::Refuse);
    let mut router = Router::start(&format!("[SERVICE]\n    Grace 1\n{}", firehose(&aws)));
    let mut writer = Writer::connect(&router.socket(), TAG, "a");
    writer.write(12_345);
    drop(writer);
    let status = router.stop();
    assert_ne!(status.code(), Some(0));
    wait_for("the last lines", || router.log().contains("service has stopped"));
    assert!(router.log().contains("sent=0, unsent=12345, dropped=0"), "{}", router.log());
    assert!(router.log().contains("service has stopped (12345 records unsent)"), "{}", router.log());
}
