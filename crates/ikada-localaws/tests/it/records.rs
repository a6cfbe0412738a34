use base64_simd::STANDARD;
use ikada_localaws::{Config, Fault, FaultKind, PartialCode, Service};
use serde_json::{Value, json};

use crate::client::{Client, default, start};

fn batch(records: &[Vec<u8>]) -> String {
    let records: Vec<Value> =
        records.iter().map(|record| json!({ "Data": STANDARD.encode_to_string(record) })).collect();
    json!({ "DeliveryStreamName": "web", "Records": records }).to_string()
}

fn keyed(records: &[Vec<u8>]) -> String {
    let entry =
        |record: &Vec<u8>| json!({ "Data": STANDARD.encode_to_string(record), "PartitionKey": "key" });
    json!({ "StreamName": "web", "Records": records.iter().map(entry).collect::<Vec<_>>() }).to_string()
}

fn numbered(count: usize) -> Vec<Vec<u8>> {
    (0..count).map(|n| format!("{{\"log\":\"seq=a:{n}\"}}\n").into_bytes()).collect()
}

#[test]
fn records_arrive_decoded() {
    let (aws, mut client) = default();
    let answer = client.firehose("PutRecordBatch", &batch(&numbered(3))).json();
    assert_eq!(
        (answer["FailedPutCount"].as_u64(), answer["RequestResponses"].as_array().unwrap().len()),
        (Some(0), 3)
    );
    assert_eq!(aws.firehose().records("web"), numbered(3));
    let answer = client.kinesis("PutRecords", &keyed(&numbered(2))).json();
    assert_eq!(answer["FailedRecordCount"], 0);
    assert_eq!(answer["Records"][1]["ShardId"], "shardId-000000000000");
    assert_eq!(aws.kinesis().records("web"), numbered(2));
    assert_eq!(aws.kinesis().partition_keys("web"), ["key", "key"]);
    let single = json!({ "DeliveryStreamName": "one", "Record": { "Data": "YQ==" } }).to_string();
    assert_eq!(client.firehose("PutRecord", &single).status, 200);
    assert_eq!(aws.firehose().records("one"), [b"a"]);
}

#[test]
fn the_limits_of_a_firehose_call_hold_to_the_byte() {
    let aws = start(Config { keep: ikada_localaws::Keep::None, ..Config::default() });
    let mut client = Client::to(&aws);
    let mut code = |records: &[Vec<u8>]| client.firehose("PutRecordBatch", &batch(records)).error();
    assert_eq!(code(&vec![vec![b'x']; 500]), "");
    assert_eq!(code(&vec![vec![b'x']; 501]), "ValidationException");
    assert_eq!(code(&[]), "ValidationException");
    assert_eq!(code(&[vec![b'x'; 1_024_000]]), "");
    assert_eq!(code(&[vec![b'x'; 1_024_001]]), "ValidationException");
    let full =
        vec![vec![b'x'; 1_000_000], vec![b'x'; 1_000_000], vec![b'x'; 1_000_000], vec![b'x'; 1_000_000]];
    let rest = 4 * 1024 * 1024 - 4_000_000;
    assert_eq!(code(&[full.clone(), vec![vec![b'x'; rest]]].concat()), "");
    assert_eq!(code(&[full, vec![vec![b'x'; rest + 1]]].concat()), "InvalidArgumentException");
}

#[test]
fn the_limits_of_a_kinesis_call_hold_to_the_byte() {
    let aws = start(Config { keep: ikada_localaws::Keep::None, ..Config::default() });
    let mut client = Client::to(&aws);
    let mut code = |records: &[Vec<u8>]| client.kinesis("PutRecords", &keyed(records)).error();
    assert_eq!(code(&vec![vec![b'x']; 501]), "ValidationException");
    let most = 1024 * 1024 - "key".len();
    assert_eq!(code(&[vec![b'x'; most]]), "");
    assert_eq!(code(&[vec![b'x'; most + 1]]), "ValidationException");
    assert_eq!(code(&vec![vec![b'x'; most]; 10]), "");
    assert_eq!(code(&[vec![vec![b'x'; most]; 10], vec![vec![b'x']]].concat()), "InvalidArgumentException");
    let no_key = r#"{"StreamName":"web","Records":[{"Data":"YQ=="}]}"#;
    assert_eq!(client.kinesis("PutRecords", no_key).error(), "ValidationException");
}

