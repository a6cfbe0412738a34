//! Calls of PutLogEvents, and what their answers mean for each event.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use aws_config::AppName;
use aws_sdk_cloudwatchlogs::{Client, config};
use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use ikada_plugin::{BoxFuture, Clock, Delivery, Outcome, SendError};
use ikada_record::DropReason;
use serde::Deserialize;
use tokio::sync::OnceCell;
use tokio::time::Instant;

use super::create::{Creator, allow};
use super::events::{Closed, head};
use super::go_names::Task;
use super::names::{write_group, write_stream};
use super::options::{Creation, LateEvents};
use crate::calls::{Call, Calls, OneEntry, Taken};
use crate::client::{Destination, Draft, Failure, FailureKind, broken};
use crate::seldom::Seldom;

/// A log stream.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) group: String,
    pub(super) name: String,
    pub(super) lane: u64,
    /// What every call begins with.
    pub(super) head: Vec<u8>,
    /// What its logs are of, as a member of a call.
    entity: String,
    /// Its names hold marks for what only ECS knows.
    is_pending: bool,
}

impl Stream {
    pub(super) fn new(group: String, name: String, entity: String, lane: u64, is_pending: bool) -> Self {
        let head = head(&group, &name, &entity);
        Self { group, name, lane, head, entity, is_pending }
    }
}

/// What the options say of the calls.
#[derive(Debug)]
pub(super) struct Manner {
    pub(super) creation: Creation,
    pub(super) late: LateEvents,
    pub(super) log_format: Option<String>,
    pub(super) extra_user_agent: Option<String>,
}

/// What all deliveries of an output share.
#[derive(Debug)]
pub(super) struct Sender {
    destination: Destination,
    manner: Manner,
    creator: Creator,
    clock: Arc<dyn Clock>,
    task: Task,
    client: OnceCell<Client>,
    draft: OnceCell<Draft>,
    held_back: Seldom,
    no_entity: Seldom,
}

impl Sender {
    pub(super) fn new(destination: Destination, manner: Manner, task: Task, clock: Arc<dyn Clock>) -> Self {
        let creator = Creator::new(manner.creation.clone(), &destination.place());
        Self {
            destination,
            manner,
            creator,
            clock,
            task,
            client: OnceCell::new(),
            draft: OnceCell::new(),
            held_back: Seldom::default(),
            no_entity: Seldom::default(),
        }
    }

    /// The stream with its names filled in.
    async fn known(&self, stream: &Stream) -> Result<Stream, Failure> {
        let fill_in = |name: String, write: fn(&mut Vec<u8>, &[u8])| {
            let mut out = Vec::new();
            write(&mut out, name.as_bytes());
            String::from_utf8_lossy(&out).into_owned()
        };
        let group = fill_in(self.task.fill_in(&stream.group).await?, write_group);
        let name = fill_in(self.task.fill_in(&stream.name).await?, write_stream);
        Ok(Stream::new(group, name, stream.entity.clone(), stream.lane, false))
    }

    async fn client(&self) -> Result<&Client, Failure> {
        self.client.get_or_try_init(async || Ok(Client::from_conf(self.config().await?.build()))).await
    }

    async fn config(&self) -> Result<config::Builder, Failure> {
        let mut config = config::Builder::from(self.destination.session.sdk_config().await?);
        // Without an option the environment's endpoint stays.
        if let Some(url) = &self.destination.endpoint {
            config.set_endpoint_url(Some(url.clone()));
        }
        if let Some(extra) = &self.manner.extra_user_agent {
            let name: String =
                extra.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
            config.set_app_name(AppName::new(format!("ikada-{name}")).ok());
        }
        Ok(config)
    }

    /// Sends a body, into a stream that is created if it is missing.
    async fn send(&self, stream: &Stream, body: Bytes) -> Result<Option<TurnedAway>, Failure> {
        let session = &self.destination.session;
        match self.put(&body).await {
            Err(failure) if failure.is("ResourceNotFoundException") => {}
            Err(failure) if failure.is("DataAlreadyAcceptedException") => return Ok(None),
            Ok(info) => {
                self.creator.retain_existing(session, self.client().await?, &stream.group).await;
                return Ok(info);
            }
            result => {
                return result.map_err(|failure| failure.hint(|| allow("logs:PutLogEvents", &stream.group)));
            }
        }
        self.creator.create(session, self.client().await?, stream).await?;
        self.put(&body).await.map_err(|failure| match failure.kind {
            // It exists, only not everywhere yet.
            FailureKind::Missing => failure.as_transient(),
            _ => failure.hint(|| allow("logs:PutLogEvents", &stream.group)),
        })
    }

