//! Groups and streams that are missing, made one at a time.
//!
//! Nothing is asked for beforehand: a stream is created when a call says that it is not there. Streams are created by their
//! lane's one call; many of them may find their group missing at once, so that groups have a lock by name.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_sdk_cloudwatchlogs::Client;
use aws_sdk_cloudwatchlogs::types::LogGroupClass;

use super::options::{Creation, GroupClass};
use super::sender::Stream;
use crate::client::{Failure, FailureKind, Session};

/// Tries per creation while the service says that there are too many (CreateLogStream: 50 a second).
const TRIES: u32 = 6;
/// Longest first wait between those tries; it doubles.
const FIRST_WAIT: Duration = Duration::from_millis(100);

/// Creates groups and streams.
#[derive(Debug)]
pub(super) struct Creator {
    rules: Creation,
    groups: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

impl Creator {
    pub(super) fn new(rules: Creation) -> Self {
        Self { rules, groups: Mutex::default() }
    }

    /// Makes the stream, and its group if that is missing too and may be made.
    ///
    /// # Errors
    /// One of the calls failed; what was made stays.
    pub(super) async fn create(
        &self,
        session: &Session,
        client: &Client,
        stream: &Stream,
    ) -> Result<(), Failure> {
        let no_group = match self.stream(session, client, stream).await {
            Err(failure) if failure.kind == FailureKind::Missing => failure,
            result => return result,
        };
        if !self.rules.group {
            return Err(no_group
                .hint(|| format!("create log group `{}`, or write `auto_create_group on`", stream.group)));
        }
        let lock = self.lock(&stream.group);
        let _alone = lock.lock().await;
        // Whoever had the lock before may have made the group.
        match self.stream(session, client, stream).await {
            Err(failure) if failure.kind == FailureKind::Missing => {}
            result => return result,
        }
        self.group(session, client, &stream.group).await?;
        self.retention(session, client, &stream.group).await?;
        // A group that was just made may not be everywhere yet.
        self.stream(session, client, stream).await.map_err(|failure| match failure.kind {
            FailureKind::Missing => failure.as_transient(),
            _ => failure,
        })
    }

    fn lock(&self, group: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        groups.retain(|_, lock| Arc::strong_count(lock) > 1);
        groups.entry(group.to_owned()).or_default().clone()
    }

    async fn stream(&self, session: &Session, client: &Client, stream: &Stream) -> Result<(), Failure> {
        let step = Step::Stream(stream);
        match step.take(session, client).await {
            Ok(()) => {
                tracing::info!(group = %stream.group, stream = %stream.name, "log stream created");
                Ok(())
            }
            Err(failure) if failure.is("ResourceAlreadyExistsException") => Ok(()),
            Err(failure) => Err(failure.hint(|| allow("logs:CreateLogStream", &stream.group))),
        }
    }

    async fn group(&self, session: &Session, client: &Client, group: &str) -> Result<(), Failure> {
        let class = self.rules.class.map(|class| match class {
            GroupClass::Standard => LogGroupClass::Standard,
            GroupClass::InfrequentAccess => LogGroupClass::InfrequentAccess,
        });
        match Step::Group(group, class).take(session, client).await {
            Ok(()) => {
                tracing::info!(group, "log group created");
                Ok(())
            }
            Err(failure) if failure.is("ResourceAlreadyExistsException") => Ok(()),
            Err(failure) => Err(failure.hint(|| allow("logs:CreateLogGroup", group))),
        }
    }

    /// Sets how long the group keeps its events. Logs do not wait for the right to do so.
    async fn retention(&self, session: &Session, client: &Client, group: &str) -> Result<(), Failure> {
        let Some(days) = self.rules.retention_days else { return Ok(()) };
        match Step::Retention(group, days).take(session, client).await {
            Err(failure) if failure.needs_a_person() || failure.kind == FailureKind::Invalid => {
                let error = failure.hint(|| allow("logs:PutRetentionPolicy", group)).cause;
                tracing::error!(group, days, %error, "the group keeps its events for ever: its retention could not be set");
                Ok(())
            }
            result => result,
        }
    }
}

/// What a policy lacks.
pub(super) fn allow(action: &str, group: &str) -> String {
    format!("the policy must allow `{action}` on log group `{group}`")
}

/// One call on the way to a stream.
enum Step<'a> {
    Stream(&'a Stream),
    Group(&'a str, Option<LogGroupClass>),
    Retention(&'a str, u16),
}

impl Step<'_> {
    /// Makes the call, again and again while the service says that there are too many or that another one is at work.
    async fn take(&self, session: &Session, client: &Client) -> Result<(), Failure> {
        let mut longest = FIRST_WAIT;
        for _ in 1..TRIES {
            match self.call(session, client).await {
                Err(failure)
                    if failure.kind == FailureKind::Throttled || failure.is("OperationAbortedException") => {}
                result => return result,
            }
            tokio::time::sleep(longest.mul_f64(rand::random_range(0.5..1.0))).await;
            longest *= 2;
        }
        self.call(session, client).await
    }

    async fn call(&self, session: &Session, client: &Client) -> Result<(), Failure> {
        match self {
            Self::Stream(stream) => {
                let request =
                    client.create_log_stream().log_group_name(&stream.group).log_stream_name(&stream.name);
                session.call(|| request.clone().send()).await.map(drop)
            }
            Self::Group(group, class) => {
                let request =
                    client.create_log_group().log_group_name(*group).set_log_group_class(class.clone());
                session.call(|| request.clone().send()).await.map(drop)
            }
            Self::Retention(group, days) => {
                let request =
                    client.put_retention_policy().log_group_name(*group).retention_in_days(i32::from(*days));
                session.call(|| request.clone().send()).await.map(drop)
            }
        }
    }
}
