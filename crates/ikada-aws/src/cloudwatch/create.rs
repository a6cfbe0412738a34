//! Groups and streams that are missing, made one at a time.
//!
//! Nothing is asked for beforehand: a stream is created when a call says that it is not there. Whoever finds one missing waits for
//! whoever is creating another, so that a group that many streams lack is created by the first of them and found by the rest. Creations
//! follow the pace that the service takes (CreateLogStream: 50 a second), and are not charged to the retries of the events that wait.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_sdk_cloudwatchlogs::Client;
use aws_sdk_cloudwatchlogs::types::LogGroupClass;
use tokio::time::Instant;

use super::options::{Creation, GroupClass};
use super::sender::Stream;
use crate::client::{Failure, FailureKind, Session};
use crate::pace::Pace;

/// How long one creation is tried while the service says that there are too many.
const PATIENCE: Duration = Duration::from_secs(120);
/// Longest first wait after such an answer; it doubles up to [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(2);
/// Fewest creations that are asked for in a second.
const FEWEST: f64 = 5.0;
/// Groups whose retention is remembered to be set.
const MOST_GROUPS: usize = 10_000;

/// Creates groups and streams.
#[derive(Debug)]
pub(super) struct Creator {
    rules: Creation,
    pace: Arc<Pace>,
    one_at_a_time: tokio::sync::Mutex<()>,
    /// Groups whose retention has been seen to.
    retained: Mutex<HashSet<String>>,
}

impl Creator {
    /// `place` tells one region and endpoint from another.
    pub(super) fn new(rules: Creation, place: &str) -> Self {
        let pace = Pace::shared(format!("CloudWatch Logs/{place}/creations"), FEWEST);
        Self { rules, pace, one_at_a_time: tokio::sync::Mutex::default(), retained: Mutex::default() }
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
        let _alone = self.one_at_a_time.lock().await;
        let no_group = match self.stream(session, client, stream).await {
            Err(failure) if failure.kind == FailureKind::Missing => failure,
            result => return result,
        };
        if !self.rules.group {
            return Err(no_group
                .hint(|| format!("create log group `{}`, or write `auto_create_group on`", stream.group)));
        }
        self.group(session, client, &stream.group).await?;
        self.retention(session, client, &stream.group).await?;
        // A group that was just made may not be everywhere yet.
        self.stream(session, client, stream).await.map_err(|failure| match failure.kind {
            FailureKind::Missing => failure.as_transient(),
            _ => failure,
        })
    }

    /// Sees to the retention of a group that was there before, where the rules say so: once for each group.
    pub(super) async fn retain_existing(&self, session: &Session, client: &Client, group: &str) {
        if !self.rules.retains_existing() || !self.is_first(group) {
            return;
        }
        if let Err(failure) = self.retention(session, client, group).await {
            let error = failure.cause;
            tracing::warn!(group, %error, "the retention of a log group could not be set");
        }
    }

    fn is_first(&self, group: &str) -> bool {
        let mut retained = self.retained.lock().unwrap_or_else(PoisonError::into_inner);
        if retained.len() >= MOST_GROUPS {
            retained.clear();
        }
        !retained.contains(group) && retained.insert(group.to_owned())
    }

    async fn stream(&self, session: &Session, client: &Client, stream: &Stream) -> Result<(), Failure> {
        if !self.rules.stream {
            let (name, group) = (&stream.name, &stream.group);
            let hint = format!(
                "create log stream `{name}` in log group `{group}`, or write `auto_create_stream on`"
            );
            let message = format!("there is no such log stream; {hint}");
            return Err(Failure { kind: FailureKind::Denied, ..Failure::transient(message) });
        }
        match self.take(Step::Stream(stream), session, client).await {
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
        match self.take(Step::Group(group, class, &self.rules.tags), session, client).await {
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
        match self.take(Step::Retention(group, days), session, client).await {
            Err(failure) if failure.needs_a_person() || failure.kind == FailureKind::Invalid => {
                let error = failure.hint(|| allow("logs:PutRetentionPolicy", group)).cause;
                tracing::error!(group, days, %error, "the group keeps its events for ever: its retention could not be set");
                Ok(())
            }
            result => result,
        }
    }

    /// Makes a call, again and again while the service says that there are too many or that another one is at work.
    async fn take(&self, step: Step<'_>, session: &Session, client: &Client) -> Result<(), Failure> {
        let until = Instant::now() + PATIENCE;
        let mut longest = FIRST_WAIT;
        loop {
            self.pace.turn(1.0).await;
            let failure = match step.call(session, client).await {
                Err(failure) if failure.kind == FailureKind::Throttled => {
                    self.pace.throttled();
                    failure
                }
                Err(failure) if failure.is("OperationAbortedException") => failure,
                result => {
                    self.pace.taken(1.0);
                    return result;
                }
            };
            if Instant::now() >= until {
                return Err(failure);
            }
            tokio::time::sleep(longest.mul_f64(rand::random_range(0.5..1.0))).await;
            longest = LONGEST_WAIT.min(longest * 2);
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
    Group(&'a str, Option<LogGroupClass>, &'a HashMap<String, String>),
    Retention(&'a str, u16),
}

impl Step<'_> {
    async fn call(&self, session: &Session, client: &Client) -> Result<(), Failure> {
        match self {
            Self::Stream(stream) => {
                let request =
                    client.create_log_stream().log_group_name(&stream.group).log_stream_name(&stream.name);
                session.call(|| request.clone().send()).await.map(drop)
            }
            Self::Group(group, class, tags) => {
                let tags = (!tags.is_empty()).then(|| (*tags).clone());
                let request =
                    client.create_log_group().log_group_name(*group).set_log_group_class(class.clone());
                let request = request.set_tags(tags);
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