    async fn put(&self, body: &Bytes) -> Result<Option<TurnedAway>, Failure> {
        let draft = self.draft.get_or_try_init(|| self.draft()).await?;
        let call = || async move {
            let answer = draft.send(body).await?;
            read(&answer).map_err(|error| broken(error, answer))
        };
        let answer = self.destination.session.call(call).await?;
        if let Some(info) = &answer.rejected_entity_info
            && let Some(times) = self.no_entity.count(1, Instant::now())
        {
            let reason = &info.error_type;
            tracing::warn!(reason, times, "the service took the logs, and did not take what they are of");
        }
        Ok(answer.rejected_log_events_info)
    }

    async fn draft(&self) -> Result<Draft, Failure> {
        let config = self.config().await?;
        // The SDK insists on its own members.
        let drafting = |pen| {
            let call = Client::from_conf(config.http_client(pen).build()).put_log_events();
            call.log_group_name("-").log_stream_name("-").set_log_events(Some(Vec::new())).send()
        };
        let draft = self.destination.session.draft(drafting).await?;
        let Some(format) = &self.manner.log_format else { return Ok(draft) };
        let format = HeaderValue::from_str(format).map_err(|error| Failure::transient(error.to_string()))?;
        Ok(draft.with_header(HeaderName::from_static("x-amzn-logs-format"), format))
    }

    /// Says what holds logs back until a person helps.
    fn complain(&self, stream: &Stream, failure: &Failure) {
        if !failure.needs_a_person() {
            return;
        }
        if let Some(times) = self.held_back.count(1, Instant::now()) {
            let (group, stream, error) = (&stream.group, &stream.name, &failure.cause);
            tracing::error!(%group, %stream, %error, times, "logs are held back");
        }
    }
}

/// What the answer to a call says beyond that it was taken.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    rejected_log_events_info: Option<TurnedAway>,
    rejected_entity_info: Option<NoEntity>,
}

/// Which events were not taken, for their time.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct TurnedAway {
    too_old_log_event_end_index: Option<i32>,
    expired_log_event_end_index: Option<i32>,
    too_new_log_event_start_index: Option<i32>,
}

/// Why logs were taken without what they are of.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct NoEntity {
    error_type: String,
}

fn read(answer: &[u8]) -> Result<Answer, serde_json::Error> {
    if answer.is_empty() { Ok(Answer::default()) } else { serde_json::from_slice(answer) }
}

/// One call's worth of events.
#[derive(Debug)]
pub(super) struct PutEvents {
    calls: Calls,
    /// All of them are one entry.
    one_entry: Option<OneEntry>,
    to: EventCall,
}

#[derive(Debug)]
struct EventCall {
    sender: Arc<Sender>,
    stream: Arc<Stream>,
    /// The stream with its names filled in, where they were not.
    known: OnceCell<Stream>,
    events: Closed,
    /// Events that were turned away for their time, and go with another one.
    retimed: Mutex<HashSet<u32>>,
}

impl PutEvents {
    pub(super) fn new(sender: Arc<Sender>, stream: Arc<Stream>, events: Closed) -> Self {
        let mut all: Vec<u32> = (0..events.len() as u32).collect();
        events.sort(&mut all);
        Self { calls: Calls::new(all), one_entry: None, to: EventCall::new(sender, stream, events) }
    }

    /// Events that are one entry and fill a call each.
    pub(super) fn one_entry(sender: Arc<Sender>, stream: Arc<Stream>, events: Closed) -> Self {
        let calls = (0..events.len() as u32).map(|event| vec![event]).collect();
        let to = EventCall::new(sender, stream, events);
        Self { calls: Calls::each(calls), one_entry: Some(OneEntry::default()), to }
    }

    async fn run(&mut self) -> Outcome {
        let outcome = self.calls.attempt(&self.to).await;
        match &mut self.one_entry {
            Some(entry) => entry.outcome(outcome),
            None => outcome,
        }
    }
}

impl Delivery for PutEvents {
    fn attempt(&mut self) -> BoxFuture<'_, Outcome> {
        Box::pin(self.run())
    }

    fn keeps(&self, reason: DropReason) -> bool {
        reason != DropReason::OutOfTime || self.to.sender.manner.late != LateEvents::Drop
    }
}

