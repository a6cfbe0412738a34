//! The AWS outputs against moto: what was written is read back with AWS's own library for Python.
#![allow(clippy::unwrap_used, missing_docs)]

use std::time::{SystemTime, UNIX_EPOCH};

use ikada_forward::client::{FrameOption, encode_message};
use ikada_record::Timestamp;
use ikada_tests::moto::{Moto, REGION};
use ikada_tests::{Router, Writer, firelens_config};
use serde_json::{Value, json};

const TAG: &str = "app-firelens-0123456789abcdef";
const OTHER_TAG: &str = "app-firelens-fedcba9876543210";

/// Records of the runs with small records: more than one Firehose request (500) takes.
const MANY: usize = 4000;

/// One written record.
struct Written {
    time: Timestamp,
    record: Value,
}

/// `count` records a millisecond and a bit apart, a minute ago, each with a number, text that JSON must escape, and one value of every
/// kind.
fn records(count: usize) -> Vec<Written> {
    let start = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64 - 60;
    let record = |number: usize| {
        let micros = number as i64 * 1_001;
        Written {
            time: Timestamp::new(start + micros / 1_000_000, (micros % 1_000_000) as u32 * 1_000 + 717),
            record: json!({
                "container_id": "8b1f3f5f8a1b4b6e8c5d0e3a9f7c2d4e6b8a1c3e5f7092b4d6f8a0c2e4f60718",
                "container_name": "/ecs-web-1-app",
                "source": if number.is_multiple_of(3) { "stderr" } else { "stdout" },
                "log": format!("number {number} \"quoted\" C:\\tmp\t佐藤 🛶 \u{1b}[31m\u{7f}\u{2028}</script>"),
                "number": number,
                "negative": -1 - number as i64,
                "float": number as f64 / 8.0,
                "is_even": number.is_multiple_of(2),
                "nothing": null,
                "list": [1, "two", [3.5]],
                "map": { "with.dot": { "deep": number }, "日本": "語" },
            }),
        }
    };
    (0..count).map(record).collect()
}

/// What the record is when it leaves the router: the agent's metadata filter has added to it.
fn expected(written: &Written) -> Value {
    let mut record = written.record.clone();
    record["ecs_cluster"] = json!("test");
    record["ecs_task_arn"] = json!("arn:aws:ecs:ap-northeast-1:123456789012:task/test/0123");
    record["ecs_task_definition"] = json!("web:1");
    record
}

/// Writes records as a log driver does, one message each.
fn write(router: &Router, tag: &str, records: &[Written]) {
    let mut writer = Writer::connect(&router.socket(), tag, "moto");
    let mut frames = Vec::new();
    for written in records {
        let record = rmp_serde::to_vec(&written.record).unwrap();
        encode_message(&mut frames, tag.as_bytes(), written.time, &record, &FrameOption::default());
        if frames.len() > 60_000 {
            writer.write_raw(&frames).unwrap();
            frames.clear();
        }
    }
    writer.write_raw(&frames).unwrap();
}

/// Stops the router, which has to deliver what it holds and to say so.
fn stop(router: &mut Router, count: usize) {
    let status = router.stop();
    assert_eq!(status.code(), Some(0), "{}", router.log());
    router.wait_for_log(&format!("sent={count}, unsent=0, dropped=0"));
}

/// Fails with the first record that is lost, doubled, out of order or changed.
fn assert_same(read: &[Value], wanted: &[Value]) {
    for (at, (read, wanted)) in read.iter().zip(wanted).enumerate() {
        assert_eq!(read, wanted, "record {at}");
    }
    assert_eq!(read.len(), wanted.len());
}

