//! Making, listing and removing log groups and streams.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::{
    Group, Logs, StreamData, broken_rule, check_group_name, check_stream_name, invalid, no_group, no_stream,
};
use crate::call::{Call, Reply};
use crate::error::ApiError;
use crate::lock::locked;
use crate::service::{Service, Trouble};
use crate::shared::Shared;

/// Days that `PutRetentionPolicy` takes.
const RETENTION_DAYS: [i64; 22] =
    [1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653];

/// Most items on a page of a listing.
const PAGE: usize = 50;

pub(super) fn handle(logs: &Logs, shared: &Shared, operation: &str, call: &Call) -> Result<Reply, ApiError> {
    match operation {
        "CreateLogGroup" => create_log_group(logs, shared, &parse(call)?),
        "CreateLogStream" => create_log_stream(logs, shared, &parse(call)?),
        "PutRetentionPolicy" => put_retention_policy(logs, &parse(call)?),
        "DeleteRetentionPolicy" => delete_retention_policy(logs, &parse(call)?),
        "DeleteLogGroup" => delete_log_group(logs, &parse(call)?),
        "DeleteLogStream" => delete_log_stream(logs, &parse(call)?),
        "DescribeLogGroups" => describe_log_groups(logs, shared, &parse(call)?),
        "DescribeLogStreams" => describe_log_streams(logs, shared, &parse(call)?),
        "GetLogEvents" => get_log_events(logs, &parse(call)?),
        "TagResource" | "TagLogGroup" => tag(logs, &parse(call)?),
        "ListTagsForResource" | "ListTagsLogGroup" => list_tags(logs, &parse(call)?),
        _ => Err(ApiError::client("UnknownOperationException", "")),
    }
}

/// The members that these calls have; each uses some of them.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct Input {
    log_group_name: Option<String>,
    log_group_identifier: Option<String>,
    log_stream_name: Option<String>,
    log_group_class: Option<String>,
    log_group_name_prefix: Option<String>,
    log_stream_name_prefix: Option<String>,
    retention_in_days: Option<i64>,
    resource_arn: Option<String>,
    tags: BTreeMap<String, String>,
    limit: Option<usize>,
    next_token: Option<String>,
}

impl Input {
    /// The group meant, by name, identifier or ARN.
    fn group(&self) -> Result<&str, ApiError> {
        let named = self.log_group_name.as_deref().or(self.log_group_identifier.as_deref());
        let name = named.or(self.resource_arn.as_deref()).ok_or_else(|| missing("logGroupName"))?;
        let name = name.split_once(":log-group:").map_or(name, |(_, name)| name.trim_end_matches(":*"));
        check_group_name(name)?;
        Ok(name)
    }

    fn stream(&self) -> Result<&str, ApiError> {
        let name = self.log_stream_name.as_deref().ok_or_else(|| missing("logStreamName"))?;
        check_stream_name(name)?;
        Ok(name)
    }
}

fn missing(member: &str) -> ApiError {
    broken_rule("null", member, "not be null")
}

fn parse<T: DeserializeOwned>(call: &Call) -> Result<T, ApiError> {
    serde_json::from_slice(&call.body).map_err(|_| ApiError::serialization())
}

fn done() -> Reply {
    Reply::json("")
}

fn exists(what: &str) -> ApiError {
    ApiError::client("ResourceAlreadyExistsException", format!("The specified log {what} already exists"))
}

fn create_log_group(logs: &Logs, shared: &Shared, input: &Input) -> Result<Reply, ApiError> {
    let name = input.group()?;
    if name.to_ascii_lowercase().starts_with("aws/") {
        return Err(invalid("Log groups starting with AWS/ are reserved for AWS."));
    }
    let class = input.log_group_class.as_deref().unwrap_or("STANDARD");
    if !["STANDARD", "INFREQUENT_ACCESS", "DELIVERY"].contains(&class) {
        let rule = "satisfy enum value set: [STANDARD, INFREQUENT_ACCESS, DELIVERY]";
        return Err(broken_rule(class, "logGroupClass", rule));
    }
    let mut groups = locked(&logs.groups);
    if groups.contains_key(name) {
        return Err(exists("group"));
    }
    let group = Group {
        created_ms: shared.now_ms(),
        class: class.to_owned(),
        tags: input.tags.clone(),
        ..Group::default()
    };
    groups.insert(name.to_owned(), group);
    Ok(done())
}

fn create_log_stream(logs: &Logs, shared: &Shared, input: &Input) -> Result<Reply, ApiError> {
    if logs.stream_creation.as_ref().is_some_and(|bucket| !locked(bucket).take(1.0)) {
        return Err(Service::Logs.words(Trouble::Throttled));
    }
    let (group, stream) = (input.group()?, input.stream()?);
    let mut groups = locked(&logs.groups);
    let group = groups.get_mut(group).ok_or_else(no_group)?;
    if group.create_stream(stream, shared.now_ms()) { Ok(done()) } else { Err(exists("stream")) }
}

fn put_retention_policy(logs: &Logs, input: &Input) -> Result<Reply, ApiError> {
    let days = input.retention_in_days.ok_or_else(|| missing("retentionInDays"))?;
    if !RETENTION_DAYS.contains(&days) {
        let rule = format!("satisfy enum value set: {RETENTION_DAYS:?}");
        return Err(broken_rule(&days.to_string(), "retentionInDays", &rule));
    }
    if logs.set_retention(input.group()?, Some(days)) { Ok(done()) } else { Err(no_group()) }
}

