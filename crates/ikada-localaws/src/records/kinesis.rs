//! Kinesis Data Streams: `PutRecords`, `PutRecord`, and just enough to make and list streams.
//!
//! Limits of the API reference: 500 records and 10 MiB in a call, partition keys included; 1 MiB in a record, as
//! a stream has it unless raised; keys of 1 to 256 characters. When shards are set, each takes 1,000 records and
//! 1 MB in a second, and what is over is refused record by record.

use md5::{Digest, Md5};
use serde_json::{Value, json};

use super::{
    Batch, Decoded, RawRecord, StreamData, Streams, broken_rule, check_stream_name, store, with_decoded,
};
use crate::call::{Call, Reply, Taken};
use crate::error::ApiError;
use crate::faults::{Partial, PartialCode};
use crate::lock::locked;
use crate::quota::TokenBucket;
use crate::shared::Shared;

/// Most records in a call.
const MAX_RECORDS: usize = 500;
/// Most bytes in a record: data and key.
const MAX_RECORD: usize = 1024 * 1024;
/// Most bytes in a call.
const MAX_BYTES: usize = 10 * 1024 * 1024;
/// Longest partition key in characters.
const MAX_KEY: usize = 256;

const SHARD_RECORDS_PER_SECOND: f64 = 1_000.0;
const SHARD_BYTES_PER_SECOND: f64 = 1_048_576.0;

/// How much one shard may still take.
#[derive(Debug)]
pub(crate) struct Shard {
    records: TokenBucket,
    bytes: TokenBucket,
}

impl Shard {
    fn new() -> Self {
        Shard {
            records: TokenBucket::new(SHARD_RECORDS_PER_SECOND, SHARD_RECORDS_PER_SECOND),
            bytes: TokenBucket::new(SHARD_BYTES_PER_SECOND, SHARD_BYTES_PER_SECOND),
        }
    }

    fn take(&mut self, bytes: usize) -> bool {
        self.records.take(1.0) && self.bytes.take(bytes as f64)
    }
}

pub(crate) fn handle(
    streams: &Streams,
    shared: &Shared,
    operation: &str,
    call: &Call,
    partial: Option<Partial>,
) -> Result<Reply, ApiError> {
    match operation {
        "PutRecords" => put_records(streams, shared, call, partial),
        "PutRecord" => put_record(streams, shared, call),
        "CreateStream" => create(streams, shared, call),
        "DeleteStream" => delete(streams, shared, call),
        "DescribeStream" | "DescribeStreamSummary" => describe(streams, shared, operation, call),
        "ListStreams" => {
            let names = streams.names();
            Ok(Reply::json(json!({ "StreamNames": names, "HasMoreStreams": false }).to_string()))
        }
        _ => Err(ApiError::client("UnknownOperationException", "")),
    }
}

/// What became of each record: `None` was taken.
type Fates = Vec<Option<PartialCode>>;

