//! Calls of PutRecordBatch.

use aws_sdk_firehose::primitives::Blob;
use aws_sdk_firehose::types::Record;
use aws_sdk_firehose::{Client, config};
use bytes::Bytes;
use ikada_plugin::{BoxFuture, SendError};
use tokio::sync::OnceCell;

use crate::client::{Destination, Failure, FailureKind, Shorten, replace_body};
use crate::records::{Answer, Put, shortened};

/// Firehose, as seen by one output.
pub(super) struct Firehose {
    destination: Destination,
    delivery_stream: String,
    client: OnceCell<Client>,
}

impl Firehose {
    pub(super) fn new(destination: Destination, delivery_stream: String) -> Self {
        Self { destination, delivery_stream, client: OnceCell::new() }
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
        let answer = self.destination.session.call(call).await?;
        if answer.failed_put_count() == 0 {
            return Ok(Answer::default());
        }
        let failed = |(place, code, message): (usize, &str, Option<&str>)| {
            let message = message.unwrap_or_default().to_owned();
            (place, SendError { code: Some(code.to_owned()), status: Some(200), message })
        };
        let results = answer.request_responses().iter().enumerate();
        let failures =
            results.filter_map(|(place, result)| Some((place, result.error_code()?, result.error_message())));
        Ok(Answer { failed: failures.map(failed).collect() })
    }
}

impl Put for Firehose {
    fn put(&self, body: Bytes) -> BoxFuture<'_, Result<Answer, Failure>> {
        Box::pin(self.call(body))
    }

    fn hint(&self, failure: &Failure) -> String {
        let stream = &self.delivery_stream;
        match failure.kind {
            FailureKind::Missing => format!("create delivery stream `{stream}`"),
            _ => format!("the policy must allow `firehose:PutRecordBatch` on delivery stream `{stream}`"),
        }
    }
}

fn without_results(answer: Bytes) -> Bytes {
    shortened(answer, br#""FailedPutCount":0"#, br#"{"FailedPutCount":0,"RequestResponses":[]}"#)
}