impl Call for EventCall {
    fn make<'a>(&'a self, events: &'a [u32]) -> BoxFuture<'a, Result<Taken, Failure>> {
        Box::pin(async move {
            let stream = self.stream().await?;
            match self.sender.send(stream, self.body(stream, events)).await {
                Ok(info) => Ok(self.taken(stream, info, events)),
                Err(failure) => {
                    self.sender.complain(stream, &failure);
                    Err(failure)
                }
            }
        })
    }
}

impl EventCall {
    fn new(sender: Arc<Sender>, stream: Arc<Stream>, events: Closed) -> Self {
        Self { sender, stream, known: OnceCell::new(), events, retimed: Mutex::default() }
    }

    async fn stream(&self) -> Result<&Stream, Failure> {
        match self.stream.is_pending {
            false => Ok(&*self.stream),
            true => self.known.get_or_try_init(|| self.sender.known(&self.stream)).await,
        }
    }

    fn body(&self, stream: &Stream, events: &[u32]) -> Bytes {
        let is_retimed = events.first().is_some_and(|event| self.retimed().contains(event));
        match (is_retimed, self.stream.is_pending) {
            (false, false) => self.events.body(events),
            (false, true) => self.events.body_of(events, &stream.head, None),
            (true, _) => self.events.body_of(events, &stream.head, Some(self.sender.clock.now().millis())),
        }
    }

    /// What a call took; some of its events may have been turned away for their time.
    fn taken(&self, to: &Stream, info: Option<TurnedAway>, events: &[u32]) -> Taken {
        let Some(info) = info else { return Taken::default() };
        let (old, new) = turned_away(&info, events.len());
        let (&[first, ..], &[.., last]) = (events, events) else { return Taken::default() };
        let (group, stream, too_new) = (&to.group, &to.name, events.len() - new);
        let (first, last) = (self.events.time(first), self.events.time(last));
        if old + too_new == 0 {
            return Taken::default();
        }
        let late = [&events[..old], &events[new..]].concat();
        if self.sender.manner.late == LateEvents::Now && self.retime(&late) {
            tracing::warn!(
                %group, %stream, too_old = old, too_new, first, last,
                "events were turned away because of their time, and are sent with the time of now; first and last are milliseconds since 1970"
            );
            return Taken { again: late, ..Taken::default() };
        }
        tracing::error!(
            %group, %stream, too_old = old, too_new, first, last,
            "events were turned away because of their time; first and last are milliseconds since 1970"
        );
        let message = format!(
            "of {} events for log group `{group}`, stream `{stream}`, {old} are too old or expired and {too_new} too new",
            events.len()
        );
        Taken {
            rejected: late,
            reason: Some(DropReason::OutOfTime),
            cause: Some(SendError { code: Some("RejectedLogEvents".to_owned()), status: Some(200), message }),
            ..Taken::default()
        }
    }

    /// Gives these events the time of now; `false` if they have had it before.
    fn retime(&self, events: &[u32]) -> bool {
        let mut retimed = self.retimed();
        let before = retimed.len();
        retimed.extend(events);
        retimed.len() == before + events.len()
    }

    fn retimed(&self) -> std::sync::MutexGuard<'_, HashSet<u32>> {
        self.retimed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many events at the start of a call of `len` were turned away as too old or expired, and from which on as too new.
fn turned_away(info: &TurnedAway, len: usize) -> (usize, usize) {
    let index = |index: Option<i32>| index.and_then(|index| usize::try_from(index).ok());
    let old = index(info.too_old_log_event_end_index).unwrap_or(0);
    let expired = index(info.expired_log_event_end_index).unwrap_or(0);
    let old = old.max(expired).min(len);
    let new = index(info.too_new_log_event_start_index).unwrap_or(len).clamp(old, len);
    (old, new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_turned_away_stand_at_both_ends() {
        let info = |old, expired, new| {
            let info = TurnedAway {
                too_old_log_event_end_index: old,
                expired_log_event_end_index: expired,
                too_new_log_event_start_index: new,
            };
            turned_away(&info, 10)
        };
        assert_eq!(info(None, None, None), (0, 10));
        assert_eq!(info(Some(2), Some(3), Some(8)), (3, 8));
        assert_eq!(info(Some(10), None, None), (10, 10));
        assert_eq!(info(Some(99), None, Some(-1)), (10, 10));
        assert_eq!(info(Some(4), None, Some(2)), (4, 4));
    }
}
