//! Amazon Data Firehose: `PutRecordBatch`, `PutRecord`, and just enough to make and list streams.
//!
//! Limits of the API reference: 500 records and 4 MiB in a call, 1,000 KiB (1,024,000 bytes) in a record before
//! base64. Bytes are counted decoded. A call that keeps to them can still fail for single records; the answer
//! then has an `ErrorCode` in that record's place and counts them in `FailedPutCount`.

use serde_json::{Value, json};

use super::{Batch, Decoded, Streams, broken_rule, check_stream_name, store, with_decoded};
use crate::call::{Call, Reply, Taken};
use crate::error::ApiError;
use crate::faults::{Partial, PartialCode};
use crate::lock::locked;
use crate::shared::Shared;

/// Most records in a call.
const MAX_RECORDS: usize = 500;
/// Most bytes in a record.
const MAX_RECORD: usize = 1_024_000;
/// Most bytes in a call.
const MAX_BYTES: usize = 4 * 1024 * 1024;

pub(crate) fn handle(
    streams: &Streams,
    shared: &Shared,
    operation: &str,
    call: &Call,
    partial: Option<Partial>,
) -> Result<Reply, ApiError> {
    match operation {
        "PutRecordBatch" => put_record_batch(streams, shared, call, partial),
        "PutRecord" => put_record(streams, shared, call),
        "CreateDeliveryStream" => create(streams, shared, call),
        "DeleteDeliveryStream" => delete(streams, shared, call),
        "DescribeDeliveryStream" => describe(streams, shared, call),
        "ListDeliveryStreams" => {
            let names = streams.names();
            Ok(Reply::json(
                json!({ "DeliveryStreamNames": names, "HasMoreDeliveryStreams": false }).to_string(),
            ))
        }
        _ => Err(ApiError::client("UnknownOperationException", "")),
    }
}

fn put_record_batch(
    streams: &Streams,
    shared: &Shared,
    call: &Call,
    partial: Option<Partial>,
) -> Result<Reply, ApiError> {
    let batch = Batch::parse(call.text()?).map_err(|_| ApiError::serialization())?;
    check_count(&batch)?;
    let taken = take(streams, shared, &batch, partial)?;
    let refused = |index| partial.filter(|partial| partial.refuses(index));
    let body = answer(shared, batch.records.len(), taken.refused, refused);
    Ok(Reply::json(body).taking(taken))
}

fn put_record(streams: &Streams, shared: &Shared, call: &Call) -> Result<Reply, ApiError> {
    let batch = Batch::parse_single(call.text()?).map_err(|_| ApiError::serialization())?;
    check_count(&batch)?;
    let taken = take(streams, shared, &batch, None)?;
    let body = json!({ "RecordId": shared.next_token(), "Encrypted": false });
    Ok(Reply::json(body.to_string()).taking(taken))
}

fn check_count(batch: &Batch<'_>) -> Result<(), ApiError> {
    if let Some(number) = batch.incomplete {
        return Err(broken_rule("null", &format!("records.{number}.member.data"), "not be null"));
    }
    match batch.records.len() {
        0 => Err(broken_rule("[]", "records", "have length greater than or equal to 1")),
        1..=MAX_RECORDS => Ok(()),
        _ => Err(broken_rule("[...]", "records", "have length less than or equal to 500")),
    }
}

fn take(
    streams: &Streams,
    shared: &Shared,
    batch: &Batch<'_>,
    partial: Option<Partial>,
) -> Result<Taken, ApiError> {
    let name = batch.stream_name().ok_or_else(|| broken_rule("null", "deliveryStreamName", "not be null"))?;
    check_stream_name(&name, 64, "deliveryStreamName")?;
    with_decoded(batch, |decoded| {
        check_sizes(decoded)?;
        let stream = streams.find(&name).ok_or_else(|| not_found(shared, &name))?;
        let mut data = locked(&stream);
        let refuses = |index| partial.is_some_and(|partial| partial.refuses(index));
        Ok(store(shared, &mut data, decoded, &[], refuses))
    })
}

