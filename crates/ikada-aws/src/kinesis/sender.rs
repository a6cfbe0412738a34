//! Calls of PutRecords.

use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::PutRecordsRequestEntry;
use aws_sdk_kinesis::{Client, config};
use aws_types::SdkConfig;
use bytes::Bytes;

use crate::client::{Failure, Session, Shorten, replace_body};
use crate::records::{Answer, RecordService, Shape, shortened};

impl RecordService for Client {
    const SHAPE: &'static Shape =
        &Shape { name: "Kinesis", max_bytes: 10 * 1024 * 1024, max_record: 1024 * 1024, has_keys: true };
    const MEMBER: &'static str = "StreamName";
    const KIND: &'static str = "data stream";
    const ACTION: &'static str = "kinesis:PutRecords";

    fn connect(config: &SdkConfig, endpoint: Option<&str>) -> Self {
        let mut config = config::Builder::from(config);
        if let Some(url) = endpoint {
            config.set_endpoint_url(Some(url.to_owned()));
        }
        Client::from_conf(config.build())
    }

    async fn put(&self, session: &Session, body: Bytes) -> Result<Answer, Failure> {
        // The SDK insists on its own members before it lets the body be replaced.
        let stand_in = PutRecordsRequestEntry::builder().data(Blob::new([])).partition_key("-").build();
        let stand_in = stand_in.map_err(|error| Failure::transient(error.to_string()))?;
        let call = || {
            let body = body.clone();
            self.put_records()
                .stream_name("-")
                .records(stand_in.clone())
                .customize()
                .mutate_request(move |request| {
                    replace_body(request, &body);
                    request.add_extension(Shorten(without_results));
                })
                .send()
        };
        let answer = session.call(call).await?;
        if answer.failed_record_count().unwrap_or_default() == 0 {
            return Ok(Answer::default());
        }
        let results = answer.records().iter();
        Ok(Answer::of(results.map(|result| (result.error_code(), result.error_message()))))
    }
}

fn without_results(answer: Bytes) -> Bytes {
    shortened(answer, br#""FailedRecordCount":0"#, br#"{"FailedRecordCount":0,"Records":[]}"#)
}
