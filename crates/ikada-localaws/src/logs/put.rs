//! `PutLogEvents`, with the limits of its API reference.
//!
//! A call is refused as a whole when it breaks a rule of form: more than 10,000 events, more than 1,048,576 bytes
//! counted as UTF-8 plus 26 for each event, events that are not in order of time, or a span of 24 hours. Single
//! events are rejected, and the rest stored, when they are more than two hours in the future, more than 14 days
//! old, or older than the group's retention; `rejectedLogEventsInfo` tells where those ranges end and begin.

use serde_json::json;

use super::{Logs, Stream, broken_rule, check_group_name, check_stream_name, invalid, no_group, no_stream};
use crate::call::{Call, Reply, Taken};
use crate::config::Keep;
use crate::error::ApiError;
use crate::json::{BadJson, Scanner, Text};
use crate::lock::locked;
use crate::sequence::Marks;
use crate::shared::Shared;

/// Most events in a call.
const MAX_EVENTS: usize = 10_000;
/// Most bytes in a call: message bytes and `EVENT_OVERHEAD` for each event.
const MAX_BYTES: usize = 1_048_576;
/// What each event counts for besides its message.
const EVENT_OVERHEAD: usize = 26;

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
/// Events further in the future are too new.
const MAX_AHEAD_MS: i64 = 2 * HOUR_MS;
/// Events further in the past are too old.
const MAX_AGE_MS: i64 = 14 * DAY_MS;

#[derive(Debug, Clone, Copy)]
struct Event<'a> {
    time: i64,
    message: Text<'a>,
}

#[derive(Debug, Default)]
struct Body<'a> {
    group: Option<Text<'a>>,
    stream: Option<Text<'a>>,
    events: Option<Vec<Event<'a>>>,
    /// The first event that lacks a member, and which one.
    incomplete: Option<(usize, &'static str)>,
}

pub(super) fn put_log_events(logs: &Logs, shared: &Shared, call: &Call) -> Result<Reply, ApiError> {
    let text = call.text()?;
    let body = Body::parse(text).map_err(|_| ApiError::serialization())?;
    let (group, stream) = body.names()?;
    let events = body.checked_events()?;
    let (stream, retention_days) = find(logs, shared, &group, &stream)?;
    let fate = Fate::decide(events, shared, retention_days)?;
    let taken = store(shared, text, &stream, events, &fate);
    Ok(Reply::json(fate.answer(shared.next_token())).taking(taken))
}

impl<'a> Body<'a> {
    fn parse(text: &'a str) -> Result<Self, BadJson> {
        let mut body = Body::default();
        let mut scanner = Scanner::new(text);
        scanner.object(|inner, key| {
            if key.is("logGroupName") {
                body.group = inner.optional_string()?;
            } else if key.is("logStreamName") {
                body.stream = inner.optional_string()?;
            } else if key.is("logEvents") {
                body.parse_events(inner)?;
            } else {
                inner.skip()?;
            }
            Ok(())
        })?;
        scanner.end()?;
        Ok(body)
    }

    fn parse_events(&mut self, scanner: &mut Scanner<'a>) -> Result<(), BadJson> {
        if scanner.null()? {
            return Ok(());
        }
        let mut events = Vec::new();
        let mut incomplete = None;
        scanner.array(|inner| {
            let (time, message) = parse_event(inner)?;
            match (time, message) {
                (Some(time), Some(message)) => events.push(Event { time, message }),
                (None, _) => incomplete = incomplete.or(Some((events.len() + 1, "timestamp"))),
                (_, None) => incomplete = incomplete.or(Some((events.len() + 1, "message"))),
            }
            Ok(())
        })?;
        self.incomplete = incomplete;
        self.events = Some(events);
        Ok(())
    }

    fn names(&self) -> Result<(String, String), ApiError> {
        let null = |member| {
            invalid(format!(
                "1 validation error detected: Value null at '{member}' failed to satisfy constraint: Member must not be null"
            ))
        };
        let group = self.group.ok_or_else(|| null("logGroupName"))?.to_string();
        let stream = self.stream.ok_or_else(|| null("logStreamName"))?.to_string();
        check_group_name(&group)?;
        check_stream_name(&stream)?;
        Ok((group, stream))
    }

    /// The events, once every rule of form holds.
    fn checked_events(&self) -> Result<&[Event<'a>], ApiError> {
        if let Some((number, member)) = self.incomplete {
            let place = format!("logEvents.{number}.member.{member}");
            return Err(broken_rule("null", &place, "not be null"));
        }
        let events = self.events.as_deref().unwrap_or_default();
        if events.is_empty() {
            return Err(broken_rule("[]", "logEvents", "have length greater than or equal to 1"));
        }
        if events.len() > MAX_EVENTS {
            return Err(broken_rule("[...]", "logEvents", "have length less than or equal to 10000"));
        }
        check_each(events)?;
        let bytes: usize = events.iter().map(|event| event.message.len + EVENT_OVERHEAD).sum();
        if bytes > MAX_BYTES {
            return Err(invalid(format!("Upload too large: {bytes} bytes exceeds limit of {MAX_BYTES}")));
        }
        Ok(events)
    }
}

