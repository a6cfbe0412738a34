//! CloudWatch Logs: groups, streams and the events in them.
//!
//! [`put`] takes events, [`admin`] makes, lists and removes groups and streams; this file is what they work on.

mod admin;
mod put;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use crate::call::{Call, Reply};
use crate::error::ApiError;
use crate::json::Scanner;
use crate::lock::locked;
use crate::quota::TokenBucket;
use crate::report::{Report, ResourceReport};
use crate::sequence::Tracker;
use crate::service::Service;
use crate::shared::Shared;

/// All log groups.
#[derive(Debug)]
pub(crate) struct Logs {
    groups: Mutex<BTreeMap<String, Group>>,
    stream_creation: Option<Mutex<TokenBucket>>,
}

/// A log group as it was made.
#[derive(Debug, Clone, Default)]
struct Group {
    created_ms: i64,
    class: String,
    retention_days: Option<i64>,
    tags: BTreeMap<String, String>,
    streams: BTreeMap<String, Arc<Stream>>,
}

#[derive(Debug, Default)]
struct Stream {
    created_ms: i64,
    data: Mutex<StreamData>,
}

#[derive(Debug, Default)]
struct StreamData {
    /// All kept messages, end to end.
    text: String,
    /// Each kept message's time and its end in `text`.
    index: Vec<(i64, usize)>,
    batches: u64,
    records: u64,
    bytes: u64,
    rejected: u64,
    first_ms: Option<i64>,
    last_ms: Option<i64>,
    tracker: Tracker,
}

/// What a log group was made with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogGroup {
    /// `STANDARD`, `INFREQUENT_ACCESS` or `DELIVERY`.
    pub class: String,
    /// Days after which events expire.
    pub retention_days: Option<i64>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// Names of its streams.
    pub streams: Vec<String>,
}

impl Logs {
    pub(crate) fn new(stream_creation_rate: Option<f64>) -> Self {
        let bucket = |rate: f64| Mutex::new(TokenBucket::new(rate, rate));
        Logs { groups: Mutex::default(), stream_creation: stream_creation_rate.map(bucket) }
    }

    /// Handles one call.
    pub(crate) fn handle(&self, shared: &Shared, operation: &str, call: &Call) -> Result<Reply, ApiError> {
        match operation {
            "PutLogEvents" => put::put_log_events(self, shared, call),
            _ => admin::handle(self, shared, operation, call),
        }
    }

    /// Makes a group; says whether it is new.
    pub(crate) fn create_group(&self, name: &str, now_ms: i64) -> bool {
        let mut groups = locked(&self.groups);
        if groups.contains_key(name) {
            return false;
        }
        let group = Group { created_ms: now_ms, class: "STANDARD".into(), ..Group::default() };
        groups.insert(name.to_owned(), group);
        true
    }

    /// Makes a stream and, if need be, its group; says whether the stream is new.
    pub(crate) fn create_stream(&self, group: &str, stream: &str, now_ms: i64) -> bool {
        self.create_group(group, now_ms);
        let mut groups = locked(&self.groups);
        let Some(group) = groups.get_mut(group) else { return false };
        group.create_stream(stream, now_ms)
    }

    pub(crate) fn delete_group(&self, name: &str) -> bool {
        locked(&self.groups).remove(name).is_some()
    }

    pub(crate) fn delete_stream(&self, group: &str, stream: &str) -> bool {
        locked(&self.groups).get_mut(group).is_some_and(|group| group.streams.remove(stream).is_some())
    }

    pub(crate) fn set_retention(&self, name: &str, days: Option<i64>) -> bool {
        let mut groups = locked(&self.groups);
        let Some(group) = groups.get_mut(name) else { return false };
        group.retention_days = days;
        true
    }

    pub(crate) fn groups(&self) -> BTreeMap<String, LogGroup> {
        locked(&self.groups).iter().map(|(name, group)| (name.clone(), group.describe())).collect()
    }

    /// The kept events of a stream in the order in which they were taken.
    pub(crate) fn events(&self, group: &str, stream: &str) -> Vec<(i64, String)> {
        let Some(stream) = self.find(group, stream) else { return Vec::new() };
        let data = locked(&stream.data);
        let mut start = 0;
        let mut events = Vec::with_capacity(data.index.len());
        for &(time, end) in &data.index {
            events.push((time, data.text.get(start..end).unwrap_or_default().to_owned()));
            start = end;
        }
        events
    }