#[test]
fn data_that_is_not_base64_is_a_serialization_error() {
    let (_aws, mut client) = default();
    let body = r#"{"DeliveryStreamName":"web","Records":[{"Data":"not base64!"}]}"#;
    assert_eq!(client.firehose("PutRecordBatch", body).error(), "SerializationException");
}

#[test]
fn a_strict_server_knows_only_the_streams_that_were_made() {
    let aws = start(Config::default().strict());
    let mut client = Client::to(&aws);
    assert_eq!(client.firehose("PutRecordBatch", &batch(&numbered(1))).error(), "ResourceNotFoundException");
    assert_eq!(client.kinesis("PutRecords", &keyed(&numbered(1))).error(), "ResourceNotFoundException");
    aws.firehose().create_delivery_stream("web");
    aws.kinesis().create_stream("web");
    assert_eq!(client.firehose("PutRecordBatch", &batch(&numbered(1))).status, 200);
    assert_eq!(client.kinesis("PutRecords", &keyed(&numbered(1))).status, 200);
}

#[test]
fn a_partial_failure_refuses_records_one_by_one_and_sent_again_they_arrive_once() {
    let (aws, mut client) = default();
    for (service, operation) in [(Service::Firehose, "PutRecordBatch"), (Service::Kinesis, "PutRecords")] {
        let partial = FaultKind::Partial { fraction: 0.3, code: PartialCode::Throttled };
        aws.faults().add(Fault::new(partial).on(service, operation));
    }
    let mut left = numbered(500);
    let mut calls = 0;
    while !left.is_empty() {
        let answer = client.firehose("PutRecordBatch", &batch(&left)).json();
        let failed = |entry: &Value| entry["ErrorCode"] == "ServiceUnavailableException";
        let entries = answer["RequestResponses"].as_array().unwrap();
        left = left
            .into_iter()
            .zip(entries)
            .filter(|(_, entry)| failed(entry))
            .map(|(record, _)| record)
            .collect();
        assert_eq!(answer["FailedPutCount"], left.len());
        calls += 1;
        assert!(calls < 50);
    }
    assert!(calls > 2);
    let report = aws.report();
    let numbers = report.sequence(Service::Firehose, "web", "a").unwrap();
    assert!(numbers.is_exactly_once(500) && numbers.out_of_order > 0, "{numbers:?}");
    let answer = client.kinesis("PutRecords", &keyed(&numbered(100))).json();
    let failed = answer["FailedRecordCount"].as_u64().unwrap();
    assert!((15..=45).contains(&failed), "{failed}");
    assert_eq!(aws.kinesis().records("web").len() as u64, 100 - failed);
}

#[test]
fn shards_hold_kinesis_to_their_rate() {
    let aws = start(Config { kinesis_shards: Some(1), ..Config::default() });
    let mut client = Client::to(&aws);
    // 10 MB at once, where a shard takes 1 MiB in a second.
    let answer = client.kinesis("PutRecords", &keyed(&vec![vec![b'x'; 100_000]; 100])).json();
    let failed = answer["FailedRecordCount"].as_u64().unwrap();
    assert!((50..=90).contains(&failed), "{failed}");
    assert_eq!(answer["Records"][99]["ErrorCode"], "ProvisionedThroughputExceededException");
    assert_eq!(aws.report().records(Service::Kinesis), 100 - failed);
}

#[test]
fn marks_are_found_in_compressed_records() {
    let (aws, mut client) = default();
    let aggregate = zstd::encode_all(&numbered(10).concat()[..], 1).unwrap();
    client.firehose("PutRecordBatch", &batch(&[aggregate]));
    assert!(aws.report().client(Service::Firehose, "a").unwrap().is_exactly_once(10));
}
