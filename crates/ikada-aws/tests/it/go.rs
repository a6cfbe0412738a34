//! The names of the plugins written in Go: `firehose`, `kinesis`, `cloudwatch`.

use std::collections::BTreeMap;

use ikada_localaws::{Config, LocalAws, Service};
use ikada_record::DropReason;
use serde_json::json;

use crate::rig::{Rig, in_child, is_child, now_ms, run_in_child};

fn aws() -> LocalAws {
    LocalAws::start(Config::default()).unwrap()
}

fn text(records: Vec<Vec<u8>>) -> Vec<String> {
    records.into_iter().map(|record| String::from_utf8(record).unwrap()).collect()
}

in_child! {
    fn firehose_sends_sorted_keys_escaped_for_html_and_a_newline() {
        let aws = aws();
        let mut rig = Rig::new(&aws, "firehose", "delivery_stream ds\nregion eu-central-1\n");
        rig.push("app", &[
            (now_ms(), json!({"log": "<日本> & \"é\"", "f": 1.0, "a": {"z": 1e21, "b": [1, null]}})),
            (now_ms(), json!({})),
        ]);
        rig.finish().await;
        assert_eq!(text(aws.firehose().records("ds")), [
            "{\"a\":{\"b\":[1,null],\"z\":1e+21},\"f\":1,\"log\":\"\\u003c日本\\u003e \\u0026 \\\"é\\\"\"}\n",
            "{}\n",
        ]);
    }

    fn firehose_keeps_data_keys_and_the_time() {
        let aws = aws();
        let options = "delivery_stream ds\ndata_keys log, k.s\nreplace_dots _\ntime_key at\ntime_key_format %s.%L\n";
        let mut rig = Rig::new(&aws, "firehose", options);
        rig.push("app", &[(1_700_000_000_123, json!({"log": "x", "k.s": {"a.b": 1}, "other": 2}))]);
        rig.finish().await;
        assert_eq!(
            text(aws.firehose().records("ds")),
            ["{\"at\":\"1700000000.123\",\"k_s\":{\"a_b\":1},\"log\":\"x\"}\n"]
        );
    }

    fn firehose_sends_the_value_of_log_key() {
        let aws = aws();
        let mut rig = Rig::new(&aws, "firehose", "delivery_stream ds\nlog_key log\n");
        let values = [json!("hello \"日本\" \\"), json!("{\"a\":1}"), json!({"b": 1, "a": 2}), json!(12345), json!(true), json!("")];
        rig.push("app", &values.map(|value| (now_ms(), json!({"lo": "no", "log": value}))));
        rig.push("app", &[(now_ms(), json!({"lo": "no"}))]);
        rig.finish().await;
        assert_eq!(
            text(aws.firehose().records("ds")),
            ["hello \"日本\" \\\n", "{\"a\":1}\n", "{\"a\":2,\"b\":1}\n", "12345\n", "true\n", "\n"]
        );
        assert_eq!(rig.ledger.dropped(DropReason::Empty), 1);
    }

    fn kinesis_ends_records_with_a_newline_only_when_told() {
        for (option, end) in [("", ""), ("append_newline true\n", "\n")] {
            let aws = aws();
            let mut rig = Rig::new(&aws, "kinesis", &format!("stream ks\npartition_key id\n{option}"));
            rig.push("app", &[(now_ms(), json!({"id": "7", "b": 1, "a": "&"})), (now_ms(), json!({"x": 1}))]);
            rig.finish().await;
            assert_eq!(
                text(aws.kinesis().records("ks")),
                [format!("{{\"a\":\"\\u0026\",\"b\":1,\"id\":\"7\"}}{end}"), format!("{{\"x\":1}}{end}")]
            );
            let keys = aws.kinesis().partition_keys("ks");
            assert_eq!((keys[0].as_str(), keys[1].len()), ("7", 8));
        }
    }

    fn kinesis_compresses_each_record() {
        use std::io::Read;
        let aws = aws();
        let mut rig = Rig::new(&aws, "kinesis", "stream ks\ncompression zlib\n");
        rig.push("app", &[(now_ms(), json!({"a": "b"}))]);
        rig.finish().await;
        let mut plain = String::new();
        flate2::read::ZlibDecoder::new(&aws.kinesis().records("ks")[0][..]).read_to_string(&mut plain).unwrap();
        assert_eq!(plain, "{\"a\":\"b\"}");
    }

    fn kinesis_joins_records_as_the_producer_library_does() {
        let aws = aws();
        let mut rig = Rig::new(&aws, "kinesis", "stream ks\naggregation true\npartition_key k\n");
        let long = "x".repeat(30_000);
        let entries: Vec<_> = (0..4_000).map(|n| (now_ms(), json!({"k": format!("key{}", n % 3), "n": n, "t": "y".repeat(500)}))).collect();
        entries.chunks(900).for_each(|chunk| rig.push("app", chunk));
        rig.push("app", &[(now_ms(), json!({"k": "alone", "long": long}))]);
        rig.finish().await;
        let mut all: BTreeMap<String, Vec<i64>> = BTreeMap::new();
        let records = aws.kinesis().records("ks");
        let keys = aws.kinesis().partition_keys("ks");
        assert!(records.len() < 6, "{}", records.len());
        for (record, key) in records.iter().zip(&keys) {
            assert!(record.len() + key.len() <= 1 << 20);
            if key == "alone" {
                assert_eq!(record.len(), 30_000 + r#"{"k":"alone","long":""}"#.len());
                continue;
            }
            let taken = taken_apart(record);
            assert_eq!(taken[0].0, *key, "the whole goes under its first key");
            for (key, data) in taken {
                let data: serde_json::Value = serde_json::from_slice(&data).unwrap();
                assert_eq!(data["k"], key);
                all.entry(key).or_default().push(data["n"].as_i64().unwrap());
            }
        }
        let in_order = |numbers: &Vec<i64>| numbers.is_sorted();
        assert!(all.values().all(in_order) && all.values().map(Vec::len).sum::<usize>() == 4_000);
        assert_eq!(rig.ledger.delivered(), 4_001);
    }

    fn kinesis_joined_records_are_settled_entry_by_entry() {
        use ikada_localaws::{Fault, FaultKind, PartialCode, When};
        let aws = aws();
        let partial = FaultKind::Partial { fraction: 0.4, code: PartialCode::InternalFailure };
        aws.faults().add(Fault::new(partial).on(Service::Kinesis, "PutRecords").when(When::Always));
        let mut rig = Rig::new(&aws, "kinesis", "stream ks\naggregation true\n");
        let entries: Vec<_> = (0..3_000).map(|n| (now_ms(), json!({"n": n, "t": "y".repeat(3_000)}))).collect();
        entries.chunks(300).for_each(|chunk| rig.push("app", chunk));
        rig.finish().await;
        let mut numbers: Vec<i64> = aws.kinesis().records("ks").iter().flat_map(|record| taken_apart(record)).map(|(_, data)| {
            serde_json::from_slice::<serde_json::Value>(&data).unwrap()["n"].as_i64().unwrap()
        }).collect();
        numbers.sort_unstable();
        assert!(numbers == (0..3_000).collect::<Vec<_>>());
        assert_eq!(rig.ledger.delivered(), 3_000);
    }
}

in_child! {
    fn cloudwatch_sends_sorted_keys_and_readable_text() {
        let aws = LocalAws::start(Config { capture: true, check_event_age: false, ..Config::default() }).unwrap();
        aws.cloudwatch().create_log_stream("grp", "pre-app");
        let mut rig = Rig::new(&aws, "cloudwatch", "log_group_name grp\nlog_stream_prefix pre-\n");
        rig.push("app", &[(1_700_000_000_123, json!({"log": "hello <日本>", "a": 1.0})), (1_700_000_001_123, json!({}))]);
        rig.finish().await;
        assert_eq!(
            String::from_utf8_lossy(&aws.requests(Service::Logs)[0].body),
            r#"{"logGroupName":"grp","logStreamName":"pre-app","logEvents":[{"timestamp":1700000000123,"message":"{\"a\":1,\"log\":\"hello \\u003c日本\\u003e\"}"},{"timestamp":1700000001123,"message":"{}"}]}"#
        );
    }

    fn cloudwatch_trims_what_stands_under_log_key() {
        let aws = LocalAws::start(Config::default()).unwrap();
        aws.cloudwatch().create_log_stream("g", "s");
        let mut rig = Rig::new(&aws, "cloudwatch", "log_group_name g\nlog_stream_name s\nlog_key log\n");
        let now = now_ms();
        rig.push("app", &[
            (now, json!({"log": "  line \n"})),
            (now, json!({"log": {"b": 1, "a": 2}})),
            (now, json!({"log": 12345})),
            (now, json!({"log": " \t\n"})),
            (now, json!({"lo": "x"})),
        ]);
        rig.finish().await;
        let got: Vec<_> = aws.cloudwatch().events("g", "s").into_iter().map(|(_, message)| message).collect();
        assert_eq!(got, ["line", "{\"a\":2,\"b\":1}", "12345"]);
        assert_eq!(rig.ledger.dropped(DropReason::Empty), 2);
    }

    fn cloudwatch_fills_names_in_and_falls_back_where_a_key_is_missing() {
        let aws = LocalAws::start(Config::default()).unwrap();
        let options = "log_group_name /ecs/$(tag[0])\nlog_stream_name $(k8s['pod']).log\nauto_create_group true\n\
            default_log_stream_name lost\nnew_log_group_tags team=a, stage = b\nlog_retention_days 7\n";
        let mut rig = Rig::new(&aws, "cloudwatch", options);
        rig.push("app.x", &[(now_ms(), json!({"k8s": {"pod": "p:1"}, "log": 1})), (now_ms(), json!({"log": 2}))]);
        rig.finish().await;
        assert_eq!(aws.cloudwatch().events("/ecs/app", "p.1.log").len(), 1);
        assert_eq!(aws.cloudwatch().events("/ecs/app", "lost")[0].1, r#"{"log":2}"#);
        assert_eq!(aws.cloudwatch().groups()["/ecs/app"].retention_days, Some(7));
        assert_eq!(rig.retries, []);
    }

    fn cloudwatch_sets_the_retention_of_a_group_that_is_there() {
        let aws = LocalAws::start(Config::default()).unwrap();
        aws.cloudwatch().create_log_stream("g", "s");
        let options = "log_group_name g\nlog_stream_name s\nauto_create_group true\nlog_retention_days 14\n";
        let mut rig = Rig::new(&aws, "cloudwatch", options);
        for _ in 0..3 {
            rig.push("app", &[(now_ms(), json!({"log": 1}))]);
            rig.finish().await;
        }
        assert_eq!(aws.cloudwatch().groups()["g"].retention_days, Some(14));
        assert_eq!(aws.report().operation(Service::Logs, "PutRetentionPolicy").requests, 1);
    }

    fn cloudwatch_makes_no_stream_when_told_not_to() {
        let aws = LocalAws::start(Config::default()).unwrap();
        aws.cloudwatch().create_log_group("g");
        let mut rig = Rig::new(&aws, "cloudwatch", "log_group_name g\nlog_stream_name s\nauto_create_stream false\n");
        rig.push("app", &[(now_ms(), json!({"log": 1}))]);
        let ikada_plugin::Outcome::Retry { cause, after: Some(_) } = rig.attempt_once().await else { panic!() };
        assert!(cause.message.contains("create log stream `s`"), "{cause}");
        assert_eq!(aws.report().operation(Service::Logs, "CreateLogStream").requests, 0);
    }
}

#[test]
fn cloudwatch_asks_ecs_for_task_and_cluster() {
    let aws = LocalAws::start(Config::default()).unwrap();
    let url = aws.http_url();
    let metadata = format!("{url}/v4/abc");
    run_in_child(
        concat!(module_path!(), "::cloudwatch_asks_ecs_for_task_and_cluster"),
        &[("ECS_CONTAINER_METADATA_URI_V4", &metadata), ("IKADA_TEST_ENDPOINT", &url)],
        async {
            let options = "log_group_name /ecs/$(ecs_cluster)\nlog_stream_name $(tag)/$(ecs_task_id)\nauto_create_group true\n";
            let mut rig = Rig::at(&std::env::var("IKADA_TEST_ENDPOINT").unwrap(), "cloudwatch", options);
            for n in 0..2 {
                rig.push("app", &[(now_ms(), json!({"n": n}))]);
                rig.finish().await;
            }
            assert_eq!(rig.retries, []);
        },
    );
    if !is_child() {
        let stream = "app/0123456789abcdef0123456789abcdef";
        assert_eq!(aws.cloudwatch().events("/ecs/local", stream).len(), 2);
    }
}

#[test]
fn cloudwatch_takes_credentials_from_its_own_endpoint() {
    let aws = LocalAws::start(Config { capture: true, ..Config::default() }).unwrap();
    aws.cloudwatch().create_log_stream("g", "s");
    let url = aws.http_url();
    run_in_child(
        concat!(module_path!(), "::cloudwatch_takes_credentials_from_its_own_endpoint"),
        &[("IKADA_TEST_ENDPOINT", &url)],
        async {
            let url = std::env::var("IKADA_TEST_ENDPOINT").unwrap();
            let options = format!("log_group_name g\nlog_stream_name s\ncredentials_endpoint {url}/creds\n");
            let mut rig = Rig::at(&url, "cloudwatch", &options);
            rig.push("app", &[(now_ms(), json!({"n": 1}))]);
            rig.finish().await;
            assert_eq!(rig.retries, []);
        },
    );
    if !is_child() {
        let calls = aws.requests(Service::Logs);
        assert!(calls[0].header("authorization").unwrap().contains("Credential=ASIALOCAL"));
    }
}

/// What a consumer reads of a joined record: keys and data.
fn taken_apart(record: &[u8]) -> Vec<(String, Vec<u8>)> {
    let body = record.strip_prefix(b"\xf3\x89\x9a\xc2").unwrap();
    let (mut body, digest) = body.split_at(body.len() - 16);
    assert_eq!(md5::Md5::digest_of(body), digest);
    let (mut table, mut records) = (Vec::new(), Vec::new());
    while !body.is_empty() {
        let (number, field) = field(&mut body);
        match number {
            1 => table.push(String::from_utf8(field.to_vec()).unwrap()),
            3 => {
                let mut inner = field;
                assert_eq!(inner[0], 1 << 3);
                inner = &inner[1..];
                let index = varint(&mut inner);
                let (number, data) = self::field(&mut inner);
                assert_eq!((number, inner.len()), (3, 0));
                records.push((table[index].clone(), data.to_vec()));
            }
            _ => panic!("field {number}"),
        }
    }
    records
}

trait DigestOf {
    fn digest_of(data: &[u8]) -> Vec<u8>;
}

impl DigestOf for md5::Md5 {
    fn digest_of(data: &[u8]) -> Vec<u8> {
        use md5::Digest;
        md5::Md5::digest(data).to_vec()
    }
}

fn field<'a>(from: &mut &'a [u8]) -> (u8, &'a [u8]) {
    let number = from[0] >> 3;
    *from = &from[1..];
    let len = varint(from);
    let (field, rest) = from.split_at(len);
    *from = rest;
    (number, field)
}

fn varint(from: &mut &[u8]) -> usize {
    let (mut number, mut shift) = (0, 0);
    loop {
        let byte = from[0];
        *from = &from[1..];
        number |= usize::from(byte & 0x7f) << shift;
        shift += 7;
        if byte < 0x80 {
            return number;
        }
    }
}
