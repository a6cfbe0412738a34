//! One stream of a service that takes records, and the output that sends there.

use std::marker::PhantomData;
use std::sync::Arc;

use aws_types::SdkConfig;
use bytes::Bytes;
use ikada_connect::BoxError;
use ikada_plugin::registry::BuildContext;
use ikada_plugin::{BoxFuture, Output, SendError};
use serde::Deserialize;
use tokio::sync::OnceCell;

use super::arena::{Shape, head};
use super::batcher::{Batcher, Recipe};
use super::sender::{Answer, Put, Sender};
use crate::client::{CallError, Destination, Draft, Failure, FailureKind, Pen, broken};

/// A service that takes records.
pub(crate) trait RecordService: 'static {
    /// What a call takes.
    const SHAPE: &'static Shape;
    /// The member of a call that names the stream.
    const MEMBER: &'static str;
    /// What people call such a stream.
    const KIND: &'static str;
    /// What a policy calls the call.
    const ACTION: &'static str;
    /// The member of an answer that says that every record was taken.
    const NONE_FAILED: &'static [u8];

    /// Makes a call with `pen` for a client. Without an endpoint the environment's stays.
    fn draft(
        config: &SdkConfig,
        endpoint: Option<&str>,
        pen: Pen,
    ) -> impl Future<Output = Result<(), CallError>> + Send;
}

/// What the options of an output come to.
pub(crate) struct Settled {
    pub(crate) stream: String,
    pub(crate) recipe: Recipe,
    pub(crate) destination: Destination,
}

impl Settled {
    /// The output that sends to the stream.
    pub(crate) fn output<S: RecordService>(self, cx: &BuildContext) -> Box<dyn Output> {
        let Self { stream, recipe, destination } = self;
        destination.announce(cx);
        let head = head(S::MEMBER, &stream);
        let place = destination.place();
        let put =
            Stream::<S> { destination, name: stream.clone(), draft: OnceCell::new(), service: PhantomData };
        let sender = Sender::new(Box::new(put), S::SHAPE, head, stream, &place);
        Box::new(Batcher::new(recipe, Arc::new(sender)))
    }
}

/// A stream, as seen by one output.
struct Stream<S> {
    destination: Destination,
    name: String,
    draft: OnceCell<Draft>,
    service: PhantomData<fn() -> S>,
}

impl<S: RecordService> Stream<S> {
    async fn call(&self, body: Bytes) -> Result<Answer, Failure> {
        let draft = self.draft.get_or_try_init(|| self.draft()).await?;
        let (session, body) = (&self.destination.session, &body);
        let call = || async move {
            let answer = draft.send(body).await?;
            Answer::read(&answer, S::NONE_FAILED).map_err(|error| broken(error, answer))
        };
        session.call(call).await
    }

    async fn draft(&self) -> Result<Draft, Failure> {
        let (session, endpoint) = (&self.destination.session, self.destination.endpoint.as_deref());
        let config = session.sdk_config().await?;
        session.draft(|pen| S::draft(config, endpoint, pen)).await
    }
}

impl<S: RecordService> Put for Stream<S> {
    fn put(&self, body: Bytes) -> BoxFuture<'_, Result<Answer, Failure>> {
        Box::pin(self.call(body))
    }

    fn hint(&self, failure: &Failure) -> String {
        let (kind, name) = (S::KIND, &self.name);
        match failure.kind {
            FailureKind::Missing => format!("create {kind} `{name}`"),
            _ => format!("the policy must allow `{}` on {kind} `{name}`", S::ACTION),
        }
    }
}

/// What the answers of both services are but for the names of their members.
#[derive(Deserialize)]
struct Results {
    #[serde(alias = "FailedPutCount", alias = "FailedRecordCount", default)]
    failed: u64,
    #[serde(alias = "RequestResponses", alias = "Records", default)]
    records: Vec<RecordResult>,
}

/// What became of one record: it was taken where there is no code.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RecordResult {
    error_code: Option<String>,
    error_message: Option<String>,
}

impl Answer {
    /// Reads an answer; `none_failed` is the member of one that says that every record was taken. The 500 ids in such an answer are nothing
    /// that anybody looks at, and are not read one by one.
    fn read(answer: &[u8], none_failed: &[u8]) -> Result<Self, BoxError> {
        if says(answer, none_failed) {
            return Ok(Self::default());
        }
        let results: Results = serde_json::from_slice(answer)?;
        let failed: Vec<_> = (results.records.into_iter().enumerate())
            .filter_map(|(place, result)| {
                let message = result.error_message.unwrap_or_default();
                Some((place, SendError { code: Some(result.error_code?), status: Some(200), message }))
            })
            .collect();
        match failed.len() as u64 == results.failed {
            true => Ok(Self { failed }),
            false => Err("records failed, and the answer does not say which".into()),
        }
    }
}

fn says(answer: &[u8], member: &[u8]) -> bool {
    let after = memchr::memmem::find(answer, member).and_then(|at| answer.get(at + member.len()));
    matches!(after, Some(b',' | b'}'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE_FAILED: &[u8] = br#""FailedPutCount":0"#;

    #[test]
    fn only_an_answer_without_failures_is_not_looked_through() {
        let none = |text: &str| says(text.as_bytes(), NONE_FAILED);
        assert!(none(r#"{"Encrypted":false,"FailedPutCount":0,"RequestResponses":[{"RecordId":"x"}]}"#));
        assert!(none(r#"{"RequestResponses":[{"RecordId":"x"}],"FailedPutCount":0}"#));
        assert!(!none(r#"{"FailedPutCount":1,"RequestResponses":[{"RecordId":"x"}]}"#));
        assert!(!none(r#"{"FailedPutCount": 0,"RequestResponses":[{"RecordId":"x"}]}"#));
    }

    fn failed(answer: &'static str) -> Option<Vec<(usize, String, String)>> {
        let answer = Answer::read(answer.as_bytes(), NONE_FAILED).ok()?;
        let failed = answer.failed.into_iter();
        Some(failed.map(|(place, error)| (place, error.code.unwrap(), error.message)).collect())
    }

    #[test]
    fn an_answer_names_the_records_that_were_not_taken() {
        assert_eq!(
            failed(r#"{"FailedPutCount": 0, "RequestResponses": [{"RecordId": "x"}]}"#),
            Some(Vec::new())
        );
        assert_eq!(
            failed(
                r#"{"FailedRecordCount":2,"Records":[{"ErrorCode":"A","ErrorMessage":"m"},{"ShardId":"s","ErrorCode":null},{"ErrorCode":"B"}]}"#
            ),
            Some(vec![(0, "A".to_owned(), "m".to_owned()), (2, "B".to_owned(), String::new())])
        );
    }

    #[test]
    fn an_answer_that_cannot_be_understood_is_none() {
        for answer in
            ["", "<html>", r#"{"FailedPutCount":1,"RequestResponses":[]}"#, r#"{"FailedPutCount":1}"#]
        {
            assert_eq!(failed(answer), None, "{answer}");
        }
    }
}
