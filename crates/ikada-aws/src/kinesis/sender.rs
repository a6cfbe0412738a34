//! Calls of PutRecords.

use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::PutRecordsRequestEntry;
use aws_sdk_kinesis::{Client, config};
use bytes::Bytes;
use ikada_plugin::{BoxFuture, SendError};
use tokio::sync::OnceCell;

use crate::client::{Destination, Failure, FailureKind, Shorten, replace_body};
use crate::records::{Answer, Put, shortened};

/// Kinesis, as seen by one output.
pub(super) struct Kinesis {
    destination: Destination,
    stream: String,
    client: OnceCell<Client>,
}

impl Kinesis {
    pub(super) fn new(destination: Destination, stream: String) -> Self {
        Self { destination, stream, client: OnceCell::new() }
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

    async fn call(&self, body: Bytes) -> Result<Answer, Failure> {
        let client = self.client().await?;
        // The SDK insists on its own members before it lets the body be replaced.
        let stand_in = PutRecordsRequestEntry::builder().data(Blob::new([])).partition_key("-").build();
        let stand_in = stand_in.map_err(|error| Failure::transient(error.to_string()))?;
        let call = || {
            let body = body.clone();
            client
                .put_records()
                .stream_name("-")
                .records(stand_in.clone())
                .customize()
                .mutate_request(move |request| {
                    replace_body(request, &body);
                    request.add_extension(Shorten(without_results));
                })
                .send()
        };
        let answer = self.destination.session.call(call).await?;
        if answer.failed_record_count().unwrap_or_default() == 0 {
            return Ok(Answer::default());
        }
        let failed = |(place, code, message): (usize, &str, Option<&str>)| {
            let message = message.unwrap_or_default().to_owned();
            (place, SendError { code: Some(code.to_owned()), status: Some(200), message })
        };
        let results = answer.records().iter().enumerate();
        let failures =
            results.filter_map(|(place, result)| Some((place, result.error_code()?, result.error_message())));
        Ok(Answer { failed: failures.map(failed).collect() })
    }
}

impl Put for Kinesis {
    fn put(&self, body: Bytes) -> BoxFuture<'_, Result<Answer, Failure>> {
        Box::pin(self.call(body))
    }

    fn hint(&self, failure: &Failure) -> String {
        let stream = &self.stream;
        match failure.kind {
            FailureKind::Missing => format!("create data stream `{stream}`"),
            _ => format!("the policy must allow `kinesis:PutRecords` on data stream `{stream}`"),
        }
    }
}

fn without_results(answer: Bytes) -> Bytes {
    shortened(answer, br#""FailedRecordCount":0"#, br#"{"FailedRecordCount":0,"Records":[]}"#)
}
