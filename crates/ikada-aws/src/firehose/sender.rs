//! Calls of PutRecordBatch.

use aws_sdk_firehose::primitives::Blob;
use aws_sdk_firehose::types::Record;
use aws_sdk_firehose::{Client, config};
use aws_types::SdkConfig;
use bytes::Bytes;

use crate::client::{Failure, Session, Shorten, replace_body};
use crate::records::{Answer, RecordService, Shape, shortened};

impl RecordService for Client {
    const SHAPE: &'static Shape =
        &Shape { name: "Firehose", max_bytes: 4 * 1024 * 1024, max_record: 1_024_000, has_keys: false };
    const MEMBER: &'static str = "DeliveryStreamName";
    const KIND: &'static str = "delivery stream";
    const ACTION: &'static str = "firehose:PutRecordBatch";

    fn connect(config: &SdkConfig, endpoint: Option<&str>) -> Self {
        let mut config = config::Builder::from(config);
        if let Some(url) = endpoint {
            config.set_endpoint_url(Some(url.to_owned()));
        }
        Client::from_conf(config.build())
    }

    async fn put(&self, session: &Session, body: Bytes) -> Result<Answer, Failure> {
        // The SDK insists on its own members before it lets the body be replaced.
        let stand_in = Record::builder().data(Blob::new([])).build();
        let stand_in = stand_in.map_err(|error| Failure::transient(error.to_string()))?;
        let call = || {
            let body = body.clone();
            self.put_record_batch()
                .delivery_stream_name("-")
                .records(stand_in.clone())
                .customize()
                .mutate_request(move |request| {
                    replace_body(request, &body);
                    request.add_extension(Shorten(without_results));
                })
                .send()
        };
        let answer = session.call(call).await?;
        if answer.failed_put_count() == 0 {
            return Ok(Answer::default());
        }
        let results = answer.request_responses().iter();
        Ok(Answer::of(results.map(|result| (result.error_code(), result.error_message()))))
    }
}

fn without_results(answer: Bytes) -> Bytes {
    shortened(answer, br#""FailedPutCount":0"#, br#"{"FailedPutCount":0,"RequestResponses":[]}"#)
}