fn put_records(
    streams: &Streams,
    shared: &Shared,
    call: &Call,
    partial: Option<Partial>,
) -> Result<Reply, ApiError> {
    let batch = Batch::parse(call.text()?).map_err(|_| ApiError::serialization())?;
    check(&batch)?;
    let (taken, fates) = take(streams, shared, &batch, partial)?;
    let stream = batch.stream_name();
    let mut body = format!(r#"{{"FailedRecordCount":{},"Records":["#, taken.refused);
    for (fate, record) in fates.iter().zip(&batch.records) {
        entry(&mut body, shared, stream.as_deref(), *fate, record);
        body.push(',');
    }
    body.pop();
    body.push_str("]}");
    Ok(Reply::json(body).taking(taken))
}

fn put_record(streams: &Streams, shared: &Shared, call: &Call) -> Result<Reply, ApiError> {
    let batch = Batch::parse_single(call.text()?).map_err(|_| ApiError::serialization())?;
    check(&batch)?;
    let (taken, fates) = take(streams, shared, &batch, None)?;
    let (Some(fate), Some(record)) = (fates.first(), batch.records.first()) else {
        return Err(ApiError::serialization());
    };
    if fate.is_some() {
        return Err(ApiError::client("ProvisionedThroughputExceededException", "Rate exceeded for shard"));
    }
    let mut body = String::new();
    entry(&mut body, shared, None, None, record);
    Ok(Reply::json(body).taking(taken))
}

fn check(batch: &Batch<'_>) -> Result<(), ApiError> {
    if let Some(number) = batch.incomplete {
        return Err(broken_rule("null", &format!("records.{number}.member.data"), "not be null"));
    }
    if batch.records.is_empty() {
        return Err(broken_rule("[]", "records", "have length greater than or equal to 1"));
    }
    if batch.records.len() > MAX_RECORDS {
        return Err(broken_rule("[...]", "records", "have length less than or equal to 500"));
    }
    for (index, record) in batch.records.iter().enumerate() {
        let member = || format!("records.{}.member.partitionKey", index + 1);
        let Some(key) = record.key else { return Err(broken_rule("null", &member(), "not be null")) };
        if key.len == 0 || (key.len > MAX_KEY && key.to_string().chars().count() > MAX_KEY) {
            return Err(broken_rule(key.raw, &member(), "have length between 1 and 256"));
        }
    }
    Ok(())
}

fn take(
    streams: &Streams,
    shared: &Shared,
    batch: &Batch<'_>,
    partial: Option<Partial>,
) -> Result<(Taken, Fates), ApiError> {
    let name = batch.stream_name().ok_or_else(|| broken_rule("null", "streamName", "not be null"))?;
    check_stream_name(&name, 128, "streamName")?;
    with_decoded(batch, |decoded| {
        check_sizes(batch, decoded)?;
        let stream = streams.find(&name).ok_or_else(|| not_found(shared, &name))?;
        let mut data = locked(&stream);
        let fates = fates(shared, &mut data, batch, decoded, partial);
        let refused = |index| fates.get(index).copied().flatten().is_some();
        let taken = store(shared, &mut data, decoded, &batch.records, refused);
        Ok((taken, fates))
    })
}

fn check_sizes(batch: &Batch<'_>, decoded: &Decoded) -> Result<(), ApiError> {
    let mut total = 0;
    for (index, (record, raw)) in decoded.iter().zip(&batch.records).enumerate() {
        let size = record.len() + raw.key.map_or(0, |key| key.len);
        if size > MAX_RECORD {
            let member = format!("records.{}.member.data", index + 1);
            return Err(broken_rule("...", &member, "have length less than or equal to 1048576"));
        }
        total += size;
    }
    if total > MAX_BYTES {
        return Err(ApiError::client("InvalidArgumentException", "Records size exceeds 10 MB limit"));
    }
    Ok(())
}

fn fates(
    shared: &Shared,
    data: &mut StreamData,
    batch: &Batch<'_>,
    decoded: &Decoded,
    partial: Option<Partial>,
) -> Fates {
    let shards = shared.config.kinesis_shards.unwrap_or(0);
    data.shards.resize_with(shards as usize, Shard::new);
    let fate = |(index, (record, raw)): (usize, (&[u8], &RawRecord<'_>))| {
        if let Some(partial) = partial.filter(|partial| partial.refuses(index)) {
            return Some(partial.code);
        }
        let shard = data.shards.get_mut(shard_of(raw, shards))?;
        (!shard.take(record.len())).then_some(PartialCode::Throttled)
    };
    decoded.iter().zip(&batch.records).enumerate().map(fate).collect()
}

/// The shard that a partition key hashes to, by MD5 as the service does it.
fn shard_of(record: &RawRecord<'_>, shards: u32) -> usize {
    if shards < 2 {
        return 0;
    }
    let key = record.key.map(|key| key.to_string()).unwrap_or_default();
    let hash = u128::from_be_bytes(Md5::digest(key.as_bytes()).into());
    (((hash >> 64) * u128::from(shards)) >> 64) as usize
}

/// Appends what the answer says of a record.
fn entry(
    body: &mut String,
    shared: &Shared,
    stream: Option<&str>,
    fate: Option<PartialCode>,
    record: &RawRecord<'_>,
) {
    let shards = shared.config.kinesis_shards.unwrap_or(0);
    let shard = || format!("shardId-{:012}", shard_of(record, shards));
    let refused = match fate {
        // Nearly all of them: not worth a tree.
        None => {
            let (number, shard) = (shared.next_number(), shard());
            body.push_str(&format!(r#"{{"SequenceNumber":"{number}","ShardId":"{shard}"}}"#));
            return;
        }
        Some(PartialCode::Throttled) => json!({
            "ErrorCode": "ProvisionedThroughputExceededException",
            "ErrorMessage": format!(
                "Rate exceeded for shard {} in stream {} under account {}.",
                shard(),
                stream.unwrap_or_default(),
                shared.config.task.account
            ),
        }),
        Some(PartialCode::InternalFailure) => {
            json!({ "ErrorCode": "InternalFailure", "ErrorMessage": "Internal service failure." })
        }
    };
    body.push_str(&refused.to_string());
}

fn not_found(shared: &Shared, name: &str) -> ApiError {
    let account = &shared.config.task.account;
    let text = format!("Stream {name} under account {account} not found.");
    ApiError::client("ResourceNotFoundException", text)
}

fn named(call: &Call) -> Result<String, ApiError> {
    let input: Value = serde_json::from_slice(&call.body).map_err(|_| ApiError::serialization())?;
    let arn_name = || input["StreamARN"].as_str().and_then(|arn| arn.rsplit('/').next());
    let name = input["StreamName"].as_str().or_else(arn_name).unwrap_or_default().to_owned();
    check_stream_name(&name, 128, "streamName")?;
    Ok(name)
}

fn create(streams: &Streams, shared: &Shared, call: &Call) -> Result<Reply, ApiError> {
    let name = named(call)?;
    if !streams.create(&name) {
        let account = &shared.config.task.account;
        let text = format!("Stream {name} under account {account} already exists.");
        return Err(ApiError::client("ResourceInUseException", text));
    }
    Ok(Reply::json(""))
}

fn delete(streams: &Streams, shared: &Shared, call: &Call) -> Result<Reply, ApiError> {
    let name = named(call)?;
    if streams.delete(&name) { Ok(Reply::json("")) } else { Err(not_found(shared, &name)) }
}

fn describe(streams: &Streams, shared: &Shared, operation: &str, call: &Call) -> Result<Reply, ApiError> {
    let name = named(call)?;
    if !streams.names().contains(&name) {
        return Err(not_found(shared, &name));
    }
    let task = &shared.config.task;
    let shards = shared.config.kinesis_shards.unwrap_or(1);
    let mut description = json!({
        "StreamName": name,
        "StreamARN": format!("arn:aws:kinesis:{}:{}:stream/{name}", task.region, task.account),
        "StreamStatus": "ACTIVE",
        "RetentionPeriodHours": 24,
        "StreamCreationTimestamp": shared.now_ms() / 1000,
        "EnhancedMonitoring": [],
    });
    if operation == "DescribeStreamSummary" {
        description["OpenShardCount"] = shards.into();
        return Ok(Reply::json(json!({ "StreamDescriptionSummary": description }).to_string()));
    }
    description["HasMoreShards"] = false.into();
    description["Shards"] = (0..shards).map(|n| json!({ "ShardId": format!("shardId-{n:012}") })).collect();
    Ok(Reply::json(json!({ "StreamDescription": description }).to_string()))
}