    fn find(&self, group: &str, stream: &str) -> Option<Arc<Stream>> {
        locked(&self.groups).get(group)?.streams.get(stream).cloned()
    }

    fn all_streams(&self) -> Vec<(String, Arc<Stream>)> {
        let groups = locked(&self.groups);
        let of_group = |(group, data): (&String, &Group)| {
            let named = |(name, stream): (&String, &Arc<Stream>)| (format!("{group}:{name}"), stream.clone());
            data.streams.iter().map(named).collect::<Vec<_>>()
        };
        groups.iter().flat_map(of_group).collect()
    }

    /// Adds every stream to a report.
    pub(crate) fn report(&self, report: &mut Report) {
        let mut all = Tracker::default();
        for (name, stream) in self.all_streams() {
            let data = locked(&stream.data);
            report.resources.push(ResourceReport {
                service: Service::Logs,
                resource: name.clone(),
                batches: data.batches,
                records: data.records,
                bytes: data.bytes,
                refused: data.rejected,
            });
            report.add_tracker(Service::Logs, &name, &data.tracker, &mut all);
        }
        report.add_total(Service::Logs, &all);
    }

    /// Forgets all events; groups and streams stay.
    pub(crate) fn reset(&self) {
        for (_, stream) in self.all_streams() {
            *locked(&stream.data) = StreamData::default();
        }
    }
}

impl Group {
    fn create_stream(&mut self, name: &str, now_ms: i64) -> bool {
        if self.streams.contains_key(name) {
            return false;
        }
        self.streams.insert(name.to_owned(), Arc::new(Stream { created_ms: now_ms, data: Mutex::default() }));
        true
    }

    fn describe(&self) -> LogGroup {
        LogGroup {
            class: self.class.clone(),
            retention_days: self.retention_days,
            tags: self.tags.clone(),
            streams: self.streams.keys().cloned().collect(),
        }
    }
}

/// The resource that a body is about: `group:stream`, or `group`; empty if it cannot be told.
pub(crate) fn resource(body: &[u8]) -> String {
    let Ok(text) = std::str::from_utf8(body) else { return String::new() };
    let (mut group, mut stream) = (None, None);
    let mut scanner = Scanner::new(text);
    // The scan stops at the events: both names stand before them in every known client.
    scanner
        .object(|inner, key| {
            if key.is("logEvents") {
                return Err(crate::json::BadJson { at: 0 });
            }
            match key.raw {
                "logGroupName" => group = inner.optional_string()?,
                "logStreamName" => stream = inner.optional_string()?,
                _ => inner.skip()?,
            }
            Ok(())
        })
        .ok();
    match (group, stream) {
        (Some(group), Some(stream)) => format!("{group}:{stream}"),
        (Some(group), None) => group.to_string(),
        _ => String::new(),
    }
}

fn no_group() -> ApiError {
    ApiError::client("ResourceNotFoundException", "The specified log group does not exist.")
}

fn no_stream() -> ApiError {
    ApiError::client("ResourceNotFoundException", "The specified log stream does not exist.")
}

fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::client("InvalidParameterException", message)
}

/// The service's standard sentence about a member that breaks a rule of its model.
fn broken_rule(value: &str, member: &str, rule: &str) -> ApiError {
    invalid(format!(
        "1 validation error detected: Value '{value}' at '{member}' failed to satisfy constraint: Member must {rule}"
    ))
}

/// `CreateLogGroup`: 1 to 512 of `a-zA-Z0-9_-/.#`.
fn check_group_name(name: &str) -> Result<(), ApiError> {
    if name.is_empty() || name.chars().count() > 512 {
        return Err(broken_rule(name, "logGroupName", "have length between 1 and 512"));
    }
    if name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-/.#".contains(&byte)) {
        return Ok(());
    }
    Err(broken_rule(name, "logGroupName", r"satisfy regular expression pattern: [\.\-_/#A-Za-z0-9]+"))
}

/// `CreateLogStream`: 1 to 512 characters without `:` and `*`.
fn check_stream_name(name: &str) -> Result<(), ApiError> {
    if name.is_empty() || name.chars().count() > 512 {
        return Err(broken_rule(name, "logStreamName", "have length between 1 and 512"));
    }
    if name.contains([':', '*']) {
        return Err(broken_rule(name, "logStreamName", "satisfy regular expression pattern: [^:*]*"));
    }
    Ok(())
}