fn check_sizes(decoded: &Decoded) -> Result<(), ApiError> {
    if let Some(index) = decoded.iter().position(|record| record.len() > MAX_RECORD) {
        let member = format!("records.{}.member.data", index + 1);
        return Err(broken_rule("...", &member, "have length less than or equal to 1024000"));
    }
    if decoded.content.len() > MAX_BYTES {
        return Err(ApiError::client("InvalidArgumentException", "Records size exceeds 4 MB limit"));
    }
    Ok(())
}

fn not_found(shared: &Shared, name: &str) -> ApiError {
    let account = &shared.config.task.account;
    let text = format!("Firehose {name} under account {account} not found.");
    ApiError::client("ResourceNotFoundException", text)
}

fn answer(shared: &Shared, count: usize, failed: u64, refused: impl Fn(usize) -> Option<Partial>) -> String {
    let mut body = format!(r#"{{"FailedPutCount":{failed},"Encrypted":false,"RequestResponses":["#);
    body.reserve(count * 80);
    let id = shared.next_token();
    for index in 0..count {
        body.push_str(if index == 0 { "" } else { "," });
        match refused(index).map(|partial| partial.code) {
            None => body.push_str(r#"{"RecordId":""#),
            Some(PartialCode::Throttled) => {
                body.push_str(r#"{"ErrorCode":"ServiceUnavailableException","ErrorMessage":"Slow down."}"#);
                continue;
            }
            Some(PartialCode::InternalFailure) => {
                body.push_str(
                    r#"{"ErrorCode":"InternalFailure","ErrorMessage":"Internal service failure."}"#,
                );
                continue;
            }
        }
        body.push_str(&id);
        push_three_digits(&mut body, index);
        body.push_str("\"}");
    }
    body.push_str("]}");
    body
}

fn push_three_digits(text: &mut String, number: usize) {
    for digit in [number / 100 % 10, number / 10 % 10, number % 10] {
        text.push(char::from(b'0' + digit as u8));
    }
}

fn named(call: &Call) -> Result<String, ApiError> {
    let input: Value = serde_json::from_slice(&call.body).map_err(|_| ApiError::serialization())?;
    let name = input["DeliveryStreamName"].as_str().unwrap_or_default().to_owned();
    check_stream_name(&name, 64, "deliveryStreamName")?;
    Ok(name)
}

fn arn(shared: &Shared, name: &str) -> String {
    let task = &shared.config.task;
    format!("arn:aws:firehose:{}:{}:deliverystream/{name}", task.region, task.account)
}

fn create(streams: &Streams, shared: &Shared, call: &Call) -> Result<Reply, ApiError> {
    let name = named(call)?;
    if !streams.create(&name) {
        let account = &shared.config.task.account;
        let text = format!("Firehose {name} under accountId {account} already exists");
        return Err(ApiError::client("ResourceInUseException", text));
    }
    Ok(Reply::json(json!({ "DeliveryStreamARN": arn(shared, &name) }).to_string()))
}

fn delete(streams: &Streams, shared: &Shared, call: &Call) -> Result<Reply, ApiError> {
    let name = named(call)?;
    if streams.delete(&name) { Ok(Reply::json("{}")) } else { Err(not_found(shared, &name)) }
}

fn describe(streams: &Streams, shared: &Shared, call: &Call) -> Result<Reply, ApiError> {
    let name = named(call)?;
    if !streams.names().contains(&name) {
        return Err(not_found(shared, &name));
    }
    let description = json!({ "DeliveryStreamDescription": {
        "DeliveryStreamName": name,
        "DeliveryStreamARN": arn(shared, &name),
        "DeliveryStreamStatus": "ACTIVE",
        "DeliveryStreamType": "DirectPut",
        "VersionId": "1",
        "Destinations": [],
        "HasMoreDestinations": false,
    }});
    Ok(Reply::json(description.to_string()))
}
