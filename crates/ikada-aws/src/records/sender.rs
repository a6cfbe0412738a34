//! Calls with records in them, and what their answers mean for each record.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use ikada_plugin::{BoxFuture, Delivery, EntrySet, Outcome, SendError};
use tokio::time::Instant;

use super::arena::{Closed, Pool, Shape};
use crate::calls::{Call, Calls, OneEntry, Taken};
use crate::client::{Failure, FailureKind};
use crate::pace::Pace;
use crate::seldom::Seldom;

/// Fewest calls, and fewest records, that are asked for in a second: a shard takes a thousand records, a delivery stream far more of both.
const FEWEST_CALLS: f64 = 10.0;
const FEWEST_RECORDS: f64 = 1_000.0;

/// A service that takes records.
pub(crate) trait Put: Send + Sync {
    /// Makes one call.
    fn put(&self, body: Bytes) -> BoxFuture<'_, Result<Answer, Failure>>;

    /// What a person can do about a failure.
    fn hint(&self, failure: &Failure) -> String;
}

/// The records of a call that were not taken: their places in it and the service's words for it.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) failed: Vec<(usize, SendError)>,
}

/// What all deliveries of an output share.
pub(crate) struct Sender {
    put: Box<dyn Put>,
    pub(crate) shape: &'static Shape,
    pub(crate) head: Vec<u8>,
    pub(crate) pool: Pool,
    stream: String,
    calls: Arc<Pace>,
    records: Arc<Pace>,
    held_back: Seldom,
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("stream", &self.stream).finish_non_exhaustive()
    }
}

impl Sender {
    /// What the service calls its stream, and the stream's name.
    pub(crate) fn name(&self) -> (&'static str, String) {
        let word = if self.shape.has_keys { "stream" } else { "delivery stream" };
        (word, self.stream.clone())
    }

    /// `place` tells the stream from others of its name: region and endpoint.
    pub(crate) fn new(
        put: Box<dyn Put>,
        shape: &'static Shape,
        head: Vec<u8>,
        stream: String,
        place: &str,
    ) -> Self {
        let pace = |what: &str, floor| Pace::shared(format!("{}/{place}/{stream}/{what}", shape.name), floor);
        Self {
            put,
            shape,
            head,
            pool: Pool::default(),
            calls: pace("calls", FEWEST_CALLS),
            records: pace("records", FEWEST_RECORDS),
            stream,
            held_back: Seldom::default(),
        }
    }

    async fn send(&self, body: Bytes, records: usize) -> Result<Answer, Failure> {
        self.calls.turn(1.0).await;
        self.records.turn(records as f64).await;
        let result = self.put.put(body).await;
        match &result {
            Ok(answer) => {
                self.calls.taken(1.0);
                self.records.taken((records - answer.failed.len().min(records)) as f64);
                if answer.failed.iter().any(|(_, error)| is_too_much(error)) {
                    self.records.throttled();
                }
            }
            Err(failure) if is_throttle(failure) => self.calls.throttled(),
            Err(_) => {}
        }
        result.map_err(|failure| self.explain(failure))
    }

    /// Adds what a person can do, and says it now and then.
    fn explain(&self, failure: Failure) -> Failure {
        let hint = failure.needs_a_person().then(|| self.put.hint(&failure));
        let Some(hint) = hint else { return failure };
        let failure = failure.hint(|| hint);
        if let Some(times) = self.held_back.count(1, Instant::now()) {
            let (stream, error) = (&self.stream, &failure.cause);
            tracing::error!(service = self.shape.name, %stream, %error, times, "records are held back");
        }
        failure
    }
}

/// The service's words for a record that came too soon after others.
fn is_too_much(error: &SendError) -> bool {
    matches!(
        error.code.as_deref(),
        Some(
            "ServiceUnavailableException" | "ProvisionedThroughputExceededException" | "ThrottlingException"
        )
    )
}

/// Firehose speaks of its quota as of being unavailable.
fn is_throttle(failure: &Failure) -> bool {
    failure.kind == FailureKind::Throttled || failure.is("ServiceUnavailableException")
}

/// One call's worth of records.
#[derive(Debug)]
pub(crate) struct PutRecords {
    /// By the numbers of records, which may hold several entries.
    calls: Calls,
    /// All of them are one entry.
    one_entry: Option<OneEntry>,
    to: RecordCall,
}

#[derive(Debug)]
struct RecordCall {
    sender: Arc<Sender>,
    records: Closed,
}

impl PutRecords {
    pub(crate) fn new(sender: Arc<Sender>, records: Closed) -> Self {
        let calls = Calls::new((0..records.len() as u32).collect());
        Self { calls, one_entry: None, to: RecordCall { sender, records } }
    }

    /// Records that are one entry, in so many calls.
    pub(crate) fn one_entry(sender: Arc<Sender>, records: Closed, calls: Vec<Vec<u32>>) -> Self {
        Self {
            calls: Calls::each(calls),
            one_entry: Some(OneEntry::default()),
            to: RecordCall { sender, records },
        }
    }

    async fn run(&mut self) -> Outcome {
        let left = self.calls.left();
        let outcome = self.calls.attempt(&self.to).await;
        if let Some(entry) = &mut self.one_entry {
            return entry.outcome(outcome);
        }
        match outcome {
            Outcome::Partial { retry, rejected, reason, cause } if self.to.records.holds_several() => {
                let entries = self.to.records.entries_at(&left);
                let widen = |places: EntrySet| -> EntrySet {
                    places.iter().flat_map(|place| entries[place as usize].clone()).collect()
                };
                Outcome::Partial { retry: widen(retry), rejected: widen(rejected), reason, cause }
            }
            outcome => outcome,
        }
    }
}

impl Delivery for PutRecords {
    fn attempt(&mut self) -> BoxFuture<'_, Outcome> {
        Box::pin(self.run())
    }
}

impl Call for RecordCall {
    fn make<'a>(&'a self, records: &'a [u32]) -> BoxFuture<'a, Result<Taken, Failure>> {
        Box::pin(async move {
            let answer = self.sender.send(self.records.body(records), records.len()).await?;
            Ok(taken(answer, records))
        })
    }

    fn is_paced(&self, failure: &Failure) -> bool {
        is_throttle(failure)
    }
}

/// What a call took: the answer names the places of those it did not.
fn taken(answer: Answer, records: &[u32]) -> Taken {
    let mut taken = Taken::default();
    let failed = answer.failed.len();
    for (place, error) in answer.failed {
        let Some(record) = records.get(place) else { continue };
        match is_too_much(&error) {
            true => taken.again.push(*record),
            false => taken.retry.push(*record),
        }
        taken.cause.get_or_insert_with(|| SendError {
            message: format!("{failed} of {} records were not taken: {}", records.len(), error.message),
            ..error
        });
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_too_much_goes_again_at_once_and_what_failed_later() {
        let error = |code: &str| SendError { code: Some(code.to_owned()), ..SendError::new("x") };
        let answer = Answer {
            failed: vec![
                (0, error("InternalFailure")),
                (2, error("ProvisionedThroughputExceededException")),
                (9, error("InternalFailure")),
            ],
        };
        let taken = taken(answer, &[4, 5, 6]);
        assert_eq!((taken.retry, taken.again), (vec![4], vec![6]));
        assert_eq!(taken.cause.unwrap().message, "3 of 3 records were not taken: x");
    }
}
