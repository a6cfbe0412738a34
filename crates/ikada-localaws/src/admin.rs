//! `/_localaws/…`: the server looked at and steered over HTTP, with JSON both ways.
//!
//! | request | does |
//! |---|---|
//! | `GET /_localaws/report` | answers with the [`Report`](crate::Report) |
//! | `POST /_localaws/reset` | forgets counts and content |
//! | `GET /_localaws/faults` | lists faults with what they did |
//! | `POST /_localaws/faults` | adds a [`Fault`](crate::Fault), or a list of them; answers with their numbers |
//! | `DELETE /_localaws/faults[?id=n]` | removes one fault, or all faults and quotas |
//! | `POST /_localaws/quota` | adds a [`Quota`](crate::Quota) |
//! | `POST /_localaws/down` | `{"mode":"refuse"}` or `{"mode":"black_hole"}`, with `"for_ms"` to come up again |
//! | `POST /_localaws/up` | brings the services up |
//! | `POST /_localaws/create` | `{"log_group":…, "log_stream":…, "delivery_stream":…, "data_stream":…, "bucket":…}` |
//! | `POST /_localaws/credentials` | `{"lifetime_ms":…, "expire_all":true}` |
//! | `GET /_localaws/events?group=…&stream=…` | kept log events `[[ms, text], …]` |
//! | `GET /_localaws/records?service=firehose&stream=…` | kept records as text |
//! | `GET /_localaws/objects?bucket=…` | objects of a bucket |
//!
//! The services' own ports answer these too, unless the services are down; [`Config::admin_port`] always does.
//!
//! [`Config::admin_port`]: crate::Config::admin_port

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::call::{Call, Reply};
use crate::error::ApiError;
use crate::faults::{Fault, FaultId};
use crate::gate::Down;
use crate::quota::Quota;
use crate::service::Service;
use crate::shared::Shared;

pub(crate) fn handle(shared: &Arc<Shared>, call: &Call) -> Reply {
    let path = call.head.uri.path().trim_start_matches("/_localaws").trim_matches('/');
    match answer(shared, call.head.method.as_str(), path, call) {
        Ok(value) => Reply::typed("application/json", value.to_string()),
        Err(error) => Reply::failure(Service::Metadata, &error, ""),
    }
}

fn answer(shared: &Arc<Shared>, method: &str, path: &str, call: &Call) -> Result<Value, ApiError> {
    match (method, path) {
        ("GET", "report") => as_value(shared.report()),
        ("POST", "reset") => {
            shared.reset();
            Ok(json!({}))
        }
        ("GET", "faults") => as_value(shared.faults.report()),
        ("POST", "faults") => add_faults(shared, call),
        ("DELETE", "faults") => Ok(remove_faults(shared, call)),
        ("POST", "quota") => {
            shared.faults.add_quota(parse::<Quota>(call)?);
            Ok(json!({}))
        }
        ("POST", "down") => down(shared, &parse(call)?),
        ("POST", "up") => {
            shared.gate.set(None);
            Ok(json!({}))
        }
        ("POST", "create") => Ok(create(shared, &parse(call)?)),
        ("POST", "credentials") => Ok(credentials(shared, &parse(call)?)),
        ("GET", "events") => {
            let (group, stream) = (query(call, "group"), query(call, "stream"));
            as_value(shared.logs.events(&group, &stream))
        }
        ("GET", "records") => Ok(records(shared, call)),
        ("GET", "objects") => Ok(objects(shared, &query(call, "bucket"))),
        _ => Err(ApiError::new(404, "NotFound", "no such page; see /_localaws/report")),
    }
}

fn query(call: &Call, name: &str) -> String {
    call.query(name).unwrap_or_default()
}

fn as_value(value: impl serde::Serialize) -> Result<Value, ApiError> {
    serde_json::to_value(value).map_err(|error| ApiError::new(500, "Internal", error.to_string()))
}

fn parse<T: DeserializeOwned>(call: &Call) -> Result<T, ApiError> {
    serde_json::from_slice(&call.body).map_err(|error| ApiError::new(400, "BadJson", error.to_string()))
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(Box<Fault>),
    Many(Vec<Fault>),
}

fn add_faults(shared: &Shared, call: &Call) -> Result<Value, ApiError> {
    let faults = match parse(call)? {
        OneOrMany::One(fault) => vec![*fault],
        OneOrMany::Many(faults) => faults,
    };
    let ids: Vec<FaultId> = faults.into_iter().map(|fault| shared.faults.add(fault)).collect();
    Ok(json!({ "ids": ids }))
}

fn remove_faults(shared: &Shared, call: &Call) -> Value {
    match call.query("id").and_then(|id| id.parse().ok()) {
        Some(id) => json!({ "removed": shared.faults.remove(FaultId(id)) }),
        None => {
            shared.faults.clear();
            json!({ "removed": true })
        }
    }
}

#[derive(Deserialize)]
struct DownRequest {
    mode: Down,
    for_ms: Option<u64>,
}

fn down(shared: &Arc<Shared>, request: &DownRequest) -> Result<Value, ApiError> {
    if let Some(ms) = request.for_ms {
        let shared = shared.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(ms)).await;
            shared.gate.set(None);
        });
    }
    shared.gate.set(Some(request.mode));
    Ok(json!({}))
}

#[derive(Deserialize)]
struct CreateRequest {
    log_group: Option<String>,
    log_stream: Option<String>,
    delivery_stream: Option<String>,
    data_stream: Option<String>,
    bucket: Option<String>,
}

fn create(shared: &Shared, request: &CreateRequest) -> Value {
    let now = shared.now_ms();
    let mut created = Vec::new();
    match (&request.log_group, &request.log_stream) {
        (Some(group), Some(stream)) => created.push(shared.logs.create_stream(group, stream, now)),
        (Some(group), None) => created.push(shared.logs.create_group(group, now)),
        _ => {}
    }
    created.extend(request.delivery_stream.as_ref().map(|name| shared.firehose.create(name)));
    created.extend(request.data_stream.as_ref().map(|name| shared.kinesis.create(name)));
    created.extend(request.bucket.as_ref().map(|name| shared.s3.create(name)));
    json!({ "created": created.iter().filter(|is_new| **is_new).count() })
}

#[derive(Deserialize)]
struct CredentialsRequest {
    lifetime_ms: Option<u64>,
    #[serde(default)]
    expire_all: bool,
}

fn credentials(shared: &Shared, request: &CredentialsRequest) -> Value {
    if let Some(ms) = request.lifetime_ms {
        shared.issuer.set_lifetime(Duration::from_millis(ms));
    }
    if request.expire_all {
        shared.issuer.expire_all();
    }
    json!({ "issued": shared.issuer.count() })
}

fn records(shared: &Shared, call: &Call) -> Value {
    let is_kinesis = query(call, "service") == "kinesis";
    let streams = if is_kinesis { &shared.kinesis } else { &shared.firehose };
    let records = streams.records(&query(call, "stream"));
    records.iter().map(|record| String::from_utf8_lossy(record).into_owned()).collect()
}

fn objects(shared: &Shared, bucket: &str) -> Value {
    let describe = |(key, object): (String, crate::s3::Object)| {
        json!({
            "key": key,
            "size": object.size,
            "etag": object.etag,
            "content_type": object.content_type,
            "content_encoding": object.content_encoding,
            "parts": object.parts,
            "writes": object.writes,
        })
    };
    shared.s3.objects(bucket).into_iter().map(describe).collect()
}