/// The values of lines that each hold one.
fn values(text: &str) -> Vec<Value> {
    assert!(text.ends_with('\n'), "the last record ends with a newline too");
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A written time as strftime's `%Y-%m-%dT%H:%M:%S`, asked of Python, whose calendar is not ours.
fn dates(moto: &Moto, written: &[Written]) -> Vec<String> {
    let seconds: Vec<i64> = written.iter().map(|written| written.time.secs()).collect();
    let answer = moto.ask(&format!(
        "import datetime\nanswer([datetime.datetime.fromtimestamp(s, datetime.timezone.utc)\
         .strftime('%Y-%m-%dT%H:%M:%S') for s in {seconds:?}])"
    ));
    answer.as_array().unwrap().iter().map(|date| date.as_str().unwrap().to_owned()).collect()
}

#[test]
fn cloudwatch_logs_holds_every_record_once_in_order_with_its_time() {
    let Some(moto) = Moto::start() else { return };
    let mut router = Router::start(&firelens_config(&format!(
        "    Name cloudwatch_logs\n    auto_create_group true\n    endpoint {}\n    log_group_name /ecs/web\n    \
         log_retention_days 7\n    log_stream_prefix ecs-\n    region {REGION}\n",
        moto.url()
    )));
    let (written, other) = (records(MANY), records(100));
    write(&router, TAG, &written);
    write(&router, OTHER_TAG, &other);
    stop(&mut router, MANY + other.len());

    let groups = moto.ask("answer(client('logs').describe_log_groups()['logGroups'])");
    assert_eq!(groups[0]["logGroupName"], "/ecs/web");
    assert_eq!(groups[0]["retentionInDays"], 7);
    assert_eq!(groups.as_array().unwrap().len(), 1);
    let streams = moto.ask(
        "streams = client('logs').describe_log_streams(logGroupName='/ecs/web')['logStreams']\n\
         answer(sorted(s['logStreamName'] for s in streams))",
    );
    assert_eq!(streams, json!([format!("ecs-{TAG}"), format!("ecs-{OTHER_TAG}")]));
    for (tag, written) in [(TAG, written), (OTHER_TAG, other)] {
        let wanted: Vec<Value> =
            written.iter().map(|written| json!([written.time.millis(), expected(written)])).collect();
        assert_same(&events(&moto, &format!("ecs-{tag}")), &wanted);
    }
}

/// The events of a stream, each a time and the record that its message is.
fn events(moto: &Moto, stream: &str) -> Vec<Value> {
    let events = moto.ask(&format!(
        "logs, token, found = client('logs'), None, []\n\
         while True:\n    \
             more = {{'nextToken': token}} if token else {{}}\n    \
             page = logs.get_log_events(logGroupName='/ecs/web', logStreamName='{stream}', startFromHead=True, **more)\n    \
             found += [[e['timestamp'], e['message']] for e in page['events']]\n    \
             if page['nextForwardToken'] == token or not page['events']: break\n    \
             token = page['nextForwardToken']\n\
         answer(found)"
    ));
    let event = |event: &Value| {
        let record: Value = serde_json::from_str(event[1].as_str().unwrap()).unwrap();
        json!([event[0], record])
    };
    events.as_array().unwrap().iter().map(event).collect()
}

/// Makes a bucket.
fn make_bucket(moto: &Moto) {
    moto.ask(&format!(
        "client('s3').create_bucket(Bucket='logs', CreateBucketConfiguration={{'LocationConstraint': '{REGION}'}})"
    ));
}

/// The bucket's objects by name: name, text (decompressed if `Content-Encoding` says so), and what is said about them.
fn objects(moto: &Moto) -> Vec<Value> {
    let found = moto.ask(
        "import gzip\n\
         s3, found = client('s3'), []\n\
         for page in s3.get_paginator('list_objects_v2').paginate(Bucket='logs'):\n    \
             for entry in page.get('Contents', []):\n        \
                 object = s3.get_object(Bucket='logs', Key=entry['Key'])\n        \
                 body, encoding = object['Body'].read(), object.get('ContentEncoding')\n        \
                 text = gzip.decompress(body) if body[:2] == b'\\x1f\\x8b' else body\n        \
                 found.append({'key': entry['Key'], 'text': text.decode(), 'size': len(body), 'encoding': encoding,\n            \
                     'type': object['ContentType'], 'etag': object['ETag'].strip('\"'), 'class': object.get('StorageClass')})\n\
         answer(found)",
    );
    found.as_array().unwrap().clone()
}

#[test]
fn firehose_takes_every_record_once_and_in_order_within_a_batch() {
    let Some(moto) = Moto::start() else { return };
    make_bucket(&moto);
    moto.ask(
        "client('firehose').create_delivery_stream(DeliveryStreamName='app', ExtendedS3DestinationConfiguration={\n    \
             'RoleARN': 'arn:aws:iam::123456789012:role/firehose', 'BucketARN': 'arn:aws:s3:::logs', 'Prefix': 'web/'})",
    );
    let mut router = Router::start(&firelens_config(&format!(
        "    Name kinesis_firehose\n    delivery_stream app\n    endpoint {}\n    region {REGION}\n    time_key time\n    \
         time_key_format %Y-%m-%dT%H:%M:%S\n",
        moto.url()
    )));
    let written = records(MANY);
    write(&router, TAG, &written);
    stop(&mut router, MANY);

    let objects = objects(&moto);
    assert!(objects.len() >= MANY / 500, "a batch takes 500 records at most: {}", objects.len());
    assert!(objects.iter().all(|object| object["key"].as_str().unwrap().starts_with("web/")));
    let number = |record: &Value| record["number"].as_u64().unwrap();
    let mut batches: Vec<Vec<Value>> =
        objects.iter().map(|object| values(object["text"].as_str().unwrap())).collect();
    assert!(batches.iter().all(|batch| batch.len() <= 500 && batch.iter().map(number).is_sorted()));
    batches.sort_by_key(|batch| number(&batch[0]));
    let wanted: Vec<Value> = written
        .iter()
        .zip(dates(&moto, &written))
        .map(|(written, date)| {
            let mut record = expected(written);
            record["time"] = json!(date);
            record
        })
        .collect();
    assert_same(&batches.concat(), &wanted);
}

#[test]
fn kinesis_holds_every_record_once_under_its_own_key() {
    let Some(moto) = Moto::start() else { return };
    moto.ask("client('kinesis').create_stream(StreamName='app', ShardCount=3)");
    let mut router = Router::start(&firelens_config(&format!(
        "    Name kinesis_streams\n    stream app\n    endpoint {}\n    region {REGION}\n    time_key time\n    \
         time_key_format %Y-%m-%dT%H:%M:%S\n    partition_key source\n",
        moto.url()
    )));
    // One call: of calls that come at once moto forgets records. Its `put_record` says that it is not safe for concurrency: two threads draw one
    // sequence number, and the second record takes the first one's place. Eight calls of 500 records made at once by boto3 alone lost 3 to 47 of
    // 4,000 in twelve rounds of twelve, while every call said that all were taken. Against the local AWS calls do come at once,
    // and nothing is lost (`conformance`).
    let written = records(500);
    write(&router, TAG, &written);
    stop(&mut router, written.len());

    let mut read = stored(&moto);
    assert!(read.iter().all(|(key, record)| *key == record["source"]), "the key is the field's text");
    let number = |record: &Value| record["number"].as_u64().unwrap();
    read.sort_by_key(|(_, record)| number(record));
    let read: Vec<Value> = read.into_iter().map(|(_, record)| record).collect();
    let wanted: Vec<Value> = written
        .iter()
        .zip(dates(&moto, &written))
        .map(|(written, date)| {
            let mut record = expected(written);
            record["time"] = json!(date);
            record
        })
        .collect();
    assert_same(&read, &wanted);
}

/// The records of all shards, each with its key.
fn stored(moto: &Moto) -> Vec<(Value, Value)> {
    let stored = moto.ask(
        "kinesis, found = client('kinesis'), []\n\
         for shard in kinesis.list_shards(StreamName='app')['Shards']:\n    \
             at = kinesis.get_shard_iterator(StreamName='app', ShardId=shard['ShardId'], ShardIteratorType='TRIM_HORIZON')['ShardIterator']\n    \
             while at:\n        \
                 page = kinesis.get_records(ShardIterator=at, Limit=10000)\n        \
                 found += [[r['PartitionKey'], r['Data'].decode()] for r in page['Records']]\n        \
                 at = page['NextShardIterator'] if page['Records'] else None\n\
         answer(found)",
    );
    let pair = |pair: &Value| (pair[0].clone(), serde_json::from_str(pair[1].as_str().unwrap()).unwrap());
    stored.as_array().unwrap().iter().map(pair).collect()
}

/// What the lines of an object are: `date` in microseconds, and the record.
fn dated(moto: &Moto, written: &[Written]) -> Vec<Value> {
    let line = |(written, date): (&Written, String)| {
        let mut record = expected(written);
        record["date"] = json!(format!("{date}.{:06}Z", written.time.nanos() / 1_000));
        record
    };
    written.iter().zip(dates(moto, written)).map(line).collect()
}

#[test]
fn s3_holds_a_small_object_for_each_tag_uploaded_whole() {
    let Some(moto) = Moto::start() else { return };
    make_bucket(&moto);
    let mut router = Router::start(&firelens_config(&format!(
        "    Name s3\n    bucket logs\n    compression gzip\n    content_type application/x-ndjson\n    endpoint {}\n    \
         region {REGION}\n    s3_key_format /web/$TAG[2]/%Y/%m/%d/%H%M%S-$UUID.gz\n    \
         s3_key_format_tag_delimiters -\n    storage_class STANDARD_IA\n    total_file_size 5M\n    upload_timeout 10m\n    use_put_object on\n",
        moto.url()
    )));
    let (written, other) = (records(MANY), records(100));
    write(&router, TAG, &written);
    write(&router, OTHER_TAG, &other);
    stop(&mut router, MANY + other.len());

    let objects = objects(&moto);
    assert_eq!(objects.len(), 2);
    for (object, (part, written)) in
        objects.iter().zip([("0123456789abcdef", written), ("fedcba9876543210", other)])
    {
        let date: String = dates(&moto, &written[..1])[0].replace(['-', 'T'], "/").replace(':', "");
        let key = object["key"].as_str().unwrap();
        let uuid = key.strip_prefix(&format!("web/{part}/{date}-")).and_then(|rest| rest.strip_suffix(".gz"));
        assert!(uuid.is_some_and(|uuid| uuid.len() == 8), "{key}");
        assert_eq!(object["encoding"], "gzip", "`content_type` is that of the text");
        assert_eq!(object["type"], "application/x-ndjson");
        assert_eq!(object["class"], "STANDARD_IA");
        assert!(!object["etag"].as_str().unwrap().contains('-'), "it was uploaded whole");
        assert_same(&values(object["text"].as_str().unwrap()), &dated(&moto, &written));
    }
}

#[test]
fn s3_holds_a_large_object_uploaded_in_parts_as_one_gzip_stream() {
    const COUNT: usize = 4000;
    let Some(moto) = Moto::start() else { return };
    make_bucket(&moto);
    let mut router = Router::start(&firelens_config(&format!(
        "    Name s3\n    bucket logs\n    compression gzip\n    endpoint {}\n    region {REGION}\n    \
         s3_key_format /large/$TAG.gz\n    static_file_path on\n    total_file_size 50M\n    upload_timeout 10m\n",
        moto.url()
    )));
    let mut written = records(COUNT);
    let mut noise = Noise(1);
    written.iter_mut().for_each(|written| written.record["noise"] = json!(noise.text(3_600)));
    write(&router, TAG, &written);
    stop(&mut router, COUNT);

    let objects = objects(&moto);
    assert_eq!(objects.len(), 1);
    assert_eq!(objects[0]["key"], format!("large/{TAG}.gz"));
    assert!(objects[0]["encoding"].is_null(), "a name with .gz says it");
    assert!(objects[0]["size"].as_u64().unwrap() > 5 * 1024 * 1024, "it is too large for one part");
    let (_, parts) = objects[0]["etag"].as_str().unwrap().split_once('-').expect("it was uploaded in parts");
    assert!(parts.parse::<usize>().unwrap() >= 2);
    assert_same(&values(objects[0]["text"].as_str().unwrap()), &dated(&moto, &written));
    let open =
        moto.ask("answer(client('s3').list_multipart_uploads(Bucket='logs').get('Uploads', []) and 1)");
    assert_eq!(open, json!([]), "no upload was left open");
}

/// Text that hardly compresses, the same in every run (xorshift64, Marsaglia 2003).
struct Noise(u64);

impl Noise {
    fn text(&mut self, length: usize) -> String {
        const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut letter = || {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            char::from(LETTERS[(self.0 >> 32) as usize % LETTERS.len()])
        };
        (0..length).map(|_| letter()).collect()
    }
}