fn parse_event<'a>(scanner: &mut Scanner<'a>) -> Result<(Option<i64>, Option<Text<'a>>), BadJson> {
    let (mut time, mut message) = (None, None);
    scanner.object(|inner, key| {
        if key.is("timestamp") {
            time = if inner.null()? { None } else { Some(inner.integer()?) };
        } else if key.is("message") {
            message = inner.optional_string()?;
        } else {
            inner.skip()?;
        }
        Ok(())
    })?;
    Ok((time, message))
}

fn check_each(events: &[Event<'_>]) -> Result<(), ApiError> {
    let mut last = 0;
    for (index, event) in events.iter().enumerate() {
        let place = |member: &str| format!("logEvents.{}.member.{member}", index + 1);
        if event.time < 0 {
            let rule = "have value greater than or equal to 0";
            return Err(broken_rule(&event.time.to_string(), &place("timestamp"), rule));
        }
        if event.message.len == 0 {
            return Err(broken_rule("", &place("message"), "have length greater than or equal to 1"));
        }
        let size = event.message.len + EVENT_OVERHEAD;
        if size > MAX_BYTES {
            return Err(invalid(format!("Log event too large: {size} bytes exceeds limit of {MAX_BYTES}")));
        }
        if event.time < last {
            return Err(invalid(
                "Log events in a single PutLogEvents request must be in chronological order.",
            ));
        }
        last = event.time;
    }
    Ok(())
}

fn find(
    logs: &Logs,
    shared: &Shared,
    group_name: &str,
    stream_name: &str,
) -> Result<(std::sync::Arc<Stream>, Option<i64>), ApiError> {
    if shared.config.auto_create.log_streams {
        logs.create_stream(group_name, stream_name, shared.now_ms());
    }
    let groups = locked(&logs.groups);
    let group = groups.get(group_name).ok_or_else(no_group)?;
    let stream = group.streams.get(stream_name).cloned().ok_or_else(no_stream)?;
    Ok((stream, group.retention_days))
}

/// Which events of a call are stored: those in `start..end`.
#[derive(Debug)]
struct Fate {
    count: usize,
    start: usize,
    end: usize,
    too_old: usize,
    expired: usize,
}

impl Fate {
    fn decide(events: &[Event<'_>], shared: &Shared, retention_days: Option<i64>) -> Result<Self, ApiError> {
        let mut fate = Fate { count: events.len(), start: 0, end: events.len(), too_old: 0, expired: 0 };
        if shared.config.check_event_age {
            let now = shared.now_ms();
            let before = |limit: i64| events.partition_point(|event| event.time < limit);
            fate.too_old = before(now - MAX_AGE_MS);
            fate.expired = retention_days.map_or(0, |days| before(now - days * DAY_MS));
            fate.start = fate.too_old.max(fate.expired);
            fate.end = before(now + MAX_AHEAD_MS + 1).max(fate.start);
        }
        let valid = events.get(fate.start..fate.end).unwrap_or_default();
        let span = valid.last().zip(valid.first()).map_or(0, |(last, first)| last.time - first.time);
        if span >= DAY_MS {
            return Err(invalid(
                "The batch of log events in a single PutLogEvents request cannot span more than 24 hours.",
            ));
        }
        Ok(fate)
    }

    fn answer(&self, token: String) -> String {
        let mut answer = json!({ "nextSequenceToken": token });
        let mut info = serde_json::Map::new();
        if self.end < self.count {
            info.insert("tooNewLogEventStartIndex".into(), self.end.into());
        }
        if self.too_old > 0 {
            info.insert("tooOldLogEventEndIndex".into(), self.too_old.into());
        }
        if self.expired > 0 {
            info.insert("expiredLogEventEndIndex".into(), self.expired.into());
        }
        if !info.is_empty() {
            answer["rejectedLogEventsInfo"] = info.into();
        }
        answer.to_string()
    }
}

fn store(shared: &Shared, text: &str, stream: &Stream, events: &[Event<'_>], fate: &Fate) -> Taken {
    let valid = events.get(fate.start..fate.end).unwrap_or_default();
    let bytes: usize = valid.iter().map(|event| event.message.len).sum();
    let marks = marks(shared, text, valid);
    let keep = shared.config.keep == Keep::All && shared.budget.take(bytes as u64, valid.len() as u64);
    let refused = (events.len() - valid.len()) as u64;
    let mut data = locked(&stream.data);
    data.batches += 1;
    data.records += valid.len() as u64;
    data.bytes += bytes as u64;
    data.rejected += refused;
    data.tracker.apply(&marks);
    if let (Some(first), Some(last)) = (valid.first(), valid.last()) {
        data.first_ms = Some(data.first_ms.map_or(first.time, |ms| ms.min(first.time)));
        data.last_ms = Some(data.last_ms.map_or(last.time, |ms| ms.max(last.time)));
    }
    if keep {
        data.text.reserve(bytes);
        for event in valid {
            event.message.decode_into(&mut data.text);
            let end = data.text.len();
            data.index.push((event.time, end));
        }
    }
    Taken { records: valid.len() as u64, bytes: bytes as u64, refused }
}

/// The marks in the stored events: one scan over the stretch of body that holds them.
fn marks(shared: &Shared, text: &str, valid: &[Event<'_>]) -> Marks {
    let mut marks = Marks::default();
    if let (Some(finder), Some(first), Some(last)) = (&shared.finder, valid.first(), valid.last()) {
        let stretch = first.message.at..last.message.at + last.message.raw.len();
        finder.scan(text.as_bytes().get(stretch).unwrap_or_default(), &mut marks);
    }
    marks
}
