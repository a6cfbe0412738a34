//! Calls of PutRecordBatch, and what their answers mean for each record.

use std::fmt;
use std::sync::Arc;

use aws_sdk_firehose::operation::put_record_batch::PutRecordBatchOutput;
use aws_sdk_firehose::primitives::Blob;
use aws_sdk_firehose::types::Record;
use aws_sdk_firehose::{Client, config};
use bytes::Bytes;
use ikada_plugin::{BoxFuture, Delivery, EntrySet, Outcome, SendError};
use tokio::sync::OnceCell;
use tokio::time::Instant;

use super::records::{Closed, head};
use crate::calls::{Call, Calls, Taken};
use crate::client::{Destination, Failure, FailureKind, Shorten, replace_body};
use crate::seldom::Seldom;

/// What all deliveries of an output share.
pub(super) struct Sender {
    destination: Destination,
    delivery_stream: String,
    head: Vec<u8>,
    client: OnceCell<Client>,
    held_back: Seldom,
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("delivery_stream", &self.delivery_stream).finish_non_exhaustive()
    }
}

impl Sender {
    pub(super) fn new(destination: Destination, delivery_stream: String) -> Self {
        let head = head(&delivery_stream);
        Self { destination, delivery_stream, head, client: OnceCell::new(), held_back: Seldom::default() }
    }

    /// What every call begins with.
    pub(super) fn head(&self) -> &[u8] {
        &self.head
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
        Ok(Client::from_conf(config.build()))
    }

    async fn put(&self, body: Bytes) -> Result<PutRecordBatchOutput, Failure> {
        let client = self.client().await?;
        // The SDK insists on its own members before it lets the body be replaced.
        let stand_in = Record::builder().data(Blob::new([])).build();
        let stand_in = stand_in.map_err(|error| Failure::transient(error.to_string()))?;
        let call = || {
            let body = body.clone();
            client
                .put_record_batch()
                .delivery_stream_name("-")
                .records(stand_in.clone())
                .customize()
                .mutate_request(move |request| {
                    replace_body(request, &body);
                    request.add_extension(Shorten(without_results));
                })
                .send()
        };
        self.destination.session.call(call).await.map_err(|failure| self.explain(failure))
    }

    /// Adds what a person can do, and says it now and then.
    fn explain(&self, failure: Failure) -> Failure {
        let is_missing = failure.kind == FailureKind::Missing;
        let stream = &self.delivery_stream;
        let failure = failure.hint(|| match is_missing {
            true => format!("create delivery stream `{stream}`"),
            false => format!("the policy must allow `firehose:PutRecordBatch` on delivery stream `{stream}`"),
        });
        if failure.needs_a_person()
            && let Some(times) = self.held_back.count(1, Instant::now())
        {
            let error = &failure.cause;
            tracing::error!(delivery_stream = %stream, %error, times, "records are held back");
        }
        failure
    }
}

/// One call's worth of records.
#[derive(Debug)]
pub(super) struct PutRecords {
    /// By the numbers of records, which may hold several entries.
    calls: Calls,
    to: RecordCall,
}

#[derive(Debug)]
struct RecordCall {
    sender: Arc<Sender>,
    records: Closed,
}

impl PutRecords {
    pub(super) fn new(sender: Arc<Sender>, records: Closed) -> Self {
        Self { calls: Calls::new((0..records.len() as u32).collect()), to: RecordCall { sender, records } }
    }

    async fn run(&mut self) -> Outcome {
        let left = self.calls.left();
        let outcome = self.calls.attempt(&self.to).await;
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
            let answer = self.sender.put(self.records.body(records)).await?;
            Ok(taken(&answer, records))
        })
    }
}

/// An answer that says nothing but that everything was taken: 500 ids that nobody looks at need not be read one by one.
fn without_results(answer: Bytes) -> Bytes {
    const NONE: &[u8] = br#""FailedPutCount":0"#;
    let Some(at) = memchr::memmem::find(&answer, NONE) else { return answer };
    match answer.get(at + NONE.len()) {
        Some(b',' | b'}') => Bytes::from_static(br#"{"FailedPutCount":0,"RequestResponses":[]}"#),
        _ => answer,
    }
}

/// What a call took: the answer lists a result for each record, in the order of the call.
fn taken(answer: &PutRecordBatchOutput, records: &[u32]) -> Taken {
    let mut taken = Taken::default();
    if answer.failed_put_count() == 0 {
        return taken;
    }
    for (record, result) in records.iter().zip(answer.request_responses()) {
        let Some(code) = result.error_code() else { continue };
        taken.retry.push(*record);
        taken.cause.get_or_insert_with(|| SendError {
            code: Some(code.to_owned()),
            status: Some(200),
            message: format!(
                "{} of {} records were not taken: {}",
                answer.failed_put_count(),
                records.len(),
                result.error_message().unwrap_or_default()
            ),
        });
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_answer_without_failures_is_shortened() {
        let shortened = |text: &'static str| without_results(Bytes::from_static(text.as_bytes())).len() < 50;
        assert!(shortened(
            r#"{"Encrypted":false,"FailedPutCount":0,"RequestResponses":[{"RecordId":"x"},{"RecordId":"y"}]}"#
        ));
        assert!(shortened(
            r#"{"RequestResponses":[{"RecordId":"x"},{"RecordId":"yyyyyyyyyyyyyyyyyyy"}],"FailedPutCount":0}"#
        ));
        assert!(!shortened(
            r#"{"FailedPutCount":1,"RequestResponses":[{"RecordId":"x"},{"ErrorCode":"InternalFailure"}]}"#
        ));
        assert!(!shortened(
            r#"{"FailedPutCount": 0,"RequestResponses":[{"RecordId":"x"},{"RecordId":"y"},{"RecordId":"z"}]}"#
        ));
    }
}
