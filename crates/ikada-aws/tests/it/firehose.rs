//! `kinesis_firehose`.

use std::io::Read;

use ikada_localaws::{Config, CutPoint, Fault, FaultKind, LocalAws, PartialCode, Service, When};
use ikada_plugin::Outcome;
use ikada_record::DropReason;
use serde_json::json;

use crate::rig::{Rig, in_child, now_ms};

fn aws() -> LocalAws {
    LocalAws::start(Config::default()).unwrap()
}

fn rig(aws: &LocalAws, options: &str) -> Rig {
    Rig::new(aws, "kinesis_firehose", &format!("delivery_stream ds\n{options}"))
}

fn fault(kind: FaultKind, when: When) -> Fault {
    Fault::new(kind).on(Service::Firehose, "PutRecordBatch").when(when)
}

fn lines(aws: &LocalAws) -> Vec<String> {
    aws.firehose().records("ds").into_iter().map(|record| String::from_utf8(record).unwrap()).collect()
}

fn is_exactly_once(aws: &LocalAws, count: u64) -> bool {
    aws.report().sequence(Service::Firehose, "ds", "t").unwrap().is_exactly_once(count)
}

in_child! {
    fn the_captured_request_comes_out_the_same() {
        let aws = LocalAws::start(Config { capture: true, ..Config::default() }).unwrap();
        let mut rig = Rig::new(&aws, "kinesis_firehose", "delivery_stream ds-plain\n");
        rig.push("app", &[(1_700_000_000_000, json!({"log": "second", "f": 0.1, "nil": null}))]);
        rig.finish().await;
        let calls = aws.requests(Service::Firehose);
        assert_eq!(
            String::from_utf8_lossy(&calls[0].body),
            r#"{"DeliveryStreamName":"ds-plain","Records":[{"Data":"eyJsb2ciOiJzZWNvbmQiLCJmIjowLjEsIm5pbCI6bnVsbH0K"}]}"#
        );
        assert_eq!(calls[0].header("x-amz-target"), Some("Firehose_20150804.PutRecordBatch"));
        assert_eq!(calls[0].header("content-type"), Some("application/x-amz-json-1.1"));
        assert_eq!(calls[0].header("content-length"), Some(&*calls[0].body.len().to_string()));
    }

    fn one_record_that_fails_is_the_only_one_sent_twice() {
        let aws = aws();
        // Of 1,500 records in three calls, about one is refused.
        aws.faults().add(fault(FaultKind::Partial { fraction: 0.002, code: PartialCode::InternalFailure }, When::Nth(2)));
        let mut rig = rig(&aws, "");
        rig.push_numbered("app", 1_500);
        rig.finish().await;
        let put = aws.report().operation(Service::Firehose, "PutRecordBatch");
        let again = put.refused_records;
        assert!(again >= 1, "the seed refuses none: choose another");
        assert_eq!((put.requests, put.records), (4, 1_500));
        assert!(is_exactly_once(&aws, 1_500));
        assert_eq!((rig.retries.len(), rig.ledger.delivered()), (1, 1_500));
        assert_eq!(rig.retries[0].0.code.as_deref(), Some("InternalFailure"));
    }

    fn a_third_failing_over_and_over_loses_nothing_and_sends_nothing_twice() {
        let aws = aws();
        aws.faults().add(fault(FaultKind::Partial { fraction: 0.3, code: Default::default() }, When::Always));
        aws.faults().add(fault(FaultKind::Throttle, When::Probability(0.5)));
        for options in ["", "simple_aggregation on\n", "compression gzip\n", "compression zstd\nsimple_aggregation on\n"] {
            aws.reset();
            let mut rig = rig(&aws, options);
            rig.push_numbered("app", 1_500);
            rig.finish().await;
            assert!(is_exactly_once(&aws, 1_500), "{options}");
            assert_eq!(rig.ledger.delivered(), 1_500);
        }
    }

    fn under_a_log_key_text_is_raw_and_the_name_is_exact() {
        let aws = aws();
        let mut rig = rig(&aws, "log_key log\n");
        let now = now_ms();
        let values = [json!("hello \"日本\" \\"), json!("{\"a\":1}"), json!({"a": 1, "b": 2}), json!(12345), json!(true)];
        let all: Vec<_> = values.into_iter().map(|value| (now, json!({"lo": "no", "log": value}))).collect();
        rig.push("app", &all);
        rig.push("app", &[(now, json!({"lo": "no"})), (now, json!({"log": ""}))]);
        rig.finish().await;
        assert_eq!(
            lines(&aws),
            ["hello \"日本\" \\\n", "{\"a\":1}\n", "{\"a\":1,\"b\":2}\n", "12345\n", "true\n"]
        );
        assert_eq!((rig.ledger.delivered(), rig.ledger.dropped(DropReason::Empty)), (5, 2));
    }

    fn the_time_is_added_under_its_key() {
        let aws = aws();
        let mut rig = rig(&aws, "time_key time\ntime_key_format %Y-%m-%dT%H:%M:%S.%3NZ\n");
        rig.push("app", &[
            (1_700_000_000_123, json!({"a": 1})),
            (1_700_000_001_000, json!({"time": "own", "a": 2})),
        ]);
        rig.finish().await;
        assert_eq!(
            lines(&aws),
            ["{\"a\":1,\"time\":\"2023-11-14T22:13:20.123Z\"}\n", "{\"a\":2,\"time\":\"2023-11-14T22:13:21.000Z\"}\n"]
        );
    }

    fn lines_are_joined_up_to_the_length_of_a_record() {
        let aws = aws();
        let mut rig = rig(&aws, "simple_aggregation on\nlog_key log\n");
        let now = now_ms();
        let line = "x".repeat(9_999);
        let all: Vec<_> = (0..250).map(|_| (now, json!({"log": line}))).collect();
        all.chunks(40).for_each(|chunk| rig.push("app", chunk));
        rig.finish().await;
        let records = aws.firehose().records("ds");
        assert_eq!(records.iter().map(Vec::len).collect::<Vec<_>>(), [1_020_000, 1_020_000, 460_000]);
        assert_eq!(rig.ledger.delivered(), 250);
    }

    fn compressed_records_are_read_one_by_one() {
        let aws = aws();
        let mut rig = rig(&aws, "compression gzip\n");
        rig.push("app", &[(now_ms(), json!({"log": "a"})), (now_ms(), json!({"log": "b"}))]);
        rig.finish().await;
        let plain = |record: Vec<u8>| {
            let mut text = String::new();
            flate2::read::GzDecoder::new(&record[..]).read_to_string(&mut text).unwrap();
            text
        };
        let read: Vec<_> = aws.firehose().records("ds").into_iter().map(plain).collect();
        assert_eq!(read, ["{\"log\":\"a\"}\n", "{\"log\":\"b\"}\n"]);
    }

    fn a_record_beyond_the_limit_is_cut_and_a_japanese_one_is_not() {
        let aws = aws();
        let mut rig = rig(&aws, "");
        let japanese = "日".repeat(200_000);
        rig.push("app", &[(now_ms(), json!({"log": "x".repeat(1_100_000)})), (now_ms(), json!({"log": japanese}))]);
        rig.finish().await;
        let got = lines(&aws);
        assert!(got[0].ends_with("x[Truncated...]\n") && got[0].len() == 1_024_000, "{}", got[0].len());
        assert_eq!(got[1], format!("{{\"log\":\"{japanese}\"}}\n"));
    }

    fn whatever_fails_on_the_way_nothing_is_lost_and_nothing_sent_twice() {
        for kind in [
            FaultKind::InternalError,
            FaultKind::Unavailable,
            FaultKind::Throttle,
            FaultKind::ExpiredToken,
            FaultKind::Cut { at: CutPoint::BeforeBody },
            FaultKind::Cut { at: CutPoint::AfterBody },
        ] {
            let aws = aws();
            aws.faults().add(fault(kind.clone(), When::Probability(0.5)));
            let mut rig = rig(&aws, "");
            rig.push_numbered("app", 4_000);
            rig.finish().await;
            assert!(is_exactly_once(&aws, 4_000), "{kind:?}");
        }
    }

    fn a_stream_that_is_missing_is_asked_for() {
        let aws = LocalAws::start(Config::default().strict()).unwrap();
        let mut rig = rig(&aws, "");
        rig.push_numbered("app", 1);
        let Outcome::Retry { after: Some(_), cause } = rig.attempt_once().await else { panic!() };
        assert!(cause.message.contains("create delivery stream `ds`"), "{cause}");
    }

    fn whatever_comes_in_keeps_within_the_services_limits_and_ends_in_one_place() {
        use proptest::prelude::*;
        use proptest::strategy::ValueTree;
        use proptest::test_runner::{Config as Cases, TestRunner};

        let length = prop_oneof![8 => 0usize..400, 2 => 10_000usize..300_000, 1 => 900_000usize..1_300_000];
        let case = (proptest::collection::vec((length, 0usize..4), 1..80), any::<bool>(), 0usize..3);
        let mut runner = TestRunner::new(Cases { failure_persistence: None, ..Cases::default() });
        for _ in 0..24 {
            let (entries, aggregate, compression) = case.new_tree(&mut runner).unwrap().current();
            let aws = aws();
            let aggregate = if aggregate { "simple_aggregation on\n" } else { "" };
            let compression = ["", "compression gzip\n", "compression zstd\n"][compression];
            let mut rig = rig(&aws, &format!("{aggregate}{compression}"));
            let fill = ["x", "\"\\", "日", "\u{1}\u{7f}é"];
            for chunk in entries.chunks(17) {
                let text = |(len, kind): &(usize, usize)| fill[*kind].repeat(len / fill[*kind].len());
                let all: Vec<_> = chunk.iter().map(|entry| (now_ms(), json!({"log": text(entry)}))).collect();
                rig.push("app", &all);
            }
            rig.finish().await;
            assert_eq!(rig.retries, []);
            assert_eq!((rig.ledger.delivered(), rig.ledger.dropped_total()), (entries.len() as u64, 0));
            let put = aws.report().operation(Service::Firehose, "PutRecordBatch");
            assert_eq!(put.requests, put.succeeded);
        }
    }
}
