//! `kinesis_streams`.

use ikada_localaws::{Config, Fault, FaultKind, LocalAws, Service, When};
use ikada_plugin::Outcome;
use ikada_record::DropReason;
use serde_json::{Value, json};

use crate::rig::{Rig, in_child, now_ms};

fn aws() -> LocalAws {
    LocalAws::start(Config::default()).unwrap()
}

fn rig(aws: &LocalAws, options: &str) -> Rig {
    Rig::new(aws, "kinesis_streams", &format!("stream ks\n{options}"))
}

fn fault(kind: FaultKind, when: When) -> Fault {
    Fault::new(kind).on(Service::Kinesis, "PutRecords").when(when)
}

fn lines(aws: &LocalAws) -> Vec<String> {
    aws.kinesis().records("ks").into_iter().map(|record| String::from_utf8(record).unwrap()).collect()
}

fn is_exactly_once(aws: &LocalAws, count: u64) -> bool {
    aws.report().sequence(Service::Kinesis, "ks", "t").unwrap().is_exactly_once(count)
}

in_child! {
    fn the_captured_request_comes_out_the_same_but_for_the_key() {
        let aws = LocalAws::start(Config { capture: true, ..Config::default() }).unwrap();
        let mut rig = Rig::new(&aws, "kinesis_streams", "stream ks-plain\n");
        rig.push("app", &[(1_700_000_000_000, json!({"log": "second", "f": 0.1, "nil": null}))]);
        rig.finish().await;
        let calls = aws.requests(Service::Kinesis);
        let body: Value = serde_json::from_slice(&calls[0].body).unwrap();
        let key = body["Records"][0]["PartitionKey"].as_str().unwrap();
        assert!(key.len() > 10 && key[10..].bytes().all(|byte| byte.is_ascii_digit()), "{key}");
        let expected = format!(
            r#"{{"StreamName":"ks-plain","Records":[{{"Data":"eyJsb2ciOiJzZWNvbmQiLCJmIjowLjEsIm5pbCI6bnVsbH0K","PartitionKey":"{key}"}}]}}"#
        );
        assert_eq!(String::from_utf8_lossy(&calls[0].body), expected);
        assert_eq!(calls[0].header("x-amz-target"), Some("Kinesis_20131202.PutRecords"));
        assert_eq!(calls[0].header("content-type"), Some("application/x-amz-json-1.1"));
        assert!(calls[0].header("authorization").unwrap().contains("/eu-central-1/kinesis/aws4_request"));
    }

    fn only_records_that_failed_are_sent_again() {
        let aws = aws();
        aws.faults().add(fault(FaultKind::Partial { fraction: 0.3, code: Default::default() }, When::Always));
        aws.faults().add(fault(FaultKind::Throttle, When::Probability(0.3)));
        for options in ["", "simple_aggregation on\n", "compression gzip\n", "partition_key log\n"] {
            aws.reset();
            let mut rig = rig(&aws, options);
            rig.push_numbered("app", 1_200);
            rig.finish().await;
            assert!(is_exactly_once(&aws, 1_200), "{options}");
            assert_eq!(rig.ledger.delivered(), 1_200);
        }
    }

    fn a_record_that_failed_inside_the_service_waits_for_the_next_attempt() {
        let aws = aws();
        let code = ikada_localaws::PartialCode::InternalFailure;
        aws.faults().add(fault(FaultKind::Partial { fraction: 0.01, code }, When::Nth(1)));
        let mut rig = rig(&aws, "");
        rig.push_numbered("app", 500);
        rig.finish().await;
        assert!(is_exactly_once(&aws, 500));
        assert_eq!((rig.retries.len(), rig.retries[0].0.code.as_deref()), (1, Some("InternalFailure")));
    }

    fn the_key_comes_from_the_record() {
        let aws = aws();
        let mut rig = rig(&aws, "partition_key k8s->pod\n");
        rig.push("app", &[
            (now_ms(), json!({"k8s": {"pod": "p\"1"}, "n": 1})),
            (now_ms(), json!({"k8s": {"pod": 5}})),
        ]);
        rig.finish().await;
        let keys = aws.kinesis().partition_keys("ks");
        assert_eq!(keys[0], "p\"1");
        assert!(keys[1].len() > 10, "{keys:?}");
        assert_eq!(lines(&aws)[0], "{\"k8s\":{\"pod\":\"p\\\"1\"},\"n\":1}\n");
    }

    fn calls_are_filled_to_the_limits_of_the_service() {
        let aws = aws();
        let mut rig = rig(&aws, "log_key log\n");
        let line = "x".repeat(999_999);
        rig.push("app", &(0..22).map(|_| (now_ms(), json!({"log": line}))).collect::<Vec<_>>());
        rig.finish().await;
        assert_eq!((lines(&aws).len(), rig.ledger.delivered()), (22, 22));
        assert_eq!(aws.report().operation(Service::Kinesis, "PutRecords").requests, 3);
    }

    fn a_record_that_is_too_long_is_cut_taken_apart_or_dropped() {
        let long = "日".repeat(800_000);
        for (policy, delivered) in [("truncate", 1), ("split", 1), ("drop", 0)] {
            let aws = aws();
            let mut rig = rig(&aws, &format!("log_key log\noversize {policy}\n"));
            rig.push("app", &[(now_ms(), json!({"log": long}))]);
            rig.finish().await;
            let got = lines(&aws);
            assert!(got.iter().all(|line| line.len() + 18 <= 1 << 20));
            match policy {
                "truncate" => assert!(got.len() == 1 && got[0].ends_with("日[Truncated...]\n")),
                "split" => {
                    assert!(got.len() == 3 && got[1].ends_with("日[Part 2/3]\n"), "{}", got.len());
                    let whole: String = got.iter().map(|line| line.split_once('[').unwrap().0).collect();
                    assert!(whole == long);
                }
                _ => assert_eq!((got.len(), rig.ledger.dropped(DropReason::Oversize)), (0, 1)),
            }
            assert_eq!(rig.ledger.delivered(), delivered);
        }
    }

    fn the_parts_of_a_record_are_sent_again_by_themselves() {
        let aws = aws();
        aws.faults().add(fault(FaultKind::Partial { fraction: 0.5, code: ikada_localaws::PartialCode::InternalFailure }, When::Probability(0.7)));
        let mut rig = rig(&aws, "log_key log\noversize split\ncompression zstd\n");
        // Noise, so that compression does not make it short enough.
        let mut state = 1u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            char::from(b' ' + (state % 90) as u8)
        };
        let noise: String = (0..14_000_000).map(|_| next()).collect();
        rig.push("app", &[(now_ms(), json!({"log": "before"})), (now_ms(), json!({"log": noise})), (now_ms(), json!({"log": "after"}))]);
        rig.finish().await;
        assert_eq!(rig.ledger.delivered(), 3);
        let records = aws.kinesis().records("ks");
        assert!(records.len() > 12, "{}", records.len());
        let plain = |record: &Vec<u8>| String::from_utf8(zstd::bulk::decompress(record, 1 << 21).unwrap()).unwrap();
        let mut plain: Vec<String> = records.iter().map(plain).collect();
        plain.sort();
        plain.dedup();
        assert_eq!(plain.len(), records.len(), "no part comes twice");
    }

    fn a_stream_that_is_missing_is_asked_for() {
        let aws = LocalAws::start(Config::default().strict()).unwrap();
        let mut rig = rig(&aws, "");
        rig.push_numbered("app", 1);
        let Outcome::Retry { after: Some(_), cause } = rig.attempt_once().await else { panic!() };
        assert!(cause.message.contains("create data stream `ks`"), "{cause}");
    }

    fn shards_that_have_had_enough_set_the_pace() {
        let aws = LocalAws::start(Config { kinesis_shards: Some(2), ..Config::default() }).unwrap();
        let mut rig = rig(&aws, "");
        rig.push_numbered("app", 6_000);
        rig.finish().await;
        assert!(is_exactly_once(&aws, 6_000));
        assert_eq!(rig.ledger.delivered(), 6_000);
    }

    fn whatever_comes_in_keeps_within_the_services_limits_and_ends_in_one_place() {
        use proptest::prelude::*;
        use proptest::strategy::ValueTree;
        use proptest::test_runner::{Config as Cases, TestRunner};

        let length = prop_oneof![8 => 0usize..400, 2 => 10_000usize..300_000, 1 => 900_000usize..2_500_000];
        let case = (proptest::collection::vec((length, 0usize..4), 1..60), 0usize..6, 0usize..3);
        let mut runner = TestRunner::new(Cases { failure_persistence: None, ..Cases::default() });
        for _ in 0..30 {
            let (entries, kind, oversize) = case.new_tree(&mut runner).unwrap().current();
            let aws = LocalAws::start(Config { capture: true, ..Config::default() }).unwrap();
            let (plugin, options) = [
                ("kinesis_streams", ""),
                ("kinesis_streams", "simple_aggregation on\npartition_key log\n"),
                ("kinesis_streams", "simple_aggregation on\ncompression snappy\n"),
                ("kinesis", "aggregation on\n"),
                ("kinesis", "aggregation on\npartition_key log->x\ncompression gzip\n"),
                ("kinesis", "append_newline on\npartition_key k\n"),
            ][kind];
            let oversize = ["truncate", "split", "drop"][oversize];
            let mut rig = Rig::new(&aws, plugin, &format!("stream ks\n{options}oversize {oversize}\n"));
            let fill = ["x", "\"\\", "日", "\u{1}\u{7f}é<"];
            for chunk in entries.chunks(17) {
                let text = |(len, kind): &(usize, usize)| fill[*kind].repeat(len / fill[*kind].len());
                let all: Vec<_> = chunk.iter().map(|entry| (now_ms(), json!({"k": "日".repeat(entry.0 % 300), "log": text(entry)}))).collect();
                rig.push("app", &all);
            }
            rig.finish().await;
            assert_eq!(rig.retries, []);
            let (delivered, dropped) = (rig.ledger.delivered(), rig.ledger.dropped(DropReason::Oversize));
            assert_eq!((delivered + dropped, rig.ledger.dropped_total()), (entries.len() as u64, dropped));
            assert!(oversize == "drop" || dropped == 0);
            let put = aws.report().operation(Service::Kinesis, "PutRecords");
            assert_eq!(put.requests, put.succeeded);
            for call in aws.requests(Service::Kinesis) {
                assert!(serde_json::from_slice::<Value>(&call.body).is_ok());
            }
        }
    }
}
