//! Calls of PutLogEvents, and what their answers mean for each event.

use std::sync::Arc;

use aws_config::AppName;
use aws_sdk_cloudwatchlogs::types::RejectedLogEventsInfo;
use aws_sdk_cloudwatchlogs::{Client, config};
use bytes::Bytes;
use ikada_plugin::{BoxFuture, Delivery, Outcome, SendError};
use ikada_record::DropReason;
use tokio::sync::OnceCell;
use tokio::time::Instant;

use super::create::{Creator, allow};
use super::events::Closed;
use super::options::Creation;
use crate::calls::{Call, Calls, Taken};
use crate::client::{Destination, Failure, FailureKind, replace_body};
use crate::seldom::Seldom;

/// A log stream.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) group: String,
    pub(super) name: String,
    pub(super) lane: u64,
    /// What every call begins with.
    pub(super) head: Vec<u8>,
}

/// What all deliveries of an output share.
#[derive(Debug)]
pub(super) struct Sender {
    destination: Destination,
    extra_user_agent: Option<String>,
    log_format: Option<String>,
    creator: Creator,
    client: OnceCell<Client>,
    held_back: Seldom,
}

impl Sender {
    pub(super) fn new(
        destination: Destination,
        creation: Creation,
        log_format: Option<String>,
        extra_user_agent: Option<String>,
    ) -> Self {
        Self {
            destination,
            extra_user_agent,
            log_format,
            creator: Creator::new(creation),
            client: OnceCell::new(),
            held_back: Seldom::default(),
        }
    }

    async fn client(&self) -> Result<&Client, Failure> {
        self.client.get_or_try_init(|| self.connect()).await
    }

    async fn connect(&self) -> Result<Client, Failure> {
        let mut config = config::Builder::from(self.destination.session.sdk_config().await?);
        // Without an option the environment's endpoint stays.
        if let Some(url) = &self.destination.endpoint {
            config.set_endpoint_url(Some(url.clone()));
        }
        if let Some(extra) = &self.extra_user_agent {
            let name: String =
                extra.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
            config.set_app_name(AppName::new(format!("ikada-{name}")).ok());
        }
        Ok(Client::from_conf(config.build()))
    }

    /// Sends a body, into a stream that is created if it is missing.
    async fn send(&self, stream: &Stream, body: Bytes) -> Result<Option<RejectedLogEventsInfo>, Failure> {
        let client = self.client().await?;
        match self.put(client, body.clone()).await {
            Err(failure) if failure.is("ResourceNotFoundException") => {}
            Err(failure) if failure.is("DataAlreadyAcceptedException") => return Ok(None),
            result => {
                return result.map_err(|failure| failure.hint(|| allow("logs:PutLogEvents", &stream.group)));
            }
        }
        self.creator.create(&self.destination.session, client, stream).await?;
        self.put(client, body).await.map_err(|failure| match failure.kind {
            // It exists, only not everywhere yet.
            FailureKind::Missing => failure.as_transient(),
            _ => failure.hint(|| allow("logs:PutLogEvents", &stream.group)),
        })
    }

    async fn put(&self, client: &Client, body: Bytes) -> Result<Option<RejectedLogEventsInfo>, Failure> {
        let call = || {
            let (body, format) = (body.clone(), self.log_format.clone());
            client
                .put_log_events()
                .log_group_name("-")
                .log_stream_name("-")
                .set_log_events(Some(Vec::new()))
                .customize()
                .mutate_request(move |request| {
                    replace_body(request, &body);
                    if let Some(format) = &format {
                        request.headers_mut().insert("x-amzn-logs-format", format.clone());
                    }
                })
                .send()
        };
        let answer = self.destination.session.call(call).await?;
        Ok(answer.rejected_log_events_info)
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

/// One call's worth of events.
#[derive(Debug)]
pub(super) struct PutEvents {
    calls: Calls,
    to: EventCall,
}

#[derive(Debug)]
struct EventCall {
    sender: Arc<Sender>,
    stream: Arc<Stream>,
    events: Closed,
}

impl PutEvents {
    pub(super) fn new(sender: Arc<Sender>, stream: Arc<Stream>, events: Closed) -> Self {
        let mut all: Vec<u32> = (0..events.len() as u32).collect();
        events.sort(&mut all);
        Self { calls: Calls::new(all), to: EventCall { sender, stream, events } }
    }
}

impl Delivery for PutEvents {
    fn attempt(&mut self) -> BoxFuture<'_, Outcome> {
        Box::pin(self.calls.attempt(&self.to))
    }
}

impl Call for EventCall {
    fn make<'a>(&'a self, events: &'a [u32]) -> BoxFuture<'a, Result<Taken, Failure>> {
        Box::pin(async move {
            match self.sender.send(&self.stream, self.events.body(events)).await {
                Ok(info) => Ok(self.taken(info, events)),
                Err(failure) => {
                    self.sender.complain(&self.stream, &failure);
                    Err(failure)
                }
            }
        })
    }
}

impl EventCall {
    /// What a call took; some of its events may have been turned away for their time.
    fn taken(&self, info: Option<RejectedLogEventsInfo>, events: &[u32]) -> Taken {
        let Some(info) = info else { return Taken::default() };
        let (old, new) = turned_away(&info, events.len());
        let (&[first, ..], &[.., last]) = (events, events) else { return Taken::default() };
        let (group, stream, too_new) = (&self.stream.group, &self.stream.name, events.len() - new);
        let (first, last) = (self.events.time(first), self.events.time(last));
        if old + too_new == 0 {
            return Taken::default();
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
            retry: Vec::new(),
            again: Vec::new(),
            rejected: [&events[..old], &events[new..]].concat(),
            reason: Some(DropReason::OutOfTime),
            cause: Some(SendError { code: Some("RejectedLogEvents".to_owned()), status: Some(200), message }),
        }
    }
}

/// How many events at the start of a call of `len` were turned away as too old or expired, and from which on as too new.
fn turned_away(info: &RejectedLogEventsInfo, len: usize) -> (usize, usize) {
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
        let info = |old: Option<i32>, expired: Option<i32>, new: Option<i32>| {
            let info = RejectedLogEventsInfo::builder()
                .set_too_old_log_event_end_index(old)
                .set_expired_log_event_end_index(expired)
                .set_too_new_log_event_start_index(new)
                .build();
            turned_away(&info, 10)
        };
        assert_eq!(info(None, None, None), (0, 10));
        assert_eq!(info(Some(2), Some(3), Some(8)), (3, 8));
        assert_eq!(info(Some(10), None, None), (10, 10));
        assert_eq!(info(Some(99), None, Some(-1)), (10, 10));
        assert_eq!(info(Some(4), None, Some(2)), (4, 4));
    }
}