fn delete_retention_policy(logs: &Logs, input: &Input) -> Result<Reply, ApiError> {
    if logs.set_retention(input.group()?, None) { Ok(done()) } else { Err(no_group()) }
}

fn delete_log_group(logs: &Logs, input: &Input) -> Result<Reply, ApiError> {
    if logs.delete_group(input.group()?) { Ok(done()) } else { Err(no_group()) }
}

fn delete_log_stream(logs: &Logs, input: &Input) -> Result<Reply, ApiError> {
    if logs.delete_stream(input.group()?, input.stream()?) { Ok(done()) } else { Err(no_stream()) }
}

/// The names of one page, and the token of the next.
fn page<'a>(
    names: impl Iterator<Item = &'a String>,
    prefix: Option<&str>,
    input: &Input,
) -> (Vec<&'a String>, Option<&'a String>) {
    let limit = input.limit.unwrap_or(PAGE).clamp(1, PAGE);
    let after = input.next_token.as_deref();
    let mut names = names
        .filter(|name| prefix.is_none_or(|prefix| name.starts_with(prefix)))
        .filter(|name| after.is_none_or(|after| name.as_str() > after));
    let page: Vec<_> = names.by_ref().take(limit).collect();
    let next = names.next().and_then(|_| page.last().copied());
    (page, next)
}

fn group_arn(shared: &Shared, name: &str) -> String {
    let task = &shared.config.task;
    format!("arn:aws:logs:{}:{}:log-group:{name}", task.region, task.account)
}

fn describe_log_groups(logs: &Logs, shared: &Shared, input: &Input) -> Result<Reply, ApiError> {
    let groups = locked(&logs.groups);
    let (names, next) = page(groups.keys(), input.log_group_name_prefix.as_deref(), input);
    let describe = |name: &&String| {
        let group = groups.get(*name)?;
        let mut answer = json!({
            "logGroupName": name,
            "creationTime": group.created_ms,
            "logGroupClass": group.class,
            "arn": format!("{}:*", group_arn(shared, name)),
            "logGroupArn": group_arn(shared, name),
        });
        if let Some(days) = group.retention_days {
            answer["retentionInDays"] = days.into();
        }
        Some(answer)
    };
    let list: Vec<_> = names.iter().filter_map(describe).collect();
    Ok(listing("logGroups", list, next))
}

fn describe_log_streams(logs: &Logs, shared: &Shared, input: &Input) -> Result<Reply, ApiError> {
    let name = input.group()?;
    let groups = locked(&logs.groups);
    let group = groups.get(name).ok_or_else(no_group)?;
    let (names, next) = page(group.streams.keys(), input.log_stream_name_prefix.as_deref(), input);
    let describe = |stream: &&String| {
        let found = group.streams.get(*stream)?;
        let data: &StreamData = &locked(&found.data);
        let mut answer = json!({
            "logStreamName": stream,
            "creationTime": found.created_ms,
            "storedBytes": 0,
            "arn": format!("{}:log-stream:{stream}", group_arn(shared, name)),
        });
        if let (Some(first), Some(last)) = (data.first_ms, data.last_ms) {
            answer["firstEventTimestamp"] = first.into();
            answer["lastEventTimestamp"] = last.into();
        }
        Some(answer)
    };
    let list: Vec<_> = names.iter().filter_map(describe).collect();
    Ok(listing("logStreams", list, next))
}

fn listing(member: &str, list: Vec<serde_json::Value>, next: Option<&String>) -> Reply {
    let mut answer = json!({ member: list });
    if let Some(token) = next {
        answer["nextToken"] = token.clone().into();
    }
    Reply::json(answer.to_string())
}

/// `GetLogEvents`, oldest first, 10,000 events from the token on.
fn get_log_events(logs: &Logs, input: &Input) -> Result<Reply, ApiError> {
    let (group, stream) = (input.group()?, input.stream()?);
    let found = logs.find(group, stream).ok_or_else(no_stream)?;
    let token = input.next_token.as_deref().and_then(|token| token.strip_prefix("f/"));
    let from: usize = token.and_then(|number| number.parse().ok()).unwrap_or(0);
    let limit = input.limit.unwrap_or(10_000).clamp(1, 10_000);
    drop(found);
    let events = logs.events(group, stream);
    let page: Vec<_> = events
        .iter()
        .skip(from)
        .take(limit)
        .map(|(time, message)| json!({ "timestamp": time, "message": message, "ingestionTime": time }))
        .collect();
    let forward = format!("f/{}", from + page.len());
    let answer =
        json!({ "events": page, "nextForwardToken": forward, "nextBackwardToken": format!("b/{from}") });
    Ok(Reply::json(answer.to_string()))
}

fn tag(logs: &Logs, input: &Input) -> Result<Reply, ApiError> {
    let mut groups = locked(&logs.groups);
    let group = groups.get_mut(input.group()?).ok_or_else(no_group)?;
    group.tags.extend(input.tags.clone());
    Ok(done())
}

fn list_tags(logs: &Logs, input: &Input) -> Result<Reply, ApiError> {
    let groups = locked(&logs.groups);
    let group = groups.get(input.group()?).ok_or_else(no_group)?;
    Ok(Reply::json(json!({ "tags": group.tags }).to_string()))
}
